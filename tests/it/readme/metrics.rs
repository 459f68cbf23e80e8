//! The metrics that pages and the files of config/mixin name, against the reference in docs/metrics.md. A unit test of
//! `server::reference` holds that one against the instruments.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use regex::Regex;

use super::pages::{Page, pages};
use crate::harness::root;

/// Labels that Prometheus gives by itself, and those of alerts and of recording rules.
const OF_PROMETHEUS: [&str; 4] = ["job", "instance", "severity", "le"];

/// A family of the reference.
struct Family {
    is_histogram: bool,
    labels: BTreeSet<String>,
}

fn families() -> BTreeMap<String, Family> {
    let rows = Page::read("docs/metrics.md").table("| metric | type | what it says |");
    let shown = Regex::new(r"^`(opgate_\w+)(?:\{([a-z_,]+)\})?`$").unwrap();
    let families: BTreeMap<String, Family> = rows
        .iter()
        .map(|row| {
            let found = shown.captures(&row[0]).unwrap_or_else(|| panic!("{row:?}"));
            let labels = found.get(2).map_or("", |labels| labels.as_str()).split(',');
            let labels = labels.filter(|label| !label.is_empty()).map(str::to_owned).collect();
            (found[1].to_owned(), Family { is_histogram: row[1] == "histogram", labels })
        })
        .collect();
    assert_eq!(families.len(), rows.len(), "a metric is shown twice");
    assert!(families.len() > 50, "{}", families.len());
    families
}

/// What a text says of metrics that is not so.
fn mistakes(place: &str, text: &str, families: &BTreeMap<String, Family>) -> Vec<String> {
    let named = Regex::new(r"([:\w]?)\b(opgate_[a-z0-9_]+)(:|\{([^}]*)\})?").unwrap();
    let label = Regex::new(r"([a-z_]+)\s*(?:=~|!~|!=|=)|^([a-z_,\s]+)$").unwrap();
    let mut mistakes = Vec::new();
    for found in named.captures_iter(text) {
        // The name of a recording rule: `job:opgate_undecided:ratio_rate5m`.
        let is_recorded = !found[1].is_empty() || found.get(3).is_some_and(|end| end.as_str() == ":");
        if is_recorded || found[2].ends_with('_') {
            continue;
        }
        let name = &found[2];
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let of_histogram = of_histogram.and_then(|name| families.get(name).filter(|one| one.is_histogram));
        let Some(family) = families.get(name).or(of_histogram) else {
            mistakes.push(format!("{place}: there is no metric {name}"));
            continue;
        };
        let selector = found.get(4).map_or("", |selector| selector.as_str());
        let labels = label.captures_iter(selector).flat_map(|found| {
            let names = found.get(1).or(found.get(2)).map_or("", |names| names.as_str());
            names.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>()
        });
        for label in labels.filter(|label| !label.is_empty()) {
            if !family.labels.contains(&label) && !OF_PROMETHEUS.contains(&label.as_str()) {
                mistakes.push(format!("{place}: {name} has no label {label}"));
            }
        }
    }
    mistakes
}

/// The files below a folder.
fn files(folder: PathBuf) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(path) } else { vec![path] }).collect()
}

#[test]
fn every_metric_that_is_named_is_there_with_its_labels() {
    let families = families();
    let mut wrong = Vec::new();
    for page in pages() {
        for span in page.code_spans() {
            wrong.extend(mistakes(&page.name, &span, &families));
        }
    }
    for path in files(root().join("config/mixin")) {
        // An image or the like names nothing.
        if let Ok(text) = std::fs::read_to_string(&path) {
            wrong.extend(mistakes(&path.display().to_string(), &text, &families));
        }
    }
    assert!(wrong.is_empty(), "\n  {}\n", wrong.join("\n  "));
}

#[test]
fn a_wrong_name_and_a_wrong_label_are_found() {
    let families = families();
    let found = |text| mistakes("here", text, &families);
    assert!(found("rate(opgate_requests_total{code=~\"5..\", job=\"a\"}[5m])").is_empty());
    assert!(found("opgate_overhead_duration_seconds_bucket{le=\"0.001\"}").is_empty());
    assert!(found("job:opgate_undecided:ratio_rate5m").is_empty());
    assert_eq!(found("opgate_request_total"), ["here: there is no metric opgate_request_total"]);
    assert_eq!(found("opgate_requests_bucket").len(), 1);
    let label = found("opgate_requests_total{status=\"200\"}");
    assert_eq!(label, ["here: opgate_requests_total has no label status"]);
    assert_eq!(found("opgate_requests_total{service,status}").len(), 1);
}
