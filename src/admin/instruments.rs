//! What Prometheus reads of readiness, of certificates and of the names of upstreams.

use prometheus::{GaugeVec, IntGauge, IntGaugeVec};

use super::reloads::ReloadReport;
use crate::metrics::{Registry, gauge, gauges, instants, seconds, seconds_or_nan};

/// The instruments of what the operator's address tells as well.
#[derive(Clone, Debug)]
pub struct Instruments {
    ready: IntGauge,
    draining: IntGauge,
    certificates: GaugeVec,
    resolved: IntGaugeVec,
    resolved_at: GaugeVec,
}

impl Instruments {
    /// Makes and registers the instruments.
    ///
    /// # Errors
    /// Where another one has the name: a fault of ours.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            ready: gauge(
                registry,
                "opgate_ready",
                "Whether requests should be sent here, as `/readyz` says.",
            )?,
            draining: gauge(registry, "opgate_draining", "Whether the process is ending.")?,
            certificates: instants(
                registry,
                "opgate_certificate_expiry_timestamp_seconds",
                "When a certificate ends that the gate shows: to clients (server), or to an upstream (client).",
                &["use", "name"],
            )?,
            resolved: gauges(
                registry,
                "opgate_upstream_name_resolved",
                "Whether the last look-up of an upstream's name found addresses. Those that were found before stay in use.",
                &["name"],
            )?,
            resolved_at: instants(
                registry,
                "opgate_upstream_name_last_success_timestamp_seconds",
                "When a look-up of an upstream's name last found addresses.",
                &["name"],
            )?,
        })
    }

    /// Says how it is at this moment, before a scrape.
    pub(super) fn update(&self, is_ready: bool, is_draining: bool, reloads: &ReloadReport) {
        self.ready.set(i64::from(is_ready));
        self.draining.set(i64::from(is_draining));
        self.certificates.reset();
        for certificate in &reloads.certificates {
            let labels = [certificate.usage, certificate.name.as_str()];
            self.certificates.with_label_values(&labels).set(seconds(certificate.until));
        }
        self.resolved.reset();
        self.resolved_at.reset();
        for name in &reloads.names {
            let is_found = name.error.is_none() && name.last_success.is_some();
            self.resolved.with_label_values(&[&*name.name]).set(i64::from(is_found));
            self.resolved_at.with_label_values(&[&*name.name]).set(seconds_or_nan(name.last_success));
        }
    }
}
