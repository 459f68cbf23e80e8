//! A request that becomes a call of gRPC: its message is made of what was judged, and judged itself.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;

use crate::catalog::Call;
use crate::http::Request;
use crate::reason::{Denial, Reason};
use crate::transcode::{AnswerFormat, RequestFault, RequestPart, TranscodedMethod};

/// An admitted request as a call of gRPC.
#[derive(Clone, Debug)]
pub struct TranscodedCall {
    /// The method, and the rule that it was called by.
    pub method: Arc<TranscodedMethod>,
    /// The message in its frame.
    pub frame: Bytes,
    /// How the client wants its answer.
    pub format: AnswerFormat,
}

impl TranscodedCall {
    /// Makes the message of a call. `body` is JSON without a coding, judged by the body rule, or nothing.
    ///
    /// # Errors
    /// 400 where the query or the body is not of the message, or path, query and body do not agree.
    pub(super) fn new(
        method: &Arc<TranscodedMethod>,
        request: &Request,
        call: &Call,
        body: &Bytes,
    ) -> Result<Self, Denial> {
        let made = method.request(&call.bindings, request.query.as_str(), body);
        let made = made.map_err(|fault| denial(&fault))?;
        let mut format = made.format;
        for accept in request.headers.all("accept").filter_map(|value| value.to_str().ok()) {
            format = format.accepting(accept);
        }
        format.is_head_only = request.method == Method::HEAD;
        Ok(Self { method: method.clone(), frame: made.frame, format })
    }
}

fn denial(fault: &RequestFault) -> Denial {
    let reason = match fault.part {
        RequestPart::Path => Reason::RequestMalformed,
        RequestPart::Query => Reason::QueryParameterRefused,
        RequestPart::Body => Reason::BodyRefused,
        // Not the client's fault, and nothing that it should read.
        RequestPart::Message => return Denial::new(Reason::Internal, fault.message()),
    };
    let denial = Denial::new(reason, fault.message()).told();
    fault
        .violations
        .iter()
        .fold(denial, |denial, (field, told)| denial.violation(field.as_deref(), told.clone()))
}
