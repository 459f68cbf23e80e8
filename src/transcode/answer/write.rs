//! One message as JSON, or as the body that it holds.

use bytes::Bytes;
use http::HeaderValue;
use prost_reflect::{DynamicMessage, FieldDescriptor, SerializeOptions, Value};

use crate::transcode::format::{AnswerFormat, StreamFormat};
use crate::transcode::problem::AnswerProblem;
use crate::transcode::{HTTP_BODY, TranscodedMethod};

/// The type of JSON, as Google's front ends spell it.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=UTF-8");

/// A message that is written.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) bytes: Bytes,
    pub(super) content_type: HeaderValue,
    /// Whether it is the body of a google.api.HttpBody.
    pub(super) is_raw: bool,
}

impl TranscodedMethod {
    /// Whether the answer is a google.api.HttpBody: bytes of any type.
    pub(super) fn answers_raw(&self) -> bool {
        match &self.response_body {
            None => self.output.full_name() == HTTP_BODY,
            Some(field) => {
                let kind = field.kind();
                let message = kind.as_message().filter(|_| !field.is_list() && !field.is_map());
                message.is_some_and(|message| message.full_name() == HTTP_BODY)
            }
        }
    }

    /// Writes a message, or its field that the rule names.
    pub(super) fn document(&self, message: &[u8], format: AnswerFormat) -> Result<Written, AnswerProblem> {
        let decoded = DynamicMessage::decode(self.output.clone(), message);
        let message = decoded.map_err(|error| AnswerProblem::Message(error.to_string()))?;
        let field = self.response_body.as_ref();
        if self.answers_raw() {
            let body = match field {
                None => Some(message),
                Some(field) => message.get_field(field).as_message().cloned(),
            };
            let body = body.ok_or_else(|| AnswerProblem::Message("it has no body".to_owned()))?;
            return raw(&body);
        }
        let json = match field {
            None => self.json(&message, true, format)?,
            Some(field) => self.field_json(&message, field, format)?,
        };
        // Within a stream, lines stand for messages.
        let is_pretty =
            format.is_pretty && !(self.is_server_streaming && format.stream != StreamFormat::Array);
        let bytes = if is_pretty { serde_json::to_vec_pretty(&json) } else { serde_json::to_vec(&json) };
        let bytes = bytes.map_err(|error| AnswerProblem::Message(error.to_string()))?;
        Ok(Written { bytes: bytes.into(), content_type: JSON, is_raw: false })
    }

    fn json(
        &self,
        message: &DynamicMessage,
        skips_defaults: bool,
        format: AnswerFormat,
    ) -> Result<serde_json::Value, AnswerProblem> {
        let options = SerializeOptions::new()
            .use_enum_numbers(format.has_enum_numbers)
            .skip_default_fields(skips_defaults);
        let json = message.serialize_with_options(serde_json::value::Serializer, &options);
        json.map_err(|error| AnswerProblem::Message(error.to_string()))
    }

    /// One field of a message. One that is not set is written as its default.
    fn field_json(
        &self,
        message: &DynamicMessage,
        field: &FieldDescriptor,
        format: AnswerFormat,
    ) -> Result<serde_json::Value, AnswerProblem> {
        let mut alone = DynamicMessage::new(self.output.clone());
        let is_set = message.has_field(field);
        if is_set {
            alone.set_field(field, message.get_field(field).into_owned());
        }
        let json = self.json(&alone, is_set, format)?;
        let found = json.as_object().and_then(|members| members.get(field.json_name()));
        Ok(found.cloned().unwrap_or_else(|| serde_json::Value::Object(serde_json::Map::new())))
    }
}

/// The bytes of a google.api.HttpBody, and their type.
fn raw(body: &DynamicMessage) -> Result<Written, AnswerProblem> {
    let named = body.get_field_by_name("content_type");
    let named = named.as_deref().and_then(Value::as_str).unwrap_or_default();
    let named = if named.is_empty() { "application/octet-stream" } else { named };
    let content_type = HeaderValue::from_str(named)
        .map_err(|_| AnswerProblem::Message("its `content_type` cannot be one".to_owned()))?;
    let data = body.get_field_by_name("data");
    let bytes = data.as_deref().and_then(Value::as_bytes).cloned().unwrap_or_default();
    Ok(Written { bytes, content_type, is_raw: true })
}
