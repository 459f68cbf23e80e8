use proptest::prelude::*;

use super::*;

/// The result for bytes that come at once, and whether the connection may be used again.
fn followed(text: &[u8], to_head: bool) -> (Result<usize, Broken>, bool) {
    let mut answer = ResponseTracker::new();
    let used = answer.advance(text, to_head);
    (used, answer.keeps_the_connection())
}

fn fault(text: &str) -> Option<AnswerFault> {
    followed(text.as_bytes(), false).0.err().map(|broken| broken.fault)
}

/// The same bytes in pieces: what was used of them or what is wrong, and what may be read of them.
fn in_pieces(
    text: &[u8],
    sizes: &[usize],
    to_head: bool,
) -> (Result<usize, AnswerFault>, Vec<u8>, ResponseTracker) {
    let mut answer = ResponseTracker::new();
    let (mut held, mut passed, mut used) = (Vec::new(), Vec::new(), 0);
    let mut rest = text;
    let mut sizes = sizes.iter().copied().chain(std::iter::repeat(usize::MAX));
    while !rest.is_empty() && !answer.is_done() {
        let (piece, after) = rest.split_at(sizes.next().unwrap().clamp(1, rest.len()));
        rest = after;
        match answer.advance(piece, to_head) {
            Ok(length) => {
                used += length;
                held.extend_from_slice(&piece[..length]);
                let rest = held.split_off(held.len() - answer.head_bytes());
                passed.append(&mut held);
                held = rest;
            }
            Err(Broken { good, fault }) => {
                if good > 0 {
                    passed.append(&mut held);
                    passed.extend_from_slice(&piece[..good]);
                }
                assert_eq!(answer.advance(b"HTTP", to_head).unwrap_err().fault, fault, "once and ever after");
                return (Err(fault), passed, answer);
            }
        }
    }
    (Ok(used), passed, answer)
}

#[test]
fn answers_that_can_be_read_in_one_way_pass() {
    for (text, to_head, used, kept) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", false, 40, true),
        ("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", false, 36, true),
        ("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false, 35, true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 299 Poison\r\n\r\n", false, 40, true),
        ("HTTP/1.1 200 OK\r\ncontent-length:2\r\nContent-Length: 2\r\n\r\n{}", false, 58, true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", true, 38, true),
        ("HTTP/1.1 204 No Content\r\n\r\nx", false, 27, true),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison", false, 48, true),
        ("HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n", false, 60, false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false, 38, false),
        ("HTTP/1.1 200 OK\r\n\r\nanything", false, 27, false),
        ("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 \r\n\r\n", false, 57, true),
        ("HTTP/1.1 200 \t\u{e9}\r\nX-A:\r\nX-B: \u{e9}\r\nContent-Length: 0\r\n\r\n", false, 54, true),
    ] {
        let (outcome, keeps) = followed(text.as_bytes(), to_head);
        assert_eq!((outcome, keeps), (Ok(used), kept), "{text:?}");
    }
}

#[test]
fn answers_that_a_library_repairs_do_not() {
    use AnswerFault::{Coding, Field, Length, LineEnd, NoBody, Status, StatusLine, Switched, TwoFramings};
    for (text, expected) in [
        ("HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", LineEnd),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\n\n", LineEnd),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n", LineEnd),
        ("HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n", LineEnd),
        ("HTTP/1.1 200 OK\r\nX: a\r\r\n\r\n", LineEnd),
        ("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", Field(FieldFault::Folded)),
        ("HTTP/1.1 200 OK\r\n X: a\r\n\r\n", Field(FieldFault::Folded)),
        ("HTTP/1.1 200 OK\r\nX : a\r\n\r\n", Field(FieldFault::Name)),
        ("HTTP/1.1 200 OK\r\n: a\r\n\r\n", Field(FieldFault::Name)),
        ("HTTP/1.1 200 OK\r\nX\r\n\r\n", Field(FieldFault::NoColon)),
        ("HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", Field(FieldFault::Value)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", TwoFramings),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n", TwoFramings),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", Length),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n{}", Length),
        ("HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}", Length),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\n{}", Length),
        ("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n{}", Length),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", Length),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Coding),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", Coding),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", Coding),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", Coding),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n", Coding),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Coding),
        ("HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", Coding),
        ("HTTP/1.1 103 E\r\nTransfer-Encoding: chunked\r\n\r\n", Coding),
        ("HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\n", NoBody),
        ("HTTP/1.1 103 E\r\nContent-Length: 2\r\n\r\n", NoBody),
        ("HTTP/1.1 101 Switching\r\n\r\n", Switched),
        ("HTTP/1.1 099 x\r\n\r\n", Status),
        ("HTTP/1.1 600 x\r\n\r\n", Status),
        ("HTTP/1.1 200x\r\n\r\n", StatusLine),
        ("HTTP/1.1 20\r\n\r\n", StatusLine),
        ("HTTP/1.1 20 OK\r\n\r\n", StatusLine),
        ("HTTP/1.1 2000 OK\r\n\r\n", StatusLine),
        ("HTTP/1.1  200 OK\r\n\r\n", StatusLine),
        ("HTTP/1.1\t200 OK\r\n\r\n", StatusLine),
        ("HTTP/1.2 200 OK\r\n\r\n", StatusLine),
        ("HTTP/2.0 200 OK\r\n\r\n", StatusLine),
        ("HTTP/0.9 200 OK\r\n\r\n", StatusLine),
        ("http/1.1 200 OK\r\n\r\n", StatusLine),
        (" HTTP/1.1 200 OK\r\n\r\n", StatusLine),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", StatusLine),
        ("\r\n", StatusLine),
        ("\nHTTP/1.1 200 OK\r\n\r\n", LineEnd),
        ("HTTP/1.1 200 O\0K\r\n\r\n", StatusLine),
        ("SSH-2.0-OpenSSH_9.9\r\n", StatusLine),
        ("\0\0\u{12}", StatusLine),
        ("HTTP/1.1 103 E\r\n\r\nHTTP/1.1 200 OK\r\nX : a\r\n\r\n", Field(FieldFault::Name)),
    ] {
        assert_eq!(fault(text), Some(expected), "{text:?}");
    }
}

/// A fault is reported at once: no later byte could remove it.
#[test]
fn a_fault_is_reported_before_the_head_is_whole() {
    for text in
        ["X", "HTTP/2", "HTTP/1.1 x", "HTTP/1.1 200 OK\n", "HTTP/1.1 200 OK\r\nX\0", "HTTP/1.1 200 OK\rX"]
    {
        assert!(fault(text).is_some(), "{text:?}");
    }
    for text in ["", "H", "HTTP/1.1 200 OK\r", "HTTP/1.1 200 OK\r\nX: a\r"] {
        assert_eq!(fault(text), None, "{text:?}");
    }
}

#[test]
fn a_head_has_bounds_before_it_is_whole() {
    let begun = "HTTP/1.1 200 OK\r\nX: ";
    let mut answer = ResponseTracker::new();
    answer.advance(begun.as_bytes(), false).unwrap();
    answer.advance("a".repeat(MAX_HEAD_BYTES - begun.len()).as_bytes(), false).unwrap();
    assert_eq!(answer.head_bytes(), MAX_HEAD_BYTES);
    assert_eq!(answer.advance(b"a", false), Err(Broken { good: 0, fault: AnswerFault::TooLarge }));

    let fields = |count: usize| format!("HTTP/1.1 204 No\r\n{}\r\n", "X: a\r\n".repeat(count));
    assert_eq!(fault(&fields(MAX_FIELDS)), None);
    assert_eq!(fault(&fields(MAX_FIELDS + 1)), Some(AnswerFault::TooLarge));
    let interim = |count: usize| format!("{}HTTP/1.1 204 No\r\n\r\n", "HTTP/1.1 103 E\r\n\r\n".repeat(count));
    assert_eq!(fault(&interim(MAX_INTERIM)), None);
    assert_eq!(fault(&interim(MAX_INTERIM + 1)), Some(AnswerFault::Interim));
}

#[test]
fn bytes_before_a_fault_may_be_read() {
    let text = b"HTTP/1.1 103 E\r\n\r\nHTTP/1.1 200 OK\nX";
    assert_eq!(followed(text, false).0, Err(Broken { good: 18, fault: AnswerFault::LineEnd }));
    let (outcome, passed, _) = in_pieces(text, &[20], false);
    assert_eq!((outcome, passed.len()), (Err(AnswerFault::LineEnd), 18));
}

#[test]
fn an_end_within_a_head_is_a_fault_and_any_other_is_not() {
    for (text, fault) in [
        ("", None),
        ("HTTP", Some(AnswerFault::Cut)),
        ("HTTP/1.1 200 OK\r\n", Some(AnswerFault::Cut)),
        ("HTTP/1.1 103 E\r\n\r\n", Some(AnswerFault::Cut)),
        ("HTTP/1.1 200 OK\r\n\r\n{", None),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{", None),
        ("HTTP/1.1 204 No\r\n\r\n", None),
    ] {
        let mut answer = ResponseTracker::new();
        answer.advance(text.as_bytes(), false).unwrap();
        assert_eq!(answer.end().err(), fault, "{text:?}");
    }
}

/// Bytes that are nearly an answer.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            "HTTP/1.1 200 OK\r\n", "HTTP/1.1 103 E\r\n", "HTTP/1.1 204 No\r\n", "HTTP/1.0 200 OK\r\n", "\r\n",
            "Content-Length: 5\r\n", "Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n", "X: y\r\n",
            "Connection: close\r\n", "5\r\nabcde\r\n", "0\r\n", "1;x=y\r\nz\r\n", "abcde",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        2 => prop::sample::select(vec!["\n", "\r", " ", ":", "HTTP/", "\t", "\0", "0", "X : y\r\n", "a: b\n"])
            .prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn an_answer_in_pieces_is_the_answer_whole(
        text in nearly(),
        sizes in prop::collection::vec(1_usize..40, 0..12),
        to_head in any::<bool>(),
    ) {
        let (whole, passed, answer) = in_pieces(&text, &[], to_head);
        for sizes in [sizes, vec![1; text.len()]] {
            let (pieces, passed_of_pieces, answer_of_pieces) = in_pieces(&text, &sizes, to_head);
            prop_assert_eq!(pieces, whole);
            prop_assert_eq!(&passed_of_pieces, &passed);
            prop_assert_eq!(answer_of_pieces.is_done(), answer.is_done());
            prop_assert_eq!(answer_of_pieces.keeps_the_connection(), answer.keeps_the_connection());
        }
    }
}

#[test]
fn a_chunked_answer_ends_with_its_last_chunk() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n";
    for (body, used, done) in [
        ("5\r\nabcde\r\n0\r\n\r\n", 15, true),
        ("5\r\nabcde\r\n0\r\n\r\nHTTP/1.1 299 Poison\r\n\r\n", 15, true),
        ("5;x=y\r\nabcde\r\n0\r\nX: y\r\n\r\n", 25, true),
        ("5\r\nabcde\r\n", 10, false),
    ] {
        let (outcome, keeps) = followed(format!("{HEAD}{body}").as_bytes(), false);
        assert_eq!((outcome, keeps), (Ok(HEAD.len() + used), done), "{body:?}");
    }
    for (body, good) in [
        ("5\nabcde\r\n0\r\n\r\n", 1),
        ("\r\nabcde\r\n", 0),
        ("5\r\nabcdeX\r\n", 8),
        ("5\r\nabcde\r\n-1\r\n", 10),
        ("5\r\nabcde\r\n0\r\n\n", 13),
        ("5 \r\nabcde\r\n", 2),
    ] {
        let text = format!("{HEAD}{body}");
        let broken = followed(text.as_bytes(), false).0.unwrap_err();
        assert!(matches!(broken.fault, AnswerFault::Chunks(_)), "{body:?}: {broken:?}");
        assert_eq!(broken.good, HEAD.len() + good, "{body:?}");
    }
}
