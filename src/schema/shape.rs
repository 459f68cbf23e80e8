//! The tables that say what a file may hold: mappings with their keys, and the kinds of values.
//!
//! They are constants, written by hand. The loaders read each key by a call of its own, so there is no struct that a schema
//! could be derived from; a test compares the tables with what the loaders ask for (tests/it/schema.rs).

use crate::document::Spelling;

/// What a value may be.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Any value: it is accepted and not read.
    Any,
    /// A text.
    Text,
    /// `true` or `false`.
    Boolean,
    /// A whole number, from the first to the second.
    Whole(i64, i64),
    /// A number of at least 0.
    Number,
    /// A number from 0 to 1.
    Share,
    /// A time with its unit, like `10s`.
    Duration,
    /// A number of bytes with its unit, like `16KiB`.
    Size,
    /// The path of a file or a directory, relative to the file that names it.
    Path,
    /// One of these words.
    Words(&'static [&'static str]),
    /// This value and no other.
    Only(bool),
    /// A text that matches a regular expression, whole. The second text says it for people.
    Pattern(&'static str, &'static str),
    /// A list of values of one kind.
    List(&'static Shape),
    /// A list of values of one kind that has at least one.
    Several(&'static Shape),
    /// A list whose order means nothing.
    Set(&'static Shape),
    /// A list with one value.
    One(&'static Shape),
    /// A mapping whose keys the author chooses. The text says what a key is.
    Named(&'static str, &'static Shape),
    /// A mapping with known keys.
    Mapping(&'static Mapping),
    /// One of several kinds.
    Either(&'static [Shape]),
}

/// A mapping with known keys.
#[derive(Debug)]
pub struct Mapping {
    /// What it is called in a schema.
    pub name: &'static str,
    /// How its keys are spelled.
    pub spelling: Spelling,
    /// Its keys, in the order in which they are usually written.
    pub keys: &'static [Key],
    /// Exactly one of these keys has to be there. Empty where there is no such rule.
    pub one_of: &'static [&'static str],
    /// Whether other keys may be there, which are not read.
    pub is_open: bool,
}

/// A key of a mapping.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As it is usually written.
    pub name: &'static str,
    /// What its value may be.
    pub shape: Shape,
    /// Whether it has to be there.
    pub is_required: bool,
    /// The value that counts if it is not there, as it would be written.
    pub default: Option<&'static str>,
    /// What it says, in a sentence or two.
    pub text: &'static str,
}

impl Mapping {
    /// A mapping of ours, whose keys are spelled in one way.
    pub(super) const fn ours(name: &'static str, keys: &'static [Key]) -> Self {
        Self { name, spelling: Spelling::Exact, keys, one_of: &[], is_open: false }
    }

    /// A mapping of Google's, whose keys are spelled in snake_case or lowerCamelCase.
    pub(super) const fn proto(name: &'static str, keys: &'static [Key]) -> Self {
        Self { name, spelling: Spelling::Proto, keys, one_of: &[], is_open: false }
    }

    /// With a rule that exactly one of these keys is there.
    pub(super) const fn with_one_of(mut self, keys: &'static [&'static str]) -> Self {
        self.one_of = keys;
        self
    }

    /// With other keys, which are not read.
    pub(super) const fn open(mut self) -> Self {
        self.is_open = true;
        self
    }

    /// Where a key has its place, whichever way it is spelled. `None` for a key that the mapping does not have.
    pub fn position(&self, written: &str) -> Option<usize> {
        self.keys.iter().position(|key| self.spellings(key.name).any(|name| name == written))
    }

    /// The ways in which a key can be spelled, the usual one first.
    pub fn spellings<'k>(&self, name: &'k str) -> impl Iterator<Item = std::borrow::Cow<'k, str>> + use<'k> {
        let other = match self.spelling {
            Spelling::Exact => None,
            Spelling::Proto => Some(other_spelling(name)).filter(|other| other != name),
        };
        std::iter::once(name.into()).chain(other.map(Into::into))
    }
}

impl Key {
    /// With a value that counts if the key is not there.
    pub(super) const fn or(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }
}

/// A key that may be left out.
pub(super) const fn key(name: &'static str, shape: Shape, text: &'static str) -> Key {
    Key { name, shape, is_required: false, default: None, text }
}

/// A key that has to be there.
pub(super) const fn required(name: &'static str, shape: Shape, text: &'static str) -> Key {
    Key { name, shape, is_required: true, default: None, text }
}

/// A key that is accepted and not read.
pub(super) const fn unread(name: &'static str) -> Key {
    key(name, Shape::Any, "Accepted, and not read.")
}

/// lowerCamelCase of a name in snake_case, and the other way round.
fn other_spelling(name: &str) -> String {
    let mut other = String::with_capacity(name.len() + 4);
    let mut raise = false;
    for letter in name.chars() {
        match letter {
            '_' => raise = true,
            _ if raise => {
                other.push(letter.to_ascii_uppercase());
                raise = false;
            }
            _ if letter.is_ascii_uppercase() => {
                other.push('_');
                other.push(letter.to_ascii_lowercase());
            }
            _ => other.push(letter),
        }
    }
    other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_google_s_has_two_spellings() {
        const MAPPING: Mapping =
            Mapping::proto("x", &[key("canonical_scopes", Shape::Text, ""), key("logType", Shape::Text, "")]);
        for (written, place) in [
            ("canonical_scopes", Some(0)),
            ("canonicalScopes", Some(0)),
            ("logType", Some(1)),
            ("log_type", Some(1)),
            ("log-type", None),
        ] {
            assert_eq!(MAPPING.position(written), place, "{written}");
        }
        const OURS: Mapping = Mapping::ours("x", &[key("head_bytes", Shape::Size, "")]);
        assert_eq!(OURS.position("headBytes"), None);
    }
}
