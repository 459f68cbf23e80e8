//! Groups that nothing refers to.

use std::collections::BTreeSet;

use super::Findings;
use super::tree::Tree;

/// Groups that no binding, no deny rule and no other group names.
pub(super) fn unnamed(tree: &Tree, findings: &mut Findings<'_>) {
    let nested: BTreeSet<&str> =
        tree.groups.iter().flat_map(|(_, members)| members).map(String::as_str).collect();
    let denied: BTreeSet<&str> = tree.denials.iter().flat_map(|denial| denial.identifiers()).collect();
    for (group, _) in tree.groups.iter() {
        let is_named =
            tree.member_names.find(group).is_some() || nested.contains(group) || denied.contains(group);
        if !is_named && let Some(span) = tree.groups.span(group) {
            findings.note(
                "groups that nothing refers to",
                span,
                format!("nothing refers to `{group}`"),
                "remove it, or bind a role to it in a policy below `allow/`",
            );
        }
    }
}
