//! What becomes of cancels: the gate's counts against the backend's own, over real sockets.

mod counted;
mod stand_in;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::{Gate, Req, token};

/// Who may do all that these tests do.
fn admin() -> String {
    token("ci@demo.iam.gserviceaccount.com")
}

fn request(method: &str, host: &str, target: &str) -> Req {
    Req::new(method, host, target).bearer(&admin())
}

/// The samples of a metric by this label, all services together; zeros are left out.
async fn by_label(gate: &Gate, metric: &str, label: &str) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for line in gate.metrics().await.lines() {
        let Some(rest) = line.strip_prefix(metric).and_then(|rest| rest.strip_prefix('{')) else { continue };
        let (labels, value) = rest.rsplit_once("} ").unwrap();
        let value: u64 = value.parse().unwrap();
        let found = labels.split(',').find_map(|pair| pair.strip_prefix(&format!("{label}=")));
        if value > 0 {
            *sums.entry(found.unwrap().trim_matches('"').to_owned()).or_default() += value;
        }
    }
    sums
}

async fn outcomes(gate: &Gate) -> BTreeMap<String, u64> {
    by_label(gate, "opgate_cancel_outcomes_total", "outcome").await
}

async fn answers(gate: &Gate) -> BTreeMap<String, u64> {
    by_label(gate, "opgate_cancels_total", "answer").await
}

async fn pending(gate: &Gate) -> u64 {
    by_label(gate, "opgate_cancels_pending", "service").await.values().sum()
}

/// Counts as they are compared.
fn counts(expected: &[(&str, u64)]) -> BTreeMap<String, u64> {
    expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// Whether an audit line says what became of a cancel.
fn is_outcome(line: &Value) -> bool {
    line["protoPayload"]["metadata"].get("cancel").is_some()
}
