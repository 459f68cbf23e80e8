//! What explanations need to know and decisions do not: which group names which members, where roles are defined, and
//! which roles hold a permission.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::diagnostic::Place;
use crate::policy::model::context::Context;

/// Kept beside the compiled policy.
#[derive(Debug, Default)]
pub(in crate::policy) struct ExplainIndex {
    /// By member: the groups that name it.
    naming: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    roles: BTreeMap<Arc<str>, RoleNote>,
    /// By permission that some method asks for: the roles that hold it, bound or not, sorted.
    holding: BTreeMap<Arc<str>, Vec<Arc<str>>>,
}

/// What an explanation says of a role.
#[derive(Clone, Debug)]
pub(in crate::policy) struct RoleNote {
    /// Where it is defined.
    pub(in crate::policy) place: Place,
    /// Whether it is disabled or deleted and grants nothing.
    pub(in crate::policy) dormant: bool,
}

impl ExplainIndex {
    /// `asked` are the permissions that exposed methods ask for.
    pub(in crate::policy) fn of(context: Context<'_>, asked: &[(String, Place)]) -> Self {
        let mut index = Self::default();
        for (group, members) in context.groups.iter() {
            let group: Arc<str> = group.into();
            for member in members {
                index.naming.entry(member.as_str().into()).or_default().push(group.clone());
            }
        }
        let asked: BTreeSet<&str> = asked.iter().map(|(permission, _)| permission.as_str()).collect();
        for role in context.roles.iter() {
            let name: Arc<str> = role.name.as_str().into();
            let note = RoleNote { place: role.span.place(), dormant: role.is_dormant() };
            index.roles.insert(name.clone(), note);
            let permissions: BTreeSet<&str> = role.permissions().iter().map(String::as_str).collect();
            for permission in permissions.intersection(&asked) {
                index.holding.entry((*permission).into()).or_default().push(name.clone());
            }
        }
        index
    }

    /// What an explanation says of a role.
    pub(in crate::policy) fn role(&self, name: &str) -> Option<&RoleNote> {
        self.roles.get(name)
    }

    /// The roles that hold a permission, sorted; none where no method asks for it.
    pub(in crate::policy) fn holding(&self, permission: &str) -> &[Arc<str>] {
        self.holding.get(permission).map(Vec::as_slice).unwrap_or_default()
    }

    /// The groups that name a member.
    pub(in crate::policy) fn naming(&self, member: &str) -> &[Arc<str>] {
        self.naming.get(member).map(Vec::as_slice).unwrap_or_default()
    }

    /// The permissions that methods ask for and some role holds.
    pub(in crate::policy) fn permissions(&self) -> impl Iterator<Item = &str> {
        self.holding.keys().map(|permission| &**permission)
    }

    /// The members of each group that has some.
    pub(in crate::policy) fn members(&self) -> BTreeMap<Arc<str>, Vec<Arc<str>>> {
        let mut members: BTreeMap<Arc<str>, Vec<Arc<str>>> = BTreeMap::new();
        for (member, groups) in &self.naming {
            for group in groups {
                members.entry(group.clone()).or_default().push(member.clone());
            }
        }
        members
    }

    /// The groups that lie between a member and a group that it is in, nearest to the member first; one of the shortest
    /// ways. `None` where it is not in it.
    pub(in crate::policy) fn way(&self, member: &str, group: &str) -> Option<Vec<Arc<str>>> {
        let mut reached: BTreeSet<&str> = BTreeSet::new();
        let mut pending: VecDeque<(&str, Vec<Arc<str>>)> = VecDeque::from([(member, Vec::new())]);
        while let Some((name, way)) = pending.pop_front() {
            for above in self.naming(name) {
                if &**above == group {
                    return Some(way);
                }
                if reached.insert(above) {
                    let mut longer = way.clone();
                    longer.push(above.clone());
                    pending.push_back((above, longer));
                }
            }
        }
        None
    }
}
