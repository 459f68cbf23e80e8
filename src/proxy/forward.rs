//! An exchange with a backend: where it goes, what is sent, and whether it may be sent again.
//!
//! A request is sent again once, and only where no backend can have acted on the first attempt: there was no connection, its
//! head did not leave the gate whole, or the backend said over HTTP/2 that it has not begun. What changes nothing (GET,
//! HEAD) may also be sent again when a kept connection turns out to be closed. A cancel may not: whether the backend closed
//! before it read the request or after, nothing on the wire tells.

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, ImmutStr, Result};

use super::Exchange;
use super::failure::{Cut, Fault, is_refused};
use crate::clock;
use crate::policy::Permit;
use crate::reason::{Denial, Reason};
use crate::upstream::rewrite::{OutgoingBody, outgoing};
use crate::upstream::{Deadline, is_used, response};

impl Exchange {
    /// Takes a place at the upstream, once for all attempts, and chooses an endpoint of it.
    pub(super) async fn choose(&mut self) -> Result<HttpPeer> {
        let permit = self.permit.as_ref().ok_or_else(no_permit)?;
        let upstreams = &self.live.upstreams;
        let chosen = match &self.place {
            Some(_) => Ok(()),
            None => upstreams.take_place(permit).await.map(|(place, until)| {
                self.place = Some(place);
                self.until = until;
            }),
        };
        match chosen.and_then(|()| upstreams.choose(permit, self.failed)) {
            Ok(attempt) => {
                let peer = attempt.peer();
                self.begin_attempt(attempt);
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

    /// The clock runs on the connection that was found. Pingora tells of HTTP/2 connections
    /// alone whether they were used before.
    pub(super) fn connected(&mut self, reused: bool, digest: Option<&Digest>) {
        self.reused = reused || digest.is_some_and(is_used);
        self.deadline = self.until.zip(digest).and_then(|(until, digest)| Deadline::on(digest, until));
    }

    /// Puts the judged request in place of what Pingora made of the client's.
    pub(super) fn rewrite(&mut self, header: &mut RequestHeader) -> Result<()> {
        self.body_sent = false;
        self.body_begun = false;
        self.passed = 0;
        let (Some(permit), Some(request)) = (&self.permit, &self.request) else {
            return Err(no_permit());
        };
        let body = self.body.as_ref().map_or(OutgoingBody::Passed, |bytes| OutgoingBody::Held(bytes.len()));
        let names: Vec<_> = header.headers.keys().cloned().collect();
        for name in names {
            header.remove_header(&name);
        }
        header.set_method(request.method.clone());
        header.set_raw_path(request.target().as_bytes())?;
        self.over_http2 = header.version == ::http::Version::HTTP_2;
        let assertion = self.assertion(permit)?;
        let fields = outgoing(request, permit, body, &self.arrival.request_id, assertion);
        let fields =
            fields.map_err(|error| internal(format!("the backend cannot be told who asks: {error}")))?;
        for (name, value) in fields {
            // HTTP/2 has no transfer codings (RFC 9113, section 8.2.2): DATA frames delimit.
            if !(self.over_http2 && name == ::http::header::TRANSFER_ENCODING) {
                header.append_header(name, value)?;
            }
        }
        Ok(())
    }

    /// The gate's signed word about the caller, where the service is to have it and there is one. The clock is read here:
    /// the body may have taken its time since the decision.
    fn assertion(&self, permit: &Permit) -> Result<Option<HeaderValue>> {
        let service = &permit.call().method.service;
        let (true, Some(caller)) = (service.forwarding.assertion, permit.caller()) else { return Ok(None) };
        let assertions = self.live.assertions().ok_or_else(|| internal("nothing signs assertions"))?;
        let signed = assertions.about(caller, &service.name, clock::now());
        signed.map(Some).map_err(|error| internal(format!("an assertion cannot be signed: {error}")))
    }

    /// Judges the head of an answer, interim ones included, and takes out what ends here.
    pub(super) fn judge_answer(&mut self, response: &mut ResponseHeader) -> Result<()> {
        let status = response.status.as_u16();
        let judged = response::judge(status, response.version, &response.headers);
        let judged = judged.and_then(|()| {
            self.interim += usize::from(status < 200);
            if self.interim > response::MAX_INTERIM {
                Err("the answer does not come, only interim ones")
            } else {
                Ok(())
            }
        });
        judged.map_err(|why| Error::explain(ErrorType::InvalidHTTPHeader, why).into_up())?;
        for name in response::ending(&response.headers) {
            response.remove_header(&name);
        }
        // The same length twice is one length.
        let mut lengths = response.headers.get_all(CONTENT_LENGTH).iter();
        if let (Some(length), Some(_)) = (lengths.next().cloned(), lengths.next()) {
            response.insert_header(CONTENT_LENGTH, length)?;
        }
        if status >= 200 {
            self.note_answer();
        }
        Ok(())
    }

    /// Takes out of the trailers what ends here: a client may read them like the head.
    pub(super) fn judge_trailers(trailers: &mut HeaderMap) {
        for name in response::ending(trailers) {
            trailers.remove(&name);
        }
    }

    /// An answer without a length ends with its connection; one that was cut is not at its end.
    pub(super) fn judge_answer_body(&mut self, ends: bool) -> Result<()> {
        if self.deadline.as_ref().is_some_and(Deadline::has_passed) {
            return Err(Error::explain(ErrorType::ReadTimedout, "the answer was cut").into_up());
        }
        if ends {
            // The connection may serve the next one before the books of this one are closed.
            self.deadline = None;
        }
        Ok(())
    }

    /// No byte has gone out yet: another endpoint may be asked, once.
    pub(super) fn failed_to_connect(&mut self, error: &mut Error) {
        self.count_failure(Fault::of_connect(error), Cut::No);
        let retry = self.is_first_attempt() && self.has_alternative();
        if retry {
            self.failed = self.endpoint();
        } else {
            self.denial.get_or_insert_with(|| Denial::new(Reason::UpstreamUnavailable, error.to_string()));
        }
        error.set_retry(retry);
    }

    /// There was a connection. Decides whether the request is sent once more, and what it is called if not.
    pub(super) fn failed_on_connection(&mut self, error: &mut Error, session: &Session) {
        let reused = self.reused;
        if *error.esource() != ErrorSource::Upstream {
            error.set_retry(false);
            return;
        }
        let was_cut = self.deadline.as_ref().is_some_and(Deadline::has_passed);
        let is_answered = session.response_written().is_some();
        let is_unsent = !is_answered && self.is_unsent(error);
        let fault = if was_cut { Fault::Timeout } else { Fault::of(error, is_answered, reused) };
        let cut = match (was_cut, is_answered) {
            (false, _) => Cut::No,
            (true, false) => Cut::BeforeIt,
            (true, true) => Cut::WithinTheAnswer,
        };
        self.count_failure(fault, cut);
        error.retry.decide_reuse(reused);
        let may_repeat = is_unsent || self.changes_nothing() && error.retry();
        let can_repeat =
            self.is_first_attempt() && !was_cut && !is_answered && !session.as_ref().retry_buffer_truncated();
        // The same endpoint again, only where the fault was not its: it declined, or it had closed an idle connection.
        let elsewhere = self.has_alternative();
        let retry =
            may_repeat && can_repeat && (elsewhere || !fault.is_held_against_the_endpoint() || !is_unsent);
        if retry && elsewhere && fault != Fault::Stale {
            self.failed = self.endpoint();
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

    /// Whether no backend can have acted on the request: it said so, or its head cannot have been whole there. Over HTTP/1,
    /// what is written once the head is out comes by `request_body_filter`.
    fn is_unsent(&self, error: &Error) -> bool {
        is_refused(error) || !self.over_http2 && !self.body_begun && *error.etype() == ErrorType::WriteError
    }

    fn changes_nothing(&self) -> bool {
        let method = self.request.as_ref().map(|request| &request.method);
        method.is_some_and(|method| matches!(*method, ::http::Method::GET | ::http::Method::HEAD))
    }

    fn has_alternative(&self) -> bool {
        self.permit
            .as_ref()
            .zip(self.endpoint())
            .is_some_and(|(permit, failed)| self.live.upstreams.has_alternative(permit, failed))
    }
}

/// Nothing goes upstream without a permit; that one is missing here is a fault of ours.
fn no_permit() -> Box<Error> {
    internal("no permit")
}

fn internal(why: impl Into<ImmutStr>) -> Box<Error> {
    Error::explain(ErrorType::InternalError, why).into_in()
}
