//! One endpoint, and one attempt at it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use super::connector::Http1Connector;
use super::kept::IdleConnections;
use super::outlier::{CircuitState, OutlierState};
use super::settings::{Outliers, Timeouts};
use super::wire::UpstreamConnection;

/// A backend's address, and everything that is needed to connect to it.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// The upstream's name.
    pub(super) upstream: Arc<str>,
    pub(super) address: SocketAddr,
    /// The `Host` of checks: the name in the certificate, or else the address.
    pub(super) authority: String,
    pub(super) outliers: Outliers,
    /// Whether checks are made: where they are not, earlier results do not count.
    pub(super) is_checked: bool,
    /// Kept by the endpoint of the same upstream and address of the next configuration.
    pub(super) outlier_state: Arc<OutlierState>,
    /// The peer for requests.
    pub(super) fingerprint: Option<u64>,
    pub(super) peer: HttpPeer,
    /// The same for checks, of which each has a connection of its own.
    pub(super) check_peer: HttpPeer,
    pub(super) timeouts: Timeouts,
    /// What opens connections over HTTP/1.
    pub(super) http1: Http1Connector,
    /// Its idle connections. Kept like its outlier state, where they would be made in the same way.
    pub(super) kept: Arc<IdleConnections>,
}

impl Endpoint {
    /// Whether checks, where there are any, let it be used.
    pub(super) fn passes_checks(&self) -> bool {
        !self.is_checked || self.outlier_state.passes_checks()
    }

    /// An attempt at it, if it is its turn.
    pub(super) fn visit(self: &Arc<Self>) -> Option<Attempt> {
        let turn = self.outlier_state.turn(Instant::now)?;
        Some(Attempt { endpoint: self.clone(), turn })
    }

    /// An attempt at it although it is ejected.
    pub(super) fn visit_anyway(self: &Arc<Self>) -> Attempt {
        Attempt { endpoint: self.clone(), turn: CircuitState::Closed }
    }
}

/// One attempt at an endpoint. The caller reports how it went: a trial without a report is made again.
#[derive(Debug)]
pub struct Attempt {
    endpoint: Arc<Endpoint>,
    turn: CircuitState,
}

impl Attempt {
    /// The upstream's name.
    pub fn upstream(&self) -> &str {
        &self.endpoint.upstream
    }

    /// The endpoint's address.
    pub fn address(&self) -> SocketAddr {
        self.endpoint.address
    }

    /// What Pingora connects to.
    pub fn peer(&self) -> HttpPeer {
        self.endpoint.peer.clone()
    }

    /// Opens a connection over HTTP/1, or takes one that is kept. Within `timeouts.connect`.
    ///
    /// # Errors
    /// Where there is none to be had: no byte has left.
    pub async fn connect(&self) -> Result<UpstreamConnection> {
        let Endpoint { address, timeouts, http1, .. } = &*self.endpoint;
        if let Some(connection) = http1.kept() {
            return Ok(connection);
        }
        match tokio::time::timeout(timeouts.connect, http1.open(*address)).await {
            Ok(connected) => connected,
            Err(_) => {
                let waited = format!("no connection to {address} within {:?}", timeouts.connect);
                Error::e_explain(ErrorType::ConnectTimedout, waited)
            }
        }
    }

    /// Keeps a connection for the next exchange, or closes it where enough are kept.
    pub fn keep(&self, connection: UpstreamConnection) {
        self.endpoint.kept.put(connection);
    }

    /// The exchange ended well.
    pub fn succeeded(&self) {
        self.endpoint.outlier_state.succeeded();
    }

    /// The answer has begun. A trial ends here: how long the rest takes may be up to the client.
    pub fn answered(&mut self) {
        if std::mem::replace(&mut self.turn, CircuitState::Closed) == CircuitState::HalfOpen {
            self.endpoint.outlier_state.succeeded();
            self.endpoint.outlier_state.let_go();
        }
    }

    /// How long the endpoint may say nothing.
    pub fn patience(&self) -> Duration {
        self.endpoint.timeouts.response
    }

    /// It failed, and the endpoint is to blame. Returns how long it is left out for that.
    pub fn failed(&self) -> Option<Duration> {
        let ejected = self.endpoint.outlier_state.failed(self.turn, &self.endpoint.outliers, Instant::now());
        if let Some(length) = ejected {
            let (upstream, address) = (self.upstream(), self.address());
            tracing::warn!(upstream, %address, ?length, "the endpoint keeps failing and is ejected");
        }
        ejected
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.turn == CircuitState::HalfOpen {
            self.endpoint.outlier_state.let_go();
        }
    }
}
