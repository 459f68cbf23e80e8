//! The exchange with a backend: whatever a backend sends, in whatever pieces, the client gets what a second reader reads in it,
//! whole or visibly broken off, and a connection is kept only where nothing is left on it.
//!
//! The first byte says how the input is used and asked for; eight more say where it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The same rig as in the integration tests.
#[path = "../../tests/it/exchange/rig.rs"]
mod rig;

use rig::{Asking, check};

fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else { return };
    let Some((sizes, rest)) = rest.split_at_checked(8) else { return };
    let bit = |at: u8| first >> at & 1 == 1;
    let body = if bit(4) { vec![vec![b'a'; 3], Vec::new(), b"bc".to_vec()] } else { Vec::new() };
    let asking = Asking { to_head: bit(0), is_http10: bit(3), body };
    let begun: &[u8] = match first >> 1 & 3 {
        0 => b"",
        1 => b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n",
        2 => b"HTTP/1.1 200 OK\r\n",
        _ => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    };
    let text = [begun, rest].concat();
    let whole = check(&text, &[], bit(5), &asking);
    for sizes in [sizes, &[1]] {
        let pieces = check(&text, sizes, bit(5), &asking);
        assert_eq!(pieces.data, whole.data);
        assert_eq!((pieces.outcome.is_ok(), pieces.sent), (whole.outcome.is_ok(), whole.sent));
    }
});
