//! What Prometheus reads of backends.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec, IntGaugeVec, Registry};

use super::EndpointStatus;
use crate::metrics::{counters, gauges, histograms};

const OF_EXCHANGES: [f64; 14] =
    [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// The instruments of upstreams.
#[derive(Clone, Debug)]
pub struct Instruments {
    duration: HistogramVec,
    errors: IntCounterVec,
    refused: IntCounterVec,
    healthy: IntGaugeVec,
}

impl Instruments {
    /// Makes and registers the instruments.
    ///
    /// # Errors
    /// Where another one has the name: a fault of ours.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            duration: histograms(
                registry,
                "opgate_upstream_request_duration_seconds",
                "Time from choosing an endpoint to the end of its answer.",
                &["upstream"],
                &OF_EXCHANGES,
            )?,
            errors: counters(
                registry,
                "opgate_upstream_errors_total",
                "Attempts that an upstream failed, by kind: connect, tls, timeout, invalid, stale, refused, local.",
                &["upstream", "kind"],
            )?,
            refused: counters(
                registry,
                "opgate_upstream_refused_total",
                "Requests that found an upstream full, and none of its places free in time.",
                &["upstream"],
            )?,
            healthy: gauges(
                registry,
                "opgate_upstream_healthy",
                "Whether an endpoint is used in turn: its checks do not fail, and it is not ejected.",
                &["upstream", "endpoint"],
            )?,
        })
    }

    /// Says how long an exchange with `upstream` took.
    pub fn answered(&self, upstream: &str, duration: Duration) {
        self.duration.with_label_values(&[upstream]).observe(duration.as_secs_f64());
    }

    /// Counts an attempt that `upstream` failed.
    pub fn failed(&self, upstream: &str, kind: &str) {
        self.errors.with_label_values(&[upstream, kind]).inc();
    }

    /// Counts a request that found `upstream` full.
    pub fn refused(&self, upstream: &str) {
        self.refused.with_label_values(&[upstream]).inc();
    }

    /// Brings the instruments up to the state of `endpoints`, before a scrape.
    pub fn update(&self, endpoints: &[EndpointStatus]) {
        self.healthy.reset();
        for endpoint in endpoints {
            let address = endpoint.address.to_string();
            let gauge = self.healthy.with_label_values(&[&*endpoint.upstream, address.as_str()]);
            gauge.set(i64::from(endpoint.is_healthy));
        }
    }
}
