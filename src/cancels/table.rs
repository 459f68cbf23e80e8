//! The cancels whose outcome is awaited: bounded in number, bytes and time.
//!
//! Entries are in shards by a keyed hash of service and operation, each behind a lock that is held for one look. The hash
//! stands for the name: two names with one hash are as likely as a guessed key, and then the second is not watched.
//!
//! The order in which they came is kept in queues by a keyed hash of service and caller. When the table is full, the oldest
//! of the longest queue goes: a caller who makes up names of operations pushes out their own cancels.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::cancel::{Cancel, CancelEnd, PendingCancel};
use super::moment::Moment;
use super::operation::OperationSighting;
use super::outcome::{CancelAnswer, CancelOutcome, CancelState};
use super::queues::Queues;
use super::settings::CancelSettings;

const SHARDS: usize = 64;
/// How long a cancel is watched after the last sighting of its operation. Clients poll every minute at the least.
pub(super) const UNSEEN: Duration = Duration::from_secs(3600);
/// How long a cancel is watched at most.
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// What an entry takes beside its texts: its places in the maps, which may be half empty, and the cancel with the heads of
/// its allocations. `make bench BENCH_ARGS=cancels` measures it.
const FIXED_BYTES: usize = 330;
/// The mean of all that an entry may take.
const BYTES_EACH: usize = 419;
/// Room for one name of any length.
const LEAST_BYTES: usize = 64 * 1024;

/// How many there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) entries: usize,
    pub(super) bytes: usize,
}

impl Bounds {
    pub(super) fn of(settings: CancelSettings) -> Self {
        let bytes = settings.tracked.saturating_mul(BYTES_EACH).max(LEAST_BYTES);
        Self { entries: settings.tracked, bytes }
    }
}

/// The table.
#[derive(Debug)]
pub(super) struct Table {
    bounds: Bounds,
    secret: RandomState,
    count: AtomicUsize,
    bytes: AtomicUsize,
    next: AtomicU64,
    shards: Vec<Mutex<Shard>>,
    queues: Queues,
}

#[derive(Debug, Default)]
struct Shard {
    /// By the hash of service and name, which is keyed: a client cannot choose it.
    entries: HashMap<u64, Entry, foldhash::fast::RandomState>,
}

#[derive(Debug)]
struct Entry {
    cancel: Arc<Cancel>,
    /// Rises with each entry.
    number: u64,
    /// The place of its queue.
    queue: u16,
    seen: Moment,
    state: CancelState,
    /// Whether the cancel that it names was not taken, while others of the operation are under way.
    is_refused: bool,
    /// Cancels of this operation that have no answer yet.
    under_way: u32,
    /// An end that was seen before the answer to the cancel.
    early: Option<Box<EarlyEnd>>,
}

#[derive(Debug)]
struct EarlyEnd {
    outcome: CancelOutcome,
    at: Moment,
    by: Box<str>,
}

/// A cancel on its way, and its entry where there is one.
#[derive(Debug)]
pub(super) struct Ticket {
    cancel: Arc<Cancel>,
    /// Hash and number.
    entry: Option<(u64, u64)>,
}

impl Ticket {
    pub(super) fn cancel(&self) -> &Arc<Cancel> {
        &self.cancel
    }
}

/// What an answer told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighted<'a> {
    pub(super) sighting: OperationSighting,
    /// The method that was answered.
    pub(super) by: &'a str,
    pub(super) now: Moment,
}

impl Entry {
    fn is_over(&self, now: Instant) -> bool {
        let unseen = now.saturating_duration_since(self.seen.instant);
        let asked = now.saturating_duration_since(self.cancel.asked.instant);
        unseen >= UNSEEN || asked >= LONGEST
    }

    fn unobserved(self, now: Moment) -> CancelEnd {
        CancelEnd { cancel: self.cancel, outcome: CancelOutcome::Unobserved, observed: now, seen_by: None }
    }

    fn pending(&self) -> PendingCancel {
        PendingCancel { cancel: self.cancel.clone(), state: self.state, last_seen: self.seen }
    }
}

/// What an entry counts against the bound.
pub(super) fn bytes_of(cancel: &Cancel) -> usize {
    let principal = cancel.principal.as_ref().map_or(0, |principal| principal.as_str().len());
    FIXED_BYTES + cancel.name.len() + principal
}

impl Table {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            secret: RandomState::new(),
            count: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            next: AtomicU64::new(0),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            queues: Queues::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }

    /// Whether an operation is watched.
    pub(super) fn holds(&self, service: &str, name: &str) -> bool {
        let hash = self.hash(service, name);
        self.shard(hash).is_some_and(|shard| shard.entries.contains_key(&hash))
    }

    /// A cancel goes out. What has to go for it is given back.
    pub(super) fn sent(&self, cancel: Arc<Cancel>, now: Moment) -> (Ticket, Vec<CancelEnd>) {
        let mut gone = Vec::new();
        if self.bounds.entries == 0 {
            return (Ticket { cancel, entry: None }, gone);
        }
        let hash = self.hash(cancel.service(), &cancel.name);
        let Some(mut shard) = self.shard(hash) else { return (Ticket { cancel, entry: None }, gone) };
        if let Some(known) = shard.entries.get_mut(&hash)
            && !known.is_over(now.instant)
        {
            let is_the_same = known.cancel.name == cancel.name && known.cancel.service() == cancel.service();
            if is_the_same {
                known.under_way = known.under_way.saturating_add(1);
            }
            let entry = is_the_same.then_some((hash, known.number));
            return (Ticket { cancel, entry }, gone);
        }
        gone.extend(self.take(&mut shard, hash).map(|entry| entry.unobserved(now)));
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::AcqRel);
        self.bytes.fetch_add(bytes_of(&cancel), Ordering::AcqRel);
        let queue = self.queues.of(cancel.service(), cancel.principal.as_ref());
        self.queues.insert(queue, number, hash);
        shard.entries.insert(
            hash,
            Entry {
                cancel: cancel.clone(),
                number,
                queue,
                seen: now,
                state: CancelState::Sent,
                is_refused: false,
                under_way: 1,
                early: None,
            },
        );
        drop(shard);
        while self.is_too_full()
            && let Some(entry) = self.take_oldest()
        {
            gone.push(CancelEnd {
                cancel: entry.cancel,
                outcome: CancelOutcome::Evicted,
                observed: now,
                seen_by: None,
            });
        }
        (Ticket { cancel, entry: Some((hash, number)) }, gone)
    }

    /// The answer to a cancel, or that there is none. The result is the end, where it was seen before.
    pub(super) fn answered(&self, ticket: Ticket, answer: CancelAnswer, now: Moment) -> Option<CancelEnd> {
        let (hash, number) = ticket.entry?;
        let mut shard = self.shard(hash)?;
        let entry = shard.entries.get_mut(&hash).filter(|entry| entry.number == number)?;
        if entry.is_over(now.instant) {
            return self.take(&mut shard, hash).map(|entry| entry.unobserved(now));
        }
        entry.under_way = entry.under_way.saturating_sub(1);
        match answer {
            CancelAnswer::Accepted => entry.state = CancelState::Accepted,
            CancelAnswer::Uncertain if entry.state == CancelState::Sent => {
                entry.state = CancelState::Uncertain;
            }
            CancelAnswer::Uncertain => {}
            CancelAnswer::Unimplemented | CancelAnswer::NotFound | CancelAnswer::Failed => {
                entry.is_refused |= Arc::ptr_eq(&entry.cancel, &ticket.cancel);
                if entry.state == CancelState::Sent && entry.under_way == 0 {
                    self.take(&mut shard, hash);
                }
                return None;
            }
        }
        if std::mem::take(&mut entry.is_refused) {
            // The first cancel was not taken: what is watched is this one.
            let (before, after) = (bytes_of(&entry.cancel), bytes_of(&ticket.cancel));
            self.bytes.fetch_add(after, Ordering::AcqRel);
            self.bytes.fetch_sub(before, Ordering::AcqRel);
            entry.cancel = ticket.cancel;
        }
        let EarlyEnd { outcome, at, by } = *entry.early.take()?;
        let entry = self.take(&mut shard, hash)?;
        Some(CancelEnd { cancel: entry.cancel, outcome, observed: at, seen_by: Some(by) })
    }

    /// An answer told of an operation. The result is how the cancel ended, if it has.
    pub(super) fn seen(&self, service: &str, name: &str, sighted: Sighted<'_>) -> Option<CancelEnd> {
        let Sighted { sighting, by, now } = sighted;
        let hash = self.hash(service, name);
        let mut shard = self.shard(hash)?;
        let entry = shard.entries.get_mut(&hash)?;
        if *entry.cancel.name != *name || entry.cancel.service() != service {
            return None;
        }
        if entry.is_over(now.instant) {
            return self.take(&mut shard, hash).map(|entry| entry.unobserved(now));
        }
        let outcome = match sighting {
            OperationSighting::Running => {
                entry.seen = now;
                return None;
            }
            OperationSighting::Ended(outcome) => outcome,
        };
        if entry.state == CancelState::Sent {
            entry.early.get_or_insert_with(|| Box::new(EarlyEnd { outcome, at: now, by: by.into() }));
            return None;
        }
        let entry = self.take(&mut shard, hash)?;
        Some(CancelEnd { cancel: entry.cancel, outcome, observed: now, seen_by: Some(by.into()) })
    }

    /// Ends what was not seen for too long.
    pub(super) fn expire(&self, now: Moment) -> Vec<CancelEnd> {
        let mut gone = Vec::new();
        if self.is_empty() {
            return gone;
        }
        for shard in &self.shards {
            let mut shard = locked(shard);
            let over = shard.entries.iter().filter(|(_, entry)| entry.is_over(now.instant));
            let over: Vec<u64> = over.map(|(hash, _)| *hash).collect();
            for hash in over {
                gone.extend(self.take(&mut shard, hash).map(|entry| entry.unobserved(now)));
            }
        }
        gone
    }

    /// Drops what is pending at a service.
    pub(super) fn forget(&self, service: &str) {
        for shard in &self.shards {
            let mut shard = locked(shard);
            let of_it = shard.entries.iter().filter(|(_, entry)| entry.cancel.service() == service);
            let of_it: Vec<u64> = of_it.map(|(hash, _)| *hash).collect();
            for hash in of_it {
                self.take(&mut shard, hash);
            }
        }
    }

    /// Looks at every cancel.
    pub(super) fn each(&self, mut look: impl FnMut(&Cancel)) {
        for shard in &self.shards {
            locked(shard).entries.values().for_each(|entry| look(&entry.cancel));
        }
    }

    /// Up to `limit` cancels, the newest first.
    pub(super) fn newest(&self, limit: usize) -> Vec<PendingCancel> {
        let pending = self.queues.newest(limit).into_iter().filter_map(|(number, hash)| {
            let shard = self.shard(hash)?;
            shard.entries.get(&hash).filter(|entry| entry.number == number).map(Entry::pending)
        });
        pending.collect()
    }

    fn is_too_full(&self) -> bool {
        self.count.load(Ordering::Acquire) > self.bounds.entries || self.bytes() > self.bounds.bytes
    }

    fn take_oldest(&self) -> Option<Entry> {
        loop {
            let (number, hash) = self.queues.oldest_of_longest()?;
            let mut shard = self.shard(hash)?;
            // Another thread may have been faster.
            if shard.entries.get(&hash).is_some_and(|entry| entry.number == number) {
                return self.take(&mut shard, hash);
            }
        }
    }

    fn take(&self, shard: &mut Shard, hash: u64) -> Option<Entry> {
        let entry = shard.entries.remove(&hash)?;
        self.queues.remove(entry.queue, entry.number);
        self.bytes.fetch_sub(bytes_of(&entry.cancel), Ordering::AcqRel);
        self.count.fetch_sub(1, Ordering::AcqRel);
        Some(entry)
    }

    fn hash(&self, service: &str, name: &str) -> u64 {
        self.secret.hash_one((service, name))
    }

    fn shard(&self, hash: u64) -> Option<MutexGuard<'_, Shard>> {
        let place = usize::try_from(hash % SHARDS as u64).unwrap_or_default();
        self.shards.get(place).map(locked)
    }
}

/// A panic in one request must not stop the others.
fn locked(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
