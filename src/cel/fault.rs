//! What can go wrong: [`CompileError`] while an expression is loaded, [`EvaluationError`] while it is evaluated.

use std::borrow::Cow;
use std::ops::Range;

use thiserror::Error;

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    /// The bytes of the expression's text that it speaks of.
    pub range: Range<usize>,
    /// What is wrong, in words for a policy author.
    pub message: String,
    /// The next step.
    pub help: String,
}

impl CompileError {
    pub(super) fn new(range: Range<usize>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { range, message: message.into(), help: help.into() }
    }
}

/// Why an evaluation has no value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EvaluationError {
    /// The values do not allow the operation: a division by zero, an index outside its list.
    #[error("{0}")]
    Error(Cow<'static, str>),
    /// An attribute that is not known for this request.
    #[error("`{name}` is not known for this request")]
    Unknown {
        /// The attribute, as expressions name it.
        name: Cow<'static, str>,
    },
    /// The work allowed is used up. Nothing absorbs it: not `&&` and `||`, and no macro.
    #[error("the expression needs more work than is allowed for one decision")]
    Budget,
}

impl EvaluationError {
    pub(super) fn text(message: &'static str) -> Self {
        Self::Error(Cow::Borrowed(message))
    }
}
