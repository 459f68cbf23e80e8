//! Answers: reading them in pieces gives the same result as reading them whole, and an independent reader agrees on
//! those that pass.
//!
//! The first byte says whether the request was HEAD and how the input is used; eight more say where it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use opgate::http::answer::{ResponseTracker, AnswerFault, Broken};

/// The number of bytes used, or the fault; and the bytes that may be passed on.
fn followed(text: &[u8], sizes: &[u8], to_head: bool) -> (Result<usize, AnswerFault>, Vec<u8>, bool) {
    let mut answer = ResponseTracker::new();
    let (mut held, mut passed, mut used) = (Vec::new(), Vec::new(), 0);
    let mut rest = text;
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() && !answer.is_done() {
        let size = sizes.next().map_or(usize::MAX, |size| usize::from(*size));
        let (piece, after) = rest.split_at(size.clamp(1, rest.len()));
        rest = after;
        match answer.advance(piece, to_head) {
            Ok(length) => {
                used += length;
                held.extend_from_slice(&piece[..length]);
                let begun = held.split_off(held.len() - answer.head_bytes());
                passed.append(&mut held);
                held = begun;
            }
            Err(Broken { good, fault }) => {
                if good > 0 {
                    passed.append(&mut held);
                    passed.extend_from_slice(&piece[..good]);
                }
                return (Err(fault), passed, false);
            }
        }
    }
    (Ok(used), passed, answer.keeps_the_connection())
}

/// Reads heads with httparse, and gives the end of the answer: `None` if its length does not tell.
fn end_of(passed: &[u8], to_head: bool) -> Option<usize> {
    let mut at = 0;
    loop {
        let mut space = [httparse::EMPTY_HEADER; 256];
        let mut head = httparse::Response::new(&mut space);
        let Ok(httparse::Status::Complete(length)) = head.parse(&passed[at..]) else {
            assert_eq!(at, passed.len(), "part of a head was given out");
            return None;
        };
        at += length;
        let text = &passed[at - length..at];
        assert!(text.windows(2).all(|pair| (pair[1] == b'\n') == (pair[0] == b'\r')), "a bare CR or LF");
        let status = head.code.expect("a whole head has a status");
        let values = |name: &str| -> Vec<&[u8]> {
            let fields = head.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
            fields.map(|field| field.value).collect()
        };
        let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
        assert!(lengths.is_empty() || codings.is_empty(), "two framings");
        if status < 200 {
            continue;
        }
        if to_head || status == 204 || status == 304 {
            return Some(at);
        }
        let length = lengths.first()?;
        return Some(at + std::str::from_utf8(length).unwrap().parse::<usize>().unwrap());
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else { return };
    let Some((sizes, rest)) = rest.split_at_checked(8) else { return };
    let to_head = first & 1 == 1;
    let begun: &[u8] = match first >> 1 & 3 {
        0 => b"",
        1 => b"HTTP/1.1 ",
        2 => b"HTTP/1.1 200 OK\r\n",
        _ => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    };
    let text = [begun, rest].concat();
    let whole = followed(&text, &[], to_head);
    assert_eq!(followed(&text, sizes, to_head), whole);
    assert_eq!(followed(&text, &[1], to_head), whole);
    let (outcome, passed, keeps) = whole;
    assert!(text.starts_with(&passed));
    let end = end_of(&passed, to_head);
    if let (Ok(used), Some(end)) = (outcome, end) {
        assert_eq!(used, end.min(text.len()), "another end");
        assert!(!keeps || used == end);
    }
});
