//! Streams in both directions at once, and messages that follow the first one.

use std::time::Duration;

use bytes::Bytes;

use super::rig::*;
use crate::harness::token;

const ROOM: &str = "projects/demo/rooms/r";
const OTHER: &str = "projects/other/rooms/r";

/// A backend that sends each piece back as it comes, and ends with status 0.
async fn echoing() -> Backend {
    Backend::start(|request, mut respond, seen| async move {
        let (parts, mut body) = request.into_parts();
        let mut got = Seen { path: parts.uri.path().to_owned(), headers: parts.headers, ..Seen::default() };
        let Ok(mut stream) = respond.send_response(head(), false) else {
            got.was_reset = true;
            seen.lock().unwrap().push(got);
            return;
        };
        while let Some(piece) = body.data().await {
            let Ok(piece) = piece else {
                got.was_reset = true;
                break;
            };
            let _ = body.flow_control().release_capacity(piece.len());
            got.body.extend_from_slice(&piece);
            let _ = stream.send_data(piece, false);
        }
        let was_reset = got.was_reset;
        seen.lock().unwrap().push(got);
        if !was_reset {
            let _ = stream.send_trailers(trailers(0));
        }
    })
    .await
}

fn talk() -> Call {
    Call::on(CHAT, "/acme.chat.v1.Chat/Talk", &token("ana@example.com"))
}

/// The next bytes of an answer, as many as `length`.
async fn exactly(body: &mut h2::RecvStream, length: usize) -> Vec<u8> {
    let read = async {
        let mut got = Vec::new();
        while got.len() < length {
            let piece = body.data().await.expect("more of the answer").unwrap();
            let _ = body.flow_control().release_capacity(piece.len());
            got.extend_from_slice(&piece);
        }
        got
    };
    tokio::time::timeout(Duration::from_secs(20), read).await.expect("the answer goes on")
}

#[tokio::test]
async fn both_sides_talk_at_the_same_time() {
    let backend = echoing().await;
    let (gate, _tree) = backend.gate(Vec::new());
    let (answer, mut stream) = talk().open(&gate).await;
    let first = frame(&said(ROOM, "one"));
    stream.send_data(first.clone(), false).unwrap();
    let mut body = answer.await.unwrap().into_body();
    assert_eq!(exactly(&mut body, first.len()).await, first);
    for words in ["two", "three"] {
        // The name may be left out, or said again.
        let next = if words == "two" { frame(&text(5, words)) } else { frame(&said(ROOM, words)) };
        stream.send_data(next.clone(), false).unwrap();
        assert_eq!(
            exactly(&mut body, next.len()).await,
            next,
            "the answer to `{words}` comes before the end"
        );
    }
    stream.send_data(Bytes::new(), true).unwrap();
    assert!(body.data().await.is_none());
    assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    assert!(!backend.next(0).await.was_reset);
}

#[tokio::test]
async fn a_message_may_come_in_any_pieces() {
    let backend = echoing().await;
    let (gate, _tree) = backend.gate(Vec::new());
    let all =
        [frame(&said(ROOM, "one")), frame(b""), frame(&said(ROOM, &"x".repeat(300))), frame(&text(5, "y"))]
            .concat();
    for size in [3, 7, 11, 100, 1000] {
        let (answer, mut stream) = talk().open(&gate).await;
        for piece in all.chunks(size) {
            stream.send_data(Bytes::copy_from_slice(piece), false).unwrap();
        }
        stream.send_data(Bytes::new(), true).unwrap();
        let outcome = finish(answer).await;
        assert_eq!((outcome.code(), outcome.body.len()), (0, all.len()), "{size}");
        assert_eq!(outcome.body, all, "{size}");
    }
}

/// The stream ends with a refusal, and the backend has no byte of the message.
#[tokio::test]
async fn a_later_message_may_not_name_another_resource() {
    let backend = echoing().await;
    let (gate, _tree) = backend.gate(Vec::new());
    let twice = [said(ROOM, ""), said(ROOM, "")].concat();
    let rows: Vec<(&str, Bytes)> = vec![
        ("another room", frame(&said(OTHER, "two"))),
        ("a doubled field", frame(&twice)),
        ("a malformed message", frame(b"\x22\x05")),
        ("an unknown flag", flagged(7, b"")),
        ("too large", Bytes::from_static(b"\0\x7f\xff\xff\xff")),
    ];
    for (place, (what, bad)) in rows.into_iter().enumerate() {
        let (answer, mut stream) = talk().open(&gate).await;
        let first = frame(&said(ROOM, "one"));
        stream.send_data(first.clone(), false).unwrap();
        let answer = answer.await.unwrap();
        let mut body = answer.into_body();
        assert_eq!(exactly(&mut body, first.len()).await, first);
        stream.send_data(bad, false).unwrap();
        assert!(body.data().await.is_none(), "{what}");
        let trailers = body.trailers().await.unwrap().unwrap();
        let code = if what == "too large" { "8" } else { "3" };
        assert_eq!(trailers["grpc-status"], code, "{what}: {trailers:?}");
        let seen = backend.next(place).await;
        assert!(seen.was_reset, "{what}");
        assert_eq!(seen.body, first, "{what}: nothing of the bad message went on");
    }
    // Together with the first one, it is refused before the backend is asked.
    let both = [frame(&said(ROOM, "one")), frame(&said(OTHER, "two"))].concat();
    let before = backend.seen().len();
    let outcome = talk().send(&gate, both).await;
    assert_eq!(outcome.reason(), "GRPC_MESSAGE_REFUSED", "{outcome:?}");
    assert!(outcome.is_trailers_only);
    assert_eq!(backend.seen().len(), before);
}

#[tokio::test]
async fn a_request_that_ends_within_a_message_is_refused() {
    let backend = echoing().await;
    let (gate, _tree) = backend.gate(Vec::new());
    let cut = [&frame(&said(ROOM, "one"))[..], &frame(&said(ROOM, "two"))[..9]].concat();
    let (answer, mut stream) = talk().open(&gate).await;
    stream.send_data(cut.into(), true).unwrap();
    let outcome = finish(answer).await;
    assert_eq!((outcome.code(), outcome.reason().as_str()), (3, "GRPC_MESSAGE_REFUSED"), "{outcome:?}");
    assert!(backend.next(0).await.was_reset);
}

/// Where no message names a resource, the backend is asked before the client has said anything.
#[tokio::test]
async fn a_stream_without_a_resource_begins_at_once() {
    let backend = echoing().await;
    let (gate, _tree) = backend.gate(Vec::new());
    for path in ["/acme.chat.v1.Chat/Free", "/acme.chat.v1.Chat/Constant"] {
        let (answer, mut stream) = Call::on(CHAT, path, &token("ana@example.com")).open(&gate).await;
        let answer = tokio::time::timeout(Duration::from_secs(20), answer).await.unwrap().unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let mut body = answer.into_body();
        let message = frame(&said(OTHER, "any"));
        stream.send_data(message.clone(), false).unwrap();
        assert_eq!(exactly(&mut body, message.len()).await, message);
        stream.send_data(flagged(9, b""), true).unwrap();
        assert!(body.data().await.is_none());
        assert_eq!(
            body.trailers().await.unwrap().unwrap()["grpc-status"],
            "3",
            "framing is judged all the same"
        );
    }
}

/// `timeouts.total` is for calls; a stream lasts as long as something moves.
#[tokio::test]
async fn a_stream_outlasts_the_time_of_a_call_and_not_its_own() {
    let backend = echoing().await;
    let timeouts = "upstreams.operations.timeouts={response: 100ms, total: 200ms, grpc_idle: 2s}";
    let (gate, _tree) = backend.gate(vec![timeouts.to_owned()]);
    let (answer, mut stream) = talk().open(&gate).await;
    let message = frame(&said(ROOM, "one"));
    stream.send_data(message.clone(), false).unwrap();
    let mut body = answer.await.unwrap().into_body();
    exactly(&mut body, message.len()).await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        stream.send_data(message.clone(), false).unwrap();
        assert_eq!(exactly(&mut body, message.len()).await, message);
    }
    // Nothing moves any more.
    let ended = tokio::time::timeout(Duration::from_secs(20), body.data()).await.expect("the stream ends");
    assert!(ended.is_none());
    assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "4");
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_cancels_at_the_backend() {
    let backend = echoing().await;
    let (gate, _tree) = backend.gate(Vec::new());
    let (answer, mut stream) = talk().open(&gate).await;
    stream.send_data(frame(&said(ROOM, "one")), false).unwrap();
    let answer = answer.await.unwrap();
    stream.send_reset(h2::Reason::CANCEL);
    drop(answer);
    assert!(backend.next(0).await.was_reset);
}

/// The server may end a call while the client still has something to say.
#[tokio::test]
async fn a_call_is_over_with_its_status() {
    let backend = Backend::start(|request, mut respond, _| async move {
        let mut body = request.into_body();
        let _ = body.data().await;
        let mut stream = respond.send_response(head(), false).unwrap();
        stream.send_trailers(trailers(9)).unwrap();
        std::future::pending::<()>().await;
        drop(body);
    })
    .await;
    let (gate, _tree) = backend.gate(Vec::new());
    let (answer, mut stream) = talk().open(&gate).await;
    stream.send_data(frame(&said(ROOM, "one")), false).unwrap();
    let outcome = finish(answer).await;
    assert_eq!(outcome.code(), 9, "{outcome:?}");
    let line = line_of(&gate, "acme.chat.v1.Chat.Talk").await;
    assert!(line.contains("ALLOWED"), "{line}");
}
