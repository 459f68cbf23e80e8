//! CAs made for a test, certificates good and bad, and clients that verify them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::TLS12;
use tokio_rustls::rustls::{
    ALL_VERSIONS, ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
};

/// A CA.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key, in PEM.
pub struct Leaf {
    pub chain: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "a CA of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem().as_bytes()).unwrap()).unwrap();
        roots
    }

    /// A good certificate for DNS names and addresses.
    pub fn issue(&self, names: &[&str]) -> Leaf {
        self.issue_with(names, |_| {})
    }

    /// Issues a certificate like [`Self::issue`] does, with a change of its parameters.
    pub fn issue_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Leaf { chain: params.signed_by(&key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }

    /// A client's certificate with these URIs.
    pub fn issue_to(&self, uris: &[&str]) -> Leaf {
        self.issue_with(&[], |params| {
            for uri in uris {
                params.subject_alt_names.push(rcgen::SanType::URI((*uri).try_into().unwrap()));
            }
        })
    }

    /// A client that trusts this CA alone.
    pub fn client(&self) -> Client {
        Client { trusted: self.roots(), identity: None, alpn: Vec::new(), versions: ALL_VERSIONS.to_vec() }
    }
}

/// A certificate that ended long ago.
pub fn expired(params: &mut CertificateParams) {
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
}

impl Leaf {
    /// Writes `NAME.pem` and `NAME-key.pem`.
    pub fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let chain = directory.join(format!("{name}.pem"));
        let key = directory.join(format!("{name}-key.pem"));
        std::fs::write(&chain, &self.chain).unwrap();
        std::fs::write(&key, &self.key).unwrap();
        (chain, key)
    }

    pub fn certificates(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.chain.as_bytes()).map(Result::unwrap).collect()
    }

    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

impl Leaf {
    /// A server that presents this certificate, speaks these protocols, and, if a CA is named, accepts its clients
    /// alone.
    pub fn server(&self, protocols: &[&str], clients: Option<&Authority>) -> ServerConfig {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(authority.roots()), provider)
                    .build()
                    .unwrap(),
            ),
        };
        let mut config = builder.with_single_cert(self.certificates(), self.private_key()).unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        config
    }
}

/// How a client speaks TLS.
#[derive(Clone)]
pub struct Client {
    trusted: RootCertStore,
    identity: Option<(String, String)>,
    alpn: Vec<Vec<u8>>,
    versions: Vec<&'static SupportedProtocolVersion>,
}

impl Client {
    /// Shows this certificate if the server asks for one.
    pub fn showing(mut self, leaf: &Leaf) -> Self {
        self.identity = Some((leaf.chain.clone(), leaf.key.clone()));
        self
    }

    /// Offers these protocols.
    pub fn offering(mut self, protocols: &[&str]) -> Self {
        self.alpn = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        self
    }

    /// Speaks TLS 1.2 alone.
    pub fn tls12(mut self) -> Self {
        self.versions = vec![&TLS12];
        self
    }

    fn config(&self) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(self.trusted.clone());
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let leaf = Leaf { chain: chain.clone(), key: key.clone() };
                builder.with_client_auth_cert(leaf.certificates(), leaf.private_key()).unwrap()
            }
        };
        config.alpn_protocols = self.alpn.clone();
        config
    }

    /// Does a handshake and asks for `name` (SNI). An address is not asked for.
    pub async fn connect(&self, address: SocketAddr, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        self.over(TcpStream::connect(address).await?, name).await
    }

    /// The same on a connection on which no byte of TLS was sent yet.
    pub async fn over(&self, stream: TcpStream, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(Arc::new(self.config()));
        let name = ServerName::try_from(name.to_owned()).unwrap();
        tokio::time::timeout(Duration::from_secs(10), connector.connect(name, stream))
            .await
            .expect("a handshake or its end in time")
    }
}
