//! Files of private keys: PKCS#8 in PEM (RFC 5958, RFC 7468), or a JWK (RFC 7517).

use std::io::ErrorKind;
use std::path::Path;

use crate::files;
use crate::signing::{SigningError, SigningKey};

/// No key is longer.
const MAX_BYTES: u64 = 64 << 10;

/// What is wrong with a key's file. It never quotes the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct KeyFlaw {
    /// The fault, with the file's path.
    pub message: String,
    /// The next step.
    pub help: &'static str,
}

const UNREADABLE: &str =
    "paths are relative to the configuration file; the user that opgate runs as must be able to read it";
const KINDS: &str = "make one with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out FILE`, \
    readable by the user that opgate runs as alone";

/// Reads a private key.
///
/// # Errors
/// Where the file cannot be read, or holds anything but one key that can sign.
pub fn read_key(path: &Path) -> Result<SigningKey, KeyFlaw> {
    let shown = path.display();
    let flaw = |message: String, help| Err(KeyFlaw { message, help });
    let text = match read(path) {
        Ok(Some(text)) => text,
        Ok(None) => return flaw(format!("`{shown}` is not a file of a key"), KINDS),
        Err(error) => return flaw(format!("cannot read `{shown}`: {error}"), UNREADABLE),
    };
    if text.trim_start().starts_with('{') {
        return SigningKey::from_private_jwk(&text).or_else(|error| {
            flaw(
                format!("the key in `{shown}` cannot be used: {error}"),
                "one JWK with its private members, of P-256 or Ed25519; RSA keys are read from PEM",
            )
        });
    }
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return flaw(
            format!("the key in `{shown}` is encrypted"),
            "the gate cannot ask for its passphrase: decrypt it with `openssl pkey`, readable by this user alone",
        );
    }
    if text.contains("BEGIN EC PRIVATE KEY") || text.contains("BEGIN RSA PRIVATE KEY") {
        return flaw(
            format!("the key in `{shown}` is not written as PKCS#8"),
            "write it anew with `openssl pkcs8 -topk8 -nodes -in FILE`: it begins with `-----BEGIN PRIVATE KEY-----` then",
        );
    }
    if text.matches("-----BEGIN PRIVATE KEY-----").count() > 1 {
        return flaw(
            format!("`{shown}` holds more than one private key"),
            "give each a file of its own, and list the signing one first",
        );
    }
    match SigningKey::from_pkcs8_pem(&text) {
        Ok(key) => Ok(key),
        Err(SigningError::NotPem) => flaw(format!("`{shown}` holds no private key"), KINDS),
        Err(error) => flaw(format!("the key in `{shown}` cannot be used: {error}"), KINDS),
    }
}

/// The text of a file; `None` of what is not text, is not a regular file, or is too long to be a key.
fn read(path: &Path) -> std::io::Result<Option<String>> {
    match files::read(path, MAX_BYTES) {
        Ok(bytes) => Ok(String::from_utf8(bytes).ok()),
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::FileTooLarge) => Ok(None),
        Err(error) => Err(error),
    }
}
