//! The rules, alerts and dashboard of config/mixin, and the page that explains them.
//!
//! Without a gate: they are well formed, tested and explained. With one, and with a real Prometheus: `live`.

mod files;
mod live;
mod prometheus;
mod promql;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use self::files::{Alert, alerts, dashboard, mixin, panels, queries, records, yaml};
use crate::harness::tools::succeed;
use crate::harness::{copy, root};
use crate::readme::pages::{Kind, Page};

/// The page with the runbooks.
const PAGE: &str = "docs/alerts.md";
/// What each of its sections about an alert has.
const PARTS: [&str; 4] = ["**Meaning.**", "**Impact.**", "**Diagnosis.**", "**Mitigation.**"];

/// Whether a program is there. CI does not go without.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "{program} is not installed: .ci/run installs it");
    if !found {
        eprintln!("{program} is not installed: config/mixin is tested without it");
    }
    found
}

/// The files of a folder of config/mixin.
fn files_in(folder: &str) -> Vec<String> {
    let files = std::fs::read_dir(mixin().join(folder)).unwrap();
    let mut names: Vec<String> =
        files.map(|file| format!("{folder}/{}", file.unwrap().file_name().to_str().unwrap())).collect();
    names.sort();
    names
}

#[test]
fn promtool_accepts_the_rules_and_passes_their_tests() {
    if !has("promtool") {
        return;
    }
    let run = |what: &str, files: Vec<String>| {
        assert!(!files.is_empty());
        succeed(Command::new("promtool").current_dir(mixin()).args([what, "rules"]).args(files))
    };
    run("check", [files_in("rules"), files_in("alerts")].concat());
    run("test", files_in("tests"));
}

/// For each alert, in how many tests it fires, and in how many it does not.
fn tested() -> BTreeMap<String, (usize, usize)> {
    let mut tested: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for file in files_in("tests") {
        for test in yaml(&file)["tests"].as_array().unwrap() {
            for expected in test["alert_rule_test"].as_array().into_iter().flatten() {
                let count = tested.entry(expected["alertname"].as_str().unwrap().to_owned()).or_default();
                let fires = expected["exp_alerts"].as_array().is_some_and(|alerts| !alerts.is_empty());
                *if fires { &mut count.0 } else { &mut count.1 } += 1;
            }
        }
    }
    tested
}

#[test]
fn every_alert_fires_in_a_test_and_is_quiet_before_and_after() {
    let tested = tested();
    let names: BTreeSet<String> = alerts().into_iter().map(|alert| alert.name).collect();
    assert_eq!(tested.keys().cloned().collect::<BTreeSet<_>>(), names);
    for (name, (fires, is_quiet)) in tested {
        assert!(fires >= 1 && is_quiet >= 2, "{name} fires in {fires} tests and is quiet in {is_quiet}");
    }
    // Each rule of an alert that has several of them fires, not one of them alone.
    let severities = |name: &str| -> BTreeSet<String> {
        alerts().iter().filter(|alert| alert.name == name).map(Alert::severity).collect()
    };
    let both = BTreeSet::from(["critical".to_owned(), "warning".to_owned()]);
    for name in ["OpgateErrorBudgetBurn", "OpgateCertificateExpires"] {
        assert_eq!(severities(name), both, "{name}");
    }
}

#[test]
fn every_alert_says_what_happened_and_where_to_read_on() {
    let alerts = alerts();
    assert_eq!(alerts.iter().map(|alert| &alert.name).collect::<BTreeSet<_>>().len(), 18);
    for alert in &alerts {
        assert!(["critical", "warning"].contains(&alert.severity().as_str()), "{}", alert.name);
        for annotation in ["summary", "description"] {
            let text = alert.rule["annotations"][annotation].as_str().unwrap();
            assert!(text.ends_with('.') && text.len() > 20, "{}: {text}", alert.name);
        }
        let runbook = format!("{PAGE}#{}", alert.name.to_lowercase());
        assert_eq!(alert.rule["annotations"]["runbook_url"], runbook.as_str());
    }
}

#[test]
fn every_alert_has_its_runbook_and_every_runbook_its_alert() {
    let page = Page::read(PAGE);
    let sections: Vec<&str> = page.text.split("\n### ").skip(1).collect();
    let sections: BTreeMap<&str, &str> =
        sections.iter().filter_map(|section| section.split_once('\n')).collect();
    let described: BTreeSet<&str> =
        sections.keys().copied().filter(|name| name.starts_with("Opgate")).collect();
    let alerts = alerts();
    let names: BTreeSet<&str> = alerts.iter().map(|alert| alert.name.as_str()).collect();
    assert_eq!(described, names);
    for name in names {
        let section = sections[name].split("\n## ").next().unwrap();
        let places: Vec<Option<usize>> = PARTS.iter().map(|part| section.find(part)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{name}: {places:?}");
    }
    // The overview is a table: alert, severity, after.
    let shown: BTreeSet<(String, String, String)> = page
        .table("| alert | severity | after | it says |")
        .iter()
        .map(|row| {
            let name = row[0].trim_start_matches('[').split(']').next().unwrap();
            (name.to_owned(), row[1].clone(), row[2].clone())
        })
        .collect();
    let ruled = alerts.iter().map(|alert| {
        let after = alert.rule["for"].as_str().unwrap_or("at once");
        (alert.name.clone(), alert.severity(), after.to_owned())
    });
    assert_eq!(shown, ruled.collect());
}

/// The examples of the page, laid out beside a copy of config/mixin as it says.
#[test]
fn the_configurations_of_prometheus_and_grafana_find_the_files() {
    let page = Page::read(PAGE);
    let provisioned: Value = serde_saphyr::from_str(&page.block(&Kind::Grafana).text).unwrap();
    let folder = provisioned["providers"][0]["options"]["path"].as_str().unwrap();
    let folder = root().join(folder.strip_prefix("/etc/opgate/").unwrap());
    assert!(folder.join("opgate.json").exists());
    // Grafana would read any other JSON file as a dashboard too.
    assert_eq!(files_in("dashboards"), ["dashboards/opgate.json"]);
    if !has("promtool") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    copy(&mixin(), place.path());
    std::fs::write(place.path().join("prometheus.yaml"), page.block(&Kind::Prometheus).text).unwrap();
    let said = succeed(Command::new("promtool").current_dir(place.path()).args([
        "check",
        "config",
        "prometheus.yaml",
    ]));
    assert!(said.contains("22 rules") && said.contains("13 rules"), "{said}");
}

#[test]
fn the_dashboard_is_what_its_source_makes() {
    if !has("python3") {
        return;
    }
    let made = succeed(Command::new("python3").current_dir(mixin()).args(["dashboard/build.py", "--print"]));
    let checked_in = std::fs::read_to_string(mixin().join("dashboards/opgate.json")).unwrap();
    assert!(made == checked_in, "run `make dashboard`");
}

/// The numbers of the questions that a description names.
fn asked(description: &str) -> BTreeSet<usize> {
    let numbers = description.split("(question ").skip(1);
    numbers.map(|rest| rest.split(')').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn every_panel_says_which_question_it_answers_and_every_question_has_a_panel() {
    let rows = Page::read(PAGE).table("| | question | panels |");
    assert_eq!(rows.len(), 20);
    let dashboard = dashboard();
    let mut shown: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for panel in panels(&dashboard) {
        let description = panel["description"].as_str().unwrap();
        let title = panel["title"].as_str().unwrap();
        let asked = asked(description);
        assert!(!asked.is_empty(), "{title} answers nothing");
        for number in asked {
            let question = &rows[number - 1][1];
            assert!(description.contains(&format!("{question} (question {number})")), "{title}: {question}");
            shown.entry(number).or_default().insert(title.to_owned());
        }
    }
    for row in &rows {
        let number: usize = row[0].parse().unwrap();
        let titles: BTreeSet<String> = row[2].split("; ").map(str::to_owned).collect();
        assert_eq!(titles, shown.remove(&number).unwrap_or_default(), "question {number}");
    }
}

#[test]
fn every_panel_has_a_unit_and_a_legend() {
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
    }
    let mut count = 0;
    for panel in panels(&dashboard) {
        count += 1;
        let title = &panel["title"];
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty() && targets.iter().all(|target| target["legendFormat"] != ""), "{title}");
    }
    assert!(count >= 45, "{count}");
    let rows: Vec<&Value> = dashboard["panels"].as_array().unwrap().iter().collect();
    let rows: Vec<&str> = rows
        .iter()
        .filter(|panel| panel["type"] == "row")
        .map(|row| row["title"].as_str().unwrap())
        .collect();
    let expected = "Now, Decisions, Time, Policy, Identity, Backends, Cancels, Edge, Audit and certificates";
    assert_eq!(rows.join(", "), expected);
}

/// A record is used under the name that it has, and none is made for nothing.
#[test]
fn every_record_that_is_used_is_made_and_every_one_that_is_made_is_used() {
    let made: BTreeSet<String> = records().into_iter().map(|record| record.name).collect();
    let of_alerts = alerts().into_iter().map(|alert| alert.expression());
    let of_panels = queries(&dashboard()).into_iter().map(|query| query.expression);
    let used: BTreeSet<String> = of_alerts
        .chain(of_panels)
        .flat_map(|expression| promql::selectors(&expression))
        .map(|selector| selector.name)
        .filter(|name| name.contains(':'))
        .collect();
    assert_eq!(used, made);
    let page = std::fs::read_to_string(root().join(PAGE)).unwrap();
    for name in made {
        let family = name.trim_end_matches(|one: char| one.is_ascii_digit() || "mhd".contains(one));
        assert!(page.contains(family), "{PAGE} does not tell of {family}");
    }
}
