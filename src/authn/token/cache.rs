//! A cache of verified tokens: a client sends one token with every request for an hour, and the result of its check is
//! the same each time.
//!
//! Only the caller is remembered, and nothing that depends on the request: proof of possession, scopes, permission and
//! body are judged on every hit. The key is the whole token, compared to the byte. An entry is good while the key set
//! that verified it is the one in use and the token's own times hold; a set that was replaced (a key may have been
//! withdrawn) or has grown too old ends it. A cache belongs to one [`Authenticator`](crate::authn::Authenticator), so that changed settings
//! end it too. Only verified tokens get in: strangers cannot fill it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, Weighter};

use crate::authn::jwks::KeySet;
use crate::authn::jwks::cache::JwksCache;
use crate::principal::Caller;

/// Most bytes that the cache holds, roughly: some 4,700 ordinary tokens.
const CAPACITY: u64 = 16 << 20;
/// What an entry takes beside its token, roughly.
const OVERHEAD: u64 = 512;
/// What a token and its decoded claims take, in lengths of the token, roughly.
const WITH_CLAIMS: u64 = 3;
/// A token of ordinary size, for the first allocation.
const ORDINARY: u64 = 1024;

/// A token that was accepted.
#[derive(Clone)]
pub(in crate::authn) struct CachedToken {
    /// Where its issuer's keys are.
    pub(in crate::authn) jwks: Arc<JwksCache>,
    /// The key set that verified it.
    pub(in crate::authn) keys: Arc<KeySet>,
    /// The caller.
    pub(in crate::authn) caller: Arc<Caller>,
    /// It is good from here …
    pub(in crate::authn) from: SystemTime,
    /// … to before here, clock skew included.
    pub(in crate::authn) until: SystemTime,
}

/// The counts of the cache since the process started, and how full it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenCacheStatus {
    /// Tokens that were known.
    pub hits: u64,
    /// Tokens that had to be verified.
    pub misses: u64,
    /// Tokens that made room for others.
    pub evictions: u64,
    /// Tokens that are remembered.
    pub entries: usize,
    /// How many of their size could be remembered.
    pub capacity: usize,
}

/// The cache.
pub(in crate::authn) struct TokenCache {
    entries: Cache<Box<str>, CachedToken, TokenWeight, DefaultHashBuilder, EvictionCounter>,
    counts: Arc<CacheCounts>,
}

#[derive(Default)]
struct CacheCounts {
    hits: AtomicU64,
    misses: AtomicU64,
    evictions: AtomicU64,
}

impl TokenCache {
    pub(in crate::authn) fn new() -> Self {
        Self::counting_on(Arc::default())
    }

    /// An empty cache whose counts go on from another's.
    pub(in crate::authn) fn succeeding(previous: &Self) -> Self {
        Self::counting_on(previous.counts.clone())
    }

    fn counting_on(counts: Arc<CacheCounts>) -> Self {
        let items = usize::try_from(CAPACITY / (ORDINARY * WITH_CLAIMS + OVERHEAD)).unwrap_or(usize::MAX);
        let hasher = DefaultHashBuilder::default();
        let entries = Cache::with(items, CAPACITY, TokenWeight, hasher, EvictionCounter(counts.clone()));
        Self { entries, counts }
    }

    /// The caller of a token that was accepted before and would be again.
    pub(in crate::authn) fn recall(&self, token: &str, now: SystemTime) -> Option<Arc<Caller>> {
        let known = self.look_again(token, now);
        self.count(known.is_some());
        known
    }

    /// The same for a token that was counted before.
    pub(in crate::authn) fn look_again(&self, token: &str, now: SystemTime) -> Option<Arc<Caller>> {
        let known = self
            .entries
            .get(token)
            .filter(|known| known.from <= now && now < known.until && known.is_by_keys_in_use(now));
        known.map(|known| known.caller)
    }

    /// Counts a hit or a miss.
    pub(in crate::authn) fn count(&self, known: bool) {
        let counter = if known { &self.counts.hits } else { &self.counts.misses };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Remembers a token that was accepted.
    pub(in crate::authn) fn remember(&self, token: &str, accepted: CachedToken) {
        self.entries.insert(token.into(), accepted);
    }

    pub(in crate::authn) fn status(&self) -> TokenCacheStatus {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let CacheCounts { hits, misses, evictions } = &*self.counts;
        let (entries, weight) = (self.entries.len(), self.entries.weight());
        let each = weight.checked_div(entries as u64).unwrap_or(ORDINARY * WITH_CLAIMS + OVERHEAD);
        let capacity = usize::try_from(self.entries.capacity() / each.max(1)).unwrap_or(usize::MAX);
        TokenCacheStatus {
            hits: count(hits),
            misses: count(misses),
            evictions: count(evictions),
            entries,
            capacity,
        }
    }
}

impl CachedToken {
    /// Whether the key set that verified it is the one in use, and not too old.
    fn is_by_keys_in_use(&self, now: SystemTime) -> bool {
        let jwks = self.jwks.current(now);
        jwks.as_ref()
            .and_then(|jwks| jwks.as_ref())
            .is_some_and(|fetched| Arc::ptr_eq(&fetched.keys, &self.keys))
    }
}

#[derive(Clone)]
struct TokenWeight;

impl Weighter<Box<str>, CachedToken> for TokenWeight {
    fn weight(&self, token: &Box<str>, _: &CachedToken) -> u64 {
        token.len() as u64 * WITH_CLAIMS + OVERHEAD
    }
}

#[derive(Clone)]
struct EvictionCounter(Arc<CacheCounts>);

impl Lifecycle<Box<str>, CachedToken> for EvictionCounter {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _: Box<str>, _: CachedToken) {
        self.0.evictions.fetch_add(1, Ordering::Relaxed);
    }
}
