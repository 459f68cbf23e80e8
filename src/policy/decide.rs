//! The decision: is the resource within the subject's boundaries, does no deny rule on its chain take the permission
//! away, and does some binding there give the subject a role that holds it? Asked in that order
//! (<https://cloud.google.com/iam/docs/policy-types#evaluation>).
//!
//! Nearest resource first, and on one resource the subject's own name before its sets, groups, domain,
//! `allAuthenticatedUsers` and `allUsers`: the answer is the same in any order, the binding that is named in the
//! audit log is the closest one. No allocation until there is an answer, unless a condition makes one.

use std::sync::Arc;

use super::Policy;
use super::attributes::Attributes;
use super::boundary::OutOfBounds;
use super::condition::{self, Asked, Outcome, Read};
use super::index::{self, Bound, ConditionId, Denial, MemberId, ResourceId};
use super::model::resource::ResourceName;
use super::refusal::{Denied, Granted, Refusal, Tested, Unmet};
use crate::cel::Budget;
use crate::principal::Principal;

/// Who asks, as far as policy is concerned.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subject<'s> {
    pub(super) principal: Option<&'s Principal>,
    pub(super) sets: &'s [Arc<str>],
}

impl<'s> Subject<'s> {
    /// Nobody in particular: only `allUsers` speaks for them.
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// An authenticated identity.
    pub fn of(principal: &'s Principal) -> Self {
        Self { principal: Some(principal), sets: &[] }
    }

    /// With the sets that its credential vouches for, in the spelling of members: `principalSet://…`, `group:…`.
    pub fn with_sets(self, sets: &'s [Arc<str>]) -> Self {
        Self { sets, ..self }
    }

    /// How a decision's detail names the subject.
    pub(super) fn name(&self) -> &'s str {
        self.principal.map_or("an anonymous caller", Principal::as_str)
    }
}

/// A question, with what answering it may cost.
pub(super) struct Inquiry<'q> {
    pub(super) policy: &'q Policy,
    pub(super) identity: Identity<'q>,
    pub(super) permission: &'q str,
    pub(super) resource: ResourceName<'q>,
    asked: Asked<'q>,
    budget: Budget,
    /// Where it is kept how conditions came out, for an explanation.
    record: Option<Vec<(ConditionId, Tested)>>,
}

impl Policy {
    /// Whether the subject holds the permission on the resource, by which binding, or why not.
    ///
    /// # Errors
    /// What forbids it, or else what came near.
    pub fn decide(
        &self,
        subject: Subject<'_>,
        permission: &str,
        resource: ResourceName<'_>,
        attributes: &Attributes<'_>,
    ) -> Result<Granted, Refusal> {
        Inquiry::new(self, subject, permission, resource, attributes).decide(subject)
    }
}

impl<'q> Inquiry<'q> {
    pub(super) fn new(
        policy: &'q Policy,
        subject: Subject<'q>,
        permission: &'q str,
        resource: ResourceName<'q>,
        attributes: &'q Attributes<'q>,
    ) -> Self {
        let asked = Asked { principal: subject.principal, resource, tags: &policy.tags, attributes };
        let identity = Identity::resolve(policy, subject);
        Self { policy, identity, permission, resource, asked, budget: condition::budget(), record: None }
    }

    /// Keeps how conditions come out.
    pub(super) fn recording(self) -> Self {
        Self { record: Some(Vec::new()), ..self }
    }

    /// How conditions came out since it records.
    pub(super) fn into_record(self) -> Vec<(ConditionId, Tested)> {
        self.record.unwrap_or_default()
    }

    /// Begins again with all that conditions may spend.
    pub(super) fn renew(&mut self) {
        self.budget = condition::budget();
    }

    /// [`Policy::decide`].
    pub(super) fn decide(&mut self, subject: Subject<'_>) -> Result<Granted, Refusal> {
        self.keep_within_bounds(subject).map_err(|out| Refusal::OutOfBounds(Box::new(out)))?;
        if let Some(denied) = self.denied() {
            return Err(Refusal::Denied(Box::new(denied)));
        }
        self.granted()
    }

    /// Principal access boundaries: what lies outside of them nobody can grant.
    fn keep_within_bounds(&mut self, subject: Subject<'_>) -> Result<(), OutOfBounds> {
        self.policy.boundaries.check(subject, self.resource, &mut self.budget)
    }

    /// The deny rule on the chain that forbids it.
    fn denied(&mut self) -> Option<Denied> {
        let index = self.policy.index();
        if !index.denies() {
            return None;
        }
        let other = index.other_name(self.resource);
        for resource in index.chain(self.resource) {
            for member in self.identity.members(self.policy) {
                for rule in index.denied(resource, member) {
                    if !self.speaks_of(rule) {
                        continue;
                    }
                    let tested = rule.condition.map(|id| self.test_by_both_names(id, other.as_deref()));
                    if tested.as_ref().is_none_or(Tested::lets_deny) {
                        return Some(Denied {
                            member: index.member_name(member),
                            resource: index.resource_name(resource),
                            condition: tested,
                            place: index.place(rule.file, rule.line),
                        });
                    }
                }
            }
        }
        None
    }

    /// Whether a deny rule that names the subject is for the permission and excepts neither.
    pub(super) fn speaks_of(&self, rule: &Denial) -> bool {
        rule.permissions.contain(self.permission)
            && !rule.exceptions.contain(self.permission)
            && !self.identity.members(self.policy).any(|member| rule.excepts(member))
    }

    /// The binding on the chain that grants it.
    fn granted(&mut self) -> Result<Granted, Refusal> {
        let index = self.policy.index();
        let holders = index.holders(self.permission);
        let mut lacking = 0;
        let mut nearest = None;
        let mut unmet = None;
        for resource in index.chain(self.resource) {
            for member in self.identity.members(self.policy) {
                let bound = index.bound(resource, member);
                let mut holding = 0;
                for candidate in index::common(bound, holders) {
                    holding += 1;
                    let Some(id) = candidate.condition else {
                        return Ok(self.binding(resource, member, *candidate));
                    };
                    let tested = self.test(id);
                    if tested.lets_grant() {
                        return Ok(self.binding(resource, member, *candidate));
                    }
                    unmet.get_or_insert((resource, member, *candidate, tested));
                }
                lacking += bound.len() - holding;
                nearest = nearest.or_else(|| bound.first().map(|bound| (resource, member, *bound)));
            }
        }
        Err(match (unmet, nearest) {
            (Some((resource, member, bound, tested)), _) => {
                Refusal::Unmet(Box::new(Unmet { binding: self.binding(resource, member, bound), tested }))
            }
            (None, Some((resource, member, bound))) => {
                Refusal::Lacking { count: lacking, nearest: Box::new(self.binding(resource, member, bound)) }
            }
            (None, None) => Refusal::Nameless,
        })
    }

    /// How the condition of a deny rule comes out: for the resource as it is asked about, or else by the other name of its
    /// project. A rule that asks for one name is not dodged by the other.
    fn test_by_both_names(&mut self, id: ConditionId, other: Option<&str>) -> Tested {
        let tested = self.weigh(id, self.asked);
        let tested = match other {
            Some(other) if !tested.lets_deny() => {
                let asked = Asked { resource: ResourceName::new(other), ..self.asked };
                let by_other = self.weigh(id, asked);
                if by_other.lets_deny() { by_other } else { tested }
            }
            _ => tested,
        };
        self.keep(id, &tested);
        tested
    }

    /// How a condition comes out for this question.
    pub(super) fn test(&mut self, id: ConditionId) -> Tested {
        let tested = self.weigh(id, self.asked);
        self.keep(id, &tested);
        tested
    }

    fn keep(&mut self, id: ConditionId, tested: &Tested) {
        if let Some(record) = &mut self.record {
            record.push((id, tested.clone()));
        }
    }

    fn weigh(&mut self, id: ConditionId, asked: Asked<'_>) -> Tested {
        match self.policy.index().condition(id) {
            Some(condition) => Tested {
                expression: condition.expression.clone(),
                title: condition.title.clone(),
                outcome: condition.outcome(asked, &mut self.budget),
            },
            None => Tested {
                expression: Arc::default(),
                title: None,
                outcome: Outcome::Unknown("the condition went missing".to_owned()),
            },
        }
    }

    /// What a condition reads, with the values that it sees.
    pub(super) fn reads(&self, id: ConditionId) -> Vec<Read> {
        self.policy.index().condition(id).map(|condition| condition.reads(self.asked)).unwrap_or_default()
    }

    fn binding(&self, resource: ResourceId, member: MemberId, bound: Bound) -> Granted {
        let index = self.policy.index();
        let condition = bound.condition.and_then(|id| index.condition(id));
        Granted {
            role: index.role_name(bound.role),
            member: index.member_name(member),
            resource: index.resource_name(resource),
            condition: condition.map(|condition| condition.expression.clone()),
            place: index.place(bound.file, bound.line),
        }
    }
}

/// A subject in the numbers of one index. What no binding and no group names has none.
pub(super) struct Identity<'i> {
    principal: Option<MemberId>,
    groups: &'i [MemberId],
    sets: &'i [Arc<str>],
    rest: [Option<MemberId>; 3],
}

impl<'i> Identity<'i> {
    fn resolve(policy: &'i Policy, subject: Subject<'i>) -> Self {
        let index = policy.index();
        let Some(principal) = subject.principal else {
            // Who has no name is in no set, either; `who_can` asks about whoever is in one.
            let rest = [None, None, index.all_users()];
            return Self { principal: None, groups: &[], sets: subject.sets, rest };
        };
        let member = index.member(principal.as_str());
        // `domain:` stands for the users of a Workspace domain; a service account belongs to a project.
        let is_user = principal.as_str().starts_with("user:");
        let domain = principal.domain().filter(|_| is_user).and_then(|domain| index.domain(domain));
        // Users and service accounts; federated identities are not among them
        // (<https://cloud.google.com/iam/docs/principals-overview#all-authenticated-users>).
        let authenticated = principal.email().and_then(|_| index.all_authenticated_users());
        Self {
            principal: member,
            groups: member.map(|member| index.groups_of(member)).unwrap_or_default(),
            sets: subject.sets,
            rest: [domain, authenticated, index.all_users()],
        }
    }

    /// Everything that the subject is called in bindings, groups and deny rules.
    pub(super) fn members(&self, policy: &'i Policy) -> impl Iterator<Item = MemberId> + use<'i> {
        let index = policy.index();
        let sets = self.sets.iter().filter_map(|set| index.member(set));
        let sets = sets.flat_map(|set| std::iter::once(set).chain(index.groups_of(set).iter().copied()));
        self.principal
            .into_iter()
            .chain(sets)
            .chain(self.groups.iter().copied())
            .chain(self.rest.into_iter().flatten())
    }
}
