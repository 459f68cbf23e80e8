//! Chunked bodies as RFC 9112, section 7.1, and RFC 9110 define them, rule by rule: the reference for the product's own
//! parser. It shares no code with it, and reads whole bodies with regular expressions.

use regex::bytes::Regex;

/// How a strict reader reads bytes that begin with a chunked body.
#[derive(Debug, PartialEq, Eq)]
pub enum Reading {
    /// The body ends here, and this is its data.
    Whole { end: usize, data: Vec<u8> },
    /// These bytes may still become a body.
    More,
    /// No more bytes can make these a body.
    Refused,
}

pub struct Grammar {
    line: Regex,
    start_of_line: Regex,
    field: Regex,
    start_of_field: Regex,
    not_a_trailer: Regex,
}

impl Grammar {
    pub fn new() -> Self {
        // RFC 9110, sections 5.6.2 to 5.6.4.
        let token = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+";
        let qdtext = r"[\t \x21\x23-\x5B\x5D-\x7E\x80-\xFF]";
        let quoted_pair = r"\\[\t \x21-\x7E\x80-\xFF]";
        let quoted_string = format!(r#""(?:{qdtext}|{quoted_pair})*""#);
        let start_of_quoted = format!(r#""(?:{qdtext}|{quoted_pair})*\\?"#);
        let bws = r"[\t ]*";
        // RFC 9112, sections 7.1 and 7.1.1.
        let extension = format!("{bws};{bws}{token}(?:{bws}={bws}(?:{token}|{quoted_string}))?");
        let start_of_extension =
            format!("{bws}(?:;{bws}(?:{token}(?:{bws}(?:={bws}(?:{token}|{start_of_quoted})?)?)?)?)?");
        // RFC 9112, section 5; RFC 9110, section 5.5: the value without the blanks around it.
        let value = r"[\t \x21-\x7E\x80-\xFF]*";
        // RFC 9110, section 6.5.1.
        let not_a_trailer = "transfer-encoding|content-length|trailer|te|connection|keep-alive|proxy-connection|upgrade|\
             host|authorization|proxy-authorization|www-authenticate|proxy-authenticate|cookie|set-cookie|\
             expect|max-forwards|range|if-(?:match|none-match|modified-since|unmodified-since|range)|\
             cache-control|pragma|content-(?:encoding|type|range)";
        let regex = |pattern: String| Regex::new(&pattern).unwrap();
        Self {
            // A size has at most sixteen digits and is at most 2^63 - 1: the bounds are ours.
            line: regex(format!(r"(?s-u)\A([0-9A-Fa-f]{{1,16}})(?:{extension})*\r\n")),
            start_of_line: regex(format!(
                r"(?s-u)\A(?:[0-9A-Fa-f]{{1,16}}(?:{extension})*(?:\r|{start_of_extension})?)?\z"
            )),
            field: regex(format!(r"(?s-u)\A{token}:{value}\r\n")),
            start_of_field: regex(format!(r"(?s-u)\A(?:{token}(?::{value}\r?)?|\r)?\z")),
            not_a_trailer: regex(format!(r"(?is-u)\A(?:{not_a_trailer}):")),
        }
    }

    pub fn read(&self, bytes: &[u8]) -> Reading {
        let mut data = Vec::new();
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).take(16).count();
            let size = std::str::from_utf8(&rest[..digits]).unwrap();
            if u64::from_str_radix(size, 16).is_ok_and(|size| size > i64::MAX as u64) {
                return Reading::Refused;
            }
            let Some(line) = self.line.captures(rest) else {
                return more_if(self.start_of_line.is_match(rest));
            };
            let size = usize::from_str_radix(std::str::from_utf8(&line[1]).unwrap(), 16).unwrap();
            at += line[0].len();
            if size == 0 {
                return self.read_trailers(bytes, at, data);
            }
            let rest = &bytes[at..];
            if rest.len() < size + 2 {
                return more_if(rest.get(size).is_none_or(|byte| *byte == b'\r'));
            }
            if &rest[size..size + 2] != b"\r\n" {
                return Reading::Refused;
            }
            data.extend_from_slice(&rest[..size]);
            at += size + 2;
        }
    }

    fn read_trailers(&self, bytes: &[u8], mut at: usize, data: Vec<u8>) -> Reading {
        loop {
            let rest = &bytes[at..];
            if self.not_a_trailer.is_match(rest) {
                return Reading::Refused;
            }
            if rest.starts_with(b"\r\n") {
                return Reading::Whole { end: at + 2, data };
            }
            let Some(field) = self.field.find(rest) else {
                return more_if(self.start_of_field.is_match(rest));
            };
            at += field.end();
        }
    }
}

fn more_if(is_start: bool) -> Reading {
    if is_start { Reading::More } else { Reading::Refused }
}
