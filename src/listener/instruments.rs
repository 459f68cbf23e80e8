//! What Prometheus reads of connections.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Registry};

use crate::metrics::{counters, gauges};

/// The instruments of connections.
#[derive(Clone, Debug)]
pub struct Instruments {
    open: IntGaugeVec,
    refused: IntCounterVec,
    cut: IntCounterVec,
}

impl Instruments {
    /// Makes and registers the instruments.
    ///
    /// # Errors
    /// Where another one has the name: a fault of ours.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            open: gauges(registry, "opgate_connections", "Open client connections.", &["listener"])?,
            refused: counters(
                registry,
                "opgate_refused_connections_total",
                "Connections that were closed before a request: beyond a limit, or without a TLS handshake.",
                &["reason"],
            )?,
            cut: counters(
                registry,
                "opgate_cut_connections_total",
                "Connections that were cut: resets, idle_frames, head_timeout, write_timeout (HTTP/2), made_room (idle).",
                &["reason"],
            )?,
        })
    }

    /// How many connections of a listener are open.
    pub(super) fn open(&self, listener: &str) -> IntGauge {
        self.open.with_label_values(&[listener])
    }

    /// Counts a connection that was closed before a request.
    pub(super) fn refused(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// Counts a connection that was cut.
    pub(crate) fn cut(&self, reason: &str) {
        self.cut.with_label_values(&[reason]).inc();
    }
}
