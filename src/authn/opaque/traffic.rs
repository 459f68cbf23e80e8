//! How much an issuer is asked: about one token once at a time, about few tokens at a time, and not at all for a moment
//! after it failed to answer.
//!
//! Tokens that were good when they were asked about last have lookups of their own: a flood of invented ones uses up
//! those of strangers and leaves clients whose good token is due to be looked at again their turn.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::Judged;
use super::answers::Key;

/// Most lookups of tokens that are not known, at a time.
const STRANGERS: usize = 64;
/// Most lookups beside those, for tokens that were good.
const ACQUAINTED: usize = 32;
/// From a failure to the next question.
const PAUSE: Duration = Duration::from_secs(1);

/// The lookups under way at one issuer.
pub(super) struct Traffic {
    under_way: Arc<UnderWay>,
    strangers: Arc<Semaphore>,
    acquainted: Arc<Semaphore>,
    trouble: Mutex<Trouble>,
}

#[derive(Default)]
struct UnderWay(Mutex<HashMap<Key, watch::Receiver<Option<Judged>>>>);

#[derive(Default)]
struct Trouble {
    paused: Option<Instant>,
    complained: Option<Instant>,
}

/// Whether a lookup may start.
pub(super) enum Admission {
    /// The token is being looked up.
    UnderWay(watch::Receiver<Option<Judged>>),
    /// It has been, just now.
    Known(Judged),
    /// It may not be looked up now, and why.
    Refused(&'static str),
    /// It may: whoever looks it up sends the answer, once the landing is dropped.
    Go(Landing, watch::Sender<Option<Judged>>, watch::Receiver<Option<Judged>>),
}

/// A lookup under way. It ends with this value, also in a panic.
pub(super) struct Landing {
    key: Key,
    under_way: Arc<UnderWay>,
    _permit: OwnedSemaphorePermit,
}

impl Traffic {
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
        key: Key,
        known: impl FnOnce() -> Option<Judged>,
        was_good: impl FnOnce() -> bool,
    ) -> Admission {
        let mut under_way = locked(&self.under_way.0);
        let vacant = match under_way.entry(key) {
            Entry::Occupied(lookup) => return Admission::UnderWay(lookup.get().clone()),
            Entry::Vacant(vacant) => vacant,
        };
        if let Some(judged) = known() {
            return Admission::Known(judged);
        }
        if locked(&self.trouble).paused.is_some_and(|since| since.elapsed() < PAUSE) {
            return Admission::Refused("it failed to answer a moment ago");
        }
        let reserved = was_good().then(|| self.acquainted.clone().try_acquire_owned().ok()).flatten();
        let Some(permit) = reserved.or_else(|| self.strangers.clone().try_acquire_owned().ok()) else {
            return Admission::Refused("too many lookups are under way");
        };
        let (sender, receiver) = watch::channel(None);
        vacant.insert(receiver.clone());
        let landing = Landing { key, under_way: self.under_way.clone(), _permit: permit };
        Admission::Go(landing, sender, receiver)
    }

    /// Asks nothing for a moment. Whether that is news.
    pub(super) fn pause(&self) -> bool {
        let mut trouble = locked(&self.trouble);
        let news = trouble.paused.is_none_or(|since| since.elapsed() >= PAUSE);
        trouble.paused = Some(Instant::now());
        news
    }

    /// Whether the operator has not been told of anything for a moment, and is to be.
    pub(super) fn may_complain(&self) -> bool {
        let mut trouble = locked(&self.trouble);
        let news = trouble.complained.is_none_or(|since| since.elapsed() >= PAUSE);
        if news {
            trouble.complained = Some(Instant::now());
        }
        news
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        locked(&self.under_way.0).remove(&self.key);
    }
}

/// What a panic could have left half done here is a whole value all the same.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
