//! Two trees by what they grant: which principal gains and which loses which permission on which resource.
//!
//! Every principal that a binding of either tree names is asked about in both, by itself or in a group, with deny rules
//! and boundaries. A change on a resource is a change on everything below it, and is told once.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::changes::Direction;
use crate::decision::snapshot::Snapshot;
use crate::diagnostic::{Place, Report};
use crate::explain::holders::only_service;
use crate::policy::what_can::{GroupMembers, HeldPermission};
use crate::policy::who_can::sets_of;
use crate::policy::{Attributes, ResourceName, Subject};
use crate::principal::Principal;
use crate::terminal::counted;

/// Changes of one kind that the text shows; JSON has all.
const SHOWN: usize = 50;

/// What changed.
#[derive(Debug)]
pub(super) struct GrantChanges {
    /// Sorted by resource, principal and permission.
    changes: Vec<GrantChange>,
    /// Methods that one tree exposes and the other does not.
    methods: Vec<(Direction, String)>,
}

/// What one principal gains or loses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct GrantChange {
    direction: Direction,
    resource: Arc<str>,
    principal: Arc<str>,
    permission: String,
    /// When: `if …`, `unless …`; empty for always.
    when: String,
    /// The rule that gives it, in the tree that does.
    rule: String,
    /// What they have in the other tree, where that is not nothing.
    otherwise: Vec<String>,
}

impl GrantChanges {
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.methods.is_empty()
    }

    fn of(&self, direction: Direction) -> Vec<&GrantChange> {
        self.changes.iter().filter(|change| change.direction == direction).collect()
    }
}

/// When a principal has a permission, each with the rule that gives it.
type Access = BTreeMap<String, Place>;

/// One of the trees.
struct Side<'s> {
    snapshot: &'s Snapshot,
    groups: GroupMembers,
    now: SystemTime,
}

/// Compares what two trees grant.
pub(super) fn compare(old: &Snapshot, new: &Snapshot, now: SystemTime) -> GrantChanges {
    let (old, new) = (Side::of(old, now), Side::of(new, now));
    let asked =
        |side: &Side<'_>| side.snapshot.catalog.permissions().into_iter().map(|(permission, _)| permission);
    let permissions: BTreeSet<String> = asked(&old).chain(asked(&new)).collect();
    let mut resources = old.snapshot.policy.known_resources();
    resources.extend(new.snapshot.policy.known_resources());
    let mut changes = Vec::new();
    for resource in &resources {
        let name = ResourceName::new(resource);
        let mut principals = old.snapshot.policy.named_on(name, &old.groups);
        principals.extend(new.snapshot.policy.named_on(name, &new.groups));
        for principal in &principals {
            for permission in &permissions {
                let access = |side: &Side<'_>| side.access(principal, permission, name);
                let (before, after) = (access(&old), access(&new));
                let mut add = |direction, has: &Access, had: &Access| {
                    changes.extend(gains(has, had).map(|(when, rule)| GrantChange {
                        direction,
                        resource: resource.clone(),
                        principal: principal.clone(),
                        permission: permission.clone(),
                        when: when.clone(),
                        rule: rule.to_string(),
                        otherwise: had.keys().cloned().collect(),
                    }));
                };
                add(Direction::Gained, &after, &before);
                add(Direction::Revoked, &before, &after);
            }
        }
    }
    changes = told_once(changes, &old, &new);
    changes.sort();
    GrantChanges { changes, methods: methods(&old, &new) }
}

/// What the one has and the other has not. Who has something always gains nothing by a condition.
fn gains<'a>(has: &'a Access, had: &'a Access) -> impl Iterator<Item = (&'a String, &'a Place)> {
    let always = had.contains_key("");
    has.iter().filter(move |(when, _)| !always && !had.contains_key(*when))
}

/// Without what a resource above has changed in the same way.
fn told_once(changes: Vec<GrantChange>, old: &Side<'_>, new: &Side<'_>) -> Vec<GrantChange> {
    let key = |change: &GrantChange, resource: &Arc<str>| {
        (
            change.direction,
            resource.clone(),
            change.principal.clone(),
            change.permission.clone(),
            change.when.clone(),
        )
    };
    let all: HashSet<_> = changes.iter().map(|change| key(change, &change.resource)).collect();
    let is_first = |change: &GrantChange| {
        let side = if change.direction == Direction::Gained { new } else { old };
        let above = side.snapshot.policy.above(ResourceName::new(&change.resource));
        !above.iter().any(|resource| all.contains(&key(change, resource)))
    };
    changes.into_iter().filter(|change| is_first(change)).collect()
}

fn methods(old: &Side<'_>, new: &Side<'_>) -> Vec<(Direction, String)> {
    let exposed = |side: &Side<'_>| -> BTreeSet<String> {
        let methods = side.snapshot.catalog.methods().iter();
        methods.map(|method| format!("{} of {}", method.name, method.service.name)).collect()
    };
    let (before, after) = (exposed(old), exposed(new));
    let opened = after.difference(&before).map(|method| (Direction::Gained, method.clone()));
    let closed = before.difference(&after).map(|method| (Direction::Revoked, method.clone()));
    opened.chain(closed).collect()
}

impl<'s> Side<'s> {
    fn of(snapshot: &'s Snapshot, now: SystemTime) -> Self {
        Self { snapshot, groups: snapshot.policy.group_members(), now }
    }

    /// When a principal, or all of a set, has a permission on a resource.
    fn access(&self, principal: &Arc<str>, permission: &str, resource: ResourceName<'_>) -> Access {
        let service = only_service(permission, &self.snapshot.catalog);
        let attributes =
            Attributes { service: service.map(|service| service.name.as_str()), ..Attributes::at(self.now) };
        let identity = Principal::parse(principal).ok();
        let sets = sets_of(principal);
        let subject = identity.as_ref().map_or_else(Subject::anonymous, Subject::of).with_sets(&sets);
        let held = self.snapshot.policy.held(subject, permission, resource, &attributes, false);
        held.map(|held| access_of(&held)).unwrap_or_default()
    }
}

fn access_of(held: &HeldPermission) -> Access {
    use crate::policy::Refusal;
    // A rule without a condition, or with one that holds now.
    if matches!(held.decided, Err(Refusal::Denied(_) | Refusal::OutOfBounds(_))) {
        return Access::new();
    }
    let unless: Vec<String> =
        held.denied_if.iter().map(|condition| format!("unless `{condition}`")).collect();
    let mut access = Access::new();
    for grant in &held.grants {
        let condition = grant.condition.as_ref().map(|(expression, _)| format!("if `{expression}`"));
        let when = condition.into_iter().chain(unless.iter().cloned()).collect::<Vec<_>>().join(" ");
        access.entry(when).or_insert_with(|| grant.place.clone());
    }
    if let Some(place) = access.get("").cloned() {
        return Access::from([(String::new(), place)]);
    }
    access
}

/// The text.
pub(super) fn text(changes: &GrantChanges) -> String {
    let mut text = String::new();
    for (direction, name) in [(Direction::Gained, "gained"), (Direction::Revoked, "lost")] {
        let found = changes.of(direction);
        if !found.is_empty() {
            let _ = writeln!(text, "{name}: {}", counted(found.len(), "grant"));
            table(&found, if direction == Direction::Gained { "before" } else { "now" }, &mut text);
            text.push('\n');
        }
    }
    for (direction, name) in [(Direction::Gained, "opened"), (Direction::Revoked, "closed")] {
        let found: Vec<&String> = changes
            .methods
            .iter()
            .filter(|(found, _)| *found == direction)
            .map(|(_, method)| method)
            .collect();
        if !found.is_empty() {
            let _ = writeln!(text, "{name}: {}", counted(found.len(), "method"));
            for method in found.iter().take(SHOWN) {
                let _ = writeln!(text, "  {method}");
            }
            more(found.len(), &mut text);
            text.push('\n');
        }
    }
    let (gained, lost) = (changes.of(Direction::Gained).len(), changes.of(Direction::Revoked).len());
    let _ = writeln!(text, "{} gained, {} lost", counted(gained, "grant"), counted(lost, "grant"));
    text
}

fn table(changes: &[&GrantChange], otherwise: &str, text: &mut String) {
    let shown = changes.get(..SHOWN).unwrap_or(changes);
    let widest =
        |cell: &dyn Fn(&GrantChange) -> usize| shown.iter().map(|change| cell(change)).max().unwrap_or(0);
    let principal_width = widest(&|change| change.principal.chars().count());
    let permission_width = widest(&|change| change.permission.chars().count());
    for change in shown {
        let GrantChange { resource, principal, permission, when, rule, .. } = change;
        let _ = writeln!(text, "  {principal:principal_width$}  {permission:permission_width$}  {resource}");
        let blank = if when.is_empty() { "" } else { " " };
        let _ = writeln!(text, "    by {rule}{blank}{when}");
        for other in &change.otherwise {
            let other = if other.is_empty() { "always" } else { other };
            let _ = writeln!(text, "    {otherwise} {other}");
        }
    }
    more(changes.len(), text);
}

fn more(count: usize, text: &mut String) {
    if let Some(more @ 1..) = count.checked_sub(SHOWN) {
        let _ = writeln!(text, "  and {more} more, which `--output json` lists");
    }
}

/// The JSON.
pub(super) fn json(changes: &GrantChanges, report: &Report) -> Value {
    let word = |direction| if direction == Direction::Gained { "gained" } else { "lost" };
    let listed = changes.changes.iter().map(|change| {
        json!({
            "change": word(change.direction),
            "principal": change.principal,
            "permission": change.permission,
            "resource": change.resource,
            "when": change.when,
            "rule": change.rule,
            "otherwise": change.otherwise,
        })
    });
    let methods = changes.methods.iter().map(|(direction, method)| {
        json!({ "change": if *direction == Direction::Gained { "opened" } else { "closed" }, "method": method })
    });
    json!({
        "valid": true,
        "gained": changes.of(Direction::Gained).len(),
        "lost": changes.of(Direction::Revoked).len(),
        "changes": listed.collect::<Vec<_>>(),
        "methods": methods.collect::<Vec<_>>(),
        "diagnostics": report.to_json(),
    })
}
