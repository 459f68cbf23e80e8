//! The fields that the gate gives a message on its way: an admitted request to its backend, whether the gate sends it or a proxy
//! that has asked, and the answer to its client.

use http::header::VARY;
use http::{HeaderName, HeaderValue};

use super::Exchange;
use crate::clock;
use crate::decision::Admitted;
use crate::policy::Permit;
use crate::reason::{Denial, Reason};
use crate::trace_context::TraceParent;
use crate::upstream::rewrite::{OutgoingBody, OutgoingFields, outgoing};

impl Exchange {
    /// The fields of a request that is admitted, with `body`. `traceparent` is the gate's own span, where it writes spans.
    ///
    /// # Errors
    /// Where the backend cannot be told of the caller: a fault of ours, and nothing is sent.
    pub fn fields_for_backend(
        &self,
        admitted: &Admitted,
        body: OutgoingBody,
        traceparent: Option<TraceParent>,
    ) -> Result<OutgoingFields, Denial> {
        let assertion = self.assertion(admitted.permit())?;
        let request_id = self.arrival.request_id.as_str();
        let fields =
            outgoing(admitted.request(), admitted.permit(), body, request_id, assertion, traceparent);
        fields.map_err(|error| internal(format!("cannot tell the backend the caller: {error}")))
    }

    /// What the gate says itself in an answer with this status: with the id, which is the one that the audit log has, in place of
    /// the backend's own; and which page may read the answer, in place of what the backend says of it.
    pub fn fields_for_client(&self, status: u16) -> Vec<(HeaderName, HeaderValue)> {
        let mut fields = Vec::with_capacity(2);
        let id = (status >= 200).then_some(self.arrival.request_id.as_str());
        for (name, value) in [("x-request-id", id), ("dpop-nonce", self.next_nonce().as_deref())] {
            // Hex digits and base64: both are always values.
            let value = value.and_then(|value| HeaderValue::from_str(value).ok());
            fields.extend(value.map(|value| (HeaderName::from_static(name), value)));
        }
        if self.has_cors() {
            fields.push((VARY, HeaderValue::from_static("Origin")));
            fields.extend(self.cors_fields());
        }
        fields
    }

    /// The gate's signed assertion about the caller, where the service is to have one and there is a caller. The clock is
    /// read here: the body may have taken its time since the decision.
    fn assertion(&self, permit: &Permit) -> Result<Option<HeaderValue>, Denial> {
        let service = &permit.call().method.service;
        let (true, Some(caller)) = (service.forwarding.assertion, permit.caller()) else { return Ok(None) };
        let assertions = self.live.assertions().ok_or_else(|| internal("no key signs assertions"))?;
        let signed = assertions.about(caller, &service.name, clock::now());
        signed.map(Some).map_err(|error| internal(format!("cannot sign an assertion: {error}")))
    }
}

fn internal(detail: impl Into<std::borrow::Cow<'static, str>>) -> Denial {
    Denial::new(Reason::Internal, detail)
}
