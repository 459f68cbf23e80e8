//! A gate at which every caller may call everything, in front of a backend that keeps bytes.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::frames::{self, Outcome};
use crate::harness::{COMPANION, Gate, Setup, Tree, root};
use crate::recorder::Recorder;

/// A host on which every path is a method.
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
    _tree: Tree,
}

impl OpenGate {
    pub fn start() -> Self {
        Self::start_with(Setup::default())
    }

    /// The same with more settings. If `setup` names endpoints, it stands in front of those.
    pub fn start_with(mut setup: Setup) -> Self {
        let tree = Tree::empty();
        tree.add_service("anything", SERVICE, RULES);
        let shipped = |name: &str| fs::read_to_string(root().join("policies/services").join(name)).unwrap();
        let open = |line: &str| match line.split_once("permission: ") {
            Some((before, _)) => format!("{before}permission: none\n"),
            None => format!("{line}\n"),
        };
        let rules: String = shipped("cloudaicompanion.iam.yaml").lines().map(open).collect();
        let service = shipped("cloudaicompanion.yaml");
        let service = service.replace("    oauth:", "    allow_without_credential: true\n    oauth:");
        tree.add_service("cloudaicompanion", &service, &rules);

        let backend = Recorder::start();
        let exposed = json!({
            "cloudaicompanion": { "hosts": [COMPANION], "upstream": "operations", "forward": ["request_id"] },
            "anything": { "hosts": [ANYTHING, "localhost"], "upstream": "operations", "forward": ["request_id"] },
        });
        setup.set.push(tree.setting());
        setup.set.push(format!("services={exposed}"));
        setup.endpoints.get_or_insert_with(|| vec![backend.address()]);
        let gate = Gate::start_with(setup);
        Self { gate, backend, _tree: tree }
    }

    /// The status over HTTP/1.1, or `None` if no answer comes.
    pub async fn http1(&self, method: &str, host: &str, target: &[u8]) -> Option<u16> {
        let end = format!(" HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let bytes = [method.as_bytes(), b" ", target, end.as_bytes()].concat();
        opgate::dev::wire::exchange(self.gate.address, &bytes).await.ok().map(|answer| answer.status)
    }

    /// Asserts that the requests that reached the backend are those that the audit log calls allowed, once each. Gives
    /// their number.
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

    /// The outcome over HTTP/2.
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
