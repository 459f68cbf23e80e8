//! What is left after the walk: the metrics, the audit log and the log of the backend. They must agree with what was sent.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::gate::GateProcess;
use super::print::Detail;
use super::walk::Tally;
use crate::dev::backend::Backend;
use crate::dev::wire;
use crate::reason::Reason;

/// How long the last metrics and audit lines may take: opgate writes them after it has answered.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);
/// The time between two looks at them.
const POLL_EVERY: Duration = Duration::from_millis(50);
/// The metric that counts requests, and the one that counts what became of cancels.
const REQUESTS: &str = "opgate_requests_total";
const OUTCOMES: &str = "opgate_cancel_outcomes_total";

/// What opgate has written about the walk.
struct RunEvidence {
    /// The samples of the request counter.
    samples: Vec<String>,
    /// The entries of the audit log, one for each request.
    entries: Vec<Value>,
    /// The samples of the counter of what became of cancels.
    outcomes: Vec<String>,
    /// The entries that say what became of a cancel.
    ends: Vec<Value>,
}

/// Shows the evidence. The result is whether it agrees with what was sent.
///
/// # Errors
/// Where opgate does not respond, its audit log cannot be read, or nothing can be printed.
pub(super) async fn show(
    gate: &GateProcess,
    backend: &Backend,
    tally: Tally,
    detail: Detail,
    out: &mut dyn Write,
) -> io::Result<bool> {
    let evidence = RunEvidence::collect(gate, tally).await?;
    if detail == Detail::Full {
        writeln!(out, "\nThe metrics (http://{}/metrics)", gate.admin())?;
        evidence.print(out)?;
    }
    writeln!(out)?;
    let mut agrees = true;
    for (what, found, expected) in [
        ("requests are in the metrics", counted(&evidence.samples), tally.sent),
        ("requests are in the audit log", evidence.entries.len(), tally.sent),
        ("allowed requests reached the backend", backend.requests().len(), tally.meant_to_arrive),
        ("ends of cancels that clients saw are counted", counted(&evidence.outcomes), tally.ends_seen),
        ("ends of cancels are in the audit log", evidence.ends.len(), tally.ends_seen),
    ] {
        let verdict = if found == expected { "ok" } else { "FAILED" };
        agrees &= found == expected;
        writeln!(out, "    {verdict:<7} {found} of {expected} {what}")?;
    }
    writeln!(out, "\nDid the cancels work? What became of them, as polling clients saw it")?;
    for sample in &evidence.outcomes {
        writeln!(out, "    {sample}")?;
    }
    if let Some(end) = evidence.ends.first().filter(|_| detail == Detail::Full) {
        writeln!(out, "\nThe audit log says it of each; `insertId` names the line of the cancel")?;
        for line in format!("{end:#}").lines() {
            writeln!(out, "    {line}")?;
        }
    }
    Ok(agrees)
}

impl RunEvidence {
    /// Waits until all requests are written down, or the time is up.
    async fn collect(gate: &GateProcess, tally: Tally) -> io::Result<Self> {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        loop {
            let metrics = wire::fetch(gate.admin(), "/metrics").await?;
            let text = String::from_utf8_lossy(&metrics.body);
            let samples = samples_of(REQUESTS, &text);
            let lines = gate.audit_lines()?;
            let lines = lines.iter().filter_map(|line| serde_json::from_str(line).ok());
            let (ends, entries): (Vec<Value>, Vec<Value>) = lines.partition(is_end_of_a_cancel);
            let outcomes = samples_of(OUTCOMES, &text);
            let is_settled = counted(&samples) == tally.sent && entries.len() == tally.sent;
            if is_settled && counted(&outcomes) == ends.len() || Instant::now() >= deadline {
                return Ok(Self { samples, entries, outcomes, ends });
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        for sample in &self.samples {
            writeln!(out, "    {sample}")?;
        }
        writeln!(out, "\nThe audit log, in short")?;
        for (line, times) in in_short(&self.entries) {
            writeln!(out, "    {times:>2} x {line}")?;
        }
        if let Some(entry) = self.entries.iter().find(|entry| is_denial_by_policy(entry)) {
            writeln!(out, "\nOne of its entries in full: why a caller was refused")?;
            for line in format!("{entry:#}").lines() {
                writeln!(out, "    {line}")?;
            }
        }
        Ok(())
    }
}

/// The second line of a cancel: what became of it.
fn is_end_of_a_cancel(entry: &Value) -> bool {
    entry.pointer("/protoPayload/metadata/cancel").is_some()
}

/// The lines of a counter in the Prometheus text format, but those at zero.
fn samples_of(counter: &str, text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| line.strip_prefix(counter).is_some_and(|rest| rest.starts_with('{')))
        .filter(|line| !line.ends_with(" 0"))
        .map(str::to_owned)
        .collect()
}

fn counted(samples: &[String]) -> usize {
    samples.iter().filter_map(|sample| sample.rsplit(' ').next()?.parse::<usize>().ok()).sum()
}

/// Each caller, method and decision once, with its number of requests.
fn in_short(entries: &[Value]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for entry in entries {
        let text = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str);
        let method = text("/protoPayload/methodName").and_then(|method| method.rsplit('.').next());
        let decision = text("/protoPayload/metadata/decision").unwrap_or("(none)");
        // The reason of an allowed request only repeats the decision.
        let reason = text("/protoPayload/metadata/reason").filter(|reason| *reason != decision);
        let line = format!(
            "{:<7} {:<20} {:<32} {}",
            decision,
            method.unwrap_or("(no method)"),
            text("/protoPayload/authenticationInfo/principalEmail").unwrap_or("(unknown caller)"),
            reason.unwrap_or_default(),
        );
        let line = line.trim_end().to_owned();
        *counts.entry(line).or_default() += 1;
    }
    counts
}

fn is_denial_by_policy(entry: &Value) -> bool {
    let reason = entry.pointer("/protoPayload/metadata/reason").and_then(Value::as_str);
    reason == Some(Reason::PermissionDenied.entry().name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_request_counter_counts() {
        let samples = samples_of(
            REQUESTS,
            "# TYPE opgate_requests_total counter\n\
             opgate_requests_total{service=\"a\",method=\"b\",code=\"200\",reason=\"ALLOWED\"} 12\n\
             opgate_requests_total{service=\"a\",method=\"b\",code=\"403\",reason=\"X\"} 3\n\
             opgate_requests_total{service=\"a\",method=\"b\",code=\"401\",reason=\"X\"} 0\n\
             opgate_requests_total_created{service=\"a\"} 7\n\
             opgate_policy_bindings 9\n",
        );
        assert_eq!(samples.len(), 2);
        assert_eq!(counted(&samples), 15);
    }

    #[test]
    fn audit_lines_are_told_in_short() {
        let allowed = json!({ "protoPayload": {
            "methodName": "google.longrunning.Operations.CancelOperation",
            "authenticationInfo": { "principalEmail": "ana@example.com" },
            "metadata": { "decision": "ALLOWED", "reason": "ALLOWED" },
        }});
        let malformed = json!({ "protoPayload": {
            "metadata": { "decision": "DENIED", "reason": "REQUEST_MALFORMED" },
        }});
        let lines: Vec<String> = in_short(&[allowed.clone(), malformed, allowed])
            .iter()
            .map(|(line, times)| format!("{times} {line}"))
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }
}
