//! Backends that answer as they should not, or never: what is counted then.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{answers, counts, is_outcome, outcomes, pending, request};
use crate::harness::{Body, COMPANION, Gate, Http2, Setup, parameter};

const PARENT: &str = "/v1/projects/demo/locations/l/operations";

/// A backend that does what the id of the operation says.
async fn stand_in() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// Each request comes whole, in one read: it has a head alone.
async fn serve(mut stream: TcpStream) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = stream.read(&mut bytes).await {
        let head = String::from_utf8_lossy(&bytes[..length]).into_owned();
        let target = head.split(' ').nth(1).unwrap();
        let id = target.rsplit('/').next().unwrap();
        let answer = match id.split_once(':') {
            Some((id, "cancel")) => match id {
                "no-content" => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
                "missing" => status("404 Not Found"),
                "unimplemented" => status("501 Not Implemented"),
                "broken" => status("500 Internal Server Error"),
                "late" => status("504 Gateway Timeout"),
                "bad" => status("502 Bad Gateway"),
                "cut" => return,
                "silent" => {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    return;
                }
                _ => ok("{}"),
            },
            _ if head.starts_with("HEAD ") => {
                "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned()
            }
            _ => match id {
                "masked?fields=done" => ok(r#"{"done":true}"#),
                "ranged" => ok(r#"{"done":true,"response":{}}"#).replace("200 OK", "206 Partial Content"),
                // It says how it ended, and is cut before its last byte.
                "cut-answer" => {
                    let whole = ok(r#"{"done":true,"error":{"code":1}}"#);
                    let _ = stream.write_all(&whole.as_bytes()[..whole.len() - 1]).await;
                    return;
                }
                _ => ok(r#"{"done":true,"error":{"code":1}}"#),
            },
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn status(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}")
}

async fn gate_before(address: SocketAddr) -> Gate {
    Gate::start_with(Setup { endpoints: Some(vec![address]), ..Setup::default() })
}

#[tokio::test]
async fn every_answer_to_a_cancel_is_counted_and_what_may_have_arrived_is_watched() {
    let gate = gate_before(stand_in().await).await;
    let cancel = |id: &str| request("POST", COMPANION, &format!("{PARENT}/{id}:cancel"));
    for (id, status) in [
        ("accepted", 200),
        ("no-content", 204),
        ("missing", 404),
        ("unimplemented", 501),
        ("broken", 500),
        ("late", 504),
        ("bad", 502),
        ("cut", 502),
    ] {
        assert_eq!(gate.http1(&cancel(id)).await.status, status, "{id}");
    }
    // A client that leaves before the answer. Over HTTP/1 that is noticed with the answer, which then counts.
    let left = tokio::time::timeout(Duration::from_millis(500), gate.http2(&cancel("silent"))).await;
    assert!(left.is_err());
    let expected =
        counts(&[("accepted", 2), ("failed", 1), ("not_found", 1), ("uncertain", 4), ("unimplemented", 1)]);
    for _ in 0..200 {
        if answers(&gate).await == expected {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(answers(&gate).await, expected);
    assert_eq!(pending(&gate).await, 6);

    for id in ["accepted", "no-content", "missing", "unimplemented", "broken", "late", "bad", "cut", "silent"]
    {
        let read = gate.http1(&request("GET", COMPANION, &format!("{PARENT}/{id}"))).await;
        assert_eq!(read.status, 200);
    }
    assert_eq!(outcomes(&gate).await, counts(&[("cancelled", 6)]));
    assert_eq!(pending(&gate).await, 0);
}

#[tokio::test]
async fn a_cancel_that_reaches_no_backend_is_not_watched() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let gate = gate_before(address).await;
    let cancel = request("POST", COMPANION, &format!("{PARENT}/o:cancel"));
    assert_eq!(gate.http1(&cancel).await.status, 503);
    // It is counted once its answer is out.
    gate.audit(1);
    assert_eq!(answers(&gate).await, counts(&[("failed", 1)]));
    assert_eq!(pending(&gate).await, 0);
}

#[tokio::test]
async fn an_answer_that_is_cut_says_nothing() {
    let gate = gate_before(stand_in().await).await;
    let name = format!("{PARENT}/cut-answer");
    assert_eq!(gate.http1(&request("POST", COMPANION, &format!("{name}:cancel"))).await.status, 200);
    let read = request("GET", COMPANION, &name).header("connection", "close");
    let answer = gate.raw_to_the_end(read.to_http1()).await;
    assert!(answer.ends_with(br#"{"done":true,"error":{"code":1}"#), "{}", answer.escape_ascii());
    assert_eq!(pending(&gate).await, 1);
    assert!(outcomes(&gate).await.is_empty());
}

/// A reader of operations chooses what comes of an answer; it does not choose what is counted.
#[tokio::test]
async fn a_part_of_an_answer_says_nothing() {
    let gate = gate_before(stand_in().await).await;
    for id in ["ranged", "headless", "masked"] {
        let cancel = request("POST", COMPANION, &format!("{PARENT}/{id}:cancel"));
        assert_eq!(gate.http1(&cancel).await.status, 200);
    }
    let ranged = request("GET", COMPANION, &format!("{PARENT}/ranged")).header("range", "bytes=0-20");
    assert_eq!(gate.http1(&ranged).await.status, 206);
    assert_eq!(gate.http1(&request("HEAD", COMPANION, &format!("{PARENT}/headless"))).await.status, 404);
    let masked = request("POST", COMPANION, &format!("{PARENT}/masked"))
        .header("x-http-method-override", "GET")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::Length(b"fields=done".to_vec()));
    assert_eq!(gate.http1(&masked).await.status, 200);
    assert_eq!(pending(&gate).await, 3);
    assert!(outcomes(&gate).await.is_empty());
}

#[tokio::test]
async fn a_refused_cancel_is_not_watched() {
    let gate = Gate::start();
    let bob = crate::harness::token("bob@example.com");
    let cancel = crate::harness::Req::new("POST", COMPANION, crate::harness::CANCEL).bearer(&bob);
    assert_eq!(gate.http1(&cancel).await.status, 403);
    assert!(answers(&gate).await.is_empty());
    assert_eq!(pending(&gate).await, 0);
}

/// An answer whose end is told by trailers, as gRPC's is.
#[tokio::test]
async fn an_answer_over_http2_that_ends_with_trailers_is_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let is_cancel = request.uri().path().ends_with(":cancel");
            let body = if is_cancel { "{}" } else { r#"{"done":true,"response":{}}"# };
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            stream.send_data(Bytes::from_static(body.as_bytes()), false).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("x-end", "1".parse().unwrap());
            stream.send_trailers(trailers).unwrap();
        }
    });
    let gate = Gate::start_with(Setup {
        endpoints: Some(vec![address]),
        upstream_protocol: Some("h2c"),
        ..Setup::default()
    });
    let name = format!("{PARENT}/o");
    for (method, target) in [("POST", format!("{name}:cancel")), ("GET", name)] {
        assert_eq!(gate.http2(&request(method, COMPANION, &target)).await.status, 200);
    }
    assert_eq!(outcomes(&gate).await, counts(&[("succeeded", 1)]));
    assert!(gate.audit(3).iter().any(is_outcome));
}

/// Resident bytes of a process.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

async fn send_cancels(client: &mut Http2, token: &str, numbers: std::ops::Range<u64>) {
    let mut under_way = Vec::new();
    for number in numbers.clone() {
        let target = format!("{PARENT}/{number:036}:cancel");
        let cancel = crate::harness::Req::new("POST", COMPANION, &target).bearer(token);
        under_way.push(client.start(&cancel, true).await.0);
        if under_way.len() == 50 || number + 1 == numbers.end {
            for response in under_way.drain(..) {
                assert_eq!(client.finish(response).await.status, 200);
            }
        }
    }
}

/// `OPGATE_CANCELS_UNSEEN=100000` for the whole measure.
#[tokio::test(flavor = "multi_thread")]
async fn cancels_that_are_never_asked_about_take_no_more_than_the_written_bound() {
    let all = parameter("OPGATE_CANCELS_UNSEEN", 3_000);
    let tracked = parameter("OPGATE_CANCELS_TRACKED", 1_000);
    let gate = Gate::start_with(Setup {
        endpoints: Some(vec![stand_in().await]),
        set: vec![format!("cancels.tracked={tracked}")],
        ..Setup::default()
    });
    let token = super::admin();
    let mut client = gate.http2_client().await;
    // The connections and the buffers that any requests need.
    let warm = tracked / 10;
    send_cancels(&mut client, &token, 0..warm).await;
    let before = resident(gate.pid());
    send_cancels(&mut client, &token, warm..all).await;
    let grown = resident(gate.pid()).saturating_sub(before);
    let left = pending(&gate).await;
    assert!((tracked * 9 / 10..=tracked).contains(&left), "{left}");
    assert_eq!(outcomes(&gate).await, counts(&[("evicted", all - left)]));
    // Beside the table, the heap keeps pages that requests have used.
    let bound = tracked * 419 + (8 << 20);
    eprintln!("{all} cancels, {left} pending: {grown} bytes more");
    assert!(grown <= bound, "{grown} of {bound}");
}
