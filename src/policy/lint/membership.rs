//! Who is in which groups, through however many others.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::model::groups::Groups;

/// The groups of a tree, seen from their members.
pub(super) struct Membership<'g> {
    above: BTreeMap<&'g str, BTreeSet<&'g str>>,
    within: BTreeMap<&'g str, BTreeSet<&'g str>>,
}

impl<'g> Membership<'g> {
    pub(super) fn of(groups: &'g Groups) -> Self {
        let mut direct: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (group, members) in groups.iter() {
            for member in members {
                direct.entry(member).or_default().push(group);
            }
        }
        let mut above: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut within: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for member in direct.keys() {
            let mut reached: BTreeSet<&str> = BTreeSet::new();
            let mut pending = vec![*member];
            while let Some(name) = pending.pop() {
                let groups = direct.get(name).into_iter().flatten().copied();
                pending.extend(groups.filter(|group| reached.insert(group)));
            }
            for group in &reached {
                within.entry(group).or_default().insert(member);
            }
            above.insert(member, reached);
        }
        Self { above, within }
    }

    /// The groups that a member is in.
    pub(super) fn groups_of(&self, member: &str) -> impl Iterator<Item = &'g str> {
        self.above.get(member).into_iter().flatten().copied()
    }

    /// Everybody in a group, groups included.
    pub(super) fn members_of(&self, group: &str) -> impl Iterator<Item = &'g str> {
        self.within.get(group).into_iter().flatten().copied()
    }

    /// Whether a group has a member that can be a caller.
    pub(super) fn is_populated(&self, group: &str) -> bool {
        self.members_of(group).any(|member| !member.starts_with("group:"))
    }
}
