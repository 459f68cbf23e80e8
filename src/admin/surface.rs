//! The state that the endpoints read, and the endpoints of one address.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::FromRef;
use axum::http::request::Parts;
use serde_json::json;

use super::console::{LiveClients, Sessions};
use super::desk::Desk;
use super::hosts::Hosts;
use super::instruments::Instruments;
use super::reloads::ReloadReporter;
use super::scrape::Scrapes;
use super::told::PolicyReaders;
use crate::authn::KeySetStatus;
use crate::clock;
use crate::engine::Engine;
use crate::metrics::{Metrics, Names};
use crate::recent::Recent;
use crate::telemetry::LogFilter;

/// The state that the endpoints read.
#[derive(Clone)]
pub struct Admin {
    pub(super) engine: Engine,
    pub(super) metrics: Arc<Metrics>,
    pub(super) draining: Arc<AtomicBool>,
    pub(super) reloads: ReloadReporter,
    pub(super) instruments: Instruments,
    pub(super) recent: Arc<Recent>,
    pub(super) log: LogFilter,
}

impl Admin {
    /// Endpoints about `engine`, its last decisions, the parts that are not as the files say, and the log.
    pub fn new(
        engine: Engine,
        metrics: Arc<Metrics>,
        reloads: ReloadReporter,
        instruments: Instruments,
        recent: Arc<Recent>,
        log: LogFilter,
    ) -> Self {
        Self { engine, metrics, draining: Arc::default(), reloads, instruments, recent, log }
    }

    /// From here on, `/readyz` says that the process is ending.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether the process is ending.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Brings the instruments up to this moment, before a scrape. Returns the names that there are.
    pub(super) fn update_instruments(&self) -> Names {
        self.instruments.update(self.unready().is_empty(), self.is_draining(), &(self.reloads)());
        self.engine.update_instruments()
    }

    /// Why requests should not be sent here, or nothing.
    pub fn unready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.is_draining() {
            reasons.push("the process is draining".to_owned());
        }
        for (issuer, why) in self.engine.live().snapshot.authn.readiness(clock::now()) {
            reasons.push(format!("issuer `{issuer}`: {why}"));
        }
        let audit = self.engine.audit().status();
        if audit.is_refusing {
            let why = audit.failure.as_deref().unwrap_or("its queue is full");
            reasons.push(format!("the audit log takes no lines: {why}"));
        }
        reasons
    }

    /// How the audit log is.
    pub(super) fn audit(&self) -> serde_json::Value {
        let status = self.engine.audit().status();
        json!({
            "written": status.written,
            "lost": status.lost.total(),
            "queued": status.queued,
            "failure": status.failure,
        })
    }

    /// The keys of each issuer's set that are not used, and why.
    pub(super) fn skipped_keys(&self) -> serde_json::Map<String, serde_json::Value> {
        let statuses = self.engine.live().snapshot.authn.key_sets(clock::now());
        let skipped =
            statuses.into_iter().filter_map(|KeySetStatus { issuer, problems, skipped, .. }| {
                let all: Vec<String> = problems.into_iter().chain(skipped).collect();
                (!all.is_empty()).then(|| (issuer, all.into()))
            });
        skipped.collect()
    }
}

/// The endpoints of one address.
#[derive(Clone)]
pub(super) struct Surface {
    pub(super) admin: Admin,
    pub(super) told: PolicyReaders,
    pub(super) hosts: Arc<Hosts>,
    pub(super) desk: Arc<Desk>,
    pub(super) scrapes: Arc<Scrapes>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) live_clients: LiveClients,
}

impl Surface {
    /// Whether a request may read policy.
    pub(super) fn tells(&self, request: &Parts) -> bool {
        self.hosts.judge(&request.uri, request.version, &request.headers).is_ok()
            && self.told.judge(&request.headers).is_ok()
    }
}

impl FromRef<Surface> for Admin {
    fn from_ref(surface: &Surface) -> Self {
        surface.admin.clone()
    }
}
