//! Small random policy trees: as a model, and printed as the files that the engine reads.

use proptest::prelude::*;

use super::super::*;
use crate::diagnostic::Source;
use crate::document::{self, Node};
use crate::policy::model::groups::Groups;
use crate::policy::model::hierarchy::Hierarchy;
use crate::policy::model::role::{Role, Roles};

pub(super) const PERMISSIONS: [&str; 3] =
    ["demo.operations.get", "demo.operations.list", "demo.operations.cancel"];
pub(super) const ATTACHED: [&str; 10] = [
    "projects/a",
    "projects/b",
    "projects/a/locations/l",
    "projects/a/locations/l/operations/o",
    "folders/1",
    "folders/2",
    "organizations/9",
    "operations/o",
    "projects/77",
    "projects/77/locations/l",
];
pub(super) const ASKED: [&str; 13] = [
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
    "projects/77/locations/l/operations/o",
    "projects/77",
];
pub(super) const USER: &str = "user:u@x.com";
pub(super) const ACCOUNT: &str = "serviceAccount:s@a.iam.gserviceaccount.com";
pub(super) const WORKER: &str = "principal://iam.googleapis.com/locations/global/workforcePools/w/subject/f";
pub(super) const MEMBERS: [&str; 11] = [
    USER,
    "user:v@y.com",
    ACCOUNT,
    WORKER,
    "group:g0@x.com",
    "group:g1@x.com",
    "group:g2@x.com",
    "domain:x.com",
    "allAuthenticatedUsers",
    "allUsers",
    "deleted:user:u@x.com?uid=1",
];
/// The first of [`MEMBERS`] can ask.
pub(super) const CALLERS: usize = 4;
/// Of [`MEMBERS`], those that IAM lets have no condition.
const PUBLIC: u16 = 0b11_0000_0000;

/// Of [`MEMBERS`], those that a deny rule can name, as IAM v2 spells them; the last one is not an exception.
pub(super) const DENIABLE: [(&str, &str); 8] = [
    (USER, "principal://goog/subject/u@x.com"),
    ("user:v@y.com", "principal://goog/subject/v@y.com"),
    (ACCOUNT, "principal://iam.googleapis.com/projects/-/serviceAccounts/s@a.iam.gserviceaccount.com"),
    (WORKER, WORKER),
    ("group:g0@x.com", "principalSet://goog/group/g0@x.com"),
    ("group:g1@x.com", "principalSet://goog/group/g1@x.com"),
    ("group:g2@x.com", "principalSet://goog/group/g2@x.com"),
    ("allUsers", "principalSet://goog/public:all"),
];
/// What deny rules write, and what it stands for.
pub(super) const PATTERNS: [(&str, &[&str]); 7] = [
    ("demo.googleapis.com/operations.get", &["demo.operations.get"]),
    ("demo.googleapis.com/operations.cancel", &["demo.operations.cancel"]),
    ("demo.googleapis.com/*.list", &["demo.operations.list"]),
    ("demo.googleapis.com/operations.*", &PERMISSIONS),
    ("demo.googleapis.com/*.*", &PERMISSIONS),
    ("demo2.googleapis.com/*.*", &[]),
    ("demo.googleapis.com/operation.*", &[]),
];
/// What a condition comes to for a caller and a resource; nothing where it has no value.
type Meaning = fn(&World, Option<&str>, &str) -> Option<bool>;
/// What conditions write, and what it means. The time is the beginning of 1970, no path is known.
pub(super) const CONDITIONS: [(&str, Meaning); 11] = [
    ("true", |_, _, _| Some(true)),
    ("false", |_, _, _| Some(false)),
    ("request.path == '/x'", |_, _, _| None),
    ("request.path == '/x' || resource.name != ''", |_, _, _| Some(true)),
    ("size(resource.name) / (size(resource.name) - 10) > 0", |_, _, resource| match resource.len() {
        10 => None,
        length => Some(length > 10),
    }),
    ("resource.name.startsWith('projects/a/')", |_, _, resource| Some(resource.starts_with("projects/a/"))),
    ("request.time < timestamp('1970-01-01T00:00:01Z') && resource.name.endsWith('/o')", |_, _, resource| {
        Some(resource.ends_with("/o"))
    }),
    ("request.auth.principal.extract('{kind}:') in ['user', 'group']", |_, caller, _| {
        Some(caller?.starts_with("user:"))
    }),
    ("!resource.matchTag('9/env', 'prod')", |world, _, resource| {
        Some(world.environment(resource)? != Some("prod"))
    }),
    ("resource.hasTagKey('9/env') || request.path == '/x'", |world, _, resource| {
        world.environment(resource)?.map(|_| true)
    }),
    ("resource.matchTagId('tagKeys/1', 'tagValues/2')", |_, _, _| None),
];
/// Principal sets, as IAM v3 spells them.
pub(super) const SETS: [&str; 6] = [
    "//cloudresourcemanager.googleapis.com/organizations/9",
    "//cloudresourcemanager.googleapis.com/folders/1",
    "//cloudresourcemanager.googleapis.com/projects/a",
    "//cloudresourcemanager.googleapis.com/projects/77",
    "//iam.googleapis.com/locations/global/workforcePools/w",
    "//iam.googleapis.com/locations/global/workspace/w",
];
/// What bounded resources may be.
pub(super) const BOUNDS: [&str; 4] = ["projects/a", "projects/b", "folders/1", "organizations/9"];
/// What conditions on principals write, and what it means.
type PrincipalMeaning = fn(&str) -> Option<bool>;
pub(super) const PRINCIPAL_CONDITIONS: [(&str, PrincipalMeaning); 3] = [
    ("principal.type == 'iam.googleapis.com/ServiceAccount'", |caller| {
        Some(caller.starts_with("serviceAccount:"))
    }),
    ("principal.subject.endsWith('@x.com')", |caller| {
        (!caller.starts_with("principal:")).then(|| caller.ends_with("@x.com"))
    }),
    ("principal.subject == 'v@y.com' || principal.type != ''", |_| Some(true)),
];

/// A binding: where, which role, which member, when.
#[derive(Clone, Debug)]
pub(super) struct Granting {
    pub(super) attached: usize,
    pub(super) role: usize,
    pub(super) members: u16,
    pub(super) condition: Option<usize>,
}

/// A deny rule: where, which principals, which exceptions, which permissions, which excepted ones, when.
#[derive(Clone, Debug)]
pub(super) struct RandomDenyRule {
    pub(super) attached: usize,
    pub(super) denied: Vec<usize>,
    pub(super) excepted: Vec<usize>,
    pub(super) permissions: Vec<usize>,
    pub(super) but_permissions: Vec<usize>,
    pub(super) condition: Option<usize>,
}

/// A boundary policy, of [`BOUNDS`], put on one of [`SETS`].
#[derive(Clone, Debug)]
pub(super) struct Boundary {
    pub(super) set: usize,
    pub(super) resources: Vec<usize>,
    pub(super) condition: Option<usize>,
}

/// A small policy tree. Masks choose from the lists above.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) roles: Vec<(u8, Life)>,
    /// Of projects/a, projects/b, folders/1 and folders/2.
    pub(super) parents: [Option<&'static str>; 4],
    /// Members of g0, g1 and g2: the callers, and the groups after it.
    pub(super) groups: [u8; 3],
    pub(super) bindings: Vec<Granting>,
    pub(super) denials: Vec<RandomDenyRule>,
    pub(super) boundaries: Vec<Boundary>,
    /// Of some of [`ATTACHED`], the value of `9/env`: there is no file where there are none.
    pub(super) tags: Vec<(usize, &'static str)>,
    /// Whether the hierarchy says that `projects/a` has the number 77.
    pub(super) numbered: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Life {
    Alive,
    Disabled,
    Deleted,
    /// No file defines it.
    Undefined,
}

pub(super) fn worlds() -> impl Strategy<Value = World> {
    let life = prop_oneof![6 => Just(Life::Alive), 1 => Just(Life::Disabled), 1 => Just(Life::Deleted), 1 => Just(Life::Undefined)];
    let role = (0..1_u8 << PERMISSIONS.len(), life);
    let of_folder =
        || prop::option::of(prop::sample::select(vec!["folders/1", "folders/2", "organizations/9"]));
    let parents = (
        of_folder(),
        of_folder(),
        prop::option::of(prop::sample::select(vec!["folders/2", "organizations/9"])),
        prop::option::of(Just("organizations/9")),
    );
    let bindings = prop::collection::vec(binding(), 0..8);
    let denials = prop::collection::vec(denial(), 0..3);
    let boundary =
        (0..SETS.len(), prop::collection::vec(0..BOUNDS.len(), 1..3), maybe(PRINCIPAL_CONDITIONS.len()))
            .prop_map(|(set, resources, condition)| Boundary { set, resources, condition });
    let boundaries = prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(boundary, 1..4)];
    let tags =
        prop::collection::btree_map(0..ATTACHED.len(), prop::sample::select(vec!["prod", "dev"]), 0..4);
    let tags = tags.prop_map(|tags| tags.into_iter().collect());
    let rules = (bindings, denials, boundaries, tags);
    (prop::collection::vec(role, 4), parents, any::<[u8; 3]>(), (rules, any::<bool>())).prop_map(
        |(roles, (a, b, one, two), groups, ((bindings, denials, boundaries, tags), numbered))| World {
            roles,
            parents: [a, b, one, two],
            groups: [groups[0] & 0b110_1111, groups[1] & 0b100_1111, groups[2] & 0b000_1111],
            bindings,
            denials,
            boundaries,
            tags,
            numbered,
        },
    )
}

fn maybe(of: usize) -> impl Strategy<Value = Option<usize>> {
    prop::option::weighted(0.4, 0..of)
}

fn binding() -> impl Strategy<Value = Granting> {
    // Few bits each, or every caller would hold everything.
    let members = prop::collection::vec(0..MEMBERS.len(), 1..3)
        .prop_map(|members| members.into_iter().fold(0_u16, |mask, member| mask | 1 << member));
    (0..ATTACHED.len(), 0..4_usize, members, maybe(CONDITIONS.len())).prop_map(
        |(attached, role, members, condition)| Granting {
            attached,
            role,
            members,
            condition: condition.filter(|_| members & PUBLIC == 0),
        },
    )
}

pub(super) fn denial() -> impl Strategy<Value = RandomDenyRule> {
    let some = |of: usize, most: usize| prop::collection::vec(0..of, 0..=most);
    let at_least_one = |of: usize| prop::collection::vec(0..of, 1..=2);
    (
        0..ATTACHED.len(),
        at_least_one(DENIABLE.len()),
        some(DENIABLE.len() - 1, 1),
        at_least_one(PATTERNS.len()),
        some(PATTERNS.len(), 1),
        maybe(CONDITIONS.len()),
    )
        .prop_map(|(attached, denied, excepted, permissions, but_permissions, condition)| {
            RandomDenyRule { attached, denied, excepted, permissions, but_permissions, condition }
        })
}

pub(super) fn chosen<'l>(mask: u16, list: &'l [&'l str]) -> impl Iterator<Item = &'l str> {
    list.iter().enumerate().filter(move |(at, _)| mask >> at & 1 == 1).map(|(_, item)| *item)
}

/// The tree through the engine's own readers.
impl World {
    pub(super) fn policy(&self) -> Policy {
        let mut report = Report::new();
        let mut parse =
            |text: String| document::parse(&Source::new("world.yaml", text), &mut report).unwrap();
        let roles = self.roles.iter().enumerate().filter(|(_, (_, life))| *life != Life::Undefined);
        let roles: Vec<Node> = roles.map(role_text).map(&mut parse).collect();
        let hierarchy = parse(self.hierarchy_text());
        let groups = parse(self.groups_text());
        let tags = (!self.tags.is_empty()).then(|| parse(self.tags_text()));
        let policies: Vec<(&str, Node)> =
            self.allow_texts().into_iter().map(|(resource, text)| (resource, parse(text))).collect();
        let denials: Vec<(&str, Node)> =
            self.denials.iter().map(|rule| (ATTACHED[rule.attached], parse(denial_text(rule)))).collect();
        let boundaries: Vec<Node> =
            self.boundaries.iter().enumerate().flat_map(boundary_texts).map(&mut parse).collect();

        let mut defined = Roles::default();
        for node in &roles {
            defined.add(Role::read(node, &[], &mut report).unwrap(), &mut report);
        }
        let hierarchy = Hierarchy::read(&hierarchy, &mut report);
        let groups = Groups::read(&groups, &mut report);
        let tags = tags.map(|node| Tags::read(&node, &hierarchy, &mut report)).unwrap_or_default();
        let context = Context {
            roles: &defined,
            hierarchy: &hierarchy,
            groups: &groups,
            tags: &tags,
            pools: &Pools::default(),
        };
        let policies: Vec<_> = policies
            .iter()
            .map(|(resource, node)| AllowPolicy::read(resource, node, context, &mut report).unwrap())
            .collect();
        let denials: Vec<_> = denials
            .iter()
            .map(|(resource, node)| DenyPolicy::read(resource, node, context, &mut report).unwrap())
            .collect();
        let bindings = model::boundary::read(&boundaries, &Pools::default(), &mut report);
        let boundaries = Boundaries { bindings, hierarchy: hierarchy.clone() };
        assert!(!report.is_fatal(), "{}", report.render(false));
        let compiled = Policy::compile(context, policies.into_iter(), denials, boundaries);
        let explain_index = ExplainIndex::of(context, &[]);
        Policy { tags, explain_index, ..compiled }
    }

    fn tags_text(&self) -> String {
        let line = |(at, value): &(usize, &str)| format!("{}: {{9/env: {value}}}\n", ATTACHED[*at]);
        self.tags.iter().map(line).collect()
    }

    fn hierarchy_text(&self) -> String {
        let children = ["projects/a", "projects/b", "folders/1", "folders/2"];
        let links = children.iter().zip(self.parents).filter_map(|(child, parent)| {
            let place = match (*child, parent) {
                ("projects/a", Some(parent)) if self.numbered => {
                    format!("{{parent: {parent}, projectNumber: '77'}}")
                }
                ("projects/a", None) if self.numbered => "{projectNumber: 77}".to_owned(),
                (_, parent) => parent?.to_owned(),
            };
            Some(format!("\"{child}\": {place}"))
        });
        format!("{{{}}}", links.collect::<Vec<_>>().join(", "))
    }

    fn groups_text(&self) -> String {
        let group = |(group, members): (usize, &u8)| {
            format!("g{group}@x.com: [{}]\n", quoted(chosen((*members).into(), &MEMBERS)))
        };
        self.groups.iter().enumerate().map(group).collect()
    }

    fn allow_texts(&self) -> Vec<(&'static str, String)> {
        let mut texts = Vec::new();
        for (at, resource) in ATTACHED.iter().enumerate() {
            let mut text = "version: 3\nbindings:\n".to_owned();
            let empty = text.len();
            for Granting { role, members, condition, .. } in
                self.bindings.iter().filter(|binding| binding.attached == at)
            {
                let members = quoted(chosen(*members, &MEMBERS));
                let condition = condition_text("condition", condition.map(|at| CONDITIONS[at].0));
                text.push_str(&format!("- {{role: roles/r{role}, members: [{members}]{condition}}}\n"));
            }
            if text.len() > empty {
                texts.push((*resource, text));
            }
        }
        texts
    }
}

fn role_text((number, (permissions, life)): (usize, &(u8, Life))) -> String {
    let permissions: Vec<&str> = chosen((*permissions).into(), &PERMISSIONS).collect();
    let life = match life {
        Life::Alive | Life::Undefined => "stage: GA",
        Life::Disabled => "stage: DISABLED",
        Life::Deleted => "deleted: true",
    };
    format!("name: roles/r{number}\n{life}\nincludedPermissions: [{}]\n", permissions.join(", "))
}

fn denial_text(rule: &RandomDenyRule) -> String {
    let members = |list: &[usize]| quoted(list.iter().map(|at| DENIABLE[*at].1));
    let permissions = |list: &[usize]| quoted(list.iter().map(|at| PATTERNS[*at].0));
    let mut text = format!(
        "rules: [{{denyRule: {{deniedPrincipals: [{}], exceptionPrincipals: [{}], deniedPermissions: [{}]",
        members(&rule.denied),
        members(&rule.excepted),
        permissions(&rule.permissions),
    );
    if !rule.but_permissions.is_empty() {
        text.push_str(&format!(", exceptionPermissions: [{}]", permissions(&rule.but_permissions)));
    }
    text + &condition_text("denialCondition", rule.condition.map(|at| CONDITIONS[at].0)) + "}}]\n"
}

fn boundary_texts((number, boundary): (usize, &Boundary)) -> [String; 2] {
    let place = "organizations/9/locations/global";
    let policy = format!("{place}/principalAccessBoundaryPolicies/p{number}");
    let resources = boundary.resources.iter().map(|at| BOUNDS[*at]);
    let resources: Vec<_> =
        resources.map(|name| format!("//cloudresourcemanager.googleapis.com/{name}")).collect();
    let condition = condition_text("condition", boundary.condition.map(|at| PRINCIPAL_CONDITIONS[at].0));
    [
        format!(
            "{{name: {policy}, details: {{rules: [{{resources: [{}], effect: ALLOW}}]}}}}",
            quoted(resources.iter().map(String::as_str))
        ),
        format!(
            "{{name: {place}/policyBindings/b{number}, policy: {policy}, target: {{principalSet: '{}'}}{condition}}}",
            SETS[boundary.set]
        ),
    ]
}

fn condition_text(field: &str, expression: Option<&str>) -> String {
    expression.map(|text| format!(", {field}: {{expression: \"{text}\"}}")).unwrap_or_default()
}

fn quoted<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    texts.map(|text| format!("'{text}'")).collect::<Vec<_>>().join(", ")
}
