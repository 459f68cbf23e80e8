//! The answers of issuers, for as long as they count.
//!
//! The key is the SHA-256 of the token. The token itself is not kept, since a stranger's text may be a secret somewhere
//! else, and an entry's size must not depend on it. Answers about good tokens and other answers are bounded apart:
//! anybody can invent tokens that are not good, and none of them pushes out one that is. A cache belongs to one issuer
//! under one set of settings.

use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::digest;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::principal::Caller;
use crate::reason::Denial;

/// Most bytes of answers about good tokens, roughly: some 8,000 ordinary ones.
const GOOD_CAPACITY: u64 = 16 << 20;
/// Most bytes of other answers: some 8,000 tokens, of whatever size.
const BAD_CAPACITY: u64 = 4 << 20;
/// What an entry takes beside the answer, roughly.
const OVERHEAD: u64 = 512;
/// What the members of an answer take, in lengths of the answer, roughly.
const WITH_MEMBERS: u64 = 3;
/// An answer of ordinary size, for the first allocation.
const ORDINARY: u64 = 512;

/// The caller of a token, or why it has none.
pub(super) type JudgedToken = Result<Arc<Caller>, Denial>;

/// The hash of a token.
pub(super) type TokenDigest = [u8; 32];

/// The key of a token.
pub(super) fn key(token: &str) -> TokenDigest {
    let mut key = TokenDigest::default();
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    for (byte, hashed) in key.iter_mut().zip(digest.as_ref()) {
        *byte = *hashed;
    }
    key
}

/// A time span.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validity {
    pub(super) from: SystemTime,
    /// The first moment after it.
    pub(super) until: SystemTime,
}

impl Validity {
    fn covers(self, now: SystemTime) -> bool {
        self.from <= now && now < self.until
    }
}

#[derive(Clone)]
struct CachedCaller {
    caller: Arc<Caller>,
    during: Validity,
    weight: u64,
}

#[derive(Clone)]
struct CachedDenial {
    denial: Denial,
    during: Validity,
}

/// The answers of one issuer.
pub(super) struct VerdictCache {
    good: Cache<TokenDigest, CachedCaller, VerdictWeight>,
    bad: Cache<TokenDigest, CachedDenial, VerdictWeight>,
}

impl VerdictCache {
    pub(super) fn new() -> Self {
        let items = |capacity: u64, each: u64| usize::try_from(capacity / each).unwrap_or(usize::MAX);
        Self {
            good: Cache::with_weighter(
                items(GOOD_CAPACITY, ORDINARY * WITH_MEMBERS + OVERHEAD),
                GOOD_CAPACITY,
                VerdictWeight,
            ),
            bad: Cache::with_weighter(items(BAD_CAPACITY, OVERHEAD), BAD_CAPACITY, VerdictWeight),
        }
    }

    /// The issuer's answer about a token, where that still holds.
    pub(super) fn recall(&self, key: &TokenDigest, now: SystemTime) -> Option<Result<Arc<Caller>, Denial>> {
        if let Some(good) = self.good.get(key).filter(|good| good.during.covers(now)) {
            return Some(Ok(good.caller));
        }
        self.bad.get(key).filter(|bad| bad.during.covers(now)).map(|bad| Err(bad.denial))
    }

    /// Whether a token was good when its issuer was last asked, however long ago: as far as memory goes.
    pub(super) fn was_good(&self, key: &TokenDigest) -> bool {
        self.good.peek(key).is_some()
    }

    /// Remembers a good token. `length` is that of the answer.
    pub(super) fn good(&self, key: TokenDigest, caller: Arc<Caller>, during: Validity, length: usize) {
        self.bad.remove(&key);
        let weight = OVERHEAD + length as u64 * WITH_MEMBERS;
        self.good.insert(key, CachedCaller { caller, during, weight });
    }

    /// Remembers why a token is not good.
    pub(super) fn bad(&self, key: TokenDigest, denial: Denial, during: Validity) {
        self.good.remove(&key);
        self.bad.insert(key, CachedDenial { denial, during });
    }

    /// Remembers that there was no answer about a token. An earlier answer is kept.
    pub(super) fn nothing(&self, key: TokenDigest, denial: Denial, during: Validity) {
        self.bad.insert(key, CachedDenial { denial, during });
    }
}

#[derive(Clone)]
struct VerdictWeight;

impl Weighter<TokenDigest, CachedCaller> for VerdictWeight {
    fn weight(&self, _: &TokenDigest, good: &CachedCaller) -> u64 {
        good.weight
    }
}

impl Weighter<TokenDigest, CachedDenial> for VerdictWeight {
    fn weight(&self, _: &TokenDigest, _: &CachedDenial) -> u64 {
        OVERHEAD
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::Map;

    use super::*;
    use crate::principal::Scopes;
    use crate::principal::{Principal, PrincipalSets};
    use crate::reason::Reason;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    const HOUR: Validity = Validity { from: UNIX_EPOCH, until: SystemTime::UNIX_EPOCH };

    fn hour() -> Validity {
        Validity { until: at(3600), ..HOUR }
    }

    fn caller() -> Arc<Caller> {
        Arc::new(Caller {
            issuer: "example".into(),
            subject: None,
            principal: Principal::user("ana@example.com").unwrap(),
            sets: PrincipalSets::default(),
            scopes: Scopes::default(),
            confirmation: None,
            own_key: None,
            expires: at(3600),
            claims: Some(Map::new()),
        })
    }

    fn denial(detail: &'static str) -> Denial {
        Denial::new(Reason::TokenInvalid, detail)
    }

    #[test]
    fn news_hold_for_their_time_alone() {
        let answers = VerdictCache::new();
        let during = Validity { from: at(10), until: at(20) };
        answers.good(key("good"), caller(), during, 100);
        answers.bad(key("bad"), denial("bad"), during);
        for (seconds, known) in [(9, false), (10, true), (19, true), (20, false)] {
            assert_eq!(answers.recall(&key("good"), at(seconds)).is_some(), known, "{seconds}");
            assert_eq!(answers.recall(&key("bad"), at(seconds)).is_some(), known, "{seconds}");
        }
        assert!(answers.was_good(&key("good")) && !answers.was_good(&key("bad")));
        assert!(answers.recall(&key("goo"), at(10)).is_none());
    }

    #[test]
    fn the_last_word_holds() {
        let answers = VerdictCache::new();
        let token = key("token");
        answers.good(token, caller(), hour(), 100);
        answers.bad(token, denial("revoked"), hour());
        assert_eq!(answers.recall(&token, at(0)).unwrap().unwrap_err().detail(), "revoked");
        assert!(!answers.was_good(&token));
        answers.good(token, caller(), hour(), 100);
        assert!(answers.recall(&token, at(0)).unwrap().is_ok());
        // A failed lookup does not count against the token.
        answers.nothing(token, denial("nothing"), hour());
        assert!(answers.recall(&token, at(0)).unwrap().is_ok());
    }

    #[test]
    fn invented_tokens_push_out_no_good_one() {
        let answers = VerdictCache::new();
        for number in 0..1_000 {
            answers.good(key(&format!("good {number}")), caller(), hour(), 300);
        }
        for number in 0..100_000 {
            answers.bad(key(&format!("invented {number}")), denial("inactive"), hour());
        }
        assert!((0..1_000).all(|number| answers.recall(&key(&format!("good {number}")), at(0)).is_some()));
        assert!(answers.bad.weight() <= BAD_CAPACITY && answers.bad.len() > 1_000, "{}", answers.bad.len());
    }

    #[test]
    fn large_answers_are_bounded_in_bytes() {
        let answers = VerdictCache::new();
        for number in 0..2_000 {
            answers.good(key(&format!("{number}")), caller(), hour(), 60_000);
        }
        assert!(answers.good.weight() <= GOOD_CAPACITY);
        assert!((1..100).contains(&answers.good.len()), "{}", answers.good.len());
    }
}
