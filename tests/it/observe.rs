//! What operators and auditors see: the admin endpoints, the metrics and the audit log.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Write;
use std::process::{Command, Stdio};

use opgate::dev::mint::Mint;
use opgate::dev::wire;
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::harness::{
    Answer, Body, CLOUD_TRANSLATION, COMPANION, DATAPROC, Gate, Req, Setup, TRAIN, TRANSLATION, claims,
    foreign_key, key, reason, token, token_with,
};

fn cancel() -> Req {
    Req::new("POST", COMPANION, &format!("{TRAIN}:cancel"))
}

/// One request of each outcome that does not need a misbehaving backend, with the expected reason.
pub fn outcomes() -> Vec<(Req, u16, &'static str)> {
    let ana = token("ana@example.com");
    let narrow = key().sign(&claims("ana@example.com", &[CLOUD_TRANSLATION])).unwrap();
    let forged = foreign_key().sign(&claims("ana@example.com", &[])).unwrap();
    let expired = token_with("ana@example.com", json!({ "iat": 1, "exp": 2 }));
    let job = "/v1/projects/demo/regions/us-central1/operations/job-1";
    vec![
        (cancel().bearer(&ana), 200, "ALLOWED"),
        (Req::new("GET", COMPANION, TRAIN).bearer(&token("bob@example.com")), 200, "ALLOWED"),
        (Req::new("GET", COMPANION, &TRAIN.replace("train", "no")).bearer(&ana), 404, "ALLOWED"),
        (
            Req::new("POST", TRANSLATION, "/v3/projects/demo/operations/batch-1:cancel").bearer(&narrow),
            200,
            "ALLOWED",
        ),
        (Req::new("POST", DATAPROC, &format!("{job}:wait")).bearer(&ana), 501, "ALLOWED"),
        (cancel(), 401, "CREDENTIALS_MISSING"),
        (cancel().bearer(&forged), 401, "JWT_TOKEN_INVALID"),
        (cancel().bearer(&expired), 401, "ACCESS_TOKEN_EXPIRED"),
        (cancel().bearer(&narrow), 403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT"),
        (cancel().bearer(&token("bob@example.com")), 403, "IAM_PERMISSION_DENIED"),
        (cancel().bearer(&ana).body(Body::Length(b"[]".to_vec())), 400, "REQUEST_BODY_REFUSED"),
        (cancel().bearer(&ana).body(Body::Length(vec![b' '; 99_999])), 413, "REQUEST_BODY_TOO_LARGE"),
        (Req::new("POST", COMPANION, "/v1/nothing").bearer(&ana), 404, "METHOD_NOT_FOUND"),
        (Req::new("PUT", COMPANION, TRAIN).bearer(&ana), 405, "HTTP_METHOD_NOT_ALLOWED"),
        (Req::new("POST", "elsewhere.localhost", "/v1/x").bearer(&ana), 404, "METHOD_NOT_FOUND"),
        (Req::new("POST", COMPANION, "/v1/a/../b").bearer(&ana), 400, "REQUEST_MALFORMED"),
        (Req::new("POST", COMPANION, &format!("{TRAIN}:cancel?access_token=x")).bearer(&ana), 400, ""),
    ]
}

/// `opgate_requests_total` by code and reason.
fn counted(metrics: &str) -> BTreeMap<(String, String, String, String), u64> {
    let mut counts = BTreeMap::new();
    for line in metrics.lines() {
        let Some(rest) = line.strip_prefix("opgate_requests_total{") else { continue };
        let (labels, count) = rest.rsplit_once("} ").unwrap();
        let labels: BTreeMap<&str, &str> =
            labels.split(',').map(|label| label.split_once('=').unwrap()).collect();
        let label = |name| labels[name].trim_matches('"').to_owned();
        let count: u64 = count.parse().unwrap();
        if count > 0 {
            let known = |name| Some(label(name)).filter(|value| value != "unknown").unwrap_or_default();
            let (service, method) = (known("service"), known("method"));
            *counts.entry((service, method, label("code"), label("reason"))).or_default() += count;
        }
    }
    counts
}

/// The same counts, from audit lines.
fn written(lines: &[Value]) -> BTreeMap<(String, String, String, String), u64> {
    let mut counts = BTreeMap::new();
    for line in lines {
        let payload = &line["protoPayload"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let labels = (
            text(&payload["serviceName"]),
            text(&payload["methodName"]),
            line["httpRequest"]["status"].to_string(),
            text(&payload["metadata"]["reason"]),
        );
        *counts.entry(labels).or_default() += 1;
    }
    counts
}

/// The name and labels of every series.
fn series(metrics: &str) -> BTreeSet<String> {
    let samples = metrics.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    samples.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

#[tokio::test]
async fn the_admin_endpoints_answer() {
    let gate = Gate::start();
    let get = async |path| wire::fetch(gate.admin, path).await.unwrap();
    let livez = get("/livez").await;
    assert_eq!((livez.status, livez.body.as_slice()), (200, b"ok\n".as_slice()));
    let readyz = get("/readyz").await;
    let ready = readyz.json().unwrap();
    assert_eq!((readyz.status, &ready["ready"], &ready["reasons"]), (200, &json!(true), &json!([])));
    assert!(!ready["policyRevision"].as_str().unwrap().is_empty());
    assert_eq!(get("/version").await.json().unwrap(), json!({ "version": env!("CARGO_PKG_VERSION") }));
    let metrics = get("/metrics").await;
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(get("/nothing").await.status, 404);

    // They are served on the admin port alone.
    for path in ["/livez", "/readyz", "/metrics", "/version"] {
        let answer = gate.http1(&Req::new("GET", COMPANION, path)).await;
        assert_eq!((answer.status, reason(&answer).as_str()), (404, "METHOD_NOT_FOUND"), "{path}");
    }
}

#[tokio::test]
async fn every_documented_metric_is_there_and_promtool_accepts_them() {
    let set = vec!["policy.shadow=../policies".to_owned()];
    let gate = Gate::start_with(Setup { set, ..Setup::default() });
    let outcomes = outcomes();
    for (request, ..) in &outcomes {
        gate.http1(request).await;
    }
    gate.audit(outcomes.len());
    let metrics = gate.metrics().await;
    for name in [
        "opgate_requests_total",
        "opgate_shadow_decisions_total",
        "opgate_request_duration_seconds_bucket",
        "opgate_decision_duration_seconds_bucket",
        "opgate_upstream_response_head_seconds_bucket",
        "opgate_connections",
        "opgate_jwks_keys",
        "opgate_jwks_last_success_timestamp_seconds",
        "opgate_jwks_refreshes_total",
        "opgate_policy_info",
        "opgate_policy_bindings",
        "opgate_policy_last_reload_successful",
        "opgate_policy_last_reload_success_timestamp_seconds",
        "opgate_reloads_total",
        "opgate_reload_last_successful",
        "opgate_reload_last_success_timestamp_seconds",
        "opgate_reload_lag_seconds_bucket",
        "opgate_audit_dropped_total",
        "opgate_build_info",
        "process_resident_memory_bytes",
    ] {
        assert!(series(&metrics).iter().any(|series| series.split('{').next() == Some(name)), "{name}");
    }

    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        eprintln!("promtool is not installed: the metrics are not checked by it");
        return;
    };
    promtool.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[tokio::test]
async fn no_client_can_multiply_series() {
    let gate = Gate::start();
    let ana = token("ana@example.com");
    let vary = |number: usize| {
        let id = format!("x{number}");
        let invented = token(&format!("{id}@example.com"));
        let letters: String = [number / 26, number % 26]
            .iter()
            .map(|at| char::from(b'A' + u8::try_from(*at).unwrap()))
            .collect();
        vec![
            Req::new("POST", COMPANION, &format!("/v1/{id}/y")).bearer(&ana),
            Req::new("POST", COMPANION, &format!("/v1/projects/{id}/locations/l/operations/o:cancel"))
                .bearer(&ana),
            Req::new("POST", COMPANION, &format!("{TRAIN}:{id}")).bearer(&ana),
            Req::new("POST", &format!("{id}.localhost"), &format!("{TRAIN}:cancel")).bearer(&ana),
            Req::new(&format!("X{letters}"), COMPANION, TRAIN).bearer(&ana),
            cancel().bearer(&invented),
            cancel().bearer(&format!("{id}.{id}.{id}")),
            Req::new("GET", COMPANION, &format!("{TRAIN}{id}")).bearer(&ana),
            Req::new("POST", COMPANION, &format!("/{id}/../y")).bearer(&ana),
        ]
    };
    for request in vary(0) {
        gate.http1(&request).await;
    }
    let kinds = vary(0).len();
    gate.audit(kinds);
    let before = series(&gate.metrics().await);
    for number in 1..=200 {
        let requests = vary(number);
        gate.http1(&requests[number % kinds]).await;
        gate.http1(&requests[(number + 4) % kinds]).await;
    }
    gate.audit(kinds + 400);
    let after = series(&gate.metrics().await);
    assert_eq!(before, after);
}

#[tokio::test]
async fn every_request_has_one_audit_line_and_one_count() {
    let mut gate = Gate::start();
    let outcomes = outcomes();
    let mut answers: Vec<(Answer, u16, &str)> = Vec::new();
    for (request, status, expected) in &outcomes {
        for answer in gate.over_both(request).await {
            answers.push((answer, *status, expected));
        }
    }
    // Heads that no library would send.
    for bytes in ["GET / HTTP/1.1\r\n\r\n", "junk\r\n\r\n", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"] {
        answers.push((gate.raw(bytes).await, 400, "REQUEST_MALFORMED"));
    }
    let mut kept_alive = Connection::open(gate.address).await;
    for _ in 0..3 {
        kept_alive.send(cancel().bearer(&token("ana@example.com")).to_http1()).await;
        answers.push((kept_alive.answer().await.unwrap(), 200, "ALLOWED"));
    }
    for (answer, status, expected) in &answers {
        assert_eq!(answer.status, *status, "{expected}");
    }

    gate.audit(answers.len());
    let metrics = gate.metrics().await;
    assert!(gate.terminate().success());
    let lines = gate.audit(0);
    assert_eq!(lines.len(), answers.len());
    assert_eq!(counted(&metrics), written(&lines));

    // The answer's request id leads to the line that says why.
    let mut ids = HashSet::new();
    for line in &lines {
        assert!(ids.insert(line["insertId"].as_str().unwrap().to_owned()), "an id was given twice");
    }
    for (answer, _, expected) in &answers {
        let id = answer.header("x-request-id").expect("every answer carries its id");
        let line = lines.iter().find(|line| line["insertId"] == id).expect("the line of an answer");
        let told = if *expected == "ALLOWED" { "ALLOWED".to_owned() } else { reason(answer) };
        assert_eq!(line["protoPayload"]["metadata"]["reason"], told, "{expected}");
        assert_eq!(line["httpRequest"]["status"], answer.status);
        if !expected.is_empty() {
            assert_eq!(told, *expected);
        }
    }
}

#[tokio::test]
async fn an_audit_line_is_a_log_entry_with_an_audit_payload() {
    let gate = Gate::start();
    let outcomes = outcomes();
    let mut secrets = HashSet::new();
    for (request, ..) in &outcomes {
        gate.http1(request).await;
        gate.http2(request).await;
        let bearer = request.headers.iter().filter(|(name, _)| name == "authorization");
        secrets.extend(bearer.flat_map(|(_, value)| value.trim_start_matches("Bearer ").split('.').skip(1)));
    }
    assert!(secrets.len() > 4);
    let lines = gate.audit(outcomes.len() * 2);
    for line in &lines {
        let text = line.to_string();
        assert!(secrets.iter().all(|secret| !text.contains(*secret)), "a part of a token: {text}");

        let payload = &line["protoPayload"];
        assert_eq!(payload["@type"], "type.googleapis.com/google.cloud.audit.AuditLog");
        let timestamp: jiff::Timestamp = line["timestamp"].as_str().unwrap().parse().unwrap();
        assert!(timestamp.as_second() > 1_700_000_000);
        assert!(line["httpRequest"]["latency"].as_str().unwrap().ends_with('s'));
        assert_eq!(payload["requestMetadata"]["callerIp"], "127.0.0.1");
        let decision = &payload["metadata"];
        assert!(!decision["policyRevision"].as_str().unwrap().is_empty());
        let allowed = decision["decision"] == "ALLOWED";
        let status = line["httpRequest"]["status"].as_u64().unwrap();
        let is_read = line["httpRequest"]["requestMethod"] == "GET";
        let severity = match (status >= 400, is_read) {
            (true, _) => "ERROR",
            (false, true) => "INFO",
            (false, false) => "NOTICE",
        };
        assert_eq!(line["severity"], severity, "{text}");
        let log = if is_read { "data_access" } else { "activity" };
        let name = format!("projects/opgate/logs/cloudaudit.googleapis.com%2F{log}");
        // A head that cannot be read has no method.
        if line["httpRequest"]["requestMethod"].is_string() {
            assert_eq!(line["logName"], name, "{text}");
        }
        assert_eq!(line["resource"]["type"], "audited_resource");
        // The backend's own errors are failures as well.
        assert_eq!(payload["status"] == json!({}), status < 400, "{text}");
        assert_eq!(decision["upstream"].is_object(), allowed, "{text}");
        if allowed {
            assert!(decision["rule"]["place"].as_str().unwrap().contains(".yaml:"), "{text}");
        } else {
            assert!(!decision["detail"].as_str().unwrap().is_empty(), "{text}");
        }
        if payload["methodName"].is_string() {
            assert!(payload["serviceName"].as_str().unwrap().ends_with(".googleapis.com"));
            assert!(payload["resourceName"].as_str().unwrap().starts_with("projects/demo/"));
            // Translation requires no permission.
            let asks = payload["serviceName"] != "translation.googleapis.com";
            let reason = decision["reason"].as_str().unwrap();
            let asked = allowed || reason == "IAM_PERMISSION_DENIED" || reason.starts_with("REQUEST_BODY");
            assert_eq!(payload["authorizationInfo"].is_array(), asks && asked, "{text}");
            for info in payload["authorizationInfo"].as_array().into_iter().flatten() {
                // The body is judged after IAM has granted.
                let body_refused = decision["reason"].as_str().unwrap().starts_with("REQUEST_BODY");
                assert_eq!(info["granted"], allowed || body_refused, "{text}");
                assert!(info["permission"].as_str().unwrap().contains(".operations."));
            }
        }
    }
    let log = gate.log();
    assert!(secrets.iter().all(|secret| !log.contains(*secret)), "a part of a token: {log}");
}
