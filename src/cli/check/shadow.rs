//! What `opgate check` finds in the policy trees that are asked beside the one in force.

use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::config::Config;
use crate::config::snapshot::pools;
use crate::decision::shadow::ShadowTree;
use crate::decision::snapshot::Snapshot;
use crate::diagnostic::Report;
use crate::policy::lint;
use crate::source::PolicySource;
use crate::terminal::counted;

/// A shadow in which nothing is wrong.
pub(super) struct CheckedShadow {
    directory: PathBuf,
    services: Vec<String>,
    bindings: usize,
    revision: String,
    has_other_services: bool,
}

/// Checks the shadows of a configuration, as the gate loads them: without their service files. `in_force` is the snapshot of
/// the tree in force, where it is good.
pub(super) fn check(
    config: &Config,
    in_force: Option<&Snapshot>,
    now: SystemTime,
    report: &mut Report,
) -> Vec<CheckedShadow> {
    let pools = pools(config);
    let catalog = in_force.map(|snapshot| &*snapshot.catalog);
    let mut checked = Vec::new();
    for directory in config.shadows.directories() {
        let Some(files) = PolicySource::directory(directory).read(report) else { continue };
        let Some(tree) = ShadowTree::of(files.clone(), &pools, catalog, report) else { continue };
        let Some(in_force) = in_force else { continue };
        lint::lint(&files, &in_force.catalog, now, report);
        let services = config.services.iter().map(|service| &service.id);
        let services = services.filter(|id| config.shadows.of(id) == Some(directory)).cloned().collect();
        checked.push(CheckedShadow {
            directory: directory.to_owned(),
            services,
            bindings: tree.counts().bindings,
            revision: tree.revision().to_owned(),
            has_other_services: tree.services_revision() != in_force.services_revision,
        });
    }
    checked
}

impl CheckedShadow {
    pub(super) fn text(&self) -> String {
        let other = if self.has_other_services {
            "; its service files are not those in force, and are not read"
        } else {
            ""
        };
        format!(
            "shadow {} is valid: for {}, {}, policy revision {}{other}\n",
            self.directory.display(),
            self.services.join(", "),
            counted(self.bindings, "binding"),
            self.revision,
        )
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "directory": self.directory.display().to_string(),
            "services": self.services,
            "bindings": self.bindings,
            "policyRevision": self.revision,
            "otherServices": self.has_other_services,
        })
    }
}
