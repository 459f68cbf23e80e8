//! JSON as values, as google.protobuf.Struct has it: every number is a double, names of members are strings.

use std::borrow::Cow;

use serde_json as json;

use super::value::{Map, MapKey, Value};

impl<'v> From<&'v json::Value> for Value<'v> {
    fn from(value: &'v json::Value) -> Self {
        match value {
            json::Value::Null => Self::Null,
            json::Value::Bool(value) => Self::Bool(*value),
            json::Value::Number(number) => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
            json::Value::String(text) => Self::String(Cow::Borrowed(text)),
            json::Value::Array(values) => Self::from(values.iter().map(Self::from).collect::<Vec<_>>()),
            json::Value::Object(members) => Self::from(members),
        }
    }
}

impl<'v> From<&'v json::Map<String, json::Value>> for Value<'v> {
    fn from(members: &'v json::Map<String, json::Value>) -> Self {
        let entries =
            members.iter().map(|(name, value)| (MapKey::String(Cow::Borrowed(name)), Self::from(value)));
        // Names are unique already: a map refuses nothing here.
        Map::new(entries.collect()).map_or(Self::Null, Self::Map)
    }
}

impl<'v> From<String> for Value<'v> {
    fn from(text: String) -> Self {
        Self::String(Cow::Owned(text))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Activation, Budget, Environment, EvaluationError, Program, Type};
    use super::*;

    struct TestClaims(json::Value);

    impl<'v> Activation<'v> for &'v TestClaims {
        fn variable(&self, _: usize) -> Result<Value<'v>, EvaluationError> {
            Ok(Value::from(&self.0))
        }

        fn function(&self, _: usize, _: &[Value<'v>]) -> Result<Value<'v>, EvaluationError> {
            Err(EvaluationError::Error("there is none".into()))
        }
    }

    fn evaluate(text: &str, claims: &TestClaims, budget: &mut Budget) -> Result<bool, EvaluationError> {
        let environment = Environment::new().variable("claims", Type::map(Type::String, Type::Dyn));
        let program = Program::compile(text, &environment, &Type::Bool).unwrap();
        match program.evaluate(&claims, budget)? {
            Value::Bool(value) => Ok(value),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_kind_of_json_is_a_value() {
        let claims = TestClaims(
            json!({"n": null, "t": true, "i": 3, "d": 0.5, "s": "x", "l": [1, "a"], "m": {"k": {"j": 1}}}),
        );
        let text = "claims.n == null && claims.t && claims.i == 3 && claims.d < 1.0 && claims.s == 'x' && \
                    'a' in claims.l && 1 in claims.l && claims.m.k.j == 1 && !has(claims.x) && size(claims) == 7";
        assert_eq!(evaluate(text, &claims, &mut Budget::new(100_000)), Ok(true));
    }

    #[test]
    fn a_large_map_is_paid_for_each_time_it_is_asked_for() {
        let claims = TestClaims(json!({"groups": vec!["x"; 500]}));
        let text = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10].all(n, size(claims.groups) == 500)";
        assert_eq!(evaluate(text, &claims, &mut Budget::new(400_000)), Ok(true));
        assert_eq!(evaluate(text, &claims, &mut Budget::new(100_000)), Err(EvaluationError::Budget));
    }
}
