//! google.protobuf.Any: an object that says with `@type` what its other members are.

use prost::Message as _;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, Value};
use serde::de::MapAccess;
use serde_json::value::RawValue;

use super::field::once;
use super::reading::Reading;
use crate::transcode::known;

/// The member that names the type.
const TYPE: &str = "@type";

/// The members of an Any beside its type, as text.
pub(super) type Members<'m> = Vec<(&'m str, &'m RawValue)>;

/// Reads an Any. Its type may stand behind the members that need it, so the members are kept as text first; `unpack` reads
/// them then.
pub(super) fn read<'de, A: MapAccess<'de>>(
    reading: &Reading,
    kind: &Kind,
    message: &MessageDescriptor,
    map: A,
    unpack: impl FnOnce(&Reading, MessageDescriptor, Members<'_>) -> Result<DynamicMessage, A::Error>,
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
    let others = members.iter().filter(|(name, _)| name != TYPE);
    let packed = unpack(reading, inner, others.map(|(name, text)| (name.as_str(), &**text)).collect())?;
    let value = Value::Bytes(packed.encode_to_vec().into());
    let made = known::with(message, "type_url", Value::String(url));
    let made = made.and_then(|mut any| {
        let field = message.get_field_by_name("value")?;
        any.try_set_field(&field, value).ok()?;
        Some(Value::Message(any))
    });
    made.ok_or_else(|| reading.refuse(kind, "…"))
}
