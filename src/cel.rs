//! CEL, the Common Expression Language that IAM conditions are written in: checked when loaded, bounded when evaluated.
//!
//! Our own, since the `cel` crate (0.15) checks no types, bounds no work, gives no place to underline, fails on quoted
//! fields and dotted names of the conformance cases, and brings an ANTLR runtime.
//!
//! ```text
//! text ──► lexer ──► parser ──► check ──► fold ──► Program        all faults at load, each with its place
//!                                                     │
//!                          Activation, Budget ──► evaluate ──► Value or Failure
//! ```
//!
//! Messages of protobuf are not supported: IAM has none.

use self::check::Checked;

pub use self::activation::Activation;
pub use self::budget::Budget;
pub use self::environment::{Environment, Type};
pub use self::fault::{CompileError, EvaluationError};
pub use self::instant::{Duration, OutOfRange, Timestamp};
pub use self::value::{List, Map, MapKey, Value, ValueKind};

mod activation;
mod arithmetic;
mod budget;
mod calendar;
mod check;
mod compare;
mod convert;
mod environment;
mod evaluate;
mod fault;
mod function;
mod horizon;
mod instant;
mod json;
mod lexer;
mod literal;
mod node;
mod parser;
mod pattern;
mod strings;
mod syntax;
mod value;

/// An expression, parsed and checked. It never changes, and is cheap to evaluate many times.
#[derive(Debug)]
pub struct Program {
    text: String,
    checked: Checked,
    expected: Type,
    logic_operators: usize,
}

impl Program {
    /// The longest text of an expression.
    pub const MAX_LENGTH: usize = 64 * 1024;

    /// Parses and checks an expression that is to yield a value of the expected type. All faults of types at once.
    pub fn compile(
        text: &str,
        environment: &Environment,
        expected: &Type,
    ) -> Result<Self, Vec<CompileError>> {
        if text.len() > Self::MAX_LENGTH {
            let message = format!("the expression is longer than {} KiB", Self::MAX_LENGTH / 1024);
            return Err(vec![CompileError::new(0..text.len(), message, "split it into several conditions")]);
        }
        let (expression, logic_operators) = parser::parse(text).map_err(|fault| vec![fault])?;
        let checked = check::check(&expression, environment, expected)?;
        Ok(Self { text: text.to_owned(), checked, expected: expected.clone(), logic_operators })
    }

    /// The text it was compiled from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The slots of the variables it reads, each once, in ascending order.
    pub fn variables(&self) -> impl Iterator<Item = usize> {
        self.checked.variables.iter().copied()
    }

    /// The slots of the functions of the host it calls, each once, in ascending order.
    pub fn functions(&self) -> impl Iterator<Item = usize> {
        self.checked.functions.iter().copied()
    }

    /// How many `&&`, `||` and `!` it holds.
    pub fn logic_operators(&self) -> usize {
        self.logic_operators
    }

    /// The last moment at which it can be true, where comparisons with the time say so. `clock` is the slot of the
    /// variable that holds the time.
    pub fn horizon(&self, clock: usize) -> Option<Timestamp> {
        horizon::horizon(&self.checked.root, clock)
    }

    /// Its value for one activation.
    pub fn evaluate<'v>(
        &'v self,
        activation: &'v dyn Activation<'v>,
        budget: &mut Budget,
    ) -> Result<Value<'v>, EvaluationError> {
        evaluate::evaluate(&self.checked.root, &self.expected, activation, budget)
    }
}

#[cfg(test)]
mod tests;
