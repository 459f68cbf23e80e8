//! The head of a backend's answer, judged before a client sees it.
//!
//! Pingora has read the message: two lengths, a bad chunk or a line that is no field never come this far. What is left is
//! what it lets pass: heads without end, framing that a client may read in another way than the gate, and fields that speak
//! of the connection to the backend.

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, Version};

/// Bytes of names and values, at the most.
pub const MAX_BYTES: usize = 64 * 1024;
/// Fields, at the most.
pub const MAX_FIELDS: usize = 200;
/// Interim answers (1xx) before an answer, at the most.
pub const MAX_INTERIM: usize = 16;

/// Fields of one connection (RFC 9110, section 7.6.1). Pingora writes `Transfer-Encoding` anew.
const HOP_BY_HOP: [&str; 6] =
    ["connection", "keep-alive", "proxy-authenticate", "proxy-connection", "te", "upgrade"];

/// What is wrong with an answer's head, or nothing.
///
/// # Errors
/// In words for the audit log.
pub fn judge(status: u16, version: Version, headers: &HeaderMap) -> Result<(), &'static str> {
    match status {
        // No request of ours can have asked for it.
        101 => return Err("the backend switched protocols"),
        100..=599 => {}
        _ => return Err("the backend's status is none"),
    }
    if headers.len() > MAX_FIELDS {
        return Err("the answer has too many fields");
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > MAX_BYTES {
        return Err("the answer's head is too large");
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        // RFC 9112, sections 6.1 and 7; RFC 9113, section 8.2.2.
        if version != Version::HTTP_11 || status == 204 || status < 200 {
            return Err("the answer has a transfer coding where there can be none");
        }
        if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err("the answer has a transfer coding other than `chunked`");
        }
    }
    // RFC 9110, section 8.6.
    let says_length = headers.get_all(CONTENT_LENGTH).iter().any(|length| length.as_bytes() != b"0");
    if says_length && (status == 204 || status < 200) {
        return Err("the answer has a length where there can be no body");
    }
    Ok(())
}

/// The fields of an answer that end at the gate: those of one connection, and those that `Connection` names so. Framing
/// does not depend on what a field says of it.
pub fn hop_by_hop(headers: &HeaderMap) -> Vec<HeaderName> {
    let mut names: Vec<HeaderName> =
        headers.keys().filter(|name| HOP_BY_HOP.contains(&name.as_str())).cloned().collect();
    let nominated = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| *name != CONTENT_LENGTH && *name != TRANSFER_ENCODING);
    names.extend(nominated);
    names
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn ordinary_answers_pass() {
        for (status, fields) in [
            (200, &[("content-length", "2")] as &[_]),
            (200, &[("transfer-encoding", "Chunked")]),
            (204, &[("content-length", "0")]),
            (304, &[("content-length", "17")]),
            (103, &[("link", "</a>")]),
            (599, &[]),
        ] {
            assert_eq!(judge(status, Version::HTTP_11, &headers(fields)), Ok(()), "{status} {fields:?}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_does_not() {
        for (status, version, fields) in [
            (101, Version::HTTP_11, &[] as &[_]),
            (99, Version::HTTP_11, &[]),
            (600, Version::HTTP_11, &[]),
            (200, Version::HTTP_11, &[("transfer-encoding", "gzip, chunked")]),
            (200, Version::HTTP_11, &[("transfer-encoding", "identity")]),
            (200, Version::HTTP_10, &[("transfer-encoding", "chunked")]),
            (200, Version::HTTP_2, &[("transfer-encoding", "chunked")]),
            (204, Version::HTTP_11, &[("transfer-encoding", "chunked")]),
            (204, Version::HTTP_11, &[("content-length", "5")]),
            (103, Version::HTTP_11, &[("content-length", "5")]),
        ] {
            assert!(judge(status, version, &headers(fields)).is_err(), "{status} {version:?} {fields:?}");
        }
        let mut twice = headers(&[("transfer-encoding", "chunked")]);
        twice.append(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        assert!(judge(200, Version::HTTP_11, &twice).is_err());
    }

    #[test]
    fn what_speaks_of_the_connection_ends_here() {
        let mut answer = headers(&[
            ("connection", "close, X-Hop"),
            ("keep-alive", "timeout=5"),
            ("content-length", "2"),
            ("x-own", "a"),
        ]);
        answer.append(CONNECTION, HeaderValue::from_static("content-length,,x y"));
        let mut names: Vec<_> = hop_by_hop(&answer).iter().map(ToString::to_string).collect();
        names.sort();
        assert_eq!(names, ["close", "connection", "keep-alive", "x-hop"]);
        assert!(hop_by_hop(&headers(&[("content-length", "2"), ("date", "x")])).is_empty());
    }

    #[test]
    fn a_head_has_bounds() {
        let long = |length: usize| {
            let mut headers = HeaderMap::new();
            headers.insert("x", HeaderValue::from_str(&"a".repeat(length)).unwrap());
            judge(200, Version::HTTP_11, &headers)
        };
        assert_eq!((long(MAX_BYTES - 1), long(MAX_BYTES).is_err()), (Ok(()), true));
        let many = |count: usize| {
            let mut headers = HeaderMap::new();
            for _ in 0..count {
                headers.append("x", HeaderValue::from_static("a"));
            }
            judge(200, Version::HTTP_11, &headers)
        };
        assert_eq!((many(MAX_FIELDS), many(MAX_FIELDS + 1).is_err()), (Ok(()), true));
    }
}
