//! Upstreams that are down, slow, silent or wrong: what the client gets, and what the log and the metrics say.

use std::net::SocketAddr;
use std::time::Duration;

use crate::connection::Connection;
use crate::harness::{COMPANION, Gate, Req, Setup, TRAIN, cancel, get, reason, token};
use crate::origin::Step::{Body, Close, Hang, Head, Say};
use crate::origin::{OK, Origin, Step, refusing};

fn in_front_of(endpoints: Vec<SocketAddr>) -> Gate {
    let set = vec!["upstreams.operations.timeouts={connect: 1s, response: 1s}".to_owned()];
    Gate::start_with(Setup { endpoints: Some(endpoints), set, ..Setup::default() })
}

fn speaking_h2c(endpoints: Vec<SocketAddr>) -> Gate {
    let set = vec!["upstreams.operations.timeouts={connect: 1s, response: 1s}".to_owned()];
    let upstream_protocol = Some("h2c");
    Gate::start_with(Setup { endpoints: Some(endpoints), set, upstream_protocol, ..Setup::default() })
}

/// Asserts that a cancel over either version gets this status, reason and AIP-193 code, and that the audit line agrees.
async fn assert_fails(gate: &Gate, status: u16, code: &str, expected: &str) {
    for answer in gate.over_both(&cancel()).await {
        assert_eq!((answer.status, reason(&answer).as_str()), (status, expected));
        assert_eq!(answer.json().unwrap()["error"]["status"], code);
        assert_eq!(answer.header("content-type"), Some("application/json; charset=UTF-8"));
    }
    for line in gate.audit(2) {
        let decision = &line["protoPayload"]["metadata"];
        assert_eq!(decision["decision"], "ALLOWED", "policy allowed it; the backend failed");
        assert_eq!(decision["reason"], expected);
        assert_eq!(decision["upstream"]["name"], "operations");
        assert_eq!(line["httpRequest"]["status"], status);
    }
    let counter = format!(
        "code=\"{status}\",method=\"google.longrunning.Operations.CancelOperation\",reason=\"{expected}\",\
         service=\"cloudaicompanion.googleapis.com\"}} 2\n"
    );
    assert!(gate.metrics().await.contains(&counter));
}

#[tokio::test]
async fn without_a_backend_the_answer_is_unavailable() {
    for gate in [in_front_of(vec![refusing().await]), speaking_h2c(vec![refusing().await])] {
        assert_fails(&gate, 503, "UNAVAILABLE", "UPSTREAM_UNAVAILABLE").await;
        assert_eq!(gate.upstream_errors("connect").await, 2);
    }
    // If all of several fail, there is one retry and no more.
    let gate = in_front_of(vec![refusing().await, refusing().await, refusing().await]);
    assert_fails(&gate, 503, "UNAVAILABLE", "UPSTREAM_UNAVAILABLE").await;
    assert_eq!(gate.upstream_errors("connect").await, 4);
}

#[tokio::test]
async fn an_endpoint_that_refuses_is_replaced_by_another() {
    let origin = Origin::start(&[Head, Body, Say(OK)]).await;
    let gate = in_front_of(vec![refusing().await, origin.address]);
    for sent in 1..=4 {
        assert_eq!(gate.http1(&cancel()).await.status, 200);
        assert_eq!(origin.requests().len(), sent);
    }
    assert!(gate.upstream_errors("connect").await > 0, "the wrong endpoint was asked first at least once");
    for line in gate.audit(4) {
        let endpoint = &line["protoPayload"]["metadata"]["upstream"]["endpoint"];
        assert_eq!(*endpoint, origin.address.to_string(), "the log names the one that answered");
    }
}

/// A cancel that may have reached a backend is never sent again, to the same endpoint or another.
#[tokio::test]
async fn a_cancel_that_may_have_arrived_is_never_sent_twice() {
    let rows: &[(&str, &[Step], u16, &str)] = &[
        ("closes at once", &[Close], 502, "UPSTREAM_INVALID"),
        ("closes after the head", &[Head, Close], 502, "UPSTREAM_INVALID"),
        ("closes after the body", &[Head, Body, Close], 502, "UPSTREAM_INVALID"),
        ("never answers", &[Head, Body, Hang], 504, "UPSTREAM_TIMEOUT"),
        ("never reads", &[Hang], 504, "UPSTREAM_TIMEOUT"),
        (
            "is not an HTTP server",
            &[Head, Body, Say("SSH-2.0-OpenSSH_9.9\r\n\r\n"), Close],
            502,
            "UPSTREAM_INVALID",
        ),
        (
            "breaks off in the head",
            &[Head, Body, Say("HTTP/1.1 200 OK\r\nContent-"), Close],
            502,
            "UPSTREAM_INVALID",
        ),
        (
            "stalls in the head",
            &[Head, Body, Say("HTTP/1.1 200 OK\r\nContent-"), Hang],
            504,
            "UPSTREAM_TIMEOUT",
        ),
        (
            "has two lengths",
            &[Head, Body, Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"), Close],
            502,
            "UPSTREAM_INVALID",
        ),
        (
            "upgrades unasked",
            &[
                Head,
                Body,
                Say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"),
                Hang,
            ],
            502,
            "UPSTREAM_INVALID",
        ),
    ];
    for (row, script, status, expected) in rows {
        let first = Origin::start(script).await;
        let second = Origin::start(script).await;
        let gate = in_front_of(vec![first.address, second.address]);
        let answer = gate.http1(&cancel()).await;
        assert_eq!((answer.status, reason(&answer).as_str()), (*status, *expected), "{row}");
        assert_eq!(first.connections() + second.connections(), 1, "{row}");
        assert!(first.requests().len() + second.requests().len() <= 1, "{row}");
        let kind = if *status == 504 { "timeout" } else { "invalid" };
        assert_eq!(gate.upstream_errors(kind).await, 1, "{row}");
        let line = &gate.audit(1)[0];
        assert_eq!(line["protoPayload"]["metadata"]["reason"], *expected, "{row}");
    }
}

/// An answer that has begun cannot be taken back: its end is missing, and the client must see that.
#[tokio::test]
async fn a_truncated_answer_does_not_look_whole() {
    for script in [
        &[Head, Body, Say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), Close] as &'static [Step],
        &[Head, Body, Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"), Close],
        &[Head, Body, Say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), Hang],
    ] {
        let origin = Origin::start(script).await;
        let gate = in_front_of(vec![origin.address]);
        let mut connection = Connection::open(gate.address).await;
        connection.send(cancel().to_http1()).await;
        let text = String::from_utf8(connection.rest().await).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
        assert_eq!(text.matches("HTTP/1.1").count(), 1, "{text}");
        assert!(!text.ends_with("0\r\n\r\n"), "{text}");
        let mut client = gate.http2_client().await;
        let (answer, _) = client.start(&cancel(), true).await;
        assert!(client.try_finish(answer).await.is_err());
        assert_eq!(origin.requests().len(), 2);
        for line in gate.audit(2) {
            assert_ne!(line["protoPayload"]["metadata"]["reason"], "ALLOWED");
        }
    }
}

#[tokio::test]
async fn an_error_of_the_backend_passes_unchanged() {
    let rows = [
        (
            "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nX-Own: a\r\nContent-Length: 22\r\n\r\n{\"error\":{\"code\":404}}",
            404,
        ),
        (
            "HTTP/1.1 501 Not Implemented\r\nContent-Type: application/json\r\nX-Own: a\r\nContent-Length: 22\r\n\r\n{\"error\":{\"code\":501}}",
            501,
        ),
        ("HTTP/1.1 500 Oops\r\nContent-Type: text/html\r\nX-Own: a\r\nContent-Length: 5\r\n\r\n<hr/>", 500),
        ("HTTP/1.1 429 Slow Down\r\nRetry-After: 3\r\nX-Own: a\r\nContent-Length: 0\r\n\r\n", 429),
        ("HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nX-Own: a\r\nContent-Length: 0\r\n\r\n", 302),
        ("HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nX-Own: a\r\nContent-Length: 0\r\n\r\n", 401),
    ];
    for (text, status) in rows {
        let script: &'static [Step] = Vec::leak(vec![Head, Body, Say(text)]);
        let origin = Origin::start(script).await;
        let gate = in_front_of(vec![origin.address]);
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        for answer in gate.over_both(&cancel()).await {
            assert_eq!(answer.status, status);
            assert_eq!(answer.header("x-own"), Some("a"));
            assert_eq!(answer.header("content-length"), Some(body.len().to_string().as_str()));
            assert_eq!(answer.body, body.as_bytes());
        }
        for line in gate.audit(2) {
            assert_eq!(line["protoPayload"]["metadata"]["reason"], "ALLOWED");
            assert_eq!(line["httpRequest"]["status"], status);
        }
    }
}

/// Fields about the backend's connection do not concern the client's (RFC 9110, section 7.6.1).
#[tokio::test]
async fn hop_by_hop_fields_of_an_answer_end_at_the_gate() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: a\r\n\
        Proxy-Connection: close\r\nUpgrade: h2c\r\nX-Own: b\r\nContent-Length: 2\r\n\r\n{}";
    let origin = Origin::start(&[Head, Body, Say(ANSWER), Close]).await;
    let gate = in_front_of(vec![origin.address]);
    let mut connection = Connection::open(gate.address).await;
    for _ in 0..2 {
        connection.send(cancel().to_http1()).await;
        let answer = connection.answer().await.expect("the client's connection is another one");
        for answer in [answer, gate.http2(&cancel()).await] {
            for name in ["keep-alive", "x-hop", "proxy-connection", "upgrade"] {
                assert_eq!(answer.header(name), None, "{name}");
            }
            assert!(answer.header("connection").is_none_or(|value| value == "keep-alive"), "{answer:?}");
            assert_eq!((answer.status, answer.header("x-own")), (200, Some("b")));
        }
    }
}

#[tokio::test]
async fn an_answer_before_the_body_was_read_is_passed_on() {
    let wait = Req::new("POST", COMPANION, &format!("{TRAIN}:wait"))
        .bearer(&token("ana@example.com"))
        .body(crate::harness::Body::Length(vec![b' '; 60_000].into_iter().chain(*b"{}").collect()));
    let origin = Origin::start(&[Head, Say(OK), Body]).await;
    let gate = in_front_of(vec![origin.address]);
    for answer in gate.over_both(&wait).await {
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"{}".as_slice()));
    }
    assert_eq!(origin.requests().len(), 2);
}

#[tokio::test]
async fn interim_answers_are_not_taken_for_the_answer() {
    for interim in
        ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"]
    {
        let script: &'static [Step] = Vec::leak(vec![Head, Body, Say(interim), Say(interim), Say(OK)]);
        let origin = Origin::start(script).await;
        let gate = in_front_of(vec![origin.address]);
        let mut connection = Connection::open(gate.address).await;
        for _ in 0..2 {
            connection.send(cancel().to_http1()).await;
            let answer = loop {
                let answer = connection.answer().await.unwrap();
                if answer.status >= 200 {
                    break answer;
                }
            };
            assert_eq!((answer.status, answer.body.as_slice()), (200, b"{}".as_slice()));
        }
        assert_eq!(gate.http2(&cancel()).await.status, 200);
        assert_eq!(origin.requests().len(), 3);
        for line in gate.audit(3) {
            assert_eq!(line["httpRequest"]["status"], 200);
        }
    }
}

#[tokio::test]
async fn a_connection_to_a_backend_is_used_again() {
    let origin = Origin::start(&[Head, Body, Say(OK)]).await;
    let gate = in_front_of(vec![origin.address]);
    for _ in 0..5 {
        assert_eq!(gate.http1(&cancel()).await.status, 200);
    }
    // The connection returns to the pool after the answer: the next request may come before that.
    let (requests, connections) = (origin.requests().len(), origin.connections());
    assert!(requests == 5 && connections < 4, "{requests} requests over {connections} connections");
}

/// The race of every pool: the backend closes a connection at the moment that it is used again.
#[tokio::test]
async fn a_cancel_on_a_connection_that_has_died_is_not_sent_twice() {
    // The second request of each connection is read, and the connection closed.
    let origin = Origin::start(&[Head, Body, Say(OK), Head, Body, Close]).await;
    let gate = in_front_of(vec![origin.address]);
    assert_eq!(gate.http1(&cancel()).await.status, 200);
    let answer = gate.http1(&cancel()).await;
    assert_eq!((answer.status, reason(&answer).as_str()), (502, "UPSTREAM_INVALID"));
    assert_eq!((origin.requests().len(), origin.connections()), (2, 1), "the second request was sent once");
    assert_eq!(gate.upstream_errors("stale").await, 1);

    // A request that changes nothing may be sent again.
    let origin = Origin::start(&[Head, Body, Say(OK), Head, Body, Close]).await;
    let gate = in_front_of(vec![origin.address]);
    assert_eq!(gate.http1(&get()).await.status, 200);
    assert_eq!(gate.http1(&get()).await.status, 200);
    assert_eq!((origin.requests().len(), origin.connections()), (3, 2));

    // A connection that was closed while idle is not used at all.
    let origin = Origin::start(&[Head, Body, Say(OK), Close]).await;
    let gate = in_front_of(vec![origin.address]);
    for _ in 0..3 {
        assert_eq!(gate.http1(&cancel()).await.status, 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((origin.requests().len(), origin.connections()), (3, 3));
}

#[tokio::test]
async fn endpoints_take_turns() {
    let script: &'static [Step] = &[Head, Body, Say(OK)];
    let origins = [Origin::start(script).await, Origin::start(script).await, Origin::start(script).await];
    let gate = in_front_of(origins.iter().map(|origin| origin.address).collect());
    for _ in 0..9 {
        assert_eq!(gate.http1(&cancel()).await.status, 200);
    }
    assert_eq!(origins.each_ref().map(|origin| origin.requests().len()), [3, 3, 3]);
}

/// Bytes that follow an answer on a pooled connection must not become the next client's answer.
#[tokio::test]
async fn bytes_after_an_answer_are_never_taken_for_an_answer() {
    const POISON: &str = "HTTP/1.1 299 Poison\r\nContent-Length: 0\r\n\r\n";
    let script: &'static [Step] = &[Head, Body, Say(OK), Say(POISON)];
    let origin = Origin::start(script).await;
    let gate = in_front_of(vec![origin.address]);
    for _ in 0..4 {
        assert_eq!(gate.http1(&cancel()).await.status, 200);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(origin.requests().len(), 4);
}

/// What an HTTP/2 backend does with a stream.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answer(u16),
    Reset(h2::Reason),
    GoAway,
    Silence,
}

/// An HTTP/2 backend that counts its requests.
async fn h2c_origin(fate: Fate) -> (SocketAddr, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = seen.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let counter = counter.clone();
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(stream).await else {
                    return;
                };
                let mut held = Vec::new();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    match fate {
                        Fate::Answer(status) => {
                            let head = http::Response::builder().status(status).body(()).unwrap();
                            let mut body = respond.send_response(head, false).unwrap();
                            body.send_data("{}".into(), true).unwrap();
                        }
                        Fate::Reset(reason) => respond.send_reset(reason),
                        Fate::GoAway => connection.abrupt_shutdown(h2::Reason::INTERNAL_ERROR),
                        Fate::Silence => held.push((request, respond)),
                    }
                }
            });
        }
    });
    (address, seen)
}

#[tokio::test]
async fn over_http2_too_a_cancel_is_sent_once() {
    for (fate, status, expected) in [
        (Fate::Answer(200), 200, ""),
        (Fate::Answer(404), 404, ""),
        (Fate::Reset(h2::Reason::INTERNAL_ERROR), 502, "UPSTREAM_INVALID"),
        (Fate::Reset(h2::Reason::HTTP_1_1_REQUIRED), 502, "UPSTREAM_INVALID"),
        (Fate::GoAway, 502, "UPSTREAM_INVALID"),
        (Fate::Silence, 504, "UPSTREAM_TIMEOUT"),
    ] {
        let (first, of_first) = h2c_origin(fate).await;
        let (second, of_second) = h2c_origin(fate).await;
        let gate = speaking_h2c(vec![first, second]);
        let answer = gate.http1(&cancel()).await;
        assert_eq!((answer.status, reason(&answer).as_str()), (status, expected), "{fate:?}");
        let sent = [of_first, of_second].map(|seen| seen.load(std::sync::atomic::Ordering::SeqCst));
        assert_eq!(sent.iter().sum::<usize>(), 1, "{fate:?}");
    }
}

/// RFC 9113, section 8.7: the backend has not processed it, so it may be sent again, once, to the next endpoint.
#[tokio::test]
async fn a_stream_that_a_backend_refuses_before_it_begins_is_sent_once_more() {
    let (refusing, refused) = h2c_origin(Fate::Reset(h2::Reason::REFUSED_STREAM)).await;
    let (answering, answered) = h2c_origin(Fate::Answer(200)).await;
    let count = |seen: &std::sync::atomic::AtomicUsize| seen.load(std::sync::atomic::Ordering::SeqCst);
    let gate = speaking_h2c(vec![refusing, answering]);
    for sent in 1..=4 {
        assert_eq!(gate.http1(&cancel()).await.status, 200);
        assert_eq!(count(&answered), sent);
    }
    assert!(count(&refused) > 0, "the one that refuses was asked first at least once");
    assert_eq!(gate.upstream_errors("refused").await, count(&refused) as u64);

    // If there is no other endpoint, the same one is asked again; after that, the client may try again.
    let (refusing, refused) = h2c_origin(Fate::Reset(h2::Reason::REFUSED_STREAM)).await;
    let gate = speaking_h2c(vec![refusing]);
    let answer = gate.http1(&cancel()).await;
    assert_eq!((answer.status, reason(&answer).as_str()), (503, "UPSTREAM_UNAVAILABLE"));
    assert_eq!(count(&refused), 2);
}

#[tokio::test]
async fn a_backend_that_speaks_no_http2_is_a_bad_gateway() {
    let origin =
        Origin::start(&[Head, Say("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), Close]).await;
    let gate = speaking_h2c(vec![origin.address]);
    let answer = gate.http1(&cancel()).await;
    assert!(matches!(answer.status, 502 | 503), "{answer:?}");
    assert_eq!(gate.audit(1).len(), 1);
}
