//! The server's side: which certificate a listener presents, and which ones it requires of clients.

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::certificate::end_of_chain;
use super::{Authority, CertificateExpiry, Flaw, TlsIdentity, provider, trust};
use crate::http::ServerNames;

/// What a certificate without a DNS name is called.
const WITHOUT_NAME: &str = "unknown";

/// What a listener requires of its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRule {
    /// The only CAs that a client's certificate may come from.
    pub authorities: Vec<Authority>,
    /// Whether a client without one is refused.
    pub required: bool,
    /// The identity pool that its holders are subjects of.
    pub pool: Option<String>,
    /// What a holder who sends no other credential may do; `None` where a certificate alone does not make a caller.
    pub scopes: Option<Arc<[String]>>,
}

/// The rule, and what verifies certificates by it.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) rule: ClientRule,
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
}

/// A listener's side of TLS: immutable, and swapped whole when its files change.
#[derive(Debug)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    certificates: Arc<BySni>,
    clients: Option<Arc<Clients>>,
}

impl ServerTls {
    /// The identity pool that clients are subjects of by their certificates.
    pub fn client_pool(&self) -> Option<&str> {
        self.clients.as_ref()?.rule.pool.as_deref()
    }

    /// TLS with `identities`; the first is presented for a name that none of them has.
    ///
    /// # Errors
    /// Where the authorities are none, or the library refuses what it is given.
    pub fn new(identities: &[TlsIdentity], clients: Option<ClientRule>, http2: bool) -> Result<Self, Flaw> {
        let presented = identities.iter().map(|identity| Presented {
            names: Arc::new(identity.certificate.names.clone()),
            certified: identity.certified.clone(),
        });
        Self::presenting(Arc::new(BySni { presented: presented.collect() }), clients, http2)
    }

    /// The same certificates, with another rule for clients.
    ///
    /// # Errors
    /// As [`ServerTls::new`].
    pub fn with_clients(&self, clients: Option<ClientRule>) -> Result<Self, Flaw> {
        Self::presenting(self.certificates.clone(), clients, self.config.alpn_protocols.len() > 1)
    }

    fn presenting(certificates: Arc<BySni>, clients: Option<ClientRule>, http2: bool) -> Result<Self, Flaw> {
        let refused = |error: String| Flaw::new(format!("TLS cannot be set up: {error}"), "use other files");
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| refused(error.to_string()))?;
        let clients = clients
            .map(|rule| {
                let roots = Arc::new(trust(&rule.authorities)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
                let verifier = if rule.required { verifier } else { verifier.allow_unauthenticated() };
                let verifier = verifier.build().map_err(|error| refused(error.to_string()))?;
                Ok(Arc::new(Clients { rule, verifier }))
            })
            .transpose()?;
        let builder = match &clients {
            None => builder.with_no_client_auth(),
            Some(clients) => builder.with_client_cert_verifier(clients.verifier.clone()),
        };
        let mut config = builder.with_cert_resolver(certificates.clone());
        config.alpn_protocols =
            if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
        if clients.is_some() {
            // A resumed session is not verified again: it would outlive a certificate that has ended.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Self { config: Arc::new(config), certificates, clients })
    }

    /// When its certificates end.
    pub fn expiries(&self) -> impl Iterator<Item = CertificateExpiry> {
        self.certificates.presented.iter().filter_map(|presented| {
            let name = presented.names.first().unwrap_or(WITHOUT_NAME).to_owned();
            Some(CertificateExpiry { usage: "server", name, until: end_of_chain(&presented.certified.cert)? })
        })
    }

    /// Whether every client has to show a certificate of an authority that is named.
    pub fn requires_certificates(&self) -> bool {
        self.clients.as_ref().is_some_and(|clients| clients.rule.required)
    }

    /// What does the handshakes.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.clone())
    }

    /// What it requires of its clients, if anything.
    pub(super) fn clients(&self) -> Option<&Arc<Clients>> {
        self.clients.as_ref()
    }

    /// The names of the certificate that is presented for `server_name`.
    pub(super) fn names_for(&self, server_name: Option<&str>) -> Arc<ServerNames> {
        self.certificates.for_name(server_name).map(|presented| presented.names.clone()).unwrap_or_default()
    }
}

/// Chooses the certificate by the name that the client asks for (RFC 6066, section 3).
#[derive(Debug)]
struct BySni {
    presented: Vec<Presented>,
}

#[derive(Debug)]
struct Presented {
    names: Arc<ServerNames>,
    certified: Arc<CertifiedKey>,
}

impl BySni {
    fn for_name(&self, name: Option<&str>) -> Option<&Presented> {
        name.and_then(|name| self.presented.iter().find(|presented| presented.names.cover(name)))
            .or_else(|| self.presented.first())
    }
}

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(plain_name);
        let first = self.for_name(name.as_deref())?;
        // Of two certificates for a name, one of ECDSA and one of RSA, the one that the client can verify.
        let verifiable = self.presented.iter().find(|presented| {
            name.as_deref().is_some_and(|name| presented.names.cover(name))
                && presented.certified.key.choose_scheme(hello.signature_schemes()).is_some()
        });
        Some(verifiable.unwrap_or(first).certified.clone())
    }
}

/// As hosts are compared: in lower case, and without the dot that makes a name absolute.
pub(super) fn plain_name(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}
