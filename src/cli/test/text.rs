//! Results for people: what failed and how, what was counted, and what no test exercises.

use std::fmt::Write;
use std::path::Path;

use super::answer::below;
use super::case::{CaseCall, CaseCaller, TestCase};
use super::results::{Results, RunCase};
use crate::policy::RuleKind;

/// Places of unexercised rules that are shown; JSON has all.
const SHOWN: usize = 20;

/// Everything.
pub(super) fn render(results: &Results, verbose: bool) -> String {
    let mut text = String::new();
    for outcome in &results.outcomes {
        if !outcome.passed {
            let _ = write!(text, "FAILED  {}\n{}\n", title(outcome), difference(outcome, &results.directory));
        } else if verbose {
            let _ = writeln!(text, "passed  {}", title(outcome));
        }
    }
    let (passed, failed) = (results.passed(), results.failed());
    let _ = writeln!(text, "{passed} passed, {failed} failed, {:.2} s", results.duration.as_secs_f64());
    coverage(results, &mut text);
    text
}

fn title(outcome: &RunCase) -> String {
    format!("{}: {}", outcome.case.span.place(), outcome.case.name)
}

/// What was asked, expected and said, one line each.
pub(super) fn difference(outcome: &RunCase, directory: &Path) -> String {
    let RunCase { case, answer, .. } = outcome;
    let (mut expected, mut got) = (case.expected.name().to_owned(), answer.decision.name().to_owned());
    if let Some(rule) = &case.rule {
        let _ = write!(expected, " by {rule}");
        let _ = match &answer.rule {
            Some(place) => write!(got, " by {}:{}", below(directory, place), place.line),
            None => write!(got, " by no rule"),
        };
    }
    format!(
        "  asked     {}\n  expected  {expected}\n  got       {got}\n  because   {}\n",
        asked(case),
        answer.because
    )
}

/// The question in a line.
fn asked(case: &TestCase) -> String {
    let who = match &case.who {
        CaseCaller::Anonymous => "an anonymous caller".to_owned(),
        CaseCaller::Principal(principal) => principal.to_string(),
        CaseCaller::Claims(claims, _) => serde_json::Value::Object(claims.clone()).to_string(),
    };
    let at = |host: &Option<String>| host.as_ref().map(|host| format!(" at {host}")).unwrap_or_default();
    match &case.call {
        CaseCall::Request { http_method, target, host, .. } => {
            format!("{who}: {http_method} {target}{}", at(host))
        }
        CaseCall::Method { method, resource, host, .. } => {
            format!("{who}: {method} on {resource}{}", at(host))
        }
        CaseCall::Rpc { rpc, message, host, .. } => {
            format!("{who}: {rpc} over gRPC with {message}{}", at(host))
        }
    }
}

fn coverage(results: &Results, text: &mut String) {
    let Some(coverage) = &results.coverage else { return };
    let (exercised, bindings) = coverage.count(RuleKind::Binding);
    let _ = write!(text, "bindings: {exercised} of {bindings} exercised");
    for (kind, name) in [(RuleKind::DenyRule, "deny rules"), (RuleKind::Boundary, "boundaries")] {
        let (exercised, total) = coverage.count(kind);
        if total > 0 {
            let _ = write!(text, "; {name}: {exercised} of {total}");
        }
    }
    text.push('\n');
    let missed: Vec<_> = coverage.missed().collect();
    if missed.is_empty() {
        return;
    }
    text.push_str("no test is decided by:\n");
    for rule in missed.iter().take(SHOWN) {
        let _ = writeln!(text, "  {}  ({})", rule.place, kind_name(rule.kind));
    }
    if let Some(more) = missed.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = writeln!(text, "  and {more} more, which `--output json` lists");
    }
}

/// What a rule is, in words.
pub(super) fn kind_name(kind: RuleKind) -> &'static str {
    match kind {
        RuleKind::Binding => "binding",
        RuleKind::DenyRule => "deny rule",
        RuleKind::Boundary => "boundary",
    }
}
