//! HTTP/1.0 clients, interim answers, and what the gate does not offer.

use crate::bodies::head;
use crate::connection::Connection;
use crate::harness::{Body, COMPANION, Gate, Req, Setup, cancel, get, reason};
use crate::origin::Origin;
use crate::origin::Step::{Close, Head, Say};

#[tokio::test]
async fn expect_100_continue_does_not_end_the_connection() {
    let gate = Gate::start();
    let mut connection = Connection::open(gate.address).await;
    for framing in ["Content-Length: 2", "Transfer-Encoding: chunked"] {
        connection.send(head(&cancel(), &format!("Expect: 100-continue\r\n{framing}"))).await;
        assert_eq!(connection.status().await, Some(100), "{framing}");
        connection.send(if framing.starts_with('T') { "2\r\n{}\r\n0\r\n\r\n" } else { "{}" }).await;
        let answer = connection.answer().await.unwrap();
        assert_eq!((answer.status, answer.header("connection")), (200, Some("keep-alive")), "{framing}");
        connection.send(head(&cancel(), "Expect: 100-continue\r\nContent-Length: 0")).await;
        assert_eq!(connection.status().await, Some(200), "no body to wait for");
        connection.send(get().to_http1()).await;
        assert_eq!(connection.status().await, Some(200));
    }
}

/// HTTP/1.0 has no chunks (RFC 9112, section 6.1): the answer ends with the connection.
#[tokio::test]
async fn an_http_1_0_client_never_gets_a_chunked_answer() {
    const ANSWERS: [&str; 2] = [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"a\":1}",
    ];
    for answer in ANSWERS {
        let origin = Origin::start(Vec::leak(vec![Head, Say(answer), Close])).await;
        let gate = Gate::start_with(Setup { endpoints: Some(vec![origin.address]), ..Setup::default() });
        for fields in ["X-A: b", "Connection: keep-alive"] {
            assert_old(&gate, fields, "{\"a\":1}").await;
        }
        assert_eq!(gate.http1(&get()).await.body, b"{\"a\":1}");
    }
    // A backend over HTTP/2 tells no length either.
    let gate = Gate::start_with(Setup { upstream_protocol: Some("h2c"), ..Setup::default() });
    let body = String::from_utf8(gate.http1(&get()).await.body).unwrap();
    for fields in ["X-A: b", "Connection: keep-alive"] {
        assert_old(&gate, fields, &body).await;
    }
}

/// Sends a get over HTTP/1.0, whose answer is not chunked and is this.
async fn assert_old(gate: &Gate, fields: &str, expected: &str) {
    let request = head(&get(), fields).replace("HTTP/1.1", "HTTP/1.0");
    let mut connection = Connection::open(gate.address).await;
    connection.send(request).await;
    connection.finish().await;
    let text = String::from_utf8(connection.rest().await).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert!(head.contains("content-length") || head.contains("connection: close"), "{head}");
    assert_eq!(body, expected, "{fields}");
}

/// RFC 9112, section 4, asks for the space, and many servers leave it out.
#[tokio::test]
async fn a_status_line_without_a_space_after_the_code_is_read() {
    let origin = Origin::start(&[Head, Say("HTTP/1.1 201\r\nContent-Length: 2\r\n\r\n{}"), Close]).await;
    let gate = Gate::start_with(Setup { endpoints: Some(vec![origin.address]), ..Setup::default() });
    let answer = gate.http1(&get()).await;
    assert_eq!((answer.status, answer.body.as_slice()), (201, &b"{}"[..]));
}

#[tokio::test]
async fn discovery_documents_and_batches_are_not_offered_and_the_answer_says_so() {
    let gate = Gate::start();
    for (method, target, word) in [
        ("GET", "/$discovery/rest?version=v1", "Discovery documents"),
        ("GET", "/%24discovery/rest?version=v1", "Discovery documents"),
        ("GET", "/discovery/v1/apis/dataproc/v1/rest", "Discovery documents"),
        ("POST", "/batch", "Batch requests"),
        ("POST", "/batch/cloudaicompanion/v1", "Batch requests"),
    ] {
        let request = Req::new(method, COMPANION, target).body(match method {
            "POST" => Body::Length(b"--b--".to_vec()),
            _ => Body::None,
        });
        for answer in gate.over_both(&request).await {
            assert_eq!((answer.status, reason(&answer).as_str()), (404, "NOT_OFFERED"), "{target}");
            let message = answer.json().unwrap()["error"]["message"].as_str().unwrap().to_owned();
            assert!(message.starts_with(word), "{target}: {message}");
        }
    }
    for target in ["/batches", "/v1/batch", "/$discover", "/discovery/v2"] {
        for answer in gate.over_both(&Req::new("GET", COMPANION, target)).await {
            assert_eq!((answer.status, reason(&answer).as_str()), (404, "METHOD_NOT_FOUND"), "{target}");
        }
    }
    assert!(gate.backend.requests().is_empty());
}
