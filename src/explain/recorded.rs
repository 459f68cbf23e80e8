//! A decision that was recorded: what its audit line says, and what a policy tree says to the same call.

use serde_json::{Value, json};

use super::{Explained, Page, explain};
use crate::catalog::Catalog;
use crate::decision::snapshot::Snapshot;
use crate::policy::explain::Extent;
use crate::reason::{Reason, Recorded};
use crate::simulation::log_line::{LogLine, LogLineError, full_line};
use crate::simulation::replay::MissingInput;
use crate::simulation::{Scenario, ScenarioCall, ScenarioCaller, ScenarioError};

/// Where a line was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LineOrigin {
    /// In a file; with the number of the line.
    File(String, usize),
    /// In the memory of a running gate, whose policy in force is asked.
    Gate,
}

/// A line of the log.
#[derive(Debug)]
pub(crate) struct RecordedDecision {
    origin: LineOrigin,
    line: LogLine,
    written: Value,
}

/// What was recorded, and what a tree says now.
#[derive(Debug)]
pub(crate) struct RecordedExplanation {
    recorded: RecordedDecision,
    /// `None` where the log says too little to ask again.
    explained: Option<Explained>,
    missing: Option<MissingSets>,
    revision: String,
}

/// What the log does not say of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MissingSets {
    /// The groups and attributes that their pool has.
    OfPool,
    /// The groups that the token asserted.
    Groups,
}

impl MissingSets {
    fn text(self) -> &'static str {
        match self {
            Self::OfPool => {
                "rules name groups or attributes of the caller's pool, which the log does not have"
            }
            Self::Groups => {
                "cannot be told for sure: rules name groups that a token may assert, which the log does not have"
            }
        }
    }
}

impl RecordedDecision {
    /// Reads a line.
    ///
    /// # Errors
    /// What is not an audit line of opgate's.
    pub(crate) fn parse(bytes: &[u8], origin: LineOrigin) -> Result<Self, LogLineError> {
        let line = LogLine::parse(bytes)?;
        Ok(Self { origin, line, written: serde_json::from_slice(&full_line(bytes)?)? })
    }

    /// Whether a line is the one of a request.
    pub(crate) fn is_about(bytes: &[u8], id: &str) -> bool {
        // Few lines hold the text: only those are parsed.
        let line = std::str::from_utf8(bytes).ok().filter(|text| text.contains(id));
        let full = line.and_then(|line| full_line(line.as_bytes()).ok());
        let Some(written) = full.and_then(|full| serde_json::from_slice::<Value>(&full).ok()) else {
            return false;
        };
        let is_id = |pointer: &str| written.pointer(pointer).and_then(Value::as_str) == Some(id);
        is_id("/insertId") || is_id("/protoPayload/requestMetadata/requestAttributes/id")
    }

    /// Asks a tree for the same call.
    ///
    /// # Errors
    /// Where the tree cannot be asked, for example because it has no such method.
    pub(crate) fn explain(
        self,
        snapshot: &Snapshot,
        extent: Extent,
    ) -> Result<RecordedExplanation, ScenarioError> {
        let scenario = self.scenario(&snapshot.catalog);
        let explained = scenario.map(|scenario| explain(scenario, snapshot, extent)).transpose()?;
        let missing = explained.as_ref().and_then(|explained| self.lacks(explained, snapshot));
        Ok(RecordedExplanation { recorded: self, explained, missing, revision: snapshot.revision.clone() })
    }

    fn said(&self, pointer: &str) -> Option<&str> {
        self.written.pointer(&format!("/protoPayload{pointer}"))?.as_str()
    }

    fn is_allowed(&self) -> bool {
        self.said("/metadata/decision") != Some("DENIED")
    }

    fn reason(&self) -> &str {
        self.said("/metadata/reason").unwrap_or_default()
    }

    fn time(&self) -> &str {
        self.written.get("timestamp").and_then(Value::as_str).unwrap_or_default()
    }

    /// The call, asked again. `None` where the log says too little, or nothing was decided.
    fn scenario(&self, catalog: &Catalog) -> Option<Scenario> {
        let who = match (&self.line.principal, self.line.recorded) {
            (Some(principal), _) => {
                ScenarioCaller::Principal { principal: principal.clone(), sets: Vec::new() }
            }
            (None, Recorded::Regardless | Recorded::Inconclusive) => return None,
            (None, _) => ScenarioCaller::Anonymous,
        };
        let lacked_scope = Reason::named(self.reason()) == Some(Reason::ScopeInsufficient);
        Some(Scenario {
            who,
            scopes: lacked_scope.then(Vec::new),
            what: self.call(catalog)?,
            time: self.line.time,
            origin: self.line.ip,
        })
    }

    fn call(&self, catalog: &Catalog) -> Option<ScenarioCall> {
        let host = self.host(catalog);
        // The resource of a call over gRPC is not in its path.
        let is_grpc = self.said("/requestMetadata/requestAttributes/protocol") == Some("grpc");
        if let (false, Some(http_method), Some(_), Some(target)) = (
            is_grpc,
            &self.line.http_method,
            &self.line.path,
            self.said("/requestMetadata/requestAttributes/path"),
        ) {
            return Some(ScenarioCall::Request {
                http_method: http_method.clone(),
                target: target.to_owned(),
                host,
            });
        }
        // A long path is in the log in part.
        let resource = self.said("/resourceName").filter(|name| !name.contains('…'))?;
        let method = self.said("/methodName")?;
        Some(ScenarioCall::Method { method: method.to_owned(), resource: resource.to_owned(), host })
    }

    /// The host that was asked; where the tree has no such host, one of the service that was.
    fn host(&self, catalog: &Catalog) -> Option<String> {
        let asked = self.line.host.as_deref()?;
        let is_known = catalog.hosts().iter().any(|known| *known == asked || *known == "*");
        let of_service = || {
            let service = self.line.service.as_deref()?;
            let method = catalog.methods().iter().find(|method| method.service.name == service)?;
            method.service.hosts.first().cloned()
        };
        if is_known { Some(asked.to_owned()) } else { of_service().or_else(|| Some(asked.to_owned())) }
    }

    /// What of the caller the log does not have, though the tree's answer may depend on it.
    fn lacks(&self, explained: &Explained, snapshot: &Snapshot) -> Option<MissingSets> {
        let principal = self.line.principal.as_ref()?;
        if principal.pool().is_some_and(|pool| snapshot.policy.mapped_pools().contains(pool)) {
            return Some(MissingSets::OfPool);
        }
        explained.depends_on_asserted_groups(&snapshot.policy).then_some(MissingSets::Groups)
    }

    fn json(&self) -> Value {
        let (file, line) = match &self.origin {
            LineOrigin::File(file, line) => (Some(file), Some(line)),
            LineOrigin::Gate => (None, None),
        };
        json!({
            "file": file,
            "line": line,
            "decision": self.said("/metadata/decision"),
            "reason": self.reason(),
            "detail": self.said("/metadata/detail"),
            "rule": self.said("/metadata/rule/place"),
            "policyRevision": self.said("/metadata/policyRevision"),
            "time": self.written.get("timestamp"),
        })
    }
}

/// What a line says of the call, as far as a page shows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordedFacts {
    pub(crate) reason: String,
    pub(crate) principal: Option<String>,
    pub(crate) method: Option<String>,
    pub(crate) resource: Option<String>,
    pub(crate) http_method: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) status: u64,
    pub(crate) time: String,
}

impl RecordedExplanation {
    /// What the line says of the call.
    pub(crate) fn facts(&self) -> RecordedFacts {
        let recorded = &self.recorded;
        let said = |pointer: &str| recorded.said(pointer).map(str::to_owned);
        let status = recorded.written.pointer("/httpRequest/status").and_then(Value::as_u64);
        RecordedFacts {
            reason: recorded.reason().to_owned(),
            principal: said("/authenticationInfo/principalSubject"),
            method: said("/methodName"),
            resource: said("/resourceName"),
            http_method: recorded.line.http_method.as_ref().map(ToString::to_string),
            path: said("/requestMetadata/requestAttributes/path"),
            status: status.unwrap_or_default(),
            time: recorded.time().to_owned(),
        }
    }

    /// What the tree says now; `None` where it cannot be asked.
    pub(crate) fn explained(&self) -> Option<&Explained> {
        self.explained.as_ref()
    }

    /// Whether the call was let pass when it was recorded.
    pub(crate) fn was_allowed(&self) -> bool {
        self.recorded.is_allowed()
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let explanation = self.explained.as_ref().map(Explained::json);
        let missing: Vec<&str> = self.missing.map(|_| MissingInput::Sets.name()).into_iter().collect();
        json!({ "recorded": self.recorded.json(), "explanation": explanation, "missing": missing })
    }

    /// For people: what was recorded, then the explanation.
    pub(crate) fn text(&self) -> String {
        let mut page = Page::default();
        let recorded = &self.recorded;
        let decision = recorded.said("/metadata/decision").unwrap_or_default();
        let reason = if recorded.is_allowed() { String::new() } else { format!(": {}", recorded.reason()) };
        page.put("RECORDED  ", &format!("{decision}{reason}"));
        let put = |page: &mut Page, text: &str| page.put("          ", text);
        let time = recorded.time();
        match &recorded.origin {
            LineOrigin::File(file, line) => put(&mut page, &format!("{file}:{line}, {time}")),
            LineOrigin::Gate => put(&mut page, time),
        }
        if let Some(detail) = recorded.said("/metadata/detail") {
            put(&mut page, detail);
        }
        if let Some(place) = recorded.said("/metadata/rule/place") {
            put(&mut page, &format!("the rule that decided: {place}"));
        }
        let then = recorded.said("/metadata/policyRevision").unwrap_or_default();
        put(&mut page, &format!("policy revision {then}, {}", self.revision_now(then)));
        let Some(explained) = &self.explained else {
            let tree = self.tree();
            put(&mut page, &format!("the log says too little to ask {tree} again"));
            return page.into_text();
        };
        if explained.is_allowed() != recorded.is_allowed() {
            put(&mut page, &format!("{} decides otherwise, as follows", self.tree()));
        }
        if let Some(missing) = self.missing {
            put(&mut page, missing.text());
        }
        page.blank();
        page.into_text() + &explained.text()
    }

    /// What is asked.
    fn tree(&self) -> &'static str {
        match self.recorded.origin {
            LineOrigin::File(..) => "the tree",
            LineOrigin::Gate => "the policy in force",
        }
    }

    fn revision_now(&self, then: &str) -> String {
        let now = &self.revision;
        match (&self.recorded.origin, then == now) {
            (LineOrigin::File(..), true) => "which the tree has".to_owned(),
            (LineOrigin::File(..), false) => format!("and the tree has {now}"),
            (LineOrigin::Gate, true) => "which is in force".to_owned(),
            (LineOrigin::Gate, false) => format!("and {now} is in force now"),
        }
    }
}
