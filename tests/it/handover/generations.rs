//! Gates that serve one after another on the same socket, and the events between them.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use opgate::dev::mint::Mint;
use opgate::dev::wire;
use opgate::handover::Upgrade;
use opgate::handover::{self, Purpose};
use opgate::listener::ListenSocket;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::books::Books;
use crate::harness::{Process, copy, key, root, signal};

/// The gate that serves now, and those that are draining.
///
/// The test owns the listening socket, and hands it to the first gate as one gate hands it to the next. So two gates
/// can serve on it at the same time, and one of them can end by SIGTERM.
pub struct Generations {
    directory: TempDir,
    settings: Vec<String>,
    socket: Arc<ListenSocket>,
    serving: Process,
    admin: SocketAddr,
    started: usize,
    ending: JoinSet<()>,
    happened: Happened,
}

/// How often each event happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Happened {
    reloads: u32,
    upgrades: u32,
    drains: u32,
}

impl fmt::Display for Happened {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reloads, upgrades, drains } = self;
        write!(formatter, "{reloads} reloads, {upgrades} upgrades and {drains} drains")
    }
}

impl Generations {
    /// Starts the first gate, in front of `backend`.
    pub async fn begin(backend: SocketAddr) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        copy(&root().join("policies"), &path("policies"));
        std::fs::write(path("keys.jwks.json"), key().jwks().to_string()).unwrap();
        let socket = Arc::new(ListenSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap());
        let settings = vec![
            format!("listeners.0.address={}", socket.bound()),
            "admin.address=127.0.0.1:0".to_owned(),
            format!("upstreams.operations.endpoints={}", json!([backend.to_string()])),
            format!("issuers.demo.keys={}", json!({ "file": path("keys.jwks.json") })),
            format!("policy.directory={}", path("policies").display()),
            format!("audit.output={}", path("audit.jsonl").display()),
            format!("upgrade={}", json!({ "socket": path("upgrade.sock"), "timeout": "60s" })),
        ];
        let serving = Process::start("gate-0", directory.path(), &settings, &["--upgrade"]);
        let mut generations = Self {
            directory,
            settings,
            socket,
            serving,
            admin: ([127, 0, 0, 1], 0).into(),
            started: 1,
            ending: JoinSet::new(),
            happened: Happened::default(),
        };
        generations.hand_over().await;
        (_, generations.admin) = generations.serving.serving().await;
        generations
    }

    /// Where clients connect, whichever gate serves.
    pub fn address(&self) -> SocketAddr {
        self.socket.bound().socket().unwrap()
    }

    /// Causes the event of this number: the kinds take turns.
    pub async fn happen(&mut self, number: u64) {
        match number % 3 {
            0 => self.reload().await,
            1 => self.upgrade().await,
            _ => self.drain().await,
        }
    }

    async fn reload(&mut self) {
        let before = self.revision().await;
        self.happened.reloads += 1;
        let text = format!("added-{}@example.com: [user:bob@example.com]\n", self.happened.reloads);
        let groups = self.path("policies/groups.yaml");
        let next = self.path("groups.next");
        std::fs::write(&next, std::fs::read_to_string(&groups).unwrap() + &text).unwrap();
        std::fs::rename(next, groups).unwrap();
        self.serving.signal("HUP");
        while self.revision().await == before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The next gate takes over from this one, which makes this one end.
    async fn upgrade(&mut self) {
        self.happened.upgrades += 1;
        let next = self.next();
        self.serving.signal("QUIT");
        self.follow(next).await;
    }

    /// The next gate serves beside this one, and this one gets SIGTERM.
    async fn drain(&mut self) {
        self.happened.drains += 1;
        let next = self.next();
        self.hand_over().await;
        signal(self.follow(next).await, "TERM");
    }

    /// Tells the last gate to end, and waits for all.
    pub async fn end(&mut self) -> Happened {
        self.serving.signal("TERM");
        assert!(self.serving.ended().await.success(), "{}", self.serving.log());
        while let Some(ended) = self.ending.join_next().await {
            ended.unwrap();
        }
        self.happened
    }

    /// Reads the log that all gates wrote: every line must be whole, and tell of a request that was allowed and
    /// answered.
    pub fn read_audit(&self, books: &Books) {
        for line in BufReader::new(File::open(self.path("audit.jsonl")).unwrap()).lines() {
            let line = line.unwrap();
            let entry: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let payload = &entry["protoPayload"];
            assert_eq!(payload["metadata"]["decision"], "ALLOWED", "{line}");
            assert_eq!(entry["httpRequest"]["status"], 200, "{line}");
            books.log(payload["resourceName"].as_str().unwrap());
        }
    }

    fn next(&mut self) -> Process {
        let name = format!("gate-{}", self.started);
        self.started += 1;
        Process::start(&name, self.directory.path(), &self.settings, &["--upgrade"])
    }

    /// Waits until `next` serves. The previous gate is left to end; its process id is returned for a signal.
    async fn follow(&mut self, mut next: Process) -> u32 {
        (_, self.admin) = next.serving().await;
        let mut last = std::mem::replace(&mut self.serving, next);
        let pid = last.pid();
        self.ending.spawn(async move {
            let status = last.ended().await;
            assert!(status.success(), "{status}:\n{}", last.log());
        });
        pid
    }

    async fn hand_over(&self) {
        let upgrade = Upgrade { socket: self.path("upgrade.sock"), timeout: Duration::from_secs(60) };
        handover::offer(
            &upgrade,
            &[(Purpose::Listener, self.socket.clone())],
            Value::Null,
            std::future::pending(),
        )
        .await
        .unwrap();
    }

    async fn revision(&self) -> Value {
        let answer = wire::fetch(self.admin, "/readyz").await.unwrap();
        answer.json().unwrap()["policyRevision"].clone()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}
