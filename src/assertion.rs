//! The gate's signed assertion about the caller: `X-Opgate-Jwt-Assertion`, for backends that can be reached past the
//! gate or that do not trust every hop between it and them (as Google's IAP and Pomerium do it).
//! It is a JWT (RFC 7519) with `typ: opgate-assertion+jwt` (RFC 8725, section 3.11), so that a server which takes
//! access tokens does not take it for one, this gate included. Its claims:
//!
//! | claim | what it says |
//! |---|---|
//! | `iss` | `assertion.issuer` of the configuration |
//! | `aud` | `https://SERVICE/` of the one service that it is for, as in AIP-4111 |
//! | `sub` | the principal, as policies write it: exact, and not encoded |
//! | `email` | the address in it, for users and service accounts |
//! | `orig_iss`, `orig_sub` | `iss` and `sub` of the caller's own token, where it has them |
//! | `iat`, `exp` | when it was signed, and when it ends |
//!
//! **It is about the caller and not about the request**, so that one serves many requests. A signature costs 20 to 30
//! µs, a decision less than one. Method, resource and request id in it would need one for every request, and would
//! prove little, since the bytes that they belong to are not signed. So there is no `jti` either: a backend sees one
//! assertion many times. An assertion is kept for its caller and service, and signed anew once half of its life is
//! over: a backend gets it with at least the other half. To find it takes the read lock of one of many shards, as the
//! token cache does, and allocates nothing. The store is bounded in bytes; for a caller that falls out, a new one is
//! signed. The key of an entry is every claim that differs between callers, compared to the byte.
//!
//! **An anonymous caller has none**, whatever it sends (a client's own `X-Opgate-*` fields end at the gate). There is
//! no assertion without `sub` and none whose `sub` stands for everybody. A backend that requires an assertion refuses
//! an anonymous call; one that serves anonymous callers too must give a request without it only what everybody may
//! have.
//!
//! **Keys** are files: the first signs, and all are published ([`Assertions::jwks`]). To rotate without a gap, add the
//! new one at the end, wait until backends have fetched the set again, put it first, and remove the old one when its
//! last assertion has ended. Without files a key is made at start and kept over reloads. No other gate signs with it,
//! and neither does the next process of this one.

mod file;
pub(crate) mod settings;

use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::http::HeaderValue;
use bytes::Bytes;
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};
use serde::Serialize;
use serde_json::json;

pub use self::file::{KeyFlaw, read_key};
use crate::diagnostic::Span;
use crate::http::Path;
use crate::principal::{Caller, Principal};
use crate::signing::{SigningAlgorithm, SigningError, SigningKey};

/// The media type of a key set (RFC 7517, section 8.5.2).
pub const MEDIA_TYPE: &str = "application/jwk-set+json";
/// How long a backend may go without asking for the keys again.
pub const CACHE_CONTROL: &str = "public, max-age=300";

/// `typ` of the header.
const TYPE: &str = "opgate-assertion+jwt";
/// The longest `sub` of an issuer (OpenID Connect Core, section 2). Bytes; a longer one is not passed on.
const MAX_SUBJECT: usize = 255;
/// Most bytes that are kept, roughly: some 8,000 callers.
const CAPACITY: u64 = 8 << 20;
/// What an entry takes beside its texts, roughly.
const OVERHEAD: u64 = 256;
/// What an entry takes in all, ordinarily.
const ORDINARY: u64 = 1024;

/// The `assertion` of the configuration.
#[derive(Clone, Debug)]
pub struct AssertionSettings {
    /// `iss`.
    pub issuer: String,
    /// The first signs; with none, one is made.
    pub keys: Vec<Arc<SigningKey>>,
    /// How long an assertion is good for.
    pub lifetime: Duration,
    /// Where the listeners serve the public keys, and where that is written.
    pub jwks_path: Option<(Path, Span)>,
    /// The files that the keys were read from, to be looked at for changes.
    pub files: Vec<PathBuf>,
}

impl AssertionSettings {
    /// The lifetime where none is written.
    pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
    /// The shortest: clocks differ, and requests take their time.
    pub const SHORTEST_LIFETIME: Duration = Duration::from_secs(10);
    /// The longest, which is IAP's.
    pub const LONGEST_LIFETIME: Duration = Duration::from_secs(600);
}

/// Signs assertions, and publishes the keys that verify them.
pub struct Assertions {
    issuer: String,
    signs: Arc<SigningKey>,
    others: Vec<Arc<SigningKey>>,
    /// Whether the key was made here.
    is_made: bool,
    lifetime: Duration,
    jwks_path: Option<Path>,
    jwks: Bytes,
    kept: Cache<About, CachedAssertion, ByBytes>,
}

impl Assertions {
    /// Applies the settings. A key that was made for `previous` goes on signing, and its assertions are kept, where
    /// nothing about it has changed.
    ///
    /// # Errors
    /// Where a key has to be made and cannot be.
    pub fn new(
        settings: &AssertionSettings,
        previous: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, SigningError> {
        let mut keys = settings.keys.iter().cloned();
        let (signs, is_made) = match (keys.next(), previous.filter(|previous| previous.is_made)) {
            (Some(first), _) => (first, false),
            (None, Some(previous)) => (previous.signs.clone(), true),
            (None, None) => (Arc::new(made()?), true),
        };
        let others: Vec<_> = keys.collect();
        let published: Vec<_> = std::iter::once(&signs).chain(&others).map(|key| key.public_jwk()).collect();
        let jwks = Bytes::from(json!({ "keys": published }).to_string());
        let jwks_path = settings.jwks_path.as_ref().map(|(path, _)| path.clone());
        if let Some(previous) = previous
            && previous.jwks == jwks
            && previous.issuer == settings.issuer
            && previous.lifetime == settings.lifetime
            && previous.jwks_path == jwks_path
        {
            return Ok(previous.clone());
        }
        let items = usize::try_from(CAPACITY / ORDINARY).unwrap_or(usize::MAX);
        Ok(Arc::new(Self {
            issuer: settings.issuer.clone(),
            signs,
            others,
            is_made,
            lifetime: settings.lifetime,
            jwks_path,
            jwks,
            kept: Cache::with_weighter(items, CAPACITY, ByBytes),
        }))
    }

    /// The assertion about a caller for a service, by its name (`cloudaicompanion.googleapis.com`).
    ///
    /// # Errors
    /// Where the crypto library fails.
    pub fn about(
        &self,
        caller: &Caller,
        service: &str,
        now: SystemTime,
    ) -> Result<HeaderValue, SigningError> {
        let asked = AssertionKey::new(caller, service);
        // A clock that was set back may have signed in what is now the future.
        if let Some(kept) = self.kept.get(&asked).filter(|kept| kept.from <= now && now < kept.renew) {
            return Ok(kept.assertion);
        }
        let assertion = self.sign(&asked, &caller.principal, now)?;
        let renew = now.checked_add(self.lifetime / 2).unwrap_or(now);
        self.kept.insert(asked.into(), CachedAssertion { assertion: assertion.clone(), from: now, renew });
        Ok(assertion)
    }

    fn sign(
        &self,
        asked: &AssertionKey<'_>,
        principal: &Principal,
        now: SystemTime,
    ) -> Result<HeaderValue, SigningError> {
        // With a clock before 1970 it has ended already: every verifier refuses it.
        let issued = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = AssertionClaims {
            iss: &self.issuer,
            aud: format!("https://{}/", asked.service),
            sub: &principal.with_plain_subject(),
            email: principal.email(),
            orig_iss: asked.issuer,
            orig_sub: asked.subject,
            iat: issued,
            exp: issued.saturating_add(self.lifetime.as_secs()),
        };
        let header = json!({ "alg": self.signs.algorithm().as_str(), "typ": TYPE, "kid": self.signs.kid() });
        let claims = serde_json::to_vec(&claims).map_err(|_| SigningError::Crypto)?;
        let token = self.signs.sign_raw(header.to_string().as_bytes(), &claims)?;
        HeaderValue::from_maybe_shared(Bytes::from(token)).map_err(|_| SigningError::Crypto)
    }

    /// The public keys: a JWK set (RFC 7517, section 5).
    pub fn jwks(&self) -> Bytes {
        self.jwks.clone()
    }

    /// Whether the listeners serve the public keys under this path.
    pub fn are_published_at(&self, path: &Path) -> bool {
        self.jwks_path.as_ref().is_some_and(|published| published.as_str() == path.as_str())
    }
}

impl std::fmt::Debug for Assertions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Assertions")
            .field("issuer", &self.issuer)
            .field("signs", &self.signs)
            .field("others", &self.others)
            .finish_non_exhaustive()
    }
}

fn made() -> Result<SigningKey, SigningError> {
    let key = SigningKey::generate(SigningAlgorithm::Es256, None)?;
    tracing::warn!(
        kid = key.kid(),
        "assertions are signed with a key that was made now: it changes at each start, and no other gate has it. Name \
         files in `assertion.keys` to keep it"
    );
    Ok(key)
}

#[derive(Serialize)]
struct AssertionClaims<'a> {
    iss: &'a str,
    aud: String,
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    orig_iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    orig_sub: Option<&'a str>,
    iat: u64,
    exp: u64,
}

/// The claims that differ between assertions that are signed at one time: the key of the store, for a look-up.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct AssertionKey<'a> {
    service: &'a str,
    principal: &'a str,
    issuer: Option<&'a str>,
    subject: Option<&'a str>,
}

impl<'a> AssertionKey<'a> {
    fn new(caller: &'a Caller, service: &'a str) -> Self {
        let issuer = caller.claims.as_ref().and_then(|claims| claims.get("iss")?.as_str());
        let subject = caller.subject.as_deref().filter(|subject| subject.len() <= MAX_SUBJECT);
        Self { service, principal: caller.principal.as_str(), issuer, subject }
    }
}

/// The same, in the store.
#[derive(Clone, PartialEq, Eq)]
struct About {
    service: Box<str>,
    principal: Box<str>,
    issuer: Option<Box<str>>,
    subject: Option<Box<str>>,
}

impl About {
    fn asked(&self) -> AssertionKey<'_> {
        AssertionKey {
            service: &self.service,
            principal: &self.principal,
            issuer: self.issuer.as_deref(),
            subject: self.subject.as_deref(),
        }
    }
}

impl From<AssertionKey<'_>> for About {
    fn from(asked: AssertionKey<'_>) -> Self {
        Self {
            service: asked.service.into(),
            principal: asked.principal.into(),
            issuer: asked.issuer.map(Into::into),
            subject: asked.subject.map(Into::into),
        }
    }
}

impl Hash for About {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.asked().hash(state);
    }
}

impl Equivalent<About> for AssertionKey<'_> {
    fn equivalent(&self, about: &About) -> bool {
        *self == about.asked()
    }
}

/// An assertion that was signed.
#[derive(Clone)]
struct CachedAssertion {
    assertion: HeaderValue,
    /// When it was signed …
    from: SystemTime,
    /// … and is signed anew from here on.
    renew: SystemTime,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<About, CachedAssertion> for ByBytes {
    fn weight(&self, about: &About, kept: &CachedAssertion) -> u64 {
        let text = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        let texts = about.service.len() + about.principal.len() + text(&about.issuer) + text(&about.subject);
        (texts + kept.assertion.len()) as u64 + OVERHEAD
    }
}

#[cfg(test)]
mod tests;
