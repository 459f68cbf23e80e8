//! Why the gate lets a call pass or not: the stages in their order, what each found, everything in the policy that bears
//! on it, and what would turn the answer.
//!
//! ```text
//! Question ─► question (the gate's answer) ──► stages ──┐
//!                     └─► policy::explain ──────────────┼─► Explained ─► text, JSON
//!                                     changes ◄─────────┘
//! ```
//!
//! The JSON is that of Google's Policy Troubleshooter as far as it goes (google.cloud.policytroubleshooter.iam.v3); what
//! it has no field for is in objects named `opgate`. Only who may read the policy may read this.

mod change;
mod json;
mod page;
mod stage;
mod text;

use std::time::SystemTime;

use serde_json::Value;

pub use self::change::Change;
pub(crate) use self::page::Page;
pub use self::stage::{State, Told};
use crate::catalog::PermissionRule;
use crate::decision::snapshot::Snapshot;
use crate::diagnostic::Place;
use crate::policy::Grant;
use crate::policy::explain::{Explanation, Extent};
use crate::simulation::{Answer, Mistake, Question, Who};

/// An answer with its reasons.
#[derive(Debug)]
pub struct Explained {
    question: Question,
    answer: Answer,
    /// What was looked at in policy; `None` where no permission is asked for, or nobody known asks.
    policy: Option<Explanation>,
    stages: Vec<Told>,
    changes: Vec<Vec<Change>>,
    revision: String,
}

/// Puts a question to the gate and explains what it says.
///
/// # Errors
/// Where the question is not clear.
pub fn explain(question: Question, snapshot: &Snapshot, extent: Extent) -> Result<Explained, Mistake> {
    let answer = question.ask(snapshot)?;
    let policy = examine(&answer, snapshot, extent);
    let stages = stage::tell(&question, &answer, policy.as_ref());
    let changes = change::of(&answer, policy.as_ref(), &snapshot.catalog);
    let revision = snapshot.revision.clone();
    Ok(Explained { question, answer, policy, stages, changes, revision })
}

/// What policy has to say, even where an earlier stage refuses: who mends that wants to know what comes next.
fn examine(answer: &Answer, snapshot: &Snapshot, extent: Extent) -> Option<Explanation> {
    let call = answer.trail.call.as_ref()?;
    let caller = answer.trail.caller.as_deref();
    if caller.is_none() && !call.method.allow_without_credential {
        return None;
    }
    snapshot.policy.explain_call(call, caller, answer.attributes(), extent)
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

    /// What the policy was found to say.
    pub fn policy(&self) -> Option<&Explanation> {
        self.policy.as_ref()
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

    /// Why, in a sentence.
    fn because(&self) -> String {
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

    /// Who asks, as far as that is known.
    fn caller(&self) -> String {
        match &self.answer.trail.caller {
            Some(caller) => caller.principal.to_string(),
            None if matches!(self.question.who, Who::Anonymous) => "an anonymous caller".to_owned(),
            None => "an unauthenticated caller".to_owned(),
        }
    }

    fn permission(&self) -> Option<&str> {
        match &self.answer.trail.call.as_ref()?.method.permission {
            PermissionRule::Required(permission) => Some(permission),
            PermissionRule::None => None,
        }
    }

    /// Attributes that conditions asked for and the question does not say.
    fn missing(&self) -> Vec<&'static str> {
        self.answer.trail.consulted.missing().map(|attribute| attribute.name()).collect()
    }

    fn time(&self) -> SystemTime {
        self.question.time
    }
}
