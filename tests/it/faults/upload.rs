//! Bodies that are streamed, and backends that do not wait for them.

use std::time::Duration;

use super::row::{impatient, patient};
use crate::connection::Connection;
use crate::harness::{COMPANION, Gate, Setup, TRAIN, Tree, cancel, reason, token};
use crate::origin::Step::{self, Body, Head, Say};
use crate::origin::{OK, Origin};

/// The shipped policies, with a `:wait` that takes any bytes.
fn streaming(origins: &[&Origin], mut set: Vec<String>) -> (Tree, Gate) {
    let tree = Tree::shipped();
    let rule = "- selector: google.longrunning.Operations.WaitOperation\n";
    tree.edit("services/cloudaicompanion.iam.yaml", rule, &format!("{rule}  body: stream\n"));
    set.push(tree.setting());
    let endpoints = Some(origins.iter().map(|origin| origin.address).collect());
    let gate = Gate::start_with(Setup { endpoints, set, ..Setup::default() });
    (tree, gate)
}

/// The head of an upload of 1,000 bytes.
fn upload() -> String {
    format!(
        "POST {TRAIN}:wait HTTP/1.1\r\nHost: {COMPANION}\r\nAuthorization: Bearer {}\r\nContent-Length: 1000\r\n\r\n",
        token("ana@example.com")
    )
}

/// The backend answers before the client has sent anything. The rest of the body is still read as a body; if it never
/// comes, the connection that waits for it is not used again.
#[tokio::test]
async fn an_answer_before_the_body_is_passed_on() {
    let early: &[Step] = &[Head, Say(OK), Body];
    for goes_on in [true, false] {
        let origin = Origin::start(early).await;
        let (_policies, gate) = streaming(&[&origin], patient());
        let mut connection = Connection::open(gate.address).await;
        connection.send(upload()).await;
        let answer = connection.answer().await.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"{}".as_slice()));
        if goes_on {
            // These bytes look like a request. They are a body, for the gate and for the backend.
            let poison = "POST /v1/x:cancel HTTP/1.1\r\n\r\n".repeat(40);
            connection.send(&poison[..1000]).await;
        }
        drop(connection);
        gate.audit(1);
        assert_eq!(gate.http1(&cancel()).await.status, 200);
        assert_eq!(origin.requests().len(), 2, "{:?}", origin.requests());
        assert!(origin.requests().iter().all(|head| head.starts_with("POST /v1/projects/")));
        assert!(goes_on || origin.connections() == 2);
    }
}

/// A slow client, within `limits.body_timeout`, is not a fault of the backend.
#[tokio::test]
async fn a_slow_upload_is_not_the_backends_fault() {
    let origin = Origin::start(&[Head, Body, Say(OK)]).await;
    let (_policies, gate) = streaming(&[&origin], patient());
    let mut connection = Connection::open(gate.address).await;
    connection.send(upload()).await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(30)).await;
        connection.send([b'a'; 100]).await;
    }
    let answer = connection.answer().await.unwrap();
    assert_eq!(answer.status, 200, "{}", reason(&answer));
    assert_eq!(origin.requests().len(), 1);
    assert_eq!(gate.sum("opgate_upstream_errors_total").await, 0);
}

/// Nor is a client that takes longer than the gate waits for an answer: other clients keep the endpoint.
#[tokio::test]
async fn a_stalled_upload_ejects_no_endpoint() {
    let origins = [Origin::start(&[Head, Body, Say(OK)]).await, Origin::start(&[Head, Body, Say(OK)]).await];
    let mut set = impatient("10s");
    set.push("upstreams.operations.outliers={failures: 1, ejection: 1h, longest_ejection: 1h}".to_owned());
    let (_policies, gate) = streaming(&origins.each_ref(), set);
    for _ in 0..2 {
        let mut connection = Connection::open(gate.address).await;
        connection.send(upload()).await;
        assert_eq!(connection.answer().await.unwrap().status, 504);
    }
    let metrics = gate.metrics().await;
    // A reload in between begins the turns anew: one endpoint may have had both.
    assert_eq!(origins.iter().map(|origin| origin.requests().len()).sum::<usize>(), 2);
    for origin in &origins {
        let told =
            format!("opgate_upstream_healthy{{endpoint=\"{}\",upstream=\"operations\"}} 1\n", origin.address);
        assert!(metrics.contains(&told), "{metrics}");
    }
}

/// The client closes in the middle: the backend must see that the request is incomplete.
#[tokio::test]
async fn a_cut_upload_is_never_taken_for_whole() {
    let origin = Origin::start(&[Head, Body, Say(OK)]).await;
    let (_policies, gate) = streaming(&[&origin], patient());
    let mut connection = Connection::open(gate.address).await;
    connection.send(upload()).await;
    connection.send([b'a'; 500]).await;
    while origin.requests().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(connection);
    let line = gate.audit(1).remove(0);
    assert_ne!(line["protoPayload"]["metadata"]["reason"], "ALLOWED", "{line}");
    assert_eq!(gate.http1(&cancel()).await.status, 200);
    assert_eq!((origin.requests().len(), origin.connections()), (2, 2));
    assert_eq!(gate.sum("opgate_upstream_errors_total").await, 0, "a stall is not a fault of the backend");
}
