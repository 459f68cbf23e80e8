//! The head of an HTTP/1 message, parsed from its raw bytes.
//!
//! Lenient parsers let requests be smuggled: a bare LF, a folded line, a space before the colon, two lengths. HTTP
//! libraries repair such heads, each in its own way, and the next hop does not read the repaired request. So the head
//! is parsed here, from the bytes as they came, by the letter of RFC 9112, and deviations are refused. The only
//! leniency left is optional whitespace around a field value (RFC 9112, section 5).

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use memchr::{memchr, memmem};

use super::field_line::FieldFault;
use super::headers::Headers;
use super::proxies::Scheme;
use super::version::Version;
use super::{field_line, malformed, request_line};
use crate::reason::{Denial, Reason};

/// A request line and its fields, not yet judged as a request.
#[derive(Debug)]
pub struct RawHead {
    /// The method, as sent.
    pub method: Method,
    /// The request target as sent; over HTTP/2, `:path`.
    pub target: String,
    /// `:authority`; `None` over HTTP/1.
    pub authority: Option<String>,
    /// `:scheme`; `None` over HTTP/1.
    pub scheme: Option<Scheme>,
    /// The version it came in.
    pub version: Version,
    /// The fields, in order.
    pub headers: Headers,
}

/// Bounds of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Most bytes, request line and final empty line included.
    pub bytes: usize,
    /// Most header fields.
    pub fields: usize,
    /// Most bytes of the request target.
    pub target: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self { bytes: 32 * 1024, fields: 100, target: 8 * 1024 }
    }
}

/// The length of the head at the start of `bytes`, final empty line included, or `None` while it is incomplete.
/// `from` is how many bytes an earlier call has seen, so that a head that comes in small pieces is scanned once.
pub fn find_end(bytes: &[u8], from: usize) -> Option<usize> {
    static END: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"\r\n\r\n"));
    // The terminator may straddle the two reads.
    let start = from.saturating_sub(3);
    END.find(bytes.get(start..)?).map(|at| start + at + 4)
}

impl RawHead {
    /// Parses a head that [`find_end`] has delimited.
    ///
    /// # Errors
    /// 400 for anything that RFC 9112 does not allow (or allows a reader to repair), 431 beyond the limits.
    pub fn parse(bytes: &[u8], limits: HeadLimits) -> Result<Self, Denial> {
        if bytes.len() > limits.bytes {
            return Err(limits.exceeded());
        }
        let text =
            bytes.strip_suffix(b"\r\n\r\n").ok_or_else(|| malformed("the head does not end in CRLF CRLF"))?;
        // One copy, of which each value is a part.
        let text = Bytes::copy_from_slice(text);
        let mut lines = HeadLines(Some(&text));
        let request_line = lines.next().transpose()?.unwrap_or_default();
        let (method, target, version) =
            parse_request_line(request_line).map_err(|denial| in_line(request_line, denial))?;
        limits.check_target(&target)?;

        let mut headers = Headers::with_capacity(16);
        for line in lines {
            if headers.len() == limits.fields {
                return Err(limits.exceeded());
            }
            let line = line?;
            let (name, value) = parse_field(line, &text).map_err(|denial| in_line(line, denial))?;
            headers.push(name, value);
        }
        Ok(Self { method, target, authority: None, scheme: None, version, headers })
    }

    /// Reads the head of an HTTP/2 request (RFC 9113, section 8.3). The h2 library has refused by itself what it calls
    /// malformed (RFC 9113, section 8.1.1), and `http::Uri` has cut off a fragment: what is read here is what is judged and
    /// sent.
    ///
    /// # Errors
    /// 400 for a scheme that is not HTTP's, 431 beyond the limits.
    pub fn from_http2(
        method: &Method,
        uri: &Uri,
        fields: &HeaderMap,
        limits: HeadLimits,
    ) -> Result<Self, Denial> {
        let mut headers = Headers::with_capacity(fields.len());
        for (name, value) in fields {
            headers.push(name.clone(), value.clone());
        }
        let authority = uri.authority().map(|authority| authority.as_str());
        let target = uri.path_and_query().map_or("", |target| target.as_str());
        limits.check(method, target, authority, &headers)?;
        // The library shows `:scheme` only beside `:authority`, and refuses a request without it.
        let scheme = match uri.scheme_str() {
            None => None,
            Some("http") => Some(Scheme::Http),
            Some("https") => Some(Scheme::Https),
            Some(_) => return Err(malformed("`:scheme` is neither http nor https")),
        };
        Ok(Self {
            method: method.clone(),
            target: target.to_owned(),
            authority: authority.map(str::to_owned),
            scheme,
            version: Version::Http2,
            headers,
        })
    }
}

/// Lines that end in CRLF. A bare LF is an error. A bare CR is left in its line, none of whose parts may hold one.
struct HeadLines<'b>(Option<&'b [u8]>);

impl<'b> Iterator for HeadLines<'b> {
    type Item = Result<&'b [u8], Denial>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.0.take()?;
        let Some(end) = memchr(b'\n', rest) else { return Some(Ok(rest)) };
        self.0 = rest.get(end + 1..);
        let line = rest.get(..end).and_then(|line| line.strip_suffix(b"\r"));
        Some(line.ok_or_else(stray_line_end))
    }
}

fn stray_line_end() -> Denial {
    malformed("the head holds a CR or LF that is not a CRLF")
}

/// What is wrong with a line that `denial` refuses: a CR that does not end it comes first.
fn in_line(line: &[u8], denial: Denial) -> Denial {
    if line.contains(&b'\r') { stray_line_end() } else { denial }
}

/// `method SP request-target SP HTTP-version`, with exactly these two spaces (RFC 9112, section 3).
fn parse_request_line(line: &[u8]) -> Result<(Method, String, Version), Denial> {
    let mut pieces = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (pieces.next(), pieces.next(), pieces.next(), pieces.next())
    else {
        return Err(malformed("the request line is not `METHOD TARGET HTTP/1.1` with single spaces"));
    };
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        _ => return Err(malformed("the request line names no version that is spoken here")),
    };
    let method = request_line::method(method)?;
    let target = request_line::target(target)?.to_owned();
    Ok((method, target, version))
}

/// A field line in the types that hold one. It is a part of `text`.
fn parse_field(line: &[u8], text: &Bytes) -> Result<(HeaderName, HeaderValue), Denial> {
    let (name, value) = field_line::split(line).map_err(|fault| malformed(fault.to_string()))?;
    let name = HeaderName::from_bytes(name).map_err(|_| malformed(FieldFault::Name.to_string()))?;
    // The library refuses the bytes that `is_field_byte` refuses.
    let value = HeaderValue::from_maybe_shared(text.slice_ref(value))
        .map_err(|_| malformed(format!("the value of `{name}` holds a control character")))?;
    Ok((name, value))
}

/// The bytes of a field's value: text, blanks and `obs-text`, no control byte (RFC 9110, section 5.5).
#[inline]
pub(super) fn is_field_byte(byte: u8) -> bool {
    (byte == b'\t') | ((byte >= b' ') & (byte != 0x7f))
}

impl HeadLimits {
    /// The denial of a head beyond these limits.
    fn exceeded(self) -> Denial {
        let Self { bytes, fields, .. } = self;
        Denial::new(Reason::HeadTooLarge, format!("the head has more than {bytes} bytes or {fields} fields"))
            .told()
    }

    /// Refuses a head that came as fields and not as lines (HTTP/2), if it would be beyond these limits as the lines
    /// that go to a backend.
    ///
    /// # Errors
    /// 414 and 431.
    pub fn check(
        self,
        method: &Method,
        target: &str,
        authority: Option<&str>,
        headers: &Headers,
    ) -> Result<(), Denial> {
        self.check_target(target)?;
        let host = authority.map(|authority| ("host", authority.len()));
        let fields = headers.iter().map(|(name, value)| (name.as_str(), value.len()));
        let (mut count, mut bytes) = (0, method.as_str().len() + target.len() + "  HTTP/1.1\r\n\r\n".len());
        for (name, length) in host.into_iter().chain(fields) {
            count += 1;
            bytes += name.len() + length + ": \r\n".len();
        }
        if count > self.fields || bytes > self.bytes { Err(self.exceeded()) } else { Ok(()) }
    }

    /// Refuses a request target beyond these limits.
    ///
    /// # Errors
    /// 414.
    pub fn check_target(self, target: &str) -> Result<(), Denial> {
        if target.len() <= self.target {
            return Ok(());
        }
        let most = self.target;
        Err(Denial::new(Reason::TargetTooLong, format!("the request target has more than {most} bytes"))
            .told())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<RawHead, Denial> {
        RawHead::parse(text.as_bytes(), HeadLimits::default())
    }

    #[test]
    fn a_plain_head_is_read() {
        let head = parse("POST /v1/x:cancel HTTP/1.1\r\nHost: a\r\nX-A:  b \t\r\n\r\n").unwrap();
        assert_eq!(head.method, Method::POST);
        assert_eq!(head.target, "/v1/x:cancel");
        assert_eq!(head.version, Version::Http11);
        assert_eq!(head.headers.one("x-a").unwrap().unwrap(), "b");
    }

    #[test]
    fn heads_that_readers_repair_are_refused() {
        for text in [
            "POST /x HTTP/1.1\nHost: a\r\n\r\n",
            "POST /x HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
            "POST /x HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
            "POST /x HTTP/1.1\r\nHost : a\r\n\r\n",
            "POST /x HTTP/1.1\r\n Host: a\r\n\r\n",
            "POST /x HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "POST /x HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
            "POST /x HTTP/1.1\r\nHost: a\r\nnocolon\r\n\r\n",
            "POST /x HTTP/1.1\r\nX: a\0b\r\n\r\n",
            "POST /x HTTP/1.1\r\nContent-Length:\u{c}2\r\n\r\n",
            "POST /x HTTP/1.1\r\nX: a\u{b}\r\n\r\n",
            "POST  /x HTTP/1.1\r\n\r\n",
            "POST /x  HTTP/1.1\r\n\r\n",
            "POST\t/x HTTP/1.1\r\n\r\n",
            " POST /x HTTP/1.1\r\n\r\n",
            "POST /x y HTTP/1.1\r\n\r\n",
            "POST /x\0 HTTP/1.1\r\n\r\n",
            "POST /é HTTP/1.1\r\n\r\n",
            "POST /x\r\n\r\n",
            "POST /x HTTP/1.2\r\n\r\n",
            "POST /x http/1.1\r\n\r\n",
            "POST /x HTTP/0.9\r\n\r\n",
            "post /x HTTP/1.1\r\n\r\n",
            "PO(ST /x HTTP/1.1\r\n\r\n",
            "CONNECT /x HTTP/1.1\r\n\r\n",
            "TRACE /x HTTP/1.1\r\n\r\n",
            "\r\nPOST /x HTTP/1.1\r\n\r\n",
            "\r\n\r\n",
        ] {
            assert_eq!(parse(text).unwrap_err().reason(), Reason::RequestMalformed, "{text:?}");
        }
    }

    #[test]
    fn limits_are_exact() {
        let limits = HeadLimits { bytes: 40, fields: 2, ..HeadLimits::default() };
        let head = |text: &str| RawHead::parse(text.as_bytes(), limits);
        assert!(head("GET / HTTP/1.1\r\na: 1\r\nb: 2\r\n\r\n").is_ok());
        assert_eq!(
            head("GET / HTTP/1.1\r\na: 1\r\nb: 2\r\nc: 3\r\n\r\n").unwrap_err().reason(),
            Reason::HeadTooLarge
        );
        assert_eq!(
            head("GET / HTTP/1.1\r\na: 12345678901234567890\r\n\r\n").unwrap_err().reason(),
            Reason::HeadTooLarge
        );
    }

    /// The limits accept the same heads as lines and as fields.
    #[test]
    fn limits_are_the_same_for_lines_and_for_fields() {
        let text = "GET /x?y HTTP/1.1\r\nhost: a.b:80\r\nx: 1\r\ny: \r\n\r\n";
        let head = parse(text).unwrap();
        let mut headers = Headers::default();
        for (name, value) in head.headers.iter().skip(1) {
            headers.push(name.clone(), value.clone());
        }
        for (bytes, fields, target) in
            [(text.len(), 3, 4), (text.len() - 1, 3, 4), (text.len(), 2, 4), (text.len(), 3, 3)]
        {
            let limits = HeadLimits { bytes, fields, target };
            let as_fields = limits.check(&head.method, &head.target, Some("a.b:80"), &headers);
            let as_lines = RawHead::parse(text.as_bytes(), limits).map(|_| ());
            let reason = |outcome: Result<(), Denial>| outcome.map_err(|denial| denial.reason());
            assert_eq!(reason(as_fields), reason(as_lines), "{limits:?}");
        }
    }

    #[test]
    fn the_end_is_found_across_reads() {
        let text = b"GET / HTTP/1.1\r\n\r\nrest";
        for split in 0..text.len() {
            let first = find_end(&text[..split], 0);
            let end = first.or_else(|| find_end(text, split));
            assert_eq!(end, Some(18), "{split}");
        }
    }

    /// Reads a head as slowly as the rules are written: what [`RawHead::parse`] must come to.
    fn read_slowly(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
        let told = |text: &str| Err(text.to_owned());
        let mut fields = Vec::new();
        let mut rest = Some(bytes.strip_suffix(b"\r\n\r\n").ok_or("no end")?);
        let mut is_first = true;
        while let Some(text) = rest {
            let end = text.windows(2).position(|window| window == b"\r\n");
            let line = &text[..end.unwrap_or(text.len())];
            rest = end.map(|end| &text[end + 2..]);
            if line.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
                return told("the head holds a CR or LF that is not a CRLF");
            }
            if std::mem::take(&mut is_first) {
                if line != b"GET / HTTP/1.1" {
                    return told("the request line");
                }
                continue;
            }
            let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
            if line.first().is_some_and(is_blank) {
                return told("a header field is folded over two lines");
            }
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                return told("a header line has no colon");
            };
            let name = &line[..colon];
            let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
            if name.is_empty() || !name.iter().all(is_token) {
                return told("a header field's name is not a token");
            }
            let mut value = &line[colon + 1..];
            while value.first().is_some_and(is_blank) {
                value = &value[1..];
            }
            while value.last().is_some_and(is_blank) {
                value = &value[..value.len() - 1];
            }
            let name = String::from_utf8(name.to_ascii_lowercase()).unwrap();
            if value.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f) {
                return Err(format!("the value of `{name}` holds a control character"));
            }
            fields.push((name, value.to_vec()));
        }
        Ok(fields)
    }

    proptest! {
        #[test]
        fn a_head_is_read_as_the_rules_are_written(
            lines in proptest::collection::vec(
                "[a-zA-Z-]{0,20}[: \t]{0,2}[ -~\t]{0,40}[\x00\x0b\r\n\x7f\t: é]{0,1}[ -~]{0,20}", 0..6
            ),
            ends in proptest::collection::vec("\r\n|\r\n|\r\n|\r\n|\r\n|\n|\r|\r\r\n", 6),
        ) {
            let mut head = "GET / HTTP/1.1".to_owned();
            for (line, end) in lines.iter().zip(&ends) {
                head.push_str(end);
                head.push_str(line);
            }
            head.push_str("\r\n\r\n");
            let head = head.as_bytes();
            let expected = head.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
            prop_assert_eq!(find_end(head, 0), expected);
            let read = RawHead::parse(head, HeadLimits::default());
            let read = read.map_err(|denial| denial.detail().to_owned()).map(|read| {
                let fields = read.headers.iter();
                fields.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect::<Vec<_>>()
            });
            match read_slowly(head) {
                Err(told) if told == "the request line" => prop_assert!(read.is_err()),
                expected => prop_assert_eq!(read, expected),
            }
        }

        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut head = b"GET / HTTP/1.1\r\n".to_vec();
            head.extend(bytes);
            head.extend(b"\r\n\r\n");
            if let Ok(parsed) = RawHead::parse(&head, HeadLimits::default()) {
                for (name, value) in parsed.headers.iter() {
                    prop_assert!(!name.as_str().is_empty());
                    prop_assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
                }
            }
        }
    }
}
