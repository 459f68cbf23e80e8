//! What the gate holds while nothing happens, and what one HTTP/2 connection may send ahead.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::frames::{DATA, END_HEADERS, HEADERS, WINDOW_UPDATE, block, frame, opening};
use crate::harness::{COMPANION, Gate, Setup, TRAIN};
use crate::open_gate::{ANYTHING, OpenGate};

/// Memory of the process that is not a file's.
fn anonymous_kib(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Once 14 MiB: every piece of memory that was touched took two megabytes.
#[tokio::test]
async fn a_gate_that_has_just_started_holds_little_memory() {
    let gate = Gate::start();
    let held = anonymous_kib(gate.pid());
    assert!(held < 10 << 10, "{held} KiB");
}

/// Once 16 KiB each: room for a request that is not there.
#[tokio::test]
async fn an_idle_connection_holds_little_memory() {
    const CONNECTIONS: usize = 1500;
    let set = vec!["limits.connections_per_address=2000".to_owned()];
    let gate = Gate::start_with(Setup { set, ..Setup::default() });
    let request = format!("GET {TRAIN} HTTP/1.1\r\nhost: {COMPANION}\r\n\r\n");
    let before = anonymous_kib(gate.pid());
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(gate.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 4096];
        assert_ne!(stream.read(&mut answer).await.unwrap(), 0);
        idle.push(stream);
    }
    let held = anonymous_kib(gate.pid()) - before;
    assert!(held < CONNECTIONS * MOST_IDLE_KIB, "{} bytes each", held * 1024 / CONNECTIONS);
}

/// What one may take, with what the allocator keeps beside it.
const MOST_IDLE_KIB: usize = 9;

/// A connection over which one request sends a body, and what windows it is given.
struct Upload {
    writing: OwnedWriteHalf,
    reading: OwnedReadHalf,
    /// Of all streams, and of the one.
    windows: [i64; 2],
    came: Vec<u8>,
    sent: i64,
}

impl Upload {
    async fn begin(gate: &Gate, host: &str, path: &str) -> Self {
        let fields = block(&[
            (":method", b"POST"),
            (":scheme", b"http"),
            (":authority", host.as_bytes()),
            (":path", path.as_bytes()),
        ]);
        let mut stream = TcpStream::connect(gate.address).await.unwrap();
        stream.write_all(&[opening(&[]), frame(HEADERS, END_HEADERS, 1, &fields)].concat()).await.unwrap();
        let (reading, writing) = stream.into_split();
        Self { writing, reading, windows: [65_535, 65_535], came: Vec::new(), sent: 0 }
    }

    /// Sends as much as it may, until it may send no more for a moment, or has sent so much.
    async fn send(&mut self, most: i64) {
        while self.sent < most {
            while self.windows.iter().all(|window| *window >= 16_384) && self.sent < most {
                if self.writing.write_all(&frame(DATA, 0, 1, &[b'x'; 16_384])).await.is_err() {
                    return;
                }
                self.sent += 16_384;
                self.windows = self.windows.map(|window| window - 16_384);
            }
            if !self.hear(Duration::from_millis(500)).await {
                return;
            }
        }
        while self.hear(Duration::from_millis(500)).await {}
    }

    /// Reads what comes; `false` where nothing does.
    async fn hear(&mut self, patience: Duration) -> bool {
        let mut piece = [0; 4096];
        let Ok(Ok(length @ 1..)) = tokio::time::timeout(patience, self.reading.read(&mut piece)).await else {
            return false;
        };
        self.came.extend_from_slice(&piece[..length]);
        while let Some(head) = self.came.first_chunk::<9>() {
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            if self.came.len() < 9 + length {
                break;
            }
            let frame: Vec<u8> = self.came.drain(..9 + length).collect();
            let of_stream = usize::from(frame[8] == 1);
            if frame[3] == WINDOW_UPDATE {
                self.windows[of_stream] += i64::from(u32::from_be_bytes(frame[9..13].try_into().unwrap()));
            } else if frame[3] == 4 && length > 0 {
                // SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113, section 6.5.2).
                for setting in frame[9..].chunks(6).filter(|setting| setting[..2] == [0, 4]) {
                    self.windows[1] +=
                        i64::from(u32::from_be_bytes(setting[2..].try_into().unwrap())) - 65_535;
                }
            }
        }
        true
    }
}

/// Unread bodies lie in memory: only a connection that has shown that it uploads, by a request that was allowed, may send
/// more of them ahead.
#[tokio::test]
async fn an_upload_may_send_far_ahead_and_nothing_else_may() {
    let open = OpenGate::start();
    let mut upload = Upload::begin(&open.gate, ANYTHING, "/o1").await;
    upload.send(64 << 10).await;
    assert!(upload.windows[0] <= 65_535, "{:?}", upload.windows);
    upload.send(512 << 10).await;
    assert!(upload.windows[0] > 512 << 10, "{:?} after {}", upload.windows, upload.sent);
    assert!(upload.windows[1] <= 256 << 10, "{:?}", upload.windows);

    // Refused, and reset: what comes is dropped.
    let mut refused = Upload::begin(&open.gate, ANYTHING, "//o1").await;
    refused.send(1 << 20).await;
    assert!(refused.windows[0] <= 65_535, "{:?} after {}", refused.windows, refused.sent);
}
