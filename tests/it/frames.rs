//! HTTP/2 by hand (RFC 9113): heads that no library would send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const END_STREAM_AND_HEADERS: u8 = 0x5;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Status(u16),
    /// RST_STREAM, GOAWAY or the end of the connection instead of an answer.
    Broken,
}

/// Sends a head without a body, pseudo-headers as given, over a connection of its own.
pub async fn ask(address: SocketAddr, fields: &[(&str, &[u8])]) -> Outcome {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    bytes.extend_from_slice(&headers(1, fields));
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        answer(&mut stream).await
    };
    tokio::time::timeout(Duration::from_secs(10), exchange).await.expect("an answer in time")
}

/// A HEADERS frame that is all of a request.
pub fn headers(stream: u32, fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        // A literal that is never indexed, with a new name (RFC 7541, section 6.2.3).
        block.push(0x10);
        text(name.as_bytes(), &mut block);
        text(value, &mut block);
    }
    let mut frame = u32::try_from(block.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[HEADERS, END_STREAM_AND_HEADERS]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(&block);
    frame
}

async fn answer(stream: &mut TcpStream) -> Outcome {
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return Outcome::Broken;
        }
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        if stream.read_exact(&mut payload).await.is_err() {
            return Outcome::Broken;
        }
        match head[3] {
            HEADERS => return Outcome::Status(status(&payload)),
            RST_STREAM | GOAWAY => return Outcome::Broken,
            _ => {}
        }
    }
}

/// A string without Huffman code, shorter than 16 KiB (RFC 7541, section 5).
fn text(bytes: &[u8], block: &mut Vec<u8>) {
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
