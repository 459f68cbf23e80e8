//! Checks that the sender of a token may use it. A token that is bound to a key (RFC 7800, `cnf`) is good only for a
//! client that has the key; a stolen one is worthless.
//!
//! ```text
//! UnconfirmedToken: who it speaks for ─► confirmation ─┬─ none ────────────────────────────► Caller
//!                                                     ├─ x5t#S256: the certificate of this TLS connection ─► Caller
//!                                                     └─ jkt: the `DPoP` header ─► proof ─► nonce ─► used ─► Caller
//! ```
//!
//! All of this depends on the request and is done for every one, whether or not the token was known. A proof is only
//! checked if the token names its key, so strangers make the gate do no more than read and hash.

mod replay;
mod evidence;
mod proof;
mod target;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use self::evidence::Evidence;
use self::proof::{CheckedProof, ProofError};
use self::replay::{ReplayCache, ReplayError};
use super::credential::Presentation;
use super::denial::invalid;
use super::mtls;
use crate::authn::token::unconfirmed::UnconfirmedToken;
use crate::principal::BoundKey;
use crate::principal::Caller;
use crate::reason::{Denial, Reason};

/// How long a nonce is the newest one. It is good for as long again.
const NONCE_STEP: Duration = Duration::from_secs(60);

/// The memory of used proofs. One for all issuers and for the life of the process: a reload that forgot would let every
/// proof of the last minute be used again.
pub(super) struct TokenBinding {
    /// Makes nonces and the tags of used proofs; `None` where the machine has no randomness to give.
    key: Option<hmac::Key>,
    used: ReplayCache,
}

impl TokenBinding {
    pub(super) fn new() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok();
        Self { key, used: ReplayCache::new() }
    }

    /// How many proofs are remembered.
    pub(super) fn remembered(&self) -> usize {
        self.used.len()
    }

    /// The caller, if the sender of the token may use it.
    ///
    /// # Errors
    /// [`Reason::TokenInvalid`] where the token is not for this sender or was sent in the wrong way,
    /// [`Reason::ProofInvalid`] and [`Reason::ProofNonceMissing`] where another proof would do, and [`Reason::ProofLimit`]
    /// or [`Reason::NotReady`] where no more proofs can be remembered, of its key or of any.
    pub(super) fn confirm(
        &self,
        token: UnconfirmedToken,
        evidence: &Evidence<'_>,
        now: SystemTime,
    ) -> Result<Arc<Caller>, Denial> {
        let UnconfirmedToken { caller, presentation } = token;
        let certificate = caller.confirmation.as_ref().and_then(|bound| bound.certificate.as_deref());
        let key = caller.confirmation.as_ref().and_then(|bound| bound.key.as_ref());
        if let Some(thumbprint) = certificate {
            mtls::check(thumbprint, evidence.certificate, now)
                .map_err(|denial| presentation.answer(denial))?;
        }
        match (key, &presentation) {
            (None, Presentation::Bearer) => {}
            (Some(key), Presentation::Dpop(token_hash)) => {
                self.check_proof(key, token_hash, evidence, now).map_err(Denial::over_dpop)?;
            }
            (Some(_), Presentation::Bearer) => {
                return Err(
                    invalid("the token is bound to a key, and was sent without a proof (Bearer)").over_dpop()
                );
            }
            (None, Presentation::Dpop(_)) => {
                return Err(
                    invalid("the token is bound to no key, and was sent as if it were (DPoP)").over_dpop()
                );
            }
        }
        Ok(caller)
    }

    /// The nonce for the next proof of a caller that needs one: to send it with each answer saves a refusal (RFC 9449,
    /// section 8.2).
    pub(super) fn next_nonce(&self, caller: &Caller, now: SystemTime) -> Option<String> {
        let key = caller.confirmation.as_ref()?.key.as_ref().filter(|key| key.rule.nonces);
        let now = now.duration_since(UNIX_EPOCH).ok()?.as_secs();
        key.and(self.key.as_ref()).map(|secret| newest_nonce(secret, now))
    }

    /// RFC 9449, section 4.3.
    fn check_proof(
        &self,
        key: &BoundKey,
        token_hash: &str,
        evidence: &Evidence<'_>,
        now: SystemTime,
    ) -> Result<(), Denial> {
        let secret = self
            .key
            .as_ref()
            .ok_or_else(|| Denial::new(Reason::Internal, "the machine had no random numbers at the start"))?;
        let wrong = |why: String| Denial::new(Reason::ProofInvalid, format!("the DPoP proof {why}"));
        let [proof] = evidence.proofs[..] else {
            return Err(wrong(format!("is there {} times", evidence.proofs.len())));
        };
        let now = now
            .duration_since(UNIX_EPOCH)
            .map_err(|_| Denial::new(Reason::Internal, "this machine's clock is before 1970"))?
            .as_secs();
        let good = proof::check(proof, key, token_hash, evidence, now).map_err(|flaw| match flaw {
            ProofError::Invalid(why) => wrong(why),
            // RFC 9449, section 7.1: no other proof by that key would do.
            ProofError::OtherKey => invalid("the DPoP proof is by another key than the token's"),
        })?;
        if key.rule.nonces {
            check_nonce(secret, good.nonce.as_deref(), now)?;
        }
        let CheckedProof { jti, end, .. } = good;
        let id = replay::id(secret, &key.thumbprint, &jti);
        self.used.enter(id, &key.thumbprint, end, now).map_err(|refused| match refused {
            ReplayError::Used => wrong("was used before".to_owned()),
            ReplayError::TooLate => {
                wrong("may have been used before: it is older than the memory of used proofs".to_owned())
            }
            ReplayError::KeyFull => Denial::new(
                Reason::ProofLimit,
                "of the token's key, no more DPoP proofs can be remembered before others end",
            ),
            ReplayError::Full => {
                Denial::new(Reason::NotReady, "no more DPoP proofs can be remembered before others end")
            }
        })
    }
}

/// A nonce is one of the current step or the one before (RFC 9449, section 9). Nonces are computed, so none is stored.
fn check_nonce(secret: &hmac::Key, nonce: Option<&str>, now: u64) -> Result<(), Denial> {
    let step = now / NONCE_STEP.as_secs();
    let tag = nonce.and_then(|nonce| URL_SAFE_NO_PAD.decode(nonce).ok());
    let is_of =
        |step: u64| tag.as_ref().is_some_and(|tag| hmac::verify(secret, &nonce_of(step), tag).is_ok());
    if is_of(step) || step.checked_sub(1).is_some_and(is_of) {
        return Ok(());
    }
    let why = match nonce {
        None => "the DPoP proof has no nonce",
        Some(_) => "the DPoP proof's nonce is not one of this process's, or has ended",
    };
    Err(Denial::new(Reason::ProofNonceMissing, why).proof_nonce(newest_nonce(secret, now)))
}

fn newest_nonce(secret: &hmac::Key, now: u64) -> String {
    URL_SAFE_NO_PAD.encode(hmac::sign(secret, &nonce_of(now / NONCE_STEP.as_secs())))
}

fn nonce_of(step: u64) -> Vec<u8> {
    [&b"nonce"[..], &step.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests;
