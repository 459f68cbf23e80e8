//! Chunked bodies that are streamed to the backend: nothing leaves before the first chunk is known to be good, and a
//! body that turns out to be malformed is never ended towards the backend.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{apart, assert_not_chunked, head};
use crate::connection::Connection;
use crate::harness::{Setup, reason};
use crate::open_gate::{ANYTHING, OpenGate};

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_streamed_requests_head_leaves_after_the_first_good_chunk() {
    let open = OpenGate::start();
    for expect in ["", "Expect: 100-continue\r\n"] {
        let (seen, whole) = (open.backend.bytes(), open.backend.bodies().len());
        let mut connection = Connection::open(open.gate.address).await;
        connection.send(head(ANYTHING, "/o1").replace("\r\n\r\n", &format!("\r\n{expect}\r\n"))).await;
        if !expect.is_empty() {
            assert_eq!(connection.status().await, Some(100));
        }
        for piece in ["5", ";a=b\r\n", "hel", "lo", "\r"] {
            connection.send(piece).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(open.backend.bytes(), seen, "after {piece:?}");
        }
        connection.send("\n").await;
        until("the head has left", || open.backend.bytes() > seen).await;
        assert_eq!(open.backend.bodies().len(), whole, "the body continues");
        connection.send("6\r\n, you!\r\n0\r\n\r\n").await;
        assert_eq!(connection.status().await, Some(200));
        assert_eq!(open.backend.bodies().last().unwrap(), &("/o1".to_owned(), b"hello, you!".to_vec()));
    }
}

/// The part that the gate holds is enough to show that it is a chunk.
#[tokio::test]
async fn a_first_chunk_that_is_longer_than_what_is_held_is_passed_on() {
    let open = OpenGate::start();
    let data: Vec<u8> = (0..300_000_u32).map(|at| b'a' + u8::try_from(at % 26).unwrap()).collect();
    let mut connection = Connection::open(open.gate.address).await;
    connection.send(format!("{}{:x}\r\n", head(ANYTHING, "/o1"), data.len())).await;
    connection.send(&data[..200_000]).await;
    until("the head has left", || open.backend.bytes() > 100_000).await;
    assert_eq!(open.backend.bodies(), []);
    connection.send(&data[200_000..]).await;
    connection.send("\r\n0\r\n\r\n").await;
    assert_eq!(connection.status().await, Some(200));
    assert_eq!(open.backend.bodies(), [("/o1".to_owned(), data)]);
}

#[tokio::test]
async fn a_first_chunk_that_does_not_come_is_given_up() {
    let set = vec!["limits.body_timeout=1s".into()];
    let open = OpenGate::start_with(Setup { set, ..Setup::default() });
    for body in ["", "5", "5\r\nhel"] {
        let mut connection = Connection::open(open.gate.address).await;
        connection.send(format!("{}{body}", head(ANYTHING, "/o1"))).await;
        let answer = connection.answer().await.unwrap();
        assert_eq!((answer.status, reason(&answer).as_str()), (408, "REQUEST_BODY_TIMEOUT"), "{body:?}");
        assert_eq!(connection.rest().await, b"", "{body:?}");
    }
    let mut trickling = Connection::open(open.gate.address).await;
    trickling.send(format!("{}ffff\r\n", head(ANYTHING, "/o1"))).await;
    let answer = loop {
        tokio::select! {
            answer = trickling.answer() => break answer.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
        }
        trickling.try_send("x").await;
    };
    assert_eq!((answer.status, reason(&answer).as_str()), (408, "REQUEST_BODY_TIMEOUT"));
    assert_eq!(open.backend.bytes(), 0);
    assert_eq!(open.gate.audit(4).len(), 4);
}

/// Malformed continuations of a body after its first chunk.
const LATER: [&str; 10] = [
    "\r\n\r\n",
    ";x\r\n\r\n",
    "2;\na=b\r\n{}\r\n0\r\n\r\n",
    "2;a\0b\r\n{}\r\n0\r\n\r\n",
    "2 \r\n{}\r\n0\r\n\r\n",
    "0\r\nX y\r\n\r\n",
    "0\r\n X: y\r\n\r\n",
    "0\r\nGET /evil HTTP/1.1\r\n\r\n",
    "0\r\nContent-Length: 5\r\n\r\n",
    "0\r\n\n",
];

#[tokio::test]
async fn a_streamed_body_that_turns_bad_is_never_ended_towards_the_backend() {
    let open = OpenGate::start();
    let mut sent = 0;
    for later in LATER {
        for cut in 0..later.len() {
            let seen = open.backend.bytes();
            let row = format!("{:?} | {:?}", &later[..cut], &later[cut..]);
            let mut connection = Connection::open(open.gate.address).await;
            connection.send(format!("{}5\r\nhello\r\n", head(ANYTHING, "/o1"))).await;
            until("the head has left", || open.backend.bytes() > seen).await;
            connection.send(&later[..cut]).await;
            apart().await;
            connection.try_send(&later[cut..]).await;
            connection.try_send(head(ANYTHING, "/o2") + "0\r\n\r\n").await;
            let answer = connection.answer().await.unwrap_or_else(|| panic!("{row}: no answer"));
            assert_not_chunked(&answer, &row);
            connection.finish_if_open().await;
            assert_eq!(connection.rest().await, b"", "{row}");
            sent += 1;
        }
    }
    assert_eq!(open.backend.bodies(), []);
    let audit = open.gate.audit(sent);
    assert_eq!(audit.len(), sent, "one line each");
    assert!(audit.iter().all(|line| line["protoPayload"]["metadata"]["reason"] == "REQUEST_MALFORMED"));
    // The gate goes on serving.
    let mut connection = Connection::open(open.gate.address).await;
    connection.send(head(ANYTHING, "/o1") + "5\r\nhello\r\n0\r\n\r\n").await;
    assert_eq!(connection.status().await, Some(200));
}

/// An answer that has begun cannot be withdrawn: the gate breaks it off.
#[tokio::test]
async fn a_streamed_body_that_turns_bad_within_its_answer_ends_both_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let backend = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"hello\r\n") {
            stream.read_buf(&mut bytes).await.unwrap();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{ ").await.unwrap();
        let _ = stream.read_to_end(&mut bytes).await;
        bytes
    });
    let open = OpenGate::start_with(Setup { endpoints: Some(vec![address]), ..Setup::default() });
    let mut stream = TcpStream::connect(open.gate.address).await.unwrap();
    stream.write_all((head(ANYTHING, "/o1") + "5\r\nhello\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"{ ") {
        assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "the answer begins");
    }
    let begun = answer.len();
    stream.write_all(b"0\r\nX y\r\n\r\n").await.unwrap();
    let _ = stream.read_to_end(&mut answer).await;
    assert_eq!(answer.len(), begun, "nothing follows the answer");
    let bytes = backend.await.unwrap();
    assert!(bytes.ends_with(b"\r\n5\r\nhello\r\n"), "{:?}", bytes.escape_ascii().to_string());
    let audit = open.gate.audit(1);
    assert_eq!(audit.len(), 1);
    assert_eq!(audit[0]["protoPayload"]["metadata"]["reason"], "REQUEST_MALFORMED");
    assert_eq!(audit[0]["httpRequest"]["status"], 200);
}

/// How the streams of an HTTP/2 backend ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ended {
    Whole(Vec<u8>),
    Reset,
}

async fn http2_backend() -> (SocketAddr, Arc<Mutex<(usize, Vec<Ended>)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::<Mutex<(usize, Vec<Ended>)>>::default();
    let log = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let log = log.clone();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    log.lock().unwrap().0 += 1;
                    let log = log.clone();
                    tokio::spawn(async move {
                        let mut body = request.into_body();
                        let mut data = Vec::new();
                        let ended = loop {
                            match body.data().await {
                                Some(Ok(piece)) => data.extend_from_slice(&piece),
                                Some(Err(_)) => break Ended::Reset,
                                None => break Ended::Whole(data),
                            }
                        };
                        let is_whole = ended != Ended::Reset;
                        log.lock().unwrap().1.push(ended);
                        if is_whole {
                            let answer = http::Response::builder().status(200).body(()).unwrap();
                            respond.send_response(answer, true).unwrap();
                        }
                    });
                }
            });
        }
    });
    (address, seen)
}

#[tokio::test]
async fn a_streamed_body_that_turns_bad_resets_the_stream_of_an_http2_backend() {
    let (address, seen) = http2_backend().await;
    let open = OpenGate::start_with(Setup {
        endpoints: Some(vec![address]),
        upstream_protocol: Some("h2c"),
        ..Setup::default()
    });
    for (row, later) in LATER.into_iter().enumerate() {
        let mut connection = Connection::open(open.gate.address).await;
        connection.send(head(ANYTHING, "/o1")).await;
        apart().await;
        assert_eq!(seen.lock().unwrap().0, row, "a head has left");
        connection.send("5\r\nhello\r\n").await;
        until("the head has left", || seen.lock().unwrap().0 == row + 1).await;
        connection.send(later).await;
        assert_not_chunked(&connection.answer().await.unwrap(), later);
        until("the stream has ended", || seen.lock().unwrap().1.len() == row + 1).await;
    }
    assert!(seen.lock().unwrap().1.iter().all(|ended| *ended == Ended::Reset));
    let mut connection = Connection::open(open.gate.address).await;
    connection.send(head(ANYTHING, "/o1") + "5\r\nhello\r\n0\r\n\r\n").await;
    assert_eq!(connection.status().await, Some(200));
    assert_eq!(seen.lock().unwrap().1.last(), Some(&Ended::Whole(b"hello".to_vec())));
}
