//! What the answers that pass tell of cancelled operations: the ends of [`crate::cancels`] in an exchange.
//!
//! Nothing here can fail an exchange, hold its bytes back or change them.

use crate::cancels::{AnswerFacts, Asked, CancelAnswer, CancelOutcome, Moment, OperationSighting};
use crate::catalog::OperationMethod;
use crate::engine::{Exchange, moment};
use crate::http::Request;

/// Query parameters and a header by which a client asks for some fields of the answer alone
/// (<https://cloud.google.com/apis/docs/system-parameters>).
const MASKS: [&str; 2] = ["fields", "$fields"];
const MASK_FIELD: &str = "x-goog-fieldmask";

impl Exchange {
    /// The request is about to be forwarded: a cancel is remembered before a backend can act on it.
    pub(super) fn begin_cancel(&mut self) {
        let (Some(call), Some(request)) = (&self.trace.call, &self.request) else { return };
        if call.method.operation != Some(OperationMethod::Cancel) {
            return;
        }
        let sent = self.engine().cancels().sent(Asked {
            service: &call.method.service.name,
            method: &call.method.name,
            name: &call.operation_name(OperationMethod::Cancel, &request.path),
            principal: self.trace.caller.as_ref().map(|caller| &caller.principal),
            request_id: &self.arrival.request_id,
            at: Moment { time: self.arrival.time, instant: self.arrival.instant },
        });
        if let Some(forwarding) = self.forwarding_mut() {
            forwarding.cancel = sent;
        }
    }

    /// The head of the backend's final answer has come.
    pub(super) fn watch_answer(
        &mut self,
        status: u16,
        content_type: Option<&str>,
        content_encoding: Option<&str>,
    ) {
        let Some(method) = self.trace.call.as_ref().and_then(|call| call.method.operation) else { return };
        if self.is_grpc() {
            // The status of a call is in its trailers; what its messages tell is not read.
            return;
        }
        if method == OperationMethod::Cancel {
            return self.cancel_answered(CancelAnswer::of_status(status));
        }
        if self.engine().cancels().is_any_pending() {
            self.watch_read(method, status, content_type, content_encoding);
        }
    }

    /// The status of a gRPC call has come, as HTTP has it.
    pub(super) fn cancel_ended(&mut self, status: u16) {
        let method = self.trace.call.as_ref().and_then(|call| call.method.operation);
        if method == Some(OperationMethod::Cancel) {
            self.cancel_answered(CancelAnswer::of_status(status));
        }
    }

    /// The same, of a request that may tell of an operation.
    fn watch_read(
        &mut self,
        method: OperationMethod,
        status: u16,
        content_type: Option<&str>,
        content_encoding: Option<&str>,
    ) {
        // The request as it went out: the form of a GET that was sent as a POST may ask for some fields alone.
        let Some(request) = self.forwarding().map(|forwarding| forwarding.admitted.request()) else { return };
        let Some(call) = &self.trace.call else { return };
        // A head without its body says nothing; nor does its 404, where a backend has no route for HEAD.
        if call.is_head_of_get {
            return;
        }
        let service = call.method.service.name.as_str();
        let name = match method {
            OperationMethod::List => None,
            _ => Some(call.operation_name(method, &request.path)),
        };
        let is_gone = match method {
            OperationMethod::Get => status == 404,
            OperationMethod::Delete => (200..300).contains(&status),
            _ => false,
        };
        if let (true, Some(name)) = (is_gone, &name) {
            let gone = OperationSighting::Ended(CancelOutcome::Deleted);
            let end = self.engine().cancels().seen(service, name, gone, &call.method.name, moment());
            return self.engine().record_ends(end);
        }
        // 206 is a part of an answer, which the client chose (RFC 9110, section 15.3.7).
        if status != 200 || method == OperationMethod::Delete {
            return;
        }
        let watch = self.engine().cancels().watch(AnswerFacts {
            service,
            name: name.as_deref(),
            content_type,
            content_encoding,
            is_masked: is_masked(request),
        });
        if let Some(forwarding) = self.forwarding_mut() {
            forwarding.watch = watch;
        }
    }

    /// The next bytes of the answer have come, and its end if `ends`.
    pub(super) fn watch_body(&mut self, bytes: &[u8], ends: bool) {
        let Some(watch) = self.forwarding_mut().and_then(|forwarding| forwarding.watch.as_mut()) else {
            return;
        };
        watch.push(bytes);
        if ends {
            self.watch_ended();
        }
    }

    /// The answer has come whole.
    pub(super) fn watch_ended(&mut self) {
        let watch = self.forwarding_mut().and_then(|forwarding| forwarding.watch.take());
        if let (Some(mut watch), Some(call)) = (watch, &self.trace.call) {
            let ends = watch.end(&call.method.name, moment());
            self.engine().record_ends(ends);
        }
    }

    fn cancel_answered(&mut self, answer: CancelAnswer) {
        let sent = self.forwarding_mut().and_then(|forwarding| forwarding.cancel.take());
        if let Some(sent) = sent {
            let end = self.engine().cancels().answered(sent, answer, moment());
            self.engine().record_ends(end);
        }
    }
}

fn is_masked(request: &Request) -> bool {
    request.query.keys().any(|key| MASKS.contains(&key)) || request.headers.contains(MASK_FIELD)
}
