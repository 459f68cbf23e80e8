use std::task::Waker;

use tokio::io::{DuplexStream, duplex};

use super::*;
use crate::http::answer::AnswerHead;

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nhost: a\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

/// Keeps what it is given.
#[derive(Default)]
struct Told {
    statuses: Vec<u16>,
    data: Vec<u8>,
    ends: usize,
}

impl AnswerSink for Told {
    fn head(&mut self, head: &AnswerHead<'_>) {
        self.statuses.push(head.status);
    }

    fn data(&mut self, bytes: &[u8]) {
        self.data.extend_from_slice(bytes);
    }

    fn end(&mut self) {
        self.ends += 1;
    }
}

/// An exchange over a connection with room for so many bytes, and the backend's end of it.
fn exchange(room: usize, is_secured: bool) -> (BackendExchange<DuplexStream>, DuplexStream) {
    let (ours, theirs) = duplex(room);
    (BackendExchange::new(ours, is_secured, BytesMut::from(HEAD), false, false), theirs)
}

fn send(exchange: &mut BackendExchange<DuplexStream>) -> Poll<Result<(), BackendFailure>> {
    exchange.poll_send(&mut Context::from_waker(Waker::noop()))
}

fn read(exchange: &mut BackendExchange<DuplexStream>, told: &mut Told) -> Poll<Result<(), BackendFailure>> {
    exchange.poll_answer(&mut Context::from_waker(Waker::noop()), told)
}

#[test]
fn a_request_is_unsent_until_its_head_is_out() {
    for (room, is_unsent) in [(HEAD.len() - 1, true), (HEAD.len(), false), (1024, false)] {
        let (mut exchange, theirs) = exchange(room, false);
        exchange.send_held(Bytes::from_static(b"{}"));
        assert_eq!(send(&mut exchange).is_ready(), room == 1024, "{room}");
        drop(theirs);
        assert!(room == 1024 || matches!(send(&mut exchange), Poll::Ready(Err(BackendFailure::Write(_)))));
        assert_eq!(exchange.is_unsent(), is_unsent, "{room}");
        assert!(exchange.release().is_none(), "{room}");
    }
}

/// A part of a TLS record is nothing to the backend; of several, the first may have arrived.
#[test]
fn a_request_over_tls_is_unsent_while_its_only_record_is_not_out() {
    for (body, is_unsent) in [(2, true), (20_000, false)] {
        let (mut exchange, theirs) = exchange(HEAD.len() + 1, true);
        exchange.send_held(vec![b'a'; body].into());
        assert!(send(&mut exchange).is_pending());
        drop(theirs);
        assert!(send(&mut exchange).is_ready());
        assert_eq!(exchange.is_unsent(), is_unsent, "{body}");
    }
}

#[tokio::test]
async fn an_answer_before_its_request_is_none() {
    let (mut exchange, mut theirs) = exchange(HEAD.len() - 1, false);
    exchange.send_held(Bytes::new());
    assert!(send(&mut exchange).is_pending());
    tokio::io::AsyncWriteExt::write_all(&mut theirs, b"HTTP/1.1 2").await.unwrap();
    let outcome = read(&mut exchange, &mut Told::default());
    assert!(matches!(outcome, Poll::Ready(Err(BackendFailure::Answer(AnswerFault::Unasked)))), "{outcome:?}");
    assert!(exchange.is_unsent());
}

#[tokio::test]
async fn a_connection_is_given_back_only_where_nothing_is_left_on_it() {
    let closing: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let poison = [ANSWER, b"HTTP"].concat();
    for (what, sends_all, answer, is_clean) in [
        ("over", true, ANSWER, true),
        ("the request is not all out", false, ANSWER, false),
        ("more than the answer came", true, &poison[..], false),
        ("the backend says that it closes", true, closing, false),
    ] {
        let (mut exchange, mut theirs) = exchange(1024, false);
        if sends_all {
            exchange.send_held(Bytes::new());
        }
        assert!(send(&mut exchange).is_ready());
        tokio::io::AsyncWriteExt::write_all(&mut theirs, answer).await.unwrap();
        let mut told = Told::default();
        assert!(matches!(read(&mut exchange, &mut told), Poll::Ready(Ok(()))), "{what}");
        assert_eq!((&told.statuses[..], told.ends), (&[200][..], 1), "{what}");
        assert_eq!(exchange.release().is_some(), is_clean, "{what}");
    }
}

/// Part of a head is not an answer, and not a reason to send the request again.
#[tokio::test]
async fn an_end_within_a_head_is_a_fault_and_one_before_it_is_not() {
    for (text, is_fault) in [(&b""[..], false), (b"HTTP/1.1 2", true)] {
        let (mut exchange, mut theirs) = exchange(1024, false);
        exchange.send_held(Bytes::new());
        assert!(send(&mut exchange).is_ready());
        tokio::io::AsyncWriteExt::write_all(&mut theirs, text).await.unwrap();
        drop(theirs);
        let mut told = Told::default();
        let outcome = loop {
            match read(&mut exchange, &mut told) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(failure)) => break failure,
                Poll::Pending => panic!("an end"),
            }
        };
        assert_eq!(matches!(outcome, BackendFailure::Answer(AnswerFault::Cut)), is_fault, "{outcome}");
        assert!(told.statuses.is_empty());
    }
}
