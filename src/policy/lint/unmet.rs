//! Rules that count on something of the methods that the methods do not have: the type of their resource, or that they
//! take callers without a credential.

use std::collections::BTreeMap;

use super::exposed::Exposed;
use super::findings::{Findings, and_more};
use super::view::PolicyView;
use crate::catalog::Method;
use crate::diagnostic::Span;
use crate::policy::index::RoleId;

/// Conditions on `resource.type` for methods whose iam rule does not say it.
pub(super) fn untyped(view: &PolicyView<'_>, exposed: &Exposed<'_>, findings: &mut Findings<'_>) {
    for binding in &view.bindings {
        let reads_type = view.condition(binding.condition).is_some_and(|condition| condition.reads_type);
        let (true, Some(span), Some(role)) = (reads_type, binding.condition_span(), view.role(binding.role))
        else {
            continue;
        };
        let untyped = untyped_among(exposed.held(role), exposed);
        tell(&untyped, &span, "a binding with such a condition grants nothing", findings);
    }
    for denial in &view.denials {
        let reads_type = view.condition(denial.condition).is_some_and(|condition| condition.reads_type);
        let (true, Some(span)) = (reads_type, denial.condition_span()) else { continue };
        let denied = exposed.permissions().filter(|permission| denial.denies(permission));
        let untyped = untyped_among(denied, exposed);
        tell(&untyped, &span, "a rule with such a condition denies at all times", findings);
    }
}

fn untyped_among<'c>(permissions: impl Iterator<Item = &'c str>, exposed: &Exposed<'c>) -> Vec<&'c Method> {
    let methods = permissions.flat_map(|permission| exposed.methods(permission).iter().copied());
    methods.filter(|method| method.resource_type.is_none()).collect()
}

fn tell(untyped: &[&Method], span: &Span, effect: &str, findings: &mut Findings<'_>) {
    let Some((first, more)) = untyped.split_first() else { return };
    findings.warning(
        "conditions on a type of resource that is not known",
        span,
        format!("`resource.type` is not known for {}: {effect} there", and_more(&first.name, more.len())),
        format!("add `resource_type: SERVICE/Type` to the rule of the method ({})", first.place),
    );
}

/// `allUsers` where every method that the role opens asks for a credential.
pub(super) fn anonymous(view: &PolicyView<'_>, exposed: &Exposed<'_>, findings: &mut Findings<'_>) {
    let Some(everybody) = view.all_users() else { return };
    let mut asking: BTreeMap<RoleId, Vec<&Method>> = BTreeMap::new();
    for id in view.bound_roles() {
        let held = view.role(id).into_iter().flat_map(|role| exposed.held(role));
        let methods = held.flat_map(|permission| exposed.methods(permission).iter().copied());
        asking.insert(id, methods.filter(|method| !method.allow_without_credential).collect());
    }
    for binding in &view.bindings {
        let methods = asking.get(&binding.role).map(Vec::as_slice).unwrap_or_default();
        let Some((first, more)) = methods.split_first() else { continue };
        for member in binding.members.iter().filter(|member| member.id == Some(everybody)) {
            findings.note(
                "bindings of `allUsers` on methods that ask for a credential",
                &binding.member_span(member),
                format!(
                    "a credential is needed to call {}: `allUsers` lets no caller in without one",
                    and_more(&first.name, more.len())
                ),
                "set `allow_without_credential: true` in the service file, or bind `allAuthenticatedUsers`",
            );
        }
    }
}
