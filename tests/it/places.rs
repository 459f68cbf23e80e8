//! Limits by client: how many requests and connections one client can hold, what unauthenticated clients cost the gate,
//! and that others are not affected.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bystander::{Bystander, resident_kib};
use crate::connection::Connection;
use crate::frames::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, block, frame, next, opening,
};
use crate::harness::{Body, COMPANION, Gate, Req, Setup, TRAIN, cancel, connect_from, reason, token};

fn limited(limits: &str) -> Gate {
    Gate::start_with(Setup { set: vec![format!("limits={limits}")], ..Setup::default() })
}

/// Heads of requests without a credential, whose bodies never come.
fn unfinished(count: u32) -> Vec<u8> {
    let fields = block(&[
        (":method", b"POST"),
        (":scheme", b"http"),
        (":authority", COMPANION.as_bytes()),
        (":path", format!("{TRAIN}:cancel").as_bytes()),
    ]);
    (0..count).flat_map(|number| frame(HEADERS, END_HEADERS, 2 * number + 1, &fields)).collect()
}

async fn count(gate: &Gate, of: &str) -> u64 {
    let metrics = gate.metrics().await;
    let lines = metrics.lines().filter(|line| line.contains(of) && !line.starts_with('#'));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// The 99th percentile of the time to an answer, over `asked` requests on one connection.
async fn p99(gate: &Gate, asked: usize) -> Duration {
    let mut connection = Connection::open(gate.address).await;
    let request = cancel().to_http1();
    let mut took = Vec::new();
    for _ in 0..asked {
        let began = Instant::now();
        connection.send(&request).await;
        assert_eq!(connection.status().await, Some(200));
        took.push(began.elapsed());
    }
    took.sort_unstable();
    took[asked * 99 / 100]
}

/// RFC 9113, section 8.1: the whole answer, then RST_STREAM with NO_ERROR; the gate waits a tenth of a second for the body, and not
/// until `body_timeout`.
#[tokio::test]
async fn a_refused_http2_request_ends_soon_and_its_body_is_not_waited_for() {
    let gate = limited("{body_timeout: 60s}");
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    let began = Instant::now();
    stream.write_all(&[opening(&[]), unfinished(1)].concat()).await.unwrap();
    let mut seen = Vec::new();
    let reset = loop {
        let (kind, payload) = next(&mut stream).await.expect("the connection stays open");
        match kind {
            HEADERS | DATA => seen.push(kind),
            RST_STREAM => break payload,
            _ => {}
        }
    };
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!((seen, reset), (vec![HEADERS, DATA], vec![0, 0, 0, 0]));
    // The next request is served.
    let again = [frame(DATA, END_STREAM, 1, b"late"), unfinished(2)[unfinished(1).len()..].to_vec()].concat();
    stream.write_all(&again).await.unwrap();
    while !matches!(next(&mut stream).await.expect("the connection stays open"), (RST_STREAM, _)) {}
}

/// Once, a hundred connections with 99 unfinished requests each held 22 KiB per request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_refused_streams_hold_next_to_nothing() {
    let gate = limited("{connections_per_address: 2000}");
    let bystander = Bystander::start(&gate);
    bystander.has_asked(60).await;
    let idle = p99(&gate, 400).await;
    let before = resident_kib(gate.pid());
    let mut seen = 0;
    // A client that sends no more, and a client that opens no window for its refusals.
    for window in [65_535, 0] {
        let asked = bystander.counts();
        let mut held = Vec::new();
        for number in 0..100 {
            let mut stream = connect_from(&format!("127.0.0.{}", 2 + number / 10), gate.address).await;
            stream.write_all(&[opening(&[(4, window)]), unfinished(99)].concat()).await.unwrap();
            held.push(stream);
        }
        let mut most = resident_kib(gate.pid());
        let deadline = Instant::now() + Duration::from_secs(60);
        seen += 9_900;
        while count(&gate, "reason=\"CREDENTIALS_MISSING\"").await < seen {
            assert!(Instant::now() < deadline, "all are refused");
            most = most.max(resident_kib(gate.pid()));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let under = p99(&gate, 400).await;
        bystander.has_asked(asked.asked + 30).await;
        let after = resident_kib(gate.pid());
        eprintln!("window {window}: RSS {before} -> {most}, then {after} KiB; p99 {idle:?} -> {under:?}");
        // From the configuration's figures: 100 connections, and the pending requests.
        let bound = 100 * 128 + 1000 * (32 + 100 / 8 + 8);
        assert!(most.max(after) < before + bound, "RSS {before} -> {most}, {after} KiB");
    }
    let counts = bystander.stop().await;
    assert_eq!(counts.answered, counts.asked, "the bystander's requests");
}

/// A client that opens no window for refusals is waited for, up to a number of streams; then streams are reset, and
/// then connections end.
#[tokio::test]
async fn pending_requests_are_bounded_by_address_and_in_total() {
    for limits in ["{pending_requests_per_address: 5}", "{pending_requests: 5}"] {
        let gate = limited(limits);
        let mut stranger = TcpStream::connect(gate.address).await.unwrap();
        stranger.write_all(&[opening(&[(4, 0)]), unfinished(99)].concat()).await.unwrap();
        let (mut heads, mut calm) = (0, 0);
        while heads < 5 || calm < 94 {
            match next(&mut stranger).await.expect("the connection stays open") {
                (HEADERS, _) => heads += 1,
                (RST_STREAM, code) => calm += usize::from(code == [0, 0, 0, 11]),
                _ => {}
            }
        }
        // An authenticated caller needs none of these places.
        for answer in [gate.http2(&cancel()).await, gate.http1(&cancel()).await] {
            assert_eq!(answer.status, 200, "{limits}: {}", reason(&answer));
        }
        // Again: too many resets end the connection.
        let fields = unfinished(600);
        let rest = &fields[unfinished(99).len()..];
        let _ = stranger.write_all(rest).await;
        let code = loop {
            match next(&mut stranger).await {
                Some((GOAWAY, payload)) => break payload[4..8].to_vec(),
                Some(_) => {}
                None => panic!("the connection ended without a GOAWAY"),
            }
        };
        assert_eq!(code, [0, 0, 0, 11], "ENHANCE_YOUR_CALM");
    }
}

async fn waiting(gate: &Gate, request: &Req, others: usize) -> Connection {
    let mut connection = Connection::open(gate.address).await;
    connection.send(request.to_http1()).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while gate.backend.requests().len() < others + 1 {
        assert!(Instant::now() < deadline, "it is under way");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    connection
}

fn wait_as(who: &str) -> Req {
    Req::new("POST", COMPANION, &format!("{TRAIN}:wait"))
        .bearer(&token(who))
        .body(Body::Length(b"{\"timeout\":\"2s\"}".to_vec()))
}

#[tokio::test]
async fn one_principal_cannot_take_every_place() {
    let gate = limited("{requests_per_principal: 2}");
    let mut held = Vec::new();
    for number in 0..2 {
        held.push(waiting(&gate, &wait_as("ana@example.com"), number).await);
    }
    for answer in gate.over_both(&cancel()).await {
        assert_eq!((answer.status, reason(&answer).as_str()), (429, "PRINCIPAL_LIMIT_EXCEEDED"));
    }
    held.push(waiting(&gate, &wait_as("ci@demo.iam.gserviceaccount.com"), 2).await);
    for mut connection in held {
        assert_eq!(connection.status().await, Some(200));
    }
    assert_eq!(gate.http2(&cancel()).await.status, 200, "places are given back");
}

#[tokio::test]
async fn one_address_cannot_have_every_request() {
    let gate = limited("{requests_per_address: 2}");
    let mut held = Vec::new();
    for number in 0..2 {
        held.push(waiting(&gate, &wait_as("ana@example.com"), number).await);
    }
    for answer in gate.over_both(&cancel()).await {
        assert_eq!((answer.status, reason(&answer).as_str()), (429, "ADDRESS_LIMIT_EXCEEDED"));
    }
    let mut other = Connection::over(connect_from("127.0.0.2", gate.address).await);
    other.send(cancel().to_http1()).await;
    assert_eq!(other.status().await, Some(200));
}

/// Behind a proxy, all clients share one peer address; the client's own address counts.
#[tokio::test]
async fn behind_a_trusted_proxy_the_clients_own_address_counts() {
    let set = vec![
        "limits={requests_per_address: 1}".to_owned(),
        "trusted_proxies={addresses: [127.0.0.0/8]}".to_owned(),
    ];
    let gate = Gate::start_with(Setup { set, ..Setup::default() });
    let of = |request: Req, client: &str| request.header("x-forwarded-for", client);
    let mut held = waiting(&gate, &of(wait_as("ana@example.com"), "192.0.2.1"), 0).await;
    for (client, expected) in [("192.0.2.1", 429), ("192.0.2.2", 200)] {
        let request = of(cancel(), client);
        for answer in gate.over_both(&request).await {
            assert_eq!(answer.status, expected, "{client}: {}", reason(&answer));
        }
    }
    assert_eq!(held.status().await, Some(200));
}

/// Once, they held every place for a minute, after one 404 each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_never_were_allowed_anything_make_room() {
    let gate = limited("{connections: 50}");
    let lost = Req::new("GET", COMPANION, "/nowhere").to_http1();
    let mut served = Connection::open(gate.address).await;
    served.send(cancel().to_http1()).await;
    assert_eq!(served.status().await, Some(200));
    let mut strangers = Vec::new();
    for _ in 0..49 {
        let mut stranger = Connection::open(gate.address).await;
        stranger.send(&lost).await;
        assert_eq!(stranger.status().await, Some(404));
        strangers.push(stranger);
    }
    let mut newcomers = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        let mut newcomer = Connection::open(gate.address).await;
        newcomer.send(cancel().to_http1()).await;
        assert_eq!(newcomer.status().await, Some(200));
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        newcomers.push(newcomer);
    }
    assert_eq!(count(&gate, "opgate_connections_cut_total{reason=\"made_room\"}").await, 20);
    assert_eq!(count(&gate, "opgate_connections_refused_total").await, 0);
    assert_eq!(gate.log().matches("too many connections").count(), 1, "{}", gate.log());
    // The oldest have been closed, and the connection with an allowed request stays.
    assert_eq!(strangers.remove(0).rest().await, b"");
    strangers.last_mut().unwrap().send(&lost).await;
    assert_eq!(strangers.last_mut().unwrap().status().await, Some(404));
    for connection in std::iter::once(&mut served).chain(&mut newcomers) {
        connection.send(cancel().to_http1()).await;
        assert_eq!(connection.status().await, Some(200));
    }
}

/// Over HTTP/2, and on connections on which nothing is ever sent.
#[tokio::test]
async fn idle_connections_of_every_kind_make_room() {
    let gate = limited("{connections: 12}");
    let mut strangers = Vec::new();
    for number in 0..12_u32 {
        let mut stranger = TcpStream::connect(gate.address).await.unwrap();
        let said = match number % 4 {
            0 => Vec::new(),
            1 => b"POST /v1/x HT".to_vec(),
            2 => opening(&[]),
            _ => [opening(&[]), unfinished(3)].concat(),
        };
        stranger.write_all(&said).await.unwrap();
        strangers.push(stranger);
    }
    // For a moment, a silent connection counts as new.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let mut newcomers = Vec::new();
    for _ in 0..12 {
        let mut newcomer = gate.http2_client().await;
        let (response, _) = newcomer.start(&cancel(), true).await;
        assert_eq!(newcomer.finish(response).await.status, 200);
        newcomers.push(newcomer);
    }
    for mut stranger in strangers {
        let mut rest = Vec::new();
        let end = stranger.read_to_end(&mut rest);
        let ended = tokio::time::timeout(Duration::from_secs(5), end).await;
        assert!(ended.is_ok(), "the idle connections are closed");
    }
}
