//! A shadow says what a gate says that has its tree in force.

use std::path::Path;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::catalog::ExposureSettings;
use crate::decision::snapshot::Snapshot;
use crate::decision::stages;
use crate::diagnostic::Source;
use crate::document;
use crate::http::head::{HeadLimits, RawHead};
use crate::http::{ConnectionPeer, TrustedProxies};
use crate::policy::Permit;
use crate::policy::permit::Grant;
use crate::principal::{Caller, Principal};
use crate::reason::Denial;

const SERVICE: &str = "\
type: google.api.Service
name: demo.example.com
apis: [{name: v1.Jobs}]
http:
  rules:
  - {selector: v1.Jobs.Get, get: '/v1/{name=projects/*/jobs/*}'}
  - {selector: v1.Jobs.Stop, post: '/v1/{name=projects/*/jobs/*}:stop'}
  - {selector: v1.Jobs.Help, get: '/v1/help/{name=projects/*}'}
authentication:
  rules:
  - {selector: v1.Jobs.Stop, allow_without_credential: true}
";
const RULES: &str = "\
service: demo.example.com
rules:
- {selector: v1.Jobs.Get, permission: demo.jobs.get, scopes: none}
- {selector: v1.Jobs.Stop, permission: demo.jobs.stop}
- {selector: v1.Jobs.Help, permission: none, scopes: none}
";
const ROLES: [(&str, &str); 2] = [
    ("roles/get.yaml", "name: roles/get\nincludedPermissions: [demo.jobs.get]\n"),
    ("roles/stop.yaml", "name: roles/stop\nincludedPermissions: [demo.jobs.get, demo.jobs.stop]\n"),
];
const CALLERS: [Option<&str>; 3] = [Some("ana@example.com"), Some("bob@example.com"), None];
const MEMBERS: [&str; 4] =
    ["user:ana@example.com", "group:team@example.com", "allUsers", "domain:example.com"];
const RESOURCES: [&str; 3] = ["projects/a", "projects/b", "folders/1"];
const CALLS: [(&str, &str); 5] = [
    ("GET", "/v1/projects/a/jobs/1"),
    ("POST", "/v1/projects/a/jobs/1:stop"),
    ("GET", "/v1/projects/b/jobs/1"),
    ("POST", "/v1/projects/b/jobs/2:stop"),
    ("GET", "/v1/help/projects/a"),
];
const CONDITIONS: [&str; 4] = [
    "request.path.endsWith(':stop')",
    "request.time < timestamp('2026-01-01T00:00:00Z')",
    "resource.name.startsWith('projects/a/jobs/1')",
    "request.auth.claims.tier == 'gold'",
];

/// A tree in a few words: bindings (resource, role, member, condition), denials (resource, member, condition), and who is
/// in the group.
type Words = (Vec<(usize, usize, usize, usize)>, Vec<(usize, usize, usize)>, bool);

fn words() -> impl Strategy<Value = Words> {
    let binding = (0..RESOURCES.len(), 0..ROLES.len(), 0..MEMBERS.len(), 0..2 * CONDITIONS.len());
    let denial = (0..RESOURCES.len(), 0..2usize, 0..2 * CONDITIONS.len());
    (prop::collection::vec(binding, 0..5), prop::collection::vec(denial, 0..2), any::<bool>())
}

fn condition(at: usize, field: &str, indent: &str) -> String {
    CONDITIONS.get(at).map_or(String::new(), |text| format!("{indent}{field}: {{expression: \"{text}\"}}\n"))
}

fn tree((bindings, denials, is_member): &Words) -> PolicyFiles {
    let mut files: Vec<(String, String)> = vec![
        ("services/demo.yaml".to_owned(), SERVICE.to_owned()),
        ("services/demo.iam.yaml".to_owned(), RULES.to_owned()),
        ("hierarchy.yaml".to_owned(), "projects/a: folders/1\nprojects/b: folders/1\n".to_owned()),
        (
            "groups.yaml".to_owned(),
            format!("team@example.com: [user:{}@example.com]\n", if *is_member { "ana" } else { "bob" }),
        ),
    ];
    files.extend(ROLES.map(|(name, text)| (name.to_owned(), text.to_owned())));
    for (at, resource) in RESOURCES.iter().enumerate() {
        let own = bindings.iter().filter(|binding| binding.0 == at).map(|(_, role, member, when)| {
            let role = ["roles/get", "roles/stop"][*role];
            // Such a binding has no condition.
            let when = if MEMBERS[*member] == "allUsers" { CONDITIONS.len() } else { *when };
            format!(
                "- role: {role}\n  members: ['{}']\n{}",
                MEMBERS[*member],
                condition(when, "condition", "  ")
            )
        });
        let own: String = own.collect();
        if !own.is_empty() {
            files.push((format!("allow/{resource}.yaml"), format!("version: 3\nbindings:\n{own}")));
        }
    }
    for (number, (at, member, when)) in denials.iter().enumerate() {
        let resource = RESOURCES[*at];
        let denied = ["principal://goog/subject/ana@example.com", "principalSet://goog/public:all"][*member];
        let when = condition(*when, "denialCondition", "    ");
        let text = format!(
            "rules:\n- denyRule:\n    deniedPrincipals: ['{denied}']\n    deniedPermissions: [demo.googleapis.com/jobs.stop]\n{when}"
        );
        files.push((format!("deny/{resource}/rule-{number}.yaml"), text));
    }
    PolicyFiles::in_memory("tree", files)
}

fn snapshot(files: PolicyFiles) -> Snapshot {
    let mut report = Report::new();
    let services = ExposureSettings::all(&files, &mut report);
    let snapshot = Snapshot::of_tree(files, &services, &Pools::default(), &mut report);
    snapshot.unwrap_or_else(|| panic!("{}", report.render(false)))
}

fn shadow(files: PolicyFiles, in_force: &Snapshot) -> ShadowTree {
    let mut report = Report::new();
    let tree = ShadowTree::of(files, &Pools::default(), Some(&in_force.catalog), &mut report);
    tree.unwrap_or_else(|| panic!("{}", report.render(false)))
}

fn request(method: &str, target: &str) -> Request {
    let text = format!("{method} {target} HTTP/1.1\r\nHost: demo.example.com\r\nContent-Length: 0\r\n\r\n");
    let head = RawHead::parse(text.as_bytes(), HeadLimits::default()).unwrap();
    Request::from_head(head, ConnectionPeer::Unknown, &TrustedProxies::default()).unwrap()
}

fn ask(
    snapshot: &Snapshot,
    request: &Request,
    caller: Option<&str>,
    now: SystemTime,
) -> (Result<Permit, Denial>, Trace) {
    let mut trace = Trace::default();
    let identify = |method: &crate::catalog::Method| {
        let scopes = method.scopes.iter().cloned().collect();
        Ok(caller.map(|email| {
            let mut caller = Caller::assumed(Principal::user(email).unwrap(), scopes, now);
            let gold = serde_json::json!({ "tier": "gold" });
            caller.claims = gold.as_object().cloned();
            Arc::new(caller)
        }))
    };
    (stages::decide_as(request, identify, snapshot, now, &mut trace), trace)
}

/// What a decision says, as far as a verdict says it too.
fn said(decision: &Result<Permit, Denial>) -> (bool, Option<String>, Option<String>) {
    match decision {
        Ok(permit) => match permit.grant() {
            Grant::Binding(granted) => (true, Some(granted.described()), None),
            Grant::NoPermissionAsked => (true, None, None),
        },
        Err(denial) => {
            let rule = denial.deciding_rule().map(ToString::to_string);
            (false, rule, Some(format!("{} {}", denial.reason().entry().name, denial.detail())))
        }
    }
}

#[test]
fn a_shadow_says_what_a_gate_says_that_has_its_tree_in_force() {
    let runner = Config { failure_persistence: None, cases: 128, ..Config::default() };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000);
    let (mut asked, mut differing) = (0, 0);
    let counts = std::cell::RefCell::new((&mut asked, &mut differing));
    TestRunner::new(runner)
        .run(&(words(), words()), |(live, other)| {
            let (in_force, promoted) = (snapshot(tree(&live)), snapshot(tree(&other)));
            let beside = shadow(tree(&other), &in_force);
            prop_assert_eq!(beside.revision(), &promoted.revision);
            for ((method, target), caller) in
                CALLS.iter().flat_map(|call| CALLERS.map(|caller| (call, caller)))
            {
                let request = request(method, target);
                let (_, trace) = ask(&in_force, &request, caller, now);
                let (decision, would) = ask(&promoted, &request, caller, now);
                let Some(judged) = beside.judge(&request, &trace, now) else {
                    // Refused before policy, or asked for no permission: alike in both.
                    prop_assert!(trace.stage < Stage::Policy || target.starts_with("/v1/help"));
                    prop_assert_eq!(trace.stage, would.stage);
                    continue;
                };
                let verdict = &judged.verdict;
                let rule = verdict.granted().map(|granted| granted.described());
                let rule = rule.or_else(|| verdict.refused_by().map(ToString::to_string));
                let refused = verdict
                    .reason()
                    .map(|reason| format!("{} {}", reason.entry().name, verdict.detail().unwrap()));
                prop_assert_eq!((verdict.is_allowed(), rule, refused), said(&decision));
                prop_assert_eq!(judged.in_force, trace.granted);
                prop_assert_eq!(judged.differs(), trace.granted != would.granted);
                let mut counts = counts.borrow_mut();
                *counts.0 += 1;
                *counts.1 += u32::from(judged.differs());
            }
            Ok(())
        })
        .unwrap();
    // Agreement proves little where the trees never differ.
    assert!(differing * 20 > asked && differing < asked, "{differing} of {asked}");
}

#[test]
fn a_broken_tree_is_not_a_shadow_and_says_why() {
    let in_force = snapshot(tree(&Words::default()));
    let files = PolicyFiles::in_memory("next", [("allow/projects/a.yaml", "bindings: [{}]\n")]);
    let mut report = Report::new();
    let tree = ShadowTree::of(files, &Pools::default(), Some(&in_force.catalog), &mut report);
    assert!(tree.is_none());
    assert!(report.render(false).contains("next/allow/projects/a.yaml"), "{}", report.render(false));
}

/// A shadow is asked about the methods in force: it needs no service files, and its own are not read.
#[test]
fn the_service_files_of_a_shadow_are_not_read() {
    let in_force = snapshot(tree(&Words::default()));
    let binding = "bindings: [{role: roles/get, members: [allUsers, 'user:ana@example.com']}]\n";
    let with = |services: Option<&str>| {
        let mut files = vec![ROLES[0], ("allow/projects/a.yaml", binding)];
        files.extend(services.map(|text| ("services/demo.yaml", text)));
        shadow(PolicyFiles::in_memory("next", files), &in_force)
    };
    let request = request("GET", "/v1/projects/a/jobs/1");
    for services in [None, Some("half a file: [")] {
        let tree = with(services);
        let (_, trace) = ask(&in_force, &request, CALLERS[0], SystemTime::UNIX_EPOCH);
        let judged = tree.judge(&request, &trace, SystemTime::UNIX_EPOCH).unwrap();
        assert!(judged.verdict.is_allowed() && judged.differs());
        assert_ne!(tree.services_revision(), in_force.services_revision);
    }
}

fn settings(text: &str) -> (ShadowSettings, String) {
    let root = document::parse(&Source::new("opgate.yaml", text), &mut Report::new()).unwrap();
    let mut fields = root.fields("it", crate::document::Spelling::Exact, &mut Report::new()).unwrap();
    let (policy, services) = (fields.optional("policy"), fields.optional("services"));
    let mut report = Report::new();
    let settings = ShadowSettings::read(policy, services, Path::new("config"), &mut report);
    (settings, report.render(false))
}

#[test]
fn a_service_has_the_shadow_of_the_policy_or_its_own_or_none() {
    let (settings, report) = settings(
        "policy: {directory: p, shadow: next}\nservices:\n  a: {upstream: x}\n  b: {shadow: other}\n  c: {shadow: false}\n",
    );
    assert_eq!(report, "");
    assert_eq!(settings.of("a"), Some(Path::new("config/next")));
    assert_eq!(settings.of("b"), Some(Path::new("config/other")));
    assert_eq!(settings.of("c"), None);
    let all: Vec<&Path> = settings.directories().into_iter().collect();
    assert_eq!(all, [Path::new("config/next"), Path::new("config/other")]);
}

#[test]
fn what_is_not_a_shadow_is_reported_with_its_place() {
    let (read, report) = settings("policy: {directory: p, shadow: 5}\nservices:\n  a: {shadow: true}\n");
    assert!(read.directories().is_empty());
    for told in ["opgate.yaml:1:32", "expected a string", "opgate.yaml:3:15", "is a directory or `false`"] {
        assert!(report.contains(told), "{told}:\n{report}");
    }
    let (_, report) = settings("policy: {directory: p, shadow: ./p}\nservices: {}\n");
    assert!(report.starts_with("warning: the shadow is the policy tree in force"), "{report}");
}
