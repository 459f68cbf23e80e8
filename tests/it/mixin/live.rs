//! A real Prometheus scrapes a running gate: every query of the dashboard and of the rules has its series, and alerts fire and
//! clear.

mod setting;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use self::setting::Scene;
use super::files::{alerts, dashboard, queries, records};
use super::prometheus::Prometheus;
use super::{PAGE, has, promql};
use crate::readme::pages::{Kind, Page};

/// Series that Prometheus itself makes.
const OF_PROMETHEUS: [&str; 2] = ["up", "ALERTS"];
/// Labels that Prometheus itself sets.
const LABELS_OF_PROMETHEUS: [&str; 5] = ["job", "instance", "alertname", "alertstate", "severity"];

/// Queries that may give nothing after the traffic of this test, and why. So may those of the alerts, where all is well.
const MAY_BE_EMPTY: [(&str, &str); 3] = [
    ("Alerts", "all is well at the end"),
    ("New connections: cut: {{reason}}", "no client is so slow, and none floods the gate"),
    ("docs/alerts.md: opgate_upstream_healthy == 0", "the backend is back"),
];

/// An expression with the dashboard's variables set: all gates, and as long an interval as the test lasts.
fn with_variables(expression: &str) -> String {
    expression.replace("$__rate_interval", "5m").replace("$job", ".+").replace("$instance", ".+")
}

/// The labels of each family that the gate shows, by the names under which Prometheus knows its series.
fn families(metrics: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut families: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let label = regex::Regex::new(r#"[{,](\w+)=""#).unwrap();
    for line in metrics.lines() {
        let mut words = line.split(' ').skip_while(|word| *word == "#");
        match (words.next(), words.next(), words.next()) {
            (Some("TYPE"), Some(name), Some("histogram")) => {
                for suffix in ["_bucket", "_count", "_sum"] {
                    families.entry(format!("{name}{suffix}")).or_default();
                }
            }
            (Some("TYPE"), Some(name), Some(_)) => {
                families.entry(name.to_owned()).or_default();
            }
            _ => {
                if let Some(labels) = line.split('{').next().and_then(|name| families.get_mut(name)) {
                    labels.extend(label.captures_iter(line).map(|found| found[1].to_owned()));
                }
            }
        }
    }
    families
}

/// What is wrong with the names of an expression: series and labels that the gate does not have.
fn unknown(expression: &str, families: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let records: BTreeSet<String> = records().into_iter().map(|record| record.name).collect();
    let mut wrong = Vec::new();
    let mut known: BTreeSet<&str> = LABELS_OF_PROMETHEUS.into();
    known.insert("le");
    for selector in promql::selectors(expression) {
        let labels = families.get(&selector.name);
        if labels.is_none()
            && !records.contains(&selector.name)
            && !OF_PROMETHEUS.contains(&selector.name.as_str())
        {
            wrong.push(format!("no series {}", selector.name));
        }
        let labels: BTreeSet<&str> = labels.into_iter().flatten().map(String::as_str).collect();
        for (label, ..) in &selector.matchers {
            if !labels.contains(label.as_str()) && !LABELS_OF_PROMETHEUS.contains(&label.as_str()) {
                wrong.push(format!("no label {label} of {}", selector.name));
            }
        }
        known.extend(families.get(&selector.name).into_iter().flatten().map(String::as_str));
        // The records of cancels keep the service.
        known.extend(selector.name.strip_prefix("service:").map(|_| "service"));
    }
    let grouped = promql::labels(expression);
    wrong.extend(
        grouped.iter().filter(|label| !known.contains(label.as_str())).map(|label| format!("by {label}")),
    );
    wrong
}

/// Each query of the dashboard, each rule, and each example of the page: who asks it, and what.
fn asked() -> Vec<(String, String)> {
    let of_dashboard = queries(&dashboard()).into_iter().map(|query| (query.of, query.expression));
    let of_alerts = alerts().into_iter().map(|alert| (alert.name.clone(), alert.expression()));
    let of_records = records().into_iter().map(|record| (record.name, record.expression));
    let page = Page::read(PAGE);
    let examples = page.blocks().into_iter().filter(|block| block.kind == Kind::Query);
    let of_page = examples.flat_map(|block| block.text.lines().map(str::to_owned).collect::<Vec<_>>());
    let of_page = of_page.map(|line| (format!("{PAGE}: {line}"), line));
    of_dashboard.chain(of_alerts).chain(of_records).chain(of_page).collect()
}

/// Every query is right, and asks for series that the gate has.
async fn ask_everything(prometheus: &Prometheus, metrics: &str) {
    let families = families(metrics);
    assert!(families.len() > 60, "{}", families.len());
    let mut wrong = Vec::new();
    let asked = asked();
    for (of, expression) in &asked {
        let expression = with_variables(expression);
        wrong.extend(unknown(&expression, &families).into_iter().map(|what| format!("{of}: {what}")));
        let may_be_empty =
            of.starts_with("Opgate") || MAY_BE_EMPTY.iter().any(|(name, _)| *name == of.as_str());
        match answer(prometheus, &expression, may_be_empty).await {
            Err(error) => wrong.push(format!("{of}: {error}")),
            Ok(is_told) if !is_told && !may_be_empty => wrong.push(format!("{of}: empty, or not a number")),
            Ok(_) => {}
        }
        for selector in promql::selectors(&expression) {
            let selector = selector.text();
            if prometheus.series(&selector).await.unwrap().is_empty() {
                wrong.push(format!("{of}: nothing is {selector}"));
            }
        }
    }
    wrong.extend(
        MAY_BE_EMPTY
            .iter()
            .filter(|(name, _)| asked.iter().all(|(of, _)| of != name))
            .map(|(name, _)| format!("nothing asks {name}")),
    );
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "\n  {}\n", wrong.join("\n  "));
}

/// Whether a query gives a number, within the time that rules and scrapes take.
async fn answer(prometheus: &Prometheus, expression: &str, may_be_empty: bool) -> Result<bool, String> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let values = prometheus.query(expression).await?;
        let is_told = values.iter().any(|value| !value.is_nan());
        if is_told || may_be_empty || Instant::now() > deadline {
            return Ok(is_told);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_answers_every_query_and_alerts_fire_and_clear() {
    if !has("prometheus") {
        return;
    }
    // Nothing listens at the issuer, and the audit log is a device that is full.
    let scene = Scene::start().await;
    let prometheus = Prometheus::start(&[scene.gate.admin]).await;
    let at_first =
        ["OpgateNotReady", "OpgateKeysExpireSoon", "OpgateKeyRefreshFailing", "OpgateAuditLinesLost"];
    scene.call_until(prometheus.until(&at_first, true)).await;

    // The keys come, and the log has room.
    scene.serve_keys();
    scene.give_the_log_room();
    prometheus.until(&at_first, false).await;
    scene.traffic().await;

    // A mistake in the policy, and a backend that is down.
    let later = ["OpgateReloadFailed", "OpgateUpstreamAllUnhealthy", "OpgateUpstreamErrors"];
    prometheus.until(&later, false).await;
    scene.break_the_policy();
    scene.stop_the_backend();
    scene.call_until(prometheus.until(&later, true)).await;
    scene.repair_the_policy();
    scene.start_the_backend().await;
    // An ejected endpoint is ill until a request has tried it.
    scene.call_until(prometheus.until(&later, false)).await;

    scene.traffic().await;
    scene.run_the_commands_of(&Page::read(PAGE));
    let metrics = scene.gate.metrics().await;
    scene.call_until(ask_everything(&prometheus, &metrics)).await;
    assert_eq!(prometheus.rule_errors().await, Vec::<String>::new());
}
