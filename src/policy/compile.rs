//! From policies as written to the index that decides ([`super::index`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::HashMap;

use super::condition::Condition;
use super::index::{
    BoundRole, CompiledAuditConfig, CompiledDenyRule, ConditionId, Index, MemberId, ResourceEntry,
    ResourceId, RoleId, span,
};
use super::model::allow::AllowPolicy;
use super::model::context::Context;
use super::model::deny::{DenyPolicy, DenyPrincipal, Permissions, WrittenPattern};
use super::model::groups::Groups;
use super::model::member::{ALL_AUTHENTICATED_USERS, ALL_USERS, IDENTITIES, Identifier};
use super::names::NameId;

/// Collects policies one by one, so that only one is in memory as written.
#[derive(Debug, Default)]
pub(super) struct Compiler {
    index: Index,
    rows: Vec<Row>,
    /// Conditions by title and expression: policies repeat them.
    conditions: HashMap<(Option<Arc<str>>, Arc<str>), ConditionId>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    resource: ResourceId,
    member: MemberId,
    bound: BoundRole,
}

impl Compiler {
    /// Takes a deny policy in.
    pub(super) fn forbid(&mut self, policy: DenyPolicy) {
        let resource = self.index.resource(&policy.resource);
        let file = self.index.files.intern(&policy.source.path.display().to_string());
        for rule in policy.rules {
            let number = self.index.denials.len();
            let denied = self.members(&rule.denied_principals);
            for member in &denied {
                self.index.denied.entry((resource, *member)).or_default().push(number);
            }
            self.index.forbidden.entry(resource).or_default().push(number);
            let denial = CompiledDenyRule {
                permissions: patterns(rule.denied_permissions),
                exceptions: patterns(rule.exception_permissions),
                denied,
                excepted: self.members(&rule.exception_principals),
                condition: rule.condition.map(|condition| self.condition(condition.value)),
                file,
                line: u32::try_from(rule.line).unwrap_or(u32::MAX),
            };
            self.index.denials.push(denial);
        }
    }

    fn members(&mut self, principals: &[DenyPrincipal]) -> Box<[MemberId]> {
        let names = principals.iter().filter_map(|principal| principal.identifier.as_deref());
        let members: BTreeSet<MemberId> = names.map(|name| self.index.members.intern(name)).collect();
        members.into_iter().collect()
    }

    fn member(&mut self, identifier: Identifier<'_>) -> MemberId {
        match identifier.domain() {
            None => self.index.members.intern(identifier.text()),
            Some(domain) => {
                let member = self.index.members.intern(&identifier.to_string());
                self.index.domains.insert(domain.into(), member);
                member
            }
        }
    }

    fn condition(&mut self, condition: Condition) -> ConditionId {
        let key = (condition.title.clone(), condition.expression.clone());
        *self.conditions.entry(key).or_insert_with(|| {
            let id = NameId::after(self.index.conditions.len());
            self.index.conditions.push(condition);
            id
        })
    }

    /// Takes an allow policy in.
    pub(super) fn attach(&mut self, policy: AllowPolicy) {
        let resource = self.index.resource(&policy.resource);
        let file = self.index.files.intern(&policy.source.path.display().to_string());
        for config in policy.audited {
            let names = config.exempted.iter().filter_map(|member| member.identifier());
            let exempted: BTreeSet<MemberId> = names.map(|name| self.member(name)).collect();
            self.index.audited.entry(resource).or_default().push(CompiledAuditConfig {
                service: config.service,
                access: config.access,
                exempted: exempted.into_iter().collect(),
                ignores_child_exemptions: config.ignores_child_exemptions,
            });
        }
        for binding in policy.bindings {
            let role = self.index.roles.intern(&binding.role.value);
            let line = u32::try_from(binding.line).unwrap_or(u32::MAX);
            let condition = binding.condition.map(|condition| self.condition(condition.value));
            let bound = BoundRole { role, condition, file, line };
            for identifier in binding.members.iter().filter_map(|member| member.value.identifier()) {
                let member = self.member(identifier);
                self.rows.push(Row { resource, member, bound });
            }
        }
    }

    /// The index of everything that was taken in.
    pub(super) fn finish(self, context: Context<'_>) -> Index {
        let Self { mut index, mut rows, .. } = self;
        for (child, parent) in context.hierarchy.links() {
            let (child, parent) = (index.resource(child), index.resource(parent));
            if let Some(entry) = index.entries.get_mut(child.index()) {
                entry.parent = Some(parent);
            }
        }
        index.aliases = context
            .hierarchy
            .aliases()
            .map(|(name, other)| {
                // Names are looked up only up to this length.
                index.resource(name);
                (name.into(), other.into())
            })
            .collect();
        index.hold(context);
        index.expand(context.groups);
        index.note_asserted(context);
        rows.sort_unstable();
        // A member that a binding names twice.
        rows.dedup();
        ranges(
            &rows,
            |row| (row.resource, row.member),
            |key, range| {
                index.ranges.insert(key, range);
            },
        );
        index.ranges.shrink_to_fit();
        index.note_sets(&rows);
        index.bound_to = rows.iter().map(|row| row.member).collect();
        index.bound = rows.into_iter().map(|row| row.bound).collect();
        index.all_users = index.members.find(ALL_USERS);
        index.all_authenticated_users = index.members.find(ALL_AUTHENTICATED_USERS);
        index.resources.shrink();
        index.members.shrink();
        index
    }
}

/// What written patterns stand for, without their places.
fn patterns(written: Vec<WrittenPattern>) -> Permissions {
    written.into_iter().map(|written| written.pattern).collect()
}

/// Tells where the rows of each key begin and how many they are. Rows of one key stand together.
fn ranges<K: Eq>(rows: &[Row], key: impl Fn(&Row) -> K, mut tell: impl FnMut(K, (u32, u32))) {
    let mut start = 0;
    for same in rows.chunk_by(|left, right| key(left) == key(right)) {
        let length = counted(same.len());
        if let Some(row) = same.first() {
            tell(key(row), (start, length));
        }
        start += length;
    }
}

#[expect(
    clippy::expect_used,
    reason = "four billion bindings do not fit in memory; a range cut short would hide a grant"
)]
fn counted(rows: usize) -> u32 {
    u32::try_from(rows).expect("fewer than 2^32 bindings")
}

/// Building.
impl Index {
    fn resource(&mut self, name: &str) -> ResourceId {
        let id = self.resources.intern(name);
        self.entries.resize(self.resources.len(), ResourceEntry::default());
        self.longest = self.longest.max(name.len());
        id
    }

    /// Notes which sets of principals the rules of each resource name.
    fn note_sets(&mut self, rows: &[Row]) {
        let Self { members, entries, bound_sets, denials, forbidden, denied_sets, .. } = self;
        let is_set = |member: &MemberId| {
            members.text(*member).is_some_and(|name| !IDENTITIES.iter().any(|kind| name.starts_with(kind)))
        };
        let of_resource = |row: &Row| row.resource;
        ranges(rows, of_resource, |resource, range| {
            let first = bound_sets.len();
            let bound = rows.get(span(range)).unwrap_or_default().iter().map(|row| row.member);
            bound_sets.extend(bound.filter(is_set));
            let mut here = bound_sets.split_off(first);
            here.dedup();
            if let Some(entry) = entries.get_mut(resource.index()) {
                entry.rows = range;
                entry.sets = (counted(first), counted(here.len()));
            }
            bound_sets.append(&mut here);
        });
        bound_sets.shrink_to_fit();
        for (resource, numbers) in &*forbidden {
            let rules = numbers.iter().filter_map(|number| denials.get(*number));
            let sets: BTreeSet<MemberId> =
                rules.flat_map(|rule| rule.denied.iter().copied()).filter(is_set).collect();
            denied_sets.insert(*resource, sets.into_iter().collect());
        }
    }

    /// Notes for every permission which bound roles hold it.
    fn hold(&mut self, context: Context<'_>) {
        let mut holders: BTreeMap<&str, Vec<RoleId>> = BTreeMap::new();
        for role in context.roles.iter() {
            let Some(id) = self.roles.find(&role.name) else { continue };
            for permission in role.permissions() {
                holders.entry(permission).or_default().push(id);
            }
        }
        let sorted = holders.into_iter().map(|(permission, mut roles)| {
            roles.sort_unstable();
            roles.dedup();
            (permission.into(), roles.into())
        });
        self.holders = sorted.collect();
        let undefined = self.roles.iter().filter(|(_, name)| context.roles.find(name).is_none());
        self.undefined = undefined.map(|(id, _)| id).collect();
    }

    /// Notes the groups of rules that a token may assert. Without a configuration, a group without an entry in groups.yaml
    /// is one.
    fn note_asserted(&mut self, context: Context<'_>) {
        let groups = self.members.iter().filter(|(_, name)| name.starts_with("group:"));
        let asserted = groups.filter(|(_, name)| {
            context.pools.asserts_group(name).unwrap_or_else(|| !context.groups.contains(name))
        });
        let found: BTreeSet<MemberId> = asserted
            .flat_map(|(id, _)| std::iter::once(id).chain(self.groups_of(id).iter().copied()))
            .collect();
        self.asserted = found.into_iter().collect();
    }

    /// Notes for every member of a group, and for every group in a group, which bound groups it is in.
    fn expand(&mut self, groups: &Groups) {
        let mut containers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (group, members) in groups.iter() {
            for member in members {
                containers.entry(member).or_default().push(group);
            }
        }
        for member in containers.keys() {
            let mut reached: BTreeSet<&str> = BTreeSet::new();
            let mut pending = vec![*member];
            while let Some(name) = pending.pop() {
                let above = containers.get(name).into_iter().flatten().copied();
                pending.extend(above.filter(|group| reached.insert(group)));
            }
            let bound: BTreeSet<MemberId> =
                reached.into_iter().filter_map(|group| self.members.find(group)).collect();
            if !bound.is_empty() {
                let member = self.members.intern(member);
                self.groups.insert(member, bound.into_iter().collect());
            }
        }
    }
}
