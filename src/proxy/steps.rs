//! The steps of an exchange, whatever carries it: the request that leaves, the body that passes, the answer that comes.

use std::time::Instant;

use super::attempts::no_permit;
use crate::decision::JudgedBody;
use crate::engine::Exchange;
use crate::grpc::MessageStream;
use crate::reason::{Denial, Reason};
use crate::upstream::rewrite::{OutgoingBody, OutgoingFields};

impl Exchange {
    /// The fields of the judged request, for the attempt that begins.
    ///
    /// # Errors
    /// Where the backend cannot be told of the caller: a fault of ours, and nothing is sent.
    pub(super) fn outgoing_fields(&mut self) -> Result<OutgoingFields, Denial> {
        // What the gate does here is not the backend's.
        self.timing.asked(Instant::now());
        let traceparent = self.begin_attempt_span();
        let forwarding = self.forwarding().ok_or_else(no_permit)?;
        let admitted = &forwarding.admitted;
        let body = match admitted.body() {
            JudgedBody::Held(bytes) => OutgoingBody::Held(bytes.len()),
            JudgedBody::Transcoded(call) => OutgoingBody::Held(call.frame.len()),
            JudgedBody::Passed => OutgoingBody::Passed,
            JudgedBody::Messages(_) => {
                let left = |until: Instant| until.saturating_duration_since(Instant::now());
                OutgoingBody::Messages(self.until().map(left))
            }
        };
        let fields = self.fields_for_backend(admitted, body, traceparent)?;
        if let Some(attempted) = self.forwarding_mut().and_then(|forwarding| forwarding.attempt.as_mut()) {
            attempted.passed = 0;
        }
        self.timing.asks(Instant::now());
        Ok(fields)
    }

    /// Lets the next bytes of a body pass within its bounds, and its end if `ends`.
    ///
    /// # Errors
    /// Where there are too many, or they come too late.
    pub(super) fn passes(&mut self, length: usize, ends: bool) -> Result<(), Denial> {
        let limits = self.engine().limits().body;
        let limit =
            self.permit().map_or(limits.stream, |permit| limits.of(&permit.call().method.limits).stream);
        let forwarding = self.forwarding_mut().ok_or_else(no_permit)?;
        let Some(attempted) = &mut forwarding.attempt else { return Err(no_permit()) };
        attempted.passed = attempted.passed.saturating_add(length as u64);
        if forwarding.messages.is_some() {
            if let Some(fault) = forwarding.message_fault.take() {
                return Err(fault);
            }
            if ends {
                forwarding.body_whole.get_or_insert_with(Instant::now);
                return forwarding.messages.as_ref().map_or(Ok(()), MessageStream::end);
            }
            return Ok(());
        }
        if attempted.passed > limit {
            return Err(Denial::new(Reason::BodyTooLarge, "the body grew beyond its bound").told());
        }
        if forwarding.body_until.is_some_and(|until| Instant::now() > until) {
            return Err(Denial::new(Reason::BodyTimeout, "the body did not end in time"));
        }
        if ends {
            forwarding.body_whole.get_or_insert_with(Instant::now);
            forwarding.body_until = None;
        }
        Ok(())
    }

    /// The head of the backend's final answer has come.
    pub(super) fn final_head_came(
        &mut self,
        status: u16,
        content_type: Option<&str>,
        content_encoding: Option<&str>,
    ) {
        if let Some(attempted) = self.forwarding_mut().and_then(|forwarding| forwarding.attempt.as_mut()) {
            attempted.attempt.answered();
            self.head_came(Instant::now());
        }
        self.watch_answer(status, content_type, content_encoding);
    }

    /// Says how long the backend took. The time that a client took to send its body is not the backend's.
    fn head_came(&mut self, now: Instant) {
        self.timing.asked(now);
        let Some(forwarding) = self.forwarding() else { return };
        let Some(attempted) = &forwarding.attempt else { return };
        let since = forwarding.body_whole.map_or(attempted.since, |whole| whole.max(attempted.since));
        if let Some(own) = self.live.instruments().of(&forwarding.admitted.permit().call().method) {
            own.upstream.answered(now.saturating_duration_since(since));
        }
    }

    /// The head of an answer goes to the client now.
    pub(super) fn answer_passes(&mut self, status: u16) {
        if let Some(forwarding) = self.forwarding_mut() {
            forwarding.begun = status;
        }
        if status >= 200 {
            self.begin_answer();
        }
    }
}

/// Whether a field of the answer says which page may read it.
pub(super) fn is_about_pages(name: &str) -> bool {
    name.starts_with("access-control-")
}
