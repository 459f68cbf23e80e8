//! `+ - * / %` and the negative, checked: an overflow is an error and never a wrapped number.

use std::borrow::Cow;

use super::budget::Budget;
use super::fault::EvaluationError;
use super::instant::{Duration, Timestamp};
use super::syntax::Operator;
use super::value::Value;

const OVERFLOW: &str = "the result is outside the range of its type";
const ZERO: &str = "division by zero";

/// One of the five operators on two values.
pub(super) fn apply<'v>(
    operator: Operator,
    left: Value<'v>,
    right: Value<'v>,
    budget: &mut Budget,
) -> Result<Value<'v>, EvaluationError> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => int(operator, left, right).map(Value::Int),
        (Value::Uint(left), Value::Uint(right)) => uint(operator, left, right).map(Value::Uint),
        (Value::Double(left), Value::Double(right)) => double(operator, left, right).map(Value::Double),
        (left, right) => match operator {
            Operator::Add => add(left, right, budget),
            Operator::Subtract => subtract(&left, &right),
            _ => Err(mismatch(operator)),
        },
    }
}

/// The negative of a value.
pub(super) fn negate<'v>(value: &Value<'v>) -> Result<Value<'v>, EvaluationError> {
    match value {
        Value::Int(value) => value.checked_neg().map(Value::Int).ok_or(EvaluationError::text(OVERFLOW)),
        Value::Double(value) => Ok(Value::Double(-value)),
        _ => Err(EvaluationError::text("only ints and doubles have a negative")),
    }
}

fn int(operator: Operator, left: i64, right: i64) -> Result<i64, EvaluationError> {
    let result = match operator {
        Operator::Add => left.checked_add(right),
        Operator::Subtract => left.checked_sub(right),
        Operator::Multiply => left.checked_mul(right),
        Operator::Divide | Operator::Modulo if right == 0 => return Err(EvaluationError::text(ZERO)),
        Operator::Divide => left.checked_div(right),
        Operator::Modulo => left.checked_rem(right),
        _ => return Err(mismatch(operator)),
    };
    result.ok_or(EvaluationError::text(OVERFLOW))
}

fn uint(operator: Operator, left: u64, right: u64) -> Result<u64, EvaluationError> {
    let result = match operator {
        Operator::Add => left.checked_add(right),
        Operator::Subtract => left.checked_sub(right),
        Operator::Multiply => left.checked_mul(right),
        Operator::Divide | Operator::Modulo if right == 0 => return Err(EvaluationError::text(ZERO)),
        Operator::Divide => left.checked_div(right),
        Operator::Modulo => left.checked_rem(right),
        _ => return Err(mismatch(operator)),
    };
    result.ok_or(EvaluationError::text(OVERFLOW))
}

/// IEEE 754: a division by zero is infinite.
fn double(operator: Operator, left: f64, right: f64) -> Result<f64, EvaluationError> {
    match operator {
        Operator::Add => Ok(left + right),
        Operator::Subtract => Ok(left - right),
        Operator::Multiply => Ok(left * right),
        Operator::Divide => Ok(left / right),
        _ => Err(mismatch(operator)),
    }
}

fn add<'v>(left: Value<'v>, right: Value<'v>, budget: &mut Budget) -> Result<Value<'v>, EvaluationError> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => {
            budget.charge(left.len() + right.len())?;
            Ok(Value::String(Cow::Owned([left, right].concat())))
        }
        (Value::Bytes(left), Value::Bytes(right)) => {
            budget.charge(left.len() + right.len())?;
            Ok(Value::Bytes(Cow::Owned([left, right].concat())))
        }
        (Value::List(left), Value::List(right)) => {
            let values = left.values().iter().chain(right.values());
            let copies: Result<Vec<_>, _> = values.map(|value| value.copy(budget)).collect();
            Ok(Value::from(copies?))
        }
        (Value::Timestamp(time), Value::Duration(duration))
        | (Value::Duration(duration), Value::Timestamp(time)) => timestamp(time.total() + duration.total()),
        (Value::Duration(left), Value::Duration(right)) => duration(left.total() + right.total()),
        _ => Err(mismatch(Operator::Add)),
    }
}

fn subtract<'v>(left: &Value<'v>, right: &Value<'v>) -> Result<Value<'v>, EvaluationError> {
    match (left, right) {
        (Value::Timestamp(left), Value::Timestamp(right)) => duration(left.total() - right.total()),
        (Value::Timestamp(left), Value::Duration(right)) => timestamp(left.total() - right.total()),
        (Value::Duration(left), Value::Duration(right)) => duration(left.total() - right.total()),
        _ => Err(mismatch(Operator::Subtract)),
    }
}

fn timestamp<'v>(total: i128) -> Result<Value<'v>, EvaluationError> {
    Timestamp::from_total(total)
        .map(Value::Timestamp)
        .ok_or(EvaluationError::text("the time is outside the years 1 to 9999"))
}

fn duration<'v>(total: i128) -> Result<Value<'v>, EvaluationError> {
    Duration::from_nanoseconds(total)
        .map(Value::Duration)
        .ok_or(EvaluationError::text("the duration is longer than 292 years"))
}

fn mismatch(operator: Operator) -> EvaluationError {
    EvaluationError::Error(Cow::Owned(format!(
        "`{}` does not work on values of these types",
        operator.symbol()
    )))
}
