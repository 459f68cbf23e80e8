//! A client that must not notice an attack, and what the gate holds during it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::harness::{COMPANION, Gate, Http2, Req, TRAIN, token};

/// A client that cancels again and again over connections of both versions.
pub struct Bystander {
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    asked: AtomicU64,
    answered: AtomicU64,
    stop: AtomicBool,
    /// How long each answer took.
    took: Mutex<Vec<Duration>>,
}

#[derive(Clone, Copy, Debug)]
pub struct Counts {
    pub asked: u64,
    pub answered: u64,
}

impl Bystander {
    pub fn start(gate: &Gate) -> Self {
        let shared = Arc::<Shared>::default();
        let task = tokio::spawn(ask(gate.address, shared.clone()));
        Self { shared, task }
    }

    pub fn counts(&self) -> Counts {
        // Read in this order: a request in flight must not count as missing.
        let answered = self.shared.answered.load(Ordering::SeqCst);
        Counts { asked: self.shared.asked.load(Ordering::SeqCst), answered }
    }

    pub async fn has_asked(&self, count: u64) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.counts().asked < count {
            assert!(Instant::now() < deadline, "the bystander is not served: {:?}", self.counts());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The time within which 99 of 100 requests were answered, of those after the first `asked`.
    pub fn p99(&self, asked: u64) -> Duration {
        let took = self.shared.took.lock().unwrap();
        let mut took: Vec<Duration> = took.iter().skip(asked.try_into().unwrap()).copied().collect();
        took.sort_unstable();
        took.get(took.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default()
    }

    pub async fn stop(self) -> Counts {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap();
        Counts {
            asked: self.shared.asked.load(Ordering::SeqCst),
            answered: self.shared.answered.load(Ordering::SeqCst),
        }
    }
}

async fn ask(address: SocketAddr, shared: Arc<Shared>) {
    let cancel = Req::new("POST", COMPANION, &format!("{TRAIN}:cancel")).bearer(&token("ana@example.com"));
    let mut kept_alive = Connection::open(address).await;
    let mut http2 = Http2::connect(address).await;
    let answered = |began: Instant, ok: bool| {
        shared.took.lock().unwrap().push(began.elapsed());
        shared.asked.fetch_add(1, Ordering::SeqCst);
        shared.answered.fetch_add(u64::from(ok), Ordering::SeqCst);
    };
    while !shared.stop.load(Ordering::SeqCst) {
        let began = Instant::now();
        kept_alive.send(cancel.to_http1()).await;
        answered(began, kept_alive.status().await == Some(200));
        let began = Instant::now();
        let (response, _) = http2.start(&cancel, true).await;
        answered(began, http2.try_finish(response).await.is_ok_and(|answer| answer.status == 200));
        let began = Instant::now();
        let mut fresh = Connection::open(address).await;
        fresh.send(cancel.to_http1()).await;
        answered(began, fresh.status().await == Some(200));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A backend whose answer to a GET is larger than all buffers between it and the client. Its threads end with the
/// process.
pub struct Large(SocketAddr);

impl Large {
    /// Of an answer to a GET.
    pub const BYTES: usize = 16 << 20;

    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::Builder::new().stack_size(128 * 1024).spawn(move || serve(stream)).unwrap();
            }
        });
        Self(address)
    }

    pub fn address(&self) -> SocketAddr {
        self.0
    }
}

/// Requests without a body, one after another, until the other side closes.
fn serve(mut stream: std::net::TcpStream) {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut piece) {
        bytes.extend_from_slice(&piece[..length]);
        while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = bytes.drain(..end + 4).collect();
            let length = if head.starts_with(b"GET") { Large::BYTES } else { 2 };
            let answer =
                format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n");
            let mut sent = stream.write_all(answer.as_bytes());
            let mut left = length;
            while sent.is_ok() && left > 0 {
                let piece = left.min(piece.len());
                sent = stream.write_all(&[b' '; 4096][..piece]);
                left -= piece;
            }
            if sent.is_err() {
                return;
            }
        }
    }
}

/// What a process holds in memory.
pub fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
