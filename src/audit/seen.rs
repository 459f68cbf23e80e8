//! What an observer of the log is shown: a line, and where the texts stand in it that are asked for. So none has to read the
//! line again.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use memchr::memchr;

use super::entry::{LogEntry, Metadata};

/// Where texts stand in a line in full form, with their quotes. Empty where the line has no such text.
#[derive(Clone, Debug, Default)]
pub(super) struct TextPlaces {
    pub(super) id: TextPlace,
    pub(super) principal: TextPlace,
    pub(super) method: TextPlace,
    pub(super) reason: TextPlace,
}

/// From where to where a text stands. No line is as long as its numbers go.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TextPlace(u16, u16);

impl From<Range<usize>> for TextPlace {
    fn from(range: Range<usize>) -> Self {
        match (u16::try_from(range.start), u16::try_from(range.end)) {
            (Ok(start), Ok(end)) => Self(start, end),
            _ => Self::default(),
        }
    }
}

/// How the request of a line was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenDecision {
    /// Policy allowed it.
    Allowed,
    /// It was refused, or a fault left it undecided (5xx).
    Denied,
    /// Nothing was decided: the gate answered by itself, or the line is about something else.
    None,
}

/// A line of the log in its full form, as JSON without the line's end.
#[derive(Clone, Debug)]
pub struct SeenLine {
    pub(super) text: Arc<str>,
    pub(super) places: TextPlaces,
    pub(super) decision: SeenDecision,
    pub(super) status: u16,
}

impl SeenLine {
    pub(super) fn new(text: Arc<str>, places: TextPlaces, entry: &LogEntry<'_>) -> Self {
        let decision = match &entry.payload.metadata {
            Metadata::Decision(decision) => match decision.decision {
                "ALLOWED" => SeenDecision::Allowed,
                "DENIED" => SeenDecision::Denied,
                _ => SeenDecision::None,
            },
            Metadata::Cancel(_) | Metadata::Lost(_) => SeenDecision::None,
        };
        let status = entry.http_request.as_ref().map_or(0, |request| request.status);
        Self { text, places, decision, status }
    }

    /// The line.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// How its request was decided.
    pub fn decision(&self) -> SeenDecision {
        self.decision
    }

    /// The status that was sent; 0 where the line is not about a request.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// `insertId`.
    pub fn id(&self) -> Cow<'_, str> {
        self.read(self.places.id).unwrap_or_default()
    }

    /// `principalSubject`, where a caller was authenticated.
    pub fn principal(&self) -> Option<Cow<'_, str>> {
        self.read(self.places.principal)
    }

    /// `methodName`, where a method was found.
    pub fn method(&self) -> Option<Cow<'_, str>> {
        self.read(self.places.method)
    }

    /// The reason of the decision; empty where nothing was decided.
    pub fn reason(&self) -> Cow<'_, str> {
        self.read(self.places.reason).unwrap_or_default()
    }

    /// The text that is written at a place.
    fn read(&self, TextPlace(start, end): TextPlace) -> Option<Cow<'_, str>> {
        let quoted = self.text.get(usize::from(start)..usize::from(end))?;
        let text = quoted.strip_prefix('"')?.strip_suffix('"')?;
        if memchr(b'\\', text.as_bytes()).is_some() {
            return serde_json::from_str(quoted).ok().map(Cow::Owned);
        }
        Some(Cow::Borrowed(text))
    }
}
