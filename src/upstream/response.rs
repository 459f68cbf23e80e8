//! The head of a backend's answer: checked before a client sees it, and without the fields that must not pass.
//!
//! Over HTTP/1 its bytes have been checked already ([`crate::http::answer`]), over HTTP/2 the h2 library has read them.
//! This module refuses what both let pass: heads without end, framing that a client may read in another way than the
//! gate, and fields that the backend must not send.
//!
//! An answer must not lead a client or a front past the gate, nor claim to come from it. So these fields are removed:
//! - fields about the connection to the backend (RFC 9110, section 7.6.1);
//! - fields that name another place for the gate's own: `Alt-Svc` (RFC 7838) and those before and beside it. A client
//!   keeps it, and sends the next requests, credentials and all, past the gate;
//! - orders to a front that no client ever sees: to fetch another resource in place of the answer (`X-Accel-Redirect`,
//!   `X-Sendfile`, `X-Reproxy-Url` …), to keep it for others against `Cache-Control` (RFC 9213), to take the gate out of
//!   service (`X-Envoy-…`);
//! - fields that only the gate sends, or only a proxy: `DPoP-Nonce`, `X-Opgate-…`, `Proxy-Authenticate`;
//! - fields that decide about other services on the host: keys that it is pinned to, reports of every request to it,
//!   scripts with power over its other paths.
//!
//! Fields about the answer or about the backend itself pass: `Location` and `Refresh` lead where a client looks before
//! it goes; `WWW-Authenticate` is for a backend that asks for credentials of its own; `Clear-Site-Data` and
//! `Strict-Transport-Security` take away and tighten, and the gate sends neither itself.

use std::sync::LazyLock;

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

use crate::http::HeaderNames;
use crate::http::answer::AnswerHead;
pub use crate::http::answer::{MAX_FIELDS, MAX_HEAD_BYTES as MAX_BYTES, MAX_INTERIM};

/// The fields that end here.
static ENDS_HERE: LazyLock<HeaderNames> = LazyLock::new(|| {
    HeaderNames::new([
        // About one connection.
        "connection",
        "http2-settings",
        "keep-alive",
        "proxy-connection",
        "te",
        "upgrade",
        // Another place for the gate's.
        "alt-svc",
        "alternate-protocol",
        "onion-location",
        // Orders to a front.
        "cdn-cache-control",
        "surrogate-control",
        "x-accel-*",
        "x-envoy-*",
        "x-lighttpd-send-file",
        "x-litespeed-*",
        "x-reproxy-*",
        "x-sendfile",
        "x-sendfile-*",
        "x-sendfile2",
        // Sent by the gate or by a proxy.
        "dpop-nonce",
        "proxy-authenticate",
        "proxy-authentication-info",
        "x-opgate-*",
        // About others on the host.
        "nel",
        "public-key-pins",
        "public-key-pins-report-only",
        "service-worker-allowed",
    ])
});

/// The name of a field in lower case, for a look-up.
struct LowerCase {
    short: [u8; LowerCase::SHORT],
    length: usize,
    long: Option<Box<[u8]>>,
}

impl LowerCase {
    const SHORT: usize = 64;

    fn of(name: &[u8]) -> Self {
        let mut short = [0; Self::SHORT];
        match short.get_mut(..name.len()) {
            Some(space) => {
                space.copy_from_slice(name);
                space.make_ascii_lowercase();
                Self { short, length: name.len(), long: None }
            }
            None => Self { short, length: 0, long: Some(name.to_ascii_lowercase().into()) },
        }
    }

    fn as_str(&self) -> &str {
        let bytes = self.long.as_deref().or(self.short.get(..self.length)).unwrap_or_default();
        // A name that was checked is ASCII.
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

/// The fields of a head over HTTP/1 that pass, as they were sent: without those that are listed above, those that
/// `Connection` names, and those for which `replaced` says so of the name in lower case. A length passes once.
/// `Transfer-Encoding` does not pass: the next message has a framing of its own.
pub fn passing<'h>(head: &AnswerHead<'h>, replaced: impl Fn(&str) -> bool) -> Vec<(&'h [u8], &'h [u8])> {
    let mut passing = Vec::with_capacity(16);
    let mut nominated: Vec<&[u8]> = Vec::new();
    let mut has_length = false;
    for (name, value) in head.fields() {
        let lower = LowerCase::of(name);
        match lower.as_str() {
            "connection" => {
                let options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                nominated.extend(options.filter(|option| !is_about_the_connection(option)));
            }
            "transfer-encoding" => {}
            "content-length" if has_length => {}
            "content-length" => {
                has_length = true;
                passing.push((name, value));
            }
            lower if ends_here(lower) || replaced(lower) => {}
            _ => passing.push((name, value)),
        }
    }
    if !nominated.is_empty() {
        let is_named = |name: &[u8]| nominated.iter().any(|named| named.eq_ignore_ascii_case(name));
        passing.retain(|(name, _)| name.eq_ignore_ascii_case(b"content-length") || !is_named(name));
    }
    passing
}

/// Options of `Connection` that name no field.
fn is_about_the_connection(option: &[u8]) -> bool {
    option.is_empty() || option.eq_ignore_ascii_case(b"close") || option.eq_ignore_ascii_case(b"keep-alive")
}

fn ends_here(name: &str) -> bool {
    // RFC 9213 lets every CDN have its own: `Example-CDN-Cache-Control`.
    name.ends_with("-cdn-cache-control") || ENDS_HERE.contains(name)
}

/// What is wrong with an answer's head, or nothing.
///
/// # Errors
/// In words for the audit log.
pub fn judge(status: u16, version: Version, headers: &HeaderMap) -> Result<(), &'static str> {
    match status {
        // The gate never asks for an upgrade.
        101 => return Err("the backend switched protocols"),
        100..=599 => {}
        _ => return Err("the backend's status is not one"),
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
    // RFC 9110, section 8.6. The h2 library looks at one of them.
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter().map(HeaderValue::as_bytes);
    if let Some(length) = lengths.next() {
        if !is_number(length) || lengths.any(|other| other != length) {
            return Err("the answer's `content-length` is not one number");
        }
        if length.iter().any(|digit| *digit != b'0') && (status == 204 || status < 200) {
            return Err("the answer has a length where there can be no body");
        }
    }
    // RFC 9113, section 8.2.1: HTTP/1 readers trim such values.
    if version == Version::HTTP_2
        && headers.values().any(|value| value.as_bytes().trim_ascii().len() < value.len())
    {
        return Err("a value in the answer begins or ends with whitespace");
    }
    Ok(())
}

fn is_number(digits: &[u8]) -> bool {
    (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
}

/// Removes the fields that must not pass: those that are listed above, and those that `Connection` names. Framing does
/// not depend on what a field says of it.
pub fn ending(headers: &HeaderMap) -> Vec<HeaderName> {
    let mut names: Vec<HeaderName> =
        headers.keys().filter(|name| ends_here(name.as_str())).cloned().collect();
    let nominated = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| *name != CONTENT_LENGTH && *name != TRANSFER_ENCODING);
    names.extend(nominated);
    names
}

/// Judges the fields behind a body over HTTP/2, and removes those that end here: a client may read them like the head. What
/// delimits a message does not stand there (RFC 9110, section 6.5.1).
///
/// # Errors
/// In words for the audit log.
pub fn judge_trailers(trailers: &mut HeaderMap) -> Result<(), &'static str> {
    let ending = ending(trailers);
    for name in ending.iter().chain([&CONTENT_LENGTH, &TRANSFER_ENCODING]) {
        trailers.remove(name);
    }
    judge(200, Version::HTTP_2, trailers)
}

#[cfg(test)]
mod tests {
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
    fn ambiguous_answers_do_not_pass() {
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
            (200, Version::HTTP_2, &[("content-length", "5, 5")]),
            (200, Version::HTTP_2, &[("content-length", "")]),
            (200, Version::HTTP_2, &[("x-a", " b")]),
            (200, Version::HTTP_2, &[("x-a", "b\t")]),
            (103, Version::HTTP_11, &[("content-length", "5")]),
        ] {
            assert!(judge(status, version, &headers(fields)).is_err(), "{status} {version:?} {fields:?}");
        }
        let mut twice = headers(&[("transfer-encoding", "chunked")]);
        twice.append(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        assert!(judge(200, Version::HTTP_11, &twice).is_err());
        for (second, is_good) in [("2", true), ("3", false), ("02", false)] {
            let mut twice = headers(&[("content-length", "2")]);
            twice.append(CONTENT_LENGTH, HeaderValue::from_static(second));
            assert_eq!(judge(200, Version::HTTP_2, &twice).is_ok(), is_good, "{second}");
        }
    }

    #[test]
    fn fields_that_lead_around_the_gate_or_speak_for_it_are_removed() {
        let answer = headers(&[
            ("alt-svc", "h3=\":443\""),
            ("x-accel-redirect", "/internal"),
            ("x-accel-buffering", "no"),
            ("x-opgate-principal", "user:root@example.com"),
            ("dpop-nonce", "x"),
            ("example-cdn-cache-control", "public"),
            ("surrogate-control", "max-age=1"),
            ("x-envoy-immediate-health-check-fail", "true"),
        ]);
        assert_eq!(ending(&answer).len(), answer.len());
        let answer = headers(&[
            ("location", "/x"),
            ("www-authenticate", "Bearer"),
            ("cache-control", "private"),
            ("x-accelerated", "y"),
            ("x-opgateway", "y"),
            ("nelson", "y"),
            ("x-request-id", "1"),
        ]);
        assert!(ending(&answer).is_empty());
    }

    #[test]
    fn fields_about_the_connection_are_removed() {
        let mut answer = headers(&[
            ("connection", "close, X-Hop"),
            ("keep-alive", "timeout=5"),
            ("content-length", "2"),
            ("x-own", "a"),
        ]);
        answer.append(CONNECTION, HeaderValue::from_static("content-length,,x y"));
        let mut names: Vec<_> = ending(&answer).iter().map(ToString::to_string).collect();
        names.sort();
        assert_eq!(names, ["close", "connection", "keep-alive", "x-hop"]);
        assert!(ending(&headers(&[("content-length", "2"), ("date", "x")])).is_empty());
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

    /// Over both versions the same fields pass.
    #[test]
    fn what_passes_of_a_head_over_http1_is_what_ends_not_here() {
        let fields = [
            ("Connection", "close, X-Hop, content-length,, x y"),
            ("connection", "keep-alive"),
            ("Keep-Alive", "timeout=5"),
            ("X-HOP", "a"),
            ("Content-Length", "2"),
            ("Date", "now"),
            ("Alt-Svc", "h3"),
            ("X-Accel-Redirect", "/x"),
            ("Example-CDN-Cache-Control", "public"),
            ("Set-Cookie", "a"),
            ("Set-Cookie", "b"),
            ("X-Own", "a"),
        ];
        let long = "x".repeat(100);
        let fields: Vec<(&str, &str)> = fields.into_iter().chain([(long.as_str(), "a")]).collect();
        let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let text = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
        let mut tracker = crate::http::answer::ResponseTracker::new();
        let (_, head) = tracker.advance_head(text.as_bytes(), 0, false).unwrap();
        let passed: Vec<(&[u8], &[u8])> = passing(&head.unwrap(), |name| name == "date");

        let parsed = fields.iter().map(|(name, value)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        });
        let mut map: HeaderMap = HeaderMap::new();
        parsed.for_each(|(name, value)| {
            map.append(name, value);
        });
        for name in ending(&map) {
            map.remove(&name);
        }
        map.remove("date");
        let names = |names: Vec<String>| {
            let mut names: Vec<String> = names.into_iter().map(|name| name.to_ascii_lowercase()).collect();
            names.sort();
            names
        };
        let ours = passed.iter().map(|(name, _)| String::from_utf8(name.to_vec()).unwrap()).collect();
        let theirs = map.iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names(ours), names(theirs));
        assert_eq!(passed.len(), 5, "a length, two cookies, one of its own, a long one");
    }
}
