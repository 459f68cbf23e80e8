use super::super::tests::{OPERATION, grants, loaded};
use super::*;
use crate::principal::Principal;
use std::time::SystemTime;

const CANCEL: &str = "demo.operations.cancel";

fn explained(policy: &Policy, who: &str) -> Explanation {
    let who = Principal::from_email(who).unwrap();
    let attributes = Attributes::at(SystemTime::UNIX_EPOCH);
    policy.explain(Subject::of(&who), CANCEL, ResourceName::new(OPERATION), &attributes)
}

#[test]
fn every_binding_that_matters_is_told_as_it_is_written() {
    let policy = loaded(&[
        ("groups.yaml", "oncall@example.com: [user:ana@example.com]\n"),
        ("hierarchy.yaml", "projects/demo: folders/42\n"),
        ("allow/folders/42.yaml", &grants("roles/viewer", "user:ana@example.com")),
        (
            "allow/projects/demo.yaml",
            "version: 3\nbindings:\n\
             - role: roles/canceller\n  members: ['group:oncall@example.com', 'user:bob@example.com']\n  \
             condition: {expression: \"request.path == '/x'\"}\n\
             - role: roles/canceller\n  members: ['user:eve@example.com']\n\
             - role: roles/viewer\n  members: ['user:eve@example.com']\n",
        ),
    ]);
    let explanation = explained(&policy, "ana@example.com");
    assert!(matches!(explanation.decision, Err(Refusal::Unmet(_))));
    let told: Vec<_> = explanation
        .bindings
        .iter()
        .map(|binding| {
            let matched = binding.members.iter().filter(|(_, matched)| *matched).map(|(name, _)| &**name);
            (
                &*binding.resource,
                binding.place.line,
                &*binding.role,
                binding.role_holds,
                matched.collect::<Vec<_>>().join(" "),
                binding.grants,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("projects/demo", 3, "roles/canceller", true, "group:oncall@example.com".to_owned(), false),
            ("projects/demo", 6, "roles/canceller", true, String::new(), false),
            ("folders/42", 2, "roles/viewer", false, "user:ana@example.com".to_owned(), false),
        ]
    );
    assert_eq!(explanation.unrelated, 1);
    let condition = explanation.bindings[0].condition.as_ref().unwrap();
    assert_eq!(condition.read, [("request.path", None)]);
    assert_eq!(
        explanation.chain.iter().map(|name| &**name).collect::<Vec<_>>(),
        ["projects/demo", "folders/42"]
    );
    assert_eq!(explanation.holding_roles.iter().map(|name| &**name).collect::<Vec<_>>(), ["roles/canceller"]);
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
        assert!(matches!(explanation.decision, Err(Refusal::Denied(_))), "{:?}", explanation.decision);
        let rules = explanation.deny_rules.iter();
        rules.map(|rule| (rule.is_for_permission(), rule.is_for_caller(), rule.denies)).collect::<Vec<_>>()
    };
    let (yes, no) = (true, false);
    assert_eq!(
        denies("ana@example.com"),
        [(yes, yes, yes), (yes, no, no), (no, yes, no), (no, yes, no), (yes, yes, yes)]
    );
    assert_eq!(
        denies("bob@example.com"),
        [(yes, no, no), (yes, yes, yes), (no, yes, no), (no, yes, no), (yes, yes, yes)]
    );
}
