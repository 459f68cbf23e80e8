//! The same faults from backends that speak HTTP/2 (h2c), frame by frame. A fault affects one request alone: the next ones find
//! a connection that works.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::row::{self, Outcome, Seen, ask, impatient};
use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, SETTINGS, frame,
};
use crate::harness::{Body, COMPANION, Gate, Req, Setup, TRAIN, cancel, get, token};

/// The gate's first stream on a connection, and every request of these tests is the first.
const STREAM: u32 = 1;
/// `:status: 200` of the static table (RFC 7541, appendix A).
const OK: &[u8] = &[0x88];

/// What a backend does once it has read a request's head.
#[derive(Clone)]
struct Fault {
    bytes: Vec<u8>,
    then: Then,
}

#[derive(Clone, Copy)]
enum Then {
    Close,
    Hang,
    /// A byte of DATA every 50 ms.
    Drip,
}

struct Backend {
    address: SocketAddr,
    next: Arc<Mutex<Option<Fault>>>,
    asked: Arc<AtomicUsize>,
}

impl Backend {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let backend =
            Self { address: listener.local_addr().unwrap(), next: Arc::default(), asked: Arc::default() };
        let (next, asked) = (backend.next.clone(), backend.asked.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let fault = next.lock().unwrap().take();
                tokio::spawn(serve(stream, fault, asked.clone()));
            }
        });
        backend
    }
}

/// A good answer, followed by a GOAWAY: the backend wants no more requests on this connection.
fn well(stream: u32) -> Vec<u8> {
    [
        frame(HEADERS, END_HEADERS, stream, OK),
        frame(DATA, END_STREAM, stream, b"{\"ok\":42}"),
        goaway(stream, 0),
    ]
    .concat()
}

/// Plays the fault, if there is one, and answers the next request on the same connection.
async fn serve(mut stream: TcpStream, mut fault: Option<Fault>, asked: Arc<AtomicUsize>) {
    let mut preface = [0; 24];
    if stream.read_exact(&mut preface).await.is_err() {
        return;
    }
    if fault.is_none() && stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.is_err() {
        return;
    }
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return;
        }
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        if stream.read_exact(&mut payload).await.is_err() {
            return;
        }
        if head[3] != HEADERS {
            continue;
        }
        asked.fetch_add(1, Ordering::SeqCst);
        let (bytes, then) = match fault.take() {
            Some(Fault { bytes, then }) => (bytes, then),
            None => (well(u32::from_be_bytes([head[5], head[6], head[7], head[8]])), Then::Hang),
        };
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
        match then {
            Then::Close => return,
            Then::Hang => {}
            Then::Drip => {
                while stream.write_all(&frame(DATA, 0, STREAM, b"a")).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

fn goaway(last: u32, code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

fn reset(code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, STREAM, &code.to_be_bytes())
}

/// A literal that is never indexed, without Huffman code (RFC 7541, sections 5 and 6.2.3).
fn field(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str, bytes: &mut Vec<u8>| {
        let length = text.len();
        match u8::try_from(length) {
            Ok(short @ 0..=126) => bytes.push(short),
            _ => {
                bytes.push(127);
                let mut rest = length - 127;
                while rest >= 128 {
                    bytes.push(u8::try_from(rest % 128).unwrap() | 128);
                    rest /= 128;
                }
                bytes.push(u8::try_from(rest).unwrap());
            }
        }
        bytes.extend_from_slice(text.as_bytes());
    };
    let mut bytes = vec![0x10];
    text(name, &mut bytes);
    text(value, &mut bytes);
    bytes
}

/// A head in as many frames as it needs.
fn head(block: &[u8]) -> Vec<u8> {
    let pieces: Vec<&[u8]> = block.chunks(16_384).collect();
    let last = pieces.len() - 1;
    pieces
        .iter()
        .enumerate()
        .flat_map(|(index, piece)| {
            let kind = if index == 0 { HEADERS } else { CONTINUATION };
            frame(kind, if index == last { END_HEADERS } else { 0 }, STREAM, piece)
        })
        .collect()
}

fn begun(length: Option<&str>) -> Vec<u8> {
    let block = match length {
        Some(length) => [OK, &field("content-length", length)].concat(),
        None => OK.to_vec(),
    };
    [head(&block), frame(DATA, 0, STREAM, b"{")].concat()
}

fn ok_with(fields: &[u8]) -> Vec<u8> {
    [head(&[OK, fields].concat()), frame(DATA, END_STREAM, STREAM, b"{}")].concat()
}

const INVALID: Outcome = Outcome::error(502, "UPSTREAM_INVALID", 1);
const TIMEOUT: Outcome = Outcome::error(504, "UPSTREAM_TIMEOUT", 1);
/// Each endpoint says that it has not processed the request.
const UNBEGUN: Outcome = Outcome::error(503, "UPSTREAM_UNAVAILABLE", 2);

#[tokio::test]
async fn an_h2c_backend_that_does_not_answer() {
    let many: Vec<u8> = (0..300).flat_map(|number| field(&format!("x-{number}"), "a")).collect();
    let continuations: Vec<u8> = (0..10_000).flat_map(|_| frame(CONTINUATION, 0, STREAM, &[])).collect();
    let rows = vec![
        ("refuses the stream", reset(7), Then::Hang, UNBEGUN),
        ("goes away before the stream", goaway(0, 0), Then::Hang, UNBEGUN),
        ("goes away before the stream, in trouble", goaway(0, 2), Then::Close, UNBEGUN),
        ("goes away after the stream and closes", goaway(STREAM, 2), Then::Close, INVALID),
        ("resets the stream", reset(2), Then::Hang, INVALID),
        ("wants HTTP/1.1", reset(13), Then::Hang, INVALID),
        ("closes", Vec::new(), Then::Close, INVALID),
        ("says nothing", Vec::new(), Then::Hang, TIMEOUT),
        ("speaks HTTP/1.1", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_vec(), Then::Hang, INVALID),
        ("stalls within a frame", head(&[OK, OK].concat())[..10].to_vec(), Then::Hang, TIMEOUT),
        ("head without end", frame(HEADERS, 0, STREAM, OK), Then::Hang, TIMEOUT),
        ("no status", head(&field("x-a", "b")), Then::Hang, INVALID),
        ("status 600", head(&field(":status", "600")), Then::Hang, INVALID),
        ("status 101", head(&field(":status", "101")), Then::Hang, INVALID),
        ("no HPACK", head(&[0xff, 0xff, 0xff, 0xff, 0xff]), Then::Hang, INVALID),
        ("transfer coding", ok_with(&field("transfer-encoding", "chunked")), Then::Hang, INVALID),
        (
            "two lengths",
            ok_with(&[field("content-length", "2"), field("content-length", "3")].concat()),
            Then::Hang,
            INVALID,
        ),
        ("a space before a value", ok_with(&field("x-a", " b")), Then::Hang, INVALID),
        ("a field of 70 KiB", ok_with(&field("x-a", &"a".repeat(70 * 1024))), Then::Hang, INVALID),
        ("300 fields", ok_with(&many), Then::Hang, INVALID),
        (
            "a flood of CONTINUATION",
            [frame(HEADERS, 0, STREAM, OK), continuations].concat(),
            Then::Hang,
            INVALID,
        ),
    ];
    try_rows("h2c, no answer", rows).await;
}

#[tokio::test]
async fn an_h2c_answer_that_is_cut() {
    const CUT: Outcome = Outcome::truncated("UPSTREAM_INVALID");
    const LATE: Outcome = Outcome::truncated("UPSTREAM_TIMEOUT");
    let rows = vec![
        ("resets the stream", [begun(None), reset(2)].concat(), Then::Hang, CUT),
        ("refuses the stream that it has begun", [begun(None), reset(7)].concat(), Then::Hang, CUT),
        ("closes", begun(None), Then::Close, CUT),
        (
            "less than its length",
            [begun(Some("5")), frame(DATA, END_STREAM, STREAM, b"}")].concat(),
            Then::Hang,
            CUT,
        ),
        (
            "more than its length",
            [begun(Some("2")), frame(DATA, END_STREAM, STREAM, b"}}")].concat(),
            Then::Hang,
            CUT,
        ),
        ("stalls", begun(None), Then::Hang, LATE),
        ("drips", begun(None), Then::Drip, LATE),
    ];
    try_rows("h2c, cut", rows).await;
}

#[tokio::test]
async fn an_h2c_answer_that_is_odd() {
    let early = head(&field(":status", "103"));
    let rows = vec![
        ("interim answers first", [early.repeat(3), ok_with(&[])].concat(), Then::Hang, Outcome::whole(200)),
        (
            "goes away after the answer",
            [ok_with(&[]), goaway(STREAM, 0)].concat(),
            Then::Close,
            Outcome::whole(200),
        ),
        (
            "resets a stream that has ended",
            [ok_with(&[]), reset(0)].concat(),
            Then::Close,
            Outcome::whole(200),
        ),
    ];
    try_rows("h2c, odd", rows).await;
}

async fn try_rows(title: &str, rows: Vec<(&'static str, Vec<u8>, Then, Outcome)>) {
    let backends = [Backend::start().await, Backend::start().await];
    let gate = Gate::start_with(Setup {
        endpoints: Some(backends.iter().map(|backend| backend.address).collect()),
        set: impatient("2s"),
        upstream_protocol: Some("h2c"),
        ..Setup::default()
    });
    let count = || backends.iter().map(|backend| backend.asked.load(Ordering::SeqCst)).sum::<usize>();
    let play = |fault: Option<Fault>| {
        backends.iter().for_each(|backend| *backend.next.lock().unwrap() = fault.clone());
    };
    let mut lines = 0;
    let mut table = row::header(title);
    for (fault, bytes, then, expected) in rows {
        // A server's preface comes first (RFC 9113, section 3.4); a backend that does not speak HTTP/2 has none.
        let preface = if bytes.starts_with(b"HTTP") { Vec::new() } else { frame(SETTINGS, 0, 0, &[]) };
        let bytes = [preface, bytes].concat();
        for (method, request) in [("cancel", cancel()), ("get", get())] {
            for version in [1, 2] {
                let row = format!("{fault}, {method} over HTTP/{version}");
                let before = count();
                play(Some(Fault { bytes: bytes.clone(), then }));
                let since = Instant::now();
                let answer = ask(&gate, &request, version).await;
                let time = since.elapsed();
                play(None);
                let asked = count() - before;
                let seen = Outcome { status: answer.status, reason: "", seen: answer.seen, asked };
                assert_eq!(seen, Outcome { reason: "", ..expected }, "{row}: {}", answer.text);
                assert!(time < Duration::from_secs(8), "{row}: {time:?}");
                lines += 1;
                row::assert_audited(&row, &gate.audit(lines).swap_remove(lines - 1), &expected, &answer);
                row::tell(&mut table, fault, version, method, &expected, time);

                // From both endpoints; then no connection is left.
                for _ in &backends {
                    let next = ask(&gate, &request, version).await;
                    assert_eq!((next.status, next.seen), (200, Seen::Whole), "after {row}: {}", next.text);
                    assert_eq!(next.text.matches("{\"ok\":42}").count(), 1, "after {row}: {}", next.text);
                    lines += 1;
                    gate.audit(lines);
                }
            }
        }
    }
    eprintln!("{table}");
}

/// The backend's flow-control window admits no byte of the body: the request must still time out.
#[tokio::test]
async fn a_closed_window_does_not_hold_a_request_for_ever() {
    let backend = Backend::start().await;
    let gate = Gate::start_with(Setup {
        endpoints: Some(vec![backend.address]),
        set: impatient("2s"),
        upstream_protocol: Some("h2c"),
        ..Setup::default()
    });
    // SETTINGS_INITIAL_WINDOW_SIZE of 0 (RFC 9113, section 6.5.2).
    let bytes = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let wait = Req::new("POST", COMPANION, &format!("{TRAIN}:wait"))
        .bearer(&token("ana@example.com"))
        .body(Body::Length(format!("{{\"timeout\":\"1s\"{}}}", " ".repeat(60_000)).into_bytes()));
    *backend.next.lock().unwrap() = Some(Fault { bytes, then: Then::Hang });
    let since = Instant::now();
    let answer = gate.http1(&wait).await;
    assert_eq!((answer.status, crate::harness::reason(&answer).as_str()), (504, "UPSTREAM_TIMEOUT"));
    assert!(since.elapsed() < Duration::from_secs(8));
    assert_eq!(backend.asked.load(Ordering::SeqCst), 1);
    assert_eq!(gate.http1(&cancel()).await.status, 200);
    assert_eq!(backend.asked.load(Ordering::SeqCst), 2);
}
