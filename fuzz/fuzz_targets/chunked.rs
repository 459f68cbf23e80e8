//! Chunked bodies: the parser agrees with the grammar, in whatever pieces the bytes come.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use opgate::http::chunked::{Chunked, MAX_EXTENSION_BYTES};

// The same reference as in the integration tests: regular expressions written from the RFC.
#[path = "../../tests/it/chunks/grammar.rs"]
mod grammar;

use grammar::{Grammar, Reading};

static GRAMMAR: LazyLock<Grammar> = LazyLock::new(Grammar::new);

/// Parses bytes in pieces whose lengths come from a seed; 0 for all at once.
fn follow(bytes: &[u8], seed: usize) -> Reading {
    let mut chunked = Chunked::new();
    let (mut at, mut end) = (0, 0);
    while at < bytes.len() {
        let length = if seed == 0 { bytes.len() } else { 1 + (seed * 31 + at * 7) % seed };
        let piece = &bytes[at..bytes.len().min(at + length)];
        let was_done = chunked.is_done();
        match chunked.advance(piece) {
            Err(error) => {
                assert_eq!(chunked.advance(b"0\r\n\r\n"), Err(error));
                assert!(!chunked.is_done());
                return Reading::Refused;
            }
            Ok(length) => {
                assert!(if was_done { length == 0 } else { chunked.is_done() || length == piece.len() });
                end += length;
            }
        }
        at += piece.len();
    }
    assert!(chunked.has_chunk() || !chunked.is_done());
    // The parser keeps no data.
    if chunked.is_done() { Reading::Whole { end, data: Vec::new() } } else { Reading::More }
}

fuzz_target!(|bytes: &[u8]| {
    // The grammar has no bounds for extensions and trailers; inputs shorter than either bound cannot reach it.
    if bytes.len() as u64 > MAX_EXTENSION_BYTES {
        return;
    }
    let expected = match GRAMMAR.read(bytes) {
        Reading::Whole { end, data } => {
            assert!(data.len() < end);
            Reading::Whole { end, data: Vec::new() }
        }
        reading => reading,
    };
    for seed in [0, 1, 2, 3, 17] {
        assert_eq!(follow(bytes, seed), expected, "in pieces of up to {seed}");
    }
});
