//! A proxy in front of the backend that asks the gate: the same tests run with it as without.
//!
//! [`behind`] runs tests in which every gate that starts is asked by a proxy, with the settings of the page about it. The
//! tests send their requests to the proxy then, and read the same backend.

use std::cell::Cell;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Body, Gate, Req, root};
use crate::readme::pages::{Kind, Page};

thread_local! {
    static FRONT: Cell<Option<Front>> = const { Cell::new(None) };
}

/// A proxy that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    Envoy,
    Nginx,
    Traefik,
    Caddy,
    Haproxy,
}

/// Runs a test with this proxy in front of every gate that it starts.
pub fn behind<T>(front: Front, test: impl FnOnce() -> T) -> T {
    FRONT.set(Some(front));
    let result = test();
    FRONT.set(None);
    result
}

/// The proxy in front of the gates of the test that runs.
pub fn current() -> Option<Front> {
    FRONT.get()
}

/// A running proxy.
pub struct RunningFront {
    process: Child,
    pub address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Front {
    fn name(self) -> &'static str {
        match self {
            Self::Envoy => "envoy",
            Self::Nginx => "nginx",
            Self::Traefik => "traefik",
            Self::Caddy => "caddy",
            Self::Haproxy => "haproxy",
        }
    }

    /// The page about it.
    pub fn page(self) -> Page {
        Page::read(&format!("docs/with-{}.md", self.name()))
    }

    fn block(self, name: &str) -> String {
        self.page().block(&Kind::Peer(name.to_owned())).text
    }

    /// Whether it is installed. CI does not do without.
    pub fn is_installed(self, test: &str) -> bool {
        let found = self.program().exists();
        if !found {
            assert!(std::env::var_os("CI").is_none(), "{self:?} is not installed: .ci/install-authorizers");
            eprintln!("{test} is skipped: {self:?} is not installed");
        }
        found
    }

    fn program(self) -> PathBuf {
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
        let programs = target.join("authorizers/programs");
        match self {
            Self::Haproxy => PathBuf::from("/usr/sbin/haproxy"),
            other => programs.join(other.name()),
        }
    }

    /// The settings of a gate that it asks: those of the page, on a free port.
    pub fn settings(self) -> Vec<String> {
        let shown: Value = serde_saphyr::from_str(&self.block("opgate")).unwrap();
        let mut listeners = shown["listeners"].clone();
        listeners[0]["address"] = json!("127.0.0.1:0");
        vec![format!("listeners={listeners}")]
    }

    /// Starts it with the settings of the page.
    pub fn start(self, gate: SocketAddr, backend: SocketAddr) -> RunningFront {
        // Another process may take a port that was found to be free: then it is tried again with another.
        for _ in 0..5 {
            if let Some(running) = self.try_start(gate, backend) {
                return running;
            }
        }
        panic!("{self:?} does not start");
    }

    fn try_start(self, gate: SocketAddr, backend: SocketAddr) -> Option<RunningFront> {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ports = |text: String| {
            let put = |text: String, known: &str, port: u16| {
                text.replace(&format!("127.0.0.1:{known}"), &format!("127.0.0.1:{port}"))
                    .replace(&format!("port_value: {known}"), &format!("port_value: {port}"))
                    .replace(&format!("127.0.0.1 {known}"), &format!("127.0.0.1 {port}"))
                    .replace(&format!("\n:{known} {{"), &format!("\n:{port} {{"))
            };
            put(put(put(text, "9000", backend.port()), "9001", gate.port()), "8080", address.port())
        };
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let mut command = Command::new(self.program());
        match self {
            Self::Envoy => {
                let config = write("envoy.yaml", ports(self.block("envoy")));
                // Without an id of its own, it would look for another Envoy's shared memory.
                command.arg("-c").arg(config).args([
                    "--use-dynamic-base-id",
                    "-l",
                    "warning",
                    "--concurrency",
                    "1",
                ]);
            }
            Self::Nginx => {
                let pid = folder.path().join("pid");
                let head = format!("daemon off;\npid {};\nerror_log stderr notice;\n", pid.display());
                let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                    .map(|kind| format!("  {kind}_temp_path {};\n", folder.path().join(kind).display()))
                    .concat();
                let text = ports(self.block("nginx")).replacen(
                    "http {\n",
                    &format!("http {{\n  access_log off;\n{temporary}"),
                    1,
                );
                let config = write("nginx.conf", head + &text);
                command.arg("-p").arg(folder.path()).arg("-c").arg(config).args(["-e", "stderr"]);
            }
            Self::Traefik => {
                let dynamic = write("dynamic.yaml", ports(self.block("traefik-dynamic")));
                let text =
                    ports(self.block("traefik")).replace("dynamic.yaml", &dynamic.display().to_string());
                let config = write("traefik.yaml", text);
                command.arg(format!("--configFile={}", config.display()));
            }
            Self::Caddy => {
                let config = write("Caddyfile", ports(self.block("caddy")));
                command
                    .args(["run", "--adapter", "caddyfile", "--config"])
                    .arg(config)
                    .env("HOME", folder.path());
            }
            Self::Haproxy => {
                let script = write("opgate.lua", ports(self.block("lua")));
                let text = ports(self.block("haproxy")).replace("opgate.lua", &script.display().to_string());
                let config = write("haproxy.cfg", text);
                command.args(["-db", "-f"]).arg(config);
            }
        }
        let log = File::create(folder.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let process = command.spawn().unwrap();
        let mut running = RunningFront { process, address, folder };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(address).is_err() {
            if running.process.try_wait().unwrap().is_some() {
                eprintln!("{}", running.log());
                return None;
            }
            assert!(Instant::now() < deadline, "{}", running.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        while self == Self::Traefik && !knows_its_routes(address) {
            assert!(Instant::now() < deadline, "{}", running.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(running)
    }

    /// Why it cannot carry a request as it is; then the request is refused for every caller.
    pub fn cannot_carry(self, request: &Req, version: &str) -> Option<&'static str> {
        let body = match &request.body {
            Body::None => &[][..],
            Body::Length(body) | Body::Chunked(body) => body,
        };
        let is_announced = matches!(request.body, Body::Length(_));
        match self {
            // Its reader of bodies takes an end at once for an error.
            Self::Traefik if body.is_empty() && matches!(request.body, Body::Chunked(_)) => {
                Some("it answers 500 to a body of no known length that is empty")
            }
            Self::Envoy | Self::Traefik => None,
            Self::Nginx | Self::Caddy | Self::Haproxy if !body.is_empty() => Some("its question has no body"),
            Self::Nginx | Self::Caddy | Self::Haproxy
                if matches!(request.body, Body::Chunked(_)) && version == "HTTP/1.1" =>
            {
                Some("chunks may hold a body")
            }
            Self::Nginx | Self::Caddy | Self::Haproxy if version == "HTTP/2" && !is_announced => {
                Some("over HTTP/2, a request without a length may have a body")
            }
            _ => None,
        }
    }
}

/// Whether Traefik has read its routes: it listens before.
fn knows_its_routes(address: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(address).unwrap();
    let asked = stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    asked
        .and_then(|()| stream.read_to_string(&mut answer))
        .is_ok_and(|_| !answer.contains("404 page not found"))
}

impl Gate {
    /// Starts the proxy of the test that runs, if there is one. The gate's address is the proxy's then.
    pub fn put_behind_front(&mut self) {
        if let Some(front) = current() {
            let running = front.start(self.address, self.backend.address());
            self.address = running.address;
            self.front = Some(running);
        }
    }
}

impl RunningFront {
    pub fn log(&self) -> String {
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        read(&self.folder.path().join("log"))
    }
}

impl Drop for RunningFront {
    fn drop(&mut self) {
        // nginx ends its workers if it is asked to.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let deadline = Instant::now() + Duration::from_secs(3);
        while Instant::now() < deadline {
            if matches!(self.process.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
