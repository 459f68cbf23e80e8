//! A backend that keeps the bytes of each head and body as they came: no HTTP library reads them before the test does.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Answers every request with `{}`. Its threads end with the process.
pub struct Recorder {
    address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    heads: Mutex<Vec<String>>,
    bodies: Mutex<Vec<(String, Vec<u8>)>>,
    request_ids: Mutex<Vec<String>>,
    bytes: AtomicUsize,
}

impl Recorder {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Seen>::default();
        let log = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let log = log.clone();
                std::thread::spawn(move || serve(stream, &log));
            }
        });
        Self { address, seen }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The heads since the last call, without their final empty line.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.heads.lock().unwrap())
    }

    /// The target and the body of every complete request so far, taken or not.
    pub fn bodies(&self) -> Vec<(String, Vec<u8>)> {
        self.seen.bodies.lock().unwrap().clone()
    }

    /// The `X-Request-Id` of every request so far, taken or not.
    pub fn request_ids(&self) -> Vec<String> {
        self.seen.request_ids.lock().unwrap().clone()
    }

    /// The number of bytes that have come so far.
    pub fn bytes(&self) -> usize {
        self.seen.bytes.load(Ordering::SeqCst)
    }
}

/// Requests, one after another, until the other side closes.
fn serve(mut stream: TcpStream, seen: &Seen) {
    let mut bytes = Vec::new();
    loop {
        while let Some(end) = find(&bytes, b"\r\n\r\n") {
            let head: Vec<u8> = bytes.drain(..end + 4).take(end).collect();
            // Values may hold any byte.
            let head: String = head.into_iter().map(char::from).collect();
            let Some(body) = read_body(&mut stream, &head, &mut bytes, seen) else { return };
            let target = request_line(&head).split(' ').nth(1).unwrap_or_default().to_owned();
            seen.bodies.lock().unwrap().push((target, body));
            seen.request_ids
                .lock()
                .unwrap()
                .extend(field(&head, "x-request-id").iter().map(ToString::to_string));
            let body = if head.starts_with("HEAD ") { "" } else { "{}" };
            seen.heads.lock().unwrap().push(head);
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{body}"
            );
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
        if !read_more(&mut stream, &mut bytes, seen) {
            return;
        }
    }
}

/// Reads a body as the gate frames it; `None` if the connection ends first.
fn read_body(stream: &mut TcpStream, head: &str, bytes: &mut Vec<u8>, seen: &Seen) -> Option<Vec<u8>> {
    let mut take = |length: usize, bytes: &mut Vec<u8>| {
        while bytes.len() < length {
            if !read_more(stream, bytes, seen) {
                return None;
            }
        }
        Some(bytes.drain(..length).collect::<Vec<u8>>())
    };
    if field(head, "transfer-encoding") != ["chunked"] {
        let length = field(head, "content-length").first().map_or(0, |length| length.parse().unwrap());
        return take(length, bytes);
    }
    let mut body = Vec::new();
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(take(1, bytes)?);
        }
        let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim_end(), 16).unwrap();
        body.extend(take(size, bytes)?);
        assert_eq!(take(2, bytes)?, b"\r\n");
        if size == 0 {
            return Some(body);
        }
    }
}

fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>, seen: &Seen) -> bool {
    let mut piece = [0; 4096];
    let length = stream.read(&mut piece).unwrap_or(0);
    seen.bytes.fetch_add(length, Ordering::SeqCst);
    bytes.extend_from_slice(&piece[..length]);
    length > 0
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The request line of a head.
pub fn request_line(head: &str) -> &str {
    head.split("\r\n").next().unwrap()
}

/// The values of a field of a head, in order. `name` in lower case.
pub fn field<'h>(head: &'h str, name: &str) -> Vec<&'h str> {
    head.split("\r\n")
        .skip(1)
        .map(|line| line.split_once(':').unwrap())
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .collect()
}
