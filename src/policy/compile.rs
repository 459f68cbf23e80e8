//! From policies as written to an index that answers without looking at them: a decision costs the same at ten
//! bindings and at a million.
//!
//! ```text
//! (resource, member) ──► the roles bound there, sorted ┐
//!                                                       ├──► a role in both: granted
//! permission ──────────► the roles that hold it, sorted ┘
//! member ──────────────► the groups it is in, directly or through others, as far as they are bound
//! resource ────────────► what it lies in (hierarchy.yaml)
//! ```
//!
//! Names are numbers here, and places are a file's number and a line, so that a binding costs tens of bytes beside
//! its names.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::allow::{AllowPolicy, Context};
use super::deny::{DenyPolicy, Permissions};
use super::groups::Groups;
use super::member::{ALL_AUTHENTICATED_USERS, ALL_USERS};
use super::names::{Id, Names};
use super::resource::ResourceName;
use crate::diagnostic::Place;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Resource {}
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Principal {}
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Role {}
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum File {}

pub(super) type ResourceId = Id<Resource>;
pub(super) type MemberId = Id<Principal>;
pub(super) type RoleId = Id<Role>;

/// A role bound to a member on a resource, without the member and the resource.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) role: RoleId,
    file: Id<File>,
    line: u32,
}

/// The compiled policy.
#[derive(Debug, Default)]
pub(super) struct Index {
    resources: Names<Resource>,
    members: Names<Principal>,
    roles: Names<Role>,
    files: Names<File>,
    /// By resource: what it lies in.
    parents: Vec<Option<ResourceId>>,
    /// The longest name of a resource, in bytes: a longer name need not be looked up.
    longest: usize,
    holders: HashMap<Box<str>, Box<[RoleId]>>,
    groups: HashMap<MemberId, Box<[MemberId]>>,
    domains: HashMap<Box<str>, MemberId>,
    bound: Vec<Bound>,
    denials: Vec<Denial>,
    /// By resource and denied member: the rules, as numbers within `denials`.
    denied: HashMap<(ResourceId, MemberId), Vec<usize>>,
    /// Where the roles of a resource and a member begin within `bound`, and how many they are.
    ranges: HashMap<(ResourceId, MemberId), (u32, u32)>,
}

/// A deny rule, without its resource and whom it denies.
#[derive(Debug)]
pub(super) struct Denial {
    pub(super) permissions: Permissions,
    pub(super) exceptions: Permissions,
    /// Sorted.
    excepted: Box<[MemberId]>,
    file: Id<File>,
    line: u32,
}

impl Denial {
    /// Whether one of the rule's exceptions is for a member.
    pub(super) fn excepts(&self, member: MemberId) -> bool {
        self.excepted.binary_search(&member).is_ok()
    }
}

/// Collects allow policies, one by one, so that no more than one is in memory as written.
#[derive(Debug, Default)]
pub(super) struct Compiler {
    index: Index,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    resource: ResourceId,
    member: MemberId,
    bound: Bound,
}

impl Compiler {
    /// Takes a deny policy in.
    pub(super) fn forbid(&mut self, policy: &DenyPolicy) {
        let resource = self.index.resource(&policy.resource);
        let file = self.index.files.intern(&policy.file);
        for rule in &policy.rules {
            let mut excepted: Vec<MemberId> =
                rule.exception_principals.iter().map(|name| self.index.members.intern(name)).collect();
            excepted.sort_unstable();
            let number = self.index.denials.len();
            self.index.denials.push(Denial {
                permissions: rule.denied_permissions.clone(),
                exceptions: rule.exception_permissions.clone(),
                excepted: excepted.into(),
                file,
                line: u32::try_from(rule.line).unwrap_or(u32::MAX),
            });
            for name in &rule.denied_principals {
                let member = self.index.members.intern(name);
                self.index.denied.entry((resource, member)).or_default().push(number);
            }
        }
    }

    /// Takes an allow policy in.
    pub(super) fn attach(&mut self, policy: &AllowPolicy) {
        let resource = self.index.resource(&policy.resource);
        let file = self.index.files.intern(&policy.file);
        for binding in &policy.bindings {
            let role = self.index.roles.intern(&binding.role);
            let line = u32::try_from(binding.line).unwrap_or(u32::MAX);
            for identifier in binding.members.iter().filter_map(|member| member.identifier()) {
                let member = match identifier.domain() {
                    None => self.index.members.intern(identifier.text()),
                    Some(domain) => {
                        let member = self.index.members.intern(&identifier.to_string());
                        self.index.domains.insert(domain.into(), member);
                        member
                    }
                };
                self.rows.push(Row { resource, member, bound: Bound { role, file, line } });
            }
        }
    }

    /// The index of everything that was attached.
    pub(super) fn finish(self, context: Context<'_>) -> Index {
        let Self { mut index, mut rows } = self;
        for (child, parent) in context.hierarchy.links() {
            let (child, parent) = (index.resource(child), index.resource(parent));
            if let Some(slot) = index.parents.get_mut(child.index()) {
                *slot = Some(parent);
            }
        }
        let mut holders: BTreeMap<&str, Vec<RoleId>> = BTreeMap::new();
        for role in context.roles.iter() {
            let Some(id) = index.roles.find(&role.name) else { continue };
            for permission in role.permissions() {
                holders.entry(permission).or_default().push(id);
            }
        }
        index.holders = holders
            .into_iter()
            .map(|(permission, mut roles)| {
                roles.sort_unstable();
                roles.dedup();
                (permission.into(), roles.into())
            })
            .collect();
        index.expand(context.groups);

        rows.sort_unstable_by_key(|row| {
            (row.resource, row.member, row.bound.role, row.bound.file, row.bound.line)
        });
        rows.dedup_by_key(|row| (row.resource, row.member, row.bound.role));
        let mut start = 0;
        for same in
            rows.chunk_by(|left, right| (left.resource, left.member) == (right.resource, right.member))
        {
            #[expect(
                clippy::expect_used,
                reason = "four billion bindings do not fit in memory; a range cut short would hide a grant"
            )]
            let length = u32::try_from(same.len()).expect("fewer than 2^32 bindings");
            if let Some(row) = same.first() {
                index.ranges.insert((row.resource, row.member), (start, length));
            }
            start += length;
        }
        index.bound = rows.into_iter().map(|row| row.bound).collect();
        index.ranges.shrink_to_fit();
        index.resources.shrink();
        index.members.shrink();
        index
    }
}

/// Building.
impl Index {
    fn resource(&mut self, name: &str) -> ResourceId {
        let id = self.resources.intern(name);
        self.parents.resize(self.resources.len(), None);
        self.longest = self.longest.max(name.len());
        id
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
            let bound: Box<[MemberId]> =
                reached.into_iter().filter_map(|group| self.members.find(group)).collect();
            if !bound.is_empty() {
                let member = self.members.intern(member);
                self.groups.insert(member, bound);
            }
        }
    }
}

/// Asking.
impl Index {
    /// The resources on a name's chain that policies or the hierarchy know, nearest first.
    pub(super) fn chain(&self, name: ResourceName<'_>) -> impl Iterator<Item = ResourceId> {
        let own = name.chain().filter_map(|name| self.find_resource(name));
        let above = self.find_resource(name.root()).and_then(|root| self.parent(root));
        own.chain(std::iter::successors(above, |id| self.parent(*id)))
    }

    fn find_resource(&self, name: &str) -> Option<ResourceId> {
        // A path holds thousands of segments if it likes; hashing each prefix would cost its square.
        if name.len() > self.longest { None } else { self.resources.find(name) }
    }

    fn parent(&self, id: ResourceId) -> Option<ResourceId> {
        self.parents.get(id.index()).copied().flatten()
    }

    /// The number of an identifier that is bound somewhere, or in a group that is.
    pub(super) fn member(&self, identifier: &str) -> Option<MemberId> {
        self.members.find(identifier)
    }

    /// The number of a bound domain.
    pub(super) fn domain(&self, domain: &str) -> Option<MemberId> {
        self.domains.get(domain).copied()
    }

    pub(super) fn all_users(&self) -> Option<MemberId> {
        self.members.find(ALL_USERS)
    }

    pub(super) fn all_authenticated_users(&self) -> Option<MemberId> {
        self.members.find(ALL_AUTHENTICATED_USERS)
    }

    /// The bound groups that a member is in.
    pub(super) fn groups_of(&self, member: MemberId) -> &[MemberId] {
        self.groups.get(&member).map(|groups| &**groups).unwrap_or_default()
    }

    /// The bound roles that hold a permission, sorted.
    pub(super) fn holders(&self, permission: &str) -> &[RoleId] {
        self.holders.get(permission).map(|roles| &**roles).unwrap_or_default()
    }

    /// The roles bound to a member on a resource, sorted by role.
    pub(super) fn bound(&self, resource: ResourceId, member: MemberId) -> &[Bound] {
        let Some((start, length)) = self.ranges.get(&(resource, member)) else { return &[] };
        let (start, length) = (*start as usize, *length as usize);
        self.bound.get(start..start + length).unwrap_or_default()
    }

    /// Whether there is any deny rule.
    pub(super) fn denies(&self) -> bool {
        !self.denials.is_empty()
    }

    /// The deny rules of a resource that name a member.
    pub(super) fn denied(&self, resource: ResourceId, member: MemberId) -> impl Iterator<Item = &Denial> {
        let numbers = self.denied.get(&(resource, member)).map(Vec::as_slice).unwrap_or_default();
        numbers.iter().filter_map(|number| self.denials.get(*number))
    }

    pub(super) fn place_of_denial(&self, denial: &Denial) -> Place {
        Place { file: self.files.text(denial.file).cloned().unwrap_or_default(), line: denial.line as usize }
    }

    pub(super) fn resource_name(&self, id: ResourceId) -> Arc<str> {
        self.resources.text(id).cloned().unwrap_or_default()
    }

    pub(super) fn member_name(&self, id: MemberId) -> Arc<str> {
        self.members.text(id).cloned().unwrap_or_default()
    }

    pub(super) fn role_name(&self, bound: Bound) -> Arc<str> {
        self.roles.text(bound.role).cloned().unwrap_or_default()
    }

    pub(super) fn place(&self, bound: Bound) -> Place {
        Place { file: self.files.text(bound.file).cloned().unwrap_or_default(), line: bound.line as usize }
    }

    pub(super) fn resource_count(&self) -> usize {
        self.resources.len()
    }
}

/// The first role, in order, that is bound and holds the permission. Both lists are sorted; the longer one is
/// searched for each of the shorter, so that neither a member with thousands of roles nor a permission that
/// thousands of roles hold makes a decision slow.
pub(super) fn first_common<'b>(bound: &'b [Bound], holders: &[RoleId]) -> Option<&'b Bound> {
    if bound.len() <= holders.len() {
        return bound.iter().find(|bound| holders.binary_search(&bound.role).is_ok());
    }
    holders.iter().find_map(|role| {
        let at = bound.binary_search_by_key(role, |bound| bound.role).ok()?;
        bound.get(at)
    })
}
