//! The exchange with an HTTP/1 backend, in memory: whatever a backend sends, in whatever pieces, the client gets what a second
//! reader reads in it, whole or visibly broken off. The fuzz target `exchange` does the same without end.

mod rig;

use proptest::prelude::*;

use self::rig::{Asking, Carried, check};

/// Parts of answers, good and bad.
const PARTS: &[&str] = &[
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 200\r\n",
    "HTTP/1.0 200 OK\r\n",
    "HTTP/1.1 204 No Content\r\n",
    "HTTP/1.1 304 Not Modified\r\n",
    "HTTP/1.1 404 Not Found\r\n",
    "HTTP/1.1 101 Switching Protocols\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 2\r\n",
    "content-length: 02\r\n",
    "Content-Length: 9\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive, X-A, content-length\r\n",
    "X-A: b\r\n",
    "X-A : b\r\n",
    " folded\r\n",
    "\r\n",
    "\n",
    "{}",
    "2\r\n{}\r\n",
    "1;a=\"b\"\r\n{\r\n",
    "0\r\n\r\n",
    "0\r\nX-T: a\r\n\r\n",
    "0\r\nX : a\r\n\r\n",
    "ffffffffffffffff\r\n",
    "HTTP/1.1 299 Poison\r\nContent-Length: 6\r\n\r\npoison",
];

fn answers() -> impl Strategy<Value = Vec<u8>> {
    let parts = prop::collection::vec(prop::sample::select(PARTS), 0..12);
    let changed = prop::option::of((any::<prop::sample::Index>(), any::<u8>()));
    (parts, changed).prop_map(|(parts, changed)| {
        let mut text = parts.concat().into_bytes();
        if let (Some((at, byte)), false) = (changed, text.is_empty()) {
            let at = at.index(text.len());
            text[at] = byte;
        }
        text
    })
}

fn askings() -> impl Strategy<Value = Asking> {
    let body = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5), 0..4);
    (any::<bool>(), any::<bool>(), body).prop_map(|(to_head, is_http10, body)| Asking {
        to_head,
        is_http10,
        body,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn what_a_client_gets_is_what_the_backend_has_sent(
        text in answers(),
        sizes in prop::collection::vec(0_u8..20, 1..4),
        breaks: bool,
        asking in askings(),
    ) {
        let whole = check(&text, &[], breaks, &asking);
        for sizes in [&sizes[..], &[1]] {
            let pieces = check(&text, sizes, breaks, &asking);
            prop_assert_eq!(&pieces.data, &whole.data);
            prop_assert_eq!(pieces.outcome.is_ok(), whole.outcome.is_ok());
            prop_assert_eq!(pieces.sent, whole.sent);
        }
    }
}

/// What a client of HTTP/1.1 gets of an answer.
fn passed(text: &str) -> (String, Carried) {
    let carried = check(text.as_bytes(), &[], false, &Asking::default());
    (String::from_utf8(carried.got.clone()).unwrap(), carried)
}

#[test]
fn an_answer_has_the_gates_framing_and_not_the_backends() {
    for (text, client, is_kept) in [
        (
            "HTTP/1.1 200 Fine\r\nX-A: a\r\nContent-Length: 2\r\n\r\n{}",
            "HTTP/1.1 200 Fine\r\nX-A: a\r\nContent-Length: 2\r\nDate: now\r\nConnection: keep-alive\r\n\r\n{}",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\n{\r\n1\r\n}\r\n0\r\nX-T: a\r\n\r\n",
            "HTTP/1.1 200 OK\r\nDate: now\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
            true,
        ),
        (
            "HTTP/1.0 200 OK\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\nDate: now\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            false,
        ),
        (
            "HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 204\r\nConnection: X-Hop\r\nX-Hop: a\r\n\r\n",
            "HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 204 \r\nDate: now\r\nConnection: keep-alive\r\n\r\n",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: now\r\nConnection: keep-alive\r\n\r\n{}",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 299 Poison\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: now\r\nConnection: keep-alive\r\n\r\n{}",
            false,
        ),
    ] {
        let (got, carried) = passed(text);
        assert_eq!((got.as_str(), carried.kept.is_some()), (client, is_kept), "{text:?}");
        assert!(carried.outcome.is_ok() && carried.goes_on, "{text:?}");
    }
}

/// What came before the fault is passed on, even where it came in the same bytes.
#[test]
fn an_answer_that_turns_bad_is_broken_off_where_it_does() {
    for (text, data) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", "{}"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nx", "{}"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", "{}"),
    ] {
        let (got, carried) = passed(text);
        assert!(got.starts_with("HTTP/1.1 200 OK\r\n") && !got.ends_with("0\r\n\r\n"), "{got:?}");
        assert!(carried.outcome.is_err() && carried.kept.is_none(), "{text:?}");
        assert_eq!(carried.data, data.as_bytes(), "{text:?}");
    }
    for text in ["", "HTTP/1.1 200 OK\r\nX : a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-"] {
        let (got, carried) = passed(text);
        assert_eq!((got.as_str(), carried.outcome.is_err()), ("", true), "{text:?}");
    }
}

#[test]
fn an_answer_without_a_length_ends_the_connection_of_a_client_of_http10() {
    let asking = Asking { is_http10: true, ..Asking::default() };
    for (text, goes_on) in [
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\n\r\n{}", false),
        ("HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", true),
    ] {
        let carried = check(text.as_bytes(), &[], false, &asking);
        let got = String::from_utf8(carried.got).unwrap();
        assert!(got.starts_with("HTTP/1.1 200 OK\r\n") && got.ends_with("\r\n\r\n{}"), "{got:?}");
        assert_eq!(carried.goes_on, goes_on, "{got:?}");
    }
}

#[test]
fn a_body_that_is_passed_on_leaves_in_chunks_of_the_gate() {
    let asking = Asking { body: vec![b"ab".to_vec(), Vec::new(), b"c".to_vec()], ..Asking::default() };
    let carried = check(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", &[], false, &asking);
    let asked = String::from_utf8(carried.kept.unwrap().asked).unwrap();
    assert_eq!(asked.split_once("\r\n\r\n").unwrap().1, "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n");
}
