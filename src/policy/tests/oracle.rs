//! The naive evaluator, written straight from DESIGN, section 5, "IAM", over the model the trees are printed from.
//! It shares no code with the engine: where the two disagree, one of them does not say what the design says.

use std::cell::Cell;
use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::diagnostic::Source;
use crate::document;
use crate::policy::role::Role;

const PERMISSIONS: [&str; 3] = ["demo.operations.get", "demo.operations.list", "demo.operations.cancel"];
const ATTACHED: [&str; 8] = [
    "projects/a",
    "projects/b",
    "projects/a/locations/l",
    "projects/a/locations/l/operations/o",
    "folders/1",
    "folders/2",
    "organizations/9",
    "operations/o",
];
const ASKED: [&str; 11] = [
    "projects/a/locations/l/operations/o",
    "projects/a/locations/l/operations",
    "projects/a/locations/l",
    "projects/a/locations/m/operations/o",
    "projects/a",
    "projects/b/locations/l/operations/o",
    "projects/aa/locations/l/operations/o",
    "folders/1",
    "folders/2/locations/l/operations",
    "operations/o/x/y",
    "operations",
];
const MEMBERS: [&str; 11] = [
    "user:u@x.com",
    "user:v@y.com",
    "serviceAccount:s@p.iam.gserviceaccount.com",
    "principal://iam.googleapis.com/pool/subject/f",
    "group:g0@x.com",
    "group:g1@x.com",
    "group:g2@x.com",
    "domain:x.com",
    "allAuthenticatedUsers",
    "allUsers",
    "deleted:user:u@x.com?uid=1",
];
/// The first of [`MEMBERS`] can ask.
const CALLERS: usize = 4;

/// Of [`MEMBERS`], those that a deny rule can name, as IAM v2 spells them; the last one is no exception.
const DENIABLE: [(&str, &str); 8] = [
    ("user:u@x.com", "principal://goog/subject/u@x.com"),
    ("user:v@y.com", "principal://goog/subject/v@y.com"),
    (
        "serviceAccount:s@p.iam.gserviceaccount.com",
        "principal://iam.googleapis.com/projects/-/serviceAccounts/s@p.iam.gserviceaccount.com",
    ),
    ("principal://iam.googleapis.com/pool/subject/f", "principal://iam.googleapis.com/pool/subject/f"),
    ("group:g0@x.com", "principalSet://goog/group/g0@x.com"),
    ("group:g1@x.com", "principalSet://goog/group/g1@x.com"),
    ("group:g2@x.com", "principalSet://goog/group/g2@x.com"),
    ("allUsers", "principalSet://goog/public:all"),
];
/// What deny rules write, and what it stands for.
const PATTERNS: [(&str, &[&str]); 7] = [
    ("demo.googleapis.com/operations.get", &["demo.operations.get"]),
    ("demo.googleapis.com/operations.cancel", &["demo.operations.cancel"]),
    ("demo.googleapis.com/*.list", &["demo.operations.list"]),
    ("demo.googleapis.com/operations.*", &PERMISSIONS),
    ("demo.googleapis.com/*.*", &PERMISSIONS),
    ("demo2.googleapis.com/*.*", &[]),
    ("demo.googleapis.com/operation.*", &[]),
];

/// A deny rule: where, whom, but whom, what, but what.
#[derive(Clone, Debug)]
struct Denial {
    attached: usize,
    denied: Vec<usize>,
    excepted: Vec<usize>,
    permissions: Vec<usize>,
    but_permissions: Vec<usize>,
}

/// A small policy tree. Masks choose from the lists above.
#[derive(Clone, Debug)]
struct World {
    roles: Vec<(u8, Life)>,
    /// Of projects/a, projects/b, folders/1 and folders/2.
    parents: [Option<&'static str>; 4],
    /// Members of g0, g1 and g2: the callers, and the groups after it.
    groups: [u8; 3],
    /// Resource, role, members.
    bindings: Vec<(usize, usize, u16)>,
    denials: Vec<Denial>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Life {
    Alive,
    Disabled,
    Deleted,
}

fn worlds() -> impl Strategy<Value = World> {
    let life = prop_oneof![6 => Just(Life::Alive), 1 => Just(Life::Disabled), 1 => Just(Life::Deleted)];
    let role = (0..1_u8 << PERMISSIONS.len(), life);
    let of_folder =
        || prop::option::of(prop::sample::select(vec!["folders/1", "folders/2", "organizations/9"]));
    let parents = (
        of_folder(),
        of_folder(),
        prop::option::of(prop::sample::select(vec!["folders/2", "organizations/9"])),
        prop::option::of(Just("organizations/9")),
    );
    // Few bits each, or every caller would hold everything.
    let members = prop::collection::vec(0..MEMBERS.len(), 1..3)
        .prop_map(|members| members.into_iter().fold(0_u16, |mask, member| mask | 1 << member));
    let binding = (0..ATTACHED.len(), 0..4_usize, members);
    let some = |of: usize, most: usize| prop::collection::vec(0..of, 0..=most);
    let at_least_one = |of: usize| prop::collection::vec(0..of, 1..=2);
    let denial = (
        0..ATTACHED.len(),
        at_least_one(DENIABLE.len()),
        some(DENIABLE.len() - 1, 1),
        at_least_one(PATTERNS.len()),
        some(PATTERNS.len(), 1),
    )
        .prop_map(|(attached, denied, excepted, permissions, but_permissions)| Denial {
            attached,
            denied,
            excepted,
            permissions,
            but_permissions,
        });
    let denials = prop::collection::vec(denial, 0..3);
    let bindings = prop::collection::vec(binding, 0..7);
    (prop::collection::vec(role, 4), parents, any::<[u8; 3]>(), bindings, denials).prop_map(
        |(roles, (a, b, one, two), groups, bindings, denials)| World {
            roles,
            parents: [a, b, one, two],
            groups: [groups[0] & 0b110_1111, groups[1] & 0b100_1111, groups[2] & 0b000_1111],
            bindings,
            denials,
        },
    )
}

fn chosen<'l>(mask: u16, list: &'l [&'l str]) -> impl Iterator<Item = &'l str> {
    list.iter().enumerate().filter(move |(at, _)| mask >> at & 1 == 1).map(|(_, item)| *item)
}

/// The naive evaluator.
impl World {
    fn allows(&self, caller: Option<&str>, permission: &str, resource: &str) -> bool {
        let chain = self.chain(resource);
        let identities = self.identities(caller);
        let named = |members: &[usize]| members.iter().any(|at| identities.contains(DENIABLE[*at].0));
        let covers = |patterns: &[usize]| patterns.iter().any(|at| PATTERNS[*at].1.contains(&permission));
        let denied = self.denials.iter().any(|rule| {
            chain.contains(&ATTACHED[rule.attached].to_owned())
                && named(&rule.denied)
                && !named(&rule.excepted)
                && covers(&rule.permissions)
                && !covers(&rule.but_permissions)
        });
        if denied {
            return false;
        }
        self.bindings.iter().any(|(attached, role, members)| {
            let (permissions, life) = self.roles[*role];
            chain.contains(&ATTACHED[*attached].to_owned())
                && life == Life::Alive
                && chosen(permissions.into(), &PERMISSIONS).any(|included| included == permission)
                && chosen(*members, &MEMBERS).any(|member| identities.contains(member))
        })
    }

    fn chain(&self, resource: &str) -> Vec<String> {
        let mut segments: Vec<&str> = resource.split('/').collect();
        let mut chain = vec![resource.to_owned()];
        while segments.len() > 2 {
            let drop = if segments.len() % 2 == 1 { 1 } else { 2 };
            segments.truncate(segments.len() - drop);
            chain.push(segments.join("/"));
        }
        let children = ["projects/a", "projects/b", "folders/1", "folders/2"];
        while let Some(at) = children.iter().position(|child| child == chain.last().unwrap()) {
            let Some(parent) = self.parents[at] else { break };
            chain.push(parent.to_owned());
        }
        chain
    }

    fn identities(&self, caller: Option<&str>) -> BTreeSet<&str> {
        let mut identities = BTreeSet::from(["allUsers"]);
        let Some(caller) = caller else { return identities };
        let caller = *MEMBERS.iter().find(|member| **member == caller).unwrap();
        identities.extend(["allAuthenticatedUsers", caller]);
        if caller == "user:u@x.com" {
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

/// The same tree through the engine's own readers.
impl World {
    fn policy(&self) -> Policy {
        let mut report = Report::new();
        let mut parse =
            |text: String| document::parse(&Source::new("world.yaml", text), &mut report).unwrap();
        let mut role_nodes = Vec::new();
        for (number, (permissions, life)) in self.roles.iter().enumerate() {
            let permissions: Vec<&str> = chosen((*permissions).into(), &PERMISSIONS).collect();
            let life = match life {
                Life::Alive => "stage: GA",
                Life::Disabled => "stage: DISABLED",
                Life::Deleted => "deleted: true",
            };
            let permissions = permissions.join(", ");
            role_nodes.push(parse(format!(
                "name: roles/r{number}\n{life}\nincludedPermissions: [{permissions}]\n"
            )));
        }
        let children = ["projects/a", "projects/b", "folders/1", "folders/2"];
        let links = children
            .iter()
            .zip(self.parents)
            .filter_map(|(child, parent)| Some(format!("\"{child}\": {}", parent?)));
        let hierarchy = parse(format!("{{{}}}", links.collect::<Vec<_>>().join(", ")));
        let groups = self.groups.iter().enumerate().map(|(group, members)| {
            let members: Vec<_> =
                chosen((*members).into(), &MEMBERS).map(|member| format!("'{member}'")).collect();
            format!("g{group}@x.com: [{}]\n", members.join(", "))
        });
        let groups = parse(groups.collect());
        let mut policy_nodes = Vec::new();
        for (at, resource) in ATTACHED.iter().enumerate() {
            let mut text = "bindings:\n".to_owned();
            for (_, role, members) in self.bindings.iter().filter(|(attached, ..)| *attached == at) {
                let members: Vec<_> =
                    chosen(*members, &MEMBERS).map(|member| format!("'{member}'")).collect();
                text.push_str(&format!("- {{role: roles/r{role}, members: [{}]}}\n", members.join(", ")));
            }
            if text.len() > "bindings:\n".len() {
                policy_nodes.push((resource, parse(text)));
            }
        }

        let mut denial_nodes = Vec::new();
        for rule in &self.denials {
            let members = |list: &[usize]| {
                list.iter().map(|at| format!("'{}'", DENIABLE[*at].1)).collect::<Vec<_>>().join(", ")
            };
            let permissions = |list: &[usize]| {
                list.iter().map(|at| format!("'{}'", PATTERNS[*at].0)).collect::<Vec<_>>().join(", ")
            };
            let mut text = format!(
                "rules: [{{denyRule: {{deniedPrincipals: [{}], exceptionPrincipals: [{}], deniedPermissions: [{}]",
                members(&rule.denied),
                members(&rule.excepted),
                permissions(&rule.permissions),
            );
            if !rule.but_permissions.is_empty() {
                text.push_str(&format!(", exceptionPermissions: [{}]", permissions(&rule.but_permissions)));
            }
            text.push_str("}}]\n");
            denial_nodes.push((ATTACHED[rule.attached], parse(text)));
        }

        let mut roles = Roles::default();
        for node in &role_nodes {
            roles.add(Role::read(node, &[], &mut report).unwrap(), &mut report);
        }
        let hierarchy = Hierarchy::read(&hierarchy, &mut report);
        let groups = Groups::read(&groups, &mut report);
        let context = Context { roles: &roles, hierarchy: &hierarchy, groups: &groups };
        let policies: Vec<_> = policy_nodes
            .iter()
            .map(|(resource, node)| AllowPolicy::read(resource, node, context, &mut report).unwrap())
            .collect();
        let denials: Vec<_> = denial_nodes
            .iter()
            .map(|(resource, node)| DenyPolicy::read(resource, node, context, &mut report).unwrap())
            .collect();
        assert!(!report.is_fatal(), "{}", report.render(false));
        Policy::compile(context, policies.into_iter(), denials, Boundaries::default())
    }
}

fn principal(member: &str) -> Principal {
    match member.split_once("/subject/") {
        Some((pool, subject)) => Principal::subject(pool.strip_prefix("principal://").unwrap(), subject),
        None => Principal::from_email(member.split_once(':').unwrap().1).unwrap(),
    }
}

#[test]
fn the_engine_decides_as_the_design_says() {
    let (allowed, denied) = (Cell::new(0), Cell::new(0));
    let callers: Vec<_> = MEMBERS[..CALLERS].iter().map(|member| (*member, principal(member))).collect();
    let everybody = callers
        .iter()
        .map(|(member, principal)| (Some(*member), Subject::of(principal)))
        .chain([(None, Subject::anonymous())]);
    let everybody: Vec<_> = everybody.collect();
    TestRunner::new(Config { failure_persistence: None, ..Config::default() })
        .run(&worlds(), |world| {
            let policy = world.policy();
            for ((member, subject), resource) in
                everybody.iter().flat_map(|subject| ASKED.map(|resource| (subject, resource)))
            {
                for permission in PERMISSIONS {
                    let expected = world.allows(*member, permission, resource);
                    let decided = decide(&policy, *subject, permission, resource);
                    prop_assert_eq!(decided.is_ok(), expected, "{:?} {} {}", member, permission, resource);
                    let count = if expected { &allowed } else { &denied };
                    count.set(count.get() + 1);
                }
            }
            Ok(())
        })
        .unwrap();
    // Agreement says little where nearly everything is denied, or allowed.
    let total = allowed.get() + denied.get();
    assert!(allowed.get() * 20 > total && denied.get() * 20 > total, "{} of {total} allowed", allowed.get());
}
