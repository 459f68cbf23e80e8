//! JSON bodies over 64 KiB, where the operator says so.

use std::time::Duration;

use serde_json::json;

use super::compressed::gzip;
use crate::bodies::{TRAIN, head, in_every_framing, wait};
use crate::connection::Connection;
use crate::harness::{Body, Gate, Setup, get, reason};
use crate::recorder::Recorder;

const MIB: usize = 1 << 20;

fn message(length: usize) -> Vec<u8> {
    let mut text = json!({ "name": TRAIN, "timeout": "0s", "data": [""] }).to_string();
    let filled = "x".repeat(length - text.len());
    text = text.replace("[\"\"]", &format!("[\"{filled}\"]"));
    assert_eq!(text.len(), length);
    text.into_bytes()
}

fn large(set: &[&str], protocol: Option<&'static str>) -> Gate {
    let set = [&["limits.message_bytes=10MiB"], set].concat();
    let set = set.into_iter().map(str::to_owned).collect();
    Gate::start_with(Setup { set, upstream_protocol: protocol, ..Setup::default() })
}

#[tokio::test]
async fn a_large_message_arrives_byte_for_byte_where_the_operator_says_so() {
    for protocol in [None, Some("h2c")] {
        let gate = large(&[], protocol);
        // The backend of the tests reads up to 1 MiB.
        for length in [65_537, MIB] {
            let body = message(length);
            for (framing, answer) in in_every_framing(&gate, &wait(), &body).await {
                assert_eq!(answer.status, 200, "{protocol:?}, {framing}, {length}");
            }
            let coded = wait().header("content-encoding", "gzip");
            for (framing, answer) in in_every_framing(&gate, &coded, &gzip(&body)).await {
                assert_eq!(answer.status, 200, "gzip, {protocol:?}, {framing}, {length}");
            }
            let requests = gate.backend.requests();
            assert_eq!(requests.len(), 6);
            assert!(requests.iter().all(|request| request.body == body), "{protocol:?}, {length}");
            gate.backend.clear();
        }
    }
}

#[tokio::test]
async fn ten_mebibytes_are_the_most() {
    let backend = Recorder::start();
    let endpoints = Some(vec![backend.address()]);
    let set = vec!["limits.message_bytes=10MiB".to_owned()];
    let gate = Gate::start_with(Setup { set, endpoints, ..Setup::default() });
    let body = message(10 * MIB);
    for (framing, answer) in in_every_framing(&gate, &wait(), &body).await {
        assert_eq!(answer.status, 200, "{framing}");
    }
    let bodies = backend.bodies();
    assert_eq!(bodies.len(), 3);
    assert!(bodies.iter().all(|(_, sent)| *sent == body));
    let longer = message(10 * MIB + 1);
    for (framing, answer) in in_every_framing(&gate, &wait(), &longer).await {
        let outcome = (answer.status, reason(&answer));
        assert_eq!(outcome, (413, "REQUEST_BODY_TOO_LARGE".to_owned()), "{framing}");
    }
    let coded = wait().header("content-encoding", "gzip");
    for (framing, answer) in in_every_framing(&gate, &coded, &gzip(&longer)).await {
        let outcome = (answer.status, reason(&answer));
        assert_eq!(outcome, (413, "REQUEST_BODY_TOO_LARGE".to_owned()), "gzip, {framing}");
    }
    assert_eq!(backend.bodies().len(), 3);
}

#[tokio::test]
async fn a_large_message_is_judged_to_its_end() {
    let gate = large(&[], None);
    let mut twice = message(MIB);
    twice.pop();
    twice.extend_from_slice(br#","name":"projects/other/locations/l/operations/o"}"#);
    let mut cut = message(MIB);
    cut.pop();
    let mut more = message(MIB);
    more.extend_from_slice(b"{}");
    for body in [twice, cut, more] {
        for (framing, answer) in in_every_framing(&gate, &wait(), &body).await {
            let outcome = (answer.status, reason(&answer));
            assert_eq!(outcome, (400, "REQUEST_BODY_REFUSED".to_owned()), "{framing}");
        }
    }
    assert!(gate.backend.requests().is_empty());
}

/// What is judged whole is kept whole for a second attempt.
#[tokio::test]
async fn a_large_message_goes_to_another_endpoint_if_the_first_one_is_not_there() {
    let backend = Recorder::start();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let set = vec!["limits.message_bytes=1MiB".to_owned()];
    let endpoints = Some(vec![gone, backend.address()]);
    let gate = Gate::start_with(Setup { set, endpoints, ..Setup::default() });
    let body = message(MIB);
    for _ in 0..2 {
        for (framing, answer) in in_every_framing(&gate, &wait(), &body).await {
            assert_eq!(answer.status, 200, "{framing}");
        }
    }
    assert!(gate.upstream_errors("connect").await > 0);
    assert!(backend.bodies().iter().all(|(_, sent)| *sent == body));
}

#[tokio::test]
async fn large_messages_are_held_within_a_bound_and_small_ones_are_not_held_back() {
    let set = ["limits.message_bytes=2MiB", "limits.held_bytes=2MiB"].map(str::to_owned).to_vec();
    let backend = Recorder::start();
    let endpoints = Some(vec![backend.address()]);
    let gate = Gate::start_with(Setup { set, endpoints, ..Setup::default() });
    let long = message(MIB);
    let mut slow = Connection::open(gate.address).await;
    slow.send(head(&wait(), &format!("Content-Length: {}", long.len()))).await;
    slow.send(&long[..100]).await;
    // Its place is taken once its head is judged: soon. It is more than a caller's share, and the caller has no other.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let announced = head(&wait(), &format!("Content-Length: {}", MIB + 1));
    let answer = gate.raw(&announced).await;
    assert_eq!((answer.status, reason(&answer).as_str()), (429, "PRINCIPAL_LIMIT_EXCEEDED"));
    let one_more = wait().body(Body::Length(message(MIB + 1)));
    let answer = gate.http2(&one_more).await;
    assert_eq!((answer.status, reason(&answer).as_str()), (429, "PRINCIPAL_LIMIT_EXCEEDED"));
    // A gzip of a few bytes cannot become long; chunks may.
    let small = gzip(br#"{"timeout":"0s"}"#);
    for answer in gate.over_both(&wait().header("content-encoding", "gzip").body(Body::Length(small))).await {
        assert_eq!(answer.status, 200);
    }
    let answer = gate.http1(&wait().body(Body::Chunked(b"{}".to_vec()))).await;
    assert_eq!((answer.status, reason(&answer).as_str()), (429, "PRINCIPAL_LIMIT_EXCEEDED"));
    for length in [65_536, 40] {
        let body = if length == 40 { br#"{"timeout":"0s"}"#.to_vec() } else { message(length) };
        for answer in gate.over_both(&wait().body(Body::Length(body))).await {
            assert_eq!(answer.status, 200, "{length}");
        }
    }
    slow.send(&long[100..]).await;
    assert_eq!(slow.status().await, Some(200));
    slow.send(get().to_http1()).await;
    assert_eq!(slow.status().await, Some(200));
    for answer in gate.over_both(&one_more).await {
        assert_eq!(answer.status, 200);
    }
}
