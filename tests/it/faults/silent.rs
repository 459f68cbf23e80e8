//! Backends that are unreachable, break off, or send nothing.

use std::time::{Duration, Instant};

use super::row::{self, Outcome, Row, Seen, ask, impatient, patient, try_rows};
use crate::harness::{Gate, Setup, cancel, get};
use crate::origin::Step::{Body, Close, Drip, Hang, Head, Reset, Say};
use crate::origin::{Origin, Step, refusing};

const INVALID: Outcome = Outcome::error(502, "UPSTREAM_INVALID", 1);
const TIMEOUT: Outcome = Outcome::error(504, "UPSTREAM_TIMEOUT", 1);
/// A head that comes byte by byte, for longer than an exchange may last.
const SLOW_HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Padding: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

#[tokio::test]
async fn a_backend_that_breaks_off() {
    const ROWS: &[Row] = &[
        ("closes after the head", &[Head, Close], INVALID),
        ("closes after the request", &[Head, Body, Close], INVALID),
        ("resets after the head", &[Head, Reset], INVALID),
        ("resets after the request", &[Head, Body, Reset], INVALID),
        ("closes within the head", &[Head, Body, Say("HTTP/1.1 200 OK\r\nContent-"), Close], INVALID),
        ("resets within the head", &[Head, Body, Say("HTTP/1.1 200 OK\r\nContent-"), Reset], INVALID),
        (
            "closes after an interim answer",
            &[Head, Body, Say("HTTP/1.1 103 Early Hints\r\n\r\n"), Close],
            INVALID,
        ),
    ];
    try_rows("breaks off", ROWS, patient()).await;
}

#[tokio::test]
async fn a_backend_that_says_nothing_or_little() {
    const ROWS: &[Row] = &[
        ("says nothing", &[Head, Body, Hang], TIMEOUT),
        ("stalls within the status line", &[Head, Body, Say("HTTP/1."), Hang], TIMEOUT),
        ("stalls within the head", &[Head, Body, Say("HTTP/1.1 200 OK\r\nContent-"), Hang], TIMEOUT),
        ("drips its head", &[Head, Body, Drip(SLOW_HEAD), Hang], TIMEOUT),
        (
            "stalls after an interim answer",
            &[Head, Body, Say("HTTP/1.1 103 Early Hints\r\n\r\n"), Hang],
            TIMEOUT,
        ),
    ];
    try_rows("says nothing", ROWS, impatient("2s")).await;
}

/// A backend that resets what it accepts: the request may or may not have left the gate by then.
#[tokio::test]
async fn a_backend_that_ends_a_connection_before_it_reads() {
    for (fault, script) in [("resets at accept", &[Reset] as &[_]), ("closes at accept", &[Close])] {
        let origin = Origin::start(script).await;
        let endpoints = Some(vec![origin.address]);
        let gate = Gate::start_with(Setup { endpoints, set: patient(), ..Setup::default() });
        for version in [1, 2] {
            let answer = ask(&gate, &cancel(), version).await;
            assert_eq!(answer.seen, Seen::Error, "{fault}: {}", answer.text);
            // UPSTREAM_UNAVAILABLE promises that the request has not left; if it may have, the reason is another one.
            let reason = match answer.status {
                503 => "UPSTREAM_UNAVAILABLE",
                502 => "UPSTREAM_INVALID",
                other => panic!("{fault}: {other}"),
            };
            assert!(answer.text.contains(reason), "{fault}: {}", answer.text);
            let line = gate.audit(usize::from(version)).swap_remove(usize::from(version) - 1);
            assert_eq!(line["protoPayload"]["metadata"]["reason"], reason, "{fault}");
        }
        assert_eq!(origin.connections(), 2, "{fault}: one connection for each attempt");
        assert_eq!(origin.requests().len(), 0);
    }
}

/// Whether the request has left by the time of the reset is chance. If it has, it is not sent again; if it has not,
/// another endpoint gets it, once.
#[tokio::test]
async fn a_request_is_retried_elsewhere_only_if_it_has_not_left() {
    const WELL: &[Step] = &[Head, Body, Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), Close];
    let resetting = Origin::start(&[Reset]).await;
    let well = Origin::start(WELL).await;
    let endpoints = Some(vec![resetting.address, well.address]);
    let gate = Gate::start_with(Setup { endpoints, set: patient(), ..Setup::default() });
    let mut elsewhere = 0;
    for _ in 0..20 {
        let (before, resets) = (well.requests().len(), resetting.connections());
        let answer = ask(&gate, &cancel(), 1).await;
        let (asked, resets) = (well.requests().len() - before, resetting.connections() - resets);
        match answer.status {
            200 => assert!(asked == 1 && resets <= 1, "{asked} {resets}"),
            502 => assert_eq!((asked, resets), (0, 1)),
            other => panic!("{other}: {}", answer.text),
        }
        elsewhere += usize::from(answer.status == 200 && resets == 1);
    }
    eprintln!("{elsewhere} of 20 requests went elsewhere after a reset");
}

/// No SYN is answered, because the backlog is full. The gate tries both endpoints, each until its timeout.
#[tokio::test]
async fn a_backend_that_accepts_no_connection() {
    let mut full = Vec::new();
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        // The socket never accepts: the kernel establishes connections until its backlog is full.
        loop {
            let connect = tokio::net::TcpStream::connect(address);
            match tokio::time::timeout(Duration::from_millis(500), connect).await {
                Ok(stream) => waiting.push(stream.unwrap()),
                Err(_) => break,
            }
        }
        full.push(listener);
    }
    let endpoints = full.iter().map(|listener| listener.local_addr().unwrap()).collect();
    assert_unreachable("accepts no connection", endpoints, Duration::from_secs(2)).await;
}

#[tokio::test]
async fn a_backend_that_refuses_connections() {
    let endpoints = vec![refusing().await, refusing().await];
    assert_unreachable("refuses connections", endpoints, Duration::ZERO).await;
}

async fn assert_unreachable(fault: &str, endpoints: Vec<std::net::SocketAddr>, at_least: Duration) {
    let expected = Outcome::error(503, "UPSTREAM_UNAVAILABLE", 0);
    let gate =
        Gate::start_with(Setup { endpoints: Some(endpoints), set: impatient("5s"), ..Setup::default() });
    let mut table = row::header("no connection");
    let mut lines = 0;
    for (method, request) in [("cancel", cancel()), ("get", get())] {
        for version in [1, 2] {
            let since = Instant::now();
            let answer = ask(&gate, &request, version).await;
            let time = since.elapsed();
            assert_eq!((answer.status, answer.seen), (503, Seen::Error), "{}", answer.text);
            assert!(time >= at_least && time < Duration::from_secs(8), "{fault}: {time:?}");
            lines += 1;
            let line = gate.audit(lines).swap_remove(lines - 1);
            row::assert_audited(fault, &line, &expected, &answer);
            row::tell(&mut table, fault, version, method, &expected, time);
        }
    }
    let metrics = gate.metrics().await;
    let counted = "opgate_upstream_errors_total{kind=\"connect\",upstream=\"operations\"} 8\n";
    assert!(metrics.contains(counted), "two attempts each: {metrics}");
    eprintln!("{table}");
}
