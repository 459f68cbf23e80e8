//! Answers that have begun and do not end. The client has their head already: it must see that the rest is missing.

use super::row::{Outcome, Row, impatient, patient, try_rows};
use crate::origin::Step::{Body, Close, Drip, Hang, Head, Reset, Say};

const INVALID: Outcome = Outcome::truncated("UPSTREAM_INVALID");
const TIMEOUT: Outcome = Outcome::truncated("UPSTREAM_TIMEOUT");
const LENGTH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n";
const TO_THE_END: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{";
const SLOW: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

#[tokio::test]
async fn an_answer_that_is_cut_off() {
    const ROWS: &[Row] = &[
        ("length, closes", &[Head, Body, Say(LENGTH), Close], INVALID),
        ("length, resets", &[Head, Body, Say(LENGTH), Drip("a"), Reset], INVALID),
        ("chunked, closes between chunks", &[Head, Body, Say(CHUNKED), Close], INVALID),
        ("chunked, closes within a chunk", &[Head, Body, Say(CHUNKED), Say("5\r\na"), Close], INVALID),
        ("chunked, closes within a size", &[Head, Body, Say(CHUNKED), Say("5"), Close], INVALID),
        ("chunked, closes in the last chunk", &[Head, Body, Say(CHUNKED), Say("0\r\n"), Close], INVALID),
        ("chunked, resets", &[Head, Body, Say(CHUNKED), Drip("5\r\n"), Reset], INVALID),
        ("to the end, resets", &[Head, Body, Say(TO_THE_END), Drip("a"), Reset], INVALID),
        ("bad chunk size", &[Head, Body, Say(CHUNKED), Say("xyz\r\nabc\r\n"), Hang], INVALID),
        (
            "chunk size beyond 64 bits",
            &[Head, Body, Say(CHUNKED), Say("fffffffffffffffff\r\na"), Hang],
            INVALID,
        ),
        ("negative chunk size", &[Head, Body, Say(CHUNKED), Say("-1\r\na"), Hang], INVALID),
        // Some readers read these as the same answer, and others do not.
        ("bare LF after a chunk size", &[Head, Body, Say(CHUNKED), Say("1\na\r\n0\r\n\r\n"), Hang], INVALID),
        ("bare LF after a chunk", &[Head, Body, Say(CHUNKED), Say("1\r\na\n0\r\n\r\n"), Hang], INVALID),
        ("blank after a chunk size", &[Head, Body, Say(CHUNKED), Say("1 \r\na\r\n0\r\n\r\n"), Hang], INVALID),
        ("chunk size of nothing", &[Head, Body, Say(CHUNKED), Say("\r\n\r\n"), Hang], INVALID),
        (
            "bare LF in an extension",
            &[Head, Body, Say(CHUNKED), Say("1;a\nb\r\na\r\n0\r\n\r\n"), Hang],
            INVALID,
        ),
        ("a trailer that is none", &[Head, Body, Say(CHUNKED), Say("0\r\nX : a\r\n\r\n"), Hang], INVALID),
        ("bare LF at the end of the chunks", &[Head, Body, Say(CHUNKED), Say("0\r\n\n"), Hang], INVALID),
        ("chunk without its end", &[Head, Body, Say(CHUNKED), Say("1\r\naXX1\r\n"), Hang], INVALID),
    ];
    try_rows("cut off", ROWS, patient()).await;
}

#[tokio::test]
async fn an_answer_that_stalls_or_drips() {
    const ROWS: &[Row] = &[
        ("length, stalls", &[Head, Body, Say(LENGTH), Hang], TIMEOUT),
        ("length, drips", &[Head, Body, Say(LENGTH), Drip(SLOW), Hang], TIMEOUT),
        ("chunked, stalls between chunks", &[Head, Body, Say(CHUNKED), Hang], TIMEOUT),
        ("chunked, stalls within a chunk", &[Head, Body, Say(CHUNKED), Say("5\r\na"), Hang], TIMEOUT),
        ("chunked, drips", &[Head, Body, Say(CHUNKED), Say("64\r\n"), Drip(SLOW), Hang], TIMEOUT),
        ("to the end, stalls", &[Head, Body, Say(TO_THE_END), Hang], TIMEOUT),
        ("to the end, drips", &[Head, Body, Say(TO_THE_END), Drip(SLOW), Hang], TIMEOUT),
    ];
    try_rows("stalls and drips", ROWS, impatient("2s")).await;
}
