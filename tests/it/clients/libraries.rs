//! Official clients, unmodified: they are installed, called, and what they make of the answers is compared.
//!
//! `tests/clients` holds the calls. npm and pip load packages that are pinned there, below the target directory; Java's come
//! from the system. If a tool is missing, the test names it and is skipped; in CI it fails instead.
//! `.ci/install-clients` installs the tools.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::overrides::books;
use crate::harness::tools::{once, said, succeed};
use crate::harness::{Gate, Setup, cancel, copy, root, token};
use crate::recorder::{Recorder, field, request_line};

const OPERATION: &str = "projects/demo/locations/us-central1/operations/train-1";

/// The folder of `tests/clients` below the target directory, if the tool is there.
fn folder(name: &str, tool: &str, is_there: bool) -> Option<PathBuf> {
    if !is_there {
        assert!(
            std::env::var_os("CI").is_none(),
            "{tool} is not installed, and CI is to run every client: .ci/install-clients"
        );
        eprintln!("the clients that need {tool} are skipped: .ci/install-clients installs it");
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients").join(name);
    copy(&root().join("tests/clients").join(name), &folder);
    Some(folder)
}

/// The gate's URL, and a token of ana.
fn target(gate: &Gate) -> [String; 2] {
    [format!("http://{}/", gate.address), token("ana@example.com")]
}

/// Runs a program off the test's thread, which serves the backend.
async fn run(mut command: Command) -> Vec<String> {
    let ran = tokio::task::spawn_blocking(move || succeed(&mut command)).await.unwrap();
    ran.lines().map(str::to_owned).collect()
}

/// `METHOD target` of each head, and its body.
fn seen(backend: &Recorder) -> Vec<(String, Vec<u8>)> {
    let lines = backend.take().into_iter().map(|head| {
        assert_eq!(field(&head, "x-http-method-override"), [""; 0]);
        assert_eq!(field(&head, "content-encoding"), [""; 0]);
        request_line(&head).strip_suffix(" HTTP/1.1").unwrap().to_owned()
    });
    lines.zip(backend.bodies().into_iter().map(|(_, body)| body)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_dataproc_client_works_unmodified() {
    let Some(folder) = folder("node", "npm", said("npm", &["--version"]).is_some()) else { return };
    once(&folder, "package-lock.json", || {
        let install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
        succeed(Command::new("npm").args(install).current_dir(&folder));
    });
    let backend = Recorder::start();
    let gate = Gate::start_with(Setup {
        endpoints: Some(vec![backend.address()]),
        set: vec!["services.dataproc.hosts=[127.0.0.1]".to_owned()],
        ..Setup::default()
    });
    let (host, port) = (gate.address.ip().to_string(), gate.address.port().to_string());
    let mut node = Command::new("node");
    node.args(["calls.mjs", &host, &port, &token("ana@example.com")]).current_dir(&folder);
    assert_eq!(run(node).await, ["cancel regions", "cancel locations", "denied 403 IAM_PERMISSION_DENIED"]);
    let cancel = |place: &str| {
        let target = format!("POST /v1/projects/demo/{place}/us-central1/operations/job-1:cancel?");
        (target, Vec::new())
    };
    assert_eq!(seen(&backend), [cancel("regions"), cancel("locations")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pythons_discovery_and_operations_clients_work_unmodified() {
    let is_there = said("python3", &["-c", "import venv, ensurepip"]).is_some();
    let Some(folder) = folder("python", "Python's venv", is_there) else { return };
    once(&folder, "requirements.txt", || {
        succeed(Command::new("python3").args(["-m", "venv", "venv"]).current_dir(&folder));
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
        succeed(Command::new("venv/bin/python").args(install).arg("requirements.txt").current_dir(&folder));
    });
    let set = vec!["services.cloudaicompanion.hosts=[127.0.0.1]".to_owned()];
    let gate = Gate::start_with(Setup { set, ..Setup::default() });
    let mut python = Command::new("venv/bin/python");
    python.arg("calls.py").args(target(&gate)).current_dir(&folder);
    let unknown = "Invalid JSON payload received. Unknown name \"foo\": Cannot find field.";
    let expected = [
        format!("get {OPERATION}"),
        "list True".to_owned(),
        "cancel {}".to_owned(),
        format!("mistake 400 {unknown}"),
        "core cancel None".to_owned(),
        "core denied IAM_PERMISSION_DENIED cloudaicompanion.googleapis.com".to_owned(),
    ];
    assert_eq!(run(python).await, expected);
    let list = gate.backend.requests().into_iter().find(|request| request.target.len() > 2048).unwrap();
    assert_eq!((list.method.as_str(), list.body.len()), ("GET", 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn javas_discovery_client_works_unmodified() {
    let is_there = Path::new("/usr/share/java/google-api-client.jar").is_file() && has_java();
    let Some(folder) = folder("java", "libgoogle-api-client-java", is_there) else { return };
    let backend = Recorder::start();
    let tree = books();
    let gate = Gate::start_with(Setup {
        endpoints: Some(vec![backend.address()]),
        set: vec![
            tree.setting(),
            "services.cloudaicompanion.hosts=[127.0.0.1]".to_owned(),
            "services.books={upstream: operations, hosts: [127.0.0.1]}".to_owned(),
        ],
        ..Setup::default()
    });
    let mut java = Command::new("java");
    java.args(["-cp", "/usr/share/java/*", "Discovery.java"]).args(target(&gate)).current_dir(&folder);
    assert_eq!(run(java).await, ["empty {}", "named {}", "wait {}", "list {}", "patch {}"]);
    let list = "/v1/projects/demo/locations/us-central1/operations";
    let sent = |line: String, body: serde_json::Value| {
        (line, if body.is_null() { vec![] } else { body.to_string().into_bytes() })
    };
    let expected = [
        sent(format!("POST /v1/{OPERATION}:cancel"), json!(null)),
        sent(format!("POST /v1/{OPERATION}:cancel"), json!(null)),
        sent(format!("POST /v1/{OPERATION}:wait?$alt=json;enum-encoding%3Dint"), json!({ "timeout": "0s" })),
        sent(format!("GET {list}?filter={}", "x".repeat(3000)), json!(null)),
        sent("PATCH /v1/projects/library/books/b?updateMask=title".to_owned(), json!({ "title": "T" })),
    ];
    assert_eq!(seen(&backend), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_of_the_jdk_works_with_its_defaults() {
    let Some(folder) = folder("java", "a JDK", has_java()) else { return };
    let backend = Recorder::start();
    let gate = Gate::start_with(Setup {
        endpoints: Some(vec![backend.address()]),
        set: vec!["services.cloudaicompanion.hosts=[127.0.0.1]".to_owned()],
        ..Setup::default()
    });
    let mut java = Command::new("java");
    java.arg("Jdk.java").args(target(&gate)).current_dir(&folder);
    assert_eq!(run(java).await, ["GET HTTP_1_1 200", "POST HTTP_1_1 200", "GET HTTP_1_1 200"]);
    assert_eq!(seen(&backend).len(), 3);
}

/// Whether there is a `java` that compiles what it runs.
fn has_java() -> bool {
    said("java", &["--list-modules"]).is_some_and(|modules| modules.contains("jdk.compiler"))
}

/// Both formats of the metrics, with the exemplars of a traced request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_own_parsers_read_the_metrics() {
    let is_there = said("python3", &["-c", "import venv, ensurepip"]).is_some();
    let Some(folder) = folder("prometheus", "Python's venv", is_there) else { return };
    once(&folder, "requirements.txt", || {
        succeed(Command::new("python3").args(["-m", "venv", "venv"]).current_dir(&folder));
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
        succeed(Command::new("venv/bin/python").args(install).arg("requirements.txt").current_dir(&folder));
    });
    let set = vec!["trusted_proxies={addresses: [127.0.0.1]}".to_owned()];
    let gate = Gate::start_with(Setup { set, ..Setup::default() });
    let traced = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert_eq!(gate.http1(&cancel().header("traceparent", traced)).await.status, 200);
    gate.audit(1);
    let mut python = Command::new("venv/bin/python");
    python.arg("parse.py").arg(format!("http://{}/metrics", gate.admin)).current_dir(&folder);
    // One of the whole request, one of the gate's own time.
    let expected = ["application/openmetrics-text histogram 2", "text/plain histogram 0"];
    assert_eq!(run(python).await, expected);
}
