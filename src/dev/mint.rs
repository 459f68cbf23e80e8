//! Access tokens and files of private keys, for `opgate-dev token`, the issuer of the demo, and tests.
//!
//! The product signs assertions alone. What is here is not in its program: nothing there mints an access token or writes
//! down a private key.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::signing::{BEGIN, END, Pair, SigningAlgorithm, SigningError, SigningKey};

/// What a key does in development only.
pub trait Mint: Sized {
    /// The same key with another algorithm: RS256 and PS256 share RSA keys.
    ///
    /// # Errors
    /// Where keys of this kind do not sign with `algorithm`.
    fn with_algorithm(self, algorithm: SigningAlgorithm) -> Result<Self, WrongAlgorithm>;

    /// An access token (`typ: at+jwt`, RFC 9068, section 2.1) with these claims.
    ///
    /// # Errors
    /// Where the crypto library fails.
    fn sign(&self, claims: &Value) -> Result<String, SigningError>;

    /// A token under any header, signed with this key's own algorithm whatever the `alg` of the header says: for tokens
    /// that a verifier must refuse.
    ///
    /// # Errors
    /// Where the crypto library fails.
    fn sign_with_header(&self, header: &Value, claims: &Value) -> Result<String, SigningError>;

    /// A key set (RFC 7517, section 5) with this one public key.
    fn jwks(&self) -> Value;

    /// The private key, for a file that only its owner may read.
    ///
    /// # Errors
    /// Where the crypto library fails.
    fn to_pkcs8_pem(&self) -> Result<PrivatePem, SigningError>;
}

/// The key cannot sign with the algorithm that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key cannot sign with {wanted}: it is a key for {has}")]
pub struct WrongAlgorithm {
    /// What was asked for.
    pub wanted: SigningAlgorithm,
    /// What the key is for.
    pub has: SigningAlgorithm,
}

impl Mint for SigningKey {
    fn with_algorithm(mut self, algorithm: SigningAlgorithm) -> Result<Self, WrongAlgorithm> {
        let fits = match self.pair {
            Pair::Ec(_) => algorithm == SigningAlgorithm::Es256,
            Pair::Rsa(_) => matches!(algorithm, SigningAlgorithm::Rs256 | SigningAlgorithm::Ps256),
            Pair::Ed(_) => algorithm == SigningAlgorithm::EdDsa,
        };
        if !fits {
            return Err(WrongAlgorithm { wanted: algorithm, has: self.algorithm });
        }
        self.algorithm = algorithm;
        Ok(self)
    }

    fn sign(&self, claims: &Value) -> Result<String, SigningError> {
        let header = json!({ "alg": self.algorithm.as_str(), "typ": "at+jwt", "kid": self.kid() });
        self.sign_with_header(&header, claims)
    }

    fn sign_with_header(&self, header: &Value, claims: &Value) -> Result<String, SigningError> {
        self.sign_raw(header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    fn jwks(&self) -> Value {
        json!({ "keys": [self.public_jwk()] })
    }

    fn to_pkcs8_pem(&self) -> Result<PrivatePem, SigningError> {
        let text = match &self.pair {
            Pair::Ec(pair) => encode_pem(pair.to_pkcs8v1()?.as_ref()),
            Pair::Ed(pair) => encode_pem(pair.to_pkcs8v1()?.as_ref()),
            Pair::Rsa(pair) => encode_pem(AsDer::<Pkcs8V1Der<'_>>::as_der(pair)?.as_ref()),
        };
        Ok(PrivatePem(text))
    }
}

/// The algorithm of a name, as JOSE headers write it.
///
/// # Errors
/// Where there is none of this name.
pub fn parse_algorithm(name: &str) -> Result<SigningAlgorithm, String> {
    SigningAlgorithm::ALL
        .into_iter()
        .find(|algorithm| algorithm.as_str() == name)
        .ok_or_else(|| "expected ES256, RS256, PS256 or EdDSA".to_owned())
}

/// A private key as PEM. Neither `Debug` nor `Display` prints it: only [`PrivatePem::reveal`] does, and says so.
pub struct PrivatePem(String);

impl PrivatePem {
    /// The key itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PrivatePem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Display for PrivatePem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[private key]")
    }
}

fn encode_pem(der: &[u8]) -> String {
    let mut text = format!("{BEGIN}\n");
    for (index, character) in STANDARD.encode(der).chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push('\n');
    text.push_str(END);
    text.push('\n');
    text
}

#[cfg(test)]
mod tests;
