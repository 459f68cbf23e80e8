//! The fields of a message that name the resource: found in its descriptor once, and read in each message.
//!
//! Protobuf lets a message hold a field more than once: the last one counts, and of messages all are merged. It lets another
//! member of a `oneof` take the place of one that came before. A gate that reads the first and a backend that reads the last
//! see two resources. So each field on the way to the resource may be there once, and nothing that would take its place.

use std::sync::Arc;

use prost_reflect::{Kind, MessageDescriptor};

use super::refused;
use super::wire::{WireReader, WireValue};
use crate::reason::Denial;

/// Where the texts that name the resource are in a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageFields {
    /// The paths, as the iam rule spells them.
    paths: Vec<Arc<str>>,
    steps: Vec<FieldStep>,
}

/// A field on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldStep {
    number: u32,
    /// As a person reads it: `book.name`.
    path: Box<str>,
    /// The other members of its `oneof`.
    rivals: Vec<u32>,
    leads_to: LeadsTo,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum LeadsTo {
    /// The text of the path at this place.
    Text(usize),
    /// A message, with these fields.
    Message(Vec<FieldStep>),
}

/// Why a path leads to no text of a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldFault {
    /// The message has no such field.
    #[error("`{message}` has no field `{field}`")]
    Unknown {
        /// The full name of the message.
        message: String,
        /// The field.
        field: String,
    },
    /// The field is not a text, or not a message where the path goes on.
    #[error("the field `{field}` of `{message}` is not {wanted}")]
    OtherType {
        /// The full name of the message.
        message: String,
        /// The field.
        field: String,
        /// What it has to be.
        wanted: &'static str,
    },
}

impl MessageFields {
    /// Finds the texts at these paths.
    ///
    /// # Errors
    /// Where a path leads to something else.
    pub fn find<'p>(
        message: &MessageDescriptor,
        paths: impl IntoIterator<Item = &'p str>,
    ) -> Result<Self, FieldFault> {
        let mut fields = Self::default();
        for path in paths {
            let place = fields.paths.len();
            fields.paths.push(path.into());
            add(&mut fields.steps, message, path, path, place)?;
        }
        Ok(fields)
    }

    /// The paths.
    pub fn paths(&self) -> &[Arc<str>] {
        &self.paths
    }

    /// Whether no text is looked for.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// The texts of a message, in the order of the paths; `None` for one that is not there.
    ///
    /// # Errors
    /// Where the message, as far as it is read, has two readings or none.
    pub fn read<'m>(&self, message: &'m [u8]) -> Result<Vec<Option<&'m str>>, Denial> {
        let mut found = vec![None; self.paths.len()];
        walk(&self.steps, message, &mut found)?;
        Ok(found)
    }
}

fn add(
    steps: &mut Vec<FieldStep>,
    message: &MessageDescriptor,
    whole: &str,
    path: &str,
    place: usize,
) -> Result<(), FieldFault> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let unknown = || FieldFault::Unknown { message: message.full_name().to_owned(), field: name.to_owned() };
    let field = message.get_field_by_name(name).ok_or_else(unknown)?;
    let other = |wanted: &'static str| FieldFault::OtherType {
        message: message.full_name().to_owned(),
        field: name.to_owned(),
        wanted,
    };
    if field.is_list() || field.is_map() || field.is_group() {
        return Err(other("a single value"));
    }
    let known = steps.iter().position(|step| step.number == field.number());
    let step = |leads_to: LeadsTo| {
        let passed = whole.len() - rest.map_or(0, |rest| rest.len() + 1);
        let members = field.containing_oneof().into_iter().flat_map(|oneof| {
            let numbers: Vec<u32> = oneof.fields().map(|member| member.number()).collect();
            numbers
        });
        FieldStep {
            number: field.number(),
            path: whole.get(..passed).unwrap_or(whole).into(),
            rivals: members.filter(|number| *number != field.number()).collect(),
            leads_to,
        }
    };
    match (field.kind(), rest, known) {
        (Kind::String, None, None) => steps.push(step(LeadsTo::Text(place))),
        (Kind::Message(inner), Some(rest), None) => {
            let mut below = Vec::new();
            add(&mut below, &inner, whole, rest, place)?;
            steps.push(step(LeadsTo::Message(below)));
        }
        (Kind::Message(inner), Some(rest), Some(known)) => match steps.get_mut(known) {
            Some(FieldStep { leads_to: LeadsTo::Message(below), .. }) => {
                add(below, &inner, whole, rest, place)?;
            }
            _ => return Err(other("a message")),
        },
        (_, None, _) => return Err(other("a text")),
        (_, Some(_), _) => return Err(other("a message")),
    }
    Ok(())
}

fn walk<'m>(steps: &[FieldStep], message: &'m [u8], found: &mut [Option<&'m str>]) -> Result<(), Denial> {
    let malformed =
        |fault: super::wire::WireFault| refused(format!("the request message is malformed: {fault}"));
    let mut reader = WireReader::new(message);
    let mut seen: Vec<u32> = Vec::new();
    while let Some((number, value)) = reader.next_field().map_err(malformed)? {
        if let Some(step) = steps.iter().find(|step| step.rivals.contains(&number)) {
            return Err(refused(format!(
                "another member of the `oneof` of the field `{}` is set",
                step.path
            )));
        }
        let Some(step) = steps.iter().find(|step| step.number == number) else { continue };
        if seen.contains(&number) {
            return Err(refused(format!("the field `{}` is there twice", step.path)));
        }
        seen.push(number);
        let WireValue::Delimited(bytes) = value else {
            return Err(refused(format!("the field `{}` has another wire type than its own", step.path)));
        };
        match &step.leads_to {
            LeadsTo::Message(below) => walk(below, bytes, found)?,
            LeadsTo::Text(place) => {
                let text = std::str::from_utf8(bytes)
                    .map_err(|_| refused(format!("the field `{}` is not UTF-8", step.path)))?;
                if let Some(space) = found.get_mut(*place) {
                    *space = Some(text);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
