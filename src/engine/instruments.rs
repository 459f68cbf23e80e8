//! What Prometheus reads of requests and decisions.
//!
//! What a request touches is resolved once for each method of a snapshot ([`MethodInstruments`]); the rest looks its child up.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, Registry};

use super::ShadowInstruments;
use crate::catalog::Method;
use crate::metrics::{counters, histograms};

/// Label values of a request that calls no known method.
const UNROUTED: &str = "";
/// The `reason` of a request that was allowed.
pub const ALLOWED: &str = "ALLOWED";

const OF_REQUESTS: [f64; 15] =
    [5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];
const OF_DECISIONS: [f64; 13] = [1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 1e-2, 0.1, 1.0];

/// The instruments of requests and decisions.
#[derive(Clone, Debug)]
pub struct Instruments {
    requests: IntCounterVec,
    request_duration: HistogramVec,
    judge_duration: Histogram,
    body_duration: Histogram,
    /// Of shadow policies.
    pub shadows: ShadowInstruments,
}

/// The instruments of one method's ordinary outcome.
#[derive(Debug)]
pub struct MethodInstruments {
    /// Allowed and answered 200.
    pub allowed: IntCounter,
    /// From the head's last byte to the answer's last.
    pub duration: Histogram,
}

impl Instruments {
    /// Makes and registers the instruments.
    ///
    /// # Errors
    /// Where another one has the name: a fault of ours.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let decisions = histograms(
            registry,
            "opgate_decision_duration_seconds",
            "Time to decide a request, by stage.",
            &["stage"],
            &OF_DECISIONS,
        )?;
        Ok(Self {
            requests: counters(
                registry,
                "opgate_requests_total",
                "Requests answered, by API method, HTTP status and reason.",
                &["service", "method", "code", "reason"],
            )?,
            request_duration: histograms(
                registry,
                "opgate_request_duration_seconds",
                "Time from a request's head to the end of its answer.",
                &["service", "method"],
                &OF_REQUESTS,
            )?,
            judge_duration: decisions.with_label_values(&["judge"]),
            body_duration: decisions.with_label_values(&["body"]),
            shadows: ShadowInstruments::register(registry)?,
        })
    }

    /// The instruments of a snapshot's methods, by [`Method::index`].
    pub fn of_methods(&self, methods: &[Arc<Method>]) -> Vec<MethodInstruments> {
        let instruments = |method: &Arc<Method>| {
            let labels = [method.service.name.as_str(), method.name.as_str()];
            let [service, name] = labels;
            MethodInstruments {
                allowed: self.requests.with_label_values(&[service, name, "200", ALLOWED]),
                duration: self.request_duration.with_label_values(&labels),
            }
        };
        methods.iter().map(instruments).collect()
    }

    /// Counts a request whose outcome has no instrument of its own.
    pub fn count(&self, method: Option<&Method>, status: u16, reason: &str) {
        let (service, name) = method
            .map_or((UNROUTED, UNROUTED), |method| (method.service.name.as_str(), method.name.as_str()));
        self.requests.with_label_values(&[service, name, status.to_string().as_str(), reason]).inc();
    }

    /// Says how long a decision took, waiting apart.
    pub fn decided(&self, duration: Duration) {
        self.judge_duration.observe(duration.as_secs_f64());
    }

    /// Says how long a body took to come and to be judged.
    pub fn took_body(&self, duration: Duration) {
        self.body_duration.observe(duration.as_secs_f64());
    }
}
