//! The `assertion` of the file: how the gate signs assertions about the caller for backends.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{AssertionSettings, read_key};
use crate::diagnostic::Report;
use crate::document::location::located;
use crate::document::scalar::duration;
use crate::document::{Node, Spelling, Value};
use crate::signing::SigningKey;

/// Reads `assertion`. `trusted` are the issuers whose tokens are believed.
pub(crate) fn assertion<'i>(
    node: &Node,
    base: &Path,
    mut trusted: impl Iterator<Item = &'i str>,
    report: &mut Report,
) -> Option<AssertionSettings> {
    let mut fields = node.fields("`assertion`", Spelling::Exact, report)?;
    let issuer = fields.required("issuer", report);
    let mut files = Vec::new();
    let keys = fields.optional("keys").map(|node| keys(node, base, &mut files, report)).unwrap_or_default();
    let lifetime = fields.optional("lifetime").and_then(|node| lifetime(node, report));
    let jwks_path = fields.optional("jwks_path").and_then(|node| {
        let path = path(node, report)?;
        Some((path, node.span.clone()))
    });
    fields.finish(report);

    let node = issuer?;
    let issuer = node.string(report)?;
    if !is_issuer(issuer) {
        report
            .error(&node.span, format!("`{issuer}` is not an issuer"))
            .help("write a URL that begins with `https://` and has neither a query nor a fragment: `https://gate.example.com`");
    } else if trusted.any(|trusted| trusted == issuer) {
        report.error(&node.span, format!("`{issuer}` is an issuer whose tokens are believed here")).help(
            "give the gate a name of its own: a backend that trusts both could not tell their tokens apart",
        );
    }
    Some(AssertionSettings {
        issuer: issuer.to_owned(),
        keys,
        lifetime: lifetime.unwrap_or(AssertionSettings::DEFAULT_LIFETIME),
        jwks_path,
        files,
    })
}

fn keys(
    node: &Node,
    base: &Path,
    files: &mut Vec<std::path::PathBuf>,
    report: &mut Report,
) -> Vec<Arc<SigningKey>> {
    let items = node.strings(report);
    if matches!(&node.value, Value::List(items) if items.is_empty()) {
        report.error(&node.span, "there is no key to sign with").help(
            "list files of private keys, the one that signs first; without `keys`, one is made at start",
        );
    }
    let mut keys: Vec<Arc<SigningKey>> = Vec::new();
    for (written, item) in items {
        let path = located(base, written);
        match read_key(&path) {
            Ok(key) if keys.iter().any(|other| other.kid() == key.kid()) => {
                report
                    .error(&item.span, format!("two keys are named `{}`", key.kid()))
                    .help("backends find a key by its name: keep one of the two, or give each its own `kid`");
            }
            Ok(key) => keys.push(Arc::new(key)),
            Err(flaw) => {
                report.error(&item.span, flaw.message).help(flaw.help);
            }
        }
        files.push(path);
    }
    keys
}

fn lifetime(node: &Node, report: &mut Report) -> Option<Duration> {
    let lifetime = duration(node, report)?;
    let bounds = AssertionSettings::SHORTEST_LIFETIME..=AssertionSettings::LONGEST_LIFETIME;
    if !bounds.contains(&lifetime) {
        report
            .error(&node.span, "an assertion is good for 10s to 10m")
            .help("leave it out for 60s: the gate signs anew as long as its caller calls");
    }
    Some(lifetime)
}

/// A path with one spelling only, so that comparing bytes is enough.
fn path(node: &Node, report: &mut Report) -> Option<crate::http::Path> {
    let text = node.string(report)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/');
    let path = crate::http::Path::parse(text).ok().filter(|_| text.len() > 1 && text.bytes().all(plain));
    if path.is_none() {
        report.error(&node.span, format!("`{text}` is not a path to serve keys under")).help(
            "write letters, digits, `-`, `.`, `_` and `~` between slashes: `/.well-known/opgate/jwks.json`",
        );
    }
    path
}

/// As RFC 8414, section 2, has issuers.
fn is_issuer(text: &str) -> bool {
    let has_host = |uri: ::http::Uri| uri.host().is_some_and(|host| !host.is_empty());
    text.starts_with("https://")
        && !text.contains(['?', '#', '@'])
        && text.parse::<::http::Uri>().is_ok_and(has_host)
}
