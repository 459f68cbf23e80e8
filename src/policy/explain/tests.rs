use std::time::{Duration, SystemTime};

use super::super::tests::{OPERATION, grants, load, loaded};
use super::examiner::MOST_FOR_OTHERS;
use super::*;
use crate::diagnostic::Place;
use crate::policy::condition::AttributeRead;
use crate::policy::explain::index::ExplainIndex;
use crate::policy::model::context::Context;
use crate::principal::Principal;

const CANCEL: &str = "demo.operations.cancel";

fn explained_to(policy: &Policy, who: &str, extent: Extent) -> Explanation {
    let who = Principal::from_email(who).unwrap();
    let attributes = Attributes::at(SystemTime::UNIX_EPOCH);
    policy.explain(Subject::of(&who), CANCEL, ResourceName::new(OPERATION), &attributes, extent)
}

fn explained(policy: &Policy, who: &str) -> Explanation {
    explained_to(policy, who, Extent::Relevant)
}

/// Resource, line, role, whether it holds, who the caller is there, whether it grants.
fn told(explanation: &Explanation) -> Vec<(&str, usize, &str, bool, String, bool)> {
    let bindings = explanation.bindings.iter();
    bindings
        .flat_map(|attached| attached.told.iter().map(|binding| (&*attached.resource, binding)))
        .map(|(resource, binding)| {
            let matched = binding.matched.iter().map(|matched| {
                [std::slice::from_ref(&matched.member), &matched.through].concat().join(" < ")
            });
            (
                resource,
                binding.place.line,
                &*binding.role,
                binding.holds,
                matched.collect::<Vec<_>>().join(" "),
                binding.grants(),
            )
        })
        .collect()
}

#[test]
fn every_binding_that_matters_is_told_as_it_is_written() {
    let policy = loaded(&[
        (
            "groups.yaml",
            "oncall@example.com: [group:leads@example.com]\nleads@example.com: [user:ana@example.com]\n",
        ),
        ("hierarchy.yaml", "projects/demo: folders/42\n"),
        ("allow/folders/42.yaml", &grants("roles/viewer", "user:ana@example.com")),
        (
            "allow/projects/demo.yaml",
            "version: 3\nbindings:\n\
             - role: roles/canceller\n  members: ['group:oncall@example.com', 'user:bob@example.com']\n  \
             condition: {expression: \"request.path == '/x'\", title: on x}\n\
             - role: roles/canceller\n  members: ['user:eve@example.com']\n\
             - role: roles/viewer\n  members: ['user:eve@example.com']\n",
        ),
    ]);
    let explanation = explained(&policy, "ana@example.com");
    assert!(matches!(explanation.decided, Err(Refusal::ConditionNotMet(_))));
    let by_group = "group:oncall@example.com < group:leads@example.com".to_owned();
    let (canceller, viewer) = ("roles/canceller", "roles/viewer");
    assert_eq!(
        told(&explanation),
        [
            ("projects/demo", 3, canceller, true, by_group, false),
            ("projects/demo", 6, canceller, true, String::new(), false),
            ("folders/42", 2, viewer, false, "user:ana@example.com".to_owned(), false),
        ]
    );
    assert_eq!(explanation.bindings[0].omitted, 1);
    let [first, ..] = explanation.bindings[0].told.as_slice() else { panic!() };
    assert_eq!((first.others.len(), first.other_count), (0, 1));
    let condition = first.condition.as_ref().unwrap();
    assert_eq!(condition.reads, [AttributeRead { name: "request.path", value: None }]);
    assert_eq!(condition.tested.title.as_deref(), Some("on x"));
    assert_eq!(
        explanation.chain.iter().map(|name| &**name).collect::<Vec<_>>(),
        [OPERATION, "projects/demo/locations/eu", "projects/demo", "folders/42"]
    );

    let all = explained_to(&policy, "ana@example.com", Extent::All);
    assert_eq!(told(&all).len(), 4);
    assert_eq!(all.bindings[0].omitted, 0);
    assert_eq!(all.bindings[0].told[0].others, ["user:bob@example.com".into()]);
}

#[test]
fn bindings_on_one_line_are_told_apart() {
    let json = r#"{"bindings":[{"role":"roles/viewer","members":["user:ana@example.com"]},{"role":"roles/canceller","members":["user:ana@example.com","user:bob@example.com"]}]}"#;
    let policy = loaded(&[("allow/projects/demo.json", json)]);
    let ana = "user:ana@example.com".to_owned();
    assert_eq!(
        told(&explained(&policy, "ana@example.com")),
        [
            ("projects/demo", 1, "roles/canceller", true, ana.clone(), true),
            ("projects/demo", 1, "roles/viewer", false, ana, false),
        ]
    );
}

#[test]
fn of_very_many_bindings_those_are_told_that_bear_on_the_answer() {
    const MANY: usize = 5000;
    let mut text = "bindings:\n".to_owned();
    for number in 0..MANY {
        let role = if number % 2 == 0 { "roles/viewer" } else { "roles/canceller" };
        text.push_str(&format!("- {{role: {role}, members: ['user:u{number}@example.com']}}\n"));
    }
    let policy = loaded(&[("allow/projects/demo.yaml", &text)]);
    let explanation = explained(&policy, "u4999@example.com");
    let [attached] = explanation.bindings.as_slice() else { panic!() };
    assert_eq!(attached.told.len() + attached.omitted, MANY);
    assert_eq!(attached.told.len(), 1 + MOST_FOR_OTHERS);
    assert!(attached.told[0].grants());
    assert_eq!(explained_to(&policy, "u1@example.com", Extent::All).bindings[0].told.len(), MANY);
}

#[test]
fn every_part_of_a_deny_rule_is_told() {
    let rule = |denied: &str, excepted: &str, permissions: &str, but: &str| {
        format!(
            "- denyRule:\n    deniedPrincipals: ['principalSet://goog/{denied}']\n    \
             exceptionPrincipals: [{excepted}]\n    deniedPermissions: [{permissions}]\n{but}"
        )
    };
    let every = "demo.googleapis.com/*.*";
    let but = "    exceptionPermissions: [demo.googleapis.com/operations.cancel]\n";
    let oncall = "'principalSet://goog/group/oncall@example.com'";
    let rules = [
        rule("group/oncall@example.com", "", every, ""),
        rule("public:all", oncall, every, ""),
        rule("public:all", "", "demo.googleapis.com/operations.get", ""),
        rule("public:all", "", every, but),
        rule("public:all", "", every, "    denialCondition: {expression: \"request.path == '/x'\"}\n"),
    ];
    let policy = loaded(&[
        ("groups.yaml", "oncall@example.com: [user:ana@example.com]\n"),
        ("allow/projects/demo.yaml", &grants("roles/canceller", "allUsers")),
        ("deny/projects/demo/x.yaml", &format!("rules:\n{}", rules.concat())),
    ]);
    let denies = |who: &str| {
        let explanation = explained(&policy, who);
        assert!(matches!(explanation.decided, Err(Refusal::Denied(_))), "{:?}", explanation.decided);
        let mut rules: Vec<_> = explanation.rules[0].told.iter().collect();
        rules.sort_by_key(|rule| rule.place.line);
        let parts = rules.iter().map(|rule| {
            (
                rule.is_of_permission() && !rule.excepts_permission(),
                !rule.matched.is_empty() && rule.excepted.is_empty(),
                rule.denies(),
            )
        });
        // Each rule that denies is a step: with fewer of them gone, the call stays denied.
        assert_eq!(explanation.steps.len(), explanation.denying().count());
        parts.collect::<Vec<_>>()
    };
    let (yes, no) = (true, false);
    assert_eq!(
        denies("ana@example.com"),
        [(yes, yes, yes), (yes, no, no), (no, yes, no), (no, yes, no), (yes, yes, yes)]
    );
    // A rule for other callers and permissions would not be told; these all cover the permission.
    assert_eq!(
        denies("bob@example.com"),
        [(yes, no, no), (yes, yes, yes), (no, yes, no), (no, yes, no), (yes, yes, yes)]
    );
}

/// Where the work that a decision may take was used up, an explanation does not tell of conditions that hold.
#[test]
fn a_condition_that_came_too_late_is_told_as_the_decision_saw_it() {
    let costly = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]";
    let costly = format!(
        "{costly}.all(a, {costly}.all(b, {costly}.all(c, {costly}.all(d, a + b + c + d > 3 || resource.name != ''))))"
    );
    let policy = loaded(&[(
        "allow/projects/demo.yaml",
        &format!(
            "version: 3\nbindings:\n\
             - {{role: roles/canceller, members: ['user:ana@example.com'], condition: {{expression: \"{costly} && false\"}}}}\n\
             - {{role: roles/canceller, members: ['user:ana@example.com'], condition: {{expression: \"resource.name != ''\"}}}}\n"
        ),
    )]);
    let explanation = explained(&policy, "ana@example.com");
    assert!(matches!(explanation.decided, Err(Refusal::ConditionNotMet(_))), "{:?}", explanation.decided);
    assert!(explanation.granting().next().is_none(), "{explanation:#?}");
}

#[test]
fn conditions_show_what_they_read_and_no_other_claim() {
    let policy = loaded(&[(
        "allow/projects/demo.yaml",
        "version: 3\nbindings:\n- role: roles/canceller\n  members: ['user:ana@example.com']\n  condition: {expression: \
         \"request.auth.claims.team == 'ops' && request.time < timestamp('2030-01-01T00:00:00Z') && origin.ip != ''\"}\n",
    )]);
    let claims = serde_json::json!({ "team": "dev", "address": "1 Main St" });
    let who = Principal::from_email("ana@example.com").unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    let attributes = Attributes { claims: claims.as_object(), ..Attributes::at(time) };
    let resource = ResourceName::new(OPERATION);
    let explanation = policy.explain(Subject::of(&who), CANCEL, resource, &attributes, Extent::Relevant);
    let weighed = explanation.bindings[0].told[0].condition.as_ref().unwrap();
    let reads: Vec<_> = weighed.reads.iter().map(|read| (read.name, read.value.as_deref())).collect();
    assert_eq!(
        reads,
        [
            ("request.time", Some("timestamp(\"1970-01-01T00:00:01Z\")")),
            ("request.auth.claims", Some("{\"team\": \"dev\"}")),
            ("origin.ip", None),
        ]
    );
}

fn remedies(policy: &Policy, who: &str) -> Vec<Remedy> {
    let explanation = explained(policy, who);
    assert!(explanation.decided.is_err());
    let [step] = explanation.steps.as_slice() else { panic!("{:#?}", explanation.steps) };
    step.alternatives.clone()
}

#[test]
fn remedies_for_a_missing_permission() {
    // Sorted: a role that can be bound here only, one that cannot, six for everywhere.
    let mut files = vec![
        ("hierarchy.yaml".to_owned(), "projects/demo: organizations/7\n".to_owned()),
        ("groups.yaml".to_owned(), "oncall@example.com: [user:ana@example.com]\n".to_owned()),
        ("allow/organizations/7.yaml".to_owned(), grants("roles/viewer", "group:oncall@example.com")),
    ];
    let names = ["organizations/7/roles/own", "projects/other/roles/other"];
    let names = names.map(str::to_owned).into_iter().chain((1..7).map(|number| format!("roles/r{number}")));
    for (number, name) in names.enumerate() {
        let text = format!("name: {name}\nincludedPermissions: [{CANCEL}]\nstage: GA\n");
        files.push((format!("roles/{number}.yaml"), text));
    }
    files.push((
        "roles/viewer.yaml".to_owned(),
        "name: roles/viewer\nincludedPermissions: [demo.operations.get]\n".to_owned(),
    ));
    let files = crate::source::PolicyFiles::in_memory("policies", files);
    let mut report = crate::diagnostic::Report::new();
    let place = Place { file: "services/demo.iam.yaml".into(), line: 3 };
    let policy = Policy::load(files, &[(CANCEL.to_owned(), place)], &mut report);
    assert!(!report.is_fatal(), "{}", report.render(false));
    let remedies = remedies(&policy, "ana@example.com");
    let [Remedy::AddPermission { role, place, binding }, Remedy::Bind { roles, more, members, on }] =
        remedies.as_slice()
    else {
        panic!("{remedies:#?}");
    };
    assert_eq!((&**role, binding.line), ("roles/viewer", 2));
    assert!(place.as_ref().unwrap().file.ends_with("roles/viewer.yaml"));
    let roles: Vec<&str> = roles.iter().map(|role| &**role).collect();
    assert_eq!(roles, ["organizations/7/roles/own", "roles/r1", "roles/r2", "roles/r3", "roles/r4"]);
    assert_eq!(*more, 2);
    let members: Vec<&str> = members.iter().map(|member| &**member).collect();
    assert_eq!(members, ["user:ana@example.com", "group:oncall@example.com"]);
    let on: Vec<&str> = on.iter().map(|(resource, _)| &**resource).collect();
    assert_eq!(on, ["projects/demo", "organizations/7"]);
    assert_eq!(on.len(), 2);
}

#[test]
fn a_disabled_role_is_not_proposed_to_be_widened() {
    let (policy, _) = load(&[
        (
            "roles/off.yaml",
            "name: roles/off\nstage: DISABLED\nincludedPermissions: [demo.operations.cancel]\n",
        ),
        ("allow/projects/demo.yaml", &grants("roles/off", "user:ana@example.com")),
    ]);
    let explanation = explained(&policy, "ana@example.com");
    assert!(explanation.bindings[0].told[0].dormant);
    assert_eq!(explanation.steps, [RemedyStep { alternatives: Vec::new() }]);
}

#[test]
fn the_way_into_a_group_is_a_shortest_one_and_ends() {
    let policy = loaded(&[
        (
            "groups.yaml",
            "a@x.com: [group:b@x.com, group:c@x.com]\nb@x.com: [group:d@x.com]\nc@x.com: [user:u@x.com]\n\
             d@x.com: [user:u@x.com]\n",
        ),
        ("allow/projects/demo.yaml", &grants("roles/canceller", "group:a@x.com")),
    ]);
    let way = policy.explain_index.way("user:u@x.com", "group:a@x.com").unwrap();
    assert_eq!(way, ["group:c@x.com".into()]);
    assert_eq!(policy.explain_index.way("user:v@x.com", "group:a@x.com"), None);
    let empty = ExplainIndex::of(
        Context {
            roles: &Default::default(),
            hierarchy: &Default::default(),
            groups: &Default::default(),
            tags: &Default::default(),
            pools: &Default::default(),
        },
        &[],
    );
    assert!(empty.holding(CANCEL).is_empty());
}
