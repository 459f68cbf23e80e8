//! What the connections of one listener have in common.

use std::sync::Arc;

use crate::engine::Engine;
use crate::http::Path;
use crate::listener::{Authorizer, Instruments, ListenAddress, ListenerLimits, ListenerSettings};

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
    /// Of a listener with an IP address.
    pub(super) port: Option<u16>,
    /// Where it tells balancers how the gate is.
    pub(super) health_path: Option<Arc<Path>>,
    /// Where it decides for proxies, and forwards nothing.
    pub(super) authorizer: Option<Arc<Authorizer>>,
}

impl Http {
    /// Serves what `engine` admits, on the listener at `address`.
    pub fn new(
        address: &ListenAddress,
        settings: &ListenerSettings,
        limits: ListenerLimits,
        instruments: Instruments,
        engine: Engine,
    ) -> Self {
        let health_path = settings.health_path.as_ref().map(|(path, _)| Arc::new(path.clone()));
        let (http2, name, port) = (settings.http2, address.to_string(), address.port());
        let authorizer = settings.authorizer.clone().map(Arc::new);
        Self { engine, limits, instruments, http2, name, port, health_path, authorizer }
    }

    /// Counts a connection that the gate has cut.
    pub(super) fn count_cut(&self, reason: &str) {
        self.instruments.cut(reason);
    }
}
