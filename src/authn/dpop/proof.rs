//! A DPoP proof (RFC 9449, section 4): a JWT that a client signs for one request, with the key that its token is bound to.
//!
//! Its header brings the key that checks it, which proves something only because the token names that key. So the two
//! are compared first, and the key has to keep the rules of every other (`jwk`).

use serde_json::{Map, Value};

use super::evidence::Evidence;
use super::target::{is_target, leads_here};
use crate::authn::algorithm::Algorithm;
use crate::authn::denial::shown;
use crate::authn::jwks::jwk::{UnusableKey, VerifyingKey};
use crate::authn::jwks::thumbprint;
use crate::authn::token::claim::{Rounding, text, time};
use crate::authn::token::jws::Jws;
use crate::principal::BoundKey;
use crate::reason::Denial;

/// Longer proofs are refused before anything of them is decoded. Bytes: an RSA key and signature of 8192 bits fit.
const MAX_PROOF: usize = 8 * 1024;
/// Longer ids are refused. Bytes.
const MAX_JTI: usize = 256;
/// How long a proof is good after it was made. Seconds. It is not a setting: with a longer one, a reload would make
/// forgotten proofs good again.
const MAX_AGE: u64 = 60;
/// How far a client's clock may be ahead. Seconds.
const MAX_AHEAD: u64 = 30;

/// A proof that holds, if it is used for the first time.
#[derive(Debug)]
pub(super) struct CheckedProof {
    pub(super) jti: String,
    pub(super) nonce: Option<String>,
    /// The second in which it ends, since the epoch.
    pub(super) end: u64,
}

/// Why a proof does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ProofError {
    /// It is not a proof, or not one of this request.
    Invalid(String),
    /// Another key than the token's made it.
    OtherKey,
}

impl From<Denial> for ProofError {
    fn from(denial: Denial) -> Self {
        Self::Invalid(format!("is not valid: {}", denial.detail()))
    }
}

/// Checks all of a proof except its nonce and whether it was used before. `now` in seconds since the epoch.
///
/// # Errors
/// The first fault.
pub(super) fn check(
    proof: &[u8],
    key: &BoundKey,
    token_hash: &str,
    evidence: &Evidence<'_>,
    now: u64,
) -> Result<CheckedProof, ProofError> {
    if proof.len() > MAX_PROOF {
        return wrong(format!("has {} bytes, more than {MAX_PROOF}", proof.len()));
    }
    let Ok(proof) = std::str::from_utf8(proof) else { return wrong("is not ASCII") };
    let (jws, jwk) = Jws::with_key(proof)?;
    match jws.token_type() {
        Some("dpop+jwt") => {}
        Some(other) => return wrong(format!("has the `typ` `{}`", shown(other))),
        None => return wrong("has no `typ`"),
    }
    if thumbprint::of(&jwk).as_deref() != Some(&*key.thumbprint) {
        return Err(ProofError::OtherKey);
    }
    let used = VerifyingKey::from_jwk(&jwk, Algorithm::ALL).or_else(|unusable| match unusable {
        UnusableKey::Foreign(why) | UnusableKey::Rejected(why) => {
            wrong(format!("is by a key that {}", shown(&why)))
        }
    })?;
    if !jws.is_signed_by(&used) {
        return wrong("is not signed by its key");
    }
    let claims = jws.payload()?;
    check_target(&claims, key, evidence)?;
    if required(&claims, "ath")? != token_hash {
        return wrong("is for another token (`ath`)");
    }
    let end = check_times(&claims, now)?;
    let jti = required(&claims, "jti")?;
    if jti.is_empty() || jti.len() > MAX_JTI {
        return wrong(format!("has a `jti` that is empty or longer than {MAX_JTI} bytes"));
    }
    let nonce = text(&claims, "nonce")?;
    Ok(CheckedProof { jti: jti.to_owned(), nonce: nonce.map(str::to_owned), end })
}

/// `htm` and `htu`.
fn check_target(
    claims: &Map<String, Value>,
    key: &BoundKey,
    evidence: &Evidence<'_>,
) -> Result<(), ProofError> {
    let method = required(claims, "htm")?;
    if method != evidence.method {
        return wrong(format!("is for the method `{}` (`htm`)", shown(method)));
    }
    let scheme = evidence.scheme;
    let authority = std::str::from_utf8(evidence.authority).unwrap_or_default();
    let url = required(claims, "htu")?;
    // The client writes both the proof and `Host`: the two may agree on another server of the same name.
    if !leads_here(authority, scheme, [evidence.port, key.rule.public_port]) {
        return wrong(format!(
            "is for `{}`, which is not a port of this gate: if one in front of it is meant, name that as `public_port`",
            shown(authority)
        ));
    }
    if !is_target(url, scheme, authority, evidence.path) {
        let (authority, path) = (shown(authority), shown(evidence.path));
        return wrong(format!("is for `{}` and not for `{scheme}://{authority}{path}` (`htu`)", shown(url)));
    }
    Ok(())
}

/// `iat`, and the other times of a JWT (RFC 7519, section 4.1). Returns when it ends.
fn check_times(claims: &Map<String, Value>, now: u64) -> Result<u64, ProofError> {
    let seconds = |claim, rounding| time(claims, claim, rounding).map(|time| time.map(|time| time.as_secs()));
    let Some(made) = seconds("iat", Rounding::Down)? else { return wrong("has no `iat`") };
    let end = made.saturating_add(MAX_AGE);
    let latest = now.saturating_add(MAX_AHEAD);
    if end <= now || made > latest {
        return wrong(format!("was made at {made} (`iat`), and now is {now}"));
    }
    if seconds("exp", Rounding::Down)?.is_some_and(|end| end <= now)
        || seconds("nbf", Rounding::Up)?.is_some_and(|begin| begin > latest)
    {
        return wrong("is not valid now (`exp`, `nbf`)");
    }
    Ok(end)
}

fn required<'c>(claims: &'c Map<String, Value>, claim: &str) -> Result<&'c str, ProofError> {
    match text(claims, claim)? {
        Some(text) => Ok(text),
        None => wrong(format!("has no `{claim}`")),
    }
}

fn wrong<T>(why: impl Into<String>) -> Result<T, ProofError> {
    Err(ProofError::Invalid(why.into()))
}
