//! The compiled policy: an index that answers without the policies as written, so that a decision costs the same at ten
//! bindings and at a million.
//!
//! ```text
//! (resource, member) ──► the roles bound there, sorted ┐
//!                                                       ├──► a role in both: granted, if its condition holds
//! permission ──────────► the roles that hold it, sorted ┘
//! (resource, member) ──► the deny rules there
//! member ──────────────► the groups it is in, directly or through others, as far as they are bound
//! resource ────────────► what it lies in (hierarchy.yaml), and the sets that its bindings name
//! project ─────────────► its other name (hierarchy.yaml)
//! ```
//!
//! Names are numbers here, and places are a file's number and a line, so that a binding costs tens of bytes beside
//! its names.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;

use foldhash::HashMap;

use super::condition::Condition;
use super::model::deny::Permissions;
use super::model::resource::ResourceName;
use super::names::{NameId, NameTable};
use crate::catalog::PermissionType;
use crate::diagnostic::Place;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum OfResource {}
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum OfMember {}
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum OfRole {}
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum OfFile {}
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum OfCondition {}

pub(super) type ResourceId = NameId<OfResource>;
pub(super) type MemberId = NameId<OfMember>;
pub(super) type RoleId = NameId<OfRole>;
pub(super) type ConditionId = NameId<OfCondition>;
pub(super) type FileId = NameId<OfFile>;

/// A role bound to a member on a resource, without the member and the resource. Ordered by role, then without a
/// condition first: a binding that needs no evaluation is tried first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BoundRole {
    pub(super) role: RoleId,
    pub(super) condition: Option<ConditionId>,
    pub(super) file: FileId,
    pub(super) line: u32,
}

/// A deny rule, without its resource.
#[derive(Debug)]
pub(super) struct CompiledDenyRule {
    pub(super) permissions: Permissions,
    pub(super) exceptions: Permissions,
    /// Sorted.
    pub(super) denied: Box<[MemberId]>,
    /// Sorted.
    pub(super) excepted: Box<[MemberId]>,
    pub(super) condition: Option<ConditionId>,
    pub(super) file: FileId,
    pub(super) line: u32,
}

impl CompiledDenyRule {
    /// Whether one of the rule's exceptions is for a member.
    pub(super) fn excepts(&self, member: MemberId) -> bool {
        self.excepted.binary_search(&member).is_ok()
    }
}

/// What an allow policy says of the lines of one kind of access (`auditConfigs`), without its resource.
#[derive(Debug)]
pub(super) struct CompiledAuditConfig {
    /// `None` for all services.
    pub(super) service: Option<Box<str>>,
    pub(super) access: PermissionType,
    /// Sorted.
    pub(super) exempted: Box<[MemberId]>,
    pub(super) ignores_child_exemptions: bool,
}

/// What decisions ask of a resource first: most of a chain has nothing, and is passed over by a look at this.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ResourceEntry {
    /// What it lies in.
    pub(super) parent: Option<ResourceId>,
    /// Where its rows begin within [`Index::bound`], and how many they are.
    pub(super) rows: (u32, u32),
    /// Where the sets that its rows are bound to begin within [`Index::bound_sets`], and how many they are. A caller in a
    /// thousand groups is looked for among these few.
    pub(super) sets: (u32, u32),
}

/// The compiled policy.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) resources: NameTable<OfResource>,
    pub(super) members: NameTable<OfMember>,
    pub(super) roles: NameTable<OfRole>,
    pub(super) files: NameTable<OfFile>,
    pub(super) conditions: Vec<Condition>,
    /// By resource: what decisions ask of it first.
    pub(super) entries: Vec<ResourceEntry>,
    /// By id and by number of a project: its other name.
    pub(super) aliases: HashMap<Box<str>, Box<str>>,
    /// The longest name of a resource, in bytes: a longer name need not be looked up.
    pub(super) longest: usize,
    pub(super) holders: HashMap<Box<str>, Box<[RoleId]>>,
    /// Bound roles that are not defined. They hold nothing; for what is told of a refusal.
    pub(super) undefined: BTreeSet<RoleId>,
    pub(super) groups: HashMap<MemberId, Box<[MemberId]>>,
    pub(super) domains: HashMap<Box<str>, MemberId>,
    /// Sorted by resource, member and role.
    pub(super) bound: Vec<BoundRole>,
    /// The member that each of `bound` is bound to.
    pub(super) bound_to: Vec<MemberId>,
    /// Where the roles of a resource and a member begin within `bound`, and how many they are.
    pub(super) ranges: HashMap<(ResourceId, MemberId), (u32, u32)>,
    /// The sets of principals that bindings name, by resource; see [`ResourceEntry::sets`].
    pub(super) bound_sets: Vec<MemberId>,
    /// By resource: its `auditConfigs`.
    pub(super) audited: HashMap<ResourceId, Vec<CompiledAuditConfig>>,
    pub(super) denials: Vec<CompiledDenyRule>,
    /// By resource and denied member: the rules, as numbers within `denials`.
    pub(super) denied: HashMap<(ResourceId, MemberId), Vec<usize>>,
    /// By resource: its rules, as numbers within `denials`.
    pub(super) forbidden: HashMap<ResourceId, Vec<usize>>,
    /// By resource that has deny rules: the sets of principals that they deny, sorted.
    pub(super) denied_sets: HashMap<ResourceId, Box<[MemberId]>>,
    /// `allUsers`, where a rule names it.
    pub(super) all_users: Option<MemberId>,
    /// `allAuthenticatedUsers`, where a rule names it.
    pub(super) all_authenticated_users: Option<MemberId>,
    /// The groups that a token may assert, and the groups that those are in; sorted.
    pub(super) asserted: Box<[MemberId]>,
}

/// Asking.
impl Index {
    /// The resources on a name's chain that policies or the hierarchy know, nearest first. What is below a project with
    /// two names is on the chain by both names: only then is anything allocated.
    pub(super) fn chain(&self, name: ResourceName<'_>) -> impl Iterator<Item = ResourceId> {
        let other = self.other_name(name);
        let both: Vec<ResourceId> = match &other {
            None => Vec::new(),
            Some(other) => {
                let names = name.chain().zip(ResourceName::new(other).chain());
                names
                    .flat_map(|(name, other)| [name, other])
                    .filter_map(|name| self.find_resource(name))
                    .collect()
            }
        };
        let own = other.is_none().then(|| name.chain()).into_iter().flatten();
        let own = own.filter_map(|name| self.find_resource(name));
        let above = self.find_resource(name.root()).and_then(|root| self.parent(root));
        own.chain(both).chain(std::iter::successors(above, |id| self.parent(*id)))
    }

    /// The same resource by the other name of its project, where hierarchy.yaml knows both.
    pub(super) fn other_name(&self, name: ResourceName<'_>) -> Option<String> {
        if self.aliases.is_empty() {
            return None;
        }
        let root = name.root();
        let below = name.as_str().strip_prefix(root)?;
        self.aliases.get(root).map(|other| format!("{other}{below}"))
    }

    fn find_resource(&self, name: &str) -> Option<ResourceId> {
        // A path may hold thousands of segments. Hashing each prefix would cost the square of its length.
        if name.len() > self.longest { None } else { self.resources.find(name) }
    }

    fn entry(&self, id: ResourceId) -> ResourceEntry {
        self.entries.get(id.index()).copied().unwrap_or_default()
    }

    fn parent(&self, id: ResourceId) -> Option<ResourceId> {
        self.entry(id).parent
    }

    /// The number of an identifier that is bound, or that is in a bound group.
    pub(super) fn member(&self, identifier: &str) -> Option<MemberId> {
        self.members.find(identifier)
    }

    /// The number of a bound domain.
    pub(super) fn domain(&self, domain: &str) -> Option<MemberId> {
        self.domains.get(domain).copied()
    }

    /// The bound groups that a member is in, sorted.
    pub(super) fn groups_of(&self, member: MemberId) -> &[MemberId] {
        self.groups.get(&member).map(|groups| &**groups).unwrap_or_default()
    }

    /// The bound roles that hold a permission, sorted.
    pub(super) fn holders(&self, permission: &str) -> &[RoleId] {
        self.holders.get(permission).map(|roles| &**roles).unwrap_or_default()
    }

    /// The roles bound to a member on a resource, sorted by role.
    pub(super) fn bound(&self, resource: ResourceId, member: MemberId) -> &[BoundRole] {
        let Some(range) = self.ranges.get(&(resource, member)) else { return &[] };
        self.bound.get(span(*range)).unwrap_or_default()
    }

    /// The sets of principals that bindings on a resource name, sorted; `None` where nothing is bound there.
    pub(super) fn bound_sets(&self, resource: ResourceId) -> Option<&[MemberId]> {
        let entry = self.entry(resource);
        (entry.rows.1 > 0).then(|| self.bound_sets.get(span(entry.sets)).unwrap_or_default())
    }

    /// The sets of principals that deny rules on a resource name, sorted; `None` if no deny rule stands on the resource.
    pub(super) fn denied_sets(&self, resource: ResourceId) -> Option<&[MemberId]> {
        self.denied_sets.get(&resource).map(|sets| &**sets)
    }

    /// Everything that is bound on a resource, with its member.
    pub(super) fn attached(&self, resource: ResourceId) -> impl Iterator<Item = (MemberId, &BoundRole)> {
        let range = span(self.entry(resource).rows);
        let members = self.bound_to.get(range.clone()).unwrap_or_default();
        members.iter().copied().zip(self.bound.get(range).unwrap_or_default())
    }

    /// A condition, which a rule has.
    pub(super) fn condition(&self, id: ConditionId) -> Option<&Condition> {
        self.conditions.get(id.index())
    }

    /// Whether there is any deny rule.
    pub(super) fn denies(&self) -> bool {
        !self.denials.is_empty()
    }

    /// The deny rules of a resource that name a member.
    pub(super) fn denied(
        &self,
        resource: ResourceId,
        member: MemberId,
    ) -> impl Iterator<Item = &CompiledDenyRule> {
        let numbers = self.denied.get(&(resource, member)).map(Vec::as_slice).unwrap_or_default();
        numbers.iter().filter_map(|number| self.denials.get(*number))
    }

    /// All deny rules of a resource, in the order in which they were read.
    pub(super) fn forbidden(&self, resource: ResourceId) -> impl Iterator<Item = &CompiledDenyRule> {
        let numbers = self.forbidden.get(&resource).map(Vec::as_slice).unwrap_or_default();
        numbers.iter().filter_map(|number| self.denials.get(*number))
    }

    pub(super) fn resource_name(&self, id: ResourceId) -> Arc<str> {
        self.resources.text(id).cloned().unwrap_or_default()
    }

    pub(super) fn member_name(&self, id: MemberId) -> Arc<str> {
        self.members.text(id).cloned().unwrap_or_default()
    }

    pub(super) fn role_name(&self, id: RoleId) -> Arc<str> {
        self.roles.text(id).cloned().unwrap_or_default()
    }

    pub(super) fn place(&self, file: FileId, line: u32) -> Place {
        Place { file: self.files.text(file).cloned().unwrap_or_default(), line: line as usize }
    }

    /// A place in the numbers of this index.
    pub(super) fn written(&self, place: &Place) -> Option<(FileId, u32)> {
        Some((self.files.find(&place.file)?, u32::try_from(place.line).ok()?))
    }

    pub(super) fn resource_count(&self) -> usize {
        self.resources.len()
    }
}

/// A range of a list.
pub(super) fn span((start, length): (u32, u32)) -> Range<usize> {
    start as usize..start as usize + length as usize
}

/// The members that stand in two sorted lists. The shorter one is walked and the longer one searched: neither a caller in
/// thousands of groups nor a policy that names thousands makes a decision slow.
pub(super) fn in_both<'l, L, R>(
    left: &'l [L],
    right: &'l [R],
) -> impl Iterator<Item = MemberId> + use<'l, L, R>
where
    L: Copy + Into<NonZeroU32>,
    R: Copy + Into<NonZeroU32>,
{
    let few = left.len() <= right.len();
    let (walked, searched) = if few { (left, &[][..]) } else { (&[][..], right) };
    let walked = walked.iter().map(|one| (*one).into()).filter(|number| is_in(right, *number));
    let searched = searched.iter().map(|one| (*one).into()).filter(|number| is_in(left, *number));
    walked.chain(searched).map(MemberId::from)
}

fn is_in<N: Copy + Into<NonZeroU32>>(sorted: &[N], number: NonZeroU32) -> bool {
    sorted.binary_search_by_key(&number, |one| (*one).into()).is_ok()
}

/// The bindings whose role holds the permission, by role. Both lists are sorted; the longer one is searched for each
/// of the shorter, so that neither a member with thousands of roles nor a permission that thousands of roles hold makes
/// a decision slow.
pub(super) fn common<'b>(bound: &'b [BoundRole], holders: &[RoleId]) -> impl Iterator<Item = &'b BoundRole> {
    let few = bound.len() <= holders.len();
    let (walked, searched) = if few { (bound, &[][..]) } else { (&[][..], holders) };
    let walked = walked.iter().filter(|bound| holders.binary_search(&bound.role).is_ok());
    let searched = searched.iter().flat_map(|role| {
        let start = bound.partition_point(|bound| bound.role < *role);
        bound.get(start..).unwrap_or_default().iter().take_while(|bound| bound.role == *role)
    });
    walked.chain(searched)
}
