//! One key of an issuer, and the rules a JWK must keep to become one (RFC 7517, RFC 7518 section 6, RFC 8037).
//!
//! All of them are checked here, once, when a key set is loaded: a token's header may only select among keys, it never
//! changes what a key may do.

mod modulus;
mod small_order;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::authn::algorithm::{Algorithm, KeyType};
use crate::authn::jwks::thumbprint;
use crate::authn::token::claim::claim;

/// RSA moduli below this many bits are refused (RFC 7518, section 3.3).
const MIN_RSA_BITS: usize = 2048;
/// Larger ones make each check of a signature too costly. The bound of aws-lc's own parameters.
const MAX_RSA_BITS: usize = 8192;
/// Smaller public exponents are refused (NIST SP 800-56B, section 6.2).
const MIN_RSA_EXPONENT: u64 = 65537;
/// Members that hold secrets: a public key set that has one of them has leaked it, or is not a public key set
/// (RFC 7518, sections 6.2.2, 6.3.2, 6.4.1; RFC 8037, section 2).
const SECRET_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Which keys of a set may check an issuer's tokens.
#[derive(Clone, Copy, Debug)]
pub(in crate::authn) struct KeyRules<'a> {
    /// The issuer's allow-list: no key takes another algorithm.
    pub(in crate::authn) algorithms: &'a [Algorithm],
    /// Whether keys with `use: jwt-svid` are signature keys (SPIFFE Trust Domain and Bundle, section 4.2.2).
    pub(in crate::authn) jwt_svids: bool,
}

impl<'a> From<&'a [Algorithm]> for KeyRules<'a> {
    fn from(algorithms: &'a [Algorithm]) -> Self {
        Self { algorithms, jwt_svids: false }
    }
}

/// A public key with the algorithms it may be used for.
#[derive(Clone)]
pub(in crate::authn) struct VerifyingKey {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    /// The key for each algorithm that it may be used for, ready to check: what can be computed beforehand is computed once.
    prepared: Vec<(Algorithm, ParsedPublicKey)>,
    /// What the key itself is, without its names (RFC 7638).
    thumbprint: Option<String>,
    /// `x5t` and `x5t#S256`: the thumbprints of its certificate (RFC 7517, sections 4.8 and 4.9).
    certificates: Vec<String>,
}

/// Why a JWK is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authn) enum UnusableKey {
    /// It is for another purpose: encryption, an algorithm that we do not know or that the issuer may not use. A key
    /// set may well hold such keys (RFC 7517, section 5).
    Foreign(String),
    /// It claims to be a signature key and must not be trusted as one.
    Rejected(String),
}

impl VerifyingKey {
    /// Reads a JWK. A member that is `null` counts as missing.
    ///
    /// # Errors
    /// Why the key is left out of the set.
    pub(in crate::authn) fn from_jwk<'a>(
        jwk: &Map<String, Value>,
        rules: impl Into<KeyRules<'a>>,
    ) -> Result<Self, UnusableKey> {
        let rules = rules.into();
        if let Some(member) = SECRET_MEMBERS.into_iter().find(|member| claim(jwk, member).is_some()) {
            let why =
                format!("has the secret member `{member}`: it is symmetric, or a private key was published");
            return Err(UnusableKey::Rejected(why));
        }
        let kid = text(jwk, "kid")?.map(str::to_owned);
        check_purpose(jwk, rules.jwt_svids)?;
        let (key_type, prepared) = match required(jwk, "kty")? {
            "RSA" => (KeyType::Rsa, rsa(jwk)?),
            "EC" => match required(jwk, "crv")? {
                "P-256" => (KeyType::P256, ec(jwk, 32, Algorithm::Es256, &ECDSA_P256_SHA256_FIXED)?),
                "P-384" => (KeyType::P384, ec(jwk, 48, Algorithm::Es384, &ECDSA_P384_SHA384_FIXED)?),
                other => return Err(foreign(format!("is on the curve `{}`", other.escape_debug()))),
            },
            "OKP" => match required(jwk, "crv")? {
                "Ed25519" => (KeyType::Ed25519, ed25519(jwk)?),
                other => return Err(foreign(format!("is on the curve `{}`", other.escape_debug()))),
            },
            "oct" => return Err(refused("is symmetric")),
            other => return Err(foreign(format!("is of the type `{}`", other.escape_debug()))),
        };
        let algorithms = algorithms(jwk, key_type, rules.algorithms)?;
        let prepared = prepared.into_iter().filter(|(algorithm, _)| algorithms.contains(algorithm)).collect();
        let certificates = ["x5t", "x5t#S256"].into_iter().filter_map(|member| jwk.get(member)?.as_str());
        Ok(Self {
            kid,
            algorithms,
            prepared,
            thumbprint: thumbprint::of(jwk),
            certificates: certificates.map(str::to_owned).collect(),
        })
    }

    /// Whether it is the same key, whatever its names are.
    pub(in crate::authn) fn is(&self, other: &Self) -> bool {
        self.thumbprint.is_some() && self.thumbprint == other.thumbprint
    }

    /// Whether one of these is a thumbprint of its certificate.
    pub(in crate::authn) fn has_certificate(&self, thumbprints: &[String]) -> bool {
        self.certificates.iter().any(|own| thumbprints.contains(own))
    }

    /// Whether thumbprints of certificates tell the two apart.
    fn has_other_certificate(&self, other: &Self) -> bool {
        let both = !self.certificates.is_empty() && !other.certificates.is_empty();
        both && !self.has_certificate(&other.certificates)
    }

    /// Takes what another entry of the same set says of the same key.
    pub(in crate::authn) fn merge(&mut self, other: Self) {
        for algorithm in other.algorithms {
            if !self.fits(algorithm) {
                self.algorithms.push(algorithm);
            }
        }
        self.prepared.extend(other.prepared);
        self.certificates.extend(other.certificates);
    }

    /// Gives up the algorithms for which a token of its `kid` could as well mean one of `others`. Returns them.
    pub(in crate::authn) fn yield_to(&mut self, others: &[Self]) -> Vec<Algorithm> {
        let rivals: Vec<&Self> = others
            .iter()
            .filter(|other| other.kid == self.kid && !other.is(self) && !other.has_other_certificate(self))
            .collect();
        let is_shared = |algorithm: &Algorithm| rivals.iter().any(|rival| rival.fits(*algorithm));
        let (shared, own) = self.algorithms.iter().copied().partition(is_shared);
        self.algorithms = own;
        shared
    }

    /// Whether it may check anything.
    pub(in crate::authn) fn is_usable(&self) -> bool {
        !self.algorithms.is_empty()
    }

    /// The key's id.
    pub(in crate::authn) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Whether signatures of this algorithm may be checked with the key.
    pub(in crate::authn) fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether `signature` is this key's signature of `message`. An algorithm that does not fit verifies nothing.
    pub(in crate::authn) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let key = self.prepared.iter().find(|(of, _)| *of == algorithm);
        self.fits(algorithm) && key.is_some_and(|(_, key)| key.verify_sig(message, signature).is_ok())
    }
}

/// `use` and `key_ops` (RFC 7517, sections 4.2 and 4.3): both optional, and a key that has them says so.
fn check_purpose(jwk: &Map<String, Value>, jwt_svids: bool) -> Result<(), UnusableKey> {
    match text(jwk, "use")? {
        None | Some("sig") => {}
        Some("jwt-svid") if jwt_svids => {}
        Some("jwt-svid") => {
            return Err(foreign("is for `use` `jwt-svid`, and the issuer has no `trust_domain`"));
        }
        Some(other) => return Err(foreign(format!("is for `use` `{}`", other.escape_debug()))),
    }
    match claim(jwk, "key_ops") {
        None => Ok(()),
        Some(Value::Array(operations)) if operations.iter().all(Value::is_string) => {
            if operations.iter().any(|operation| operation == "verify") {
                Ok(())
            } else {
                Err(foreign("has no `verify` among its `key_ops`"))
            }
        }
        Some(_) => Err(refused("has a `key_ops` that is not an array of strings")),
    }
}

/// The algorithms of the allow-list that fit the key's type and, where the key names one, its `alg`.
fn algorithms(
    jwk: &Map<String, Value>,
    key_type: KeyType,
    allowed: &[Algorithm],
) -> Result<Vec<Algorithm>, UnusableKey> {
    let named = match text(jwk, "alg")? {
        None => None,
        Some(name) => match name.parse::<Algorithm>() {
            Ok(algorithm) if algorithm.key_type() == key_type => Some(algorithm),
            Ok(algorithm) => {
                return Err(refused(format!("names {algorithm}, which takes another type of key")));
            }
            Err(_) => return Err(foreign(format!("is for `alg` `{}`", name.escape_debug()))),
        },
    };
    let fitting: Vec<_> = allowed
        .iter()
        .copied()
        .filter(|algorithm| algorithm.key_type() == key_type && named.is_none_or(|named| named == *algorithm))
        .collect();
    if fitting.is_empty() { Err(foreign("fits no algorithm that the issuer may use")) } else { Ok(fitting) }
}

/// A key for each algorithm of its type.
type PreparedKeys = Vec<(Algorithm, ParsedPublicKey)>;

fn rsa(jwk: &Map<String, Value>) -> Result<PreparedKeys, UnusableKey> {
    let modulus = octets(jwk, "n")?;
    let exponent = octets(jwk, "e")?;
    // Base64urlUInt has no leading zeros (RFC 7518, section 2).
    let (Some(1..), Some(1..)) = (modulus.first(), exponent.first()) else {
        return Err(refused("has an RSA modulus or exponent that is empty or begins with a zero byte"));
    };
    // aws-lc finds this out only when it comes to verify.
    if modulus.last().is_some_and(|byte| byte % 2 == 0) {
        return Err(refused("has an even RSA modulus"));
    }
    let leading = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = modulus.len() * 8 - leading;
    if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
        return Err(refused(format!("has {bits} bits, outside {MIN_RSA_BITS} to {MAX_RSA_BITS}")));
    }
    let value = exponent.iter().try_fold(0u64, |value, byte| {
        value.checked_mul(256).and_then(|value| value.checked_add(u64::from(*byte)))
    });
    match value {
        Some(value) if value >= MIN_RSA_EXPONENT && value % 2 == 1 => {}
        Some(value) => return Err(refused(format!("has the public exponent {value}"))),
        None => return Err(refused("has a public exponent beyond 64 bits")),
    }
    if let Some(why) = modulus::weakness(&modulus) {
        return Err(refused(why));
    }
    const PARAMETERS: [(Algorithm, &RsaParameters); 6] = [
        (Algorithm::Rs256, &RSA_PKCS1_2048_8192_SHA256),
        (Algorithm::Rs384, &RSA_PKCS1_2048_8192_SHA384),
        (Algorithm::Rs512, &RSA_PKCS1_2048_8192_SHA512),
        (Algorithm::Ps256, &RSA_PSS_2048_8192_SHA256),
        (Algorithm::Ps384, &RSA_PSS_2048_8192_SHA384),
        (Algorithm::Ps512, &RSA_PSS_2048_8192_SHA512),
    ];
    let components = RsaPublicKeyComponents { n: modulus.as_slice(), e: exponent.as_slice() };
    let prepared = PARAMETERS.map(|(algorithm, parameters)| {
        let key = components.to_parsed_public_key(parameters);
        key.map(|key| (algorithm, key))
            .map_err(|error| refused(format!("is not an RSA public key ({error})")))
    });
    prepared.into_iter().collect()
}

fn ec(
    jwk: &Map<String, Value>,
    coordinate: usize,
    algorithm: Algorithm,
    rule: &'static dyn VerificationAlgorithm,
) -> Result<PreparedKeys, UnusableKey> {
    let (x, y) = (octets(jwk, "x")?, octets(jwk, "y")?);
    if x.len() != coordinate || y.len() != coordinate {
        return Err(refused(format!("has a coordinate that is not {coordinate} bytes long")));
    }
    // An uncompressed point (SEC 1, section 2.3.3).
    let point = [&[4][..], &x, &y].concat();
    let key = ParsedPublicKey::new(rule, &point)
        .map_err(|error| refused(format!("is not a point of its curve ({error})")))?;
    Ok(vec![(algorithm, key)])
}

fn ed25519(jwk: &Map<String, Value>) -> Result<PreparedKeys, UnusableKey> {
    let x = octets(jwk, "x")?;
    if x.len() != 32 {
        return Err(refused("has an `x` that is not 32 bytes long"));
    }
    if small_order::is_small_order(&x) {
        return Err(refused(
            "is an Ed25519 point of small order, which verifies what its holder never signed",
        ));
    }
    let key = ParsedPublicKey::new(&ED25519, &x)
        .map_err(|error| refused(format!("is not an Ed25519 public key ({error})")))?;
    Ok(vec![(Algorithm::EdDsa, key)])
}

fn octets(jwk: &Map<String, Value>, member: &str) -> Result<Vec<u8>, UnusableKey> {
    URL_SAFE_NO_PAD
        .decode(required(jwk, member)?)
        .map_err(|error| refused(format!("has a `{member}` that is not base64url ({error})")))
}

fn required<'a>(jwk: &'a Map<String, Value>, member: &str) -> Result<&'a str, UnusableKey> {
    text(jwk, member)?.ok_or_else(|| refused(format!("has no `{member}`")))
}

fn text<'a>(jwk: &'a Map<String, Value>, member: &str) -> Result<Option<&'a str>, UnusableKey> {
    match claim(jwk, member) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(refused(format!("has a `{member}` that is not a string"))),
    }
}

fn foreign(why: impl Into<String>) -> UnusableKey {
    UnusableKey::Foreign(why.into())
}

fn refused(why: impl Into<String>) -> UnusableKey {
    UnusableKey::Rejected(why.into())
}

#[cfg(test)]
mod tests;
