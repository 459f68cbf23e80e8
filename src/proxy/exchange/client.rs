//! The client's side of an exchange: what the relay asks of a front end, whatever its protocol.

use std::task::{Context, Poll};

use http::HeaderMap;

use crate::http::answer::PassedHead;
use crate::reason::Denial;

/// What a client was sent of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SentAnswer {
    /// The status; 0 where no head has left, or an interim one alone.
    pub status: u16,
    /// Bytes of the body, without its coding.
    pub size: u64,
}

/// A client, for one exchange. What is put is written in order by [`poll_sent`](Self::poll_sent).
pub trait ClientSide {
    /// Reads on in the body that is passed on, and gives its data to `on_data`, without its coding. Ready with `true` once
    /// nothing of it follows.
    ///
    /// # Errors
    /// Where it breaks off, or is not well framed.
    fn poll_body(
        &mut self,
        context: &mut Context<'_>,
        on_data: &mut dyn FnMut(&[u8]),
    ) -> Poll<Result<bool, Denial>>;

    /// Ready once the client is known to be gone. Asked after the end of its body.
    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<Denial>;

    /// Puts a head, of an interim answer or of the answer.
    fn put_head(&mut self, head: &PassedHead<'_>);

    /// Puts the next data of the body.
    fn put_data(&mut self, data: &[u8]);

    /// Puts the fields that follow the body. The end comes next. A protocol without them drops them
    /// (RFC 9110, section 6.5.1).
    fn put_trailers(&mut self, fields: HeaderMap) {
        drop(fields);
    }

    /// Puts the end of the answer.
    fn put_end(&mut self);

    /// Whether the answer has begun, interim ones aside: no other can take its place.
    fn has_begun(&self) -> bool;

    /// Writes what was put. Ready once all of it is written. Until then, nothing more may be put.
    ///
    /// # Errors
    /// Where the client does not take it, or is gone.
    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Denial>>;

    /// What has been written of the answer.
    fn sent(&self) -> SentAnswer;
}
