//! Service accounts that sign their own tokens: each is an issuer of its own, with keys of its own.

use std::path::Path;

use super::IssuerSettings;
use super::keys::keys;
use super::written::WrittenIssuer;
use crate::diagnostic::{Report, Span};
use crate::document::scalar::duration;
use crate::document::{Fields, Node};

/// Reads an entry of `issuers` that names service accounts.
pub(super) fn service_accounts(
    name: &str,
    key: &Node,
    mut fields: Fields<'_>,
    base: &Path,
    report: &mut Report,
) -> Vec<WrittenIssuer> {
    let mut spans: Vec<(&'static str, Span)> = vec![("name", key.span.clone())];
    let accounts = fields.required("service_accounts", report);
    let keys_node = fields.required("keys", report);
    let skew = fields.optional("clock_skew");
    spans.extend(skew.map(|node| ("clock_skew", node.span.clone())));
    fields.finish(report);

    let skew = skew.and_then(|node| duration(node, report));
    let accounts = accounts.map(|node| node.strings(report)).unwrap_or_default();
    let Some(keys_node) = keys_node else { return Vec::new() };
    let Some(keys) = keys(keys_node, base, &mut spans, report) else { return Vec::new() };
    // With one key set for several accounts, each could sign for the others.
    if !keys.is_template() {
        report
            .error(&keys_node.span, "the service accounts would share one key set")
            .help("write `{email}` where the address of an account's keys has its email");
    }
    let issuer = |(email, item): (&str, &Node)| {
        let mut settings = IssuerSettings::service_account(name, email, &keys);
        settings.clock_skew = skew.unwrap_or(settings.clock_skew);
        let mut spans = spans.clone();
        spans.extend(["service_accounts", "issuer"].map(|field| (field, item.span.clone())));
        WrittenIssuer { settings, spans }
    };
    accounts.into_iter().map(issuer).collect()
}
