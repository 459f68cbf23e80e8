//! `opgate diff --audit FILE`: where a shadow policy said otherwise than the one in force, as the audit log has it.
//!
//! Nothing is decided here: the gate asked both when the request came. What a shadow said is told by its revision, since it
//! may have been changed while the log was written.

use std::collections::HashMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::changes::Direction;
use crate::diagnostic::Report;
use crate::simulation::log_line::{LogLine, LoggedRuling};

/// Different questions that are told apart; more are counted.
const MOST: usize = 10_000;

/// Differences of one kind that the text shows; JSON has all that are told apart.
const SHOWN: usize = 50;

/// What is told apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Question {
    change: Direction,
    /// `None` for a caller without a credential.
    principal: Option<String>,
    method: String,
    resource: String,
}

/// A question, how often it was asked, and what both policies said the last time.
#[derive(Debug)]
struct Difference {
    question: Question,
    requests: u64,
    in_force: LoggedRuling,
    shadow: LoggedRuling,
}

/// What one revision of a shadow said otherwise.
#[derive(Debug, Default)]
struct OfRevision {
    revision: String,
    gained: u64,
    revoked: u64,
    differences: Vec<Difference>,
    /// Where a question stands in `differences`.
    known: HashMap<Question, usize>,
}

/// Everything that the log records of shadows.
#[derive(Debug, Default)]
pub(super) struct RecordedShadows {
    /// In the order in which the log has them.
    revisions: Vec<OfRevision>,
    /// Different questions so far.
    told_apart: usize,
    /// Requests whose difference is counted and not listed.
    unlisted: u64,
    requests: u64,
    passed_over: u64,
}

impl RecordedShadows {
    /// Takes a line in.
    pub(super) fn add(&mut self, line: LogLine) {
        self.requests += 1;
        let Some(shadow) = line.shadow else { return };
        let change = if shadow.is_allowed() { Direction::Gained } else { Direction::Revoked };
        let question = Question {
            change,
            principal: line.principal.as_ref().map(ToString::to_string),
            method: line.method.unwrap_or_default(),
            resource: line.resource.unwrap_or_default(),
        };
        let revision = shadow.policy_revision.clone().unwrap_or_default();
        let known = self.revisions.iter().position(|known| known.revision == revision);
        if known.is_none() {
            self.revisions.push(OfRevision { revision, ..OfRevision::default() });
        }
        let place = known.unwrap_or(self.revisions.len().saturating_sub(1));
        let Some(of) = self.revisions.get_mut(place) else { return };
        match change {
            Direction::Gained => of.gained += 1,
            Direction::Revoked => of.revoked += 1,
        }
        if let Some(known) = of.known.get(&question).and_then(|place| of.differences.get_mut(*place)) {
            known.requests += 1;
            (known.in_force, known.shadow) = (line.ruling, shadow);
        } else if self.told_apart == MOST {
            self.unlisted += 1;
        } else {
            self.told_apart += 1;
            of.known.insert(question.clone(), of.differences.len());
            of.differences.push(Difference { question, requests: 1, in_force: line.ruling, shadow });
        }
    }

    /// Ends the reading.
    pub(super) fn passed_over(mut self, lines: u64) -> Self {
        self.passed_over = lines;
        self
    }

    /// All requests of the log.
    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    /// Requests that the shadow alone allows, and those that it alone refuses.
    fn differing(&self) -> (u64, u64) {
        let revisions = self.revisions.iter();
        revisions.fold((0, 0), |(gained, revoked), of| (gained + of.gained, revoked + of.revoked))
    }

    /// Whether any decision differs.
    pub(super) fn differs(&self) -> bool {
        !self.revisions.is_empty()
    }

    /// The text.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for of in &self.revisions {
            let _ = writeln!(text, "shadow revision {}", of.revision);
            for (change, name, requests) in
                [(Direction::Gained, "gained", of.gained), (Direction::Revoked, "revoked", of.revoked)]
            {
                if requests > 0 {
                    let _ = writeln!(text, "{name}: {}", counted(requests));
                    table(&of.of_kind(change), &mut text);
                }
            }
            text.push('\n');
        }
        let (gained, revoked) = self.differing();
        let same = self.requests.saturating_sub(gained + revoked);
        let _ = writeln!(
            text,
            "{}: {gained} gained, {revoked} revoked by a shadow, {same} without a difference",
            counted(self.requests)
        );
        if self.unlisted > 0 {
            let _ =
                writeln!(text, "the differences of {} are counted and not listed", counted(self.unlisted));
        }
        if self.passed_over > 0 {
            let plural = if self.passed_over == 1 { "" } else { "s" };
            let _ = writeln!(text, "{} line{plural} passed over: not audit lines", self.passed_over);
        }
        text
    }

    /// The JSON.
    pub(super) fn json(&self, report: &Report) -> Value {
        let (gained, revoked) = self.differing();
        json!({
            "valid": true,
            "requests": self.requests,
            "gained": gained,
            "revoked": revoked,
            "shadows": self.revisions.iter().map(OfRevision::json).collect::<Vec<_>>(),
            "unlistedRequests": self.unlisted,
            "passedOver": self.passed_over,
            "diagnostics": report.to_json(),
        })
    }
}

impl OfRevision {
    /// The differences of one kind, the most frequent first.
    fn of_kind(&self, change: Direction) -> Vec<&Difference> {
        let mut found: Vec<&Difference> =
            self.differences.iter().filter(|difference| difference.question.change == change).collect();
        found.sort_by_key(|difference| std::cmp::Reverse(difference.requests));
        found
    }

    fn json(&self) -> Value {
        let listed = [Direction::Gained, Direction::Revoked].map(|change| self.of_kind(change)).concat();
        json!({
            "policyRevision": self.revision,
            "gained": self.gained,
            "revoked": self.revoked,
            "differences": listed.into_iter().map(Difference::json).collect::<Vec<_>>(),
        })
    }
}

impl Difference {
    fn json(&self) -> Value {
        let Question { change, principal, method, resource } = &self.question;
        let ruling = |ruling: &LoggedRuling, is_allowed: bool| {
            json!({
                "decision": if is_allowed { "allowed" } else { &*ruling.reason },
                "rule": ruling.rule,
                "detail": ruling.detail,
                "policyRevision": ruling.policy_revision,
            })
        };
        let is_gained = *change == Direction::Gained;
        json!({
            "change": if is_gained { "gained" } else { "revoked" },
            "principal": principal,
            "method": method,
            "resource": resource,
            "requests": self.requests,
            "inForce": ruling(&self.in_force, !is_gained),
            "shadow": ruling(&self.shadow, is_gained),
        })
    }
}

fn table(differences: &[&Difference], text: &mut String) {
    let shown = differences.get(..SHOWN).unwrap_or(differences);
    let name = |one: &Difference| one.question.principal.clone().unwrap_or_else(|| "anonymous".to_owned());
    let widest = |cell: &dyn Fn(&Difference) -> usize| shown.iter().map(|one| cell(one)).max().unwrap_or(0);
    let count_width = widest(&|one| one.requests.to_string().len());
    let principal_width = widest(&|one| name(one).chars().count());
    let method_width = widest(&|one| one.question.method.chars().count());
    for one in shown {
        let Question { change, method, resource, .. } = &one.question;
        let _ = writeln!(
            text,
            "  {:>count_width$}  {:principal_width$}  {method:method_width$}  {resource}",
            one.requests,
            name(one),
        );
        let is_gained = *change == Direction::Gained;
        for (who, ruling, is_allowed) in
            [("in force", &one.in_force, !is_gained), ("shadow  ", &one.shadow, is_gained)]
        {
            let _ = writeln!(text, "  {:count_width$}    {who}  {}", "", described(ruling, is_allowed));
        }
    }
    if let Some(more) = differences.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = writeln!(text, "  and {more} more, which `--output json` lists");
    }
}

/// What a policy said. A request that policy allowed may have been refused after it, for a reason of its own.
fn described(ruling: &LoggedRuling, is_allowed: bool) -> String {
    match (is_allowed, &ruling.rule, &ruling.detail) {
        (true, Some(rule), _) => format!("allowed by {rule}"),
        (true, None, _) => "allowed".to_owned(),
        (false, _, Some(detail)) => format!("{}: {detail}", ruling.reason),
        (false, _, None) => ruling.reason.clone(),
    }
}

fn counted(requests: u64) -> String {
    format!("{requests} request{}", if requests == 1 { "" } else { "s" })
}
