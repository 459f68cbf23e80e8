//! The body of an HTTP/2 request, read before anything of the request is sent on.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use pingora::protocols::http::v2::server::HttpSession;

use crate::engine::BodySource;
use crate::listener::ConnectionSlot;
use crate::reason::{Denial, Reason};

/// The DATA frames of a stream.
pub(super) struct Http2Body<'s> {
    session: &'s mut HttpSession,
    slot: &'s ConnectionSlot,
    timeout: Duration,
}

impl<'s> Http2Body<'s> {
    pub(super) fn new(session: &'s mut HttpSession, slot: &'s ConnectionSlot, timeout: Duration) -> Self {
        Self { session, slot, timeout }
    }
}

impl BodySource for Http2Body<'_> {
    fn permitted(&mut self) {
        self.slot.allowed();
    }

    async fn collect(
        &mut self,
        limit: u64,
        overflow: impl Fn() -> Denial + Send + Sync,
    ) -> Result<Bytes, Denial> {
        // Pingora sends a body that was read before it chose an upstream only from this buffer, which drops all that it
        // has beyond 64 KiB. `proxy` puts the judged bytes in its place, so the first piece is enough to stand for it.
        self.session.enable_retry_buffering();
        let collect = async {
            let mut collected: Vec<u8> = Vec::new();
            loop {
                let read = if collected.is_empty() {
                    self.session.read_body_bytes().await.map_err(|error| {
                        let cause = error.cause.as_ref().and_then(|cause| cause.downcast_ref::<h2::Error>());
                        (cause.is_some_and(h2::Error::is_library), error.to_string())
                    })
                } else {
                    let read = poll_fn(|context| self.session.poll_read_body_bytes(context)).await;
                    read.transpose().map_err(|error| (error.is_library(), error.to_string()))
                };
                match read {
                    Ok(None) => return Ok(Bytes::from(collected)),
                    Ok(Some(piece)) => collected.extend_from_slice(&piece),
                    Err((breaks_a_rule, error)) => {
                        let reason =
                            if breaks_a_rule { Reason::RequestMalformed } else { Reason::ClientClosed };
                        return Err(Denial::new(reason, format!("the body could not be read: {error}")));
                    }
                }
                if collected.len() as u64 > limit {
                    return Err(overflow());
                }
            }
        };
        let collected = tokio::time::timeout(self.timeout, collect)
            .await
            .map_err(|_| Denial::new(Reason::BodyTimeout, "the body did not end in time"))??;
        if !self.session.is_body_done() {
            // Trailers: no method's body rule speaks of them, and Pingora would send the body again.
            return Err(Denial::new(Reason::RequestMalformed, "the request has trailers").told());
        }
        Ok(collected)
    }

    /// The pieces of a body over HTTP/2 are well framed, or its library refuses them.
    async fn begin(&mut self) -> Result<(), Denial> {
        Ok(())
    }
}
