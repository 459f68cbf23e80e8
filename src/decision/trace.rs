//! What a decision found out on its way.

use std::sync::Arc;

use super::stage_times::StageTimes;
use crate::catalog::Call;
use crate::policy::Consulted;
use crate::principal::Caller;
use crate::reason::Stage;

/// How far a decision got, and what it knew by then. The audit line, `explain` and `diff` are written from it, whether the
/// request was allowed or refused.
#[derive(Debug, Default)]
pub struct Trace {
    /// The method that the request calls.
    pub call: Option<Arc<Call>>,
    /// Who calls it.
    pub caller: Option<Arc<Caller>>,
    /// Whether policy granted the permission, even if a later stage refused.
    pub granted: bool,
    /// Which attributes of the request the conditions read.
    pub consulted: Consulted,
    /// The stage that was reached: the one that refused, where one did.
    pub stage: Stage,
    /// How long each stage took, where a clock was given.
    pub times: StageTimes,
}
