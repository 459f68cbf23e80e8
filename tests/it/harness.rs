//! A gate under test: `opgate run` as a process, the demo's backend behind it, and clients that send what they like.
//!
//! Every test starts its own gate on free ports, so that tests run side by side and read their own logs.

mod calls;
pub mod front;
mod http2;
mod observed;
mod process;
pub mod schema;
pub mod tools;
mod tree;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant, UNIX_EPOCH};

use http::HeaderMap;
use opgate::dev::backend::Backend;
use opgate::dev::mint::Mint;
use opgate::dev::wire;
use opgate::signing::{SigningAlgorithm, SigningKey};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::schema::assert_accepted;

pub use self::calls::{CANCEL, TRAIN, cancel, connect_from, get, parameter};
pub use self::http2::Http2;
pub use self::observed::outcome;
pub use self::process::{Process, signal};
pub use self::tree::Tree;

pub use opgate::dev::wire::RawResponse as Answer;

pub const ISSUER: &str = "https://issuer.demo.localhost";
pub const AUDIENCE: &str = "https://opgate.demo.localhost";
pub const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";
pub const CLOUD_TRANSLATION: &str = "https://www.googleapis.com/auth/cloud-translation";

pub const COMPANION: &str = "cloudaicompanion.localhost";
pub const DATAPROC: &str = "dataproc.localhost";
pub const TRANSLATION: &str = "translation.localhost";

/// The settings of a gate, beside the shipped configuration.
#[derive(Default)]
pub struct Setup {
    /// `--set` arguments, after the harness's own.
    pub set: Vec<String>,
    /// Instead of `config/demo.yaml`.
    pub config: Option<PathBuf>,
    /// The key set's JSON; the harness's own key by default.
    pub jwks: Option<Value>,
    /// The upstream's endpoints instead of the backend.
    pub endpoints: Option<Vec<SocketAddr>>,
    /// `h2c` towards the upstream.
    pub upstream_protocol: Option<&'static str>,
    /// Does not wait until the gate is ready, and makes it log JSON lines: the harness reads its addresses from there.
    pub unready: bool,
    /// The soft limit of open files that it is started with.
    pub soft_open_files: Option<u32>,
    /// The hard limit of open files, which no program can raise.
    pub open_files: Option<u32>,
    /// Where its standard output goes; by default nowhere.
    pub stdout: Option<Stdio>,
    /// The socket of a service manager.
    pub notify_socket: Option<PathBuf>,
}

/// A running gate. It ends when the value is dropped.
pub struct Gate {
    child: Child,
    pub front: Option<front::RunningFront>,
    directory: TempDir,
    settings: Vec<String>,
    pub address: SocketAddr,
    pub admin: SocketAddr,
    /// The backend behind it; unused where `Setup::endpoints` names others.
    pub backend: Backend,
}

/// The root of the project.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Copies a folder with everything in it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// The program under test.
pub fn opgate() -> Command {
    under_test(Command::new(env!("CARGO_BIN_EXE_opgate")))
}

/// The program for development, which lies beside it.
pub fn opgate_dev() -> Command {
    under_test(Command::new(env!("CARGO_BIN_EXE_opgate-dev")))
}

/// The program under test, with a limit of open files: the soft one, or both.
fn opgate_with_files(kind: &str, files: u32) -> Command {
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        &format!("ulimit {kind} -n {files} && exec \"$0\" \"$@\""),
        env!("CARGO_BIN_EXE_opgate"),
    ]);
    under_test(shell)
}

fn under_test(mut command: Command) -> Command {
    command.current_dir(root());
    // Settings from the developer's shell must not affect the test.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OPGATE_")) {
        command.env_remove(name);
    }
    command
}

/// The key that the gate trusts, one for all tests: RSA keys take a while to make.
pub fn key() -> &'static SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    KEY.get_or_init(|| SigningKey::generate(SigningAlgorithm::Rs256, Some("test")).unwrap())
}

/// A key of the same kind and name that the gate does not know.
pub fn foreign_key() -> &'static SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    KEY.get_or_init(|| SigningKey::generate(SigningAlgorithm::Rs256, Some("test")).unwrap())
}

pub fn now() -> u64 {
    opgate::clock::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Claims of a good token for an hour.
pub fn claims(email: &str, scopes: &[&str]) -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": email, "email": email, "email_verified": true,
        "scope": scopes.join(" "), "iat": now(), "exp": now() + 3600,
    })
}

/// A good token for cloud-platform.
pub fn token(email: &str) -> String {
    key().sign(&claims(email, &[CLOUD_PLATFORM])).unwrap()
}

/// A good token's claims with some of them changed; `null` removes one.
pub fn token_with(email: &str, changes: Value) -> String {
    let mut claims = claims(email, &[CLOUD_PLATFORM]);
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    key().sign(&claims).unwrap()
}

impl Gate {
    /// The shipped policies in front of the demo's backend.
    pub fn start() -> Self {
        Self::start_with(Setup::default())
    }

    pub fn start_with(setup: Setup) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let backend = Backend::start().unwrap();
        let jwks = directory.path().join("keys.jwks.json");
        std::fs::write(&jwks, setup.jwks.unwrap_or_else(|| key().jwks()).to_string()).unwrap();
        let addresses = directory.path().join("addresses.json");
        let log = std::fs::File::create(directory.path().join("stderr")).unwrap();
        let endpoints = setup.endpoints.unwrap_or_else(|| vec![backend.address()]);
        let endpoints: Vec<String> = endpoints.iter().map(ToString::to_string).collect();

        let mut command = match (setup.soft_open_files, setup.open_files) {
            (Some(soft), _) => opgate_with_files("-S", soft),
            (None, Some(files)) => opgate_with_files("", files),
            (None, None) => opgate(),
        };
        let config = setup.config.unwrap_or_else(|| PathBuf::from("config/demo.yaml"));
        command.args(["run", "--config"]).arg(&config).arg("--addresses-file").arg(&addresses);
        let mut set = vec![
            "listeners.0.address=127.0.0.1:0".to_owned(),
            "admin.address=127.0.0.1:0".to_owned(),
            format!("upstreams.operations.endpoints={}", json!(endpoints)),
            format!("issuers.demo.keys={}", json!({ "file": jwks })),
            format!("audit.output={}", directory.path().join("audit.jsonl").display()),
        ];
        set.extend(
            setup.upstream_protocol.map(|protocol| format!("upstreams.operations.protocol={protocol}")),
        );
        set.extend(setup.unready.then(|| "telemetry.format=json".to_owned()));
        set.extend(front::current().into_iter().flat_map(front::Front::settings));
        set.extend(setup.set);
        for setting in &set {
            command.args(["--set", setting]);
        }
        if let Some(socket) = setup.notify_socket {
            command.env("NOTIFY_SOCKET", socket);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(setup.stdout.unwrap_or_else(Stdio::null))
            .stderr(log)
            .spawn()
            .unwrap();
        let mut gate = Self {
            child,
            front: None,
            directory,
            settings: set,
            address: ([127, 0, 0, 1], 0).into(),
            admin: ([127, 0, 0, 1], 0).into(),
            backend,
        };
        (gate.address, gate.admin) = if setup.unready {
            gate.wait_for(|gate| {
                Some((gate.logged_address("listening")?, gate.logged_address("admin listening")?))
            })
        } else {
            let bound: Value =
                gate.wait_for(|_| serde_json::from_str(&std::fs::read_to_string(&addresses).ok()?).unwrap());
            let address = |value: &Value| value.as_str().unwrap().parse().unwrap();
            // It has accepted its files: so must the schemas.
            assert_accepted(&root().join(config), &gate.settings);
            (address(&bound["listeners"][0]), address(&bound["admin"]))
        };
        gate.put_behind_front();
        gate
    }

    /// The address in a line of the log, which is JSON here.
    fn logged_address(&self, message: &str) -> Option<SocketAddr> {
        self.log()
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|line| line["fields"]["message"] == message)
            .map(|line| line["fields"]["address"].as_str().unwrap().parse().unwrap())
    }

    fn wait_for<T>(&mut self, found: impl Fn(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "the gate did not start:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Another gate of the same configuration, with more settings, started to take over from this one.
    pub fn successor(&self, name: &str, more: &[String]) -> Process {
        Process::start(name, self.directory.path(), &[&self.settings, more].concat(), &["--upgrade"])
    }

    /// The path of a file of this gate.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Its standard output, if `Setup::stdout` is a pipe; can be taken once.
    pub fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().unwrap()
    }

    /// The process, for signals.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM and waits for the end.
    pub fn terminate(&mut self) -> ExitStatus {
        self.ask_to_end();
        self.child.wait().unwrap()
    }

    /// Sends SIGTERM.
    pub fn ask_to_end(&self) {
        let status = Command::new("kill").arg(self.pid().to_string()).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end, at most half a default grace period.
    pub async fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the gate has not ended:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The operator's log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("stderr")).unwrap_or_default()
    }

    /// The metrics, as Prometheus scrapes them.
    pub async fn metrics(&self) -> String {
        String::from_utf8(self.admin("/metrics").await.body).unwrap()
    }

    /// Asks the admin port.
    pub async fn admin(&self, path: &str) -> Answer {
        wire::fetch(self.admin, path).await.unwrap()
    }

    /// Posts a question to `/explain`.
    pub async fn explain(&self, question: &Value) -> Answer {
        self.admin_post("/explain", "application/json", question.to_string().as_bytes()).await
    }

    /// Sends a body to the admin port.
    pub async fn admin_post(&self, path: &str, media_type: &str, body: &[u8]) -> Answer {
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            self.admin,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        wire::exchange(self.admin, &request).await.unwrap()
    }

    /// Sends exact bytes over HTTP/1.1 and gives every byte that comes until the gate closes.
    pub async fn raw_to_the_end(&self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let talk = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(bytes.as_ref()).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            answer
        };
        tokio::time::timeout(Duration::from_secs(10), talk).await.expect("the end of the connection in time")
    }

    /// Sends exact bytes over HTTP/1.1.
    pub async fn raw(&self, bytes: impl AsRef<[u8]>) -> Answer {
        wire::exchange(self.address, bytes.as_ref()).await.unwrap_or_else(|error| {
            panic!("no answer to {:?}: {error}\n{}", String::from_utf8_lossy(bytes.as_ref()), self.log())
        })
    }

    /// Sends a request over HTTP/1.1.
    pub async fn http1(&self, request: &Req) -> Answer {
        self.raw(request.to_http1()).await
    }

    /// A connection for several HTTP/2 requests.
    pub async fn http2_client(&self) -> Http2 {
        Http2::connect(self.address).await
    }

    /// Sends the same request over HTTP/2 with prior knowledge.
    pub async fn http2(&self, request: &Req) -> Answer {
        request.send_http2(self.address).await
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !std::thread::panicking() {
            schema::check_log(&self.audit_text());
        }
    }
}

/// A request, to be sent over either version.
#[derive(Clone, Debug)]
pub struct Req {
    pub method: String,
    pub host: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

/// A request's body and how HTTP/1.1 frames it. HTTP/2 sends DATA frames in either case.
#[derive(Clone, Debug)]
pub enum Body {
    None,
    /// With `Content-Length`, over HTTP/2 too.
    Length(Vec<u8>),
    /// In one chunk, or in none if it is empty.
    Chunked(Vec<u8>),
}

impl Req {
    pub fn new(method: &str, host: &str, target: &str) -> Self {
        Self {
            method: method.into(),
            host: host.into(),
            target: target.into(),
            headers: Vec::new(),
            body: Body::None,
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    pub fn to_http1(&self) -> Vec<u8> {
        let mut bytes =
            format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.target, self.host).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        match &self.body {
            Body::None => bytes.extend_from_slice(b"\r\n"),
            Body::Length(body) => {
                bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
                bytes.extend_from_slice(body);
            }
            Body::Chunked(body) => {
                bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                if !body.is_empty() {
                    bytes.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
                    bytes.extend_from_slice(body);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
            }
        }
        bytes
    }

    /// Over a connection of its own.
    pub async fn send_http2(&self, address: SocketAddr) -> Answer {
        let mut client = Http2::connect(address).await;
        let body = match &self.body {
            Body::None => None,
            Body::Length(body) | Body::Chunked(body) => Some(body.clone()),
        };
        let (response, mut stream) = client.start(self, body.is_none()).await;
        if let Some(body) = body {
            // A gate that has refused the request already may have closed the stream.
            let _ = stream.send_data(body.into(), true);
        }
        client.finish(response).await
    }
}

/// `error.details[0].reason` of an answer; empty if there is none.
pub fn reason(answer: &Answer) -> String {
    let json = answer.json().unwrap_or_default();
    // nginx gives a page of its own, and tells the reason in a field.
    let told = json["error"]["details"][0]["reason"].as_str().or_else(|| answer.header("x-opgate-reason"));
    told.unwrap_or_default().to_owned()
}

/// Every value of a header, as text.
pub fn values(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

/// The folder of public test data; prints why and gives `None` if it is not there.
pub fn corpora(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("OPGATE_CORPORA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("{test} is skipped: OPGATE_CORPORA names no folder");
    }
    folder
}
