//! Paths to fields of a message: found once, then set and read.

use std::borrow::Cow;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

use super::fault::TranscodeError;
use super::scalar;

/// The fields on the way to one.
#[derive(Clone, Debug)]
pub(super) struct FieldPath {
    outer: Vec<FieldDescriptor>,
    last: FieldDescriptor,
    /// Its name, in the spelling of the proto: `book.name`.
    name: String,
}

/// Why a field cannot be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OtherOfOneof;

/// A field by the name that the proto gives it, or by its JSON name.
pub(super) fn field(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message.get_field_by_json_name(name).or_else(|| message.get_field_by_name(name))
}

impl FieldPath {
    /// The field at a path of names with dots between them. Fields on the way are messages, one each.
    pub(super) fn find(message: &MessageDescriptor, path: &str) -> Option<Self> {
        let mut message = message.clone();
        let mut outer: Vec<FieldDescriptor> = Vec::new();
        let mut steps = path.split('.').peekable();
        while let Some(step) = steps.next() {
            let found = field(&message, step)?;
            if steps.peek().is_none() {
                let names: Vec<&str> = outer.iter().chain([&found]).map(FieldDescriptor::name).collect();
                let name = names.join(".");
                return Some(Self { outer, last: found, name });
            }
            message = match found.kind() {
                Kind::Message(inner) if !found.is_list() && !found.is_map() => inner,
                _ => return None,
            };
            outer.push(found);
        }
        None
    }

    /// The field of a path variable.
    ///
    /// # Errors
    /// Where there is none, or it is not one plain value (google/api/http.proto: not repeated, not a message).
    pub(super) fn of_variable(message: &MessageDescriptor, name: &str) -> Result<Self, TranscodeError> {
        let found = Self::find(message, name);
        let found = found.ok_or_else(|| TranscodeError::no_field("the path", name, message))?;
        let what = match found.last.kind() {
            _ if found.last.is_list() || found.last.is_map() => "repeated",
            Kind::Message(_) => "a message",
            _ => return Ok(found),
        };
        Err(TranscodeError::NotPlain { name: name.to_owned(), what })
    }

    /// The field that the path leads to.
    pub(super) fn last(&self) -> &FieldDescriptor {
        &self.last
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The first field on the way.
    pub(super) fn first(&self) -> &FieldDescriptor {
        self.outer.first().unwrap_or(&self.last)
    }

    /// The message that holds the last field, made if it is not there.
    ///
    /// # Errors
    /// Where the message has another of a oneof already.
    pub(super) fn holder<'m>(
        &self,
        message: &'m mut DynamicMessage,
    ) -> Result<Option<&'m mut DynamicMessage>, OtherOfOneof> {
        let mut holder = message;
        for step in &self.outer {
            refuse_other(holder, step)?;
            match holder.get_field_mut(step).as_message_mut() {
                Some(inner) => holder = inner,
                None => return Ok(None),
            }
        }
        refuse_other(holder, &self.last)?;
        Ok(Some(holder))
    }

    /// The text of the value that a message has there; `None` where it has none.
    pub(super) fn text(&self, message: &DynamicMessage) -> Option<String> {
        let mut holder = Cow::Borrowed(message);
        for step in &self.outer {
            if !holder.has_field(step) {
                return None;
            }
            let inner = holder.get_field(step).as_message().cloned()?;
            holder = Cow::Owned(inner);
        }
        scalar::text(&self.last.kind(), &holder.get_field(&self.last))
    }

    /// Whether a message has a value there that is not the default.
    pub(super) fn is_set(&self, message: &DynamicMessage) -> bool {
        let mut holder = Cow::Borrowed(message);
        for step in &self.outer {
            if !holder.has_field(step) {
                return false;
            }
            let Some(inner) = holder.get_field(step).as_message().cloned() else { return false };
            holder = Cow::Owned(inner);
        }
        holder.has_field(&self.last)
    }
}

fn refuse_other(message: &DynamicMessage, field: &FieldDescriptor) -> Result<(), OtherOfOneof> {
    let Some(oneof) = field.containing_oneof() else { return Ok(()) };
    let has_other = oneof.fields().any(|other| other.number() != field.number() && message.has_field(&other));
    if has_other { Err(OtherOfOneof) } else { Ok(()) }
}

/// Sets a field, if no other of its oneof is set.
pub(super) fn set(
    message: &mut DynamicMessage,
    field: &FieldDescriptor,
    value: Value,
) -> Result<(), OtherOfOneof> {
    refuse_other(message, field)?;
    message.set_field(field, value);
    Ok(())
}
