//! The questions and answers of the OpenID AuthZEN Authorization API 1.0: may this subject do this to that resource?
//!
//! A service that knows its caller asks here, without a request to judge. The subject is taken as it is said: who may ask is the
//! listener's to decide. No answer leads to a backend.
//!
//! ```text
//! evaluation ─► Evaluation ─► Scenario ─► stages of a decision ─► decision, with the reason in its context
//! ```

mod question;
#[cfg(test)]
mod tests;

use std::time::SystemTime;

use serde_json::{Value, json};

pub use self::question::{Batch, Evaluation, Semantic, Unanswerable, batch, single};
use crate::catalog::PermissionRule;
use crate::decision::Trace;
use crate::decision::snapshot::Snapshot;
use crate::reason::{Denial, Reason};
use crate::simulation::{Scenario, ScenarioCall};

/// Where one question is asked (section 10.1 of the specification).
pub const EVALUATION_PATH: &str = "/access/v1/evaluation";
/// Where several are asked at once.
pub const EVALUATIONS_PATH: &str = "/access/v1/evaluations";
/// Where the endpoints are told (section 9).
pub const METADATA_PATH: &str = "/.well-known/authzen-configuration";

/// The answer to one question.
#[derive(Debug)]
pub struct Evaluated {
    /// Why not, where it is not allowed.
    pub denied: Option<Denial>,
    /// How far the decision got.
    pub trace: Trace,
}

impl Evaluation {
    /// Puts it to a snapshot.
    ///
    /// # Errors
    /// Where the question names no method, or no resource.
    pub fn ask(self, snapshot: &Snapshot, now: SystemTime) -> Result<Evaluated, Unanswerable> {
        let Self { subject, action, resource, time, ip } = self;
        let Some(method) = method_of(&action, snapshot) else {
            let detail = format!("neither a method nor a permission of a method is named `{action}`");
            let denied = Some(Denial::new(Reason::MethodNotFound, detail));
            return Ok(Evaluated { denied, trace: Trace::default() });
        };
        let what = ScenarioCall::Method { method, resource, host: None };
        let scenario = Scenario { who: subject, scopes: None, what, time: time.unwrap_or(now), origin: ip };
        let simulated = scenario.ask(snapshot).map_err(|mistake| {
            Unanswerable(format!("{mistake}; {}", mistake.help(|host| format!("`//{host}/…`"))))
        })?;
        Ok(Evaluated { denied: simulated.decided.err(), trace: simulated.trace })
    }
}

/// The full name of the method that an action names: by itself, or by the permission that it requires. Policy knows permissions
/// alone, so of several methods with one permission any will do.
fn method_of(action: &str, snapshot: &Snapshot) -> Option<String> {
    let methods = snapshot.catalog.methods();
    let by_name = methods.iter().find(|method| method.name == action);
    let requires =
        |rule: &PermissionRule| matches!(rule, PermissionRule::Required(permission) if permission == action);
    let found = by_name.or_else(|| methods.iter().find(|method| requires(&method.permission)));
    found.map(|method| method.name.clone())
}

impl Evaluated {
    /// The answer. `id` names the audit line.
    pub fn answer(&self, id: &str, revision: &str) -> Value {
        let reason = self.denied.as_ref().map_or("ALLOWED", |denial| denial.reason().entry().name);
        json!({
            "decision": self.denied.is_none(),
            "context": { "reason": reason, "request_id": id, "policy_revision": revision },
        })
    }
}

impl Semantic {
    /// Whether the questions behind this answer are not asked any more.
    pub fn ends_with(self, is_denied: bool) -> bool {
        match self {
            Self::ExecuteAll => false,
            Self::DenyOnFirstDeny => is_denied,
            Self::PermitOnFirstPermit => !is_denied,
        }
    }
}

/// The endpoints of a decision point at `origin`, like `https://pdp.example`.
pub fn metadata(origin: &str) -> Value {
    json!({
        "policy_decision_point": origin,
        "access_evaluation_endpoint": format!("{origin}{EVALUATION_PATH}"),
        "access_evaluations_endpoint": format!("{origin}{EVALUATIONS_PATH}"),
    })
}
