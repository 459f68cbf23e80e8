//! An exchange with a backend: where it goes, what is sent, and whether it may be sent again.
//!
//! A request is sent again once, and only where no backend can have acted on the first attempt: there was no
//! connection, its head did not leave the gate whole, or the backend said over HTTP/2 that it has not begun. A request
//! that changes nothing (GET, HEAD) may also be sent again when a kept connection turns out to be closed. A cancel may
//! not: nothing on the wire tells whether the backend closed before it read the request or after.

use http::header::{CONTENT_LENGTH, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, ImmutStr, Result};

use super::failure::{Cut, UpstreamError, is_refused};
use super::task;
use crate::clock;
use crate::decision::JudgedBody;
use crate::engine::{Attempted, Exchange, ForwardingPhase};
use crate::policy::Permit;
use crate::reason::{Denial, Reason};
use crate::respond::REQUEST_ID;
use crate::upstream::rewrite::{OutgoingBody, outgoing};
use crate::upstream::{Deadline, is_used, response};
use std::time::Instant;

use bytes::Bytes;

impl Exchange {
    /// Takes a slot at the upstream, once for all attempts, and chooses an endpoint of it.
    pub(super) async fn choose(&mut self) -> Result<HttpPeer> {
        let live = self.live.clone();
        let upstreams = live.upstreams();
        self.timing.asks(Instant::now());
        let forwarding = self.forwarding_mut().ok_or_else(no_permit)?;
        let permit = forwarding.admitted.permit();
        let held = match &forwarding.slot {
            Some(_) => Ok(()),
            None => upstreams.take_place(permit).await.map(|slot| forwarding.slot = Some(slot)),
        };
        match held.and_then(|()| upstreams.choose(forwarding.admitted.permit(), forwarding.failed)) {
            Ok(attempt) => {
                let peer = attempt.peer();
                let is_repeated = forwarding.attempts > 0;
                forwarding.attempt(attempt);
                let of_snapshot = live.instruments();
                if let Some(own) = of_snapshot.of(&forwarding.admitted.permit().call().method) {
                    own.upstream.attempted(is_repeated);
                }
                Ok(peer)
            }
            Err(denial) => {
                if denial.reason() == Reason::UpstreamOverloaded {
                    self.count_overload();
                }
                self.denial.get_or_insert(denial);
                Err(Error::explain(ErrorType::ConnectNoRoute, "no endpoint").into_up())
            }
        }
    }

    /// The time of the exchange runs on the connection that was found. Pingora tells of HTTP/2 connections alone whether
    /// they were used before.
    pub(super) fn connected(&mut self, reused: bool, digest: Option<&Digest>) -> Result<()> {
        let forwarding = self.forwarding_mut().ok_or_else(no_permit)?;
        let until = forwarding.slot.as_ref().and_then(|(_, until)| *until);
        forwarding.deadline = until.zip(digest).and_then(|(until, digest)| Deadline::on(digest, until));
        if let Some(attempted) = &mut forwarding.attempt {
            attempted.reused = reused || digest.is_some_and(is_used);
        }
        Ok(())
    }

    /// Replaces the request that Pingora copied from the client by the judged one.
    pub(super) fn rewrite(&mut self, header: &mut RequestHeader) -> Result<()> {
        let over_http2 = header.version == ::http::Version::HTTP_2;
        // What the gate does here is not the backend's.
        self.timing.asked(Instant::now());
        let assertion = self.assertion()?;
        let request_id = self.arrival.request_id.clone();
        let traceparent = self.begin_attempt_span();
        let forwarding = self.forwarding_mut().ok_or_else(no_permit)?;
        if let Some(attempted) = &mut forwarding.attempt {
            (attempted.body_sent, attempted.body_begun, attempted.passed) = (false, false, 0);
            attempted.over_http2 = over_http2;
        }
        let admitted = &forwarding.admitted;
        let request = admitted.request();
        let body = match admitted.body() {
            JudgedBody::Held(bytes) => OutgoingBody::Held(bytes.len()),
            JudgedBody::Passed => OutgoingBody::Passed,
        };
        let names: Vec<_> = header.headers.keys().cloned().collect();
        for name in names {
            header.remove_header(&name);
        }
        header.set_method(request.method.clone());
        header.set_raw_path(request.target().as_bytes())?;
        let fields = outgoing(request, admitted.permit(), body, &request_id, assertion, traceparent);
        let fields =
            fields.map_err(|error| internal(format!("cannot tell the backend the caller: {error}")))?;
        for (name, value) in fields {
            // HTTP/2 has no transfer codings (RFC 9113, section 8.2.2): DATA frames delimit the body.
            if !(over_http2 && name == ::http::header::TRANSFER_ENCODING) {
                header.append_header(name, value)?;
            }
        }
        self.timing.asks(Instant::now());
        Ok(())
    }

    /// The gate's signed assertion about the caller, where the service is to have one and there is a caller. The clock is
    /// read here: the body may have taken its time since the decision.
    fn assertion(&self) -> Result<Option<HeaderValue>> {
        let permit = self.permit()?;
        let service = &permit.call().method.service;
        let (true, Some(caller)) = (service.forwarding.assertion, permit.caller()) else { return Ok(None) };
        let assertions = self.live.assertions().ok_or_else(|| internal("no key signs assertions"))?;
        let signed = assertions.about(caller, &service.name, clock::now());
        signed.map(Some).map_err(|error| internal(format!("cannot sign an assertion: {error}")))
    }

    fn permit(&self) -> Result<&Permit> {
        self.forwarding().map(|forwarding| forwarding.admitted.permit()).ok_or_else(no_permit)
    }

    /// Puts the judged body in place of what Pingora has read of the client's, or lets it pass within its bounds.
    pub(super) fn send_body(&mut self, chunk: &mut Option<Bytes>, end_of_stream: bool) -> Result<()> {
        let limit = self.engine().limits().body.stream;
        let forwarding = self.forwarding_mut().ok_or_else(no_permit)?;
        let Some(attempted) = &mut forwarding.attempt else { return Err(no_permit()) };
        attempted.body_begun = true;
        if let JudgedBody::Held(judged) = forwarding.admitted.body() {
            // The judged bytes are sent, once, whatever Pingora's buffer holds.
            let first = !std::mem::replace(&mut attempted.body_sent, true);
            *chunk = (first && !judged.is_empty()).then(|| judged.clone());
            return Ok(());
        }
        attempted.passed += chunk.as_ref().map_or(0, |bytes| bytes.len() as u64);
        let denial = if attempted.passed > limit {
            Denial::new(Reason::BodyTooLarge, "the body grew beyond its bound").told()
        } else if forwarding.body_until.is_some_and(|until| Instant::now() > until) {
            Denial::new(Reason::BodyTimeout, "the body did not end in time")
        } else {
            if end_of_stream {
                forwarding.body_whole.get_or_insert_with(Instant::now);
                forwarding.body_until = None;
                task::set_deadline(None);
            }
            return Ok(());
        };
        let status = denial.reason().entry().status;
        self.denial = Some(denial);
        Err(Error::explain(ErrorType::HTTPStatus(status), "the body is refused").into_down())
    }

    /// Judges the head of an answer, interim ones included, and removes the fields that end here.
    pub(super) fn judge_answer(&mut self, response: &mut ResponseHeader) -> Result<()> {
        let forwarding = self.forwarding_mut().ok_or_else(no_permit)?;
        let status = response.status.as_u16();
        let judged = response::judge(status, response.version, &response.headers);
        let judged = judged.and_then(|()| {
            forwarding.interim += usize::from(status < 200);
            if forwarding.interim > response::MAX_INTERIM {
                Err("too many interim answers, and no final one")
            } else {
                Ok(())
            }
        });
        judged.map_err(|why| Error::explain(ErrorType::InvalidHTTPHeader, why).into_up())?;
        for name in response::ending(&response.headers) {
            response.remove_header(&name);
        }
        // Two fields with the same length are one length.
        let mut lengths = response.headers.get_all(CONTENT_LENGTH).iter();
        if let (Some(length), Some(_)) = (lengths.next().cloned(), lengths.next()) {
            response.insert_header(CONTENT_LENGTH, length)?;
        }
        if status >= 200
            && let Some(attempted) = &mut forwarding.attempt
        {
            attempted.attempt.answered();
            self.head_came(Instant::now());
        }
        if status >= 200 {
            self.watch_answer(response);
        }
        Ok(())
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

    /// An answer without a length ends with its connection; one that was cut is not complete.
    pub(super) fn judge_answer_body(&mut self, ends: bool) -> Result<()> {
        let forwarding = self.forwarding_mut().ok_or_else(no_permit)?;
        if forwarding.deadline.as_ref().is_some_and(Deadline::has_passed) {
            return Err(Error::explain(ErrorType::ReadTimedout, "the answer was cut").into_up());
        }
        if ends {
            // The connection may serve the next exchange before this one is recorded.
            forwarding.deadline = None;
        }
        Ok(())
    }

    /// The answer goes to the client now.
    pub(super) fn pass_answer(&mut self, response: &mut ResponseHeader) -> Result<()> {
        if !response.status.is_informational() {
            // In place of the backend's own: this is the one that the audit log has.
            response.insert_header(REQUEST_ID, self.arrival.request_id.as_str())?;
        }
        if let Some(nonce) = self.next_nonce() {
            response.insert_header("dpop-nonce", nonce)?;
        }
        if self.has_cors() {
            self.tell_the_browser(response)?;
        }
        self.forwarding_mut().ok_or_else(no_permit)?.begun = response.status.as_u16();
        if response.status.as_u16() >= 200 {
            self.begin_answer();
        }
        Ok(())
    }

    /// Says which page may read the answer, in place of what the backend says of it.
    fn tell_the_browser(&self, response: &mut ResponseHeader) -> Result<()> {
        let of_the_backend = |name: &&HeaderName| name.as_str().starts_with("access-control-");
        let names: Vec<HeaderName> = response.headers.keys().filter(of_the_backend).cloned().collect();
        for name in names {
            response.remove_header(&name);
        }
        response.append_header(VARY, HeaderValue::from_static("Origin"))?;
        for (name, value) in self.cors_fields() {
            response.append_header(name, value)?;
        }
        Ok(())
    }

    /// The answer came, whatever its status.
    pub(super) fn note_success(&self) {
        if let Some(attempted) = self.forwarding().and_then(|forwarding| forwarding.attempt.as_ref()) {
            attempted.attempt.succeeded();
        }
    }

    /// No byte has gone out yet: another endpoint may be asked, once.
    pub(super) fn failed_to_connect(&mut self, error: &mut Error) {
        self.count_failure(UpstreamError::of_connect(error), Cut::No);
        let retry = self.is_first_attempt() && self.has_alternative();
        if retry {
            self.leave_out();
        } else {
            self.denial.get_or_insert_with(|| Denial::new(Reason::UpstreamUnavailable, error.to_string()));
        }
        error.set_retry(retry);
    }

    /// There was a connection. Decides whether the request is sent once more, and the denial if not.
    pub(super) fn failed_on_connection(&mut self, error: &mut Error, session: &Session) {
        let Some(forwarding) = self.forwarding().filter(|_| *error.esource() == ErrorSource::Upstream) else {
            error.set_retry(false);
            return;
        };
        let reused = forwarding.attempt.as_ref().is_some_and(|attempted| attempted.reused);
        let was_cut = forwarding.deadline.as_ref().is_some_and(Deadline::has_passed);
        let is_answered = session.response_written().is_some();
        let is_unsent = !is_answered && is_unsent(forwarding, error);
        let fault =
            if was_cut { UpstreamError::Timeout } else { UpstreamError::of(error, is_answered, reused) };
        let cut = match (was_cut, is_answered) {
            (false, _) => Cut::No,
            (true, false) => Cut::BeforeIt,
            (true, true) => Cut::WithinTheAnswer,
        };
        self.count_failure(fault, cut);
        // Pingora marks some errors as worth a retry on a reused connection only; this resolves the mark.
        error.retry.decide_reuse(reused);
        let may_repeat = is_unsent || self.changes_nothing() && error.retry();
        let can_repeat =
            self.is_first_attempt() && !was_cut && !is_answered && !session.as_ref().retry_buffer_truncated();
        // The same endpoint again only where it was not to blame: it declined, or it had closed an idle connection.
        let elsewhere = self.has_alternative();
        let retry =
            may_repeat && can_repeat && (elsewhere || !fault.is_held_against_the_endpoint() || !is_unsent);
        if retry && elsewhere && fault != UpstreamError::Stale {
            self.leave_out();
        }
        error.set_retry(retry);
        if retry {
            return;
        }
        if was_cut {
            let detail = "the exchange was not over within `timeouts.total`";
            self.denial.get_or_insert_with(|| Denial::new(Reason::UpstreamTimeout, detail));
        } else if is_unsent {
            self.denial.get_or_insert_with(|| Denial::new(Reason::UpstreamUnavailable, error.to_string()));
        }
    }

    /// Counts a failed attempt. An endpoint is left out for what it does, never for what a client can make of an exchange.
    fn count_failure(&mut self, fault: UpstreamError, cut: Cut) {
        if let Some(attempted) = self.forwarding_mut().and_then(|forwarding| forwarding.attempt.as_mut()) {
            attempted.fault = Some((fault.label(), Instant::now()));
        }
        let Some(forwarding) = self.forwarding() else { return };
        let Some(Attempted { attempt, .. }) = &forwarding.attempt else { return };
        let instruments = &self.engine().instruments().upstream;
        instruments.failed(attempt.upstream(), fault.label());
        let may_be_the_clients = match (cut, forwarding.body_whole) {
            // How fast an answer is read is up to the client.
            (Cut::WithinTheAnswer, _) => true,
            // A backend may wait for the rest of a body before it answers, and may give up.
            (_, None) => matches!(fault, UpstreamError::Timeout | UpstreamError::Invalid),
            // It had less time than it may take.
            (Cut::BeforeIt, Some(whole)) => whole.elapsed() < attempt.patience(),
            (Cut::No, Some(_)) => false,
        };
        if fault.is_held_against_the_endpoint() && !may_be_the_clients {
            let is_ejected = attempt.failed().is_some();
            instruments.endpoint_failed(attempt.upstream(), attempt.address(), is_ejected);
        }
    }

    fn count_overload(&self) {
        if let Ok(permit) = self.permit() {
            let upstream = permit.call().method.service.upstream.as_str();
            self.engine().instruments().upstream.overflowed(upstream);
        }
    }

    fn is_first_attempt(&self) -> bool {
        self.forwarding().is_some_and(|forwarding| forwarding.attempts == 1)
    }

    /// The endpoint of this attempt is not asked again.
    fn leave_out(&mut self) {
        if let Some(forwarding) = self.forwarding_mut() {
            forwarding.failed = forwarding.attempt.as_ref().map(|attempted| attempted.attempt.address());
        }
    }

    fn changes_nothing(&self) -> bool {
        let method = self.request.as_ref().map(|request| &request.method);
        method.is_some_and(|method| matches!(*method, ::http::Method::GET | ::http::Method::HEAD))
    }

    fn has_alternative(&self) -> bool {
        let Some(forwarding) = self.forwarding() else { return false };
        let Some(attempted) = &forwarding.attempt else { return false };
        let permit = forwarding.admitted.permit();
        self.live.upstreams().has_alternative(permit, attempted.attempt.address())
    }
}

/// Whether no backend can have acted on the request: the backend said so, or its head cannot have arrived whole.
/// Over HTTP/1, `request_body_filter` runs once the head is out.
fn is_unsent(forwarding: &ForwardingPhase, error: &Error) -> bool {
    let head_may_be_out =
        forwarding.attempt.as_ref().is_none_or(|attempted| attempted.over_http2 || attempted.body_begun);
    is_refused(error) || !head_may_be_out && *error.etype() == ErrorType::WriteError
}

/// Removes the fields that end here from trailers as well: a client may read them like the head.
pub(super) fn judge_trailers(trailers: &mut HeaderMap) {
    for name in response::ending(trailers) {
        trailers.remove(&name);
    }
}

/// Nothing goes upstream without a permit. A missing permit here is a bug of the gate.
pub(super) fn no_permit() -> Box<Error> {
    internal("no permit")
}

fn internal(why: impl Into<ImmutStr>) -> Box<Error> {
    Error::explain(ErrorType::InternalError, why).into_in()
}
