//! The operator's log while the gate serves: its filter, its first line, and the ids in it.

use std::time::{Duration, Instant};

use opgate::dev::wire;
use serde_json::{Value, json};

use crate::harness::{Answer, Gate, Setup, cancel};

const TOKEN: &str = "correct-horse-battery-staple";

async fn ask(gate: &Gate, method: &str, fields: &str, body: &str) -> Answer {
    let request = format!(
        "{method} /log HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n{fields}Connection: close\r\n\r\n{body}",
        gate.admin,
        body.len()
    );
    wire::exchange(gate.admin, request.as_bytes()).await.unwrap()
}

async fn put(gate: &Gate, body: &Value) -> Answer {
    ask(gate, "PUT", "Content-Type: application/json\r\n", &body.to_string()).await
}

fn filter(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    answer.json().unwrap()["filter"].as_str().unwrap().to_owned()
}

/// The lines of the log, which is JSON here, that have this message.
fn lines(gate: &Gate, message: &str) -> Vec<Value> {
    let lines = gate.log();
    let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["fields"]["message"] == message).collect()
}

async fn until(what: &str, found: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !found().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn gate(set: &[String]) -> Gate {
    let set = set.iter().cloned().chain(["telemetry.format=json".to_owned()]).collect();
    Gate::start_with(Setup { set, ..Setup::default() })
}

#[tokio::test]
async fn the_log_filter_is_changed_while_the_gate_serves_and_falls_back() {
    let gate = gate(&[]);
    assert_eq!(filter(&ask(&gate, "GET", "", "").await), "info");
    assert_eq!(gate.http1(&cancel()).await.status, 200);
    assert!(!gate.log().contains("DEBUG"));

    assert_eq!(filter(&put(&gate, &json!({ "filter": "debug" })).await), "debug");
    let answer = gate.http1(&cancel()).await;
    let id = answer.header("x-request-id").unwrap().to_owned();
    // What libraries and the gate say within the request names it.
    until("the lines of the request", async || {
        let log = gate.log();
        log.lines().any(|line| line.contains("DEBUG") && line.contains(&id))
    })
    .await;
    assert_eq!(filter(&ask(&gate, "DELETE", "", "").await), "info");

    assert_eq!(
        filter(&put(&gate, &json!({ "filter": "opgate=trace", "lasts": "300ms" })).await),
        "opgate=trace"
    );
    until("it falls back", async || filter(&ask(&gate, "GET", "", "").await) == "info").await;
    until("it says so", async || lines(&gate, "the log filter is the configured one again").len() == 1).await;
}

#[tokio::test]
async fn who_may_not_read_policy_changes_no_log() {
    let closed = gate(&[]);
    for (fields, status) in [
        ("Content-Type: text/plain\r\n", 415),
        ("Content-Type: application/json\r\nOrigin: https://evil.example\r\n", 403),
    ] {
        assert_eq!(ask(&closed, "PUT", fields, r#"{"filter":"debug"}"#).await.status, status, "{fields}");
    }
    for body in [json!({ "filter": "=," }), json!({ "filter": "debug", "lasts": "soon" }), json!({})] {
        let answer = put(&closed, &body).await;
        assert!(matches!(answer.status, 400 | 422), "{} {body}", answer.status);
        assert!(!answer.json().unwrap()["error"]["help"].as_str().unwrap().is_empty());
    }
    assert_eq!(ask(&closed, "DELETE", "Origin: https://evil.example\r\n", "").await.status, 403);
    assert_eq!(filter(&ask(&closed, "GET", "", "").await), "info");

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, TOKEN).unwrap();
    let guarded = gate(&[format!("admin.explain={}", json!({ "token_file": file }))]);
    for method in ["GET", "PUT", "DELETE"] {
        let answer =
            ask(&guarded, method, "Content-Type: application/json\r\n", r#"{"filter":"debug"}"#).await;
        assert_eq!(answer.status, 401, "{method}");
    }
    let bearer = format!("Content-Type: application/json\r\nAuthorization: Bearer {TOKEN}\r\n");
    assert_eq!(filter(&ask(&guarded, "PUT", &bearer, r#"{"filter":"debug"}"#).await), "debug");
}

#[tokio::test]
async fn the_first_line_says_what_has_started() {
    let gate = gate(&[]);
    let started = lines(&gate, "started");
    let [line] = &started[..] else { panic!("{}", gate.log()) };
    let fields = &line["fields"];
    assert_eq!(fields["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(fields["listeners"], gate.address.to_string());
    assert_eq!(fields["admin"], gate.admin.to_string());
    assert_eq!(fields["ready"], true);
    let ready: Value = gate.admin("/readyz").await.json().unwrap();
    assert_eq!(fields["policy_revision"], ready["policyRevision"]);
}
