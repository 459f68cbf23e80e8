//! A client's end of one HTTP/1.1 connection: exact bytes out, message by message in.

use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::Answer;

/// Far above what an answer takes: it only ends a test that would hang.
const TIMEOUT: Duration = Duration::from_secs(10);

/// TCP, or TLS over it.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

pub struct Connection {
    stream: Box<dyn Wire>,
    unread: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }

    /// A connection on which no byte of HTTP has been sent yet.
    pub fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        Self { stream: Box::new(stream), unread: Vec::new() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends to a peer that may have closed already; gives `false` if it has.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// No more bytes will come from this end.
    pub async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Like [`Self::finish`], for a peer that may have closed already.
    pub async fn finish_if_open(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// The next message, interim answers (1xx) included; `None` if the connection ends first.
    pub async fn answer(&mut self) -> Option<Answer> {
        let answer = async {
            let end = loop {
                if let Some(at) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                    break at + 4;
                }
                if !self.read_more().await {
                    let rest = String::from_utf8_lossy(&self.unread);
                    assert!(rest.is_empty(), "the connection ended within an answer: {rest:?}");
                    return None;
                }
            };
            let head: Vec<u8> = self.unread.drain(..end).collect();
            let (status, headers) = parse_head(std::str::from_utf8(&head).unwrap());
            let body = if status < 200 { Vec::new() } else { self.body(&headers).await };
            Some(Answer { status, headers, body })
        };
        tokio::time::timeout(TIMEOUT, answer).await.expect("an answer or an end in time")
    }

    /// The status of the next message; `None` if the connection ends first.
    pub async fn status(&mut self) -> Option<u16> {
        self.answer().await.map(|answer| answer.status)
    }

    /// Everything up to the end of the connection.
    pub async fn rest(&mut self) -> Vec<u8> {
        let all = async { while self.read_more().await {} };
        tokio::time::timeout(TIMEOUT, all).await.expect("the connection ends in time");
        std::mem::take(&mut self.unread)
    }

    /// The type of the next HTTP/2 frame; `None` if the connection ends first.
    pub async fn frame_kind(&mut self) -> Option<u8> {
        self.frame().await.map(|(kind, _)| kind)
    }

    /// Type and payload of the next HTTP/2 frame; `None` if the connection ends first.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let frame = async {
            while self.unread.len() < 9 {
                if !self.read_more().await {
                    return None;
                }
            }
            let header = self.take(9).await;
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
            Some((header[3], self.take(length as usize).await))
        };
        tokio::time::timeout(TIMEOUT, frame).await.expect("a frame or an end in time")
    }

    async fn body(&mut self, headers: &HeaderMap) -> Vec<u8> {
        if let Some(length) = headers.get("content-length") {
            let length = length.to_str().unwrap().parse().unwrap();
            return self.take(length).await;
        }
        assert_eq!(headers.get("transfer-encoding").unwrap(), "chunked");
        let mut body = Vec::new();
        loop {
            let line_end = loop {
                match self.unread.windows(2).position(|window| window == b"\r\n") {
                    Some(at) => break at,
                    None => assert!(self.read_more().await, "the connection ended within a chunk"),
                }
            };
            let line = self.take(line_end + 2).await;
            let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
            body.extend(self.take(size).await);
            assert_eq!(self.take(2).await, b"\r\n");
            if size == 0 {
                return body;
            }
        }
    }

    async fn take(&mut self, length: usize) -> Vec<u8> {
        while self.unread.len() < length {
            assert!(self.read_more().await, "the connection ended within a body");
        }
        self.unread.drain(..length).collect()
    }

    /// Gives `false` at the end of the connection; a reset is an end.
    async fn read_more(&mut self) -> bool {
        self.stream.read_buf(&mut self.unread).await.is_ok_and(|length| length > 0)
    }
}

fn parse_head(head: &str) -> (u16, HeaderMap) {
    let mut lines = head.trim_end().split("\r\n");
    let status_line = lines.next().unwrap();
    let status = status_line.strip_prefix("HTTP/1.1 ").unwrap_or_else(|| panic!("{status_line:?}"));
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value.trim()).unwrap(),
        );
    }
    (status[..3].parse().unwrap(), headers)
}
