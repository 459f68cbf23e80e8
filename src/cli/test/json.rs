//! Results for programs.

use serde_json::{Value, json};

use super::coverage::Coverage;
use super::results::{Results, RunCase};
use super::text::kind_name;
use crate::diagnostic::Report;
use crate::policy::RuleKind;

/// Everything, the report's warnings included.
pub(super) fn render(results: &Results, report: &Report) -> Value {
    json!({
        "valid": true,
        "directory": results.directory.display().to_string(),
        "passed": results.passed(),
        "failed": results.failed(),
        "seconds": results.duration.as_secs_f64(),
        "tests": results.outcomes.iter().map(outcome).collect::<Vec<_>>(),
        "coverage": results.coverage.as_ref().map(coverage),
        "diagnostics": report.to_json(),
    })
}

fn outcome(outcome: &RunCase) -> Value {
    let RunCase { case, answer, passed, duration } = outcome;
    let rule = case.rule.as_ref().map(ToString::to_string);
    json!({
        "name": case.name,
        "place": case.span.place(),
        "passed": passed,
        "seconds": duration.as_secs_f64(),
        "expected": { "decision": case.expected.name(), "rule": rule },
        "got": {
            "decision": answer.decision.name(),
            "rule": answer.rule,
            "detail": answer.because,
        },
    })
}

fn coverage(coverage: &Coverage) -> Value {
    let counted = |kind| {
        let (exercised, total) = coverage.count(kind);
        json!({ "exercised": exercised, "total": total })
    };
    json!({
        "bindings": counted(RuleKind::Binding),
        "denyRules": counted(RuleKind::DenyRule),
        "boundaries": counted(RuleKind::Boundary),
        "neverExercised": coverage
            .missed()
            .map(|rule| json!({ "kind": kind_name(rule.kind), "place": rule.place }))
            .collect::<Vec<_>>(),
    })
}
