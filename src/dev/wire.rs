//! An HTTP/1.1 client that sends exactly the bytes it is given.
//!
//! HTTP libraries correct what they are given: they resolve `..`, drop a body where none belongs, and do not send two
//! lengths. The requests of the walk and of the tests must arrive as they are written.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a request and its response may take together.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 16 << 20;

/// A response, read to its end.
#[derive(Clone, Debug)]
pub struct RawResponse {
    /// The status code.
    pub status: u16,
    /// Every header field.
    pub headers: HeaderMap,
    /// The body, without its framing.
    pub body: Vec<u8>,
}

impl RawResponse {
    /// The body as JSON, where it is JSON.
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// A header field as text: the first of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Sends bytes over a new connection and reads one final answer. An interim answer (1xx) is skipped.
///
/// # Errors
/// Where the connection fails or breaks off, the answer is not HTTP/1.1 or larger than 16 MiB, or ten seconds pass.
pub async fn exchange(address: SocketAddr, request: &[u8]) -> io::Result<RawResponse> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        // A server that refuses early may close before it has read all: what it said still counts.
        let written = stream.write_all(request).await;
        match read_answer(&mut stream).await {
            Err(error) => Err(written.err().unwrap_or(error)),
            answer => answer,
        }
    };
    let too_late = || io::Error::new(io::ErrorKind::TimedOut, "no answer within ten seconds");
    tokio::time::timeout(TIMEOUT, exchange).await.map_err(|_| too_late())?
}

/// A plain GET without a credential.
///
/// # Errors
/// As [`exchange`].
pub async fn fetch(address: SocketAddr, target: &str) -> io::Result<RawResponse> {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    exchange(address, request.as_bytes()).await
}

async fn read_answer(stream: &mut TcpStream) -> io::Result<RawResponse> {
    let mut bytes = Vec::new();
    loop {
        let mut rest = bytes.as_slice();
        while let Some((head, body)) = split_head(rest) {
            let (status, headers) = parse_head(head).ok_or_else(not_http)?;
            if (100..200).contains(&status) {
                rest = body;
                continue;
            }
            match unframe(status, &headers, body) {
                Framed::Whole(body) => return Ok(RawResponse { status, headers, body }),
                Framed::Invalid => return Err(not_http()),
                Framed::Partial => break,
            }
        }
        if bytes.len() > MAX_ANSWER {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is larger than 16 MiB"));
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the connection ended before the answer",
            ));
        }
    }
}

fn not_http() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP/1.1")
}

fn split_head(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some((bytes.get(..at)?, bytes.get(at + 4..)?))
}

fn parse_head(head: &[u8]) -> Option<(u16, HeaderMap)> {
    let mut lines = std::str::from_utf8(head).ok()?.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).ok()?,
            HeaderValue::from_str(value.trim_matches([' ', '\t'])).ok()?,
        );
    }
    Some((status, headers))
}

/// How much of a body there is.
#[derive(Debug, PartialEq, Eq)]
enum Framed {
    Whole(Vec<u8>),
    Partial,
    Invalid,
}

/// RFC 9112, section 6.3. A body that only the end of the connection delimits is not read: no server here sends one.
fn unframe(status: u16, headers: &HeaderMap, body: &[u8]) -> Framed {
    if matches!(status, 204 | 304) {
        return Framed::Whole(Vec::new());
    }
    let field = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match (field("transfer-encoding"), field("content-length")) {
        (Some("chunked"), None) => unchunk(body),
        (None, Some(length)) => match length.parse::<usize>() {
            Ok(length) => body.get(..length).map_or(Framed::Partial, |body| Framed::Whole(body.to_vec())),
            Err(_) => Framed::Invalid,
        },
        _ => Framed::Invalid,
    }
}

/// RFC 9112, section 7.1.
fn unchunk(mut rest: &[u8]) -> Framed {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|window| window == b"\r\n") else {
            return Framed::Partial;
        };
        let line = rest.get(..end).and_then(|line| std::str::from_utf8(line).ok());
        let size = line.and_then(|line| line.split(';').next());
        let Some(size) = size.and_then(|size| usize::from_str_radix(size.trim(), 16).ok()) else {
            return Framed::Invalid;
        };
        if size > MAX_ANSWER {
            return Framed::Invalid;
        }
        let Some(chunk) = rest.get(end + 2..end + 2 + size) else {
            return Framed::Partial;
        };
        let Some(tail) = rest.get(end + 2 + size..) else {
            return Framed::Partial;
        };
        match tail {
            // A trailer section would stand here; no server here sends one.
            [b'\r', b'\n', ..] if size == 0 => return Framed::Whole(body),
            [b'\r', b'\n', next @ ..] => {
                body.extend_from_slice(chunk);
                rest = next;
            }
            [] | [b'\r'] => return Framed::Partial,
            _ => return Framed::Invalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Serves one connection: reads once, then writes the pieces and closes.
    async fn answer_with(pieces: &'static [&'static str]) -> io::Result<RawResponse> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            for piece in pieces {
                stream.write_all(piece.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
            }
            request[..read].to_vec()
        });
        let answer = exchange(address, b"GET /a/../b HTTP/1.1\r\n\r\n").await;
        assert_eq!(server.await.unwrap(), b"GET /a/../b HTTP/1.1\r\n\r\n");
        answer
    }

    #[tokio::test]
    async fn answers_are_read_to_their_end_and_no_further() {
        for pieces in [
            &["HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\nA: b\r\n\r\nhello", "HTTP/1.1"] as &[_],
            &["HTTP/1.1 403 \r\nA: b\r\n", "content-length: 5\r\n\r", "\nhel", "lo"],
            &[
                "HTTP/1.1 403 X\r\nA:b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nh",
                "el\r\n2;x=y\r\nlo\r\n0\r\n\r\n",
            ],
            &["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 X\r\nA: b\r\nContent-Length: 5\r\n\r\nhello"],
        ] {
            let answer = answer_with(pieces).await.unwrap();
            assert_eq!((answer.status, answer.body.as_slice()), (403, b"hello".as_slice()), "{pieces:?}");
            assert_eq!(answer.header("a"), Some("b"));
        }
    }

    #[tokio::test]
    async fn what_breaks_off_or_is_no_http_is_an_error() {
        for (pieces, kind) in [
            (&["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"] as &[_], io::ErrorKind::UnexpectedEof),
            (
                &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"],
                io::ErrorKind::UnexpectedEof,
            ),
            (&[""], io::ErrorKind::UnexpectedEof),
            (&["HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"], io::ErrorKind::InvalidData),
            (&["HTTP/1.1 200 OK\r\n\r\n"], io::ErrorKind::InvalidData),
            (
                &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n"],
                io::ErrorKind::InvalidData,
            ),
            (&["SSH-2.0\r\n\r\n"], io::ErrorKind::InvalidData),
        ] {
            assert_eq!(answer_with(pieces).await.unwrap_err().kind(), kind, "{pieces:?}");
        }
    }
}
