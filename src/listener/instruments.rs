//! What Prometheus reads of connections.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::connection_limits::ExceededLimit;
use super::flood::Flood;
use super::handshake::HandshakeError;
use super::proxy_protocol::HeaderError;
use crate::metrics::{Registry, counters, gauge, gauges, whole};

/// The outcome of a handshake that succeeded.
const SUCCESS: &str = "success";

/// The peer may not ask, at a listener that decides for proxies.
pub(super) const AUTHORIZER_UNTRUSTED: &str = "authorizer_untrusted";
/// An HTTP/2 connection whose client does not read.
pub(crate) const WRITE_TIMEOUT: &str = "write_timeout";
/// An idle connection whose slot was given to another one.
pub(crate) const MADE_ROOM: &str = "made_room";

/// The instruments of connections.
#[derive(Clone, Debug)]
pub struct Instruments {
    open: IntGaugeVec,
    limit: IntGauge,
    accepted: IntCounterVec,
    handshakes: IntCounterVec,
    refused: IntCounterVec,
    cut: IntCounterVec,
}

/// The instruments of one listener.
#[derive(Debug)]
pub(super) struct ListenerInstruments {
    /// Its open connections.
    pub(super) open: IntGauge,
    /// Those that it accepted.
    pub(super) accepted: IntCounter,
}

impl Instruments {
    /// Makes and registers the instruments.
    ///
    /// # Errors
    /// Where another one has the name: a fault of ours.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let made = Self {
            open: gauges(registry, "opgate_connections", "Open client connections.", &["listener"])?,
            limit: gauge(registry, "opgate_connections_limit", "How many may be open at one time.")?,
            accepted: counters(
                registry,
                "opgate_connections_accepted_total",
                "Connections that were accepted, within the limits.",
                &["listener"],
            )?,
            handshakes: counters(
                registry,
                "opgate_tls_handshakes_total",
                "TLS handshakes, by outcome.",
                &["listener", "outcome"],
            )?,
            refused: counters(
                registry,
                "opgate_connections_refused_total",
                "Connections that were closed before a request: beyond a limit, without a TLS handshake, or without a header of the PROXY protocol where there has to be one.",
                &["reason"],
            )?,
            cut: counters(
                registry,
                "opgate_connections_cut_total",
                "Connections that the gate ended: floods and silent clients over HTTP/2, idle ones to make room.",
                &["reason"],
            )?,
        };
        for reason in Self::refusals() {
            made.refused.with_label_values(&[reason]);
        }
        for reason in Flood::ALL.map(Flood::label).into_iter().chain([WRITE_TIMEOUT, MADE_ROOM]) {
            made.cut.with_label_values(&[reason]);
        }
        Ok(made)
    }

    fn refusals() -> impl Iterator<Item = &'static str> {
        let limits = ExceededLimit::ALL.map(ExceededLimit::label);
        let handshakes = HandshakeError::ALL.map(HandshakeError::label);
        let headers = HeaderError::ALL.map(HeaderError::label);
        limits.into_iter().chain(handshakes).chain(headers).chain([AUTHORIZER_UNTRUSTED])
    }

    /// The instruments of a listener; `secured` where it speaks TLS. All its series are there from then on.
    pub(super) fn of(&self, listener: &str, secured: bool) -> ListenerInstruments {
        if secured {
            for outcome in HandshakeError::ALL.map(HandshakeError::outcome).into_iter().chain([SUCCESS]) {
                self.handshakes.with_label_values(&[listener, outcome]);
            }
        }
        ListenerInstruments {
            open: self.open.with_label_values(&[listener]),
            accepted: self.accepted.with_label_values(&[listener]),
        }
    }

    /// Says how many connections there may be.
    pub(super) fn limit(&self, most: usize) {
        self.limit.set(whole(most));
    }

    /// Counts a handshake.
    pub(super) fn shook_hands(&self, listener: &str, failure: Option<HandshakeError>) {
        let outcome = failure.map_or(SUCCESS, HandshakeError::outcome);
        self.handshakes.with_label_values(&[listener, outcome]).inc();
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
