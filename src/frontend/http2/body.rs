//! The body of an HTTP/2 request, read before anything of the request is sent on.

use std::time::Duration;

use bytes::Bytes;

use super::stream::Http2Stream;
use crate::engine::BodySource;
use crate::listener::ConnectionSlot;
use crate::reason::{Denial, Reason};

/// The DATA frames of a stream.
pub(super) struct Http2Body<'s> {
    stream: &'s mut Http2Stream,
    slot: &'s ConnectionSlot,
    timeout: Duration,
}

impl<'s> Http2Body<'s> {
    pub(super) fn new(stream: &'s mut Http2Stream, slot: &'s ConnectionSlot, timeout: Duration) -> Self {
        Self { stream, slot, timeout }
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
        let collect = async {
            let mut collected: Vec<u8> = Vec::new();
            while let Some(piece) = self.stream.body.data().await {
                let piece = piece.map_err(|error| {
                    let reason =
                        if error.is_library() { Reason::RequestMalformed } else { Reason::ClientClosed };
                    Denial::new(reason, format!("the body could not be read: {error}"))
                })?;
                collected.extend_from_slice(&piece);
                if collected.len() as u64 > limit {
                    return Err(overflow());
                }
                // An error means that the stream is over, which the next piece tells.
                let _ = self.stream.body.flow_control().release_capacity(piece.len());
            }
            Ok(Bytes::from(collected))
        };
        let collected = tokio::time::timeout(self.timeout, collect)
            .await
            .map_err(|_| Denial::new(Reason::BodyTimeout, "the body did not end in time"))??;
        if !self.stream.body.is_end_stream() {
            // Trailers: no method's body rule speaks of them.
            return Err(Denial::new(Reason::RequestMalformed, "the request has trailers").told());
        }
        Ok(collected)
    }

    /// The pieces of a body over HTTP/2 are well framed, or its library refuses them.
    async fn begin(&mut self) -> Result<(), Denial> {
        Ok(())
    }
}
