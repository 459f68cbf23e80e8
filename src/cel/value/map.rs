//! Maps: entries sorted by key, so that a look-up is a binary search and equality needs no order.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use super::Value;

/// Values under keys. A copy shares them.
#[derive(Clone, Debug)]
pub struct Map<'v>(Arc<[(MapKey<'v>, Value<'v>)]>);

/// What may be a key of a map.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum MapKey<'v> {
    Bool(bool),
    Int(i64),
    Uint(u64),
    String(Cow<'v, str>),
}

impl<'v> Map<'v> {
    /// A map of the entries, or `None` where a key is given twice. `1` and `1u` are one key: they are equal.
    pub fn new(mut entries: Vec<(MapKey<'v>, Value<'v>)>) -> Option<Self> {
        entries.sort_by(|(left, _), (right, _)| left.order(right));
        let repeated = entries.array_windows().any(|[left, right]| left.0.is(&right.0));
        (!repeated).then(|| Self(entries.into()))
    }

    /// The entries, in the order of their keys.
    pub fn entries(&self) -> &[(MapKey<'v>, Value<'v>)] {
        &self.0
    }

    /// The value under a key.
    pub fn value(&self, key: &MapKey<'_>) -> Option<&Value<'v>> {
        let found = self.0.binary_search_by(|(candidate, _)| candidate.order(key)).ok()?;
        self.0.get(found).map(|(_, value)| value)
    }
}

impl<'v> MapKey<'v> {
    /// The key as a value.
    pub fn to_value(&self) -> Value<'v> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Uint(value) => Value::Uint(*value),
            Self::String(value) => Value::String(value.clone()),
        }
    }

    /// Bytes a comparison may read.
    pub(in crate::cel) fn bytes(&self) -> usize {
        match self {
            Self::String(text) => text.len(),
            _ => 0,
        }
    }

    /// Whether the two are one key.
    pub(in crate::cel) fn is(&self, other: &MapKey<'_>) -> bool {
        self.order(other).is_eq()
    }

    /// Numbers of both kinds are one line.
    fn order(&self, other: &MapKey<'_>) -> Ordering {
        match (self, other) {
            (Self::String(left), MapKey::String(right)) => left.cmp(right),
            (Self::Bool(left), MapKey::Bool(right)) => left.cmp(right),
            _ => (self.rank(), self.number()).cmp(&(other.rank(), other.number())),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Bool(_) => 0,
            Self::Int(_) | Self::Uint(_) => 1,
            Self::String(_) => 2,
        }
    }

    fn number(&self) -> i128 {
        match self {
            Self::Int(value) => i128::from(*value),
            Self::Uint(value) => i128::from(*value),
            Self::Bool(_) | Self::String(_) => 0,
        }
    }
}

impl<'v> From<&'v str> for MapKey<'v> {
    fn from(text: &'v str) -> Self {
        Self::String(Cow::Borrowed(text))
    }
}
