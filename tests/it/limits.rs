//! More connections than the limits allow, and connections that last longer: which clients are refused, and which are
//! not affected.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::connection::Connection;
use crate::frames::{END_HEADERS, END_STREAM, HEADERS, block, frame, next, opening};
use crate::harness::{Body, COMPANION, Gate, Req, Setup, TRAIN, cancel, connect_from, reason, token};

fn limited(limits: &[&str]) -> Gate {
    let set = limits.iter().map(|limit| format!("limits.{limit}")).collect();
    Gate::start_with(Setup { set, ..Setup::default() })
}

/// Whether the gate keeps this connection: it answers a request on it.
async fn is_served(stream: TcpStream) -> Option<Connection> {
    let mut connection = Connection::over(stream);
    // The gate may close a refused connection before the client has sent anything.
    let _ = connection.try_send(cancel().to_http1()).await;
    match connection.status().await {
        Some(status) => {
            assert_eq!(status, 200);
            Some(connection)
        }
        None => None,
    }
}

#[tokio::test]
async fn one_address_cannot_take_every_place() {
    let gate = limited(&["connections_per_address=3"]);
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(is_served(connect_from("127.0.0.2", gate.address).await).await.unwrap());
    }
    for count in 1..=3 {
        assert!(is_served(connect_from("127.0.0.2", gate.address).await).await.is_none());
        assert_eq!(gate.refused_connections("connections_per_address").await, count);
        // Other addresses are not affected.
        assert!(is_served(connect_from("127.0.0.3", gate.address).await).await.is_some());
    }
    // Admitted connections stay, and a place that is given back can be taken again.
    for connection in &mut held {
        connection.send(cancel().to_http1()).await;
        assert_eq!(connection.status().await, Some(200));
    }
    held.pop();
    let deadline = Instant::now() + Duration::from_secs(10);
    while is_served(connect_from("127.0.0.2", gate.address).await).await.is_none() {
        assert!(Instant::now() < deadline, "the place is given back");
    }
}

#[tokio::test]
async fn at_the_connection_limit_clients_are_refused_and_the_operator_is_told() {
    let gate = limited(&["connections=20"]);
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(is_served(TcpStream::connect(gate.address).await.unwrap()).await.unwrap());
    }
    let audited = gate.audit(20).len();
    for number in 0..300 {
        let mut stream = connect_from(&format!("127.0.0.{}", 2 + number % 200), gate.address).await;
        let end = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut Vec::new())).await;
        assert!(matches!(end, Ok(Ok(0) | Err(_))), "the connection closes without a byte: {end:?}");
        if number % 50 == 0 {
            assert_eq!(gate.admin("/livez").await.status, 200);
            assert_eq!(gate.admin("/readyz").await.status, 200);
        }
    }
    assert_eq!(gate.refused_connections("connections").await, 300);
    assert_eq!(gate.metric(&format!("opgate_connections{{listener=\"{}\"}}", gate.address)).await, 20);
    assert_eq!(gate.log().matches("too many connections").count(), 1, "{}", gate.log());
    assert_eq!(gate.audit(20).len(), audited, "a connection without a request leaves no audit line");
    for connection in &mut held {
        connection.send(cancel().to_http1()).await;
        assert_eq!(connection.status().await, Some(200));
    }
}

/// Before the soft limit was raised, a gate with 1,024 files served 320 connections, whatever the hard limit.
#[tokio::test]
async fn the_soft_limit_of_open_files_is_raised_to_the_hard_one() {
    let gate = Gate::start_with(Setup { soft_open_files: Some(256), ..Setup::default() });
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", gate.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let [soft, hard] = [3, 4].map(|column| line.split_whitespace().nth(column).unwrap());
    assert_eq!(soft, hard, "{line}");
    assert_ne!(soft, "256");
}

#[tokio::test]
async fn a_connection_past_its_lifetime_ends_with_the_next_answer() {
    let gate = limited(&["connection_lifetime=300ms"]);
    let mut connection = Connection::open(gate.address).await;
    let mut answers = 0;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        assert!(Instant::now() < deadline, "{answers} answers");
        connection.send(cancel().to_http1()).await;
        let answer = connection.answer().await.unwrap();
        assert_eq!(answer.status, 200);
        answers += 1;
        if answer.header("connection") == Some("close") {
            break;
        }
    }
    assert!(answers > 1);
    assert_eq!(connection.rest().await, b"");
}

/// Requests under way at that time are answered; GOAWAY tells the client to start no more.
#[tokio::test]
async fn an_http2_connection_past_its_lifetime_is_drained() {
    let gate = limited(&["connection_lifetime=300ms"]);
    let slow = Req::new("POST", COMPANION, &format!("{TRAIN}:wait")).bearer(&token("ana@example.com"));
    let wait = b"{\"timeout\":\"1s\"}".to_vec();
    let mut client = gate.http2_client().await;
    let (response, mut stream) = client.start(&slow.body(Body::Chunked(wait.clone())), false).await;
    stream.send_data(wait.into(), true).unwrap();
    assert_eq!(client.finish(response).await.status, 200);
    client.closed().await.unwrap();
    // A new connection is served.
    assert_eq!(gate.http2(&cancel()).await.status, 200);
}

/// Counted over connections of both versions together.
#[tokio::test]
async fn a_request_over_the_limit_is_refused_at_once() {
    let gate = limited(&["requests=3"]);
    let slow = Req::new("POST", COMPANION, &format!("{TRAIN}:wait")).bearer(&token("ana@example.com"));
    let wait = b"{\"timeout\":\"2s\"}".to_vec();
    let slow = slow.body(Body::Length(wait.clone()));
    let mut client = gate.http2_client().await;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let (response, mut stream) = client.start(&slow, false).await;
        stream.send_data(wait.clone().into(), true).unwrap();
        waiting.push(response);
    }
    let mut third = Connection::open(gate.address).await;
    third.send(slow.to_http1()).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while gate.backend.requests().len() < 3 {
        assert!(Instant::now() < deadline, "three requests are under way");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for answer in gate.over_both(&cancel()).await {
        assert_eq!((answer.status, reason(&answer).as_str()), (503, "GATE_OVERLOADED"));
    }
    for response in waiting {
        assert_eq!(client.finish(response).await.status, 200);
    }
    assert_eq!(third.status().await, Some(200));
    assert_eq!(gate.http1(&cancel()).await.status, 200);
}

/// Unauthenticated clients open no window for their refusals, and send bodies that do not end: they take no place of an
/// allowed request, and none of them is held for long.
#[tokio::test]
async fn refused_callers_take_no_place_of_an_allowed_one() {
    let gate = limited(&["requests=2"]);
    let head = |end| {
        let fields = block(&[
            (":method", b"POST"),
            (":scheme", b"http"),
            (":authority", COMPANION.as_bytes()),
            (":path", format!("{TRAIN}:cancel").as_bytes()),
        ]);
        move |stream| frame(HEADERS, END_HEADERS | end, stream, &fields)
    };
    let (whole, endless) = (head(END_STREAM), head(0));
    let mut stranger = TcpStream::connect(gate.address).await.unwrap();
    let mut said = opening(&[(4, 0)]);
    for stream in (1..40).step_by(4) {
        said.extend(whole(stream));
        said.extend(endless(stream + 2));
    }
    stranger.write_all(&said).await.unwrap();
    // All twenty are being refused: each has the head of its answer, and none the body.
    let mut heads = 0;
    while heads < 20 {
        heads += usize::from(matches!(next(&mut stranger).await, Some((HEADERS, _))));
    }
    for answer in gate.over_both(&cancel()).await {
        assert_eq!(answer.status, 200, "{}", reason(&answer));
    }
    let refused = || async {
        let metrics = gate.metrics().await;
        let missing = |line: &&str| line.contains("reason=\"CREDENTIALS_MISSING\"");
        metrics.lines().find(missing).map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    };
    let deadline = Instant::now() + Duration::from_secs(8);
    while refused().await < 20 {
        assert!(Instant::now() < deadline, "the gate holds refusals that the client does not take");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// HTTP/2 sends a GOAWAY first: a client that sends a request at that moment knows that it was not served.
#[tokio::test]
async fn an_idle_connection_times_out() {
    let gate = limited(&["idle_timeout=500ms"]);
    let mut connection = Connection::open(gate.address).await;
    connection.send(cancel().to_http1()).await;
    assert_eq!(connection.status().await, Some(200));
    let mut client = gate.http2_client().await;
    // A request under way is not idle.
    let slow = Req::new("POST", COMPANION, &format!("{TRAIN}:wait")).bearer(&token("ana@example.com"));
    let wait = b"{\"timeout\":\"1.5s\"}".to_vec();
    let (response, mut stream) = client.start(&slow.body(Body::Length(wait.clone())), false).await;
    stream.send_data(wait.into(), true).unwrap();
    assert_eq!(client.finish(response).await.status, 200);
    assert_eq!(connection.rest().await, b"");
    client.closed().await.expect("GOAWAY says NO_ERROR");
}

/// Browsers and pools of connections connect before they have a request. Such a connection was closed after
/// `head_timeout`.
#[tokio::test]
async fn an_unused_connection_waits_for_its_first_request_as_an_idle_one_does() {
    for more in [None, Some("listeners.0.http2=false".to_owned())] {
        let set = ["limits.head_timeout=300ms".to_owned()].into_iter().chain(more).collect();
        let gate = Gate::start_with(Setup { set, ..Setup::default() });
        let mut unused = Connection::open(gate.address).await;
        let mut slow = Connection::open(gate.address).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        unused.send(cancel().to_http1()).await;
        assert_eq!(unused.status().await, Some(200));
        // The time for the head runs from its first byte.
        slow.send(b"POST /v1/").await;
        let answer = slow.answer().await.unwrap();
        assert_eq!((answer.status, reason(&answer).as_str()), (408, "REQUEST_HEAD_TIMEOUT"));
    }
    let gate = limited(&["idle_timeout=500ms"]);
    let mut unused = Connection::open(gate.address).await;
    assert_eq!(unused.rest().await, b"");
}
