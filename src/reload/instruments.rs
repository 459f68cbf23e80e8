//! What Prometheus reads of reloads: the policy in force, and each part.

use std::time::SystemTime;

use prometheus::{GaugeVec, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec};

use crate::config::ConfigPart;
use crate::decision::snapshot::Snapshot;
use crate::metrics::{Registry, counters, gauge, gauges, histograms, instants, seconds};

/// What came of an attempt to load a part.
const SUCCESS: &str = "success";
const FAILURE: &str = "failure";

const OF_LAGS: [f64; 8] = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0];

/// The instruments of reloads.
#[derive(Clone, Debug)]
pub struct Instruments {
    policy: PolicyInstruments,
    parts: PartInstruments,
}

#[derive(Clone, Debug)]
struct PolicyInstruments {
    info: IntGaugeVec,
    bindings: IntGauge,
    is_successful: IntGauge,
    timestamp: GaugeVec,
}

#[derive(Clone, Debug)]
struct PartInstruments {
    total: IntCounterVec,
    is_successful: IntGaugeVec,
    timestamp: GaugeVec,
    lag: HistogramVec,
}

impl Instruments {
    /// Makes and registers the instruments.
    ///
    /// # Errors
    /// Where another one has the name: a fault of ours.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            policy: PolicyInstruments::register(registry)?,
            parts: PartInstruments::register(registry)?,
        })
    }

    /// Says which policy is in force.
    pub fn policy_loaded(&self, snapshot: &Snapshot) {
        self.policy.info.reset();
        self.policy.info.with_label_values(&[snapshot.revision.as_str()]).set(1);
        self.policy.bindings.set(i64::try_from(snapshot.policy.counts().bindings).unwrap_or(i64::MAX));
        self.policy.is_successful.set(1);
    }

    /// Says that it is another one than before.
    pub fn policy_changed(&self, now: SystemTime) {
        self.policy.timestamp.with_label_values::<&str>(&[]).set(seconds(now));
    }

    /// Says that the files on disk are not the policy in force.
    pub(super) fn policy_refused(&self) {
        self.policy.is_successful.set(0);
    }

    /// Says that every part was loaded at the start.
    pub(super) fn parts_loaded(&self, now: SystemTime) {
        for part in ConfigPart::ALL {
            // Series that begin at zero show their first increase.
            for outcome in [SUCCESS, FAILURE] {
                self.parts.total.with_label_values(&[part.as_str(), outcome]);
            }
            self.parts.lag.with_label_values(&[part.as_str()]);
            self.parts.is_successful.with_label_values(&[part.as_str()]).set(1);
            self.parts.timestamp.with_label_values(&[part.as_str()]).set(seconds(now));
        }
    }

    /// Counts an attempt to load a part.
    pub(super) fn part_loaded(&self, part: ConfigPart, is_loaded: bool, now: SystemTime) {
        let outcome = if is_loaded { SUCCESS } else { FAILURE };
        self.parts.total.with_label_values(&[part.as_str(), outcome]).inc();
        if is_loaded {
            self.parts.timestamp.with_label_values(&[part.as_str()]).set(seconds(now));
        }
    }

    /// Counts an attempt that found the part as it is in force.
    pub(super) fn part_is_the_same(&self, part: ConfigPart) {
        self.parts.total.with_label_values(&[part.as_str(), SUCCESS]).inc();
    }

    /// Says whether a part is as its files say.
    pub(super) fn part_is_good(&self, part: ConfigPart, is_good: bool) {
        self.parts.is_successful.with_label_values(&[part.as_str()]).set(i64::from(is_good));
    }

    /// Says how long a change took to be in force.
    pub(super) fn part_lagged(&self, part: ConfigPart, changed: SystemTime, now: SystemTime) {
        let lag = now.duration_since(changed).unwrap_or_default();
        self.parts.lag.with_label_values(&[part.as_str()]).observe(lag.as_secs_f64());
    }
}

impl PolicyInstruments {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let made = Self {
            info: gauges(
                registry,
                "opgate_policy_info",
                "The policy tree in force; always 1.",
                &["revision"],
            )?,
            bindings: gauge(registry, "opgate_policy_bindings", "Role bindings in force.")?,
            is_successful: gauge(
                registry,
                "opgate_policy_last_reload_successful",
                "Whether the last attempt to load the policy tree succeeded.",
            )?,
            timestamp: instants(
                registry,
                "opgate_policy_last_reload_success_timestamp_seconds",
                "When the policy tree in force was loaded.",
                &[],
            )?,
        };
        made.timestamp.with_label_values::<&str>(&[]).set(f64::NAN);
        Ok(made)
    }
}

impl PartInstruments {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            total: counters(
                registry,
                "opgate_reloads_total",
                "Attempts to load a part anew, by outcome: success, failure.",
                &["part", "outcome"],
            )?,
            is_successful: gauges(
                registry,
                "opgate_reload_last_successful",
                "Whether a part is as its files say: 0 where it keeps its last good state.",
                &["part"],
            )?,
            timestamp: instants(
                registry,
                "opgate_reload_last_success_timestamp_seconds",
                "When a part was last loaded.",
                &["part"],
            )?,
            lag: histograms(
                registry,
                "opgate_reload_lag_seconds",
                "Time from the change of a file until it was in force: how long a revocation takes.",
                &["part"],
                &OF_LAGS,
            )?,
        })
    }
}
