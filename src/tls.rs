//! Certificates and keys: read from PEM files, checked as far as files can be, and made into TLS settings.
//!
//! All of it happens when the configuration is loaded, so that `opgate check` finds a key that does not fit its
//! certificate, and a reload that finds one keeps what is in force. TLS 1.2 and 1.3 with the defaults of rustls, over
//! aws-lc; nothing here turns a check off.

mod certificate;
mod client;
mod established;
mod pem;
mod server;
pub(crate) mod settings;
mod told;

use std::sync::Arc;

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::CertificateDer;

pub use self::certificate::{Certificate, CertificateExpiry};
pub use self::client::{ClientTls, is_server_name};
pub use self::established::Established;
pub use self::pem::{TlsIdentity, authorities};
pub use self::server::{ClientRule, ServerTls};
pub use self::settings::{ListenerTls, UpstreamTls};
pub use self::told::certificate_told;

/// The certificate of a CA.
pub type Authority = CertificateDer<'static>;

/// What is wrong with a file of certificates or keys. It never quotes a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Flaw {
    /// The fault, with the file's path.
    pub message: String,
    /// The next step.
    pub help: &'static str,
}

impl Flaw {
    fn new(message: impl Into<String>, help: &'static str) -> Self {
        Self { message: message.into(), help }
    }
}

/// Makes aws-lc the cryptography of every TLS connection of the process: a library that is not given a provider would take
/// another one where no default is installed.
pub fn choose_cryptography() {
    // An error means that one is installed already.
    let _ = CryptoProvider::install_default(aws_lc_rs::default_provider());
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn trust(authorities: &[Authority]) -> Result<RootCertStore, Flaw> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone()).map_err(|error| {
            Flaw::new(
                format!("a certificate cannot be trusted as an authority: {error}"),
                "the file holds the certificates of CAs",
            )
        })?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests;
