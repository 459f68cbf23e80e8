//! Opens connections to backends: TCP, and TLS where the upstream has it.
//!
//! TLS 1.2 and 1.3; the upstream's name is verified against the CAs that were named or the system's, and the gate's
//! certificate is shown where it is asked for. Over HTTP/2, the two ends have to agree on it (ALPN).

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::rustls;

use super::connect_error::ConnectError;
use super::secured::UpstreamConnector;
use super::settings::Protocol;
use super::wire::UpstreamTransport;

/// Opens connections to an endpoint: with this TLS or none.
#[derive(Clone, Debug)]
pub(super) struct BackendConnector {
    pub(super) secured: Option<Arc<UpstreamConnector>>,
    pub(super) protocol: Protocol,
}

impl BackendConnector {
    /// A new connection.
    ///
    /// # Errors
    /// Where there is none to be had.
    pub(super) async fn open(&self, address: SocketAddr) -> Result<UpstreamTransport, ConnectError> {
        let connected = async {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            Ok(tcp)
        };
        let tcp = connected.await.map_err(|error| ConnectError::of_tcp(address, &error))?;
        match &self.secured {
            None => Ok(UpstreamTransport::Plain(tcp)),
            Some(secured) => self.secure(tcp, secured).await,
        }
    }

    async fn secure(
        &self,
        tcp: TcpStream,
        secured: &UpstreamConnector,
    ) -> Result<UpstreamTransport, ConnectError> {
        let (connector, name) = secured.connector()?;
        let failed = |why: &dyn std::fmt::Display| {
            ConnectError::of_tls(format!("the TLS handshake with `{}` failed: {why}", secured.server_name()))
        };
        let tls = connector.connect(name, tcp).await.map_err(|error| {
            match error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
                Some(error) => failed(error),
                None => failed(&error),
            }
        })?;
        if self.protocol == Protocol::H2 && tls.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(failed(&"the backend does not agree on HTTP/2"));
        }
        Ok(UpstreamTransport::Secured(Box::new(tls)))
    }
}
