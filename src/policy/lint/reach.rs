//! Policies on resources on which no call asks for a permission, and resources that deny policies do not reach.

use std::collections::{BTreeMap, BTreeSet};

use super::findings::Findings;
use super::view::PolicyView;
use crate::catalog::{Catalog, TemplateSegment};
use crate::diagnostic::Span;
use crate::policy::index::ResourceId;
use crate::policy::model::resource::ResourceName;

/// Policies on a resource that no exposed method can name, and below which it can name nothing.
pub(super) fn beyond(view: &PolicyView<'_>, catalog: &Catalog, findings: &mut Findings<'_>) {
    let mut attached: BTreeMap<ResourceId, Span> = BTreeMap::new();
    for binding in &view.bindings {
        attached.entry(binding.resource).or_insert_with(|| binding.role_span());
    }
    for denial in &view.denials {
        let Some(span) = denial.principals_span() else { continue };
        attached.entry(denial.resource).or_insert(span);
    }
    for (resource, span) in attached {
        let name = view.resource_name(resource);
        // hierarchy.yaml says what lies in a folder or an organization. Loading warns of one that is empty.
        let is_container = ["folders/", "organizations/"].iter().any(|root| name.starts_with(root));
        let other = view.hierarchy().other_name(ResourceName::new(&name));
        let is_reached = |name: &str| catalog.resources().any(|shape| is_below(shape, name));
        if is_container || is_reached(&name) || other.as_deref().is_some_and(is_reached) {
            continue;
        }
        findings.warning(
            "policies that no call reaches",
            &span,
            format!(
                "no exposed method asks for a permission on `{name}` or below it: this policy never applies"
            ),
            "compare the name with the paths of the http rules (services/*.yaml), or remove the file",
        );
    }
}

/// Policies on the number of a project whose id is not known: a request that names the project by its id is about
/// another resource, as far as the tree tells.
pub(super) fn numbered(view: &PolicyView<'_>, findings: &mut Findings<'_>) {
    let mut seen = BTreeSet::new();
    let bound = view.bindings.iter().map(|binding| (binding.resource, Some(binding.role_span())));
    let denied = view.denials.iter().map(|denial| (denial.resource, denial.principals_span()));
    for (resource, span) in bound.chain(denied) {
        let name = view.resource_name(resource);
        let root = ResourceName::new(&name).root();
        let number = root.strip_prefix("projects/").filter(|id| id.bytes().all(|byte| byte.is_ascii_digit()));
        let (Some(number), Some(span)) = (number, span) else { continue };
        if view.hierarchy().alias(root).is_some() || !seen.insert(root.to_owned()) {
            continue;
        }
        findings.note(
            "policies on the number of a project whose id is not known",
            &span,
            format!(
                "`{root}` names a project by its number: this policy does not hold where a request has its id"
            ),
            format!("add the id to hierarchy.yaml: `projects/ID: {{projectNumber: {number}}}`"),
        );
    }
}

/// Projects and folders with bindings whose organization hierarchy.yaml does not tell, where a folder or an
/// organization has a deny policy. The policy may be meant for them, and does not apply to them.
pub(super) fn adrift(view: &PolicyView<'_>, findings: &mut Findings<'_>) {
    let is_container = |name: &str| name.starts_with("folders/") || name.starts_with("organizations/");
    let denials = view.denials.iter().map(|denial| view.resource_name(denial.resource));
    let denying: BTreeSet<_> = denials.filter(|name| is_container(name)).collect();
    let mut seen = BTreeSet::new();
    for binding in &view.bindings {
        let name = view.resource_name(binding.resource);
        let root = ResourceName::new(&name).root();
        let above: Vec<&str> = view.hierarchy().ancestors(root).collect();
        let top = above.last().copied().unwrap_or(root);
        let has_parents = root.starts_with("projects/") || root.starts_with("folders/");
        if !has_parents || top.starts_with("organizations/") || !seen.insert(root.to_owned()) {
            continue;
        }
        let Some(silent) = denying.iter().find(|name| ***name != *root && !above.contains(&&***name)) else {
            continue;
        };
        findings.warning(
            "resources that no organization holds",
            &binding.role_span(),
            format!(
                "hierarchy.yaml does not say in which organization `{root}` lies: the deny policies on `{silent}` do \
                 not speak for it"
            ),
            format!("add a line to hierarchy.yaml that says what it lies in: `{top}: organizations/…`"),
        );
    }
}

/// Whether some name of this shape is the other name, or lies below it.
fn is_below(shape: &[TemplateSegment], name: &str) -> bool {
    let mut shape = shape.iter();
    for segment in name.split('/') {
        match shape.next() {
            Some(TemplateSegment::Literal(literal)) if **literal == *segment => {}
            Some(TemplateSegment::Single) => {}
            Some(TemplateSegment::Rest) => return true,
            Some(TemplateSegment::Literal(_)) | None => return false,
        }
    }
    true
}
