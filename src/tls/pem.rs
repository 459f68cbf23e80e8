//! PEM files (RFC 7468): chains of certificates and the keys that fit them.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error, InconsistentKeys};

use super::{Authority, Certificate, Flaw, provider};
use crate::files;

/// No file of certificates or keys is longer.
const MAX_BYTES: u64 = 1 << 20;

/// A chain of certificates with the key of its first one.
#[derive(Clone, Debug)]
pub struct TlsIdentity {
    /// What rustls presents and signs with.
    pub(super) certified: Arc<CertifiedKey>,
    /// What the first certificate says.
    pub certificate: Certificate,
    key: Arc<PrivateKeyDer<'static>>,
}

impl TlsIdentity {
    /// Reads a chain and its key. `Err` tells of each file what is wrong with it: certificate, then key.
    ///
    /// # Errors
    /// Where a file cannot be read or holds no such thing, or the key is another certificate's.
    pub fn load(chain: &Path, key: &Path) -> Result<Self, (Option<Flaw>, Option<Flaw>)> {
        let (chain, key) = match (certificates(chain), private_key(key)) {
            (Ok(chain), Ok(der)) => (chain, (key, der)),
            (chain, key) => return Err((chain.err(), key.err())),
        };
        let (path, der) = key;
        let held = Arc::new(der.clone_key());
        let certified =
            CertifiedKey::from_der(chain.iter().map(|(der, _)| der.clone()).collect(), der, &provider())
                .map_err(|error| (None, Some(misfit(path, &error))))?;
        let certificate = chain.into_iter().next().map(|(_, certificate)| certificate);
        match certificate {
            Some(certificate) => Ok(Self { certified: Arc::new(certified), certificate, key: held }),
            None => Err((Some(Flaw::new("there is no certificate", NO_CERTIFICATE)), None)),
        }
    }

    /// The chain, the holder's certificate first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// The key in DER. Secret.
    pub fn key(&self) -> &[u8] {
        self.key.secret_der()
    }

    /// The same for the library that signs with it.
    pub(super) fn private_key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    /// What is wrong with the time that it is used at.
    pub fn untimely(&self, now: SystemTime) -> Option<&'static str> {
        if now > self.certificate.until {
            Some("has expired")
        } else if now < self.certificate.from {
            Some("does not hold yet")
        } else {
            None
        }
    }
}

/// Reads the certificates of authorities.
///
/// # Errors
/// Where the file cannot be read or holds no certificate.
pub fn authorities(path: &Path) -> Result<Vec<Authority>, Flaw> {
    let authorities: Vec<_> = certificates(path)?.into_iter().map(|(der, _)| der).collect();
    super::trust(&authorities).map(|_| authorities)
}

const NO_CERTIFICATE: &str = "a PEM file holds blocks that begin with `-----BEGIN CERTIFICATE-----`";
const NO_KEY: &str = "a PEM file holds a block that begins with `-----BEGIN PRIVATE KEY-----`";

fn certificates(path: &Path) -> Result<Vec<(CertificateDer<'static>, Certificate)>, Flaw> {
    let bytes = read(path)?;
    let shown = path.display();
    let mut chain = Vec::new();
    for der in CertificateDer::pem_slice_iter(&bytes) {
        let der = der.map_err(|_| Flaw::new(format!("`{shown}` is not written as PEM"), NO_CERTIFICATE))?;
        let certificate = Certificate::read(&der).ok_or_else(|| {
            Flaw::new(
                format!("certificate {} of `{shown}` cannot be read", chain.len() + 1),
                "look at it with `openssl x509 -noout -text`",
            )
        })?;
        chain.push((der, certificate));
    }
    if chain.is_empty() {
        return Err(Flaw::new(format!("`{shown}` holds no certificate"), NO_CERTIFICATE));
    }
    Ok(chain)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Flaw> {
    let bytes = read(path)?;
    let shown = path.display();
    let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    if has("BEGIN ENCRYPTED PRIVATE KEY") || has("Proc-Type: 4,ENCRYPTED") {
        return Err(Flaw::new(
            format!("the key in `{shown}` is encrypted"),
            "opgate cannot ask for its passphrase: decrypt it with `openssl pkey`, readable by this user alone",
        ));
    }
    let mut keys = PrivateKeyDer::pem_slice_iter(&bytes);
    match (keys.next(), keys.next()) {
        (Some(Ok(key)), None) => Ok(key),
        (None, _) => Err(Flaw::new(format!("`{shown}` holds no private key"), NO_KEY)),
        (Some(Ok(_)), Some(_)) => {
            Err(Flaw::new(format!("`{shown}` holds more than one private key"), "keep the certificate's own"))
        }
        (Some(Err(_)), _) => Err(Flaw::new(format!("`{shown}` is not written as PEM"), NO_KEY)),
    }
}

fn misfit(path: &Path, error: &Error) -> Flaw {
    let shown = path.display();
    match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Flaw::new(
            format!("the key in `{shown}` does not fit the certificate"),
            "the first certificate of the chain must be the key's own",
        ),
        error => Flaw::new(
            format!("the key in `{shown}` cannot be used: {error}"),
            "RSA of 2048 bits and more, ECDSA over P-256, P-384 or P-521, and Ed25519 can",
        ),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Flaw> {
    let shown = path.display();
    match files::read(path, MAX_BYTES) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => Err(Flaw::new(
            format!("`{shown}` is longer than 1MiB"),
            "that is not a file of certificates or keys",
        )),
        Err(error) => Err(Flaw::new(
            format!("cannot read `{shown}`: {error}"),
            "paths are relative to the configuration file; the user that opgate runs as must be able to read it",
        )),
    }
}
