//! A client of HTTP/1.1 that keeps its connection as long as possible, or opens a new one for each request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::books::{Books, Outcome, target};
use crate::harness::{COMPANION, token};

/// Far below the time that the gate waits for the next request before it closes a connection: a client that was idle
/// for less must not lose a request.
const IN_USE: Duration = Duration::from_millis(500);

/// How a client uses its connections.
#[derive(Clone, Copy, Debug)]
pub struct Habit {
    /// The pause between an answer and the next request.
    pub pause: Duration,
    /// If not set, each connection is for one request.
    pub keeps_alive: bool,
}

/// Sends requests until there are none left.
pub async fn client(books: Arc<Books>, address: SocketAddr, habit: Habit) {
    let bearer = token("ana@example.com");
    let mut kept: Option<(TcpStream, Instant)> = None;
    while books.take() {
        loop {
            let reused = kept.take().filter(|(stream, _)| is_open(stream));
            // The client's view is a moment old when its request arrives, as over a long network path.
            if !habit.pause.is_zero() {
                tokio::time::sleep(habit.pause).await;
            }
            let used = reused.as_ref().map(|(_, used)| *used);
            let mut stream = match reused {
                Some((stream, _)) => stream,
                None => TcpStream::connect(address).await.expect("no connection is refused"),
            };
            let number = books.begin();
            let connection = if habit.keeps_alive { "keep-alive" } else { "close" };
            let request = format!(
                "POST {} HTTP/1.1\r\nHost: {COMPANION}\r\nAuthorization: Bearer {bearer}\r\n\
                 Connection: {connection}\r\nContent-Length: 0\r\n\r\n",
                target(number)
            );
            let idle = used.map(|used| used.elapsed());
            let answer = tokio::time::timeout(Duration::from_secs(60), ask(&mut stream, request.as_bytes()));
            match answer.await.unwrap_or_else(|_| panic!("try {number} is not answered")) {
                Some(is_last) => {
                    books.end(number, Outcome::Answered);
                    kept = (!is_last).then(|| (stream, Instant::now()));
                    break;
                }
                None => {
                    let idle = idle
                        .unwrap_or_else(|| panic!("try {number}: a new connection ended without an answer"));
                    assert!(
                        idle > IN_USE,
                        "try {number}: a connection ended that had been idle for {idle:?}"
                    );
                    books.end(number, Outcome::Ended);
                }
            }
        }
    }
}

/// Whether the peer has closed, as far as this end knows.
fn is_open(stream: &TcpStream) -> bool {
    stream.try_read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

/// Whether the answer, which must be 200, is the connection's last; `None` if the connection ended before it.
async fn ask(stream: &mut TcpStream, request: &[u8]) -> Option<bool> {
    stream.write_all(request).await.ok()?;
    let mut bytes = Vec::with_capacity(1024);
    loop {
        let read = stream.read_buf(&mut bytes).await;
        if !read.as_ref().is_ok_and(|length| *length > 0) {
            assert!(bytes.is_empty(), "{read:?} within {:?}", String::from_utf8_lossy(&bytes));
            return None;
        }
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&bytes[..end]).unwrap().to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        assert!(head.contains("\r\ncontent-length: 2"), "{head}");
        if bytes.len() == end + 6 {
            return Some(head.contains("\r\nconnection: close"));
        }
    }
}
