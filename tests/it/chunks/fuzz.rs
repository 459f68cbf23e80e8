//! A seeded fuzz of chunked bodies: compares the product's parser and the gate itself with the grammar.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use opgate::http::chunked::Chunked;

use super::grammar::{Grammar, Reading};
use super::near::{Seeded, good, mutate};
use super::{apart, assert_not_chunked, head};
use crate::connection::Connection;
use crate::harness::{COMPANION, reason};
use crate::open_gate::{ANYTHING, OpenGate};

const SEED: u64 = 0x9112_0701;
const BODIES: usize = 100_000;
/// How many of those go to the gate, for each of two rules.
const SENT: usize = 3_000;
const JSON: &[u8] = br#" {"timeout": "0s", "a": [1, 2, 3, "0\r\n\r\n2;\n"]} "#;

/// The bodies of the fuzz, in order: every fourth is good, the others are near misses.
fn body(number: usize) -> Vec<u8> {
    let mut random = Seeded::new(SEED + number as u64);
    let data = if random.once_in(8) { b"" } else { JSON };
    let mut body = good(data, &mut random);
    if !number.is_multiple_of(4) {
        mutate(&mut body, &mut random);
    }
    body
}

fn grammar() -> &'static Grammar {
    static GRAMMAR: OnceLock<Grammar> = OnceLock::new();
    GRAMMAR.get_or_init(Grammar::new)
}

/// The result of the parser for bytes fed in pieces of up to `most`, and the data in them.
fn follow(bytes: &[u8], most: usize) -> Reading {
    let mut chunked = Chunked::new();
    let mut end = 0;
    for piece in bytes.chunks(most) {
        match chunked.advance(piece) {
            Err(_) => return Reading::Refused,
            Ok(length) => {
                end += length;
                assert!(chunked.is_done() || length == piece.len());
            }
        }
    }
    // The parser keeps no data.
    if chunked.is_done() { Reading::Whole { end, data: Vec::new() } } else { Reading::More }
}

#[test]
fn the_follower_takes_what_the_grammar_takes_and_nothing_else() {
    let (mut whole, mut more, mut refused) = (0, 0, 0);
    for number in 0..BODIES {
        let body = body(number);
        let expected = match grammar().read(&body) {
            Reading::Whole { end, .. } => {
                whole += 1;
                Reading::Whole { end, data: Vec::new() }
            }
            reading => {
                *if reading == Reading::More { &mut more } else { &mut refused } += 1;
                reading
            }
        };
        assert!(!number.is_multiple_of(4) || matches!(expected, Reading::Whole { .. }), "a good body");
        for most in [usize::MAX, 1, 7] {
            assert_eq!(
                follow(&body, most),
                expected,
                "number {number}: {:?}",
                body.escape_ascii().to_string()
            );
        }
    }
    eprintln!("{BODIES} bodies: {whole} whole, {more} unfinished, {refused} refused; no reading differs");
    assert!(whole > BODIES / 4 && refused > BODIES / 3 && more > BODIES / 100);
}

/// The outcomes of the bodies that were sent.
#[derive(Default)]
struct Counts {
    good: AtomicUsize,
    unfinished: AtomicUsize,
    refused: AtomicUsize,
    behind: AtomicUsize,
}

/// A good request with a marker of its own.
fn probe(host: &str, target: &str) -> String {
    format!("{}0\r\n\r\n", head(host, target))
}

/// Sends a body over a connection. After a bad body, the connection is replaced by a new one.
async fn send(open: &OpenGate, connection: &mut Connection, number: usize, host: &str, counts: &Counts) {
    let target = match host {
        ANYTHING => format!("/o{number}"),
        _ => format!("/v1/projects/demo/locations/eu/operations/o{number}:wait"),
    };
    let body = body(number);
    let reading = grammar().read(&body);
    let row = format!("{host}, number {number}: {:?}", body.escape_ascii().to_string());
    let bytes = [head(host, &target).as_bytes(), &body].concat();
    let cut =
        if number.is_multiple_of(3) { Seeded::new(number as u64).below(bytes.len()) } else { bytes.len() };
    connection.try_send(&bytes[..cut]).await;
    if cut < bytes.len() {
        apart().await;
        connection.try_send(&bytes[cut..]).await;
    }
    match reading {
        Reading::Whole { end, data } => {
            let answer = connection.answer().await.unwrap_or_else(|| panic!("{row}: no answer"));
            let json_is_whole = serde_json::from_slice::<serde_json::Value>(&data).is_ok() || data.is_empty();
            if host == ANYTHING || json_is_whole {
                assert_eq!(answer.status, 200, "{row}");
            } else {
                assert_eq!((answer.status, reason(&answer).as_str()), (400, "REQUEST_BODY_REFUSED"), "{row}");
            }
            counts.good.fetch_add(1, Ordering::Relaxed);
            let is_over = answer.header("connection") == Some("close");
            // After the body comes the next head, or the beginning of one.
            if end < body.len() {
                counts.behind.fetch_add(1, Ordering::Relaxed);
            }
            if is_over || end < body.len() {
                *connection = Connection::open(open.gate.address).await;
            }
        }
        Reading::More => {
            connection.finish_if_open().await;
            let answer = connection.answer().await;
            assert!(answer.is_none_or(|answer| answer.status == 400), "{row}");
            counts.unfinished.fetch_add(1, Ordering::Relaxed);
            *connection = Connection::open(open.gate.address).await;
        }
        Reading::Refused => {
            connection.try_send(probe(host, "/v1/projects/demo/locations/eu/operations/hidden:wait")).await;
            let answer = connection.answer().await.unwrap_or_else(|| panic!("{row}: no answer"));
            assert_not_chunked(&answer, &row);
            connection.finish_if_open().await;
            assert_eq!(connection.rest().await, b"", "{row}");
            counts.refused.fetch_add(1, Ordering::Relaxed);
            *connection = Connection::open(open.gate.address).await;
        }
    }
}

/// Over real sockets: the answer agrees with the grammar, and the backend gets the data of good bodies alone.
async fn the_gate_reads_by_the_grammar(host: &'static str) {
    let open = Arc::new(OpenGate::start());
    let counts = Arc::<Counts>::default();
    let workers: Vec<_> = (0..8)
        .map(|worker| {
            let (open, counts) = (open.clone(), counts.clone());
            tokio::spawn(async move {
                let mut connection = Connection::open(open.gate.address).await;
                for number in (worker..SENT).step_by(8) {
                    send(&open, &mut connection, number, host, &counts).await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let mut arrived = 0;
    for (target, got) in open.backend.bodies() {
        let mark = target.trim_end_matches(":wait").rsplit('o').next().unwrap();
        let number: usize = mark.parse().unwrap_or_else(|_| panic!("{target} was never sent as a request"));
        let Reading::Whole { data, .. } = grammar().read(&body(number)) else {
            panic!("number {number} reached the backend as {:?}", got.escape_ascii().to_string());
        };
        assert_eq!(got, data, "number {number}");
        arrived += 1;
    }
    let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
    let (good, unfinished, refused) =
        (count(&counts.good), count(&counts.unfinished), count(&counts.refused));
    eprintln!(
        "{host}: {SENT} bodies, {good} good ({} with bytes behind them), {unfinished} unfinished, {refused} refused; \
         {arrived} reached the backend whole",
        count(&counts.behind)
    );
    assert_eq!(good + unfinished + refused, SENT);
    assert!(arrived <= good && arrived > SENT / 4 && refused > SENT / 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gate_reads_judged_bodies_by_the_grammar() {
    the_gate_reads_by_the_grammar(COMPANION).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gate_reads_streamed_bodies_by_the_grammar() {
    the_gate_reads_by_the_grammar(ANYTHING).await;
}
