//! From what a line says to the line: its form, and what an operator has left out.

use std::cell::RefCell;

use super::entry::{AuditLog, AuthenticationInfo, Log, LogEntry, LostLines, Metadata, Severity, Status};
use super::frame::Frame;
use super::json::{Caps, JsonWriter};
use super::line::Line;
use super::redaction::Redacted;
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
    pub(super) fn write_full(frame: &Frame, entry: &LogEntry<'_>, line: &mut String) {
        within_bounds(line, |json| full::write(json, frame, entry));
    }

    /// Writes a line in compact form into an empty buffer.
    pub(super) fn write_compact(frame: &Frame, entry: &LogEntry<'_>, line: &mut String) {
        within_bounds(line, |json| compact::write(json, frame, entry));
    }

    /// The full form. The buffer is used again by the next line of the thread.
    pub(super) fn full(&self, entry: &LogEntry<'_>) -> Box<str> {
        written(|buffer| Self::write_full(&self.frame, entry, buffer))
    }

    /// The form of the output, where it is not the full one.
    pub(super) fn compact(&self, entry: &LogEntry<'_>) -> Option<Box<str>> {
        let is_compact = self.format == AuditFormat::Compact;
        is_compact.then(|| written(|buffer| Self::write_compact(&self.frame, entry, buffer)))
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
        let text = self.compact(&entry).unwrap_or_else(|| self.full(&entry));
        Line { text, time, severity: entry.severity, counted: 0 }
    }
}

/// Writes a line. One that would be too long is written once more, with less of each text.
fn within_bounds(line: &mut String, write: impl Fn(&mut JsonWriter<'_>)) {
    write(&mut JsonWriter::new(line, Caps::USUAL));
    if line.len() > LONGEST_LINE {
        line.clear();
        write(&mut JsonWriter::new(line, Caps::TIGHT));
    }
}

fn written(write: impl FnOnce(&mut String)) -> Box<str> {
    BUFFER.with_borrow_mut(|buffer| {
        buffer.clear();
        write(buffer);
        Box::from(buffer.as_str())
    })
}
