//! TLS to an upstream: for Pingora over HTTP/2, and for our own connector over HTTP/1. Made once for each upstream.

use std::sync::Arc;

use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use pingora::{Error, ErrorType, Result};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::ServerName;

use super::settings::Protocol;
use crate::tls::{Authority, ClientTls};

/// The TLS settings.
pub(super) struct UpstreamConnector {
    tls: ClientTls,
    authorities: Option<Arc<[WrappedX509]>>,
    identity: Option<Arc<CertKey>>,
    ours: Ours,
}

/// The TLS implementation.
enum Ours {
    Speaks(Box<TlsConnector>, ServerName<'static>),
    /// rustls refused the settings.
    Refused(String),
    /// Pingora does TLS.
    Pingoras,
}

impl UpstreamConnector {
    /// TLS under `protocol`.
    pub(super) fn new(tls: &ClientTls, protocol: Protocol) -> Self {
        // Pingora parses the same bytes with the same library as at load.
        let parsed = |der: &Authority| WrappedX509::new(der.to_vec(), parse_x509);
        let authorities =
            tls.authorities.as_ref().map(|authorities| authorities.iter().map(parsed).collect());
        let identity = tls.identity.as_ref().map(|identity| {
            let chain = identity.chain().iter().map(|certificate| certificate.to_vec()).collect();
            Arc::new(CertKey::new(chain, identity.key().to_vec()))
        });
        let ours = match protocol {
            Protocol::H1 => match tls.connector(system_authorities) {
                Ok((connector, name)) => Ours::Speaks(Box::new(connector), name),
                Err(flaw) => Ours::Refused(flaw.message),
            },
            Protocol::H2 | Protocol::H2c => Ours::Pingoras,
        };
        Self { tls: tls.clone(), authorities, identity, ours }
    }

    pub(super) fn server_name(&self) -> &str {
        &self.tls.server_name
    }

    /// Tells apart connections that cannot replace each other.
    pub(super) fn fingerprint(&self) -> u64 {
        self.tls.fingerprint
    }

    pub(super) fn authorities(&self) -> Option<Arc<[WrappedX509]>> {
        self.authorities.clone()
    }

    pub(super) fn identity(&self) -> Option<Arc<CertKey>> {
        self.identity.clone()
    }

    /// Why TLS is not possible, where that is known without a connection.
    pub(super) fn fault(&self) -> Option<&str> {
        match &self.ours {
            Ours::Refused(why) => Some(why),
            Ours::Speaks(..) | Ours::Pingoras => None,
        }
    }

    /// The connector, and the name that the other end has to prove.
    ///
    /// # Errors
    /// Where the settings were refused: nothing is sent then.
    pub(super) fn connector(&self) -> Result<(&TlsConnector, ServerName<'static>)> {
        match &self.ours {
            Ours::Speaks(connector, name) => Ok((connector, name.clone())),
            Ours::Refused(why) => Error::e_explain(ErrorType::InvalidCert, why.clone()),
            Ours::Pingoras => Error::e_explain(ErrorType::InternalError, "Pingora does the TLS of HTTP/2"),
        }
    }
}

/// The CAs that count where the configuration names none: the system's.
fn system_authorities() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    pingora::tls::load_platform_certs_incl_env_into_store(&mut roots).map_err(|error| error.to_string())?;
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
