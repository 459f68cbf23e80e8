//! Authentication: from the `Authorization` header to a [`Caller`], or the reason there is none.
//!
//! ```text
//! Authorization ─► credential ─► jws ─► token::jwt::Unverified ─► issuer, by exact `iss` ─► jwks: one key ─► token::jwt::Verified
//!                                                                                                    │
//!               Caller ◄─ proof of possession ◄─ principal, scopes, binding ◄─ typ, times, audience ◄─ claims
//! ```
//!
//! A token that is not a JWT goes another way to the same claims: the gate asks its issuer (`introspection`).
//!
//! aws-lc checks signatures. Which key may check which token, and what a token must say, is decided here: the library has no
//! key policy (RFC 8725 asks for one). Key sets are files, or fetched in the background
//! ([`Authenticator::run_refresh`]); a request reads the set in memory. Two kinds of token make their request wait
//! ([`Authentication::Pending`], [`Authenticator::resolve`]): one that names a key which is not there, for the next set, and
//! an opaque one that nothing is known of, for what its issuer says.

mod dpop;
mod introspection;
mod token;
mod algorithm;
mod authentication;
mod credential;
mod denial;
mod instruments;
mod issuer;
mod jwks;
mod mtls;
pub(crate) mod settings;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value};
use tokio::task::JoinSet;

pub use self::algorithm::{Algorithm, UnknownAlgorithm};
pub use self::authentication::{Authentication, PendingToken};
pub use self::dpop::Evidence;
pub use self::instruments::Instruments;
pub use self::introspection::settings::{ClientAuthentication, Dialect, TokenEndpoint};
pub use self::introspection::{Lookup, LookupOutcome};
pub use self::jwks::cache::{KeyExpiry, KeySetStatus};

pub use self::introspection::secret::{Secret, SecretError};
pub use self::settings::{
    DpopRule, IdentityRule, IssuerSettings, KeyLocation, KeySource, MappedAttribute, PossessionRule, Proof,
    RemoteKeys, SettingsError, WellKnown, WrittenIssuer,
};
pub use self::token::cache::TokenCacheStatus;
pub use self::token::unconfirmed::UnconfirmedToken;

use self::dpop::TokenBinding;
use self::introspection::OpaqueIssuer;
use self::issuer::JwtIssuer;
use self::token::cache::TokenCache;
use crate::principal::Caller;
use crate::reason::{Denial, TokenKind};

/// Judges the credentials of requests.
pub struct Authenticator {
    /// Issuers of JWTs.
    issuers: Vec<JwtIssuer>,
    /// Issuers of opaque tokens.
    opaque: Vec<OpaqueIssuer>,
    tokens: TokenCache,
    binding: Arc<TokenBinding>,
    /// The longest token that is read.
    token_bytes: usize,
}

impl Authenticator {
    /// The default for the longest token that is read, in bytes.
    pub const DEFAULT_TOKEN_BYTES: usize = credential::MAX_TOKEN;

    /// The same, with another bound for the length of tokens, in bytes.
    #[must_use]
    pub fn reading_tokens_of(self, token_bytes: usize) -> Self {
        Self { token_bytes, ..self }
    }

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
                    JwtIssuer::load(index, settings, &keys, now).map(|issuer| issuers.push(issuer))
                }
                Proof::Endpoint(endpoint) => {
                    OpaqueIssuer::load(index, settings, endpoint).map(|issuer| opaque.push(issuer))
                }
            };
            // `check` may have reported the same URL already.
            let found = loaded.err().unwrap_or_default();
            let new: Vec<_> = found.into_iter().filter(|error| !errors.contains(error)).collect();
            errors.extend(new);
        }
        errors.sort_by_key(|error| error.index);
        if errors.is_empty() { Ok(Self { issuers, opaque, ..Self::believing_nobody() }) } else { Err(errors) }
    }

    /// Trusts no issuer: every credential is refused.
    pub fn believing_nobody() -> Self {
        Self {
            issuers: Vec::new(),
            opaque: Vec::new(),
            tokens: TokenCache::new(),
            binding: Arc::new(TokenBinding::new()),
            token_bytes: Self::DEFAULT_TOKEN_BYTES,
        }
    }

    /// The trusted issuers that can be authorization servers: their names are URLs (RFC 8414, section 2). Service accounts,
    /// which sign for themselves, are not.
    pub fn authorization_servers(&self) -> impl Iterator<Item = &str> {
        let signing = self.issuers.iter().map(JwtIssuer::issuer);
        let all = signing.chain(self.opaque.iter().map(OpaqueIssuer::issuer));
        all.filter(|issuer| issuer.starts_with("https://"))
    }

    /// The names of the trusted issuers, as metrics and logs have them.
    pub fn issuer_names(&self) -> impl Iterator<Item = &str> {
        self.token_issuers().map(|(name, _)| &**name)
    }

    /// The trusted issuers by name, with what their tokens are.
    pub fn token_issuers(&self) -> impl Iterator<Item = (&Arc<str>, TokenKind)> {
        let signing = self.issuers.iter().map(|issuer| (issuer.name(), TokenKind::Jwt));
        signing.chain(self.opaque.iter().map(|issuer| (issuer.name(), TokenKind::Opaque)))
    }

    /// Whether no issuer is trusted.
    pub fn believes_nobody(&self) -> bool {
        self.issuers.is_empty() && self.opaque.is_empty()
    }

    /// Keeps the fetched keys of issuers that a reload left as they were, with their age and their counts, the answers
    /// of issuers about opaque tokens, and the memory of used proofs.
    pub fn take_over(&mut self, previous: &Self) {
        // Kept whatever else has changed: a reload that forgot used proofs would let them be used again.
        self.binding = Arc::clone(&previous.binding);
        self.tokens = TokenCache::succeeding(&previous.tokens);
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

    /// The caller that these claims would make, had the issuer that they name signed them: for questions about
    /// policy ([`crate::decision::stages::decide_as`]). It proves nothing, and no request gets here.
    ///
    /// # Errors
    /// As [`Authenticator::authenticate`], but for signature and type.
    pub fn assume(&self, claims: Map<String, Value>, now: SystemTime) -> Result<Caller, Denial> {
        self.issuer_for(&claims)?.assume(claims, now)
    }

    /// The claim of an issuer's tokens that holds their audience: `aud`, or what the operator says. `issuer` is its name
    /// in the operator's file.
    pub fn audience_claim(&self, issuer: &str) -> &str {
        let known = self.issuers.iter().find(|known| **known.name() == *issuer);
        known.map_or("aud", JwtIssuer::audience_claim)
    }

    /// Whether an issuer, by its name in the operator's file, is the one with this identifier (`iss`). What a token claims
    /// does not count: the `iss` of a JWT-SVID is free.
    pub fn is_issuer(&self, name: &str, identifier: &str) -> bool {
        let jwt = self.issuers.iter().map(|issuer| (&**issuer.name(), issuer.issuer()));
        let opaque = self.opaque.iter().map(|issuer| (&**issuer.name(), issuer.issuer()));
        jwt.chain(opaque).any(|known| known == (name, identifier))
    }

    /// The nonce that the next proof of a caller has to have, where the issuer asks for any.
    pub fn next_nonce(&self, caller: &Caller, now: SystemTime) -> Option<String> {
        self.binding.next_nonce(caller, now)
    }

    /// How many proofs of possession are remembered, for metrics.
    pub fn proofs_remembered(&self) -> usize {
        self.binding.remembered()
    }

    /// Hits and misses of the token cache, for metrics.
    pub fn token_cache(&self) -> TokenCacheStatus {
        self.tokens.status()
    }

    /// The issuers whose tokens cannot be judged at this moment, with the reason; empty when ready.
    pub fn readiness(&self, now: SystemTime) -> Vec<(String, String)> {
        self.issuers
            .iter()
            .filter_map(|issuer| {
                let jwks = issuer.jwks();
                Some((jwks.issuer().to_owned(), jwks.unreadiness(now)?))
            })
            .collect()
    }

    /// The state of each issuer's keys, for metrics.
    pub fn key_sets(&self, now: SystemTime) -> Vec<KeySetStatus> {
        self.issuers.iter().map(|issuer| issuer.jwks().status(now)).collect()
    }

    /// Fetches the remote key sets that are not there yet, all at once. Takes at most the ten seconds of one fetch,
    /// twice that where the keys are to be discovered. A failure is logged and shows in [`Authenticator::readiness`];
    /// [`Authenticator::run_refresh`] tries again.
    pub async fn load_keys(&self) {
        let mut fetches = JoinSet::new();
        for issuer in &self.issuers {
            if let Some(remote) = issuer.remote().filter(|_| !jwks::refresh::has_keys(issuer.jwks())) {
                let (jwks, remote) = (Arc::clone(issuer.jwks()), remote.clone());
                fetches.spawn(async move {
                    let known = Arc::clone(&jwks);
                    jwks::refresh::refresh(&jwks, &remote, move |_| !jwks::refresh::has_keys(&known)).await;
                });
            }
        }
        while let Some(ended) = fetches.join_next().await {
            if let Err(error) = ended {
                tracing::error!("the task that fetches a key set failed: {error}");
            }
        }
    }

    /// Keeps every key set that is behind a URL fresh, each in a task of its own, until `shutdown` is done or this
    /// future is dropped.
    pub async fn run_refresh(self: Arc<Self>, shutdown: impl Future<Output = ()>) {
        let mut tasks = JoinSet::new();
        for issuer in &self.issuers {
            if let Some(remote) = issuer.remote() {
                let (jwks, remote) = (Arc::clone(issuer.jwks()), remote.clone());
                tasks.spawn(async move { jwks::refresh::keep_fresh(&jwks, &remote).await });
            }
        }
        let watch = async {
            while let Some(ended) = tasks.join_next().await {
                // They end in a panic or not at all. The keys of that issuer end with `max_stale`.
                let Err(error) = ended;
                tracing::error!("the task that refreshes a key set failed: {error}");
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
        let issuers = self.issuers.iter().map(JwtIssuer::issuer).chain(opaque);
        formatter.debug_struct("Authenticator").field("issuers", &issuers.collect::<Vec<_>>()).finish()
    }
}

/// Reads a key set and drops it: the entry point for `fuzz/`, and in no build of the product.
#[cfg(fuzzing)]
pub fn read_key_set(document: &[u8]) {
    let _ = jwks::KeySet::parse(document, Algorithm::DEFAULT);
}

#[cfg(test)]
mod tests;
