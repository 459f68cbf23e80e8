//! The messages of an answer of gRPC, taken out of its frames (gRPC over HTTP/2, "Length-Prefixed-Message").

use bytes::{Buf, Bytes, BytesMut};

use super::problem::AnswerProblem;

/// Bytes in front of a message: a flag, and its length in four bytes.
pub(super) const HEADER: usize = 5;

/// What has come of a stream of messages.
#[derive(Debug)]
pub(super) struct FrameReader {
    held: BytesMut,
    /// Most bytes of one message.
    limit: usize,
}

impl FrameReader {
    pub(super) fn new(limit: usize) -> Self {
        Self { held: BytesMut::new(), limit }
    }

    pub(super) fn push(&mut self, data: &[u8]) {
        self.held.extend_from_slice(data);
    }

    /// The next message, once it is whole.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, AnswerProblem> {
        let Some((header, _)) = self.held.split_first_chunk::<HEADER>() else { return Ok(None) };
        let [flag, length @ ..] = *header;
        let length = u32::from_be_bytes(length);
        if flag != 0 {
            // The gate said that it takes no compression.
            return Err(AnswerProblem::Frame("a message is compressed, which was not asked for"));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > self.limit {
            return Err(AnswerProblem::TooLarge(self.limit));
        }
        if self.held.len() < HEADER + length {
            return Ok(None);
        }
        self.held.advance(HEADER);
        Ok(Some(self.held.split_to(length).freeze()))
    }

    /// Whether nothing is left of a message that has not come whole.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_whole_whatever_the_pieces() {
        let bytes = [0, 0, 0, 0, 2, b'a', b'b', 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, b'c'];
        for size in 1..bytes.len() {
            let mut reader = FrameReader::new(2);
            let mut messages = Vec::new();
            for piece in bytes.chunks(size) {
                reader.push(piece);
                while let Some(message) = reader.next().unwrap() {
                    messages.push(message);
                }
            }
            assert_eq!(messages, ["ab", "", "c"]);
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn a_message_that_is_compressed_or_too_large_is_not_read() {
        for bytes in [[1, 0, 0, 0, 0], [0, 0, 0, 0, 3], [0, 255, 255, 255, 255], [2, 0, 0, 0, 0]] {
            let mut reader = FrameReader::new(2);
            reader.push(&bytes);
            assert!(reader.next().is_err(), "{bytes:?}");
        }
    }
}
