//! What an expression asks of its host.

use super::fault::EvaluationError;
use super::value::Value;

/// Where the values of variables come from.
pub trait Activation<'v> {
    /// The value of a variable. [`EvaluationError::Unknown`] where the attribute is not known for this request: then the
    /// expression has no value, unless `&&` or `||` is decided by its other side.
    fn variable(&self, slot: usize) -> Result<Value<'v>, EvaluationError>;

    /// The result of a function of the host. The arguments are of the types it was declared with.
    fn function(&self, slot: usize, arguments: &[Value<'v>]) -> Result<Value<'v>, EvaluationError>;
}
