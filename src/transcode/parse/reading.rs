//! What is known while a text is read: where the reader is, what was wrong, and how much may still come.

use std::cell::{Cell, RefCell};
use std::fmt::Display;

use prost_reflect::Kind;
use serde::de::{self, DeserializeSeed};

use crate::transcode::fault::{Fault, MOST_FAULTS};

/// Most values that one message may have, so that a short text does not become a large one in memory: about 64 bytes each.
const MOST_VALUES: usize = 262_144;
/// A message within it with fields takes as much as so many values.
pub(super) const VALUES_OF_A_MESSAGE: usize = 16;
/// Most messages within each other. Readers of protobuf stop at 100 (`CodedInputStream::SetRecursionLimit`).
const MOST_DEPTH: usize = 96;
/// A level of a google.protobuf.Value is a message, an entry and a value.
pub(super) const LEVELS_OF_A_VALUE: usize = 3;

/// What is known while a text is read.
#[derive(Debug)]
pub(super) struct Reading {
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
    pub(super) fn read<'t, S: DeserializeSeed<'t>>(
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
    pub(super) fn finish<T>(self, read: Result<T, serde_json::Error>) -> Result<T, Vec<Fault>> {
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
    pub(super) fn within<T>(&self, name: &str, run: impl FnOnce() -> T) -> T {
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
    pub(super) fn at<T>(&self, key: impl Display, run: impl FnOnce() -> T) -> T {
        use std::fmt::Write;
        let length = self.path.borrow().len();
        // To write to a string does not fail.
        let _ = write!(self.path.borrow_mut(), "[{key}]");
        let result = run();
        self.path.borrow_mut().truncate(length);
        result
    }

    /// Goes into a message.
    pub(super) fn deeper<T, E: de::Error>(
        &self,
        levels: usize,
        run: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
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
    pub(super) fn count<E: de::Error>(&self, values: usize) -> Result<(), E> {
        match self.left.get().checked_sub(values) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(self.stop(Fault::of_payload("It has too many values."))),
        }
    }

    /// Ends the reading.
    pub(super) fn stop<E: de::Error>(&self, fault: Fault) -> E {
        self.faults.borrow_mut().push(fault);
        E::custom("refused")
    }

    /// Ends it for a value that the field takes not.
    pub(super) fn refuse<E: de::Error>(&self, kind: &Kind, shown: &str) -> E {
        let fault = Fault::of_value(&self.path.borrow(), kind, shown);
        self.stop(fault)
    }

    /// Notes a name that the message does not have. The reading goes on to find others.
    pub(super) fn unknown(&self, name: &str) {
        let mut faults = self.faults.borrow_mut();
        if faults.len() < MOST_FAULTS {
            faults.push(Fault::unknown(&self.path.borrow(), name));
        }
    }

    /// Ends it for something about the field that is being read.
    pub(super) fn stop_at<E: de::Error>(&self, why: &str) -> E {
        let fault = Fault::of_field(&self.path.borrow(), why);
        self.stop(fault)
    }
}

impl Reading {
    /// Ends the reading for a member that is given twice.
    pub(super) fn twice<E: de::Error>(&self, name: &str) -> E {
        let fault = Fault::of_name(&self.path.borrow(), name, "It is given twice.");
        self.stop(fault)
    }

    /// Ends the reading for a name that the message does not have.
    pub(super) fn stop_unknown<E: de::Error>(&self, name: &str) -> E {
        let fault = Fault::unknown(&self.path.borrow(), name);
        self.stop(fault)
    }
}
