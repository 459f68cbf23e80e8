//! Unix sockets, and IPv6 with and without IPv4.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use tokio::net::{TcpStream, UnixStream};

use super::{caller, gate, status, talk};
use crate::harness::{Gate, Http2, Process, Req, cancel, get, opgate};

/// A gate with a listener at a Unix socket beside the usual one.
struct OverUnix {
    gate: Gate,
    path: PathBuf,
    _folder: TempDir,
}

impl OverUnix {
    fn start(options: &str, set: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gate.sock");
        let upgrade = json!({ "socket": folder.path().join("upgrade.sock"), "timeout": "60s" });
        let own = [
            format!(
                "listeners=[{{address: '127.0.0.1:0'}}, {{address: 'unix:{}'{options}}}]",
                path.display()
            ),
            format!("upgrade={upgrade}"),
        ];
        let set: Vec<&str> = own.iter().map(String::as_str).chain(set.iter().copied()).collect();
        Self { gate: gate(&set), path, _folder: folder }
    }
}

fn closing(request: &Req) -> Vec<u8> {
    request.clone().header("connection", "close").to_http1()
}

async fn send(path: &Path, request: &Req) -> u16 {
    status(&talk(UnixStream::connect(path).await.unwrap(), &closing(request)).await)
}

#[tokio::test]
async fn a_unix_socket_serves_both_versions_of_http() {
    let mut over_unix = OverUnix::start(", mode: '0660'", &[]);
    let path = over_unix.path.clone();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    // There is no address, and a client's word for one is not taken.
    let request = cancel().header("x-forwarded-for", "192.0.2.1");
    assert_eq!(send(&path, &request).await, 200);
    let mut client = Http2::over(UnixStream::connect(&path).await.unwrap()).await;
    let (response, _) = client.start(&get(), true).await;
    assert_eq!(client.finish(response).await.status, 200);
    assert_eq!(over_unix.gate.http1(&cancel()).await.status, 200);
    let lines = over_unix.gate.audit(3);
    assert_eq!(lines.iter().map(caller).collect::<Vec<_>>(), ["-", "-", "127.0.0.1"]);
    assert!(over_unix.gate.terminate().success());
    assert!(!path.exists());
}

#[tokio::test]
async fn a_proxy_behind_a_unix_socket_is_believed_where_it_is_named() {
    let over_unix = OverUnix::start(", proxy_protocol: {addresses: [unix]}", &[]);
    let bytes = [b"PROXY TCP4 192.0.2.7 203.0.113.9 1 2\r\n".as_slice(), &closing(&cancel())].concat();
    let answer = talk(UnixStream::connect(&over_unix.path).await.unwrap(), &bytes).await;
    assert_eq!(status(&answer), 200);
    assert_eq!(caller(&over_unix.gate.audit(1)[0]), "192.0.2.7");

    let over_unix = OverUnix::start("", &["trusted_proxies={addresses: [unix]}"]);
    let request = cancel().header("x-forwarded-for", "198.51.100.1, 192.0.2.1");
    assert_eq!(send(&over_unix.path, &request).await, 200);
    assert_eq!(caller(&over_unix.gate.audit(1)[0]), "192.0.2.1");
}

/// The file stays the same one, and whoever connects is served by one process or the other.
#[tokio::test]
async fn a_unix_socket_is_handed_over() {
    let mut old = OverUnix::start("", &[]);
    let path = old.path.clone();
    let mut new = old.gate.successor("new", &[]);
    crate::harness::signal(old.gate.pid(), "QUIT");
    let upgrade = async {
        new.serving().await;
        assert!(old.gate.ended().await.success(), "{}", old.gate.log());
    };
    let knocking = async {
        let mut served = 0;
        loop {
            assert_eq!(send(&path, &cancel()).await, 200);
            served += 1;
            assert!(served < 1_000_000);
        }
    };
    tokio::select! {
        () = upgrade => {}
        () = async { let _: std::convert::Infallible = knocking.await; } => {}
    }
    assert_eq!(send(&path, &cancel()).await, 200);
    new.signal("TERM");
    assert!(new.ended().await.success());
    assert!(!path.exists());
}

/// A process that was killed leaves the file, and one that runs keeps it.
#[tokio::test]
async fn the_file_of_a_killed_process_is_replaced_and_that_of_a_running_one_is_not() {
    let old = OverUnix::start("", &[]);
    let path = old.path.clone();
    let folder = tempfile::tempdir().unwrap();
    let set = [
        format!("listeners=[{{address: 'unix:{}'}}]", path.display()),
        "admin.address=127.0.0.1:0".to_owned(),
        format!("issuers.demo.keys={}", json!({ "file": old.gate.path("keys.jwks.json") })),
    ];
    let mut second = Process::start("second", folder.path(), &set, &[]);
    assert!(!second.ended().await.success());
    assert!(second.log().contains("another process listens there"), "{}", second.log());
    assert_eq!(send(&path, &cancel()).await, 200);

    crate::harness::signal(old.gate.pid(), "KILL");
    let deadline = Instant::now() + Duration::from_secs(20);
    while UnixStream::connect(&path).await.is_ok() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(path.exists());
    let mut third = Process::start("third", folder.path(), &set, &[]);
    third.serving().await;
    assert!(UnixStream::connect(&path).await.is_ok());
    third.signal("TERM");
    assert!(third.ended().await.success());
    assert!(!path.exists());
}

#[tokio::test]
async fn an_address_of_ipv6_takes_ipv4_as_well_unless_it_is_told_not_to() {
    let both = gate(&["listeners.0.address='[::]:0'"]);
    let port = both.address.port();
    for address in ["127.0.0.1", "::1"] {
        let stream = TcpStream::connect((address, port)).await.unwrap();
        assert_eq!(status(&talk(stream, &closing(&cancel())).await), 200, "{address}");
    }
    assert_eq!(both.audit(2).iter().map(caller).collect::<Vec<_>>(), ["127.0.0.1", "::1"]);

    let only = gate(&["listeners.0.address='[::]:0'", "listeners.0.ipv6_only=true"]);
    let port = only.address.port();
    let stream = TcpStream::connect(("::1", port)).await.unwrap();
    assert_eq!(status(&talk(stream, &closing(&cancel())).await), 200);
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
    // So another listener may have the same port for IPv4.
    let listeners =
        format!("listeners=[{{address: '[::]:{port}', ipv6_only: true}}, {{address: '0.0.0.0:{port}'}}]");
    drop(only);
    let two = gate(&[&listeners]);
    for address in ["127.0.0.1", "::1"] {
        let stream = TcpStream::connect((address, port)).await.unwrap();
        assert_eq!(status(&talk(stream, &closing(&cancel())).await), 200, "{address}");
    }
    drop(two);
}

#[test]
fn what_does_not_fit_a_listener_is_told() {
    let told = |listener: &str| {
        let mut command = opgate();
        command.args([
            "check",
            "--offline",
            "--config",
            "config/demo.yaml",
            "--set",
            &format!("listeners.0={listener}"),
        ]);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{listener}");
        String::from_utf8(output.stderr).unwrap()
    };
    for (listener, expected) in [
        ("{address: 'unix:/no/such/folder/gate.sock'}", "there is no directory `/no/such/folder`"),
        ("{address: 'unix:'}", "is not an address to listen on"),
        ("{address: '127.0.0.1:80', mode: '0660'}", "`mode` is for a Unix socket"),
        ("{address: 'unix:/tmp/gate.sock', mode: 660}", "expected a string"),
        ("{address: 'unix:/tmp/gate.sock', mode: '999'}", "`999` is not a mode"),
        ("{address: 'unix:/tmp/gate.sock', ipv6_only: true}", "`ipv6_only` is for an address of IPv6"),
        ("{address: '127.0.0.1:80', ipv6_only: true}", "`ipv6_only` is for an address of IPv6"),
        ("{address: '127.0.0.1:80', proxy_protocol: {}}", "`addresses`"),
        ("{address: '127.0.0.1:80', proxy_protocol: {addresses: []}}", "no proxy is named"),
        (
            "{address: '127.0.0.1:80', proxy_protocol: {addresses: [0.0.0.0/0]}}",
            "every client would be trusted",
        ),
        ("{address: '127.0.0.1:80', tcp_keep_alive: {idle: 500ms}}", "whole seconds"),
        ("{address: '127.0.0.1:80', tcp_keep_alive: {probes: 128}}", "from 1 to 127"),
        ("{address: '127.0.0.1:80', health_path: healthz}", "is not a path to be asked at"),
        ("{address: '127.0.0.1:80', health_path: '/healthz?x'}", "is not a path to be asked at"),
    ] {
        let told = told(listener);
        assert!(told.contains(expected), "{listener}:\n{told}");
    }
}
