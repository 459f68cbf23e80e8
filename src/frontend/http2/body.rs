//! The body of an HTTP/2 request, read before anything of the request is sent on.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::stream::Http2Stream;
use crate::engine::{BodySource, LARGE_BODY, MessagePlan};
use crate::grpc::{self, MessageEncoding, MessagePrefix, PREFIX};
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

impl Http2Body<'_> {
    async fn read_message(
        &mut self,
        plan: MessagePlan,
        encoding: MessageEncoding,
        limit: u64,
        mut hold: impl FnMut(u64) -> Result<(), Denial> + Send,
    ) -> Result<Bytes, Denial> {
        let mut collected = BytesMut::new();
        let mut whole = None;
        while let Some(piece) = self.stream.body.data().await {
            let piece = piece.map_err(|error| unread(&error))?;
            collected.extend_from_slice(&piece);
            // An error means that the stream is over, which the next piece tells.
            let _ = self.stream.body.flow_control().release_capacity(piece.len());
            if whole.is_none()
                && let Some(prefix) = collected.first_chunk::<PREFIX>()
            {
                let prefix = MessagePrefix::read(*prefix, encoding, limit)?;
                let held = prefix.held(limit);
                if held > LARGE_BODY {
                    hold(held)?;
                }
                whole = Some(prefix.whole());
            }
            match whole {
                Some(whole) if plan == MessagePlan::First && collected.len() >= whole => {
                    return Ok(collected.freeze());
                }
                Some(whole) if plan == MessagePlan::Whole && collected.len() > whole => {
                    return Err(grpc::refused("the method takes one message, and more was sent"));
                }
                _ => {}
            }
        }
        if !self.stream.body.is_end_stream() {
            return Err(Denial::new(Reason::RequestMalformed, "the request has trailers").told());
        }
        Ok(collected.freeze())
    }
}

/// The denial of a request whose body breaks off.
fn unread(error: &h2::Error) -> Denial {
    let reason = if error.is_library() { Reason::RequestMalformed } else { Reason::ClientClosed };
    Denial::new(reason, format!("the body could not be read: {error}"))
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
                let piece = piece.map_err(|error| unread(&error))?;
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

    async fn first_message(
        &mut self,
        plan: MessagePlan,
        encoding: MessageEncoding,
        limit: u64,
        hold: impl FnMut(u64) -> Result<(), Denial> + Send,
    ) -> Result<Bytes, Denial> {
        let timeout = self.timeout;
        let read = self.read_message(plan, encoding, limit, hold);
        let late = |_| Denial::new(Reason::MessageTimeout, "the first message did not come in time");
        tokio::time::timeout(timeout, read).await.map_err(late)?
    }

    /// The pieces of a body over HTTP/2 are well framed, or its library refuses them.
    async fn begin(&mut self) -> Result<(), Denial> {
        Ok(())
    }
}
