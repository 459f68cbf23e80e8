//! The backend: answers at once, with one read and one write for a request without a body. One thread for each connection:
//! proxies keep few, and a thread that blocks costs less than an event loop.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use crate::Failure;
use crate::wire::Reader;

/// What a GET of an object brings: 1 MiB.
const OBJECT: usize = 1 << 20;

#[derive(clap::Args)]
pub struct Arguments {
    /// Where proxies connect.
    #[arg(long)]
    listen: SocketAddr,
}

pub fn serve(arguments: &Arguments) -> Result<(), Failure> {
    let listener = TcpListener::bind(arguments.listen)?;
    let object: Arc<[u8]> = answer("application/octet-stream", &vec![b'x'; OBJECT]).into();
    let empty: Arc<[u8]> = answer("application/json", b"{}").into();
    for stream in listener.incoming() {
        let (stream, object, empty) = (stream?, object.clone(), empty.clone());
        // A proxy that hangs up ends its connection, and nothing else.
        thread::Builder::new()
            .stack_size(128 * 1024)
            .spawn(move || converse(stream, &object, &empty).ok())?;
    }
    Ok(())
}

fn answer(kind: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn converse(mut stream: TcpStream, object: &[u8], empty: &[u8]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = Reader::for_one_connection();
    while let Some(head) = reader.head(&mut stream, true)? {
        reader.body(&mut stream, head.framing)?;
        let is_object = head.line.starts_with("GET ") && head.line.contains("/objects/");
        stream.write_all(if is_object { object } else { empty })?;
    }
    Ok(())
}
