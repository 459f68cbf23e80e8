//! The naive evaluator, written straight from docs/policy.md, "How a decision is made", over the model the trees are printed
//! from. It shares no code with the engine: where the two disagree, one of them does not do what that page says.

mod explained;
mod worlds;

use std::cell::Cell;
use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use self::worlds::*;
use super::*;

/// The naive evaluator.
impl World {
    fn allows(&self, caller: Option<&str>, permission: &str, resource: &str) -> bool {
        let chain = self.chain(resource);
        if !self.bounds_admit(caller, &chain) {
            return false;
        }
        let identities = self.identities(caller);
        let named = |members: &[usize]| members.iter().any(|at| identities.contains(DENIABLE[*at].0));
        let covers = |patterns: &[usize]| patterns.iter().any(|at| PATTERNS[*at].1.contains(&permission));
        let value_for = |condition: Option<usize>, resource: &str| match condition {
            None => Some(true),
            Some(at) => CONDITIONS[at].1(self, caller, resource),
        };
        let value = |condition| value_for(condition, resource);
        // A deny rule must not be evaded by the other name of a project.
        let names = [resource.to_owned(), self.other_name(resource).unwrap_or_else(|| resource.to_owned())];
        let denied = self.denials.iter().any(|rule| {
            chain.contains(&ATTACHED[rule.attached].to_owned())
                && named(&rule.denied)
                && !named(&rule.excepted)
                && covers(&rule.permissions)
                && !covers(&rule.but_permissions)
                && names.iter().any(|name| value_for(rule.condition, name) != Some(false))
        });
        if denied {
            return false;
        }
        self.bindings.iter().any(|binding| {
            let (permissions, life) = self.roles[binding.role];
            chain.contains(&ATTACHED[binding.attached].to_owned())
                && life == Life::Alive
                && chosen(permissions.into(), &PERMISSIONS).any(|included| included == permission)
                && chosen(binding.members, &MEMBERS).any(|member| identities.contains(member))
                && value(binding.condition) == Some(true)
        })
    }

    /// Whether the resource is within bounds, whatever the unknown memberships are.
    fn bounds_admit(&self, caller: Option<&str>, chain: &[String]) -> bool {
        let Some(caller) = caller else { return true };
        let applies: Vec<Option<bool>> = self
            .boundaries
            .iter()
            .map(|boundary| {
                let holds = boundary.condition.map_or(Some(true), |at| PRINCIPAL_CONDITIONS[at].1(caller));
                match (self.is_in(caller, SETS[boundary.set]), holds) {
                    (Some(false), _) | (_, Some(false)) => Some(false),
                    (Some(true), Some(true)) => Some(true),
                    _ => None,
                }
            })
            .collect();
        (0..1_usize << self.boundaries.len()).all(|guess| {
            let bound = |at: usize| applies[at].unwrap_or(guess >> at & 1 == 1);
            let bounds: Vec<_> = (0..applies.len()).filter(|at| bound(*at)).collect();
            let listed = bounds.iter().flat_map(|at| &self.boundaries[*at].resources);
            bounds.is_empty()
                || listed.into_iter().any(|resource| chain.contains(&BOUNDS[*resource].to_owned()))
        })
    }

    /// Whether a caller is in a principal set; nothing where the files do not say.
    fn is_in(&self, caller: &str, set: &str) -> Option<bool> {
        let container = set.strip_prefix("//cloudresourcemanager.googleapis.com/");
        if caller == ACCOUNT {
            // Of projects/a, whose number the hierarchy may tell.
            let Some(container) = container else { return Some(false) };
            let chain = self.chain("projects/a");
            let complete = chain.last().is_some_and(|last| last.starts_with("organizations/"));
            return match container {
                "projects/77" if !self.numbered => None,
                _ if chain.contains(&container.to_owned()) => Some(true),
                _ if complete || container.starts_with("projects/") => Some(false),
                _ => None,
            };
        }
        match container {
            Some("organizations/9") => None,
            Some(_) => Some(false),
            None if set.contains("workforcePools") => Some(caller == WORKER),
            None => (!caller.starts_with("user:")).then_some(false),
        }
    }

    /// The tag `9/env` of a resource; nothing where no tag is known.
    pub(super) fn environment(&self, resource: &str) -> Option<Option<&'static str>> {
        let own = |name: &String| self.tags.iter().find(|(at, _)| ATTACHED[*at] == name);
        (!self.tags.is_empty()).then(|| self.chain(resource).iter().find_map(own).map(|(_, value)| *value))
    }

    /// The name that `projects/a` and what lies below it has by its number, and the other way round.
    fn other_name(&self, resource: &str) -> Option<String> {
        let (collection, rest) = resource.split_once('/')?;
        let (id, below) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        match id {
            _ if !self.numbered || collection != "projects" => None,
            "a" => Some(format!("projects/77{below}")),
            "77" => Some(format!("projects/a{below}")),
            _ => None,
        }
    }

    fn chain(&self, resource: &str) -> Vec<String> {
        let mut segments: Vec<&str> = resource.split('/').collect();
        let mut chain = vec![resource.to_owned()];
        while segments.len() > 2 {
            let drop = if segments.len() % 2 == 1 { 1 } else { 2 };
            segments.truncate(segments.len() - drop);
            chain.push(segments.join("/"));
        }
        let names = |name: String| {
            let other = self.other_name(&name);
            [Some(name), other].into_iter().flatten()
        };
        let mut chain: Vec<String> = chain.into_iter().flat_map(names).collect();
        let children = ["projects/a", "projects/b", "folders/1", "folders/2"];
        let mut top = chain.last().cloned().unwrap();
        if self.numbered && top == "projects/77" {
            top = "projects/a".to_owned();
        }
        while let Some(at) = children.iter().position(|child| *child == top) {
            let Some(parent) = self.parents[at] else { break };
            chain.push(parent.to_owned());
            top = parent.to_owned();
        }
        chain
    }

    fn identities(&self, caller: Option<&str>) -> BTreeSet<&str> {
        let mut identities = BTreeSet::from(["allUsers"]);
        let Some(caller) = caller else { return identities };
        let caller = *MEMBERS.iter().find(|member| **member == caller).unwrap();
        identities.insert(caller);
        if !caller.starts_with("principal:") {
            identities.insert("allAuthenticatedUsers");
        }
        if caller == USER {
            identities.insert("domain:x.com");
        }
        loop {
            let before = identities.len();
            for (group, members) in self.groups.iter().enumerate() {
                if chosen((*members).into(), &MEMBERS).any(|member| identities.contains(member)) {
                    identities.insert(MEMBERS[CALLERS + group]);
                }
            }
            if identities.len() == before {
                return identities;
            }
        }
    }
}

fn principal(member: &str) -> Principal {
    match member.split_once("/subject/") {
        Some((pool, subject)) => Principal::subject(pool.strip_prefix("principal://").unwrap(), subject),
        None => Principal::from_email(member.split_once(':').unwrap().1).unwrap(),
    }
}

/// Every question that can be asked of a world.
fn questions<'c>(
    callers: &'c [(&'c str, Principal)],
) -> impl Iterator<Item = (Option<&'c str>, Subject<'c>, &'static str, &'static str)> {
    let everybody = callers
        .iter()
        .map(|(member, principal)| (Some(*member), Subject::of(principal)))
        .chain([(None, Subject::anonymous())]);
    everybody.flat_map(|(member, subject)| {
        ASKED
            .into_iter()
            .flat_map(move |resource| PERMISSIONS.map(|permission| (member, subject, permission, resource)))
    })
}

fn callers() -> Vec<(&'static str, Principal)> {
    MEMBERS[..CALLERS].iter().map(|member| (*member, principal(member))).collect()
}

/// 256 worlds with 165 questions each; `PROPTEST_CASES=6100` asks a million.
fn runner() -> TestRunner {
    TestRunner::new(Config { failure_persistence: None, ..Config::default() })
}

#[test]
fn the_engine_decides_as_the_design_says() {
    let (allowed, denied) = (Cell::new(0), Cell::new(0));
    let callers = callers();
    runner()
        .run(&worlds(), |world| {
            let policy = world.policy();
            for (member, subject, permission, resource) in questions(&callers) {
                let expected = world.allows(member, permission, resource);
                let decided = decide(&policy, subject, permission, resource);
                prop_assert_eq!(
                    decided.is_ok(),
                    expected,
                    "{:?} {} {}: {:?}",
                    member,
                    permission,
                    resource,
                    decided
                );
                let count = if expected { &allowed } else { &denied };
                count.set(count.get() + 1);
            }
            Ok(())
        })
        .unwrap();
    // Agreement proves little where nearly everything is denied, or nearly everything allowed.
    let total = allowed.get() + denied.get();
    println!("{total} decisions, {} allowed, no disagreement", allowed.get());
    assert!(allowed.get() * 20 > total && denied.get() * 20 > total, "{} of {total} allowed", allowed.get());
}

#[test]
fn no_further_denial_and_no_missing_binding_ever_allows() {
    let callers = callers();
    let turned = Cell::new(0);
    runner()
        .run(&(worlds(), denial(), any::<prop::sample::Index>()), |(world, denial, which)| {
            let before = world.policy();
            let mut denied = world.clone();
            denied.denials.push(denial);
            let mut revoked = world.clone();
            if !revoked.bindings.is_empty() {
                revoked.bindings.remove(which.index(revoked.bindings.len()));
            }
            for after in [denied.policy(), revoked.policy()] {
                for (member, subject, permission, resource) in questions(&callers) {
                    let was = decide(&before, subject, permission, resource).is_ok();
                    let is = decide(&after, subject, permission, resource).is_ok();
                    prop_assert!(was || !is, "{:?} {} {}", member, permission, resource);
                    turned.set(turned.get() + usize::from(was && !is));
                }
            }
            Ok(())
        })
        .unwrap();
    assert!(turned.get() > 100, "only {} answers turned", turned.get());
}
