//! What the metrics of a running gate say: from its start, of decisions, of times.

use std::collections::BTreeMap;
use std::time::Duration;

use opgate::dev::mint::Mint;
use opgate::dev::wire;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::connection::Connection;
use crate::harness::{Body, COMPANION, Gate, Req, Setup, TRAIN, cancel, foreign_key, get, token};
use crate::harness::{claims, reason};
use crate::readme::pages::Page;

/// The value of a series, named with its labels.
fn value(metrics: &str, series: &str) -> f64 {
    let found = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {series} in\n{metrics}")).parse().unwrap()
}

/// The sum of all series of a name.
fn total(metrics: &str, name: &str) -> f64 {
    let samples = metrics.lines().filter_map(|line| line.strip_prefix(name));
    let values = samples.filter(|rest| rest.starts_with(['{', ' ']));
    values.map(|rest| rest.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// A wait at the demo's backend.
fn wait(timeout: &str) -> Req {
    Req::new("POST", COMPANION, &format!("{TRAIN}:wait"))
        .bearer(&token("ana@example.com"))
        .body(Body::Length(format!("{{\"timeout\":\"{timeout}\"}}").into_bytes()))
}

/// Seven of 26 families were missing before their first event.
#[tokio::test]
async fn a_fresh_gate_shows_every_counter_at_zero() {
    let gate = Gate::start();
    let metrics = gate.metrics().await;
    // They need TLS, opaque tokens, a certificate, a name or a shadow.
    let without = [
        "opgate_tls_handshakes_total",
        "opgate_token_lookups_total",
        "opgate_token_lookup_duration_seconds",
        "opgate_certificate_expiry_timestamp_seconds",
        "opgate_upstream_name_resolved",
        "opgate_upstream_name_last_success_timestamp_seconds",
        "opgate_shadow_decisions_total",
        // It comes with a method's first call.
        "opgate_request_duration_seconds",
    ];
    for row in Page::read("docs/metrics.md").table("| metric | type | what it says |") {
        let name = row[0].trim_matches('`').split('{').next().unwrap();
        let sample = if row[1] == "histogram" { format!("{name}_count") } else { name.to_owned() };
        let is_shown = metrics
            .lines()
            .any(|line| line.strip_prefix(&sample).is_some_and(|rest| rest.starts_with(['{', ' '])));
        assert_eq!(is_shown, !without.contains(&name), "{name}\n{metrics}");
        // Files that were written just before the start may be read once more.
        let counts_the_start = ["opgate_audit_lines_total", "opgate_reloads_total"].contains(&name);
        if row[1] == "counter" && !counts_the_start {
            assert_eq!(total(&metrics, name), 0.0, "{name}");
        }
    }
    let methods = metrics.lines().filter(|line| line.starts_with("opgate_requests_total{code=\"200\""));
    assert!(methods.clone().count() > 3);
    assert!(methods.clone().all(|line| line.contains("reason=\"ALLOWED\"") && line.ends_with(" 0")));
    assert!(!metrics.contains("=\"\""), "a label is empty\n{metrics}");
    let errors = "opgate_upstream_errors_total{kind=\"connect\",upstream=\"operations\"}";
    assert_eq!(value(&metrics, errors), 0.0);
    assert_eq!((value(&metrics, "opgate_ready"), value(&metrics, "opgate_draining")), (1.0, 0.0));
    assert!(value(&metrics, "opgate_requests_limit") > 0.0);
    assert!(value(&metrics, "opgate_jwks_expiry_timestamp_seconds{issuer=\"demo\"}").is_infinite());
}

#[tokio::test]
async fn decisions_are_counted_by_what_they_came_to_and_where() {
    let gate = Gate::start();
    let ana = token("ana@example.com");
    let forged = foreign_key().sign(&claims("ana@example.com", &[])).unwrap();
    let unknown_host = Req::new("GET", "elsewhere.localhost", "/v1/x").bearer(&ana);
    let expected = [
        (cancel(), 200, "allowed", "body"),
        (get().bearer("no-jwt"), 401, "denied", "authenticate"),
        (Req::new("POST", COMPANION, &format!("{TRAIN}:cancel")), 401, "denied", "authenticate"),
        (
            Req::new("POST", COMPANION, &format!("{TRAIN}:cancel")).bearer(&forged),
            401,
            "denied",
            "authenticate",
        ),
        (
            Req::new("POST", COMPANION, &format!("{TRAIN}:cancel")).bearer(&token("bob@example.com")),
            403,
            "denied",
            "iam",
        ),
        (cancel().body(Body::Length(b"[]".to_vec())), 400, "denied", "body"),
        (Req::new("POST", COMPANION, "/v1/nothing").bearer(&ana), 404, "denied", "route"),
        (Req::new("PUT", COMPANION, TRAIN).bearer(&ana), 405, "denied", "route"),
        (unknown_host, 404, "denied", "route"),
        (Req::new("POST", COMPANION, "/v1/a/../b").bearer(&ana), 400, "denied", "parse"),
    ];
    let mut counts: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    for (request, status, decision, stage) in &expected {
        let answers = gate.over_both(request).await;
        for answer in answers {
            // Two credentials in one request are none of these.
            if request.headers.iter().filter(|(name, _)| name == "authorization").count() < 2 {
                assert_eq!(answer.status, *status, "{}", reason(&answer));
            }
            *counts.entry((decision, stage)).or_default() += 1.0;
        }
    }
    gate.audit(2 * expected.len());
    let metrics = gate.metrics().await;
    for ((decision, stage), count) in &counts {
        let series = format!("opgate_decisions_total{{decision=\"{decision}\",stage=\"{stage}\"}}");
        assert_eq!(value(&metrics, &series), *count, "{series}\n{metrics}");
    }
    assert_eq!(total(&metrics, "opgate_decisions_total"), 2.0 * expected.len() as f64);
    assert_eq!(total(&metrics, "opgate_request_duration_seconds_count"), 2.0, "of allowed requests alone");
    // A known host names the service, also where no method was found.
    for (code, reason, service, count) in [
        (404, "METHOD_NOT_FOUND", "cloudaicompanion.googleapis.com", 2.0),
        (405, "HTTP_METHOD_NOT_ALLOWED", "cloudaicompanion.googleapis.com", 2.0),
        (404, "METHOD_NOT_FOUND", "unknown", 2.0),
    ] {
        let labels = format!("code=\"{code}\",method=\"unknown\",reason=\"{reason}\",service=\"{service}\"");
        assert_eq!(value(&metrics, &format!("opgate_requests_total{{{labels}}}")), count, "{metrics}");
    }
    let tokens = |issuer: &str, outcome: &str| {
        let labels = format!("issuer=\"{issuer}\",kind=\"jwt\",outcome=\"{outcome}\"");
        value(&metrics, &format!("opgate_tokens_total{{{labels}}}"))
    };
    // A forged one names its issuer, and so is counted as that issuer's.
    assert_eq!((tokens("demo", "invalid"), tokens("unknown", "accepted")), (2.0, 0.0));
    assert!(tokens("demo", "accepted") >= 6.0);
}

/// Of three seconds that a backend takes, none is the gate's.
#[tokio::test]
async fn a_slow_backend_moves_its_own_time_alone() {
    let gate = Gate::start();
    assert_eq!(gate.http1(&wait("2s")).await.status, 200);
    gate.audit(1);
    let metrics = gate.metrics().await;
    let head = total(&metrics, "opgate_upstream_response_head_seconds_sum");
    let overhead = total(&metrics, "opgate_overhead_duration_seconds_sum");
    assert!(head >= 2.0 && overhead < head / 2.0, "{head} {overhead}");
    assert!(total(&metrics, "opgate_request_duration_seconds_sum") >= head);
    assert_eq!(total(&metrics, "opgate_overhead_duration_seconds_count"), 1.0);
    assert_eq!(total(&metrics, "opgate_upstream_attempts_total"), 1.0);
    assert_eq!(total(&metrics, "opgate_upstream_retries_total"), 0.0);
    // Each stage was measured once, and its body was waited for.
    for stage in ["parse", "route", "authenticate", "scope", "iam", "admit", "body"] {
        let series = format!("opgate_decision_duration_seconds_count{{stage=\"{stage}\"}}");
        assert_eq!(value(&metrics, &series), 1.0, "{stage}\n{metrics}");
    }
    assert_eq!(value(&metrics, "opgate_body_wait_seconds_count"), 1.0);
}

/// A slow body is its client's.
#[tokio::test]
async fn a_slow_body_is_not_the_gates_time() {
    let gate = Gate::start();
    let mut connection = Connection::open(gate.address).await;
    let whole = wait("0.001s").to_http1();
    let (first, rest) = whole.split_at(whole.len() - 5);
    connection.send(first).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    connection.send(rest).await;
    assert_eq!(connection.status().await, Some(200));
    gate.audit(1);
    let metrics = gate.metrics().await;
    let waited = value(&metrics, "opgate_body_wait_seconds_sum");
    let overhead = total(&metrics, "opgate_overhead_duration_seconds_sum");
    let head = total(&metrics, "opgate_upstream_response_head_seconds_sum");
    assert!(waited > 1.5 && overhead < waited / 2.0 && head < waited / 2.0, "{waited} {overhead} {head}");
}

/// A client that resets gave `code="0"`.
#[tokio::test]
async fn a_client_that_left_is_told_as_499() {
    let gate = Gate::start();
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    stream.write_all(&wait("5s").to_http1()).await.unwrap();
    gate.backend_has_seen(1).await;
    // A reset, not an end.
    stream.set_zero_linger().unwrap();
    drop(stream);
    let line = gate.audit(1).remove(0);
    assert_eq!(line["protoPayload"]["metadata"]["reason"], "CLIENT_CLOSED_REQUEST", "{line}");
    assert_eq!(line["httpRequest"]["status"], 499);
    let metrics = gate.metrics().await;
    let left = metrics.lines().find(|line| line.contains("reason=\"CLIENT_CLOSED_REQUEST\"")).unwrap();
    assert!(left.contains("code=\"499\"") && left.ends_with(" 1"), "{left}");
    // It was decided before.
    let allowed = "opgate_decisions_total{decision=\"allowed\",stage=\"body\"}";
    assert_eq!(value(&metrics, allowed), 1.0);
}

/// A head that did not come in time was logged as 0.1 ms.
#[tokio::test]
async fn a_head_that_is_too_slow_took_its_time() {
    let set = vec!["limits={head_timeout: 1s}".to_owned()];
    let gate = Gate::start_with(Setup { set, ..Setup::default() });
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 408 "));
    let line = gate.audit(1).remove(0);
    let latency = line["httpRequest"]["latency"].as_str().unwrap();
    assert!(latency.trim_end_matches('s').parse::<f64>().unwrap() > 0.5, "{latency}");
}

#[tokio::test]
async fn a_scraper_gets_the_format_that_it_asks_for() {
    let gate = Gate::start();
    let get = async |accept: &str| {
        let accept = format!("Accept: {accept}\r\n");
        let head = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{accept}Connection: close\r\n\r\n");
        let mut stream = TcpStream::connect(gate.admin).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let open = get("application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3").await;
    assert!(open.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
    assert!(open.ends_with("# EOF\n") && open.contains("# TYPE opgate_requests counter\n"), "{open}");
    assert!(open.contains("# UNIT opgate_overhead_duration_seconds seconds\n"));
    let plain = wire::fetch(gate.admin, "/metrics").await.unwrap();
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let plain = String::from_utf8(plain.body).unwrap();
    assert!(plain.contains("# TYPE opgate_requests_total counter\n") && !plain.contains("# EOF"));
}
