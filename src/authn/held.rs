//! The keys of one issuer as they are held: read by every request without a lock, replaced whole in the background.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwapOption, Guard};
use tokio::sync::Notify;

use super::algorithm::Algorithm;
use super::jwks::{KeySet, KeySetError};

/// A key set and when it came.
pub(super) struct Fetched {
    pub(super) keys: KeySet,
    at: SystemTime,
}

/// What an issuer's keys are at this moment, for metrics and `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySetStatus {
    /// The issuer's name.
    pub issuer: String,
    /// How many keys can be used; none once the set is too old (`opgate_jwks_keys`).
    pub keys: usize,
    /// When the set was read or fetched (`opgate_jwks_last_success_timestamp_seconds`).
    pub last_success: Option<SystemTime>,
    /// Fetches that brought a usable set (`opgate_jwks_refreshes_total`).
    pub refreshes_succeeded: u64,
    /// Fetches that did not.
    pub refreshes_failed: u64,
    /// Why the last fetch failed, until one succeeds.
    pub last_error: Option<String>,
    /// Keys that the set holds and that are not used, with the reason.
    pub problems: Vec<String>,
}

/// The keys of one issuer.
pub(super) struct HeldKeys {
    issuer: String,
    algorithms: Vec<Algorithm>,
    /// How long a set is used after it came; `None` for a file, which has no next fetch.
    max_stale: Option<Duration>,
    current: ArcSwapOption<Fetched>,
    last_error: ArcSwapOption<String>,
    succeeded: AtomicU64,
    failed: AtomicU64,
    /// Whether a request named a key that the set lacks, and nobody has looked since.
    wanted: AtomicBool,
    wanting: Notify,
}

impl HeldKeys {
    /// No keys yet.
    pub(super) fn new(issuer: String, algorithms: Vec<Algorithm>, max_stale: Option<Duration>) -> Self {
        Self {
            issuer,
            algorithms,
            max_stale,
            current: ArcSwapOption::empty(),
            last_error: ArcSwapOption::empty(),
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            wanted: AtomicBool::new(false),
            wanting: Notify::new(),
        }
    }

    /// The issuer's name.
    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The set in use, or `None` where there is none or it is too old. The age is judged here, by every reader, so
    /// that old keys end even if the task that refreshes them does not run.
    pub(super) fn current(&self, now: SystemTime) -> Option<Guard<Option<Arc<Fetched>>>> {
        let held = self.current.load();
        let usable = held.as_ref().is_some_and(|fetched| !self.is_stale(fetched, now));
        usable.then_some(held)
    }

    fn is_stale(&self, fetched: &Fetched, now: SystemTime) -> bool {
        self.max_stale.is_some_and(|max_stale| fetched.age(now) >= max_stale)
    }

    /// How old the set is, or `None` where there is none.
    pub(super) fn age(&self, now: SystemTime) -> Option<Duration> {
        self.current.load().as_ref().map(|fetched| fetched.age(now))
    }

    /// Takes a document as the new set, unless no key of it can be used: then the old set stays.
    ///
    /// # Errors
    /// Why the document is not taken.
    pub(super) fn replace(&self, document: &[u8], now: SystemTime) -> Result<(), KeySetError> {
        let keys = KeySet::parse(document, &self.algorithms)?;
        let known = self.current.load();
        let told = known.as_ref().is_some_and(|known| known.keys.problems() == keys.problems());
        for problem in keys.problems().iter().filter(|_| !told) {
            tracing::warn!(issuer = self.issuer, "{problem}");
        }
        self.current.store(Some(Arc::new(Fetched { keys, at: now })));
        Ok(())
    }

    /// Counts a fetch that brought a set.
    pub(super) fn succeeded(&self) {
        self.succeeded.fetch_add(1, Ordering::Relaxed);
        self.last_error.store(None);
    }

    /// Counts a fetch that did not, and keeps why.
    pub(super) fn failed(&self, error: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.last_error.store(Some(Arc::new(error)));
    }

    /// Asks for a fetch. On the request path: a load of one atomic, in a flood as well.
    pub(super) fn want(&self) {
        if !self.wanted.load(Ordering::Relaxed) && !self.wanted.swap(true, Ordering::Relaxed) {
            self.wanting.notify_one();
        }
    }

    /// Waits until a fetch is asked for.
    pub(super) async fn wanted(&self) {
        // A wake-up may be left over from a wish that a scheduled fetch has attended to since.
        loop {
            self.wanting.notified().await;
            if self.wanted.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// Notes that a fetch begins, which answers every wish so far.
    pub(super) fn attend(&self) {
        self.wanted.store(false, Ordering::Relaxed);
    }

    /// Why the issuer's tokens cannot be judged at this moment, or `None` where they can.
    pub(super) fn unreadiness(&self, now: SystemTime) -> Option<String> {
        if self.current(now).is_some() {
            return None;
        }
        let since = match self.age(now) {
            None => "no keys yet".to_owned(),
            Some(age) => format!("the keys are {} s old and no longer used", age.as_secs()),
        };
        Some(match self.last_error.load().as_deref() {
            Some(error) => format!("{since}: {error}"),
            None => since,
        })
    }

    /// A snapshot for metrics.
    pub(super) fn status(&self, now: SystemTime) -> KeySetStatus {
        let held = self.current.load();
        let usable = held.as_ref().filter(|fetched| !self.is_stale(fetched, now));
        KeySetStatus {
            issuer: self.issuer.clone(),
            keys: usable.map_or(0, |fetched| fetched.keys.len()),
            last_success: held.as_ref().map(|fetched| fetched.at),
            refreshes_succeeded: self.succeeded.load(Ordering::Relaxed),
            refreshes_failed: self.failed.load(Ordering::Relaxed),
            last_error: self.last_error.load().as_deref().cloned(),
            problems: held.as_ref().map_or_else(Vec::new, |fetched| fetched.keys.problems().to_vec()),
        }
    }
}

impl Fetched {
    /// A clock that was set back makes a set look younger, never older than it is: nothing is dropped for it.
    fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.at).unwrap_or_default()
    }
}
