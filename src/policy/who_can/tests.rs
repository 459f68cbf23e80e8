use std::time::SystemTime;

use super::super::tests::{OPERATION, grants, load, loaded};
use super::*;

fn who_can(policy: &Policy) -> Vec<String> {
    let attributes = Attributes::at(SystemTime::UNIX_EPOCH);
    let holders = policy.who_can("demo.operations.cancel", ResourceName::new(OPERATION), &attributes);
    holders
        .iter()
        .map(|holder| {
            let decided = match &holder.decided {
                Ok(_) => "can",
                Err(Refusal::Denied(_)) => "denied",
                Err(Refusal::ConditionNotMet(_)) => "unmet",
                Err(_) => "cannot",
            };
            let grants = holder.grants.iter().map(|grant| {
                let through = grant.through.iter().map(|group| format!(" < {group}"));
                format!("{} {}{}", grant.resource, grant.member, through.collect::<String>())
            });
            let set = if holder.is_set { " (set)" } else { "" };
            format!("{}{set} {decided}: {}", holder.name, grants.collect::<Vec<_>>().join(", "))
        })
        .collect()
}

#[test]
fn everybody_is_listed_with_what_gives_it_to_them() {
    let policy = loaded(&[
        ("hierarchy.yaml", "projects/demo: folders/42\n"),
        (
            "groups.yaml",
            "oncall@example.com: [user:ana@example.com, group:leads@example.com]\n\
             leads@example.com: [user:lea@example.com, user:ana@example.com]\n",
        ),
        (
            "allow/projects/demo.yaml",
            "version: 3\nbindings:\n- role: roles/canceller\n  members: ['group:oncall@example.com', \
             'user:max@example.com', 'domain:example.org']\n\
             - role: roles/viewer\n  members: ['user:bob@example.com']\n\
             - role: roles/canceller\n  members: ['user:cid@example.com']\n  condition: {expression: \"request.path == '/x'\"}\n",
        ),
        ("allow/folders/42.yaml", &grants("roles/canceller", "user:ana@example.com")),
        ("allow/projects/other.yaml", &grants("roles/canceller", "user:eve@example.com")),
        (
            "deny/projects/demo/x.yaml",
            "rules:\n- denyRule:\n    deniedPrincipals: ['principal://goog/subject/max@example.com']\n    \
             deniedPermissions: [demo.googleapis.com/operations.cancel]\n",
        ),
    ]);
    assert_eq!(
        who_can(&policy),
        [
            "user:ana@example.com can: projects/demo group:oncall@example.com, folders/42 user:ana@example.com",
            "user:cid@example.com unmet: projects/demo user:cid@example.com",
            "user:lea@example.com can: projects/demo group:oncall@example.com < group:leads@example.com",
            "user:max@example.com denied: projects/demo user:max@example.com",
            "domain:example.org (set) can: projects/demo domain:example.org",
        ]
    );
}

#[test]
fn sets_are_asked_for_as_a_whole() {
    let deny = |principals: &str| {
        format!(
            "rules:\n- denyRule:\n    deniedPrincipals: [{principals}]\n    \
             deniedPermissions: [demo.googleapis.com/operations.cancel]\n"
        )
    };
    let with = |rule: String| {
        let (policy, _) = load(&[
            super::super::tests::CANCELLER,
            (
                "allow/projects/demo.yaml",
                &grants("roles/canceller", "allAuthenticatedUsers', 'group:unlisted@x.com"),
            ),
            ("deny/projects/demo/x.yaml", &rule),
        ]);
        who_can(&policy)
    };
    let one = with(deny("'principal://goog/subject/max@example.com'"));
    assert_eq!(
        one,
        [
            "allAuthenticatedUsers (set) can: projects/demo allAuthenticatedUsers",
            "group:unlisted@x.com (set) can: projects/demo group:unlisted@x.com",
        ]
    );
    let all = with(deny("'principalSet://goog/public:all'"));
    assert!(all.iter().all(|line| line.contains(" denied: ")), "{all:?}");
}

#[test]
fn members_that_match_no_caller_are_not_listed() {
    let (policy, _) = load(&[
        super::super::tests::CANCELLER,
        (
            "allow/projects/demo.yaml",
            &grants("roles/canceller", "serviceAccount:x@example.com', 'deleted:user:ana@example.com?uid=1"),
        ),
    ]);
    assert_eq!(who_can(&policy), [""; 0]);
}
