//! TLS before anything else is said: a handshake in time, or no connection.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio_rustls::rustls::Error;

use super::stream::Transport;
use crate::proxy::Arrival;
use crate::tls::{Established, ServerTls};

/// Why a connection ended with its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It took too long.
    Timeout,
    /// The client went away.
    Closed,
    /// What came is not TLS.
    NotTls,
    /// No version, cipher or protocol that both speak.
    Incompatible,
    /// The client's certificate is missing, or does not hold.
    ClientCertificate,
    /// The client would not have ours.
    Refused,
    /// Anything else.
    Other,
}

impl Failure {
    /// The `reason` of `opgate_refused_connections_total`.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Timeout => "tls_timeout",
            Self::Closed => "tls_closed",
            Self::NotTls => "not_tls",
            Self::Incompatible => "tls_incompatible",
            Self::ClientCertificate => "tls_client_certificate",
            Self::Refused => "tls_refused_by_client",
            Self::Other => "tls_other",
        }
    }

    fn of(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            None => Self::Closed,
            Some(Error::InvalidMessage(_)) => Self::NotTls,
            Some(Error::PeerIncompatible(_) | Error::NoApplicationProtocol) => Self::Incompatible,
            Some(Error::NoCertificatesPresented | Error::InvalidCertificate(_)) => Self::ClientCertificate,
            Some(Error::AlertReceived(_)) => Self::Refused,
            Some(_) => Self::Other,
        }
    }
}

/// Does the handshake, or says why there was none, with the words for the log.
pub(super) async fn shake_hands(
    tcp: tokio::net::TcpStream,
    rules: &Arc<ArcSwap<ServerTls>>,
    deadline: Instant,
    write_timeout: Duration,
) -> Result<Transport, (Failure, String)> {
    let tls = rules.load_full();
    match tokio::time::timeout_at(deadline.into(), tls.acceptor().accept(tcp)).await {
        Ok(Ok(mut stream)) => {
            // What TLS holds back counts as taken only once all of it is: no more than one record (RFC 8446, section 5.1),
            // so that a client that takes some is seen to.
            stream.get_mut().1.set_buffer_limit(Some(16 * 1024));
            let established = Established::new(rules.clone(), &tls, stream.get_ref().1, Arrival::now().time);
            Ok(Transport::tls(stream, established, write_timeout))
        }
        Ok(Err(error)) => Err((Failure::of(&error), error.to_string())),
        Err(_) => Err((Failure::Timeout, "it did not end in time".to_owned())),
    }
}
