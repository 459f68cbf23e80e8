//! The shutdown of a gate: requests in flight are answered and logged, and nothing else delays it.
//!
//! The default grace period is 30 s, and the harness waits 15 s for an end: a gate that waits for its whole grace
//! period fails every test here.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::net::TcpStream;

use crate::connection::Connection;
use crate::frames;
use crate::harness::{Body, COMPANION, Gate, Http2, Req, Setup, TRAIN, cancel, signal, token};

/// A request that the backend answers after a second.
fn slow() -> Req {
    waiting("1s")
}

fn waiting(timeout: &str) -> Req {
    Req::new("POST", COMPANION, &format!("{TRAIN}:wait"))
        .bearer(&token("ana@example.com"))
        .body(Body::Length(format!("{{\"timeout\":\"{timeout}\"}}").into_bytes()))
}

async fn start_http2(client: &mut Http2, request: &Req) -> h2::client::ResponseFuture {
    let (answer, mut stream) = client.start(request, false).await;
    let Body::Length(body) = &request.body else { panic!("{request:?} has no body") };
    stream.send_data(body.clone().into(), true).unwrap();
    answer
}

/// Waits until the listening socket is closed: the signal has arrived.
async fn listener_is_gone(gate: &Gate) {
    while TcpStream::connect(gate.address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn statuses(lines: &[Value]) -> Vec<u64> {
    lines.iter().map(|line| line["httpRequest"]["status"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn requests_in_flight_are_answered_and_new_ones_refused() {
    let mut gate = Gate::start();
    let mut connections = Vec::new();
    for _ in 0..10 {
        let mut connection = Connection::open(gate.address).await;
        connection.send(slow().to_http1()).await;
        connections.push(connection);
    }
    let mut client = gate.http2_client().await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(start_http2(&mut client, &slow()).await);
    }
    gate.backend_has_seen(20).await;
    gate.ask_to_end();
    listener_is_gone(&gate).await;

    for connection in &mut connections {
        assert_eq!(connection.status().await, Some(200));
        assert_eq!(connection.rest().await, b"", "the connection closes after the answer");
    }
    for stream in streams {
        assert_eq!(client.finish(stream).await.status, 200);
    }
    client.closed().await.expect("GOAWAY says NO_ERROR");
    assert!(gate.ended().await.success());
    assert_eq!(statuses(&gate.audit(20)), [200; 20]);
}

#[tokio::test]
async fn idle_connections_do_not_delay_the_end() {
    let mut gate = Gate::start();
    let mut silent = Connection::open(gate.address).await;
    let mut kept_alive = Connection::open(gate.address).await;
    kept_alive.send(cancel().to_http1()).await;
    assert_eq!(kept_alive.status().await, Some(200));
    let http2_silent = gate.http2_client().await;
    let mut http2 = gate.http2_client().await;
    let (answer, _) = http2.start(&cancel(), true).await;
    assert_eq!(http2.finish(answer).await.status, 200);

    // A gate that waited for the first head would wait for a minute.
    let set = vec!["limits={head_timeout: 60s, grace_period: 60s}".into()];
    let mut patient = Gate::start_with(Setup { set, ..Setup::default() });
    let mut waited_for = Connection::open(patient.address).await;

    gate.ask_to_end();
    patient.ask_to_end();
    assert!(gate.ended().await.success());
    assert!(patient.ended().await.success());
    for connection in [&mut silent, &mut kept_alive, &mut waited_for] {
        assert_eq!(connection.rest().await, b"");
    }
    http2_silent.closed().await.expect("GOAWAY says NO_ERROR");
    http2.closed().await.expect("GOAWAY says NO_ERROR");
    assert_eq!(statuses(&gate.audit(2)), [200; 2]);
}

/// The gate accepted this request when its first bytes arrived: it reads it to the end and judges it.
#[tokio::test]
async fn a_request_with_an_incomplete_head_is_answered() {
    let mut gate = Gate::start();
    let request = cancel().to_http1();
    let (first, second) = request.split_at(request.len() / 2);
    let mut fresh = Connection::open(gate.address).await;
    fresh.send(first).await;
    let mut kept_alive = Connection::open(gate.address).await;
    kept_alive.send(&request).await;
    assert_eq!(kept_alive.status().await, Some(200));
    kept_alive.send(first).await;
    // It is answered after the bytes before it have been read.
    assert_eq!(gate.http1(&cancel()).await.status, 200);
    gate.ask_to_end();
    listener_is_gone(&gate).await;
    for connection in [&mut fresh, &mut kept_alive] {
        connection.send(second).await;
        let answer = connection.answer().await.expect("an answer");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("connection"), Some("close"));
        assert_eq!(connection.rest().await, b"");
    }
    assert!(gate.ended().await.success());
    assert_eq!(statuses(&gate.audit(4)), [200; 4]);
}

/// An HTTP/2 connection with an incomplete preface gets a GOAWAY once the preface is complete.
#[tokio::test]
async fn an_incomplete_preface_does_not_delay_the_end() {
    let mut gate = Gate::start();
    let (first, second) = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".split_at(10);
    let mut connection = Connection::open(gate.address).await;
    connection.send(first).await;
    assert_eq!(gate.http1(&cancel()).await.status, 200);
    gate.ask_to_end();
    listener_is_gone(&gate).await;
    connection.send(second).await;
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    connection.send(SETTINGS).await;
    // A well-behaved client closes after a GOAWAY.
    let goaway = 7;
    let mut frames = Vec::new();
    while !frames.contains(&goaway) {
        frames.push(connection.frame_kind().await.expect("a GOAWAY before the end"));
    }
    drop(connection);
    assert!(gate.ended().await.success());
}

#[tokio::test]
async fn the_grace_period_cuts_connections_that_do_not_end() {
    let mut gate = Gate::start_with(Setup { set: vec!["limits.grace_period=1s".into()], ..Setup::default() });
    let mut connection = Connection::open(gate.address).await;
    connection.send(waiting("50s").to_http1()).await;
    let mut client = gate.http2_client().await;
    let stream = start_http2(&mut client, &waiting("50s")).await;
    gate.backend_has_seen(2).await;
    gate.ask_to_end();
    assert!(gate.ended().await.success());
    assert_eq!(connection.rest().await, b"", "cut off without an answer");
    assert!(client.try_finish(stream).await.is_err());
    assert!(gate.log().contains("still open when the grace period ended"));
}

/// A client cannot know that a connection is about to close when it sends its next request, so the gate announces it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_in_use_announces_its_end() {
    let mut gate = Gate::start();
    let refused = Req::new("POST", COMPANION, &format!("{TRAIN}:cancel"));
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..20 {
        let (address, request, status) = if number % 2 == 0 {
            (gate.address, cancel(), 200)
        } else {
            (gate.address, refused.clone(), 401)
        };
        clients.spawn(async move {
            let mut connection = Connection::open(address).await;
            let bytes = request.to_http1();
            let mut answered = 0;
            loop {
                let idle_since = Instant::now();
                tokio::time::sleep(Duration::from_millis(2)).await;
                let sent = connection.try_send(&bytes).await;
                let idle = idle_since.elapsed();
                let answer = if sent { connection.answer().await } else { None };
                // If the test machine did not run the client for that long, the connection counts as idle.
                let Some(answer) = answer else {
                    assert!(idle > Duration::from_millis(500), "no answer after {idle:?}");
                    return answered;
                };
                assert_eq!(answer.status, status);
                answered += 1;
                if answer.header("connection") == Some("close") {
                    assert_eq!(connection.rest().await, b"");
                    return answered;
                }
            }
        });
    }
    gate.backend_has_seen(100).await;
    gate.ask_to_end();
    let answered: usize = clients.join_all().await.into_iter().sum();
    assert!(gate.ended().await.success());
    assert_eq!(gate.audit(answered).len(), answered);
}

/// The kernel has completed their handshakes, so the clients are connected although the gate has not accepted them yet.
#[tokio::test]
async fn connections_in_the_accept_queue_are_answered() {
    let mut gate = Gate::start();
    signal(gate.pid(), "STOP");
    let mut waiting = Vec::new();
    for _ in 0..200 {
        let mut connection = Connection::open(gate.address).await;
        connection.send(cancel().to_http1()).await;
        waiting.push(connection);
    }
    gate.ask_to_end();
    signal(gate.pid(), "CONT");
    for connection in &mut waiting {
        let answer = connection.answer().await.expect("an answer");
        assert_eq!(answer.status, 200);
        assert_eq!(connection.rest().await, b"");
    }
    assert!(gate.ended().await.success());
    assert_eq!(statuses(&gate.audit(200)), [200; 200]);
}

/// The first GOAWAY only announces the second, which names the last stream (RFC 9113, section 6.8).
#[tokio::test]
async fn a_stream_between_the_two_goaways_is_served() {
    let (headers, ping, goaway) = (1, 6, 7);
    let mut gate = Gate::start();
    let mut connection = Connection::open(gate.address).await;
    connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    // The acknowledgement of the settings: the connection is established.
    while connection.frame().await.unwrap() != (4, vec![]) {}
    gate.ask_to_end();
    let next = async |connection: &mut Connection, wanted: u8| {
        loop {
            let (kind, payload) = connection.frame().await.expect("more frames");
            if kind == wanted {
                return payload;
            }
        }
    };
    assert_eq!(next(&mut connection, goaway).await[..4], [0x7f, 0xff, 0xff, 0xff]);
    let opaque = next(&mut connection, ping).await;
    let bearer = format!("Bearer {}", token("ana@example.com"));
    let path = format!("{TRAIN}:cancel");
    let request = frames::headers(
        1,
        &[
            (":method", b"POST"),
            (":scheme", b"http"),
            (":authority", COMPANION.as_bytes()),
            (":path", path.as_bytes()),
            ("authorization", bearer.as_bytes()),
        ],
    );
    connection.send(request).await;
    connection.send([&[0, 0, 8, ping, 1, 0, 0, 0, 0], &opaque[..]].concat()).await;
    let mut rest = Vec::new();
    while let Some(frame) = connection.frame().await {
        rest.push(frame);
    }
    let last = |kind| rest.iter().rfind(|(found, _)| *found == kind).map(|(_, payload)| &payload[..]);
    // Entry 8 of the static table is `:status: 200`.
    assert_eq!(last(headers).unwrap()[0], 0x88);
    assert_eq!(last(goaway).unwrap()[..4], [0, 0, 0, 1]);
    assert!(gate.ended().await.success());
    assert_eq!(statuses(&gate.audit(1)), [200]);
}
