//! What the file says of shadows: `shadow` of `policy`, and `shadow` of each service.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::diagnostic::Report;
use crate::document::location::located;
use crate::document::{Fields, Node, Spelling, Value};

/// Which tree is asked beside the one in force, for which service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShadowSettings {
    /// That of every service that does not say otherwise.
    directory: Option<PathBuf>,
    /// Those of services that do, by the names of their files; `None` where a service has no shadow.
    services: BTreeMap<String, Option<PathBuf>>,
}

impl ShadowSettings {
    /// Reads the key `shadow` of `policy` and of each of `services`. The other keys of both are read elsewhere. Whether a
    /// directory is there, and what is in it, is asked where it is loaded: a shadow must not hold back anything else.
    pub(crate) fn read(
        policy: Option<&Node>,
        services: Option<&Node>,
        base: &Path,
        report: &mut Report,
    ) -> Self {
        let mut settings = Self::default();
        let mut in_force = None;
        if let Some(mut fields) = fields(policy) {
            in_force =
                fields.optional_string("directory", &mut Report::new()).map(|name| located(base, name));
            if let Some(node) = fields.optional("shadow") {
                settings.directory = node.string(report).map(|name| located(base, name));
                warn_of(settings.directory.as_deref(), in_force.as_deref(), node, report);
            }
        }
        let entries = services.and_then(|node| node.entries(&mut Report::new())).unwrap_or_default();
        for (id, _, service) in entries {
            let Some(node) = fields(Some(service)).and_then(|mut fields| fields.optional("shadow")) else {
                continue;
            };
            let own = match &node.value {
                Value::Bool(false) => None,
                Value::String(name) => Some(located(base, name)),
                _ => {
                    report.error(&node.span, "`shadow` of a service is a directory or `false`").help(
                        "name the policy tree to ask beside the one in force; `false`: none for this service",
                    );
                    continue;
                }
            };
            warn_of(own.as_deref(), in_force.as_deref(), node, report);
            settings.services.insert(id.to_owned(), own);
        }
        settings
    }

    /// The directory of a service's shadow.
    pub fn of(&self, service: &str) -> Option<&Path> {
        match self.services.get(service) {
            Some(own) => own.as_deref(),
            None => self.directory.as_deref(),
        }
    }

    /// Every directory, once.
    pub fn directories(&self) -> BTreeSet<&Path> {
        self.directory.iter().chain(self.services.values().flatten()).map(PathBuf::as_path).collect()
    }
}

/// The fields of a mapping. What is wrong with it as a whole is reported where the rest of it is read.
fn fields(node: Option<&Node>) -> Option<Fields<'_>> {
    node?.fields("a section", Spelling::Exact, &mut Report::new())
}

/// A shadow that is the policy in force never differs from it.
fn warn_of(shadow: Option<&Path>, in_force: Option<&Path>, node: &Node, report: &mut Report) {
    if shadow.is_some() && shadow == in_force {
        report
            .warning(&node.span, "the shadow is the policy tree in force: it decides the same")
            .help("name the tree that you want to try, or remove `shadow`");
    }
}
