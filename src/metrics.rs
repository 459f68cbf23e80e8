//! What Prometheus scrapes: base units, and labels that no client can multiply (never a path, principal or token).
//!
//! Each module declares its own instruments, in a struct `Instruments` with a function `register`; here are the registry that
//! holds them and the text that it is read as. The rules of the series:
//!
//! - A counter whose labels have a closed set of values is 0 from the start: `increase()` would miss its first step.
//! - A series that is named by the configuration (an issuer, an upstream, a method) goes with its name ([`Names`]).
//! - An instant, not an age. What has not happened yet is `NaN`.
//! - No label is empty: what is not known is [`UNKNOWN`].

mod exemplar;
mod exposition;
mod names;

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use prometheus::core::Collector;
use prometheus::proto::{Metric, MetricFamily};
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
};

pub use self::exemplar::{TracedHistogram, TracedHistogramVec};
pub use self::exposition::{Exposition, Scrape};
pub use self::names::Names;

/// The value of a label of which nothing is known.
pub const UNKNOWN: &str = "unknown";

/// The registry of all instruments, and its scrapes.
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
        let registry = Registry::default();
        let build = gauges(
            &registry,
            "opgate_build_info",
            "The running version and the revision that it was built from; always 1.",
            &["version", "revision"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), BUILD_REVISION]).set(1);
        #[cfg(target_os = "linux")]
        registry.collected.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(Self { registry, scraping: Mutex::default() })
    }

    /// Where modules register their instruments.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// All series of this moment. `update` brings those instruments up to date that show a state, and gives the names
    /// that there are.
    pub fn scrape(&self, update: impl FnOnce() -> Names) -> Scrape {
        // One scrape at a time: what is gone is gone from the gauges, and what stays is always there.
        let _scraping = self.scraping.lock().unwrap_or_else(PoisonError::into_inner);
        let names = update();
        self.registry.gather(&names)
    }
}

/// The revision that this was built from, where the build says it (`OPGATE_REVISION`).
pub const BUILD_REVISION: &str = match option_env!("OPGATE_REVISION") {
    Some(revision) => revision,
    None => UNKNOWN,
};

/// What a family of series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Observations, counted by size.
    Histogram,
}

impl FamilyKind {
    /// The word of the exposition formats.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A family of series: all that is known of it before there is one.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Its name.
    pub name: String,
    /// What it says.
    pub help: String,
    /// What it is.
    pub kind: FamilyKind,
    /// The names of its labels.
    pub labels: Vec<String>,
    /// The upper bounds of a histogram's buckets, without the last.
    pub buckets: Vec<f64>,
}

/// Removes the series with these label values from an instrument.
type Forget = Box<dyn Fn(&[&str]) + Send + Sync>;

struct Registered {
    family: Family,
    forget: Option<Forget>,
    exemplars: Option<exemplar::Exemplars>,
    /// The series whose names were not there at the last scrape, by the values of their labels.
    unnamed: Mutex<HashSet<Vec<String>>>,
}

/// Where instruments are registered. It knows each family before there is a series of it.
#[derive(Default)]
pub struct Registry {
    collected: prometheus::Registry,
    families: Mutex<HashMap<String, Registered>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Registry").finish_non_exhaustive()
    }
}

impl Registry {
    /// Every family, by name.
    pub fn families(&self) -> Vec<Family> {
        let families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let mut families: Vec<Family> =
            families.values().map(|registered| registered.family.clone()).collect();
        families.sort_by(|one, other| one.name.cmp(&other.name));
        families
    }

    fn register(
        &self,
        collector: Box<dyn Collector>,
        registered: Registered,
    ) -> Result<(), prometheus::Error> {
        self.collected.register(collector)?;
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        families.insert(registered.family.name.clone(), registered);
        Ok(())
    }

    /// The series of names that there are; the others are forgotten.
    fn gather(&self, names: &Names) -> Scrape {
        let families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scrape = Scrape::default();
        for mut gathered in self.collected.gather() {
            let registered = families.get(gathered.name());
            if let Some(registered) = registered {
                registered.keep(&mut gathered, names);
            }
            scrape.add(gathered, registered.and_then(|registered| registered.exemplars.as_ref()));
        }
        scrape.add_empty(families.values().map(|registered| &registered.family));
        scrape
    }
}

impl Registered {
    fn new(family: Family) -> Self {
        Self { family, forget: None, exemplars: None, unnamed: Mutex::default() }
    }

    /// Leaves out the series whose names are not there. They are forgotten if that is so the second time in a row: what is
    /// about to be put in force makes its series before its names are there, and holds on to them.
    fn keep(&self, gathered: &mut MetricFamily, names: &Names) {
        let mut unnamed = self.unnamed.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *unnamed);
        if !gathered.get_metric().iter().any(|metric| !names.have(metric.get_label())) {
            return;
        }
        let (kept, gone): (Vec<Metric>, Vec<Metric>) =
            gathered.take_metric().into_iter().partition(|metric| names.have(metric.get_label()));
        for metric in gone {
            let value = |label: &String| {
                let pair = metric.get_label().iter().find(|pair| pair.name() == label);
                pair.map_or_else(String::new, |pair| pair.value().to_owned())
            };
            let values: Vec<String> = self.family.labels.iter().map(value).collect();
            if !before.contains(&values) {
                unnamed.insert(values);
            } else if let Some(forget) = &self.forget {
                forget(&values.iter().map(String::as_str).collect::<Vec<_>>());
            }
        }
        gathered.set_metric(kept);
    }
}

/// Registers an instrument without labels.
fn single<C: Collector + Clone + 'static>(
    registry: &Registry,
    made: C,
    family: Family,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(made.clone()), Registered::new(family))?;
    Ok(made)
}

macro_rules! labelled {
    ($registry:expr, $made:expr, $family:expr) => {{
        let made = $made;
        let ours = made.clone();
        // An error means that the series is gone already.
        let forget: Forget = Box::new(move |values| drop(ours.remove_label_values(values)));
        let registered = Registered { forget: Some(forget), ..Registered::new($family) };
        $registry.register(Box::new(made.clone()), registered)?;
        Ok(made)
    }};
}

fn family(kind: FamilyKind, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> Family {
    Family {
        name: name.to_owned(),
        help: help.to_owned(),
        kind,
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        buckets: buckets.to_vec(),
    }
}

/// A counter.
///
/// # Errors
/// Where another instrument has the name, as everywhere below.
pub(crate) fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    single(registry, IntCounter::new(name, help)?, family(FamilyKind::Counter, name, help, &[], &[]))
}

/// Counters by label.
pub(crate) fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    let made = IntCounterVec::new(Opts::new(name, help), labels)?;
    labelled!(registry, made, family(FamilyKind::Counter, name, help, labels, &[]))
}

/// A gauge of whole numbers.
pub(crate) fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    single(registry, IntGauge::new(name, help)?, family(FamilyKind::Gauge, name, help, &[], &[]))
}

/// Gauges of whole numbers by label.
pub(crate) fn gauges(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntGaugeVec, prometheus::Error> {
    let made = IntGaugeVec::new(Opts::new(name, help), labels)?;
    labelled!(registry, made, family(FamilyKind::Gauge, name, help, labels, &[]))
}

/// Gauges of instants, in seconds since the epoch, by label.
pub(crate) fn instants(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<GaugeVec, prometheus::Error> {
    let made = GaugeVec::new(Opts::new(name, help), labels)?;
    labelled!(registry, made, family(FamilyKind::Gauge, name, help, labels, &[]))
}

/// A histogram of durations in seconds.
pub(crate) fn histogram(
    registry: &Registry,
    name: &str,
    help: &str,
    buckets: &[f64],
) -> Result<Histogram, prometheus::Error> {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    let family = family(FamilyKind::Histogram, name, help, &[], buckets);
    single(registry, Histogram::with_opts(options)?, family)
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
    let made = HistogramVec::new(options, labels)?;
    labelled!(registry, made, family(FamilyKind::Histogram, name, help, labels, buckets))
}

/// Histograms of durations in seconds by label, whose buckets remember a traced request each.
pub(crate) fn traced_histograms(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
    buckets: &[f64],
) -> Result<TracedHistogramVec, prometheus::Error> {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    let vec = HistogramVec::new(options, labels)?;
    let made = TracedHistogramVec::new(vec.clone(), labels, buckets);
    let (ours, exemplars) = (made.clone(), made.exemplars().clone());
    let forget: Forget = Box::new(move |values| ours.forget(values));
    let family = family(FamilyKind::Histogram, name, help, labels, buckets);
    let registered =
        Registered { forget: Some(forget), exemplars: Some(exemplars), ..Registered::new(family) };
    registry.register(Box::new(vec), registered)?;
    Ok(made)
}

/// Seconds since the epoch, Prometheus's unit of instants.
pub(crate) fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// The same of what may not have happened yet: `NaN` then.
pub(crate) fn seconds_or_nan(time: Option<SystemTime>) -> f64 {
    time.map_or(f64::NAN, seconds)
}

/// A count as a gauge's value.
pub(crate) fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
