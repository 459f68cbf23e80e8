//! The answers that the gate writes itself: refusals, and the keys that verify its assertions.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::protocols::http::v2::server::HttpSession;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use super::intake::drain;
use super::{Exchange, LINGER, Proxy};
use crate::assertion;
use crate::reason::{Denial, Reason};
use crate::respond;

impl Exchange {
    /// Whether the request is for the keys that verify assertions. They are public: no credential is needed or looked
    /// at, and host and query make no difference.
    ///
    /// # Errors
    /// 405 for any method but GET and HEAD. Nothing under that path is ever forwarded.
    pub(super) fn asks_for_keys(&self) -> Result<bool, Denial> {
        let (Some(request), Some(assertions)) = (&self.request, self.live.assertions()) else {
            return Ok(false);
        };
        if !assertions.are_published_at(&request.path) {
            return Ok(false);
        }
        if matches!(request.method, http::Method::GET | http::Method::HEAD) {
            return Ok(true);
        }
        let denial =
            Denial::new(Reason::HttpMethodNotAllowed, "`assertion.jwks_path` is read with GET or HEAD");
        Err(denial.allow("GET, HEAD"))
    }
}

impl Proxy {
    /// Writes the answer to a refused request.
    pub(super) async fn refuse(
        &self,
        session: &mut Session,
        exchange: &Exchange,
        denial: &Denial,
    ) -> Result<()> {
        let answer = respond::answer(denial, &exchange.arrival.request_id);
        self.write(session, exchange, answer.status, answer.headers, answer.body).await
    }

    /// Writes the keys that verify assertions.
    pub(super) async fn publish_keys(&self, session: &mut Session, exchange: &mut Exchange) {
        let (headers, jwks) = published(exchange);
        if let Err(error) = self.write(session, exchange, StatusCode::OK, headers, jwks).await {
            tracing::debug!(%error, "cannot send the keys");
        }
    }

    async fn write(
        &self,
        session: &mut Session,
        exchange: &Exchange,
        status: StatusCode,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: Bytes,
    ) -> Result<()> {
        let header = head(exchange, status, headers)?;
        let is_head = session.req_header().method == http::Method::HEAD;
        // An unread body would be taken for the next request: the connection ends with this answer.
        let unread = !session.is_body_done();
        let ends = unread || exchange.is_on_a_refused_connection() || self.0.draining.load(Ordering::Acquire);
        if ends && !session.is_http2() {
            session.set_keepalive(None);
        }
        session.write_response_header(Box::new(header), is_head).await?;
        if !is_head {
            // Such an answer fits into every buffer. Over HTTP/2 a client may give no window for it; this must not hold
            // the gate.
            let written = session.write_response_body(Some(body), true);
            match tokio::time::timeout(LINGER, written).await {
                Ok(written) => written?,
                Err(_) => {
                    return Error::e_explain(ErrorType::WriteTimedout, "the client does not take the answer");
                }
            }
        }
        // A client that is cut off while it sends may never read its answer (RFC 9112, section 9.6). Over HTTP/2 the
        // stream is reset with NO_ERROR, and the answer stands (RFC 9113, section 8.1).
        if unread && !session.is_http2() {
            drain(session).await;
        }
        Ok(())
    }
}

/// Answers to HTTP/2 requests that do not get as far as Pingora's own session state.
impl Proxy {
    /// Writes the answer to a refused request. Unless `patient`, it does not wait for a window.
    ///
    /// # Errors
    /// Where the client does not take it: the stream is reset then, and counts among the resets that its connection may have.
    pub(super) async fn refuse_http2(
        &self,
        session: &mut HttpSession,
        exchange: &Exchange,
        denial: &Denial,
        patient: bool,
    ) -> Result<()> {
        let answer = respond::answer(denial, &exchange.arrival.request_id);
        let head = head(exchange, answer.status, answer.headers)?;
        write_http2(session, head, answer.body, patient).await
    }

    /// Writes the keys that verify assertions.
    ///
    /// # Errors
    /// As [`refuse_http2`](Self::refuse_http2).
    pub(super) async fn publish_keys_http2(
        &self,
        session: &mut HttpSession,
        exchange: &mut Exchange,
        patient: bool,
    ) -> Result<()> {
        let (headers, jwks) = published(exchange);
        write_http2(session, head(exchange, StatusCode::OK, headers)?, jwks, patient).await
    }
}

/// Writes head and body of an answer, and ends the stream. The client may still be sending: dropping the session then
/// resets the stream with NO_ERROR (RFC 9113, section 8.1).
async fn write_http2(
    session: &mut HttpSession,
    head: ResponseHeader,
    body: Bytes,
    patient: bool,
) -> Result<()> {
    let is_head = session.req_header().method == http::Method::HEAD;
    session.write_response_header(Box::new(head), is_head)?;
    if is_head {
        return Ok(());
    }
    let written = session.write_body(body, true);
    let taken = if patient { tokio::time::timeout(LINGER, written).await.ok() } else { at_once(written) };
    taken.unwrap_or_else(|| {
        session.shutdown_with_reason(h2::Reason::ENHANCE_YOUR_CALM);
        Error::e_explain(ErrorType::WriteTimedout, "the client does not take the answer")
    })
}

/// The result of a future that does not wait; `None` where it does.
pub(super) fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

fn head(
    exchange: &Exchange,
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
) -> Result<ResponseHeader> {
    let mut header = ResponseHeader::build(status, Some(headers.len()))?;
    for (name, value) in headers {
        header.append_header(name, value)?;
    }
    exchange.tell_nonce(&mut header)?;
    Ok(header)
}

/// The keys that verify assertions, and what is said of them.
fn published(exchange: &mut Exchange) -> (Vec<(HeaderName, HeaderValue)>, Bytes) {
    exchange.is_published = true;
    let jwks = exchange.live.assertions().map(|assertions| assertions.jwks()).unwrap_or_default();
    let headers = vec![
        (header::CONTENT_TYPE, HeaderValue::from_static(assertion::MEDIA_TYPE)),
        (header::CONTENT_LENGTH, HeaderValue::from(jwks.len())),
        (header::CACHE_CONTROL, HeaderValue::from_static(assertion::CACHE_CONTROL)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, jwks)
}
