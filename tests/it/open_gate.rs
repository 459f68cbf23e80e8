//! A gate that lets everybody call everything, in front of a backend that keeps bytes.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::frames::{self, Outcome};
use crate::harness::{COMPANION, Gate, Setup, root};
use crate::recorder::Recorder;

/// Where every path is a method.
pub const ANYTHING: &str = "anything.localhost";

const SERVICE: &str = "
type: google.api.Service
name: anything.example.com
http:
  rules:
  - selector: example.Anything.Do
    custom: {kind: '*', path: '/{path=**}'}
    body: '*'
    additional_bindings:
    - custom: {kind: '*', path: '/{path=**}:cancel'}
      body: '*'
authentication:
  rules:
  - selector: '*'
    allow_without_credential: true
";
const RULES: &str = "
service: anything.example.com
rules:
- selector: example.Anything.Do
  permission: none
  resource: path
  body: stream
";

pub struct OpenGate {
    pub gate: Gate,
    pub backend: Recorder,
    _tree: TempDir,
}

impl OpenGate {
    pub fn start() -> Self {
        Self::start_with(Setup::default())
    }

    /// The same with more settings, and in front of other endpoints where `setup` names some.
    pub fn start_with(mut setup: Setup) -> Self {
        let tree = tempfile::tempdir().unwrap();
        let services = tree.path().join("services");
        fs::create_dir(&services).unwrap();
        let write = |name: &str, text: &str| fs::write(services.join(name), text).unwrap();
        write("anything.yaml", SERVICE);
        write("anything.iam.yaml", RULES);
        let shipped = |name: &str| fs::read_to_string(root().join("policies/services").join(name)).unwrap();
        let open = |line: &str| match line.split_once("permission: ") {
            Some((before, _)) => format!("{before}permission: none\n"),
            None => format!("{line}\n"),
        };
        let rules: String = shipped("cloudaicompanion.iam.yaml").lines().map(open).collect();
        write("cloudaicompanion.iam.yaml", &rules);
        let service = shipped("cloudaicompanion.yaml");
        let service = service.replace("    oauth:", "    allow_without_credential: true\n    oauth:");
        write("cloudaicompanion.yaml", &service);

        let backend = Recorder::start();
        let exposed = json!({
            "cloudaicompanion": { "hosts": [COMPANION], "upstream": "operations", "forward": ["request_id"] },
            "anything": { "hosts": [ANYTHING, "localhost"], "upstream": "operations", "forward": ["request_id"] },
        });
        setup.set.push(format!("policy.directory={}", tree.path().display()));
        setup.set.push(format!("services={exposed}"));
        setup.endpoints.get_or_insert_with(|| vec![backend.address()]);
        let gate = Gate::start_with(setup);
        Self { gate, backend, _tree: tree }
    }

    /// The status over HTTP/1.1, or `None` where no answer comes.
    pub async fn http1(&self, method: &str, host: &str, target: &[u8]) -> Option<u16> {
        let end = format!(" HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let bytes = [method.as_bytes(), b" ", target, end.as_bytes()].concat();
        opgate::dev::wire::exchange(self.gate.address, &bytes).await.ok().map(|answer| answer.status)
    }

    /// Every request that reached the backend is one that the audit log calls allowed, and each allowed one reached it
    /// once. Says how many there were.
    pub fn assert_what_arrived_was_allowed(&self) -> usize {
        let mut arrived = self.backend.request_ids();
        arrived.sort();
        let allowed = || -> Vec<String> {
            let lines = self.gate.audit(0);
            let allowed =
                lines.iter().filter(|line| line["protoPayload"]["metadata"]["decision"] == "ALLOWED");
            let mut ids: Vec<String> =
                allowed.map(|line| line["insertId"].as_str().unwrap().to_owned()).collect();
            ids.sort();
            ids
        };
        // The log is written in the background.
        let deadline = Instant::now() + Duration::from_secs(10);
        while allowed().len() < arrived.len() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(arrived, allowed());
        arrived.len()
    }

    /// What comes over HTTP/2.
    pub async fn http2(&self, method: &str, host: &str, target: &[u8]) -> Outcome {
        let fields = [
            (":method", method.as_bytes()),
            (":scheme", b"http"),
            (":authority", host.as_bytes()),
            (":path", target),
        ];
        frames::ask(self.gate.address, &fields).await
    }
}
