//! HTTP/2 by hand (RFC 9113): heads that no library would send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Status(u16),
    /// RST_STREAM, GOAWAY or the end of the connection instead of an answer.
    Broken,
}

/// A frame (RFC 9113, section 4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Preface and settings: identifiers and values.
pub fn opening(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (identifier, value) in settings {
        payload.extend_from_slice(&identifier.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    }
    [PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat()
}

/// A block of fields, each a literal that is never indexed, with a new name (RFC 7541, section 6.2.3).
pub fn block(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0x10);
        text(name.as_bytes(), &mut block);
        text(value, &mut block);
    }
    block
}

/// A HEADERS frame that is a whole request.
pub fn headers(stream: u32, fields: &[(&str, &[u8])]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(fields))
}

/// Sends a head without a body, pseudo-headers as given, over a connection of its own.
pub async fn ask(address: SocketAddr, fields: &[(&str, &[u8])]) -> Outcome {
    let stream = TcpStream::connect(address).await.unwrap();
    ask_over(stream, &headers(1, fields)).await
}

/// Sends frames over a fresh connection, and waits for an answer to one request.
pub async fn ask_over(mut stream: impl AsyncRead + AsyncWrite + Unpin, frames: &[u8]) -> Outcome {
    let exchange = async {
        stream.write_all(&[&opening(&[]), frames].concat()).await.unwrap();
        stream.flush().await.unwrap();
        answer(&mut stream).await
    };
    tokio::time::timeout(Duration::from_secs(10), exchange).await.expect("an answer in time")
}

async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> Outcome {
    while let Some((kind, payload)) = next(stream).await {
        match kind {
            HEADERS => return Outcome::Status(status(&payload)),
            RST_STREAM | GOAWAY => return Outcome::Broken,
            _ => {}
        }
    }
    Outcome::Broken
}

/// The next frame's type and payload; `None` at the end of the connection.
pub async fn next(stream: &mut (impl AsyncRead + Unpin)) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await.ok()?;
    Some((head[3], payload))
}

/// A string without Huffman code, shorter than 16 KiB (RFC 7541, section 5).
pub fn text(bytes: &[u8], block: &mut Vec<u8>) {
    match u8::try_from(bytes.len()) {
        Ok(length @ 0..=126) => block.push(length),
        _ => {
            let rest = bytes.len() - 127;
            block.extend_from_slice(&[127, u8::try_from(rest % 128).unwrap() | 128]);
            block.push(u8::try_from(rest / 128).unwrap());
        }
    }
    block.extend_from_slice(bytes);
}

/// `:status`, which comes first: from the static table or as a literal (RFC 7541, section 6 and appendix A).
fn status(block: &[u8]) -> u16 {
    let first = block.iter().position(|byte| byte & 0xe0 != 0x20).unwrap();
    match &block[first..] {
        [indexed @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
        [0x08 | 0x18 | 0x48, 3, digits @ ..] => std::str::from_utf8(&digits[..3]).unwrap().parse().unwrap(),
        [0x08 | 0x18 | 0x48, length @ 0x80..=0xff, code @ ..] => huffman(&code[..usize::from(length & 0x7f)]),
        other => panic!("not a status: {other:x?}"),
    }
}

/// Three digits: 0, 1 and 2 have five bits, the others six (RFC 7541, appendix B).
fn huffman(code: &[u8]) -> u16 {
    let mut bits = code.iter().flat_map(|byte| (0..8).rev().map(move |bit| u16::from(byte >> bit & 1)));
    (0..3).fold(0, |number, _| {
        let five = (0..5).fold(0, |value, _| value << 1 | bits.next().unwrap());
        let digit = if five <= 2 { five } else { (five << 1 | bits.next().unwrap()) - 0x19 + 3 };
        number * 10 + digit
    })
}

#[test]
fn a_status_is_read_in_each_of_its_forms() {
    assert_eq!(status(&[0x88]), 200);
    assert_eq!(status(&[0x3f, 0xe1, 0x1f, 0x8d][3..]), 404);
    assert_eq!(status(&[0x48, 3, b'4', b'0', b'5']), 405);
    // RFC 7541, appendix C.6.1 and C.6.2.
    assert_eq!(status(&[0x48, 0x82, 0x64, 0x02]), 302);
    assert_eq!(status(&[0x48, 0x83, 0x64, 0x0e, 0xff]), 307);
}
