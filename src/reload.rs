//! New files, same process: each part is built beside the one in force, and put in its place whole, or not at all.
//!
//! SIGHUP asks for it, and so does a change on disk ([`watch`]). Policy, services, upstreams, issuers, TLS and assertions are
//! parts: one that does not load keeps its last good state, is told of (the log, metrics by part, `/readyz`) and is tried again
//! with back-off. None holds another back: the configuration and the policy tree are read on threads of their own, names are
//! looked up and keys are fetched beside, and a revocation waits for none of that. Nothing happens on the request path; the old
//! snapshot is dropped here once the last request has let go of it.

mod configuration;
mod fingerprint;
mod notifications;
mod reading;
mod status;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch::Receiver;
use tokio::task::JoinHandle;

use self::configuration::{InForce, files, text, waiting_for_restart};
use self::reading::{BackOff, Cause, DEADLINE, Ended, Reading, aside};
pub use self::status::Status;
use self::status::{Found, Telling};
use self::watch::{Roots, Watch};
use crate::authn::Authenticator;
use crate::clock;
use crate::config::{Config, Origin, Part, Telemetry};
use crate::diagnostic::{Report, Severity};
use crate::policy::Pools;
use crate::proxy::{Live, Proxy};
use crate::snapshot::{Snapshot, Tree, check_published, pools};
use crate::tls::ServerTls;
use crate::upstream::names::Lookups;
use crate::upstream::{Checks, Upstreams};

/// How long the policy tree waits for the configuration where both are to be read: it says which services there are.
const CONFIGURATION_FIRST: Duration = Duration::from_millis(200);

/// From one look at snapshots that requests may have let go of to the next.
const RELEASE_EVERY: Duration = Duration::from_millis(500);

/// Loads the parts anew when that is asked for.
pub struct Reloader {
    origin: Origin,
    /// What the process was started with.
    started: Config,
    /// What is in force, as far as it is good.
    config: Config,
    /// The listeners that were opened, and what each speaks TLS with.
    doors: Vec<(SocketAddr, Option<Arc<ArcSwap<ServerTls>>>)>,
    proxy: Proxy,
    refresh: JoinHandle<()>,
    checks: Checks,
    lookups: Lookups,
    lookups_again: BackOff,
    log: SetLog,
    configuration: Reading<configuration::Read>,
    tree: Reading<Tree>,
    telling: Telling,
    /// Every pool that was known since the start.
    pools: Pools,
    /// When the files were read that are in force.
    read_at: SystemTime,
    /// Snapshots that requests may still hold.
    retired: Vec<Arc<Live>>,
}

/// What a reloader begins with.
pub struct Started {
    /// Where the configuration comes from.
    pub origin: Origin,
    /// What it said, as written.
    pub config: Config,
    /// When it was read.
    pub read_at: SystemTime,
    /// What each listener speaks TLS with.
    pub tls: Vec<Option<Arc<ArcSwap<ServerTls>>>>,
    /// The names of upstreams.
    pub lookups: Lookups,
    /// What changes the operator's log.
    pub log: SetLog,
}

/// Has the operator's log say what the settings ask for.
pub type SetLog = Box<dyn Fn(&Telemetry) + Send + Sync>;

impl Reloader {
    /// A reloader for a gate that serves by what it was started with. Starts to fetch keys, to keep them fresh and to check
    /// the endpoints.
    pub fn new(started: Started, proxy: Proxy) -> Self {
        let Started { origin, config, read_at, tls, lookups, log } = started;
        let refresh = keep_fresh(&proxy.live().snapshot.authn);
        let checks = proxy.live().upstreams().check();
        let doors = config.listeners.iter().map(|listener| listener.address).zip(tls).collect();
        proxy.metrics().parts_loaded(clock::now());
        let pools = pools(&config);
        let mut reloader = Self {
            origin,
            started: config.clone(),
            config,
            doors,
            proxy,
            refresh,
            checks,
            lookups,
            lookups_again: BackOff::default(),
            log,
            configuration: Reading::new("opgate-config", DEADLINE),
            tree: Reading::new("opgate-policy", DEADLINE),
            telling: Telling::default(),
            pools,
            read_at,
            retired: Vec::new(),
        };
        reloader.tell_names("start");
        reloader
    }

    /// What keeps parts from being as the files say.
    pub fn status(&self) -> Arc<ArcSwap<Status>> {
        self.telling.shared()
    }

    /// Serves SIGHUP and changes on disk until `shutdown` turns true.
    ///
    /// # Errors
    /// Where the signal cannot be listened to.
    pub async fn run(mut self, mut shutdown: Receiver<bool>) -> std::io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut of_configuration = Watch::begin("configuration", self.configuration_roots());
        let mut of_tree = Watch::begin("policy", self.tree_roots());
        loop {
            self.begin_what_is_due();
            let wake = self.wake();
            tokio::select! {
                _ = hangup.recv() => self.want("SIGHUP"),
                change = of_configuration.changed() => {
                    self.configuration.want(Cause { what: "files changed", changed: Some(change.at) });
                }
                change = of_tree.changed() => {
                    self.tree.want(Cause { what: "files changed", changed: Some(change.at) });
                }
                ended = self.configuration.ended() => {
                    self.configuration_ended(ended);
                    of_configuration.turn_to(self.configuration_roots());
                    of_tree.turn_to(self.tree_roots());
                }
                ended = self.tree.ended() => self.tree_ended(ended),
                is_other = self.lookups.found() => self.name_found(is_other),
                () = tokio::time::sleep_until(wake.into()) => {}
                changed = shutdown.changed() => {
                    if changed.is_err() || *shutdown.borrow() {
                        self.refresh.abort();
                        return Ok(());
                    }
                }
            }
            self.release();
        }
    }

    fn want(&mut self, what: &'static str) {
        let cause = Cause { what, changed: None };
        self.configuration.want(cause);
        self.tree.want(cause);
    }

    fn begin_what_is_due(&mut self) {
        let now = Instant::now();
        let retry = Cause { what: "trying again", changed: None };
        if self.configuration.back_off.is_due(now) {
            self.configuration.want(retry);
        }
        if self.tree.back_off.is_due(now) {
            self.tree.want(retry);
        }
        if self.lookups_again.is_due(now) {
            self.lookups.look_up_again();
        }
        if self.configuration.may_begin() {
            let (origin, in_force) = (self.origin.clone(), self.in_force());
            self.read_at = clock::now();
            self.configuration.begin(move || configuration::read(&origin, &in_force));
        }
        let waits = self.configuration.since().is_some_and(|since| now < since + CONFIGURATION_FIRST);
        if !waits && self.tree.may_begin() {
            let (directory, services) = (self.config.policy_directory.clone(), self.config.services.clone());
            let (pools, catalog) = (self.pools.clone(), self.proxy.live().snapshot.catalog.clone());
            self.tree.begin(move || Tree::read(&directory, &services, &pools, Some(&catalog)));
        }
    }

    /// When there is something to do, if nothing else happens.
    fn wake(&self) -> Instant {
        let now = Instant::now();
        let release = if self.retired.is_empty() { Duration::from_secs(60) } else { RELEASE_EVERY };
        let first = self.configuration.since().filter(|_| self.tree.is_wanted());
        let first = first.map(|since| since + CONFIGURATION_FIRST).filter(|due| *due > now);
        let retries =
            [self.configuration.back_off.next(), self.tree.back_off.next(), self.lookups_again.next(), first];
        retries.into_iter().flatten().fold(now + release, Instant::min)
    }

    fn in_force(&self) -> InForce {
        InForce { config: self.config.clone(), live: self.proxy.live(), names: self.lookups.names().clone() }
    }

    fn configuration_roots(&self) -> Roots {
        Roots { paths: files(&self.origin, &self.config), read_at: self.read_at }
    }

    fn tree_roots(&self) -> Roots {
        Roots { paths: vec![self.config.policy_directory.clone()], read_at: self.read_at }
    }

    fn configuration_ended(&mut self, ended: Ended<configuration::Read>) {
        let (cause, read) = match ended {
            Ended::Read(cause, read) => (cause, read),
            Ended::Overdue => return self.configuration_failed(overdue("the configuration")),
            Ended::Broken => return self.configuration_failed("the reading broke off".to_owned()),
        };
        warn(&read.warnings, cause.what);
        let read = self.apply(read, cause);
        for part in Part::ALL {
            let fault = read.fault(part);
            // The policy tree says of itself whether it is loaded; here it is only said where it lies.
            if part == Part::Policy && fault.is_none() {
                self.telling.forget(part, Found::Configuration);
            } else if read.is_whole || fault.is_some() {
                let is_loaded = fault.is_none();
                self.telling.tell(part, Found::Configuration, cause.what, fault, self.proxy.metrics());
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
        self.configuration.back_off.fail(Instant::now());
        let metrics = self.proxy.metrics();
        self.telling.tell(Part::Configuration, Found::Configuration, "deadline", Some(why), metrics);
    }

    /// Puts what was good of a configuration in force.
    fn apply(&mut self, mut read: configuration::Read, cause: Cause) -> configuration::Read {
        let config = read.config.clone();
        let (authn, upstreams, assertions) =
            (read.authn.take(), read.upstreams.take(), read.assertions.take());
        let before = std::mem::replace(&mut self.config, config);
        let live = self.proxy.live();
        let is_refreshed = authn.is_some();
        let is_redirected = upstreams.is_some();
        let authn = authn.map_or_else(|| live.snapshot.authn.clone(), Arc::new);
        let upstreams = upstreams.map_or_else(|| live.upstreams().clone(), Arc::new);
        let assertions = assertions.unwrap_or_else(|| live.assertions().cloned());
        let snapshot = Snapshot { authn, ..live.snapshot.clone() };
        self.swap(Live::new(snapshot, upstreams, assertions, self.proxy.metrics()));
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
        self.present();
        self.proxy.trust(&self.config.trusted_proxies);
        if before.telemetry.log != self.config.telemetry.log {
            tracing::info!(filter = self.config.telemetry.log, "the log says other things now");
            (self.log)(&self.config.telemetry);
        }
        self.telling.restart(waiting_for_restart(&self.started, &self.config));
        let same = before.policy_directory == self.config.policy_directory
            && before.services.len() == self.config.services.len()
            && before
                .services
                .iter()
                .zip(&self.config.services)
                .all(|(before, now)| before.says_same_as(now));
        let mut pools = pools(&self.config);
        pools.remember(&self.pools);
        self.pools = pools;
        // What failed may hold now: it may name what is configured by now.
        if !same || self.tree.back_off.next().is_some() {
            self.tree.want(cause);
        }
        tracing::info!(cause = cause.what, "configuration read");
        read
    }

    fn tree_ended(&mut self, ended: Ended<Tree>) {
        let (cause, tree) = match ended {
            Ended::Read(cause, tree) => (cause, tree),
            Ended::Overdue => return self.tree_failed(overdue("the policy tree")),
            Ended::Broken => return self.tree_failed("the reading broke off".to_owned()),
        };
        let Tree { catalog, services, policy, policies } = tree;
        let metrics = self.proxy.metrics().clone();
        for (part, report, is_good) in
            [(Part::Services, &services, catalog.is_some()), (Part::Policy, &policies, policy.is_some())]
        {
            warn(report, cause.what);
            // A tree that could not be read as a whole has no services either, and one text is enough.
            let fault = (!is_good).then(|| match report.is_fatal() {
                true => text(report),
                false => "the policy tree could not be read".to_owned(),
            });
            self.telling.tell(part, Found::Tree, cause.what, fault, &metrics);
        }
        if catalog.is_some() && policy.is_some() {
            self.tree.back_off.succeed();
        } else {
            self.tree.back_off.fail(Instant::now());
        }
        let live = self.proxy.live();
        let mut snapshot = live.snapshot.clone();
        let is_new = [(Part::Services, catalog.is_some()), (Part::Policy, policy.is_some())];
        if let Some(catalog) = catalog {
            let mut conflict = Report::new();
            check_published(&self.config, &catalog, &mut conflict);
            let conflict = conflict.is_fatal().then(|| text(&conflict));
            self.telling.tell(Part::Assertion, Found::Tree, cause.what, conflict, &metrics);
            snapshot.catalog = catalog;
        }
        if let Some((policy, revision)) = policy {
            tracing::info!(cause = cause.what, from = snapshot.revision, to = revision, "policy reloaded");
            (snapshot.policy, snapshot.revision) = (policy, revision);
            metrics.policy_loaded(&snapshot, clock::now());
        } else {
            metrics.policy_refused();
        }
        let live = Live::new(snapshot, live.upstreams().clone(), live.assertions().cloned(), &metrics);
        self.swap(live);
        for (part, is_new) in is_new {
            self.lagged(part, is_new, cause);
        }
    }

    /// Measures how long it took from a change until it was in force.
    fn lagged(&self, part: Part, is_loaded: bool, cause: Cause) {
        if let Some(changed) = cause.changed.filter(|_| is_loaded) {
            self.proxy.metrics().part_lagged(part, changed, clock::now());
        }
    }

    fn tree_failed(&mut self, why: String) {
        self.tree.back_off.fail(Instant::now());
        let metrics = self.proxy.metrics();
        metrics.policy_refused();
        self.telling.tell(Part::Policy, Found::Tree, "deadline", Some(why), metrics);
    }

    /// Takes what a name was found to stand for.
    fn name_found(&mut self, is_other: bool) {
        if is_other {
            let live = self.proxy.live();
            let upstreams =
                Upstreams::new(&self.config.upstreams, self.lookups.names(), Some(&**live.upstreams()));
            let snapshot = live.snapshot.clone();
            let metrics = self.proxy.metrics();
            self.swap(Live::new(snapshot, Arc::new(upstreams), live.assertions().cloned(), metrics));
            self.checks = self.proxy.live().upstreams().check();
        }
        self.tell_names("name looked up");
    }

    fn tell_names(&mut self, cause: &str) {
        let failures: Vec<String> = self
            .lookups
            .failures()
            .iter()
            .map(|(name, why)| format!("`{name}` cannot be looked up: {why}"))
            .collect();
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
    fn release(&mut self) {
        let (held, free) = self.retired.drain(..).partition(|live| Arc::strong_count(live) > 1);
        self.retired = held;
        if !Vec::is_empty(&free) {
            tokio::spawn(aside("opgate-release", move || drop(free)));
        }
    }
}

fn warn(report: &Report, cause: &str) {
    if !report.is_fatal() && report.count(Severity::Warning) > 0 {
        tracing::warn!(cause, "loaded, with warnings:\n{}", report.render(false));
    }
}

fn overdue(what: &str) -> String {
    format!("reading {what} takes longer than {DEADLINE:?}: does its file system answer?")
}

/// Fetches the keys that are missing, and keeps all fresh.
fn keep_fresh(authn: &Arc<Authenticator>) -> JoinHandle<()> {
    let authn = authn.clone();
    tokio::spawn(async move {
        tokio::join!(authn.load_keys(), authn.clone().run_refresh(std::future::pending()));
    })
}
