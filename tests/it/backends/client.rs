//! Clients that keep their connections: the tests compare requests, and new connections would only cost time.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use h2::client::SendRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::case::Case;
use crate::harness::Body;

/// Far above what an answer takes: it only ends a test that would hang.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a client sees of a case: the status, or that the connection or the stream has ended instead.
pub type Seen = Option<u16>;

/// One connection of HTTP/1.1 after another.
pub struct Http1 {
    address: SocketAddr,
    connection: Option<(TcpStream, BytesMut)>,
}

impl Http1 {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    pub async fn ask(&mut self, case: &Case, token: &str) -> Seen {
        let bytes = case.to_http1(token);
        let (mut stream, mut unread) = match self.connection.take() {
            Some(kept) => kept,
            None => {
                let stream = TcpStream::connect(self.address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                (stream, BytesMut::with_capacity(4096))
            }
        };
        let is_head = case.request.method == "HEAD";
        let exchange = async {
            // A gate that has refused the head may have closed the connection; its answer still counts.
            let sent = stream.write_all(&bytes).await.is_ok();
            let (status, is_last) = answer(&mut stream, &mut unread, is_head).await?;
            Some((status, is_last || !sent))
        };
        let exchanged = tokio::time::timeout(TIMEOUT, exchange).await;
        let (status, is_last) = exchanged.unwrap_or_else(|_| panic!("no answer in time to {case}"))?;
        if !is_last && unread.is_empty() {
            self.connection = Some((stream, unread));
        }
        Some(status)
    }
}

/// The status of the next final answer, and whether it is the connection's last.
async fn answer(stream: &mut TcpStream, unread: &mut BytesMut, is_head: bool) -> Option<(u16, bool)> {
    loop {
        let end = loop {
            match find(unread, b"\r\n\r\n") {
                Some(at) => break at + 4,
                None => read(stream, unread).await?,
            }
        };
        let head = unread.split_to(end);
        let head = std::str::from_utf8(&head).unwrap().to_ascii_lowercase();
        let status: u16 = head.strip_prefix("http/1.1 ").and_then(|rest| rest.get(..3))?.parse().ok()?;
        if status < 200 {
            continue;
        }
        if !is_head && status != 204 && status != 304 {
            body(stream, unread, &head).await?;
        }
        return Some((status, head.contains("\r\nconnection: close\r\n")));
    }
}

async fn body(stream: &mut TcpStream, unread: &mut BytesMut, head: &str) -> Option<()> {
    if let Some((_, rest)) = head.split_once("\r\ncontent-length: ") {
        let length = rest.split("\r\n").next()?.trim().parse().ok()?;
        return skip(stream, unread, length).await;
    }
    if !head.contains("\r\ntransfer-encoding: chunked\r\n") {
        return None;
    }
    loop {
        let line = loop {
            match find(unread, b"\r\n") {
                Some(at) => break unread.split_to(at + 2),
                None => read(stream, unread).await?,
            }
        };
        let size = usize::from_str_radix(std::str::from_utf8(&line).ok()?.trim(), 16).ok()?;
        skip(stream, unread, size + 2).await?;
        if size == 0 {
            return Some(());
        }
    }
}

async fn skip(stream: &mut TcpStream, unread: &mut BytesMut, length: usize) -> Option<()> {
    while unread.len() < length {
        read(stream, unread).await?;
    }
    unread.advance(length);
    Some(())
}

async fn read(stream: &mut TcpStream, unread: &mut BytesMut) -> Option<()> {
    stream.read_buf(unread).await.ok().filter(|length| *length > 0).map(|_| ())
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// One connection of HTTP/2 after another, with one request at a time: several of these share the work.
pub struct Http2 {
    address: SocketAddr,
    connection: Option<SendRequest<Bytes>>,
}

impl Http2 {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// Gives `Err` for a request that the library cannot write as HTTP/2; it is not sent.
    pub async fn ask(&mut self, case: &Case, token: &str) -> Result<Seen, String> {
        let request = case.to_send(token);
        let mut head = http::Request::builder()
            .version(http::Version::HTTP_2)
            .method(request.method.as_str())
            .uri(format!("http://{}{}", request.host, request.target));
        for (name, value) in &request.headers {
            head = head.header(name.as_str(), value.as_str());
        }
        let body = match &request.body {
            Body::None => None,
            Body::Length(body) => {
                head = head.header("content-length", body.len());
                Some(body.clone())
            }
            Body::Chunked(body) => Some(body.clone()),
        };
        let head = head.body(()).map_err(|error| error.to_string())?;
        let client = match self.connection.take() {
            Some(client) => client.ready().await.ok(),
            None => None,
        };
        let mut client = match client {
            Some(client) => client,
            None => self.connect().await,
        };
        let (response, mut stream) =
            client.send_request(head, body.is_none()).map_err(|error| error.to_string())?;
        self.connection = Some(client);
        if let Some(body) = body {
            // A gate that has refused the head may have reset the stream.
            let _ = stream.send_data(body.into(), true);
        }
        let seen = async {
            let (parts, mut body) = response.await.ok()?.into_parts();
            while let Some(piece) = body.data().await {
                let length = piece.ok()?.len();
                let _ = body.flow_control().release_capacity(length);
            }
            Some(parts.status.as_u16())
        };
        let seen = tokio::time::timeout(TIMEOUT, seen).await;
        Ok(seen.unwrap_or_else(|_| panic!("no answer in time to {case}")))
    }

    async fn connect(&self) -> SendRequest<Bytes> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        // If the connection fails, the request reports it.
        tokio::spawn(connection);
        client.ready().await.unwrap()
    }
}
