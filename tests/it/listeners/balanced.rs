//! A real HAProxy in front of the gate: both versions of the PROXY protocol, its checks, and a gate that leaves.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::net::TcpStream;

use super::{caller, gate, status, talk};
use crate::harness::{Gate, cancel, connect_from, tools};
use crate::readme::pages::{Kind, Page};

/// A running HAProxy. It ends with the value.
struct Haproxy {
    process: Child,
    /// Of each frontend.
    addresses: Vec<SocketAddr>,
    folder: TempDir,
}

/// Of each backend, the lines of its section. Each has a frontend that leads to it.
struct Section(String);

const DEFAULTS: &str = "defaults
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout check 5s
  option httpchk
  http-check send meth GET uri /healthz ver HTTP/1.1 hdr Host balancer.example
  default-server check inter 50ms rise 1 fall 1
";

impl Haproxy {
    /// `None` where it is not installed, which CI does not accept.
    async fn start(test: &str, sections: &[Section]) -> Option<Self> {
        if tools::said("haproxy", &["-v"]).is_none() {
            assert!(std::env::var_os("CI").is_none(), "HAProxy is not installed: .ci/install-haproxy");
            eprintln!("{test} is skipped: HAProxy is not installed");
            return None;
        }
        // Another process may take a port that was found to be free: then it is tried again with others.
        for _ in 0..5 {
            if let Some(started) = Self::try_start(sections).await {
                return Some(started);
            }
        }
        panic!("HAProxy does not start");
    }

    async fn try_start(sections: &[Section]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let (mut text, mut addresses) = (DEFAULTS.to_owned(), Vec::new());
        for (number, Section(lines)) in sections.iter().enumerate() {
            let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let mode = lines.lines().find(|line| line.trim_start().starts_with("mode")).unwrap();
            text += &format!(
                "frontend front{number}\n{mode}\n  bind {address}\n  default_backend back{number}\n\
                 backend back{number}\n{lines}\n"
            );
            addresses.push(address);
        }
        let config = folder.path().join("haproxy.cfg");
        std::fs::write(&config, text).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new("haproxy")
            .args(["-db", "-f"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut started = Self { process, addresses, folder };
        let deadline = Instant::now() + Duration::from_secs(20);
        for address in started.addresses.clone() {
            while TcpStream::connect(address).await.is_err() {
                if started.process.try_wait().unwrap().is_some() {
                    eprintln!("{}", started.log());
                    return None;
                }
                assert!(Instant::now() < deadline, "{}", started.log());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Some(started)
    }

    fn log(&self) -> String {
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        read(&self.folder.path().join("log"))
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn request() -> Vec<u8> {
    cancel().header("connection", "close").to_http1()
}

/// Waits until HAProxy has found the server to be up. Until then it closes connections, or answers 503.
async fn until_up(haproxy: &Haproxy, address: SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = talk(TcpStream::connect(address).await.unwrap(), &request()).await;
        if answer.starts_with("HTTP/1.1 200 ") {
            return;
        }
        assert!(Instant::now() < deadline, "{answer}\n{}", haproxy.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn haproxy_names_its_client_in_both_versions_and_in_a_header() {
    let proxied = ["listeners.0.proxy_protocol={addresses: [127.0.0.1]}", "listeners.0.health_path=/healthz"];
    let trusted = ["trusted_proxies={addresses: [127.0.0.1]}", "listeners.0.health_path=/healthz"];
    for (mode, server, settings) in [
        ("tcp", "send-proxy check-send-proxy", proxied),
        ("tcp", "send-proxy-v2 check-send-proxy", proxied),
        ("tcp", "send-proxy-v2 proxy-v2-options unique-id,crc32c check-send-proxy", proxied),
        ("http\n  option forwardfor", "", trusted),
    ] {
        let gate = gate(&settings);
        let lines = format!("  mode {mode}\n  server gate {} {server}", gate.address);
        let Some(haproxy) = Haproxy::start("HAProxy names its client", &[Section(lines)]).await else {
            return;
        };
        let address = haproxy.addresses[0];
        until_up(&haproxy, address).await;
        let before = gate.audit(1).len();
        let stream = connect_from("127.0.0.5", address).await;
        assert_eq!(status(&talk(stream, &request()).await), 200, "{server}");
        let lines = gate.audit(before + 1);
        assert_eq!(lines.iter().map(caller).next_back(), Some("127.0.0.5"), "{server}");
        // Its checks come all the time, and leave no line.
        assert!(lines.iter().all(|line| line["protoPayload"]["methodName"] != ""), "{server}: {lines:?}");
        assert_eq!(lines.len(), before + 1, "{server}");
        for reason in ["proxy_protocol_malformed", "proxy_protocol_untrusted"] {
            assert_eq!(gate.refused_connections(reason).await, 0, "{server}: {}", gate.log());
        }
    }
}

/// The sections on the page are HAProxy's own language.
#[test]
fn haproxy_accepts_the_page() {
    if tools::said("haproxy", &["-v"]).is_none() {
        assert!(std::env::var_os("CI").is_none(), "HAProxy is not installed: .ci/install-haproxy");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let shown = Page::read("docs/balancers.md").block(&Kind::Haproxy).text;
    let config = folder.path().join("haproxy.cfg");
    let frontend = "frontend front\n  mode tcp\n  bind 127.0.0.1:65000\n  default_backend gates\n";
    std::fs::write(&config, format!("{DEFAULTS}{shown}{frontend}")).unwrap();
    let output = Command::new("haproxy").args(["-c", "-f"]).arg(&config).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !told.contains("WARNING"), "{told}");
}

/// HAProxy asks the health path, and sends nothing to a gate that leaves: so no request is lost.
#[tokio::test]
async fn no_request_is_lost_while_a_gate_behind_haproxy_leaves() {
    let settings = ["listeners.0.health_path=/healthz", "limits.drain_delay=1h"];
    let (mut leaving, staying) = (gate(&settings), gate(&settings));
    let servers = format!("  server one {}\n  server two {}", leaving.address, staying.address);
    let lines = format!("  mode http\n  balance roundrobin\n  option http-server-close\n{servers}");
    let Some(haproxy) = Haproxy::start("a gate leaves", &[Section(lines)]).await else { return };
    let address = haproxy.addresses[0];
    until_up(&haproxy, address).await;
    let served = |gate: &Gate| gate.backend.requests().len();
    let send = async || {
        let answer = talk(TcpStream::connect(address).await.unwrap(), &request()).await;
        assert_eq!(status(&answer), 200, "{answer}\n{}", haproxy.log());
    };
    // Both have requests.
    let deadline = Instant::now() + Duration::from_secs(30);
    while served(&leaving) < 3 || served(&staying) < 3 {
        assert!(Instant::now() < deadline, "{}", haproxy.log());
        send().await;
    }
    leaving.ask_to_end();
    // Until so many go to the other one that it must have noticed.
    let mut in_a_row = 0;
    while in_a_row < 10 {
        assert!(Instant::now() < deadline, "{}", haproxy.log());
        let before = served(&leaving);
        send().await;
        in_a_row = if served(&leaving) == before { in_a_row + 1 } else { 0 };
    }
    leaving.ask_to_end();
    assert!(leaving.ended().await.success());
    for _ in 0..10 {
        send().await;
    }
}
