//! The members of an object as fields of a message: known, each given once, one of a oneof.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage, Value};
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::value::ValueSeed;
use super::{Reading, VALUES_OF_A_MESSAGE};
use crate::transcode::fault::Fault;
use crate::transcode::field_path;
use crate::transcode::scalar::{self, Scalar, Spelling};

/// A message while its members are read.
pub(super) struct Fields<'r> {
    reading: &'r Reading,
    message: DynamicMessage,
    /// The numbers of the fields that were given, `null` included.
    given: Vec<u32>,
}

impl<'r> Fields<'r> {
    pub(super) fn new(reading: &'r Reading, message: DynamicMessage) -> Self {
        Self { reading, message, given: Vec::new() }
    }

    /// Reads one member. `read` gives the value of a field to a seed; without a field it passes over the value.
    pub(super) fn member<E: de::Error>(
        &mut self,
        name: &str,
        read: impl FnOnce(Option<FieldSeed<'_>>) -> Result<Option<Value>, E>,
    ) -> Result<(), E> {
        let reading = self.reading;
        let Some(field) = field_path::field(&self.message.descriptor(), name) else {
            reading.unknown(name);
            return read(None).map(drop);
        };
        reading.within(field.name(), || {
            if self.given.contains(&field.number()) {
                return Err(reading.stop_at("it is given twice."));
            }
            if self.given.is_empty() {
                reading.count(VALUES_OF_A_MESSAGE)?;
            }
            self.given.push(field.number());
            let Some(value) = read(Some(FieldSeed { reading, field: &field }))? else { return Ok(()) };
            let set = field_path::set(&mut self.message, &field, value);
            set.map_err(|_| reading.stop_at("another field of its oneof is given."))
        })
    }

    /// Reads all members of an object.
    pub(super) fn all<'de, A: MapAccess<'de>>(&mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            self.member(&name, |seed| match seed {
                Some(seed) => map.next_value_seed(seed),
                None => map.next_value::<IgnoredAny>().map(|_| None),
            })?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> DynamicMessage {
        self.message
    }
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

/// A name in an object that is read as it stands, each once.
pub(super) fn once<'de, A, V>(reading: &Reading, mut map: A) -> Result<Vec<(String, V)>, A::Error>
where
    A: MapAccess<'de>,
    V: Deserialize<'de>,
{
    let mut members: Vec<(String, V)> = Vec::new();
    while let Some(name) = map.next_key::<String>()? {
        if members.iter().any(|(other, _)| *other == name) {
            let fault = Fault::of_name(&reading.path.borrow(), &name, "It is given twice.");
            return Err(reading.stop(fault));
        }
        reading.count(1)?;
        members.push((name, map.next_value()?));
    }
    Ok(members)
}
