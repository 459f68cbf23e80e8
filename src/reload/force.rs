//! Putting in force what was read, part by part.
//!
//! What one part names of another stays there until that part is loaded too: a catalogue keeps its upstreams and its signer. On
//! a retry, only parts that had failed are replaced: the others keep what they have learnt.

use std::sync::Arc;
use std::time::Instant;

use super::configuration::{Read, text, waiting_for_restart};
use super::reading::{Cause, Ended};
use super::status::Found;
use super::{Reloader, aside, keep_fresh, overdue, warn};
use crate::catalog::Catalog;
use crate::clock;
use crate::config::{Config, Part};
use crate::diagnostic::Report;
use crate::policy::Policy;
use crate::proxy::Live;
use crate::snapshot::{Snapshot, Tree, check_published, pools};
use crate::upstream::Upstreams;

impl Reloader {
    pub(super) fn configuration_ended(&mut self, ended: Ended<Read>) {
        let (cause, mut read) = match ended {
            Ended::Read(cause, read) => (cause, read),
            Ended::Overdue => return self.configuration_failed(overdue("the configuration")),
            Ended::Broken => {
                self.configuration.back_off.fail(Instant::now());
                return self.configuration_failed("the reading broke off".to_owned());
            }
        };
        if !cause.is_retry {
            warn(&read.warnings, cause.what);
        }
        self.apply(&mut read, cause);
        for part in Part::ALL {
            let fault = read.fault(part);
            // The policy tree says of itself whether it is loaded; here it is only said where it lies.
            if part == Part::Policy && fault.is_none() && read.is_whole {
                self.telling.forget(part, Found::Configuration, self.proxy.metrics());
            } else if (read.is_whole && part != Part::Policy) || fault.is_some() {
                let is_loaded = fault.is_none();
                self.telling.tell(part, Found::Configuration, cause.what, fault, self.proxy.metrics());
                // Services are in force once the tree is read by them.
                self.lagged(part, is_loaded && part != Part::Services, cause);
            }
        }
        if read.faults.is_empty() {
            self.configuration.back_off.succeed();
        } else {
            self.configuration.back_off.fail(Instant::now());
        }
    }

    fn configuration_failed(&mut self, why: String) {
        let metrics = self.proxy.metrics();
        self.telling.tell(Part::Configuration, Found::Configuration, "deadline", Some(why), metrics);
    }

    /// Puts what was good of a configuration in force.
    fn apply(&mut self, read: &mut Read, cause: Cause) {
        let failing = self.telling.failing(Found::Configuration);
        let is_due = |part| !cause.is_retry || failing.contains(&part);
        let before = std::mem::replace(&mut self.config, read.config.clone());
        let is_same = says_same(&before, &self.config);
        let live = self.proxy.live();
        let authn = read.authn.take().filter(|_| is_due(Part::Issuers)).map(Arc::new);
        let upstreams = read.upstreams.take().filter(|_| is_due(Part::Upstreams));
        // Names may have been found since the reading began.
        let is_outdated = read.names != *self.lookups.names();
        let upstreams = upstreams.map(|read| if is_outdated { self.upstreams(&live) } else { read });
        let upstreams = upstreams.map(|upstreams| keeping(upstreams, &live));
        let assertions = read.assertions.take().filter(|_| is_due(Part::Assertion));
        // The catalogue in force may ask for assertions: they end with it.
        self.assertions_end = !is_same && matches!(assertions, Some(None));
        let assertions = assertions.filter(|_| !self.assertions_end);
        let (is_refreshed, is_redirected) = (authn.is_some(), upstreams.is_some());
        if is_refreshed || is_redirected || assertions.is_some() {
            let snapshot = Snapshot {
                authn: authn.unwrap_or_else(|| live.snapshot.authn.clone()),
                ..live.snapshot.clone()
            };
            let upstreams = upstreams.unwrap_or_else(|| live.upstreams().clone());
            let assertions = assertions.unwrap_or_else(|| live.assertions().cloned());
            self.swap(Live::new(snapshot, upstreams, assertions, self.proxy.metrics()));
        }
        if is_refreshed {
            let refresh = keep_fresh(&self.proxy.live().snapshot.authn);
            std::mem::replace(&mut self.refresh, refresh).abort();
        }
        if is_redirected {
            // Those of the old set end with this.
            self.checks = self.proxy.live().upstreams().check();
            self.lookups.look_up(&self.config.upstreams);
            self.tell_names(cause.what);
        }
        self.apply_settings(&before);
        self.judge_published(&self.proxy.live().snapshot.catalog);
        // What failed may hold now: it may name what is configured by now.
        if !is_same || self.tree.back_off.next().is_some() {
            self.tree.want(Cause { is_retry: cause.is_retry && is_same, ..cause });
        }
        if read.is_whole && !cause.is_retry {
            tracing::info!(cause = cause.what, "configuration read");
        }
    }

    /// Takes the settings beside the parts, and tells of those that a reload does not take.
    fn apply_settings(&mut self, before: &Config) {
        self.present();
        self.proxy.trust(&self.config.trusted_proxies);
        if before.telemetry.log != self.config.telemetry.log {
            tracing::info!(filter = self.config.telemetry.log, "the log says other things now");
            (self.log)(&self.config.telemetry);
        }
        self.telling.restart(waiting_for_restart(&self.started, &self.config));
        let mut pools = pools(&self.config);
        pools.remember(&self.pools);
        self.pools = pools;
    }

    pub(super) fn tree_ended(&mut self, ended: Ended<Tree>) {
        let (cause, tree) = match ended {
            Ended::Read(cause, tree) => (cause, tree),
            Ended::Overdue => return self.tree_failed(overdue("the policy tree")),
            Ended::Broken => {
                self.tree.back_off.fail(Instant::now());
                return self.tree_failed("the reading broke off".to_owned());
            }
        };
        let Tree { catalog, services, policy, policies } = tree;
        if catalog.is_some() && policy.is_some() {
            self.tree.back_off.succeed();
        } else {
            self.tree.back_off.fail(Instant::now());
        }
        let failing = self.telling.failing(Found::Tree);
        let is_due = |part| !cause.is_retry || failing.contains(&part);
        let rows =
            [(Part::Services, &services, catalog.is_some()), (Part::Policy, &policies, policy.is_some())];
        let catalog = catalog.filter(|_| is_due(Part::Services));
        let policy = policy.filter(|_| is_due(Part::Policy));
        if catalog.is_some() || policy.is_some() {
            self.apply_tree(catalog, policy, cause);
        }
        for (part, report, is_loaded) in rows {
            if !cause.is_retry {
                warn(report, cause.what);
            }
            // A tree that could not be read as a whole has no services either, and one text is enough.
            let fault = (!is_loaded).then(|| match report.is_fatal() {
                true => text(report),
                false => "the policy tree could not be read".to_owned(),
            });
            self.telling.tell(part, Found::Tree, cause.what, fault, self.proxy.metrics());
            self.lagged(part, is_loaded, cause);
        }
        if rows.iter().any(|(.., is_loaded)| !is_loaded) {
            self.proxy.metrics().policy_refused();
        }
    }

    fn apply_tree(
        &mut self,
        catalog: Option<Arc<Catalog>>,
        policy: Option<(Arc<Policy>, String)>,
        cause: Cause,
    ) {
        let live = self.proxy.live();
        let mut snapshot = live.snapshot.clone();
        let mut upstreams = live.upstreams().clone();
        let mut assertions = live.assertions().cloned();
        if let Some(catalog) = catalog {
            self.judge_published(&catalog);
            let configured = |name: &str| self.config.upstreams.iter().any(|upstream| upstream.name == name);
            if let Some(fewer) = upstreams.only(|name| configured(name) || catalog.leads_to(name)) {
                upstreams = Arc::new(fewer);
            }
            if std::mem::take(&mut self.assertions_end) {
                assertions = None;
            }
            snapshot.catalog = catalog;
        }
        let is_loaded = policy.is_some();
        if let Some((policy, revision)) = policy {
            tracing::info!(cause = cause.what, from = snapshot.revision, to = revision, "policy reloaded");
            (snapshot.policy, snapshot.revision) = (policy, revision);
        }
        if is_loaded {
            self.proxy.metrics().policy_loaded(&snapshot, clock::now());
        }
        let is_redirected = !Arc::ptr_eq(&upstreams, live.upstreams());
        self.swap(Live::new(snapshot, upstreams, assertions, self.proxy.metrics()));
        if is_redirected {
            self.checks = self.proxy.live().upstreams().check();
        }
    }

    fn tree_failed(&mut self, why: String) {
        let metrics = self.proxy.metrics();
        metrics.policy_refused();
        self.telling.tell(Part::Policy, Found::Tree, "deadline", Some(why), metrics);
    }

    /// Tells whether the gate's own keys are published on a path of a method.
    fn judge_published(&self, catalog: &Catalog) {
        let mut conflict = Report::new();
        check_published(&self.config, catalog, &mut conflict);
        let metrics = self.proxy.metrics();
        if conflict.is_fatal() {
            let why = Some(text(&conflict));
            self.telling.tell(Part::Assertion, Found::Tree, "policy tree", why, metrics);
        } else {
            self.telling.forget(Part::Assertion, Found::Tree, metrics);
        }
    }

    /// Measures how long it took from a change until it was in force.
    fn lagged(&self, part: Part, is_loaded: bool, cause: Cause) {
        if let Some(changed) = cause.changed.filter(|_| is_loaded) {
            self.proxy.metrics().part_lagged(part, changed, clock::now());
        }
    }

    /// Takes what a name was found to stand for.
    pub(super) fn name_found(&mut self, is_other: bool) {
        if is_other {
            let live = self.proxy.live();
            let upstreams = keeping(self.upstreams(&live), &live);
            let snapshot = live.snapshot.clone();
            self.swap(Live::new(snapshot, upstreams, live.assertions().cloned(), self.proxy.metrics()));
            self.checks = self.proxy.live().upstreams().check();
        }
        self.tell_names("name looked up");
    }

    /// The upstreams of the configuration in force, with the addresses that are known now.
    fn upstreams(&self, live: &Live) -> Upstreams {
        Upstreams::new(&self.config.upstreams, self.lookups.names(), Some(&**live.upstreams()))
    }

    pub(super) fn tell_names(&mut self, cause: &str) {
        let failures = self.lookups.failures().iter();
        let failures: Vec<String> =
            failures.map(|(name, why)| format!("`{name}` cannot be looked up: {why}")).collect();
        let fault = (!failures.is_empty()).then(|| {
            format!("{}\nthe addresses that were found the last time stay in use", failures.join("\n"))
        });
        match &fault {
            None => self.lookups_again.succeed(),
            Some(_) if self.lookups_again.next().is_none() => self.lookups_again.fail(Instant::now()),
            Some(_) => {}
        }
        self.telling.tell(Part::Upstreams, Found::Names, cause, fault, self.proxy.metrics());
    }

    fn swap(&mut self, live: Live) {
        let old = self.proxy.swap(live);
        self.retired.push(old);
    }

    /// Lets the next handshakes be done with the certificates in force, and requests on connections that are open be judged by
    /// the rules for clients. The listeners themselves take a restart: of those, what fits is taken all the same.
    fn present(&self) {
        for (place, (address, tls)) in self.doors.iter().enumerate() {
            // Of several that take a free port, each has its place.
            let listeners = &self.config.listeners;
            let same = listeners.get(place).filter(|listener| listener.address == *address);
            let new = same.or_else(|| listeners.iter().find(|listener| listener.address == *address));
            if let (Some(tls), Some(new)) = (tls, new.and_then(|listener| listener.tls.as_ref())) {
                tls.store(new.server.clone());
            }
        }
    }

    /// Drops snapshots that no request holds any more, on a thread that no request waits for.
    pub(super) fn release(&mut self) {
        let (held, free) = self.retired.drain(..).partition(|live| Arc::strong_count(live) > 1);
        self.retired = held;
        if !Vec::is_empty(&free) {
            tokio::spawn(aside("opgate-release", move || drop(free)));
        }
    }
}

/// The upstreams, with those that the catalogue in force still leads to.
fn keeping(mut upstreams: Upstreams, live: &Live) -> Arc<Upstreams> {
    upstreams.keep(live.upstreams(), |name| live.snapshot.catalog.leads_to(name));
    Arc::new(upstreams)
}

/// Whether two configurations have the same services and the same policy tree.
fn says_same(before: &Config, now: &Config) -> bool {
    before.policy_directory == now.policy_directory
        && before.services.len() == now.services.len()
        && before.services.iter().zip(&now.services).all(|(before, now)| before.says_same_as(now))
}
