//! What bindings and deny rules are checked against.

use super::groups::Groups;
use super::hierarchy::Hierarchy;
use super::role::Roles;
use super::tags::Tags;
use crate::diagnostic::{Place, Report};
use crate::policy::pools::Pools;
use crate::source::PolicyFiles;

/// What a tree defines for its policies: loaded before the first of them is.
#[derive(Debug, Default)]
pub(in crate::policy) struct Definitions {
    pub(in crate::policy) roles: Roles,
    pub(in crate::policy) hierarchy: Hierarchy,
    pub(in crate::policy) groups: Groups,
    pub(in crate::policy) tags: Tags,
}

impl Definitions {
    /// Reads what a tree defines. `known` are the permissions that exposed methods ask for; see [`Roles::load`].
    pub(in crate::policy) fn load(
        files: &PolicyFiles,
        known: &[(String, Place)],
        report: &mut Report,
    ) -> Self {
        let roles = Roles::load(files, known, report);
        let hierarchy = Hierarchy::load(files, report);
        let groups = Groups::load(files, report);
        let tags = Tags::load(files, &hierarchy, report);
        Self { roles, hierarchy, groups, tags }
    }

    /// The same for a gate whose pools are known.
    pub(in crate::policy) fn context<'c>(&'c self, pools: &'c Pools) -> Context<'c> {
        let Self { roles, hierarchy, groups, tags } = self;
        Context { roles, hierarchy, groups, tags, pools }
    }
}

/// What a binding or a rule is checked against.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy) struct Context<'c> {
    /// The roles that can be bound.
    pub(in crate::policy) roles: &'c Roles,
    /// What lies in what.
    pub(in crate::policy) hierarchy: &'c Hierarchy,
    /// Who is in which group.
    pub(in crate::policy) groups: &'c Groups,
    /// Which resource has which tags.
    pub(in crate::policy) tags: &'c Tags,
    /// Of which pools callers can be.
    pub(in crate::policy) pools: &'c Pools,
}
