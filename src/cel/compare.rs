//! Equality and order. Numbers of all three kinds are points on one line; values of different kinds are not equal,
//! and have no order.

use std::cmp::Ordering;

use super::budget::Budget;
use super::fault::EvaluationError;
use super::value::{MapKey, Value};

/// CEL's `==`. It never fails: values of different kinds are different.
pub(super) fn equal(
    left: &Value<'_>,
    right: &Value<'_>,
    budget: &mut Budget,
) -> Result<bool, EvaluationError> {
    budget.charge(1)?;
    match (left, right) {
        (Value::Null, Value::Null) => Ok(true),
        (Value::String(left), Value::String(right)) => same(left.as_bytes(), right.as_bytes(), budget),
        (Value::Bytes(left), Value::Bytes(right)) => same(left, right, budget),
        (Value::List(left), Value::List(right)) => {
            let (left, right) = (left.values(), right.values());
            if left.len() != right.len() {
                return Ok(false);
            }
            for (left, right) in left.iter().zip(right) {
                if !equal(left, right, budget)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Value::Map(left), Value::Map(right)) => {
            if left.entries().len() != right.entries().len() {
                return Ok(false);
            }
            // Both are sorted by key, and no key is there twice.
            for ((left_key, left), (right_key, right)) in left.entries().iter().zip(right.entries()) {
                budget.charge(left_key.bytes().min(right_key.bytes()))?;
                if !left_key.is(right_key) || !equal(left, right, budget)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Value::Type(left), Value::Type(right)) => Ok(left == right),
        (Value::Timestamp(left), Value::Timestamp(right)) => Ok(left == right),
        (Value::Duration(left), Value::Duration(right)) => Ok(left == right),
        (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
        _ => Ok(numbers(left, right) == Some(Ordering::Equal)),
    }
}

/// How two values stand to each other; `None` where one of them is not a number (NaN).
pub(super) fn order(
    left: &Value<'_>,
    right: &Value<'_>,
    budget: &mut Budget,
) -> Result<Option<Ordering>, EvaluationError> {
    budget.charge(1)?;
    let order = match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::String(left), Value::String(right)) => {
            budget.charge(left.len().min(right.len()))?;
            left.cmp(right)
        }
        (Value::Bytes(left), Value::Bytes(right)) => {
            budget.charge(left.len().min(right.len()))?;
            left.cmp(right)
        }
        (Value::Timestamp(left), Value::Timestamp(right)) => left.cmp(right),
        (Value::Duration(left), Value::Duration(right)) => left.cmp(right),
        (
            Value::Int(_) | Value::Uint(_) | Value::Double(_),
            Value::Int(_) | Value::Uint(_) | Value::Double(_),
        ) => return Ok(numbers(left, right)),
        _ => {
            return Err(EvaluationError::text(
                "only numbers, strings, bytes, booleans and times of one kind have an order",
            ));
        }
    };
    Ok(Some(order))
}

/// CEL's `in`: a value of a list, or a key of a map.
pub(super) fn contains(
    collection: &Value<'_>,
    wanted: &Value<'_>,
    budget: &mut Budget,
) -> Result<bool, EvaluationError> {
    match collection {
        Value::List(list) => {
            for value in list.values() {
                if equal(value, wanted, budget)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::Map(_) => Ok(at_key(collection, wanted, budget)?.is_some()),
        _ => Err(EvaluationError::text("`in` looks into lists and maps")),
    }
}

/// The value under a key of a map. A value that cannot be a key is under none.
pub(super) fn at_key<'m, 'v>(
    map: &'m Value<'v>,
    wanted: &Value<'_>,
    budget: &mut Budget,
) -> Result<Option<&'m Value<'v>>, EvaluationError> {
    let Value::Map(map) = map else {
        return Err(EvaluationError::text("only maps have keys"));
    };
    let Some(key) = key(wanted) else { return Ok(None) };
    // A binary search compares the key with log2 of the entries.
    let comparisons = map.entries().len().checked_ilog2().map_or(0, |log| log as usize + 1);
    budget.charge(1 + comparisons * (1 + key.bytes()))?;
    Ok(map.value(&key))
}

/// The value as a key: a double that is a whole number is the key of that number.
fn key<'a>(value: &'a Value<'_>) -> Option<MapKey<'a>> {
    match value {
        Value::Bool(value) => Some(MapKey::Bool(*value)),
        Value::Int(value) => Some(MapKey::Int(*value)),
        Value::Uint(value) => Some(MapKey::Uint(*value)),
        Value::String(text) => Some(MapKey::String(text.as_ref().into())),
        Value::Double(value) => whole(*value).map(MapKey::Int),
        _ => None,
    }
}

/// The integer that a double is.
pub(super) fn whole(value: f64) -> Option<i64> {
    let inside = (-TWO_TO_63..TWO_TO_63).contains(&value) && value.fract() == 0.0;
    inside.then_some(value as i64)
}

const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;

fn same(left: &[u8], right: &[u8], budget: &mut Budget) -> Result<bool, EvaluationError> {
    if left.len() != right.len() {
        return Ok(false);
    }
    budget.charge(left.len())?;
    Ok(left == right)
}

fn numbers(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::Double(left), Value::Double(right)) => left.partial_cmp(right),
        (Value::Double(left), right) => double_and_integer(*left, right),
        (left, Value::Double(right)) => double_and_integer(*right, left).map(Ordering::reverse),
        (left, right) => Some(integer(left)?.cmp(&integer(right)?)),
    }
}

fn integer(value: &Value<'_>) -> Option<i128> {
    match value {
        Value::Int(value) => Some(i128::from(*value)),
        Value::Uint(value) => Some(i128::from(*value)),
        _ => None,
    }
}

/// As Google's implementations have it, and the conformance cases want: within the range of its type, the integer is
/// rounded to a double; outside, no rounding makes the two equal.
fn double_and_integer(double: f64, integer: &Value<'_>) -> Option<Ordering> {
    let (least, most, rounded) = match integer {
        Value::Int(value) => (-TWO_TO_63, TWO_TO_63, *value as f64),
        Value::Uint(value) => (0.0, TWO_TO_64, *value as f64),
        _ => return None,
    };
    if double.is_nan() {
        None
    } else if double < least {
        Some(Ordering::Less)
    } else if double > most {
        Some(Ordering::Greater)
    } else {
        double.partial_cmp(&rounded)
    }
}
