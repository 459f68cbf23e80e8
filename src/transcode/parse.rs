//! JSON to a message, by its descriptor, in one pass.
//!
//! `prost-reflect` reads JSON too, and leniently: the last of two members counts, and `fooBar` beside `foo_bar` is not seen.
//! It does not say where a mistake is, either. So the objects and lists are walked here, and what has no parts is read by
//! [`super::known`] and [`super::scalar`].

mod any;
mod field;
mod reading;
mod value;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

use self::reading::Reading;
use self::value::{FieldSeed, ValueSeed};
use super::fault::Fault;

/// Reads the JSON of a message.
///
/// # Errors
/// Every name that it does not have, or the first other mistake.
pub(super) fn message(descriptor: &MessageDescriptor, text: &[u8]) -> Result<DynamicMessage, Vec<Fault>> {
    let root = "Unknown name \"\": Root element must be a message.";
    if !text.trim_ascii_start().starts_with(b"{") {
        return Err(vec![Fault::of_payload(root)]);
    }
    let reading = Reading::default();
    let kind = Kind::Message(descriptor.clone());
    let read = reading.read(text, ValueSeed { reading: &reading, kind: &kind });
    match reading.finish(read)? {
        Some(Value::Message(message)) => Ok(message),
        _ => Err(vec![Fault::of_payload(root)]),
    }
}

/// Reads the JSON of one field; `None` for `null`.
///
/// # Errors
/// As [`message`].
pub(super) fn field(field: &FieldDescriptor, text: &[u8]) -> Result<Option<Value>, Vec<Fault>> {
    let reading = Reading::default();
    let read = reading.within(field.name(), || reading.read(text, FieldSeed { reading: &reading, field }));
    reading.finish(read)
}
