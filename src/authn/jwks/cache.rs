//! The keys of one issuer in memory: read by every request without a lock, replaced whole in the background.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::{ArcSwapOption, Guard};
use aws_lc_rs::digest;

use crate::authn::algorithm::Algorithm;
use crate::authn::denial::shown;
use crate::authn::jwks::jwk::KeyRules;
use crate::authn::jwks::{KeySet, KeySetError};

/// The label of a successful fetch in metrics; a failed one has the error's.
pub(in crate::authn) const SUCCESS: &str = "success";

/// A key set and when it came.
pub(in crate::authn) struct FetchedKeySet {
    /// The same value as before where the document is the same: tokens that it verified stay verified.
    pub(in crate::authn) keys: Arc<KeySet>,
    /// The number of the fetch that brought it; 0 from a file.
    pub(in crate::authn) fetch: u64,
    at: SystemTime,
    /// The same moment on the monotonic clock.
    since: Instant,
    document: Arc<[u8]>,
    /// SHA-256 of the document.
    digest: Vec<u8>,
}

/// The state of an issuer's keys, for metrics and `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySetStatus {
    /// The issuer's name.
    pub issuer: String,
    /// How many keys can be used; none once the set is too old (`opgate_jwks_keys`).
    pub keys: usize,
    /// When the set was read or fetched (`opgate_jwks_last_success_timestamp_seconds`).
    pub last_success: Option<SystemTime>,
    /// How old it is.
    pub age: Option<Duration>,
    /// When it ends (`opgate_jwks_expiry_timestamp_seconds`).
    pub expiry: KeyExpiry,
    /// Fetches by outcome: `success`, or the cause (`opgate_jwks_refreshes_total`).
    pub refreshes: BTreeMap<&'static str, u64>,
    /// Why the last fetch failed, until one succeeds.
    pub last_error: Option<String>,
    /// Keys that the set holds and that are not used, with the reason.
    pub problems: Vec<String>,
    /// Keys of the set that are for another purpose, with the reason.
    pub skipped: Vec<String>,
}

/// When the keys that are held end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyExpiry {
    /// None were ever held.
    None,
    /// At this time, unless a fetch succeeds before.
    At(SystemTime),
    /// They are of a file.
    Never,
}

/// How long before a set ends its issuer is asked for another one, whatever the schedule says; a tenth of its time,
/// where that is less.
const NEAR_THE_END: Duration = Duration::from_secs(60);

/// The keys of one issuer, under the settings in force.
pub(in crate::authn) struct JwksCache {
    issuer: String,
    algorithms: Vec<Algorithm>,
    jwt_svids: bool,
    /// How long a set is used after it came; `None` for a file, which has no next fetch.
    max_stale: Option<Duration>,
    state: Arc<CacheState>,
}

/// The outcomes of fetches. Outlives reloads.
struct CacheState {
    current: ArcSwapOption<FetchedKeySet>,
    /// Whether the last set that came had no key that can be used.
    emptied: AtomicBool,
    last_error: ArcSwapOption<String>,
    outcomes: Mutex<BTreeMap<&'static str, u64>>,
}

impl JwksCache {
    /// No keys yet.
    pub(in crate::authn) fn new(
        issuer: String,
        algorithms: Vec<Algorithm>,
        max_stale: Option<Duration>,
    ) -> Self {
        Self {
            issuer,
            algorithms,
            jwt_svids: false,
            max_stale,
            state: Arc::new(CacheState {
                current: ArcSwapOption::empty(),
                emptied: AtomicBool::new(false),
                last_error: ArcSwapOption::empty(),
                // A series that begins at zero shows its first increase.
                outcomes: Mutex::new(BTreeMap::from([(SUCCESS, 0)])),
            }),
        }
    }

    /// The same, where keys for JWT-SVIDs are signature keys.
    pub(in crate::authn) fn of_svids(self, jwt_svids: bool) -> Self {
        Self { jwt_svids, ..self }
    }

    fn rules(&self) -> KeyRules<'_> {
        KeyRules { algorithms: &self.algorithms, jwt_svids: self.jwt_svids }
    }

    /// The same keys under other settings: how long they are used and which algorithms they are for may have changed,
    /// their issuer has not.
    pub(in crate::authn) fn succeeding(&self, previous: &Self) -> Self {
        let new =
            Self::new(self.issuer.clone(), self.algorithms.clone(), self.max_stale).of_svids(self.jwt_svids);
        if self.algorithms == previous.algorithms && self.jwt_svids == previous.jwt_svids {
            return Self { state: Arc::clone(&previous.state), ..new };
        }
        let known = previous.latest();
        let read = known.and_then(|known| Some((KeySet::parse(&known.document, self.rules()).ok()?, known)));
        if let Some((keys, known)) = read {
            new.state.current.store(Some(Arc::new(FetchedKeySet {
                keys: Arc::new(keys),
                document: Arc::clone(&known.document),
                digest: known.digest.clone(),
                ..*known
            })));
        }
        new
    }

    /// The issuer's name.
    pub(in crate::authn) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The set in use, or `None` where there is none or it is too old. The age is judged here, by every reader, so
    /// that old keys end even if the task that refreshes them does not run.
    pub(in crate::authn) fn current(&self, now: SystemTime) -> Option<Guard<Option<Arc<FetchedKeySet>>>> {
        let held = self.state.current.load();
        let usable = held.as_ref().is_some_and(|fetched| !self.is_stale(fetched, now));
        usable.then_some(held)
    }

    /// The last set that came, however old.
    pub(in crate::authn) fn latest(&self) -> Option<Arc<FetchedKeySet>> {
        self.state.current.load_full()
    }

    /// Whether the set has ended or is about to: another one is due, whatever the schedule says.
    pub(in crate::authn) fn is_near_its_end(&self, now: SystemTime) -> bool {
        let Some(max_stale) = self.max_stale else { return false };
        let left = self.age(now).map(|age| max_stale.saturating_sub(age));
        left.is_some_and(|left| left <= NEAR_THE_END.min(max_stale / 10))
    }

    fn is_stale(&self, fetched: &FetchedKeySet, now: SystemTime) -> bool {
        self.max_stale.is_some_and(|max_stale| fetched.age(now) >= max_stale)
    }

    /// How old the set is, or `None` where there is none.
    pub(in crate::authn) fn age(&self, now: SystemTime) -> Option<Duration> {
        self.state.current.load().as_ref().map(|fetched| fetched.age(now))
    }

    /// Takes the document of a fetch as the new set. A set without a usable key is an answer too: once a second one
    /// says the same, the old keys are withdrawn. Until then they stay, as they do for a document that is not a set.
    ///
    /// # Errors
    /// Why the document is not taken, or that it withdraws the keys.
    pub(in crate::authn) fn replace(
        &self,
        document: &[u8],
        fetch: u64,
        now: SystemTime,
    ) -> Result<(), KeySetError> {
        let digest = digest::digest(&digest::SHA256, document).as_ref().to_vec();
        let known = self.latest();
        let (keys, outcome) = match &known {
            Some(known) if known.digest == digest && known.keys.len() > 0 => (known.keys.clone(), Ok(())),
            _ => match self.parse(document, known.as_deref()) {
                Ok(keys) => (Arc::new(keys), Ok(())),
                Err(KeySetError::NoneUsable(problems)) if self.confirms_withdrawal(known.as_deref()) => {
                    let keys = match &known {
                        Some(known) if known.keys.len() == 0 => known.keys.clone(),
                        _ => Arc::new(KeySet::withdrawn(problems.clone())),
                    };
                    (keys, Err(KeySetError::Withdrawn(problems)))
                }
                Err(error) => return Err(error),
            },
        };
        self.state.emptied.store(outcome.is_err(), Ordering::Release);
        let (since, document) = (Instant::now(), document.into());
        self.state.current.store(Some(Arc::new(FetchedKeySet {
            keys,
            fetch,
            at: now,
            since,
            document,
            digest,
        })));
        outcome
    }

    /// Whether a set without a usable key is the second in a row, and there are keys to withdraw.
    fn confirms_withdrawal(&self, known: Option<&FetchedKeySet>) -> bool {
        self.state.emptied.swap(true, Ordering::AcqRel) && known.is_some()
    }

    /// Reads a set, and logs what it changes.
    fn parse(&self, document: &[u8], known: Option<&FetchedKeySet>) -> Result<KeySet, KeySetError> {
        let keys = KeySet::parse(document, self.rules())?;
        let issuer = self.issuer.as_str();
        if known.is_none_or(|known| known.keys.problems() != keys.problems()) {
            keys.problems().iter().for_each(|problem| tracing::warn!(issuer, "{problem}"));
        }
        if known.is_none_or(|known| known.keys.skipped() != keys.skipped()) {
            keys.skipped().iter().for_each(|skipped| tracing::info!(issuer, "{skipped}: it is skipped"));
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

    /// Counts a fetch, and keeps the reason of a failure until a fetch succeeds.
    pub(in crate::authn) fn count(&self, outcome: &'static str, error: Option<String>) {
        *self.state.outcomes.lock().unwrap_or_else(PoisonError::into_inner).entry(outcome).or_default() += 1;
        self.state.last_error.store(error.map(Arc::new));
    }

    /// Why the issuer's tokens cannot be judged at this moment, or `None` where they can.
    pub(in crate::authn) fn unreadiness(&self, now: SystemTime) -> Option<String> {
        let current = self.current(now);
        let withdrawn = current.as_deref().and_then(Option::as_ref).map(|fetched| fetched.keys.len() == 0);
        if withdrawn == Some(false) {
            return None;
        }
        let since = match self.age(now) {
            _ if withdrawn.is_some() => "no keys any more".to_owned(),
            None => "no keys yet".to_owned(),
            Some(age) => format!("the keys are {} s old and no longer used", age.as_secs()),
        };
        Some(match self.state.last_error.load().as_deref() {
            Some(error) => format!("{since}: {error}"),
            None => since,
        })
    }

    /// A snapshot for metrics.
    pub(in crate::authn) fn status(&self, now: SystemTime) -> KeySetStatus {
        let held = self.state.current.load();
        let usable = held.as_ref().filter(|fetched| !self.is_stale(fetched, now));
        KeySetStatus {
            issuer: self.issuer.clone(),
            keys: usable.map_or(0, |fetched| fetched.keys.len()),
            last_success: held.as_ref().map(|fetched| fetched.at),
            age: held.as_ref().map(|fetched| fetched.age(now)),
            expiry: match (held.as_ref(), self.max_stale) {
                (None, _) => KeyExpiry::None,
                (Some(_), None) => KeyExpiry::Never,
                (Some(fetched), Some(max_stale)) => KeyExpiry::At(fetched.at + max_stale),
            },
            refreshes: self.state.outcomes.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            last_error: self.state.last_error.load().as_deref().cloned(),
            problems: held.as_ref().map_or_else(Vec::new, |fetched| fetched.keys.problems().to_vec()),
            skipped: held.as_ref().map_or_else(Vec::new, |fetched| fetched.keys.skipped().to_vec()),
        }
    }
}

impl FetchedKeySet {
    /// A clock that was set back makes a set look no older than it is, and no younger either: the other clock goes on.
    fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.at).unwrap_or_default().max(self.since.elapsed())
    }
}
