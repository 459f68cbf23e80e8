//! The decision: does some binding on the resource's chain give this subject a role that holds the permission, and no
//! deny rule there take it away? Deny rules are asked first.
//!
//! Nearest resource first, and on one resource the subject's own name before its sets, groups, domain,
//! `allAuthenticatedUsers` and `allUsers`: the answer is the same in any order, the binding that is named in the
//! audit log is the closest one. No allocation until there is an answer.

use std::sync::Arc;

use serde::Serialize;

use super::Policy;
use super::compile::{self, Bound, MemberId, ResourceId};
use super::resource::ResourceName;
use crate::diagnostic::Place;
use crate::principal::Principal;

/// Who asks, as far as policy is concerned.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subject<'s> {
    principal: Option<&'s Principal>,
    sets: &'s [Arc<str>],
}

impl<'s> Subject<'s> {
    /// Nobody in particular: only `allUsers` speaks for them.
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// An authenticated identity.
    pub fn of(principal: &'s Principal) -> Self {
        Self { principal: Some(principal), sets: &[] }
    }

    /// With the sets that its credential vouches for, in the spelling of members: `principalSet://…`, `group:…`.
    pub fn with_sets(self, sets: &'s [Arc<str>]) -> Self {
        Self { sets, ..self }
    }

    /// How a decision's detail names the subject.
    fn name(&self) -> &'s str {
        self.principal.map_or("an anonymous caller", Principal::as_str)
    }
}

/// The binding that allows a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Granted {
    /// The role that holds the permission.
    pub role: Arc<str>,
    /// The member that the subject is, in canonical spelling.
    pub member: Arc<str>,
    /// The resource that the binding is attached to.
    pub resource: Arc<str>,
    /// Where the binding is written.
    pub place: Place,
}

/// The deny rule that forbids a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Denied {
    /// The denied principal that the subject is, in canonical spelling.
    pub member: Arc<str>,
    /// The resource that the rule is attached to.
    pub resource: Arc<str>,
    /// Where the rule is written.
    pub place: Place,
}

/// Why a call is not allowed: the rule that denies it, or else what came near.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The deny rule, where one decided; no binding was looked at then.
    pub denied: Option<Box<Denied>>,
    /// How many roles the subject holds on the chain, none of which holds the permission.
    pub lacking: usize,
    /// The nearest of them.
    pub nearest: Option<Granted>,
}

impl Policy {
    /// Whether the subject holds the permission on the resource, by which binding, or why not.
    ///
    /// # Errors
    /// What came near, where no binding grants the permission.
    pub fn decide(
        &self,
        subject: Subject<'_>,
        permission: &str,
        resource: ResourceName<'_>,
    ) -> Result<Granted, Refusal> {
        let index = self.index();
        let identity = Identity::resolve(self, subject);
        if index.denies()
            && let Some(denied) = self.denied(&identity, permission, resource)
        {
            return Err(Refusal { denied: Some(Box::new(denied)), lacking: 0, nearest: None });
        }
        let holders = index.holders(permission);
        let mut lacking = 0;
        let mut nearest = None;
        for resource in index.chain(resource) {
            for member in identity.members(self) {
                let bound = index.bound(resource, member);
                if let Some(bound) = compile::first_common(bound, holders) {
                    return Ok(self.granted(resource, member, *bound));
                }
                lacking += bound.len();
                nearest = nearest.or_else(|| bound.first().map(|bound| (resource, member, *bound)));
            }
        }
        let nearest = nearest.map(|(resource, member, bound)| self.granted(resource, member, bound));
        Err(Refusal { denied: None, lacking, nearest })
    }

    /// The deny rule on the chain that names the subject and the permission and excepts neither.
    fn denied(
        &self,
        identity: &Identity<'_>,
        permission: &str,
        resource: ResourceName<'_>,
    ) -> Option<Denied> {
        let index = self.index();
        index.chain(resource).find_map(|resource| {
            identity.members(self).find_map(|member| {
                let rule = index.denied(resource, member).find(|rule| {
                    rule.permissions.contain(permission)
                        && !rule.exceptions.contain(permission)
                        && !identity.members(self).any(|member| rule.excepts(member))
                })?;
                Some(Denied {
                    member: index.member_name(member),
                    resource: index.resource_name(resource),
                    place: index.place_of_denial(rule),
                })
            })
        })
    }

    fn granted(&self, resource: ResourceId, member: MemberId, bound: Bound) -> Granted {
        let index = self.index();
        Granted {
            role: index.role_name(bound),
            member: index.member_name(member),
            resource: index.resource_name(resource),
            place: index.place(bound),
        }
    }
}

impl Refusal {
    /// The refusal in a sentence, for the audit log and for `explain`: it tells of policy, so never for the client.
    pub fn detail(&self, subject: Subject<'_>, permission: &str, resource: ResourceName<'_>) -> String {
        let (name, resource) = (subject.name(), resource.as_str());
        if let Some(denied) = &self.denied {
            let Denied { member, resource: attached, place } = &**denied;
            return format!(
                "a deny rule on `{attached}` ({place}) denies `{permission}` on `{resource}` to {name}, as `{member}`"
            );
        }
        let none = format!("no binding on `{resource}` or above grants `{permission}` to {name}");
        match (&self.nearest, self.lacking) {
            (None, _) => format!("{none}: none names them"),
            (Some(near), 1) => {
                format!("{none}: they hold one role, which lacks it: {}", near.described())
            }
            (Some(near), count) => {
                format!(
                    "{none}: they hold {count} roles, which lack it, the nearest being {}",
                    near.described()
                )
            }
        }
    }
}

impl Granted {
    /// `roles/viewer` as `group:x` on `projects/demo` (policies/allow/projects/demo.yaml:7).
    fn described(&self) -> String {
        format!("`{}` as `{}` on `{}` ({})", self.role, self.member, self.resource, self.place)
    }
}

/// A subject in the numbers of one index. What no binding and no group names has none.
struct Identity<'i> {
    principal: Option<MemberId>,
    groups: &'i [MemberId],
    sets: &'i [Arc<str>],
    rest: [Option<MemberId>; 3],
}

impl<'i> Identity<'i> {
    fn resolve(policy: &'i Policy, subject: Subject<'i>) -> Self {
        let index = policy.index();
        let Some(principal) = subject.principal else {
            return Self { principal: None, groups: &[], sets: &[], rest: [None, None, index.all_users()] };
        };
        let member = index.member(principal.as_str());
        // `domain:` stands for the users of a Workspace domain; a service account belongs to a project.
        let is_user = principal.as_str().starts_with("user:");
        let domain = principal.domain().filter(|_| is_user).and_then(|domain| index.domain(domain));
        Self {
            principal: member,
            groups: member.map(|member| index.groups_of(member)).unwrap_or_default(),
            sets: subject.sets,
            rest: [domain, index.all_authenticated_users(), index.all_users()],
        }
    }

    fn members(&self, policy: &'i Policy) -> impl Iterator<Item = MemberId> {
        let index = policy.index();
        let sets = self.sets.iter().filter_map(|set| index.member(set));
        let sets = sets.flat_map(|set| std::iter::once(set).chain(index.groups_of(set).iter().copied()));
        self.principal
            .into_iter()
            .chain(sets)
            .chain(self.groups.iter().copied())
            .chain(self.rest.iter().copied().flatten())
    }
}
