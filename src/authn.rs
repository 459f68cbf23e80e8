//! Who asks: from the `Authorization` header to a [`Caller`], or the reason there is none.
//!
//! ```text
//! Authorization ─► credential ─► jws ─► token::jwt::Unverified ─► issuer, by exact `iss` ─► jwks: one key ─► token::jwt::Verified
//!                                                                                                    │
//!               Caller ◄─ proof of possession ◄─ principal, scopes, binding ◄─ typ, times, audience ◄─ claims
//! ```
//!
//! A token that is no JWT goes another way to the same claims: its issuer is asked (`opaque`).
//!
//! jsonwebtoken checks signatures. Which key may check which token, and what a token must say, is decided here:
//! the library has no key policy (RFC 8725 asks for one). Key sets are files, or fetched in the background
//! ([`Authenticator::run_refresh`]); a request reads the set in memory. Two kinds of token make their request wait: one
//! that names a key which is not there, for the next set ([`Authenticator::await_key`]), and an opaque one that nothing
//! is known of, for its issuer's word ([`Authenticator::look_up`]).

mod algorithm;
mod credential;
mod issuer;
mod jwks;
mod settings;

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

pub use self::algorithm::{Algorithm, UnknownAlgorithm};
pub use self::dpop::{Evidence, Vouched};
pub use self::introspection::settings::{ClientAuthentication, Dialect, TokenEndpoint};
pub use self::introspection::{Lookup, LookupOutcome};
pub use self::jwks::cache::KeySetStatus;
pub use self::token::confirmation::{BoundKey, Confirmation};
use crate::principal::scopes::Scopes;

pub use self::introspection::secret::{Secret, SecretError};
pub use self::settings::{
    DpopRule, IdentityRule, IssuerSettings, KeyLocation, KeySource, MappedAttribute, PossessionRule, Proof,
    RemoteKeys, SettingsError, WellKnown,
};
pub use self::token::cache::TokenCacheStatus;

use self::credential::Credential;
use self::dpop::Possession;
use self::introspection::OpaqueIssuer;
use self::issuer::{Admitted, Issuer};
use self::jwks::KeySet;
use self::token::cache::{Remembered, VerifiedTokens};
use self::token::jwt::Unverified;
use crate::principal::Principal;
use crate::reason::{Denial, Reason};

/// Who a verified token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name of the issuer that vouches for the caller, as the operator's config has it.
    pub issuer: Arc<str>,
    /// `sub`, the issuer's own name for the caller.
    pub subject: Option<String>,
    /// The caller in IAM's words. Policy derives `domain:`, groups and the `all…` members from it.
    pub principal: Principal,
    /// What else policy may call them: sets of their identity pool, in the spelling of members.
    pub sets: Vec<Arc<str>>,
    /// What the token may be used for.
    pub scopes: Scopes,
    /// What the sender of the token has to have.
    pub confirmation: Option<Confirmation>,
    /// When the token ends, without clock skew.
    pub expires: SystemTime,
    /// Everything that the token says, for conditions; `None` where there is none, and the caller is assumed for a
    /// question about policy.
    pub claims: Option<Map<String, Value>>,
}

impl Caller {
    /// Somebody of this name, for questions about policy: no issuer vouches for them, and what their token would say
    /// beside the scopes is not known. Of the sets that it would put them in, only everybody of their pool is.
    pub fn assumed(principal: Principal, scopes: Scopes, now: SystemTime) -> Self {
        let sets = principal.pool().map(token::identity::everybody).into_iter().collect();
        Self {
            issuer: "assumed".into(),
            subject: None,
            principal,
            sets,
            scopes,
            confirmation: None,
            expires: now,
            claims: None,
        }
    }
}

impl Caller {
    /// The holder of a TLS client certificate, who sends no other credential: a subject of the listener's identity
    /// pool, with the scopes that the listener's settings give. `thumbprint` is `x5t#S256`, which conditions see as a
    /// token's confirmation (RFC 8705, section 3.1).
    pub fn of_certificate(
        principal: Principal,
        subject: &str,
        thumbprint: &str,
        scopes: Scopes,
        until: SystemTime,
    ) -> Self {
        let mut claims = Map::new();
        claims.insert("sub".to_owned(), subject.into());
        claims.insert("cnf".to_owned(), json!({ "x5t#S256": thumbprint }));
        let sets = principal.pool().map(token::identity::everybody).into_iter().collect();
        Self {
            issuer: "client certificate".into(),
            subject: Some(subject.to_owned()),
            principal,
            sets,
            scopes,
            // There is no token that could be somebody else's.
            confirmation: None,
            expires: until,
            claims: Some(claims),
        }
    }
}

/// Judges the credentials of requests.
pub struct Authenticator {
    /// Those that sign.
    issuers: Vec<Issuer>,
    /// Those that are asked.
    opaque: Vec<OpaqueIssuer>,
    verified: VerifiedTokens,
    possession: Arc<Possession>,
}

impl Authenticator {
    /// Checks the settings and reads the files they name: key sets and CAs. Fetches nothing.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub fn load(settings: Vec<IssuerSettings>, now: SystemTime) -> Result<Self, Vec<SettingsError>> {
        let mut errors = settings::check(&settings);
        let (mut issuers, mut opaque) = (Vec::new(), Vec::new());
        for (index, settings) in settings.into_iter().enumerate() {
            let loaded = match settings.proof.clone() {
                Proof::Signature(keys) => {
                    Issuer::load(index, settings, &keys, now).map(|issuer| issuers.push(issuer))
                }
                Proof::Endpoint(endpoint) => {
                    OpaqueIssuer::load(index, settings, endpoint).map(|issuer| opaque.push(issuer))
                }
            };
            // A URL that `check` has told of already is not told of twice.
            let found = loaded.err().unwrap_or_default();
            let new: Vec<_> = found.into_iter().filter(|error| !errors.contains(error)).collect();
            errors.extend(new);
        }
        errors.sort_by_key(|error| error.index);
        if errors.is_empty() { Ok(Self { issuers, opaque, ..Self::believing_nobody() }) } else { Err(errors) }
    }

    /// Believes no issuer: every credential is refused.
    pub fn believing_nobody() -> Self {
        Self {
            issuers: Vec::new(),
            opaque: Vec::new(),
            verified: VerifiedTokens::new(),
            possession: Arc::new(Possession::new()),
        }
    }

    /// Whether no issuer is believed.
    pub fn believes_nobody(&self) -> bool {
        self.issuers.is_empty() && self.opaque.is_empty()
    }

    /// Takes over the fetched keys of issuers that a reload left as they were, with their age and their counts, what
    /// issuers have said of opaque tokens, and which proofs were used.
    pub fn take_over(&mut self, previous: &Self) {
        self.possession = Arc::clone(&previous.possession);
        self.verified = VerifiedTokens::succeeding(&previous.verified);
        for issuer in &mut self.issuers {
            if let Some(previous) =
                previous.issuers.iter().find(|previous| previous.issuer() == issuer.issuer())
            {
                issuer.take_over(previous);
            }
        }
        for issuer in &mut self.opaque {
            if let Some(previous) =
                previous.opaque.iter().find(|previous| previous.issuer() == issuer.issuer())
            {
                issuer.take_over(previous);
            }
        }
    }

    /// Whom a request's credential speaks for, or `None` where it sent none. Whether it is the sender's to use,
    /// [`Authenticator::confirm`] says.
    ///
    /// `authorization` holds the value of every `Authorization` field. No I/O, and no clock but `now`. A token that was
    /// verified before is not verified again while its key set and its times hold. An opaque token is judged by what is
    /// known of it: of one that is not, nothing is decided ([`Reason::NotReady`]) before [`Authenticator::look_up`].
    ///
    /// # Errors
    /// A credential that was sent and does not hold. What exactly broke is in the detail, for the audit log; the
    /// client reads the same text in each case.
    pub fn authenticate<'t>(
        &self,
        authorization: &[&'t [u8]],
        now: SystemTime,
    ) -> Result<Option<Vouched<'t>>, Denial> {
        let Some(credential) = Credential::of(authorization)? else { return Ok(None) };
        match self.caller_of(credential.token, now) {
            Ok(caller) => Ok(Some(Vouched { caller, credential })),
            Err(denial) => Err(credential.scheme.answer(denial)),
        }
    }

    /// The caller, if the sender of the token has what the token is bound to. Each request is asked, whether or not its
    /// token was known.
    ///
    /// # Errors
    /// Where the sender may not use the token, or has not shown it in a way that holds.
    pub fn confirm(
        &self,
        vouched: Vouched<'_>,
        evidence: &Evidence<'_>,
        now: SystemTime,
    ) -> Result<Arc<Caller>, Denial> {
        self.possession.confirm(vouched, evidence, now)
    }

    fn caller_of(&self, text: &str, now: SystemTime) -> Result<Arc<Caller>, Denial> {
        if let Some(issuer) = self.opaque_issuer(text) {
            return self.recall(issuer, text, now);
        }
        if let Some(caller) = self.verified.recall(text, now, |issuer| self.keys_in_use(issuer, now)) {
            return Ok(caller);
        }
        let token = Unverified::parse(text)?;
        let (number, issuer) = self.issuer_of(&token)?;
        let Admitted { caller, keys, from, until } = issuer.admit(token, now)?;
        let caller = Arc::new(caller);
        self.verified
            .remember(text, Remembered { issuer: number, keys, caller: caller.clone(), from, until });
        Ok(caller)
    }

    /// Waits, a second at the most, for the key set that the key of a token may be in: for requests that
    /// [`Authenticator::authenticate`] refused with [`Reason::KeyPending`], which are then judged again.
    pub async fn await_key(&self, authorization: &[&[u8]]) {
        // Whatever is wrong with the credential is for the judgement to say.
        let Ok(Some(credential)) = Credential::of(authorization) else { return };
        let Ok(token) = Unverified::parse(credential.token) else { return };
        if let Ok((_, issuer)) = self.issuer_of(&token) {
            issuer.await_key(&token).await;
        }
    }

    fn issuer_of(&self, token: &Unverified<'_>) -> Result<(usize, &Issuer), Denial> {
        let claimed = token.claimed_issuer()?;
        let found = self.issuers.iter().enumerate().find(|(_, issuer)| issuer.issuer() == claimed);
        found.ok_or_else(|| self.unknown_issuer(claimed))
    }

    /// Whoever these claims would make the caller, had the issuer that they name signed them: for questions about
    /// policy ([`crate::decision::stages::judge_as`]). It proves nothing, and no request gets here.
    ///
    /// # Errors
    /// As [`Authenticator::authenticate`], but for signature and type.
    pub fn assume(&self, claims: Map<String, Value>, now: SystemTime) -> Result<Caller, Denial> {
        let Some(Value::String(claimed)) = claims.get("iss") else {
            return Err(invalid("the claims have no `iss`, or it is not a string"));
        };
        match self.issuers.iter().find(|issuer| issuer.issuer() == claimed) {
            Some(issuer) => issuer.assume(claims, now),
            None => Err(self.unknown_issuer(claimed)),
        }
    }

    /// Asks the issuer of an opaque token about it, unless that is known by now; requests that ask about one token at the
    /// same time ask once. `None` where the credential is no token that anybody is asked about: then
    /// [`Authenticator::authenticate`] has said all that there is to say. `observe` is told of a lookup that this call
    /// makes.
    ///
    /// # Errors
    /// As [`Authenticator::authenticate`]; [`Reason::NotReady`] where the issuer does not say anything.
    pub async fn look_up<'t>(
        &self,
        authorization: &[&'t [u8]],
        now: SystemTime,
        observe: impl FnOnce(&Lookup<'_>) + Send + 'static,
    ) -> Option<Result<Vouched<'t>, Denial>> {
        let credential = Credential::of(authorization).ok()??;
        let issuer = self.opaque_issuer(credential.token)?;
        Some(match issuer.look_up(credential.token, now, observe).await {
            Ok(caller) => Ok(Vouched { caller, credential }),
            Err(denial) => Err(credential.scheme.answer(denial)),
        })
    }

    /// The issuer that may be shown a token: none, if it is a JWT.
    fn opaque_issuer(&self, token: &str) -> Option<&OpaqueIssuer> {
        if self.opaque.is_empty() || token::jws::is_jose(token) {
            return None;
        }
        self.opaque.iter().find(|issuer| issuer.may_have_made(token))
    }

    fn recall(&self, issuer: &OpaqueIssuer, token: &str, now: SystemTime) -> Result<Arc<Caller>, Denial> {
        let known = issuer.recall(token, now);
        self.verified.count(matches!(known, Some(Ok(_))));
        known.unwrap_or_else(|| {
            let detail = format!("issuer `{}` has not been asked about the token", issuer.name());
            Err(Denial::new(Reason::NotReady, detail))
        })
    }

    fn unknown_issuer(&self, claimed: &str) -> Denial {
        match self.opaque.iter().find(|issuer| issuer.issuer() == claimed) {
            Some(issuer) => {
                invalid(format!("issuer `{}` is asked about opaque tokens; this is a JWT", issuer.name()))
            }
            None => invalid(format!("no issuer `{}` is configured", shown(claimed))),
        }
    }

    fn keys_in_use(&self, issuer: usize, now: SystemTime) -> Option<Arc<KeySet>> {
        let held = self.issuers.get(issuer)?.held().current(now)?;
        held.as_ref().map(|fetched| Arc::clone(&fetched.keys))
    }

    /// The nonce that the next proof of a caller's is to have, where the issuer asks for any.
    pub fn next_nonce(&self, caller: &Caller, now: SystemTime) -> Option<String> {
        self.possession.next_nonce(caller, now)
    }

    /// How many proofs of possession are remembered, for metrics.
    pub fn proofs_remembered(&self) -> usize {
        self.possession.remembered()
    }

    /// How often a token was known, for metrics.
    pub fn token_cache(&self) -> TokenCacheStatus {
        self.verified.status()
    }

    /// The issuers whose tokens cannot be judged at this moment, with the reason; empty when ready.
    pub fn readiness(&self, now: SystemTime) -> Vec<(String, String)> {
        self.issuers
            .iter()
            .filter_map(|issuer| {
                let held = issuer.held();
                Some((held.issuer().to_owned(), held.unreadiness(now)?))
            })
            .collect()
    }

    /// The state of each issuer's keys, for metrics.
    pub fn key_sets(&self, now: SystemTime) -> Vec<KeySetStatus> {
        self.issuers.iter().map(|issuer| issuer.held().status(now)).collect()
    }

    /// Fetches the key sets that are with a server and not there yet, all at once. Takes at most the ten seconds of
    /// one fetch, twice that where the keys are to be discovered. A failure is logged and shows in
    /// [`Authenticator::readiness`]; [`Authenticator::run_refresh`] tries again.
    pub async fn load_keys(&self) {
        let mut fetches = JoinSet::new();
        for issuer in &self.issuers {
            if let Some(remote) = issuer.remote().filter(|_| !jwks::refresh::has_keys(issuer.held())) {
                let (held, remote) = (Arc::clone(issuer.held()), remote.clone());
                fetches.spawn(async move {
                    let known = Arc::clone(&held);
                    jwks::refresh::refresh(&held, &remote, move |_| !jwks::refresh::has_keys(&known)).await;
                });
            }
        }
        while let Some(ended) = fetches.join_next().await {
            if let Err(error) = ended {
                tracing::error!("the fetch of a key set broke off: {error}");
            }
        }
    }

    /// Keeps every key set that is behind a URL fresh, each in a task of its own, until `shutdown` is done or this
    /// future is dropped.
    pub async fn run_refresh(self: Arc<Self>, shutdown: impl Future<Output = ()>) {
        let mut tasks = JoinSet::new();
        for issuer in &self.issuers {
            if let Some(remote) = issuer.remote() {
                let (held, remote) = (Arc::clone(issuer.held()), remote.clone());
                tasks.spawn(async move { jwks::refresh::keep_fresh(&held, &remote).await });
            }
        }
        let watch = async {
            while let Some(ended) = tasks.join_next().await {
                // They end in a panic or not at all. The keys of that issuer end with `max_stale`.
                let Err(error) = ended;
                tracing::error!("the refresh of a key set broke off: {error}");
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = shutdown => {}
            () = watch => {}
        }
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let opaque = self.opaque.iter().map(OpaqueIssuer::issuer);
        let issuers = self.issuers.iter().map(Issuer::issuer).chain(opaque);
        formatter.debug_struct("Authenticator").field("issuers", &issuers.collect::<Vec<_>>()).finish()
    }
}

/// Reads a key set and forgets it: the way in for `fuzz/`, and in no build of the product.
#[cfg(fuzzing)]
pub fn read_key_set(document: &[u8]) {
    let _ = jwks::KeySet::parse(document, &Algorithm::DEFAULT);
}

/// A token that breaks a rule. The detail says which; the client reads the same in each case.
fn invalid(detail: impl Into<Cow<'static, str>>) -> Denial {
    Denial::new(Reason::TokenInvalid, detail)
}

/// A stranger's text as a detail may quote it: no control characters, and not much of it.
fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut shown: String = text.escape_debug().take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests;
mod dpop;
mod introspection;
mod token;
