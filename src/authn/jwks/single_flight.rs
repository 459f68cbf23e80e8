//! Asks one issuer for its keys: when next, why, and which requests wait for the answer. Outlives reloads.
//!
//! A token that names a key which the set lacks may be good: the issuer may have made the key since it was last asked.
//! It is refused only once the issuer, asked after the token was first seen, still has no such key. Until then nothing
//! is decided ([`crate::reason::Reason::KeyPending`]), and the fetch that will tell is on its way.
//!
//! Strangers can invent keys as fast as they can send. Such a flood costs one fetch per cool-down, one of [`PLACES`]
//! places to wait in, and eight bytes and a count for each of the last [`REMEMBERED`] keys.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::rand;
use quick_cache::sync::Cache;
use tokio::sync::{Semaphore, watch};

use crate::authn::jwks::schedule::{FetchIntervals, Schedule, Spread};

/// How long a request waits for the fetch that may bring its key.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many requests wait for one issuer at a time; the others are told at once to come back.
const PLACES: usize = 1024;
/// How many keys that sets lacked are remembered.
const REMEMBERED: usize = 4096;
/// How long a key that the issuer does not have counts as missing, unless a fetch brings it.
const BELIEVED: Duration = Duration::from_secs(60);

/// When an issuer is asked, and why.
pub(in crate::authn) struct KeyFetches {
    schedule: Mutex<Schedule>,
    /// Changes with every wish that changes the schedule.
    wishes: watch::Sender<()>,
    /// How many fetches have begun.
    begun: AtomicU64,
    /// The last of them that ended, with or without success.
    ended: watch::Sender<u64>,
    /// One fetch at a time.
    flight: tokio::sync::Mutex<()>,
    sights: Cache<u64, FirstNamed>,
    /// The hash is keyed: a client that does not know the key cannot invent one name that passes for another.
    hasher: RandomState,
    waiting: Semaphore,
}

/// When a key that the set lacked was first named.
#[derive(Clone, Copy)]
struct FirstNamed {
    at: SystemTime,
    /// How many fetches had begun.
    begun: u64,
}

/// What a token says of its key.
#[derive(Clone, Copy, Debug, Hash)]
pub(in crate::authn) enum KeyHint<'a> {
    /// Its `kid`.
    Kid(&'a str),
    /// Nothing: any key that made this signature.
    Signature(&'a [u8]),
}

/// A fetch under way. When this is dropped, it ends: as a failure, unless success was noted.
pub(in crate::authn) struct Flight<'a> {
    fetches: &'a KeyFetches,
    /// From 1.
    pub(in crate::authn) number: u64,
    succeeded: bool,
    checked_again: bool,
    _single: tokio::sync::MutexGuard<'a, ()>,
}

impl KeyFetches {
    /// An issuer that has not been asked.
    pub(in crate::authn) fn new(intervals: FetchIntervals) -> Self {
        Self {
            schedule: Mutex::new(Schedule::new(intervals, Instant::now())),
            wishes: watch::Sender::new(()),
            begun: AtomicU64::new(0),
            ended: watch::Sender::new(0),
            flight: tokio::sync::Mutex::new(()),
            sights: Cache::new(REMEMBERED),
            hasher: RandomState::new(),
            waiting: Semaphore::new(PLACES),
        }
    }

    /// Whether the issuer does not have a key: `fetch` is the number of the one that brought the set, which lacks it.
    /// If that began before the key was first named, the issuer will be asked again.
    pub(in crate::authn) fn lacks(&self, key: KeyHint<'_>, fetch: u64, now: SystemTime) -> bool {
        let id = self.hasher.hash_one(key);
        let sight = self.sight(id, now).unwrap_or_else(|| {
            let sight = FirstNamed { at: now, begun: self.begun.load(Ordering::SeqCst) };
            self.sights.insert(id, sight);
            sight
        });
        if fetch > sight.begun {
            return true;
        }
        if self.schedule().wish() {
            self.wishes.send_replace(());
        }
        false
    }

    fn sight(&self, id: u64, now: SystemTime) -> Option<FirstNamed> {
        let sight = self.sights.get(&id)?;
        // A time in the future is from before the clock was set back.
        now.duration_since(sight.at).is_ok_and(|age| age < BELIEVED).then_some(sight)
    }

    /// Waits until the fetch that may bring a key has ended, or `arrived`; not at all where none is about to begin.
    pub(in crate::authn) async fn answer(&self, key: KeyHint<'_>, arrived: impl Fn() -> bool) {
        let Some(sight) = self.sights.get(&self.hasher.hash_one(key)) else { return };
        let Ok(_place) = self.waiting.try_acquire() else { return };
        let mut ended = self.ended.subscribe();
        let answer = async {
            loop {
                let last = *ended.borrow_and_update();
                if arrived() || last > sight.begun || !self.is_soon(last) {
                    return;
                }
                if ended.changed().await.is_err() {
                    return;
                }
            }
        };
        // Whether or not the answer came in time, the token is judged by what is known then.
        let _ = tokio::time::timeout(PATIENCE, answer).await;
    }

    /// Notes that the set has ended or is about to: the issuer is asked soon, whether or not the last fetch succeeded.
    pub(in crate::authn) fn hurry(&self) {
        if self.schedule().hurry(Instant::now()) {
            self.wishes.send_replace(());
        }
    }

    /// Whether a fetch is under way, or will be within the time that a request waits.
    pub(in crate::authn) fn is_answer_near(&self) -> bool {
        let ended = *self.ended.borrow();
        self.is_soon(ended)
    }

    /// Waits until a set has replaced one that has ended; not at all where no fetch is about to begin.
    pub(in crate::authn) async fn next_set(&self, arrived: impl Fn() -> bool) {
        let Ok(_place) = self.waiting.try_acquire() else { return };
        let mut ended = self.ended.subscribe();
        let answer = async {
            let before = *ended.borrow_and_update();
            while !arrived() && self.is_soon(before) && *ended.borrow_and_update() == before {
                if ended.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(PATIENCE, answer).await;
    }

    /// Applies the pace of the settings in force.
    pub(in crate::authn) fn adopt(&self, intervals: FetchIntervals) {
        self.schedule().adopt(intervals, Instant::now());
    }

    /// Whether a fetch is under way, or will be within the time that a request waits.
    fn is_soon(&self, ended: u64) -> bool {
        // In this order: a fetch that begins in between is seen by one of the two.
        let next = self.schedule().next();
        next <= Instant::now() + PATIENCE || self.begun.load(Ordering::SeqCst) > ended
    }

    /// Waits until a fetch is due.
    pub(in crate::authn) async fn due(&self) {
        let mut wishes = self.wishes.subscribe();
        loop {
            wishes.mark_unchanged();
            let next = self.schedule().next();
            tokio::select! {
                () = tokio::time::sleep_until(next.into()) => return,
                changed = wishes.changed() => {
                    // The sender is ours, so it is never closed.
                    if changed.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Begins a fetch, once no other is under way, unless one of those has made it needless.
    pub(in crate::authn) async fn begin(&self, needed: impl Fn(&Self) -> bool) -> Option<Flight<'_>> {
        let single = self.flight.lock().await;
        if !needed(self) {
            return None;
        }
        let mut schedule = self.schedule();
        schedule.begin(Instant::now());
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        drop(schedule);
        Some(Flight { fetches: self, number, succeeded: false, checked_again: false, _single: single })
    }

    /// Whether a fetch is due now.
    pub(in crate::authn) fn is_due(&self) -> bool {
        self.schedule().next() <= Instant::now()
    }

    /// The schedule, locked. No caller waits for anything while it holds this.
    pub(in crate::authn) fn schedule(&self) -> MutexGuard<'_, Schedule> {
        // Every change is a single assignment, so a thread that panicked has left it whole.
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight<'_> {
    /// Notes that it brought a set, which is good for `fresh_for` where the answer says. Returns how many before it did
    /// not.
    pub(in crate::authn) fn succeed(&mut self, fresh_for: Option<Duration>) -> u32 {
        self.succeeded = true;
        self.fetches.schedule().succeed(Instant::now(), fresh_for, spread())
    }
}

impl Flight<'_> {
    /// Notes that the answer is to be checked by another one soon.
    pub(in crate::authn) fn check_again(&mut self) {
        self.checked_again = true;
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if !self.succeeded {
            let (mut schedule, now) = (self.fetches.schedule(), Instant::now());
            schedule.fail(now, spread());
            if self.checked_again {
                schedule.check_again(now);
            }
        }
        self.fetches.ended.send_replace(self.number);
    }
}

/// Without random bytes the wait is not spread, which is harmless.
fn spread() -> Spread {
    let mut byte = [0];
    Spread(rand::fill(&mut byte).map_or(0, |()| u8::from_be_bytes(byte)))
}

#[cfg(test)]
mod tests;
