//! The TLS handshake: complete in time, or no connection.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio_rustls::rustls::Error;

use super::client_socket::ClientSocket;
use super::stream::ClientStream;
use crate::clock;
use crate::tls::{Established, ServerTls};

/// The most bytes in a TLS record (RFC 8446, section 5.1), and in a frame of HTTP/2 behind its header (RFC 9113, section
/// 6.5.2: no client has to take more).
const RECORD: usize = 16 * 1024;
/// RFC 9113, section 4.1.
const FRAME_HEADER: usize = 9;

/// Why a connection ended with its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandshakeError {
    /// It took too long.
    Timeout,
    /// The client went away.
    Closed,
    /// What came is not TLS.
    NotTls,
    /// The two ends have no version, cipher or protocol in common.
    Incompatible,
    /// The client's certificate is missing, or is not valid.
    ClientCertificate,
    /// The client refused our certificate.
    Refused,
    /// Anything else.
    Other,
}

impl HandshakeError {
    /// All of them.
    pub(super) const ALL: [Self; 7] = [
        Self::Timeout,
        Self::Closed,
        Self::NotTls,
        Self::Incompatible,
        Self::ClientCertificate,
        Self::Refused,
        Self::Other,
    ];

    /// The `outcome` of `opgate_tls_handshakes_total`.
    pub(super) fn outcome(self) -> &'static str {
        let label = self.label();
        label.strip_prefix("tls_").unwrap_or(label)
    }

    /// The `reason` of `opgate_connections_refused_total`.
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

/// Does the handshake, or says why it failed, in words for the log.
pub(super) async fn shake_hands(
    socket: ClientSocket,
    rules: &Arc<ArcSwap<ServerTls>>,
    deadline: Instant,
    write_timeout: Duration,
) -> Result<ClientStream, (HandshakeError, String)> {
    let tls = rules.load_full();
    match tokio::time::timeout_at(deadline.into(), tls.acceptor().accept(socket)).await {
        Ok(Ok(mut stream)) => {
            // Bytes that TLS holds back count as taken only once all of them are: at most one record, so that progress of a
            // slow client is seen.
            // A frame of HTTP/2 is a little more: its last bytes must not go out by themselves.
            let session = stream.get_mut().1;
            let http2 = session.alpn_protocol() == Some(b"h2");
            session.set_buffer_limit(Some(if http2 { RECORD + FRAME_HEADER } else { RECORD }));
            let established = Established::new(rules.clone(), &tls, stream.get_ref().1, clock::now());
            Ok(ClientStream::tls(stream, established, write_timeout))
        }
        Ok(Err(error)) => Err((HandshakeError::of(&error), error.to_string())),
        Err(_) => Err((HandshakeError::Timeout, "it did not end in time".to_owned())),
    }
}
