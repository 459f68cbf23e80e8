//! JSON as values, as google.protobuf.Struct has it: every number is a double, names of members are strings.

use std::borrow::Cow;

use serde_json as json;

use super::value::{Key, Map, Value};

impl<'v> From<&'v json::Value> for Value<'v> {
    fn from(value: &'v json::Value) -> Self {
        match value {
            json::Value::Null => Self::Null,
            json::Value::Bool(value) => Self::Bool(*value),
            json::Value::Number(number) => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
            json::Value::String(text) => Self::String(Cow::Borrowed(text)),
            json::Value::Array(values) => Self::from(values.iter().map(Self::from).collect::<Vec<_>>()),
            json::Value::Object(members) => Self::from(members),
        }
    }
}

impl<'v> From<&'v json::Map<String, json::Value>> for Value<'v> {
    fn from(members: &'v json::Map<String, json::Value>) -> Self {
        let entries =
            members.iter().map(|(name, value)| (Key::String(Cow::Borrowed(name)), Self::from(value)));
        // Names are unique already: a map refuses nothing here.
        Map::new(entries.collect()).map_or(Self::Null, Self::Map)
    }
}

impl<'v> From<String> for Value<'v> {
    fn from(text: String) -> Self {
        Self::String(Cow::Owned(text))
    }
}
