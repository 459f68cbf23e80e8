//! What Prometheus reads of requests and decisions.
//!
//! What a request touches is resolved once for each method of a snapshot (`of_methods`), so that no label is
//! looked up on the way of a request that goes well.

use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge};

use super::ShadowInstruments;
use crate::admission::AdmissionStatus;
use crate::metrics::{
    Registry, TracedHistogramVec, counters, gauge, histogram, histograms, traced_histograms, whole,
};
use crate::reason::{DecisionOutcome, DecisionStage, TokenKind};

/// The `reason` of a request that was allowed.
pub const ALLOWED: &str = "ALLOWED";

const OF_REQUESTS: [f64; 15] =
    [5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 120.0, 600.0];
const OF_OVERHEAD: [f64; 10] = [5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.05, 1.0];
const OF_DECISIONS: [f64; 14] =
    [1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0];
const OF_WAITS: [f64; 14] = [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0];

/// The instruments of requests and decisions.
#[derive(Clone, Debug)]
pub struct Instruments {
    pub(super) requests: IntCounterVec,
    pub(super) request_duration: TracedHistogramVec,
    pub(super) overhead: TracedHistogramVec,
    decisions: [[IntCounter; DecisionStage::ALL.len()]; DecisionOutcome::ALL.len()],
    decision_duration: [Histogram; DecisionStage::ALL.len()],
    pub(super) tokens: IntCounterVec,
    issuer_wait: HistogramVec,
    body_wait: Histogram,
    admission: AdmissionInstruments,
    /// Of shadow policies.
    pub shadows: ShadowInstruments,
}

#[derive(Clone, Debug)]
struct AdmissionInstruments {
    in_flight: IntGauge,
    limit: IntGauge,
    pending: IntGauge,
    pending_limit: IntGauge,
}

impl Instruments {
    /// Makes and registers the instruments.
    ///
    /// # Errors
    /// Where another one has the name: a fault of ours.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = counters(
            registry,
            "opgate_requests_total",
            "Requests answered, by API method, HTTP status and reason.",
            &["service", "method", "code", "reason"],
        )?;
        let request_duration = traced_histograms(
            registry,
            "opgate_request_duration_seconds",
            "Time from an allowed request's head to the end of its answer.",
            &["service", "method"],
            &OF_REQUESTS,
        )?;
        let overhead = traced_histograms(
            registry,
            "opgate_overhead_duration_seconds",
            "Time that the gate itself took up to the first byte of an answer: without the backend, issuers and the client's body.",
            &["service"],
            &OF_OVERHEAD,
        )?;
        Ok(Self {
            requests,
            request_duration,
            overhead,
            decisions: decisions(registry)?,
            decision_duration: decision_durations(registry)?,
            tokens: counters(
                registry,
                "opgate_tokens_total",
                "Tokens of requests, by issuer and by what came of them.",
                &["issuer", "kind", "outcome"],
            )?,
            issuer_wait: histograms(
                registry,
                "opgate_issuer_wait_seconds",
                "Time that requests waited for an issuer: for a key, or for what it says of an opaque token (lookup).",
                &["issuer", "for"],
                &OF_WAITS,
            )?,
            body_wait: histogram(
                registry,
                "opgate_body_wait_seconds",
                "Time that requests waited for the body that their client sends.",
                &OF_WAITS,
            )?,
            admission: AdmissionInstruments::register(registry)?,
            shadows: ShadowInstruments::register(registry)?,
        })
    }

    /// Counts a decision.
    pub(super) fn decided(&self, outcome: DecisionOutcome, stage: DecisionStage) {
        if let Some(counter) = self.decisions.get(outcome as usize).and_then(|of| of.get(stage as usize)) {
            counter.inc();
        }
    }

    /// Says how long a stage of a decision took.
    pub(super) fn took(&self, stage: DecisionStage, duration: Duration) {
        if let Some(histogram) = self.decision_duration.get(stage as usize) {
            histogram.observe(duration.as_secs_f64());
        }
    }

    /// Says how long a request waited for an issuer; `why` is `key` or `lookup`.
    pub(super) fn waited_for_issuer(&self, issuer: &str, why: &str, duration: Duration) {
        self.issuer_wait.with_label_values(&[issuer, why]).observe(duration.as_secs_f64());
    }

    /// Says how long a request waited for its body.
    pub(super) fn waited_for_body(&self, duration: Duration) {
        self.body_wait.observe(duration.as_secs_f64());
    }

    /// The series of an issuer that requests may wait for.
    pub(super) fn awaits(&self, issuer: &str, kind: TokenKind) {
        let why = match kind {
            TokenKind::Jwt => "key",
            TokenKind::Opaque => "lookup",
        };
        self.issuer_wait.with_label_values(&[issuer, why]);
    }

    /// Brings the instruments up to the state of this moment, before a scrape.
    pub(super) fn update(&self, admission: &AdmissionStatus) {
        self.admission.in_flight.set(whole(admission.in_flight));
        self.admission.limit.set(whole(admission.limit));
        self.admission.pending.set(whole(admission.pending));
        self.admission.pending_limit.set(whole(admission.pending_limit));
    }
}

fn decisions(
    registry: &Registry,
) -> Result<[[IntCounter; DecisionStage::ALL.len()]; DecisionOutcome::ALL.len()], prometheus::Error> {
    let vec = counters(
        registry,
        "opgate_decisions_total",
        "Decisions: allowed, denied, undecided (a fault of the gate) or pending (an unknown key), by the stage that they came to.",
        &["decision", "stage"],
    )?;
    // All stages of each decision are there from the start, also those that no request can come to.
    let counter = |outcome: DecisionOutcome| {
        DecisionStage::ALL.map(|stage| vec.with_label_values(&[outcome.as_str(), stage.as_str()]))
    };
    Ok(DecisionOutcome::ALL.map(counter))
}

fn decision_durations(
    registry: &Registry,
) -> Result<[Histogram; DecisionStage::ALL.len()], prometheus::Error> {
    let vec = histograms(
        registry,
        "opgate_decision_duration_seconds",
        "Time that a stage of a decision took, waiting left out.",
        &["stage"],
        &OF_DECISIONS,
    )?;
    Ok(DecisionStage::ALL.map(|stage| vec.with_label_values(&[stage.as_str()])))
}

impl AdmissionInstruments {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            in_flight: gauge(registry, "opgate_requests_in_flight", "Allowed requests that are under way.")?,
            limit: gauge(registry, "opgate_requests_limit", "How many may be under way at one time.")?,
            pending: gauge(
                registry,
                "opgate_requests_pending",
                "Requests over HTTP/2 that are not allowed yet.",
            )?,
            pending_limit: gauge(
                registry,
                "opgate_requests_pending_limit",
                "How many of those may wait at one time.",
            )?,
        })
    }
}
