//! A gate with everything that has series: two listeners, issuers of both kinds, a backend that can be stopped.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use opgate::dev::backend::Backend;
use opgate::dev::mint::Mint;
use opgate::dev::wire;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::authority::{Authority, Client};
use crate::connection::Connection;
use crate::harness::{
    CLOUD_PLATFORM, COMPANION, Gate, Req, Setup, TRAIN, Tree, cancel, claims, foreign_key, key, now, token,
    token_with,
};
use crate::observe::outcomes;
use crate::readme::pages::{Kind, Page};

const PARTNER: &str = "https://login.partner.example";
/// A word of the policy that is misspelt for a while.
const RIGHT: &str = "role: ";
const WRONG: &str = "roel: ";
const POLICY: &str = "allow/projects/demo.yaml";

/// An issuer with a key set, once it is told to serve it, and with opinions on opaque tokens.
struct Issuer {
    address: SocketAddr,
    serves: Arc<AtomicBool>,
}

impl Issuer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serves = Arc::new(AtomicBool::new(false));
        let told = serves.clone();
        let keys = move || async move {
            if told.load(Ordering::SeqCst) {
                Json(key().jwks()).into_response()
            } else {
                StatusCode::BAD_GATEWAY.into_response()
            }
        };
        let routes = Router::new().route("/jwks", get(keys)).route("/introspect", post(introspect));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { address, serves }
    }
}

async fn introspect(body: String) -> Response {
    let active = body.contains("token=good");
    Json(json!({
        "active": active, "iss": PARTNER, "aud": ["opgate"], "sub": "1", "email": "ana@example.com",
        "email_verified": true, "exp": now() + 3600, "scope": CLOUD_PLATFORM, "token_type": "Bearer",
    }))
    .into_response()
}

/// The way to the backend, which can be cut and repaired.
struct Way {
    address: SocketAddr,
    to: SocketAddr,
    carrying: Mutex<JoinHandle<()>>,
}

impl Way {
    async fn open(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { address, to, carrying: Mutex::new(tokio::spawn(carry(listener, to))) }
    }

    fn cut(&self) {
        self.carrying.lock().unwrap().abort();
    }

    async fn repair(&self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        *self.carrying.lock().unwrap() = tokio::spawn(carry(listener, self.to));
    }
}

async fn carry(listener: TcpListener, to: SocketAddr) {
    // Dropped with this task, as are the connections.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        connections.spawn(async move {
            let mut backend = TcpStream::connect(to).await.unwrap();
            let _ = copy_bidirectional(&mut client, &mut backend).await;
        });
    }
}

/// The gate and all around it.
pub struct Scene {
    pub gate: Gate,
    issuer: Issuer,
    way: Way,
    tree: Tree,
    _shadow: Tree,
    client: Client,
    secured: SocketAddr,
    log: PathBuf,
    _backend: Backend,
    _files: TempDir,
}

impl Scene {
    /// A gate without keys, and with an audit log that takes no line.
    pub async fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        let issuer = Issuer::start().await;
        let backend = Backend::start().unwrap();
        let way = Way::open(backend.address()).await;
        let (tree, shadow) = (Tree::shipped(), Tree::shipped());
        let authority = Authority::new();
        let (cert, key) = authority.issue(&[COMPANION]).write(files.path(), "server");
        let secret = files.path().join("secret");
        std::fs::write(&secret, "0123456789abcdef\n").unwrap();
        let log = files.path().join("log.jsonl");
        std::os::unix::fs::symlink("/dev/full", &log).unwrap();
        let partner = json!({
            "issuer": PARTNER, "audiences": ["opgate"], "email_domains": ["example.com"],
            "introspection": {
                "url": format!("http://{}/introspect", issuer.address),
                "client_id": "opgate", "client_secret_file": secret, "prefix": "pt_",
            },
        });
        let listeners = json!([
            {"address": "127.0.0.1:0"},
            {"address": "127.0.0.1:0", "tls": {"certificates": [{"cert": cert, "key": key}]}},
        ]);
        let keys = json!({"url": format!("http://{}/jwks", issuer.address), "cool_down": "1s"});
        let set = vec![
            format!("listeners={listeners}"),
            tree.setting(),
            format!("policy.shadow={}", shadow.path().display()),
            format!("issuers.demo.keys={keys}"),
            "issuers.demo.email_domains=[example.com]".to_owned(),
            format!("issuers.partner={partner}"),
            format!("audit.output={}", log.display()),
            "upstreams.operations.health_check={interval: 1s, unhealthy_after: 3, healthy_after: 1}"
                .to_owned(),
            "upstreams.operations.outliers={ejection: 1s, longest_ejection: 1s}".to_owned(),
        ];
        let setup = Setup { set, endpoints: Some(vec![way.address]), unready: true, ..Setup::default() };
        let gate = tokio::task::spawn_blocking(|| Gate::start_with(setup)).await.unwrap();
        let secured = listeners_of(&gate)[1];
        Self {
            gate,
            issuer,
            way,
            tree,
            _shadow: shadow,
            client: authority.client(),
            secured,
            log,
            _backend: backend,
            _files: files,
        }
    }

    /// Sends a request now and then, until something else has come about.
    pub async fn call_until(&self, other: impl Future<Output = ()>) {
        let call = async {
            loop {
                if let Err(error) = wire::exchange(self.gate.address, &cancel().to_http1()).await {
                    let (log, lines) = (self.gate.log(), std::fs::read_to_string(&self.log).unwrap());
                    let last = lines.lines().rev().take(3).collect::<Vec<_>>().join("\n");
                    panic!("no answer: {error}\n{last}\n{log}");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            () = other => {}
            () = call => {}
        }
    }

    pub fn serve_keys(&self) {
        self.issuer.serves.store(true, Ordering::SeqCst);
    }

    /// A file in place of the device.
    pub fn give_the_log_room(&self) {
        std::fs::remove_file(&self.log).unwrap();
        std::fs::write(&self.log, "").unwrap();
    }

    /// Requests of all kinds, over both versions and over TLS.
    pub async fn traffic(&self) {
        for (request, ..) in outcomes() {
            self.gate.over_both(&request).await;
        }
        let opaque = |token: &str| Req::new("GET", COMPANION, TRAIN).bearer(token);
        self.gate.http1(&opaque("pt_good")).await;
        self.gate.http1(&opaque("pt_bad")).await;
        self.gate.http1(&cancel().bearer(&token_with("ana@example.com", json!({"jti": "2"})))).await;
        // A key that the gate has not heard of.
        let header = json!({"alg": "RS256", "kid": "made-up"});
        let made_up = foreign_key().sign_with_header(&header, &claims("ana@example.com", &[CLOUD_PLATFORM]));
        self.gate.http1(&opaque(&made_up.unwrap())).await;
        let mut secured = Connection::over(self.client.connect(self.secured, COMPANION).await.unwrap());
        secured.send(cancel().to_http1()).await;
        assert_eq!(secured.status().await, Some(200));
        // A handshake that fails.
        let stranger = Authority::new().client();
        assert!(stranger.connect(self.secured, COMPANION).await.is_err());
        // What became of the cancel.
        let asked = self.gate.http1(&opaque(&token("bob@example.com"))).await;
        assert_eq!(asked.status, 200);
    }

    pub fn break_the_policy(&self) {
        self.tree.edit(POLICY, RIGHT, WRONG);
    }

    pub fn repair_the_policy(&self) {
        self.tree.edit(POLICY, WRONG, RIGHT);
    }

    pub fn stop_the_backend(&self) {
        self.way.cut();
    }

    pub async fn start_the_backend(&self) {
        self.way.repair().await;
    }

    /// The page's commands for an operator work, at this gate in place of the one at 127.0.0.1:9901.
    pub fn run_the_commands_of(&self, page: &Page) {
        let mut count = 0;
        for block in page.blocks().iter().filter(|block| block.kind == Kind::Admin) {
            for line in block.text.lines() {
                let line = line.replace("127.0.0.1:9901", &self.gate.admin.to_string());
                let output = Command::new("sh").args(["-c", &line]).stdin(Stdio::null()).output().unwrap();
                let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
                assert!(output.status.success() && !said.trim().is_empty(), "{}: {line}\n{said}", page.name);
                count += 1;
            }
        }
        assert!(count >= 5, "{count}");
    }
}

/// The addresses of its listeners, in their order. Its log is JSON.
fn listeners_of(gate: &Gate) -> Vec<SocketAddr> {
    let log = gate.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let listening = lines.filter(|line| line["fields"]["message"] == "listening");
    listening.map(|line| line["fields"]["address"].as_str().unwrap().parse().unwrap()).collect()
}
