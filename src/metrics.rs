//! The Prometheus metrics: base units, and labels that no client can multiply (never a path, principal or token).
//!
//! The instruments of a request are resolved once per snapshot ([`MethodInstruments`]); the rest looks its child up.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::authn::{self, Authenticator};
use crate::catalog::Method;
use crate::config::Part;
use crate::decision::snapshot::Snapshot;
use crate::upstream::EndpointStatus;

/// The outcome of an attempt to load a part.
const SUCCESS: &str = "success";
const FAILURE: &str = "failure";

/// Label values of a request that calls no known method.
const UNROUTED: &str = "";
/// The `reason` of a request that was allowed.
pub const ALLOWED: &str = "ALLOWED";
/// The reason of a request that the gate answered with the keys that verify its assertions.
pub const KEYS_PUBLISHED: &str = "KEYS_PUBLISHED";

/// Every instrument and the registry that holds them.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    scraping: Mutex<()>,
    /// `opgate_requests_total{service,method,code,reason}`.
    pub requests: IntCounterVec,
    request_duration: HistogramVec,
    /// `opgate_decision_duration_seconds{stage}`.
    pub judge_duration: Histogram,
    /// The `body` stage of the same.
    pub body_duration: Histogram,
    /// `opgate_upstream_request_duration_seconds{upstream}`.
    pub upstream_duration: HistogramVec,
    /// `opgate_upstream_errors_total{upstream,kind}`.
    pub upstream_errors: IntCounterVec,
    /// `opgate_upstream_refused_total{upstream}`.
    pub upstream_refused: IntCounterVec,
    upstream_healthy: IntGaugeVec,
    /// `opgate_connections{listener}`.
    pub connections: IntGaugeVec,
    /// `opgate_refused_connections_total{reason}`.
    pub refused_connections: IntCounterVec,
    /// `opgate_cut_connections_total{reason}`.
    pub cut_connections: IntCounterVec,
    /// `opgate_audit_dropped_total`.
    pub audit_dropped: IntCounter,
    policy_info: IntGaugeVec,
    policy_bindings: IntGauge,
    policy_reload_successful: IntGauge,
    policy_reload_timestamp: GaugeVec,
    reloads: IntCounterVec,
    reload_successful: IntGaugeVec,
    reload_timestamp: GaugeVec,
    reload_lag: HistogramVec,
    /// Those of authentication.
    pub authn: authn::Instruments,
}

/// The instruments of one method's ordinary outcome.
#[derive(Debug)]
pub struct MethodInstruments {
    /// Allowed and answered 200.
    pub allowed: IntCounter,
    /// From the head's last byte to the answer's last.
    pub duration: Histogram,
}

impl Metrics {
    /// Makes and registers all instruments.
    ///
    /// Where two have one name: a bug.
    /// Where two have one name: a fault of ours.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters =
            |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
                let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
                registry.register(Box::new(counters.clone()))?;
                Ok(counters)
            };
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| -> Result<IntGaugeVec, prometheus::Error> {
            let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauges.clone()))?;
            Ok(gauges)
        };
        let instants = |name: &str, help: &str, labels: &[&str]| -> Result<GaugeVec, prometheus::Error> {
            let gauges = GaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauges.clone()))?;
            Ok(gauges)
        };
        let histograms = |name: &str, help: &str, labels: &[&str], buckets: Vec<f64>| {
            let histograms = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), labels)?;
            registry.register(Box::new(histograms.clone()))?;
            Ok::<_, prometheus::Error>(histograms)
        };

        let decisions = histograms(
            "opgate_decision_duration_seconds",
            "Time to decide a request, by stage.",
            &["stage"],
            vec![1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 1e-2, 0.1, 1.0],
        )?;
        let build = gauges("opgate_build_info", "The running version; always 1.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;

        let metrics = Self {
            requests: counters(
                "opgate_requests_total",
                "Requests answered, by API method, HTTP status and reason.",
                &["service", "method", "code", "reason"],
            )?,
            request_duration: histograms(
                "opgate_request_duration_seconds",
                "Time from a request's head to the end of its answer.",
                &["service", "method"],
                vec![5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0],
            )?,
            judge_duration: decisions.with_label_values(&["judge"]),
            body_duration: decisions.with_label_values(&["body"]),
            upstream_duration: histograms(
                "opgate_upstream_request_duration_seconds",
                "Time from choosing an endpoint to the end of its answer.",
                &["upstream"],
                vec![1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0],
            )?,
            upstream_errors: counters(
                "opgate_upstream_errors_total",
                "Attempts that an upstream failed, by kind: connect, tls, timeout, invalid, stale, refused, local.",
                &["upstream", "kind"],
            )?,
            upstream_refused: counters(
                "opgate_upstream_refused_total",
                "Requests that found an upstream full, and none of its places free in time.",
                &["upstream"],
            )?,
            upstream_healthy: gauges(
                "opgate_upstream_healthy",
                "Whether an endpoint is used in turn: its checks do not fail, and it is not ejected.",
                &["upstream", "endpoint"],
            )?,
            connections: gauges("opgate_connections", "Open client connections.", &["listener"])?,
            refused_connections: counters(
                "opgate_refused_connections_total",
                "Connections that were closed before a request: beyond a limit, or without a TLS handshake.",
                &["reason"],
            )?,
            cut_connections: counters(
                "opgate_cut_connections_total",
                "Connections that were cut: resets, idle_frames, head_timeout, write_timeout (HTTP/2), made_room (idle).",
                &["reason"],
            )?,
            audit_dropped: counter("opgate_audit_dropped_total", "Audit lines that were not written.")?,
            policy_info: gauges("opgate_policy_info", "The policy tree in force; always 1.", &["revision"])?,
            policy_bindings: {
                let gauge = IntGauge::new("opgate_policy_bindings", "Role bindings in force.")?;
                registry.register(Box::new(gauge.clone()))?;
                gauge
            },
            policy_reload_successful: {
                let gauge = IntGauge::new(
                    "opgate_policy_last_reload_successful",
                    "Whether the last attempt to load the policy tree succeeded.",
                )?;
                registry.register(Box::new(gauge.clone()))?;
                gauge
            },
            policy_reload_timestamp: instants(
                "opgate_policy_last_reload_success_timestamp_seconds",
                "When the policy tree in force was loaded.",
                &[],
            )?,
            reloads: counters(
                "opgate_reloads_total",
                "Attempts to load a part anew, by outcome: success, failure.",
                &["part", "outcome"],
            )?,
            reload_successful: gauges(
                "opgate_reload_last_successful",
                "Whether a part is as its files say: 0 where it keeps its last good state.",
                &["part"],
            )?,
            reload_timestamp: instants(
                "opgate_reload_last_success_timestamp_seconds",
                "When a part was last loaded.",
                &["part"],
            )?,
            reload_lag: histograms(
                "opgate_reload_lag_seconds",
                "Time from the change of a file until it was in force: how long a revocation takes.",
                &["part"],
                vec![0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0],
            )?,
            authn: authn::Instruments::register(&registry)?,
            scraping: Mutex::default(),
            registry,
        };
        Ok(metrics)
    }

    /// The instruments of a snapshot's methods, by [`Method::index`].
    pub fn instruments(&self, snapshot: &Snapshot) -> Vec<MethodInstruments> {
        let instruments = |method: &std::sync::Arc<Method>| {
            let labels = [method.service.name.as_str(), method.name.as_str()];
            MethodInstruments {
                allowed: self.requests.with_label_values(&[labels[0], labels[1], "200", ALLOWED]),
                duration: self.request_duration.with_label_values(&labels),
            }
        };
        snapshot.catalog.methods().iter().map(instruments).collect()
    }

    /// Counts a request whose outcome has no instrument of its own.
    pub fn count(&self, method: Option<&Method>, status: u16, reason: &str) {
        let (service, name) = method
            .map_or((UNROUTED, UNROUTED), |method| (method.service.name.as_str(), method.name.as_str()));
        self.requests.with_label_values(&[service, name, status.to_string().as_str(), reason]).inc();
    }

    /// Sets which policy is in force.
    pub fn policy_loaded(&self, snapshot: &Snapshot, loaded_at: SystemTime) {
        self.policy_info.reset();
        self.policy_info.with_label_values(&[snapshot.revision.as_str()]).set(1);
        self.policy_bindings.set(i64::try_from(snapshot.policy.counts().bindings).unwrap_or(i64::MAX));
        self.policy_reload_successful.set(1);
        self.policy_reload_timestamp.with_label_values::<&str>(&[]).set(seconds(loaded_at));
    }

    /// Notes that every part was loaded at the start.
    pub fn parts_loaded(&self, now: SystemTime) {
        for part in Part::ALL {
            // Series that begin at zero show their first increase.
            for outcome in [SUCCESS, FAILURE] {
                self.reloads.with_label_values(&[part.as_str(), outcome]);
            }
            self.reload_lag.with_label_values(&[part.as_str()]);
            self.reload_successful.with_label_values(&[part.as_str()]).set(1);
            self.reload_timestamp.with_label_values(&[part.as_str()]).set(seconds(now));
        }
    }

    /// Counts an attempt to load a part.
    pub fn part_loaded(&self, part: Part, is_loaded: bool, now: SystemTime) {
        let outcome = if is_loaded { SUCCESS } else { FAILURE };
        self.reloads.with_label_values(&[part.as_str(), outcome]).inc();
        if is_loaded {
            self.reload_timestamp.with_label_values(&[part.as_str()]).set(seconds(now));
        }
    }

    /// Sets whether a part is as its files say.
    pub fn part_is_good(&self, part: Part, is_good: bool) {
        self.reload_successful.with_label_values(&[part.as_str()]).set(i64::from(is_good));
    }

    /// Observes how long a change took to be in force.
    pub fn part_lagged(&self, part: Part, changed: SystemTime, now: SystemTime) {
        let lag = now.duration_since(changed).unwrap_or_default();
        self.reload_lag.with_label_values(&[part.as_str()]).observe(lag.as_secs_f64());
    }

    /// Notes that the files on disk are not the policy in force.
    pub fn policy_refused(&self) {
        self.policy_reload_successful.set(0);
    }

    /// The text that Prometheus reads. The state of key sets, the token cache, used proofs and endpoints is read now.
    ///
    /// # Errors
    /// Where an instrument cannot be encoded: a bug.
    pub fn render(
        &self,
        authn: &Authenticator,
        endpoints: &[EndpointStatus],
        now: SystemTime,
    ) -> Result<String, prometheus::Error> {
        // One scrape at a time: an endpoint that is gone must not be in the gauges, and those that stay must always be
        // there.
        let _scraping = self.scraping.lock().unwrap_or_else(PoisonError::into_inner);
        self.upstream_healthy.reset();
        for endpoint in endpoints {
            let address = endpoint.address.to_string();
            let gauge = self.upstream_healthy.with_label_values(&[&*endpoint.upstream, address.as_str()]);
            gauge.set(i64::from(endpoint.is_healthy));
        }
        self.authn.update(authn, now);
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// Seconds since the epoch, Prometheus's unit of instants.
fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
