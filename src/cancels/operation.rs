//! What a `google.longrunning.Operation` in JSON says: whether it is done, and how it ended.

use super::outcome::CancelOutcome;

/// The members of one operation that tell how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperationFacts {
    /// `name`, where it is a text that can be one.
    pub name: Option<String>,
    /// `done`.
    pub done: Option<bool>,
    /// `error`: whether it is there.
    pub has_error: bool,
    /// `error.code`, as it is written: a number, or a text.
    pub code: Option<String>,
    /// `response`: whether it is there.
    pub has_response: bool,
    /// Whether a member that matters is given twice or is of another type than the message's.
    pub is_ambiguous: bool,
}

/// What an answer says of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationSighting {
    /// It is not done.
    Running,
    /// It is over.
    Ended(CancelOutcome),
}

/// google.rpc.Code of a cancelled operation.
const CANCELLED: f64 = 1.0;

impl OperationFacts {
    /// What they say. `None` for nothing: they can be read in two ways, or the client asked for some fields alone
    /// (`is_masked`) and those do not tell.
    ///
    /// Proto JSON leaves away what has its default: without `done`, an operation runs.
    pub fn sighting(&self, is_masked: bool) -> Option<OperationSighting> {
        if self.is_ambiguous {
            return None;
        }
        let outcome = match self.done {
            None if is_masked => return None,
            None | Some(false) => return Some(OperationSighting::Running),
            Some(true) if self.has_error => match &self.code {
                Some(code) if is_cancelled(code) => CancelOutcome::Cancelled,
                None if is_masked => return None,
                _ => CancelOutcome::Failed,
            },
            Some(true) if !self.has_response && is_masked => return None,
            Some(true) => CancelOutcome::Succeeded,
        };
        Some(OperationSighting::Ended(outcome))
    }
}

/// Whether a code is 1, however it is written: `1`, `"1"`, `1.0`, `1e0`, or by its name.
fn is_cancelled(code: &str) -> bool {
    code == "CANCELLED" || code.parse::<f64>().is_ok_and(|code| code == CANCELLED)
}
