//! What is wrong with a request that is to become a message, worded as Google's transcoder words it.

use prost_reflect::{Kind, MessageDescriptor};

use super::scalar::Scalar;

/// Most names that one answer tells of.
pub(super) const MOST_FAULTS: usize = 10;
/// Most characters of a name or a value that an answer repeats.
const MOST_REPEATED: usize = 100;

/// Why an http rule cannot be transcoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TranscodeError {
    /// The client would have to send any number of messages.
    #[error("the client streams messages, which one HTTP body cannot carry")]
    ClientStreaming,
    /// The request message, or the field that is the body, is a google.api.HttpBody.
    #[error("the body is a google.api.HttpBody, and only JSON bodies are transcoded")]
    RawRequest,
    /// A name that the message does not have.
    #[error("{part} names `{name}`, which `{message}` does not have")]
    NoField {
        /// What names it.
        part: &'static str,
        /// The name.
        name: String,
        /// The message.
        message: String,
    },
    /// A path variable that is not one plain value.
    #[error("the path variable `{name}` is {what}, and a path can only hold one plain value")]
    NotPlain {
        /// The variable.
        name: String,
        /// What it is.
        what: &'static str,
    },
}

impl TranscodeError {
    pub(super) fn no_field(part: &'static str, name: &str, message: &MessageDescriptor) -> Self {
        Self::NoField { part, name: name.to_owned(), message: message.full_name().to_owned() }
    }
}

/// The part of a request that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestPart {
    /// A path variable.
    Path,
    /// A query parameter.
    Query,
    /// The body.
    Body,
    /// None: the message that was made is not the one that was judged. A bug.
    Message,
}

/// Why a request does not become a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestFault {
    /// Where it is wrong.
    pub part: RequestPart,
    /// What is wrong: at least one line, each with the path to its field, if there is one.
    pub violations: Vec<(Option<String>, String)>,
}

impl RequestFault {
    pub(super) fn new(part: RequestPart, fault: Fault) -> Self {
        Self { part, violations: vec![(fault.field, fault.told)] }
    }

    pub(super) fn all(part: RequestPart, faults: Vec<Fault>) -> Self {
        Self { part, violations: faults.into_iter().map(|fault| (fault.field, fault.told)).collect() }
    }

    /// Every line.
    pub fn message(&self) -> String {
        let lines: Vec<&str> = self.violations.iter().map(|(_, told)| told.as_str()).collect();
        lines.join("\n")
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    field: Option<String>,
    told: String,
}

impl Fault {
    /// Something about all of the JSON.
    pub(super) fn of_payload(what: &str) -> Self {
        Self { field: None, told: format!("Invalid JSON payload received. {what}") }
    }

    /// A name that the message at `path` does not have.
    pub(super) fn unknown(path: &str, name: &str) -> Self {
        Self::of_name(path, name, "Cannot find field.")
    }

    /// A member that may not stand where it does.
    pub(super) fn of_name(path: &str, name: &str, why: &str) -> Self {
        let name = cut(name);
        let told = match path {
            "" => format!("Invalid JSON payload received. Unknown name \"{name}\": {why}"),
            path => format!("Invalid JSON payload received. Unknown name \"{name}\" at '{path}': {why}"),
        };
        Self { field: (!path.is_empty()).then(|| path.to_owned()), told }
    }

    /// A query parameter that leads to no field, or not to one that a query can set.
    pub(super) fn of_parameter(key: &str, why: &str) -> Self {
        let key = cut(key);
        Self {
            field: None,
            told: format!(
                "Invalid JSON payload received. Unknown name \"{key}\": Cannot bind query parameter. {why}"
            ),
        }
    }

    /// A value that the field at `path` does not take.
    pub(super) fn of_value(path: &str, kind: &Kind, shown: &str) -> Self {
        let told = format!("Invalid value at '{path}' ({}), {shown}", type_name(kind));
        Self { field: Some(path.to_owned()), told }
    }

    /// A field that may not be set as it is.
    pub(super) fn of_field(path: &str, why: &str) -> Self {
        Self { field: Some(path.to_owned()), told: format!("Invalid value at '{path}': {why}") }
    }
}

/// A value as an answer shows it.
pub(super) fn shown(value: &Scalar<'_>) -> String {
    match value {
        Scalar::Bool(value) => value.to_string(),
        Scalar::Signed(value) => value.to_string(),
        Scalar::Unsigned(value) => value.to_string(),
        Scalar::Float(value) => value.to_string(),
        Scalar::Text(text) => format!("\"{}\"", cut(text)),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(MOST_REPEATED).flat_map(char::escape_debug).collect()
}

/// The name of a type, as google.protobuf.Field.Kind and its `type_url` spell it.
fn type_name(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) => format!("type.googleapis.com/{}", message.full_name()),
        Kind::Enum(named) => format!("type.googleapis.com/{}", named.full_name()),
        scalar => format!("TYPE_{}", format!("{scalar:?}").to_ascii_uppercase()),
    }
}
