//! What a caller holds: every permission that some binding gives them, on a resource or wherever they are bound.
//!
//! Every permission goes through [`Policy::decide`], so deny rules and boundaries count.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Policy;
use super::attributes::Attributes;
use super::decide::Evaluation;
use super::index;
use super::model::resource::ResourceName;
use super::refusal::{Granted, Refusal};
use super::subject::Subject;
use super::who_can::{GrantedThrough, inside};

/// A permission that bindings give a caller on a resource.
#[derive(Clone, Debug)]
pub struct HeldPermission {
    /// The permission.
    pub permission: String,
    /// The engine's verdict, as asked.
    pub decided: Result<Granted, Refusal>,
    /// The bindings that give it, nearest resource first.
    pub grants: Vec<GrantedThrough>,
    /// The conditions on which deny rules take it away again.
    pub denied_if: BTreeSet<Arc<str>>,
}

/// The members of each group.
#[derive(Debug)]
pub struct GroupMembers(BTreeMap<Arc<str>, Vec<Arc<str>>>);

impl Policy {
    /// The resources on which some binding names a caller, by themselves or by a set that they are in; sorted.
    pub fn bound_resources(&self, subject: Subject<'_>) -> Vec<Arc<str>> {
        let attributes = Attributes::at(std::time::SystemTime::UNIX_EPOCH);
        let evaluation = Evaluation::new(self, subject, "", ResourceName::new(""), &attributes);
        let members: Vec<_> = evaluation.identity.members().collect();
        let index = self.index();
        let named = index.resources.iter().filter(|(resource, _)| {
            index.bound_sets(*resource).is_some()
                && members.iter().any(|member| !index.bound(*resource, *member).is_empty())
        });
        let mut names: Vec<Arc<str>> = named.map(|(_, name)| name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// What bindings on a resource's chain give a caller of a permission; `None` where they give nothing. With `here`,
    /// bindings on the resource itself alone count.
    pub fn held(
        &self,
        subject: Subject<'_>,
        permission: &str,
        resource: ResourceName<'_>,
        attributes: &Attributes<'_>,
        here: bool,
    ) -> Option<HeldPermission> {
        let index = self.index();
        let holders = index.holders(permission);
        if holders.is_empty() {
            return None;
        }
        let mut evaluation = Evaluation::new(self, subject, permission, resource, attributes);
        let members: Vec<_> = evaluation.identity.members().collect();
        let mut grants = Vec::new();
        for attached in index.chain(resource) {
            if here && *index.resource_name(attached) != *resource.as_str() {
                continue;
            }
            for member in &members {
                let bound = index::common(index.bound(attached, *member), holders);
                grants.extend(bound.map(|bound| {
                    let through = self.way_to(subject, &index.member_name(*member));
                    GrantedThrough { through, ..self.granted_through(attached, *member, bound) }
                }));
            }
        }
        if grants.is_empty() {
            return None;
        }
        let denials = index
            .chain(resource)
            .flat_map(|attached| members.iter().flat_map(move |member| index.denied(attached, *member)));
        let denied_if = denials
            .filter(|rule| evaluation.speaks_of(rule))
            .filter_map(|rule| Some(index.condition(rule.condition?)?.expression.clone()))
            .collect();
        let decided = evaluation.decide(subject);
        Some(HeldPermission { permission: permission.to_owned(), decided, grants, denied_if })
    }

    /// Every resource that a policy or the hierarchy names, by one of its names, sorted.
    pub fn known_resources(&self) -> BTreeSet<Arc<str>> {
        let index = self.index();
        let is_number = |name: &str| {
            let id = ResourceName::new(name).root().strip_prefix("projects/");
            id.is_some_and(|id| id.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let is_second = |name: &str| is_number(name) && index.other_name(ResourceName::new(name)).is_some();
        let names = index.resources.iter().map(|(_, name)| name);
        names.filter(|name| !is_second(name)).cloned().collect()
    }

    /// What policies inherit to a resource from: the names of its chain above it.
    pub fn above(&self, resource: ResourceName<'_>) -> BTreeSet<Arc<str>> {
        let index = self.index();
        let names = index.chain(resource).map(|id| index.resource_name(id));
        names.filter(|name| **name != *resource.as_str()).collect()
    }

    /// Every principal that some binding on a resource's chain names, by itself or in a group.
    pub fn named_on(&self, resource: ResourceName<'_>, groups: &GroupMembers) -> BTreeSet<Arc<str>> {
        let index = self.index();
        let bound = index.chain(resource).flat_map(|attached| index.attached(attached));
        let bound: BTreeSet<_> = bound.map(|(member, _)| member).collect();
        let names = bound.into_iter().flat_map(|member| inside(&index.member_name(member), &groups.0));
        names.map(|(name, _)| name).collect()
    }

    /// The members of each group, for [`Policy::named_on`].
    pub fn group_members(&self) -> GroupMembers {
        GroupMembers(self.explain_index.members())
    }

    /// The groups between a caller and a member that they are, nearest to them first.
    fn way_to(&self, subject: Subject<'_>, member: &str) -> Vec<Arc<str>> {
        let names = subject.principal.map(|principal| principal.as_str());
        let mut names = names.into_iter().chain(subject.sets.iter().map(|set| &**set));
        if subject.sets.iter().any(|set| **set == *member) {
            return Vec::new();
        }
        names.find_map(|name| self.explain_index.way(name, member)).unwrap_or_default()
    }
}
