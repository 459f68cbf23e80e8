//! Bounds on the questions to an issuer: about one token once at a time, about few tokens at a time, and not at all for
//! a moment once it fails to answer.
//!
//! A failure may come from the one token that was sent: a stranger may send one that makes the issuer drop the
//! connection. So only that token waits, until [`SEVERAL`] different ones have failed in the same way and none was
//! answered between them. That an issuer cannot be reached does not depend on any token.
//!
//! Tokens that were good at their last lookup have lookups of their own: a flood of invented tokens uses up those of
//! strangers, and clients whose good token is due for a lookup still get their turn.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::cache::{JudgedToken, TokenDigest};

/// Most lookups of tokens that are not known, at a time.
const STRANGERS: usize = 64;
/// Most lookups beside those, for tokens that were good.
const ACQUAINTED: usize = 32;
/// From a failure to the next question.
const PAUSE: Duration = Duration::from_secs(1);
/// How many different tokens fail in the same way before the issuer counts as failing.
const SEVERAL: usize = 3;
/// How long a failure counts.
const COUNTS: Duration = Duration::from_secs(10);

/// The ways in which questions about any token may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outage {
    /// There is no connection.
    Unreachable,
    /// The connection broke, or no answer came in time.
    Silence,
    /// 401: the gate's own credentials (RFC 7662, section 2.3).
    Credentials,
    /// 429.
    Throttled,
    /// 502, 503, 504.
    Unavailable,
}

/// The lookups under way at one issuer.
pub(super) struct LookupLimits {
    under_way: Arc<UnderWay>,
    strangers: Arc<Semaphore>,
    acquainted: Arc<Semaphore>,
    trouble: Mutex<Outages>,
}

#[derive(Default)]
struct UnderWay(Mutex<HashMap<TokenDigest, watch::Receiver<Option<JudgedToken>>>>);

#[derive(Default)]
struct Outages {
    /// Since when nothing is asked about unknown tokens, and about those that were good.
    strangers_paused: Option<Instant>,
    acquainted_paused: Option<Instant>,
    complained: Option<Instant>,
    /// Tokens that have failed since one was answered, once each.
    failed: Vec<FailedLookup>,
}

struct FailedLookup {
    key: TokenDigest,
    outage: Outage,
    was_good: bool,
    at: Instant,
}

fn is_recent(since: Option<Instant>) -> bool {
    since.is_some_and(|since| since.elapsed() < PAUSE)
}

/// Whether a lookup may start.
pub(super) enum LookupStart {
    /// The token is being looked up.
    UnderWay(watch::Receiver<Option<JudgedToken>>),
    /// It was looked up just now.
    Known(JudgedToken),
    /// It may not be looked up now, and why.
    Refused(&'static str),
    /// It may. The holder of this value sends the answer, then drops the lookup in flight.
    Go(InFlightLookup, watch::Sender<Option<JudgedToken>>, watch::Receiver<Option<JudgedToken>>),
}

/// A lookup under way. It ends with this value, also in a panic.
pub(super) struct InFlightLookup {
    key: TokenDigest,
    under_way: Arc<UnderWay>,
    _permit: OwnedSemaphorePermit,
}

impl LookupLimits {
    pub(super) fn new() -> Self {
        Self {
            under_way: Arc::default(),
            strangers: Arc::new(Semaphore::new(STRANGERS)),
            acquainted: Arc::new(Semaphore::new(ACQUAINTED)),
            trouble: Mutex::default(),
        }
    }

    /// Starts a lookup, unless there is one, its answer is `known`, or none may be started.
    pub(super) fn admit(
        &self,
        key: TokenDigest,
        known: impl FnOnce() -> Option<JudgedToken>,
        was_good: impl FnOnce() -> bool,
    ) -> LookupStart {
        let mut under_way = locked(&self.under_way.0);
        let vacant = match under_way.entry(key) {
            Entry::Occupied(lookup) => return LookupStart::UnderWay(lookup.get().clone()),
            Entry::Vacant(vacant) => vacant,
        };
        if let Some(judged) = known() {
            return LookupStart::Known(judged);
        }
        let was_good = was_good();
        if locked(&self.trouble).is_paused(was_good) {
            return LookupStart::Refused("it failed to answer a moment ago");
        }
        let reserved = was_good.then(|| self.acquainted.clone().try_acquire_owned().ok()).flatten();
        let Some(permit) = reserved.or_else(|| self.strangers.clone().try_acquire_owned().ok()) else {
            return LookupStart::Refused("too many lookups are under way");
        };
        let (sender, receiver) = watch::channel(None);
        vacant.insert(receiver.clone());
        let in_flight = InFlightLookup { key, under_way: self.under_way.clone(), _permit: permit };
        LookupStart::Go(in_flight, sender, receiver)
    }

    /// Notes that the question about a token failed. Where the issuer is to blame, nothing is asked for a moment.
    /// Failures of strangers' tokens do not stop lookups of those that were good.
    pub(super) fn failed(&self, key: TokenDigest, outage: Outage, was_good: bool) {
        locked(&self.trouble).note(FailedLookup { key, outage, was_good, at: Instant::now() });
    }

    /// Notes that the issuer has answered a question.
    pub(super) fn answered(&self) {
        locked(&self.trouble).failed.clear();
    }

    /// Whether a failure is to be logged: at most one in a while.
    pub(super) fn may_complain(&self) -> bool {
        let mut trouble = locked(&self.trouble);
        let news = trouble.complained.is_none_or(|since| since.elapsed() >= PAUSE);
        if news {
            trouble.complained = Some(Instant::now());
        }
        news
    }
}

impl Outages {
    fn is_paused(&self, was_good: bool) -> bool {
        is_recent(if was_good { self.acquainted_paused } else { self.strangers_paused })
    }

    fn note(&mut self, failed: FailedLookup) {
        let now = failed.at;
        if failed.outage == Outage::Unreachable {
            (self.strangers_paused, self.acquainted_paused) = (Some(now), Some(now));
            return;
        }
        self.failed
            .retain(|known| known.key != failed.key && now.saturating_duration_since(known.at) < COUNTS);
        let outage = failed.outage;
        self.failed.push(failed);
        // Not more of each kind are kept than are needed.
        if self.failed.len() > 16 * SEVERAL {
            self.failed.remove(0);
        }
        let alike = || self.failed.iter().filter(|known| known.outage == outage);
        if alike().count() >= SEVERAL {
            self.strangers_paused = Some(now);
        }
        if alike().filter(|known| known.was_good).count() >= SEVERAL {
            self.acquainted_paused = Some(now);
        }
    }
}

impl Drop for InFlightLookup {
    fn drop(&mut self) {
        locked(&self.under_way.0).remove(&self.key);
    }
}

/// A panic in the middle of a change leaves a valid value all the same.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
