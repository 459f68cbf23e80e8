//! Why a decision is as it is: every boundary, deny rule and binding on the resource's chain, and which of its parts
//! matched.
//!
//! A plain tree of facts; [`crate::explain`] makes text of it. The verdict is the engine's ([`Explanation::decided`] is
//! what [`Policy::decide`] says), and the parts are told by the primitives that it is made of. Unlike a decision, an
//! explanation walks everything that is attached to the chain.

mod binding;
mod denial;
mod remedy;

use std::sync::Arc;

pub use self::binding::ExplainedBinding;
pub use self::denial::ExplainedRule;
pub use self::remedy::{Remedy, RemedyStep};
use super::Policy;
use super::attributes::Attributes;
use super::boundary::Applies;
use super::condition::{self, AttributeRead};
use super::decide::Evaluation;
use super::index::{ConditionId, FileId, Index, MemberId};
use super::model::resource::ResourceName;
use super::permit::asked_of;
use super::refusal::{Granted, Refusal, Tested};
use super::subject::Subject;
use crate::catalog::{Call, PermissionRule};
use crate::diagnostic::Place;
use crate::principal::Caller;

/// A decision with everything that was looked at.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// How the caller is named.
    pub subject: String,
    /// The permission that is asked for.
    pub permission: String,
    /// The resource that it is asked for on.
    pub resource: String,
    /// The engine's verdict.
    pub decided: Result<Granted, Refusal>,
    /// The resource and everything that it lies in, nearest first.
    pub chain: Vec<Arc<str>>,
    /// Every binding of a principal access boundary policy.
    pub boundaries: Vec<ExplainedBoundary>,
    /// The deny rules on the chain.
    pub rules: Vec<Attached<ExplainedRule>>,
    /// The bindings on the chain.
    pub bindings: Vec<Attached<ExplainedBinding>>,
    /// What would turn the answer: all of these steps are needed.
    pub steps: Vec<RemedyStep>,
}

/// How much of a policy an explanation tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extent {
    /// What is for the caller, and some of what is for the permission; the rest is counted.
    #[default]
    Relevant,
    /// Everything on the chain.
    All,
}

/// What is attached to one resource of the chain.
#[derive(Clone, Debug)]
pub struct Attached<Of> {
    /// The resource.
    pub resource: Arc<str>,
    /// The most relevant ones first.
    pub told: Vec<Of>,
    /// How many more there are.
    pub omitted: usize,
}

/// A binding of a principal access boundary policy.
#[derive(Clone, Debug)]
pub struct ExplainedBoundary {
    /// The name of the binding.
    pub name: Arc<str>,
    /// The principal set that the policy is bound to.
    pub principal_set: String,
    /// The condition on who is bound.
    pub condition: Option<Arc<str>>,
    /// Whether it is for the caller.
    pub applies: Applies,
    /// The name of the policy.
    pub policy: Arc<str>,
    /// Where the policy is written.
    pub policy_place: Place,
    /// What the policy lists.
    pub resources: Vec<String>,
    /// The listed resource that the one in question lies in.
    pub contained_in: Option<String>,
    /// Where the binding is written.
    pub place: Place,
}

/// A member that is the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// The member, in canonical spelling.
    pub member: Arc<str>,
    /// The groups between the caller and the member, nearest to the caller first.
    pub through: Vec<Arc<str>>,
}

/// A condition, how it came out, and what it saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weighed {
    /// How it came out.
    pub tested: Tested,
    /// What it reads.
    pub reads: Vec<AttributeRead>,
}

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
            identity: inquiry.identity.members(self).collect(),
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

impl Explanation {
    /// The bindings that grant, nearest first.
    pub fn granting(&self) -> impl Iterator<Item = (&Arc<str>, &ExplainedBinding)> {
        let all = self.bindings.iter();
        all.flat_map(|attached| attached.told.iter().map(|binding| (&attached.resource, binding)))
            .filter(|(_, binding)| binding.grants())
    }

    /// The deny rules that deny, nearest first.
    pub fn denying(&self) -> impl Iterator<Item = (&Arc<str>, &ExplainedRule)> {
        let all = self.rules.iter();
        all.flat_map(|attached| attached.told.iter().map(|rule| (&attached.resource, rule)))
            .filter(|(_, rule)| rule.denies())
    }

    /// Whether the resource is outside the caller's boundaries.
    pub fn is_out_of_bounds(&self) -> bool {
        matches!(self.decided, Err(Refusal::OutOfBounds(_)))
    }
}

/// Looks at what is attached to the chain, for one question.
struct Examiner<'e> {
    policy: &'e Policy,
    subject: Subject<'e>,
    /// Every identifier of the subject.
    identity: Vec<MemberId>,
    extent: Extent,
    /// The outcomes of conditions at the decision. Where the budget ran out then, the explanation says so.
    record: Vec<(ConditionId, Tested)>,
    /// Where the rule is written that decided, or came nearest: it is always told.
    decisive: Option<(FileId, u32)>,
    /// For what the decision did not evaluate.
    inquiry: Evaluation<'e>,
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

impl Examiner<'_> {
    fn weigh(&mut self, id: ConditionId) -> Weighed {
        let recorded = self.record.iter().find(|(recorded, _)| *recorded == id);
        let tested = match recorded {
            Some((_, tested)) => tested.clone(),
            None => {
                self.inquiry.renew();
                self.inquiry.test(id)
            }
        };
        Weighed { tested, reads: self.inquiry.reads(id) }
    }

    /// Those of `members` that the subject is, in the order in which a decision asks for them.
    fn matched(&self, members: impl Fn(MemberId) -> bool) -> Vec<Matched> {
        let matching = self.identity.iter().filter(|member| members(**member));
        let mut matched: Vec<Matched> = Vec::new();
        for member in matching {
            let name = self.policy.index().member_name(*member);
            if matched.iter().all(|other| other.member != name) {
                matched.push(Matched { through: self.way_to(&name), member: name });
            }
        }
        matched
    }

    fn way_to(&self, member: &str) -> Vec<Arc<str>> {
        let principal = self.subject.principal.map(|principal| principal.as_str());
        let names = principal.into_iter().chain(self.subject.sets.iter().map(|set| &**set));
        let mut names = names.filter(|name| *name != member);
        if self.subject.sets.iter().any(|set| &**set == member) {
            return Vec::new();
        }
        names.find_map(|name| self.policy.explain_index.way(name, member)).unwrap_or_default()
    }
}

/// The order in which things are told, and how many of them: those for the caller and the permission first.
fn rank(for_caller: bool, for_permission: bool) -> u8 {
    match (for_caller, for_permission) {
        (true, true) => 0,
        (true, false) => 1,
        (false, true) => 2,
        (false, false) => 3,
    }
}

/// Of what is for the caller, at most so many are told.
const MOST_FOR_CALLER: usize = 200;
/// Of what is for the permission and other callers.
const MOST_FOR_OTHERS: usize = 10;

/// How many of a rank are told.
fn most(rank: u8, extent: Extent) -> usize {
    match (extent, rank) {
        (Extent::All, _) => usize::MAX,
        (Extent::Relevant, 0 | 1) => MOST_FOR_CALLER,
        (Extent::Relevant, 2) => MOST_FOR_OTHERS,
        (Extent::Relevant, _) => 0,
    }
}

#[cfg(test)]
mod tests;
pub(super) mod index;
