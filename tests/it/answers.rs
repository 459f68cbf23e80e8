//! Answers that HTTP libraries repair, on connections that carried a good one before, with TLS and without. Also the
//! fields of an answer that the gate removes.

use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;

use crate::authority::Authority;
use crate::harness::{COMPANION, Gate, Setup, TRAIN, cancel, get, reason, token};
use crate::origin::Step::{Body, Close, Hang, Head, Say};
use crate::origin::{OK, Origin, Step};

const BACKEND: &str = "backend.test";

/// Each was once passed on as a 200: the library took it for the valid answer that it resembles.
const REPAIRED: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
    "HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\n{}",
    "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n{}",
    "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n{}",
    "HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "HTTP/1.1 103 Early Hints\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
];

/// Sends each on a connection that was used before, for a request that may be repeated and for one that may not.
async fn assert_none_passes(gate: &Gate, origin: &Origin) {
    let mut lines = 0;
    let mut faults = 0;
    for text in REPAIRED {
        let script: &'static [Step] = Vec::leak(vec![Head, Body, Say(OK), Head, Body, Say(text), Hang]);
        for request in [cancel(), get()] {
            let (asked, connections) = (origin.requests().len(), origin.connections());
            origin.play_next(Some(script));
            assert_eq!(gate.http1(&request).await.status, 200, "{text:?}");
            // A connection is kept for a moment after its answer is out.
            tokio::time::sleep(Duration::from_millis(50)).await;
            let answer = gate.http1(&request).await;
            assert_eq!((answer.status, reason(&answer).as_str()), (502, "UPSTREAM_INVALID"), "{text:?}");
            assert_eq!(origin.requests().len(), asked + 2, "sent once: {text:?}");
            assert_eq!(origin.connections(), connections + 1, "on the connection of the first: {text:?}");
            lines += 2;
            faults += 1;
            let line = gate.audit(lines).swap_remove(lines - 1);
            assert_eq!(line["protoPayload"]["metadata"]["reason"], "UPSTREAM_INVALID", "{line}");
            let detail = line["protoPayload"]["metadata"]["detail"].as_str().unwrap();
            assert!(detail.contains("answer"), "{detail}");
            // The backend holds the connection open: if it is not used again, the gate ended it.
            assert_eq!(gate.http1(&request).await.status, 200, "{text:?}");
            assert_eq!(origin.connections(), connections + 2, "{text:?}");
            lines += 1;
            gate.audit(lines);
        }
        assert_eq!(gate.upstream_errors("invalid").await, faults);
        assert_eq!(gate.upstream_errors("stale").await, 0, "{text:?}");
    }
}

/// Answers and closes, so that the next request comes on a connection of its own.
const WELL: &[Step] =
    &[Head, Body, Say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"), Close];

fn no_ejection() -> String {
    "upstreams.operations.outliers={failures: 1000}".to_owned()
}

#[tokio::test]
async fn an_answer_that_a_library_repairs_is_a_bad_gateway() {
    let origin = Origin::start(WELL).await;
    let endpoints = Some(vec![origin.address]);
    let gate = Gate::start_with(Setup { endpoints, set: vec![no_ejection()], ..Setup::default() });
    assert_none_passes(&gate, &origin).await;
}

#[tokio::test]
async fn an_answer_that_a_library_repairs_is_a_bad_gateway_over_tls_too() {
    let authority = Authority::new();
    let files = tempfile::tempdir().unwrap();
    let ca = files.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let origin = Origin::start_tls(authority.issue(&[BACKEND]).server(&[], None), WELL).await;
    let tls = json!({ "ca": ca, "sni": BACKEND });
    let set = vec![format!("upstreams.operations.tls={tls}"), no_ejection()];
    let gate = Gate::start_with(Setup { endpoints: Some(vec![origin.address]), set, ..Setup::default() });
    assert_none_passes(&gate, &origin).await;
}

/// A field that must not pass, and what a client or a front proxy would do with it.
const ENDS_HERE: &[(&str, &str)] = &[
    ("alt-svc", "h3=\"backend.example:443\"; ma=86400"),
    ("alternate-protocol", "443:quic"),
    ("onion-location", "http://backend.onion/"),
    ("x-accel-redirect", "/internal/other"),
    ("x-accel-buffering", "no"),
    ("x-sendfile", "/etc/passwd"),
    ("x-reproxy-url", "http://backend.example/other"),
    ("x-envoy-immediate-health-check-fail", "true"),
    ("surrogate-control", "max-age=3600"),
    ("cdn-cache-control", "public, max-age=3600"),
    ("example-cdn-cache-control", "public, max-age=3600"),
    ("dpop-nonce", "forged"),
    ("x-opgate-principal", "user:root@example.com"),
    ("proxy-authenticate", "Basic realm=\"x\""),
    ("proxy-authentication-info", "nextnonce=\"x\""),
    ("nel", "{\"report_to\":\"x\"}"),
    ("public-key-pins", "max-age=1"),
    ("service-worker-allowed", "/"),
];
const PASSES: &[(&str, &str)] =
    &[("location", "/v1/other"), ("www-authenticate", "Bearer realm=\"backend\""), ("x-own", "a")];

/// A backend that speaks HTTP/2 and sends the same fields in its head and its trailers.
async fn h2c_backend() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let mut head = http::Response::builder().status(200);
                    for (name, value) in ENDS_HERE.iter().chain(PASSES) {
                        head = head.header(*name, *value);
                    }
                    let mut body = respond.send_response(head.body(()).unwrap(), false).unwrap();
                    body.send_data("{}".into(), false).unwrap();
                    let mut trailers = http::HeaderMap::new();
                    trailers.insert("alt-svc", "h3=\":443\"".parse().unwrap());
                    trailers.insert("grpc-status", "0".parse().unwrap());
                    body.send_trailers(trailers).unwrap();
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn response_fields_that_bypass_or_impersonate_the_gate_are_removed() {
    let fields: String =
        ENDS_HERE.iter().chain(PASSES).map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let early = format!("HTTP/1.1 103 Early Hints\r\n{fields}\r\n");
    let answer = format!("{early}HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\n{{}}");
    let origin = Origin::start(Vec::leak(vec![Head, Body, Say(answer.leak())])).await;
    for (protocol, address) in [("h1", origin.address), ("h2c", h2c_backend().await)] {
        let endpoints = Some(vec![address]);
        let gate =
            Gate::start_with(Setup { endpoints, upstream_protocol: Some(protocol), ..Setup::default() });
        let mut connection = crate::connection::Connection::open(gate.address).await;
        connection.send(cancel().to_http1()).await;
        let mut answers = vec![gate.http2(&cancel()).await];
        while answers.last().is_none_or(|answer| answer.status < 200) || answers.len() == 1 {
            answers.push(connection.answer().await.unwrap());
        }
        for answer in answers {
            for (name, _) in ENDS_HERE {
                assert_eq!(answer.header(name), None, "{protocol}, {}", answer.status);
            }
            for (name, value) in PASSES {
                assert_eq!(answer.header(name), Some(*value), "{protocol}, {}", answer.status);
            }
        }
        assert_eq!(trailers_of(&gate).await, if protocol == "h2c" { vec!["grpc-status"] } else { vec![] });
    }
}

/// The names of the trailers that an HTTP/2 client gets.
async fn trailers_of(gate: &Gate) -> Vec<String> {
    let stream = tokio::net::TcpStream::connect(gate.address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post(format!("http://{COMPANION}{TRAIN}:cancel"))
        .header("authorization", format!("Bearer {}", token("ana@example.com")))
        .body(())
        .unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    let mut body = response.await.unwrap().into_body();
    while let Some(piece) = body.data().await {
        piece.unwrap();
    }
    let trailers = body.trailers().await.unwrap().unwrap_or_default();
    trailers.keys().map(ToString::to_string).collect()
}
