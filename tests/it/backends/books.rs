//! Compares what the gate has judged with what the backends have run. The gate tells by its audit log, a backend by a
//! line for each request. A request's own id joins the two (`forward: [request_id]`); `User-Agent` holds the number of
//! the test case that it was sent for.
//!
//! The two agree if a backend has run nothing, or exactly the method that the gate has judged, with the HTTP method and
//! on the resource that it has judged.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde::Deserialize;

/// Request lines that are kept.
const MOST_UNREAD: usize = 1000;

/// The facts of an audit line.
#[derive(Clone, Debug, Default)]
pub struct Judged {
    pub case: Option<u64>,
    pub host: String,
    pub allowed: bool,
    pub http: String,
    pub method: String,
    pub resource: String,
    pub reason: String,
    pub path: String,
}

/// The facts of a backend's line. `ran` is empty if the backend has no such method.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Ran {
    pub id: String,
    pub case: String,
    pub http: String,
    pub ran: String,
    pub resource: String,
    /// The names of the header fields that it has seen; nginx does not report them.
    #[serde(default)]
    pub headers: String,
    /// The keys of the metadata that grpc-gateway makes of them.
    #[serde(default)]
    pub metadata: String,
    /// The length of the body, for a method that takes it as bytes.
    #[serde(default)]
    pub length: usize,
    /// The request line. nginx reports it for a head that it cannot read.
    #[serde(default)]
    line: String,
}

/// A backend has run something other than what was judged.
#[derive(Clone, Debug)]
pub struct Difference {
    pub ran: Ran,
    /// `None` if no audit line has the id.
    pub judged: Option<Judged>,
}

/// Counts of one backend's requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Heads that were read far enough to know the host.
    pub judged: u64,
    pub allowed: u64,
    /// The backend has run a method.
    pub ran: u64,
    /// The backend has answered that it has no such method.
    pub nowhere: u64,
    pub differences: u64,
}

#[derive(Debug, Default)]
pub struct Books {
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    /// Audit lines so far.
    lines: u64,
    /// Allowed, and not yet reported by a backend, by id.
    allowed: HashMap<String, Judged>,
    /// Reported by a backend, and not yet in the audit log.
    heard: HashMap<String, Ran>,
    tallies: BTreeMap<String, Tally>,
    differences: Vec<Difference>,
    unread: Vec<String>,
    /// Both sides by case, where they are kept.
    kept: Option<HashMap<u64, Entry>>,
    changed: Option<Instant>,
}

/// What is known of one case.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    pub judged: Option<Judged>,
    pub ran: Vec<Ran>,
}

impl Books {
    /// Books that keep every entry, for tests that ask about single cases.
    pub fn keeping() -> Self {
        Self { pages: Mutex::new(Pages { kept: Some(HashMap::new()), ..Pages::default() }) }
    }

    /// A line of the audit log.
    pub fn judged(&self, line: &str) {
        let line: AuditLine = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let (id, judged) = line.read();
        self.pages().judge(id, judged);
    }

    /// A line of a backend.
    pub fn ran(&self, line: &str) {
        let ran: Ran = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.pages().hear(ran);
    }

    /// Waits until `requests` are in the audit log and the backends have reported what was allowed, or report nothing
    /// more: a backend may not have seen a request that was cut off on its way.
    pub async fn settled(&self, requests: u64) {
        let patience = Duration::from_secs(5);
        loop {
            let over = {
                let pages = self.pages();
                let quiet = pages.changed.is_none_or(|changed| changed.elapsed() > patience);
                (pages.lines >= requests && pages.allowed.is_empty() && pages.heard.is_empty()) || quiet
            };
            if over {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// All differences, once all is settled.
    pub fn differences(&self) -> Vec<Difference> {
        let mut differences = self.take_differences();
        differences.extend(self.orphans());
        differences
    }

    /// The differences since the last call.
    pub fn take_differences(&self) -> Vec<Difference> {
        std::mem::take(&mut self.pages().differences)
    }

    /// Requests that ran and were never judged: all lines are in, and no audit line has their id.
    pub fn orphans(&self) -> Vec<Difference> {
        let heard = std::mem::take(&mut self.pages().heard);
        let ran = heard.into_values().filter(|ran| !ran.ran.is_empty());
        ran.map(|ran| Difference { ran, judged: None }).collect()
    }

    /// Request lines that no backend's parser takes: HTTP methods that it does not know, or heads that are not HTTP.
    pub fn unread(&self) -> Vec<String> {
        self.pages().unread.clone()
    }

    /// What is known of a case, where entries are kept.
    pub fn entry(&self, case: u64) -> Entry {
        self.pages().kept.as_ref().and_then(|kept| kept.get(&case).cloned()).unwrap_or_default()
    }

    pub fn tallies(&self) -> BTreeMap<String, Tally> {
        self.pages().tallies.clone()
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap()
    }
}

impl Pages {
    fn judge(&mut self, id: String, judged: Judged) {
        self.lines += 1;
        self.changed = Some(Instant::now());
        let tally = self.tallies.entry(judged.host.clone()).or_default();
        tally.judged += 1;
        tally.allowed += u64::from(judged.allowed);
        if let Some(kept) = &mut self.kept
            && let Some(case) = judged.case
        {
            kept.entry(case).or_default().judged = Some(judged.clone());
        }
        match self.heard.remove(&id) {
            Some(ran) => self.compare(ran, judged),
            None if judged.allowed => {
                self.allowed.insert(id, judged);
            }
            None => {}
        }
    }

    fn hear(&mut self, ran: Ran) {
        self.changed = Some(Instant::now());
        if let Some(kept) = &mut self.kept
            && let Some(case) = case_of(&ran.case)
        {
            kept.entry(case).or_default().ran.push(ran.clone());
        }
        if ran.id.is_empty() && ran.ran.is_empty() {
            if self.unread.len() < MOST_UNREAD {
                self.unread.push(ran.line);
            }
            return;
        }
        match self.allowed.remove(&ran.id) {
            Some(judged) => self.compare(ran, judged),
            None => {
                // Two requests with one id, or without one: at least one of them was never judged.
                if let Some(other) = self.heard.insert(ran.id.clone(), ran) {
                    self.differences.push(Difference { ran: other, judged: None });
                }
            }
        }
    }

    fn compare(&mut self, ran: Ran, judged: Judged) {
        let tally = self.tallies.entry(judged.host.clone()).or_default();
        if ran.ran.is_empty() {
            tally.nowhere += 1;
            return;
        }
        tally.ran += 1;
        let agree = judged.allowed
            && ran.ran == judged.method
            && ran.http == judged.http
            && ran.resource == judged.resource;
        if !agree {
            tally.differences += 1;
            self.differences.push(Difference { ran, judged: Some(judged) });
        }
    }
}

/// The number in a `User-Agent`.
pub fn case_of(agent: &str) -> Option<u64> {
    agent.strip_prefix("case-")?.parse().ok()
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ran { http, ran, resource, .. } = &self.ran;
        write!(formatter, "ran {http} {ran} on {resource:?}")?;
        match &self.judged {
            None => write!(formatter, ", which was never judged"),
            Some(Judged { allowed, http, method, resource, reason, path, host, .. }) => {
                let decision = if *allowed { "allowed" } else { "refused" };
                write!(
                    formatter,
                    ", judged {http} {method} on {resource:?} ({decision}, {reason}): {path} at {host}"
                )
            }
        }
    }
}

/// The part of an audit line that is read (src/audit/entry.rs).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuditLine {
    insert_id: String,
    http_request: AuditHttp,
    proto_payload: AuditPayload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuditHttp {
    request_method: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuditPayload {
    method_name: Option<String>,
    resource_name: Option<String>,
    request_metadata: AuditRequest,
    metadata: AuditDecision,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuditRequest {
    caller_supplied_user_agent: Option<String>,
    request_attributes: AuditAttributes,
}

#[derive(Deserialize)]
struct AuditAttributes {
    host: Option<String>,
    path: Option<String>,
}

#[derive(Deserialize)]
struct AuditDecision {
    decision: String,
    reason: String,
}

impl AuditLine {
    fn read(self) -> (String, Judged) {
        let payload = self.proto_payload;
        let request = payload.request_metadata;
        let judged = Judged {
            case: request.caller_supplied_user_agent.as_deref().and_then(case_of),
            host: request.request_attributes.host.unwrap_or_default(),
            allowed: payload.metadata.decision == "ALLOWED",
            http: self.http_request.request_method.unwrap_or_default(),
            method: payload.method_name.unwrap_or_default(),
            resource: payload.resource_name.unwrap_or_default(),
            reason: payload.metadata.reason,
            path: request.request_attributes.path.unwrap_or_default(),
        };
        (self.insert_id, judged)
    }
}
