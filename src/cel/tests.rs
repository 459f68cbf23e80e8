//! The language as a whole; the parts test themselves.

use super::*;

mod bounds;
mod faults;
mod properties;
mod semantics;

/// What expressions of these tests may name.
fn environment() -> Environment {
    Environment::new()
        .variable("resource.name", Type::String)
        .variable("resource.service", Type::String)
        .variable("request.time", Type::Timestamp)
        .variable("request.path", Type::String)
        .variable("claims", Type::map(Type::String, Type::Dyn))
        .variable("anything", Type::Dyn)
        .function("resource.matchTag", &[Type::String, Type::String], Type::Bool)
        .function("api.getAttribute", &[Type::String, Type::list(Type::Dyn)], Type::Dyn)
        .with_iam_extensions()
}

const NAME: &str = "projects/demo/locations/europe-west1/operations/o-1";

struct Request;

impl<'v> Activation<'v> for Request {
    fn variable(&self, slot: usize) -> Result<Value<'v>, EvaluationError> {
        match slot {
            0 => Ok(Value::from(NAME)),
            // Friday, 13 February 2009.
            2 => Ok(Value::Timestamp(Timestamp::from_unix(1_234_567_890, 123_456_789).unwrap())),
            3 => Err(EvaluationError::Unknown { name: "request.path".into() }),
            4 => {
                let groups = Value::from(vec![Value::from("oncall"), Value::from("leads")]);
                let entries = vec![(MapKey::from("groups"), groups), (MapKey::from("age"), Value::Int(42))];
                Ok(Value::Map(Map::new(entries).unwrap()))
            }
            5 => Ok(Value::Int(7)),
            other => panic!("no variable has slot {other}"),
        }
    }

    fn function(&self, slot: usize, arguments: &[Value<'v>]) -> Result<Value<'v>, EvaluationError> {
        match (slot, arguments) {
            (0, [Value::String(key), Value::String(value)]) => {
                Ok(Value::Bool(key == "env" && value == "prod"))
            }
            (1, [Value::String(_), default]) => Ok(default.clone()),
            other => panic!("{other:?} is not a call"),
        }
    }
}

/// The value of an expression as text, or what it fails with.
fn value_of(text: &str) -> String {
    let program = match Program::compile(text, &environment(), &Type::Dyn) {
        Ok(program) => program,
        Err(faults) => return format!("fault: {}", faults[0].message),
    };
    match program.evaluate(&Request, &mut Budget::new(1_000_000)) {
        Ok(value) => print(&value),
        Err(failure) => format!("failure: {failure}"),
    }
}

fn print(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => format!("{value}u"),
        Value::Double(value) => format!("{value:?}"),
        Value::String(text) => format!("'{text}'"),
        Value::Bytes(bytes) => format!("b{bytes:?}"),
        Value::Timestamp(time) => calendar::print_time(*time),
        Value::Duration(duration) => calendar::print_duration(*duration),
        Value::List(list) => {
            format!("[{}]", list.values().iter().map(print).collect::<Vec<_>>().join(", "))
        }
        Value::Map(map) => {
            let entry = |(key, value): &(MapKey<'_>, Value<'_>)| {
                format!("{}: {}", print(&key.to_value()), print(value))
            };
            format!("{{{}}}", map.entries().iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        Value::Type(kind) => kind.to_string(),
    }
}

#[test]
fn programs_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Program>();
    shared::<Environment>();
}

#[test]
fn a_program_tells_what_it_reads() {
    let text = "resource.name == 'a' && !(request.time < request.time) || resource.matchTag('a', 'b') \
                || ['a'].all(x, x == resource.name && x != '')";
    let program = Program::compile(text, &environment(), &Type::Bool).unwrap();
    assert_eq!(program.text(), text);
    assert_eq!(program.variables().collect::<Vec<_>>(), [0, 2]);
    assert_eq!(program.functions().collect::<Vec<_>>(), [0]);
    assert_eq!(program.logic_operators(), 5);
}

/// The checker relies on the host's types; the evaluation does not.
#[test]
fn a_host_that_answers_with_another_type_is_not_believed() {
    struct Liar;
    impl<'v> Activation<'v> for Liar {
        fn variable(&self, _: usize) -> Result<Value<'v>, EvaluationError> {
            Ok(Value::Int(1))
        }

        fn function(&self, _: usize, _: &[Value<'v>]) -> Result<Value<'v>, EvaluationError> {
            Ok(Value::from("true"))
        }
    }
    for text in [
        "resource.name.startsWith('')",
        "resource.matchTag('a', 'b')",
        "resource.matchTag('a', 'b') && true",
        "!resource.matchTag('a', 'b')",
        "resource.matchTag('a', 'b') ? true : true",
        "request.time.getHours() == 1",
        "request.time < timestamp(0)",
        "resource.name.matches('1')",
        "has(claims.a)",
    ] {
        let program = Program::compile(text, &environment(), &Type::Bool).unwrap();
        let result = program.evaluate(&Liar, &mut Budget::new(1000));
        assert!(matches!(result, Err(EvaluationError::Error(_))), "{text}: {result:?}");
    }
}

#[test]
fn a_value_of_unknown_type_is_checked_when_it_is_known() {
    let evaluate = |text: &str, expected: &Type| {
        let program = Program::compile(text, &environment(), expected).unwrap();
        program.evaluate(&Request, &mut Budget::new(1000)).map(|value| print(&value))
    };
    assert_eq!(evaluate("claims.age", &Type::Int).unwrap(), "42");
    assert!(evaluate("claims.age", &Type::String).is_err());
    assert_eq!(evaluate("claims.groups", &Type::list(Type::String)).unwrap(), "['oncall', 'leads']");
    assert!(evaluate("claims.groups", &Type::list(Type::Int)).is_err());
    assert_eq!(
        evaluate("claims", &Type::map(Type::String, Type::Dyn)).unwrap(),
        print(&Request.variable(4).unwrap())
    );
    assert!(evaluate("dyn(claims)", &Type::map(Type::String, Type::Int)).is_err());
    assert!(evaluate("dyn(claims)", &Type::map(Type::Int, Type::Dyn)).is_err());
    assert!(evaluate("resource.matchTag('env', anything)", &Type::Bool).is_err());
}
