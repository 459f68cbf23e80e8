//! The providers that service files ask for, against the issuers of the configuration.
//!
//! A service file names whose tokens a method takes; which keys are whose, the operator says alone. So a provider is
//! matched with the issuer of the same `iss`, and one without a match accepts no token. That is told, with what to add.

use std::path::Path;

use super::Config;
use crate::authn::IssuerSettings;
use crate::catalog::{Catalog, TokenRequirement};
use crate::diagnostic::Report;

/// Warns of providers whose tokens no caller can have.
pub(super) fn check(config: &Config, catalog: &Catalog, report: &mut Report) {
    let mut told: Vec<&TokenRequirement> = Vec::new();
    for method in catalog.methods() {
        for required in &method.requirements {
            if told.contains(&required) {
                continue;
            }
            told.push(required);
            let issuers = config.issuers.iter().map(|issuer| &issuer.settings);
            match issuers.into_iter().find(|issuer| issuer.issuer == required.provider.issuer) {
                None => warn_of_stranger(required, &method.name, report),
                Some(issuer) => warn_of_audiences(required, issuer, report),
            }
        }
    }
}

fn warn_of_stranger(required: &TokenRequirement, method: &str, report: &mut Report) {
    let provider = &required.provider;
    report
        .file_warning(
            Path::new(&*provider.place.file),
            format!(
                "the provider `{}` (line {}) has the issuer `{}`, which the configuration does not name: no token that \
                 `{method}` takes is accepted",
                provider.id, provider.place.line, provider.issuer
            ),
        )
        .help(format!("if its keys are to be trusted, add to the configuration:\n{}", proposal(required)));
}

/// What an operator can paste.
fn proposal(required: &TokenRequirement) -> String {
    let provider = &required.provider;
    let keys = match &provider.jwks_uri {
        Some(url) => format!("{{url: {}}}", quoted(url)),
        None => "{discovery: openid}".to_owned(),
    };
    let name = slug(&provider.id);
    let audiences: Vec<String> = required.audiences.iter().map(|audience| quoted(audience)).collect();
    format!(
        "issuers:\n  {name}:\n    issuer: {}\n    audiences: [{}]\n    keys: {keys}\n    subject_pool: \
         iam.googleapis.com/locations/global/workforcePools/{name}\n    attribute_mapping: {{google.subject: \
         assertion.sub}}",
        quoted(&provider.issuer),
        audiences.join(", "),
    )
}

/// A text as YAML reads it back.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// An id as the name of a pool: lower-case letters, digits and `-`.
fn slug(id: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let slug: String = id.chars().map(plain).collect();
    let slug = slug.trim_matches('-');
    if slug.is_empty() { "provider".to_owned() } else { slug.to_owned() }
}

fn warn_of_audiences(required: &TokenRequirement, issuer: &IssuerSettings, report: &mut Report) {
    // A service account's own tokens name any audience: the configuration has none for it.
    let is_shared =
        issuer.self_signed || required.audiences.iter().any(|audience| issuer.audiences.contains(audience));
    if is_shared {
        return;
    }
    let provider = &required.provider;
    report
        .file_warning(
            Path::new(&*provider.place.file),
            format!(
                "the provider `{}` (line {}) takes tokens for `{}`, and the issuer `{}` of the configuration only those \
                 for `{}`: a token would have to be for both",
                provider.id,
                provider.place.line,
                required.audiences.join("` or `"),
                issuer.name,
                issuer.audiences.join("` or `"),
            ),
        )
        .help("write one audience in both places: `audiences` of the provider, `audiences` of the issuer");
}
