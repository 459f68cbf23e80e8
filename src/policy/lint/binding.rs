//! Bindings that grant nothing, that a condition does not narrow, and that grant more than is needed.

use std::collections::BTreeMap;

use super::exposed::{Exposed, is_to_read};
use super::findings::{Findings, and_more};
use super::view::{BindingView, PolicyView};
use crate::policy::condition::StaticOutcome;
use crate::policy::index::RoleId;
use crate::policy::model::resource::ResourceName;
use crate::policy::model::role::{self, Role};

const FRUITLESS: &str = "bindings that grant nothing";

/// Bindings without a member that can be a caller.
pub(super) fn fruitless(view: &PolicyView<'_>, findings: &mut Findings<'_>) {
    for binding in &view.bindings {
        let members = &binding.members;
        if members.iter().any(|member| member.is_somebody) || members.iter().all(|member| member.is_told) {
            continue;
        }
        let why = if members.iter().all(|member| member.id.is_none() && !member.is_told) {
            "all of its members are deleted"
        } else {
            "its members have no members in groups.yaml"
        };
        findings.warning(
            FRUITLESS,
            &binding.role_span(),
            format!("this binding of `{}` grants nothing: {why}", view.role_name(binding.role)),
            "remove the binding, or name the members to hold the role",
        );
    }
}

/// Conditions of bindings that come out the same for every request, and tags that no resource has.
pub(super) fn conditions(view: &PolicyView<'_>, findings: &mut Findings<'_>) {
    const REMOVE: &str = "remove the binding, or fix the condition";
    for binding in &view.bindings {
        let Some(analysed) = view.condition(binding.condition) else { continue };
        let Some(span) = &binding.condition_span() else { continue };
        match &analysed.outcome {
            // Loading has reported what is never known.
            StaticOutcome::DependsOnRequest | StaticOutcome::NeverKnown => {}
            StaticOutcome::NeverTrue if analysed.lacks_tags() => {}
            StaticOutcome::AlwaysTrue => {
                findings.warning(
                    "conditions that are always true",
                    span,
                    "this condition is always true: it keeps no caller out",
                    "remove it, or write the condition that is meant",
                );
            }
            StaticOutcome::NeverTrue => {
                let message = "this condition is never true: the binding grants nothing";
                findings.warning(FRUITLESS, span, message, REMOVE);
            }
            StaticOutcome::Expired => {
                let message = "the time of this condition is over: the binding grants nothing any more";
                findings.warning(FRUITLESS, span, message, "remove the binding, or set a later time");
            }
            StaticOutcome::Failing(why) => {
                let message =
                    format!("this condition never has a value, so the binding grants nothing: {why}");
                findings.warning(FRUITLESS, span, message, REMOVE);
            }
        }
        analysed.tell_missing_tags(span, "the binding grants nothing", findings);
    }
}

/// Everybody may change something.
pub(super) fn public(view: &PolicyView<'_>, exposed: &Exposed<'_>, findings: &mut Findings<'_>) {
    let everybody = [
        (view.all_users(), "everybody, with a credential or without,"),
        (view.all_authenticated_users(), "every user and service account of any of the issuers"),
    ];
    if everybody.iter().all(|(id, _)| id.is_none()) {
        return;
    }
    let mut changing: BTreeMap<RoleId, Vec<&str>> = BTreeMap::new();
    for id in view.bound_roles() {
        let held = view.role(id).into_iter().flat_map(|role| exposed.held(role));
        changing.insert(id, held.filter(|permission| !is_to_read(permission)).collect());
    }
    for binding in &view.bindings {
        let permissions = changing.get(&binding.role).map(Vec::as_slice).unwrap_or_default();
        let Some((first, more)) = permissions.split_first() else { continue };
        for member in &binding.members {
            let Some((_, who)) = everybody.iter().find(|(id, _)| id.is_some() && *id == member.id) else {
                continue;
            };
            let resource = view.resource_name(binding.resource);
            findings.warning(
                "bindings that let everybody change things",
                &binding.member_span(member),
                format!("{who} gets {} on `{resource}`", and_more(first, more.len())),
                "name the members, or bind everybody to a role that only reads (`get` and `list`)",
            );
        }
    }
}

/// How many times the permissions in use a role may hold before it counts as broad.
const BROAD: usize = 100;

/// Bindings of basic and other broad roles where a narrower one that is defined would do.
pub(super) fn broad(view: &PolicyView<'_>, exposed: &Exposed<'_>, findings: &mut Findings<'_>) {
    let mut narrower: BTreeMap<RoleId, Vec<&Role>> = BTreeMap::new();
    for id in view.bound_roles() {
        if let Some(role) = view.role(id) {
            narrower.insert(id, narrower_than(role, view, exposed));
        }
    }
    for binding in &view.bindings {
        let candidates = narrower.get(&binding.role).map(Vec::as_slice).unwrap_or_default();
        let Some(better) = candidates.iter().find(|role| can_be_bound(role, binding, view)) else { continue };
        let name = view.role_name(binding.role);
        let count = view.role(binding.role).map_or(0, |role| role.permissions().len());
        findings.note(
            "bindings of a role broader than needed",
            &binding.role_span(),
            format!("`{name}` is broader than the exposed methods need: it has {count} permissions"),
            format!(
                "`{}` holds all of them that are asked for, and {} in all: bind that",
                better.name,
                better.permissions().len()
            ),
        );
    }
}

/// Where a role is a broad one: the roles that hold all of it that is asked for and less else, the narrowest first.
fn narrower_than<'t>(role: &Role, view: &'t PolicyView<'t>, exposed: &Exposed<'_>) -> Vec<&'t Role> {
    let needed: Vec<&str> = exposed.held(role).collect();
    let is_basic = matches!(role.name.as_str(), "roles/owner" | "roles/editor" | "roles/viewer");
    if needed.is_empty() || !(is_basic || role.permissions().len() > BROAD * needed.len()) {
        return Vec::new();
    }
    let holds = |other: &&Role, permission: &str| other.permissions().iter().any(|held| held == permission);
    let mut found: Vec<&Role> = view
        .roles()
        .iter()
        .filter(|other| other.permissions().len() < role.permissions().len())
        .filter(|other| needed.iter().all(|permission| holds(other, permission)))
        .collect();
    found.sort_by_key(|other| other.permissions().len());
    found
}

fn can_be_bound(role: &Role, binding: &BindingView<'_>, view: &PolicyView<'_>) -> bool {
    let Some(owner) = role::owner(&role.name) else { return true };
    let resource = view.resource_name(binding.resource);
    view.hierarchy().may_lie_in(ResourceName::new(&resource).root(), owner)
}
