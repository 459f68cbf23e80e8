//! One issuer: its settings and its keys, and the judgement of a token that names it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::jwks::MAX_DOCUMENT;
use super::jwks::cache::JwksCache;
use super::jwks::discovery::Discovery;
use super::jwks::fetch::{Address, Fetch, FetchSettings};
use super::jwks::refresh::Remote;
use super::jwks::schedule::FetchIntervals;
use super::jwks::single_flight::KeyFetches;
use super::settings::{
    IssuerSettings, KeyLocation, KeySource, Proof, RemoteKeys, SettingsError, parse_issuer, parse_url,
};
use super::token::identity::{IdentityMapping, MappingError};
use super::token::{claims, self_signed};
use crate::files;
use crate::principal::Caller;
use crate::reason::Denial;

/// How long assumed claims are good for without an `exp`.
const ASSUMED_LIFETIME: Duration = Duration::from_secs(3600);

/// An issuer, ready to judge tokens as soon as it has keys. A copy shares them.
#[derive(Clone)]
pub(super) struct JwtIssuer {
    name: Arc<str>,
    settings: Arc<IssuerSettings>,
    identity: Arc<IdentityMapping>,
    jwks: Arc<JwksCache>,
    remote: Option<Remote>,
}

impl JwtIssuer {
    /// An issuer of JWTs, whose keys are at `keys`. Reads the key file, or the CA file of the URL.
    ///
    /// # Errors
    /// A file that cannot be read or used.
    pub(super) fn load(
        index: usize,
        settings: IssuerSettings,
        keys: &KeySource,
        now: SystemTime,
    ) -> Result<Self, Vec<SettingsError>> {
        let error = |field, message: String, help: &'static str| {
            vec![SettingsError { index, field, message, help: help.into() }]
        };
        let empty = |max_stale: Option<Duration>| {
            JwksCache::new(settings.name.clone(), settings.algorithms.clone(), max_stale)
                .of_svids(settings.identity.trust_domain.is_some())
        };
        let identity = identity(index, &settings)?;
        let (jwks, remote) = match keys {
            KeySource::File(path) => {
                let jwks = empty(None);
                let document = files::read(path, MAX_DOCUMENT as u64).map_err(|cause| {
                    let message = format!("cannot read the key set `{}`: {cause}", path.display());
                    error("file", message, "the file must hold a JWK Set: `{\"keys\": […]}`")
                })?;
                jwks.replace(&document, 0, now).map_err(|cause| {
                    let message = format!("cannot use the key set `{}`: {cause}", path.display());
                    error("file", message, "it needs a public signature key that `algorithms` allows")
                })?;
                (jwks, None)
            }
            KeySource::Remote(keys) => {
                let addresses = addresses(keys, &settings.issuer)
                    .map_err(|(field, message, help)| error(field, message, help))?;
                let fetch = Fetch::new(addresses, &FetchSettings::of(keys))
                    .map_err(|cause| error(cause.field(), cause.to_string(), cause.help()))?;
                let intervals = FetchIntervals::of(keys);
                let fetches = Arc::new(KeyFetches::new(intervals));
                (empty(Some(keys.max_stale)), Some(Remote { fetch, intervals, fetches }))
            }
        };
        let name = settings.name.as_str().into();
        Ok(Self {
            name,
            settings: Arc::new(settings),
            identity: Arc::new(identity),
            jwks: Arc::new(jwks),
            remote,
        })
    }

    /// `iss`.
    pub(super) fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// Whether it makes the JWT-SVIDs of a trust domain, those with an `iss` of their own included.
    pub(super) fn makes_svids_of(&self, domain: &str, has_issuer: bool) -> bool {
        let own = self.settings.identity.trust_domain.as_deref() == Some(domain);
        own && (!has_issuer || self.issuer().strip_prefix("spiffe://") == Some(domain))
    }

    /// Its name in the operator's file.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The claim of its tokens that holds the audience.
    pub(super) fn audience_claim(&self) -> &str {
        &self.settings.audience_claim
    }

    /// Its keys.
    pub(super) fn jwks(&self) -> &Arc<JwksCache> {
        &self.jwks
    }

    /// How its keys are fetched, where they are.
    pub(super) fn remote(&self) -> Option<&Remote> {
        self.remote.as_ref()
    }

    /// Keeps the keys of the same issuer over a reload, so that a reload needs no fetch: the issuer may be down.
    /// Nothing is kept where the keys may be another issuer's: with another `iss`, another address, another CA.
    pub(super) fn take_over(&mut self, previous: &Self) {
        let same = self.settings.issuer == previous.settings.issuer
            && source(&self.settings).is_some_and(|source| Some(source) == self::source(&previous.settings));
        if let (true, Some(remote), Some(known)) = (same, &mut self.remote, &previous.remote) {
            self.jwks = Arc::new(self.jwks.succeeding(&previous.jwks));
            remote.fetches = Arc::clone(&known.fetches);
            remote.fetch.take_over(&known.fetch);
        }
    }

    /// The caller that these claims would make, had this issuer signed them. Claims that every good token has are
    /// filled in: an audience, an end, that the email is verified.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub(super) fn assume(&self, mut claims: Map<String, Value>, now: SystemTime) -> Result<Caller, Denial> {
        let mut fill = |claim: &str, value: Value| {
            claims.entry(claim.to_owned()).or_insert(value);
        };
        let begins = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        fill("exp", (begins + ASSUMED_LIFETIME).as_secs().into());
        let accepted = if self.settings.self_signed {
            fill("iat", begins.as_secs().into());
            fill("sub", self.issuer().into());
            self_signed::assume(&claims, &self.settings, now)?
        } else {
            fill(&self.settings.audience_claim, self.settings.audiences.as_slice().into());
            for (claim, value) in &self.settings.required_claims {
                fill(claim, value.clone());
            }
            if claims.contains_key("email") {
                claims.entry("email_verified").or_insert(true.into());
            }
            claims::assume(&claims, &self.settings, &self.identity, now)?
        };
        Ok(accepted.caller(&self.name, claims))
    }
}

/// Where keys come from, and which CA must vouch for it.
fn source(settings: &IssuerSettings) -> Option<(&KeyLocation, Option<&Path>)> {
    match &settings.proof {
        Proof::Signature(KeySource::Remote(keys)) => Some((&keys.location, keys.ca.as_deref())),
        _ => None,
    }
}

/// The addresses of a key set, or the field that is wrong.
fn addresses(keys: &RemoteKeys, issuer: &str) -> Result<Vec<Address>, (&'static str, String, &'static str)> {
    let of = |field| move |(message, help)| (field, message, help);
    match &keys.location {
        KeyLocation::Url(url) => Ok(vec![Address::Url(parse_url(url).map_err(of("url"))?)]),
        KeyLocation::Urls(urls) => {
            urls.iter().map(|url| Ok(Address::Url(parse_url(url).map_err(of("urls"))?))).collect()
        }
        KeyLocation::Discovery { document, hosts } => {
            let base = parse_issuer(issuer).map_err(of("discovery"))?;
            Ok(vec![Address::Discovery(Discovery::new(issuer, base, *document, hosts))])
        }
    }
}

/// The issuer's rule for identities, compiled.
///
/// # Errors
/// Every expression that does not compile.
pub(super) fn identity(
    index: usize,
    settings: &IssuerSettings,
) -> Result<IdentityMapping, Vec<SettingsError>> {
    IdentityMapping::compile(&settings.identity).map_err(|unusable| {
        let wrong = |(attribute, message, help): MappingError| SettingsError {
            index,
            field: if attribute.is_some() { "attribute_mapping" } else { "attribute_condition" },
            message: match attribute {
                Some(attribute) => format!("`{attribute}`: {message}"),
                None => message,
            },
            help: help.into(),
        };
        unusable.into_iter().map(wrong).collect::<Vec<_>>()
    })
}

pub(super) mod verification;
