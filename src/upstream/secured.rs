//! TLS to an upstream. Made once for each upstream.

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::ServerName;

use super::connect_error::ConnectError;
use super::settings::Protocol;
use crate::tls::ClientTls;

/// The TLS settings.
pub(super) struct UpstreamConnector {
    tls: ClientTls,
    /// The TLS implementation, or why it has refused the settings.
    made: Result<(TlsConnector, ServerName<'static>), String>,
}

impl UpstreamConnector {
    /// TLS under `protocol`.
    pub(super) fn new(tls: &ClientTls, protocol: Protocol) -> Self {
        let spoken: &[u8] = match protocol {
            Protocol::H1 => b"http/1.1",
            Protocol::H2 | Protocol::H2c => b"h2",
        };
        let made = tls.connector(spoken, system_authorities).map_err(|flaw| flaw.message);
        Self { tls: tls.clone(), made }
    }

    pub(super) fn server_name(&self) -> &str {
        &self.tls.server_name
    }

    /// Tells apart connections that cannot replace each other.
    pub(super) fn fingerprint(&self) -> u64 {
        self.tls.fingerprint
    }

    /// Why TLS is not possible, where that is known without a connection.
    pub(super) fn fault(&self) -> Option<&str> {
        self.made.as_ref().err().map(String::as_str)
    }

    /// The connector, and the name that the other end has to prove.
    ///
    /// # Errors
    /// Where the settings were refused: nothing is sent then.
    pub(super) fn connector(&self) -> Result<(&TlsConnector, ServerName<'static>), ConnectError> {
        match &self.made {
            Ok((connector, name)) => Ok((connector, name.clone())),
            Err(why) => Err(ConnectError::of_tls(why.clone())),
        }
    }
}

/// The CAs that count where the configuration names none: the system's.
fn system_authorities() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    // One that cannot be read does not make the others worthless; without any, no certificate could be verified.
    if let (true, Some(error)) = (found.certs.is_empty(), found.errors.first()) {
        return Err(error.to_string());
    }
    let mut roots = RootCertStore::empty();
    for certificate in found.certs {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(roots)
}

impl std::fmt::Debug for UpstreamConnector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("UpstreamConnector")
            .field("server_name", &self.server_name())
            .finish_non_exhaustive()
    }
}
