//! The members of an object as fields of a message: known, each given once, one of a oneof.

use prost_reflect::{DynamicMessage, FieldDescriptor, ReflectMessage, Value};
use serde::de::{self, Deserialize, MapAccess};

use super::reading::{Reading, VALUES_OF_A_MESSAGE};
use crate::transcode::field_path;

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

    /// Reads one member. `read` reads the value of the field; without a field it passes over the value.
    pub(super) fn member<E: de::Error>(
        &mut self,
        name: &str,
        read: impl FnOnce(Option<&FieldDescriptor>) -> Result<Option<Value>, E>,
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
            let Some(value) = read(Some(&field))? else { return Ok(()) };
            let set = field_path::set(&mut self.message, &field, value);
            set.map_err(|_| reading.stop_at("another field of its oneof is given."))
        })
    }

    pub(super) fn finish(self) -> DynamicMessage {
        self.message
    }
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
            return Err(reading.twice(&name));
        }
        reading.count(1)?;
        members.push((name, map.next_value()?));
    }
    Ok(members)
}
