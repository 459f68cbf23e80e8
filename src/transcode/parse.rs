//! JSON to a message, by its descriptor, in one pass.
//!
//! `prost-reflect` reads JSON too, and leniently: the last of two members counts, and `fooBar` beside `foo_bar` is not seen.
//! It does not say where a mistake is, either. So the objects and lists are walked here, and what has no parts is read by
//! [`super::known`] and [`super::scalar`].

mod any;
mod field;
mod value;

use std::cell::{Cell, RefCell};
use std::fmt::Display;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use serde::de::{self, DeserializeSeed};

use self::field::FieldSeed;
use self::value::ValueSeed;
use super::fault::{Fault, MOST_FAULTS};

/// Most values that one message may have, so that a short text does not become a large one in memory: about 64 bytes each.
const MOST_VALUES: usize = 262_144;
/// A message within it with fields takes as much as so many values.
const VALUES_OF_A_MESSAGE: usize = 16;
/// Most messages within each other. Readers of protobuf stop at 100 (`CodedInputStream::SetRecursionLimit`).
const MOST_DEPTH: usize = 96;
/// A level of a google.protobuf.Value is a message, an entry and a value.
const LEVELS_OF_A_VALUE: usize = 3;

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

/// What is known while a text is read.
#[derive(Debug)]
struct Reading {
    /// Where the reader is: `book.shelves[1]`.
    path: RefCell<String>,
    faults: RefCell<Vec<Fault>>,
    /// How many values more may come.
    left: Cell<usize>,
    depth: Cell<usize>,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            path: RefCell::default(),
            faults: RefCell::default(),
            left: Cell::new(MOST_VALUES),
            depth: Cell::new(0),
        }
    }
}

impl Reading {
    fn read<'t, S: DeserializeSeed<'t>>(
        &self,
        text: &'t [u8],
        seed: S,
    ) -> Result<S::Value, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        let value = seed.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(value)
    }

    /// What was read, or what is wrong with it.
    fn finish<T>(self, read: Result<T, serde_json::Error>) -> Result<T, Vec<Fault>> {
        let faults = self.faults.into_inner();
        match read {
            Ok(value) if faults.is_empty() => Ok(value),
            Err(error) if faults.is_empty() => {
                let what = if error.is_eof() { "Unexpected end of string." } else { "Unexpected token." };
                Err(vec![Fault::of_payload(what)])
            }
            _ => Err(faults),
        }
    }

    /// Does something one step further.
    fn within<T>(&self, name: &str, run: impl FnOnce() -> T) -> T {
        let length = self.path.borrow().len();
        {
            let mut path = self.path.borrow_mut();
            if length > 0 {
                path.push('.');
            }
            path.push_str(name);
        }
        let result = run();
        self.path.borrow_mut().truncate(length);
        result
    }

    /// The same, within a list or a map.
    fn at<T>(&self, key: impl Display, run: impl FnOnce() -> T) -> T {
        use std::fmt::Write;
        let length = self.path.borrow().len();
        // To write to a string does not fail.
        let _ = write!(self.path.borrow_mut(), "[{key}]");
        let result = run();
        self.path.borrow_mut().truncate(length);
        result
    }

    /// Goes into a message.
    fn deeper<T, E: de::Error>(&self, levels: usize, run: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let depth = self.depth.get();
        if depth + levels > MOST_DEPTH {
            return Err(self.stop(Fault::of_payload("Message too deep. Max recursion depth reached.")));
        }
        self.depth.set(depth + levels);
        let result = run();
        self.depth.set(depth);
        result
    }

    /// Counts values.
    fn count<E: de::Error>(&self, values: usize) -> Result<(), E> {
        match self.left.get().checked_sub(values) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(self.stop(Fault::of_payload("It has too many values."))),
        }
    }

    /// Ends the reading.
    fn stop<E: de::Error>(&self, fault: Fault) -> E {
        self.faults.borrow_mut().push(fault);
        E::custom("refused")
    }

    /// Ends it for a value that the field takes not.
    fn refuse<E: de::Error>(&self, kind: &Kind, shown: &str) -> E {
        let fault = Fault::of_value(&self.path.borrow(), kind, shown);
        self.stop(fault)
    }

    /// Notes a name that the message does not have. The reading goes on to find others.
    fn unknown(&self, name: &str) {
        let mut faults = self.faults.borrow_mut();
        if faults.len() < MOST_FAULTS {
            faults.push(Fault::unknown(&self.path.borrow(), name));
        }
    }

    /// Ends it for something about the field that is being read.
    fn stop_at<E: de::Error>(&self, why: &str) -> E {
        let fault = Fault::of_field(&self.path.borrow(), why);
        self.stop(fault)
    }
}
