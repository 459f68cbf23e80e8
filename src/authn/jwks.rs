//! A JWK Set (RFC 7517, section 5): the keys of one issuer that may check signatures, and the keys that were left out.

pub(super) mod cache;
pub(super) mod discovery;
pub(super) mod fetch;
pub(super) mod jwk;
pub(super) mod refresh;
pub(super) mod schedule;
pub(super) mod single_flight;
pub(crate) mod thumbprint;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::algorithm::Algorithm;
use super::jwks::jwk::{KeyRules, UnusableKey, VerifyingKey};
use super::token::jws::NamedKey;
use crate::json;

/// Larger documents are refused, whether fetched or read from a file. Bytes.
pub(super) const MAX_DOCUMENT: usize = 1024 * 1024;

/// More keys than any issuer has: a key without a `kid` is looked for among all.
const MAX_KEYS: usize = 256;

/// The usable keys of a JWK Set; at least one, or the issuer has withdrawn them all.
pub(super) struct KeySet {
    keys: Vec<VerifyingKey>,
    problems: Vec<String>,
    skipped: Vec<String>,
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
    /// This many keys have the token's `kid`, or fit its algorithm if it has none, instead of exactly one.
    Ambiguous(usize),
}

impl KeySet {
    /// Reads a JWK Set. Keys that break the rules are left out and listed by [`KeySet::problems`], keys for another purpose
    /// by [`KeySet::skipped`]; the others stay.
    ///
    /// # Errors
    /// Where the document is not a key set, or no key is left: such a document replaces nothing.
    pub(super) fn parse<'a>(document: &[u8], rules: impl Into<KeyRules<'a>>) -> Result<Self, KeySetError> {
        if document.len() > MAX_DOCUMENT {
            return Err(KeySetError::TooLarge);
        }
        let set = json::parse_object(document)?;
        let Some(Value::Array(jwks)) = set.get("keys") else { return Err(KeySetError::NoKeys) };
        if jwks.len() > MAX_KEYS {
            return Err(KeySetError::TooMany(jwks.len()));
        }
        let rules = rules.into();
        let (mut keys, mut problems, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        for (index, jwk) in jwks.iter().enumerate() {
            let key = match jwk {
                Value::Object(jwk) => VerifyingKey::from_jwk(jwk, rules),
                _ => Err(UnusableKey::Rejected("is not an object".to_owned())),
            };
            match key {
                Ok(key) => add(&mut keys, key),
                Err(UnusableKey::Rejected(why)) => problems.push(format!("key {} {why}", named(index, jwk))),
                Err(UnusableKey::Foreign(why)) => skipped.push(format!("key {} {why}", named(index, jwk))),
            }
        }
        drop_shared_kids(&mut keys, &mut problems);
        if keys.is_empty() {
            problems.append(&mut skipped);
            return Err(KeySetError::NoneUsable(problems));
        }
        Ok(Self { keys, problems, skipped })
    }

    /// An empty set: what is left of an issuer's keys that it has withdrawn.
    pub(super) fn withdrawn(problems: Vec<String>) -> Self {
        Self { keys: Vec::new(), problems, skipped: Vec::new() }
    }

    /// The key that a token must be signed with: the one that has its `kid`. Thumbprints of certificates (`x5t`) choose
    /// among several, and a token without a `kid` is accepted only where a single key fits (RFC 7515, section 4.1.4).
    ///
    /// These names choose only which of the issuer's own keys is tried.
    ///
    /// # Errors
    /// Where there is no such key.
    pub(super) fn select(&self, named: &NamedKey, algorithm: Algorithm) -> Result<&VerifyingKey, NoKey> {
        let of_kid: Vec<&VerifyingKey> = match &named.kid {
            Some(kid) => self.keys.iter().filter(|key| key.kid() == Some(kid)).collect(),
            None => self.keys.iter().collect(),
        };
        if of_kid.is_empty() && named.kid.is_some() {
            return self.without_kid(named, algorithm).ok_or(NoKey::UnknownKid);
        }
        let mut fitting: Vec<&VerifyingKey> = of_kid.into_iter().filter(|key| key.fits(algorithm)).collect();
        if fitting.iter().any(|key| key.has_certificate(&named.thumbprints)) {
            fitting.retain(|key| key.has_certificate(&named.thumbprints));
        }
        match fitting.as_slice() {
            [key, others @ ..] if others.iter().all(|other| other.is(key)) => Ok(key),
            [] if named.kid.is_some() => Err(NoKey::OtherAlgorithm),
            several => Err(NoKey::Ambiguous(several.len())),
        }
    }

    /// A key without a name of its own, for a token whose `kid` no key has: a `kid` is optional in a set (RFC 7517, section
    /// 4.5). It is the only key of the set, or the only one of the token's certificate.
    fn without_kid(&self, named: &NamedKey, algorithm: Algorithm) -> Option<&VerifyingKey> {
        let key = match self.keys.as_slice() {
            [key] => key,
            keys => {
                let mut certified = keys.iter().filter(|key| key.has_certificate(&named.thumbprints));
                certified.next().filter(|first| certified.all(|other| other.is(first)))?
            }
        };
        (key.kid().is_none() && key.fits(algorithm)).then_some(key)
    }

    /// How many keys can be used.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The names that tokens have for them. A key without a `kid` has no name.
    pub(super) fn kids(&self) -> BTreeSet<&str> {
        self.keys.iter().filter_map(VerifyingKey::kid).collect()
    }

    /// What breaks the rules and was left out, and why, for the operator.
    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Keys that are for another purpose, or of a kind that is not used here, and why.
    pub(super) fn skipped(&self) -> &[String] {
        &self.skipped
    }
}

/// Adds a key. An entry that stands twice is one key.
fn add(keys: &mut Vec<VerifyingKey>, key: VerifyingKey) {
    match keys.iter_mut().find(|known| known.kid() == key.kid() && known.is(&key)) {
        Some(known) => known.merge(key),
        None => keys.push(key),
    }
}

/// Of different keys with one `kid`, none checks what two of them could: either could be the wrong one.
fn drop_shared_kids(keys: &mut Vec<VerifyingKey>, problems: &mut Vec<String>) {
    let all = keys.clone();
    let mut shared: BTreeMap<String, (usize, BTreeSet<&str>)> = BTreeMap::new();
    for key in keys.iter_mut() {
        let Some(kid) = key.kid().map(str::to_owned) else { continue };
        let lost = key.yield_to(&all);
        if !lost.is_empty() {
            let (count, algorithms) = shared.entry(kid).or_default();
            *count += 1;
            algorithms.extend(lost.into_iter().map(Algorithm::name));
        }
    }
    keys.retain(VerifyingKey::is_usable);
    for (kid, (count, algorithms)) in shared {
        let algorithms = algorithms.into_iter().collect::<Vec<_>>().join(", ");
        let kid = kid.escape_debug();
        problems.push(format!("{count} keys share the `kid` `{kid}`: none of them is used for {algorithms}"));
    }
}

fn named(index: usize, jwk: &Value) -> String {
    match jwk.get("kid").and_then(Value::as_str) {
        Some(kid) => format!("`{}`", kid.escape_debug()),
        None => format!("number {}", index + 1),
    }
}

fn listed(problems: &[String]) -> String {
    if problems.is_empty() { ": it holds none".to_owned() } else { format!(": {}", problems.join("; ")) }
}

#[cfg(test)]
mod tests;
