//! The decision: is the resource within the subject's boundaries, does no deny rule on its chain take the permission
//! away, and does some binding there give the subject a role that holds it? The questions are asked in that order
//!
//! The nearest resource comes first. On one resource the subject's own name comes before its sets, groups, domain,
//! `allAuthenticatedUsers` and `allUsers`; of sets and groups, the one that policies name first. The answer is the same in
//! any order; this order makes the audit log name the closest binding. Nothing is allocated until there is an answer, unless
//! a condition allocates, or the subject's sets are looked up for the first time.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::Policy;
use super::attributes::Attributes;
use super::boundary::OutOfBounds;
use super::condition::{self, AttributeRead, ConditionInput, ConditionOutcome};
use super::index::{self, BoundRole, CompiledDenyRule, ConditionId, MemberId, ResourceId, in_both};
use super::model::resource::ResourceName;
use super::refusal::{Denied, Granted, Refusal, Tested, UnmetCondition};
use super::subject::Subject;
use crate::cel::Budget;

/// A question, with the budget for answering it.
pub(super) struct Evaluation<'q> {
    pub(super) policy: &'q Policy,
    pub(super) identity: SubjectIdentity<'q>,
    pub(super) permission: &'q str,
    pub(super) resource: ResourceName<'q>,
    asked: ConditionInput<'q>,
    budget: Budget,
    /// Where the outcomes of conditions are kept for an explanation.
    record: Option<Vec<(ConditionId, Tested)>>,
}

impl Policy {
    /// Whether the subject holds the permission on the resource, by which binding, or why not.
    ///
    /// # Errors
    /// What forbids it, or else the nearest binding that did not grant it.
    pub fn decide(
        &self,
        subject: Subject<'_>,
        permission: &str,
        resource: ResourceName<'_>,
        attributes: &Attributes<'_>,
    ) -> Result<Granted, Refusal> {
        Evaluation::new(self, subject, permission, resource, attributes).decide(subject)
    }
}

impl<'q> Evaluation<'q> {
    pub(super) fn new(
        policy: &'q Policy,
        subject: Subject<'q>,
        permission: &'q str,
        resource: ResourceName<'q>,
        attributes: &'q Attributes<'q>,
    ) -> Self {
        let asked = ConditionInput { principal: subject.principal, resource, tags: &policy.tags, attributes };
        let identity = SubjectIdentity::resolve(policy, subject);
        Self { policy, identity, permission, resource, asked, budget: condition::budget(), record: None }
    }

    /// Keeps the outcomes of conditions.
    pub(super) fn recording(self) -> Self {
        Self { record: Some(Vec::new()), ..self }
    }

    /// The outcomes of conditions since it records.
    pub(super) fn into_record(self) -> Vec<(ConditionId, Tested)> {
        self.record.unwrap_or_default()
    }

    /// Gives conditions their whole budget again.
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

    /// Principal access boundaries: no binding grants anything on a resource outside of them.
    fn keep_within_bounds(&mut self, subject: Subject<'_>) -> Result<(), OutOfBounds> {
        self.policy.boundaries.check(subject, self.resource, &mut self.budget)
    }

    /// The deny rule on the chain that forbids it.
    fn denied(&mut self) -> Option<Denied> {
        let index = self.policy.index();
        // Most policies have no deny rule: they need not be searched on every request.
        if !index.denies() {
            return None;
        }
        let other = index.other_name(self.resource);
        let identity = self.identity.clone();
        for resource in index.chain(self.resource) {
            let Some(sets) = index.denied_sets(resource) else { continue };
            for member in identity.members_among(sets) {
                for rule in index.denied(resource, member) {
                    if !self.speaks_of(rule) {
                        continue;
                    }
                    let tested = rule.condition.map(|id| self.test_by_both_names(id, other.as_deref()));
                    if tested.as_ref().is_none_or(Tested::lets_deny) {
                        return Some(Denied {
                            member: index.member_name(member),
                            // A rule without a condition denies, and so does one whose condition has no value: a rule
                            // that cannot be evaluated must not be passed over.
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

    /// Whether a deny rule that names the subject covers the permission, and excepts neither of them.
    pub(super) fn speaks_of(&self, rule: &CompiledDenyRule) -> bool {
        rule.permissions.contain(self.permission)
            && !rule.exceptions.contain(self.permission)
            && !self.identity.is_among(&rule.excepted)
    }

    /// The binding on the chain that grants it.
    fn granted(&mut self) -> Result<Granted, Refusal> {
        let index = self.policy.index();
        let holders = index.holders(self.permission);
        let mut lacking = 0;
        let mut nearest = None;
        // For the refusal only: what came nearest to a grant.
        let mut unmet = None;
        let identity = self.identity.clone();
        for resource in index.chain(self.resource) {
            let Some(sets) = index.bound_sets(resource) else { continue };
            for member in identity.members_among(sets) {
                let bound = index.bound(resource, member);
                let mut holding = 0;
                for candidate in index::common(bound, holders) {
                    holding += 1;
                    let Some(id) = candidate.condition else {
                        return Ok(self.binding(resource, member, *candidate));
                        // Without a condition it grants at once. Rows without a condition come first, so no budget is spent
                        // where none is needed.
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
            // The first that is found is the nearest: later ones are on a resource further up, or name a wider set.
            (Some((resource, member, bound, tested)), _) => {
                Refusal::ConditionNotMet(Box::new(UnmetCondition {
                    binding: self.binding(resource, member, bound),
                    tested,
                }))
            }
            (None, Some((resource, member, bound))) => Refusal::PermissionNotInRole {
                count: lacking,
                nearest: Box::new(self.binding(resource, member, bound)),
                is_defined: !index.undefined.contains(&bound.role),
            },
            (None, None) => Refusal::NoBinding,
        })
    }

    /// The outcome of the condition of a deny rule: for the resource as the request names it, or else by the other name
    /// of its project. A condition on one name must not be evaded by using the other.
    fn test_by_both_names(&mut self, id: ConditionId, other: Option<&str>) -> Tested {
        let tested = self.weigh(id, self.asked);
        let tested = match other {
            Some(other) if !tested.lets_deny() => {
                let asked = ConditionInput { resource: ResourceName::new(other), ..self.asked };
                let by_other = self.weigh(id, asked);
                if by_other.lets_deny() { by_other } else { tested }
            }
            _ => tested,
        };
        self.keep(id, &tested);
        tested
    }

    /// The outcome of a condition for this question.
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

    fn weigh(&mut self, id: ConditionId, asked: ConditionInput<'_>) -> Tested {
        match self.policy.index().condition(id) {
            Some(condition) => Tested {
                expression: condition.expression.clone(),
                title: condition.title.clone(),
                outcome: condition.outcome(asked, &mut self.budget),
            },
            None => Tested {
                expression: Arc::default(),
                // Cannot happen: conditions are never removed from an index. Unknown never grants and always denies.
                title: None,
                outcome: ConditionOutcome::Unknown("the condition went missing".to_owned()),
            },
        }
    }

    /// The attributes that a condition reads, with their values.
    pub(super) fn reads(&self, id: ConditionId) -> Vec<AttributeRead> {
        self.policy.index().condition(id).map(|condition| condition.reads(self.asked)).unwrap_or_default()
    }

    fn binding(&self, resource: ResourceId, member: MemberId, bound: BoundRole) -> Granted {
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

/// A subject in the numbers of one index. A name that no binding and no group uses has no number.
#[derive(Clone)]
pub(super) struct SubjectIdentity<'i> {
    principal: Option<MemberId>,
    /// The groups that it is in, sorted.
    groups: &'i [MemberId],
    /// The sets that its credential asserts and the groups that those are in, as far as there are any; sorted.
    sets: Option<Arc<[NonZeroU32]>>,
    rest: [Option<MemberId>; 3],
}

impl<'i> SubjectIdentity<'i> {
    pub(super) fn resolve(policy: &'i Policy, subject: Subject<'i>) -> Self {
        let index = policy.index();
        let sets = known_sets(policy, subject);
        let Some(principal) = subject.principal else {
            // An anonymous caller is in no set. `who_can` passes a set without a principal, to ask about all of its
            // members.
            return Self { principal: None, groups: &[], sets, rest: [None, None, index.all_users] };
        };
        let member = index.member(principal.as_str());
        // A `domain:` member stands for the users of a Workspace domain; a service account belongs to a project.
        let is_user = principal.as_str().starts_with("user:");
        let domain = principal.domain().filter(|_| is_user).and_then(|domain| index.domain(domain));
        // Users and service accounts; federated identities are not among them
        // (<https://cloud.google.com/iam/docs/principals-overview#all-authenticated-users>).
        let authenticated = principal.email().and(index.all_authenticated_users);
        Self {
            principal: member,
            groups: member.map(|member| index.groups_of(member)).unwrap_or_default(),
            sets,
            rest: [domain, authenticated, index.all_users],
        }
    }

    /// Every identifier that bindings, groups and deny rules may name the subject by, the narrowest first.
    pub(super) fn members(&self) -> impl Iterator<Item = MemberId> + '_ {
        let sets = self.sets.as_deref().unwrap_or_default().iter().copied().map(MemberId::from);
        self.principal.into_iter().chain(sets).chain(self.groups.iter().copied()).chain(self.wide())
    }

    /// Those of [`members`](Self::members) that may be meant on a resource whose rules name these sets, which are sorted.
    pub(super) fn members_among<'s>(&'s self, named: &'s [MemberId]) -> impl Iterator<Item = MemberId> + 's {
        self.principal
            .into_iter()
            .chain(in_both(self.sets.as_deref().unwrap_or_default(), named))
            .chain(in_both(self.groups, named))
            .chain(self.wide())
    }

    /// Whether one of these, which are sorted, stands for the subject.
    pub(super) fn is_among(&self, named: &[MemberId]) -> bool {
        let mut own = self.principal.into_iter().chain(self.wide());
        own.any(|member| named.binary_search(&member).is_ok())
            || in_both(self.sets.as_deref().unwrap_or_default(), named).next().is_some()
            || in_both(self.groups, named).next().is_some()
    }

    /// The domain, and those that hold everybody.
    fn wide(&self) -> impl Iterator<Item = MemberId> + use<> {
        self.rest.into_iter().flatten()
    }
}

/// The sets that a subject's credential asserts, and the groups that those are in, as far as rules name them.
fn known_sets(policy: &Policy, subject: Subject<'_>) -> Option<Arc<[NonZeroU32]>> {
    if subject.sets.is_empty() {
        return None;
    }
    let index = policy.index();
    let look_up = |names: &[Arc<str>]| {
        let named = names.iter().filter_map(|set| index.member(set));
        let all = named.flat_map(|set| std::iter::once(set).chain(index.groups_of(set).iter().copied()));
        let mut numbers: Vec<NonZeroU32> = all.map(NonZeroU32::from).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.into()
    };
    Some(match subject.remembering {
        Some(sets) => sets.known_to(policy.number, look_up),
        None => look_up(subject.sets),
    })
}
