//! Reads an answer as it passes, for what it tells of cancelled operations.
//!
//! The bytes are looked at and left alone. What they say counts once the whole answer has come.

use std::io::{self, Write};
use std::sync::Arc;

use flate2::write::GzDecoder;

use super::cancel::CancelEnd;
use super::moment::Moment;
use super::operation::{OperationFacts, OperationSighting};
use super::scan::{OperationScan, ScanShape};
use super::skipped::Skipped;
use super::watched::Cancels;

/// The longest content of a gzip answer: of one operation, and of a list.
const LONGEST: u64 = 1 << 20;
const LONGEST_LIST: u64 = 8 << 20;
/// How much longer the content of a gzip answer may be than the answer.
const RATIO: u64 = 100;
/// Most pending operations that one list may tell of: the longest page that APIs give (AIP-158).
const MOST_FOUND: usize = 1000;

/// What is known of an answer before its body.
#[derive(Clone, Copy, Debug)]
pub struct AnswerFacts<'a> {
    /// The service that was called.
    pub service: &'a str,
    /// The operation that was asked about; `None` where it was a list.
    pub name: Option<&'a str>,
    /// `Content-Type`; without one, JSON is expected.
    pub content_type: Option<&'a str>,
    /// `Content-Encoding`.
    pub content_encoding: Option<&'a str>,
    /// Whether the client asked for some fields alone.
    pub is_masked: bool,
}

/// The watch of one answer.
#[derive(Debug)]
pub struct Watch {
    content: Content,
    skipped: Option<Skipped>,
    is_over: bool,
}

#[derive(Debug)]
enum Content {
    Plain(Box<Reader>),
    Gzip(Box<GzDecoder<Bounded>>),
}

/// Reads the content.
#[derive(Debug)]
struct Reader {
    cancels: Cancels,
    service: Box<str>,
    /// The operation that was asked about.
    name: Option<Box<str>>,
    is_masked: bool,
    scan: OperationScan,
    found: Vec<(Box<str>, OperationSighting)>,
    /// Why operations were passed over.
    passed_over: Option<Skipped>,
}

/// The content of a gzip answer, up to its bounds.
#[derive(Debug)]
struct Bounded {
    reader: Box<Reader>,
    /// Bytes of the answer, and of its content.
    taken: u64,
    given: u64,
    most: u64,
    is_too_long: bool,
}

impl Cancels {
    /// Watches an answer, if it can tell of a cancel whose outcome is awaited.
    pub fn watch(&self, answer: AnswerFacts<'_>) -> Option<Watch> {
        let is_wanted = match answer.name {
            Some(name) => self.is_pending(answer.service, name),
            None => self.is_any_pending(),
        };
        if !is_wanted {
            return None;
        }
        if !answer.content_type.is_none_or(is_json) {
            self.skipped(Skipped::ContentType);
            return None;
        }
        let (shape, most) = match answer.name {
            Some(_) => (ScanShape::Operation, LONGEST),
            None => (ScanShape::List, LONGEST_LIST),
        };
        let reader = Box::new(Reader {
            cancels: self.clone(),
            service: answer.service.into(),
            name: answer.name.map(Box::from),
            is_masked: answer.is_masked,
            scan: OperationScan::new(shape),
            found: Vec::new(),
            passed_over: None,
        });
        let coding = answer.content_encoding.unwrap_or_default().trim();
        let content = if coding.is_empty() || coding.eq_ignore_ascii_case("identity") {
            Content::Plain(reader)
        } else if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
            let content = Bounded { reader, taken: 0, given: 0, most, is_too_long: false };
            Content::Gzip(Box::new(GzDecoder::new(content)))
        } else {
            self.skipped(Skipped::Encoding);
            return None;
        };
        Some(Watch { content, skipped: None, is_over: false })
    }
}

impl Watch {
    /// The next bytes of the body.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.skipped.is_some() || bytes.is_empty() {
            return;
        }
        match &mut self.content {
            Content::Plain(reader) => reader.push(bytes),
            Content::Gzip(decoder) => {
                decoder.get_mut().taken += bytes.len() as u64;
                if decoder.write_all(bytes).is_err() {
                    self.skipped = Some(decoder.get_ref().fault());
                }
            }
        }
    }

    /// The answer has come whole. The result is the ends that it told of; `by` is the full name of the method
    /// that was called. Once.
    pub fn end(&mut self, by: &str, now: Moment) -> Vec<Arc<CancelEnd>> {
        if std::mem::replace(&mut self.is_over, true) {
            return Vec::new();
        }
        if self.skipped.is_none()
            && let Content::Gzip(decoder) = &mut self.content
            && decoder.try_finish().is_err()
        {
            self.skipped = Some(decoder.get_ref().fault());
        }
        let reader = match &mut self.content {
            Content::Plain(reader) => reader,
            Content::Gzip(decoder) => &mut decoder.get_mut().reader,
        };
        if !reader.scan.is_whole() {
            self.skipped.get_or_insert(Skipped::Malformed);
        }
        if let Some(why) = self.skipped.or(reader.passed_over) {
            reader.cancels.skipped(why);
        }
        if self.skipped.is_some() {
            return Vec::new();
        }
        let found = std::mem::take(&mut reader.found);
        let told = found
            .iter()
            .filter_map(|(name, sighting)| reader.cancels.seen(&reader.service, name, *sighting, by, now));
        told.collect()
    }
}

impl Reader {
    fn push(&mut self, bytes: &[u8]) {
        let Self { cancels, service, name, is_masked, scan, found, passed_over } = self;
        let mut look = |facts: &OperationFacts| {
            let told = match name {
                Some(name) => Some(&**name),
                None => facts.name.as_deref().filter(|name| cancels.is_pending(service, name)),
            };
            let Some(told) = told else { return };
            match facts.sighting(*is_masked) {
                Some(_) if found.len() >= MOST_FOUND => *passed_over = Some(Skipped::TooLong),
                Some(sighting) => found.push((told.into(), sighting)),
                None if facts.is_ambiguous => *passed_over = Some(Skipped::Malformed),
                None => *passed_over = Some(Skipped::Mask),
            }
        };
        scan.push(bytes, &mut look);
    }
}

impl Bounded {
    fn fault(&self) -> Skipped {
        if self.is_too_long { Skipped::TooLong } else { Skipped::Malformed }
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.given += bytes.len() as u64;
        if self.given > self.most || self.given > self.taken.saturating_mul(RATIO) {
            self.is_too_long = true;
            return Err(io::Error::other("the content is too long"));
        }
        self.reader.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `application/json`, with or without parameters, and what is built on it (RFC 6839, section 3.1).
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}
