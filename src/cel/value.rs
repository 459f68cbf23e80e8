//! The values of expressions.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::budget::Budget;
use super::fault::EvaluationError;
use super::instant::{Duration, Timestamp};

pub use self::map::{Map, MapKey};

mod map;

/// A value. Strings of the request and of the expression are borrowed.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Value<'v> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Cow<'v, str>),
    Bytes(Cow<'v, [u8]>),
    Timestamp(Timestamp),
    Duration(Duration),
    List(List<'v>),
    Map(Map<'v>),
    Type(ValueKind),
}

/// Values in order. A copy shares them.
#[derive(Clone, Debug)]
pub struct List<'v>(Arc<[Value<'v>]>);

/// The kind of a value, as `type(…)` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum ValueKind {
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    List,
    Map,
    Type,
}

impl<'v> Value<'v> {
    /// Its kind.
    pub fn kind(&self) -> ValueKind {
        match self {
            Self::Null => ValueKind::Null,
            Self::Bool(_) => ValueKind::Bool,
            Self::Int(_) => ValueKind::Int,
            Self::Uint(_) => ValueKind::Uint,
            Self::Double(_) => ValueKind::Double,
            Self::String(_) => ValueKind::String,
            Self::Bytes(_) => ValueKind::Bytes,
            Self::Timestamp(_) => ValueKind::Timestamp,
            Self::Duration(_) => ValueKind::Duration,
            Self::List(_) => ValueKind::List,
            Self::Map(_) => ValueKind::Map,
            Self::Type(_) => ValueKind::Type,
        }
    }

    /// The same value for as long as this one lives: no string is copied.
    pub fn borrowed(&'v self) -> Value<'v> {
        match self {
            Self::String(text) => Value::String(Cow::Borrowed(text)),
            Self::Bytes(bytes) => Value::Bytes(Cow::Borrowed(bytes)),
            other => other.clone(),
        }
    }

    /// Bytes that a list or a map takes with everything in it; 0 for other values.
    pub(super) fn built(&self) -> usize {
        let held = |value: &Self| size_of::<Self>() + value.built();
        match self {
            Self::List(list) => list.values().iter().map(held).sum(),
            Self::Map(map) => {
                map.entries().iter().map(|(_, value)| size_of::<MapKey<'_>>() + held(value)).sum()
            }
            _ => 0,
        }
    }

    /// A copy, paid for: strings that were made in the evaluation are copied with it.
    pub(super) fn copy(&self, budget: &mut Budget) -> Result<Self, EvaluationError> {
        let bytes = match self {
            Self::String(Cow::Owned(text)) => text.len(),
            Self::Bytes(Cow::Owned(bytes)) => bytes.len(),
            _ => 0,
        };
        budget.charge(size_of::<Self>() + bytes)?;
        Ok(self.clone())
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(text: &'v str) -> Self {
        Self::String(Cow::Borrowed(text))
    }
}

impl<'v> From<Vec<Value<'v>>> for Value<'v> {
    fn from(values: Vec<Value<'v>>) -> Self {
        Self::List(List::from(values))
    }
}

impl<'v> List<'v> {
    /// The values, in order.
    pub fn values(&self) -> &[Value<'v>] {
        &self.0
    }
}

impl<'v> From<Vec<Value<'v>>> for List<'v> {
    fn from(values: Vec<Value<'v>>) -> Self {
        Self(values.into())
    }
}

impl ValueKind {
    /// All kinds, for the names that expressions know them by.
    pub(super) const ALL: [Self; 12] = [
        Self::Null,
        Self::Bool,
        Self::Int,
        Self::Uint,
        Self::Double,
        Self::String,
        Self::Bytes,
        Self::Timestamp,
        Self::Duration,
        Self::List,
        Self::Map,
        Self::Type,
    ];

    /// The name CEL gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Timestamp => "google.protobuf.Timestamp",
            Self::Duration => "google.protobuf.Duration",
            Self::List => "list",
            Self::Map => "map",
            Self::Type => "type",
        }
    }
}

impl fmt::Display for ValueKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
