//! What Prometheus reads of authentication: known tokens, used proofs, lookups of opaque tokens, key sets.

use std::time::SystemTime;

use prometheus::{GaugeVec, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::introspection::{Lookup, LookupOutcome};
use super::jwks::refresh;
use super::token::cache::TokenCacheStatus;
use super::{Authenticator, KeyExpiry, KeySetStatus};
use crate::metrics::{
    Registry, counter, counters, gauge, gauges, histograms, instants, seconds, seconds_or_nan, whole,
};
use crate::reason::TokenKind;

/// The instruments of authentication. One set for the life of the process: a reload replaces the [`Authenticator`] alone.
#[derive(Clone, Debug)]
pub struct Instruments {
    tokens: TokenCacheInstruments,
    proofs: IntGauge,
    lookups: LookupInstruments,
    keys: KeySetInstruments,
}

#[derive(Clone, Debug)]
struct TokenCacheInstruments {
    hits: IntCounter,
    misses: IntCounter,
    evictions: IntCounter,
    entries: IntGauge,
    capacity: IntGauge,
}

#[derive(Clone, Debug)]
struct LookupInstruments {
    total: IntCounterVec,
    duration: HistogramVec,
}

#[derive(Clone, Debug)]
struct KeySetInstruments {
    keys: IntGaugeVec,
    last_success: GaugeVec,
    expiry: GaugeVec,
    refreshes: IntCounterVec,
}

impl Instruments {
    /// Makes and registers the instruments.
    ///
    /// # Errors
    /// Where another one has the name: a fault of ours.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            tokens: TokenCacheInstruments::register(registry)?,
            proofs: gauge(
                registry,
                "opgate_dpop_proofs",
                "Proofs that are remembered, so that none is accepted twice.",
            )?,
            lookups: LookupInstruments::register(registry)?,
            keys: KeySetInstruments::register(registry)?,
        })
    }

    /// Counts a lookup of an opaque token.
    pub fn looked_up(&self, lookup: &Lookup<'_>) {
        self.lookups.total.with_label_values(&[lookup.issuer, lookup.outcome.as_str()]).inc();
        if let Some(duration) = lookup.duration {
            let durations = self.lookups.duration.with_label_values(&[lookup.issuer]);
            durations.observe(duration.as_secs_f64());
        }
    }

    /// Brings the instruments up to the state of `authn`, before a scrape.
    pub fn update(&self, authn: &Authenticator, now: SystemTime) {
        self.tokens.update(authn.token_cache());
        self.proofs.set(whole(authn.proofs_remembered()));
        for status in authn.key_sets(now) {
            self.keys.update(&status);
        }
        let opaque = authn.token_issuers().filter(|(_, kind)| *kind == TokenKind::Opaque);
        opaque.for_each(|(issuer, _)| self.lookups.begin(issuer));
    }
}

impl TokenCacheInstruments {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            hits: counter(
                registry,
                "opgate_token_cache_hits_total",
                "Tokens that had been verified before.",
            )?,
            misses: counter(registry, "opgate_token_cache_misses_total", "Tokens that had to be verified.")?,
            evictions: counter(
                registry,
                "opgate_token_cache_evictions_total",
                "Verified tokens that made room for others.",
            )?,
            entries: gauge(registry, "opgate_token_cache_entries", "Verified tokens that are remembered.")?,
            capacity: gauge(
                registry,
                "opgate_token_cache_capacity",
                "How many tokens of the present size could be remembered.",
            )?,
        })
    }

    fn update(&self, status: TokenCacheStatus) {
        raise(&self.hits, status.hits);
        raise(&self.misses, status.misses);
        raise(&self.evictions, status.evictions);
        self.entries.set(whole(status.entries));
        self.capacity.set(whole(status.capacity));
    }
}

impl LookupInstruments {
    /// The series of an issuer that is asked.
    fn begin(&self, issuer: &str) {
        for outcome in LookupOutcome::ALL {
            self.total.with_label_values(&[issuer, outcome.as_str()]);
        }
        self.duration.with_label_values(&[issuer]);
    }

    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            total: counters(
                registry,
                "opgate_token_lookups_total",
                "Questions about opaque tokens, by outcome: active, inactive, refused, failed, unasked.",
                &["issuer", "outcome"],
            )?,
            duration: histograms(
                registry,
                "opgate_token_lookup_duration_seconds",
                "Time that an issuer took to answer about an opaque token.",
                &["issuer"],
                &[1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0],
            )?,
        })
    }
}

impl KeySetInstruments {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            keys: gauges(registry, "opgate_jwks_keys", "Usable keys, by issuer.", &["issuer"])?,
            last_success: instants(
                registry,
                "opgate_jwks_last_success_timestamp_seconds",
                "When an issuer's keys were last loaded; `NaN` before the first time.",
                &["issuer"],
            )?,
            expiry: instants(
                registry,
                "opgate_jwks_expiry_timestamp_seconds",
                "When the keys that are held are used no longer, if no fetch succeeds; `+Inf` for a file.",
                &["issuer"],
            )?,
            refreshes: counters(
                registry,
                "opgate_jwks_refreshes_total",
                "Attempts to load an issuer's keys, by outcome: success, or the cause of the failure.",
                &["issuer", "outcome"],
            )?,
        })
    }

    fn update(&self, status: &KeySetStatus) {
        let issuer = status.issuer.as_str();
        self.keys.with_label_values(&[issuer]).set(whole(status.keys));
        self.last_success.with_label_values(&[issuer]).set(seconds_or_nan(status.last_success));
        let expiry = match status.expiry {
            KeyExpiry::None => f64::NAN,
            KeyExpiry::At(time) => seconds(time),
            KeyExpiry::Never => f64::INFINITY,
        };
        self.expiry.with_label_values(&[issuer]).set(expiry);
        // The keys of a file are not fetched.
        let outcomes: &[&str] = if status.expiry == KeyExpiry::Never { &[] } else { &refresh::OUTCOMES };
        for outcome in outcomes {
            self.refreshes.with_label_values(&[issuer, outcome]);
        }
        for (outcome, count) in &status.refreshes {
            raise(&self.refreshes.with_label_values(&[issuer, outcome]), *count);
        }
    }
}

/// Sets a counter to a count that is kept elsewhere.
fn raise(counter: &IntCounter, count: u64) {
    counter.inc_by(count.saturating_sub(counter.get()));
}
