//! The comparison as text and as JSON.

use std::fmt::Write;

use serde_json::{Value, json};

use super::changes::{Changed, Changes, Direction};
use super::compared::Compared;
use crate::diagnostic::Report;
use crate::simulation::replay::ReplayOutcome;

/// Changes of one kind that the text shows; JSON has all that are told apart.
const SHOWN: usize = 50;

/// The text.
pub(super) fn text(compared: &Compared) -> String {
    let changes = &compared.changes;
    let mut text = String::new();
    for (change, name, requests) in
        [(Direction::Gained, "gained", changes.gained), (Direction::Revoked, "revoked", changes.revoked)]
    {
        if requests > 0 {
            let _ = writeln!(text, "{name}: {}", counted(requests));
            table(&changes.of_kind(change), &mut text);
            text.push('\n');
        }
    }
    let Changes { gained, revoked, unchanged, .. } = changes;
    let _ = writeln!(
        text,
        "{}: {gained} gained, {revoked} revoked, {unchanged} unchanged, {} cannot be told",
        counted(changes.requests()),
        changes.doubtful(),
    );
    for (doubt, requests) in &changes.doubts {
        let _ = writeln!(text, "  {requests} cannot: {}", doubt.text());
    }
    if changes.unlisted > 0 {
        let _ = writeln!(text, "the changes of {} are counted and not listed", counted(changes.unlisted));
    }
    if compared.passed_over > 0 {
        let _ = writeln!(text, "{} passed over: not audit lines", lines(compared.passed_over));
    }
    if let Some(first) = changes.first_otherwise {
        let _ = writeln!(
            text,
            "{} decides {} otherwise than the log says (the first is line {first}): the log is of another policy",
            compared.old.display(),
            counted(changes.otherwise),
        );
    }
    text
}

fn table(changes: &[&Changed], text: &mut String) {
    let shown = changes.get(..SHOWN).unwrap_or(changes);
    let principal =
        |changed: &Changed| changed.question.principal.clone().unwrap_or_else(|| "anonymous".to_owned());
    let widest =
        |cell: &dyn Fn(&Changed) -> usize| shown.iter().map(|changed| cell(changed)).max().unwrap_or(0);
    let count_width = widest(&|changed| changed.requests.to_string().len());
    let principal_width = widest(&|changed| principal(changed).chars().count());
    let permission_width = widest(&|changed| changed.question.permission.chars().count());
    for changed in shown {
        let _ = writeln!(
            text,
            "  {:>count_width$}  {:principal_width$}  {:permission_width$}  {}",
            changed.requests,
            principal(changed),
            changed.question.permission,
            changed.question.resource,
        );
        for (name, answer) in [("old", &changed.old), ("new", &changed.new)] {
            let _ = writeln!(text, "  {:count_width$}    {name}  {}", "", described(answer));
        }
    }
    if let Some(more) = changes.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = writeln!(text, "  and {more} more, which `--output json` lists");
    }
}

fn described(answer: &ReplayOutcome) -> String {
    match answer {
        ReplayOutcome::Allowed(place) => format!("allowed by {place}"),
        ReplayOutcome::Refused { reason, detail, .. } => format!("{}: {detail}", reason.entry().name),
        ReplayOutcome::Unknown(doubt) => doubt.text().to_owned(),
    }
}

fn counted(requests: u64) -> String {
    format!("{requests} request{}", if requests == 1 { "" } else { "s" })
}

fn lines(count: u64) -> String {
    format!("{count} line{}", if count == 1 { "" } else { "s" })
}

/// The JSON.
pub(super) fn json(compared: &Compared, report: &Report) -> Value {
    let changes = &compared.changes;
    let listed = [Direction::Gained, Direction::Revoked].map(|change| changes.of_kind(change)).concat();
    let tree = |directory: &std::path::Path, revision: &str| json!({ "directory": directory.display().to_string(), "policyRevision": revision });
    let doubts = changes.doubts.iter();
    json!({
        "valid": true,
        "old": tree(&compared.old, &compared.old_revision),
        "new": tree(&compared.new, &compared.new_revision),
        "requests": changes.requests(),
        "gained": changes.gained,
        "revoked": changes.revoked,
        "unchanged": changes.unchanged,
        "cannotTell": changes.doubtful(),
        "cannotTellWhy": doubts
            .map(|(doubt, requests)| json!({ "lacks": doubt.name(), "why": doubt.text(), "requests": requests }))
            .collect::<Vec<_>>(),
        "changes": listed.into_iter().map(changed).collect::<Vec<_>>(),
        "unlistedRequests": changes.unlisted,
        "decidedOtherwise": changes.first_otherwise.map(|first| {
            json!({ "requests": changes.otherwise, "firstLine": first })
        }),
        "passedOver": compared.passed_over,
        "diagnostics": report.to_json(),
    })
}

fn changed(changed: &Changed) -> Value {
    let question = &changed.question;
    json!({
        "change": match question.change {
            Direction::Gained => "gained",
            Direction::Revoked => "revoked",
        },
        "principal": question.principal,
        "permission": question.permission,
        "method": question.method,
        "resource": question.resource,
        "host": question.host,
        "requests": changed.requests,
        "old": answer(&changed.old),
        "new": answer(&changed.new),
    })
}

fn answer(answer: &ReplayOutcome) -> Value {
    match answer {
        ReplayOutcome::Allowed(place) => json!({ "decision": "allowed", "rule": place, "detail": null }),
        ReplayOutcome::Refused { reason, detail, rule } => {
            json!({ "decision": reason.entry().name, "rule": rule, "detail": detail })
        }
        ReplayOutcome::Unknown(doubt) => json!({ "decision": null, "rule": null, "detail": doubt.text() }),
    }
}
