//! What a certificate says of its holder and for how long.

use std::time::{Duration, SystemTime};

use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::http::{NoCaller, ServerNames};

/// What is read from an X.509 certificate beside what rustls checks.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The DNS names of its subject alternative names.
    pub names: ServerNames,
    /// The URIs of its subject alternative names: a SPIFFE ID, where it has one.
    pub uris: Vec<String>,
    /// Whether there is an IP address among them.
    pub has_address: bool,
    /// When it begins to hold.
    pub from: SystemTime,
    /// When it ends.
    pub until: SystemTime,
}

/// When a certificate that the gate shows ends, with all that it is verified by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CertificateExpiry {
    /// Where it is shown: `server` for clients, `client` for upstreams.
    pub usage: &'static str,
    /// The certificate's first DNS name, or the name of the upstream that it is shown to.
    pub name: String,
    /// When the first certificate of its chain ends.
    pub until: SystemTime,
}

/// When the first certificate of a chain ends.
pub(super) fn end_of_chain(chain: &[CertificateDer<'static>]) -> Option<SystemTime> {
    chain.iter().filter_map(|der| Certificate::read(der)).map(|certificate| certificate.until).min()
}

impl Certificate {
    /// Reads a certificate in DER; `None` where it is not one.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let mut names = Vec::new();
        let mut uris = Vec::new();
        let mut has_address = false;
        if let Some(alternatives) = certificate.subject_alternative_name().ok()? {
            for name in &alternatives.value.general_names {
                match name {
                    GeneralName::DNSName(name) => names.push(*name),
                    GeneralName::URI(uri) => uris.push((*uri).to_owned()),
                    GeneralName::IPAddress(_) => has_address = true,
                    _ => {}
                }
            }
        }
        Some(Self {
            names: ServerNames::new(names),
            uris,
            has_address,
            from: instant(certificate.validity.not_before.timestamp()),
            until: instant(certificate.validity.not_after.timestamp()),
        })
    }

    /// The one URI that names the holder. With two of them the holder is not clear (SPIFFE X.509-SVID, section 2); text
    /// that is not plain ASCII could be read in two ways.
    ///
    /// # Errors
    /// Why there is not exactly one.
    pub fn uri(&self) -> Result<&str, NoCaller> {
        match self.uris.as_slice() {
            [] => Err(NoCaller::WithoutUri),
            [uri] if !uri.is_empty() && uri.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(uri),
            [_] => Err(NoCaller::OddUri),
            _ => Err(NoCaller::SeveralUris),
        }
    }
}

fn instant(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let epoch = SystemTime::UNIX_EPOCH;
    if seconds < 0 { epoch.checked_sub(distance) } else { epoch.checked_add(distance) }.unwrap_or(epoch)
}
