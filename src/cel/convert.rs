//! Conversions between types: `int('5')`, `string(1.5)`, `timestamp(0)`. A conversion that would lose more than a
//! fraction fails.

use std::borrow::Cow;

use super::budget::Budget;
use super::calendar;
use super::fault::EvaluationError;
use super::instant::Timestamp;
use super::value::{Value, ValueKind};

const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;

/// What reading or printing a number or a time costs beside its text.
const TEXT_COST: usize = 16;

/// Longer than any number or time as text: a longer text is not looked at.
const MAX_TEXT: usize = 400;

/// The value as one of another kind.
pub(super) fn to<'v>(
    kind: ValueKind,
    value: &Value<'v>,
    budget: &mut Budget,
) -> Result<Value<'v>, EvaluationError> {
    if value.kind() == kind {
        return value.copy(budget);
    }
    let converted = match (kind, value) {
        (ValueKind::String, value) => return to_string(value, budget),
        (ValueKind::Bytes, Value::String(text)) => {
            budget.charge(text.len())?;
            return Ok(Value::Bytes(match text {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.as_bytes().to_vec()),
            }));
        }
        (kind, Value::String(text)) => {
            budget.charge(TEXT_COST + text.len())?;
            if text.len() > MAX_TEXT { None } else { parse(kind, text) }
        }
        (ValueKind::Int, Value::Uint(value)) => i64::try_from(*value).ok().map(Value::Int),
        // The bounds themselves are refused: at that size a double stands for its neighbours too.
        (ValueKind::Int, Value::Double(value)) => {
            (*value > -TWO_TO_63 && *value < TWO_TO_63).then_some(Value::Int(*value as i64))
        }
        (ValueKind::Int, Value::Timestamp(time)) => Some(Value::Int(time.seconds())),
        (ValueKind::Uint, Value::Int(value)) => u64::try_from(*value).ok().map(Value::Uint),
        (ValueKind::Uint, Value::Double(value)) => {
            (*value >= 0.0 && *value < TWO_TO_64).then_some(Value::Uint(*value as u64))
        }
        (ValueKind::Double, Value::Int(value)) => Some(Value::Double(*value as f64)),
        (ValueKind::Double, Value::Uint(value)) => Some(Value::Double(*value as f64)),
        (ValueKind::Timestamp, Value::Int(seconds)) => {
            Timestamp::from_unix(*seconds, 0).map(Value::Timestamp)
        }
        _ => None,
    };
    converted.ok_or_else(|| {
        // Without the `google.protobuf.` of times.
        let wanted = kind.name().rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        let article = if kind == ValueKind::Int { "an" } else { "a" };
        EvaluationError::Error(Cow::Owned(format!("this {} is not {article} {wanted}", value.kind())))
    })
}

fn parse<'v>(kind: ValueKind, text: &str) -> Option<Value<'v>> {
    match kind {
        ValueKind::Bool => match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(Value::Bool(false)),
            _ => None,
        },
        ValueKind::Int => text.parse().ok().map(Value::Int),
        ValueKind::Uint if text.starts_with('+') => None,
        ValueKind::Uint => text.parse().ok().map(Value::Uint),
        ValueKind::Double => text.parse().ok().map(Value::Double),
        ValueKind::Timestamp => calendar::parse_time(text).map(Value::Timestamp),
        ValueKind::Duration => calendar::parse_duration(text).map(Value::Duration),
        _ => None,
    }
}

fn to_string<'v>(value: &Value<'v>, budget: &mut Budget) -> Result<Value<'v>, EvaluationError> {
    let text = match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => print_double(*value),
        Value::Timestamp(time) => calendar::print_time(*time),
        Value::Duration(duration) => calendar::print_duration(*duration),
        Value::Bytes(bytes) => {
            budget.charge(bytes.len())?;
            let text = match bytes {
                Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
                Cow::Owned(bytes) => std::str::from_utf8(bytes).ok().map(|text| Cow::Owned(text.to_owned())),
            };
            return text.map(Value::String).ok_or(EvaluationError::text("the bytes are not UTF-8"));
        }
        other => {
            let message = format!("a value of type {} has no string", other.kind());
            return Err(EvaluationError::Error(Cow::Owned(message)));
        }
    };
    budget.charge(TEXT_COST + text.len())?;
    Ok(Value::String(Cow::Owned(text)))
}

/// As Google's implementation prints it: the shortest digits, and an exponent only for the very large and small.
fn print_double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..21).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => value.to_string(),
    }
}
