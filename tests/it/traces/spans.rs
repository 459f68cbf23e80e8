//! Spans of requests, as a collector gets them.

use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::json;

use super::context::{PROXIES, TRACEPARENT};
use super::receiver::{Mood, Receiver, Span};
use crate::harness::{CANCEL, COMPANION, Gate, Req, Setup, TRAIN, cancel, get, token, values};
use crate::origin::Step::{Body, Close, Head};
use crate::origin::{Origin, refusing};

/// Every request is recorded.
const ALL: &str = "{allowed: 1, proxied: 1000, denied: 1000, undecided: 1000}";
/// None is, unless a client can have it recorded.
const NONE: &str = "{allowed: 0, proxied: 0, denied: 0, undecided: 0}";
const ROUTE: &str = "/v1/{name=projects/*/locations/*/operations/*}:cancel";

fn gate(receiver: &Receiver, traces: &str, set: &[&str]) -> Gate {
    let set = set.iter().map(ToString::to_string).chain([receiver.setting(traces)]).collect();
    Gate::start_with(Setup { set, ..Setup::default() })
}

fn of_trace<'s>(spans: &'s [Span], trace: &str, kind: SpanKind) -> Vec<&'s Span> {
    spans.iter().filter(|span| span.trace_id == trace && span.kind == kind).collect()
}

#[tokio::test]
async fn an_allowed_request_is_one_trace_with_its_stages_and_its_attempt() {
    let receiver = Receiver::start(Mood::Takes).await;
    let gate = gate(&receiver, ALL, &[]);
    for answer in gate.over_both(&cancel().header("user-agent", "test/1.0")).await {
        assert_eq!(answer.status, 200);
    }
    let requests = receiver.requests(2).await;
    let lines = gate.audit(2);
    for span in &requests {
        assert_eq!(span.name, format!("POST {ROUTE}"));
        for (key, value) in [
            ("http.request.method", "POST"),
            ("http.response.status_code", "200"),
            ("http.route", ROUTE),
            ("url.path", CANCEL),
            ("url.scheme", "http"),
            ("server.address", COMPANION),
            ("client.address", "127.0.0.1"),
            ("user_agent.original", "test/1.0"),
            ("opgate.decision", "allowed"),
            ("opgate.reason", "ALLOWED"),
            ("opgate.stage", "body"),
            ("opgate.method", "google.longrunning.Operations.CancelOperation"),
            (
                "gcp.resource.destination.id",
                "//cloudaicompanion.googleapis.com/projects/demo/locations/us-central1/operations/train-1",
            ),
            ("error.type", ""),
        ] {
            assert_eq!(span.get(key), value, "{key}");
        }
        // The trace is named by the request.
        assert_eq!(span.get("opgate.request_id"), span.trace_id);
        let line = lines.iter().find(|line| line["insertId"] == *span.trace_id).unwrap();
        let decision = &line["protoPayload"]["metadata"];
        assert_eq!(decision["policyRevision"], span.get("opgate.policy.revision"));
        assert_eq!(decision["rule"]["place"], span.get("opgate.rule"));
        assert!(!span.is_failed && span.parent.is_empty() && span.links.is_empty());
        assert!(!span.attributes.values().any(|value| value.contains("ana@")), "{span:?}");

        let spans = receiver.spans();
        let stages = of_trace(&spans, &span.trace_id, SpanKind::Internal);
        let names: Vec<&str> = stages.iter().map(|stage| stage.name.as_str()).collect();
        assert_eq!(names[..6], ["parse", "route", "authenticate", "scope", "iam", "admit"]);
        let attempts = of_trace(&spans, &span.trace_id, SpanKind::Client);
        assert_eq!(attempts.len(), 1);
        for part in stages.iter().chain(&attempts) {
            assert_eq!(part.parent, span.span_id, "{}", part.name);
            assert!(part.nanoseconds.0 >= span.nanoseconds.0 && part.nanoseconds.0 <= part.nanoseconds.1);
        }
        assert_eq!(attempts[0].get("server.port"), gate.backend.address().port().to_string());
        assert_eq!(attempts[0].get("opgate.upstream"), "operations");
        assert_eq!(attempts[0].get("http.request.resend_count"), "");
        // The backend's spans are below the attempt's.
        let told = gate.backend.requests();
        let told: Vec<String> = told.iter().flat_map(|told| values(&told.headers, "traceparent")).collect();
        assert!(told.contains(&format!("00-{}-{}-03", span.trace_id, attempts[0].span_id)), "{told:?}");
    }
    let (_, resource) = &receiver.messages()[0];
    assert_eq!(
        (resource["service.name"].as_str(), resource["service.version"].as_str()),
        ("opgate", "0.1.0")
    );
}

#[tokio::test]
async fn a_refusal_names_the_stage_and_the_rule_that_decided() {
    let receiver = Receiver::start(Mood::Takes).await;
    let gate = gate(&receiver, "{allowed: 0, denied: 1000}", &[]);
    let eve = Req::new("POST", COMPANION, CANCEL).bearer(&token("eve@example.com"));
    for (request, reason, stage) in [
        (eve, "IAM_PERMISSION_DENIED", "iam"),
        (Req::new("POST", COMPANION, CANCEL), "CREDENTIALS_MISSING", "authenticate"),
        (Req::new("POST", COMPANION, "/v1/elsewhere"), "METHOD_NOT_FOUND", "route"),
    ] {
        let before = receiver.requests(receiver_count(&receiver)).await.len();
        let answer = gate.http1(&request).await;
        assert!((400..500).contains(&answer.status));
        let span = receiver.requests(before + 1).await.pop().unwrap();
        assert_eq!((span.get("opgate.reason"), span.get("opgate.stage")), (reason, stage));
        assert_eq!(span.get("opgate.decision"), "denied");
        // The client's mistake.
        assert!(!span.is_failed && span.get("error.type").is_empty());
        let spans = receiver.spans();
        let stages = of_trace(&spans, &span.trace_id, SpanKind::Internal);
        let last = stages.last().unwrap();
        assert_eq!((last.name.as_str(), last.get("opgate.reason")), (stage, reason));
        assert!(of_trace(&spans, &span.trace_id, SpanKind::Client).is_empty());
    }
    // An allowed one is not recorded.
    assert_eq!(gate.http1(&cancel()).await.status, 200);
    tokio::time::sleep(Duration::from_secs(2)).await;
    receiver.requests(3).await;
}

fn receiver_count(receiver: &Receiver) -> usize {
    receiver.spans().iter().filter(|span| span.kind == SpanKind::Server).count()
}

#[tokio::test]
async fn a_head_that_is_not_a_request_has_a_span() {
    let receiver = Receiver::start(Mood::Takes).await;
    let gate = gate(&receiver, ALL, &[]);
    assert_eq!(gate.raw("junk\r\n\r\n").await.status, 400);
    let span = receiver.requests(1).await.pop().unwrap();
    assert_eq!((span.name.as_str(), span.get("opgate.stage")), ("HTTP", "parse"));
    assert_eq!(span.get("opgate.reason"), "REQUEST_MALFORMED");
}

#[tokio::test]
async fn each_attempt_is_a_span_that_says_how_it_failed() {
    let receiver = Receiver::start(Mood::Takes).await;
    let dead = refusing().await;
    let origin = Origin::start(&[Head, Body, Close]).await;
    let setup = Setup {
        endpoints: Some(vec![dead, origin.address]),
        set: vec![receiver.setting("{allowed: 0, undecided: 1000}")],
        ..Setup::default()
    };
    let gate = Gate::start_with(setup);
    // One of two begins at the dead endpoint.
    for _ in 0..2 {
        assert_eq!(gate.http1(&cancel()).await.status, 502);
    }
    let requests = receiver.requests(2).await;
    let spans = receiver.spans();
    let attempts = requests.iter().map(|span| of_trace(&spans, &span.trace_id, SpanKind::Client));
    let tried_twice = attempts.into_iter().find(|attempts| attempts.len() == 2).expect("a second attempt");
    let told: Vec<_> = tried_twice
        .iter()
        .map(|span| (span.get("error.type"), span.get("http.request.resend_count"), span.get("server.port")))
        .collect();
    let ports = [dead, origin.address].map(|address| address.port().to_string());
    assert_eq!(told, [("connect", "", ports[0].as_str()), ("invalid", "1", ports[1].as_str())]);
    for span in &requests {
        assert!(span.is_failed);
        assert_eq!(span.get("error.type"), "UPSTREAM_INVALID");
        assert_eq!(span.get("opgate.decision"), "allowed", "the backend failed, not the decision");
    }
}

/// 9.8 of the target: a stranger's sampled flag samples nothing.
#[tokio::test]
async fn a_strangers_flag_records_nothing_and_its_trace_ends_at_the_gate() {
    let receiver = Receiver::start(Mood::Takes).await;
    let unrecorded = gate(&receiver, NONE, &[]);
    let stranger = cancel().header("traceparent", TRACEPARENT).header("tracestate", "congo=1");
    for _ in 0..5 {
        for answer in unrecorded.over_both(&stranger).await {
            assert_eq!(answer.status, 200);
        }
    }
    let told = unrecorded.backend.requests();
    assert_eq!(told.len(), 10);
    for request in told {
        let parent = values(&request.headers, "traceparent");
        assert!(parent.len() == 1 && parent[0].ends_with("-02"), "{parent:?}");
        assert!(!parent[0].contains("4bf92f3577b34da6a3ce929d0e0e4736"), "{parent:?}");
        assert!(!request.headers.contains_key("tracestate"));
    }
    // What is sent is sent after half a second; another gate's span comes later than these would.
    let recorded = gate(&receiver, ALL, &[]);
    assert_eq!(recorded.http1(&stranger).await.status, 200);
    let span = receiver.requests(1).await.pop().unwrap();
    let link = ("4bf92f3577b34da6a3ce929d0e0e4736".to_owned(), "00f067aa0ba902b7".to_owned());
    assert_eq!((span.links.as_slice(), span.parent.as_str()), (&[link][..], ""));
    assert_eq!(unrecorded.metric("opgate_spans_exported_total").await, 0);
}

#[tokio::test]
async fn a_trusted_proxys_trace_goes_on_and_its_flag_holds_up_to_the_cap() {
    let receiver = Receiver::start(Mood::Takes).await;
    let gate = gate(&receiver, "{allowed: 0, proxied: 1, denied: 0, undecided: 0}", &[PROXIES]);
    let proxied =
        cancel().header("traceparent", TRACEPARENT).header("tracestate", "congo=1").header("baggage", "a=1");
    assert_eq!(gate.http1(&proxied).await.status, 200);
    let span = receiver.requests(1).await.pop().unwrap();
    assert_eq!(span.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(span.parent, "00f067aa0ba902b7");
    assert_ne!(span.get("opgate.request_id"), span.trace_id);
    assert_eq!(span.flags & 0x300, 0x300, "the parent is of another process");
    let told = gate.backend.requests().remove(0).headers;
    let spans = receiver.spans();
    let attempt = of_trace(&spans, &span.trace_id, SpanKind::Client)[0];
    assert_eq!(values(&told, "traceparent"), [format!("00-{}-{}-01", span.trace_id, attempt.span_id)]);
    assert_eq!(
        (values(&told, "tracestate"), values(&told, "baggage")),
        (vec!["congo=1".into()], vec!["a=1".into()])
    );

    gate.backend.clear();
    for _ in 0..40 {
        assert_eq!(gate.http1(&proxied).await.status, 200);
    }
    let flags: Vec<bool> = gate
        .backend
        .requests()
        .iter()
        .map(|request| values(&request.headers, "traceparent")[0].ends_with("-01"))
        .collect();
    let sampled = flags.iter().filter(|sampled| **sampled).count();
    // One in each second that this took.
    assert!(sampled < flags.len() / 2, "{flags:?}");
}

#[tokio::test]
async fn fields_of_the_operator_go_with_each_message() {
    let receiver = Receiver::start(Mood::Takes).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("headers");
    std::fs::write(&file, "authorization=Bearer collector-key\nx-tenant=one\n").unwrap();
    let otlp = json!({
        "endpoint": format!("http://{}", receiver.address),
        "headers_file": file,
        "resource_attributes": { "service.name": "gate-eu", "deployment.environment.name": "prod" },
        "traces": { "allowed": 1 },
    });
    let gate = Gate::start_with(Setup { set: vec![format!("telemetry.otlp={otlp}")], ..Setup::default() });
    assert_eq!(gate.http1(&get()).await.status, 200);
    receiver.requests(1).await;
    let (headers, resource) = receiver.messages().remove(0);
    assert_eq!(
        (&headers["authorization"], &headers["x-tenant"]),
        (&"Bearer collector-key".parse().unwrap(), &"one".parse().unwrap())
    );
    assert_eq!(resource["service.name"], "gate-eu");
    assert_eq!(resource["deployment.environment.name"], "prod");
    // It is read for each message.
    std::fs::write(&file, "authorization=Bearer new-key\n").unwrap();
    assert_eq!(gate.http1(&get()).await.status, 200);
    receiver.requests(2).await;
    assert_eq!(receiver.messages()[1].0["authorization"], "Bearer new-key");
    assert!(!gate.log().contains("collector-key") && !gate.log().contains("new-key"));
}

/// A collector that does not answer, refuses, or rejects: requests go on, lines are written, losses are counted.
#[tokio::test]
async fn a_dead_receiver_loses_nothing_but_spans() {
    let receiver = Receiver::start(Mood::Answers(400)).await;
    let mut gate = gate(&receiver, ALL, &[]);
    let rejected = r#"opgate_spans_dropped_total{reason="rejected"}"#;
    assert_eq!(gate.metric(rejected).await, 0, "it is 0 from the start");
    assert_eq!(gate.http1(&cancel()).await.status, 200);
    wait_for(&gate, rejected, 5).await;

    receiver.turn(Mood::RejectsSome(1));
    assert_eq!(gate.http1(&cancel()).await.status, 200);
    receiver.requests(1).await;
    wait_for(&gate, "opgate_spans_exported_total", 1).await;

    let address = receiver.address;
    drop(receiver);
    for _ in 0..50 {
        assert_eq!(gate.http1(&cancel()).await.status, 200);
    }
    let lines = gate.audit(52);
    assert_eq!(lines.len(), 52);
    let metrics = gate.metrics().await;
    assert!(metrics.contains("opgate_audit_dropped_total{reason=\"queue_full\"} 0"), "{metrics}");
    // And the end of the process does not wait for it.
    let began = std::time::Instant::now();
    assert!(gate.terminate().success());
    assert!(began.elapsed() < Duration::from_secs(20));
    assert!(gate.log().contains("spans cannot be sent"), "{address}: {}", gate.log());
}

async fn wait_for(gate: &Gate, series: &str, at_least: u64) {
    for _ in 0..200 {
        if gate.metric(series).await >= at_least {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{series}: {}", gate.metrics().await);
}

/// The last spans of a process are sent before it ends.
#[tokio::test]
async fn spans_are_sent_at_the_end() {
    let receiver = Receiver::start(Mood::Takes).await;
    let mut gate = gate(&receiver, ALL, &[]);
    for _ in 0..20 {
        assert_eq!(
            gate.http1(&Req::new("GET", COMPANION, TRAIN).bearer(&token("ana@example.com"))).await.status,
            200
        );
    }
    gate.ask_to_end();
    assert!(gate.ended().await.success());
    assert_eq!(receiver_count(&receiver), 20);
}

#[tokio::test]
async fn without_a_collector_no_span_is_made_and_no_trace_begins() {
    let gate = Gate::start();
    assert_eq!(gate.http1(&cancel()).await.status, 200);
    assert!(!gate.backend.requests()[0].headers.contains_key("traceparent"));
}
