//! What Prometheus scrapes: base units, and labels that no client can multiply (never a path, principal or token).
//!
//! Each module declares its own instruments, in a struct `Instruments` with a function `register`; here are the registry that
//! holds them and the text that it is read as.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use prometheus::core::Collector;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

/// The registry of all instruments.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    scraping: Mutex<()>,
}

impl Metrics {
    /// A registry with what is told of the process itself.
    ///
    /// # Errors
    /// Where two instruments have one name: a fault of ours.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let build = gauges(&registry, "opgate_build_info", "The running version; always 1.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(Self { registry, scraping: Mutex::default() })
    }

    /// Where modules register their instruments.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The text that Prometheus reads. `update` brings those instruments up to date that show a state of this moment.
    ///
    /// # Errors
    /// Where an instrument cannot be encoded: a fault of ours.
    pub fn render(&self, update: impl FnOnce()) -> Result<String, prometheus::Error> {
        // One scrape at a time: what is gone is gone from the gauges, and what stays is always there.
        let _scraping = self.scraping.lock().unwrap_or_else(PoisonError::into_inner);
        update();
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, made: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}

/// A counter.
///
/// # Errors
/// Where another instrument has the name, as everywhere below.
pub(crate) fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    registered(registry, IntCounter::new(name, help)?)
}

/// Counters by label.
pub(crate) fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

/// A gauge of whole numbers.
pub(crate) fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    registered(registry, IntGauge::new(name, help)?)
}

/// Gauges of whole numbers by label.
pub(crate) fn gauges(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntGaugeVec, prometheus::Error> {
    registered(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

/// Gauges of instants and of ages, in seconds, by label.
pub(crate) fn instants(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<GaugeVec, prometheus::Error> {
    registered(registry, GaugeVec::new(Opts::new(name, help), labels)?)
}

/// Histograms of durations in seconds by label.
pub(crate) fn histograms(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
    buckets: &[f64],
) -> Result<HistogramVec, prometheus::Error> {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    registered(registry, HistogramVec::new(options, labels)?)
}

/// Seconds since the epoch, Prometheus's unit of instants.
pub(crate) fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
