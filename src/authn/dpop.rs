//! Whether whoever sends a token may use it: a token that is bound to a key (RFC 7800, `cnf`) is good for those alone who
//! have the key, and a stolen one is good for nothing.
//!
//! ```text
//! Vouched: whom the token speaks for ─► confirmation ─┬─ none ────────────────────────────► Caller
//!                                                     ├─ x5t#S256: the certificate of this TLS connection ─► Caller
//!                                                     └─ jkt: the `DPoP` header ─► proof ─► nonce ─► used ─► Caller
//! ```
//!
//! All of this depends on the request and is done for every one, whether or not the token was known. A key is asked about
//! a proof only if the token names it, so strangers make the gate do no more than read and hash.

mod proof;
mod target;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use self::proof::{Flaw, Good};
use self::replay::{Refused, UsedProofs};
use super::credential::{Credential, Scheme};
use super::{Caller, invalid};
use crate::authn::token::confirmation::BoundKey;
use crate::reason::{Denial, Reason};

/// How long a nonce is the newest one. It is good for as long again.
const NONCE_STEP: Duration = Duration::from_secs(60);

/// What a request shows, beside its token, of whoever sends it.
#[derive(Clone, Debug)]
pub struct Evidence<'r> {
    /// The value of every `DPoP` field.
    pub proofs: Vec<&'r [u8]>,
    /// The client's certificate on this TLS connection, verified: its `x5t#S256` and when it ends.
    pub certificate: Option<(&'r str, SystemTime)>,
    /// The HTTP method.
    pub method: &'r str,
    /// What the client spoke: `http` or `https`.
    pub scheme: &'r str,
    /// Host and port as they were sent.
    pub authority: &'r [u8],
    /// The port that the connection came in at.
    pub port: Option<u16>,
    /// The path as it was sent.
    pub path: &'r str,
}

/// Whom a token speaks for, as long as nobody has shown that its sender may use it:
/// [`super::Authenticator::confirm`] makes a caller of it.
#[must_use]
pub struct Vouched<'t> {
    pub(super) caller: Arc<Caller>,
    pub(super) credential: Credential<'t>,
}

impl Vouched<'_> {
    /// Whom the token speaks for, whoever sends it: for questions about policy, and no request gets here.
    pub fn unconfirmed(self) -> Arc<Caller> {
        self.caller
    }
}

impl fmt::Debug for Vouched<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Vouched").field("caller", &self.caller).finish_non_exhaustive()
    }
}

/// What is remembered of proofs. One for all issuers and for the life of the process: a reload that forgot would let every
/// proof of the last minute be used again.
pub(super) struct Possession {
    /// Makes nonces, and what stands for a proof that was used; `None` where the machine has no randomness to give.
    key: Option<hmac::Key>,
    used: UsedProofs,
}

impl Possession {
    pub(super) fn new() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok();
        Self { key, used: UsedProofs::new() }
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
        vouched: Vouched<'_>,
        evidence: &Evidence<'_>,
        now: SystemTime,
    ) -> Result<Arc<Caller>, Denial> {
        let Vouched { caller, credential } = vouched;
        let certificate = caller.confirmation.as_ref().and_then(|bound| bound.certificate.as_deref());
        let key = caller.confirmation.as_ref().and_then(|bound| bound.key.as_ref());
        if let Some(thumbprint) = certificate {
            check_certificate(thumbprint, evidence, now)
                .map_err(|denial| credential.scheme.answer(denial))?;
        }
        match (key, credential.scheme) {
            (None, Scheme::Bearer) => {}
            (Some(key), Scheme::Dpop) => {
                self.check_proof(key, credential.token, evidence, now).map_err(Denial::over_dpop)?;
            }
            (Some(_), Scheme::Bearer) => {
                return Err(
                    invalid("the token is bound to a key, and was sent as anybody's (Bearer)").over_dpop()
                );
            }
            (None, Scheme::Dpop) => {
                return Err(
                    invalid("the token is bound to no key, and was sent as if it were (DPoP)").over_dpop()
                );
            }
        }
        Ok(caller)
    }

    /// The nonce for the next proof of a caller who needs one: told with each answer, it saves a refusal (RFC 9449,
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
        token: &str,
        evidence: &Evidence<'_>,
        now: SystemTime,
    ) -> Result<(), Denial> {
        let secret = self.key.as_ref().ok_or_else(|| {
            Denial::new(Reason::Internal, "the machine gave no random numbers at the start")
        })?;
        let wrong = |why: String| Denial::new(Reason::ProofInvalid, format!("the DPoP proof {why}"));
        let [proof] = evidence.proofs[..] else {
            return Err(wrong(format!("is there {} times", evidence.proofs.len())));
        };
        let now = now
            .duration_since(UNIX_EPOCH)
            .map_err(|_| Denial::new(Reason::Internal, "this machine's clock is before 1970"))?
            .as_secs();
        let good = proof::check(proof, key, token, evidence, now).map_err(|flaw| match flaw {
            Flaw::Invalid(why) => wrong(why),
            // RFC 9449, section 7.1: no other proof by that key would do.
            Flaw::OtherKey => invalid("the DPoP proof is by another key than the token's"),
        })?;
        if key.rule.nonces {
            check_nonce(secret, good.nonce.as_deref(), now)?;
        }
        let Good { jti, end, .. } = good;
        let id = replay::id(secret, &key.thumbprint, &jti);
        self.used.enter(id, &key.thumbprint, end, now).map_err(|refused| match refused {
            Refused::Used => wrong("was used before".to_owned()),
            Refused::TooLate => {
                wrong("may have been used before: it is older than what is remembered".to_owned())
            }
            Refused::KeyFull => Denial::new(
                Reason::ProofLimit,
                "of the token's key, no more DPoP proofs can be remembered before others end",
            ),
            Refused::Full => {
                Denial::new(Reason::NotReady, "no more DPoP proofs can be remembered before others end")
            }
        })
    }
}

/// RFC 8705, section 3.
fn check_certificate(thumbprint: &str, evidence: &Evidence<'_>, now: SystemTime) -> Result<(), Denial> {
    match evidence.certificate {
        None => Err(invalid("the token is bound to a client certificate, and the connection has none")),
        Some((shown, _)) if shown != thumbprint => {
            Err(invalid("the token is bound to another client certificate than the connection's"))
        }
        // The connection may have been made long ago.
        Some((_, until)) if now > until => Err(invalid("the token's client certificate has expired")),
        Some(_) => Ok(()),
    }
}

/// A nonce is one of the current step or the one before (RFC 9449, section 9). Nothing is kept of those given out.
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
mod replay;
