//! What Prometheus reads of the audit log.

use prometheus::IntCounter;

use crate::metrics::{Registry, counter};

/// The instruments of the audit log.
#[derive(Clone, Debug)]
pub struct Instruments {
    /// Lines that were not written.
    pub(super) dropped: IntCounter,
}

impl Instruments {
    /// Makes and registers the instruments.
    ///
    /// # Errors
    /// Where another one has the name: a fault of ours.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let dropped = counter(registry, "opgate_audit_dropped_total", "Audit lines that were not written.")?;
        Ok(Self { dropped })
    }
}
