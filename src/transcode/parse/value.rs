//! One value of JSON as one value of a field.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::any::{self, Members};
use super::field::Fields;
use super::reading::{LEVELS_OF_A_VALUE, Reading, VALUES_OF_A_MESSAGE};
use crate::transcode::fault::shown;
use crate::transcode::known::{self, Known};
use crate::transcode::scalar::{self, Scalar, Spelling};

/// One value. `None` for a `null` that is the lack of one.
#[derive(Clone, Copy)]
pub(super) struct ValueSeed<'r> {
    pub(super) reading: &'r Reading,
    pub(super) kind: &'r Kind,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.reading.count(1)?;
        deserializer.deserialize_any(self)
    }
}

impl ValueSeed<'_> {
    fn plain<E: de::Error>(self, scalar: Scalar<'_>) -> Result<Option<Value>, E> {
        let value = known::plain(self.kind, scalar, Spelling::Json);
        value.map(Some).ok_or_else(|| self.reading.refuse(self.kind, &shown(&scalar)))
    }

    /// The message of the field, and how it is written. `None` where it is not a message.
    fn message(&self) -> Option<(&MessageDescriptor, Known)> {
        self.kind.as_message().map(|message| (message, Known::of(message)))
    }

    /// A message of google.protobuf with one field.
    fn known<E: de::Error>(&self, message: &MessageDescriptor, name: &str, value: Value) -> Result<Value, E> {
        let made = known::with(message, name, value);
        made.map(Value::Message).ok_or_else(|| self.reading.refuse(self.kind, "…"))
    }

    /// The kind of a field of a message of google.protobuf.
    fn inner<E: de::Error>(&self, message: &MessageDescriptor, name: &str) -> Result<Kind, E> {
        let field = message.get_field_by_name(name);
        field.map(|field| field.kind()).ok_or_else(|| self.reading.refuse(self.kind, "…"))
    }

    /// The members of a google.protobuf.Struct.
    fn members<'de, A: MapAccess<'de>>(
        &self,
        message: &MessageDescriptor,
        mut map: A,
    ) -> Result<Value, A::Error> {
        let entry = self.inner(message, "fields")?;
        let of_entry = entry.as_message().filter(|entry| entry.is_map_entry());
        let Some(of_entry) = of_entry else { return Err(self.reading.refuse(self.kind, "…")) };
        let kind = of_entry.map_entry_value_field().kind();
        let mut members = HashMap::new();
        while let Some(name) = map.next_key::<String>()? {
            self.reading.within(&name.escape_debug().to_string(), || {
                self.reading.count(2 * VALUES_OF_A_MESSAGE)?;
                let value = map.next_value_seed(ValueSeed { reading: self.reading, kind: &kind })?;
                let value = value.ok_or_else(|| self.reading.refuse(&kind, "null"))?;
                match members.insert(MapKey::String(name.clone()), value) {
                    None => Ok(()),
                    Some(_) => Err(self.reading.stop_at("it is given twice.")),
                }
            })?;
        }
        self.known(message, "fields", Value::Map(members))
    }

    /// The items of a google.protobuf.ListValue.
    fn items<'de, A: SeqAccess<'de>>(
        &self,
        message: &MessageDescriptor,
        mut sequence: A,
    ) -> Result<Value, A::Error> {
        let kind = self.inner(message, "values")?;
        let mut items = Vec::new();
        loop {
            let next = self.reading.at(items.len(), || {
                self.reading.count(VALUES_OF_A_MESSAGE)?;
                sequence.next_element_seed(ValueSeed { reading: self.reading, kind: &kind })
            })?;
            match next {
                Some(Some(item)) => items.push(item),
                Some(None) => return Err(self.reading.refuse(&kind, "null")),
                None => return self.known(message, "values", Value::List(items)),
            }
        }
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Option<Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        match self.message() {
            Some((message, Known::Value)) => {
                self.known(message, "null_value", Value::EnumNumber(0)).map(Some)
            }
            None if scalar::is_null_value(self.kind) => Ok(Some(Value::EnumNumber(0))),
            _ => Ok(None),
        }
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
        self.plain(Scalar::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
        self.plain(Scalar::Signed(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
        self.plain(Scalar::Unsigned(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
        self.plain(Scalar::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
        self.plain(Scalar::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, sequence: A) -> Result<Self::Value, A::Error> {
        let reading = self.reading;
        match self.message() {
            Some((message, Known::List)) => {
                reading.deeper(LEVELS_OF_A_VALUE, || self.items(message, sequence)).map(Some)
            }
            Some((message, Known::Value)) => reading.deeper(LEVELS_OF_A_VALUE, || {
                let list = self.inner(message, "list_value")?;
                let Some(of_list) = list.as_message() else { return Err(reading.refuse(self.kind, "[…]")) };
                let items = ValueSeed { reading, kind: &list }.items(of_list, sequence)?;
                self.known(message, "list_value", items).map(Some)
            }),
            _ => Err(reading.stop_at("it is not repeated, and a list cannot stand there.")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let reading = self.reading;
        let Some((message, known)) = self.message() else { return Err(reading.refuse(self.kind, "{…}")) };
        let levels = match known {
            Known::Struct | Known::Value => LEVELS_OF_A_VALUE,
            _ => 1,
        };
        let read = reading.deeper(levels, || match known {
            Known::Fields => {
                let mut fields = Fields::new(reading, DynamicMessage::new(message.clone()));
                all(&mut fields, reading, map)?;
                Ok(Value::Message(fields.finish()))
            }
            Known::Any => any::read(reading, self.kind, message, map, packed),
            Known::Struct => self.members(message, map),
            Known::Value => {
                let object = self.inner(message, "struct_value")?;
                let Some(of_object) = object.as_message() else {
                    return Err(reading.refuse(self.kind, "{…}"));
                };
                let members = ValueSeed { reading, kind: &object }.members(of_object, map)?;
                self.known(message, "struct_value", members)
            }
            Known::Wrapper | Known::Text | Known::FieldMask | Known::List => {
                Err(reading.refuse(self.kind, "{…}"))
            }
        });
        read.map(Some)
    }
}

/// Reads all members of an object.
fn all<'de, A: MapAccess<'de>>(
    fields: &mut Fields<'_>,
    reading: &Reading,
    mut map: A,
) -> Result<(), A::Error> {
    while let Some(name) = map.next_key::<String>()? {
        fields.member(&name, |field| match field {
            Some(field) => map.next_value_seed(FieldSeed { reading, field }),
            None => map.next_value::<IgnoredAny>().map(|_| None),
        })?;
    }
    Ok(())
}

/// The message in an Any, of its members without the type.
fn packed<E: de::Error>(
    reading: &Reading,
    inner: MessageDescriptor,
    members: Members<'_>,
) -> Result<DynamicMessage, E> {
    if Known::of(&inner) == Known::Fields && inner.full_name() != "google.protobuf.Empty" {
        let mut fields = Fields::new(reading, DynamicMessage::new(inner));
        for (name, text) in members {
            fields.member(name, |field| match field {
                Some(field) => from_text(text, FieldSeed { reading, field }),
                None => Ok(None),
            })?;
        }
        return Ok(fields.finish());
    }
    // A message whose JSON is not an object of its fields: `value` has it.
    let mut packed = DynamicMessage::new(inner.clone());
    let kind = Kind::Message(inner);
    for (name, text) in members {
        if name != "value" {
            return Err(reading.stop_unknown(name));
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

/// The value of a field: one, a list or a map. `None` for `null`.
#[derive(Clone, Copy)]
pub(super) struct FieldSeed<'r> {
    pub(super) reading: &'r Reading,
    pub(super) field: &'r FieldDescriptor,
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let Self { reading, field } = self;
        let kind = field.kind();
        if field.is_list() || field.is_map() {
            deserializer.deserialize_any(RepeatedVisitor { reading, kind: &kind, is_map: field.is_map() })
        } else {
            ValueSeed { reading, kind: &kind }.deserialize(deserializer)
        }
    }
}

struct RepeatedVisitor<'r> {
    reading: &'r Reading,
    kind: &'r Kind,
    is_map: bool,
}

impl RepeatedVisitor<'_> {
    fn refuse<E: de::Error>(&self) -> E {
        let what = if self.is_map { "an object" } else { "a list" };
        self.reading.stop_at(&format!("it is repeated, and {what} is expected."))
    }
}

impl<'de> Visitor<'de> for RepeatedVisitor<'_> {
    type Value = Option<Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list or an object")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        if self.is_map {
            return Err(self.refuse());
        }
        let Self { reading, kind, .. } = self;
        let mut values = Vec::new();
        loop {
            let next = reading.at(values.len(), || {
                let next = sequence.next_element_seed(ValueSeed { reading, kind })?;
                match next {
                    Some(None) => Err(reading.refuse(kind, "null")),
                    Some(Some(value)) => Ok(Some(value)),
                    None => Ok(None),
                }
            })?;
            match next {
                Some(value) => values.push(value),
                None => return Ok(Some(Value::List(values))),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let entry = self.kind.as_message().filter(|_| self.is_map);
        let Some(entry) = entry else { return Err(self.refuse()) };
        let Self { reading, .. } = self;
        let (key_kind, value_kind) =
            (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
        let mut values = HashMap::new();
        while let Some(name) = map.next_key::<String>()? {
            let key = key(&key_kind, &name);
            let key =
                key.ok_or_else(|| reading.refuse(&key_kind, &format!("\"{}\"", name.escape_debug())))?;
            reading.at(format_args!("\"{}\"", name.escape_debug()), || {
                let seed = ValueSeed { reading, kind: &value_kind };
                // An entry of a map is a message of its own.
                let value = reading.deeper(1, || map.next_value_seed(seed))?;
                let value = value.ok_or_else(|| reading.refuse(&value_kind, "null"))?;
                match values.entry(key) {
                    Entry::Occupied(_) => Err(reading.stop_at("it is given twice.")),
                    Entry::Vacant(place) => {
                        place.insert(value);
                        Ok(())
                    }
                }
            })?;
        }
        Ok(Some(Value::Map(values)))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self::Value, E> {
        Err(self.refuse())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self::Value, E> {
        Err(self.refuse())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Self::Value, E> {
        Err(self.refuse())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self::Value, E> {
        Err(self.refuse())
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Self::Value, E> {
        Err(self.refuse())
    }
}

/// The key of a map: JSON has it as a text.
fn key(kind: &Kind, name: &str) -> Option<MapKey> {
    scalar::value(kind, Scalar::Text(name), Spelling::Text)?.into_map_key()
}
