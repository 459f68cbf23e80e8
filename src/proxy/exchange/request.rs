//! The head of a request to a backend that speaks HTTP/1.

use bytes::{BufMut, BytesMut};
use http::header::TRANSFER_ENCODING;

use crate::http::Request;
use crate::upstream::rewrite::OutgoingFields;

/// The head of the judged request, with room for `held` bytes behind it, and whether its body is sent in chunks.
pub(super) fn request_head(request: &Request, fields: &OutgoingFields, held: usize) -> (BytesMut, bool) {
    let target = request.target();
    let length: usize = fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let mut head = BytesMut::with_capacity(request.method.as_str().len() + target.len() + length + 16 + held);
    for piece in [request.method.as_str(), " ", &target, " HTTP/1.1\r\n"] {
        head.put_slice(piece.as_bytes());
    }
    let mut has_chunks = false;
    for (name, value) in fields {
        has_chunks |= *name == TRANSFER_ENCODING;
        head.put_slice(name.as_str().as_bytes());
        head.put_slice(b": ");
        head.put_slice(value.as_bytes());
        head.put_slice(b"\r\n");
    }
    head.put_slice(b"\r\n");
    (head, has_chunks)
}
