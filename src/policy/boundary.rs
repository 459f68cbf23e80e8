//! Principal access boundaries: which resources a set of principals can reach at all, whatever is granted there
//! (google/iam/v3, <https://cloud.google.com/iam/docs/principal-access-boundary-policies>).
//!
//! A boundary policy lists resources; a policy binding puts it on a principal set. A principal in the sets of some
//! bindings reaches what any of their policies lists, and nothing else. Boundaries are enforced for every permission.
//! Google's enforcement version narrows them to a list of permissions, and none of the APIs behind opgate is Google's.
//!
//! Membership is not always known here: which Workspace domain belongs to which organization, or which id a project's
//! number has where hierarchy.yaml does not say. Unknown membership counts against the caller: the resource has to be
//! within bounds whether or not they are in the set.

use std::fmt;
use std::sync::Arc;

use super::condition::ConditionOutcome;
use super::model::boundary::{
    self as written, BoundaryBinding, BoundaryPolicy, PRINCIPAL_SUBJECT, PRINCIPAL_TYPE, PrincipalCondition,
};
use super::model::hierarchy::Hierarchy;
pub use super::model::principal_set::Applies;
use super::model::resource::ResourceName;
use super::pools::Pools;
use super::subject::Subject;
use crate::cel::{Activation, Budget, EvaluationError, Value};
use crate::diagnostic::{Place, Report};
use crate::principal::Principal;
use crate::source::PolicyFiles;

/// All boundaries of a tree.
#[derive(Debug, Default)]
pub(super) struct Boundaries {
    pub(super) bindings: Vec<BoundaryBinding>,
    pub(super) hierarchy: Hierarchy,
}

/// What a binding says about a caller and a resource.
#[derive(Debug)]
pub(super) struct Examined<'b> {
    pub(super) binding: &'b BoundaryBinding,
    pub(super) applies: Applies,
    /// The listed resource that the one in question lies in.
    pub(super) contained_in: Option<&'b str>,
}

/// A resource that a caller cannot reach, and the binding that keeps them from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfBounds {
    /// The name of the boundary policy.
    pub policy: Arc<str>,
    /// Where it is written.
    pub policy_place: Place,
    /// The principal set that it is bound to.
    pub principal_set: Arc<str>,
    /// Where its binding is written.
    pub place: Place,
    /// Why it is not known whether the caller is bound.
    pub doubt: Option<String>,
}

impl Boundaries {
    /// Reads the boundaries of a tree.
    pub(super) fn load(
        files: &PolicyFiles,
        hierarchy: &Hierarchy,
        pools: &Pools,
        report: &mut Report,
    ) -> Self {
        Self { bindings: written::load(files, pools, report), hierarchy: hierarchy.clone() }
    }

    /// Whether a caller can reach a resource. A caller without a credential is not a principal, and not
    /// bound.
    ///
    /// # Errors
    /// The binding that keeps them from it.
    pub(super) fn check(
        &self,
        subject: Subject<'_>,
        resource: ResourceName<'_>,
        budget: &mut Budget,
    ) -> Result<(), OutOfBounds> {
        if self.bindings.is_empty() {
            return Ok(());
        }
        within_bounds(&self.examine(subject, resource, budget))
    }

    /// Where every binding is written, in the order of their files.
    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.bindings.iter().map(|binding| &binding.place)
    }

    /// What every binding says, in the order of their files.
    pub(super) fn examine<'b>(
        &'b self,
        subject: Subject<'_>,
        resource: ResourceName<'_>,
        budget: &mut Budget,
    ) -> Vec<Examined<'b>> {
        let Some(principal) = subject.principal else { return Vec::new() };
        let examine = |binding: &'b BoundaryBinding| Examined {
            binding,
            applies: binding.applies(principal, &self.hierarchy, budget),
            contained_in: self.containing(&binding.policy, resource),
        };
        self.bindings.iter().map(examine).collect()
    }

    fn containing<'b>(&self, policy: &'b BoundaryPolicy, resource: ResourceName<'_>) -> Option<&'b str> {
        let listed = policy.resources.iter().map(|(listed, _)| listed.as_str());
        listed.into_iter().find(|listed| {
            let mut above = self.hierarchy.ancestors(resource.root());
            resource.chain().any(|name| self.hierarchy.is_same(name, listed))
                || above.any(|name| name == *listed)
        })
    }
}

/// The verdict of all bindings. A binding that is certain to apply admits what its policy lists; then what others list
/// counts as well. Where no binding is certain to apply, each that may apply might be the only one, and has to list the
/// resource.
pub(super) fn within_bounds(examined: &[Examined<'_>]) -> Result<(), OutOfBounds> {
    let (certain, doubtful): (Vec<_>, Vec<_>) =
        examined.iter().filter(|one| one.applies != Applies::No).partition(|one| one.applies == Applies::Yes);
    let inside = |one: &&&Examined<'_>| one.contained_in.is_some();
    let culprit = if certain.is_empty() {
        doubtful.iter().find(|one| !inside(one))
    } else if certain.iter().any(|one| inside(&one)) {
        None
    } else {
        certain.first()
    };
    culprit.map_or(Ok(()), |one| {
        Err(OutOfBounds {
            policy: one.binding.policy.name.clone(),
            policy_place: one.binding.policy.place.clone(),
            principal_set: one.binding.set.text().into(),
            place: one.binding.place.clone(),
            doubt: match &one.applies {
                Applies::Unknown(why) => Some(why.clone()),
                Applies::Yes | Applies::No => None,
            },
        })
    })
}

impl BoundaryBinding {
    fn applies(&self, principal: &Principal, hierarchy: &Hierarchy, budget: &mut Budget) -> Applies {
        let membership = self.set.contains(principal, hierarchy);
        if membership == Applies::No {
            return Applies::No;
        }
        match self.condition.as_ref().map(|condition| condition.outcome(principal, budget)) {
            None | Some(ConditionOutcome::Holds) => membership,
            Some(ConditionOutcome::Fails) => Applies::No,
            Some(ConditionOutcome::Unknown(why)) => {
                Applies::Unknown(format!("the binding's condition: {why}"))
            }
        }
    }
}

impl PrincipalCondition {
    fn outcome(&self, principal: &Principal, budget: &mut Budget) -> ConditionOutcome {
        ConditionOutcome::of(self.program.evaluate(&PrincipalAttributes(principal), budget))
    }
}

/// What a condition on a principal is asked about.
struct PrincipalAttributes<'p>(&'p Principal);

impl<'v> Activation<'v> for PrincipalAttributes<'v> {
    fn variable(&self, slot: usize) -> Result<Value<'v>, EvaluationError> {
        let (name, value) = match slot {
            0 => (PRINCIPAL_TYPE, kind(self.0)),
            // Only identities with an email have a subject.
            _ => (PRINCIPAL_SUBJECT, self.0.email()),
        };
        value.map(Value::from).ok_or_else(|| EvaluationError::Unknown { name: name.into() })
    }

    fn function(&self, _: usize, _: &[Value<'v>]) -> Result<Value<'v>, EvaluationError> {
        Err(EvaluationError::Error("conditions on principals have no functions".into()))
    }
}

/// google/iam/v3/policy_binding_resources.proto, `PolicyBinding.condition`.
fn kind(principal: &Principal) -> Option<&'static str> {
    if let Some(pool) = principal.pool() {
        // Only the pool tells the kind: the bearer may have chosen what follows it.
        return match pool.split('/').rev().nth(1) {
            Some("workforcePools") => Some("iam.googleapis.com/WorkforcePoolIdentity"),
            Some("workloadIdentityPools") => Some("iam.googleapis.com/WorkloadPoolIdentity"),
            _ => None,
        };
    }
    match principal.as_str().split_once(':')?.0 {
        "user" => Some("iam.googleapis.com/WorkspaceIdentity"),
        "serviceAccount" => Some("iam.googleapis.com/ServiceAccount"),
        _ => None,
    }
}

impl OutOfBounds {
    /// Where the binding is written.
    pub fn rule(&self) -> Option<&Place> {
        Some(&self.place)
    }
}

impl fmt::Display for OutOfBounds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, policy_place, principal_set, place, doubt } = self;
        match doubt {
            None => write!(formatter, "`{principal_set}`, which they are in, is bound ({place})")?,
            Some(doubt) => {
                write!(formatter, "they may be in `{principal_set}` ({doubt}), which is bound ({place})")?;
            }
        }
        write!(formatter, " to what `{policy}` ({policy_place}) lists")
    }
}

#[cfg(test)]
mod tests;
