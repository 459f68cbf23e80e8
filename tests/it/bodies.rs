//! Bodies: what clients send and how the gate answers, in every framing there is.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use crate::connection::Connection;
use crate::harness::{
    Answer, Body, COMPANION, DATAPROC, Gate, Req, Setup, TRANSLATION, Tree, reason, token, values,
};

pub const TRAIN: &str = "projects/demo/locations/us-central1/operations/train-1";
pub const JOB: &str = "projects/demo/regions/us-central1/operations/job-1";
pub const BATCH: &str = "projects/demo/operations/batch-1";

pub fn ana() -> String {
    token("ana@example.com")
}

/// A cancel that policy allows, of a method that takes an empty message.
pub fn cancel() -> Req {
    Req::new("POST", COMPANION, &format!("/v1/{TRAIN}:cancel"))
        .bearer(&ana())
        .header("content-type", "application/json")
}

/// A gate whose dataproc takes not one byte with a cancel.
pub fn strict() -> (Gate, Tree) {
    let tree = Tree::shipped();
    tree.edit(
        "services/dataproc.iam.yaml",
        "permission: dataproc.operations.cancel\n",
        "permission: dataproc.operations.cancel\n  body: empty\n",
    );
    (Gate::start_with(Setup { set: vec![tree.setting()], ..Setup::default() }), tree)
}

/// A cancel of a method that takes no body, behind [`strict`].
pub fn cancel_without_body() -> Req {
    Req::new("POST", DATAPROC, &format!("/v1/{JOB}:cancel"))
        .bearer(&ana())
        .header("content-type", "application/json")
}

pub fn wait() -> Req {
    Req::new("POST", COMPANION, &format!("/v1/{TRAIN}:wait"))
        .bearer(&ana())
        .header("content-type", "application/json")
}

/// The head of a request, with fields that frame its body in another way than [`Req`] does.
pub fn head(request: &Req, fields: &str) -> String {
    let text = String::from_utf8(request.to_http1()).unwrap();
    format!("{}\r\n{fields}\r\n\r\n", text.trim_end())
}

/// Sends a body in each framing, and names the framing of each answer.
pub async fn in_every_framing(gate: &Gate, request: &Req, body: &[u8]) -> Vec<(&'static str, Answer)> {
    let with = |body| request.clone().body(body);
    let mut answers = vec![
        ("content-length", gate.http1(&with(Body::Length(body.to_vec()))).await),
        ("chunked", gate.http1(&with(Body::Chunked(body.to_vec()))).await),
        ("DATA", gate.http2(&with(Body::Length(body.to_vec()))).await),
    ];
    if body.is_empty() {
        answers.push(("no framing", gate.http1(request).await));
        answers.push(("END_STREAM on HEADERS", gate.http2(request).await));
    }
    answers
}

/// Asserts that the backend saw so many requests, each with an empty body and no field that announces another.
pub fn assert_empty_cancels(gate: &Gate, count: usize, row: &str) {
    let requests = gate.backend.requests();
    assert_eq!(requests.len(), count, "{row}");
    for request in requests {
        assert_eq!(values(&request.headers, "content-length"), ["0"], "{row}");
        assert_eq!(request.body, "", "{row}");
        for name in ["content-type", "content-encoding", "transfer-encoding", "expect"] {
            assert!(!request.headers.contains_key(name), "{row}: {name}");
        }
    }
    gate.backend.clear();
}

#[tokio::test]
async fn an_empty_message_in_every_spelling_of_official_clients_is_forwarded_empty() {
    let rows = [
        ("Java, Python operations client: nothing", ""),
        ("Python GAPIC, Node, gcloud, discovery Python", "{}"),
        ("discovery Go", "{}\n"),
        ("spaces", " \t\r\n{ \n } "),
        ("Go GAPIC", r#"{"name":"NAME"}"#),
        ("Go GAPIC with its random space", r#"{"name": "NAME"}"#),
        (".NET", r#"{ "name": "NAME" }"#),
        ("Rust, pretty", "{\n  \"name\": \"NAME\"\n}\n"),
        ("PHP", r#"{"name":"ESCAPED"}"#),
        ("PHP, escaped letter", r#"{"n\u0061me":"\u0070ESCAPED_TAIL"}"#),
        ("Node, a rule without a body", "\"\""),
        (".NET's StreamWriter: a byte order mark", "\u{feff}{}"),
        ("a byte order mark alone", "\u{feff}"),
        ("blanks", " \r\n"),
    ];
    let gate = Gate::start();
    for (client, template) in rows {
        // The first two rules have `body: "*"`, the third has none.
        for (host, version, name) in
            [(COMPANION, "v1", TRAIN), (TRANSLATION, "v3", BATCH), (DATAPROC, "v1", JOB)]
        {
            let escaped = name.replace('/', "\\/");
            let body = template
                .replace("ESCAPED_TAIL", escaped.strip_prefix('p').unwrap())
                .replace("ESCAPED", &escaped)
                .replace("NAME", name);
            let request = Req::new("POST", host, &format!("/{version}/{name}:cancel"))
                .bearer(&ana())
                .header("content-type", "application/json");
            let answers = in_every_framing(&gate, &request, body.as_bytes()).await;
            for (framing, answer) in &answers {
                assert_eq!(answer.status, 200, "{client}, {framing}, {host}");
            }
            assert_empty_cancels(&gate, answers.len(), client);
        }
    }
}

#[tokio::test]
async fn a_method_without_a_body_accepts_an_empty_body_alone() {
    let (gate, _tree) = strict();
    let answers = in_every_framing(&gate, &cancel_without_body(), b"").await;
    assert_eq!(answers.len(), 5);
    for (framing, answer) in &answers {
        assert_eq!(answer.status, 200, "{framing}");
    }
    assert_empty_cancels(&gate, 5, "empty");

    // Node's client sends `""` and Rust's sends `{}`: an operator who writes `body: empty` wants neither.
    for body in ["\"\"", "{}", " ", "\n", "\u{feff}", "null", "\0"] {
        for (framing, answer) in in_every_framing(&gate, &cancel_without_body(), body.as_bytes()).await {
            let outcome = (answer.status, reason(&answer));
            assert_eq!(outcome, (400, "REQUEST_BODY_REFUSED".to_owned()), "{body:?}, {framing}");
        }
    }
    assert!(gate.backend.requests().is_empty());
}

#[tokio::test]
async fn a_body_with_content_is_refused_where_an_empty_message_is_expected() {
    let other = TRAIN.replace("demo", "other");
    let rows = [
        "\" \"".to_owned(),
        "null\n".to_owned(),
        "[]".to_owned(),
        "0".to_owned(),
        "\u{c}".to_owned(),
        "{".to_owned(),
        "{}{}".to_owned(),
        "{}\u{feff}".to_owned(),
        json!({ "name": other }).to_string(),
        json!({ "name": null }).to_string(),
        json!({ "name": "" }).to_string(),
        json!({ "name": [TRAIN] }).to_string(),
        json!({ "name": TRAIN, "force": true }).to_string(),
        json!({ "name": TRAIN, "Name": other }).to_string(),
        format!(r#"{{"name":"{TRAIN}","name":"{TRAIN}"}}"#),
        format!(r#"{{"name":"{TRAIN}","n\u0061me":"{other}"}}"#),
        format!(r#"{{"name":"{TRAIN}"}}{{"name":"{other}"}}"#),
        format!("{{\"name\":\"{TRAIN}\0\"}}"),
    ];
    let gate = Gate::start();
    for body in rows {
        for (framing, answer) in in_every_framing(&gate, &cancel(), body.as_bytes()).await {
            let outcome = (answer.status, reason(&answer));
            assert_eq!(outcome, (400, "REQUEST_BODY_REFUSED".to_owned()), "{body:?}, {framing}");
        }
    }
    assert!(gate.backend.requests().is_empty());
}

#[tokio::test]
async fn one_byte_is_refused_without_waiting_for_the_rest() {
    let (gate, _tree) = strict();
    for (row, request, fields, body) in [
        ("length 1, not sent", cancel_without_body(), "Content-Length: 1", ""),
        ("a huge length", cancel_without_body(), "Content-Length: 99999999999999999", "x"),
        ("a chunk, no terminator", cancel_without_body(), "Transfer-Encoding: chunked", "1\r\nx\r\n"),
        ("part of a chunk", cancel_without_body(), "Transfer-Encoding: chunked", "400\r\nx"),
        ("longer than any name", cancel(), "Content-Length: 99999999", "{"),
    ] {
        let mut connection = Connection::open(gate.address).await;
        connection.send(head(&request, fields) + body).await;
        let answer = connection.answer().await.unwrap();
        let refused = matches!(
            (answer.status, reason(&answer).as_str()),
            (400, "REQUEST_BODY_REFUSED") | (413, "REQUEST_BODY_TOO_LARGE")
        );
        assert!(refused, "{row}: {answer:?}");
        assert_eq!(answer.header("connection"), Some("close"), "{row}");
        assert_eq!(connection.rest().await, b"", "{row}");
    }
    assert!(gate.backend.requests().is_empty());
    assert_eq!(gate.audit(5).len(), 5);
}

#[tokio::test]
async fn a_data_frame_is_refused_without_end_stream_and_other_streams_live_on() {
    let (gate, _tree) = strict();
    let mut client = gate.http2_client().await;
    let (refused, mut stream) = client.start(&cancel_without_body(), false).await;
    stream.send_data(Bytes::from_static(b"x"), false).unwrap();
    let refused = client.finish(refused).await;
    assert_eq!((refused.status, reason(&refused).as_str()), (400, "REQUEST_BODY_REFUSED"));
    assert!(gate.backend.requests().is_empty());

    let (allowed, _) = client.start(&cancel_without_body(), true).await;
    assert_eq!(client.finish(allowed).await.status, 200);
    assert_eq!(gate.backend.requests().len(), 1);
    assert_eq!(gate.audit(2).len(), 2);
}

#[tokio::test]
async fn empty_data_frames_are_an_empty_body() {
    let (gate, _tree) = strict();
    let mut client = gate.http2_client().await;
    let (answer, mut stream) = client.start(&cancel_without_body(), false).await;
    for _ in 0..3 {
        stream.send_data(Bytes::new(), false).unwrap();
    }
    stream.send_data(Bytes::new(), true).unwrap();
    assert_eq!(client.finish(answer).await.status, 200);
    assert_empty_cancels(&gate, 1, "three empty frames and an end");
}

#[tokio::test]
async fn expect_100_continue_is_answered_only_where_the_body_can_be_accepted() {
    let (gate, _tree) = strict();
    let anonymous = Req::new("POST", COMPANION, &format!("/v1/{TRAIN}:cancel"));
    for (row, request, fields, status) in [
        ("a body where none belongs", cancel_without_body(), "Content-Length: 99999999999", 400),
        ("more than any name", cancel(), "Content-Length: 99999999999", 413),
        ("no credential", anonymous, "Content-Length: 2", 401),
        ("no body at all", cancel(), "Content-Length: 0", 200),
    ] {
        let mut connection = Connection::open(gate.address).await;
        connection.send(head(&request, &format!("Expect: 100-continue\r\n{fields}"))).await;
        assert_eq!(connection.status().await, Some(status), "{row}");
    }
    assert_empty_cancels(&gate, 1, "the backend got a body");

    for fields in ["Content-Length: 2", "Transfer-Encoding: chunked"] {
        let mut connection = Connection::open(gate.address).await;
        connection.send(head(&cancel(), &format!("Expect: 100-Continue\r\n{fields}"))).await;
        assert_eq!(connection.status().await, Some(100), "{fields}");
        let body = if fields.starts_with('T') { "2\r\n{}\r\n0\r\n\r\n" } else { "{}" };
        connection.send(body).await;
        assert_eq!(connection.status().await, Some(200), "{fields}");
        assert_empty_cancels(&gate, 1, fields);
    }
}

#[tokio::test]
async fn an_http_1_0_client_gets_no_interim_answer() {
    let gate = Gate::start();
    let mut connection = Connection::open(gate.address).await;
    let head = head(&cancel(), "Expect: 100-continue\r\nContent-Length: 2").replace("HTTP/1.1", "HTTP/1.0");
    connection.send(head + "{}").await;
    assert_eq!(connection.status().await, Some(200));
    assert_eq!(connection.rest().await, b"");
    assert_empty_cancels(&gate, 1, "HTTP/1.0");
}

#[tokio::test]
async fn a_body_that_trickles_or_stalls_is_given_up() {
    let gate = Gate::start_with(Setup { set: vec!["limits.body_timeout=1s".into()], ..Setup::default() });
    let start = head(&cancel(), "Content-Length: 40000") + "{";
    let mut stalled = Connection::open(gate.address).await;
    stalled.send(&start).await;
    let answer = stalled.answer().await.unwrap();
    assert_eq!((answer.status, reason(&answer).as_str()), (408, "REQUEST_BODY_TIMEOUT"));
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(stalled.rest().await, b"");

    let mut trickling = Connection::open(gate.address).await;
    trickling.send(&start).await;
    let answer = loop {
        tokio::select! {
            answer = trickling.answer() => break answer.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
        trickling.try_send(" ").await;
    };
    assert_eq!((answer.status, reason(&answer).as_str()), (408, "REQUEST_BODY_TIMEOUT"));

    let mut client = gate.http2_client().await;
    let (answer, mut stream) = client.start(&cancel(), false).await;
    stream.send_data(Bytes::from_static(b"{"), false).unwrap();
    assert_eq!(client.finish(answer).await.status, 408);
    assert!(gate.backend.requests().is_empty());
    assert!(gate.audit(3).iter().all(|line| line["protoPayload"]["metadata"]["decision"] == "DENIED"));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_never_forwarded() {
    let gate = Gate::start();
    for (fields, body) in [
        ("Content-Length: 5", "{}"),
        ("Transfer-Encoding: chunked", "2\r\n{}\r\n"),
        ("Transfer-Encoding: chunked", "2\r\n{"),
    ] {
        for request in [cancel(), wait()] {
            let mut connection = Connection::open(gate.address).await;
            connection.send(head(&request, fields) + body).await;
            connection.finish().await;
            let answer = connection.answer().await;
            assert!(answer.is_none_or(|answer| answer.status == 400), "{fields}");
        }
    }
    assert_eq!(gate.audit(6).len(), 6);
    assert!(gate.backend.requests().is_empty());
}

#[tokio::test]
async fn bad_chunks_are_never_forwarded() {
    let gate = Gate::start();
    for (row, body) in [
        ("a size that is not a number", "g\r\n{}\r\n0\r\n\r\n"),
        ("a negative size", "-2\r\n{}\r\n0\r\n\r\n"),
        ("a signed size", "+2\r\n{}\r\n0\r\n\r\n"),
        ("a prefixed size", "0x2\r\n{}\r\n0\r\n\r\n"),
        ("a huge size", "ffffffffffffffffff2\r\n{}\r\n0\r\n\r\n"),
        ("a bare LF after the size", "2\n{}\r\n0\r\n\r\n"),
        ("no CRLF after the chunk", "2\r\n{}0\r\n\r\n"),
        ("a bare LF after the chunk", "2\r\n{}\n0\r\n\r\n"),
        ("more than the size", "1\r\n{}\r\n0\r\n\r\n"),
        ("a space before the size", " 2\r\n{}\r\n0\r\n\r\n"),
    ] {
        let mut connection = Connection::open(gate.address).await;
        connection.send(head(&cancel(), "Transfer-Encoding: chunked") + body).await;
        let answer = connection.answer().await.unwrap();
        assert_eq!(answer.status, 400, "{row}");
        assert_eq!(answer.header("connection"), Some("close"), "{row}");
        // After a broken body, the start of a next request is unknown: what follows must not be read as one.
        connection.try_send(cancel().to_http1()).await;
        assert_eq!(connection.rest().await, b"", "{row}");
    }
    assert_eq!(gate.audit(10).len(), 10);
    assert!(gate.backend.requests().is_empty());
}

/// Some readers of chunks read a missing size as 0. The gate refuses it and ends the connection.
#[tokio::test]
async fn a_missing_chunk_size_is_refused_and_ends_the_connection() {
    let hidden = String::from_utf8(cancel().to_http1()).unwrap();
    let gate = Gate::start();
    for rest in ["{}\r\n0\r\n\r\n", "\r\n", &hidden] {
        let mut connection = Connection::open(gate.address).await;
        connection.send(head(&cancel(), "Transfer-Encoding: chunked") + "\r\n" + rest).await;
        let answer = connection.answer().await.unwrap();
        assert_eq!((answer.status, reason(&answer).as_str()), (400, "REQUEST_MALFORMED"), "{rest:?}");
        connection.finish_if_open().await;
        assert_eq!(connection.rest().await, b"", "{rest:?}");
    }
    assert!(gate.backend.requests().is_empty());
}

#[tokio::test]
async fn a_message_arrives_byte_for_byte() {
    let mut longest = br#"{"timeout":"0s"}"#.to_vec();
    longest.resize(64 * 1024, b' ');
    let rows = [
        br#"{"timeout":"0s"}"#.to_vec(),
        b"\n{ \"timeout\"\t:\r\n \"\\u0030s\" , \"x\": [1.0, 1e3, -0, \"\xc3\xa9\\/\"] }\n".to_vec(),
        json!({ "name": TRAIN, "timeout": "0s" }).to_string().into_bytes(),
        longest.clone(),
    ];
    for upstream_protocol in [None, Some("h2c")] {
        let gate = Gate::start_with(Setup { upstream_protocol, ..Setup::default() });
        for body in &rows {
            for (framing, answer) in in_every_framing(&gate, &wait(), body).await {
                assert_eq!(answer.status, 200, "{upstream_protocol:?}, {framing}, {} bytes", body.len());
            }
            let requests = gate.backend.requests();
            assert_eq!(requests.len(), 3);
            for request in requests {
                assert_eq!(request.body, *body, "{upstream_protocol:?}");
                assert_eq!(values(&request.headers, "content-length"), [body.len().to_string()]);
                assert_eq!(values(&request.headers, "content-type"), ["application/json"]);
                assert!(!request.headers.contains_key("transfer-encoding"));
            }
            gate.backend.clear();
        }
        let mut too_long = longest.clone();
        too_long.push(b' ');
        let disagreeing = json!({ "name": BATCH, "timeout": "0s" }).to_string().into_bytes();
        for (body, expected) in
            [(too_long, (413, "REQUEST_BODY_TOO_LARGE")), (disagreeing, (400, "REQUEST_BODY_REFUSED"))]
        {
            for (framing, answer) in in_every_framing(&gate, &wait(), &body).await {
                assert_eq!((answer.status, reason(&answer).as_str()), expected, "{framing}");
            }
        }
        assert!(gate.backend.requests().is_empty());
    }
}

/// If the body is announced, the request is malformed; if it is not announced, it is a body where none is allowed.
#[tokio::test]
async fn a_get_with_a_body_is_refused() {
    let gate = Gate::start();
    let request = Req::new("GET", COMPANION, &format!("/v1/{TRAIN}")).bearer(&ana());
    for (framing, answer) in in_every_framing(&gate, &request, b"{}").await {
        assert_eq!((answer.status, reason(&answer).as_str()), (400, "REQUEST_MALFORMED"), "{framing}");
    }
    let unannounced = request.clone().body(Body::Chunked(b"{}".to_vec()));
    let answer = gate.http2(&unannounced).await;
    assert_eq!((answer.status, reason(&answer).as_str()), (400, "REQUEST_BODY_REFUSED"));
    assert!(gate.backend.requests().is_empty());
    for (framing, answer) in in_every_framing(&gate, &request, b"").await {
        let expected = if framing == "chunked" { 400 } else { 200 };
        assert_eq!(answer.status, expected, "{framing}");
    }
    for request in gate.backend.requests() {
        assert!(!request.headers.contains_key("content-length"));
        assert!(!request.headers.contains_key("transfer-encoding"));
    }
}
