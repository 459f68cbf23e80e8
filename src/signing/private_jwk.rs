//! Private keys as JWK (RFC 7517; RFC 7518, section 6.2; RFC 8037, section 2).

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::{Pair, SigningAlgorithm, SigningError, SigningKey};

impl SigningKey {
    /// Reads a private JWK of P-256 or Ed25519. It keeps its `kid`; without one, its thumbprint names it (RFC 7638).
    ///
    /// # Errors
    /// Where the text is not such a key, or its members say different things.
    pub fn from_private_jwk(text: &str) -> Result<Self, SigningError> {
        let jwk: Map<String, Value> =
            serde_json::from_str(text).map_err(|_| SigningError::NotJwk("it is not a JSON object"))?;
        let member = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes =
            |name: &str| -> Option<[u8; 32]> { URL_SAFE_NO_PAD.decode(member(name)?).ok()?.try_into().ok() };
        if jwk.contains_key("keys") {
            return Err(SigningError::NotJwk("it is a set of keys"));
        }
        let (pair, algorithm) = match (member("kty"), member("crv")) {
            _ if !jwk.contains_key("d") => return Err(SigningError::NotJwk("it has no `d`: it is public")),
            (Some("EC"), Some("P-256")) => {
                let (Some(d), Some(x), Some(y)) = (bytes("d"), bytes("x"), bytes("y")) else {
                    return Err(SigningError::NotJwk("`d`, `x` and `y` are 32 bytes each, in base64url"));
                };
                // An uncompressed point (SEC 1, section 2.3.3).
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                let pair = EcdsaKeyPair::from_private_key_and_public_key(
                    &ECDSA_P256_SHA256_FIXED_SIGNING,
                    &d,
                    &point,
                );
                (pair.ok().map(Pair::Ec), SigningAlgorithm::Es256)
            }
            (Some("OKP"), Some("Ed25519")) => {
                let (Some(d), Some(x)) = (bytes("d"), bytes("x")) else {
                    return Err(SigningError::NotJwk("`d` and `x` are 32 bytes each, in base64url"));
                };
                let pair = Ed25519KeyPair::from_seed_and_public_key(&d, &x);
                (pair.ok().map(Pair::Ed), SigningAlgorithm::EdDsa)
            }
            _ => return Err(SigningError::NotJwk("its `kty` and `crv` are of another kind")),
        };
        let pair = pair.ok_or(SigningError::NotJwk("its private and public members do not fit"))?;
        if member("alg").is_some_and(|alg| alg != algorithm.as_str()) {
            return Err(SigningError::NotJwk("its `alg` is for keys of another kind"));
        }
        if member("use").is_some_and(|purpose| purpose != "sig") {
            return Err(SigningError::NotJwk("its `use` is not to sign"));
        }
        let key = Self::from_pair(pair, algorithm);
        Ok(match member("kid").filter(|kid| !kid.is_empty()) {
            Some(kid) => key.with_kid(kid),
            None => key,
        })
    }
}
