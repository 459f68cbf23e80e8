//! Private keys, and signatures with them: what opgate signs assertions with (assertion/).
//!
//! Tokens of clients are verified elsewhere (authn/), with other keys. Keys are kept in the container that openssl writes,
//! PKCS#8 in PEM (RFC 5958, RFC 7468), tokens are JWS compact serializations (RFC 7515), and public keys are published
//! as JWK (RFC 7517, RFC 7518, RFC 8037).
//!
//! What only development needs is not here: access tokens, and files of private keys (dev/mint.rs).

mod private_jwk;

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

/// The algorithms that we sign with. Closed, unlike [`jsonwebtoken::Algorithm`]: a symmetric key cannot be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SigningAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    #[default]
    Es256,
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// RSA-PSS with SHA-256.
    Ps256,
    /// Ed25519.
    EdDsa,
}

/// A private key with its algorithm and key id.
pub struct SigningKey {
    pub(crate) algorithm: SigningAlgorithm,
    kid: String,
    pub(crate) pair: Pair,
}

/// The key itself, by its kind. Only `dev` reads it outside of this module.
pub(crate) enum Pair {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// Why a key or a signature could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// The text holds no PKCS#8 key.
    #[error("no `PRIVATE KEY` block of PEM (PKCS#8, not encrypted) in the text")]
    NotPem,
    /// The block holds something other than a key that we can sign with.
    #[error("not a private key of a supported kind: P-256, Ed25519, or RSA of 2048 to 8192 bits")]
    UnsupportedKey,
    /// The text is not a JWK that we can sign with.
    #[error("not a private JWK that can sign: {0}")]
    NotJwk(&'static str),
    /// The crypto library failed, which it does only where memory or entropy ends.
    #[error("the crypto library failed")]
    Crypto,
}

impl From<aws_lc_rs::error::Unspecified> for SigningError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Crypto
    }
}

impl SigningKey {
    /// A fresh key; RSA keys have 2048 bits. Without `kid`, the key's RFC 7638 thumbprint names it.
    ///
    /// # Errors
    /// Where the crypto library has no memory or entropy.
    pub fn generate(algorithm: SigningAlgorithm, kid: Option<&str>) -> Result<Self, SigningError> {
        let pair = match algorithm {
            SigningAlgorithm::Es256 => Pair::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?),
            SigningAlgorithm::Rs256 | SigningAlgorithm::Ps256 => {
                Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048)?)
            }
            SigningAlgorithm::EdDsa => Pair::Ed(Ed25519KeyPair::generate()?),
        };
        let key = Self::from_pair(pair, algorithm);
        Ok(match kid {
            Some(kid) => key.with_kid(kid),
            None => key,
        })
    }

    /// Reads the first `PRIVATE KEY` block of a PEM text. What kind of key it is, the key says; an RSA key signs with
    /// RS256.
    ///
    /// # Errors
    /// Where there is no such block, or its key is of another kind.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, SigningError> {
        let der = decode_pem(pem).ok_or(SigningError::NotPem)?;
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der) {
            return Ok(Self::from_pair(Pair::Ec(pair), SigningAlgorithm::Es256));
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8(&der) {
            return Ok(Self::from_pair(Pair::Ed(pair), SigningAlgorithm::EdDsa));
        }
        match RsaKeyPair::from_pkcs8(&der) {
            Ok(pair) => Ok(Self::from_pair(Pair::Rsa(pair), SigningAlgorithm::Rs256)),
            Err(_) => Err(SigningError::UnsupportedKey),
        }
    }

    fn from_pair(pair: Pair, algorithm: SigningAlgorithm) -> Self {
        let kid = thumbprint(&pair);
        Self { algorithm, kid, pair }
    }

    /// The same key under another id.
    pub fn with_kid(self, kid: &str) -> Self {
        Self { kid: kid.to_owned(), ..self }
    }

    /// What the key signs with.
    pub fn algorithm(&self) -> SigningAlgorithm {
        self.algorithm
    }

    /// The key id: the JWK's and every token's `kid`.
    pub fn kid(&self) -> &str {
        &self.kid
    }
}

impl SigningKey {
    /// A token with this header and this payload, whatever bytes they are: the caller writes their JSON.
    ///
    /// # Errors
    /// Where the crypto library fails.
    pub fn sign_raw(&self, header: &[u8], payload: &[u8]) -> Result<String, SigningError> {
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = self.signature(input.as_bytes())?;
        Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn signature(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        let random = SystemRandom::new();
        Ok(match &self.pair {
            // The fixed form, r and s side by side, is the one of RFC 7518, section 3.4.
            Pair::Ec(pair) => pair.sign(&random, message)?.as_ref().to_vec(),
            Pair::Ed(pair) => pair.try_sign(message)?.as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let padding: &'static dyn RsaEncoding = match self.algorithm {
                    SigningAlgorithm::Ps256 => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                pair.sign(padding, &random, message, &mut signature)?;
                signature
            }
        })
    }
}

impl SigningKey {
    /// The public half as a JWK with `alg`, `use` and `kid`.
    pub fn public_jwk(&self) -> Value {
        let mut jwk: Map<String, Value> = public_members(&self.pair)
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        for (name, value) in [("alg", self.algorithm.as_str()), ("use", "sig"), ("kid", &self.kid)] {
            jwk.insert(name.to_owned(), value.into());
        }
        Value::Object(jwk)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SigningKey")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

impl SigningAlgorithm {
    /// Every algorithm, the default first.
    pub const ALL: [Self; 4] = [Self::Es256, Self::Rs256, Self::Ps256, Self::EdDsa];

    /// The name that JOSE headers use (RFC 7518, section 3.1; RFC 8037, section 3.1).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl fmt::Display for SigningAlgorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The members that make up the public key, in the order that a thumbprint asks for: alphabetical (RFC 7638,
/// section 3.2; RFC 8037, section 2).
fn public_members(pair: &Pair) -> Vec<(&'static str, String)> {
    match pair {
        Pair::Ec(pair) => {
            // An uncompressed point (SEC 1, section 2.3.3): one byte of form, then x and y in 32 bytes each.
            let point = pair.public_key().as_ref();
            let coordinates = point.get(1..).unwrap_or_default();
            let (x, y) = coordinates.split_at_checked(32).unwrap_or_default();
            vec![
                ("crv", "P-256".to_owned()),
                ("kty", "EC".to_owned()),
                ("x", URL_SAFE_NO_PAD.encode(x)),
                ("y", URL_SAFE_NO_PAD.encode(y)),
            ]
        }
        Pair::Rsa(pair) => {
            let public = pair.public_key();
            vec![
                ("e", URL_SAFE_NO_PAD.encode(public.exponent().big_endian_without_leading_zero())),
                ("kty", "RSA".to_owned()),
                ("n", URL_SAFE_NO_PAD.encode(public.modulus().big_endian_without_leading_zero())),
            ]
        }
        Pair::Ed(pair) => vec![
            ("crv", "Ed25519".to_owned()),
            ("kty", "OKP".to_owned()),
            ("x", URL_SAFE_NO_PAD.encode(pair.public_key().as_ref())),
        ],
    }
}

fn thumbprint(pair: &Pair) -> String {
    let members: Map<String, Value> =
        public_members(pair).into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let text = Value::Object(members).to_string();
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

pub(crate) const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
pub(crate) const END: &str = "-----END PRIVATE KEY-----";

fn decode_pem(text: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(BEGIN)?;
    let (body, _) = rest.split_once(END)?;
    let body: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(body).ok()
}

#[cfg(test)]
pub(crate) mod tests;
