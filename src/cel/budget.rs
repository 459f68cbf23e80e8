//! How much work, and thereby how much memory, an evaluation may take.
//!
//! A unit is one step of the evaluator, or one byte that is read, compared or made. A value in a list or map counts
//! with its own size in memory, so that whatever an expression makes takes no more bytes than units were charged.

use super::fault::EvaluationError;

/// Units of work left. One budget is shared by all expressions of a decision.
#[derive(Debug)]
pub struct Budget {
    left: u64,
}

impl Budget {
    /// A budget of so many units.
    pub fn new(units: u64) -> Self {
        Self { left: units }
    }

    /// What is left of it; 0 once it was overdrawn.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Takes the units *before* the work is done. A charge that is larger than the rest empties the budget: every
    /// evaluation after it fails as well, so that the result of an expression does not depend on its place in the
    /// order.
    pub(super) fn charge(&mut self, units: usize) -> Result<(), EvaluationError> {
        match self.left.checked_sub(u64::try_from(units).unwrap_or(u64::MAX)) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = 0;
                Err(EvaluationError::Budget)
            }
        }
    }
}
