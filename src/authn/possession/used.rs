//! The proofs that were used, for as long as they would be good: each is good once (RFC 9449, section 11.1).
//!
//! None is forgotten early. Where there is no room for another, that one is refused; and a proof that ends before
//! something was forgotten (the clock has been set back) may be what was forgotten. Only proofs that hold in everything
//! else get here, so that it takes a key of one's own to fill the memory.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::hmac;

/// Each has a lock of its own.
const SHARDS: usize = 64;
/// Most proofs of a shard: a million in all, of some 50 bytes. More than 10,000 each second for 90 seconds.
const MOST_IN_SHARD: usize = 16 * 1024;

/// What stands for a proof.
pub(super) type Id = u128;

/// The id of a key's proof. Nobody can choose in which shard it comes to lie, or what else it is taken for.
pub(super) fn id(secret: &hmac::Key, thumbprint: &str, jti: &str) -> Id {
    let tag = hmac::sign(secret, [b"used", thumbprint.as_bytes(), b" ", jti.as_bytes()].concat().as_slice());
    tag.as_ref().iter().take(16).fold(0, |id, byte| id << 8 | Id::from(*byte))
}

/// The memory.
pub(super) struct UsedProofs(Vec<Mutex<Shard>>);

#[derive(Default)]
struct Shard {
    ids: HashSet<Id>,
    /// The same by the second in which they end.
    ends: BTreeMap<u64, Vec<Id>>,
    /// What ends by then may be forgotten.
    forgotten: u64,
}

/// Why a proof is not entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is there.
    Used,
    /// It may have been there.
    TooLate,
    /// There is no room.
    Full,
}

impl UsedProofs {
    pub(super) fn new() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }

    /// How many are remembered.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).ids.len()).sum()
    }

    /// Remembers a proof until the second in which it ends. Of several that enter one at the same time, one succeeds.
    ///
    /// # Errors
    /// Where it cannot be told that this is the first time.
    pub(super) fn enter(&self, id: Id, end: u64, now: u64) -> Result<(), Refused> {
        let place = usize::try_from(id % SHARDS as Id).unwrap_or_default();
        let shard = self.0.get(place).ok_or(Refused::Full)?;
        shard.lock().unwrap_or_else(PoisonError::into_inner).enter(id, end, now)
    }
}

impl Shard {
    fn enter(&mut self, id: Id, end: u64, now: u64) -> Result<(), Refused> {
        self.forget(now);
        if end <= self.forgotten {
            return Err(Refused::TooLate);
        }
        if self.ids.contains(&id) {
            return Err(Refused::Used);
        }
        if self.ids.len() >= MOST_IN_SHARD {
            return Err(Refused::Full);
        }
        self.ids.insert(id);
        self.ends.entry(end).or_default().push(id);
        Ok(())
    }

    fn forget(&mut self, now: u64) {
        while let Some(entry) = self.ends.first_entry().filter(|entry| *entry.key() <= now) {
            let (end, ids) = entry.remove_entry();
            for id in ids {
                self.ids.remove(&id);
            }
            self.forgotten = self.forgotten.max(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_proof_is_good_once_until_it_ends() {
        let used = UsedProofs::new();
        for now in 100..160 {
            let entered = used.enter(7, 160, now);
            assert_eq!(entered.is_ok(), now == 100, "{now}");
        }
        assert_eq!(used.enter(7, 160, 159), Err(Refused::Used));
        assert_eq!(used.enter(7 + SHARDS as Id, 160, 159), Ok(()));
        assert_eq!(used.len(), 2);
        // What has ended is forgotten, and is good no more either.
        assert_eq!(used.enter(7, 160, 160), Err(Refused::TooLate));
        assert_eq!(used.len(), 0);
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_proof_good_again() {
        let used = UsedProofs::new();
        used.enter(7, 160, 100).unwrap();
        used.enter(7, 300, 200).unwrap();
        for now in [100, 150, 199] {
            assert_eq!(used.enter(7, 160, now), Err(Refused::TooLate), "{now}");
            assert_eq!(used.enter(7, 300, now), Err(Refused::Used), "{now}");
        }
    }

    /// What was never there cannot have been forgotten: nobody waits for the clock to come by again.
    #[test]
    fn a_clock_that_was_an_hour_ahead_for_a_moment_shuts_nobody_out() {
        let used = UsedProofs::new();
        used.enter(7, 160, 100).unwrap();
        used.enter(7 + SHARDS as Id, 3_860, 3_800).unwrap();
        assert_eq!(used.enter(7, 160, 101), Err(Refused::TooLate));
        assert_eq!(used.enter(7 + 2 * SHARDS as Id, 161, 101), Ok(()));
    }

    #[test]
    fn a_full_memory_takes_no_more_and_forgets_nothing() {
        let used = UsedProofs::new();
        let most = MOST_IN_SHARD as Id;
        let in_one_shard = |number: Id| number * SHARDS as Id;
        for number in 0..most {
            used.enter(in_one_shard(number), 160, 100).unwrap();
        }
        assert_eq!(used.enter(in_one_shard(most), 160, 100), Err(Refused::Full));
        assert!((0..most).all(|number| used.enter(in_one_shard(number), 160, 159) == Err(Refused::Used)));
        // The others have room, and this one has it again once they end.
        assert_eq!(used.enter(1, 160, 159), Ok(()));
        assert_eq!(used.enter(in_one_shard(most), 220, 160), Ok(()));
    }

    #[test]
    fn of_many_at_the_same_time_one_is_the_first() {
        let used = UsedProofs::new();
        for proof in 0..100 {
            let first = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        if used.enter(proof, 160, 100).is_ok() {
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
