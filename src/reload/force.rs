//! Puts parts in force after they were read.
//!
//! Old and new parts together must not allow what neither all the old files nor all the new ones allow. So a part that
//! takes away access is in force at once, and a part that adds access waits for the one it belongs to: an issuer for
//! the policy that was read after it, upstreams for the services that name them, the methods of a tree for its rules.
//! On a retry, only parts that had failed are replaced: the others keep what they have learnt.

use std::sync::Arc;
use std::time::Instant;

use super::configuration::{ReadConfiguration, text, waiting_for_restart};
use super::reading::{Cause, Ended};
use super::status::FaultOrigin;
use super::{Reloader, TreeRead, aside, keep_fresh, overdue, warn};
use crate::assertion::Assertions;
use crate::authn::{Authenticator, WrittenIssuer};
use crate::catalog::{Catalog, ExposureSettings};
use crate::clock;
use crate::config::snapshot::{check_health_paths, check_published, pools};
use crate::config::{Config, ConfigPart};
use crate::decision::snapshot::{Snapshot, SnapshotTree};
use crate::diagnostic::Report;
use crate::engine::Live;
use crate::policy::Policy;
use crate::upstream::Upstreams;

impl Reloader {
    pub(super) fn configuration_ended(&mut self, ended: Ended<ReadConfiguration>) {
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
        for part in ConfigPart::ALL {
            let fault = read.fault(part);
            // Trees report themselves whether they are loaded; this is only about their places, and services are in
            // force once the tree is read by them.
            let is_tree = matches!(part, ConfigPart::Policy | ConfigPart::Services | ConfigPart::Shadow);
            if is_tree && fault.is_none() && read.is_whole {
                self.telling.forget(part, FaultOrigin::Configuration, &self.instruments);
            } else if (read.is_whole && !is_tree) || fault.is_some() {
                let is_loaded = fault.is_none();
                self.telling.tell(part, FaultOrigin::Configuration, cause.what, fault, &self.instruments);
                self.lagged(part, is_loaded, cause);
            }
        }
        if read.faults.is_empty() {
            self.configuration.back_off.succeed();
        } else {
            self.configuration.back_off.fail(Instant::now());
        }
    }

    fn configuration_failed(&mut self, why: String) {
        let instruments = &self.instruments;
        self.telling.tell(
            ConfigPart::Configuration,
            FaultOrigin::Configuration,
            "deadline",
            Some(why),
            instruments,
        );
    }

    /// Puts the good parts of a configuration in force, or holds them until the tree that belongs to them is read.
    fn apply(&mut self, read: &mut ReadConfiguration, cause: Cause) {
        let failing = self.telling.failing(FaultOrigin::Configuration);
        let is_due = |part| !cause.is_retry || failing.contains(&part);
        let before = std::mem::replace(&mut self.config, read.config.clone());
        self.held.applied += 1;
        let live = self.engine.live();
        let is_same = before.policy_directory == self.config.policy_directory
            && says_same(&self.services, &self.config.services);
        if read.fault(ConfigPart::Issuers).is_some() {
            // The tree may name something that the file removes.
            self.held.authn = None;
        }
        let authn = is_due(ConfigPart::Issuers).then(|| self.believe(read)).flatten();
        let upstreams = read.upstreams.take().filter(|_| is_due(ConfigPart::Upstreams));
        // Names may have been looked up since the reading began.
        let is_outdated = read.names != *self.lookups.names();
        let upstreams = upstreams.map(|read| if is_outdated { self.upstreams(&live) } else { read });
        let is_redirected = upstreams.is_some();
        // Where services are about to change, or do not load, a name may stand for another backend by now.
        let upstreams = if is_same && read.fault(ConfigPart::Services).is_none() {
            self.held.upstreams = None;
            upstreams
        } else {
            self.held.upstreams = upstreams.or(self.held.upstreams.take());
            None
        };
        let assertions = read.assertions.take().filter(|_| is_due(ConfigPart::Assertion));
        // The services in force may ask for assertions: signing ends with them.
        let still_end = self.held.assertions_end && assertions.is_none();
        self.held.assertions_end = !is_same && (still_end || matches!(assertions, Some(None)));
        let assertions = assertions.filter(|_| !self.held.assertions_end);
        if authn.is_some() || upstreams.is_some() || assertions.is_some() {
            let is_refreshed = authn.is_some();
            let authn = authn.unwrap_or_else(|| live.snapshot.authn.clone());
            let snapshot = Snapshot { authn, ..live.snapshot.clone() };
            let upstreams = upstreams.map_or_else(|| live.upstreams().clone(), |new| keeping(new, &live));
            let assertions = assertions.unwrap_or_else(|| live.assertions().cloned());
            self.put(self.live(snapshot, upstreams, assertions), is_refreshed);
        }
        if is_redirected {
            self.lookups.look_up(&self.config.upstreams, &self.config.dns);
            self.tell_names(cause.what);
        }
        self.apply_settings(&before);
        self.apply_shadow(&before, cause);
        self.judge_published(&self.engine.live().snapshot.catalog);
        // A tree that failed may load now: it may name something that is configured only now.
        if !is_same || self.held.authn.is_some() || self.tree.back_off.next().is_some() {
            self.tree.want(Cause { is_retry: cause.is_retry && is_same, ..cause });
        }
        if read.is_whole && !cause.is_retry {
            tracing::info!(cause = cause.what, "configuration read");
        }
    }

    /// Sets the issuers that are accepted from now on: a removal at once, an addition once the policy is read that may
    /// name it.
    fn believe(&mut self, read: &mut ReadConfiguration) -> Option<Arc<Authenticator>> {
        let is_known =
            |issuer: &WrittenIssuer| self.issuers.iter().any(|known| known.settings == issuer.settings);
        let authn = read.authn.take().map(Arc::new);
        if let Some(authn) = authn {
            let issuers = self.config.issuers.clone();
            // No issuer is new, so no token is accepted that was not before: it need not wait for the policy.
            if issuers.iter().all(is_known) {
                self.held.authn = None;
                self.issuers = issuers;
                return Some(authn);
            }
            self.held.authn = Some((authn, issuers));
        }
        // New issuers wait; those that the file removes end now.
        let (authn, issuers) = read.fewer.take()?;
        self.issuers = issuers;
        Some(Arc::new(authn))
    }

    /// Applies the settings beside the parts, and reports those that a reload does not apply.
    fn apply_settings(&mut self, before: &Config) {
        self.present();
        self.tell_certificates();
        self.engine.trust(&self.config.trusted_proxies);
        if before.telemetry.log != self.config.telemetry.log {
            tracing::info!(filter = self.config.telemetry.log, "the log filter has changed");
            self.log.configure(&self.config.telemetry.log);
        }
        self.telling.restart(waiting_for_restart(&self.started, &self.config));
        let mut pools = pools(&self.config);
        // Pools that were known once stay known: to remove an issuer must not make policies fail to load.
        pools.remember(&self.pools);
        self.pools = pools;
    }

    pub(super) fn tree_ended(&mut self, ended: Ended<TreeRead>) {
        let (cause, read) = match ended {
            Ended::Read(cause, read) => (cause, read),
            Ended::Overdue => return self.tree_failed(overdue("the policy tree")),
            Ended::Broken => {
                self.tree.back_off.fail(Instant::now());
                return self.tree_failed("the reading broke off".to_owned());
            }
        };
        let TreeRead { tree, services: exposed, applied } = read;
        let SnapshotTree { catalog, services_revision, services, policy, policies } = tree;
        let is_whole = policy.is_some();
        // Methods and rules of one tree belong together: other methods wait for rules that can be read.
        let is_other = services_revision != self.engine.live().snapshot.services_revision;
        let waits = catalog.is_some() && !is_whole && is_other;
        let catalog = catalog.filter(|_| !waits);
        let are_whole = catalog.is_some() && is_whole;
        if are_whole {
            self.tree.back_off.succeed();
        } else {
            self.tree.back_off.fail(Instant::now());
        }
        let failing = self.telling.failing(FaultOrigin::Tree);
        let is_due = |part| !cause.is_retry || failing.contains(&part);
        let is_other_policy =
            policy.as_ref().is_some_and(|(_, revision)| *revision != self.engine.live().snapshot.revision);
        let are_other_services = is_other || !says_same(&self.services, &exposed);
        let rows = [
            (ConfigPart::Services, &services, catalog.is_some(), are_other_services),
            (ConfigPart::Policy, &policies, is_whole, is_other_policy),
        ];
        // On a retry, a part that is in force already is not replaced by an equal one.
        let catalog = catalog.filter(|_| is_due(ConfigPart::Services) || self.held.upstreams.is_some());
        let policy = policy.filter(|_| is_due(ConfigPart::Policy));
        // Only if this tree was read after the configuration that named the issuers: an older tree may not know of them.
        let authn = self.held.authn.take_if(|_| is_whole && applied == self.held.applied);
        if catalog.is_some() || policy.is_some() || authn.is_some() {
            let catalog = catalog.map(|catalog| (catalog, services_revision, exposed));
            self.apply_tree(catalog, policy, authn, are_whole, cause);
        }
        for (part, report, is_loaded, is_other) in rows {
            if !cause.is_retry {
                warn(report, cause.what);
            }
            if is_loaded && !is_other && !failing.contains(&part) {
                self.instruments.part_is_the_same(part);
                self.measure_afterwards(part, cause);
                continue;
            }
            let fault = (!is_loaded).then(|| match report.is_fatal() {
                true => text(report),
                false if waits => "the service files wait for the rest of the policy tree to load".to_owned(),
                // A tree that could not be read as a whole has no services either. One text is enough for both.
                false => "the policy tree could not be read".to_owned(),
            });
            self.telling.tell(part, FaultOrigin::Tree, cause.what, fault, &self.instruments);
            self.lagged(part, is_loaded, cause);
            match is_loaded && cause.changed.is_none() {
                true => self.unmeasured.insert(part, clock::now()),
                false => self.unmeasured.remove(&part),
            };
        }
        if rows.iter().any(|(_, _, is_loaded, _)| !is_loaded) {
            self.instruments.policy_refused();
        }
        self.tell_waiting_issuers(self.held.authn.is_some() && !is_whole, cause);
    }

    /// Tells whether issuers wait for a tree that does not load.
    fn tell_waiting_issuers(&self, wait: bool, cause: Cause) {
        let (part, found) = (ConfigPart::Issuers, FaultOrigin::Tree);
        if wait {
            let why = "issuers that are new or changed wait for the policy tree to load".to_owned();
            self.telling.tell(part, found, cause.what, Some(why), &self.instruments);
        } else {
            self.telling.forget(part, found, &self.instruments);
        }
    }

    fn apply_tree(
        &mut self,
        catalog: Option<(Arc<Catalog>, String, Vec<ExposureSettings>)>,
        policy: Option<(Arc<Policy>, String)>,
        authn: Option<(Arc<Authenticator>, Vec<WrittenIssuer>)>,
        are_whole: bool,
        cause: Cause,
    ) {
        let live = self.engine.live();
        let mut snapshot = live.snapshot.clone();
        let mut upstreams = live.upstreams().clone();
        let mut assertions = live.assertions().cloned();
        if let Some((catalog, services_revision, exposed)) = catalog {
            self.judge_published(&catalog);
            // Held upstreams belong to the services in the configuration. If the tree was read for other ones, they wait on.
            let belong = says_same(&exposed, &self.config.services)
                && !self.telling.failing(FaultOrigin::Configuration).contains(&ConfigPart::Services);
            if let Some(held) = self.held.upstreams.take_if(|_| belong) {
                upstreams = Arc::new(held);
            }
            let configured = |name: &str| self.config.upstreams.iter().any(|upstream| upstream.name == name);
            if let Some(fewer) = upstreams.only(|name| configured(name) || catalog.leads_to(name)) {
                upstreams = Arc::new(fewer);
            }
            if std::mem::take(&mut self.held.assertions_end) {
                assertions = None;
            }
            (snapshot.catalog, snapshot.services_revision) = (catalog, services_revision);
            self.services = exposed;
        }
        let is_loaded = policy.is_some();
        if are_whole {
            snapshot.policy_of_methods = None;
        }
        if let Some((policy, revision)) = policy {
            if !are_whole {
                snapshot.policy_of_methods.get_or_insert_with(|| snapshot.policy.clone());
            }
            if revision == snapshot.revision {
                tracing::debug!(cause = cause.what, revision, "the policy is the same");
            } else {
                tracing::info!(
                    cause = cause.what,
                    from = snapshot.revision,
                    to = revision,
                    "policy reloaded"
                );
                self.instruments.policy_changed(clock::now());
            }
            (snapshot.policy, snapshot.revision) = (policy, revision);
        }
        let is_refreshed = authn.is_some();
        if let Some((authn, issuers)) = authn {
            snapshot.authn = authn;
            self.issuers = issuers;
        }
        if is_loaded {
            self.instruments.policy_loaded(&snapshot);
        }
        self.put(self.live(snapshot, upstreams, assertions), is_refreshed);
    }

    /// With the shadows in force.
    fn live(
        &self,
        snapshot: Snapshot,
        upstreams: Arc<Upstreams>,
        assertions: Option<Arc<Assertions>>,
    ) -> Live {
        let shadows = self.engine.live().shadows().shadows().clone();
        Live::new(snapshot, upstreams, assertions, shadows, self.engine.instruments())
    }

    /// Puts it in force, with keys that are kept fresh and endpoints that are checked.
    pub(super) fn put(&mut self, live: Live, is_refreshed: bool) {
        let before = self.engine.live();
        self.swap(live);
        let now = self.engine.live();
        if is_refreshed {
            let refresh = keep_fresh(&now.snapshot.authn);
            std::mem::replace(&mut self.refresh, refresh).abort();
        }
        if !Arc::ptr_eq(before.upstreams(), now.upstreams()) {
            // The checks of endpoints that are gone end with this.
            self.checks.turn_to(now.upstreams());
        }
    }

    fn tree_failed(&mut self, why: String) {
        let instruments = &self.instruments;
        instruments.policy_refused();
        self.telling.tell(ConfigPart::Policy, FaultOrigin::Tree, "deadline", Some(why), instruments);
    }

    /// Reports whether the gate's own keys are published, or its health is told, on a path of a method.
    fn judge_published(&self, catalog: &Catalog) {
        let (mut of_keys, mut of_health) = (Report::new(), Report::new());
        check_published(&self.config, catalog, &mut of_keys);
        check_health_paths(&self.config, catalog, &mut of_health);
        let instruments = &self.instruments;
        for (part, conflict) in [(ConfigPart::Assertion, of_keys), (ConfigPart::Tls, of_health)] {
            if conflict.is_fatal() {
                let why = Some(text(&conflict));
                self.telling.tell(part, FaultOrigin::Tree, "policy tree", why, instruments);
            } else {
                self.telling.forget(part, FaultOrigin::Tree, instruments);
            }
        }
    }

    /// Measures how long it took from a change until it was in force.
    pub(super) fn lagged(&self, part: ConfigPart, is_loaded: bool, cause: Cause) {
        if let Some(changed) = cause.changed.filter(|_| is_loaded) {
            let now = clock::now();
            self.instruments.part_lagged(part, changed, now);
            self.telling.lagged(part, now.duration_since(changed).unwrap_or_default());
        }
    }

    /// Measures the same where a reading that had begun before the change was noticed has put it in force.
    fn measure_afterwards(&mut self, part: ConfigPart, cause: Cause) {
        let Some(changed) = cause.changed else { return };
        if let Some(in_force) = self.unmeasured.remove(&part).filter(|in_force| *in_force >= changed) {
            self.instruments.part_lagged(part, changed, in_force);
            self.telling.lagged(part, in_force.duration_since(changed).unwrap_or_default());
        }
    }

    /// Takes the addresses that a name was found to have.
    pub(super) fn name_found(&mut self, is_other: bool) {
        if is_other {
            let live = self.engine.live();
            if self.held.upstreams.is_some() {
                self.held.upstreams = Some(self.upstreams(&live));
            }
            if let Some(upstreams) = live.upstreams().with_names(self.lookups.names()) {
                let snapshot = live.snapshot.clone();
                let assertions = live.assertions().cloned();
                self.put(self.live(snapshot, Arc::new(upstreams), assertions), false);
            }
        }
        self.tell_names("name looked up");
    }

    /// The upstreams of the configuration in force, with the addresses that are known now.
    fn upstreams(&self, live: &Live) -> Upstreams {
        Upstreams::new(&self.config.upstreams, self.lookups.names(), Some(&**live.upstreams()))
    }

    pub(super) fn tell_names(&mut self, cause: &str) {
        let failures = self.lookups.failures();
        let failures: Vec<String> =
            failures.map(|(name, why)| format!("`{name}` cannot be looked up: {why}")).collect();
        let fault = (!failures.is_empty()).then(|| {
            format!("{}\nthe addresses that were found the last time stay in use", failures.join("\n"))
        });
        self.telling.names(self.lookups.status());
        let (part, found) = (ConfigPart::Upstreams, FaultOrigin::Names);
        if self.lookups.status().is_empty() {
            // Nothing was attempted.
            self.telling.forget(part, found, &self.instruments);
        } else {
            self.telling.tell(part, found, cause, fault, &self.instruments);
        }
    }

    /// Notes when the certificates end that are shown to clients and to upstreams.
    pub(super) fn tell_certificates(&self) {
        let of_listeners = self.doors.iter().filter_map(|(_, tls)| tls.as_ref());
        let of_listeners = of_listeners.flat_map(|tls| tls.load().expiries().collect::<Vec<_>>());
        let of_upstreams =
            self.config.upstreams.iter().filter_map(|upstream| {
                upstream.tls.as_ref().and_then(|tls| tls.client.expiry(&upstream.name))
            });
        self.telling.certificates(of_listeners.chain(of_upstreams).collect());
    }

    fn swap(&mut self, live: Live) {
        let old = self.engine.swap(live);
        self.retired.push(old);
    }

    /// From here on, handshakes use the certificates in force, and requests on open connections are judged by the rules
    /// for clients in force. New or removed listeners need a restart; the TLS settings of listeners that stay are
    /// applied all the same.
    fn present(&self) {
        for (place, (address, tls)) in self.doors.iter().enumerate() {
            // Several listeners may take a free port: each is matched by its place.
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

/// The upstreams, with those that the catalogue in force still uses.
fn keeping(mut upstreams: Upstreams, live: &Live) -> Arc<Upstreams> {
    upstreams.keep(live.upstreams(), |name| live.snapshot.catalog.leads_to(name));
    Arc::new(upstreams)
}

/// Whether two lists of services say the same.
fn says_same(before: &[ExposureSettings], now: &[ExposureSettings]) -> bool {
    before.len() == now.len() && before.iter().zip(now).all(|(before, now)| before.says_same_as(now))
}
