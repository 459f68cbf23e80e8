//! What Prometheus reads of the spans that are sent.

use prometheus::IntCounter;

use crate::metrics::{Registry, counter, counters};

/// The instruments of spans.
#[derive(Clone, Debug)]
pub struct Instruments {
    pub(super) exported: IntCounter,
    pub(super) queue_full: IntCounter,
    pub(super) unreachable: IntCounter,
    pub(super) rejected: IntCounter,
}

impl Instruments {
    /// Makes and registers the instruments.
    ///
    /// # Errors
    /// Where another one has the name: a fault of ours.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let dropped = counters(
            registry,
            "opgate_spans_dropped_total",
            "Spans that were lost: the queue was full, or the collector was not reached or did not take them.",
            &["reason"],
        )?;
        Ok(Self {
            exported: counter(
                registry,
                "opgate_spans_exported_total",
                "Spans that the collector has taken.",
            )?,
            queue_full: dropped.with_label_values(&["queue_full"]),
            unreachable: dropped.with_label_values(&["unreachable"]),
            rejected: dropped.with_label_values(&["rejected"]),
        })
    }
}
