//! The bindings of one resource, as they were written: the index holds one row per member.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::examiner::{Examiner, most, rank};
use super::part::{Attached, Extent, Matched, Weighed};
use crate::diagnostic::Place;
use crate::policy::index::{BoundRole, ConditionId, FileId, MemberId, ResourceId, RoleId};

/// A binding, and which of its parts matched.
#[derive(Clone, Debug)]
pub struct ExplainedBinding {
    /// The role that it binds.
    pub role: Arc<str>,
    /// Where the role is defined. One that is bound and not defined holds nothing.
    pub role_place: Option<Place>,
    /// Whether the role is disabled or deleted: then it holds nothing.
    pub dormant: bool,
    /// Whether the role holds the permission.
    pub holds: bool,
    /// The members that the caller is.
    pub matched: Vec<Matched>,
    /// Other members, where they are told.
    pub others: Vec<Arc<str>>,
    /// How many other members there are.
    pub other_count: usize,
    /// Its condition, where it has one.
    pub condition: Option<Weighed>,
    /// Where it is written.
    pub place: Place,
}

impl ExplainedBinding {
    /// Whether it grants the permission to the caller.
    pub fn grants(&self) -> bool {
        self.would_grant() && self.is_in_force()
    }

    /// Whether it does, or would if its condition held.
    pub fn would_grant(&self) -> bool {
        self.holds && !self.matched.is_empty()
    }

    /// Whether it has no condition, or one that holds.
    pub fn is_in_force(&self) -> bool {
        self.condition.as_ref().is_none_or(|weighed| weighed.tested.lets_grant())
    }
}

/// Rows that agree in this are one binding: JSON may write a whole policy on one line.
type BindingKey = (FileId, u32, RoleId, Option<ConditionId>);

fn as_written(bound: &BoundRole) -> BindingKey {
    (bound.file, bound.line, bound.role, bound.condition)
}

/// The members of one binding.
#[derive(Default)]
struct Members {
    matched: Vec<MemberId>,
    others: Vec<MemberId>,
    other_count: usize,
}

impl Examiner<'_> {
    /// What is bound on a resource; `None` where nothing is.
    pub(super) fn bindings(&mut self, resource: ResourceId) -> Option<Attached<ExplainedBinding>> {
        let index = self.policy.index();
        let ranked = self.ranked(resource);
        if ranked.is_empty() {
            return None;
        }
        let mut told: Vec<BoundRole> = Vec::new();
        for same in ranked.chunk_by(|left, right| left.0 == right.0) {
            let most = same.first().map_or(0, |(rank, _)| most(*rank, self.extent));
            told.extend(same.iter().take(most).map(|(_, bound)| *bound));
        }
        let omitted = ranked.len() - told.len();
        let mut members = self.members(resource, &told);
        let told = told
            .into_iter()
            .map(|bound| self.binding(bound, members.remove(&as_written(&bound)).unwrap_or_default()))
            .collect();
        Some(Attached { resource: index.resource_name(resource), told, omitted })
    }

    /// Every binding once, by rank. A million rows are compared as they stand in the index; only those that are told
    /// are expanded.
    fn ranked(&self, resource: ResourceId) -> Vec<(u8, BoundRole)> {
        let index = self.policy.index();
        let holders = index.holders(self.inquiry.permission);
        let ranked = |for_caller: bool, bound: &BoundRole| {
            (rank(for_caller, holders.binary_search(&bound.role).is_ok()), *bound)
        };
        let own = self.identity.iter().flat_map(|member| index.bound(resource, *member));
        let own = own.map(|bound| ranked(true, bound));
        let mut all: Vec<(u8, BoundRole)> =
            own.chain(index.attached(resource).map(|(_, bound)| ranked(false, bound))).collect();
        // Of the rows of one binding, the best rank stays.
        all.sort_unstable_by_key(|(rank, bound)| (as_written(bound), *rank));
        all.dedup_by_key(|(_, bound)| as_written(bound));
        let is_decisive = |bound: &BoundRole| self.decisive == Some((bound.file, bound.line));
        all.sort_unstable_by_key(|(rank, bound)| (*rank, !is_decisive(bound), as_written(bound)));
        all
    }

    fn members(&self, resource: ResourceId, told: &[BoundRole]) -> BTreeMap<BindingKey, Members> {
        let mut members: BTreeMap<BindingKey, Members> =
            told.iter().map(|bound| (as_written(bound), Members::default())).collect();
        for (member, bound) in self.policy.index().attached(resource) {
            let Some(members) = members.get_mut(&as_written(bound)) else { continue };
            if self.identity.contains(&member) {
                members.matched.push(member);
            } else {
                members.other_count += 1;
                if self.extent == Extent::All {
                    members.others.push(member);
                }
            }
        }
        members
    }

    fn binding(&mut self, bound: BoundRole, members: Members) -> ExplainedBinding {
        let index = self.policy.index();
        let role = index.role_name(bound.role);
        let note = self.policy.explain_index.role(&role);
        ExplainedBinding {
            role_place: note.map(|note| note.place.clone()),
            dormant: note.is_some_and(|note| note.dormant),
            role,
            holds: index.holders(self.inquiry.permission).binary_search(&bound.role).is_ok(),
            matched: self.matched(|member| members.matched.contains(&member)),
            others: members.others.iter().map(|member| index.member_name(*member)).collect(),
            other_count: members.other_count,
            condition: bound.condition.map(|id| self.weigh(id)),
            place: index.place(bound.file, bound.line),
        }
    }
}
