//! Security schemes and requirements, and what they ask of credentials here.
//!
//! A list of requirements means any one of them; one requirement means all that it names. google.api.AuthenticationRule can say
//! "a token with any one of these scopes" and "a token of any one of these providers, with any one of these scopes". What a
//! description says beyond that is left to a person: it never becomes a rule that asks for less.

use std::collections::BTreeSet;

use super::dialect::OpenApiVersion;
use crate::diagnostic::Report;
use crate::document::Node;
use crate::import::lookup::{as_text, entries, field, items, resolve, text, texts};
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
}

/// What an operation asks, and what a person should know of it.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) credential: Option<CredentialRule>,
    pub(super) question: Option<String>,
    pub(super) remarks: Vec<String>,
}

impl Schemes {
    pub(super) fn read(root: &Node, dialect: OpenApiVersion, report: &mut Report) -> Self {
        let found = match dialect {
            OpenApiVersion::Swagger2 => field(root, "securityDefinitions"),
            OpenApiVersion::OpenApi3 => {
                field(root, "components").and_then(|components| field(components, "securitySchemes"))
            }
        };
        let mut schemes = Self::default();
        for (name, key, node) in found.into_iter().flat_map(entries) {
            let Some(node) = resolve(root, node, report) else { continue };
            let mut scheme = scheme(name, node);
            if let SecurityScheme::Provider(provider) = &mut scheme {
                as_key_set(provider, key, report);
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

    /// What `security` of an operation asks for, or of the whole where the operation says nothing. `x_security` are the
    /// audiences that Cloud Endpoints has for it.
    pub(super) fn asked(&self, security: Option<&Node>, x_security: Option<&Node>, any_scope: bool) -> Asked {
        let Some(security) = security else {
            return Asked {
                credential: Some(CredentialRule::AnyToken),
                remarks: vec![
                    "the description says nothing of security: a valid token is asked for".to_owned(),
                ],
                ..Asked::default()
            };
        };
        let alternatives: Vec<Alternative> =
            items(security).iter().map(|node| self.alternative(node, x_security)).collect();
        if alternatives.is_empty() || alternatives.iter().any(|alternative| alternative.is_empty) {
            return Asked {
                credential: Some(CredentialRule::Optional),
                remarks: vec![
                    "the description asks for no credential: bind the permission to `allUsers` to open it"
                        .to_owned(),
                ],
                ..Asked::default()
            };
        }
        let remarks: BTreeSet<String> =
            alternatives.iter().flat_map(|alternative| alternative.remarks.clone()).collect();
        let mut asked = Asked { remarks: remarks.into_iter().collect(), ..Asked::default() };
        match together(&alternatives, any_scope) {
            Ok(credential) => asked.credential = Some(credential),
            Err(question) => asked.question = Some(question),
        }
        asked
    }

    fn alternative(&self, node: &Node, x_security: Option<&Node>) -> Alternative {
        let mut alternative =
            Alternative { is_empty: entries(node).next().is_none(), ..Alternative::default() };
        for (name, _, scopes) in entries(node) {
            match self.schemes.iter().find(|(known, _)| known == name).map(|(_, scheme)| scheme) {
                Some(SecurityScheme::Token) => alternative.scopes.extend(texts(scopes)),
                Some(SecurityScheme::Provider(provider)) => {
                    alternative.scopes.extend(texts(scopes));
                    let audiences = x_security.map(|node| audiences_of(node, name)).unwrap_or_default();
                    alternative.providers.push(Requirement { provider: provider.id.clone(), audiences });
                }
                Some(SecurityScheme::Other(what)) => {
                    alternative
                        .remarks
                        .push(format!("`{name}` ({what}) is not checked: a valid token is asked for"));
                }
                None => alternative.unknown = Some(name.to_owned()),
            }
        }
        alternative
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
    if let Some(provider) = provider(name, node) {
        return SecurityScheme::Provider(provider);
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
        _ => SecurityScheme::Other("a scheme of an unknown type"),
    }
}

/// `x-google-issuer` and its siblings; `x-google-auth` of OpenAPI 3.
fn provider(name: &str, node: &Node) -> Option<Provider> {
    let id = name.to_owned();
    if let Some(issuer) = text(node, "x-google-issuer") {
        let jwks_uri = text(node, "x-google-jwks_uri").map(str::to_owned);
        let audiences = field(node, "x-google-audiences").map(texts).unwrap_or_default();
        return Some(Provider { id, issuer: issuer.to_owned(), jwks_uri, audiences });
    }
    let auth = field(node, "x-google-auth")?;
    let issuer = text(auth, "issuer")?.to_owned();
    let jwks_uri = text(auth, "jwksUri").map(str::to_owned);
    let audiences = field(auth, "audiences").or(field(auth, "audience")).map(texts).unwrap_or_default();
    Some(Provider { id, issuer, jwks_uri, audiences })
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

/// `x-security: [{NAME: {audiences: [..]}}]`.
fn audiences_of(x_security: &Node, name: &str) -> Vec<String> {
    let found = items(x_security)
        .iter()
        .filter_map(|node| field(node, name))
        .filter_map(|node| field(node, "audiences"));
    found.flat_map(|node| items(node).iter().filter_map(as_text).map(str::to_owned)).collect()
}
