//! A decision with everything that was weighed: each boundary, deny rule and binding on the chain, and what of it
//! matched. For people who ask why; requests are decided by [`Policy::decide`] alone, and so is the verdict here.
//!
//! The parts are tested one by one, also those that the decision never came to, each condition with a full budget.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Policy;
use super::attributes::Attributes;
use super::boundary::Applies;
use super::condition::Outcome;
use super::decide::{Inquiry, Subject};
use super::index::{Bound, Denial, MemberId, ResourceId, common};
use super::refusal::{Granted, Refusal, Tested};
use super::resource::ResourceName;
use crate::diagnostic::Place;

/// A decision and what it was made from.
#[derive(Debug)]
pub struct Explanation {
    /// What [`Policy::decide`] says.
    pub decision: Result<Granted, Refusal>,
    /// Every boundary, in the order of the files; none for a caller without a credential.
    pub boundaries: Vec<ExplainedBoundary>,
    /// Every deny rule on the chain, nearest resource first.
    pub deny_rules: Vec<ExplainedDenyRule>,
    /// The bindings on the chain that are for the caller or hold the permission, nearest resource first.
    pub bindings: Vec<ExplainedBinding>,
    /// How many other bindings there are on the chain.
    pub unrelated: usize,
    /// The resources on the chain that have a policy or a place in the hierarchy, nearest first.
    pub chain: Vec<Arc<str>>,
    /// The roles that are bound somewhere and hold the permission.
    pub holding_roles: Vec<Arc<str>>,
}

/// Whether a part is for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Membership {
    /// It is.
    Matched,
    /// It is not.
    NotMatched,
    /// It cannot be told, for this reason.
    Unknown(String),
}

/// A boundary policy's binding.
#[derive(Clone, Debug)]
pub struct ExplainedBoundary {
    /// The name of the policy binding.
    pub name: Arc<str>,
    /// Where it is written.
    pub place: Place,
    /// The principal set that is bound.
    pub principal_set: String,
    /// The condition on who is bound, as written.
    pub condition: Option<Arc<str>>,
    /// Whether the caller is bound.
    pub membership: Membership,
    /// The name of the boundary policy.
    pub policy: Arc<str>,
    /// Where that is written.
    pub policy_place: Place,
    /// What it lists.
    pub resources: Vec<String>,
    /// Which of it the resource lies in.
    pub contained_in: Option<String>,
}

/// A condition, how it came out, and what it was given.
#[derive(Clone, Debug)]
pub struct ExplainedCondition {
    /// How it came out.
    pub tested: Tested,
    /// The attributes that it reads, and their values where they are known.
    pub read: Vec<(&'static str, Option<String>)>,
}

/// A deny rule.
#[derive(Clone, Debug)]
pub struct ExplainedDenyRule {
    /// The resource that it is attached to.
    pub resource: Arc<str>,
    /// Where it is written.
    pub place: Place,
    /// Whether the permission is among those that it denies.
    pub permission_denied: bool,
    /// Whether the permission is among those that it excepts.
    pub permission_excepted: bool,
    /// Whom it denies, and whether that is the caller.
    pub denied: Vec<(Arc<str>, bool)>,
    /// Whom it excepts, and whether that is the caller.
    pub excepted: Vec<(Arc<str>, bool)>,
    /// Its condition.
    pub condition: Option<ExplainedCondition>,
    /// Whether it denies the call.
    pub denies: bool,
}

/// A binding, as it is written.
#[derive(Clone, Debug)]
pub struct ExplainedBinding {
    /// The resource that it is attached to.
    pub resource: Arc<str>,
    /// Where it is written.
    pub place: Place,
    /// The role.
    pub role: Arc<str>,
    /// Whether the role holds the permission.
    pub role_holds: bool,
    /// Whom it is bound to, and whether that is the caller. Members that match nobody are left out.
    pub members: Vec<(Arc<str>, bool)>,
    /// Its condition.
    pub condition: Option<ExplainedCondition>,
    /// Whether it grants the call.
    pub grants: bool,
}

impl ExplainedBinding {
    /// Whether it is bound to the caller.
    pub fn is_for_caller(&self) -> bool {
        self.members.iter().any(|(_, matched)| *matched)
    }
}

impl ExplainedDenyRule {
    /// Whether it denies the caller, as far as names go.
    pub fn is_for_caller(&self) -> bool {
        let matches = |principals: &[(Arc<str>, bool)]| principals.iter().any(|(_, matched)| *matched);
        matches(&self.denied) && !matches(&self.excepted)
    }

    /// Whether it is for the permission.
    pub fn is_for_permission(&self) -> bool {
        self.permission_denied && !self.permission_excepted
    }
}

impl Policy {
    /// Decides, and tells everything that speaks for or against it.
    pub fn explain(
        &self,
        subject: Subject<'_>,
        permission: &str,
        resource: ResourceName<'_>,
        attributes: &Attributes<'_>,
    ) -> Explanation {
        let decision = self.decide(subject, permission, resource, attributes);
        let index = self.index();
        let mut inquiry = Inquiry::new(self, subject, permission, resource, attributes);
        let members: Vec<MemberId> = inquiry.identity.members(self).collect();
        let chain: Vec<ResourceId> = index.chain(resource).collect();
        let mut deny_rules = Vec::new();
        let mut bindings = Vec::new();
        let mut unrelated = 0;
        for resource in &chain {
            let rules = index.forbidden(*resource);
            deny_rules.extend(rules.map(|rule| inquiry.explain_denial(*resource, rule, &members)));
            for binding in inquiry.written(*resource) {
                match inquiry.explain_binding(*resource, binding, &members) {
                    Some(explained) => bindings.push(explained),
                    None => unrelated += 1,
                }
            }
        }
        Explanation {
            decision,
            boundaries: inquiry.explain_boundaries(subject),
            deny_rules,
            bindings,
            unrelated,
            chain: chain.into_iter().map(|id| index.resource_name(id)).collect(),
            holding_roles: index.holders(permission).iter().map(|role| index.role_name(*role)).collect(),
        }
    }
}

/// The rows of one binding: it has a role and a condition, and as many members as rows.
type Written = (Bound, Vec<MemberId>);

impl Inquiry<'_> {
    fn explain_boundaries(&mut self, subject: Subject<'_>) -> Vec<ExplainedBoundary> {
        self.renew();
        let examined = self.examine_boundaries(subject);
        let explain = |one: super::boundary::Examined<'_>| ExplainedBoundary {
            name: one.binding.name.clone(),
            place: one.binding.place.clone(),
            principal_set: one.binding.set.text().to_owned(),
            condition: one.binding.condition.as_ref().map(|condition| condition.expression.clone()),
            membership: match one.applies {
                Applies::Yes => Membership::Matched,
                Applies::No => Membership::NotMatched,
                Applies::Unknown(why) => Membership::Unknown(why),
            },
            policy: one.binding.policy.name.clone(),
            policy_place: one.binding.policy.place.clone(),
            resources: one.binding.policy.resources.iter().map(|(name, _)| name.clone()).collect(),
            contained_in: one.contained_in.map(str::to_owned),
        };
        examined.into_iter().map(explain).collect()
    }

    fn explain_denial(
        &mut self,
        resource: ResourceId,
        rule: &Denial,
        members: &[MemberId],
    ) -> ExplainedDenyRule {
        let index = self.policy.index();
        let named = |ids: &[MemberId]| {
            ids.iter().map(|id| (index.member_name(*id), members.contains(id))).collect::<Vec<_>>()
        };
        let denied = named(&rule.denied);
        let condition = rule.condition.map(|id| self.explain_condition(id));
        let names_caller = denied.iter().any(|(_, matched)| *matched);
        let holds = condition.as_ref().is_none_or(|condition| condition.tested.outcome != Outcome::Fails);
        ExplainedDenyRule {
            resource: index.resource_name(resource),
            place: index.place(rule.file, rule.line),
            permission_denied: rule.permissions.contain(self.permission),
            permission_excepted: rule.exceptions.contain(self.permission),
            excepted: named(&rule.excepted),
            denies: names_caller && self.speaks_of(rule) && holds,
            denied,
            condition,
        }
    }

    /// The bindings of a resource as they are written, in the order of files and lines.
    fn written(&self, resource: ResourceId) -> Vec<Written> {
        let mut written: BTreeMap<_, Written> = BTreeMap::new();
        for (member, bound) in self.policy.index().attached(resource) {
            let key = (bound.file, bound.line, bound.role, bound.condition);
            written.entry(key).or_insert_with(|| (*bound, Vec::new())).1.push(member);
        }
        written.into_values().collect()
    }

    /// `None` where a binding neither holds the permission nor is for the caller.
    fn explain_binding(
        &mut self,
        resource: ResourceId,
        (bound, ids): Written,
        members: &[MemberId],
    ) -> Option<ExplainedBinding> {
        let index = self.policy.index();
        let role_holds = common(&[bound], index.holders(self.permission)).next().is_some();
        let is_for_caller = ids.iter().any(|id| members.contains(id));
        if !role_holds && !is_for_caller {
            return None;
        }
        let condition = bound.condition.map(|id| self.explain_condition(id));
        let holds = condition.as_ref().is_none_or(|condition| condition.tested.outcome == Outcome::Holds);
        Some(ExplainedBinding {
            resource: index.resource_name(resource),
            place: index.place(bound.file, bound.line),
            role: index.role_name(bound.role),
            role_holds,
            members: ids.iter().map(|id| (index.member_name(*id), members.contains(id))).collect(),
            condition,
            grants: role_holds && is_for_caller && holds,
        })
    }

    fn explain_condition(&mut self, id: super::index::ConditionId) -> ExplainedCondition {
        self.renew();
        ExplainedCondition { tested: self.test(id), read: self.read_by(id) }
    }
}

#[cfg(test)]
mod tests;
