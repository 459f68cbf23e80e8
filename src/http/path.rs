//! The path, after one strict parse.
//!
//! A path is the raw text that was sent (and will be sent) and its segments decoded once. Two readers may differ in how
//! they merge slashes, resolve dots, cut parameters at `;`, turn `\` into `/` or decode twice. They must not disagree
//! about a path that passes here, so every such path is refused (RFC 3986, sections 3.3 and 6.2).

mod reading;

use std::borrow::Cow;

use memchr::{memchr, memrchr};

use self::reading::normalize;
pub(crate) use self::reading::{PathReading, normalize_literal};
use super::malformed;
use crate::bytewise;
use crate::percent::{BadEscape, Octet, has_encoded_octet, octets};
use crate::reason::Denial;

/// A path that can be read in one way only, as far as its own text goes. Which method it calls may still depend on the
/// reader: see [`Path::other_readings`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    raw: Box<str>,
    /// See [`Path::decoded`], where it differs from the raw text.
    decoded: Option<Box<str>>,
    segments: Vec<PathSegment>,
    /// Where the `:verb` begins within `raw`, at the colon.
    verb: Option<usize>,
}

/// One segment: the text between two slashes. The last one ends before the verb.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PathSegment {
    start: usize,
    end: usize,
    /// The decoded text, where it differs from the raw one.
    decoded: Option<Box<str>>,
    /// See [`normalize`]; where it differs from the raw text.
    normalized: Option<Box<str>>,
}

/// Longest path that is read, in bytes.
pub const MAX_PATH_BYTES: usize = 8 * 1024;

impl Path {
    /// Parses the path component of a request target.
    ///
    /// # Errors
    /// 400 for every class listed in this module's head, with the offending piece in the detail.
    pub fn parse(raw: &str) -> Result<Self, Denial> {
        if raw.len() > MAX_PATH_BYTES {
            return Err(malformed("the path is longer than 8 KiB"));
        }
        let Some(rest) = raw.strip_prefix('/') else {
            return Err(malformed("the path does not begin with `/`"));
        };
        if !bytewise::all(raw.as_bytes(), is_path_byte) {
            let bad = raw.bytes().find(|byte| !is_path_byte(*byte)).unwrap_or_default();
            return Err(malformed(format!(
                "the path holds `{}`, which may not stand in a path",
                bad.escape_ascii()
            )));
        }
        if rest.is_empty() {
            return Ok(Self { raw: raw.into(), decoded: None, segments: Vec::new(), verb: None });
        }
        let bytes = raw.as_bytes();
        let last_slash = memrchr(b'/', bytes).unwrap_or(0);
        let verb = memrchr(b':', bytes).filter(|colon| *colon > last_slash);
        let names_end = verb.unwrap_or(raw.len());
        let is_encoded = memchr(b'%', bytes).is_some();

        let mut segments = Vec::with_capacity(8);
        let mut start = 1;
        while let Some(left) = bytes.get(start..) {
            let next = memchr(b'/', left).map_or(raw.len(), |length| start + length);
            let end = next.min(names_end);
            let text = raw.get(start..end).unwrap_or_default();
            segments.push(PathSegment::parse(start, text, start == raw.len())?);
            start = next + 1;
        }
        if verb.is_some() {
            // A verb holds no `%`. An encoded character in it is refused as elsewhere, and not answered with 404.
            decode_segment(raw.get(last_slash + 1..).unwrap_or_default())?;
        }
        let named = segments.iter().rev().find(|segment| segment.start < segment.end);
        if verb.is_none()
            && named.and_then(|last| last.decoded.as_ref()).is_some_and(|last| last.ends_with(':'))
        {
            return Err(malformed(
                "the path ends in an encoded `:`, which some servers take for an empty verb",
            ));
        }
        let mut path = Self { raw: raw.into(), decoded: None, segments, verb };
        if is_encoded {
            path.decoded = Some(path.decode().into());
        }
        Ok(path)
    }

    /// The path as it was sent and will be sent.
    pub fn as_str(&self) -> &str {
        &self.raw
    }

    /// The path decoded: one text for all encodings of it, so that no rule is evaded by one of them. A colon stays
    /// encoded where it would be read as that of a verb.
    pub fn decoded(&self) -> &str {
        self.decoded.as_deref().unwrap_or(&self.raw)
    }

    fn decode(&self) -> String {
        let last = self.segments.len().saturating_sub(1);
        let mut decoded = String::with_capacity(self.raw.len());
        for index in 0..self.segments.len() {
            decoded.push('/');
            let segment = self.segment(index).unwrap_or_default();
            if index == last && self.verb.is_none() {
                decoded.push_str(&segment.replace(':', "%3A"));
            } else {
                decoded.push_str(segment);
            }
        }
        decoded.push_str(self.verb.and_then(|colon| self.raw.get(colon..)).unwrap_or_default());
        decoded
    }

    /// How many segments there are; none in `/`. A slash at the end is one more, an empty one.
    pub fn len(&self) -> usize {
        self.segments.len()
    }

    /// Whether the path is `/`.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Whether it has a slash behind its last name: `/v1/x/`.
    pub fn ends_in_slash(&self) -> bool {
        self.segments.last().is_some_and(|last| last.start == last.end)
    }

    /// A segment as it was sent: what literals of a template are compared with.
    pub fn raw_segment(&self, index: usize) -> Option<&str> {
        let segment = self.segments.get(index)?;
        self.raw.get(segment.start..segment.end)
    }

    /// A segment, percent-decoded once: what a variable captures.
    pub fn segment(&self, index: usize) -> Option<&str> {
        let segment = self.segments.get(index)?;
        match &segment.decoded {
            Some(decoded) => Some(decoded),
            None => self.raw.get(segment.start..segment.end),
        }
    }

    /// The text after the last `:` of the last segment (raw, not decoded), or `None` where there is no colon.
    /// `/v1/operations/a:b:cancel` has the verb `cancel`; `%3Acancel` is not a verb.
    pub fn verb(&self) -> Option<&str> {
        self.raw.get(self.verb? + 1..)
    }

    /// The decoded segments `range`, joined by `/`: the value of a variable that spans them.
    pub fn join(&self, range: std::ops::Range<usize>) -> Cow<'_, str> {
        let segments = self.segments.get(range).unwrap_or_default();
        let contiguous = segments.iter().all(|segment| segment.decoded.is_none());
        match (segments.first(), segments.last()) {
            (Some(first), Some(last)) if contiguous => {
                Cow::Borrowed(self.raw.get(first.start..last.end).unwrap_or_default())
            }
            _ => {
                let texts: Vec<&str> = segments
                    .iter()
                    .map(|segment| match &segment.decoded {
                        Some(decoded) => decoded,
                        None => self.raw.get(segment.start..segment.end).unwrap_or_default(),
                    })
                    .collect();
                Cow::Owned(texts.join("/"))
            }
        }
    }
}

impl PathSegment {
    /// A segment that begins at `start`. `is_behind_slash`: it is the empty one behind a slash at the end, which only a route
    /// with such a slash takes.
    fn parse(start: usize, text: &str, is_behind_slash: bool) -> Result<Self, Denial> {
        let end = start + text.len();
        // Most segments are such: nothing in them is encoded, a dot, or read in another way by some.
        if !text.is_empty() && bytewise::all(text.as_bytes(), is_normal_byte) {
            return Ok(Self { start, end, decoded: None, normalized: None });
        }
        let decoded = if is_behind_slash { None } else { decode_segment(text)? };
        let normalized = normalize(decoded.as_deref().unwrap_or(text));
        let normalized = (normalized != text).then(|| normalized.into());
        Ok(Self { start, end, decoded, normalized })
    }
}

/// `pchar` and `/` of RFC 3986, section 3.3, without `;`: servers that cut segments at it read another path. What is left of
/// ASCII is blanks, controls and `"#<>?[\]^`{|}`.
#[inline]
fn is_path_byte(byte: u8) -> bool {
    let is_bracket = (b'['..=b'^').contains(&byte) | (b'{'..=b'}').contains(&byte) | (byte == b'`');
    let is_other =
        (byte == b'"') | (byte == b'#') | (byte == b';') | (byte == b'<') | (byte == b'>') | (byte == b'?');
    (b'!'..=b'~').contains(&byte) & !is_bracket & !is_other
}

/// Whether [`normalize`] leaves a byte as it is, and decoding too: a digit, a small letter or `-`.
#[inline]
fn is_normal_byte(byte: u8) -> bool {
    byte.is_ascii_digit() | byte.is_ascii_lowercase() | (byte == b'-')
}

/// Decodes one segment, or `None` where there was nothing to decode.
fn decode_segment(text: &str) -> Result<Option<Box<str>>, Denial> {
    if text.is_empty() {
        return Err(malformed("the path has an empty segment"));
    }
    if !text.contains('%') {
        refuse_dots(text)?;
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(text.len());
    for octet in octets(text) {
        match octet {
            Err(BadEscape) => return Err(malformed("the path has a `%` that two hex digits do not follow")),
            // What one server decodes before it looks for these and another after is two paths.
            Ok(Octet::Encoded(octet @ (b'/' | b'\\' | b';' | b'?' | b'#'))) => {
                return Err(malformed(format!("the path holds an encoded `{}`", char::from(octet))));
            }
            Ok(Octet::Plain(octet) | Octet::Encoded(octet)) => bytes.push(octet),
        }
    }
    let decoded =
        String::from_utf8(bytes).map_err(|_| malformed("the path decodes to something that is not UTF-8"))?;
    if decoded.chars().any(char::is_control) {
        return Err(malformed("the path holds an encoded control character"));
    }
    if has_encoded_octet(&decoded) {
        return Err(malformed("the path is percent-encoded twice"));
    }
    if decoded.trim().len() != decoded.len() {
        return Err(malformed(
            "a segment of the path begins or ends with an encoded blank, which some servers cut",
        ));
    }
    refuse_dots(&decoded)?;
    Ok(Some(decoded.into()))
}

fn refuse_dots(segment: &str) -> Result<(), Denial> {
    match segment {
        "." | ".." => Err(malformed("the path has a dot segment")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reason::Reason;

    fn refused(raw: &str) -> String {
        Path::parse(raw).unwrap_err().detail().to_owned()
    }

    #[test]
    fn a_path_has_the_bytes_of_the_rfc() {
        let members = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-._~!$&'()*+,=:@%/";
        for byte in 0..=u8::MAX {
            assert_eq!(is_path_byte(byte), members.contains(&byte), "{byte}");
        }
    }

    #[test]
    fn segments_and_verb() {
        let path = Path::parse("/v1/projects/p/operations/a%20b:c:cancel").unwrap();
        assert_eq!(path.verb(), Some("cancel"));
        assert_eq!(path.len(), 5);
        assert_eq!(path.raw_segment(4), Some("a%20b:c"));
        assert_eq!(path.segment(4), Some("a b:c"));
        assert_eq!(path.join(1..5), "projects/p/operations/a b:c");
        assert_eq!(path.as_str(), "/v1/projects/p/operations/a%20b:c:cancel");
    }

    #[test]
    fn an_encoded_colon_is_not_a_verb() {
        let path = Path::parse("/v1/operations/o%3Acancel").unwrap();
        assert_eq!(path.verb(), None);
        assert_eq!(path.segment(2), Some("o:cancel"));
    }

    #[test]
    fn a_colon_before_the_last_slash_is_not_a_verb() {
        assert_eq!(Path::parse("/v1/example.com:p/x").unwrap().verb(), None);
    }

    #[test]
    fn paths_that_two_parsers_could_read_differently_are_refused() {
        for raw in [
            "",
            "v1/x",
            "//v1/x",
            "/v1//x",
            "//",
            "/v1//",
            "/v1/x//",
            "/:",
            "/:x",
            "/v1/x%3A/",
            "/v1/x%20/",
            "/v1/../",
            "/v1/./x",
            "/v1/../x",
            "/v1/%2e/x",
            "/v1/.%2E/x",
            "/v1/x%2Fy",
            "/v1/x%2fy",
            "/v1/x%5cy",
            "/v1/x\\y",
            "/v1/x%00",
            "/v1/x%0a",
            "/v1/x%7f",
            "/v1/x%c2%85",
            "/v1/x%",
            "/v1/x%4",
            "/v1/x%zz",
            "/v1/x#y",
            "/v1/x y",
            "/v1/x\ty",
            "/v1/x;y=z",
            "/v1/x%3By",
            "/v1/x%3Fy",
            "/v1/x%23y",
            "/v1/é",
            "/v1/%c0%af",
            "/v1/%252e%252e",
            "/v1/x%252fy",
            "/v1/:cancel",
            "/v1/x/:cancel",
            "/v1/x|y",
            "/v1/\"x\"",
            "/v1/..:cancel",
            "/v1/%2e%2e:cancel",
            "/v1/x%3A",
            "/v1/x%3a%3a",
            "/v1/%3A",
            "/v1/x%20",
            "/v1/%20x/y",
            "/v1/x%C2%A0:cancel",
        ] {
            assert_eq!(Path::parse(raw).unwrap_err().reason(), Reason::RequestMalformed, "{raw:?}");
        }
    }

    #[test]
    fn the_root_has_no_segment_and_a_slash_at_the_end_is_an_empty_one() {
        let root = Path::parse("/").unwrap();
        assert_eq!((root.len(), root.verb(), root.ends_in_slash(), root.decoded()), (0, None, false, "/"));
        let slash = Path::parse("/v1/a%62/").unwrap();
        assert_eq!((slash.len(), slash.segment(2), slash.ends_in_slash()), (3, Some(""), true));
        assert_eq!((slash.as_str(), slash.decoded()), ("/v1/a%62/", "/v1/ab/"));
        assert!(!Path::parse("/v1/x").unwrap().ends_in_slash());
    }

    #[test]
    fn the_detail_names_the_trouble() {
        assert_eq!(refused("/v1//x"), "the path has an empty segment");
        assert_eq!(refused("/v1/x\u{0}"), "the path holds `\\x00`, which may not stand in a path");
        assert_eq!(refused("/v1/x%2Fy"), "the path holds an encoded `/`");
    }

    /// A bug that fuzzing found and that was fixed: everything behind the last colon was ignored.
    #[test]
    fn encoded_characters_are_refused_in_a_verb_as_in_a_segment() {
        assert_eq!(refused("/v1/o:%00"), "the path holds an encoded control character");
        assert_eq!(refused("/v1/o:x%2Fy"), "the path holds an encoded `/`");
        assert_eq!(refused("/v1/o:x%"), "the path has a `%` that two hex digits do not follow");
        assert_eq!(refused("/v1/o:%FF"), "the path decodes to something that is not UTF-8");
    }

    #[test]
    fn a_path_decodes_to_one_text_however_it_is_encoded() {
        let decoded = |raw: &str| Path::parse(raw).unwrap().decoded().to_owned();
        let plain = "/v1/projects/secret/operations/a:b:cancel";
        assert_eq!(decoded(plain), plain);
        assert_eq!(decoded("/%761/projects/%73ecret/operations/a%3ab:cancel"), plain);
        assert_eq!(decoded("/v1/operations/o%3acancel"), "/v1/operations/o%3Acancel");
    }

    #[test]
    fn utf8_is_decoded_once() {
        let path = Path::parse("/v1/documents/%E2%82%AC").unwrap();
        assert_eq!(path.segment(2), Some("€"));
    }

    proptest! {
        #[test]
        fn a_segment_that_is_taken_at_once_is_one_that_nothing_changes(text in "[a-z0-9A-Z._~-]{1,40}|[a-z0-9-]{1,40}") {
            if text.bytes().all(is_normal_byte) {
                prop_assert_eq!(decode_segment(&text).unwrap(), None);
                prop_assert_eq!(normalize(&text), text.as_str());
            }
            let segment = PathSegment::parse(0, &text, false).ok();
            if let Some(segment) = segment {
                prop_assert_eq!(segment.normalized.as_deref().unwrap_or(&text), &*normalize(&text));
            }
        }

        #[test]
        fn any_text_is_parsed_or_refused(raw in ".{0,80}") {
            if let Ok(path) = Path::parse(&raw) {
                prop_assert_eq!(path.as_str(), raw);
            }
        }

        #[test]
        fn what_a_path_says_and_what_it_decodes_to_are_one(
            segments in prop::collection::vec("[a-c:]{0,2}[a-c]", 1..4),
            encoded in prop::collection::vec(any::<bool>(), 16),
            verb in prop::option::of("[a-c]{1,2}"),
        ) {
            // The same segments and verb, with other characters encoded.
            let write = |flip: bool| {
                let mut choices = encoded.iter().cycle();
                let mut raw = String::new();
                for (index, segment) in segments.iter().enumerate() {
                    raw.push('/');
                    let is_last = index + 1 == segments.len();
                    for character in segment.chars() {
                        let must = character == ':' && is_last && verb.is_none();
                        if must || *choices.next().unwrap() != flip {
                            raw.push_str(&format!("%{:02x}", u32::from(character)));
                        } else {
                            raw.push(character);
                        }
                    }
                }
                raw.extend(verb.iter().flat_map(|verb| [":", verb]));
                raw
            };
            let (one, other) = (Path::parse(&write(false)).unwrap(), Path::parse(&write(true)).unwrap());
            prop_assert_eq!(one.decoded(), other.decoded());
            prop_assert_eq!(one.verb(), verb.as_deref());
        }

        #[test]
        fn an_accepted_path_reads_the_same_after_any_normalisation(raw in "/[a-z./%0-9A-F:;\\\\]{0,40}") {
            if let Ok(path) = Path::parse(&raw) {
                for index in 0..path.len() {
                    let segment = path.segment(index).unwrap();
                    prop_assert!(!segment.is_empty() || index + 1 == path.len() && path.ends_in_slash());
                    prop_assert!(segment != "." && segment != "..");
                    prop_assert!(!segment.contains(['/', '\\', ';', '\0']));
                    prop_assert!(!has_encoded_octet(segment));
                }
            }
        }
    }
}
