//! `opgate who-can PERMISSION on RESOURCE`: every principal that holds a permission, and by which bindings.

use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::args::Output;
use super::problem::Problem;
use super::tree::{TreeArgs, refuse};
use crate::catalog::{Catalog, Exposure, PermissionRule};
use crate::clock;
use crate::decision::snapshot::Snapshot;
use crate::diagnostic::Report;
use crate::document::nearest;
use crate::explain::Page;
use crate::policy::who_can::{GrantedThrough, Holder};
use crate::policy::{Attributes, Granted, Refusal, ResourceName};
use crate::simulation::{full_name, written};
use crate::terminal::{counted, print};

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
    if let Err(problem) = check(args, &snapshot) {
        return problem.print(args.output);
    }
    let service = only_service(&args.permission, &snapshot.catalog);
    let attributes = Attributes {
        origin: args.ip,
        service: service.map(|service| service.name.as_str()),
        ..Attributes::at(args.time.unwrap_or_else(clock::now))
    };
    let resource = ResourceName::new(args.resource());
    let holders = snapshot.policy.who_can(&args.permission, resource, &attributes);
    match args.output {
        Output::Text => print(&text(args, &holders)),
        Output::Json => print(&format!("{:#}\n", in_json(args, &holders))),
    }
    ExitCode::SUCCESS
}

impl WhoCanArgs {
    /// The relative name of the resource.
    fn resource(&self) -> &str {
        full_name::split(&self.resource).1
    }
}

/// A typing error must not look like a permission that no principal holds.
fn check(args: &WhoCanArgs, snapshot: &Snapshot) -> Result<(), Problem> {
    let asked = snapshot.catalog.permissions();
    let asked = asked.iter().map(|(permission, _)| permission.as_str());
    let known: Vec<&str> = snapshot.policy.permissions().chain(asked).collect();
    if !known.contains(&args.permission.as_str()) {
        let help = match nearest(&args.permission, known.into_iter()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "write it as roles do: `cloudaicompanion.operations.cancel`".to_owned(),
        };
        let message = format!("no role that is bound holds `{}`, and no method requires it", args.permission);
        return Err(Problem::new(message, help));
    }
    if args.resource().split('/').any(str::is_empty) {
        let message = format!("`{}` is not a name of a resource", args.resource);
        return Err(Problem::new(
            message,
            "write it without the service: `projects/demo/locations/…`, or in full: `//SERVICE/projects/…`",
        ));
    }
    Ok(())
}

/// The one service whose methods require the permission, where there is one: conditions may read it.
pub(super) fn only_service<'c>(permission: &str, catalog: &'c Catalog) -> Option<&'c Arc<Exposure>> {
    let asking = catalog.methods().iter().filter(
        |method| matches!(&method.permission, PermissionRule::Required(asked) if asked == permission),
    );
    let mut services = asking.map(|method| &method.service);
    let first = services.next()?;
    services.all(|service| service.name == first.name).then_some(first)
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

fn text(args: &WhoCanArgs, holders: &[Holder]) -> String {
    let (can, cannot): (Vec<&Holder>, Vec<&Holder>) =
        holders.iter().partition(|holder| holder.decided.is_ok());
    let count = match can.len() {
        0 => "no principal".to_owned(),
        count => counted(count, "principal"),
    };
    let mut page = Page::default();
    page.put("", &format!("{count} can {} on {}", args.permission, args.resource()));
    for holder in can {
        page.blank();
        page.put("", &format!("{}{}", holder.name, of_set(holder)));
        grants(&mut page, "  ", &holder.name, &holder.grants);
    }
    if !cannot.is_empty() {
        page.blank();
        let are = if cannot.len() == 1 { "1 is".to_owned() } else { format!("{} are", cannot.len()) };
        page.put("", &format!("{are} granted it and cannot, as asked:"));
    }
    for holder in cannot {
        page.blank();
        page.put("", &format!("{}{}: {}", holder.name, of_set(holder), why(&holder.decided)));
        grants(&mut page, "  ", &holder.name, &holder.grants);
    }
    page.into_text()
}

/// The bindings that give `name` something.
pub(super) fn grants(page: &mut Page, indent: &str, name: &str, grants: &[GrantedThrough]) {
    let inner = format!("{indent}  ");
    for GrantedThrough { role, member, through, resource, condition, place } in grants {
        page.put(indent, &format!("{role} on {resource} ({place})"));
        if !through.is_empty() {
            page.put(&inner, &format!("as {member} through {}", through.join(", ")));
        } else if **member != *name {
            page.put(&inner, &format!("as {member}"));
        }
        if let Some((expression, title)) = condition {
            let title = title.as_ref().map(|title| format!(" ({title})")).unwrap_or_default();
            page.put(&inner, &format!("if `{expression}`{title}"));
        }
    }
}

fn of_set(holder: &Holder) -> &'static str {
    if holder.is_set { " (all of its members, except those that a rule denies by name)" } else { "" }
}

/// Why a verdict is not that they can.
pub(super) fn why(decided: &Result<Granted, Refusal>) -> String {
    match decided {
        Err(Refusal::Denied(denied)) => match &denied.condition {
            None => format!("denied by {}, as {}", denied.place, denied.member),
            Some(tested) => format!("denied by {}, as {}: {tested}", denied.place, denied.member),
        },
        Err(Refusal::OutOfBounds(out)) => format!("out of bounds: {out}"),
        Err(Refusal::ConditionNotMet(unmet)) => unmet.tested.to_string(),
        Err(Refusal::PermissionNotInRole { .. } | Refusal::NoBinding) | Ok(_) => "not granted".to_owned(),
    }
}

fn in_json(args: &WhoCanArgs, holders: &[Holder]) -> Value {
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
        "permission": args.permission,
        "resource": args.resource(),
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
