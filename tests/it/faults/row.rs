//! One row of the table, and how it is run.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Gate, Req, Setup, cancel, get};
use crate::origin::Step::{Body, Close, Head, Say};
use crate::origin::{Origin, Step};

/// Answers and closes, so that no connection is left for the next request.
const WELL: &[Step] = &[Head, Body, Say(WELL_ANSWER), Close];
const WELL_ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\nConnection: close\r\n\r\n{\"ok\":42}";

/// What a client sees of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The gate's own error.
    Error,
    /// The backend's body, complete.
    Whole,
    /// The backend's body, visibly incomplete: the connection closes too early, or the stream is reset.
    Truncated,
}

/// The outcome of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub status: u16,
    /// The reason in the audit log, and in the answer if it is the gate's own.
    pub reason: &'static str,
    pub seen: Seen,
    /// Requests whose head reached a backend.
    pub asked: usize,
}

impl Outcome {
    /// The gate's own answer.
    pub const fn error(status: u16, reason: &'static str, asked: usize) -> Self {
        Self { status, reason, seen: Seen::Error, asked }
    }

    /// The backend's answer.
    pub const fn whole(status: u16) -> Self {
        Self { status, reason: "ALLOWED", seen: Seen::Whole, asked: 1 }
    }

    /// The beginning of the backend's answer.
    pub const fn truncated(reason: &'static str) -> Self {
        Self { status: 200, reason, seen: Seen::Truncated, asked: 1 }
    }
}

/// A fault and its outcome, for a cancel and for a get.
pub type Row = (&'static str, &'static [Step], Outcome);

/// Timeouts that distinguish a cut from a stall.
pub fn impatient(total: &str) -> Vec<String> {
    times(&format!("{{connect: 1s, response: 1s, total: {total}}}"))
}

/// Timeouts that no row of this kind reaches.
pub fn patient() -> Vec<String> {
    times("{connect: 5s, response: 10s, total: 20s}")
}

/// Without ejection, so that rows do not affect each other.
fn times(timeouts: &str) -> Vec<String> {
    vec![
        format!("upstreams.operations.timeouts={timeouts}"),
        "upstreams.operations.outliers={failures: 1000}".to_owned(),
    ]
}

/// Runs the rows one after another, each in four ways.
pub async fn try_rows(title: &str, rows: &[Row], set: Vec<String>) {
    let origins = [Origin::start(WELL).await, Origin::start(WELL).await];
    let endpoints = Some(origins.iter().map(|origin| origin.address).collect());
    let gate = Gate::start_with(Setup { endpoints, set, ..Setup::default() });
    let asked = || origins.iter().map(|origin| origin.requests().len()).sum::<usize>();
    let connections = || origins.iter().map(Origin::connections).sum::<usize>();
    let mut lines = 0;
    let mut table = header(title);
    for (fault, script, expected) in rows {
        for (method, request) in [("cancel", cancel()), ("get", get())] {
            for version in [1, 2] {
                let row = format!("{fault}, {method} over HTTP/{version}");
                let before = asked();
                origins.iter().for_each(|origin| origin.play_next(Some(script)));
                let since = Instant::now();
                let answer = ask(&gate, &request, version).await;
                let time = since.elapsed();
                origins.iter().for_each(|origin| origin.play_next(None));
                let seen =
                    Outcome { status: answer.status, reason: "", seen: answer.seen, asked: asked() - before };
                assert_eq!(seen, Outcome { reason: "", ..*expected }, "{row}: {}", answer.text);
                assert!(time < Duration::from_secs(8), "{row}: {time:?}");
                lines += 1;
                let line = gate.audit(lines).swap_remove(lines - 1);
                assert_audited(&row, &line, expected, &answer);
                tell(&mut table, fault, version, method, expected, time);

                // The next request, on a connection that the fault did not touch.
                let used = connections();
                let next = ask(&gate, &request, version).await;
                assert_eq!((next.status, next.seen), (200, Seen::Whole), "after {row}: {}", next.text);
                assert!(next.text.ends_with("{\"ok\":42}"), "after {row}: {}", next.text);
                assert_eq!(connections(), used + 1, "after {row}");
                lines += 1;
                gate.audit(lines);
            }
        }
    }
    eprintln!("{table}");
}

pub fn header(title: &str) -> String {
    format!(
        "\n{title}\n{:<44} {:<8} {:<7} {:>6} {:<22} {:<10} {:>5} {:>8}\n",
        "fault", "version", "method", "status", "reason", "body", "asked", "time"
    )
}

pub fn tell(table: &mut String, fault: &str, version: u8, method: &str, outcome: &Outcome, time: Duration) {
    let Outcome { status, reason, seen, asked } = outcome;
    let seen = format!("{seen:?}").to_lowercase();
    writeln!(
        table,
        "{fault:<44} HTTP/{version:<3} {method:<7} {status:>6} {reason:<22} {seen:<10} {asked:>5} {:>6}ms",
        time.as_millis()
    )
    .unwrap();
}

pub fn assert_audited(row: &str, line: &Value, expected: &Outcome, answer: &Received) {
    let decision = &line["protoPayload"]["metadata"];
    assert_eq!(decision["reason"], expected.reason, "{row}: {line}");
    assert_eq!(decision["decision"], "ALLOWED", "{row}");
    assert_eq!(line["httpRequest"]["status"], expected.status, "{row}");
    assert_eq!(decision["upstream"]["name"], "operations", "{row}");
    if expected.seen == Seen::Error {
        assert!(
            answer.text.contains(&format!("\"reason\": \"{}\"", expected.reason)),
            "{row}: {}",
            answer.text
        );
    }
}

/// What a client received.
#[derive(Debug)]
pub struct Received {
    pub status: u16,
    pub seen: Seen,
    /// All bytes; over HTTP/1.1 with the head.
    pub text: String,
}

/// Sends a request over a connection that ends with the answer.
pub async fn ask(gate: &Gate, request: &Req, version: u8) -> Received {
    let asking =
        async { if version == 1 { ask_http1(gate, request).await } else { ask_http2(gate, request).await } };
    tokio::time::timeout(Duration::from_secs(20), asking).await.expect("an answer in time")
}

async fn ask_http1(gate: &Gate, request: &Req) -> Received {
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    stream.write_all(&request.clone().header("connection", "close").to_http1()).await.unwrap();
    let mut bytes = Vec::new();
    // A reset counts as the end of an answer.
    let _ = stream.read_to_end(&mut bytes).await;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut rest = text.as_str();
    let (status, head, body) = loop {
        let (head, body) = rest.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        if status >= 200 {
            break (status, head.to_ascii_lowercase(), body);
        }
        rest = body;
    };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let chunked = head.contains("\r\ntransfer-encoding: chunked");
    assert!(!(chunked && length.is_some()), "one framing: {text}");
    let is_whole = match length {
        _ if status == 204 || status == 304 => body.is_empty(),
        Some(length) => body.len() == length.parse::<usize>().unwrap(),
        None => chunked && body.ends_with("0\r\n\r\n"),
    };
    let text = if chunked { text.trim_end_matches("\r\n0\r\n\r\n").to_owned() } else { text };
    Received { status, seen: seen(is_whole, &text), text }
}

async fn ask_http2(gate: &Gate, request: &Req) -> Received {
    let mut client = gate.http2_client().await;
    let (response, _) = client.start(request, true).await;
    let (head, mut body) = response.await.unwrap().into_parts();
    let mut bytes = Vec::new();
    let is_whole = loop {
        match body.data().await {
            Some(Ok(chunk)) => {
                let chunk: Bytes = chunk;
                body.flow_control().release_capacity(chunk.len()).unwrap();
                bytes.extend_from_slice(&chunk);
            }
            Some(Err(_)) => break false,
            None => break body.trailers().await.is_ok(),
        }
    };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Received { status: head.status.as_u16(), seen: seen(is_whole, &text), text }
}

fn seen(is_whole: bool, text: &str) -> Seen {
    match is_whole {
        false => Seen::Truncated,
        true if text.contains("google.rpc.ErrorInfo") => Seen::Error,
        true => Seen::Whole,
    }
}
