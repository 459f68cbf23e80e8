//! Roles that do nothing.

use super::exposed::Exposed;
use super::findings::Findings;
use super::view::PolicyView;

/// Roles that no binding names.
pub(super) fn unbound(view: &PolicyView<'_>, findings: &mut Findings<'_>) {
    for role in view.roles().iter() {
        if view.role_names.find(&role.name).is_none() {
            findings.note(
                "roles that no binding names",
                &role.span,
                format!("no binding names the role `{}`", role.name),
                "delete the file, or bind the role in a policy below `allow/`",
            );
        }
    }
}

/// Roles that are bound and hold no permission that any exposed method asks for.
pub(super) fn unasked(view: &PolicyView<'_>, exposed: &Exposed<'_>, findings: &mut Findings<'_>) {
    for role in view.roles().iter() {
        let is_bound = view.role_names.find(&role.name).is_some();
        // Where a disabled or deleted role is bound, that is reported.
        if !is_bound || role.is_dormant() || exposed.held(role).next().is_some() {
            continue;
        }
        let name = &role.name;
        let (message, help) = match role.permissions().len() {
            0 => (
                format!("the role `{name}` has no permission"),
                "list its permissions as `includedPermissions`",
            ),
            1 => (
                format!("no exposed method asks for the one permission of `{name}`"),
                "expose a method that does (services/*.iam.yaml), or remove the role and its bindings",
            ),
            count => (
                format!("no exposed method asks for any of the {count} permissions of `{name}`"),
                "expose a method that does (services/*.iam.yaml), or remove the role and its bindings",
            ),
        };
        findings.note("roles without effect", &role.span, message, help);
    }
}
