//! From what a line says to the line: its form, and what an operator has left out.

use std::cell::RefCell;
use std::sync::Arc;

use super::entry::{AuditLog, AuthenticationInfo, Log, LogEntry, LostLines, Metadata, Severity, Status};
use super::frame::Frame;
use super::json::{Caps, JsonWriter};
use super::line::Line;
use super::redaction::Redacted;
use super::seen::{SeenLine, TextPlaces};
use super::settings::{AuditFormat, AuditSettings};
use super::{compact, full};
use crate::clock;

thread_local! {
    /// Where a line is written before it is copied at its exact length. It keeps its room.
    static BUFFER: RefCell<String> = const { RefCell::new(String::new()) };
}

/// The longest that a line may be.
pub(super) const LONGEST_LINE: usize = 12 * 1024;

/// Makes lines.
#[derive(Debug)]
pub(super) struct LineMaker {
    pub(super) frame: Frame,
    pub(super) format: AuditFormat,
    pub(super) redacted: Redacted,
}

impl LineMaker {
    pub(super) fn new(settings: &AuditSettings, instance: &str) -> Self {
        let frame = Frame::new(&settings.parent, &settings.log_id, instance);
        Self { frame, format: settings.format, redacted: settings.redacted }
    }

    /// Writes a line in full form into an empty buffer.
    pub(super) fn write_full(frame: &Frame, entry: &LogEntry<'_>, line: &mut String) -> TextPlaces {
        within_bounds(line, |json| full::write(json, frame, entry))
    }

    /// Writes a line in compact form into an empty buffer.
    pub(super) fn write_compact(frame: &Frame, entry: &LogEntry<'_>, line: &mut String) {
        within_bounds(line, |json| compact::write(json, frame, entry));
    }

    /// The full form.
    pub(super) fn full(&self, entry: &LogEntry<'_>) -> SeenLine {
        let (text, places) = written(|buffer| Self::write_full(&self.frame, entry, buffer));
        SeenLine::new(text, places, entry)
    }

    /// The form of the output, where it is not the full one.
    pub(super) fn compact(&self, entry: &LogEntry<'_>) -> Option<Arc<str>> {
        let is_compact = self.format == AuditFormat::Compact;
        is_compact.then(|| written(|buffer| Self::write_compact(&self.frame, entry, buffer)).0)
    }

    /// The line that says that lines are missing.
    pub(super) fn gap(&self, lost: LostLines) -> Line {
        let time = clock::now();
        let id = uuid::Uuid::new_v4().simple().to_string();
        let entry = LogEntry {
            time,
            severity: Severity::Error,
            log: Log::Activity,
            request_id: &id,
            suffix: "-lost",
            trace: None,
            operation: None,
            http_request: None,
            payload: AuditLog {
                status: Status::of_code(15),
                authentication: AuthenticationInfo::default(),
                service_name: Some("opgate"),
                method_name: Some("opgate.audit.Lost"),
                resource_name: None,
                authorization: None,
                request: None,
                metadata: Metadata::Lost(lost),
            },
        };
        let text = self.compact(&entry).unwrap_or_else(|| self.full(&entry).text);
        Line { text, time, severity: entry.severity, counted: 0 }
    }
}

/// Writes a line. One that would be too long is written once more, with less of each text.
fn within_bounds(line: &mut String, write: impl Fn(&mut JsonWriter<'_>)) -> TextPlaces {
    let mut json = JsonWriter::new(line, Caps::USUAL);
    write(&mut json);
    let places = json.places;
    if line.len() <= LONGEST_LINE {
        return places;
    }
    line.clear();
    let mut json = JsonWriter::new(line, Caps::TIGHT);
    write(&mut json);
    json.places
}

/// A line at its exact length. The buffer is used again by the next line of the thread.
fn written<T>(write: impl FnOnce(&mut String) -> T) -> (Arc<str>, T) {
    BUFFER.with_borrow_mut(|buffer| {
        buffer.clear();
        let with_it = write(buffer);
        (Arc::from(buffer.as_str()), with_it)
    })
}
