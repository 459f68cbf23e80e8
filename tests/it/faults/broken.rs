//! Answers that are not HTTP, or that two readers could read differently. None of their bytes reaches a client.

use super::row::{Outcome, Row, patient, try_rows};
use crate::origin::Step::{self, Body, Close, Hang, Head, Say};

const INVALID: Outcome = Outcome::error(502, "UPSTREAM_INVALID", 1);

const ROWS: &[(&str, &str)] = &[
    ("no HTTP", "SSH-2.0-OpenSSH_9.9\r\n\r\n"),
    ("HTTP/2 unasked", "\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64"),
    ("HTTP/2.0 in the status line", "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
    ("no status", "HTTP/1.1 OK\r\nContent-Length: 2\r\n\r\n{}"),
    ("status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\n{}"),
    ("status 099", "HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\n{}"),
    ("status 600", "HTTP/1.1 600 OK\r\nContent-Length: 2\r\n\r\n{}"),
    ("no space between status and phrase", "HTTP/1.1 200OK\r\nContent-Length: 2\r\n\r\n{}"),
    ("two spaces before the status", "HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\n{}"),
    ("a tab before the status", "HTTP/1.1\t200 OK\r\nContent-Length: 2\r\n\r\n{}"),
    ("an empty line first", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
    ("a byte before the answer", "xHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
    ("HTTP/1.2", "HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
    ("status 101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    ("field without a colon", "HTTP/1.1 200 OK\r\nContent-Length 2\r\n\r\n{}"),
    ("field without a name", "HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 2\r\n\r\n{}"),
    ("space in a field's name", "HTTP/1.1 200 OK\r\nContent Length: 2\r\n\r\n{}"),
    ("NUL in a field", "HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 2\r\n\r\n{}"),
    ("bare CR in a field", "HTTP/1.1 200 OK\r\nX-A: a\rb\r\nContent-Length: 2\r\n\r\n{}"),
    ("a folded field", "HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\nContent-Length: 2\r\n\r\n{}"),
    ("a folded first field", "HTTP/1.1 200 OK\r\n X-A: a\r\nContent-Length: 2\r\n\r\n{}"),
    ("a space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n{}"),
    ("a tab before the colon", "HTTP/1.1 200 OK\r\nX-A\t: a\r\nContent-Length: 2\r\n\r\n{}"),
    ("bare LF after the status line", "HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\n{}"),
    ("bare LF after a field", "HTTP/1.1 200 OK\r\nX-A: a\nContent-Length: 2\r\n\r\n{}"),
    ("bare LF at the end of the head", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\n{}"),
    ("bare LF throughout", "HTTP/1.1 200 OK\nContent-Length: 2\n\n{}"),
    ("DEL in a field", "HTTP/1.1 200 OK\r\nX-A: a\x7fb\r\nContent-Length: 2\r\n\r\n{}"),
    (
        "bare LF in an interim answer",
        "HTTP/1.1 103 Early Hints\nLink: </a>\n\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    ),
    (
        "length and chunked",
        "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ),
    (
        "chunked and length",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 12\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ),
    ("a length with a sign", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}"),
    ("a length of nothing", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n{}"),
    ("the same length twice in one field", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n{}"),
    ("a coding of nothing", "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n"),
    ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
    ("two lengths in one field", "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n{}"),
    ("length that is none", "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n{}"),
    ("negative length", "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}"),
    ("length beyond 64 bits", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}"),
    ("coding other than chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("coding that is none", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n{}"),
    (
        "chunked twice",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n{}"),
    ("204 chunked", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
];

fn played(text: &'static str) -> &'static [Step] {
    // The end of the connection must not be part of the fault: the gate decides before it.
    Vec::leak(vec![Head, Body, Say(text), Hang])
}

#[tokio::test]
async fn an_answer_that_is_not_http() {
    let rows: Vec<Row> = ROWS.iter().map(|(fault, text)| (*fault, played(text), INVALID)).collect();
    try_rows("no HTTP", &rows, patient()).await;
}

#[tokio::test]
async fn an_answer_whose_head_is_too_large() {
    let fields = |count: usize| {
        let fields: String = (0..count).map(|number| format!("X-{number}: a\r\n")).collect();
        &*format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\n{{}}").leak()
    };
    let line = |length: usize| {
        &*format!("HTTP/1.1 200 OK\r\nX-A: {}\r\nContent-Length: 2\r\n\r\n{{}}", "a".repeat(length)).leak()
    };
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let flood = |count: usize| {
        &*format!("{}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{{}}", interim.repeat(count)).leak()
    };
    let endless = &*"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(10_000).leak();
    let rows: Vec<Row> = vec![
        ("200 fields", Vec::leak(vec![Head, Body, Say(fields(199)), Close]), Outcome::whole(200)),
        ("201 fields", played(fields(200)), INVALID),
        ("300 fields", played(fields(299)), INVALID),
        ("a line of 60 KiB", Vec::leak(vec![Head, Body, Say(line(60 * 1024)), Close]), Outcome::whole(200)),
        ("a line of 70 KiB", played(line(70 * 1024)), INVALID),
        ("a line of 2 MiB", played(line(2 << 20)), INVALID),
        ("16 interim answers", Vec::leak(vec![Head, Body, Say(flood(16)), Close]), Outcome::whole(200)),
        ("17 interim answers", played(flood(17)), INVALID),
        ("10,000 interim answers", played(endless), INVALID),
    ];
    try_rows("no measure", &rows, patient()).await;
}
