//! The keys of one issuer as they are held: read by every request without a lock, replaced whole in the background.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwapOption, Guard};
use aws_lc_rs::digest;

use super::algorithm::Algorithm;
use super::jwks::{KeySet, KeySetError};
use super::refresh::SUCCESS;
use super::shown;

/// A key set and when it came.
pub(super) struct Fetched {
    /// The same as before where the document is: tokens that it verified stay verified.
    pub(super) keys: Arc<KeySet>,
    /// The number of the fetch that brought it; 0 from a file.
    pub(super) fetch: u64,
    at: SystemTime,
    /// SHA-256 of the document.
    digest: Vec<u8>,
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
    /// How old it is (`opgate_jwks_age_seconds`).
    pub age: Option<Duration>,
    /// Fetches by what came of them: `success`, or the cause (`opgate_jwks_refreshes_total`).
    pub refreshes: BTreeMap<&'static str, u64>,
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
    outcomes: Mutex<BTreeMap<&'static str, u64>>,
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
            // A series that begins at zero shows its first increase.
            outcomes: Mutex::new(BTreeMap::from([(SUCCESS, 0)])),
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

    /// The last set that came, however old.
    pub(super) fn latest(&self) -> Option<Arc<Fetched>> {
        self.current.load_full()
    }

    fn is_stale(&self, fetched: &Fetched, now: SystemTime) -> bool {
        self.max_stale.is_some_and(|max_stale| fetched.age(now) >= max_stale)
    }

    /// How old the set is, or `None` where there is none.
    pub(super) fn age(&self, now: SystemTime) -> Option<Duration> {
        self.current.load().as_ref().map(|fetched| fetched.age(now))
    }

    /// Takes the document of a fetch as the new set, unless no key of it can be used: then the old set stays.
    ///
    /// # Errors
    /// Why the document is not taken.
    pub(super) fn replace(&self, document: &[u8], fetch: u64, now: SystemTime) -> Result<(), KeySetError> {
        let digest = digest::digest(&digest::SHA256, document).as_ref().to_vec();
        let known = self.current.load_full();
        let keys = match &known {
            Some(known) if known.digest == digest => known.keys.clone(),
            _ => Arc::new(self.parse(document, known.as_deref())?),
        };
        self.current.store(Some(Arc::new(Fetched { keys, fetch, at: now, digest })));
        Ok(())
    }

    /// Reads a set, and tells the operator what it changes.
    fn parse(&self, document: &[u8], known: Option<&Fetched>) -> Result<KeySet, KeySetError> {
        let keys = KeySet::parse(document, &self.algorithms)?;
        let issuer = self.issuer.as_str();
        if known.is_none_or(|known| known.keys.problems() != keys.problems()) {
            keys.problems().iter().for_each(|problem| tracing::warn!(issuer, "{problem}"));
        }
        if let Some(known) = known {
            let (before, after) = (known.keys.kids(), keys.kids());
            let listed = |kids: &BTreeSet<&str>, others: &BTreeSet<&str>| {
                kids.difference(others).map(|kid| shown(kid)).collect::<Vec<_>>().join(", ")
            };
            let (added, removed) = (listed(&after, &before), listed(&before, &after));
            if !(added.is_empty() && removed.is_empty()) {
                tracing::info!(issuer, added, removed, "the issuer has changed its keys");
            }
        }
        Ok(keys)
    }

    /// Counts a fetch, and keeps why it failed until one does not.
    pub(super) fn count(&self, outcome: &'static str, error: Option<String>) {
        *self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).entry(outcome).or_default() += 1;
        self.last_error.store(error.map(Arc::new));
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
            age: held.as_ref().map(|fetched| fetched.age(now)),
            refreshes: self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).clone(),
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
