//! Limits of one service and of one method, in place of those of all, and when a client is told to ask again.

use std::time::Duration;

use crate::bodies::{in_every_framing, wait};
use crate::harness::{Gate, Req, Setup, Tree, cancel, get, reason, token};
use crate::origin::Step::{Body, Hang, Head};
use crate::origin::{Origin, refusing};

const WAIT: &str = "google.longrunning.Operations.WaitOperation";
const CANCEL: &str = "google.longrunning.Operations.CancelOperation";

fn gate(set: &[String]) -> Gate {
    Gate::start_with(Setup { set: set.to_vec(), ..Setup::default() })
}

fn limits(limits: &str) -> String {
    format!("services.cloudaicompanion.limits={limits}")
}

/// A wait whose JSON has this many bytes.
fn padded(bytes: usize) -> Vec<u8> {
    let mut body = br#"{"timeout": "0.001s"}"#.to_vec();
    body.resize(bytes, b' ');
    body
}

#[tokio::test]
async fn a_method_has_a_bound_of_its_own_for_messages() {
    let gate =
        gate(&[limits(&format!("{{message_bytes: 1KiB, methods: {{{WAIT}: {{message_bytes: 2KiB}}}}}}"))]);
    for (bytes, refused) in [(2048, false), (2049, true)] {
        for (framing, answer) in in_every_framing(&gate, &wait(), &padded(bytes)).await {
            let is_refused = answer.status == 413 && reason(&answer) == "REQUEST_BODY_TOO_LARGE";
            assert_eq!(is_refused, refused, "{framing} {bytes}: {} {}", answer.status, reason(&answer));
        }
    }
}

/// Another service keeps what is said of all.
#[tokio::test]
async fn a_service_has_a_bound_of_its_own_for_streams() {
    let tree = Tree::shipped();
    for (service, permission) in [("cloudaicompanion", "cloudaicompanion"), ("dataproc", "dataproc")] {
        tree.edit(
            &format!("services/{service}.iam.yaml"),
            &format!("WaitOperation\n  permission: {permission}.operations.get\n"),
            &format!("WaitOperation\n  permission: {permission}.operations.get\n  body: stream\n  body_may_name_another_resource: true\n"),
        );
    }
    let gate = gate(&[tree.setting(), limits("{stream_bytes: 1KiB}")]);
    let other = Req::new("POST", crate::harness::DATAPROC, "/v1/projects/demo/regions/r/operations/o:wait")
        .bearer(&token("ana@example.com"));
    for (framing, answer) in in_every_framing(&gate, &wait(), &padded(1025)).await {
        assert_eq!((answer.status, reason(&answer).as_str()), (413, "REQUEST_BODY_TOO_LARGE"), "{framing}");
    }
    for (framing, answer) in in_every_framing(&gate, &other, &padded(1025)).await {
        assert_ne!(answer.status, 413, "{framing}");
    }
}

#[tokio::test]
async fn a_method_has_a_deadline_of_its_own() {
    let origin = Origin::start(&[Head, Body, Hang]).await;
    let set = vec![
        "upstreams.operations.timeouts={response: 60s, total: 60s}".to_owned(),
        limits(&format!("{{methods: {{{CANCEL}: {{deadline: 100ms}}}}}}")),
    ];
    let gate = Gate::start_with(Setup { endpoints: Some(vec![origin.address]), set, ..Setup::default() });
    for answer in gate.over_both(&cancel()).await {
        assert_eq!((answer.status, reason(&answer).as_str()), (504, "UPSTREAM_TIMEOUT"));
    }
    assert_eq!(origin.requests().len(), 2, "what may have arrived is not sent again");
}

/// The deadline of Google's own file shortens what the upstream says; it does not extend it.
#[tokio::test]
async fn the_deadline_of_a_service_file_counts() {
    for (total, deadline) in [("60s", "0.1"), ("100ms", "60.0")] {
        let origin = Origin::start(&[Head, Body, Hang]).await;
        let tree = Tree::shipped();
        tree.edit(
            "services/cloudaicompanion.yaml",
            "\nhttp:\n",
            &format!("\nbackend:\n  rules:\n  - selector: 'google.longrunning.Operations.*'\n    deadline: {deadline}\n\nhttp:\n"),
        );
        let response = if total == "60s" { "60s" } else { "50ms" };
        let set = vec![
            tree.setting(),
            format!("upstreams.operations.timeouts={{response: {response}, total: {total}}}"),
        ];
        let gate = Gate::start_with(Setup { endpoints: Some(vec![origin.address]), set, ..Setup::default() });
        let answer = gate.http1(&cancel()).await;
        assert_eq!(
            (answer.status, reason(&answer).as_str()),
            (504, "UPSTREAM_TIMEOUT"),
            "{total} {deadline}"
        );
    }
}

#[tokio::test]
async fn a_refusal_says_when_the_next_health_check_is() {
    let set = vec!["upstreams.operations.health_check={interval: 2500ms, unhealthy_after: 1}".to_owned()];
    let endpoints = Some(vec![refusing().await]);
    let gate = Gate::start_with(Setup { endpoints, set, ..Setup::default() });
    // The first check may not have failed yet: then the connection does.
    let answer = loop {
        let answer = gate.http1(&get()).await;
        assert_eq!((answer.status, reason(&answer).as_str()), (503, "UPSTREAM_UNAVAILABLE"));
        if answer.header("retry-after").is_some() {
            break answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(answer.header("retry-after"), Some("3"));
    for answer in gate.over_both(&get()).await {
        assert_eq!(answer.header("retry-after"), Some("3"));
    }
}

#[test]
fn limits_with_mistakes_are_reported_where_they_stand() {
    let workspace = crate::cli::Workspace::new().edit(
        "config/opgate.yaml",
        "    # hosts: [cloudaicompanion.googleapis.com]",
        "    limits:\n      message_bytes: 11MiB\n      deadline: 5\n      methods:\n        google.longrunning.Operations.WaitOperatoin: {stream_byte: 1MiB}\n    # hosts: [cloudaicompanion.googleapis.com]",
    );
    let wrong = workspace.opgate(&["check", "--config", "config/opgate.yaml"]);
    let unknown = crate::cli::Workspace::new().edit(
        "config/opgate.yaml",
        "    # hosts: [cloudaicompanion.googleapis.com]",
        "    limits: {message_bytes: 9MiB, methods: {google.longrunning.Operations.WaitOperatoin: {deadline: 1s}}}\n    # hosts: [cloudaicompanion.googleapis.com]",
    );
    let small =
        unknown.opgate(&["check", "--config", "config/opgate.yaml", "--set", "limits.held_bytes=1MiB"]);
    let unknown = unknown.opgate(&["check", "--config", "config/opgate.yaml"]);
    insta::assert_snapshot!([wrong, small, unknown].map(|outcome| outcome.text()).join("\n"));
}
