//! The check of a token that claims to be an issuer's: its signature by the issuer's keys, then what it says.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::JwtIssuer;
use crate::authn::denial::{invalid, shown};
use crate::authn::jwks::cache::FetchedKeySet;
use crate::authn::jwks::refresh;
use crate::authn::jwks::single_flight::KeyHint;
use crate::authn::jwks::{KeySet, NoKey};
use crate::authn::token::jwt::{Unverified, Verified};
use crate::authn::token::{claims, self_signed};
use crate::principal::Caller;
use crate::reason::{Denial, Reason};

/// When a client may ask again while a fetch of keys is on its way.
const ANSWER_NEAR: Duration = Duration::from_secs(1);

/// A token that was accepted, and the time in which it would be again.
pub(in crate::authn) struct VerifiedToken {
    pub(in crate::authn) caller: Caller,
    /// The key set that verified it.
    pub(in crate::authn) keys: Arc<KeySet>,
    /// From when and until when its own times hold, clock skew included.
    pub(in crate::authn) from: SystemTime,
    pub(in crate::authn) until: SystemTime,
}

/// A token that no key of the set in use verifies, and whose key its issuer may have by now.
pub(in crate::authn) struct KeyAwaited<'t> {
    pub(in crate::authn) token: Unverified<'t>,
    /// The set by which its signature was checked, in vain: its verdict stands as long as the set does.
    checked_by: Option<Arc<KeySet>>,
    /// What is answered if the key does not come.
    pub(in crate::authn) denial: Denial,
}

impl KeyAwaited<'_> {
    /// The same, for longer than the request.
    pub(in crate::authn) fn into_owned(self) -> KeyAwaited<'static> {
        let Self { token, checked_by, denial } = self;
        KeyAwaited { token: token.into_owned(), checked_by, denial }
    }

    /// The key that is waited for. A token that was checked in vain was checked by a key that its `kid` does not name: any
    /// key that made its signature will do.
    fn hint(&self) -> KeyHint<'_> {
        self.token.hint(self.checked_by.is_none())
    }
}

/// What comes of the check of a token that breaks no rule.
pub(in crate::authn) enum Verification<'t> {
    Accepted(Box<VerifiedToken>),
    KeyAwaited(Box<KeyAwaited<'t>>),
}

impl JwtIssuer {
    /// Judges a token that names this issuer. The signature comes first: a forged token gets the same answer whatever
    /// it claims to be.
    ///
    /// # Errors
    /// The first rule that is broken; [`Reason::NotReady`] while there are no keys.
    pub(in crate::authn) fn verify<'t>(
        &self,
        token: Unverified<'t>,
        now: SystemTime,
    ) -> Result<Verification<'t>, Denial> {
        let algorithm = token.algorithm();
        if !self.settings.algorithms.contains(&algorithm) {
            let detail = format!("issuer `{}` may not sign with {algorithm}", self.name);
            return Err(Denial::new(Reason::TokenInvalid, detail));
        }
        self.verify_by_keys(token, None, now)
    }

    /// Judges a token once its key has been waited for.
    ///
    /// # Errors
    /// As [`JwtIssuer::verify`].
    pub(in crate::authn) fn verify_again<'t>(
        &self,
        awaited: KeyAwaited<'t>,
        now: SystemTime,
    ) -> Result<Verification<'t>, Denial> {
        self.verify_by_keys(awaited.token, awaited.checked_by.as_ref(), now)
    }

    fn verify_by_keys<'t>(
        &self,
        token: Unverified<'t>,
        checked_by: Option<&Arc<KeySet>>,
        now: SystemTime,
    ) -> Result<Verification<'t>, Denial> {
        let current = self.jwks.current(now);
        let Some(fetched) = current.as_ref().and_then(|current| current.as_ref()) else {
            return self.without_keys(token);
        };
        let key = match fetched.keys.select(token.named(), token.algorithm()) {
            Ok(key) => key,
            Err(no_key) => {
                let missing = matches!(no_key, NoKey::UnknownKid | NoKey::Ambiguous(0));
                let denial = self.no_key(no_key, &token);
                return self.unless_awaited(
                    missing,
                    KeyAwaited { token, checked_by: None, denial },
                    fetched,
                    now,
                );
            }
        };
        let is_checked = checked_by.is_some_and(|keys| Arc::ptr_eq(keys, &fetched.keys));
        let verified = if is_checked { Err(Box::new(token)) } else { token.verify(key) };
        match verified {
            Ok(verified) => self.accept(verified, &fetched.keys, now),
            Err(token) => {
                // A `kid` names the key, so the signature is wrong. If the key has another name or none, the issuer may
                // have made the right one since.
                let missing = token.kid().is_none() || token.kid() != key.kid();
                let denial = invalid("the signature is not the key's");
                let checked_by = Some(Arc::clone(&fetched.keys));
                self.unless_awaited(missing, KeyAwaited { token: *token, checked_by, denial }, fetched, now)
            }
        }
    }

    /// Judges what a token with a good signature says.
    fn accept<'t>(
        &self,
        verified: Verified<'_>,
        keys: &Arc<KeySet>,
        now: SystemTime,
    ) -> Result<Verification<'t>, Denial> {
        let accepted = if self.settings.self_signed {
            self_signed::accept(&verified, &self.settings, now)?
        } else {
            claims::accept(&verified, &self.settings, &self.identity, now)?
        };
        let skew = self.settings.clock_skew;
        Ok(Verification::Accepted(Box::new(VerifiedToken {
            keys: Arc::clone(keys),
            from: accepted.begins.checked_sub(skew).unwrap_or(SystemTime::UNIX_EPOCH),
            until: accepted.expires.checked_add(skew).unwrap_or(accepted.expires),
            caller: accepted.caller(&self.name, verified.into_claims()),
        })))
    }

    /// Nothing can be decided without keys. Where there were keys and they have ended, the issuer is asked at once: a
    /// clock that was set forward ends a set long before the next fetch is due.
    fn without_keys<'t>(&self, token: Unverified<'t>) -> Result<Verification<'t>, Denial> {
        let detail = format!("issuer `{}` has no usable keys", self.name);
        if let Some(remote) = &self.remote
            && self.jwks.latest().is_some()
        {
            remote.fetches.hurry();
            if remote.fetches.is_answer_near() {
                let denial = Denial::new(Reason::KeyPending, detail).retry_after(ANSWER_NEAR);
                return Ok(Verification::KeyAwaited(Box::new(KeyAwaited {
                    token,
                    checked_by: None,
                    denial,
                })));
            }
        }
        Err(Denial::new(Reason::NotReady, detail))
    }

    /// The refusal of a token that no key of a set verifies. Where its key is `missing` from the set and the issuer may
    /// have it by now, the issuer is asked first.
    fn unless_awaited<'t>(
        &self,
        missing: bool,
        refused: KeyAwaited<'t>,
        fetched: &FetchedKeySet,
        now: SystemTime,
    ) -> Result<Verification<'t>, Denial> {
        match &self.remote {
            Some(remote) if missing && !remote.fetches.lacks(refused.hint(), fetched.fetch, now) => {
                let KeyAwaited { token, checked_by, denial } = refused;
                let detail = format!("{}; the issuer is being asked for its keys again", denial.detail());
                let denial = Denial::new(Reason::KeyPending, detail).retry_after(ANSWER_NEAR);
                Ok(Verification::KeyAwaited(Box::new(KeyAwaited { token, checked_by, denial })))
            }
            _ => Err(refused.denial),
        }
    }

    /// Waits, a moment at the most, for the key set that a token's key may be in.
    pub(in crate::authn) async fn await_key(&self, awaited: &KeyAwaited<'_>) {
        if let Some(remote) = &self.remote {
            let ended = || self.jwks.latest().is_some() && !refresh::has_keys(&self.jwks);
            if ended() {
                return remote.fetches.next_set(|| !ended()).await;
            }
            remote.fetches.answer(awaited.hint(), || self.has_key(&awaited.token)).await;
        }
    }

    /// Whether the set in use, however old, has a key of the name that the token gives.
    fn has_key(&self, token: &Unverified<'_>) -> bool {
        token
            .kid()
            .is_some_and(|kid| self.jwks.latest().is_some_and(|fetched| fetched.keys.kids().contains(kid)))
    }

    fn no_key(&self, no_key: NoKey, token: &Unverified<'_>) -> Denial {
        let kid = shown(token.kid().unwrap_or_default());
        let algorithm = token.algorithm();
        let name = &self.name;
        let detail = match no_key {
            NoKey::UnknownKid => format!("issuer `{name}` has no key `{kid}`"),
            NoKey::OtherAlgorithm => format!("key `{kid}` of issuer `{name}` is not for {algorithm}"),
            NoKey::Ambiguous(count) if token.kid().is_some() => {
                format!("{count} keys of issuer `{name}` have the `kid` `{kid}` and fit {algorithm}")
            }
            NoKey::Ambiguous(count) => {
                format!("the token has no `kid`, and {count} keys of issuer `{name}` fit {algorithm}")
            }
        };
        Denial::new(Reason::TokenInvalid, detail)
    }
}
