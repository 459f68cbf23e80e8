//! The reference of the metrics in docs/metrics.md is written from the instruments. This is the test that fails where they
//! differ, and the command that writes it: `INSTA_UPDATE=always cargo test --lib server::reference`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;

use super::registered::Registered;
use crate::config::ConfigPart;
use crate::metrics::{Exposition, Family, FamilyKind, Metrics, Names};
use crate::reason::TOKEN_OUTCOMES;
use crate::upstream::ERROR_KINDS;

const BEGIN: &str = "<!-- Written by `INSTA_UPDATE=always cargo test --lib server::reference`. -->\n";

/// The values of labels that no series has before the configuration gives them a name: a metric, or all that have the label.
const VALUES: &[(&str, &str, &str)] = &[
    ("", "issuer", "the `name` of an issuer, or `unknown`"),
    ("", "service", "the name of an exposed service, or `unknown`"),
    ("", "upstream", "the name of an upstream"),
    ("", "endpoint", "an address of an upstream's endpoint"),
    ("", "listener", "the address of a listener"),
    (
        "",
        "method",
        "the full name of an API method (`google.longrunning.Operations.CancelOperation`), or `unknown`",
    ),
    (
        "",
        "revision",
        "a hash of the policy tree; in `opgate_build_info` the revision of the source, or `unknown`",
    ),
    ("", "version", "the version of opgate"),
    ("", "use", "`server`: shown to clients; `client`: shown to an upstream"),
    (
        "opgate_certificate_expiry_timestamp_seconds",
        "name",
        "the first DNS name of a certificate, or the upstream's name",
    ),
    ("", "name", "a name of an endpoint, with its port"),
    ("", "for", "`key`: a key that a token names; `lookup`: what the issuer says of an opaque token"),
    (
        "",
        "code",
        "an HTTP status: one of those that opgate answers by itself, or 200, 201, 202, 204, 206, 304, 409, 412; `other` for the rest; 499 for a client that left",
    ),
    (
        "opgate_requests_total",
        "reason",
        "`ALLOWED`, a reason of [errors](errors.md), or what the gate answered by itself",
    ),
    ("opgate_tokens_total", "kind", "`jwt`, `opaque`"),
    (
        "opgate_cancel_outcomes_total",
        "outcome",
        "`cancelled`, `failed`, `succeeded`, `deleted`, `unobserved`, `evicted`: see [cancels](cancels.md)",
    ),
    ("", "answer", "`accepted`, `uncertain`, `unimplemented`, `not_found`, `failed`"),
    ("", "in_force", "`allowed`, `denied`; without a shadow there is no series"),
    ("", "shadow", "`allowed`, `denied`"),
    ("opgate_reloads_total", "outcome", "`success`, `failure`"),
    (
        "opgate_jwks_refreshes_total",
        "outcome",
        "`success`, `timeout`, `tls`, `connect`, `broken`, `status`, `too_large`, `token`, `content`, `discovery`, `withdrawn`",
    ),
    ("opgate_token_lookups_total", "outcome", "`active`, `inactive`, `refused`, `failed`, `unasked`"),
    (
        "opgate_tls_handshakes_total",
        "outcome",
        "`success`, `timeout`, `closed`, `not_tls`, `incompatible`, `client_certificate`, `refused_by_client`, `other`",
    ),
];

/// The values that the labels of a family have from the start.
type Given = BTreeMap<(String, String), BTreeSet<String>>;

/// The values in a fresh registry, by metric and label.
fn given(text: &str) -> Given {
    let sample = regex::Regex::new(r"(?m)^(opgate_\w+)\{([^}]*)\}").unwrap();
    let label = regex::Regex::new(r#"(\w+)="([^"]*)""#).unwrap();
    let mut given = Given::new();
    for found in sample.captures_iter(text) {
        for pair in label.captures_iter(&found[2]) {
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| found[1].strip_suffix(end));
            let values = given.entry((family.unwrap_or(&found[1]).to_owned(), pair[1].to_owned()));
            values.or_default().insert(pair[2].to_owned());
        }
    }
    given
}

/// What the values of a label are.
fn values(family: &Family, label: &str, given: &Given) -> String {
    let told = VALUES.iter().find(|(metric, name, _)| *name == label && *metric == family.name);
    let told = told.or_else(|| VALUES.iter().find(|(metric, name, _)| *name == label && metric.is_empty()));
    if let Some((.., told)) = told {
        return (*told).to_owned();
    }
    if let Some((.., known)) = listed()
        .iter()
        .find(|(metric, name, _)| *name == label && (metric.is_empty() || *metric == family.name))
    {
        return quoted(known.iter().copied());
    }
    let known = given.get(&(family.name.clone(), label.to_owned()));
    let known = known.unwrap_or_else(|| panic!("say in VALUES what `{label}` of {} may be", family.name));
    quoted(known.iter().map(String::as_str))
}

fn quoted<'v>(values: impl Iterator<Item = &'v str>) -> String {
    values.map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ")
}

/// The values of such labels that the source lists.
fn listed() -> [(&'static str, &'static str, Vec<&'static str>); 3] {
    [
        ("", "part", ConfigPart::ALL.map(ConfigPart::as_str).to_vec()),
        ("opgate_tokens_total", "outcome", TOKEN_OUTCOMES.to_vec()),
        ("opgate_upstream_errors_total", "kind", ERROR_KINDS.to_vec()),
    ]
}

fn reference(families: &[Family], given: &Given) -> String {
    let mut text = format!("{BEGIN}\n| metric | type | what it says |\n|---|---|---|\n");
    let mut labels: BTreeMap<(&str, String), Vec<&str>> = BTreeMap::new();
    let mut buckets: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for family in families {
        let names = family.labels.join(",");
        let names = if names.is_empty() { names } else { format!("{{{names}}}") };
        let Family { name, kind, help, .. } = family;
        writeln!(text, "| `{name}{names}` | {} | {help} |", kind.as_str()).unwrap();
        for label in &family.labels {
            labels.entry((label, values(family, label, given))).or_default().push(name);
        }
        if *kind == FamilyKind::Histogram {
            let bounds = family.buckets.iter().map(|bound| seconds(*bound)).collect::<Vec<_>>().join(", ");
            buckets.entry(bounds).or_default().push(name);
        }
    }
    text.push_str("\n| label | of | its values |\n|---|---|---|\n");
    let all = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    for ((label, values), metrics) in &labels {
        let several = labels.keys().filter(|(other, _)| other == label).count() > 1;
        let of = if several { all(metrics) } else { "all".to_owned() };
        writeln!(text, "| `{label}` | {of} | {values} |").unwrap();
    }
    text.push_str("\n| histograms | upper bounds of the buckets |\n|---|---|\n");
    for (bounds, metrics) in &buckets {
        writeln!(text, "| {} | {bounds} |", all(metrics)).unwrap();
    }
    text
}

/// A bound with its unit.
fn seconds(bound: f64) -> String {
    match bound {
        bound if bound < 1e-3 => format!("{} µs", (bound * 1e6).round()),
        bound if bound < 1.0 => format!("{} ms", (bound * 1e3).round()),
        bound => format!("{bound} s"),
    }
}

#[test]
fn the_reference_of_the_metrics_is_written_from_them() {
    let metrics = Metrics::new().unwrap();
    let _registered = Registered::in_registry(metrics.registry()).unwrap();
    let given = given(&metrics.scrape(Names::default).text(Exposition::Prometheus, &[]));
    let written = reference(&metrics.registry().families(), &given);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, shown) = page.split_at(page.find(BEGIN).expect("the page has a place for the reference"));
    if shown == written {
        return;
    }
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        std::fs::write(&path, format!("{before}{written}")).unwrap();
        return;
    }
    panic!(
        "docs/metrics.md is not what the instruments say: INSTA_UPDATE=always cargo test --lib server::reference"
    );
}

/// A counter whose labels have a closed set of values is 0 from the start, and so is every instrument without labels. What
/// is missing has a name of the configuration.
#[test]
fn every_series_that_needs_no_name_is_there_from_the_start() {
    let named =
        ["issuer", "service", "upstream", "endpoint", "listener", "part", "name", "revision", "shadow"];
    let metrics = Metrics::new().unwrap();
    let _registered = Registered::in_registry(metrics.registry()).unwrap();
    let text = metrics.scrape(Names::default).text(Exposition::Prometheus, &[]);
    for family in metrics.registry().families() {
        if family.labels.iter().any(|label| named.contains(&label.as_str())) {
            continue;
        }
        let is_sample = |line: &str| {
            line.strip_prefix(&family.name).is_some_and(|rest| rest.starts_with(['{', ' ', '_']))
        };
        assert!(text.lines().any(is_sample), "{} has no series", family.name);
    }
}
