//! The content coding of a request's body (RFC 9110, section 8.4): which one it names, and gzip undone within a bound.
//!
//! A body is judged without its coding, and sent without it: a backend that undoes codings in its own way never sees
//! one. So only what all readers undo alike is undone: one gzip member (RFC 1952, section 2.2) and nothing behind it.

use std::io::Read;

use flate2::bufread::GzDecoder;

use super::headers::Headers;

/// The coding of a body that can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentCoding {
    /// None: the bytes are the content.
    Identity,
    /// `gzip`, or `x-gzip`, which means the same (RFC 9110, section 8.4.1.3).
    Gzip,
}

/// Why a coding could not be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InflateFault {
    /// The content is longer than the bound.
    #[error("the body inflates to more than its bound")]
    TooLong,
    /// The bytes are not what `content-encoding` says, or end too early.
    #[error("the body's `content-encoding` says gzip, and it is not one whole gzip member")]
    Broken,
    /// Some readers read on, others stop.
    #[error("the body holds more than one gzip member")]
    Trailing,
}

impl ContentCoding {
    /// The coding that a head names. `None` for every other coding, and for a list of them.
    pub fn of(headers: &Headers) -> Option<Self> {
        let mut coding = Self::Identity;
        for value in headers.all("content-encoding") {
            let name = value.as_bytes().trim_ascii();
            coding = if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") {
                Self::Gzip
            } else if name.is_empty() || name.eq_ignore_ascii_case(b"identity") {
                Self::Identity
            } else {
                return None;
            };
        }
        Some(coding)
    }
}

/// The content of a gzip body, if it has at most `limit` bytes. More are never held, whatever the body would inflate to.
///
/// # Errors
/// Where it is longer, or anything but one whole gzip member.
pub fn inflate(body: &[u8], limit: u64) -> Result<Vec<u8>, InflateFault> {
    let mut decoder = GzDecoder::new(body);
    let mut content = Vec::new();
    let read = decoder.by_ref().take(limit.saturating_add(1)).read_to_end(&mut content);
    if content.len() as u64 > limit {
        return Err(InflateFault::TooLong);
    }
    read.map_err(|_| InflateFault::Broken)?;
    if decoder.into_inner().is_empty() { Ok(content) } else { Err(InflateFault::Trailing) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn coding(values: &[&str]) -> Option<ContentCoding> {
        let mut headers = Headers::default();
        for value in values {
            headers.push(HeaderName::from_static("content-encoding"), HeaderValue::from_str(value).unwrap());
        }
        ContentCoding::of(&headers)
    }

    #[test]
    fn a_coding_is_named_in_any_case_and_once() {
        assert_eq!(coding(&[]), Some(ContentCoding::Identity));
        for name in ["identity", "Identity", ""] {
            assert_eq!(coding(&[name]), Some(ContentCoding::Identity), "{name}");
        }
        for name in ["gzip", "GZIP", "x-gzip"] {
            assert_eq!(coding(&[name]), Some(ContentCoding::Gzip), "{name}");
        }
        for name in
            ["deflate", "br", "zstd", "compress", "gzip, gzip", "gzip, identity", "gzip;q=1", "gzi", "*"]
        {
            assert_eq!(coding(&[name]), None, "{name}");
        }
    }

    #[test]
    fn one_member_is_inflated_up_to_its_bound() {
        for content in [&b""[..], b"{}", b"{\"a\":1}", &[b' '; 1000]] {
            let body = gzip(content);
            let length = content.len() as u64;
            assert_eq!(inflate(&body, length).unwrap(), content);
            assert_eq!(inflate(&body, length + 1).unwrap(), content);
            if length > 0 {
                assert_eq!(inflate(&body, length - 1), Err(InflateFault::TooLong));
            }
        }
    }

    #[test]
    fn a_bomb_is_given_up_at_the_bound() {
        let bomb = gzip(&vec![0; 50_000_000]);
        assert!(bomb.len() < 100_000);
        assert_eq!(inflate(&bomb, 1000), Err(InflateFault::TooLong));
    }

    #[test]
    fn anything_but_one_whole_member_is_refused() {
        let body = gzip(b"{}");
        for length in 0..body.len() {
            assert_eq!(inflate(&body[..length], 100), Err(InflateFault::Broken), "{length}");
        }
        let twice = [body.clone(), body.clone()].concat();
        assert_eq!(inflate(&twice, 100), Err(InflateFault::Trailing));
        for behind in [&b"\0"[..], b"x", b"\r\n"] {
            assert_eq!(inflate(&[&body, behind].concat(), 100), Err(InflateFault::Trailing), "{behind:?}");
        }
        for at in [0, 1, 2, body.len() - 1, body.len() - 5] {
            let mut broken = body.clone();
            broken[at] ^= 1;
            assert_eq!(inflate(&broken, 100), Err(InflateFault::Broken), "{at}");
        }
        assert_eq!(inflate(b"{}", 100), Err(InflateFault::Broken));
    }
}
