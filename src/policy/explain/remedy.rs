//! What would have to change to turn the answer: the shortest list, and only changes that are certain to do so.

use std::sync::Arc;

use super::binding::ExplainedBinding;
use super::denial::ExplainedRule;
use super::explanation::Explanation;
use super::part::ExplainedBoundary;
use super::step::{Remedy, RemedyStep};
use crate::policy::Policy;
use crate::policy::boundary::Applies;
use crate::policy::model::resource::ResourceName;
use crate::policy::model::{deny, role};
use crate::policy::subject::Subject;

/// Most roles that are proposed.
const MOST_ROLES: usize = 5;
/// Most of anything else that is proposed.
const MOST: usize = 3;

/// What would turn the answer: all of these steps are needed.
pub(super) fn steps(policy: &Policy, subject: Subject<'_>, explanation: &Explanation) -> Vec<RemedyStep> {
    if explanation.decided.is_ok() {
        return explanation.granting().map(|(resource, binding)| unbind(resource, binding)).collect();
    }
    let mut steps = Vec::new();
    if explanation.is_out_of_bounds() {
        steps.extend(boundary_steps(explanation));
    }
    steps.extend(explanation.denying().map(|(_, rule)| exempt(rule, subject, &explanation.permission)));
    if explanation.granting().next().is_none() {
        steps.push(grant(policy, subject, explanation));
    }
    steps
}

fn unbind(resource: &Arc<str>, binding: &ExplainedBinding) -> RemedyStep {
    let remedy = |member: &Arc<str>| Remedy::Unbind {
        binding: binding.place.clone(),
        role: binding.role.clone(),
        member: member.clone(),
        resource: resource.clone(),
    };
    RemedyStep {
        alternatives: binding.matched.first().map(|matched| remedy(&matched.member)).into_iter().collect(),
    }
}

/// Of the boundaries that are certain to apply, one has to list the resource. Where none is certain, each that may
/// apply has to.
fn boundary_steps(explanation: &Explanation) -> Vec<RemedyStep> {
    let resource = ResourceName::new(&explanation.resource).root().to_owned();
    let remedy = |boundary: &ExplainedBoundary| Remedy::ListInBoundary {
        policy: boundary.policy.clone(),
        place: boundary.policy_place.clone(),
        resource: resource.clone(),
    };
    let all = explanation.boundaries.iter();
    let certain: Vec<Remedy> = all.clone().filter(|one| one.applies == Applies::Yes).map(remedy).collect();
    if !certain.is_empty() {
        return vec![RemedyStep { alternatives: certain }];
    }
    let doubtful = all.filter(|one| one.applies != Applies::No && one.contained_in.is_none());
    doubtful.map(|boundary| RemedyStep { alternatives: vec![remedy(boundary)] }).collect()
}

fn exempt(rule: &ExplainedRule, subject: Subject<'_>, permission: &str) -> RemedyStep {
    let place = &rule.place;
    let condition = rule
        .condition
        .iter()
        .map(|condition| Remedy::UnsetCondition { rule: place.clone(), condition: condition.clone() });
    let principal = subject.principal.map(|principal| Remedy::ExceptPrincipal {
        rule: place.clone(),
        principal: deny::principal_as_written(principal),
    });
    let permission =
        Remedy::ExceptPermission { rule: place.clone(), permission: deny::qualified(permission) };
    RemedyStep { alternatives: condition.chain(principal).chain([permission]).collect() }
}

fn grant(policy: &Policy, subject: Subject<'_>, explanation: &Explanation) -> RemedyStep {
    let bindings = || explanation.bindings.iter().flat_map(|attached| &attached.told);
    let mut alternatives: Vec<Remedy> = Vec::new();
    for binding in bindings().filter(|binding| binding.would_grant()).take(MOST) {
        if let Some(condition) = &binding.condition {
            alternatives
                .push(Remedy::MeetCondition { binding: binding.place.clone(), condition: condition.clone() });
        }
    }
    let held = bindings().filter(|binding| {
        !binding.holds && !binding.dormant && !binding.matched.is_empty() && binding.is_in_force()
    });
    let mut roles: Vec<&Arc<str>> = Vec::new();
    for binding in held {
        if roles.len() < MOST && !roles.contains(&&binding.role) {
            roles.push(&binding.role);
            alternatives.push(Remedy::AddPermission {
                role: binding.role.clone(),
                place: binding.role_place.clone(),
                binding: binding.place.clone(),
            });
        }
    }
    alternatives.extend(bind(policy, subject, explanation));
    RemedyStep { alternatives }
}

/// Binding a role that holds the permission, where one is defined that can be bound here.
fn bind(policy: &Policy, subject: Subject<'_>, explanation: &Explanation) -> Option<Remedy> {
    let index = policy.index();
    let bound = index.holders(&explanation.permission).iter().map(|role| index.role_name(*role));
    let mut roles: Vec<Arc<str>> = bound.collect();
    roles.extend(policy.explain_index.holding(&explanation.permission).iter().cloned());
    roles.sort_unstable();
    roles.dedup();
    let in_chain = |name: &str| explanation.chain.iter().any(|link| &**link == name);
    roles.retain(|name| role::owner(name).is_none_or(in_chain));
    if roles.is_empty() {
        return None;
    }
    let more = roles.len().saturating_sub(MOST_ROLES);
    roles.truncate(MOST_ROLES);
    Some(Remedy::Bind { roles, more, members: members(policy, subject), on: places(policy, explanation) })
}

fn members(policy: &Policy, subject: Subject<'_>) -> Vec<Arc<str>> {
    let Some(principal) = subject.principal else {
        return vec![crate::policy::model::member::ALL_USERS.into()];
    };
    let own: Arc<str> = principal.as_str().into();
    let groups = policy.explain_index.naming(principal.as_str()).iter().cloned();
    std::iter::once(own).chain(groups).take(MOST).collect()
}

/// The project, folder or organization, and what else on the chain has a policy already.
fn places(policy: &Policy, explanation: &Explanation) -> Vec<(Arc<str>, String)> {
    let index = policy.index();
    let root = ResourceName::new(&explanation.resource).root();
    let mut places: Vec<(Arc<str>, String)> = Vec::new();
    for name in &explanation.chain {
        let file = index
            .resources
            .find(name)
            .and_then(|id| index.attached(id).next())
            .and_then(|(_, bound)| index.files.text(bound.file))
            .map(|file| file.to_string());
        match file {
            Some(file) => places.push((name.clone(), file)),
            None if &**name == root => places.push((name.clone(), format!("allow/{name}.yaml"))),
            None => {}
        }
    }
    places.truncate(MOST);
    places
}
