//! Counters with one bound for every key: requests of a principal or an address, proofs of a key.
//!
//! Counters are in tables of several shards, each with a lock that is held for one look. Keys are hashed with a secret
//! of the process, so that a client cannot choose its shard or make it collide with another's. A table holds only keys
//! that have taken something.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 64;

/// How much of something each key has taken.
#[derive(Debug)]
pub struct Shares {
    most: usize,
    secret: RandomState,
    shards: Vec<Mutex<HashMap<u64, usize>>>,
}

impl Shares {
    /// Each key may take `most`.
    pub fn new(most: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { most, secret: RandomState::new(), shards }
    }

    /// The hash of a key.
    pub fn key(&self, of: impl Hash) -> u64 {
        self.secret.hash_one(of)
    }

    /// Counts one more of a key, unless it has as many as it may have. Returns whether it was counted.
    pub fn take(&self, key: u64) -> bool {
        let Some(mut shard) = self.shard(key) else { return false };
        let taken = shard.entry(key).or_default();
        if *taken >= self.most {
            return false;
        }
        *taken += 1;
        true
    }

    /// Counts an amount more of a key, unless it would have more than it may have. A key that has nothing may always take
    /// some: one thing that is larger than its share is not out of reach. Returns whether it was counted.
    pub fn take_amount(&self, key: u64, amount: usize) -> bool {
        let Some(mut shard) = self.shard(key) else { return false };
        let taken = shard.get(&key).copied().unwrap_or_default();
        let sum = taken.saturating_add(amount);
        if taken > 0 && sum > self.most {
            return false;
        }
        shard.insert(key, sum);
        true
    }

    /// Counts one less of a key.
    pub fn give_back(&self, key: u64) {
        self.give_back_amount(key, 1);
    }

    /// Counts an amount less of a key.
    pub fn give_back_amount(&self, key: u64, amount: usize) {
        let Some(mut shard) = self.shard(key) else { return };
        if let Some(taken) = shard.get_mut(&key) {
            *taken = taken.saturating_sub(amount);
            if *taken == 0 {
                shard.remove(&key);
            }
        }
    }

    /// How many keys have taken any.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    /// Whether nothing is taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: u64) -> Option<MutexGuard<'_, HashMap<u64, usize>>> {
        let place = usize::try_from(key % SHARDS as u64).unwrap_or_default();
        self.shards.get(place).map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
