//! A gate that runs under a tool, the client in front of it and the backend behind it. Neither of these is under the tool.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use opgate::dev::mint::Mint;
use opgate::signing::SigningKey;
use serde_json::{Value, json};

/// How long the gate may take to start: a machine is slow under valgrind.
const START: Duration = Duration::from_secs(120);
/// How long a client waits for its answer.
const ANSWER: Duration = Duration::from_secs(30);

/// A gate. It ends when the value is dropped.
pub struct Gate {
    child: Child,
    address: SocketAddr,
}

impl Gate {
    /// Starts a gate of the demo's configuration under a tool, with one worker. Its audit log goes to `/dev/null`.
    pub fn start(mut tool: Command, directory: &Path, key: &SigningKey, backend: SocketAddr) -> Self {
        let (keys, addresses) = (directory.join("keys.jwks.json"), directory.join("addresses.json"));
        std::fs::write(&keys, key.jwks().to_string()).unwrap();
        let log = directory.join("stderr");
        tool.arg(env!("CARGO_BIN_EXE_opgate"))
            .args(["run", "--config", "config/demo.yaml", "--addresses-file"])
            .arg(&addresses)
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        let settings = [
            "workers=1".to_owned(),
            "listeners.0.address=127.0.0.1:0".to_owned(),
            "admin.address=127.0.0.1:0".to_owned(),
            format!("upstreams.operations.endpoints={}", json!([backend.to_string()])),
            format!("issuers.demo.keys={}", json!({ "file": keys })),
            "audit.output=/dev/null".to_owned(),
        ];
        for setting in settings {
            tool.args(["--set", &setting]);
        }
        // Settings from the developer's shell must not change the counts.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OPGATE_")) {
            tool.env_remove(name);
        }
        let stderr = std::fs::File::create(&log).unwrap();
        let child = tool.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        let mut gate = Self { child, address: backend };
        gate.address = gate.started(&addresses, &log);
        gate
    }

    /// Waits until it serves, and gives its address.
    fn started(&mut self, addresses: &Path, log: &Path) -> SocketAddr {
        let deadline = Instant::now() + START;
        loop {
            if let Ok(text) = std::fs::read_to_string(addresses) {
                let bound: Value = serde_json::from_str(&text).unwrap();
                return bound["listeners"][0].as_str().unwrap().parse().unwrap();
            }
            let ended = self.child.try_wait().unwrap();
            let log = || std::fs::read_to_string(log).unwrap_or_default();
            assert!(ended.is_none() && Instant::now() < deadline, "the gate did not start:\n{}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The process, which the tool has become or is beside.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves `{}` to every request, on a thread for each connection. It waits so long before each answer: long enough that the
/// gate does nothing else by then, so that its waits can be counted.
pub fn backend(pause: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut connection = Connection::new(stream.unwrap());
            std::thread::spawn(move || {
                while connection.read_message().is_some() {
                    std::thread::sleep(pause);
                    let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=UTF-8\r\n\
                        date: Fri, 15 Jan 2027 08:00:05 GMT\r\ncontent-length: 2\r\n\r\n{}";
                    connection.stream.write_all(answer.as_bytes()).unwrap();
                }
            });
        }
    });
    address
}

/// A connection to the gate.
pub enum Client {
    Http1(Connection),
    Http2(Http2Connection),
}

impl Client {
    pub fn connect(address: SocketAddr, over_http2: bool) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        if over_http2 {
            return Self::Http2(Http2Connection::new(stream));
        }
        stream.set_read_timeout(Some(ANSWER)).unwrap();
        Self::Http1(Connection::new(stream))
    }

    /// Sends a request, and reads its answer to the end. Gives the status.
    pub fn ask(&mut self, request: &[u8]) -> u16 {
        let connection = match self {
            Self::Http1(connection) => connection,
            Self::Http2(connection) => return connection.ask(std::str::from_utf8(request).unwrap()),
        };
        connection.stream.write_all(request).unwrap();
        let head = connection.read_message();
        let head = head.unwrap_or_else(|| panic!("closed before {:?}", String::from_utf8_lossy(request)));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| panic!("no status: {head}"))
    }
}

/// A connection over HTTP/2, which is driven while an answer is waited for.
pub struct Http2Connection {
    runtime: tokio::runtime::Runtime,
    client: h2::client::SendRequest<Bytes>,
}

impl Http2Connection {
    fn new(stream: TcpStream) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        stream.set_nonblocking(true).unwrap();
        stream.set_nodelay(true).unwrap();
        let client = runtime.block_on(async {
            let stream = tokio::net::TcpStream::from_std(stream).unwrap();
            let (client, connection) = h2::client::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            client
        });
        Self { runtime, client }
    }

    /// Sends what `text` says in HTTP/1, in one piece.
    fn ask(&mut self, text: &str) -> u16 {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let mut line = lines.next().unwrap().split(' ');
        let (method, target) = (line.next().unwrap(), line.next().unwrap());
        let fields: Vec<(&str, &str)> = lines.map(|line| line.split_once(": ").unwrap()).collect();
        let host = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("host")).unwrap().1;
        let mut request = http::Request::builder().method(method).uri(format!("http://{host}{target}"));
        for (name, value) in fields {
            if !["host", "connection"].contains(&name.to_ascii_lowercase().as_str()) {
                request = request.header(name, value);
            }
        }
        let request = request.body(()).unwrap();
        let Self { runtime, client } = self;
        runtime.block_on(async {
            let (answer, mut sending) = client.send_request(request, body.is_empty()).unwrap();
            if !body.is_empty() {
                sending.send_data(Bytes::copy_from_slice(body.as_bytes()), true).unwrap();
            }
            let (head, mut body) = answer.await.unwrap().into_parts();
            while let Some(piece) = body.data().await {
                body.flow_control().release_capacity(piece.unwrap().len()).unwrap();
            }
            head.status.as_u16()
        })
    }
}

/// A connection that messages come over, each with the length of its body in `content-length`.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// The head of the next message, which has come with all of its body. `None` at the end.
    fn read_message(&mut self) -> Option<String> {
        loop {
            if let Some((head, length)) = self.message() {
                self.buffer.drain(..length);
                return Some(head);
            }
            let mut bytes = [0; 8192];
            let read = self.stream.read(&mut bytes).unwrap();
            if read == 0 {
                assert!(
                    self.buffer.is_empty(),
                    "half a message: {:?}",
                    String::from_utf8_lossy(&self.buffer)
                );
                return None;
            }
            self.buffer.extend_from_slice(&bytes[..read]);
        }
    }

    /// The head of the message that the buffer begins with, and the length of the whole of it.
    fn message(&self) -> Option<(String, usize)> {
        let end = self.buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        let mut body = 0;
        for (name, value) in head.lines().filter_map(|line| line.split_once(':')) {
            assert!(!name.eq_ignore_ascii_case("transfer-encoding"), "a message of no known length: {head}");
            if name.eq_ignore_ascii_case("content-length") {
                body = value.trim().parse().unwrap();
            }
        }
        (self.buffer.len() >= end + body).then_some((head, end + body))
    }
}
