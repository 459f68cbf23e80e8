//! The `issuers` of the file, as the operator writes them.

use std::path::Path;

use super::dpop::possession;
use super::proof::proof;
use super::service_accounts::service_accounts;
use super::written::WrittenIssuer;
use super::{Algorithm, IdentityRule, IssuerSettings, MappedAttribute};
use crate::diagnostic::{Report, Span};
use crate::document::scalar::{choice, duration};
use crate::document::{Fields, Node, Spelling};

/// Reads `issuers`.
///
/// The meaning of issuers' settings is checked where they are used ([`crate::authn::Authenticator::load`]); the spans
/// let those findings point here.
pub(crate) fn issuers(node: &Node, base: &Path, report: &mut Report) -> Vec<WrittenIssuer> {
    let entries = node.entries(report).unwrap_or_default();
    if entries.is_empty() {
        report.error(&node.span, "no issuer is trusted").help("without one, no token can be accepted");
    }
    let mut issuers = Vec::new();
    for (name, key, node) in entries {
        let Some(fields) = node.fields("an issuer", Spelling::Exact, report) else { continue };
        if fields.key("service_accounts").is_some() {
            issuers.extend(service_accounts(name, key, fields, base, report));
        } else {
            issuers.extend(issuer(name, key, fields, base, report));
        }
    }
    issuers
}

fn issuer(
    name: &str,
    key: &Node,
    mut fields: Fields<'_>,
    base: &Path,
    report: &mut Report,
) -> Option<WrittenIssuer> {
    let mut spans: Vec<(&'static str, Span)> = vec![("name", key.span.clone())];
    let mut noted = |field: &'static str, node: &Node| spans.push((field, node.span.clone()));

    let issuer = fields.required("issuer", report).inspect(|node| noted("issuer", node));
    let audiences = fields.required("audiences", report).inspect(|node| noted("audiences", node));
    let scopes = fields.optional("scopes").inspect(|node| noted("scopes", node));
    let algorithms_node = fields.optional("algorithms").inspect(|node| noted("algorithms", node));
    let skew = fields.optional("clock_skew").inspect(|node| noted("clock_skew", node));
    let token_types = fields.optional("token_types");
    let subject_pool = fields.optional("subject_pool").inspect(|node| noted("subject_pool", node));
    let unverified = fields.optional("accept_unverified_email");
    let email_domains = fields.optional("email_domains").inspect(|node| noted("email_domains", node));
    let groups = fields.optional("groups").inspect(|node| noted("groups", node));
    let mapping = fields.optional("attribute_mapping").inspect(|node| noted("attribute_mapping", node));
    let condition = fields.optional("attribute_condition").inspect(|node| noted("attribute_condition", node));
    let bound = fields.optional("proof_of_possession").inspect(|node| noted("proof_of_possession", node));
    let proof = proof(&mut fields, base, &mut spans, report);
    fields.finish(report);

    let strings = |node: &Node, report: &mut Report| -> Vec<String> {
        node.strings(report).into_iter().map(|(text, _)| text.to_owned()).collect()
    };
    let issuer = issuer.and_then(|node| node.string(report));
    let audiences = audiences.map(|node| strings(node, report));
    let algorithms = algorithms_node.map(|node| algorithms(node, report));
    let settings = IssuerSettings {
        name: name.to_owned(),
        issuer: issuer?.to_owned(),
        audiences: audiences?,
        proof: proof?,
        scopes: scopes.map(|node| strings(node, report)),
        algorithms: algorithms.unwrap_or_else(|| Algorithm::DEFAULT.to_vec()),
        clock_skew: skew
            .and_then(|node| duration(node, report))
            .unwrap_or(IssuerSettings::DEFAULT_CLOCK_SKEW),
        token_types: token_types.map(|node| strings(node, report)).unwrap_or_default(),
        identity: IdentityRule {
            subject_pool: subject_pool.and_then(|node| node.string(report)).map(str::to_owned),
            accept_unverified_email: unverified.and_then(|node| node.boolean(report)).unwrap_or(false),
            email_domains: email_domains.map(|node| strings(node, report)),
            group_emails: groups.and_then(|node| group_emails(node, report)),
            attribute_mapping: mapping.map(|node| attribute_mapping(node, report)).unwrap_or_default(),
            attribute_condition: condition.and_then(|node| node.string(report)).map(str::to_owned),
        },
        possession: bound.map(|node| possession(node, report)).unwrap_or_default(),
        self_signed: false,
    };
    Some(WrittenIssuer { settings, spans })
}

/// `{claim: NAME, as: group}`.
fn group_emails(node: &Node, report: &mut Report) -> Option<String> {
    let mut fields = node.fields("`groups`", Spelling::Exact, report)?;
    let claim = fields.required("claim", report);
    let kind = fields.required("as", report);
    fields.finish(report);
    choice(kind?, &[("group", ())], report)?;
    claim?.string(report).map(str::to_owned)
}

fn attribute_mapping(node: &Node, report: &mut Report) -> Vec<(MappedAttribute, String)> {
    let mut mapping = Vec::new();
    for (name, key, expression) in node.entries(report).unwrap_or_default() {
        match MappedAttribute::parse(name) {
            Some(attribute) => {
                mapping.extend(expression.string(report).map(|text| (attribute, text.to_owned())));
            }
            None => {
                report
                    .error(&key.span, format!("`{name}` cannot be mapped"))
                    .help("map `google.subject`, `google.groups` and `attribute.NAME`");
            }
        }
    }
    mapping
}

fn algorithms(node: &Node, report: &mut Report) -> Vec<Algorithm> {
    let mut algorithms = Vec::new();
    let items = node.strings(report);
    let none_written = items.is_empty();
    for (text, item) in items {
        match text.parse::<Algorithm>() {
            Ok(algorithm) => algorithms.push(algorithm),
            Err(error) => {
                report
                    .error(&item.span, error.to_string())
                    .help("shared-secret algorithms and `none` are never accepted");
            }
        }
    }
    // A list that is empty because no item is good has been reported already.
    if algorithms.is_empty() && !none_written { Algorithm::DEFAULT.to_vec() } else { algorithms }
}
