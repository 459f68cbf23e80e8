//! Why a decision is as it is: every boundary, deny rule and binding on the resource's chain, and which of its parts
//! matched.
//!
//! A plain tree of facts; [`crate::explain`] makes text of it. The verdict is the engine's ([`Explanation::decided`] is
//! what [`Policy::decide`] says), and the parts are told by the primitives that it is made of. Unlike a decision, an
//! explanation walks everything that is attached to the chain.

mod binding;
mod denial;
mod examiner;
mod explanation;
pub(super) mod index;
mod part;
mod remedy;
mod step;

use std::sync::Arc;

pub use self::binding::ExplainedBinding;
pub use self::denial::ExplainedRule;
pub use self::explanation::Explanation;
pub use self::part::{Attached, ExplainedBoundary, Extent, Matched, Weighed};
pub use self::step::{Remedy, RemedyStep};

use self::examiner::Examiner;
use super::Policy;
use super::attributes::Attributes;
use super::condition;
use super::decide::Evaluation;
use super::index::Index;
use super::model::resource::ResourceName;
use super::permit::asked_of;
use super::refusal::{Granted, Refusal};
use super::subject::Subject;
use crate::catalog::{Call, PermissionRule};
use crate::diagnostic::Place;
use crate::principal::Caller;

impl Policy {
    /// Explains whether a subject holds a permission on a resource.
    pub fn explain(
        &self,
        subject: Subject<'_>,
        permission: &str,
        resource: ResourceName<'_>,
        attributes: &Attributes<'_>,
        extent: Extent,
    ) -> Explanation {
        let ask = || Evaluation::new(self, subject, permission, resource, attributes);
        let mut inquiry = ask().recording();
        let decided = inquiry.decide(subject);
        let index = self.index();
        let mut examiner = Examiner {
            policy: self,
            subject,
            identity: inquiry.identity.members().collect(),
            extent,
            record: inquiry.into_record(),
            decisive: decisive(&decided).and_then(|place| index.written(place)),
            inquiry: ask(),
        };
        let attached: Vec<_> = index.chain(resource).collect();
        let rules = attached.iter().filter_map(|resource| examiner.rules(*resource)).collect();
        let bindings = attached.iter().filter_map(|resource| examiner.bindings(*resource)).collect();
        let mut explanation = Explanation {
            subject: subject.name().to_owned(),
            permission: permission.to_owned(),
            resource: resource.as_str().to_owned(),
            decided,
            chain: chain(index, resource),
            boundaries: self.examined_boundaries(subject, resource),
            rules,
            bindings,
            steps: Vec::new(),
        };
        explanation.steps = remedy::steps(self, subject, &explanation);
        explanation
    }

    /// Explains the decision about a call; `None` where its method asks for no permission.
    pub fn explain_call(
        &self,
        call: &Call,
        caller: Option<&Caller>,
        attributes: Attributes<'_>,
        extent: Extent,
    ) -> Option<Explanation> {
        let PermissionRule::Required(permission) = &call.method.permission else { return None };
        let (subject, resource, attributes) = asked_of(call, caller, attributes);
        Some(self.explain(subject, permission, resource, &attributes, extent))
    }

    fn examined_boundaries(
        &self,
        subject: Subject<'_>,
        resource: ResourceName<'_>,
    ) -> Vec<ExplainedBoundary> {
        // A decision checks them first, with the whole budget.
        let examined = self.boundaries.examine(subject, resource, &mut condition::budget());
        examined
            .into_iter()
            .map(|examined| {
                let binding = examined.binding;
                ExplainedBoundary {
                    name: binding.name.clone(),
                    principal_set: binding.set.text().to_owned(),
                    condition: binding.condition.as_ref().map(|condition| condition.expression.clone()),
                    applies: examined.applies,
                    policy: binding.policy.name.clone(),
                    policy_place: binding.policy.place.clone(),
                    resources: binding.policy.resources.iter().map(|(name, _)| name.clone()).collect(),
                    contained_in: examined.contained_in.map(str::to_owned),
                    place: binding.place.clone(),
                }
            })
            .collect()
    }
}

/// Every name of the chain, known to policies or not.
fn chain(index: &Index, resource: ResourceName<'_>) -> Vec<Arc<str>> {
    let own: Vec<Arc<str>> = resource.chain().map(Arc::from).collect();
    let known: Vec<Arc<str>> = index.chain(resource).map(|id| index.resource_name(id)).collect();
    let above = known.into_iter().filter(|name| !own.contains(name)).collect::<Vec<_>>();
    own.into_iter().chain(above).collect()
}

fn decisive(decided: &Result<Granted, Refusal>) -> Option<&Place> {
    match decided {
        Ok(granted) => Some(&granted.place),
        Err(Refusal::Denied(denied)) => Some(&denied.place),
        Err(Refusal::ConditionNotMet(unmet)) => Some(&unmet.binding.place),
        Err(Refusal::PermissionNotInRole { nearest, .. }) => Some(&nearest.place),
        Err(Refusal::OutOfBounds(_) | Refusal::NoBinding) => None,
    }
}

#[cfg(test)]
mod tests;
