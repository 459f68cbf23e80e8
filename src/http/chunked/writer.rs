//! Writes chunks (RFC 9112, section 7.1), without extensions and trailers.

use bytes::{BufMut, BytesMut};

/// What ends a chunked body.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The most digits of a size.
const DIGITS: usize = usize::BITS as usize / 4;

/// Appends one chunk. Without data it appends nothing, because an empty chunk ends the body.
pub fn put_chunk(out: &mut BytesMut, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    out.reserve(data.len() + DIGITS + 4);
    put_size(out, data.len());
    out.put_slice(b"\r\n");
    out.put_slice(data);
    out.put_slice(b"\r\n");
}

fn put_size(out: &mut BytesMut, size: usize) {
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4);
    for place in (0..digits).rev() {
        let digit =
            u32::try_from(size >> (place * 4) & 0xf).ok().and_then(|digit| char::from_digit(digit, 16));
        out.put_u8(digit.map_or(b'0', |digit| u8::try_from(digit).unwrap_or(b'0')));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::chunked::Chunked;

    #[test]
    fn what_is_written_is_read_as_it_was() {
        for length in [0, 1, 9, 10, 15, 16, 17, 255, 256, 4095, 4096, 65_535, 65_536, 1 << 20] {
            let data = vec![b'a'; length];
            let mut out = BytesMut::new();
            put_chunk(&mut out, &data);
            put_chunk(&mut out, b"b");
            out.extend_from_slice(LAST_CHUNK);
            let (mut body, mut read) = (Chunked::new(), Vec::new());
            assert_eq!(body.decode(&out, &mut read), Ok(out.len()), "{length}");
            assert!(body.is_done() && read == [&data[..], b"b"].concat(), "{length}");
            assert!(length == 0 || out.starts_with(format!("{length:x}\r\n").as_bytes()), "{length}");
        }
    }
}
