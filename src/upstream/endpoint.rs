//! One endpoint, and one attempt at it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connect_error::ConnectError;
use super::connector::BackendConnector;
use super::kept::IdleConnections;
use super::outlier::{CircuitState, OutlierState};
use super::settings::{Outliers, Protocol, Timeouts};
use super::shared::{SharedConnections, StreamLease};
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
    /// Tells apart TLS settings.
    pub(super) fingerprint: Option<u64>,
    pub(super) timeouts: Timeouts,
    /// What opens connections.
    pub(super) connector: BackendConnector,
    /// Its idle connections over HTTP/1. Kept like its outlier state, where they would be made in the same way.
    pub(super) kept: Arc<IdleConnections>,
    /// Its connections over HTTP/2, kept in the same way.
    pub(super) shared: Arc<SharedConnections>,
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

/// What an exchange goes over.
#[derive(Debug)]
pub enum Connected {
    /// A connection of its own.
    Http1(UpstreamConnection),
    /// A stream of a connection that others share.
    Http2(StreamLease),
}

impl Connected {
    /// Whether the connection has carried an exchange before.
    pub fn is_used(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.is_used(),
            Self::Http2(lease) => lease.is_used(),
        }
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

    /// Opens a connection over HTTP/1 or takes one that is kept, or a stream over HTTP/2. Within `timeouts.connect`.
    ///
    /// # Errors
    /// Where there is none to be had: no byte has left.
    pub async fn connect(&self) -> Result<Connected, ConnectError> {
        let Endpoint { address, timeouts, connector, kept, shared, .. } = &*self.endpoint;
        let connecting = async {
            Ok(match connector.protocol {
                Protocol::H1 => Connected::Http1(UpstreamConnection::new(connector.open(*address).await?)),
                Protocol::H2c | Protocol::H2 => Connected::Http2(shared.stream(connector, *address).await?),
            })
        };
        if connector.protocol == Protocol::H1
            && let Some(connection) = kept.take()
        {
            return Ok(Connected::Http1(connection));
        }
        let connected = tokio::time::timeout(timeouts.connect, connecting).await;
        connected.unwrap_or_else(|_| Err(ConnectError::late(*address, timeouts.connect)))
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

    /// Whether it speaks HTTP/2, which gRPC needs.
    pub fn takes_grpc(&self) -> bool {
        self.endpoint.connector.protocol != Protocol::H1
    }

    /// How long neither side of a gRPC stream may send anything.
    pub fn stream_patience(&self) -> Duration {
        self.endpoint.timeouts.grpc_idle
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
