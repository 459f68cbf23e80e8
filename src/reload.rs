//! New files, same process: each part is built beside the one in force, and put in its place whole, or not at all.
//!
//! SIGHUP asks for it, and so does a change on disk (`watch`). Policy, services, upstreams, issuers, TLS, assertions and
//! shadows are parts. A part that does not load keeps its last good state, is reported (the log, metrics by part, `/readyz`)
//! and is tried again with back-off. No part holds another back: the configuration and the policy tree are read on
//! threads of their own, names are looked up and keys are fetched beside, and a revocation waits for none of that.
//! Nothing happens on the request path; the old snapshot is dropped here once the last request has let go of it.

mod configuration;
mod fingerprint;
mod force;
mod instruments;
mod notifications;
mod reading;
mod shadow;
mod status;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch::Receiver;
use tokio::task::JoinHandle;

use self::configuration::{InForce, files};
pub use self::instruments::Instruments;
use self::reading::{BackgroundRead, Cause, DEADLINE, TRYING_AGAIN, aside};
pub use self::status::ReloadStatus;
use self::status::Telling;
use self::watch::{FileChange, Roots, Watch};
use crate::authn::{Authenticator, WrittenIssuer};
use crate::catalog::ExposureSettings;
use crate::clock;
use crate::config::snapshot::pools;
use crate::config::{Config, ConfigPart, ConfigSource};
use crate::decision::shadow::ShadowTree;
use crate::decision::snapshot::SnapshotTree;
use crate::diagnostic::{Report, Severity};
use crate::engine::{Engine, Live};
use crate::listener::ListenAddress;
use crate::policy::Pools;
use crate::service_manager;
use crate::source::PolicySource;
use crate::telemetry::LogFilter;
use crate::tls::ServerTls;
use crate::upstream::names::Lookups;
use crate::upstream::{Checks, Upstreams};

/// How long the policy tree waits for the configuration where both are to be read: the configuration says which
/// services there are.
const CONFIGURATION_FIRST: Duration = Duration::from_millis(200);

/// From one look at snapshots that requests may have let go of to the next.
const RELEASE_EVERY: Duration = Duration::from_millis(500);

/// Loads the parts anew on request.
pub struct Reloader {
    origin: ConfigSource,
    /// What the process was started with.
    started: Config,
    /// What is in force, as far as it is good.
    config: Config,
    /// The listeners that were opened, and the TLS settings of each.
    doors: Vec<(ListenAddress, Option<Arc<ArcSwap<ServerTls>>>)>,
    engine: Engine,
    instruments: Instruments,
    refresh: JoinHandle<()>,
    checks: Checks,
    lookups: Lookups,
    log: LogFilter,
    held: HeldParts,
    /// The issuers, services and policy directory that are in force; those of `config` may wait for the tree.
    issuers: Vec<WrittenIssuer>,
    services: Vec<ExposureSettings>,
    configuration: BackgroundRead<configuration::ReadConfiguration>,
    tree: BackgroundRead<TreeRead>,
    shadow: BackgroundRead<ShadowRead>,
    telling: Telling,
    /// Every pool that was known since the start.
    pools: Pools,
    /// When the files were read that are in force.
    read_at: SystemTime,
    /// Parts of the tree that a reading put in force which had begun before the change was noticed, and when.
    unmeasured: BTreeMap<ConfigPart, SystemTime>,
    /// Snapshots that requests may still hold.
    retired: Vec<Arc<Live>>,
    /// Whether a service manager waits for the end of a reload.
    is_asked_for: bool,
}

/// The parts of a configuration that wait for a tree that was read after it. Together with the old tree, they could
/// allow what neither the old files nor the new ones allow.
#[derive(Default)]
struct HeldParts {
    /// Issuers that are new or changed, for the policy.
    authn: Option<(Arc<Authenticator>, Vec<WrittenIssuer>)>,
    /// Upstreams, for the services that name them.
    upstreams: Option<Upstreams>,
    /// Whether signing ends once the next services are in force.
    assertions_end: bool,
    /// How many configurations were applied.
    applied: u64,
}

/// A tree, the services that it was read for, and how many configurations had been applied when its reading began.
struct TreeRead {
    tree: SnapshotTree,
    services: Vec<ExposureSettings>,
    applied: u64,
}

/// What was read of the directory of each shadow, and the report on it.
struct ShadowRead(Vec<(PathBuf, Option<ShadowTree>, Report)>);

/// What a reloader begins with.
pub struct Started {
    /// Where the configuration comes from.
    pub origin: ConfigSource,
    /// Its value, as written.
    pub config: Config,
    /// When it was read.
    pub read_at: SystemTime,
    /// The TLS settings of each listener.
    pub tls: Vec<Option<Arc<ArcSwap<ServerTls>>>>,
    /// The names of upstreams.
    pub lookups: Lookups,
    /// Changes the operator's log.
    pub log: LogFilter,
}

impl Reloader {
    /// A reloader for a gate that serves by what it was started with. Starts to fetch keys, to keep them fresh and to check
    /// the endpoints.
    pub fn new(started: Started, engine: Engine, instruments: Instruments) -> Self {
        let Started { origin, config, read_at, tls, lookups, log } = started;
        let refresh = keep_fresh(&engine.live().snapshot.authn);
        let mut checks = Checks::default();
        checks.turn_to(engine.live().upstreams());
        let doors = config.listeners.iter().map(|listener| listener.address.clone()).zip(tls).collect();
        instruments.parts_loaded(clock::now());
        let pools = pools(&config);
        let mut reloader = Self {
            origin,
            started: config.clone(),
            config: config.clone(),
            doors,
            engine,
            instruments,
            refresh,
            checks,
            lookups,
            log,
            held: HeldParts::default(),
            issuers: config.issuers.clone(),
            services: config.services.clone(),
            configuration: BackgroundRead::new("opgate-config", DEADLINE),
            tree: BackgroundRead::new("opgate-policy", DEADLINE),
            shadow: BackgroundRead::new("opgate-shadow", DEADLINE),
            telling: Telling::default(),
            pools,
            read_at,
            unmeasured: BTreeMap::new(),
            retired: Vec::new(),
            is_asked_for: false,
        };
        reloader.tell_names("start");
        reloader.tell_certificates();
        reloader.want_shadow(Cause { what: "start", is_retry: false, changed: None });
        reloader
    }

    /// Why parts are not as the files say.
    pub fn status(&self) -> Arc<ArcSwap<ReloadStatus>> {
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
        let mut of_shadow = Watch::begin("shadow", self.shadow_roots());
        loop {
            self.begin_what_is_due();
            let wake = self.wake();
            tokio::select! {
                _ = hangup.recv() => {
                    self.engine.audit().reopen();
                    self.want("SIGHUP");
                    service_manager::reloads();
                    self.is_asked_for = true;
                }
                change = of_configuration.changed() => {
                    self.configuration.want(changed(change));
                }
                change = of_tree.changed() => {
                    self.tree.want(changed(change));
                }
                change = of_shadow.changed() => self.want_shadow(changed(change)),
                ended = self.configuration.ended() => {
                    self.configuration_ended(ended);
                    of_configuration.turn_to(self.configuration_roots());
                    of_tree.turn_to(self.tree_roots());
                    of_shadow.turn_to(self.shadow_roots());
                }
                ended = self.tree.ended() => self.tree_ended(ended),
                ended = self.shadow.ended() => self.shadow_ended(ended),
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
            if self.is_asked_for && self.configuration.is_idle() && self.tree.is_idle() {
                self.is_asked_for = false;
                service_manager::has_reloaded();
            }
        }
    }

    fn want(&mut self, what: &'static str) {
        let cause = Cause { what, is_retry: false, changed: None };
        self.configuration.want(cause);
        self.tree.want(cause);
        self.want_shadow(cause);
    }

    fn begin_what_is_due(&mut self) {
        let now = Instant::now();
        let retry = Cause { what: TRYING_AGAIN, is_retry: true, changed: None };
        if self.configuration.back_off.is_due(now) {
            self.configuration.want(retry);
        }
        if self.tree.back_off.is_due(now) {
            self.tree.want(retry);
        }
        if self.shadow.back_off.is_due(now) {
            self.want_shadow(retry);
        }
        self.begin_shadow();
        self.lookups.begin_due(now);
        if self.configuration.may_begin() {
            let (origin, in_force) = (self.origin.clone(), self.in_force());
            self.read_at = clock::now();
            self.configuration.begin(move || configuration::read(&origin, &in_force));
        }
        let waits = self.configuration.since().is_some_and(|since| now < since + CONFIGURATION_FIRST);
        if !waits && self.tree.may_begin() {
            let source = PolicySource::directory(&self.config.policy_directory);
            let services = self.config.services.clone();
            let (pools, catalog) = (self.pools.clone(), self.engine.live().snapshot.catalog.clone());
            let applied = self.held.applied;
            self.tree.begin(move || {
                let tree = SnapshotTree::read(&source, &services, &pools, Some(&catalog));
                TreeRead { tree, services, applied }
            });
        }
    }

    /// When there is something to do next, if nothing else happens.
    fn wake(&self) -> Instant {
        let now = Instant::now();
        let release = if self.retired.is_empty() { Duration::from_secs(60) } else { RELEASE_EVERY };
        let first = self.configuration.since().filter(|_| self.tree.is_wanted());
        let first = first.map(|since| since + CONFIGURATION_FIRST).filter(|due| *due > now);
        let retries = [
            self.configuration.back_off.next(),
            self.tree.back_off.next(),
            self.shadow.back_off.next(),
            self.lookups.next(),
            first,
        ];
        retries.into_iter().flatten().fold(now + release, Instant::min)
    }

    fn in_force(&self) -> InForce {
        InForce {
            config: self.config.clone(),
            issuers: self.issuers.clone(),
            live: self.engine.live(),
            names: self.lookups.names().clone(),
        }
    }

    fn configuration_roots(&self) -> Roots {
        Roots { paths: files(&self.origin, &self.config), read_at: self.read_at }
    }

    fn tree_roots(&self) -> Roots {
        Roots { paths: vec![self.config.policy_directory.clone()], read_at: self.read_at }
    }
}

fn changed(change: FileChange) -> Cause {
    Cause { what: "files changed", is_retry: false, changed: change.at }
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
