//! `authentication.providers` of a service file, and the `requirements` that name them (google/api/auth.proto).
//!
//! A provider says whose tokens a method takes. It does not make the gate trust keys: a policy author writes it, and the
//! operator says under `issuers` which keys are whose. The two meet in `iss`.

use super::split_list;
use crate::diagnostic::{Place, Report, Span};
use crate::document::{Node, Spelling, nearest};

/// Whose tokens a method can ask for (google.api.AuthProvider).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticationProvider {
    /// What requirements call it.
    pub id: String,
    /// `iss` of its tokens, to the byte.
    pub issuer: String,
    /// Where its keys are, where the file says.
    pub jwks_uri: Option<String>,
    /// A token needs one of these in `aud`; empty for those of the service's own name.
    pub audiences: Vec<String>,
    /// Where its id is written.
    pub place: Place,
}

/// One way to satisfy a rule: a token of a provider (google.api.AuthRequirement).
#[derive(Clone, Debug)]
pub struct AuthenticationRequirement {
    /// The provider's id.
    pub provider: String,
    /// The audiences in place of the provider's own; may be empty.
    pub audiences: Vec<String>,
    /// Where the provider is named.
    pub span: Span,
}

/// Reads `providers`. Those with mistakes are left out.
pub(super) fn providers(node: &Node, report: &mut Report) -> Vec<AuthenticationProvider> {
    let mut providers: Vec<AuthenticationProvider> = Vec::new();
    for node in node.list(report).unwrap_or_default() {
        let Some((provider, span)) = provider(node, report) else { continue };
        if providers.iter().any(|known| known.id == provider.id) {
            report
                .error(&span, format!("there are two providers `{}`", provider.id))
                .help("keep the one that is meant");
            continue;
        }
        providers.push(provider);
    }
    providers
}

fn provider(node: &Node, report: &mut Report) -> Option<(AuthenticationProvider, Span)> {
    let mut fields = node.fields("a google.api.AuthProvider", Spelling::Proto, report)?;
    let id = fields.required("id", report);
    let issuer = fields.required("issuer", report);
    let jwks_uri = fields.optional_string("jwks_uri", report);
    let audiences = fields.optional("audiences").map(|node| audiences(node, report)).unwrap_or_default();
    if let Some(url) = fields.optional("authorization_url") {
        report
            .note(&url.span, "`authorization_url` is not used: the gate sends no browser to log in")
            .help("clients bring a token");
    }
    let locations = fields.optional("jwt_locations");
    fields.finish(report);
    if let Some(locations) = locations {
        tell_of_locations(locations, report);
    }
    let id_node = id?;
    let (id, issuer) = (id_node.string(report)?, issuer?.string(report)?);
    let provider = AuthenticationProvider {
        id: id.to_owned(),
        issuer: issuer.to_owned(),
        jwks_uri: jwks_uri.map(str::to_owned),
        audiences,
        place: id_node.span.place(),
    };
    Some((provider, id_node.span.clone()))
}

/// A comma-separated list.
fn audiences(node: &Node, report: &mut Report) -> Vec<String> {
    node.string(report).map(|text| split_list(text).map(str::to_owned).collect()).unwrap_or_default()
}

/// A token is read in one place, so that no two readers take two tokens for the caller's.
fn tell_of_locations(node: &Node, report: &mut Report) {
    let mut is_elsewhere = false;
    for location in node.list(report).unwrap_or_default() {
        let Some(mut fields) = location.fields("a google.api.JwtLocation", Spelling::Proto, report) else {
            continue;
        };
        let header = fields.optional_string("header", report);
        let prefix = fields.optional_string("value_prefix", report);
        is_elsewhere |= fields.optional("query").is_some() || fields.optional("cookie").is_some();
        fields.finish(report);
        is_elsewhere |= header.is_some_and(|name| !name.eq_ignore_ascii_case("authorization"));
        is_elsewhere |= prefix.is_some_and(|prefix| !prefix.trim_end().eq_ignore_ascii_case("bearer"));
    }
    if is_elsewhere {
        report
            .warning(&node.span, "a token is read from `Authorization: Bearer` alone, wherever `jwt_locations` looks")
            .help("let clients send it there: a token in a URL ends up in logs, and in other fields it has two readers");
    }
}

/// Reads `requirements`. `None` where one of them is wrong: without it, the rule would ask for something else.
pub(super) fn requirements(
    node: &Node,
    providers: &[AuthenticationProvider],
    report: &mut Report,
) -> Option<Vec<AuthenticationRequirement>> {
    let read: Vec<Option<AuthenticationRequirement>> =
        node.list(report)?.iter().map(|node| requirement(node, providers, report)).collect();
    read.into_iter().collect()
}

fn requirement(
    node: &Node,
    providers: &[AuthenticationProvider],
    report: &mut Report,
) -> Option<AuthenticationRequirement> {
    let mut fields = node.fields("a google.api.AuthRequirement", Spelling::Proto, report)?;
    let provider = fields.required("provider_id", report);
    let audiences = fields.optional("audiences").map(|node| audiences(node, report)).unwrap_or_default();
    fields.finish(report);
    let node = provider?;
    let provider = node.string(report)?;
    if !providers.iter().any(|known| known.id == provider) {
        let diagnostic = report.error(&node.span, format!("there is no provider `{provider}`"));
        match nearest(provider, providers.iter().map(|known| known.id.as_str())) {
            Some(known) => diagnostic.help(format!("did you mean `{known}`?")),
            None => diagnostic
                .help("describe it under `authentication.providers`, with its `id`, `issuer` and `jwks_uri`"),
        };
        return None;
    }
    Some(AuthenticationRequirement { provider: provider.to_owned(), audiences, span: node.span.clone() })
}
