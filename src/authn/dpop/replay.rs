//! The used proofs, for as long as they would be good: each is good once (RFC 9449, section 11.1).
//!
//! No proof is forgotten early. Where there is no room for another, that one is refused. After the clock was set back,
//! a proof may end before some that were forgotten already: it may be one of them, so it is refused. Only proofs
//! without any other fault get here, so a client needs a key of its own to fill the memory; and one key has a share of
//! it, so it needs many.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::hmac;

use crate::shares::Shares;

/// Each has a lock of its own.
const SHARDS: usize = 64;
/// Most proofs of a shard: a million in all, of some 60 bytes: 64 MiB. More than 10,000 each second for 90 seconds.
const MOST_IN_SHARD: usize = 16 * 1024;
/// Most proofs of one key: a sixteenth of all. More than 700 each second for 90 seconds.
const MOST_OF_KEY: usize = 64 * 1024;

/// The tag of a proof.
pub(super) type ProofId = u128;

/// The tag of a key's proof. It is keyed, so a client cannot choose its shard, or make it collide with another.
pub(super) fn id(secret: &hmac::Key, thumbprint: &str, jti: &str) -> ProofId {
    let tag = hmac::sign(secret, [b"used", thumbprint.as_bytes(), b" ", jti.as_bytes()].concat().as_slice());
    tag.as_ref().iter().take(16).fold(0, |id, byte| id << 8 | ProofId::from(*byte))
}

/// The memory.
pub(super) struct ReplayCache {
    shards: Vec<Mutex<Shard>>,
    /// How many proofs of each key are remembered. Its locks are taken within those of shards, never the other way round.
    keys: Shares,
}

#[derive(Default)]
struct Shard {
    ids: HashSet<ProofId>,
    /// The same by the second in which they end, each with the tag of its key.
    ends: BTreeMap<u64, Vec<(ProofId, u64)>>,
    /// Proofs that ended by then may be forgotten.
    forgotten: u64,
}

/// Why a proof is not entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplayError {
    /// It is there.
    Used,
    /// It may have been used.
    TooLate,
    /// There is no room.
    Full,
    /// There is none for this key.
    KeyFull,
}

impl ReplayCache {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), keys: Shares::new(MOST_OF_KEY) }
    }

    /// How many are remembered.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).ids.len()).sum()
    }

    /// Remembers a proof by the key of this thumbprint until the second in which it ends. Of several threads that enter
    /// one at the same time, one succeeds.
    ///
    /// # Errors
    /// Where it is not certain that this is the first time.
    pub(super) fn enter(&self, id: ProofId, thumbprint: &str, end: u64, now: u64) -> Result<(), ReplayError> {
        let place = usize::try_from(id % SHARDS as ProofId).unwrap_or_default();
        let shard = self.shards.get(place).ok_or(ReplayError::Full)?;
        let key = self.keys.key(thumbprint);
        shard.lock().unwrap_or_else(PoisonError::into_inner).enter((id, key), end, now, &self.keys)
    }
}

impl Shard {
    fn enter(
        &mut self,
        (id, key): (ProofId, u64),
        end: u64,
        now: u64,
        keys: &Shares,
    ) -> Result<(), ReplayError> {
        self.forget(now, keys);
        if end <= self.forgotten {
            return Err(ReplayError::TooLate);
        }
        if self.ids.contains(&id) {
            return Err(ReplayError::Used);
        }
        if self.ids.len() >= MOST_IN_SHARD {
            return Err(ReplayError::Full);
        }
        if !keys.take(key) {
            return Err(ReplayError::KeyFull);
        }
        self.ids.insert(id);
        self.ends.entry(end).or_default().push((id, key));
        Ok(())
    }

    fn forget(&mut self, now: u64, keys: &Shares) {
        while let Some(entry) = self.ends.first_entry().filter(|entry| *entry.key() <= now) {
            let (end, ids) = entry.remove_entry();
            for (id, key) in ids {
                self.ids.remove(&id);
                keys.give_back(key);
            }
            self.forgotten = self.forgotten.max(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const KEY: &str = "key";

    #[test]
    fn a_proof_is_good_once_until_it_ends() {
        let used = ReplayCache::new();
        for now in 100..160 {
            let entered = used.enter(7, KEY, 160, now);
            assert_eq!(entered.is_ok(), now == 100, "{now}");
        }
        assert_eq!(used.enter(7, KEY, 160, 159), Err(ReplayError::Used));
        assert_eq!(used.enter(7 + SHARDS as ProofId, KEY, 160, 159), Ok(()));
        assert_eq!(used.len(), 2);
        // What has ended is forgotten, and is good no more either.
        assert_eq!(used.enter(7, KEY, 160, 160), Err(ReplayError::TooLate));
        assert_eq!(used.len(), 0);
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_proof_good_again() {
        let used = ReplayCache::new();
        used.enter(7, KEY, 160, 100).unwrap();
        used.enter(7, KEY, 300, 200).unwrap();
        for now in [100, 150, 199] {
            assert_eq!(used.enter(7, KEY, 160, now), Err(ReplayError::TooLate), "{now}");
            assert_eq!(used.enter(7, KEY, 300, now), Err(ReplayError::Used), "{now}");
        }
    }

    /// Proofs that were never entered cannot have been forgotten: they are good at once, not only when the clock has
    /// caught up.
    #[test]
    fn a_clock_that_was_an_hour_ahead_for_a_moment_refuses_no_good_proof() {
        let used = ReplayCache::new();
        used.enter(7, KEY, 160, 100).unwrap();
        used.enter(7 + SHARDS as ProofId, KEY, 3_860, 3_800).unwrap();
        assert_eq!(used.enter(7, KEY, 160, 101), Err(ReplayError::TooLate));
        assert_eq!(used.enter(7 + 2 * SHARDS as ProofId, KEY, 161, 101), Ok(()));
    }

    #[test]
    fn a_full_memory_takes_no_more_and_forgets_nothing() {
        let used = ReplayCache::new();
        let most = MOST_IN_SHARD as ProofId;
        let in_one_shard = |number: ProofId| number * SHARDS as ProofId;
        for number in 0..most {
            used.enter(in_one_shard(number), KEY, 160, 100).unwrap();
        }
        assert_eq!(used.enter(in_one_shard(most), KEY, 160, 100), Err(ReplayError::Full));
        assert!(
            (0..most).all(|number| used.enter(in_one_shard(number), KEY, 160, 159) == Err(ReplayError::Used))
        );
        // The others have room, and this one has it again once they end.
        assert_eq!(used.enter(1, KEY, 160, 159), Ok(()));
        assert_eq!(used.enter(in_one_shard(most), KEY, 220, 160), Ok(()));
    }

    #[test]
    fn one_key_fills_its_share_and_no_others() {
        let used = ReplayCache::new();
        let most = MOST_OF_KEY as ProofId;
        for number in 0..most {
            used.enter(number, "greedy", 160, 100).unwrap();
        }
        assert_eq!(used.enter(most, "greedy", 160, 100), Err(ReplayError::KeyFull));
        // Used proofs stay used, and others have by far the most room.
        assert_eq!(used.enter(0, "greedy", 160, 159), Err(ReplayError::Used));
        for number in 1..10 * most {
            used.enter(most + number, if number % 2 == 0 { "ana" } else { "ben" }, 160, 100)
                .or_else(|refused| if refused == ReplayError::KeyFull { Ok(()) } else { Err(refused) })
                .unwrap();
        }
        assert_eq!(used.len(), 3 * MOST_OF_KEY);
        // Once they end, it has its share again, and nothing is left of the others.
        assert_eq!(used.enter(most, "greedy", 220, 160), Ok(()));
        for shard in 0..SHARDS as ProofId {
            used.enter(20 * most + shard, "cleo", 220, 160).unwrap();
        }
        let keys: usize = used.keys.len();
        assert_eq!((used.len(), keys), (1 + SHARDS, 2));
    }

    #[test]
    fn of_many_at_the_same_time_one_is_the_first() {
        let used = ReplayCache::new();
        for proof in 0..100 {
            let first = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        if used.enter(proof, KEY, 160, 100).is_ok() {
                            first.fetch_add(1, Ordering::SeqCst);
                        }
                    });
                }
            });
            assert_eq!(first.load(Ordering::SeqCst), 1);
        }
    }

    #[test]
    fn an_id_is_of_one_key_and_one_process() {
        let secrets = [1, 2].map(|byte| hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32]));
        let ids = [
            id(&secrets[0], "key", "jti"),
            id(&secrets[0], "key", "jtj"),
            id(&secrets[0], "kez", "jti"),
            id(&secrets[1], "key", "jti"),
        ];
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        assert_eq!(id(&secrets[0], "key", "jti"), ids[0]);
    }
}
