//! Calls over gRPC that are not sent: `explain`, `test`, and what the log has of those that were.

use super::rig::*;
use crate::harness::{Tree, opgate, token};

const RPC: &str = "google.longrunning.Operations/CancelOperation";

fn explained(arguments: &[&str], tree: &Tree) -> (Option<i32>, String) {
    let mut command = opgate();
    command.arg("explain").arg("--policies").arg(tree.path()).args(arguments);
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

fn companion(message: &str, principal: &str, tree: &Tree) -> (Option<i32>, String) {
    let host = "cloudaicompanion.googleapis.com";
    explained(&["--grpc", RPC, "--message", message, "--principal", principal, "--host", host], tree)
}

#[test]
fn a_call_over_grpc_is_explained() {
    let tree = tree();
    let message = format!(r#"{{"name": "{OPERATION}"}}"#);
    let (code, text) = companion(&message, "user:ana@example.com", &tree);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("ALLOWED") && text.contains(OPERATION), "{text}");
    let (code, text) = companion(&message, "user:bob@example.com", &tree);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("IAM_PERMISSION_DENIED"), "{text}");
    let (code, text) = companion("{}", "user:ana@example.com", &tree);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("RESOURCE_NAME_REFUSED"), "{text}");
    for (message, told) in
        [(r#"{"nam": "x"}"#, "nam"), ("[]", "not one that the method takes"), ("{", "not JSON")]
    {
        let (code, text) = companion(message, "user:ana@example.com", &tree);
        assert!(code != Some(0) && code != Some(2) && text.contains(told), "{code:?} {text}");
    }
}

#[test]
fn a_decision_test_calls_over_grpc() {
    let tree = tree();
    let host = "host: cloudaicompanion.googleapis.com";
    tree.write(
        "tests/grpc.yaml",
        &format!(
            "- name: ana may cancel over gRPC
  principal: user:ana@example.com
  grpc: {RPC}
  message: {{name: {OPERATION}}}
  {host}
  expect: allowed
- name: bob may not
  principal: user:bob@example.com
  grpc: /{RPC}
  message: {{name: {OPERATION}}}
  {host}
  expect: IAM_PERMISSION_DENIED
- name: a message without a name is refused
  principal: user:ana@example.com
  grpc: {RPC}
  message: {{}}
  {host}
  expect: RESOURCE_NAME_REFUSED
- name: a nested field names the room
  principal: user:ana@example.com
  grpc: acme.chat.v1.Chat/Talk
  message: {{room: {{name: projects/demo/rooms/r}}, text: hi}}
  expect: allowed
"
        ),
    );
    let run = |tree: &Tree| {
        let output = opgate().args(["test", "--filter", "grpc.yaml"]).arg(tree.path()).output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (code, text) = run(&tree);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("4 passed") || text.contains("4 tests"), "{text}");
    // A test can fail.
    tree.edit("tests/grpc.yaml", "expect: allowed", "expect: denied");
    assert_eq!(run(&tree).0, Some(1));
    for (wrong, told) in [
        (format!("- {{name: a, grpc: {RPC}, expect: allowed}}\n"), "brings a message"),
        ("- {name: a, message: {}, expect: allowed}\n".to_owned(), "which method gets the message"),
        (format!("- {{name: a, grpc: {RPC}, message: {{}}, call: GET /, expect: allowed}}\n"), "says twice"),
    ] {
        tree.write("tests/grpc.yaml", &wrong);
        let (code, text) = run(&tree);
        assert!(code == Some(3) && text.contains(told), "{code:?} {text}");
    }
}

/// The log has the resource that the message named.
#[tokio::test]
async fn a_call_that_was_recorded_is_explained_and_replayed() {
    let backend = Backend::answering().await;
    let (gate, tree) = backend.gate(Vec::new());
    let cancel = Call::new(CANCEL, &token("bob@example.com"));
    let denied = cancel.send(&gate, frame(&text(1, OPERATION))).await;
    assert_eq!(denied.reason(), "IAM_PERMISSION_DENIED");
    let line = line_of(&gate, "CancelOperation").await;
    assert!(line.contains("\"protocol\":\"grpc\""), "{line}");
    assert!(line.contains("\"status\":403"), "{line}");
    let log = gate.path("audit.jsonl");
    let id = denied.headers["x-request-id"].to_str().unwrap();
    let (code, text) = explained(&["--request-id", id, "--audit", log.to_str().unwrap()], &tree);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("IAM_PERMISSION_DENIED") && text.contains(OPERATION), "{text}");
}
