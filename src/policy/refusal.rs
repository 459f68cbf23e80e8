//! The rule that a decision rests on: the binding that granted, or what forbade or fell short. The audit log and
//! `explain` show it; the client never sees it.

use std::fmt;
use std::sync::Arc;

use super::boundary::OutOfBounds;
use super::condition::ConditionOutcome;
use super::model::resource::ResourceName;
use super::subject::Subject;
use crate::diagnostic::Place;

/// The binding that allows a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The role that holds the permission.
    pub role: Arc<str>,
    /// The member that the subject matches, in canonical spelling.
    pub member: Arc<str>,
    /// The resource that the binding is attached to.
    pub resource: Arc<str>,
    /// The binding's condition, as written, which holds.
    pub condition: Option<Arc<str>>,
    /// Where the binding is written.
    pub place: Place,
}

/// The deny rule that forbids a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The denied principal that the subject matches, in canonical spelling.
    pub member: Arc<str>,
    /// The resource that the rule is attached to.
    pub resource: Arc<str>,
    /// The rule's condition, which holds or cannot be evaluated.
    pub condition: Option<Tested>,
    /// Where the rule is written.
    pub place: Place,
}

/// A condition and its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tested {
    /// As written.
    pub expression: Arc<str>,
    /// Its title, if it has one.
    pub title: Option<Arc<str>>,
    /// Its outcome.
    pub outcome: ConditionOutcome,
}

/// A binding that would grant the permission if its condition held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmetCondition {
    /// The binding.
    pub binding: Granted,
    /// Its condition.
    pub tested: Tested,
}

/// Why a call is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The resource is outside the subject's principal access boundaries.
    OutOfBounds(Box<OutOfBounds>),
    /// A deny rule forbids it; no binding was looked at.
    Denied(Box<Denied>),
    /// A binding would grant it, and its condition does not hold. The nearest one, where there are several.
    ConditionNotMet(Box<UnmetCondition>),
    /// The subject holds roles on the chain, none of which holds the permission.
    PermissionNotInRole {
        /// How many.
        count: usize,
        /// The nearest.
        nearest: Box<Granted>,
        /// Whether the nearest is defined; a role that is not holds nothing.
        is_defined: bool,
    },
    /// No binding on the chain names the subject.
    NoBinding,
}

impl Refusal {
    /// Where the rule is written that forbids, where one does.
    pub fn rule(&self) -> Option<&Place> {
        match self {
            Self::OutOfBounds(out) => out.rule(),
            Self::Denied(denied) => Some(&denied.place),
            Self::ConditionNotMet(_) | Self::PermissionNotInRole { .. } | Self::NoBinding => None,
        }
    }

    /// The refusal in a sentence, for the audit log and for `explain`. It shows policy, so the client must never see
    /// it.
    pub fn detail(&self, subject: Subject<'_>, permission: &str, resource: ResourceName<'_>) -> String {
        let (name, resource) = (subject.name(), resource.as_str());
        let none = || format!("no binding on `{resource}` or above grants `{permission}` to {name}");
        match self {
            Self::OutOfBounds(out) => format!("`{resource}` is out of bounds for {name}: {out}"),
            Self::Denied(denied) => {
                let Denied { member, resource: attached, condition, place } = &**denied;
                let rule = format!("a deny rule on `{attached}` ({place})");
                let what = format!("denies `{permission}` on `{resource}` to {name}, as `{member}`");
                match condition {
                    None => format!("{rule} {what}"),
                    Some(tested) => format!("{rule} {what}: {tested}"),
                }
            }
            Self::ConditionNotMet(unmet) => {
                let UnmetCondition { binding, tested } = &**unmet;
                format!("{}: {} would, but {tested}", none(), binding.described())
            }
            Self::PermissionNotInRole { count: 1, nearest, is_defined } => {
                let lacks = if *is_defined { "does not include it" } else { "is bound but not defined here" };
                format!("{}: they hold one role, which {lacks}: {}", none(), nearest.described())
            }
            Self::PermissionNotInRole { count, nearest, is_defined } => {
                let nearest = nearest.described();
                let lacks = if *is_defined { "" } else { ", which is bound but not defined here" };
                format!(
                    "{}: they hold {count} roles, which do not include it, the nearest being {nearest}{lacks}",
                    none()
                )
            }
            Self::NoBinding => format!("{}: none names them", none()),
        }
    }
}

impl Granted {
    /// `roles/viewer` as `group:x` on `projects/demo` (policies/allow/projects/demo.yaml:7).
    pub fn described(&self) -> String {
        format!("`{}` as `{}` on `{}` ({})", self.role, self.member, self.resource, self.place)
    }
}

impl Tested {
    /// Whether a binding with this condition grants: only where it is true.
    pub fn lets_grant(&self) -> bool {
        self.outcome == ConditionOutcome::Holds
    }

    /// Whether a deny rule with this condition denies: unless it is false. What cannot be evaluated denies.
    pub fn lets_deny(&self) -> bool {
        self.outcome != ConditionOutcome::Fails
    }
}

impl fmt::Display for Tested {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.title {
            Some(title) => write!(formatter, "the condition “{title}”, `{}`, ", self.expression)?,
            None => write!(formatter, "the condition `{}` ", self.expression)?,
        }
        match &self.outcome {
            ConditionOutcome::Holds => formatter.write_str("holds"),
            ConditionOutcome::Fails => formatter.write_str("does not hold"),
            ConditionOutcome::Unknown(why) => write!(formatter, "cannot be evaluated: {why}"),
        }
    }
}
