//! The messages of google.protobuf whose JSON is one plain value: wrappers, times, masks.

use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, Value};

use super::scalar::{self, Scalar, Spelling};

/// How a message is written in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// As an object with its fields.
    Fields,
    /// As its one value.
    Wrapper,
    /// As a text.
    Text,
    /// As a text of paths with commas between them.
    FieldMask,
    /// As an object with `@type`.
    Any,
    /// As an object of any members.
    Struct,
    /// As any JSON.
    Value,
    /// As a list of any JSON.
    List,
}

impl Known {
    pub(super) fn of(message: &MessageDescriptor) -> Self {
        let Some(name) = message.full_name().strip_prefix("google.protobuf.") else { return Self::Fields };
        match name {
            "BoolValue" | "BytesValue" | "DoubleValue" | "FloatValue" | "Int32Value" | "Int64Value"
            | "StringValue" | "UInt32Value" | "UInt64Value" => Self::Wrapper,
            "Duration" | "Timestamp" => Self::Text,
            "FieldMask" => Self::FieldMask,
            "Any" => Self::Any,
            "Struct" => Self::Struct,
            "Value" => Self::Value,
            "ListValue" => Self::List,
            _ => Self::Fields,
        }
    }
}

/// The value of a field that has no parts in JSON: a scalar, or one of these messages.
pub(super) fn plain(kind: &Kind, scalar: Scalar<'_>, spelling: Spelling) -> Option<Value> {
    let Kind::Message(message) = kind else { return scalar::value(kind, scalar, spelling) };
    let made = match (Known::of(message), scalar) {
        (Known::Wrapper, scalar) => {
            let field = message.get_field_by_name("value")?;
            let value = scalar::value(&field.kind(), scalar, spelling)?;
            with(message, "value", value)
        }
        (Known::Text, Scalar::Text(text)) => {
            let text = serde_json::Value::String(text.to_owned());
            DynamicMessage::deserialize(message.clone(), text).ok()
        }
        (Known::FieldMask, Scalar::Text(text)) => with(message, "paths", Value::List(mask(text)?)),
        (Known::Value, scalar) if spelling == Spelling::Json => {
            let (name, value) = match scalar {
                Scalar::Bool(value) => ("bool_value", Value::Bool(value)),
                Scalar::Text(text) => ("string_value", Value::String(text.to_owned())),
                number => ("number_value", scalar::value(&Kind::Double, number, spelling)?),
            };
            with(message, name, value)
        }
        _ => None,
    };
    made.map(Value::Message)
}

/// A message with one field.
pub(super) fn with(message: &MessageDescriptor, name: &str, value: Value) -> Option<DynamicMessage> {
    let field = message.get_field_by_name(name)?;
    let mut made = DynamicMessage::new(message.clone());
    // A message of this name from a file that is not Google's may have other fields.
    made.try_set_field(&field, value).ok()?;
    Some(made)
}

/// The paths of a mask. JSON writes `displayName` for `display_name`; clients write either.
fn mask(text: &str) -> Option<Vec<Value>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let paths = text.split(',').map(|path| {
        let is_path = !path.is_empty() && path.split('.').all(|step| !step.is_empty());
        if !is_path || !path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.*".contains(&byte)) {
            return None;
        }
        let mut spelled = String::with_capacity(path.len());
        for letter in path.chars() {
            if letter.is_ascii_uppercase() {
                spelled.push('_');
            }
            spelled.push(letter.to_ascii_lowercase());
        }
        Some(Value::String(spelled))
    });
    paths.collect()
}
