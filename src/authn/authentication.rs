//! The request path: from the `Authorization` header to an [`UnconfirmedToken`], at once or after a wait.
//!
//! Waiting is a type. [`Authenticator::authenticate`] does no I/O: where it cannot tell yet, it hands back a
//! [`PendingToken`], which owns all that is known by then. [`Authenticator::resolve`] waits and goes on from there, so no
//! token is parsed twice, and none is checked twice against one key set.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value};

use super::Authenticator;
use super::credential::{Credential, Presentation};
use super::denial::{invalid, shown};
use super::dpop::Evidence;
use super::introspection::{Lookup, OpaqueIssuer};
use super::issuer::JwtIssuer;
use super::issuer::verification::{KeyAwaited, Verification, VerifiedToken};
use super::token;
use super::token::cache::CachedToken;
use super::token::jwt::Unverified;
use super::token::spiffe;
use super::token::unconfirmed::UnconfirmedToken;
use crate::principal::Caller;
use crate::reason::{Denial, Reason, TokenKind};

/// What the credential of a request says of its sender.
#[derive(Debug)]
pub enum Authentication {
    /// Nothing: none was sent.
    Anonymous,
    /// Who its token speaks for.
    Token(UnconfirmedToken),
    /// Nothing before its issuer has been asked.
    Pending(PendingToken),
}

/// A token that waits for its issuer: for the key that may have signed it, or for what the issuer says of it. It outlives
/// its request, and a reload too: the issuer that it waits for is its own.
#[must_use]
pub struct PendingToken {
    presentation: Presentation,
    awaited: Awaited,
}

enum Awaited {
    Key(Box<JwtIssuer>, Box<KeyAwaited<'static>>),
    Introspection(OpaqueIssuer, Box<str>),
}

impl PendingToken {
    /// The name of the issuer that is asked.
    pub fn issuer_name(&self) -> Arc<str> {
        match &self.awaited {
            Awaited::Key(issuer, _) => issuer.name().clone(),
            Awaited::Introspection(issuer, _) => issuer.name().clone(),
        }
    }

    /// What is waited for: a `key`, or a `lookup` of an opaque token.
    pub fn awaits(&self) -> &'static str {
        match &self.awaited {
            Awaited::Key(..) => "key",
            Awaited::Introspection(..) => "lookup",
        }
    }

    /// The answer where nothing is waited for.
    pub fn into_denial(self) -> Denial {
        let denial = match self.awaited {
            Awaited::Key(_, awaited) => awaited.denial,
            Awaited::Introspection(issuer, _) => {
                let detail = format!("issuer `{}` has not been asked about the token", issuer.name());
                Denial::new(Reason::NotReady, detail)
            }
        };
        self.presentation.answer(denial)
    }
}

impl fmt::Debug for PendingToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuer = match &self.awaited {
            Awaited::Key(issuer, _) => issuer.issuer(),
            Awaited::Introspection(issuer, _) => issuer.issuer(),
        };
        formatter.debug_struct("PendingToken").field("issuer", &issuer).finish_non_exhaustive()
    }
}

/// What a token says without a wait.
enum KnownToken<'t> {
    Caller(Arc<Caller>),
    KeyAwaited(&'t JwtIssuer, Box<KeyAwaited<'t>>),
    NotIntrospected(&'t OpaqueIssuer),
}

impl Authenticator {
    /// The identity of a request's credential. [`Authenticator::confirm`] says whether the sender may use it.
    ///
    /// `authorization` holds the value of every `Authorization` field. No I/O, and no clock but `now`. A token that was
    /// verified before is not verified again while its key set and its times hold. An opaque token is judged by what is
    /// known of it.
    ///
    /// # Errors
    /// A credential that was sent and is not good. The detail says what exactly broke, for the audit log; the client
    /// reads the same text in each case.
    pub fn authenticate(&self, authorization: &[&[u8]], now: SystemTime) -> Result<Authentication, Denial> {
        let Some(credential) = Credential::of(authorization, self.token_bytes)? else {
            return Ok(Authentication::Anonymous);
        };
        let known = self.judge(credential.token, now).map_err(|denial| credential.scheme.answer(denial))?;
        let presentation = credential.presentation();
        let awaited = match known {
            KnownToken::Caller(caller) => {
                return Ok(Authentication::Token(UnconfirmedToken { caller, presentation }));
            }
            KnownToken::KeyAwaited(issuer, awaited) => {
                Awaited::Key(Box::new(issuer.clone()), Box::new(awaited.into_owned()))
            }
            KnownToken::NotIntrospected(issuer) => {
                Awaited::Introspection(issuer.clone(), credential.token.into())
            }
        };
        Ok(Authentication::Pending(PendingToken { presentation, awaited }))
    }

    fn judge<'t>(&'t self, text: &'t str, now: SystemTime) -> Result<KnownToken<'t>, Denial> {
        // Opaque tokens first: their issuer may be shown any text that is not a JWT, and only that.
        if let Some(issuer) = self.opaque_issuer(text) {
            let known = issuer.recall(text, now);
            self.tokens.count(matches!(known, Some(Ok(_))));
            let known = known
                .map_or(Ok(KnownToken::NotIntrospected(issuer)), |judged| judged.map(KnownToken::Caller));
            return known.map_err(|denial| denial.of_token(TokenKind::Opaque, Some(issuer.name())));
        }
        if let Some(caller) = self.tokens.recall(text, now) {
            return Ok(KnownToken::Caller(caller));
        }
        let of_unknown = |denial: Denial| denial.of_token(TokenKind::Jwt, None);
        let token = Unverified::parse(text).map_err(of_unknown)?;
        let issuer = self.issuer_of(&token).map_err(of_unknown)?;
        let verified = issuer.verify(token, now);
        Ok(match verified.map_err(|denial| denial.of_token(TokenKind::Jwt, Some(issuer.name())))? {
            Verification::Accepted(accepted) => KnownToken::Caller(self.remember(issuer, text, *accepted)),
            Verification::KeyAwaited(awaited) => KnownToken::KeyAwaited(issuer, awaited),
        })
    }

    /// Waits for what a token waits for, and judges it by what is known then: a second at the most for the key set that
    /// its key may be in, and for as long as the endpoint's settings say for what the issuer says of it. Requests that
    /// ask about one opaque token at the same time ask once; `observe` is told of a lookup that this call makes.
    ///
    /// # Errors
    /// As [`Authenticator::authenticate`]; [`Reason::KeyPending`] where the key is not there yet, [`Reason::NotReady`]
    /// where the issuer has no keys any more or does not say anything.
    pub async fn resolve(
        &self,
        pending: PendingToken,
        now: SystemTime,
        observe: impl FnOnce(&Lookup<'_>) + Send + 'static,
    ) -> Result<UnconfirmedToken, Denial> {
        let PendingToken { presentation, awaited } = pending;
        let judged = match awaited {
            Awaited::Key(issuer, awaited) => {
                issuer.await_key(&awaited).await;
                let judged = self.verify_again(&issuer, *awaited, now);
                judged.map_err(|denial| denial.of_token(TokenKind::Jwt, Some(issuer.name())))
            }
            Awaited::Introspection(issuer, token) => {
                let judged = issuer.look_up(&token, now, observe).await;
                judged.map_err(|denial| denial.of_token(TokenKind::Opaque, Some(issuer.name())))
            }
        };
        match judged {
            Ok(caller) => Ok(UnconfirmedToken { caller, presentation }),
            Err(denial) => Err(presentation.answer(denial)),
        }
    }

    fn verify_again(
        &self,
        issuer: &JwtIssuer,
        awaited: KeyAwaited<'static>,
        now: SystemTime,
    ) -> Result<Arc<Caller>, Denial> {
        let text = awaited.token.text().to_owned();
        // Another request with the same token may have waited for the same key.
        if let Some(caller) = self.tokens.look_again(&text, now) {
            return Ok(caller);
        }
        match issuer.verify_again(awaited, now)? {
            Verification::Accepted(accepted) => Ok(self.remember(issuer, &text, *accepted)),
            Verification::KeyAwaited(awaited) => Err(awaited.denial),
        }
    }

    fn remember(&self, issuer: &JwtIssuer, token: &str, accepted: VerifiedToken) -> Arc<Caller> {
        let VerifiedToken { caller, keys, from, until } = accepted;
        let caller = Arc::new(caller);
        // A token that has waited through a reload was judged by settings that may have changed.
        if self.issuers.iter().any(|ours| Arc::ptr_eq(ours.jwks(), issuer.jwks())) {
            let jwks = Arc::clone(issuer.jwks());
            self.tokens.remember(token, CachedToken { jwks, keys, caller: caller.clone(), from, until });
        }
        caller
    }

    /// The caller, if the sender of the token has the key that the token is bound to. Every request is checked, whether
    /// or not its token was known.
    ///
    /// # Errors
    /// Where the sender may not use the token, or has not shown it in a way that holds.
    pub fn confirm(
        &self,
        token: UnconfirmedToken,
        evidence: &Evidence<'_>,
        now: SystemTime,
    ) -> Result<Arc<Caller>, Denial> {
        let caller = token.caller.clone();
        self.binding.confirm(token, evidence, now).map_err(|denial| {
            let mut issuers = self.token_issuers();
            match issuers.find(|(name, _)| ***name == *caller.issuer) {
                Some((issuer, kind)) => denial.of_token(kind, Some(issuer)),
                None => denial,
            }
        })
    }

    fn issuer_of(&self, token: &Unverified<'_>) -> Result<&JwtIssuer, Denial> {
        self.issuer_for(token.unverified_claims())
    }

    /// The issuer whose keys decide about claims: the one that `iss` names, to the byte. A JWT-SVID need not have an `iss`:
    /// the trust domain of its `sub` names its issuer (JWT-SVID, section 3).
    pub(super) fn issuer_for(&self, claims: &Map<String, Value>) -> Result<&JwtIssuer, Denial> {
        let claimed = match claims.get("iss") {
            None | Some(Value::Null) => None,
            Some(Value::String(claimed)) => Some(claimed),
            Some(_) => return Err(invalid("`iss` is not a string")),
        };
        let named = claimed.and_then(|claimed| self.issuers.iter().find(|issuer| issuer.issuer() == claimed));
        if let Some(named) = named {
            return Ok(named);
        }
        if let Some(claimed) =
            claimed.filter(|claimed| self.opaque.iter().any(|known| known.issuer() == *claimed))
        {
            return Err(self.unknown_issuer(claimed));
        }
        let domain = claims.get("sub").and_then(Value::as_str).and_then(spiffe::trust_domain);
        let svids = domain.and_then(|domain| {
            self.issuers.iter().find(|issuer| issuer.makes_svids_of(domain, claimed.is_some()))
        });
        match (svids, claimed) {
            (Some(issuer), _) => Ok(issuer),
            (None, Some(claimed)) => Err(self.unknown_issuer(claimed)),
            (None, None) => Err(invalid("the token has no `iss`")),
        }
    }

    /// The issuer that may be shown a token; `None` for a JWT, which no introspection endpoint may see.
    fn opaque_issuer(&self, token: &str) -> Option<&OpaqueIssuer> {
        if self.opaque.is_empty() || token::jws::is_jose(token) {
            return None;
        }
        self.opaque.iter().find(|issuer| issuer.may_have_made(token))
    }

    pub(super) fn unknown_issuer(&self, claimed: &str) -> Denial {
        match self.opaque.iter().find(|issuer| issuer.issuer() == claimed) {
            Some(issuer) => {
                invalid(format!("issuer `{}` is asked about opaque tokens; this is a JWT", issuer.name()))
            }
            None => invalid(format!("no issuer `{}` is configured", shown(claimed))),
        }
    }
}
