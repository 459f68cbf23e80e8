//! A JSON Web Signature in compact form (RFC 7515, section 7.1): the rules for its bytes and its header, before a key
//! is chosen.
//!
//! The header's `jku`, `x5c` and `x5u` are never read, and `jwk` only in proofs of possession ([`Jws::with_key`]). RFC 7515
//! lets a reader ignore them: a key that the token itself brings, or the place of one, proves nothing. `kid`, `x5t` and
//! `x5t#S256` name one of the issuer's own keys. What RFC 7515 does not define is ignored (section 4).

use std::borrow::Cow;
use std::collections::HashMap;

use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use base64::{Engine, alphabet};
use memchr::memchr_iter;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::authn::algorithm::Algorithm;
use crate::authn::denial::{invalid, shown};
use crate::authn::jwks::jwk::VerifyingKey;
use crate::bytewise;
use crate::json;
use crate::reason::{Denial, Reason};

/// The names that a header has for the key that signed: they choose among the issuer's own keys and prove nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::authn) struct NamedKey {
    /// `kid`.
    pub(in crate::authn) kid: Option<String>,
    /// `x5t` and `x5t#S256`: thumbprints of the key's certificate (RFC 7515, sections 4.1.7 and 4.1.8).
    pub(in crate::authn) thumbprints: Vec<String>,
}

/// A signed text as it came: well-formed, and nothing is proven.
pub(in crate::authn) struct Jws<'a> {
    /// As received.
    text: Cow<'a, str>,
    /// The length of header and payload, with the dot: what the signature covers.
    signed: usize,
    signature: Vec<u8>,
    algorithm: Algorithm,
    named: NamedKey,
    token_type: Option<String>,
}

impl<'a> Jws<'a> {
    /// Takes a token apart and reads its header.
    ///
    /// # Errors
    /// [`Reason::TokenTypeUnsupported`] for what is not a JWS, [`Reason::TokenInvalid`] for one that breaks a rule.
    pub(in crate::authn) fn parse(token: &'a str) -> Result<Self, Denial> {
        Self::read(token).map(|(jws, _)| jws)
    }

    /// The same for a proof of possession, which brings the key that it proves the possession of. The key is trusted
    /// with nothing else.
    ///
    /// # Errors
    /// As [`Jws::parse`], and where the header's `jwk` is missing or not an object.
    pub(in crate::authn) fn with_key(proof: &'a str) -> Result<(Self, Map<String, Value>), Denial> {
        let (jws, mut header) = Self::read(proof)?;
        match header.remove("jwk") {
            Some(Value::Object(jwk)) => Ok((jws, jwk)),
            Some(_) => Err(invalid("the header's `jwk` is not an object")),
            None => Err(invalid("the header has no `jwk`")),
        }
    }

    fn read(token: &'a str) -> Result<(Self, Map<String, Value>), Denial> {
        let (header, signature) = segments(token)?;
        let header = object(header, "header")?;
        check_extensions(&header)?;
        let algorithm = text(&header, "alg")?.ok_or_else(|| invalid("the header has no `alg`"))?;
        let algorithm = algorithm
            .parse::<Algorithm>()
            .map_err(|_| invalid(format!("the algorithm `{}` is not supported", shown(algorithm))))?;
        let thumbprints = ["x5t", "x5t#S256"].into_iter().filter_map(|name| header.get(name)?.as_str());
        let named = NamedKey {
            kid: text(&header, "kid")?.map(str::to_owned),
            thumbprints: thumbprints.map(str::to_owned).collect(),
        };
        let token_type = text(&header, "typ")?.map(str::to_owned);
        let signed = token.len() - signature.len() - 1;
        let signature = decode(signature, "signature")?;
        Ok((Self { text: token.into(), signed, signature, algorithm, named, token_type }, header))
    }

    /// The same, for longer than the request.
    pub(in crate::authn) fn into_owned(self) -> Jws<'static> {
        let Self { text, signed, signature, algorithm, named, token_type } = self;
        Jws { text: Cow::Owned(text.into_owned()), signed, signature, algorithm, named, token_type }
    }

    /// The text as received.
    pub(in crate::authn) fn text(&self) -> &str {
        &self.text
    }

    fn signed(&self) -> &str {
        self.text.get(..self.signed).unwrap_or_default()
    }

    /// The payload, which must be a JSON object.
    ///
    /// # Errors
    /// Where it is not.
    pub(in crate::authn) fn payload(&self) -> Result<Map<String, Value>, Denial> {
        let (_, payload) = self.signed().split_once('.').unwrap_or_default();
        object(payload, "payload")
    }

    /// The algorithm that the header names.
    pub(in crate::authn) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The names of the key.
    pub(in crate::authn) fn named(&self) -> &NamedKey {
        &self.named
    }

    /// The key's id.
    pub(in crate::authn) fn kid(&self) -> Option<&str> {
        self.named.kid.as_deref()
    }

    /// The signature, decoded.
    pub(in crate::authn) fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The header's `typ`.
    pub(in crate::authn) fn token_type(&self) -> Option<&str> {
        self.token_type.as_deref()
    }

    /// Whether `key` made the signature, over the bytes as received.
    pub(in crate::authn) fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        key.verifies(self.algorithm, self.signed().as_bytes(), &self.signature)
    }
}

/// Refuses extensions that have to be understood (`crit`), of which there are none here, and a payload that is not in
/// base64 (`b64: false`: RFC 7797, section 3), which another reader would cut out differently.
fn check_extensions(header: &Map<String, Value>) -> Result<(), Denial> {
    if header.contains_key("crit") {
        return Err(invalid("the header has `crit`"));
    }
    match header.get("b64") {
        None | Some(Value::Null | Value::Bool(true)) => Ok(()),
        Some(_) => Err(invalid("the header has `b64`, and it is not `true`")),
    }
}

/// Whether a token shows itself to be a JOSE object, signed or encrypted: its first part is a JSON object in base64.
///
/// Read as generously as the most careless reader would (either alphabet, padded or not, bits left over). A text that
/// is none may be shown to the issuer of opaque tokens; another issuer's token must not be.
pub(in crate::authn) fn is_jose(token: &str) -> bool {
    const GENEROUS: GeneralPurpose = GeneralPurpose::new(
        &alphabet::URL_SAFE,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let Some((header, _)) = token.split_once('.') else { return false };
    let header = header.replace('+', "-").replace('/', "_");
    let header = GENEROUS.decode(header).unwrap_or_default();
    serde_json::from_slice::<HashMap<String, IgnoredAny>>(&header).is_ok()
}

/// Header and signature of a token of three parts, before anything is decoded: a JWE has five, an opaque token often one.
fn segments(token: &str) -> Result<(&str, &str), Denial> {
    let mut dots = memchr_iter(b'.', token.as_bytes());
    if let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) {
        let parts = [token.get(..first), token.get(first + 1..second), token.get(second + 1..)];
        if let [Some(header), Some(payload), Some(signature)] = parts
            && [header, payload, signature].into_iter().all(is_base64url)
        {
            return Ok((header, signature));
        }
    }
    Err(Denial::new(Reason::TokenTypeUnsupported, "the token is not three base64url segments"))
}

fn is_base64url(segment: &str) -> bool {
    bytewise::all(segment.as_bytes(), |byte| {
        byte.is_ascii_alphabetic() | byte.is_ascii_digit() | (byte == b'-') | (byte == b'_')
    })
}

/// Strict base64url: no padding, no bits left over (RFC 7515, section 2), so that one token has one spelling.
fn decode(segment: &str, what: &str) -> Result<Vec<u8>, Denial> {
    URL_SAFE_NO_PAD.decode(segment).map_err(|error| invalid(format!("the {what} is not base64url: {error}")))
}

fn object(segment: &str, what: &str) -> Result<Map<String, Value>, Denial> {
    json::parse_object(&decode(segment, what)?)
        .map_err(|error| invalid(format!("the {what} is not a JSON object: {}", shown(&error.to_string()))))
}

fn text<'m>(header: &'m Map<String, Value>, member: &str) -> Result<Option<&'m str>, Denial> {
    match header.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(invalid(format!("the header's `{member}` is not a string"))),
    }
}

#[cfg(test)]
mod tests;
