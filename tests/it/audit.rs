//! The audit log, whatever a disk, a pipe or a client does to it.

mod lines;
mod outputs;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{CANCEL, COMPANION, Gate, Req, Setup, token};

/// A pipe whose reader is alive and does not read: `opgate run | less`.
#[tokio::test]
async fn a_stalled_audit_pipe_does_not_hold_the_end_of_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("audit");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let hold = format!("exec 3<>{}; exec sleep 60", pipe.display());
    let mut reader = Command::new("sh").args(["-c", &hold]).stdin(Stdio::null()).spawn().unwrap();
    let mut gate = Gate::start_with(Setup {
        set: vec![format!("audit.output={}", pipe.display()), "limits.grace_period=2s".into()],
        ..Setup::default()
    });
    let refused = Req::new("POST", COMPANION, CANCEL);
    for _ in 0..400 {
        // More than a pipe takes.
        assert_eq!(gate.http1(&refused).await.status, 401);
    }
    let asked = Instant::now();
    gate.ask_to_end();
    gate.ended().await;
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    assert!(gate.log().contains("the output of the audit log takes nothing"), "{}", gate.log());
    reader.kill().unwrap();
    reader.wait().unwrap();
}

/// HPACK sends a repeated field as one byte, and JSON writes a quote as two: a small request could fill the log.
#[tokio::test]
async fn text_that_a_client_chooses_is_logged_up_to_a_limit() {
    let gate = Gate::start();
    let agent = "\"".repeat(2_900);
    let long = format!("/v1/projects/demo/locations/us-central1/operations/{}:cancel", "o".repeat(5_000));
    let request =
        Req::new("POST", COMPANION, &long).bearer(&token("ana@example.com")).header("user-agent", &agent);
    assert_ne!(gate.http1(&request).await.status, 401);
    let line = gate.audit(1).remove(0);
    let agent = line["protoPayload"]["requestMetadata"]["callerSuppliedUserAgent"].as_str().unwrap();
    // Each takes two bytes.
    assert!(agent.ends_with("…[2772 bytes more]"), "{agent}");
    let resource = line["protoPayload"]["resourceName"].as_str().unwrap();
    assert!(resource.starts_with("projects/demo/") && resource.ends_with(" bytes more]"), "{resource}");
    let bytes = gate.audit_text().lines().next().unwrap().len();
    assert!(bytes <= 12 * 1024, "{bytes}");
}
