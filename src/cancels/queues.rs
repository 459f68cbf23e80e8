//! The order in which cancels came, by caller. It says which cancel goes when the table is full.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::principal::Principal;

/// Callers share a queue where the hashes of their names do. They cannot choose that: the hash is keyed.
const QUEUES: usize = 512;

/// The queues.
#[derive(Debug)]
pub(super) struct Queues {
    secret: RandomState,
    queues: Vec<Queue>,
}

/// The cancels of a caller at a service, the oldest first.
#[derive(Debug, Default)]
struct Queue {
    length: AtomicUsize,
    /// The hashes of the operations, by number.
    order: Mutex<BTreeMap<u64, u64>>,
}

impl Default for Queues {
    fn default() -> Self {
        Self { secret: RandomState::new(), queues: (0..QUEUES).map(|_| Queue::default()).collect() }
    }
}

impl Queues {
    /// The place of the queue of a caller's cancels at a service. Callers without a credential have one together.
    pub(super) fn of(&self, service: &str, principal: Option<&Principal>) -> u16 {
        let hash = self.secret.hash_one((service, principal.map(Principal::as_str)));
        u16::try_from(hash % QUEUES as u64).unwrap_or_default()
    }

    pub(super) fn insert(&self, queue: u16, number: u64, hash: u64) {
        if let Some(queue) = self.queues.get(usize::from(queue)) {
            queue.order().insert(number, hash);
            queue.length.fetch_add(1, Ordering::AcqRel);
        }
    }

    pub(super) fn remove(&self, queue: u16, number: u64) {
        if let Some(queue) = self.queues.get(usize::from(queue))
            && queue.order().remove(&number).is_some()
        {
            queue.length.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Number and hash of the oldest cancel of the longest queue; of several such queues, of the oldest of all.
    pub(super) fn oldest_of_longest(&self) -> Option<(u64, u64)> {
        let length = |queue: &Queue| queue.length.load(Ordering::Acquire);
        let longest = self.queues.iter().map(length).max()?;
        let longest = self.queues.iter().filter(|queue| length(queue) >= longest);
        longest.filter_map(Queue::oldest).min()
    }

    /// Numbers and hashes of up to `limit` cancels, the newest first.
    pub(super) fn newest(&self, limit: usize) -> Vec<(u64, u64)> {
        let mut newest: Vec<(u64, u64)> = Vec::new();
        for queue in &self.queues {
            newest.extend(queue.order().iter().rev().take(limit).map(|(number, hash)| (*number, *hash)));
        }
        newest.sort_unstable_by_key(|(number, _)| Reverse(*number));
        newest.truncate(limit);
        newest
    }
}

impl Queue {
    fn oldest(&self) -> Option<(u64, u64)> {
        self.order().first_key_value().map(|(number, hash)| (*number, *hash))
    }

    fn order(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
