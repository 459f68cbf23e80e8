//! A JWK Set (RFC 7517, section 5): the keys of one issuer that may check signatures, and the keys that were left out.

pub(super) mod cache;
pub(super) mod discovery;
pub(super) mod fetch;
pub(super) mod jwk;
pub(super) mod refresh;
pub(super) mod schedule;
pub(super) mod single_flight;
pub(crate) mod thumbprint;

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::algorithm::Algorithm;
use super::jwks::jwk::{UnusableKey, VerifyingKey};
use crate::json;

/// Larger documents are refused, whether fetched or read from a file. Bytes.
pub(super) const MAX_DOCUMENT: usize = 1024 * 1024;

/// More keys than any issuer has: a key without a `kid` is looked for among all.
const MAX_KEYS: usize = 256;

/// The usable keys of a JWK Set; at least one, or the issuer has withdrawn them all.
pub(super) struct KeySet {
    keys: Vec<VerifyingKey>,
    problems: Vec<String>,
}

/// Why a document is not a key set that tokens can be checked with.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeySetError {
    #[error("the key set is larger than {MAX_DOCUMENT} bytes")]
    TooLarge,
    #[error("the key set is not a JSON object: {0}")]
    Syntax(#[from] serde_json::Error),
    #[error("the key set has no `keys` array")]
    NoKeys,
    #[error("the key set has {0} keys, more than {MAX_KEYS}")]
    TooMany(usize),
    #[error("no key of the set can be used{}", listed(.0))]
    NoneUsable(Vec<String>),
    #[error("the issuer has withdrawn all its keys: no key of the set can be used{}", listed(.0))]
    Withdrawn(Vec<String>),
}

/// Why no key of the set can verify a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoKey {
    /// No key has the token's `kid`.
    UnknownKid,
    /// The key with the token's `kid` is not for the token's algorithm.
    OtherAlgorithm,
    /// The token has no `kid`, and this many keys fit its algorithm instead of exactly one.
    Ambiguous(usize),
}

impl KeySet {
    /// Reads a JWK Set. Keys that break the rules are left out and listed by [`KeySet::problems`]; the others stay.
    ///
    /// # Errors
    /// Where the document is not a key set, or no key is left: such a document replaces nothing.
    pub(super) fn parse(document: &[u8], allowed: &[Algorithm]) -> Result<Self, KeySetError> {
        if document.len() > MAX_DOCUMENT {
            return Err(KeySetError::TooLarge);
        }
        let set = json::parse_object(document)?;
        let Some(Value::Array(jwks)) = set.get("keys") else { return Err(KeySetError::NoKeys) };
        if jwks.len() > MAX_KEYS {
            return Err(KeySetError::TooMany(jwks.len()));
        }
        let mut keys = Vec::new();
        let mut problems = Vec::new();
        for (index, jwk) in jwks.iter().enumerate() {
            let key = match jwk {
                Value::Object(jwk) => VerifyingKey::from_jwk(jwk, allowed),
                _ => Err(UnusableKey::Rejected("is not an object".to_owned())),
            };
            match key {
                Ok(key) => keys.push(key),
                Err(UnusableKey::Rejected(why)) => problems.push(format!("key {} {why}", named(index, jwk))),
                Err(UnusableKey::Foreign(why)) => {
                    tracing::debug!("key {} of a key set {why}", named(index, jwk))
                }
            }
        }
        drop_shared_kids(&mut keys, &mut problems);
        if keys.is_empty() { Err(KeySetError::NoneUsable(problems)) } else { Ok(Self { keys, problems }) }
    }

    /// An empty set: what is left of an issuer's keys that it has withdrawn.
    pub(super) fn withdrawn(problems: Vec<String>) -> Self {
        Self { keys: Vec::new(), problems }
    }

    /// The key that a token must be signed with. A `kid` selects exactly the key that has it; a token without one is
    /// accepted only where a single key fits (RFC 7515, section 4.1.4).
    ///
    /// # Errors
    /// Where there is no such key.
    pub(super) fn select(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<&VerifyingKey, NoKey> {
        match kid {
            Some(kid) => {
                let key = self.keys.iter().find(|key| key.kid() == Some(kid)).ok_or(NoKey::UnknownKid)?;
                if key.fits(algorithm) { Ok(key) } else { Err(NoKey::OtherAlgorithm) }
            }
            None => {
                let mut fitting = self.keys.iter().filter(|key| key.fits(algorithm));
                match (fitting.next(), fitting.count()) {
                    (Some(key), 0) => Ok(key),
                    (first, others) => Err(NoKey::Ambiguous(usize::from(first.is_some()) + others)),
                }
            }
        }
    }

    /// How many keys can be used.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The names that tokens have for them. A key without a `kid` has no name.
    pub(super) fn kids(&self) -> BTreeSet<&str> {
        self.keys.iter().filter_map(VerifyingKey::kid).collect()
    }

    /// What was left out and why, for the operator.
    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }
}

/// Two keys with one `kid` are both left out: either could be the wrong one.
fn drop_shared_kids(keys: &mut Vec<VerifyingKey>, problems: &mut Vec<String>) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for kid in keys.iter().filter_map(VerifyingKey::kid) {
        *seen.entry(kid.to_owned()).or_default() += 1;
    }
    let shared = |key: &VerifyingKey| key.kid().and_then(|kid| seen.get(kid)).is_some_and(|count| *count > 1);
    keys.retain(|key| !shared(key));
    let mut kids: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).collect();
    kids.sort();
    for (kid, count) in kids {
        problems.push(format!("{count} keys share the `kid` `{}`: none of them is used", kid.escape_debug()));
    }
}

fn named(index: usize, jwk: &Value) -> String {
    match jwk.get("kid").and_then(Value::as_str) {
        Some(kid) => format!("`{}`", kid.escape_debug()),
        None => format!("number {}", index + 1),
    }
}

fn listed(problems: &[String]) -> String {
    if problems.is_empty() { String::new() } else { format!(": {}", problems.join("; ")) }
}

#[cfg(test)]
mod tests;
