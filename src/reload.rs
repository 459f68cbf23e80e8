//! New files, same process: a snapshot is built beside the one in force and swapped whole, or not at all.
//!
//! SIGHUP asks for it, and so does a change on disk. A tree that does not load keeps the old snapshot in force; the
//! operator's log says why, `opgate_policy_last_reload_successful` drops to 0 and `/readyz` tells it. Nothing of this
//! happens on the request path: files are read on a blocking thread, keys are fetched before the swap, and the old
//! snapshot is dropped here once the last request has let go of it.
//!
//! Changes are found by looking (`fingerprint`) rather than by notifications: those of a Kubernetes ConfigMap, whose
//! files are swapped by renaming a symlink two folders up, and those on a network file system do not arrive reliably.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::assertion::Assertions;
use crate::authn::Authenticator;
use crate::clock;
use crate::config::{Config, Origin};
use crate::diagnostic::{Report, Severity};
use crate::proxy::{Live, Proxy};
use crate::snapshot::Snapshot;
use crate::tls::ServerTls;
use crate::upstream::{Checks, Upstreams};

/// From one look at the files to the next. A change is loaded once two looks agree about it, so that a tree that is
/// still being written is not read.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Rebuilds the snapshot when it is asked to.
pub struct Reloader {
    origin: Origin,
    /// The files and trees that the snapshot in force was made of.
    roots: Vec<PathBuf>,
    /// The listeners that were opened, and what each speaks TLS with.
    doors: Vec<(SocketAddr, Option<Arc<ArcSwap<ServerTls>>>)>,
    proxy: Proxy,
    refresh: JoinHandle<()>,
    checks: Checks,
    last_failure: Arc<ArcSwapOption<String>>,
    /// Snapshots that requests may still hold.
    retired: Vec<Arc<Live>>,
}

impl Reloader {
    /// A reloader for a gate that serves by the configuration of `origin`. Starts to keep the keys fresh and
    /// to check the endpoints.
    pub fn new(
        origin: Origin,
        config: &Config,
        tls: Vec<Option<Arc<ArcSwap<ServerTls>>>>,
        proxy: Proxy,
    ) -> Self {
        let refresh = keep_fresh(&proxy.live().snapshot.authn);
        let checks = proxy.live().upstreams().check();
        let roots = roots(&origin, config);
        let doors = config.listeners.iter().map(|listener| listener.address).zip(tls).collect();
        Self {
            origin,
            roots,
            doors,
            proxy,
            refresh,
            checks,
            last_failure: Arc::default(),
            retired: Vec::new(),
        }
    }

    /// Why the last reload was refused, while the files are still those.
    pub fn last_failure(&self) -> Arc<ArcSwapOption<String>> {
        self.last_failure.clone()
    }

    /// Serves SIGHUP and changes on disk until `shutdown` turns true.
    ///
    /// # Errors
    /// Where the signal cannot be listened to.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>) -> std::io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut loaded = self.look().await;
        let mut seen = loaded.clone();
        loop {
            tokio::select! {
                _ = hangup.recv() => {
                    loaded = self.look().await;
                    seen = loaded.clone();
                    self.reload("SIGHUP").await;
                }
                _ = looks.tick() => {
                    let now = self.look().await;
                    if now != loaded && now == seen {
                        loaded = now;
                        self.reload("files changed").await;
                    } else {
                        seen = now;
                    }
                    self.release();
                }
                changed = shutdown.changed() => {
                    if changed.is_err() || *shutdown.borrow() {
                        self.refresh.abort();
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn look(&self) -> Fingerprint {
        let roots = self.roots.clone();
        let looked = tokio::task::spawn_blocking(move || fingerprint(&roots)).await;
        looked.unwrap_or_default()
    }

    async fn reload(&mut self, cause: &str) {
        let origin = self.origin.clone();
        let previous = self.proxy.live();
        let built = tokio::task::spawn_blocking(move || build(&origin, &previous)).await;
        let built = built.unwrap_or_else(|error| Err(format!("the reload broke off: {error}")));
        match built {
            Ok(Built { config, snapshot, upstreams, assertions }) => {
                snapshot.authn.load_keys().await;
                let revision = snapshot.revision.clone();
                self.roots = roots(&self.origin, &config);
                self.proxy.metrics().policy_loaded(&snapshot, clock::now());
                let refresh = keep_fresh(&snapshot.authn);
                std::mem::replace(&mut self.refresh, refresh).abort();
                let live = Live::new(snapshot, upstreams, assertions, self.proxy.metrics());
                let old = self.proxy.swap(live);
                // Those of the old set end with this.
                self.checks = self.proxy.live().upstreams().check();
                self.present(&config);
                self.last_failure.store(None);
                tracing::info!(cause, from = old.snapshot.revision, to = revision, "policy reloaded");
                self.retired.push(old);
            }
            Err(why) => {
                self.proxy.metrics().policy_refused();
                tracing::error!(cause, "the files are not loaded, the old ones stay in force:\n{why}");
                self.last_failure.store(Some(Arc::new(why)));
            }
        }
    }

    /// Lets the next handshakes be done with the certificates of `config`, and requests on connections that are open be
    /// judged by its rules for clients. The listeners themselves take a restart: of those, what fits is taken all the same.
    fn present(&self, config: &Config) {
        let opened = self.doors.iter().map(|(address, tls)| (*address, tls.is_some()));
        let wanted = config.listeners.iter().map(|listener| (listener.address, listener.tls.is_some()));
        if !opened.eq(wanted) {
            tracing::warn!(
                "the listeners are others than those that are open: that takes an upgrade or a restart"
            );
        }
        for (address, tls) in &self.doors {
            let new = config.listeners.iter().find(|listener| listener.address == *address);
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
            tokio::task::spawn_blocking(move || drop(free));
        }
    }
}

/// What the files make now.
struct Built {
    config: Config,
    snapshot: Snapshot,
    upstreams: Upstreams,
    assertions: Option<Arc<Assertions>>,
}

/// What [`Config`] and [`Snapshot`] make of the files now, or every mistake as text.
fn build(origin: &Origin, previous: &Live) -> Result<Built, String> {
    let mut report = Report::new();
    let config = origin.load(&mut report);
    let authn = &previous.snapshot.authn;
    let snapshot =
        config.as_ref().and_then(|config| Snapshot::load(config, clock::now(), Some(authn), &mut report));
    match (config, snapshot) {
        (Some(config), Some(snapshot)) if !report.is_fatal() => {
            let upstreams = Upstreams::new(&config.upstreams, Some(previous.upstreams()));
            let assertions = config.assertion.as_ref();
            let assertions = assertions.map(|settings| Assertions::new(settings, previous.assertions()));
            let assertions = assertions.transpose().map_err(|error| format!("`assertion`: {error}"))?;
            Ok(Built { config, snapshot, upstreams, assertions })
        }
        _ => Err(format!("{}{} errors", report.render(false), report.count(Severity::Error))),
    }
}

fn roots(origin: &Origin, config: &Config) -> Vec<PathBuf> {
    let mut roots = vec![origin.path.clone(), config.policy_directory.clone()];
    roots
        .extend(config.listeners.iter().flat_map(|listener| &listener.tls).flat_map(|tls| tls.files.clone()));
    roots
        .extend(config.upstreams.iter().flat_map(|upstream| &upstream.tls).flat_map(|tls| tls.files.clone()));
    roots.extend(config.assertion.iter().flat_map(|assertion| assertion.files.clone()));
    for issuer in &config.issuers {
        roots.extend(issuer.settings.files().into_iter().map(Path::to_owned));
    }
    roots
}

fn keep_fresh(authn: &Arc<Authenticator>) -> JoinHandle<()> {
    tokio::spawn(authn.clone().run_refresh(std::future::pending()))
}

/// What can be told of files without reading them: of each, what its path leads to, its length and its times.
type Fingerprint = BTreeMap<PathBuf, Option<(PathBuf, u64, SystemTime)>>;

/// The fingerprint of files and trees. A path that leads nowhere is part of it.
fn fingerprint(roots: &[PathBuf]) -> Fingerprint {
    let mut files = Fingerprint::new();
    let mut entered = BTreeSet::new();
    let mut pending = roots.to_vec();
    while let Some(path) = pending.pop() {
        match std::fs::read_dir(&path) {
            // Once each: a symlink may lead back up.
            Ok(entries) if path.canonicalize().is_ok_and(|real| entered.insert(real)) => {
                pending.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
            }
            _ => {
                let known = std::fs::metadata(&path)
                    .and_then(|metadata| Ok((path.canonicalize()?, metadata.len(), metadata.modified()?)));
                files.insert(path, known.ok());
            }
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symlink_that_leads_back_up_ends_the_look() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(".", directory.path().join("here")).unwrap();
        fingerprint(&[directory.path().join("here")]);
    }

    #[test]
    fn a_fingerprint_sees_edits_additions_and_a_swapped_symlink() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for version in ["v1", "v2"] {
            std::fs::create_dir(root.join(version)).unwrap();
            std::fs::write(root.join(version).join("a.yaml"), "same length").unwrap();
        }
        std::os::unix::fs::symlink("v1", root.join("current")).unwrap();
        let current = root.join("current");
        let look = || fingerprint(std::slice::from_ref(&current));
        let first = look();
        assert_eq!(look(), first);

        // As a ConfigMap is updated: a new symlink, renamed over the old one.
        std::os::unix::fs::symlink("v2", root.join("next")).unwrap();
        std::fs::rename(root.join("next"), &current).unwrap();
        let second = look();
        assert_ne!(second, first);

        std::fs::write(root.join("v2/b.yaml"), "x").unwrap();
        let third = look();
        assert_ne!(third, second);
        std::fs::remove_dir_all(root.join("v2")).unwrap();
        assert_ne!(look(), third);
    }
}
