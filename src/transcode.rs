//! HTTP/JSON for backends that speak gRPC: what a `google.api.http` rule makes of a request, and back.
//!
//! ```text
//! path, query, JSON ──► TranscodedMethod::request ──► one message, framed for gRPC
//! gRPC answer       ──► AnswerTranscoder          ──► status, JSON
//! ```
//!
//! It does what Envoy's `grpc_json_transcoder` and ESPv2 do (google/api/http.proto; the JSON is that of proto3). It is strict
//! where they are lenient, since each of these has two readings: a name that the message does not have, a field that is given
//! twice, a value of another type, a field that the path has set. The values that the path was judged by are read back from
//! the message that is sent, and have to be the same.
//!
//! Pure: no I/O and no clock.

mod answer;
pub(crate) mod described;
mod fault;
mod field_path;
mod format;
mod frame;
mod known;
mod parse;
mod problem;
mod query;
mod request;
mod scalar;
mod status;

use std::sync::Arc;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

pub use self::answer::{AnswerTranscoder, JsonSink, MAX_ANSWER_MESSAGE};
pub use self::fault::{RequestFault, RequestPart, TranscodeError};
use self::field_path::FieldPath;
pub use self::format::AnswerFormat;
pub use self::problem::AnswerProblem;
pub use self::request::TranscodedRequest;

/// The message that holds a body of any type.
const HTTP_BODY: &str = "google.api.HttpBody";

/// What the body of a request holds, as the http rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyMapping<'r> {
    /// There is no body.
    Nothing,
    /// Every field that the path does not set (`body: "*"`).
    Whole,
    /// One field (`body: book`).
    Field(&'r str),
}

/// An RPC, as its descriptor has it.
#[derive(Clone, Copy, Debug)]
pub struct Rpc<'r> {
    /// The full name: `package.Service.Method`.
    pub name: &'r str,
    /// The request message.
    pub input: &'r MessageDescriptor,
    /// The response message.
    pub output: &'r MessageDescriptor,
    /// Whether the client sends any number of messages.
    pub is_client_streaming: bool,
    /// Whether the backend answers with any number of messages.
    pub is_server_streaming: bool,
}

/// A method of gRPC under one http rule, whose names were found in its messages.
#[derive(Debug)]
pub struct TranscodedMethod {
    /// `/package.Service/Method`.
    path: String,
    input: MessageDescriptor,
    output: MessageDescriptor,
    is_server_streaming: bool,
    variables: Vec<(Arc<str>, FieldPath)>,
    body: BodyField,
    /// The field of the response message that is the answer; `None` for all of it.
    response_body: Option<FieldDescriptor>,
}

#[derive(Debug)]
enum BodyField {
    Nothing,
    Whole,
    Field(FieldDescriptor),
}

impl TranscodedMethod {
    /// Binds an http rule to a method. `variables` are the field paths of the path template.
    ///
    /// # Errors
    /// Everything in the rule that the method's messages do not have, and what cannot be transcoded.
    pub fn new<'r>(
        rpc: Rpc<'_>,
        variables: impl IntoIterator<Item = &'r str>,
        body: BodyMapping<'_>,
        response_body: Option<&str>,
    ) -> Result<Self, Vec<TranscodeError>> {
        let (input, output) = (rpc.input, rpc.output);
        let mut errors = Vec::new();
        if rpc.is_client_streaming {
            errors.push(TranscodeError::ClientStreaming);
        }
        let mut bound = Vec::new();
        for variable in variables {
            match FieldPath::of_variable(input, variable) {
                Ok(path) => bound.push((Arc::from(variable), path)),
                Err(error) => errors.push(error),
            }
        }
        let body = match body {
            BodyMapping::Nothing => BodyField::Nothing,
            BodyMapping::Whole => {
                errors.extend(raw_body(input));
                BodyField::Whole
            }
            BodyMapping::Field(name) => match field_path::field(input, name) {
                Some(field) => {
                    if let Kind::Message(message) = field.kind() {
                        errors.extend(raw_body(&message));
                    }
                    BodyField::Field(field)
                }
                None => {
                    errors.push(TranscodeError::no_field("`body`", name, input));
                    BodyField::Nothing
                }
            },
        };
        let named = response_body.map(|name| {
            let field = field_path::field(output, name);
            field.ok_or_else(|| TranscodeError::no_field("`response_body`", name, output))
        });
        let response_body = named.transpose().map_err(|error| errors.push(error)).unwrap_or_default();
        if !errors.is_empty() {
            return Err(errors);
        }
        let (interface, method) = rpc.name.rsplit_once('.').unwrap_or(("", rpc.name));
        Ok(Self {
            path: format!("/{interface}/{method}"),
            input: input.clone(),
            output: output.clone(),
            is_server_streaming: rpc.is_server_streaming,
            variables: bound,
            body,
            response_body,
        })
    }

    /// The path of its gRPC requests: `/package.Service/Method`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether the backend answers with any number of messages.
    pub fn is_server_streaming(&self) -> bool {
        self.is_server_streaming
    }
}

/// A body that is not JSON has no content type in the message that would be judged.
fn raw_body(message: &MessageDescriptor) -> Option<TranscodeError> {
    (message.full_name() == HTTP_BODY).then_some(TranscodeError::RawRequest)
}

#[cfg(test)]
mod tests;
