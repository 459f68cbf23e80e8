//! The answers that the gate writes itself: refusals, and the keys that verify its assertions.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use super::intake::drain;
use super::{Exchange, LINGER, Proxy};
use crate::assertion;
use crate::reason::{Denial, Reason};
use crate::respond;

impl Exchange {
    /// Whether the request is for the keys that verify assertions. They are public: no credential is asked for
    /// or looked at, and no host or query makes a difference.
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
        let jwks = exchange.live.assertions().map(|assertions| assertions.jwks()).unwrap_or_default();
        let headers = vec![
            (header::CONTENT_TYPE, HeaderValue::from_static(assertion::MEDIA_TYPE)),
            (header::CONTENT_LENGTH, HeaderValue::from(jwks.len())),
            (header::CACHE_CONTROL, HeaderValue::from_static(assertion::CACHE_CONTROL)),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        ];
        exchange.is_published = true;
        if let Err(error) = self.write(session, exchange, StatusCode::OK, headers, jwks).await {
            tracing::debug!(%error, "the keys could not be sent");
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
        let mut header = ResponseHeader::build(status, Some(headers.len()))?;
        for (name, value) in headers {
            header.append_header(name, value)?;
        }
        exchange.tell_nonce(&mut header)?;
        let is_head = session.req_header().method == http::Method::HEAD;
        // An unread body would be taken for the next request: the connection ends with this answer.
        let unread = !session.is_body_done();
        let ends = unread || exchange.is_on_a_refused_connection() || self.0.draining.load(Ordering::Acquire);
        if ends && !session.is_http2() {
            session.set_keepalive(None);
        }
        session.write_response_header(Box::new(header), is_head).await?;
        if !is_head {
            // Such an answer fits into every buffer that there is. Over HTTP/2 a client may leave no window for it, and be
            // held for nothing.
            let written = session.write_response_body(Some(body), true);
            match tokio::time::timeout(LINGER, written).await {
                Ok(written) => written?,
                Err(_) => {
                    return Error::e_explain(ErrorType::WriteTimedout, "the client does not take the answer");
                }
            }
        }
        // A client that is cut off while it sends may never read its answer: not over HTTP/1 (RFC 9112, section 9.6), and
        // some not over HTTP/2, where the stream would be reset.
        if unread {
            drain(session).await;
        }
        Ok(())
    }
}
