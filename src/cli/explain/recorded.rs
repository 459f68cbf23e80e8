//! `opgate explain --audit FILE --id ID`: a decision that the audit log records, what the log says of it, and what the
//! policy tree says to the same call.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::catalog::Catalog;
use crate::cli::args::Output;
use crate::cli::problem::Problem;
use crate::cli::tree::{TreeArgs, refuse};
use crate::decision::snapshot::Snapshot;
use crate::diagnostic::Report;
use crate::explain::{Explained, Page, explain};
use crate::policy::explain::Extent;
use crate::reason::{Reason, Recorded};
use crate::simulation::log_line::LogLine;
use crate::simulation::replay::MissingInput;
use crate::simulation::{Scenario, ScenarioCall, ScenarioCaller};
use crate::terminal::{DENIED, print};

/// The longest line that is read, as `diff` does.
const LONGEST: u64 = 1 << 20;

/// A line of the log.
struct RecordedDecision {
    file: PathBuf,
    number: u64,
    line: LogLine,
    written: Value,
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

/// Explains the recorded decision. Exits 0 where it let the call pass, 2 where it did not, 3 where it is not found.
pub(super) fn run(tree: &TreeArgs, file: &Path, id: &str, extent: Extent, output: Output) -> ExitCode {
    let recorded = match find(file, id) {
        Ok(recorded) => recorded,
        Err(problem) => return problem.print(output),
    };
    let mut report = Report::new();
    let snapshot = tree.load(&mut report).filter(|_| !report.is_fatal());
    let Some(snapshot) = snapshot else { return refuse(&report, output) };
    let explained = match recorded.scenario(&snapshot.catalog) {
        None => None,
        Some(scenario) => match explain(scenario, &snapshot, extent) {
            Ok(explained) => Some(explained),
            Err(mistake) => return Problem::from(mistake).print(output),
        },
    };
    match output {
        Output::Text => print(&text(&recorded, explained.as_ref(), &snapshot)),
        Output::Json => {
            let explanation = explained.as_ref().map(Explained::json);
            let missing = explained.as_ref().and_then(|explained| recorded.lacks(explained, &snapshot));
            let missing: Vec<&str> = missing.map(|_| MissingInput::Sets.name()).into_iter().collect();
            let json = json!({ "recorded": recorded.json(), "explanation": explanation, "missing": missing });
            print(&format!("{json:#}\n"));
        }
    }
    if recorded.is_allowed() { ExitCode::SUCCESS } else { ExitCode::from(DENIED) }
}

/// The line of a request.
fn find(file: &Path, id: &str) -> Result<RecordedDecision, Problem> {
    let help = "name a file that `audit.output` wrote, or `-` for standard input";
    let fail = |what: &str| Problem::new(format!("cannot read {}: {what}", file.display()), help);
    let mut reader: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(BufReader::new(std::fs::File::open(file).map_err(|error| fail(&error.to_string()))?))
    };
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        let read = reader.by_ref().take(LONGEST).read_until(b'\n', &mut bytes);
        if read.map_err(|error| fail(&error.to_string()))? == 0 {
            break;
        }
        let Some(written) = is_about(&bytes, id) else { continue };
        let line = LogLine::parse(&bytes).map_err(|error| {
            Problem::new(format!("line {number} of {} is not an audit line: {error}", file.display()), help)
        })?;
        return Ok(RecordedDecision { file: file.to_owned(), number, line, written });
    }
    let message = format!("{} has no request `{id}`", file.display());
    let help = "the id is in the `x-request-id` of the answer, and in the line as `insertId`";
    Err(Problem::new(message, help))
}

/// The line as JSON, if it is the one of a request.
fn is_about(bytes: &[u8], id: &str) -> Option<Value> {
    // Few lines hold the text: only those are parsed.
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.contains(id))?;
    let written: Value = serde_json::from_str(text).ok()?;
    let is_id = |pointer: &str| written.pointer(pointer).and_then(Value::as_str) == Some(id);
    let is_own = is_id("/insertId") || is_id("/protoPayload/requestMetadata/requestAttributes/id");
    is_own.then_some(written)
}

impl RecordedDecision {
    fn said(&self, pointer: &str) -> Option<&str> {
        self.written.pointer(&format!("/protoPayload{pointer}"))?.as_str()
    }

    fn is_allowed(&self) -> bool {
        self.said("/metadata/decision") != Some("DENIED")
    }

    fn reason(&self) -> &str {
        self.said("/metadata/reason").unwrap_or_default()
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
        if let (Some(http_method), Some(_), Some(target)) =
            (&self.line.http_method, &self.line.path, self.said("/requestMetadata/requestAttributes/path"))
        {
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
        json!({
            "file": self.file.display().to_string(),
            "line": self.number,
            "decision": self.said("/metadata/decision"),
            "reason": self.reason(),
            "detail": self.said("/metadata/detail"),
            "rule": self.said("/metadata/rule/place"),
            "policyRevision": self.said("/metadata/policyRevision"),
            "time": self.written.get("timestamp"),
        })
    }
}

fn text(recorded: &RecordedDecision, explained: Option<&Explained>, snapshot: &Snapshot) -> String {
    let mut page = Page::default();
    let decision = recorded.said("/metadata/decision").unwrap_or_default();
    let reason = if recorded.is_allowed() { String::new() } else { format!(": {}", recorded.reason()) };
    let time = recorded.written.get("timestamp").and_then(Value::as_str).unwrap_or_default();
    page.put("RECORDED  ", &format!("{decision}{reason}"));
    let put = |page: &mut Page, text: &str| page.put("          ", text);
    put(&mut page, &format!("{}:{}, {time}", recorded.file.display(), recorded.number));
    if let Some(detail) = recorded.said("/metadata/detail") {
        put(&mut page, detail);
    }
    if let Some(place) = recorded.said("/metadata/rule/place") {
        put(&mut page, &format!("the rule that decided: {place}"));
    }
    let revision = recorded.said("/metadata/policyRevision").unwrap_or_default();
    let same = revision == snapshot.revision;
    let tree = if same {
        "which the tree has".to_owned()
    } else {
        format!("and the tree has {}", snapshot.revision)
    };
    put(&mut page, &format!("policy revision {revision}, {tree}"));
    let Some(explained) = explained else {
        put(&mut page, "the log says too little to ask the tree again");
        return page.into_text();
    };
    if explained.is_allowed() != recorded.is_allowed() {
        put(&mut page, "the tree decides otherwise, as follows");
    }
    if let Some(missing) = recorded.lacks(explained, snapshot) {
        put(&mut page, missing.text());
    }
    page.blank();
    page.into_text() + &explained.text()
}
