//! Routes of different services that can match the same request: `check` reports them.
//!
//! Two services on one host and one upstream are one API to the backend, whatever files they are written in. Which of two
//! routes a request takes is always decided (see [`super`]); here the operator learns of it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::route::{Route, WrittenRoute};
use crate::catalog::template::{Template, TemplateSegment};
use crate::diagnostic::Report;
use crate::http::path::normalize_literal;

/// Pairs of services that were reported, each with whether one of the two routes is closed.
pub(super) type AlreadyTold = HashSet<([String; 2], bool)>;

/// Reports the first overlap of each two services that share this host and an upstream.
pub(super) fn check(host: &str, routes: &[&WrittenRoute], told: &mut AlreadyTold, report: &mut Report) {
    let mut by_upstream: BTreeMap<&str, Vec<&WrittenRoute>> = BTreeMap::new();
    for written in routes {
        by_upstream.entry(&written.0.service.upstream).or_default().push(written);
    }
    for sharing in by_upstream.values() {
        for (index, written) in sharing.iter().enumerate() {
            for earlier in sharing.iter().take(index) {
                if may_both_match(&written.0, &earlier.0) {
                    tell(host, written, earlier, told, report);
                }
            }
        }
    }
}

/// Whether some request takes either route, they are of two services, one of them is exposed, and they do not run the same
/// RPC.
fn may_both_match(left: &Route, right: &Route) -> bool {
    let any_method = left.http_method.is_none() || right.http_method.is_none();
    !Arc::ptr_eq(&left.service, &right.service)
        && (any_method || left.http_method == right.http_method)
        && (left.is_open() || right.is_open())
        && !left.runs_the_same(right)
        && overlap(&left.template, &right.template)
        && !is_told_already(left, right)
}

/// Two routes of one shape, which are an error.
fn is_told_already(left: &Route, right: &Route) -> bool {
    left.http_method == right.http_method && left.template.normal_shape() == right.template.normal_shape()
}

fn tell(
    host: &str,
    (route, span): &WrittenRoute,
    (earlier, earlier_span): &WrittenRoute,
    told: &mut AlreadyTold,
    report: &mut Report,
) {
    let closed = [route, earlier].into_iter().find(|route| !route.is_open());
    let mut pair = [route.service.id.clone(), earlier.service.id.clone()];
    pair.sort();
    if !told.insert((pair, closed.is_some())) {
        return;
    }
    let message =
        format!("{} and {} can match the same request on `{host}`", route.long_name(), earlier.long_name());
    let upstream = &route.service.upstream;
    let diagnostic = match closed {
        None => report.note(span, message).help(format!(
            "both services go to `{upstream}`: the more specific path decides here, and has to decide there"
        )),
        Some(closed) => report.warning(span, message).help(format!(
            "{} is not exposed, and both services go to `{upstream}`, which may run it: requests that match it are \
             refused; expose it, or expose the services on different hosts",
            closed.long_name()
        )),
    };
    diagnostic.related(earlier_span, format!("{} is here", earlier.long_name()));
}

/// Whether some path matches both templates, as a backend compares that decodes and folds letters.
fn overlap(left: &Template, right: &Template) -> bool {
    let verbs_agree = match (left.verb(), right.verb()) {
        (None, None) => true,
        (Some(left), Some(right)) => is_alike(left, right),
        _ => false,
    };
    verbs_agree && segments_overlap(named(left), named(right))
}

/// The segments without a slash at the end, which many backends ignore.
fn named(template: &Template) -> &[TemplateSegment] {
    match template.segments().split_last() {
        Some((_, named)) if template.ends_in_slash() => named,
        _ => template.segments(),
    }
}

fn segments_overlap(left: &[TemplateSegment], right: &[TemplateSegment]) -> bool {
    match (left, right) {
        ([], []) => true,
        // `**` ends here, or takes one segment more.
        ([TemplateSegment::Rest, after @ ..], _) => {
            segments_overlap(after, right)
                || right.split_first().is_some_and(|(_, rest)| segments_overlap(left, rest))
        }
        (_, [TemplateSegment::Rest, ..]) => segments_overlap(right, left),
        ([], _) | (_, []) => false,
        ([first, left @ ..], [other, right @ ..]) => {
            let alike = match (first, other) {
                (TemplateSegment::Literal(first), TemplateSegment::Literal(other)) => is_alike(first, other),
                _ => true,
            };
            alike && segments_overlap(left, right)
        }
    }
}

fn is_alike(left: &str, right: &str) -> bool {
    let is_plain = |text: &str| text.bytes().all(|byte| byte != b'%' && byte.is_ascii());
    left.eq_ignore_ascii_case(right)
        || !(is_plain(left) && is_plain(right)) && normalize_literal(left) == normalize_literal(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlaps(left: &str, right: &str) -> bool {
        let (left, right) = (Template::parse(left).unwrap(), Template::parse(right).unwrap());
        let answer = overlap(&left, &right);
        assert_eq!(overlap(&right, &left), answer, "it does not matter which of the two is first");
        answer
    }

    #[test]
    fn templates_overlap_where_some_path_matches_both() {
        for (left, right) in [
            ("/v1/{name=things/*}", "/v1/things/vault"),
            ("/v1/{name=things/*}", "/v1/Things/VAULT"),
            ("/v1/{name=things/*}", "/v1/{name=**}"),
            ("/v1/*/x", "/v1/a/*"),
            ("/v1/**", "/v1"),
            ("/v1/**/x", "/v1/a/b/x"),
            ("/v1/**/x", "/**/v1/x"),
            ("/v1/**/a/x", "/v1/**/x"),
            ("/v1/things/*:do", "/v1/**:DO"),
            ("/v1/a%20b", "/v1/A%20B"),
            ("/v1/a/", "/v1/*"),
            ("/", "/**"),
        ] {
            assert!(overlaps(left, right), "{left} {right}");
        }
    }

    #[test]
    fn templates_do_not_overlap_where_none_does() {
        for (left, right) in [
            ("/v1/{name=things/*}", "/v1/{name=others/*}"),
            ("/v1/{name=things/*}", "/v1/{name=things/*/parts/*}"),
            ("/v1/things/*", "/v1/things/*:do"),
            ("/v1/things/*:undo", "/v1/things/*:do"),
            ("/v1/**/x", "/v1/**/y"),
            ("/v1/**/x", "/v2/**"),
            ("/v1/a/**/x", "/v1/a"),
        ] {
            assert!(!overlaps(left, right), "{left} {right}");
        }
    }
}
