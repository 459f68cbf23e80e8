//! Explains why the gate lets a call pass or not: the stages in their order with their findings, the parts of the
//! policy that affect the answer, and what would turn it.
//!
//! ```text
//! Scenario ─► question (the gate's answer) ──► stages ──┐
//!                     └─► policy::explain ──────────────┼─► Explained ─► text, JSON
//!                                     changes ◄─────────┘
//! ```
//!
//! The JSON is that of Google's Policy Troubleshooter as far as it goes (google.cloud.policytroubleshooter.iam.v3);
//! objects named `opgate` hold what it has no field for. Only callers who may read the policy may read this.

mod change;
pub(crate) mod holders;
mod json;
mod page;
pub(crate) mod recorded;
mod stage;
mod text;

use std::time::SystemTime;

use serde_json::Value;

pub use self::change::SuggestedChange;
pub(crate) use self::page::Page;
pub use self::stage::{StageReport, StageResult};
use crate::catalog::PermissionRule;
use crate::decision::snapshot::Snapshot;
use crate::diagnostic::Place;
use crate::policy::explain::{Explanation, Extent};
use crate::policy::{Grant, Policy, ResourceName};
use crate::simulation::{Scenario, ScenarioCaller, ScenarioError, Simulated};

/// An answer with its reasons.
#[derive(Debug)]
pub struct Explained {
    question: Scenario,
    answer: Simulated,
    /// The findings in the policy; `None` where no permission is checked, or the caller is not known.
    policy: Option<Explanation>,
    stages: Vec<StageReport>,
    changes: Vec<Vec<SuggestedChange>>,
    revision: String,
}

/// Puts a question to the gate and explains the answer.
///
/// # Errors
/// Where the question is not clear.
pub fn explain(question: Scenario, snapshot: &Snapshot, extent: Extent) -> Result<Explained, ScenarioError> {
    let answer = question.ask(snapshot)?;
    let policy = examine(&answer, snapshot, extent);
    let stages = stage::tell(&question, &answer, policy.as_ref());
    let changes = change::of(&answer, policy.as_ref(), &snapshot.catalog);
    let revision = snapshot.revision.clone();
    Ok(Explained { question, answer, policy, stages, changes, revision })
}

/// The policy's answer, even where an earlier stage refuses: after the first fix, it is the next question.
fn examine(answer: &Simulated, snapshot: &Snapshot, extent: Extent) -> Option<Explanation> {
    let call = answer.trace.call.as_ref()?;
    let caller = answer.trace.caller.as_deref();
    if caller.is_none() && !call.method.allow_without_credential {
        return None;
    }
    snapshot.policy.explain_call(call, caller, answer.attributes(call), extent)
}

impl Explained {
    /// Whether the gate lets the call pass.
    pub fn is_allowed(&self) -> bool {
        self.answer.decided.is_ok()
    }

    /// For people. At most 100 columns, but for names that are longer.
    pub fn text(&self) -> String {
        text::render(self)
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json::render(self)
    }

    /// The policy's findings.
    pub fn policy(&self) -> Option<&Explanation> {
        self.policy.as_ref()
    }

    /// Whether the answer may be another one by groups that the caller's token asserts, which the question does not have.
    pub fn depends_on_asserted_groups(&self, policy: &Policy) -> bool {
        self.policy.as_ref().is_some_and(|explained| {
            let resource = ResourceName::new(&explained.resource);
            policy.depends_on_asserted_groups(&explained.permission, resource, self.is_allowed())
        })
    }

    /// The rule that decided, where one did.
    pub fn rule(&self) -> Option<&Place> {
        match &self.answer.decided {
            Ok(permit) => Some(match permit.grant() {
                Grant::Binding(granted) => &granted.place,
                Grant::NoPermissionAsked => &permit.call().method.place,
            }),
            Err(denial) => denial.deciding_rule(),
        }
    }

    /// What would turn the answer: all of these steps, each by one of its changes.
    pub(crate) fn suggestions(&self) -> Vec<Vec<String>> {
        self.changes.iter().map(|step| step.iter().map(text::sentence).collect()).collect()
    }

    /// Why, in a sentence.
    pub(crate) fn because(&self) -> String {
        match &self.answer.decided {
            Ok(permit) => match permit.grant() {
                Grant::Binding(granted) => {
                    let condition = granted.condition.as_ref();
                    let when = condition.map(|text| format!(", whose condition `{text}` holds"));
                    format!("granted by {}{}", granted.described(), when.unwrap_or_default())
                }
                Grant::NoPermissionAsked => {
                    format!("the method asks for no permission ({})", permit.call().method.place)
                }
            },
            Err(denial) => {
                format!("{}: {}", denial.reason().entry().name, denial.detail())
            }
        }
    }

    /// The caller, as far as known.
    fn caller(&self) -> String {
        match &self.answer.trace.caller {
            Some(caller) => caller.principal.to_string(),
            None if matches!(self.question.who, ScenarioCaller::Anonymous) => {
                "an anonymous caller".to_owned()
            }
            None => "an unauthenticated caller".to_owned(),
        }
    }

    fn permission(&self) -> Option<&str> {
        match &self.answer.trace.call.as_ref()?.method.permission {
            PermissionRule::Required(permission) => Some(permission),
            PermissionRule::None => None,
        }
    }

    /// Attributes that conditions read and the question does not give.
    fn missing(&self) -> Vec<&'static str> {
        self.answer.trace.consulted.missing().map(|attribute| attribute.name()).collect()
    }

    fn time(&self) -> SystemTime {
        self.question.time
    }
}
