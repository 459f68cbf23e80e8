//! One rule for both versions: the method, the scheme, the cookies, the size of the head. Every method and path is open
//! here, so a refusal comes from that rule alone.

use serde_json::json;

use crate::authority::Authority;
use crate::connection::Connection;
use crate::frames::{self, Outcome, ask_over};
use crate::harness::{COMPANION, Gate, Req, Setup, token};
use crate::open_gate::{ANYTHING, OpenGate};
use crate::recorder::{field, request_line};

#[tokio::test]
async fn a_method_is_refused_over_http2_as_it_is_over_http1() {
    let open = OpenGate::start();
    let long = "A".repeat(33);
    for method in [
        "post", "Post", "get", "trace", "TRACE", "TRACK", "connect", "CONNECT", "PRI", "!#$%", "GET-X",
        "GET1", "*", &long,
    ] {
        assert_eq!(open.http1(method, ANYTHING, b"/x").await, Some(400), "{method} over HTTP/1");
        let outcome = open.http2(method, ANYTHING, b"/x").await;
        assert!(
            matches!(outcome, Outcome::Status(400) | Outcome::Broken),
            "{method} over HTTP/2: {outcome:?}"
        );
    }
    assert_eq!(open.backend.bytes(), 0, "{:?}", open.backend.take());
    let longest = "A".repeat(32);
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE", &longest] {
        assert_eq!(open.http1(method, ANYTHING, b"/x").await, Some(200), "{method} over HTTP/1");
        assert_eq!(open.http2(method, ANYTHING, b"/x").await, Outcome::Status(200), "{method} over HTTP/2");
        let expected = format!("{method} /x HTTP/1.1");
        for head in open.backend.take() {
            assert_eq!(request_line(&head), expected);
        }
    }
    open.assert_what_arrived_was_allowed();
}

/// Sends schemes over both versions: in `:scheme`, and in an absolute-form target.
async fn schemes(gate: &Gate, peer_is_trusted: bool) {
    let authorization = format!("Bearer {}", token("ana@example.com"));
    let cancel = "/v1/projects/demo/locations/us-central1/operations/train-1:cancel";
    for (scheme, expected) in
        [("http", 200), ("https", if peer_is_trusted { 200 } else { 400 }), ("ftp", 400)]
    {
        let fields = [
            (":method", b"POST".as_slice()),
            (":scheme", scheme.as_bytes()),
            (":authority", COMPANION.as_bytes()),
            (":path", cancel.as_bytes()),
            ("authorization", authorization.as_bytes()),
        ];
        let outcome = frames::ask(gate.address, &fields).await;
        assert_eq!(outcome, Outcome::Status(expected), "{scheme} over HTTP/2, trusted: {peer_is_trusted}");
        let target = format!("{scheme}://{COMPANION}{cancel}");
        let answer =
            gate.http1(&Req::new("POST", COMPANION, &target).bearer(&token("ana@example.com"))).await;
        assert_eq!(answer.status, expected, "{scheme} over HTTP/1, trusted: {peer_is_trusted}");
    }
}

#[tokio::test]
async fn the_https_scheme_without_tls_is_accepted_from_a_trusted_proxy_alone() {
    schemes(&Gate::start(), false).await;
    let set = vec!["trusted_proxies={addresses: [127.0.0.1]}".to_owned()];
    schemes(&Gate::start_with(Setup { set, ..Setup::default() }), true).await;
}

#[tokio::test]
async fn over_tls_only_the_https_scheme_is_accepted() {
    let authority = Authority::new();
    let files = tempfile::tempdir().unwrap();
    let (cert, key) = authority.issue(&[COMPANION]).write(files.path(), "server");
    let tls = json!({ "certificates": [{ "cert": cert, "key": key }] });
    let gate = Gate::start_with(Setup {
        set: vec![
            format!("listeners.0.tls={tls}"),
            // Not even from a peer that is trusted for the scheme.
            "trusted_proxies={addresses: [127.0.0.1]}".to_owned(),
        ],
        ..Setup::default()
    });
    let bearer = format!("Bearer {}", token("ana@example.com"));
    let cancel = "/v1/projects/demo/locations/us-central1/operations/train-1:cancel";
    for (scheme, expected) in [("https", 200), ("http", 400)] {
        let fields = [
            (":method", b"POST".as_slice()),
            (":scheme", scheme.as_bytes()),
            (":authority", COMPANION.as_bytes()),
            (":path", cancel.as_bytes()),
            ("authorization", bearer.as_bytes()),
        ];
        let stream = authority.client().offering(&["h2"]).connect(gate.address, COMPANION).await.unwrap();
        assert_eq!(
            ask_over(stream, &frames::headers(1, &fields)).await,
            Outcome::Status(expected),
            "{scheme}"
        );
        let stream = authority.client().connect(gate.address, COMPANION).await.unwrap();
        let mut connection = Connection::over(stream);
        let head = format!(
            "POST {scheme}://{COMPANION}{cancel} HTTP/1.1\r\nHost: {COMPANION}\r\nAuthorization: {bearer}\r\nContent-Length: 0\r\n\r\n"
        );
        connection.send(head).await;
        assert_eq!(connection.status().await, Some(expected), "{scheme}");
    }
    assert_eq!(gate.backend.requests().len(), 2);
}

/// If two cookie fields arrived, one server would read the first and another the last.
#[tokio::test]
async fn cookies_reach_the_backend_as_one_field() {
    let open = OpenGate::start();
    let head = format!("GET /x HTTP/1.1\r\nHost: {ANYTHING}\r\nCookie: a=1\r\nX: y\r\nCookie: b=2\r\n\r\n");
    let answer = opgate::dev::wire::exchange(open.gate.address, head.as_bytes()).await.unwrap();
    assert_eq!(answer.status, 200);
    let fields = [
        (":method", b"GET".as_slice()),
        (":scheme", b"http"),
        (":authority", ANYTHING.as_bytes()),
        (":path", b"/x"),
        ("cookie", b"a=1"),
        ("x", b"y"),
        ("cookie", b"b=2"),
    ];
    assert_eq!(frames::ask(open.gate.address, &fields).await, Outcome::Status(200));
    let heads = open.backend.take();
    assert_eq!(heads.len(), 2);
    for head in heads {
        assert_eq!(field(&head, "cookie"), ["a=1; b=2"], "{head}");
    }
}

/// A head from HTTP/2 must not become longer for the backend than HTTP/1 allows.
#[tokio::test]
async fn a_head_has_the_same_limits_over_both_versions() {
    let set = vec!["limits={head_bytes: 4KiB, head_fields: 20}".to_owned()];
    let gate = Gate::start_with(Setup { set, ..Setup::default() });
    let cancel = "/v1/projects/demo/locations/us-central1/operations/train-1:cancel";
    let ask = async |padding: usize, count: usize| {
        let padding = "a".repeat(padding);
        let names: Vec<String> = (0..count).map(|number| format!("x-{number:02}")).collect();
        let mut fields = vec![
            (":method", b"POST".as_slice()),
            (":scheme", b"http"),
            (":authority", COMPANION.as_bytes()),
            (":path", cancel.as_bytes()),
            ("x-padding", padding.as_bytes()),
        ];
        fields.extend(names.iter().map(|name| (name.as_str(), b"b".as_slice())));
        let mut head = format!("POST {cancel} HTTP/1.1\r\nHost: {COMPANION}\r\nX-Padding: {padding}\r\n");
        names.iter().for_each(|name| head.push_str(&format!("{name}: b\r\n")));
        head.push_str("\r\n");
        let mut connection = Connection::open(gate.address).await;
        connection.send(&head).await;
        let http1 = connection.status().await.unwrap();
        let http2 = frames::ask(gate.address, &fields).await;
        assert_eq!(http2, Outcome::Status(http1), "{} bytes", head.len());
        (http1, head.len())
    };
    let (_, length) = ask(0, 10).await;
    assert_eq!(ask(4096 - length, 10).await, (401, 4096));
    assert_eq!(ask(4096 - length + 1, 10).await, (431, 4097));
    assert_eq!(ask(0, 18).await.0, 401);
    assert_eq!(ask(0, 19).await.0, 431);
}
