//! `opgate who-can PERMISSION on RESOURCE`: every principal that holds a permission, and by which bindings.

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::args::Output;
use super::problem::Problem;
use super::tree::{TreeArgs, refuse};
use crate::clock;
use crate::diagnostic::Report;
use crate::explain::holders::{WhoCan, why};
use crate::policy::who_can::{GrantedThrough, Holder};
use crate::policy::{Granted, Refusal};
use crate::simulation::written;
use crate::terminal::print;

/// Arguments of `opgate who-can`.
#[derive(Debug, clap::Args)]
pub struct WhoCanArgs {
    /// The permission, like `cloudaicompanion.operations.cancel`
    permission: String,
    /// The word `on`
    #[arg(value_name = "on", value_parser = ["on"], hide_possible_values = true)]
    _on: String,
    /// The resource: `projects/…`, or as denials print it, `//SERVICE/projects/…`
    resource: String,
    #[command(flatten)]
    tree: TreeArgs,
    /// When, like `2026-03-01T12:00:00Z`; now by default
    #[arg(long, value_name = "TIME", value_parser = written::time)]
    time: Option<SystemTime>,
    /// The address that they call from
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<IpAddr>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Lists them. Exits 0, and 3 where it cannot be asked.
pub fn run(args: &WhoCanArgs) -> ExitCode {
    let mut report = Report::new();
    let snapshot = args.tree.load(&mut report).filter(|_| !report.is_fatal());
    let Some(snapshot) = snapshot else { return refuse(&report, args.output) };
    let question = WhoCan {
        permission: &args.permission,
        resource: &args.resource,
        time: args.time.unwrap_or_else(clock::now),
        origin: args.ip,
    };
    let holders = match question.holders(&snapshot) {
        Ok(holders) => holders,
        Err(mistake) => return Problem::from(mistake).print(args.output),
    };
    match args.output {
        Output::Text => print(&question.text(&holders)),
        Output::Json => print(&format!("{:#}\n", in_json(&question, &holders))),
    }
    ExitCode::SUCCESS
}

/// A verdict in a word.
pub(super) fn state_of(decided: &Result<Granted, Refusal>) -> &'static str {
    match decided {
        Ok(_) => "CAN",
        Err(Refusal::ConditionNotMet(_)) => "CONDITIONAL",
        Err(Refusal::Denied(_)) => "DENIED",
        Err(Refusal::OutOfBounds(_)) => "OUT_OF_BOUNDS",
        Err(Refusal::PermissionNotInRole { .. } | Refusal::NoBinding) => "CANNOT",
    }
}

fn in_json(question: &WhoCan<'_>, holders: &[Holder]) -> Value {
    let holders = holders.iter().map(|holder| {
        let rule = match &holder.decided {
            Ok(granted) => Some(&granted.place),
            Err(refusal) => refusal.rule(),
        };
        json!({
            "principal": holder.name,
            "isSet": holder.is_set,
            "state": state_of(&holder.decided),
            "because": holder.decided.as_ref().err().map(|_| why(&holder.decided)),
            "rule": rule,
            "grants": grants_in_json(&holder.grants),
        })
    });
    json!({
        "permission": question.permission,
        "resource": question.resource(),
        "principals": holders.collect::<Vec<_>>(),
    })
}

/// The bindings that give something.
pub(super) fn grants_in_json(grants: &[GrantedThrough]) -> Vec<Value> {
    let grants = grants.iter().map(|grant| {
        json!({
            "role": grant.role,
            "member": grant.member,
            "through": grant.through,
            "resource": grant.resource,
            "condition": grant.condition.as_ref().map(|(expression, title)| json!({
                "expression": expression, "title": title,
            })),
            "rule": grant.place,
        })
    });
    grants.collect()
}
