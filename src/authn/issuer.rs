//! One issuer: its settings and its keys, and the judgement of a token that claims to be its.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::Caller;
use super::jwks::cache::{Fetched, HeldKeys};
use super::jwks::discovery::Discovery;
use super::jwks::fetch::{Address, ClientError, Fetch};
use super::jwks::refresh::{self, Remote};
use super::jwks::schedule::Pace;
use super::jwks::single_flight::Asking;
use super::jwks::{KeySet, MAX_DOCUMENT, NoKey};
use super::settings::{
    IssuerSettings, KeyLocation, KeySource, Proof, RemoteKeys, SettingsError, parse_issuer, parse_url,
};
use super::token::identity::{Identity, Unusable};
use super::token::jwt::Unverified;
use super::token::{claims, self_signed};
use super::{invalid, shown};
use crate::files;
use crate::reason::{Denial, Reason};

/// How long assumed claims are good for where they do not say.
const ASSUMED_LIFETIME: Duration = Duration::from_secs(3600);

/// An issuer, ready to judge tokens as soon as it has keys.
pub(super) struct Issuer {
    name: Arc<str>,
    settings: IssuerSettings,
    identity: Identity,
    held: Arc<HeldKeys>,
    remote: Option<Remote>,
}

/// A token that was accepted, and for how long it would be again.
pub(super) struct Admitted {
    pub(super) caller: Caller,
    /// The key set that verified it.
    pub(super) keys: Arc<KeySet>,
    /// From when and until when its own times hold, clock skew included.
    pub(super) from: SystemTime,
    pub(super) until: SystemTime,
}

impl Issuer {
    /// An issuer of JWTs, whose keys are at `keys`. Reads what that names: the key file, or the CA file of the URL.
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
        let held = |max_stale: Option<Duration>| {
            HeldKeys::new(settings.name.clone(), settings.algorithms.clone(), max_stale)
        };
        let identity = identity(index, &settings)?;
        let (held, remote) = match keys {
            KeySource::File(path) => {
                let held = held(None);
                let document = files::read(path, MAX_DOCUMENT as u64).map_err(|cause| {
                    let message = format!("cannot read the key set `{}`: {cause}", path.display());
                    error("file", message, "the file must hold a JWK Set: `{\"keys\": […]}`")
                })?;
                held.replace(&document, 0, now).map_err(|cause| {
                    let message = format!("cannot use the key set `{}`: {cause}", path.display());
                    error("file", message, "it needs a public signature key that `algorithms` allows")
                })?;
                (held, None)
            }
            KeySource::Remote(keys) => {
                let address = address(keys, &settings.issuer)
                    .map_err(|(field, message, help)| error(field, message, help))?;
                let fetch = Fetch::new(address, keys.ca.as_deref()).map_err(|cause| {
                    let help = match cause {
                        ClientError::Tls(_) => "install the system's CA certificates, or name a `ca` file",
                        _ => "name a PEM file with the CA of the server's certificate",
                    };
                    error("ca", cause.to_string(), help)
                })?;
                let pace = Pace::of(keys);
                let asking = Arc::new(Asking::new(pace));
                (held(Some(keys.max_stale)), Some(Remote { fetch, pace, asking }))
            }
        };
        let name = settings.name.as_str().into();
        Ok(Self { name, settings, identity, held: Arc::new(held), remote })
    }

    /// `iss`.
    pub(super) fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// Its keys.
    pub(super) fn held(&self) -> &Arc<HeldKeys> {
        &self.held
    }

    /// How its keys are fetched, where they are.
    pub(super) fn remote(&self) -> Option<&Remote> {
        self.remote.as_ref()
    }

    /// Takes over the keys of the same issuer from before a reload, so that a reload needs no fetch: its issuer may be
    /// down. Nothing is taken over where they may be somebody else's: of another `iss`, another address, another CA.
    pub(super) fn take_over(&mut self, previous: &Self) {
        let same = self.settings.issuer == previous.settings.issuer
            && source(&self.settings).is_some_and(|source| Some(source) == self::source(&previous.settings));
        if let (true, Some(remote), Some(known)) = (same, &mut self.remote, &previous.remote) {
            self.held = Arc::new(self.held.succeeding(&previous.held));
            remote.asking = Arc::clone(&known.asking);
        }
    }

    /// Judges a token that names this issuer. The signature comes first: what a forged token claims to be is no
    /// reason to answer it differently.
    ///
    /// # Errors
    /// The first rule that is broken; [`Reason::NotReady`] while there are no keys, [`Reason::KeyPending`] while the
    /// issuer may have one that it did not have when it was last asked.
    pub(super) fn admit(&self, token: Unverified<'_>, now: SystemTime) -> Result<Admitted, Denial> {
        let algorithm = token.algorithm();
        if !self.settings.algorithms.contains(&algorithm) {
            let detail = format!("issuer `{}` may not sign with {algorithm}", self.name);
            return Err(Denial::new(Reason::TokenInvalid, detail));
        }
        let held = self.held.current(now);
        let Some(fetched) = held.as_ref().and_then(|held| held.as_ref()) else {
            return Err(self.without_keys());
        };
        let key = fetched.keys.select(token.kid(), algorithm).map_err(|no_key| {
            let missing = matches!(no_key, NoKey::UnknownKid | NoKey::Ambiguous(0));
            self.unless_pending(missing, &token, fetched, now, self.no_key(no_key, &token))
        })?;
        let verified = token.verify(key).map_err(|token| {
            // A `kid` says which key it was; without one, it may be one that the issuer has made since.
            let missing = token.kid().is_none();
            self.unless_pending(missing, &token, fetched, now, invalid("the signature is not the key's"))
        })?;
        let accepted = if self.settings.self_signed {
            self_signed::accept(&verified, &self.settings, now)?
        } else {
            claims::accept(&verified, &self.settings, &self.identity, now)?
        };
        let skew = self.settings.clock_skew;
        Ok(Admitted {
            keys: Arc::clone(&fetched.keys),
            from: accepted.begins.checked_sub(skew).unwrap_or(SystemTime::UNIX_EPOCH),
            until: accepted.expires.checked_add(skew).unwrap_or(accepted.expires),
            caller: accepted.caller(&self.name, verified.into_claims()),
        })
    }

    /// Nothing can be decided without keys. Where those that were there have ended, the issuer is asked at once: a clock
    /// that was set forward ends a set long before the next fetch is due.
    fn without_keys(&self) -> Denial {
        let detail = format!("issuer `{}` has no usable keys", self.name);
        match &self.remote {
            Some(remote) if self.held.latest().is_some() => {
                remote.asking.hurry();
                let near = remote.asking.is_answer_near();
                Denial::new(if near { Reason::KeyPending } else { Reason::NotReady }, detail)
            }
            _ => Denial::new(Reason::NotReady, detail),
        }
    }

    /// The refusal of a token that no key of a set verifies. Where its key may be `missing` there and be with the issuer by
    /// now, that is found out first.
    fn unless_pending(
        &self,
        missing: bool,
        token: &Unverified<'_>,
        fetched: &Fetched,
        now: SystemTime,
        denial: Denial,
    ) -> Denial {
        match &self.remote {
            Some(remote) if missing && !remote.asking.lacks(token.named_key(), fetched.fetch, now) => {
                let detail = format!("{}; the issuer is being asked for its keys again", denial.detail());
                Denial::new(Reason::KeyPending, detail)
            }
            _ => denial,
        }
    }

    /// Waits, a moment at the most, for the key set that a token's key may be in.
    pub(super) async fn await_key(&self, token: &Unverified<'_>) {
        if let Some(remote) = &self.remote {
            let ended = || self.held.latest().is_some() && !refresh::has_keys(&self.held);
            if ended() {
                return remote.asking.next_set(|| !ended()).await;
            }
            remote.asking.answer(token.named_key(), || self.has_key(token)).await;
        }
    }

    /// Whether the set in use, however old, has a key of the name that the token gives.
    fn has_key(&self, token: &Unverified<'_>) -> bool {
        token.kid().is_some()
            && self.held.latest().is_some_and(|fetched| {
                !matches!(fetched.keys.select(token.kid(), token.algorithm()), Err(NoKey::UnknownKid))
            })
    }

    /// Whoever these claims would make the caller, had this issuer signed them. What every good token says and nobody
    /// cares to write down is filled in: an audience, an end, that the email is verified.
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
            fill("aud", self.settings.audiences.as_slice().into());
            if claims.contains_key("email") {
                claims.entry("email_verified").or_insert(true.into());
            }
            claims::assume(&claims, &self.settings, &self.identity, now)?
        };
        Ok(accepted.caller(&self.name, claims))
    }

    fn no_key(&self, no_key: NoKey, token: &Unverified<'_>) -> Denial {
        let kid = shown(token.kid().unwrap_or_default());
        let algorithm = token.algorithm();
        let name = &self.name;
        let detail = match no_key {
            NoKey::UnknownKid => format!("issuer `{name}` has no key `{kid}`"),
            NoKey::OtherAlgorithm => format!("key `{kid}` of issuer `{name}` is not for {algorithm}"),
            NoKey::Ambiguous(count) => {
                format!("the token has no `kid`, and {count} keys of issuer `{name}` fit {algorithm}")
            }
        };
        Denial::new(Reason::TokenInvalid, detail)
    }
}

/// Where keys come from, and who can vouch for it.
fn source(settings: &IssuerSettings) -> Option<(&KeyLocation, Option<&Path>)> {
    match &settings.proof {
        Proof::Signature(KeySource::Remote(keys)) => Some((&keys.location, keys.ca.as_deref())),
        _ => None,
    }
}

/// The address of a key set, or the field that is wrong.
fn address(keys: &RemoteKeys, issuer: &str) -> Result<Address, (&'static str, String, &'static str)> {
    let of = |field| move |(message, help)| (field, message, help);
    match &keys.location {
        KeyLocation::Url(url) => Ok(Address::Url(parse_url(url).map_err(of("url"))?)),
        KeyLocation::Discovery { document, hosts } => {
            let base = parse_issuer(issuer).map_err(of("discovery"))?;
            Ok(Address::Discovery(Discovery::new(issuer, base, *document, hosts)))
        }
    }
}

/// The issuer's rule for identities, compiled.
///
/// # Errors
/// Every expression that does not compile.
pub(super) fn identity(index: usize, settings: &IssuerSettings) -> Result<Identity, Vec<SettingsError>> {
    Identity::compile(&settings.identity).map_err(|unusable| {
        let wrong = |(attribute, message, help): Unusable| SettingsError {
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
