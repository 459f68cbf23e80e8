//! Conditions: compiled or refused, evaluated within the budget or ended by it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use opgate::cel::{Activation, Budget, Environment, EvaluationError, Program, Type, Value};

struct Nothing;

impl<'v> Activation<'v> for Nothing {
    fn variable(&self, slot: usize) -> Result<Value<'v>, EvaluationError> {
        match slot {
            0 => Ok(Value::from("projects/demo/locations/eu/operations/o")),
            1 => Ok(Value::from(vec![Value::Int(1), Value::Int(2)])),
            _ => Err(EvaluationError::Unknown { name: "c".into() }),
        }
    }

    fn function(&self, _: usize, _: &[Value<'v>]) -> Result<Value<'v>, EvaluationError> {
        Ok(Value::Bool(true))
    }
}

fuzz_target!(|text: &str| {
    let environment = Environment::new()
        .with_iam_extensions()
        .variable("a", Type::String)
        .variable("b", Type::list(Type::Dyn))
        .variable("c.d", Type::Dyn)
        .function("f", &[Type::String], Type::Bool);
    match Program::compile(text, &environment, &Type::Dyn) {
        Ok(program) => {
            let mut budget = Budget::new(10_000);
            let _ = program.evaluate(&Nothing, &mut budget);
        }
        Err(faults) => {
            assert!(!faults.is_empty());
            for fault in faults {
                assert!(text.get(fault.range.clone()).is_some(), "{:?} of {text:?}", fault.range);
                assert!(!fault.message.is_empty() && !fault.help.is_empty());
            }
        }
    }
});
