//! Policies beside the one in force: they are asked the same, and decide nothing.
//!
//! A shadow is asked about the call and the caller of a request that the policy in force has decided: by its own roles,
//! groups, hierarchy, bindings, deny rules and boundaries, at the same time and by the same attributes. What comes of it is a
//! [`Verdict`] and not a permit: nothing can be forwarded by it.
//!
//! Methods are those in force. The service files of a shadow are not read: which permission a method asks for, and on which
//! resource, is what the policy in force was asked too.

mod settings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

pub use self::settings::ShadowSettings;
use super::Trace;
use super::stages::attributes;
use crate::catalog::Catalog;
use crate::diagnostic::Report;
use crate::http::Request;
use crate::policy::{Policy, PolicyCounts, Pools, Verdict};
use crate::reason::Stage;
use crate::source::{PolicyFiles, PolicySource};

/// The policy of one tree that is not in force.
#[derive(Debug)]
pub struct ShadowTree {
    policy: Policy,
    revision: String,
    services_revision: String,
}

/// What a shadow says of a request, beside what was decided.
#[derive(Debug)]
pub struct ShadowDecision<'r> {
    /// Whether the policy in force granted the permission.
    pub in_force: bool,
    /// What the shadow says.
    pub verdict: Verdict<'r>,
    /// Names the shadow's tree.
    pub revision: &'r str,
    /// Why the shadow refuses what was allowed, in full.
    pub detail: Option<String>,
}

/// The shadow of each service, as far as its tree was loaded.
#[derive(Clone, Debug, Default)]
pub struct Shadows {
    settings: ShadowSettings,
    trees: BTreeMap<PathBuf, Arc<ShadowTree>>,
}

impl ShadowTree {
    /// Reads a tree from its source; see `of`.
    pub fn read(
        source: &PolicySource,
        pools: &Pools,
        in_force: Option<&Catalog>,
        report: &mut Report,
    ) -> Option<Self> {
        Self::of(source.read(report)?, pools, in_force, report)
    }

    /// The policy of a tree, without its service files. Typing errors in roles are found by the permissions that the
    /// methods in force ask for.
    ///
    /// `None` where anything is wrong with it: the report says what.
    pub fn of(
        files: PolicyFiles,
        pools: &Pools,
        in_force: Option<&Catalog>,
        report: &mut Report,
    ) -> Option<Self> {
        let mut own = Report::new();
        let revision = files.revision().clone();
        let permissions = in_force.map(Catalog::permissions).unwrap_or_default();
        let policy = Policy::load_among(pools, files, &permissions, &mut own);
        let is_good = !own.is_fatal();
        report.absorb(own);
        is_good.then_some(Self { policy, revision: revision.whole, services_revision: revision.services })
    }

    /// Names the tree by its content, as [`Snapshot::revision`](super::snapshot::Snapshot::revision) does.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Names the service files in the tree, which are not read.
    pub fn services_revision(&self) -> &str {
        &self.services_revision
    }

    /// How much it holds.
    pub fn counts(&self) -> PolicyCounts {
        self.policy.counts()
    }

    /// What it says of a request that was decided at a time. `None` where no policy was asked: an earlier stage refused
    /// the request, or its method asks for no permission.
    pub fn judge<'r>(
        &'r self,
        request: &'r Request,
        trace: &'r Trace,
        time: SystemTime,
    ) -> Option<ShadowDecision<'r>> {
        if trace.stage < Stage::Policy {
            return None;
        }
        let call = trace.call.as_deref()?;
        let verdict = self.policy.verdict(call, trace.caller.as_deref(), attributes(request, call, time))?;
        let in_force = trace.granted;
        let detail = if in_force { verdict.detail() } else { None };
        Some(ShadowDecision { in_force, verdict, revision: &self.revision, detail })
    }
}

impl ShadowDecision<'_> {
    /// Whether the shadow says otherwise than the policy in force.
    pub fn differs(&self) -> bool {
        self.in_force != self.verdict.is_allowed()
    }
}

impl Shadows {
    /// The trees that the settings name; others are left out. One that is not there yet is not asked.
    pub fn new(settings: ShadowSettings, mut trees: BTreeMap<PathBuf, Arc<ShadowTree>>) -> Self {
        let named = settings.directories();
        trees.retain(|directory, _| named.contains(directory.as_path()));
        Self { settings, trees }
    }

    /// Whether any service has a shadow, loaded or not.
    pub fn is_set(&self) -> bool {
        !self.settings.directories().is_empty()
    }

    /// The shadow of a service, by the name of its files.
    pub fn of(&self, service: &str) -> Option<&Arc<ShadowTree>> {
        self.trees.get(self.settings.of(service)?)
    }

    /// Every directory that is named, with the revision of its tree where one was loaded.
    pub fn revisions(&self) -> impl Iterator<Item = (&Path, Option<&str>)> {
        let named = self.settings.directories().into_iter();
        named.map(|named| (named, self.trees.get(named).map(|tree| tree.revision())))
    }

    /// All trees by their directories.
    pub fn trees(&self) -> &BTreeMap<PathBuf, Arc<ShadowTree>> {
        &self.trees
    }
}

#[cfg(test)]
mod tests;
