//! Methods that cannot be called: they are not exposed, or no binding grants their permission.

use std::collections::{BTreeMap, BTreeSet};

use super::exposed::Exposed;
use super::findings::Findings;
use super::view::PolicyView;
use crate::catalog::{Catalog, NoRpcRoute};
use crate::diagnostic::{Place, Source, Span};
use crate::policy::index::RoleId;
use crate::source::PolicyFiles;

/// Methods of exposed services that no iam rule exposes.
pub(super) fn closed(files: &PolicyFiles, catalog: &Catalog, findings: &mut Findings<'_>) {
    for method in catalog.unexposed() {
        // A method of a descriptor set has no line.
        let whole = || Span { source: Source::new(&*method.place.file, ""), range: 0..0 };
        let span = span(files, &method.place, &method.method).unwrap_or_else(whole);
        findings.note(
            "methods that are not exposed",
            &span,
            format!("`{}` of {} is not exposed: it has no iam rule", method.method, method.service),
            format!(
                "calls are answered as if it did not exist; to expose it, add `- {{selector: {}, permission: …}}` to \
                 services/{}.iam.yaml",
                method.method, method.service
            ),
        );
    }
}

/// APIs that a service file lists and of which no file says how they are called.
pub(super) fn undescribed(files: &PolicyFiles, catalog: &Catalog, findings: &mut Findings<'_>) {
    for api in catalog.undescribed() {
        let Some(span) = span(files, &api.place, &api.name) else { continue };
        findings.note(
            "APIs without http rules",
            &span,
            format!("`{}` of {} has no http rule, so none of its methods can be exposed", api.name, api.service),
            format!(
                "published service files hold the rules of shared APIs alone; a service's own are in its protos: \
                 `protoc --include_imports --descriptor_set_out=services/{}.binpb …`",
                api.service
            ),
        );
    }
}

/// Exposed methods that are not called over gRPC, of services of which others are.
pub(super) fn not_over_grpc(files: &PolicyFiles, catalog: &Catalog, findings: &mut Findings<'_>) {
    for method in catalog.not_over_grpc() {
        let Some(span) = span(files, &method.place, &method.method) else { continue };
        let name = &method.method;
        let set = format!("services/{}.binpb", method.service);
        let (why, help) = match &method.why {
            NoRpcRoute::NoDescriptor => (
                "its messages are not known".to_owned(),
                format!("give its proto to the descriptor set {set}"),
            ),
            NoRpcRoute::Fields(fault) => {
                (fault.clone(), "over gRPC, `resource` names fields of the request message".to_owned())
            }
            NoRpcRoute::TakenByHttp(other) => (
                format!("an http rule of `{other}` takes its path"),
                "a backend could take one for the other: give that rule a path of its own".to_owned(),
            ),
            NoRpcRoute::Ambiguous(host) => (
                format!("another service on `{host}` has it too"),
                "expose the two services on different hosts".to_owned(),
            ),
        };
        findings.note(
            "methods that are not called over gRPC",
            &span,
            format!("`{name}` cannot be called over gRPC: {why}"),
            help,
        );
    }
}

/// Descriptor sets that lack a type.
pub(super) fn incomplete(catalog: &Catalog, findings: &mut Findings<'_>) {
    for set in catalog.incomplete_descriptors() {
        findings.warning(
            "descriptor sets that lack a type",
            &Span { source: Source::new(&*set.file, ""), range: 0..0 },
            format!("the messages of {} are not known: {}", set.service, set.why),
            "its http rules are in force, and its methods cannot be called by gRPC; give protoc all files that the protos \
             import, with `--include_imports`"
                .to_owned(),
        );
    }
}

/// Exposed methods whose permission no binding grants.
pub(super) fn out_of_reach(
    files: &PolicyFiles,
    view: &PolicyView<'_>,
    exposed: &Exposed<'_>,
    findings: &mut Findings<'_>,
) {
    let fruitful: BTreeSet<RoleId> = view
        .bindings
        .iter()
        .filter(|binding| view.is_fruitful(binding))
        .map(|binding| binding.role)
        .collect();
    let mut holders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut held: BTreeSet<&str> = BTreeSet::new();
    for role in view.roles().iter() {
        let is_granted = view.role_names.find(&role.name).is_some_and(|id| fruitful.contains(&id));
        for permission in exposed.held(role) {
            holders.entry(permission).or_default().push(&role.name);
            if is_granted {
                held.insert(permission);
            }
        }
    }
    for (permission, methods) in exposed.iter().filter(|(permission, _)| !held.contains(permission)) {
        for method in methods {
            let Some(span) = span(files, &method.place, &method.name) else { continue };
            let (why, help) = match holders.get(permission).and_then(|roles| roles.first()) {
                None => (
                    format!("no role holds `{permission}`"),
                    format!("add `{permission}` to the `includedPermissions` of a role below `roles/`"),
                ),
                Some(role) => (
                    format!("no binding grants `{permission}`"),
                    format!("bind a role that holds it, `{role}` for example, in a policy below `allow/`"),
                ),
            };
            findings.warning(
                "methods that cannot be called",
                &span,
                format!("`{}` cannot be called: {why}", method.name),
                help,
            );
        }
    }
}

/// Where a text stands in the line of a place.
fn span(files: &PolicyFiles, place: &Place, text: &str) -> Option<Span> {
    let source = files.source_of(place)?.clone();
    let start: usize = source.text.split_inclusive('\n').take(place.line - 1).map(str::len).sum();
    let line = source.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let start = start + line.find(text).unwrap_or_default();
    let length = if line.contains(text) { text.len() } else { line.len() };
    Some(Span { range: start..start + length, source })
}
