//! Policies on resources on which no call asks for a permission.

use std::collections::BTreeMap;

use super::Findings;
use super::tree::Tree;
use crate::catalog::{Catalog, Segment};
use crate::diagnostic::Span;
use crate::policy::index::ResourceId;

/// Policies on a resource such that no exposed method can name it, or anything below it.
pub(super) fn beyond(tree: &Tree, catalog: &Catalog, findings: &mut Findings<'_>) {
    let mut attached: BTreeMap<ResourceId, &Span> = BTreeMap::new();
    let bindings = tree.bindings.iter().map(|binding| (binding.resource, &binding.role_span));
    let denials = tree.denials.iter().map(|denial| (denial.resource, &denial.principals_span));
    for (resource, span) in bindings.chain(denials) {
        attached.entry(resource).or_insert(span);
    }
    for (resource, span) in attached {
        let name = tree.resource_name(resource);
        // What lies in a folder or an organization hierarchy.yaml says, and loading warns where nothing does.
        let is_container = ["folders/", "organizations/"].iter().any(|root| name.starts_with(root));
        if is_container || catalog.resources().any(|shape| is_below(shape, &name)) {
            continue;
        }
        findings.warning(
            "policies that no call reaches",
            span,
            format!(
                "no exposed method asks for a permission on `{name}` or below it: this policy is never asked"
            ),
            "compare the name with the paths of the http rules (services/*.yaml), or remove the file",
        );
    }
}

/// Whether some name of this shape is the other name, or lies below it.
fn is_below(shape: &[Segment], name: &str) -> bool {
    let mut shape = shape.iter();
    for segment in name.split('/') {
        match shape.next() {
            Some(Segment::Literal(literal)) if **literal == *segment => {}
            Some(Segment::Single) => {}
            Some(Segment::Rest) => return true,
            Some(Segment::Literal(_)) | None => return false,
        }
    }
    true
}
