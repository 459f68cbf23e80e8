//! What a process starts with: everything that the configuration names.

use std::time::SystemTime;

use crate::clock;
use crate::config::{self, Config, ConfigSource};
use crate::decision::snapshot::Snapshot;
use crate::diagnostic::Report;
use crate::terminal::eprint_report;

/// What a process starts with.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(super) config: Config,
    pub(super) snapshot: Snapshot,
    /// When the files were read.
    pub(super) read_at: SystemTime,
}

impl Loaded {
    /// Whether the configuration says where the running process offers its listeners.
    pub(crate) fn can_take_over(&self) -> bool {
        self.config.upgrade.is_some()
    }
}

/// Everything that the configuration names, or nothing. What is wrong is printed.
pub(crate) fn load(origin: &ConfigSource) -> Option<Loaded> {
    let read_at = clock::now();
    let mut report = Report::new();
    let config = origin.load(&mut report);
    let snapshot =
        config.as_ref().and_then(|config| config::snapshot::load(config, clock::now(), &mut report));
    if !report.diagnostics().is_empty() {
        eprint_report(&report);
    }
    let loaded = Loaded { config: config?, snapshot: snapshot?, read_at };
    (!report.is_fatal()).then_some(loaded)
}
