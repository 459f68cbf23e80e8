//! Clients that are slow with a head, a body or an answer. None of them delays others, or keeps resources for longer
//! than the limits say.

mod thousand;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::authority::Authority;
use crate::bystander::Large;
use crate::connection::Connection;
use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Outcome, RST_STREAM, WINDOW_UPDATE,
    ask_over, block, frame, next, opening,
};
use crate::harness::{COMPANION, Gate, Setup, Tree};

/// A host on which every caller may call everything.
const HOST: &str = "slow.localhost";

const SERVICE: &str = "
type: google.api.Service
name: slow.example.com
http:
  rules:
  - selector: example.Slow.Download
    get: '/{path=**}'
  - selector: example.Slow.Upload
    post: '/{path=**}'
    body: '*'
authentication:
  rules:
  - selector: '*'
    allow_without_credential: true
";
const RULES: &str = "
service: slow.example.com
rules:
- selector: example.Slow.Download
  permission: none
  resource: path
- selector: example.Slow.Upload
  permission: none
  resource: path
  body: stream
";

/// A gate in front of a backend with large answers; `limits` is the configuration's own text.
struct Slow {
    gate: Gate,
    _tree: Tree,
}

impl Slow {
    fn start(limits: &str, more: &[String]) -> Self {
        Self::in_front_of(Large::start().address(), limits, more)
    }

    fn in_front_of(backend: SocketAddr, limits: &str, more: &[String]) -> Self {
        let tree = Tree::shipped();
        tree.add_service("slow", SERVICE, RULES);
        let exposed = json!({
            "slow": { "hosts": [HOST, "127.0.0.1"], "upstream": "operations" },
            "cloudaicompanion": { "hosts": [COMPANION], "upstream": "operations" },
        });
        let mut set = vec![tree.setting(), format!("services={exposed}"), format!("limits={limits}")];
        set.extend_from_slice(more);
        let endpoints = Some(vec![backend]);
        Self { gate: Gate::start_with(Setup { endpoints, set, ..Setup::default() }), _tree: tree }
    }

    /// Waits until so many requests have ended for this reason, and gives the time that it took.
    async fn until_ended(&self, reason: &str, count: u64) -> Duration {
        let began = Instant::now();
        loop {
            let metrics = self.gate.metrics().await;
            let told: u64 = metrics
                .lines()
                .filter(|line| line.starts_with("opgate_requests_total{") && line.contains(reason))
                .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
                .sum();
            if told >= count {
                assert_eq!(told, count, "{reason}");
                return began.elapsed();
            }
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{told} of {count} {reason}\n{metrics}\n{}",
                self.gate.audit_text()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A connection with a small receive buffer.
async fn narrow(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(address).await.unwrap()
}

/// Sends bytes, and then reads five bytes now and then until the end.
async fn sip(mut stream: impl AsyncRead + AsyncWrite + Unpin, said: &[u8]) {
    stream.write_all(said).await.unwrap();
    stream.flush().await.unwrap();
    let mut sip = [0; 5];
    while let Ok(1..) = stream.read(&mut sip).await {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn head(method: &str) -> Vec<u8> {
    block(&[
        (":method", method.as_bytes()),
        (":scheme", b"http"),
        (":authority", HOST.as_bytes()),
        (":path", b"/v1/x"),
    ])
}

fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &head("GET"))
}

/// Over HTTP/1.1, over HTTP/2 with a large window, and over HTTP/2 with a window that opens by five bytes.
#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_cut() {
    let slow = Slow::start("{write_timeout: 2s}", &[]);
    let address = slow.gate.address;
    let http1 = format!("GET /v1/x HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let wide = [
        opening(&[(4, 0x7fff_ffff)]),
        frame(WINDOW_UPDATE, 0, 0, &0x7000_0000_u32.to_be_bytes()),
        get(1),
        get(3),
    ]
    .concat();
    let mut clients = tokio::task::JoinSet::new();
    let stream = narrow(address).await;
    clients.spawn(async move { sip(stream, http1.as_bytes()).await });
    let stream = narrow(address).await;
    clients.spawn(async move { sip(stream, &wide).await });
    let mut stream = TcpStream::connect(address).await.unwrap();
    let drop_by_drop = clients.spawn(async move {
        stream.write_all(&[opening(&[(4, 0)]), get(1)].concat()).await.unwrap();
        let (mut reading, mut writing) = stream.into_split();
        let opens = async {
            loop {
                writing.write_all(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 5])).await.unwrap();
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let ends = async {
            while !matches!(next(&mut reading).await.expect("the connection stays open"), (RST_STREAM, _)) {}
        };
        tokio::select! { () = opens => {}, () = ends => {} }
    });
    let took = slow.until_ended("RESPONSE_NOT_TAKEN", 4).await;
    eprintln!("four answers that clients did not take are cut after {took:?}");
    let metrics = slow.gate.metrics().await;
    assert!(metrics.contains("opgate_connections_cut_total{reason=\"write_timeout\"} 1"), "{metrics}");
    drop(drop_by_drop);
    clients.shutdown().await;
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_over_tls_is_cut() {
    let authority = Authority::new();
    let files = tempfile::tempdir().unwrap();
    let (cert, key) = authority.issue(&[HOST]).write(files.path(), "server");
    let tls = json!({ "certificates": [{ "cert": cert, "key": key }] });
    let slow = Slow::start("{write_timeout: 2s}", &[format!("listeners.0.tls={tls}")]);
    let client = authority.client().offering(&["http/1.1"]);
    let stream = client.connect(slow.gate.address, HOST).await.unwrap();
    let http1 = format!("GET /v1/x HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let client = tokio::spawn(async move { sip(stream, http1.as_bytes()).await });
    slow.until_ended("RESPONSE_NOT_TAKEN", 1).await;
    client.abort();
}

/// The limit is two seconds, and this takes longer. The answer is not cut because it makes progress.
#[tokio::test]
async fn a_client_on_a_slow_line_has_its_whole_answer() {
    let slow = Slow::start("{write_timeout: 1s}", &[]);
    let mut stream = TcpStream::connect(slow.gate.address).await.unwrap();
    stream.write_all(format!("GET /v1/x HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await.unwrap();
    let mut piece = vec![0; 64 * 1024];
    let mut seen = 0;
    for _ in 0..40 {
        seen += stream.read(&mut piece).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    while seen < Large::BYTES {
        let length = stream.read(&mut piece).await.unwrap();
        assert!(length > 0, "cut after {seen} bytes");
        seen += length;
    }
}

#[tokio::test]
async fn a_streamed_body_that_stops_times_out() {
    let slow = Slow::start("{body_timeout: 1s}", &[]);
    let mut stopped = Connection::open(slow.gate.address).await;
    stopped.send(format!("POST /v1/x HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 9\r\n\r\nx")).await;
    let mut trickled = Connection::open(slow.gate.address).await;
    trickled.send(format!("POST /v1/x HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 900\r\n\r\nx")).await;
    let trickle = tokio::spawn(async move {
        while trickled.try_send(b"x").await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let head = head("POST");
    let mut stream = TcpStream::connect(slow.gate.address).await.unwrap();
    let mut frames = opening(&[]);
    for number in [1, 3] {
        frames.extend(frame(HEADERS, END_HEADERS, number, &head));
        frames.extend(frame(DATA, 0, number, b"x"));
    }
    stream.write_all(&frames).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let reader = tokio::spawn(async move {
        let mut ended = 0;
        while ended < 2 {
            let (kind, _) = next(&mut reading).await.expect("the connection stays open");
            ended += u32::from(kind == RST_STREAM);
        }
    });
    let writer = tokio::spawn(async move {
        loop {
            // The other stream has stopped.
            writing.write_all(&frame(DATA, 0, 3, b"x")).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    slow.until_ended("REQUEST_BODY_TIMEOUT", 4).await;
    tokio::time::timeout(Duration::from_secs(10), reader).await.expect("both are reset").unwrap();
    writer.abort();
    trickle.abort();
}

/// The gate does not judge trailers, so it does not pass them on.
#[tokio::test]
async fn trailers_of_a_body_that_is_passed_on_end_at_the_gate() {
    let backend = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow = Slow::in_front_of(backend.local_addr().unwrap(), "{}", &[]);
    let received = tokio::spawn(async move {
        let (mut stream, _) = backend.accept().await.unwrap();
        let mut received = Vec::new();
        while !received.ends_with(b"\r\n0\r\n\r\n") {
            assert!(stream.read_buf(&mut received).await.unwrap() > 0, "the end of the body");
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        String::from_utf8(received).unwrap()
    });
    let mut frames = frame(HEADERS, END_HEADERS, 1, &head("POST"));
    frames.extend(frame(DATA, 0, 1, b"x"));
    frames.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[("x-trailer", b"v")])));
    let stream = TcpStream::connect(slow.gate.address).await.unwrap();
    assert_eq!(ask_over(stream, &frames).await, Outcome::Status(200));
    let received = tokio::time::timeout(Duration::from_secs(10), received).await.unwrap().unwrap();
    assert!(received.ends_with("\r\n1\r\nx\r\n0\r\n\r\n") && !received.contains("x-trailer"), "{received}");
}

#[tokio::test]
async fn a_header_block_that_does_not_end_times_out() {
    let slow = Slow::start("{head_timeout: 1s}", &[]);
    let begun = frame(HEADERS, 0, 1, &head("GET"));
    for rest in [Vec::new(), frame(CONTINUATION, 0, 1, &[0x10; 20])] {
        let mut stream = TcpStream::connect(slow.gate.address).await.unwrap();
        stream.write_all(&[opening(&[]), begun.clone()].concat()).await.unwrap();
        let (mut reading, mut writing) = stream.into_split();
        let trickle = tokio::spawn(async move {
            for byte in rest.into_iter().cycle() {
                let _ = writing.write_all(&[byte]).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            // The connection stays fully open: a half-closed one would end in another way.
            std::future::pending::<()>().await;
        });
        let told = async {
            loop {
                if let (GOAWAY, payload) = next(&mut reading).await.expect("GOAWAY before the end") {
                    return payload[4..8].to_vec();
                }
            }
        };
        let code = tokio::time::timeout(Duration::from_secs(10), told).await.expect("an end in time");
        assert_eq!(code, [0, 0, 0, 11], "ENHANCE_YOUR_CALM");
        trickle.abort();
    }
    let metrics = slow.gate.metrics().await;
    assert!(metrics.contains("opgate_connections_cut_total{reason=\"head_timeout\"} 2"), "{metrics}");
}

/// The client decides how fast an answer is read: a timeout there must not eject the endpoint.
#[tokio::test]
async fn a_client_that_reads_slowly_ejects_no_endpoint() {
    let set = [
        "upstreams.operations.timeouts={response: 1s, total: 2s}".to_owned(),
        "upstreams.operations.outliers={failures: 2}".to_owned(),
    ];
    let slow = Slow::start("{write_timeout: 10s}", &set);
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let mut stream = narrow(slow.gate.address).await;
        clients.spawn(async move {
            stream.write_all(format!("GET /v1/x HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await.unwrap();
            let began = Instant::now();
            let (mut piece, mut taken) = (vec![0; 16 * 1024], 0);
            while let Ok(length @ 1..) = stream.read(&mut piece).await {
                taken += length;
                if began.elapsed() < Duration::from_secs(3) {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            assert!(taken < Large::BYTES, "cut");
        });
    }
    clients.join_all().await;
    slow.until_ended("UPSTREAM_TIMEOUT", 4).await;
    let metrics = slow.gate.metrics().await;
    let healthy = metrics.lines().find(|line| line.starts_with("opgate_upstream_healthy{")).unwrap();
    assert!(healthy.ends_with(" 1"), "{healthy}");
}
