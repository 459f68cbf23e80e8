//! A change of a policy that would help to turn an answer.

use std::sync::Arc;

use super::part::Weighed;
use crate::diagnostic::Place;

/// One needed step: any one of the alternatives is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemedyStep {
    /// The alternatives.
    pub alternatives: Vec<Remedy>,
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// List the resource, or something that it lies in, in a boundary policy.
    ListInBoundary {
        /// The name of the policy.
        policy: Arc<str>,
        /// Where it is written.
        place: Place,
        /// What to list.
        resource: String,
    },
    /// Except the caller in a deny rule.
    ExceptPrincipal {
        /// Where the rule is written.
        rule: Place,
        /// As the rule would write it.
        principal: String,
    },
    /// Except the permission in a deny rule.
    ExceptPermission {
        /// Where the rule is written.
        rule: Place,
        /// As the rule would write it.
        permission: String,
    },
    /// Ask when the condition of a deny rule is false, or change it.
    UnsetCondition {
        /// Where the rule is written.
        rule: Place,
        /// The condition.
        condition: Weighed,
    },
    /// Ask when the condition of a binding holds, or change it.
    MeetCondition {
        /// Where the binding is written.
        binding: Place,
        /// The condition.
        condition: Weighed,
    },
    /// Add the permission to a role that the caller holds already.
    AddPermission {
        /// The role.
        role: Arc<str>,
        /// Where it is defined.
        place: Option<Place>,
        /// Where it is bound to the caller.
        binding: Place,
    },
    /// Bind a role that holds the permission.
    Bind {
        /// Roles that hold it; the first of them, if they are many.
        roles: Vec<Arc<str>>,
        /// How many more hold it.
        more: usize,
        /// The member to bind it to: the caller, or a group that they are in.
        members: Vec<Arc<str>>,
        /// The resource to bind it on, with the file of its allow policy.
        on: Vec<(Arc<str>, String)>,
    },
    /// Remove a binding, or the caller from it.
    Unbind {
        /// Where it is written.
        binding: Place,
        /// Its role.
        role: Arc<str>,
        /// The member that the caller is there.
        member: Arc<str>,
        /// Where it is attached.
        resource: Arc<str>,
    },
}
