//! Backends that fail, are late, or speak something else; deadlines; clients that leave.

use std::time::Duration;

use http::Response;

use super::rig::*;
use crate::harness::{Gate, Setup, token};

fn get() -> bytes::Bytes {
    frame(&text(1, OPERATION))
}

async fn asked(backend: &Backend, set: Vec<String>) -> Outcome {
    let (gate, _tree) = backend.gate(set);
    Call::new(GET, &token("ana@example.com")).send(&gate, get()).await
}

#[tokio::test]
async fn a_backend_that_cannot_be_reached_is_unavailable() {
    let backend = Backend::answering().await.at(([127, 0, 0, 1], 1).into());
    let outcome = asked(&backend, Vec::new()).await;
    assert_eq!((outcome.code(), outcome.reason().as_str()), (14, "UPSTREAM_UNAVAILABLE"), "{outcome:?}");
    assert!(outcome.is_trailers_only);
}

#[tokio::test]
async fn an_upstream_over_http1_takes_no_calls() {
    let gate = Gate::start_with(Setup::default());
    let outcome = Call::new(GET, &token("ana@example.com")).send(&gate, get()).await;
    assert_eq!((outcome.code(), outcome.reason().as_str()), (12, "GRPC_NOT_FORWARDED"), "{outcome:?}");
}

#[tokio::test]
async fn a_late_backend_exceeds_the_deadline() {
    let backend = Backend::start(|request, respond, seen| async move {
        read(request, &seen).await;
        std::future::pending::<()>().await;
        drop(respond);
    })
    .await;
    let outcome =
        asked(&backend, vec!["upstreams.operations.timeouts={response: 200ms, total: 5s}".to_owned()]).await;
    assert_eq!((outcome.code(), outcome.reason().as_str()), (4, "UPSTREAM_TIMEOUT"), "{outcome:?}");
}

/// The client's own deadline is kept by the gate, and told to the backend.
#[tokio::test]
async fn the_deadline_of_a_client_is_kept_and_passed_on() {
    let backend = Backend::start(|request, respond, seen| async move {
        read(request, &seen).await;
        std::future::pending::<()>().await;
        drop(respond);
    })
    .await;
    let (gate, _tree) = backend.gate(Vec::new());
    let call = Call::new(GET, &token("ana@example.com")).add("grpc-timeout", "300m");
    let outcome = call.send(&gate, get()).await;
    assert_eq!((outcome.code(), outcome.reason().as_str()), (4, "UPSTREAM_TIMEOUT"), "{outcome:?}");
    let told = backend.next(0).await.headers["grpc-timeout"].to_str().unwrap().to_owned();
    let (digits, unit) = told.split_at(told.len() - 1);
    assert!(unit == "u" || unit == "n", "{told}: less than what the client said");
    let micros = digits.parse::<u64>().unwrap() / if unit == "n" { 1000 } else { 1 };
    assert!(micros <= 300_000, "{told}");
}

/// A client may not wait longer than the upstream is asked for.
#[tokio::test]
async fn the_deadline_of_a_client_is_capped() {
    let backend = Backend::answering().await;
    let (gate, _tree) =
        backend.gate(vec!["upstreams.operations.timeouts={response: 5s, total: 20s}".to_owned()]);
    let call = Call::new(GET, &token("ana@example.com")).add("grpc-timeout", "99999999H");
    assert_eq!(call.send(&gate, get()).await.code(), 0);
    let told = backend.next(0).await.headers["grpc-timeout"].to_str().unwrap().to_owned();
    assert!(
        told.ends_with('u') && told.trim_end_matches('u').parse::<u64>().unwrap() <= 20_000_000,
        "{told}"
    );
}

#[tokio::test]
async fn a_client_that_sends_no_message_in_time_is_told() {
    let backend = Backend::answering().await;
    let (gate, _tree) = backend.gate(Vec::new());
    let call = Call::new(GET, &token("ana@example.com")).add("grpc-timeout", "100m");
    let (answer, _stream) = call.open(&gate).await;
    let outcome = finish(answer).await;
    assert_eq!((outcome.code(), outcome.reason().as_str()), (4, "GRPC_MESSAGE_TIMEOUT"), "{outcome:?}");
    assert!(backend.seen().is_empty());
}

/// By the mapping of HTTP statuses that gRPC publishes.
#[tokio::test]
async fn an_answer_that_is_not_one_of_grpc_is_mapped() {
    for (status, content_type, code) in [
        (200, "text/html", 2),
        (400, "text/html", 13),
        (401, "application/grpc", 16),
        (403, "text/html", 7),
        (404, "text/html", 12),
        (429, "text/html", 14),
        (503, "application/json", 14),
        (500, "text/html", 2),
    ] {
        let backend = Backend::start(move |request, mut respond, seen| async move {
            read(request, &seen).await;
            let head = Response::builder().status(status).header("content-type", content_type);
            let mut stream = respond.send_response(head.body(()).unwrap(), false).unwrap();
            let _ = stream.send_data("<html>".into(), true);
        })
        .await;
        let outcome = asked(&backend, Vec::new()).await;
        assert_eq!(
            (outcome.code(), outcome.reason().as_str()),
            (code, "UPSTREAM_INVALID"),
            "{status} {outcome:?}"
        );
        assert!(outcome.is_trailers_only && outcome.body.is_empty());
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_ends_with_a_status() {
    // Reset within the answer.
    let backend = Backend::start(|request, mut respond, seen| async move {
        read(request, &seen).await;
        let mut stream = respond.send_response(head(), false).unwrap();
        stream.send_data(frame(b"\x0a\x01x"), false).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream.send_reset(h2::Reason::INTERNAL_ERROR);
    })
    .await;
    let outcome = asked(&backend, Vec::new()).await;
    assert_eq!(outcome.error, None, "{outcome:?}");
    assert_eq!((outcome.code(), outcome.reason().as_str()), (14, "UPSTREAM_INVALID"), "{outcome:?}");
    assert_eq!(outcome.body, frame(b"\x0a\x01x"), "what was good of it came");
    // Ended without a status.
    let backend = Backend::start(|request, mut respond, seen| async move {
        read(request, &seen).await;
        let mut stream = respond.send_response(head(), false).unwrap();
        stream.send_data(frame(b"\x0a\x01x"), true).unwrap();
    })
    .await;
    let outcome = asked(&backend, Vec::new()).await;
    assert_eq!((outcome.code(), outcome.reason().as_str()), (13, "UPSTREAM_INVALID"), "{outcome:?}");
}

#[tokio::test]
async fn the_backends_own_errors_pass_as_they_are() {
    let backend = Backend::start(|request, mut respond, seen| async move {
        read(request, &seen).await;
        let head = Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", "5")
            .header("grpc-message", "no such operation")
            .header("grpc-status-details-bin", "CAU");
        respond.send_response(head.body(()).unwrap(), true).unwrap();
    })
    .await;
    let outcome = asked(&backend, Vec::new()).await;
    assert!(outcome.is_trailers_only, "{outcome:?}");
    assert_eq!((outcome.code(), outcome.message().as_str()), (5, "no such operation"));
    assert_eq!(outcome.headers["grpc-status-details-bin"], "CAU");
}

#[tokio::test]
async fn a_client_that_resets_its_stream_cancels_at_the_backend() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let backend = Backend::start(move |request, mut respond, seen| {
        let tell = tell.clone();
        async move {
            read(request, &seen).await;
            tell.send(None).unwrap();
            let code = std::future::poll_fn(|context| respond.poll_reset(context)).await.unwrap();
            tell.send(Some(code)).unwrap();
        }
    })
    .await;
    let (gate, _tree) = backend.gate(Vec::new());
    let (answer, mut stream) = Call::new(GET, &token("ana@example.com")).open(&gate).await;
    stream.send_data(get(), true).unwrap();
    assert_eq!(told.recv().await.unwrap(), None);
    stream.send_reset(h2::Reason::CANCEL);
    drop(answer);
    let code = tokio::time::timeout(Duration::from_secs(20), told.recv()).await.unwrap();
    assert_eq!(code.unwrap(), Some(h2::Reason::CANCEL));
}
