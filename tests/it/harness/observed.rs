//! What many tests ask of a running gate.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Answer, Gate, Req, reason, signal};

impl Gate {
    /// The audit log as it stands in its file.
    pub fn audit_text(&self) -> String {
        std::fs::read_to_string(self.path("audit.jsonl")).unwrap_or_default()
    }

    /// The audit lines in the order of their requests, once there are at least `count`. They are written in the
    /// background: the lines of two connections may change places.
    pub fn audit(&self, count: usize) -> Vec<Value> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let text = self.audit_text();
            let mut lines: Vec<Value> =
                text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            if lines.len() >= count {
                lines.sort_by(|one, other| one["timestamp"].as_str().cmp(&other["timestamp"].as_str()));
                return lines;
            }
            assert!(Instant::now() < deadline, "{} of {count} audit lines", lines.len());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends a request over HTTP/1.1 and then over HTTP/2.
    pub async fn over_both(&self, request: &Req) -> [Answer; 2] {
        [self.http1(request).await, self.http2(request).await]
    }

    /// The status and the reason of a request over both versions, which must agree.
    pub async fn outcome(&self, request: &Req) -> (u16, String) {
        let [first, second] = self.over_both(request).await.map(|answer| outcome(&answer));
        assert_eq!(first, second, "{request:?}");
        first
    }

    /// The value of a series, named with its labels; 0 if there is no such series yet.
    pub async fn metric(&self, series: &str) -> u64 {
        let metrics = self.metrics().await;
        let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// The sum of all series of a counter.
    pub async fn sum(&self, name: &str) -> u64 {
        let metrics = self.metrics().await;
        let samples = metrics.lines().filter_map(|line| line.strip_prefix(name));
        let counts = samples.filter(|rest| rest.starts_with(['{', ' ']));
        counts.map(|rest| rest.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    /// Connections that the gate refused for this reason.
    pub async fn refused_connections(&self, reason: &str) -> u64 {
        self.metric(&format!("opgate_connections_refused_total{{reason=\"{reason}\"}}")).await
    }

    /// Failed attempts of this kind at the upstream of the demo's configuration.
    pub async fn upstream_errors(&self, kind: &str) -> u64 {
        self.metric(&format!("opgate_upstream_errors_total{{kind=\"{kind}\",upstream=\"operations\"}}")).await
    }

    /// Waits until the demo's backend has received so many requests.
    pub async fn backend_has_seen(&self, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.backend.requests().len() < count {
            assert!(Instant::now() < deadline, "{} requests", self.backend.requests().len());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Sends SIGHUP, on which the gate reads its files again.
    pub fn hang_up(&self) {
        signal(self.pid(), "HUP");
    }
}

/// The status and the reason of an answer.
pub fn outcome(answer: &Answer) -> (u16, String) {
    (answer.status, reason(answer))
}
