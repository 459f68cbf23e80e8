//! One issuer: its settings and its keys, and the judgement of a token that claims to be its.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::Caller;
use super::fetch::{ClientError, Fetch};
use super::held::{Fetched, HeldKeys};
use super::identity::{Identity, Unusable};
use super::jwks::{MAX_DOCUMENT, NoKey};
use super::jwt::Unverified;
use super::refresh::Pace;
use super::settings::{IssuerSettings, KeySource, SettingsError, parse_url};
use super::{claims, shown};
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

/// How the keys behind a URL are fetched.
#[derive(Clone)]
pub(super) struct Remote {
    pub(super) fetch: Fetch,
    pub(super) pace: Pace,
}

/// A token that was accepted, and for how long it would be again.
pub(super) struct Admitted {
    pub(super) caller: Caller,
    /// The key set that verified it.
    pub(super) keys: Arc<Fetched>,
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
                let document = read(path).map_err(|cause| {
                    let message = format!("cannot read the key set `{}`: {cause}", path.display());
                    error("file", message, "the file must hold a JWK Set: `{\"keys\": […]}`")
                })?;
                held.replace(&document, now).map_err(|cause| {
                    let message = format!("cannot use the key set `{}`: {cause}", path.display());
                    error("file", message, "it needs a public signature key that `algorithms` allows")
                })?;
                (held, None)
            }
            KeySource::Url { url, refresh, max_stale, ca } => {
                let url = parse_url(url).map_err(|(message, help)| error("url", message, help))?;
                let fetch = Fetch::new(url, ca.as_deref()).map_err(|cause| {
                    let help = match cause {
                        ClientError::Tls(_) => "install the system's CA certificates, or name a `ca` file",
                        _ => "name a PEM file with the CA of the server's certificate",
                    };
                    error("ca", cause.to_string(), help)
                })?;
                (held(Some(*max_stale)), Some(Remote { fetch, pace: Pace::every(*refresh) }))
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

    /// Takes over the keys of the same issuer from before a reload, so that a reload needs no fetch. Nothing is
    /// taken over when what decided about the keys has changed.
    pub(super) fn take_over(&mut self, previous: &Self) {
        let same = self.settings.name == previous.settings.name
            && self.settings.issuer == previous.settings.issuer
            && self.settings.proof == previous.settings.proof
            && self.settings.algorithms == previous.settings.algorithms;
        if same && self.remote.is_some() {
            self.held = Arc::clone(&previous.held);
        }
    }

    /// Judges a token that names this issuer. The signature comes first: what a forged token claims to be is no
    /// reason to answer it differently.
    ///
    /// # Errors
    /// The first rule that is broken; [`Reason::NotReady`] while there are no keys.
    pub(super) fn admit(&self, token: Unverified<'_>, now: SystemTime) -> Result<Admitted, Denial> {
        let algorithm = token.algorithm();
        if !self.settings.algorithms.contains(&algorithm) {
            let detail = format!("issuer `{}` may not sign with {algorithm}", self.name);
            return Err(Denial::new(Reason::TokenInvalid, detail));
        }
        let held = self.held.current(now);
        let Some(fetched) = held.as_ref().and_then(|held| held.as_ref()) else {
            let detail = format!("issuer `{}` has no usable keys", self.name);
            return Err(Denial::new(Reason::NotReady, detail));
        };
        let key = fetched.keys.select(token.kid(), algorithm).map_err(|no_key| {
            if matches!(no_key, NoKey::UnknownKid | NoKey::Ambiguous(0)) {
                self.held.want();
            }
            self.no_key(no_key, &token)
        })?;
        let verified = token.verify(key)?;
        let accepted = claims::accept(&verified, &self.settings, &self.identity, now)?;
        let skew = self.settings.clock_skew;
        Ok(Admitted {
            keys: Arc::clone(fetched),
            from: accepted.begins.checked_sub(skew).unwrap_or(SystemTime::UNIX_EPOCH),
            until: accepted.expires.checked_add(skew).unwrap_or(accepted.expires),
            caller: accepted.caller(&self.name, verified.into_claims()),
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
        fill("aud", self.settings.audiences.as_slice().into());
        let ends = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default() + ASSUMED_LIFETIME;
        fill("exp", ends.as_secs().into());
        if claims.contains_key("email") {
            claims.entry("email_verified").or_insert(true.into());
        }
        let accepted = claims::assume(&claims, &self.settings, &self.identity, now)?;
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

/// Reads one byte more than a key set may have, so that what is too large is told from what is not.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut document = Vec::new();
    File::open(path)?.take(MAX_DOCUMENT as u64 + 1).read_to_end(&mut document)?;
    Ok(document)
}
