//! Why there is no connection to a backend.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// What was missing for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectFault {
    /// A connection.
    Connection,
    /// Trust, or a common language.
    Tls,
    /// Files, ports or memory of this machine: no backend was reached.
    Local,
}

/// Why there is no connection.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{detail}")]
pub struct ConnectError {
    /// What was missing.
    pub fault: ConnectFault,
    detail: String,
}

impl ConnectError {
    fn new(fault: ConnectFault, detail: String) -> Self {
        Self { fault, detail }
    }

    pub(super) fn of_tcp(address: SocketAddr, error: &io::Error) -> Self {
        // No file (EMFILE, ENFILE), no memory for it (ENOBUFS) or no port (EADDRNOTAVAIL), as Linux numbers them.
        let is_local = error.raw_os_error().is_some_and(|number| matches!(number, 23 | 24 | 99 | 105));
        let fault = if is_local { ConnectFault::Local } else { ConnectFault::Connection };
        Self::new(fault, format!("cannot connect to {address}: {error}"))
    }

    pub(super) fn of_tls(why: String) -> Self {
        Self::new(ConnectFault::Tls, why)
    }

    /// There was a connection, and no HTTP/2 on it.
    pub(super) fn greeting(address: SocketAddr, error: &h2::Error) -> Self {
        Self::new(ConnectFault::Connection, format!("{address} does not begin to speak HTTP/2: {error}"))
    }

    /// A connection ended as soon as it was opened.
    pub(super) fn gone(address: SocketAddr) -> Self {
        Self::new(ConnectFault::Connection, format!("the connection to {address} ended at once"))
    }

    pub(super) fn late(address: SocketAddr, after: Duration) -> Self {
        Self::new(ConnectFault::Connection, format!("no connection to {address} within {after:?}"))
    }
}
