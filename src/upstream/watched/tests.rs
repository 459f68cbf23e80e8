use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::wire::UpstreamTransport;
use super::*;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

async fn pair() -> (UpstreamConnection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (ours, theirs) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    let (tcp, theirs) = (ours.unwrap(), theirs.unwrap().0);
    theirs.set_nodelay(true).unwrap();
    (UpstreamConnection::new(UpstreamTransport::Plain(tcp)), theirs)
}

fn kept() -> Arc<IdleConnections> {
    Arc::new(IdleConnections::new(Duration::from_secs(60)))
}

/// What Pingora does with a connection that it wants to keep: it looks whether more has come, and lets it go.
async fn release(mut watched: ExchangeStream) {
    assert_eq!(watched.read(&mut [0; 1]).await.unwrap(), 0, "to Pingora it has ended");
}

#[tokio::test]
async fn a_connection_is_kept_once_question_and_answer_are_over() {
    let kept = kept();
    let (connection, mut theirs) = pair().await;
    let mut watched = ExchangeStream::new(connection, Some(kept.clone()));
    for round in 0..3 {
        watched.write_all(REQUEST).await.unwrap();
        theirs.read_exact(&mut [0; REQUEST.len()]).await.unwrap();
        theirs.write_all(ANSWER).await.unwrap();
        let mut read = [0; ANSWER.len()];
        watched.read_exact(&mut read).await.unwrap();
        assert_eq!(read, ANSWER);
        release(watched).await;
        let connection = kept.take().unwrap_or_else(|| panic!("round {round}"));
        watched = ExchangeStream::new(connection, Some(kept.clone()));
    }
}

#[tokio::test]
async fn a_connection_is_not_kept_where_anything_is_open_on_it() {
    let half: &[u8] = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{";
    let poison = [ANSWER, b"HTTP/1.1 299 Poison\r\n\r\n"].concat();
    let closing: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let old: &[u8] = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n";
    for (what, request, answer) in [
        ("the request is not all out", half, ANSWER),
        ("more than the answer came", REQUEST, &poison),
        ("the backend says that it closes", REQUEST, closing),
        ("HTTP/1.0", REQUEST, old),
    ] {
        let kept = kept();
        let (connection, mut theirs) = pair().await;
        let mut watched = ExchangeStream::new(connection, Some(kept.clone()));
        watched.write_all(request).await.unwrap();
        theirs.write_all(answer).await.unwrap();
        let mut read = Vec::new();
        watched.read_to_end(&mut read).await.unwrap();
        assert!(answer.starts_with(&read) && !read.is_empty(), "{what}");
        drop(watched);
        assert!(kept.take().is_none(), "{what}");
        let rest = theirs.read_to_end(&mut Vec::new()).await;
        assert!(rest.is_ok() || what.starts_with("more"), "{what}: {rest:?}");
    }
    // Pingora let it go without a look at it, as it does where an exchange has failed; or it closed it.
    for closes in [false, true] {
        let kept = kept();
        let (connection, mut theirs) = pair().await;
        let mut watched = ExchangeStream::new(connection, Some(kept.clone()));
        watched.write_all(REQUEST).await.unwrap();
        theirs.write_all(ANSWER).await.unwrap();
        watched.read_exact(&mut [0; ANSWER.len()]).await.unwrap();
        if closes {
            watched.shutdown().await.unwrap();
            release(watched).await;
        } else {
            drop(watched);
        }
        assert!(kept.take().is_none());
    }
}

#[tokio::test]
async fn bytes_or_an_end_while_idle_end_a_kept_connection() {
    for closes in [false, true] {
        let kept = kept();
        let (connection, mut theirs) = pair().await;
        kept.put(connection);
        if closes {
            drop(theirs);
        } else {
            theirs.write_all(b"H").await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(kept.take().is_none());
    }
    let short = Arc::new(IdleConnections::new(Duration::from_millis(20)));
    let (connection, mut theirs) = pair().await;
    short.put(connection);
    // Without anything being asked for.
    let end = tokio::time::timeout(Duration::from_secs(10), theirs.read(&mut [0; 1])).await;
    assert_eq!(end.expect("closed in time").unwrap(), 0);
    assert!(short.take().is_none());
}

/// In whatever pieces it comes, a head is given out whole, and nothing of a wrong one is.
#[tokio::test]
async fn a_head_is_given_out_whole_or_not_at_all() {
    let early: &[u8] = b"HTTP/1.1 103 Early\r\n\r\n";
    let bad: &[u8] = b"HTTP/1.1 200 OK\r\nX : a\r\n\r\n";
    for (first, second) in [(&b""[..], ANSWER), (early, ANSWER), (b"", bad), (early, bad)] {
        let bytes = [first, second].concat();
        for split in 1..bytes.len() {
            let (connection, mut theirs) = pair().await;
            let mut watched = ExchangeStream::new(connection, None);
            watched.write_all(REQUEST).await.unwrap();
            let (begin, end) = bytes.split_at(split);
            let writing = async {
                theirs.write_all(begin).await.unwrap();
                tokio::task::yield_now().await;
                theirs.write_all(end).await.unwrap();
            };
            let reading = async {
                let mut read = Vec::new();
                // Some reads are small.
                let outcome = loop {
                    let mut piece = [0; 30];
                    match watched.read(&mut piece).await {
                        Ok(0) => break None,
                        Ok(length) => read.extend_from_slice(&piece[..length]),
                        Err(error) => break Some(error),
                    }
                };
                (read, outcome)
            };
            let ((), (read, outcome)) = tokio::join!(writing, reading);
            if second == bad {
                assert_eq!(read, first, "{split}");
                let error = outcome.unwrap();
                assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                assert!(matches!(answer_fault(&error), Some(AnswerFault::Field(_))), "{split}: {error}");
            } else {
                assert_eq!((read, outcome.map(|error| error.to_string())), (bytes.clone(), None), "{split}");
            }
        }
    }
}

#[tokio::test]
async fn an_answer_before_its_request_is_none() {
    let (connection, mut theirs) = pair().await;
    let mut watched = ExchangeStream::new(connection, None);
    watched.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    theirs.write_all(ANSWER).await.unwrap();
    let error = watched.read(&mut [0; 100]).await.unwrap_err();
    assert_eq!(answer_fault(&error), Some(AnswerFault::Unasked));
}

#[tokio::test]
async fn an_answer_to_head_has_no_body_whatever_it_says() {
    let kept = kept();
    let (connection, mut theirs) = pair().await;
    let mut watched = ExchangeStream::new(connection, Some(kept.clone()));
    watched.write_all(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let head = ANSWER.strip_suffix(b"{}").unwrap();
    theirs.write_all(head).await.unwrap();
    let mut read = Vec::new();
    watched.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, head);
    drop(watched);
    assert!(kept.take().is_some());
}

/// Part of a head is not an answer, and not a reason to send the request again.
#[tokio::test]
async fn an_end_within_a_head_is_a_fault_and_one_before_it_is_not() {
    for (text, fault) in [(&b""[..], None), (b"HTTP/1.1 2", Some(AnswerFault::Cut))] {
        let (connection, mut theirs) = pair().await;
        let mut watched = ExchangeStream::new(connection, None);
        watched.write_all(REQUEST).await.unwrap();
        theirs.read_exact(&mut [0; REQUEST.len()]).await.unwrap();
        theirs.write_all(text).await.unwrap();
        drop(theirs);
        let end = watched.read(&mut [0; 100]).await;
        assert_eq!(end.as_ref().err().and_then(answer_fault), fault);
        assert_eq!(end.is_ok(), fault.is_none());
    }
}

/// A bug that was fixed: a 408 that a server sends as it closes an idle connection became the next client's answer.
#[tokio::test]
async fn bytes_before_a_request_leaves_on_a_kept_connection_are_not_its_answer() {
    let kept = kept();
    let (connection, mut theirs) = pair().await;
    let mut watched = ExchangeStream::new(connection, Some(kept.clone()));
    watched.write_all(REQUEST).await.unwrap();
    theirs.read_exact(&mut [0; REQUEST.len()]).await.unwrap();
    theirs.write_all(ANSWER).await.unwrap();
    watched.read_exact(&mut [0; ANSWER.len()]).await.unwrap();
    release(watched).await;
    let mut watched = ExchangeStream::new(kept.take().unwrap(), Some(kept.clone()));
    // Between the look at the connection and the request.
    theirs.write_all(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let written = watched.write_all(REQUEST).await;
    assert_eq!(written.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    drop(watched);
    assert_eq!(theirs.read(&mut [0; 1]).await.unwrap_or_default(), 0, "no byte of the request has left");
    assert!(kept.take().is_none());
}
