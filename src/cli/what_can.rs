//! `opgate what-can PRINCIPAL [on RESOURCE]`: every permission that a caller holds, and by which bindings.

use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::args::Output;
use super::problem::Problem;
use super::tree::{TreeArgs, refuse};
use super::who_can::{grants_in_json, state_of};
use crate::clock;
use crate::decision::snapshot::Snapshot;
use crate::diagnostic::Report;
use crate::explain::Page;
use crate::explain::holders::{grants, only_service, why};
use crate::policy::model::member::{ALL_AUTHENTICATED_USERS, ALL_USERS};
use crate::policy::what_can::HeldPermission;
use crate::policy::{Attributes, ResourceName, Subject, whole_pool_of};
use crate::principal::Principal;
use crate::simulation::full_name;
use crate::simulation::written::{self, ScenarioSyntaxError};
use crate::terminal::{counted, print};

/// Most resources that the text lists; JSON has all.
const MOST: usize = 50;

/// Arguments of `opgate what-can`.
#[derive(Debug, clap::Args)]
pub struct WhatCanArgs {
    /// The caller, like `user:ana@example.com`, or a set of callers, like `group:ops@example.com` or `allUsers`
    #[arg(value_name = "PRINCIPAL", value_parser = asked)]
    who: AskedCaller,
    /// The word `on`
    #[arg(value_name = "on", value_parser = ["on"], hide_possible_values = true, requires = "resource")]
    on: Option<String>,
    /// The resource: `projects/…`, or as denials print it, `//SERVICE/projects/…`; without it, every resource on which the
    /// caller is bound
    resource: Option<String>,
    #[command(flatten)]
    tree: TreeArgs,
    /// A group or `principalSet://` that their credential would assert; can be repeated
    #[arg(long = "group", value_name = "GROUP", value_parser = written::set)]
    groups: Vec<Arc<str>>,
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

/// Who is asked about.
#[derive(Clone, Debug)]
enum AskedCaller {
    /// A caller of this name.
    Principal(Principal),
    /// All callers of a set.
    Set(Arc<str>),
}

/// Reads a caller or a set of callers.
fn asked(text: &str) -> Result<AskedCaller, ScenarioSyntaxError> {
    let is_set = matches!(text, ALL_USERS | ALL_AUTHENTICATED_USERS)
        || ["domain:", "group:", "principalSet://"].iter().any(|kind| text.starts_with(kind));
    if !is_set {
        return written::principal(text).map(AskedCaller::Principal);
    }
    match text.split_once(':') {
        Some(("group" | "principalSet", _)) => written::set(text).map(AskedCaller::Set),
        Some((_, domain)) => Ok(AskedCaller::Set(format!("domain:{}", domain.to_ascii_lowercase()).into())),
        None => Ok(AskedCaller::Set(text.into())),
    }
}

impl AskedCaller {
    fn name(&self) -> &str {
        match self {
            Self::Principal(principal) => principal.as_str(),
            Self::Set(set) => set,
        }
    }

    /// The pool whose groups and attributes only a credential tells.
    fn pool(&self) -> Option<&str> {
        match self {
            Self::Principal(principal) => principal.pool(),
            Self::Set(_) => None,
        }
    }
}

/// What the caller holds on one resource.
struct Held {
    resource: Arc<str>,
    permissions: Vec<HeldPermission>,
}

/// Lists it. Exits 0, and 3 where it cannot be asked.
pub fn run(args: &WhatCanArgs) -> ExitCode {
    let mut report = Report::new();
    let snapshot = args.tree.load(&mut report).filter(|_| !report.is_fatal());
    let Some(snapshot) = snapshot else { return refuse(&report, args.output) };
    let held = match args.held(&snapshot) {
        Ok(held) => held,
        Err(problem) => return problem.print(args.output),
    };
    match args.output {
        Output::Text => {
            let pool = args.who.pool().filter(|_| args.groups.is_empty());
            let mapped = pool.is_some_and(|pool| snapshot.policy.mapped_pools().contains(pool));
            print(&text(args, &held, mapped));
        }
        Output::Json => print(&format!("{:#}\n", in_json(args, &held))),
    }
    ExitCode::SUCCESS
}

impl WhatCanArgs {
    fn held(&self, snapshot: &Snapshot) -> Result<Vec<Held>, Problem> {
        let mut sets = self.groups.clone();
        // Whatever else a credential asserts, a caller of a pool is in the set of all its callers.
        for name in self.groups.iter().map(|group| &**group).chain([self.who.name()]) {
            sets.extend(whole_pool_of(name).filter(|everybody| **everybody != *name));
        }
        sets.sort_unstable();
        sets.dedup();
        let subject = match &self.who {
            AskedCaller::Principal(principal) => Subject::of(principal),
            AskedCaller::Set(set) => {
                sets.push(set.clone());
                Subject::anonymous()
            }
        }
        .with_sets(&sets);
        let resources = match &self.resource {
            Some(text) => {
                let name = full_name::split(text).1;
                if name.split('/').any(str::is_empty) {
                    let help = "write it without the service: `projects/demo/locations/…`, or in full: `//SERVICE/projects/…`";
                    return Err(Problem::new(format!("`{text}` is not a name of a resource"), help));
                }
                vec![name.into()]
            }
            None => snapshot.policy.bound_resources(subject),
        };
        let asked = snapshot.catalog.permissions();
        let mut found = Vec::new();
        for resource in resources {
            let permissions = asked.iter().filter_map(|(permission, _)| {
                let service = only_service(permission, &snapshot.catalog);
                let attributes = Attributes {
                    origin: self.ip,
                    service: service.map(|service| service.name.as_str()),
                    ..Attributes::at(self.time.unwrap_or_else(clock::now))
                };
                let name = ResourceName::new(&resource);
                snapshot.policy.held(subject, permission, name, &attributes, self.resource.is_none())
            });
            let mut permissions: Vec<HeldPermission> = permissions.collect();
            permissions.sort_by(|left, right| left.permission.cmp(&right.permission));
            permissions.dedup_by(|left, right| left.permission == right.permission);
            if !permissions.is_empty() {
                found.push(Held { resource, permissions });
            }
        }
        Ok(found)
    }
}

fn text(args: &WhatCanArgs, held: &[Held], is_mapped: bool) -> String {
    let who = args.who.name();
    let mut page = Page::default();
    if is_mapped {
        page.put(
            "",
            "rules name groups or attributes of the caller's pool: say those of the caller with `--group`",
        );
        page.blank();
    }
    if held.is_empty() {
        let place = args.resource.as_ref().map(|name| format!(" on {name}")).unwrap_or_default();
        page.put("", &format!("no binding gives {who} a permission that an exposed method asks for{place}"));
        return page.into_text();
    }
    for (number, Held { resource, permissions }) in held.iter().take(MOST).enumerate() {
        if number > 0 {
            page.blank();
        }
        let can = permissions.iter().filter(|held| held.decided.is_ok()).count();
        let below = if args.resource.is_none() { " and below" } else { "" };
        page.put("", &format!("{who} has {} on {resource}{below}", counted(can, "permission")));
        for held in permissions {
            let verdict = if held.decided.is_ok() {
                String::new()
            } else {
                format!(": not as asked, {}", why(&held.decided))
            };
            page.put("  ", &format!("{}{verdict}", held.permission));
            grants(&mut page, "    ", who, &held.grants);
        }
    }
    if let Some(more @ 1..) = held.len().checked_sub(MOST) {
        page.put("", &format!("… and {} more; `--output json` lists all", counted(more, "resource")));
    }
    page.into_text()
}

fn in_json(args: &WhatCanArgs, held: &[Held]) -> Value {
    let resources = held.iter().map(|Held { resource, permissions }| {
        let permissions = permissions.iter().map(|held| {
            json!({
                "permission": held.permission,
                "state": state_of(&held.decided),
                "because": held.decided.as_ref().err().map(|_| why(&held.decided)),
                "grants": grants_in_json(&held.grants),
            })
        });
        json!({ "resource": resource, "permissions": permissions.collect::<Vec<_>>() })
    });
    json!({ "principal": args.who.name(), "resources": resources.collect::<Vec<_>>() })
}
