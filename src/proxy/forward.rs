//! An exchange that Pingora forwards: what it is told at each step. HTTP/2 is on one side of it at least.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};

use super::failure::{BrokenAttempt, BrokenKind, UpstreamError, is_refused};
use super::steps::is_about_pages;
use super::task;
use crate::decision::JudgedBody;
use crate::engine::{Exchange, ForwardingPhase};
use crate::reason::Denial;
use crate::respond::REQUEST_ID;
use crate::upstream::{Deadline, is_used, response};

impl Exchange {
    /// Chooses an endpoint, and gives what Pingora connects to.
    pub(super) async fn choose_peer(&mut self) -> Result<HttpPeer> {
        if let Err(denial) = self.choose().await {
            self.denial.get_or_insert(denial);
            return Err(Error::explain(ErrorType::ConnectNoRoute, "no endpoint").into_up());
        }
        let attempted = self.forwarding().and_then(|forwarding| forwarding.attempt.as_ref());
        attempted.map(|attempted| attempted.attempt.peer()).ok_or_else(no_permit)
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
        let fields = self.outgoing_fields().map_err(|denial| self.refused(denial))?;
        let forwarding = self.forwarding_mut().ok_or_else(no_permit)?;
        if let Some(attempted) = &mut forwarding.attempt {
            (attempted.body_sent, attempted.body_begun) = (false, false);
            attempted.over_http2 = over_http2;
        }
        let request = forwarding.admitted.request();
        let names: Vec<_> = header.headers.keys().cloned().collect();
        for name in names {
            header.remove_header(&name);
        }
        header.set_method(request.method.clone());
        header.set_raw_path(request.target().as_bytes())?;
        for (name, value) in fields {
            // HTTP/2 has no transfer codings (RFC 9113, section 8.2.2): DATA frames delimit the body.
            if !(over_http2 && name == ::http::header::TRANSFER_ENCODING) {
                header.append_header(name, value)?;
            }
        }
        Ok(())
    }

    /// Puts the judged body in place of what Pingora has read of the client's, or lets it pass within its bounds.
    pub(super) fn send_body(&mut self, chunk: &mut Option<Bytes>, end_of_stream: bool) -> Result<()> {
        let forwarding = self.forwarding_mut().ok_or_else(no_permit)?;
        let Some(attempted) = &mut forwarding.attempt else { return Err(no_permit()) };
        attempted.body_begun = true;
        if let JudgedBody::Held(judged) = forwarding.admitted.body() {
            // The judged bytes are sent, once, whatever Pingora's buffer holds.
            let first = !std::mem::replace(&mut attempted.body_sent, true);
            *chunk = (first && !judged.is_empty()).then(|| judged.clone());
            return Ok(());
        }
        let length = chunk.as_ref().map_or(0, Bytes::len);
        if let Err(denial) = self.passes(length, end_of_stream) {
            return Err(self.refused(denial));
        }
        if end_of_stream {
            task::set_deadline(None);
        }
        Ok(())
    }

    /// The gate's own denial, as an error for Pingora.
    fn refused(&mut self, denial: Denial) -> Box<Error> {
        let status = denial.reason().entry().status;
        self.denial = Some(denial);
        Error::explain(ErrorType::HTTPStatus(status), "the exchange is refused").into_down()
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
        if status >= 200 {
            let field = |name: &HeaderName| response.headers.get(name).and_then(|value| value.to_str().ok());
            self.final_head_came(status, field(&CONTENT_TYPE), field(&CONTENT_ENCODING));
        }
        Ok(())
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
        let status = response.status.as_u16();
        if self.has_cors() {
            let of_the_backend = |name: &&HeaderName| is_about_pages(name.as_str());
            let names: Vec<HeaderName> = response.headers.keys().filter(of_the_backend).cloned().collect();
            for name in names {
                response.remove_header(&name);
            }
        }
        if status >= 200 {
            response.remove_header(REQUEST_ID);
        }
        for (name, value) in self.added_fields(status) {
            response.append_header(name, value)?;
        }
        self.answer_passes(status);
        Ok(())
    }

    /// Pingora got no connection.
    pub(super) fn failed_at_connect(&mut self, error: &mut Error) {
        let retry = self.failed_to_connect(UpstreamError::of_connect(error), &error.to_string());
        error.set_retry(retry);
    }

    /// Pingora had a connection. Decides whether the request is sent once more, and the denial if not.
    pub(super) fn failed_in_exchange(&mut self, error: &mut Error, session: &Session) {
        let Some(forwarding) = self.forwarding().filter(|_| *error.esource() == ErrorSource::Upstream) else {
            error.set_retry(false);
            return;
        };
        let reused = forwarding.attempt.as_ref().is_some_and(|attempted| attempted.reused);
        let was_cut = forwarding.deadline.as_ref().is_some_and(Deadline::has_passed);
        let is_unsent = is_unsent(forwarding, error);
        // Pingora marks some errors as worth a retry on a reused connection only; this resolves the mark.
        error.retry.decide_reuse(reused);
        let broken = BrokenAttempt {
            kind: BrokenKind::of(error),
            is_unsent,
            is_answered: session.response_written().is_some(),
            was_cut,
            has_whole_request: !session.as_ref().retry_buffer_truncated(),
            is_worth_a_retry: error.retry(),
        };
        let retry = self.failed_on_connection(&broken, &error.to_string());
        error.set_retry(retry);
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

/// A missing permit is a bug of the gate.
pub(super) fn no_permit() -> Box<Error> {
    Error::explain(ErrorType::InternalError, "no permit").into_in()
}
