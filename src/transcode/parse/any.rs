//! google.protobuf.Any: an object that says with `@type` what its other members are.

use prost::Message as _;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, Value};
use serde::de::{self, DeserializeSeed, MapAccess};
use serde_json::value::RawValue;

use super::Reading;
use super::field::{Fields, once};
use super::value::ValueSeed;
use crate::transcode::fault::Fault;
use crate::transcode::known::Known;

/// The member that names the type.
const TYPE: &str = "@type";

/// Reads an Any. Its type may stand behind the members that need it, so the members are kept as text first.
pub(super) fn read<'de, A: MapAccess<'de>>(
    reading: &Reading,
    kind: &Kind,
    message: &MessageDescriptor,
    map: A,
) -> Result<Value, A::Error> {
    let members: Vec<(String, Box<RawValue>)> = once(reading, map)?;
    if members.is_empty() {
        return Ok(Value::Message(DynamicMessage::new(message.clone())));
    }
    let named = members.iter().find(|(name, _)| name == TYPE);
    let url: Option<String> = named.and_then(|(_, text)| serde_json::from_str(text.get()).ok());
    let Some(url) = url else { return Err(reading.stop_at("its `@type` is missing, or is not a text.")) };
    // The first part is the place where the type is described, which is not looked at.
    let inner = url.rsplit_once('/').filter(|(place, _)| !place.is_empty());
    let inner = inner.and_then(|(_, name)| message.parent_pool().get_message_by_name(name));
    let Some(inner) = inner else {
        return Err(reading.refuse(kind, &format!("\"{}\"", url.escape_debug())));
    };
    let members = members.iter().filter(|(name, _)| name != TYPE);
    let packed = if Known::of(&inner) == Known::Fields && inner.full_name() != "google.protobuf.Empty" {
        let mut fields = Fields::new(reading, DynamicMessage::new(inner));
        for (name, text) in members {
            fields.member(name, |seed| match seed {
                Some(seed) => from_text(text, seed),
                None => Ok(None),
            })?;
        }
        fields.finish()
    } else {
        special(reading, inner, members)?
    };
    let value = Value::Bytes(packed.encode_to_vec().into());
    let made = super::super::known::with(message, "type_url", Value::String(url));
    let made = made.and_then(|mut any| {
        let field = message.get_field_by_name("value")?;
        any.try_set_field(&field, value).ok()?;
        Some(Value::Message(any))
    });
    made.ok_or_else(|| reading.refuse(kind, "…"))
}

/// A message whose JSON is not an object of its fields: `value` has it.
fn special<'m, E: de::Error>(
    reading: &Reading,
    inner: MessageDescriptor,
    members: impl Iterator<Item = &'m (String, Box<RawValue>)>,
) -> Result<DynamicMessage, E> {
    let mut packed = DynamicMessage::new(inner.clone());
    let kind = Kind::Message(inner);
    for (name, text) in members {
        if name != "value" {
            let fault = Fault::unknown(&reading.path.borrow(), name);
            return Err(reading.stop(fault));
        }
        if let Some(Value::Message(message)) = from_text(text, ValueSeed { reading, kind: &kind })? {
            packed = message;
        }
    }
    Ok(packed)
}

fn from_text<'t, S: DeserializeSeed<'t>, E: de::Error>(text: &'t RawValue, seed: S) -> Result<S::Value, E> {
    let mut deserializer = serde_json::Deserializer::from_str(text.get());
    // What is wrong has been noted where it was found.
    seed.deserialize(&mut deserializer).map_err(E::custom)
}
