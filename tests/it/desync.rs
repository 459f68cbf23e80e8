//! Requests behind requests: pipelined ones, and ones hidden behind a head whose end two readers see in different
//! places.

pub mod corpus;

use crate::connection::Connection;
use crate::harness::{Body, CANCEL, COMPANION, Gate, Req, cancel, token};

/// RFC 9112, section 9.3.2. The gate may answer them in turn or close; it may not forward one without judging it.
#[tokio::test]
async fn pipelined_requests_are_judged_or_dropped() {
    let mut gate = Gate::start();
    let bob = Req::new("POST", COMPANION, CANCEL).bearer(&token("bob@example.com"));
    let anonymous = Req::new("POST", COMPANION, CANCEL);
    let body = |request: &Req| request.clone().body(Body::Length(b"{}".to_vec()));
    for batch in [
        vec![cancel(), bob.clone(), cancel()],
        vec![bob.clone(), cancel(), bob.clone()],
        vec![body(&cancel()), body(&bob), cancel()],
        vec![anonymous, cancel()],
    ] {
        let before = gate.backend.requests().len();
        let mut connection = Connection::open(gate.address).await;
        let bytes: Vec<u8> = batch.iter().flat_map(Req::to_http1).collect();
        connection.send(bytes).await;
        connection.finish_if_open().await;
        let mut allowed = 0;
        let mut answered = 0;
        while let Some(status) = connection.status().await {
            answered += 1;
            allowed += usize::from(status == 200);
        }
        assert!(answered <= batch.len());
        eprintln!("{answered} of {} pipelined requests were answered", batch.len());
        let forwarded = gate.backend.requests().len() - before;
        assert!(forwarded >= allowed);
    }
    assert_each_forwarded_request_was_allowed(&mut gate);
}

/// The backend's requests are exactly those whose audit line says ALLOWED and names an endpoint.
fn assert_each_forwarded_request_was_allowed(gate: &mut Gate) {
    // The log is complete once the process has ended.
    assert!(gate.terminate().success());
    let forwarded: Vec<String> = gate
        .backend
        .requests()
        .iter()
        .map(|request| request.headers["x-request-id"].to_str().unwrap().to_owned())
        .collect();
    let lines = gate.audit(0);
    for id in &forwarded {
        let line = lines.iter().find(|line| line["insertId"] == **id).expect("an audit line");
        assert_eq!(line["protoPayload"]["metadata"]["decision"], "ALLOWED");
    }
    let mut distinct = forwarded.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), forwarded.len(), "one decision, one request");
}
