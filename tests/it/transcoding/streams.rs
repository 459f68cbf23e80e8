//! Methods that answer with any number of messages.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::backend::{Step, error, ok};
use super::rig::{Rig, ana};

const WATCH: &str = "/v1/projects/acme/books:watch";

fn books(last: Step) -> Vec<Step> {
    let book = |name: &str| Step::Message(json!({ "name": name }));
    vec![Step::Head(200, &[]), book("1"), book("2"), last]
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_written_in_the_format_that_the_client_asks_for() {
    let rig = Rig::start().await;
    let (json, lines, events) =
        ("application/json; charset=UTF-8", "application/x-ndjson", "text/event-stream");
    let error_item = r#"{"error":{"code":500,"message":"lost","status":"DATA_LOSS"}}"#;
    for (target, accept, kind, whole, broken) in [
        (
            WATCH.to_owned(),
            "*/*",
            json,
            "[{\"name\":\"1\"},\n{\"name\":\"2\"}]".to_owned(),
            format!("[{{\"name\":\"1\"}},\n{{\"name\":\"2\"}},\n{error_item}]"),
        ),
        (
            WATCH.to_owned(),
            "application/x-ndjson, */*;q=0.1",
            lines,
            "{\"name\":\"1\"}\n{\"name\":\"2\"}\n".to_owned(),
            format!("{{\"name\":\"1\"}}\n{{\"name\":\"2\"}}\n{error_item}\n"),
        ),
        (
            format!("{WATCH}?alt=sse"),
            "*/*",
            events,
            "data: {\"name\":\"1\"}\n\ndata: {\"name\":\"2\"}\n\n".to_owned(),
            format!("data: {{\"name\":\"1\"}}\n\ndata: {{\"name\":\"2\"}}\n\ndata: {error_item}\n\n"),
        ),
    ] {
        let request = ana("GET", &target).header("accept", accept);
        rig.backend.answer("WatchBooks", books(ok()));
        let (answer, call) = rig.called(&request).await;
        assert_eq!(call.message, json!({"parent": "projects/acme"}));
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)));
        assert_eq!(String::from_utf8(answer.body).unwrap(), whole);
        rig.backend.answer("WatchBooks", books(Step::Trailers(error(15, "lost"))));
        let (answer, _) = rig.called(&request).await;
        assert_eq!(String::from_utf8(answer.body).unwrap(), broken);
    }
    rig.backend.answer("WatchBooks", vec![Step::TrailersOnly(error(5, "no"))]);
    let (answer, _) = rig.called(&ana("GET", WATCH)).await;
    assert_eq!((answer.status, &answer.json().unwrap()["error"]["status"]), (404, &json!("NOT_FOUND")));
    rig.backend.answer("WatchBooks", vec![Step::Head(200, &[]), ok()]);
    assert_eq!(rig.called(&ana("GET", WATCH)).await.0.body, b"[]");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_reaches_the_client_before_the_next_one_is_made() {
    let rig = Rig::start().await;
    let book = |name: &str| Step::Message(json!({ "name": name }));
    rig.backend
        .answer("WatchBooks", vec![Step::Head(200, &[]), book("1"), Step::Wait, book("2"), Step::Wait, ok()]);
    let request = ana("GET", WATCH).header("accept", "application/x-ndjson");
    let mut stream = TcpStream::connect(rig.gate.address).await.unwrap();
    stream.write_all(&request.to_http1()).await.unwrap();
    let mut seen = Vec::new();
    for mark in ["{\"name\":\"1\"}\n", "{\"name\":\"2\"}\n", "\r\n0\r\n\r\n"] {
        while !String::from_utf8_lossy(&seen).contains(mark) {
            assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "{}", String::from_utf8_lossy(&seen));
        }
        rig.backend.go_on();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_off_does_not_look_whole() {
    let rig = Rig::start().await;
    for last in [Step::End, Step::Bytes(vec![1, 0, 0, 0, 0]), Step::Bytes(vec![0, 0, 0, 0, 9])] {
        let broken = match last {
            Step::Bytes(_) => [books(last), vec![ok()]].concat(),
            last => books(last),
        };
        rig.backend.answer("WatchBooks", broken.clone());
        let bytes = rig.gate.raw_to_the_end(ana("GET", WATCH).header("connection", "close").to_http1()).await;
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("{\"name\":\"1\"}") && !text.contains("\r\n0\r\n"), "{broken:?}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_ends_the_call() {
    let rig = Rig::start().await;
    rig.backend.answer("WatchBooks", books(Step::Hang));
    let mut stream = TcpStream::connect(rig.gate.address).await.unwrap();
    stream.write_all(&ana("GET", WATCH).to_http1()).await.unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("\"2\"") {
        assert!(stream.read_buf(&mut seen).await.unwrap() > 0);
    }
    stream.set_zero_linger().unwrap();
    drop(stream);
    while rig.backend.resets() == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let line = rig.gate.audit(1).remove(0);
    assert_ne!(line, Value::Null);
}
