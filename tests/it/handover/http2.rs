//! A client of HTTP/2 with several streams at a time, which moves to a new connection after a GOAWAY.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::client::{ResponseFuture, SendRequest};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::books::{Books, Outcome, target};
use crate::harness::{COMPANION, token};

/// The connection that new streams go to, and how many there were before it.
struct Current {
    address: SocketAddr,
    client: SendRequest<Bytes>,
    number: u64,
}

/// Sends requests until there are none left.
pub async fn client(books: Arc<Books>, address: SocketAddr, streams: usize) {
    let current = Current { address, client: connect(address).await, number: 0 };
    let current = Arc::new(Mutex::new(current));
    let bearer = format!("Bearer {}", token("ana@example.com"));
    let mut lanes = tokio::task::JoinSet::new();
    for _ in 0..streams {
        lanes.spawn(lane(books.clone(), current.clone(), bearer.clone()));
    }
    lanes.join_all().await;
}

async fn connect(address: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.expect("no connection is refused");
    stream.set_nodelay(true).unwrap();
    let (client, connection) = h2::client::handshake(stream).await.expect("a new connection is served");
    // If the connection fails, the requests report it.
    tokio::spawn(connection);
    client
}

/// One request after another.
async fn lane(books: Arc<Books>, current: Arc<Mutex<Current>>, bearer: String) {
    while books.take() {
        loop {
            let (client, on) = {
                let current = current.lock().await;
                (current.client.clone(), current.number)
            };
            let number = books.begin();
            let outcome = match client.ready().await {
                Ok(mut client) => {
                    let request = http::Request::post(format!("http://{COMPANION}{}", target(number)))
                        .version(http::Version::HTTP_2)
                        .header("authorization", &bearer)
                        .body(())
                        .unwrap();
                    match client.send_request(request, true) {
                        Ok((answer, _)) => {
                            tokio::time::timeout(Duration::from_secs(60), read(number, answer))
                                .await
                                .unwrap_or_else(|_| panic!("try {number} is not answered"))
                        }
                        Err(_) => Outcome::Unsent,
                    }
                }
                Err(_) => Outcome::Unsent,
            };
            books.end(number, outcome);
            if outcome == Outcome::Answered {
                break;
            }
            let mut current = current.lock().await;
            if current.number == on {
                current.client = connect(current.address).await;
                current.number += 1;
            }
        }
    }
}

async fn read(number: u64, answer: ResponseFuture) -> Outcome {
    match answer.await {
        Ok(answer) => {
            assert_eq!(answer.status(), 200, "try {number}");
            let mut body = answer.into_body();
            let mut length = 0;
            while let Some(chunk) = body.data().await {
                let chunk = chunk.unwrap_or_else(|error| panic!("try {number}: {error} within the answer"));
                length += chunk.len();
                let _ = body.flow_control().release_capacity(chunk.len());
            }
            assert_eq!(length, 2, "try {number}");
            Outcome::Answered
        }
        Err(error) if error.is_remote() && error.is_go_away() => Outcome::Refused,
        Err(error) if error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM) => Outcome::Refused,
        Err(error) => panic!("try {number}: {error:?}"),
    }
}
