//! Public vectors: the paths of other projects' tests of normalisers and transcoders.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::frames::Outcome;
use crate::harness::{COMPANION, corpora};
use crate::open_gate::{ANYTHING, OpenGate};
use crate::recorder::request_line;

/// How many vectors ended in each way.
#[derive(Default)]
struct Tally {
    refused: usize,
    unchanged: usize,
    /// Over HTTP/2, whose library cuts a fragment off before the gate sees it.
    without_fragment: usize,
    failures: Vec<String>,
}

impl Tally {
    /// Sends a vector over both versions. Returns whether either let it pass.
    async fn send(&mut self, open: &OpenGate, method: &str, host: &str, target: &str) -> bool {
        // An absolute-form target goes upstream as an origin-form (RFC 9112, section 3.2.2).
        let authority = target.strip_prefix("http://").map(|rest| rest.split(['/', '?']).next().unwrap());
        let origin_form = authority.map_or(target, |authority| &target["http://".len() + authority.len()..]);
        let line = format!("{method} {origin_form} HTTP/1.1");
        let cut = format!("{method} {} HTTP/1.1", origin_form.split('#').next().unwrap());
        let host = authority.unwrap_or(host);
        let mut passed = false;
        for version in ["HTTP/1.1", "HTTP/2"] {
            let status = match version {
                "HTTP/2" => match open.http2(method, host, target.as_bytes()).await {
                    Outcome::Status(status) => status,
                    // The HTTP/2 library refuses it by itself: as good as a 400.
                    Outcome::Broken => 400,
                },
                _ => open.http1(method, host, target.as_bytes()).await.unwrap_or(0),
            };
            let heads = open.backend.take();
            let lines: Vec<&str> = heads.iter().map(|head| request_line(head)).collect();
            match (status, lines.as_slice()) {
                (400..=499, []) => self.refused += 1,
                (200, [seen]) if *seen == line => {
                    passed = true;
                    self.unchanged += 1;
                }
                (200, [seen]) if version == "HTTP/2" && *seen == cut => self.without_fragment += 1,
                _ => self
                    .failures
                    .push(format!("{method} {target:?} at {host}, {version}: {status}, {lines:?}")),
            }
        }
        passed
    }

    fn tell(self, name: &str, open: &OpenGate) {
        let Self { refused, unchanged, without_fragment, failures } = self;
        let good = refused + unchanged + without_fragment;
        eprintln!(
            "{name}: {good} of {} as they must be: {refused} refused, {unchanged} at the backend to the byte, \
             {without_fragment} so without the fragment that HTTP/2 lost",
            good + failures.len()
        );
        assert!(failures.is_empty(), "{}", failures.join("\n"));
        let arrived = open.assert_what_arrived_was_allowed();
        eprintln!("{name}: {arrived} requests at the backend, each of them allowed in the audit log");
        assert!(refused > 0 && unchanged > 0, "the vectors of {name} show only one side");
    }
}

#[tokio::test]
async fn transcoder_vectors_arrive_as_sent_or_not_at_all() {
    let Some(folder) = corpora("transcoder_vectors_arrive_as_sent_or_not_at_all") else { return };
    let open = OpenGate::start();
    let mut tally = Tally::default();
    let text = std::fs::read_to_string(folder.join("paths/path_vectors.tsv")).unwrap();
    for row in text.lines() {
        let columns: Vec<&str> = row.split('\t').collect();
        let (method, path, template) = (columns[0], columns[1], columns[2]);
        let passed = tally.send(&open, method, COMPANION, path).await;
        // The vectors have a cancel and a get; the service also has a wait.
        if passed && template == "NO MATCH" && !path.ends_with(":wait") {
            tally.failures.push(format!("{method} {path} passed, and matches no template"));
        }
        tally.send(&open, method, ANYTHING, path).await;
    }
    tally.tell("path_vectors.tsv", &open);
}

#[tokio::test]
async fn normaliser_vectors_arrive_as_sent_or_not_at_all() {
    let Some(folder) = corpora("normaliser_vectors_arrive_as_sent_or_not_at_all") else { return };
    let open = OpenGate::start();
    let text = std::fs::read_to_string(folder.join("paths/envoy_path_vectors.json")).unwrap();
    let mut inputs = BTreeSet::new();
    collect(&serde_json::from_str(&text).unwrap(), &mut inputs);
    let mut tally = Tally::default();
    for path in &inputs {
        tally.send(&open, "GET", ANYTHING, path).await;
        tally.send(&open, "POST", COMPANION, path).await;
    }
    eprintln!("envoy_path_vectors.json: {} inputs", inputs.len());
    tally.tell("envoy_path_vectors.json", &open);
}

/// Every input: a text, or the first of a pair of input and result.
fn collect(value: &Value, inputs: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            inputs.insert(text.clone());
        }
        Value::Object(members) => {
            for (_, member) in members.iter().filter(|(name, _)| *name != "source") {
                collect(member, inputs);
            }
        }
        Value::Array(items) => {
            for item in items {
                match item {
                    Value::Array(pair) => collect(&pair[0], inputs),
                    item => collect(item, inputs),
                }
            }
        }
        _ => {}
    }
}
