//! The answer to a request that failed while Pingora forwarded it.

use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use super::failure::bad_chunk;
use crate::engine::Exchange;
use crate::listener::{LINGER, LINGER_BYTES};
use crate::reason::Denial;
use crate::respond;

/// Writes the answer to a request that failed.
pub(super) async fn refuse(session: &mut Session, exchange: &Exchange, denial: &Denial) -> Result<()> {
    let answer = respond::answer(denial, &exchange.arrival.request_id, exchange.next_nonce());
    let mut header = ResponseHeader::build(answer.status, Some(answer.headers.len()))?;
    for (name, value) in answer.headers.into_iter().chain(exchange.cors_fields()) {
        header.append_header(name, value)?;
    }
    let is_head = session.req_header().method == http::Method::HEAD;
    let is_unread = !session.is_body_done();
    session.write_response_header(Box::new(header), is_head).await?;
    if !is_head {
        // Such an answer fits into every buffer that there is. Over HTTP/2 a client may leave no window for it, and be held
        // for nothing.
        let written = session.write_response_body(Some(answer.body), true);
        match tokio::time::timeout(LINGER, written).await {
            Ok(written) => written?,
            Err(_) => {
                return Error::e_explain(ErrorType::WriteTimedout, "the client does not take the answer");
            }
        }
    }
    // A client that is cut off while it sends may never read its answer (RFC 9112, section 9.6). Over HTTP/2 the
    // stream is reset with NO_ERROR, and the answer stands (RFC 9113, section 8.1).
    if is_unread && !session.is_http2() {
        drain(session).await;
    }
    Ok(())
}

/// Reads on for a moment after the answer, so that a reset for unread bytes does not overtake it.
async fn drain(session: &mut Session) {
    let read = async {
        let mut seen = 0;
        let mut is_broken = false;
        while seen <= LINGER_BYTES {
            match session.read_request_body().await {
                Ok(Some(chunk)) => seen += chunk.len(),
                // Reported once. The connection drops the rest, which never ends well.
                Err(error) if !is_broken && bad_chunk(&error).is_some() => is_broken = true,
                Ok(None) | Err(_) => break,
            }
        }
    };
    // The connection is over, whether or not the client stops in time.
    let _ = tokio::time::timeout(LINGER, read).await;
}
