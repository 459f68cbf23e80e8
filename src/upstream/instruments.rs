//! What Prometheus reads of backends.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec};

use super::{EndpointStatus, UpstreamRoom};
use crate::metrics::{Registry, counters, gauges, histograms, whole};

const OF_ANSWERS: [f64; 16] =
    [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 120.0];

/// How an attempt may fail: the values of the label `kind`.
pub const ERROR_KINDS: [&str; 8] =
    ["connect", "tls", "timeout", "invalid", "stale", "refused", "local", "untranscodable"];

/// The instruments of upstreams.
#[derive(Clone, Debug)]
pub struct Instruments {
    attempts: IntCounterVec,
    retries: IntCounterVec,
    head: HistogramVec,
    errors: IntCounterVec,
    overflow: IntCounterVec,
    endpoints: EndpointInstruments,
    rooms: RoomInstruments,
}

#[derive(Clone, Debug)]
struct EndpointInstruments {
    healthy: IntGaugeVec,
    errors: IntCounterVec,
    ejections: IntCounterVec,
    /// The labels that there are series of.
    known: Arc<Mutex<HashSet<[String; 2]>>>,
}

#[derive(Clone, Debug)]
struct RoomInstruments {
    in_flight: IntGaugeVec,
    limit: IntGaugeVec,
    pending: IntGaugeVec,
    pending_limit: IntGaugeVec,
}

/// The instruments of one upstream that every request to it touches.
#[derive(Debug)]
pub struct UpstreamInstruments {
    attempts: IntCounter,
    retries: IntCounter,
    head: Histogram,
}

impl UpstreamInstruments {
    /// Counts an attempt; `again` where it is not the first one of its request.
    pub fn attempted(&self, again: bool) {
        self.attempts.inc();
        if again {
            self.retries.inc();
        }
    }

    /// Says how long the head of an answer took.
    pub fn answered(&self, duration: Duration) {
        self.head.observe(duration.as_secs_f64());
    }
}

impl Instruments {
    /// Makes and registers the instruments.
    ///
    /// # Errors
    /// Where another one has the name: a fault of ours.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name, help, labels: &[&str]| counters(registry, name, help, labels);
        Ok(Self {
            attempts: counters("opgate_upstream_attempts_total", "Attempts at an endpoint.", &["upstream"])?,
            retries: counters(
                "opgate_upstream_retries_total",
                "Attempts that were not the first one of their request.",
                &["upstream"],
            )?,
            head: histograms(
                registry,
                "opgate_upstream_response_head_seconds",
                "Time from the choice of an endpoint, or the end of a body that is passed on, to the head of its answer.",
                &["upstream"],
                &OF_ANSWERS,
            )?,
            errors: counters(
                "opgate_upstream_errors_total",
                "Attempts that an upstream failed, by kind.",
                &["upstream", "kind"],
            )?,
            overflow: counters(
                "opgate_upstream_overflow_total",
                "Requests that found an upstream full, and none of its places free in time.",
                &["upstream"],
            )?,
            endpoints: EndpointInstruments::register(registry)?,
            rooms: RoomInstruments::register(registry)?,
        })
    }

    /// The instruments of one upstream. All its series are there from then on.
    pub fn of(&self, upstream: &str) -> UpstreamInstruments {
        for kind in ERROR_KINDS {
            self.errors.with_label_values(&[upstream, kind]);
        }
        self.overflow.with_label_values(&[upstream]);
        UpstreamInstruments {
            attempts: self.attempts.with_label_values(&[upstream]),
            retries: self.retries.with_label_values(&[upstream]),
            head: self.head.with_label_values(&[upstream]),
        }
    }

    /// Counts an attempt that `upstream` failed.
    pub fn failed(&self, upstream: &str, kind: &str) {
        self.errors.with_label_values(&[upstream, kind]).inc();
    }

    /// Counts a failure that counts against an endpoint, and its ejection if it is one too many.
    pub fn endpoint_failed(&self, upstream: &str, endpoint: SocketAddr, is_ejected: bool) {
        let endpoint = endpoint.to_string();
        let labels = [upstream, endpoint.as_str()];
        self.endpoints.errors.with_label_values(&labels).inc();
        if is_ejected {
            self.endpoints.ejections.with_label_values(&labels).inc();
        }
    }

    /// Counts a request that found `upstream` full.
    pub fn overflowed(&self, upstream: &str) {
        self.overflow.with_label_values(&[upstream]).inc();
    }

    /// Brings the instruments up to the state of `endpoints` and of the rooms of upstreams, before a scrape.
    pub fn update(&self, endpoints: &[EndpointStatus], rooms: &[UpstreamRoom]) {
        self.endpoints.update(endpoints);
        for room in rooms {
            let RoomInstruments { in_flight, limit, pending, pending_limit } = &self.rooms;
            // An upstream that no method leads to has its series too.
            self.of(&room.upstream);
            let set =
                |gauge: &IntGaugeVec, count| gauge.with_label_values(&[&room.upstream]).set(whole(count));
            set(in_flight, room.in_flight);
            set(limit, room.limit);
            set(pending, room.pending);
            set(pending_limit, room.pending_limit);
        }
    }
}

impl EndpointInstruments {
    fn update(&self, endpoints: &[EndpointStatus]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone = std::mem::take(&mut *known);
        for endpoint in endpoints {
            let labels = [endpoint.upstream.to_string(), endpoint.address.to_string()];
            self.healthy.with_label_values(&labels).set(i64::from(endpoint.is_healthy));
            self.errors.with_label_values(&labels);
            self.ejections.with_label_values(&labels);
            gone.remove(&labels);
            known.insert(labels);
        }
        // A name has other addresses each week: what is kept of those that are gone would grow for years.
        for labels in gone {
            // An error means that there is none.
            let _ = self.healthy.remove_label_values(&labels);
            let _ = self.errors.remove_label_values(&labels);
            let _ = self.ejections.remove_label_values(&labels);
        }
    }

    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let labels = &["upstream", "endpoint"];
        Ok(Self {
            healthy: gauges(
                registry,
                "opgate_upstream_healthy",
                "Whether an endpoint is used in turn: its checks do not fail, and it is not ejected.",
                labels,
            )?,
            errors: counters(
                registry,
                "opgate_upstream_endpoint_errors_total",
                "Failed attempts that count against an endpoint.",
                labels,
            )?,
            ejections: counters(
                registry,
                "opgate_upstream_ejections_total",
                "How often an endpoint was left out for failing.",
                labels,
            )?,
            known: Arc::default(),
        })
    }
}

impl RoomInstruments {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauges = |name, help| gauges(registry, name, help, &["upstream"]);
        Ok(Self {
            in_flight: gauges("opgate_upstream_in_flight", "Exchanges that are under way with an upstream.")?,
            limit: gauges("opgate_upstream_limit", "How many may be under way at one time.")?,
            pending: gauges("opgate_upstream_pending", "Requests that wait for a place at a full upstream.")?,
            pending_limit: gauges("opgate_upstream_pending_limit", "How many may wait at one time.")?,
        })
    }
}
