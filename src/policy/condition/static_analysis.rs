//! Static analysis of a condition, before any request: that it is always true, or can never be.

use std::cell::{Cell, RefCell};
use std::time::SystemTime;

use super::{API_ATTRIBUTE, Condition, ConditionVariable, NEVER_KNOWN, TAG_FUNCTIONS, budget};
use crate::cel::{Activation, EvaluationError, Timestamp, Value};
use crate::policy::model::tags::Tags;

/// How a condition comes out for every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) enum StaticOutcome {
    /// It depends on the request.
    DependsOnRequest,
    /// True.
    AlwaysTrue,
    /// False.
    NeverTrue,
    /// False from now on: it was true until some time.
    Expired,
    /// Without a value, since it reads what is never known. Loading has reported that.
    NeverKnown,
    /// Without a value, for this reason.
    Failing(String),
}

/// A tag that a condition asks for by a constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) struct TagAsked {
    /// `123456789012/env` or `tagKeys/1`.
    pub(in crate::policy) key: String,
    /// Where it is asked for one: `prod` or `tagValues/2`.
    pub(in crate::policy) value: Option<String>,
}

impl Condition {
    /// How it comes out for every request from now on, and the tags that it asks for.
    pub(in crate::policy) fn analyse(&self, tags: &Tags, now: SystemTime) -> (StaticOutcome, Vec<TagAsked>) {
        let request = UnknownRequest { tags, depends: Cell::new(false), asked: RefCell::default() };
        let evaluated = self.program.evaluate(&request, &mut budget());
        let clock =
            ConditionVariable::ALL.iter().position(|variable| *variable == ConditionVariable::RequestTime);
        let horizon = clock.and_then(|slot| self.program.horizon(slot));
        let outcome = match evaluated {
            Ok(Value::Bool(true)) => StaticOutcome::AlwaysTrue,
            Ok(Value::Bool(false)) => StaticOutcome::NeverTrue,
            _ if horizon.zip(Timestamp::try_from(now).ok()).is_some_and(|(last, now)| last < now) => {
                StaticOutcome::Expired
            }
            Err(EvaluationError::Unknown { .. }) if !request.depends.get() => StaticOutcome::NeverKnown,
            Err(failure @ EvaluationError::Error(_)) if !request.depends.get() => {
                StaticOutcome::Failing(failure.to_string())
            }
            _ => StaticOutcome::DependsOnRequest,
        };
        (outcome, request.asked.into_inner())
    }
}

/// A request of which nothing is known. An outcome that was reached without reading anything of the request is the
/// outcome for every request. `&&` and `||` decide without an unknown operand where they can.
struct UnknownRequest<'t> {
    tags: &'t Tags,
    /// Whether the evaluation read anything that depends on the request.
    depends: Cell<bool>,
    asked: RefCell<Vec<TagAsked>>,
}

impl UnknownRequest<'_> {
    fn depends(&self, name: &'static str) -> EvaluationError {
        self.depends.set(true);
        EvaluationError::Unknown { name: name.into() }
    }
}

impl<'v> Activation<'v> for UnknownRequest<'_> {
    fn variable(&self, slot: usize) -> Result<Value<'v>, EvaluationError> {
        match ConditionVariable::ALL.get(slot) {
            Some(variable) if !NEVER_KNOWN.contains(variable) => Err(self.depends(variable.name())),
            Some(variable) => Err(EvaluationError::Unknown { name: variable.name().into() }),
            None => Err(EvaluationError::Error("there is no such attribute".into())),
        }
    }

    fn function(&self, slot: usize, arguments: &[Value<'v>]) -> Result<Value<'v>, EvaluationError> {
        let Some((name, spelling, _)) = TAG_FUNCTIONS.get(slot) else {
            return Err(EvaluationError::Unknown { name: API_ATTRIBUTE.into() });
        };
        let (key, value) = match arguments {
            [Value::String(key)] => (key, None),
            [Value::String(key), Value::String(value)] => (key, Some(value)),
            _ => return Err(EvaluationError::Error("a tag is named by strings".into())),
        };
        if !self.tags.are_known(*spelling) {
            return Err(EvaluationError::Unknown { name: (*name).into() });
        }
        let asked =
            TagAsked { key: key.clone().into_owned(), value: value.map(|value| value.clone().into_owned()) };
        self.asked.borrow_mut().push(asked);
        let mut values = self.tags.values(key);
        let exists = match value {
            None => values.next().is_some(),
            Some(wanted) => values.any(|value| value == wanted),
        };
        if exists { Err(self.depends(name)) } else { Ok(Value::Bool(false)) }
    }
}
