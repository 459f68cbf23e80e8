//! How a client wants its answer: what `alt`, `prettyPrint` and `Accept` say.

use super::fault::Fault;

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnswerFormat {
    /// How several messages follow each other.
    pub stream: StreamFormat,
    /// Whether enums are written as numbers (`$alt=json;enum-encoding=int`).
    pub has_enum_numbers: bool,
    /// Whether it is written over several lines.
    pub is_pretty: bool,
    /// Whether the client asked for the head alone.
    pub is_head_only: bool,
}

/// How the messages of a stream follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamFormat {
    /// As a JSON array, as Google's own front ends have it.
    #[default]
    Array,
    /// One line each (`application/x-ndjson`).
    Lines,
    /// As server-sent events (`alt=sse`).
    Events,
}

/// The media type of lines of JSON.
pub(super) const LINES: &str = "application/x-ndjson";

impl AnswerFormat {
    /// Takes a system parameter. Returns whether it is one.
    pub(super) fn set(&mut self, name: &str, value: &str, is_stream: bool) -> Result<bool, Fault> {
        match name {
            "alt" => {
                let mut parts = value.split(';').map(str::trim);
                match parts.next() {
                    Some("json") => {}
                    Some("sse") if is_stream => self.stream = StreamFormat::Events,
                    _ => return Err(Fault::of_field("alt", "the answer can only be `json`.")),
                }
                for part in parts {
                    match part {
                        "enum-encoding=int" => self.has_enum_numbers = true,
                        "enum-encoding=string" | "charset=utf-8" | "" => {}
                        _ => return Err(Fault::of_field("alt", "its parameters are not known.")),
                    }
                }
            }
            "prettyPrint" => match value {
                "true" | "1" | "" => self.is_pretty = true,
                "false" | "0" => self.is_pretty = false,
                _ => return Err(Fault::of_field("prettyPrint", "it is `true` or `false`.")),
            },
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes the `Accept` of the request. A type that is not known changes nothing: the answer says what it is.
    #[must_use]
    pub fn accepting(mut self, accept: &str) -> Self {
        let asks = |name: &str| {
            accept.split(',').any(|range| {
                let named = range.split(';').next().unwrap_or_default().trim();
                named.eq_ignore_ascii_case(name)
            })
        };
        if self.stream == StreamFormat::Array {
            if asks(LINES) {
                self.stream = StreamFormat::Lines;
            } else if asks("text/event-stream") {
                self.stream = StreamFormat::Events;
            }
        }
        self
    }
}
