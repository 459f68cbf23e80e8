//! Groups that nothing refers to.

use std::collections::BTreeSet;

use super::findings::Findings;
use super::view::PolicyView;

/// Groups that no binding, no deny rule and no other group names.
pub(super) fn unnamed(view: &PolicyView<'_>, findings: &mut Findings<'_>) {
    let nested: BTreeSet<&str> =
        view.groups().iter().flat_map(|(_, members)| members).map(String::as_str).collect();
    let denied: BTreeSet<&str> = view.denials.iter().flat_map(|denial| denial.identifiers()).collect();
    for (group, _) in view.groups().iter() {
        let is_named =
            view.member_names.find(group).is_some() || nested.contains(group) || denied.contains(group);
        if !is_named && let Some(span) = view.groups().span(group) {
            findings.note(
                "groups that nothing refers to",
                span,
                format!("nothing refers to `{group}`"),
                "remove it, or bind a role to it in a policy below `allow/`",
            );
        }
    }
}
