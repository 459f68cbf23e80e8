//! Methods that cannot be called: they are not exposed, or no binding grants their permission.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::Findings;
use super::exposed::Exposed;
use super::tree::Tree;
use crate::catalog::Catalog;
use crate::diagnostic::{Place, Source, Span};
use crate::policy::index::RoleId;
use crate::{document, files};

/// Methods of exposed services that no iam rule exposes.
pub(super) fn closed(catalog: &Catalog, findings: &mut Findings<'_>) {
    let mut files = Files::default();
    for method in catalog.unexposed() {
        let Some(span) = files.span(&method.place, &method.method, findings) else { continue };
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

/// Exposed methods whose permission no binding grants.
pub(super) fn out_of_reach(tree: &Tree, exposed: &Exposed<'_>, findings: &mut Findings<'_>) {
    let fruitful: BTreeSet<RoleId> = tree
        .bindings
        .iter()
        .filter(|binding| tree.is_fruitful(binding))
        .map(|binding| binding.role)
        .collect();
    let mut holders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut held: BTreeSet<&str> = BTreeSet::new();
    for role in tree.roles.iter() {
        let is_granted = tree.role_names.find(&role.name).is_some_and(|id| fruitful.contains(&id));
        for permission in exposed.held(role) {
            holders.entry(permission).or_default().push(&role.name);
            if is_granted {
                held.insert(permission);
            }
        }
    }
    let mut files = Files::default();
    for (permission, methods) in exposed.iter().filter(|(permission, _)| !held.contains(permission)) {
        for method in methods {
            let Some(span) = files.span(&method.place, &method.name, findings) else { continue };
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

/// Files of services, read again to quote them.
#[derive(Default)]
struct Files {
    read: BTreeMap<Arc<str>, Option<Arc<Source>>>,
}

impl Files {
    /// Where a text stands in the line of a place.
    fn span(&mut self, place: &Place, text: &str, findings: &mut Findings<'_>) -> Option<Span> {
        let source = self.read.entry(place.file.clone()).or_insert_with(|| {
            let path = Path::new(&*place.file);
            let text = files::read(path, document::MAX_BYTES)
                .and_then(|bytes| String::from_utf8(bytes).map_err(std::io::Error::other));
            match text {
                Ok(text) => Some(Source::new(path, text)),
                Err(error) => {
                    findings
                        .report
                        .file_error(path, format!("cannot read the file: {error}"))
                        .help("it could be read a moment ago: run the check again");
                    None
                }
            }
        });
        let source = source.clone()?;
        let start: usize = source.text.split_inclusive('\n').take(place.line - 1).map(str::len).sum();
        let line = source.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let start = start + line.find(text).unwrap_or_default();
        let length = if line.contains(text) { text.len() } else { line.len() };
        Some(Span { range: start..start + length, source })
    }
}
