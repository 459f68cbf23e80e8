//! The functions of CEL and of IAM: a table of their names and types, and what they do.

use std::borrow::Cow;

use super::budget::Budget;
use super::calendar::{self, TimePart, Zone};
use super::compare;
use super::convert;
use super::environment::Type;
use super::fault::EvaluationError;
use super::pattern::MatchPattern;
use super::strings;
use super::value::{Value, ValueKind};

/// One list of parameters of a function.
pub(super) struct Overload {
    pub(super) name: &'static str,
    pub(super) form: Form,
    /// The receiver comes first.
    pub(super) parameters: &'static [Shape],
    pub(super) result: Shape,
    pub(super) function: Function,
    /// Only with [`Environment::with_iam_extensions`](super::Environment::with_iam_extensions).
    pub(super) iam: bool,
}

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `size(x)`
    Plain,
    /// `x.startsWith(y)`
    Receiver,
    /// Either way.
    Both,
}

/// A type in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    Type,
    List,
    Strings,
    Map,
    Any,
}

/// What a function does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    Type,
    Dyn,
    To(ValueKind),
    Date,
    Matches,
    Contains,
    StartsWith,
    EndsWith,
    Part(TimePart),
    Extract,
    HasOnly,
    LowerAscii,
    UpperAscii,
    Split,
    Join,
}

impl Shape {
    pub(super) fn to_type(self) -> Type {
        match self {
            Self::Bool => Type::Bool,
            Self::Int => Type::Int,
            Self::Uint => Type::Uint,
            Self::Double => Type::Double,
            Self::String => Type::String,
            Self::Bytes => Type::Bytes,
            Self::Timestamp => Type::Timestamp,
            Self::Duration => Type::Duration,
            Self::Type => Type::Type,
            Self::List => Type::list(Type::Dyn),
            Self::Strings => Type::list(Type::String),
            Self::Map => Type::map(Type::Dyn, Type::Dyn),
            Self::Any => Type::Dyn,
        }
    }
}

const fn plain(
    name: &'static str,
    parameters: &'static [Shape],
    result: Shape,
    function: Function,
) -> Overload {
    Overload { name, form: Form::Plain, parameters, result, function, iam: false }
}

const fn both(
    name: &'static str,
    parameters: &'static [Shape],
    result: Shape,
    function: Function,
) -> Overload {
    Overload { name, form: Form::Both, parameters, result, function, iam: false }
}

const fn method(
    name: &'static str,
    parameters: &'static [Shape],
    result: Shape,
    function: Function,
) -> Overload {
    Overload { name, form: Form::Receiver, parameters, result, function, iam: false }
}

const fn iam(overload: Overload) -> Overload {
    Overload { iam: true, ..overload }
}

const fn time(name: &'static str, part: TimePart) -> Overload {
    method(name, &[Shape::Timestamp], Shape::Int, Function::Part(part))
}

const fn zoned(name: &'static str, part: TimePart) -> Overload {
    method(name, &[Shape::Timestamp, Shape::String], Shape::Int, Function::Part(part))
}

const fn stretch(name: &'static str, part: TimePart) -> Overload {
    method(name, &[Shape::Duration], Shape::Int, Function::Part(part))
}

/// All of them.
pub(super) const OVERLOADS: &[Overload] = &[
    both("size", &[Shape::String], Shape::Int, Function::Size),
    both("size", &[Shape::Bytes], Shape::Int, Function::Size),
    both("size", &[Shape::List], Shape::Int, Function::Size),
    both("size", &[Shape::Map], Shape::Int, Function::Size),
    plain("type", &[Shape::Any], Shape::Type, Function::Type),
    plain("dyn", &[Shape::Any], Shape::Any, Function::Dyn),
    plain("bool", &[Shape::Bool], Shape::Bool, Function::To(ValueKind::Bool)),
    plain("bool", &[Shape::String], Shape::Bool, Function::To(ValueKind::Bool)),
    plain("int", &[Shape::Int], Shape::Int, Function::To(ValueKind::Int)),
    plain("int", &[Shape::Uint], Shape::Int, Function::To(ValueKind::Int)),
    plain("int", &[Shape::Double], Shape::Int, Function::To(ValueKind::Int)),
    plain("int", &[Shape::String], Shape::Int, Function::To(ValueKind::Int)),
    plain("int", &[Shape::Timestamp], Shape::Int, Function::To(ValueKind::Int)),
    plain("uint", &[Shape::Uint], Shape::Uint, Function::To(ValueKind::Uint)),
    plain("uint", &[Shape::Int], Shape::Uint, Function::To(ValueKind::Uint)),
    plain("uint", &[Shape::Double], Shape::Uint, Function::To(ValueKind::Uint)),
    plain("uint", &[Shape::String], Shape::Uint, Function::To(ValueKind::Uint)),
    plain("double", &[Shape::Double], Shape::Double, Function::To(ValueKind::Double)),
    plain("double", &[Shape::Int], Shape::Double, Function::To(ValueKind::Double)),
    plain("double", &[Shape::Uint], Shape::Double, Function::To(ValueKind::Double)),
    plain("double", &[Shape::String], Shape::Double, Function::To(ValueKind::Double)),
    plain("string", &[Shape::String], Shape::String, Function::To(ValueKind::String)),
    plain("string", &[Shape::Bool], Shape::String, Function::To(ValueKind::String)),
    plain("string", &[Shape::Int], Shape::String, Function::To(ValueKind::String)),
    plain("string", &[Shape::Uint], Shape::String, Function::To(ValueKind::String)),
    plain("string", &[Shape::Double], Shape::String, Function::To(ValueKind::String)),
    plain("string", &[Shape::Bytes], Shape::String, Function::To(ValueKind::String)),
    plain("string", &[Shape::Timestamp], Shape::String, Function::To(ValueKind::String)),
    plain("string", &[Shape::Duration], Shape::String, Function::To(ValueKind::String)),
    plain("bytes", &[Shape::Bytes], Shape::Bytes, Function::To(ValueKind::Bytes)),
    plain("bytes", &[Shape::String], Shape::Bytes, Function::To(ValueKind::Bytes)),
    plain("timestamp", &[Shape::Timestamp], Shape::Timestamp, Function::To(ValueKind::Timestamp)),
    plain("timestamp", &[Shape::String], Shape::Timestamp, Function::To(ValueKind::Timestamp)),
    plain("timestamp", &[Shape::Int], Shape::Timestamp, Function::To(ValueKind::Timestamp)),
    plain("duration", &[Shape::Duration], Shape::Duration, Function::To(ValueKind::Duration)),
    plain("duration", &[Shape::String], Shape::Duration, Function::To(ValueKind::Duration)),
    both("matches", &[Shape::String, Shape::String], Shape::Bool, Function::Matches),
    method("contains", &[Shape::String, Shape::String], Shape::Bool, Function::Contains),
    method("startsWith", &[Shape::String, Shape::String], Shape::Bool, Function::StartsWith),
    method("endsWith", &[Shape::String, Shape::String], Shape::Bool, Function::EndsWith),
    time("getFullYear", TimePart::FullYear),
    zoned("getFullYear", TimePart::FullYear),
    time("getMonth", TimePart::Month),
    zoned("getMonth", TimePart::Month),
    time("getDate", TimePart::Date),
    zoned("getDate", TimePart::Date),
    time("getDayOfMonth", TimePart::DayOfMonth),
    zoned("getDayOfMonth", TimePart::DayOfMonth),
    time("getDayOfWeek", TimePart::DayOfWeek),
    zoned("getDayOfWeek", TimePart::DayOfWeek),
    time("getDayOfYear", TimePart::DayOfYear),
    zoned("getDayOfYear", TimePart::DayOfYear),
    time("getHours", TimePart::Hours),
    zoned("getHours", TimePart::Hours),
    stretch("getHours", TimePart::Hours),
    time("getMinutes", TimePart::Minutes),
    zoned("getMinutes", TimePart::Minutes),
    stretch("getMinutes", TimePart::Minutes),
    time("getSeconds", TimePart::Seconds),
    zoned("getSeconds", TimePart::Seconds),
    stretch("getSeconds", TimePart::Seconds),
    time("getMilliseconds", TimePart::Milliseconds),
    zoned("getMilliseconds", TimePart::Milliseconds),
    stretch("getMilliseconds", TimePart::Milliseconds),
    iam(plain("date", &[Shape::String], Shape::Timestamp, Function::Date)),
    iam(method("extract", &[Shape::String, Shape::String], Shape::String, Function::Extract)),
    iam(method("hasOnly", &[Shape::List, Shape::List], Shape::Bool, Function::HasOnly)),
    iam(method("lowerAscii", &[Shape::String], Shape::String, Function::LowerAscii)),
    iam(method("upperAscii", &[Shape::String], Shape::String, Function::UpperAscii)),
    iam(method("split", &[Shape::String, Shape::String], Shape::Strings, Function::Split)),
    iam(method("split", &[Shape::String, Shape::String, Shape::Int], Shape::Strings, Function::Split)),
    iam(method("join", &[Shape::Strings], Shape::String, Function::Join)),
    iam(method("join", &[Shape::Strings, Shape::String], Shape::String, Function::Join)),
];

/// The function's value. Faults that the types at load do not show are found here.
pub(super) fn apply<'v>(
    function: Function,
    arguments: &[Value<'v>],
    budget: &mut Budget,
) -> Result<Value<'v>, EvaluationError> {
    match (function, arguments) {
        (Function::Size, [value]) => size(value, budget),
        (Function::Type, [value]) => Ok(Value::Type(value.kind())),
        (Function::Dyn, [value]) => value.copy(budget),
        (Function::To(kind), [value]) => convert::to(kind, value, budget),
        (Function::Date, [Value::String(text)]) => calendar::parse_date(text)
            .map(Value::Timestamp)
            .ok_or(EvaluationError::text("this string is not a date")),
        (Function::Matches, [Value::String(text), Value::String(pattern)]) => {
            MatchPattern::compile_late(pattern, budget)?.is_found_in(text, budget).map(Value::Bool)
        }
        (Function::Contains, [Value::String(text), Value::String(part)]) => {
            budget.charge(text.len() + part.len())?;
            Ok(Value::Bool(text.contains(part.as_ref())))
        }
        (Function::StartsWith, [Value::String(text), Value::String(part)]) => {
            budget.charge(text.len().min(part.len()))?;
            Ok(Value::Bool(text.starts_with(part.as_ref())))
        }
        (Function::EndsWith, [Value::String(text), Value::String(part)]) => {
            budget.charge(text.len().min(part.len()))?;
            Ok(Value::Bool(text.ends_with(part.as_ref())))
        }
        (Function::Part(part), [Value::Timestamp(time)]) => {
            Ok(Value::Int(calendar::part_of_time(part, *time, &Zone::UTC)))
        }
        (Function::Part(part), [Value::Timestamp(time), Value::String(zone)]) => {
            budget.charge(ZONE_COST)?;
            let zone = Zone::parse(zone).ok_or(EvaluationError::text("this string is not a time zone"))?;
            Ok(Value::Int(calendar::part_of_time(part, *time, &zone)))
        }
        (Function::Part(part), [Value::Duration(duration)]) => calendar::part_of_duration(part, *duration)
            .map(Value::Int)
            .ok_or(EvaluationError::text("durations have hours, minutes, seconds and milliseconds")),
        (Function::Extract, [Value::String(text), Value::String(template)]) => {
            strings::extract(text, template, budget).map(Value::String)
        }
        (Function::HasOnly, [Value::List(list), allowed @ Value::List(_)]) => {
            for value in list.values() {
                if !compare::contains(allowed, value, budget)? {
                    return Ok(Value::Bool(false));
                }
            }
            Ok(Value::Bool(true))
        }
        (Function::LowerAscii, [Value::String(text)]) => {
            strings::change_case(text, false, budget).map(Value::String)
        }
        (Function::UpperAscii, [Value::String(text)]) => {
            strings::change_case(text, true, budget).map(Value::String)
        }
        (Function::Split, [Value::String(text), Value::String(separator)]) => {
            strings::split(text, separator, -1, budget)
        }
        (Function::Split, [Value::String(text), Value::String(separator), Value::Int(limit)]) => {
            strings::split(text, separator, *limit, budget)
        }
        (Function::Join, [Value::List(list)]) => strings::join(list, "", budget),
        (Function::Join, [Value::List(list), Value::String(separator)]) => {
            strings::join(list, separator, budget)
        }
        _ => Err(no_overload(function)),
    }
}

/// A zone that is only known at the evaluation is looked up in the database, and some are parsed.
const ZONE_COST: usize = 2_000;

fn size<'v>(value: &Value<'v>, budget: &mut Budget) -> Result<Value<'v>, EvaluationError> {
    let size = match value {
        Value::String(text) => {
            budget.charge(text.len())?;
            text.chars().count()
        }
        Value::Bytes(bytes) => bytes.len(),
        Value::List(list) => list.values().len(),
        Value::Map(map) => map.entries().len(),
        _ => return Err(no_overload(Function::Size)),
    };
    i64::try_from(size).map(Value::Int).map_err(|_| no_overload(Function::Size))
}

fn no_overload(function: Function) -> EvaluationError {
    let name = OVERLOADS.iter().find(|overload| overload.function == function).map_or("", |found| found.name);
    EvaluationError::Error(Cow::Owned(format!("`{name}` does not take values of these types")))
}
