//! The content of a body, below all that judges it: its type, and its bytes without a coding or a mark.

use std::borrow::Cow;

use bytes::Bytes;

use crate::http::coding::{self, ContentCoding, InflateFault};
use crate::http::request::Request;
use crate::reason::{Denial, Reason};

/// The media type of the body, in lower case. `None` where it is not told, or has a parameter other than the charset
/// that is read here.
pub(super) fn media_type(request: &Request) -> Result<Option<String>, Denial> {
    let Some(value) = request.headers.one("content-type")? else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
    let mut pieces = text.split(';').map(str::trim);
    let media_type = pieces.next().map(str::to_owned);
    let is_utf8 = pieces.all(|parameter| matches!(parameter, "charset=utf-8" | "charset=\"utf-8\""));
    Ok(media_type.filter(|_| is_utf8))
}

/// The content of a body, without its coding.
pub(super) fn decoded(
    body: &Bytes,
    coding: ContentCoding,
    limit: u64,
    overflow: impl FnOnce() -> Denial,
) -> Result<Bytes, Denial> {
    // Nothing is nothing in every coding.
    if coding == ContentCoding::Identity || body.is_empty() {
        return Ok(body.clone());
    }
    match coding::inflate(body, limit) {
        Ok(content) => Ok(content.into()),
        Err(InflateFault::TooLong) => Err(overflow()),
        Err(fault) => Err(refused(fault.to_string())),
    }
}

/// The content without a byte order mark, which readers of JSON may skip (RFC 8259, section 8.1). It is not sent on: some
/// do not skip it.
pub(super) fn without_mark(content: &Bytes) -> Bytes {
    if content.starts_with(b"\xef\xbb\xbf") { content.slice(3..) } else { content.clone() }
}

/// The text without the white space of JSON around it (RFC 8259, section 2).
pub(super) fn trim_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] | [rest @ .., b' ' | b'\t' | b'\r' | b'\n'] = text {
        text = rest;
    }
    text
}

/// The client is told why: the detail is only about bytes that it sent.
pub(super) fn refused(detail: impl Into<Cow<'static, str>>) -> Denial {
    Denial::new(Reason::BodyRefused, detail).told()
}

pub(super) fn unsupported_coding() -> Denial {
    let detail = "the body has a content coding other than gzip, so that it cannot be judged";
    Denial::new(Reason::BodyCodingUnsupported, detail)
}
