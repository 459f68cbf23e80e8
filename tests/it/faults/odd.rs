//! Answers that are odd and still valid. The bytes that they leave on a connection never reach another client.

use super::row::{Outcome, Row, patient, try_rows};
use crate::origin::Step::{Body, Close, Hang, Head, Say};

/// The bytes left behind: an answer without a request.
const POISON: &str = "HTTP/1.1 299 Poison\r\nContent-Length: 6\r\n\r\npoison";

#[tokio::test]
async fn an_odd_answer_that_is_valid() {
    const WHOLE: Outcome = Outcome::whole(200);
    const ROWS: &[Row] = &[
        (
            "100 first",
            &[
                Head,
                Body,
                Say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
                Close,
            ],
            WHOLE,
        ),
        (
            "102 and 103 first",
            &[
                Head,
                Body,
                Say("HTTP/1.1 102 Processing\r\n\r\n"),
                Say(
                    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
                ),
                Close,
            ],
            WHOLE,
        ),
        ("HTTP/1.0", &[Head, Body, Say("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}"), Hang], WHOLE),
        ("without a length", &[Head, Body, Say("HTTP/1.1 200 OK\r\n\r\n{}"), Close], WHOLE),
        (
            "the same length twice",
            &[Head, Body, Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}"), Close],
            WHOLE,
        ),
    ];
    try_rows("odd", ROWS, patient()).await;
}

/// The backend keeps each connection open: if the next request uses a new one, the gate closed the old one.
#[tokio::test]
async fn bytes_after_an_answer_reach_no_client() {
    const ROWS: &[Row] = &[
        (
            "another answer with it",
            &[
                Head,
                Body,
                Say(
                    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 299 Poison\r\nContent-Length: 6\r\n\r\npoison",
                ),
                Hang,
            ],
            Outcome::whole(200),
        ),
        (
            "another answer after a chunked one",
            &[
                Head,
                Body,
                Say(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nHTTP/1.1 299 Poison\r\n\r\n",
                ),
                Hang,
            ],
            Outcome::whole(200),
        ),
        (
            "204 with a body",
            &[Head, Body, Say("HTTP/1.1 204 No Content\r\n\r\n"), Say(POISON), Hang],
            Outcome::whole(204),
        ),
        (
            "304 with a body",
            &[
                Head,
                Body,
                Say("HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison"),
                Say(POISON),
                Hang,
            ],
            Outcome::whole(304),
        ),
        (
            "more than its length",
            &[Head, Body, Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}poison"), Hang],
            Outcome::whole(200),
        ),
    ];
    try_rows("left behind", ROWS, patient()).await;
}
