//! The policy trees that are asked beside the one in force.
//!
//! They are a part of their own: read on a thread of its own, watched, kept and retried like the policy in force. Nothing
//! waits for them, and they wait for nothing. Each tree stands alone: a mistake in one keeps the last good state of that one,
//! or leaves its services without a shadow where it was never good.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::configuration::text;
use super::reading::{Cause, Ended};
use super::status::FaultOrigin;
use super::watch::Roots;
use super::{Reloader, ShadowRead, overdue, warn};
use crate::config::snapshot::pools;
use crate::config::{Config, ConfigPart};
use crate::decision::shadow::{ShadowTree, Shadows};
use crate::diagnostic::Report;
use crate::engine::Live;
use crate::source::PolicySource;

impl Reloader {
    /// Asks for a reading of all shadows, if there are any.
    pub(super) fn want_shadow(&mut self, cause: Cause) {
        if !self.config.shadows.directories().is_empty() {
            self.shadow.want(cause);
        }
    }

    pub(super) fn begin_shadow(&mut self) {
        if !self.shadow.may_begin() {
            return;
        }
        let directories: Vec<PathBuf> =
            self.config.shadows.directories().into_iter().map(PathBuf::from).collect();
        let (pools, catalog) = (self.pools.clone(), self.engine.live().snapshot.catalog.clone());
        self.shadow.begin(move || {
            let read = directories.into_iter().map(|directory| {
                let mut report = Report::new();
                let source = PolicySource::directory(&directory);
                let tree = ShadowTree::read(&source, &pools, Some(&catalog), &mut report);
                (directory, tree, report)
            });
            ShadowRead(read.collect())
        });
    }

    pub(super) fn shadow_roots(&self) -> Roots {
        let directories = self.config.shadows.directories();
        Roots { paths: directories.into_iter().map(PathBuf::from).collect(), read_at: self.read_at }
    }

    /// Applies the settings of shadows after a configuration was read: a shadow that was removed is asked no more, one that
    /// was added is read.
    pub(super) fn apply_shadow(&mut self, before: &Config, cause: Cause) {
        let is_changed = before.shadows != self.config.shadows;
        if is_changed {
            self.beside(self.engine.live().shadows().shadows().trees().clone());
            if self.config.shadows.directories().is_empty() {
                self.shadow.back_off.succeed();
                self.telling.forget(ConfigPart::Shadow, FaultOrigin::Tree, &self.instruments);
            }
        }
        // One that failed may load now: it may name a pool that is configured only now.
        let is_failing = self.shadow.back_off.next().is_some();
        let has_pools = pools(before) != pools(&self.config);
        if is_changed || is_failing || has_pools {
            self.want_shadow(Cause { is_retry: cause.is_retry && !is_changed, ..cause });
        }
    }

    pub(super) fn shadow_ended(&mut self, ended: Ended<ShadowRead>) {
        let (cause, ShadowRead(read)) = match ended {
            Ended::Read(cause, read) => (cause, read),
            Ended::Overdue => return self.tell_shadow("deadline", vec![overdue("a shadow policy tree")]),
            Ended::Broken => {
                self.shadow.back_off.fail(Instant::now());
                return self.tell_shadow("broken", vec!["the reading broke off".to_owned()]);
            }
        };
        let faults = self.take_shadows(read, cause);
        match faults.is_empty() {
            true => self.shadow.back_off.succeed(),
            false => self.shadow.back_off.fail(Instant::now()),
        }
        // The last one may have been removed while it was read.
        if !self.config.shadows.directories().is_empty() {
            let is_loaded = faults.is_empty();
            self.tell_shadow(cause.what, faults);
            self.lagged(ConfigPart::Shadow, is_loaded, cause);
        }
    }

    /// Puts the trees that are good beside what is in force, and says what is wrong with the others.
    fn take_shadows(
        &mut self,
        read: Vec<(PathBuf, Option<ShadowTree>, Report)>,
        cause: Cause,
    ) -> Vec<String> {
        let live = self.engine.live();
        let before = live.shadows().shadows().trees();
        let mut trees = before.clone();
        let (mut faults, mut loaded) = (Vec::new(), Vec::new());
        for (directory, tree, report) in read {
            if !self.config.shadows.directories().contains(directory.as_path()) {
                continue;
            }
            if !cause.is_retry {
                warn(&report, cause.what);
            }
            let Some(tree) = tree else {
                faults.push(format!("{}: {}", directory.display(), text(&report)));
                continue;
            };
            let known = before.get(&directory);
            // On a retry, what is there already is not replaced by what is equal to it.
            if !cause.is_retry || known.is_none_or(|known| known.revision() != tree.revision()) {
                loaded.push(directory.clone());
                trees.insert(directory, Arc::new(tree));
            }
        }
        if !loaded.is_empty() {
            self.beside(trees);
            self.tell_of_trees(&loaded, before, cause);
        }
        faults
    }

    /// Puts shadows beside what is in force, which stays.
    fn beside(&mut self, trees: BTreeMap<PathBuf, Arc<ShadowTree>>) {
        let live = self.engine.live();
        let shadows = Arc::new(Shadows::new(self.config.shadows.clone(), trees));
        let (upstreams, assertions) = (live.upstreams().clone(), live.assertions().cloned());
        let instruments = self.engine.instruments();
        let live = Live::new(live.snapshot.clone(), upstreams, assertions, shadows, instruments);
        self.put(live, false);
    }

    /// Tells which other trees are asked from now on.
    fn tell_of_trees(&self, loaded: &[PathBuf], before: &BTreeMap<PathBuf, Arc<ShadowTree>>, cause: Cause) {
        let live = self.engine.live();
        for directory in loaded {
            let Some(tree) = live.shadows().shadows().trees().get(directory) else { continue };
            let from = before.get(directory).map_or("none", |before| before.revision());
            // Files that were touched and not changed make the same tree.
            if from == tree.revision() {
                continue;
            }
            let directory = directory.display();
            tracing::info!(cause = cause.what, %directory, from, to = tree.revision(), "shadow policy loaded");
            if tree.services_revision() != live.snapshot.services_revision {
                tracing::info!(
                    %directory,
                    "the shadow has other service files than the policy in force: it is asked about the methods in force"
                );
            }
        }
    }

    fn tell_shadow(&self, cause: &str, faults: Vec<String>) {
        let fault = (!faults.is_empty()).then(|| faults.join("\n"));
        self.telling.tell(ConfigPart::Shadow, FaultOrigin::Tree, cause, fault, &self.instruments);
    }
}
