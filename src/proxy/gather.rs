//! The body of an HTTP/2 request in larger pieces: what has come is passed on at once.
//!
//! A frame holds 16 KiB at the most (RFC 9113, section 4.2), and Pingora writes one after the other to the backend. Over
//! HTTP/1 it reads 64 KiB at a time. Where several frames have come already, they make one write as well.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::HttpSession;
use pingora::{Error, ErrorType, Result};

/// A piece is not made longer than this and a frame: what Pingora reads at once over HTTP/1.
const MOST: usize = 64 * 1024;

/// Adds to a piece of a body what else has come. It waits for nothing.
///
/// The beginning of a body is left as it is: Pingora keeps 64 KiB for a second attempt, and what is read here would be
/// missing there. Beyond that the request is not sent again.
///
/// # Errors
/// Where the client has broken the body off: what was read of it must not be taken for all of it.
pub(super) async fn gather(session: &mut ServerSession, piece: &mut Option<Bytes>) -> Result<()> {
    if !session.retry_buffer_truncated() {
        return Ok(());
    }
    let (ServerSession::H2(session), Some(first)) = (session, piece.as_mut()) else { return Ok(()) };
    poll_fn(|context| Poll::Ready(add(session, first, context))).await
}

fn add(session: &mut HttpSession, piece: &mut Bytes, context: &mut Context<'_>) -> Result<()> {
    let mut whole = BytesMut::new();
    while piece.len().max(whole.len()) < MOST {
        match session.poll_read_body_bytes(context) {
            Poll::Ready(Some(Ok(more))) => {
                if whole.is_empty() {
                    whole.reserve(MOST + more.len());
                    whole.extend_from_slice(piece);
                }
                whole.extend_from_slice(&more);
            }
            Poll::Ready(Some(Err(error))) => {
                let broken = Error::because(ErrorType::ReadError, "while reading a body", error);
                return Err(broken.into_down());
            }
            // Its end is read again, and then it is told.
            Poll::Ready(None) | Poll::Pending => break,
        }
    }
    if !whole.is_empty() {
        *piece = whole.freeze();
    }
    Ok(())
}
