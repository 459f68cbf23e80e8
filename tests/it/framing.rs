//! Heads that two readers could read differently, and connections that do not start as they should.
//!
//! Every row is a request that policy would allow if the gate read it as the one it resembles.

use std::time::Duration;

use crate::connection::Connection;
use crate::harness::{CANCEL, COMPANION, Gate, Req, Setup, cancel, reason, token};

/// A head with this request line, this host and these further lines, all ending in CRLF.
fn head(request_line: &str, host: &str, lines: &str) -> Vec<u8> {
    let token = token("ana@example.com");
    format!("{request_line}\r\n{host}Authorization: Bearer {token}\r\n{lines}\r\n").into_bytes()
}

/// A head whose further lines are these.
fn with(lines: &str) -> Vec<u8> {
    head(&format!("POST {CANCEL} HTTP/1.1"), &format!("Host: {COMPANION}\r\n"), lines)
}

/// A head whose request line is this.
fn line(request_line: &str) -> Vec<u8> {
    head(request_line, &format!("Host: {COMPANION}\r\n"), "Content-Length: 0\r\n")
}

/// A head whose target is this.
fn target(target: &str) -> Vec<u8> {
    line(&format!("POST {target} HTTP/1.1"))
}

/// A head whose `Host` lines are these.
fn host(lines: &str) -> Vec<u8> {
    head(&format!("POST {CANCEL} HTTP/1.1"), lines, "Content-Length: 0\r\n")
}

/// Sends every row over a connection of its own. Each is refused for `expected`, logged, counted, and never forwarded.
async fn assert_refused(rows: &[(&str, Vec<u8>)], status: u16, expected: &str) {
    let gate = Gate::start();
    for (row, bytes) in rows {
        let mut connection = Connection::open(gate.address).await;
        connection.send(bytes).await;
        let answer = connection.answer().await.unwrap_or_else(|| panic!("{row}: no answer"));
        assert_eq!((answer.status, reason(&answer).as_str()), (status, expected), "{row}");
        assert_eq!(answer.header("connection"), Some("close"), "{row}");
        assert_eq!(connection.rest().await, b"", "{row}: the connection goes on");
    }
    let lines = gate.audit(rows.len());
    assert_eq!(lines.len(), rows.len());
    for line in &lines {
        assert_eq!(line["protoPayload"]["metadata"]["reason"], expected);
        assert_eq!(line["protoPayload"]["metadata"]["decision"], "DENIED");
    }
    let counter = format!(
        "opgate_requests_total{{code=\"{status}\",method=\"unknown\",reason=\"{expected}\",service=\"unknown\"}} {}\n",
        rows.len()
    );
    assert!(gate.metrics().await.contains(&counter), "{counter}");
    assert!(gate.backend.requests().is_empty());

    // The plain row: all others deviate from it.
    let mut connection = Connection::open(gate.address).await;
    connection.send(with("Content-Length: 0\r\n")).await;
    assert_eq!(connection.status().await, Some(200));
}

#[tokio::test]
async fn request_lines_that_readers_repair_are_refused() {
    let rows = [
        ("two spaces before the target", line(&format!("POST  {CANCEL} HTTP/1.1"))),
        ("two spaces after the target", line(&format!("POST {CANCEL}  HTTP/1.1"))),
        ("a tab", line(&format!("POST\t{CANCEL} HTTP/1.1"))),
        ("a space in front", line(&format!(" POST {CANCEL} HTTP/1.1"))),
        ("a space at the end", line(&format!("POST {CANCEL} HTTP/1.1 "))),
        ("a space in the target", line(&format!("POST {CANCEL} x HTTP/1.1"))),
        ("an empty line in front", [b"\r\n".to_vec(), with("Content-Length: 0\r\n")].concat()),
        ("no version", line(&format!("POST {CANCEL}"))),
        ("HTTP/0.9", line(&format!("POST {CANCEL} HTTP/0.9"))),
        ("HTTP/1.2", line(&format!("POST {CANCEL} HTTP/1.2"))),
        ("HTTP/2.0", line(&format!("POST {CANCEL} HTTP/2.0"))),
        ("a version in lower case", line(&format!("POST {CANCEL} http/1.1"))),
        ("a method in lower case", line(&format!("post {CANCEL} HTTP/1.1"))),
        ("a method that is not a token", line(&format!("PO(ST {CANCEL} HTTP/1.1"))),
        ("a method that swallows the verb", line(&format!("POSTcancel {CANCEL} HTTP/1.1"))),
        ("no method", line(&format!("{CANCEL} HTTP/1.1"))),
        ("bare LF", line(&format!("POST {CANCEL} HTTP/1.1\nX: y"))),
        ("bare CR", line(&format!("POST {CANCEL} HTTP/1.1\rX: y"))),
        ("only bare LF", {
            let text = String::from_utf8(with("Content-Length: 0\r\n")).unwrap();
            let tail = "\r\nX: y\r\n\r\n";
            (text.trim_end().replace("\r\n", "\n") + tail).into_bytes()
        }),
        ("TRACE", line(&format!("TRACE {CANCEL} HTTP/1.1"))),
        ("not HTTP at all", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec()),
    ];
    assert_refused(&rows, 400, "REQUEST_MALFORMED").await;
}

#[tokio::test]
async fn targets_that_a_backend_could_read_as_another_path_are_refused() {
    let rows: Vec<(&str, Vec<u8>)> = [
        "//v1/projects/demo/locations/us-central1/operations/train-1:cancel",
        "/v1//projects/demo/locations/us-central1/operations/train-1:cancel",
        "/v1/projects/demo/locations/us-central1/operations/./train-1:cancel",
        "/v1/projects/demo/locations/us-central1/operations/../operations/train-1:cancel",
        "/v1/projects/demo/locations/us-central1/operations/%2e/train-1:cancel",
        "/v1/projects/demo/locations/us-central1/operations/%2E%2e/train-1:cancel",
        "/v1/projects/demo/locations/us-central1/operations/.%2E:cancel",
        "/v1/projects%2Fdemo/locations/us-central1/operations/train-1:cancel",
        "/v1/projects/demo/locations/us-central1/operations%5Ctrain-1:cancel",
        "/v1/projects/demo/locations/us-central1/operations\\train-1:cancel",
        "/v1/projects/demo/locations/us-central1/operations/train-1%00:cancel",
        "/v1/projects/demo/locations/us-central1/operations/train-1\0:cancel",
        "/v1/projects/demo/locations/us-central1/operations/train-1%0d%0aX:cancel",
        "/v1/projects/demo/locations/us-central1/operations/train-1\t:cancel",
        "/v1/projects/demo/locations/us-central1/operations/train-1%:cancel",
        "/v1/projects/demo/locations/us-central1/operations/train-1%2:cancel",
        "/v1/projects/demo/locations/us-central1/operations/train-1%gg:cancel",
        "/v1/projects/demo/locations/us-central1/operations/train-\u{e9}:cancel",
        "/v1/projects/demo/locations/us-central1/operations/train-1:cancel#x",
        "/v1/projects/demo/locations/us-central1/operations/train-1#:cancel",
        "/v1/projects/demo/locations/us-central1/operations/train-1:cancel?a=b#c",
        "v1/projects/demo/locations/us-central1/operations/train-1:cancel",
        "http://evil.example/v1/projects/demo/locations/us-central1/operations/train-1:cancel",
        "http://cloudaicompanion.localhost@evil.example/v1/projects/demo",
        "http://cloudaicompanion.localhost",
        "ftp://cloudaicompanion.localhost/v1/projects/demo",
        "cloudaicompanion.localhost:443",
        "*",
        "?a=b",
    ]
    .into_iter()
    .map(|text| (text, target(text)))
    .collect();
    assert_refused(&rows, 400, "REQUEST_MALFORMED").await;
}

#[tokio::test]
async fn queries_that_would_change_what_was_judged_are_refused() {
    let rows: Vec<(&str, Vec<u8>)> = [
        "name=projects/other",
        "a=b&name=x",
        "n%61me=x",
        "name.x=y",
        "access_token=x",
        "oauth_token=x",
        "bearer_token=x",
        "%61ccess_token=x",
        "callback=x",
        "%24callback=x",
        "$ct=text/plain",
        "%24ct=text/plain",
        "$httpMethod=DELETE",
    ]
    .into_iter()
    .map(|query| (query, target(&format!("{CANCEL}?{query}"))))
    .collect();
    let gate = Gate::start();
    for (row, bytes) in &rows {
        let answer = gate.raw(bytes).await;
        assert_eq!(answer.status, 400, "{row}");
    }
    assert_eq!(gate.audit(rows.len()).len(), rows.len());
    assert!(gate.backend.requests().is_empty());
}

#[tokio::test]
async fn hosts_that_readers_could_disagree_about_are_refused() {
    let rows = [
        ("none", host("")),
        ("two", host(&format!("Host: {COMPANION}\r\nHost: {COMPANION}\r\n"))),
        ("two that differ", host(&format!("Host: {COMPANION}\r\nHost: evil.example\r\n"))),
        ("empty", host("Host: \r\n")),
        ("a trailing dot", host(&format!("Host: {COMPANION}.\r\n"))),
        ("user information", host(&format!("Host: evil@{COMPANION}\r\n"))),
        ("a list", host(&format!("Host: {COMPANION}, evil.example\r\n"))),
        ("a path", host(&format!("Host: {COMPANION}/x\r\n"))),
        ("a port that is not a number", host(&format!("Host: {COMPANION}:80x\r\n"))),
        ("an empty port", host(&format!("Host: {COMPANION}:\r\n"))),
        ("a space before the colon", host(&format!("Host : {COMPANION}\r\n"))),
        ("folded", host(&format!("Host:\r\n {COMPANION}\r\n"))),
        ("not ASCII", host("Host: cloudaicompanion.localh\u{f6}st\r\n")),
        ("missing over HTTP/1.0", head(&format!("POST {CANCEL} HTTP/1.0"), "", "Content-Length: 0\r\n")),
    ];
    assert_refused(&rows, 400, "REQUEST_MALFORMED").await;
}

#[tokio::test]
async fn bodies_that_end_in_two_places_are_refused() {
    let http_1_0 = |lines| head(&format!("POST {CANCEL} HTTP/1.0"), &format!("Host: {COMPANION}\r\n"), lines);
    let rows = [
        ("length and chunked", with("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n")),
        ("chunked and length", with("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n")),
        ("two lengths", with("Content-Length: 0\r\nContent-Length: 0\r\n")),
        ("two lengths that differ", with("Content-Length: 0\r\nContent-Length: 2\r\n")),
        ("a list of lengths", with("Content-Length: 0,0\r\n")),
        ("a signed length", with("Content-Length: +0\r\n")),
        ("a negative length", with("Content-Length: -1\r\n")),
        ("a hexadecimal length", with("Content-Length: 0x0\r\n")),
        ("an empty length", with("Content-Length:\r\n")),
        ("a length of two numbers", with("Content-Length: 0 0\r\n")),
        ("a length beyond 64 bits", with("Content-Length: 18446744073709551616\r\n")),
        ("an underscored length", with("Content_Length: 0\r\n")),
        ("two codings", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")),
        ("a list of codings", with("Transfer-Encoding: gzip, chunked\r\n")),
        ("chunked twice", with("Transfer-Encoding: chunked, chunked\r\n")),
        ("chunked, not last", with("Transfer-Encoding: chunked, identity\r\n")),
        ("identity", with("Transfer-Encoding: identity\r\n")),
        ("another coding", with("Transfer-Encoding: xchunked\r\n")),
        ("a parameter", with("Transfer-Encoding: chunked;q=1\r\n")),
        ("quotes", with("Transfer-Encoding: \"chunked\"\r\n")),
        ("another case", with("Transfer-Encoding: Chunked\r\n")),
        ("an empty coding", with("Transfer-Encoding:\r\n")),
        ("a vertical tab", with("Transfer-Encoding: \x0bchunked\r\n")),
        ("an underscored coding", with("Transfer_Encoding: chunked\r\n")),
        ("chunked over HTTP/1.0", http_1_0("Transfer-Encoding: chunked\r\n")),
        ("space before the colon", with("Transfer-Encoding : chunked\r\n")),
        ("a folded coding", with("Transfer-Encoding:\r\n chunked\r\n")),
    ]
    .map(|(row, head)| (row, [head, b"0\r\n\r\n".to_vec()].concat()));
    assert_refused(&rows, 400, "REQUEST_MALFORMED").await;
}

#[tokio::test]
async fn fields_that_readers_repair_or_believe_are_refused() {
    let rows = [
        ("a space before the colon", with("X-A : b\r\n")),
        ("a tab before the colon", with("X-A\t: b\r\n")),
        ("a space in front", with(" X-A: b\r\n")),
        ("folded with a space", with("X-A: b\r\n c\r\n")),
        ("folded with a tab", with("X-A: b\r\n\tc\r\n")),
        ("no colon", with("X-A\r\n")),
        ("no name", with(": b\r\n")),
        ("a name with a space", with("X A: b\r\n")),
        ("a name that is not ASCII", with("X-\u{e4}: b\r\n")),
        ("NUL in a name", with("X\0A: b\r\n")),
        ("NUL in a value", with("X-A: b\0c\r\n")),
        ("a control character in a value", with("X-A: b\x01c\r\n")),
        ("DEL in a value", with("X-A: b\x7fc\r\n")),
        ("bare LF", with("X-A: b\nX-C: d\r\n")),
        ("bare CR", with("X-A: b\rX-C: d\r\n")),
        ("method override", with("X-HTTP-Method-Override: DELETE\r\n")),
        ("method override, shorter", with("X-HTTP-Method: DELETE\r\n")),
        ("method override, another", with("X-Method-Override: DELETE\r\n")),
        ("a twin of our header", with("X_Opgate_Principal: user:root@example.com\r\n")),
        ("half a twin of our header", with("X-Opgate_Principal: user:root@example.com\r\n")),
        ("a twin of a forwarding header", with("X_Forwarded_For: 127.0.0.1\r\n")),
        ("Connection takes our header away", with("Connection: x-opgate-principal\r\n")),
        ("Connection takes the credential away", with("Connection: close, Authorization\r\n")),
        ("Connection takes the host away", with("Connection: host\r\n")),
        ("Connection takes the length away", with("Connection: content-length\r\nContent-Length: 0\r\n")),
        ("Connection is not a list", with("Connection: a b\r\n")),
        ("Expect", with("Expect: 200-maybe\r\n")),
        ("two Expects", with("Expect: 100-continue\r\nExpect: 100-continue\r\n")),
        ("two types", with("Content-Type: a/b\r\nContent-Type: c/d\r\n")),
        ("websocket in a list", with("Connection: Upgrade\r\nUpgrade: foo, WebSocket\r\n")),
        ("websocket, not nominated", with("Upgrade: websocket\r\n")),
        ("websocket", with("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n")),
    ];
    assert_refused(&rows, 400, "REQUEST_MALFORMED").await;
}

#[tokio::test]
async fn connect_is_refused() {
    let rows = [
        ("authority form", b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n".to_vec()),
        ("early data", b"CONNECT a.b:443 HTTP/1.1\r\nHost: a.b:443\r\n\r\nGET / HTTP/1.1\r\n\r\n".to_vec()),
        ("origin form", line(&format!("CONNECT {CANCEL} HTTP/1.1"))),
    ];
    assert_refused(&rows, 400, "REQUEST_MALFORMED").await;

    let gate = Gate::start();
    let mut client = gate.http2_client().await;
    let connect = Req::new("CONNECT", "evil.example:443", "").bearer(&token("ana@example.com"));
    let (answer, _stream) = client.start(&connect, false).await;
    assert_eq!(client.finish(answer).await.status, 400);
    let (answer, _stream) = client.start(&cancel(), true).await;
    assert_eq!(client.finish(answer).await.status, 200, "the connection stays open");
    let mut reasons: Vec<_> = gate
        .audit(2)
        .iter()
        .map(|line| line["protoPayload"]["metadata"]["reason"].as_str().unwrap().to_owned())
        .collect();
    reasons.sort();
    assert_eq!(reasons, ["ALLOWED", "REQUEST_MALFORMED"]);
    assert_eq!(gate.backend.requests().len(), 1);
}

#[tokio::test]
async fn heads_beyond_the_limits_are_refused() {
    let fields = |count: usize| "X-A: b\r\n".repeat(count - 2);
    let padding = |bytes: usize| {
        let rest = with("X-A: \r\n").len();
        format!("X-A: {}\r\n", "x".repeat(bytes - rest))
    };
    let rows = [
        ("101 fields", with(&fields(101))),
        ("10,000 fields", with(&fields(3500))),
        ("32 KiB and a byte", with(&padding(32 * 1024 + 1))),
        ("a MiB", with(&padding(1024 * 1024))),
        ("a head that never ends", [with(&padding(64 * 1024)), Vec::new()].concat()[..50 * 1024].to_vec()),
        ("a target that never ends", format!("POST /{}", "x".repeat(40 * 1024)).into_bytes()),
    ];
    assert_refused(&rows, 431, "REQUEST_HEAD_TOO_LARGE").await;

    // At the limits, the gate reads the head: the 404 shows that it got as far as the path.
    let gate = Gate::start();
    for lines in [fields(100), padding(32 * 1024)] {
        let bytes = String::from_utf8(with(&lines)).unwrap().replace(":cancel", ":cancxl");
        assert_eq!(gate.raw(bytes).await.status, 404);
    }
}

#[tokio::test]
async fn a_head_that_trickles_or_stalls_is_given_up() {
    let set = vec!["limits={head_timeout: 1s, idle_timeout: 3s}".into()];
    let gate = Gate::start_with(Setup { set, ..Setup::default() });
    let request = cancel().to_http1();
    let begun = &request[..request.len() - 3];

    let mut stalled = Connection::open(gate.address).await;
    stalled.send(begun).await;
    let mut preface = Connection::open(gate.address).await;
    preface.send("PRI * HTTP/2.0\r\n").await;
    let mut second = Connection::open(gate.address).await;
    second.send(&request).await;
    assert_eq!(second.status().await, Some(200));
    second.send(begun).await;
    for connection in [&mut stalled, &mut preface, &mut second] {
        let answer = connection.answer().await.unwrap();
        assert_eq!((answer.status, reason(&answer).as_str()), (408, "REQUEST_HEAD_TIMEOUT"));
        assert_eq!(answer.header("connection"), Some("close"));
        assert_eq!(connection.rest().await, b"");
    }

    let mut trickling = Connection::open(gate.address).await;
    trickling.send(b"P").await;
    let mut bytes = request.iter().skip(1);
    let answer = loop {
        tokio::select! {
            answer = trickling.answer() => break answer.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
        }
        trickling.try_send([*bytes.next().expect("the deadline is total")]).await;
    };
    assert_eq!(answer.status, 408);

    // A client that sends nothing has sent no request, and gets no answer.
    let mut silent = Connection::open(gate.address).await;
    assert_eq!(silent.rest().await, b"");
    assert_eq!(gate.audit(5).len(), 5);
    assert_eq!(gate.backend.requests().len(), 1);
}

#[tokio::test]
async fn an_http2_preface_counts_only_at_the_start_and_in_full() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    let gate = Gate::start();

    let mut connection = Connection::open(gate.address).await;
    for byte in PREFACE {
        connection.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    connection.send(SETTINGS).await;
    connection.finish().await;
    let answer = connection.rest().await;
    assert_eq!(answer[3], 4, "a SETTINGS frame: {answer:?}");

    let request = cancel().to_http1();
    for (row, bytes) in [
        ("another end", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec()),
        ("another target", b"PRI / HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("a request in it", [b"PRI * HTTP/2.0\r\n".to_vec(), request.clone()].concat()),
        (
            "a broken preface and then a request",
            [b"PRI * HTTP/2.0\r\n\r\n".to_vec(), request.clone()].concat(),
        ),
    ] {
        let mut connection = Connection::open(gate.address).await;
        connection.send(bytes).await;
        assert_eq!(connection.status().await, Some(400), "{row}");
        assert_eq!(connection.rest().await, b"", "{row}");
    }
    let mut connection = Connection::open(gate.address).await;
    connection.send(&request).await;
    assert_eq!(connection.status().await, Some(200));
    connection.send(PREFACE).await;
    assert_eq!(connection.status().await, Some(400), "in the middle of a connection");

    let mut connection = Connection::open(gate.address).await;
    connection.send([PREFACE, request.as_slice()].concat()).await;
    connection.finish().await;
    let rest = connection.rest().await;
    assert!(!rest.windows(5).any(|window| window == b"HTTP/"), "a request is not a frame");
    assert_eq!(gate.audit(6).len(), 6);
    assert_eq!(gate.backend.requests().len(), 1);

    let off = Gate::start_with(Setup { set: vec!["listeners.0.http2=false".into()], ..Setup::default() });
    let mut connection = Connection::open(off.address).await;
    connection.send([PREFACE, SETTINGS].concat()).await;
    assert_eq!(connection.status().await, Some(400), "HTTP/2 is off");
}

#[tokio::test]
async fn http2_heads_are_judged_alike() {
    let gate = Gate::start();
    let rows = [
        ("our header's twin", cancel().header("x_opgate_principal", "user:root@example.com")),
        ("method override", cancel().header("x-http-method-override", "DELETE")),
        ("expect", cancel().header("expect", "200-maybe")),
        ("TRACE", Req::new("TRACE", COMPANION, CANCEL).bearer(&token("ana@example.com"))),
        ("dot segments", Req::new("POST", COMPANION, "/v1/../x").bearer(&token("ana@example.com"))),
        ("an encoded slash", Req::new("POST", COMPANION, "/v1%2Fx").bearer(&token("ana@example.com"))),
    ];
    for (row, request) in &rows {
        let answer = gate.http2(request).await;
        assert_eq!((answer.status, reason(&answer).as_str()), (400, "REQUEST_MALFORMED"), "{row}");
    }
    assert_eq!(gate.audit(rows.len()).len(), rows.len());

    let answer = gate.http2(&cancel().header("host", "evil.example")).await;
    assert_eq!(answer.status, 400);
    assert!(gate.backend.requests().is_empty());
}

/// A field that a client sends and a field that the gate sends upstream under that name are two things.
#[tokio::test]
async fn claims_about_the_caller_end_at_the_gate() {
    let gate = Gate::start();
    let request = cancel()
        .header("x-opgate-principal", "user:root@example.com")
        .header("x-opgate-anything", "1")
        .header("x-forwarded-for", "127.0.0.1")
        .header("x-request-id", "mine")
        .header("x-goog-iap-jwt-assertion", "x")
        .header("x-mine", "kept");
    for answer in gate.over_both(&request).await {
        assert_eq!(answer.status, 200);
    }
    let nominating = request.header("connection", "x-mine");
    assert_eq!(gate.http1(&nominating).await.status, 200);
    let requests = gate.backend.requests();
    assert_eq!(requests.len(), 3);
    for (number, request) in requests.iter().enumerate() {
        assert_eq!(request.headers["x-opgate-principal"], "user:ana@example.com");
        assert_ne!(request.headers["x-request-id"], "mine");
        for name in ["authorization", "x-opgate-anything", "x-forwarded-for", "x-goog-iap-jwt-assertion"] {
            assert!(!request.headers.contains_key(name), "{name}");
        }
        assert_eq!(request.headers.contains_key("x-mine"), number < 2);
    }
}
