//! Histograms whose buckets remember a traced request each: from a slow bucket to the trace that made it slow.
//!
//! The prometheus crate knows no exemplars. They lie beside its histogram, one for each bucket, and are swapped without a
//! lock. A request that is not traced touches none.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use prometheus::{Histogram, HistogramVec};

/// A traced observation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Exemplar {
    /// The trace, in 32 hex digits.
    pub(super) trace_id: String,
    /// What was observed.
    pub(super) value: f64,
    /// When.
    pub(super) time: SystemTime,
}

/// The last exemplar of each bucket, the one without a bound last.
pub(super) type Slots = Arc<[ArcSwapOption<Exemplar>]>;

/// The exemplars of a family, by the values of its labels in the order of their names, as a scrape has them.
pub(super) type Exemplars = Arc<Mutex<HashMap<Vec<String>, Slots>>>;

/// Histograms by label, with exemplars.
#[derive(Clone, Debug)]
pub struct TracedHistogramVec {
    vec: HistogramVec,
    /// The places of the labels among those declared, in the order of their names.
    sorted: Arc<[usize]>,
    buckets: Arc<[f64]>,
    exemplars: Exemplars,
}

/// One of them. Cheap to clone: all of it is shared.
#[derive(Clone, Debug)]
pub struct TracedHistogram {
    histogram: Histogram,
    buckets: Arc<[f64]>,
    slots: Slots,
}

impl TracedHistogramVec {
    pub(super) fn new(vec: HistogramVec, labels: &[&str], buckets: &[f64]) -> Self {
        let mut sorted: Vec<usize> = (0..labels.len()).collect();
        sorted.sort_by_key(|place| labels.get(*place));
        Self { vec, sorted: sorted.into(), buckets: buckets.into(), exemplars: Exemplars::default() }
    }

    fn key(&self, values: &[&str]) -> Vec<String> {
        self.sorted.iter().filter_map(|place| values.get(*place)).map(|value| (*value).to_owned()).collect()
    }

    pub(super) fn exemplars(&self) -> &Exemplars {
        &self.exemplars
    }

    /// The histogram with these label values.
    pub(crate) fn with_label_values(&self, values: &[&str]) -> TracedHistogram {
        let key = self.key(values);
        let mut known = self.exemplars.lock().unwrap_or_else(PoisonError::into_inner);
        let count = self.buckets.len() + 1;
        let slots = known.entry(key).or_insert_with(|| (0..count).map(|_| ArcSwapOption::empty()).collect());
        TracedHistogram {
            histogram: self.vec.with_label_values(values),
            buckets: self.buckets.clone(),
            slots: slots.clone(),
        }
    }

    pub(super) fn forget(&self, values: &[&str]) {
        let key = self.key(values);
        self.exemplars.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        // An error means that the series is gone already.
        let _ = self.vec.remove_label_values(values);
    }
}

impl TracedHistogram {
    /// Counts an observation, and remembers the request that was traced for it, if one was.
    pub(crate) fn observe(&self, value: f64, trace: Option<(impl Display, SystemTime)>) {
        self.histogram.observe(value);
        let Some((trace_id, time)) = trace else { return };
        let place = self.buckets.iter().position(|bound| value <= *bound).unwrap_or(self.buckets.len());
        if let Some(slot) = self.slots.get(place) {
            slot.store(Some(Arc::new(Exemplar { trace_id: trace_id.to_string(), value, time })));
        }
    }
}
