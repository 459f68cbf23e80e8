//! Misbehaving upstreams: small servers that play a script.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

/// A plain answer to a cancel.
pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

/// A step of an origin on a connection. The script is repeated until the connection ends.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Reads a request's head.
    Head,
    /// Reads the body of the request whose head was read, by its `Content-Length`.
    Body,
    /// Writes these bytes.
    Say(&'static str),
    /// Writes these bytes, one every 50 ms.
    Drip(&'static str),
    /// Ends the connection.
    Close,
    /// Ends it with a reset, which discards unsent and unread bytes.
    Reset,
    /// Does nothing until the other end closes.
    Hang,
}

pub struct Origin {
    pub address: SocketAddr,
    seen: Arc<Seen>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    /// The script that the next connection plays instead.
    next: Mutex<Option<&'static [Step]>>,
    connections: AtomicUsize,
    heads: Mutex<Vec<String>>,
}

impl Origin {
    /// Plays `script` on every connection.
    pub async fn start(script: &'static [Step]) -> Self {
        Self::start_over(None, script).await
    }

    /// The same over TLS; the handshake itself may be all that fails.
    pub async fn start_tls(tls: ServerConfig, script: &'static [Step]) -> Self {
        Self::start_over(Some(TlsAcceptor::from(Arc::new(tls))), script).await
    }

    async fn start_over(tls: Option<TlsAcceptor>, script: &'static [Step]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let shared = seen.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let script = shared.next.lock().unwrap().take().unwrap_or(script);
                let (shared, tls) = (shared.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => play(stream, script, shared).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                                answer_http2(stream, shared).await;
                            }
                            Ok(stream) => play(stream, script, shared).await,
                            Err(_) => {}
                        },
                    }
                });
            }
        });
        Self { address, seen, task }
    }

    /// Makes the next connection play another script; `None` takes that back.
    pub fn play_next(&self, script: Option<&'static [Step]>) {
        *self.seen.next.lock().unwrap() = script;
    }

    /// The heads of the requests that it has received.
    pub fn requests(&self) -> Vec<String> {
        self.seen.heads.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An address at which no process listens. The port stays bound until the process ends, so that no other test gets it.
pub async fn refusing() -> SocketAddr {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    std::mem::forget(socket);
    address
}

/// Answers every request on an HTTP/2 connection, whatever the script says.
async fn answer_http2(stream: TlsStream<TcpStream>, seen: Arc<Seen>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        seen.heads.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
        let response = http::Response::builder().header("content-type", "application/json").body(()).unwrap();
        let mut body = respond.send_response(response, false).unwrap();
        body.send_data(bytes::Bytes::from_static(b"{}"), true).unwrap();
    }
}

/// A connection that can be reset.
trait Wire: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Wire for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

async fn play<S: Wire>(mut stream: S, script: &'static [Step], seen: Arc<Seen>) {
    let mut unread = Vec::new();
    let mut body = 0;
    loop {
        for step in script {
            let goes_on = match step {
                Step::Head => match read_head(&mut stream, &mut unread).await {
                    Some(head) => {
                        body = content_length(&head);
                        seen.heads.lock().unwrap().push(head);
                        true
                    }
                    None => false,
                },
                Step::Body => {
                    while unread.len() < body && read_more(&mut stream, &mut unread).await {}
                    let whole = unread.len() >= body;
                    unread.drain(..body.min(unread.len()));
                    whole
                }
                Step::Say(text) => stream.write_all(text.as_bytes()).await.is_ok(),
                Step::Drip(text) => {
                    let mut goes_on = true;
                    for byte in text.bytes() {
                        goes_on = goes_on && stream.write_all(&[byte]).await.is_ok();
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    goes_on
                }
                Step::Close => false,
                Step::Reset => {
                    stream.tcp().set_zero_linger().unwrap();
                    false
                }
                Step::Hang => {
                    while read_more(&mut stream, &mut unread).await {}
                    false
                }
            };
            if !goes_on {
                return;
            }
        }
    }
}

async fn read_head<S: AsyncRead + Unpin>(stream: &mut S, unread: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(at) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = unread.drain(..at + 4).collect();
            return Some(String::from_utf8(head).unwrap());
        }
        if !read_more(stream, unread).await {
            return None;
        }
    }
}

async fn read_more<S: AsyncRead + Unpin>(stream: &mut S, unread: &mut Vec<u8>) -> bool {
    stream.read_buf(unread).await.is_ok_and(|length| length > 0)
}

fn content_length(head: &str) -> usize {
    let head = head.to_ascii_lowercase();
    let value = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    value.map_or(0, |value| value.trim().parse().unwrap())
}
