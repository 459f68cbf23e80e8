//! Security schemes and requirements, and what they ask of credentials here.
//!
//! A list of requirements means any one of them; one requirement means all that it names. google.api.AuthenticationRule can say
//! "a token with any one of these scopes" and "a token of any one of these providers, with any one of these scopes". What a
//! description says beyond that, or says in a form that OpenAPI does not have, is left to a person: it never becomes a rule
//! that asks for less.

use std::collections::BTreeSet;

use super::dialect::OpenApiVersion;
use super::plain::{Unclear, listed, listed_or_joined};
use crate::diagnostic::{Report, Span};
use crate::document::{Node, Value};
use crate::import::lookup::{References, as_text, entries, field, items, present, text};
use crate::import::{CredentialRule, Provider, Requirement};

/// The schemes of a description.
#[derive(Debug, Default)]
pub(super) struct Schemes {
    schemes: Vec<(String, SecurityScheme)>,
}

#[derive(Debug)]
enum SecurityScheme {
    /// Bearer tokens of any issuer.
    Token,
    /// Bearer tokens of one.
    Provider(Provider),
    /// Something else, which the gate does not check.
    Other(&'static str),
    /// What cannot be read.
    Unclear(Unclear),
}

/// The nodes that say what an operation asks of credentials.
#[derive(Clone, Copy, Debug)]
pub(super) struct Security<'n> {
    /// `security` of the operation, or of the whole where the operation says nothing.
    pub(super) requirements: Option<&'n Node>,
    /// `x-security`, the audiences that Cloud Endpoints has for it.
    pub(super) x_security: Option<&'n Node>,
}

impl<'n> Security<'n> {
    /// What an operation says, or else the whole. A key without a value says something, and nothing that can be read.
    pub(super) fn of(root: &'n Node, operation: &'n Node) -> Self {
        let here_or_above = |name| present(operation, name).or_else(|| present(root, name));
        Self { requirements: here_or_above("security"), x_security: here_or_above("x-security") }
    }
}

/// What an operation asks, and what a person should know of it.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) credential: Option<CredentialRule>,
    pub(super) question: Option<String>,
    /// Where that is written which raises the question.
    pub(super) at: Option<Span>,
    pub(super) remarks: Vec<String>,
}

impl Schemes {
    pub(super) fn read<'n>(
        root: &'n Node,
        dialect: OpenApiVersion,
        references: &References<'n>,
        report: &mut Report,
    ) -> Self {
        let found = match dialect {
            OpenApiVersion::Swagger2 => field(root, "securityDefinitions"),
            OpenApiVersion::OpenApi3 => {
                field(root, "components").and_then(|components| field(components, "securitySchemes"))
            }
        };
        let mut schemes = Self::default();
        for (name, key, node) in found.into_iter().flat_map(entries) {
            let Some(node) = references.resolve(node, report) else { continue };
            let mut scheme = scheme(name, node);
            if let SecurityScheme::Provider(provider) = &mut scheme {
                as_key_set(provider, key, report);
            }
            if let SecurityScheme::Unclear(unclear) = &scheme {
                report
                    .warning(&unclear.span, format!("`{name}` cannot be read: {}", unclear.why))
                    .help("an operation that asks for it is not exposed");
            }
            if let SecurityScheme::Other(what) = scheme {
                report
                    .warning(&key.span, format!("`{name}`: {what} is not checked by the gate"))
                    .help("where an operation asks for it alone, a bearer token is asked for in its place; the backend gets \
                           what clients send");
            }
            schemes.schemes.push((name.to_owned(), scheme));
        }
        schemes
    }

    pub(super) fn providers(&self) -> impl Iterator<Item = &Provider> {
        self.schemes.iter().filter_map(|(_, scheme)| match scheme {
            SecurityScheme::Provider(provider) => Some(provider),
            _ => None,
        })
    }

    /// What an operation asks for.
    pub(super) fn asked(&self, security: Security<'_>, any_scope: bool) -> Asked {
        self.understood(security, any_scope).unwrap_or_else(|Unclear { why, span }| Asked {
            question: Some(why),
            at: Some(span),
            ..Asked::default()
        })
    }

    fn understood(&self, security: Security<'_>, any_scope: bool) -> Result<Asked, Unclear> {
        let Some(requirements) = security.requirements else {
            all_asked_for(security.x_security, &BTreeSet::new())?;
            return Ok(Asked {
                credential: Some(CredentialRule::AnyToken),
                remarks: vec![
                    "the description says nothing of security: a valid token is asked for".to_owned(),
                ],
                ..Asked::default()
            });
        };
        if !matches!(requirements.value, Value::List(_)) {
            let why = format!("its `security` is not a list of requirements but {}", requirements.kind());
            return Err(Unclear::new(requirements, why));
        }
        let read = items(requirements).iter().map(|node| self.alternative(node, security.x_security));
        let alternatives: Vec<Alternative> = read.collect::<Result<_, _>>()?;
        let providers = alternatives.iter().flat_map(|alternative| &alternative.providers);
        all_asked_for(security.x_security, &providers.map(|one| one.provider.as_str()).collect())?;
        if alternatives.is_empty() || alternatives.iter().any(|alternative| alternative.is_empty) {
            return Ok(Asked {
                credential: Some(CredentialRule::Optional),
                remarks: vec![
                    "the description asks for no credential: bind the permission to `allUsers` to open it"
                        .to_owned(),
                ],
                ..Asked::default()
            });
        }
        let remarks: BTreeSet<String> =
            alternatives.iter().flat_map(|alternative| alternative.remarks.clone()).collect();
        let credential = together(&alternatives, any_scope).map_err(|why| Unclear::new(requirements, why))?;
        Ok(Asked { credential: Some(credential), remarks: remarks.into_iter().collect(), ..Asked::default() })
    }

    fn alternative(&self, node: &Node, x_security: Option<&Node>) -> Result<Alternative, Unclear> {
        let Value::Map(schemes) = &node.value else {
            let why =
                format!("a requirement of its `security` is not a mapping of schemes but {}", node.kind());
            return Err(Unclear::new(node, why));
        };
        let mut alternative = Alternative { is_empty: schemes.is_empty(), ..Alternative::default() };
        for (key, scopes) in schemes {
            let Some(name) = as_text(key) else {
                let why =
                    format!("a scheme of its `security` is named by {}, and not by a string", key.kind());
                return Err(Unclear::new(key, why));
            };
            let listed = listed(scopes, &format!("the scopes of `{name}`"))?;
            match self.schemes.iter().find(|(known, _)| known == name).map(|(_, scheme)| scheme) {
                Some(SecurityScheme::Token) => alternative.scopes.extend(listed),
                Some(SecurityScheme::Provider(provider)) => {
                    alternative.scopes.extend(listed);
                    let audiences = x_security.map_or(Ok(Vec::new()), |node| audiences_of(node, name))?;
                    alternative.providers.push(Requirement { provider: provider.id.clone(), audiences });
                }
                Some(SecurityScheme::Other(what)) => {
                    alternative
                        .remarks
                        .push(format!("`{name}` ({what}) is not checked: a valid token is asked for"));
                }
                Some(SecurityScheme::Unclear(unclear)) => return Err(unclear.clone()),
                None => alternative.unknown = Some(name.to_owned()),
            }
        }
        Ok(alternative)
    }
}

/// One requirement of a list.
#[derive(Debug, Default)]
struct Alternative {
    is_empty: bool,
    scopes: BTreeSet<String>,
    providers: Vec<Requirement>,
    remarks: Vec<String>,
    unknown: Option<String>,
}

/// All of them as one credential.
fn together(alternatives: &[Alternative], any_scope: bool) -> Result<CredentialRule, String> {
    if let Some(name) = alternatives.iter().find_map(|alternative| alternative.unknown.as_ref()) {
        return Err(format!("it asks for `{name}`, which no security scheme describes"));
    }
    if alternatives.iter().any(|alternative| alternative.providers.len() > 1) {
        return Err(
            "it asks for the tokens of two issuers at one time, and a request has one token".to_owned()
        );
    }
    if let Some(several) = alternatives.iter().find(|alternative| alternative.scopes.len() > 1 && !any_scope)
    {
        let scopes =
            several.scopes.iter().map(|scope| format!("`{scope}`")).collect::<Vec<_>>().join(" and ");
        return Err(format!(
            "it asks for {scopes} together, and here any one scope of a list will do (`--any-scope`)"
        ));
    }
    let (with, without): (Vec<&Alternative>, Vec<&Alternative>) =
        alternatives.iter().partition(|alternative| !alternative.providers.is_empty());
    // A token of any issuer will do: then the other alternatives ask for more than enough.
    if without.iter().any(|alternative| alternative.scopes.is_empty()) {
        return Ok(CredentialRule::AnyToken);
    }
    let union = |of: &[&Alternative]| {
        let scopes: BTreeSet<&String> = of.iter().flat_map(|alternative| &alternative.scopes).collect();
        scopes.into_iter().cloned().collect::<Vec<String>>()
    };
    if with.is_empty() {
        return Ok(CredentialRule::Scopes(union(&without)));
    }
    let alike =
        with.iter().all(|alternative| with.first().is_some_and(|first| first.scopes == alternative.scopes));
    if !without.is_empty() || !alike {
        return Err("it asks for one scope of one issuer or another scope of another one".to_owned());
    }
    let requirements = with.iter().flat_map(|alternative| alternative.providers.clone()).collect();
    Ok(CredentialRule::Providers { requirements, scopes: union(&with) })
}

fn scheme(name: &str, node: &Node) -> SecurityScheme {
    match provider(name, node) {
        Ok(Some(provider)) => return SecurityScheme::Provider(provider),
        Ok(None) => {}
        Err(unclear) => return SecurityScheme::Unclear(unclear),
    }
    match text(node, "type") {
        Some("oauth2" | "openIdConnect") => SecurityScheme::Token,
        Some("http") => match text(node, "scheme").map(str::to_ascii_lowercase).as_deref() {
            Some("bearer" | "dpop") => SecurityScheme::Token,
            _ => SecurityScheme::Other("HTTP authentication other than Bearer"),
        },
        Some("basic") => SecurityScheme::Other("a password"),
        Some("apiKey") => SecurityScheme::Other("an API key"),
        Some("mutualTLS") => SecurityScheme::Other("a client certificate (see `client_ca` of listeners)"),
        _ => SecurityScheme::Unclear(Unclear::new(node, format!("the type of `{name}` is unknown"))),
    }
}

/// `x-google-issuer` and its siblings; `x-google-auth` of OpenAPI 3. `None` where it has neither.
fn provider(name: &str, node: &Node) -> Result<Option<Provider>, Unclear> {
    let id = name.to_owned();
    let text_of = |node: &Node, key: &str| match present(node, key) {
        None => Ok(None),
        Some(found) => as_text(found).map(|text| Some(text.to_owned())).ok_or_else(|| {
            Unclear::new(found, format!("`{key}` of `{name}` is not a string but {}", found.kind()))
        }),
    };
    let audiences_of = |found: Option<&Node>| {
        found.map_or(Ok(Vec::new()), |node| listed_or_joined(node, &format!("the audiences of `{name}`")))
    };
    if let Some(issuer) = text_of(node, "x-google-issuer")? {
        let jwks_uri = text_of(node, "x-google-jwks_uri")?;
        let audiences = audiences_of(present(node, "x-google-audiences"))?;
        return Ok(Some(Provider { id, issuer, jwks_uri, audiences }));
    }
    let Some(auth) = present(node, "x-google-auth") else { return Ok(None) };
    let Some(issuer) = text_of(auth, "issuer")? else {
        return Err(Unclear::new(auth, format!("`x-google-auth` of `{name}` names no issuer")));
    };
    let jwks_uri = text_of(auth, "jwksUri")?;
    let audiences = audiences_of(present(auth, "audiences").or_else(|| present(auth, "audience")))?;
    Ok(Some(Provider { id, issuer, jwks_uri, audiences }))
}

/// Google publishes the keys of an account as certificates, which ESPv2 reads too, and as a JWK set.
fn as_key_set(provider: &mut Provider, key: &Node, report: &mut Report) {
    let Some((_, account)) = provider.jwks_uri.as_deref().and_then(|url| url.split_once("/metadata/x509/"))
    else {
        return;
    };
    let url = format!("https://www.googleapis.com/service_accounts/v1/jwk/{account}");
    report
        .note(
            &key.span,
            format!("`{}`: its key URL leads to certificates, which the gate does not read", provider.id),
        )
        .help(format!("the same keys as a JWK set, which is written in its place: {url}"));
    provider.jwks_uri = Some(url);
}

/// What `x-security: [{NAME: {audiences: [..]}}]` has for each name.
fn x_requirements(x_security: &Node) -> Result<Vec<(&str, &Node)>, Unclear> {
    let unreadable =
        |node| Unclear::new(node, "its `x-security` is not a list of `{NAME: {audiences: [..]}}`");
    let Value::List(items) = &x_security.value else { return Err(unreadable(x_security)) };
    let mut found = Vec::new();
    for item in items {
        let Value::Map(schemes) = &item.value else { return Err(unreadable(item)) };
        for (key, value) in schemes {
            let name = as_text(key).ok_or_else(|| unreadable(key))?;
            if !matches!(value.value, Value::Map(_)) {
                return Err(unreadable(value));
            }
            found.push((name, value));
        }
    }
    Ok(found)
}

fn audiences_of(x_security: &Node, name: &str) -> Result<Vec<String>, Unclear> {
    let mut audiences = Vec::new();
    for (_, value) in x_requirements(x_security)?.into_iter().filter(|(known, _)| *known == name) {
        if let Some(node) = present(value, "audiences") {
            audiences.extend(listed(node, &format!("the audiences of `{name}`"))?);
        }
    }
    Ok(audiences)
}

/// Whether `security` asks for each provider that `x-security` has audiences for: they would be passed over else.
fn all_asked_for(x_security: Option<&Node>, providers: &BTreeSet<&str>) -> Result<(), Unclear> {
    let Some(x_security) = x_security else { return Ok(()) };
    match x_requirements(x_security)?.into_iter().find(|(name, _)| !providers.contains(name)) {
        None => Ok(()),
        Some((name, value)) => {
            let why =
                format!("its `x-security` names `{name}`, and no `security` asks for tokens of that issuer");
            Err(Unclear::new(value, why))
        }
    }
}
