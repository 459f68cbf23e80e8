//! The client's side: what an upstream must prove, and which certificate it is shown.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::certificate::end_of_chain;
use super::{Authority, CertificateExpiry, Flaw, TlsIdentity, provider, trust};

/// How an upstream is spoken to over TLS. Its certificate is always verified, for one name.
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// The name that is asked for and verified.
    pub server_name: String,
    /// The only CAs that the certificate may come from; `None` for the system's.
    pub authorities: Option<Vec<Authority>>,
    /// The certificate for an upstream that asks for one.
    pub identity: Option<TlsIdentity>,
    /// Tells apart settings that differ in any of these: a connection that was made under one must not be used for the
    /// other.
    pub fingerprint: u64,
}

impl ClientTls {
    /// TLS to upstreams that prove to be `server_name`, which [`is_server_name`].
    pub fn new(
        server_name: &str,
        authorities: Option<Vec<Authority>>,
        identity: Option<TlsIdentity>,
    ) -> Self {
        let fingerprint = fingerprint(server_name, authorities.as_deref(), identity.as_ref());
        Self { server_name: server_name.to_owned(), authorities, identity, fingerprint }
    }
}

impl ClientTls {
    /// When the certificate ends that `upstream` is shown, where it is shown one.
    pub fn expiry(&self, upstream: &str) -> Option<CertificateExpiry> {
        let until = end_of_chain(self.identity.as_ref()?.chain())?;
        Some(CertificateExpiry { usage: "client", name: upstream.to_owned(), until })
    }

    /// What agrees on `protocol` over it (ALPN), and the name that the other end has to prove. `system` gives the CAs that count
    /// where none are named.
    ///
    /// # Errors
    /// Where the library refuses what it is given.
    pub fn connector(
        &self,
        protocol: &[u8],
        system: impl FnOnce() -> Result<RootCertStore, String>,
    ) -> Result<(TlsConnector, ServerName<'static>), Flaw> {
        let refused = |error: String| Flaw::new(format!("TLS cannot be set up: {error}"), "use other files");
        let name =
            ServerName::try_from(self.server_name.clone()).map_err(|error| refused(error.to_string()))?;
        let roots = match &self.authorities {
            Some(authorities) => trust(authorities)?,
            None => system().map_err(refused)?,
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| refused(error.to_string()))?
            .with_root_certificates(roots);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(identity.chain().to_vec(), identity.private_key())
                .map_err(|error| refused(error.to_string()))?,
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        // A resumed session is not verified again: it would outlive a certificate that has ended.
        config.resumption = Resumption::disabled();
        Ok((TlsConnector::from(Arc::new(config)), name))
    }
}

/// Whether a certificate can be verified for this name.
pub fn is_server_name(name: &str) -> bool {
    ServerName::try_from(name).is_ok()
}

fn fingerprint(name: &str, authorities: Option<&[Authority]>, identity: Option<&TlsIdentity>) -> u64 {
    let mut context = Context::new(&SHA256);
    let mut add = |bytes: &[u8]| {
        context.update(&bytes.len().to_be_bytes());
        context.update(bytes);
    };
    add(name.as_bytes());
    add(&[u8::from(authorities.is_some())]);
    authorities.unwrap_or_default().iter().for_each(|authority| add(authority));
    add(&[u8::from(identity.is_some())]);
    if let Some(identity) = identity {
        identity.chain().iter().for_each(|certificate| add(certificate));
        // The key fits the certificate, which is all that this checks: the key itself is not needed here.
    }
    let digest = context.finish();
    digest.as_ref().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
