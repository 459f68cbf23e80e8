//! What the connections of one listener have in common.

use std::net::SocketAddr;

use crate::engine::Engine;
use crate::listener::{Instruments, ListenerLimits};

/// What an HTTP/2 connection begins with (RFC 9113, section 3.4).
pub(super) const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// HTTP of either version on the connections of one listener.
pub struct Http {
    pub(super) engine: Engine,
    pub(super) limits: ListenerLimits,
    instruments: Instruments,
    /// Whether HTTP/2 is spoken where TLS has not agreed on anything.
    pub(super) http2: bool,
    /// The listener's address, for log lines.
    pub(super) name: String,
    pub(super) port: u16,
}

impl Http {
    /// Serves what `engine` admits, on the listener at `address`.
    pub fn new(
        address: SocketAddr,
        http2: bool,
        limits: ListenerLimits,
        instruments: Instruments,
        engine: Engine,
    ) -> Self {
        Self { engine, limits, instruments, http2, name: address.to_string(), port: address.port() }
    }

    /// Counts a connection that the gate has cut.
    pub(super) fn count_cut(&self, reason: &str) {
        self.instruments.cut(reason);
    }
}
