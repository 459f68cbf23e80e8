//! The operator's settings of an issuer, as plain data, and the rules that they must keep before a token is judged by
//! them.

mod dpop;
mod keys;
mod proof;
pub(crate) mod read;
mod service_accounts;
mod written;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::time::Duration;

pub use self::dpop::PossessionRule;
pub use self::keys::{KeyLocation, KeySource, RemoteKeys, WellKnown};
pub(super) use self::keys::{check_proxy, origin, parse_issuer, parse_url, with_port};
pub use self::written::WrittenIssuer;
use super::algorithm::Algorithm;
use super::introspection::settings::{self as opaque, TokenEndpoint};
use super::token::spiffe::is_trust_domain;
pub use crate::principal::DpopRule;
use crate::principal::{Principal, is_pool_name};

/// An issuer whose tokens are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerSettings {
    /// Its name in logs and metrics.
    pub name: String,
    /// `iss`, to the byte.
    pub issuer: String,
    /// A token needs one of these in its `audience_claim`; at least one.
    pub audiences: Vec<String>,
    /// The claim that holds the audience of a token: `aud`, or one that names the client that it was issued to, for providers
    /// whose access tokens have no `aud`.
    pub audience_claim: String,
    /// Claims that a token needs, each with its one value.
    pub required_claims: Vec<(String, serde_json::Value)>,
    /// How its tokens are verified.
    pub proof: Proof,
    /// Whether tokens with the marks of an ID token are accepted. Only for an issuer whose access tokens have them, or of
    /// which ID tokens for `audiences` are meant to be credentials.
    pub accept_id_tokens: bool,
    /// The scopes of its tokens that carry neither `scope` nor `scp`. `None`: they have none.
    pub scopes: Option<Vec<String>>,
    /// The algorithms that it may sign with; at least one.
    pub algorithms: Vec<Algorithm>,
    /// How far its clock may be from ours.
    pub clock_skew: Duration,
    /// The accepted values of the header's `typ`, compared without case and without `application/` (RFC 8725,
    /// section 3.11). Empty: `JWT`, `at+jwt` or none.
    pub token_types: Vec<String>,
    /// How its claims become a principal.
    pub identity: IdentityRule,
    /// What its tokens have to be bound to.
    pub possession: PossessionRule,
    /// A service account that signs for itself (AIP-4111): `issuer` is its email, its tokens name a service instead of
    /// `audiences`, and `identity` is not used.
    pub self_signed: bool,
}

/// How an issuer's tokens are verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// By its signature: the tokens are JWTs.
    Signature(KeySource),
    /// By asking it: the tokens are opaque.
    Endpoint(TokenEndpoint),
}

/// How claims become a principal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityRule {
    /// The pool of callers without a verified email: `principal://POOL/subject/SUB`. Begins with
    /// `iam.googleapis.com/`.
    pub subject_pool: Option<String>,
    /// The SPIFFE trust domain whose JWT-SVIDs it makes: `sub` is a SPIFFE ID of this domain and names the caller, and `iss`
    /// may be missing.
    pub trust_domain: Option<String>,
    /// Accepts `email` without `email_verified: true`. Only for an issuer whose users cannot choose their address.
    pub accept_unverified_email: bool,
    /// The domains of the emails that the issuer may assert: `example.com`, `*.example.com` for those below it, `*`
    /// for any. `None` for any, where no other issuer could be impersonated.
    pub email_domains: Option<Vec<String>>,
    /// The claim that holds the emails of the caller's groups: `group:EMAIL`, as far as `email_domains` has their domains.
    pub group_emails: Option<String>,
    /// The attributes of the subject pool's principals, and the claims that they are taken from, in CEL. Not empty:
    /// `email` is not read.
    pub attribute_mapping: Vec<(MappedAttribute, String)>,
    /// The condition on the claims (`assertion`) and on what is mapped, in CEL.
    pub attribute_condition: Option<String>,
}

/// What an attribute mapping sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MappedAttribute {
    /// `google.subject`: who it is. A string.
    Subject,
    /// `google.groups`: a list of strings.
    Groups,
    /// `attribute.NAME`: a string.
    Custom(String),
}

impl MappedAttribute {
    /// Reads an attribute's name; `None` where it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "google.subject" => Some(Self::Subject),
            "google.groups" => Some(Self::Groups),
            _ => {
                let name = text.strip_prefix("attribute.")?;
                // <https://cloud.google.com/iam/docs/workload-identity-federation#mapping>
                let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
                let fits = name.starts_with(|first: char| first.is_ascii_lowercase())
                    && name.len() <= 100
                    && name.bytes().all(plain);
                fits.then(|| Self::Custom(name.to_owned()))
            }
        }
    }
}

impl fmt::Display for MappedAttribute {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject => formatter.write_str("google.subject"),
            Self::Groups => formatter.write_str("google.groups"),
            Self::Custom(name) => write!(formatter, "attribute.{name}"),
        }
    }
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    /// The issuer's place in the list, from 0.
    pub index: usize,
    /// The field of [`IssuerSettings`], or of [`RemoteKeys`] or [`IdentityRule`] below it.
    pub field: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do next.
    pub help: Cow<'static, str>,
}

impl IssuerSettings {
    /// The default for how far an issuer's clock may be off.
    pub const DEFAULT_CLOCK_SKEW: Duration = Duration::from_secs(30);

    /// An issuer of JWTs with the defaults in everything that has one.
    pub fn new(
        name: impl Into<String>,
        issuer: impl Into<String>,
        audience: impl Into<String>,
        keys: KeySource,
    ) -> Self {
        Self {
            name: name.into(),
            issuer: issuer.into(),
            audiences: vec![audience.into()],
            audience_claim: "aud".to_owned(),
            required_claims: Vec::new(),
            proof: Proof::Signature(keys),
            accept_id_tokens: false,
            scopes: None,
            algorithms: Algorithm::DEFAULT.to_vec(),
            clock_skew: Self::DEFAULT_CLOCK_SKEW,
            token_types: Vec::new(),
            identity: IdentityRule::default(),
            possession: PossessionRule::default(),
            self_signed: false,
        }
    }

    /// A service account that signs for itself. `{email}` in the address of its keys stands for it.
    pub fn service_account(name: &str, email: &str, keys: &KeySource) -> Self {
        Self {
            audiences: Vec::new(),
            algorithms: vec![Algorithm::Rs256],
            self_signed: true,
            ..Self::new(format!("{name}/{email}"), email, "", keys.of_account(email))
        }
    }

    /// The files that [`super::Authenticator::load`] reads for it.
    pub fn files(&self) -> Vec<&Path> {
        match &self.proof {
            Proof::Signature(KeySource::File(path)) => vec![path],
            Proof::Signature(KeySource::Remote(keys)) => keys.ca.as_deref().into_iter().collect(),
            Proof::Endpoint(endpoint) => endpoint.files(),
        }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for SettingsError {}

/// What to do about an endpoint for the tenants of all customers.
pub(super) const ONE_TENANT: &str =
    "name each tenant as an issuer of its own, with its id in place of the template or of `common`";

/// A larger skew would let an expired token live on.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(300);

/// Everything that is wrong with the settings, as far as that can be known without reading their files.
pub(super) fn check(settings: &[IssuerSettings]) -> Vec<SettingsError> {
    let mut errors = Vec::new();
    let mut names = HashSet::new();
    let (mut issuers, mut domains) = (HashSet::new(), HashSet::new());
    // An issuer that maps no attributes accepts every verified email in a token; one of JWT-SVIDs reads none.
    let asserting = |issuer: &&IssuerSettings| {
        issuer.identity.attribute_mapping.is_empty() && issuer.identity.trust_domain.is_none()
    };
    let several = settings.iter().filter(asserting).count() > 1;
    for (index, issuer) in settings.iter().enumerate() {
        let mut error = |field, message: String, help: &'static str| {
            errors.push(SettingsError { index, field, message, help: help.into() });
        };
        if issuer.name.is_empty() {
            error(
                "name",
                "the issuer has no name".to_owned(),
                "name it: metrics and logs are read by this name",
            );
        } else if !names.insert(issuer.name.as_str()) {
            let message = format!("two issuers are named `{}`", issuer.name);
            error("name", message, "give each its own name: metrics are labelled with it");
        }
        if issuer.issuer.is_empty() {
            error("issuer", "`issuer` is empty".to_owned(), "write the `iss` of its tokens, to the byte");
        } else if !issuers.insert(issuer.issuer.as_str()) {
            let message = format!("two issuers have the `iss` `{}`", issuer.issuer);
            error("issuer", message, "merge them: `audiences` and `algorithms` are lists");
        } else if issuer.issuer.contains(['{', '}']) {
            let message = format!("`{}` is a template, and no token has it as its `iss`", issuer.issuer);
            error("issuer", message, ONE_TENANT);
        }
        if let Some(domain) = &issuer.identity.trust_domain {
            if !is_trust_domain(domain) {
                let message = format!("`{domain}` is not a SPIFFE trust domain");
                error(
                    "trust_domain",
                    message,
                    "write the name alone, in lower case, like `prod.example.com`",
                );
            } else if !domains.insert(domain.as_str()) {
                let message = format!("two issuers have the trust domain `{domain}`");
                error(
                    "trust_domain",
                    message,
                    "merge them: `audiences` is a list, and `keys` takes several `urls`",
                );
            }
            if matches!(issuer.proof, Proof::Endpoint(_)) {
                let message = "JWT-SVIDs are verified by their signature".to_owned();
                error("trust_domain", message, "name the keys of the trust domain with `keys`");
            }
            if issuer.identity.subject_pool.is_none() {
                let message = "a `trust_domain` needs a `subject_pool`".to_owned();
                error("trust_domain", message, "name the pool whose subjects the SPIFFE IDs are");
            }
        }
        check_tokens(issuer, &mut error);
        if several && asserting(&issuer) && !issuer.self_signed && issuer.identity.email_domains.is_none() {
            let message = "with several issuers, each must say which emails it may assert".to_owned();
            error("name", message, "add `email_domains: [example.com]`; `['*']` trusts it with everybody's");
        }
        let PossessionRule { mtls, dpop, .. } = issuer.possession;
        if !mtls && dpop.is_none() {
            let message = "no kind of proof is accepted".to_owned();
            error("proof_of_possession", message, "name `mtls`, `dpop` or both: a bound token needs one");
        }
        check_identity(&issuer.identity, &mut error);
        match &issuer.proof {
            Proof::Signature(KeySource::File(_)) => {}
            Proof::Signature(KeySource::Remote(keys)) => keys::check(keys, &issuer.issuer, &mut error),
            Proof::Endpoint(endpoint) => opaque::check(endpoint, &mut error),
        }
    }
    check_prefixes(settings, &mut errors);
    errors
}

/// A token may only be shown to the issuer that made it: where several are asked, the prefix says which one that is.
fn check_prefixes(settings: &[IssuerSettings], errors: &mut Vec<SettingsError>) {
    let asked: Vec<(usize, &str, &str)> = settings
        .iter()
        .enumerate()
        .filter_map(|(index, issuer)| match &issuer.proof {
            Proof::Endpoint(endpoint) => Some((index, issuer.name.as_str(), endpoint.prefix.as_str())),
            Proof::Signature(_) => None,
        })
        .collect();
    let mut error = |index, message, help: Cow<'static, str>| {
        errors.push(SettingsError { index, field: "prefix", message, help });
    };
    for (place, (index, name, prefix)) in asked.iter().enumerate() {
        if prefix.is_empty() {
            if asked.len() > 1 {
                let message = format!("opaque tokens of `{name}` cannot be told from others");
                error(*index, message, "of several issuers that are asked, each needs a `prefix`".into());
            }
            continue;
        }
        let earlier = asked.iter().take(place).filter(|(_, _, other)| !other.is_empty());
        for (_, other, others) in
            earlier.filter(|(_, _, other)| prefix.starts_with(other) || other.starts_with(prefix))
        {
            let message = format!("a token that begins with `{prefix}` may be one of `{other}`: `{others}`");
            error(*index, message, "no prefix may begin with another".into());
        }
    }
}

/// Checks which tokens are the issuer's: their audience, their algorithms, and their times.
fn check_tokens(issuer: &IssuerSettings, error: &mut impl FnMut(&'static str, String, &'static str)) {
    if issuer.self_signed {
        check_account(&issuer.issuer, error);
    } else if issuer.audiences.is_empty() || issuer.audiences.iter().any(String::is_empty) {
        let message = "`audiences` is empty or holds an empty string".to_owned();
        error("audiences", message, "name the audience that tokens for this gate carry in `aud`");
    }
    // Claims about parties are in ID tokens too.
    let tells_kinds =
        |claim: &str| !["iss", "sub", "aud", "azp", "client_id", "appid", "cid"].contains(&claim);
    if issuer.audience_claim != "aud" && !issuer.required_claims.iter().any(|(claim, _)| tells_kinds(claim)) {
        let message = format!(
            "with `audience_claim: {}`, any token that the client holds would pass for an access token",
            issuer.audience_claim
        );
        error(
            "audience_claim",
            message,
            "say what makes one: `required_claims: {token_use: access}`, for example",
        );
    }
    for scope in issuer.scopes.iter().flatten() {
        // RFC 6749, section 3.3.
        let is_token = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if scope.is_empty() || !scope.bytes().all(is_token) {
            let message = format!("`{}` is not a scope", scope.escape_debug());
            error("scopes", message, "write each scope as an item of its own, without blanks");
        }
    }
    if issuer.algorithms.is_empty() {
        let message = "`algorithms` is empty".to_owned();
        error("algorithms", message, "leave it out for RS256, ES256, PS256 and EdDSA");
    }
    if issuer.clock_skew > MAX_CLOCK_SKEW {
        let message = format!("a clock skew of {:?} is more than {MAX_CLOCK_SKEW:?}", issuer.clock_skew);
        error("clock_skew", message, "synchronise the clocks: the skew prolongs every token");
    }
}

/// The email becomes part of an address that keys are fetched from.
fn check_account(email: &str, error: &mut impl FnMut(&'static str, String, &'static str)) {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'@');
    let canonical = Principal::from_email(email).is_ok_and(|principal| {
        principal.as_str().strip_prefix("serviceAccount:") == Some(email) && email.bytes().all(plain)
    });
    if !canonical {
        let message = format!("`{email}` is not the email of a service account");
        error("service_accounts", message, "write `NAME@PROJECT.iam.gserviceaccount.com`, in lower case");
    }
}

fn check_identity(rule: &IdentityRule, error: &mut impl FnMut(&'static str, String, &'static str)) {
    if let Some(pool) = &rule.subject_pool
        && !is_pool_name(pool)
    {
        let message = format!("`{}` is not the name of an identity pool", pool.escape_debug());
        let help = "write `iam.googleapis.com/locations/global/workforcePools/POOL`";
        error("subject_pool", message, help);
    }
    if !rule.attribute_mapping.is_empty() {
        if rule.subject_pool.is_none() {
            let message = "an attribute mapping needs a `subject_pool`".to_owned();
            error("attribute_mapping", message, "name the pool whose principals the issuer's callers are");
        }
        if !rule.attribute_mapping.iter().any(|(attribute, _)| *attribute == MappedAttribute::Subject) {
            let message = "the attribute mapping has no `google.subject`".to_owned();
            error(
                "attribute_mapping",
                message,
                "say who the caller is, for example `google.subject: assertion.sub`",
            );
        }
    }
    if rule.group_emails.is_some() && rule.email_domains.is_none() {
        let message = "the issuer would assert groups of any domain".to_owned();
        error("groups", message, "say whose: add `email_domains: [example.com]`");
    }
    for domain in rule.email_domains.iter().flatten() {
        let name = domain.strip_prefix("*.").unwrap_or(domain);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
        if domain != "*" && (name.is_empty() || name.starts_with('.') || !name.bytes().all(plain)) {
            let message = format!("`{domain}` is not a domain");
            error(
                "email_domains",
                message,
                "write `example.com`, `*.example.com` for those below it, or `*`",
            );
        }
    }
}

#[cfg(test)]
mod tests;
