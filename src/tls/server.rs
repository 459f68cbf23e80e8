//! The server's side: what a listener presents, and whom it asks for a certificate.

use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{ServerConfig, ServerConnection};

use super::{Authority, Certificate, Flaw, Identity, provider, trust};
use crate::http::{Channel, ClientCertificate, ServerNames};
use crate::principal::Principal;

/// What a listener asks of its clients.
#[derive(Clone, Debug)]
pub struct ClientRule {
    /// The only CAs that a client's certificate may come from.
    pub authorities: Vec<Authority>,
    /// Whether there is no connection without one.
    pub required: bool,
    /// The identity pool that its holders are subjects of.
    pub pool: Option<String>,
    /// What a holder who sends no other credential may do; `None` where a certificate alone makes nobody a caller.
    pub scopes: Option<Arc<[String]>>,
}

/// A listener's side of TLS: immutable, and swapped whole when its files change.
#[derive(Debug)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    certificates: Arc<BySni>,
    clients: Option<ClientRule>,
}

impl ServerTls {
    /// The identity pool that clients are subjects of by their certificates.
    pub fn client_pool(&self) -> Option<&str> {
        self.clients.as_ref()?.pool.as_deref()
    }

    /// TLS with `identities`, of which the first is presented to whoever asks for a name that none has.
    ///
    /// # Errors
    /// Where the authorities are none, or the library refuses what it is given.
    pub fn new(identities: &[Identity], clients: Option<ClientRule>, http2: bool) -> Result<Self, Flaw> {
        let certificates = Arc::new(BySni {
            presented: identities
                .iter()
                .map(|identity| Presented {
                    names: Arc::new(identity.certificate.names.clone()),
                    certified: identity.certified.clone(),
                })
                .collect(),
        });
        let refused = |error: String| Flaw::new(format!("TLS cannot be set up: {error}"), "use other files");
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| refused(error.to_string()))?;
        let builder = match &clients {
            None => builder.with_no_client_auth(),
            Some(rule) => {
                let roots = Arc::new(trust(&rule.authorities)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
                let verifier = if rule.required { verifier } else { verifier.allow_unauthenticated() };
                builder
                    .with_client_cert_verifier(verifier.build().map_err(|error| refused(error.to_string()))?)
            }
        };
        let mut config = builder.with_cert_resolver(certificates.clone());
        config.alpn_protocols =
            if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
        if clients.is_some() {
            // A session that is taken up again is not verified again: a certificate that has ended since would go on.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Self { config: Arc::new(config), certificates, clients })
    }

    /// What does the handshakes.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.clone())
    }

    /// What a finished handshake has established.
    pub fn channel(&self, connection: &ServerConnection) -> Channel {
        let server_name = connection.server_name().map(plain_name);
        let names =
            self.certificates.for_name(server_name.as_deref()).map(|presented| presented.names.clone());
        let client = connection
            .peer_certificates()
            .and_then(|chain| chain.first())
            .zip(self.clients.as_ref())
            .map(|(der, rule)| client_certificate(der, rule));
        Channel { server_name: server_name.map(Into::into), names: names.unwrap_or_default(), client }
    }
}

fn client_certificate(der: &CertificateDer<'_>, rule: &ClientRule) -> ClientCertificate {
    let certificate = Certificate::read(der);
    let uri = certificate.as_ref().and_then(Certificate::uri).map(str::to_owned);
    let principal = rule.pool.as_deref().zip(uri.as_deref()).map(|(pool, uri)| Principal::subject(pool, uri));
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    ClientCertificate {
        thumbprint: URL_SAFE_NO_PAD.encode(digest),
        uri,
        principal,
        scopes: rule.scopes.clone(),
        // One that cannot be read speaks for nobody, and for no time.
        until: certificate.map_or(SystemTime::UNIX_EPOCH, |certificate| certificate.until),
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
fn plain_name(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}
