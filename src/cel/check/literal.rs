//! Literals as arguments: evaluated at load where possible, so that their faults are reported then.

use super::{Checker, Typed, constants};
use crate::cel::calendar::{TimePart, Zone};
use crate::cel::environment::Type;
use crate::cel::fault::EvaluationError;
use crate::cel::function::{self, Function};
use crate::cel::node::ProgramNode;
use crate::cel::pattern::MatchPattern;
use crate::cel::strings;
use crate::cel::syntax::Expression;
use crate::cel::value::{Value, ValueKind};

impl Checker<'_> {
    /// A function of CEL or IAM on arguments that fit it. `places` is where they are written.
    pub(super) fn standard(
        &mut self,
        places: &[&Expression],
        function: Function,
        mut arguments: Vec<Typed>,
        of: Type,
    ) -> Typed {
        // A pattern that stands in the expression is compiled as one, with more room than one made in the evaluation.
        let constants = if function == Function::Matches { None } else { constants(&arguments) };
        let mut worked_out =
            constants.map(|constants| function::apply(function, &constants, &mut self.folding));
        if let Some(Ok(value)) = worked_out {
            return Typed::new(ProgramNode::Constant(value), of);
        }
        let errs = matches!(worked_out.take(), Some(Err(EvaluationError::Error(_))));
        let Some(Value::String(text)) = arguments.last().and_then(Typed::constant).cloned() else {
            return call(function, arguments, of);
        };
        let last = arguments.pop();
        let prepared = match (function, arguments.first()) {
            (Function::Matches, Some(_)) => MatchPattern::compile(&text)
                .map(Prepared::Pattern)
                .map_err(|reason| (format!("the pattern cannot be used: {reason}"), "patterns are RE2's")),
            (Function::Part(part), Some(_)) => zone(part, &text),
            _ if errs || function == Function::Extract => {
                told(function, &text).map_or(Ok(Prepared::Nothing), Err)
            }
            _ => Ok(Prepared::Nothing),
        };
        match (prepared, arguments.pop()) {
            (Ok(Prepared::Pattern(pattern)), Some(text)) => {
                Typed::new(ProgramNode::Matches { text: Box::new(text.node), pattern: Box::new(pattern) }, of)
            }
            (Ok(Prepared::Zone(part, zone)), Some(time)) => {
                Typed::new(ProgramNode::PartIn { part, time: Box::new(time.node), zone: Box::new(zone) }, of)
            }
            (Ok(_), before) => {
                arguments.extend(before);
                arguments.extend(last);
                call(function, arguments, of)
            }
            (Err((message, help)), _) => {
                let place = places.last().map(|place| place.range.clone()).unwrap_or_default();
                self.fault(&place, message, help)
            }
        }
    }
}

/// What a literal was made into.
enum Prepared {
    Pattern(MatchPattern),
    Zone(TimePart, Zone),
    Nothing,
}

fn call(function: Function, arguments: Vec<Typed>, of: Type) -> Typed {
    let arguments = arguments.into_iter().map(|argument| argument.node).collect();
    Typed::new(ProgramNode::Call { function, arguments }, of)
}

fn zone(part: TimePart, text: &str) -> Result<Prepared, (String, &'static str)> {
    let told =
        || (format!("`{text}` is not a time zone"), "write a name such as `Europe/Berlin`, or `+01:00`");
    Zone::parse(text).map(|zone| Prepared::Zone(part, zone)).ok_or_else(told)
}

/// What is wrong with a literal that a function errs on, and would on every request.
fn told(function: Function, text: &str) -> Option<(String, &'static str)> {
    match function {
        Function::To(ValueKind::Timestamp) => Some((
            format!("`{text}` is not a time"),
            "times are written as `2030-01-31T09:30:00Z`, or with an offset for `Z`: `+01:00`",
        )),
        Function::To(ValueKind::Duration) => {
            Some((format!("`{text}` is not a duration"), "durations are written as `3600s` or `1h30m`"))
        }
        Function::Date => Some((format!("`{text}` is not a date"), "dates are written as `2030-01-31`")),
        Function::Extract if strings::template_parts(text).is_none() => Some((
            format!("`{text}` is not a template of `extract`"),
            "a template has one name in braces: `projects/{project}/`",
        )),
        _ => None,
    }
}
