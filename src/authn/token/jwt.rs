//! A token before and after its signature was checked, as two types (RFC 7519).
//!
//! [`Unverified`] is a stranger's text. Its claims may be read for one purpose only: to find the issuer whose keys
//! decide. Every other reader takes [`Verified`], which only the check of the signature makes.

use serde_json::{Map, Value};

use crate::authn::algorithm::Algorithm;
use crate::authn::jwks::jwk::VerifyingKey;
use crate::authn::jwks::single_flight::KeyHint;
use crate::authn::token::jws::{Jws, NamedKey};
use crate::reason::Denial;

/// A token as it came.
pub(in crate::authn) struct Unverified<'a> {
    jws: Jws<'a>,
    claims: Map<String, Value>,
}

/// The claims of a token whose signature was good, and the `typ` that the signature covers too.
pub(in crate::authn) struct Verified<'a> {
    jws: Jws<'a>,
    claims: Map<String, Value>,
}

impl<'a> Unverified<'a> {
    /// Reads a token, each part once.
    ///
    /// # Errors
    /// As [`Jws::parse`], and where the payload is not a JSON object.
    pub(in crate::authn) fn parse(token: &'a str) -> Result<Self, Denial> {
        let jws = Jws::parse(token)?;
        let claims = jws.payload()?;
        Ok(Self { jws, claims })
    }

    /// The claims, of which only those that say whose keys decide may be read.
    pub(in crate::authn) fn unverified_claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// The same, for longer than the request.
    pub(in crate::authn) fn into_owned(self) -> Unverified<'static> {
        Unverified { jws: self.jws.into_owned(), claims: self.claims }
    }

    /// The text as it came.
    pub(in crate::authn) fn text(&self) -> &str {
        self.jws.text()
    }

    /// The algorithm that the header names.
    pub(in crate::authn) fn algorithm(&self) -> Algorithm {
        self.jws.algorithm()
    }

    /// The names that the header has for its key.
    pub(in crate::authn) fn named(&self) -> &NamedKey {
        self.jws.named()
    }

    /// The id of the key, where the header has it.
    pub(in crate::authn) fn kid(&self) -> Option<&str> {
        self.jws.kid()
    }

    /// What the token says of the key that signed it: its id, or nothing but the signature.
    pub(in crate::authn) fn hint(&self, by_kid: bool) -> KeyHint<'_> {
        match self.jws.kid() {
            Some(kid) if by_kid => KeyHint::Kid(kid),
            _ => KeyHint::Signature(self.jws.signature()),
        }
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// The token as it was, where `key` did not make it.
    pub(in crate::authn) fn verify(self, key: &VerifyingKey) -> Result<Verified<'a>, Box<Self>> {
        if self.jws.is_signed_by(key) {
            Ok(Verified { jws: self.jws, claims: self.claims })
        } else {
            Err(Box::new(self))
        }
    }
}

impl Verified<'_> {
    /// The header's `typ`.
    pub(in crate::authn) fn token_type(&self) -> Option<&str> {
        self.jws.token_type()
    }

    /// The id of the key, where the header has it.
    pub(in crate::authn) fn kid(&self) -> Option<&str> {
        self.jws.kid()
    }

    /// The claims.
    pub(in crate::authn) fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// The claims, by value.
    pub(in crate::authn) fn into_claims(self) -> Map<String, Value> {
        self.claims
    }
}
