//! `keys` of an issuer: in a file, at a URL, or where the issuer's metadata says.

use std::path::Path;

use super::check::{choice, set};
use super::location::located;
use super::scalars::duration;
use crate::authn::{KeyLocation, KeySource, RemoteKeys, WellKnown};
use crate::diagnostic::{Report, Span};
use crate::document::{Fields, Node, Spelling};

const DOCUMENTS: [(&str, WellKnown); 2] = [("openid", WellKnown::OpenId), ("oauth", WellKnown::OAuth)];

/// Reads `keys`, and notes where its fields stand.
pub(super) fn keys(
    node: &Node,
    base: &Path,
    spans: &mut Vec<(&'static str, Span)>,
    report: &mut Report,
) -> Option<KeySource> {
    let mut fields = node.fields("`keys`", Spelling::Exact, report)?;
    let mut noted = |fields: &mut Fields<'_>, name| {
        let node = fields.optional(name);
        spans.extend(node.map(|node| (name, node.span.clone())));
        node.cloned()
    };
    let file = noted(&mut fields, "file");
    let url = noted(&mut fields, "url");
    let discovery = noted(&mut fields, "discovery");
    let jwks_hosts = noted(&mut fields, "jwks_hosts");
    let ca = noted(&mut fields, "ca");
    let mut remote = RemoteKeys::at(KeyLocation::Url(String::new()));
    set(&mut fields, "refresh", &mut remote.refresh, duration, report);
    set(&mut fields, "max_stale", &mut remote.max_stale, duration, report);
    set(&mut fields, "cool_down", &mut remote.cool_down, duration, report);
    let span = fields.span().clone();
    fields.finish(report);

    remote.ca = ca.and_then(|node| node.string(report).map(|path| located(base, path)));
    if let (Some(hosts), None) = (&jwks_hosts, &discovery) {
        report
            .error(&hosts.span, "`jwks_hosts` only has a meaning with `discovery`")
            .help("leave it out: the keys of a `url` are fetched from there and nowhere else");
    }
    match (file, url, discovery) {
        (Some(file), None, None) => Some(KeySource::File(located(base, file.string(report)?))),
        (None, Some(url), None) => {
            remote.location = KeyLocation::Url(url.string(report)?.to_owned());
            Some(KeySource::Remote(remote))
        }
        (None, None, Some(discovery)) => {
            let document = choice(&discovery, &DOCUMENTS, report)?;
            let hosts = jwks_hosts
                .map(|node| node.strings(report).into_iter().map(|(host, _)| host.to_owned()).collect());
            remote.location = KeyLocation::Discovery { document, hosts: hosts.unwrap_or_default() };
            Some(KeySource::Remote(remote))
        }
        _ => {
            report.error(&span, "`keys` needs one of `file`, `url` and `discovery`").help(
                "a file holds the keys themselves; a URL is fetched again as `refresh` says; `discovery: openid` asks the \
                 issuer for the URL",
            );
            None
        }
    }
}
