//! Writes an answer for a client of HTTP/1. What it is made of came from a backend, in whatever framing; what leaves has one
//! framing, the gate's own.

use bytes::{BufMut, BytesMut};

use super::{AnswerBody, PassedHead};
use crate::http::chunked::{LAST_CHUNK, put_chunk};

/// Room for the status line and the fields that the gate adds.
const OWN_FIELDS: usize = 256;
/// The most room for a body that is made with the head. A longer one comes in pieces.
const LARGEST_COPY: usize = 16 * 1024;

/// What the connection of a client is like.
#[derive(Clone, Copy, Debug)]
pub struct ClientConnection<'d> {
    /// Whether the client speaks HTTP/1.0.
    pub is_http10: bool,
    /// Whether the connection goes on after the answer, as far as the framing allows.
    pub persists: bool,
    /// The date, as a field says it.
    pub date: &'d [u8],
}

/// An answer that is written.
#[derive(Debug, Default)]
pub struct AnswerWriter {
    /// What is to be sent.
    pub out: BytesMut,
    has_chunks: bool,
}

impl AnswerWriter {
    /// Writes a head. Returns whether the connection goes on: an answer without a length to a client of HTTP/1.0 ends with its
    /// connection.
    pub fn head(&mut self, head: &PassedHead<'_>, connection: ClientConnection<'_>) -> bool {
        let ClientConnection { is_http10, persists, date } = connection;
        let length: usize = head.fields.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        let body = match head.body {
            AnswerBody::Length(length) => usize::try_from(length).unwrap_or(usize::MAX).min(LARGEST_COPY),
            _ => 0,
        };
        self.out.reserve(length + body + OWN_FIELDS);
        self.out.put_slice(b"HTTP/1.1 ");
        let digits = [head.status / 100, head.status / 10 % 10, head.status % 10];
        for digit in digits {
            self.out.put_u8(b'0' + u8::try_from(digit).unwrap_or_default());
        }
        self.out.put_u8(b' ');
        self.out.put_slice(head.phrase);
        self.out.put_slice(b"\r\n");
        for (name, value) in &head.fields {
            self.field(name, value);
        }
        for (name, value) in &head.added {
            self.field(name.as_str().as_bytes(), value.as_bytes());
        }
        let mut goes_on = persists;
        if !head.is_interim() {
            goes_on &= !is_http10 || head.field("content-length").is_some();
            self.field(b"Date", date);
            self.field(b"Connection", if goes_on { b"keep-alive" } else { b"close" });
            // A client of HTTP/1.0 knows no chunks (RFC 9112, section 6.1).
            self.has_chunks = !is_http10 && matches!(head.body, AnswerBody::Chunked | AnswerBody::ToTheEnd);
            if self.has_chunks || head.is_chunked && !is_http10 {
                self.field(b"Transfer-Encoding", b"chunked");
            }
        }
        self.out.put_slice(b"\r\n");
        goes_on
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        for piece in [name, b": ", value, b"\r\n"] {
            self.out.extend_from_slice(piece);
        }
    }

    /// Writes the next data of the body.
    pub fn data(&mut self, data: &[u8]) {
        if self.has_chunks {
            put_chunk(&mut self.out, data);
        } else {
            self.out.extend_from_slice(data);
        }
    }

    /// Writes the end of the body.
    pub fn end(&mut self) {
        if self.has_chunks {
            self.out.extend_from_slice(LAST_CHUNK);
        }
    }
}
