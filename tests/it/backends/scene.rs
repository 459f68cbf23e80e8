//! One gate in front of every backend: a host and an upstream for each, the same services on all.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::books::{Books, Entry};
use super::case::{Caller, Case, Version};
use super::client::{Http1, Http2, Seen};
use super::program::{Backend, Programs};
use crate::harness::{Gate, Setup, now, root, token_with};

pub struct Scene {
    pub gate: Gate,
    pub books: Arc<Books>,
    programs: Programs,
    tokens: Arc<Tokens>,
    next: AtomicU64,
    sent: AtomicU64,
    _tree: TempDir,
}

/// Tokens by caller. Each is valid for longer than any test.
pub struct Tokens {
    all: String,
    get: String,
}

impl Tokens {
    fn new() -> Self {
        let token = |email| token_with(email, json!({ "exp": now() + 24 * 3600 }));
        Self { all: token("all@example.com"), get: token("get@example.com") }
    }

    pub fn of(&self, caller: Caller) -> &str {
        match caller {
            Caller::All => &self.all,
            Caller::Get => &self.get,
        }
    }
}

/// The outcome of a case.
#[derive(Debug)]
pub struct Outcome {
    pub case: Case,
    pub seen: Seen,
    pub entry: Entry,
}

impl Outcome {
    /// The methods that backends have run for it.
    pub fn ran(&self) -> Vec<&str> {
        self.entry.ran.iter().map(|ran| ran.ran.as_str()).filter(|ran| !ran.is_empty()).collect()
    }
}

impl Scene {
    /// Starts every installed backend and a gate; prints why and gives `None` if there is no backend.
    pub fn start(books: Books) -> Option<Self> {
        let books = Arc::new(books);
        let tree = tempfile::tempdir().unwrap();
        let Some(programs) = Programs::start(tree.path(), &books) else {
            eprintln!("the test is skipped: no backend is installed");
            return None;
        };
        let policies = tree.path().join("policies");
        let mut set = write_policies(&policies, &programs.backends);
        set.push("audit.output=stdout".to_owned());
        set.push("limits.connections_per_address=10000".to_owned());
        let mut gate = Gate::start_with(Setup { set, stdout: Some(Stdio::piped()), ..Setup::default() });
        let lines = BufReader::new(gate.stdout()).lines();
        let log = books.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                log.judged(&line);
            }
        });
        let tokens = Arc::new(Tokens::new());
        let (next, sent) = (AtomicU64::new(1), AtomicU64::new(0));
        Some(Self { gate, books, programs, tokens, next, sent, _tree: tree })
    }

    pub fn backends(&self) -> &[Backend] {
        &self.programs.backends
    }

    pub fn tokens(&self) -> Arc<Tokens> {
        self.tokens.clone()
    }

    /// Sends cases over a few connections at a time, and gives their outcomes in the order of the cases.
    pub async fn ask(&self, mut cases: Vec<Case>) -> Vec<Outcome> {
        for case in &mut cases {
            case.number = self.next.fetch_add(1, Ordering::Relaxed);
        }
        let cases = Arc::new(cases);
        let turn = Arc::new(AtomicUsize::new(0));
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let (cases, turn, tokens, address) =
                (cases.clone(), turn.clone(), self.tokens.clone(), self.gate.address);
            clients.spawn(async move {
                let (mut http1, mut http2) = (Http1::new(address), Http2::new(address));
                let mut seen = Vec::new();
                while let Some(case) = cases.get(turn.fetch_add(1, Ordering::Relaxed)) {
                    let token = tokens.of(case.caller);
                    seen.push((
                        case.number,
                        match case.version {
                            Version::Http1 => http1.ask(case, token).await,
                            Version::Http2 => {
                                http2.ask(case, token).await.unwrap_or_else(|error| panic!("{error}: {case}"))
                            }
                        },
                    ));
                }
                seen
            });
        }
        let mut seen: Vec<(u64, Seen)> = clients.join_all().await.into_iter().flatten().collect();
        seen.sort_unstable();
        let sent = self.sent.fetch_add(cases.len() as u64, Ordering::Relaxed) + cases.len() as u64;
        self.books.settled(sent).await;
        let outcome = |(case, (number, seen)): (&Case, (u64, Seen))| {
            assert_eq!(case.number, number);
            Outcome { case: case.clone(), seen, entry: self.books.entry(number) }
        };
        cases.iter().zip(seen).map(outcome).collect()
    }
}

/// The policy tree, and the settings that expose it.
fn write_policies(to: &std::path::Path, backends: &[Backend]) -> Vec<String> {
    let from = root().join("tests/backends/policies");
    for folder in ["services", "roles", "allow/projects"] {
        fs::create_dir_all(to.join(folder)).unwrap();
    }
    let mut services = serde_json::Map::new();
    let mut set = Vec::new();
    for backend in backends {
        for service in ["things", "vault"] {
            let id = format!("{service}-{}", backend.name);
            for end in ["yaml", "iam.yaml"] {
                let text = fs::read_to_string(from.join(format!("{service}.{end}"))).unwrap();
                let path = to.join(format!("services/{id}.{end}"));
                fs::write(path, text.replace("BACKEND", backend.name)).unwrap();
            }
            services.insert(
                id,
                json!({
                    "hosts": [backend.host()], "upstream": backend.name, "forward": ["request_id"],
                }),
            );
        }
        let upstream = json!({ "endpoints": [backend.address.to_string()], "timeouts": { "idle": "60s" } });
        set.push(format!("upstreams.{}={upstream}", backend.name));
    }
    let rules = fs::read_to_string(from.join("things.iam.yaml")).unwrap()
        + &fs::read_to_string(from.join("vault.iam.yaml")).unwrap();
    let permissions: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("permission: ")).collect();
    let role = |name: &str, permissions: &[&str]| {
        let role = json!({
            "name": format!("roles/things.{name}"), "title": name, "stage": "GA",
            "includedPermissions": permissions,
        });
        fs::write(to.join(format!("roles/{name}.json")), role.to_string()).unwrap();
    };
    role("all", &permissions);
    role("get", &["things.things.get"]);
    let bindings: Vec<Value> = ["all", "get"]
        .map(|name| json!({ "role": format!("roles/things.{name}"), "members": [format!("user:{name}@example.com")] }))
        .to_vec();
    for project in ["p", "q"] {
        let policy = json!({ "bindings": bindings });
        fs::write(to.join(format!("allow/projects/{project}.json")), policy.to_string()).unwrap();
    }
    set.push(format!("policy.directory={}", to.display()));
    set.push(format!("services={}", Value::Object(services)));
    set
}
