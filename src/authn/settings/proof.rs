//! How an issuer's tokens are verified: with its keys, or by asking it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Proof;
use super::keys::keys;
use crate::authn::{ClientAuthentication, Dialect, TokenEndpoint};
use crate::diagnostic::{Report, Span};
use crate::document::location::located;
use crate::document::scalar::{choice, duration};
use crate::document::{Fields, Node, Spelling};

/// Where the fields of an issuer stand.
type Spans = Vec<(&'static str, Span)>;

/// Reads the one of `keys`, `introspection` and `tokeninfo` that an issuer has.
pub(super) fn proof(
    fields: &mut Fields<'_>,
    base: &Path,
    spans: &mut Spans,
    report: &mut Report,
) -> Option<Proof> {
    let signed = fields.optional("keys");
    let introspected = fields.optional("introspection");
    let described = fields.optional("tokeninfo");
    let mut given = [signed, introspected, described].into_iter().flatten();
    let (Some(_), second) = (given.next(), given.next()) else {
        report
            .error(fields.span(), "the issuer does not say how its tokens are verified")
            .help("add `keys: …` for JWTs, `introspection: …` or `tokeninfo: …` for opaque tokens");
        return None;
    };
    if let Some(second) = second {
        report
            .error(&second.span, "an issuer's tokens are verified in one way")
            .help("keep one of `keys`, `introspection` and `tokeninfo`");
        return None;
    }
    if let Some(node) = signed {
        spans.push(("keys", node.span.clone()));
        return keys(node, base, spans, report).map(Proof::Signature);
    }
    let endpoint = match (introspected, described) {
        (Some(node), _) => introspection(node, base, spans, report),
        (None, node) => tokeninfo(node?, base, spans, report),
    };
    for name in ["algorithms", "token_types"] {
        if let Some(key) = fields.key(name) {
            report
                .error(&key.span, format!("`{name}` is about JWTs"))
                .help("leave it out: this issuer is asked about opaque tokens");
        }
    }
    endpoint.map(Proof::Endpoint)
}

fn introspection(node: &Node, base: &Path, spans: &mut Spans, report: &mut Report) -> Option<TokenEndpoint> {
    let mut fields = node.fields("`introspection`", Spelling::Exact, report)?;
    let client_id = fields.required("client_id", report);
    let secret = fields.optional("client_secret_file");
    let certificate = fields.optional("client_certificate");
    let key = fields.optional("client_key");
    let method = fields.optional("authentication");
    note(spans, "client_id", client_id);
    note(spans, "client_secret_file", secret);
    note(spans, "client_certificate", certificate);
    let authentication = match (secret, certificate, key) {
        (Some(secret), None, None) => {
            let secret = path(secret, base, report);
            match method {
                None => secret.map(ClientAuthentication::Basic),
                Some(node) => match choice(node, &[("basic", false), ("post", true)], report) {
                    Some(true) => secret.map(ClientAuthentication::Post),
                    Some(false) => secret.map(ClientAuthentication::Basic),
                    None => None,
                },
            }
        }
        (None, Some(certificate), Some(key)) => {
            if let Some(node) = method {
                report
                    .error(
                        &node.span,
                        "`authentication` says where the secret goes, and no secret is configured",
                    )
                    .help("leave it out: a certificate is presented when the connection is made");
            }
            let (certificate, key) = (path(certificate, base, report), path(key, base, report));
            certificate
                .zip(key)
                .map(|(certificate, key)| ClientAuthentication::Certificate { certificate, key })
        }
        _ => {
            report
                .error(&node.span, "`introspection` needs one way to authenticate the gate")
                .help("write `client_secret_file`, or `client_certificate` and `client_key`");
            None
        }
    };
    let client_id = client_id.and_then(|node| node.string(report)).map(str::to_owned);
    let dialect = client_id
        .zip(authentication)
        .map(|(client_id, authentication)| Dialect::Introspection { client_id, authentication });
    endpoint(fields, dialect, base, spans, report)
}

fn tokeninfo(node: &Node, base: &Path, spans: &mut Spans, report: &mut Report) -> Option<TokenEndpoint> {
    let fields = node.fields("`tokeninfo`", Spelling::Exact, report)?;
    endpoint(fields, Some(Dialect::TokenInfo), base, spans, report)
}

/// What the two have in common.
fn endpoint(
    mut fields: Fields<'_>,
    dialect: Option<Dialect>,
    base: &Path,
    spans: &mut Spans,
    report: &mut Report,
) -> Option<TokenEndpoint> {
    let url = fields.required("url", report);
    let prefix = fields.optional("prefix");
    let ca = fields.optional("ca");
    note(spans, "url", url);
    note(spans, "ca", ca);
    let proxy = fields.optional("proxy");
    note(spans, "proxy", proxy);
    spans.push(("prefix", prefix.map_or(fields.span(), |node| &node.span).clone()));
    let mut time = |name: &'static str, default: Duration| {
        let node = fields.optional(name);
        note(spans, name, node);
        node.and_then(|node| duration(node, report)).unwrap_or(default)
    };
    let timeout = time("timeout", TokenEndpoint::DEFAULT_TIMEOUT);
    let remember = time("remember", TokenEndpoint::DEFAULT_REMEMBER);
    let remember_briefly = time("remember_briefly", TokenEndpoint::DEFAULT_REMEMBER_BRIEFLY);
    fields.finish(report);
    Some(TokenEndpoint {
        prefix: prefix.and_then(|node| node.string(report)).unwrap_or_default().to_owned(),
        ca: ca.and_then(|node| path(node, base, report)),
        proxy: proxy.and_then(|node| node.string(report)).map(str::to_owned),
        timeout,
        remember,
        remember_briefly,
        ..TokenEndpoint::new(url.and_then(|node| node.string(report))?, dialect?)
    })
}

fn path(node: &Node, base: &Path, report: &mut Report) -> Option<PathBuf> {
    node.string(report).map(|path| located(base, path))
}

fn note(spans: &mut Spans, name: &'static str, node: Option<&Node>) {
    spans.extend(node.map(|node| (name, node.span.clone())));
}
