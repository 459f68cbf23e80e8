//! One process takes over from another: no connection is refused, and a process that fails leaves everything as it was.

use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use opgate::dev::mint::Mint;
use opgate::dev::wire;
use opgate::handover::Upgrade;
use opgate::handover::{self, Purpose};
use opgate::listener::ListenSocket;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixListener, UnixStream};

use crate::connection::Connection;
use crate::harness::{COMPANION, Gate, Process, Req, Setup, cancel, key, signal};

/// A running gate that offers its sockets, and the path of its upgrade socket.
struct Old {
    gate: Gate,
    socket: PathBuf,
    _directory: tempfile::TempDir,
}

impl Old {
    fn start() -> Self {
        Self::start_with("60s")
    }

    fn start_with(timeout: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("upgrade.sock");
        let upgrade = format!("upgrade={}", json!({ "socket": socket, "timeout": timeout }));
        let gate = Gate::start_with(Setup { set: vec![upgrade], ..Setup::default() });
        Self { gate, socket, _directory: directory }
    }

    fn ask(&self) {
        signal(self.gate.pid(), "QUIT");
    }

    /// Asks for an upgrade, and waits for the offer.
    async fn offers(&self) {
        self.ask();
        until("the socket is there", || self.socket.exists()).await;
    }

    async fn logged(&self, text: &str) {
        until(text, || self.gate.log().contains(text)).await;
    }

    async fn serves(&self) {
        assert_eq!(self.gate.http1(&cancel()).await.status, 200);
    }
}

async fn until(what: &str, found: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !found() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn status(address: SocketAddr) -> u16 {
    wire::exchange(address, &cancel().to_http1()).await.unwrap().status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_connection_is_refused_while_a_new_process_takes_over() {
    let mut old = Old::start();
    let (address, admin) = (old.gate.address, old.gate.admin);
    let stop = AtomicBool::new(false);
    let knock = async || {
        let mut served = 0;
        while !stop.load(Ordering::Relaxed) {
            assert_eq!(status(address).await, 200);
            served += 1;
        }
        served
    };
    let upgrade = async {
        let mut new = old.gate.successor("new", &[]);
        old.ask();
        // The sockets are the same, though the configuration asks for free ports.
        assert_eq!(new.serving().await, (vec![address], admin));
        assert!(old.gate.ended().await.success(), "{}", old.gate.log());
        stop.store(true, Ordering::Relaxed);
        new
    };
    let (mut new, one, two, three) = tokio::join!(upgrade, knock(), knock(), knock());
    assert!(!old.socket.exists(), "the socket exists only during the upgrade");
    new.signal("TERM");
    assert!(new.ended().await.success());
    // Both processes wrote the log: each line is whole, and none is missing.
    let audit = std::fs::read_to_string(old.gate.path("audit.jsonl")).unwrap();
    let whole = audit.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok());
    assert_eq!(whole.count(), one + two + three);
}

#[tokio::test]
async fn either_process_may_be_first_and_the_new_one_may_be_followed() {
    let mut old = Old::start();
    let address = old.gate.address;
    old.offers().await;
    let mode = std::fs::metadata(&old.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut second = old.gate.successor("second", &[]);
    second.serving().await;
    assert!(old.gate.ended().await.success());
    assert_eq!(status(address).await, 200);

    let mut third = old.gate.successor("third", &[]);
    third.logged("waiting for the running process").await;
    second.signal("QUIT");
    third.serving().await;
    assert!(second.ended().await.success());
    assert_eq!(status(address).await, 200);
}

#[tokio::test]
async fn connections_are_drained_by_the_process_that_has_them() {
    let mut old = Old::start();
    let mut kept_alive = Connection::open(old.gate.address).await;
    kept_alive.send(cancel().to_http1()).await;
    assert_eq!(kept_alive.status().await, Some(200));
    let mut half_sent = Connection::open(old.gate.address).await;
    let request = cancel().to_http1();
    half_sent.send(&request[..request.len() / 2]).await;
    let http2 = old.gate.http2_client().await;
    // It is answered after the bytes before it have been read.
    old.serves().await;
    let mut new = old.gate.successor("new", &[]);
    old.ask();
    new.serving().await;
    half_sent.send(&request[request.len() / 2..]).await;
    let answer = half_sent.answer().await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert_eq!(kept_alive.rest().await, b"");
    http2.closed().await.expect("GOAWAY says NO_ERROR");
    assert!(old.gate.ended().await.success());
}

/// The old one waited for all of `upgrade.timeout`, and so did the package that had asked for the upgrade.
#[tokio::test]
async fn a_successor_that_fails_at_once_is_not_waited_for() {
    let mut old = Old::start_with("10m");
    let keys = old.gate.path("keys.jwks.json");
    let good = std::fs::read(&keys).unwrap();
    std::fs::write(&keys, "[").unwrap();
    signal(old.gate.pid(), "USR2");
    old.logged("no new process has taken over").await;
    old.logged("the new process ended before it asked for the listeners").await;
    assert!(!old.socket.exists());
    old.serves().await;
    std::fs::write(&keys, good).unwrap();
    let mut new = old.gate.successor("new", &[]);
    old.ask();
    new.serving().await;
    assert!(old.gate.ended().await.success());
}

#[tokio::test]
async fn a_new_process_that_breaks_off_changes_nothing() {
    let old = Old::start();
    old.offers().await;
    // An issuer that cannot be reached: the new process has the sockets, and is not ready.
    let unready = ["issuers.demo.keys={url: 'http://127.0.0.1:1/jwks.json'}".to_owned()];
    let mut new = old.gate.successor("new", &unready);
    old.logged("serving until it is ready").await;
    for _ in 0..20 {
        old.serves().await;
    }
    new.signal("KILL");
    new.ended().await;
    old.logged("no new process has taken over, serving on").await;
    assert!(old.gate.log().contains("the other process ended the handover"), "{}", old.gate.log());
    assert!(!old.socket.exists());
    old.serves().await;
    // The old process can be asked again.
    let mut new = old.gate.successor("next", &[]);
    old.ask();
    new.serving().await;
}

#[tokio::test]
async fn a_new_process_that_is_not_ready_in_time_ends_and_says_why() {
    let old = Old::start();
    let unready = [
        "issuers.demo.keys={url: 'http://127.0.0.1:1/jwks.json'}".to_owned(),
        "upgrade.timeout=1s".to_owned(),
    ];
    let mut new = old.gate.successor("new", &unready);
    old.ask();
    assert_eq!(new.ended().await.code(), Some(1));
    assert!(new.log().contains("opgate: not ready in time: issuer `demo`: "), "{}", new.log());
    old.logged("the other process says: not ready in time: issuer `demo`: ").await;
    old.serves().await;
}

#[tokio::test]
async fn a_new_process_that_stays_unready_is_not_waited_for_forever() {
    let old = Old::start_with("3s");
    let unready = [
        "issuers.demo.keys={url: 'http://127.0.0.1:1/jwks.json'}".to_owned(),
        "upgrade.timeout=60s".to_owned(),
    ];
    let mut new = old.gate.successor("new", &unready);
    new.logged("waiting for the running process").await;
    old.ask();
    old.logged("the new process was not ready within 3s").await;
    old.serves().await;
}

/// If the new process stopped as well, no process would be left.
#[tokio::test]
async fn a_new_process_serves_on_when_the_old_one_dies_while_it_becomes_ready() {
    let directory = tempfile::tempdir().unwrap();
    let socket = Arc::new(ListenSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap());
    let keys = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upgrade = Upgrade { socket: directory.path().join("upgrade.sock"), timeout: Duration::from_secs(60) };
    let settings = [
        format!("upgrade.socket={}", upgrade.socket.display()),
        format!("listeners.0.address={}", socket.bound()),
        "admin.address=127.0.0.1:0".to_owned(),
        format!("issuers.demo.keys={}", json!({ "url": format!("http://{}/", keys.local_addr().unwrap()) })),
    ];
    let mut new = Process::start("new", directory.path(), &settings, &["--upgrade"]);
    // The new process fetches its keys once it has its sockets.
    let sockets = [(Purpose::Listener, socket.clone())];
    let mut asking = tokio::select! {
        asking = keys.accept() => asking.unwrap().0,
        never = handover::offer(&upgrade, &sockets, Value::Null, std::future::pending()) => panic!("{never:?}"),
    };
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        asking.read_buf(&mut request).await.unwrap();
    }
    let key_set = key().jwks().to_string();
    let length = key_set.len();
    let answer =
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
    asking.write_all((answer + &key_set).as_bytes()).await.unwrap();
    assert_eq!(new.serving().await.0, [socket.bound().socket().unwrap()]);
    new.logged("ended without an answer: serving in its place").await;
    let anonymous =
        wire::exchange(socket.bound().socket().unwrap(), &Req::new("POST", COMPANION, "/v1/x").to_http1())
            .await;
    assert_eq!(anonymous.unwrap().status, 404);
}

#[tokio::test]
async fn a_new_process_with_a_mistake_does_not_ask_for_anything() {
    let old = Old::start();
    let mut new = old.gate.successor("new", &["limits.head_bytes=1".to_owned()]);
    assert_eq!(new.ended().await.code(), Some(3), "{}", new.log());
    old.offers().await;
    let mut new = old.gate.successor("next", &[]);
    new.serving().await;
}

#[tokio::test]
async fn a_new_process_that_cannot_listen_says_so_to_the_old_one() {
    let old = Old::start();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut new = old.gate.successor("new", &[format!("listeners.0.address={address}")]);
    old.ask();
    assert_eq!(new.ended().await.code(), Some(1), "{}", new.log());
    old.logged(&format!("the other process says: cannot listen on {address}: ")).await;
    old.serves().await;
}

#[tokio::test]
async fn listeners_that_changed_are_bound_anew_and_closed() {
    let mut old = Old::start();
    let free = {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap()
    };
    // A listener with the address that is bound already, and another one.
    let listeners = json!([{ "address": old.gate.address }, { "address": free }]);
    let mut second = old.gate.successor("second", &[format!("listeners={listeners}")]);
    old.ask();
    assert_eq!(second.serving().await.0, [old.gate.address, free]);
    assert!(old.gate.ended().await.success());
    for address in [old.gate.address, free] {
        assert_eq!(status(address).await, 200);
    }
    let listeners = json!([{ "address": free }]);
    let mut third = old.gate.successor("third", &[format!("listeners={listeners}")]);
    second.signal("QUIT");
    assert_eq!(third.serving().await.0, [free]);
    assert!(second.ended().await.success());
    assert_eq!(status(free).await, 200);
    assert!(TcpStream::connect(old.gate.address).await.is_err(), "the port is still open");
}

#[tokio::test]
async fn a_second_new_process_is_turned_away() {
    let old = Old::start();
    let unready = ["issuers.demo.keys={url: 'http://127.0.0.1:1/jwks.json'}".to_owned()];
    let mut first = old.gate.successor("first", &unready);
    old.ask();
    first.logged("waiting for the running process").await;
    old.logged("serving until it is ready").await;
    let mut second = old.gate.successor("second", &[]);
    assert_eq!(second.ended().await.code(), Some(1));
    let told = "opgate: the other process says: another new process is taking over";
    assert!(second.log().contains(told), "{}", second.log());
    first.signal("TERM");
    assert_eq!(first.ended().await.code(), Some(1));
    old.logged("the other process says: stopped before it was ready").await;
    old.serves().await;
}

#[tokio::test]
async fn a_stale_upgrade_socket_is_replaced_and_anything_else_there_is_reported() {
    let old = Old::start();
    // A socket that a killed process left behind.
    drop(std::os::unix::net::UnixListener::bind(&old.socket).unwrap());
    old.ask();
    until("the socket is a live one", || std::os::unix::net::UnixStream::connect(&old.socket).is_ok()).await;
    // A peer that sends nothing is not a new process.
    old.logged("no new process has taken over").await;
    until("the socket is gone", || !old.socket.exists()).await;

    std::fs::write(&old.socket, "mine").unwrap();
    old.ask();
    old.logged("something that is not a socket is there").await;
    assert_eq!(std::fs::read_to_string(&old.socket).unwrap(), "mine");
    std::fs::remove_file(&old.socket).unwrap();

    let _other = std::os::unix::net::UnixListener::bind(&old.socket).unwrap();
    old.ask();
    old.logged("another process offers its listeners at").await;
    assert!(std::fs::metadata(&old.socket).unwrap().file_type().is_socket());
    std::fs::remove_file(&old.socket).unwrap();

    std::fs::remove_dir(old.socket.parent().unwrap()).unwrap();
    old.ask();
    old.logged("cannot offer the listeners at").await;
    old.serves().await;
}

#[tokio::test]
async fn an_upgrade_without_a_peer_times_out() {
    let old = Old::start_with("1s");
    old.ask();
    old.logged("no new process came to").await;
    old.serves().await;
    let mut new = old.gate.successor("new", &[]);
    assert_eq!(new.ended().await.code(), Some(1));
    assert!(new.log().contains("opgate: no process offered listeners at"), "{}", new.log());
    assert!(new.log().contains("send SIGQUIT to the running process"), "{}", new.log());
}

#[tokio::test]
async fn sigterm_ends_a_process_that_offers() {
    let mut old = Old::start();
    old.offers().await;
    old.gate.ask_to_end();
    assert!(old.gate.ended().await.success());
    assert!(!old.socket.exists());
}

#[tokio::test]
async fn without_a_socket_in_the_configuration_sigquit_is_only_told() {
    let gate = Gate::start();
    signal(gate.pid(), "QUIT");
    until("a line in the log", || gate.log().contains("the configuration has no `upgrade`")).await;
    assert_eq!(gate.http1(&cancel()).await.status, 200);
}

#[tokio::test]
async fn an_old_process_of_another_protocol_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("upgrade.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let settings = [
        format!("upgrade.socket={}", socket.display()),
        "listeners.0.address=127.0.0.1:0".to_owned(),
        "admin.address=127.0.0.1:0".to_owned(),
    ];
    let mut new = Process::start("new", directory.path(), &settings, &["--upgrade"]);
    let (mut old, _) = listener.accept().await.unwrap();
    old.write_all(b"{\"handover\":2,\"opgate\":\"9.8.7\",\"more\":[]}\n").await.unwrap();
    assert_eq!(new.ended().await.code(), Some(1));
    let told = "the other process (opgate 9.8.7) hands over by protocol 2, this one (opgate ";
    assert!(new.log().contains(told), "{}", new.log());
}

#[tokio::test]
async fn a_new_process_of_another_protocol_or_of_none_is_told() {
    let old = Old::start();
    old.offers().await;
    let mut new = BufReader::new(UnixStream::connect(&old.socket).await.unwrap());
    new.write_all(b"{\"handover\":2,\"opgate\":\"9.8.7\"}\n").await.unwrap();
    let mut lines = String::new();
    for _ in 0..2 {
        new.read_line(&mut lines).await.unwrap();
    }
    assert!(lines.contains("hands over by protocol 2"), "{lines}");
    old.logged("hands over by protocol 2").await;

    until("the socket is gone", || !old.socket.exists()).await;
    for (said, told) in [
        ("hello\n", "breaks the protocol"),
        ("{\"handover\":1,\"opgate\":\"1\"}\n\"ready\"\n", "it is ready before it has begun"),
        ("{\"handover\":1,\"opgate\":\"1\"}\n{\"take\":[7]}\n", "it takes socket 7 of 2"),
    ] {
        old.offers().await;
        let mut new = UnixStream::connect(&old.socket).await.unwrap();
        new.write_all(said.as_bytes()).await.unwrap();
        old.logged(told).await;
        until("the socket is gone", || !old.socket.exists()).await;
    }
    old.serves().await;
}
