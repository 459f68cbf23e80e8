//! CEL against the public conformance cases (cel-spec, Apache-2.0), read from the folder `OPGATE_CORPORA` names.
//!
//! A case passes if the value is the expected one. A case that must fail passes if it is refused at load or fails at
//! the evaluation. opgate refuses at load what it does not have (messages, expressions that nothing checks): those
//! cases are counted by class, and a case that leaves its class fails the test.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opgate::cel::{
    Activation, Budget, CompileError, Duration, Environment, EvaluationError, List, Map, MapKey, Program,
    Type, Value, ValueKind,
};
use serde_json::Value as Json;

use crate::harness::corpora;

/// Why cases that have a value are refused, and how many there are of each.
const REFUSED: &[(&str, usize)] = &[
    ("messages are not supported: IAM has none", 57),
    ("a type or name that only an unchecked expression may hold", 16),
];

/// The copy of this case in the corpus contradicts itself: it expects a backslash, and its expression holds none.
const DAMAGED: &str = "parse/bytes_literals/triple_single_quoted_unescaped_punctuation";

struct Bindings(Vec<Value<'static>>);

impl<'v> Activation<'v> for Bindings {
    fn variable(&self, slot: usize) -> Result<Value<'v>, EvaluationError> {
        Ok(self.0[slot].clone())
    }

    fn function(&self, _: usize, _: &[Value<'v>]) -> Result<Value<'v>, EvaluationError> {
        panic!("the cases declare no functions")
    }
}

#[test]
fn the_conformance_cases_pass() {
    let Some(corpora) = corpora("the CEL corpus") else {
        return;
    };
    let text = std::fs::read_to_string(corpora.join("cel/cel_simple_tests_half.json")).unwrap();
    let cases: Vec<Json> = serde_json::from_str(&text).unwrap();
    let mut passed = 0;
    let mut refused: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for case in cases.iter().filter(|case| name(case) != DAMAGED) {
        match judge(case) {
            Verdict::Passed => passed += 1,
            Verdict::Refused(class) => *refused.entry(class).or_default() += 1,
            Verdict::Wrong(what) => wrong.push(format!("{}: {what}\n    {}", name(case), case["expr"])),
        }
    }
    eprintln!("{passed} of {} pass", cases.len());
    for (class, count) in &refused {
        eprintln!("{count} are refused at load: {class}");
    }
    assert!(wrong.is_empty(), "{} cases are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(refused, REFUSED.iter().copied().collect());
    assert_eq!(passed, cases.len() - 1 - refused.values().sum::<usize>());
}

enum Verdict {
    Passed,
    Refused(&'static str),
    Wrong(String),
}

fn judge(case: &Json) -> Verdict {
    let must_err = case.get("eval_error").is_some();
    let (environment, bindings) = environment(case);
    let text = case["expr"].as_str().unwrap();
    let program = match Program::compile(text, &environment, &Type::Dyn) {
        Ok(program) => program,
        Err(_) if must_err => return Verdict::Passed,
        Err(faults) => return refusal(case, &faults),
    };
    let mut budget = Budget::new(1_000_000);
    match program.evaluate(&bindings, &mut budget) {
        Ok(value) if must_err => Verdict::Wrong(format!("must err, and yields {value:?}")),
        Ok(value) if is(&value, &case["value"]) => Verdict::Passed,
        Ok(value) => Verdict::Wrong(format!("yields {value:?}, where {} is expected", case["value"])),
        Err(_) if must_err => Verdict::Passed,
        Err(failure) => Verdict::Wrong(format!("fails ({failure}), where {} is expected", case["value"])),
    }
}

/// The class of a case that has a value and is refused; none if the checker should have accepted it.
fn refusal(case: &Json, faults: &[CompileError]) -> Verdict {
    let messages: Vec<&str> = faults.iter().map(|fault| fault.message.as_str()).collect();
    if messages.contains(&"messages are not supported") {
        return Verdict::Refused(REFUSED[0].0);
    }
    if case.get("disable_check").is_some() {
        return Verdict::Refused(REFUSED[1].0);
    }
    Verdict::Wrong(format!("is refused: {}", messages.join("; ")))
}

fn name(case: &Json) -> String {
    let part = |key: &str| case[key].as_str().unwrap_or_default().to_owned();
    format!("{}/{}/{}", part("file"), part("section"), part("name"))
}

/// The variables of a case. opgate has no containers: a name that a container would shorten is declared in short as
/// well.
fn environment(case: &Json) -> (Environment, Bindings) {
    let empty = Vec::new();
    let declared = case.get("type_env").and_then(Json::as_array).unwrap_or(&empty);
    let container = format!("{}.", case["container"].as_str().unwrap_or("-"));
    let mut variables: BTreeMap<String, (Type, Value<'static>)> = BTreeMap::new();
    for variable in declared {
        let full = variable["name"].as_str().unwrap();
        let short = full.strip_prefix(&container);
        let value = decode(&case["bindings"][full]["value"]);
        for name in [Some(full), short].into_iter().flatten() {
            let declared = (type_of(&variable["ident"]["type"]), value.clone());
            if name != full || !variables.contains_key(name) {
                variables.insert(name.to_owned(), declared);
            }
        }
    }
    let mut environment = Environment::new();
    let mut values = Vec::new();
    for (name, (of, value)) in variables {
        environment = environment.variable(&name, of);
        values.push(value);
    }
    (environment, Bindings(values))
}

fn type_of(json: &Json) -> Type {
    if let Some(map) = json.get("map_type") {
        return Type::map(type_of(&map["key_type"]), type_of(&map["value_type"]));
    }
    if let Some(list) = json.get("list_type") {
        return Type::list(type_of(&list["elem_type"]));
    }
    match json["primitive"].as_str().or(json["message_type"].as_str()).unwrap_or("-") {
        "BOOL" => Type::Bool,
        "INT64" => Type::Int,
        "STRING" => Type::String,
        "google.protobuf.Duration" => Type::Duration,
        "google.protobuf.Timestamp" => Type::Timestamp,
        _ => Type::Dyn,
    }
}

/// A value of the corpus. A value that opgate cannot hold becomes null: its case is refused before it is read.
fn decode(json: &Json) -> Value<'static> {
    let Some((kind, value)) = json.as_object().and_then(|object| object.iter().next()) else {
        return Value::Null;
    };
    let text = || value.as_str().unwrap().to_owned();
    match kind.as_str() {
        "bool_value" => Value::Bool(value.as_bool().unwrap()),
        "int64_value" => Value::Int(text().parse().unwrap()),
        "uint64_value" => Value::Uint(text().parse().unwrap()),
        "double_value" => Value::Double(value.as_f64().unwrap_or_else(|| text().parse().unwrap())),
        "string_value" => Value::String(text().into()),
        "bytes_value" => Value::Bytes(STANDARD.decode(text()).unwrap().into()),
        "type_value" => {
            let kinds = [
                ValueKind::Null,
                ValueKind::Bool,
                ValueKind::Int,
                ValueKind::Uint,
                ValueKind::Double,
                ValueKind::String,
                ValueKind::Bytes,
                ValueKind::Timestamp,
                ValueKind::Duration,
                ValueKind::List,
                ValueKind::Map,
                ValueKind::Type,
            ];
            Value::Type(kinds.into_iter().find(|kind| kind.name() == text()).unwrap())
        }
        "list_value" => {
            let values = value["values"].as_array().map(|values| values.iter().map(decode).collect());
            Value::List(List::from(values.unwrap_or_else(Vec::new)))
        }
        "map_value" => {
            let entries = value["entries"].as_array().cloned().unwrap_or_default();
            let entries = entries.iter().map(|entry| (key(decode(&entry["key"])), decode(&entry["value"])));
            Value::Map(Map::new(entries.collect()).unwrap())
        }
        "object_value" if value["@type"] == "type.googleapis.com/google.protobuf.Duration" => {
            let seconds: f64 = value["value"].as_str().unwrap().strip_suffix('s').unwrap().parse().unwrap();
            Value::Duration(Duration::from_nanoseconds((seconds * 1e9).round() as i128).unwrap())
        }
        _ => Value::Null,
    }
}

fn key(value: Value<'static>) -> MapKey<'static> {
    match value {
        Value::Bool(value) => MapKey::Bool(value),
        Value::Int(value) => MapKey::Int(value),
        Value::Uint(value) => MapKey::Uint(value),
        Value::String(value) => MapKey::String(value),
        other => panic!("{other:?} is not a key"),
    }
}

/// Whether the value is the one of the corpus, by kind as well as by content.
fn is(value: &Value<'_>, expected: &Json) -> bool {
    if expected.get("object_value").is_some() {
        return false;
    }
    same(value, &decode(expected))
}

fn same(left: &Value<'_>, right: &Value<'_>) -> bool {
    match (left, right) {
        (Value::List(left), Value::List(right)) => {
            let (left, right) = (left.values(), right.values());
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Map(left), Value::Map(right)) => {
            let (left, right) = (left.entries(), right.entries());
            left.len() == right.len()
                && left.iter().zip(right).all(|((left_key, left), (right_key, right))| {
                    same(&left_key.to_value(), &right_key.to_value()) && same(left, right)
                })
        }
        // Negative and positive zero differ, and NaN equals NaN. The JSON reader of the corpus may be off by one in the
        // last place.
        (Value::Double(left), Value::Double(right)) => {
            left.to_bits().abs_diff(right.to_bits()) <= 1 || left.is_nan() && right.is_nan()
        }
        (left, right) => format!("{left:?}") == format!("{right:?}"),
    }
}
