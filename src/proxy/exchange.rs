//! What is known of one request while it is served: Pingora's per-request context.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use pingora::proxy::Session;

use super::Live;
use crate::clock;
use crate::gate::Trail;
use crate::http::Request;
use crate::metrics::Metrics;
use crate::policy::Permit;
use crate::reason::Denial;
use crate::upstream::Endpoint;

/// When a request came and what it is called.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The wall clock, which conditions and token expiry are judged by.
    pub time: SystemTime,
    /// The monotonic clock, which durations are measured by.
    pub instant: Instant,
    /// Names the request in the answer, the audit line and upstream: 32 hex digits.
    pub request_id: String,
}

impl Arrival {
    /// An arrival at this moment.
    pub fn now() -> Self {
        Self {
            time: clock::now(),
            instant: Instant::now(),
            request_id: uuid::Uuid::new_v4().simple().to_string(),
        }
    }
}

/// A request and its answer, from head to log.
#[derive(Debug)]
pub struct Exchange {
    pub(super) live: Arc<Live>,
    pub(super) arrival: Arrival,
    pub(super) request: Option<Request>,
    pub(super) trail: Trail,
    pub(super) permit: Option<Permit>,
    /// The judged body; `None` where it is passed on as it comes, or nothing is forwarded.
    pub(super) body: Option<Bytes>,
    /// Bytes passed on so far.
    pub(super) passed: u64,
    pub(super) denial: Option<Denial>,
    /// The endpoint that could not be connected to.
    pub(super) failed: Option<SocketAddr>,
    asked: Option<(String, SocketAddr, Instant)>,
}

impl Exchange {
    pub(super) fn new(live: Arc<Live>) -> Self {
        Self {
            live,
            arrival: Arrival::now(),
            request: None,
            trail: Trail::default(),
            permit: None,
            body: None,
            passed: 0,
            denial: None,
            failed: None,
            asked: None,
        }
    }

    pub(super) fn ask(&mut self, endpoint: &Endpoint) {
        self.asked = Some((endpoint.upstream.clone(), endpoint.address, Instant::now()));
    }

    pub(super) fn endpoint(&self) -> Option<SocketAddr> {
        self.asked.as_ref().map(|(_, address, _)| *address)
    }

    /// Upstream, endpoint and time since it was asked.
    pub(super) fn asked(&self) -> Option<(&str, SocketAddr, Duration)> {
        self.asked.as_ref().map(|(upstream, address, since)| (upstream.as_str(), *address, since.elapsed()))
    }

    pub(super) fn count_failure(&self, metrics: &Metrics, kind: &str) {
        if let Some((upstream, ..)) = &self.asked {
            metrics.upstream_errors.with_label_values(&[upstream.as_str(), kind]).inc();
        }
    }

    pub(super) fn peer(&self, session: &Session) -> Option<SocketAddr> {
        self.request
            .as_ref()
            .and_then(|request| request.peer)
            .or_else(|| session.client_addr().and_then(|address| address.as_inet()).copied())
    }
}
