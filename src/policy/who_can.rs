//! Who holds a permission on a resource: every principal that some binding on the chain names, by itself or in a group.
//!
//! Every named principal goes through [`Policy::decide`], so deny rules and boundaries count.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::Policy;
use super::attributes::Attributes;
use super::federated::whole_pool_of;
use super::index::{BoundRole, MemberId, ResourceId};
use super::model::member::IDENTITIES;
use super::model::resource::ResourceName;
use super::refusal::{Granted, Refusal};
use super::subject::Subject;
use crate::diagnostic::Place;
use crate::principal::Principal;

/// A principal to which a binding gives a role that holds the permission.
#[derive(Clone, Debug)]
pub struct Holder {
    /// An identity, or a set of them whose members no file lists.
    pub name: Arc<str>,
    /// Whether it is a set: some of its members may be denied what others are not.
    pub is_set: bool,
    /// The engine's verdict for them, as asked.
    pub decided: Result<Granted, Refusal>,
    /// The bindings that give it to them, nearest resource first.
    pub grants: Vec<GrantedThrough>,
}

/// A binding that gives the principal a role that holds the permission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantedThrough {
    /// The role.
    pub role: Arc<str>,
    /// The member that they match.
    pub member: Arc<str>,
    /// The groups between them and the member, nearest to them first.
    pub through: Vec<Arc<str>>,
    /// The resource that the binding is attached to.
    pub resource: Arc<str>,
    /// Its condition: expression and title.
    pub condition: Option<(Arc<str>, Option<Arc<str>>)>,
    /// Where it is written.
    pub place: Place,
}

impl Policy {
    /// Every principal to which a binding on the chain gives a role that holds the permission: identities, then sets,
    /// by name.
    pub fn who_can(
        &self,
        permission: &str,
        resource: ResourceName<'_>,
        attributes: &Attributes<'_>,
    ) -> Vec<Holder> {
        let index = self.index();
        let holders = index.holders(permission);
        let members_of = self.explain_index.members();
        let mut found: BTreeMap<(bool, Arc<str>), Vec<GrantedThrough>> = BTreeMap::new();
        for attached in index.chain(resource) {
            for (member, bound) in index.attached(attached) {
                if holders.binary_search(&bound.role).is_err() {
                    continue;
                }
                let granted = self.granted_through(attached, member, bound);
                for (name, through) in inside(&index.member_name(member), &members_of) {
                    let is_set = Principal::parse(&name).is_err();
                    if is_set && IDENTITIES.iter().any(|kind| name.starts_with(kind)) {
                        // No caller has this name (Member::doubt).
                        continue;
                    }
                    let key = (is_set, name);
                    found.entry(key).or_default().push(GrantedThrough { through, ..granted.clone() });
                }
            }
        }
        found
            .into_iter()
            .map(|((is_set, name), grants)| {
                let decided = self.decide_by_name(&name, permission, resource, attributes);
                Holder { name, is_set, decided, grants }
            })
            .collect()
    }

    fn decide_by_name(
        &self,
        name: &Arc<str>,
        permission: &str,
        resource: ResourceName<'_>,
        attributes: &Attributes<'_>,
    ) -> Result<Granted, Refusal> {
        let sets = sets_of(name);
        match Principal::parse(name) {
            Ok(principal) => {
                self.decide(Subject::of(&principal).with_sets(&sets), permission, resource, attributes)
            }
            Err(_) => self.decide(Subject::anonymous().with_sets(&sets), permission, resource, attributes),
        }
    }

    pub(super) fn granted_through(
        &self,
        resource: ResourceId,
        member: MemberId,
        bound: &BoundRole,
    ) -> GrantedThrough {
        let index = self.index();
        let condition = bound.condition.and_then(|id| index.condition(id));
        GrantedThrough {
            role: index.role_name(bound.role),
            member: index.member_name(member),
            through: Vec::new(),
            resource: index.resource_name(resource),
            condition: condition.map(|condition| (condition.expression.clone(), condition.title.clone())),
            place: index.place(bound.file, bound.line),
        }
    }

    /// Every permission that a bound role holds or an exposed method asks for.
    pub fn permissions(&self) -> impl Iterator<Item = &str> {
        let bound = self.index().holders.keys().map(|permission| &**permission);
        bound.chain(self.explain_index.permissions())
    }
}

/// A member, or for a group with members everybody in it, each with the groups between, nearest to them first.
pub(super) fn inside(
    member: &Arc<str>,
    members_of: &BTreeMap<Arc<str>, Vec<Arc<str>>>,
) -> Vec<(Arc<str>, Vec<Arc<str>>)> {
    let mut found = Vec::new();
    let mut reached: BTreeSet<Arc<str>> = BTreeSet::from([member.clone()]);
    let mut pending = VecDeque::from([(member.clone(), Vec::new())]);
    while let Some((name, through)) = pending.pop_front() {
        let Some(members) = members_of.get(&name) else {
            found.push((name, through));
            continue;
        };
        let is_bound_itself = name == *member;
        for inner in members {
            if reached.insert(inner.clone()) {
                let own = (!is_bound_itself).then(|| name.clone());
                let through = own.into_iter().chain(through.iter().cloned()).collect();
                pending.push_back((inner.clone(), through));
            }
        }
    }
    found
}

/// The sets that all of a name are in: the name itself where it is one, and everybody of its pool.
pub(crate) fn sets_of(name: &Arc<str>) -> Vec<Arc<str>> {
    let own = Principal::parse(name).is_err().then(|| name.clone());
    own.into_iter().chain(whole_pool_of(name).filter(|everybody| everybody != name)).collect()
}

#[cfg(test)]
mod tests;
