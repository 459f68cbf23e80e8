//! What Prometheus reads of the audit log.

use prometheus::{IntCounter, IntGauge};

use super::backlog::{Backlog, QUEUE_LINES};
use super::entry::LostLines;
use crate::metrics::{Registry, counter, counters, gauge};

/// The instruments of the audit log.
#[derive(Clone, Debug)]
pub struct Instruments {
    /// Lines that found no room in the queue.
    pub(super) queue_full: IntCounter,
    /// Lines that the output did not take.
    pub(super) write: IntCounter,
    /// Lines that could not be made.
    pub(super) encode: IntCounter,
    /// Lines that were written.
    pub(super) lines: IntCounter,
    queue_lines: IntGauge,
    queue_bytes: IntGauge,
}

impl Instruments {
    /// Makes and registers the instruments.
    ///
    /// # Errors
    /// Where another one has the name: a fault of ours.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let dropped = counters(
            registry,
            "opgate_audit_dropped_total",
            "Audit lines that were not written, by reason: queue_full, write, encode.",
            &["reason"],
        )?;
        let [queue_full, write, encode] =
            ["queue_full", "write", "encode"].map(|reason| dropped.with_label_values(&[reason]));
        let capacity =
            gauge(registry, "opgate_audit_queue_capacity_lines", "Audit lines that may wait to be written.")?;
        capacity.set(i64::try_from(QUEUE_LINES).unwrap_or(i64::MAX));
        Ok(Self {
            queue_full,
            write,
            encode,
            lines: counter(registry, "opgate_audit_lines_total", "Audit lines that were written.")?,
            queue_lines: gauge(registry, "opgate_audit_queue_lines", "Audit lines that wait to be written.")?,
            queue_bytes: gauge(registry, "opgate_audit_queue_bytes", "Bytes of audit lines that wait.")?,
        })
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost_lines().total()
    }

    pub(super) fn lost_lines(&self) -> LostLines {
        let Self { queue_full, write, encode, .. } = self;
        LostLines { queue_full: queue_full.get(), write: write.get(), encode: encode.get() }
    }

    pub(super) fn show(&self, backlog: &Backlog) {
        self.queue_lines.set(i64::try_from(backlog.lines()).unwrap_or(i64::MAX));
        self.queue_bytes.set(i64::try_from(backlog.bytes()).unwrap_or(i64::MAX));
    }
}
