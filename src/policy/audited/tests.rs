use super::super::tests::{OPERATION, load, loaded};
use crate::catalog::PermissionType;
use crate::policy::{Policy, ResourceName, Subject};
use crate::principal::Principal;

const HIERARCHY: &str = "projects/demo: folders/1\nfolders/1: organizations/7\n";

fn asks(policy: &Policy, who: Option<&str>, access: PermissionType) -> Option<bool> {
    let principal = who.map(|email| Principal::from_email(email).unwrap());
    let subject = principal.as_ref().map_or_else(Subject::anonymous, Subject::of);
    policy.asks_for_line("demo.googleapis.com", ResourceName::new(OPERATION), subject, access)
}

const ANA: Option<&str> = Some("ana@example.com");
const READ: PermissionType = PermissionType::DataRead;

fn configs(service: &str, logs: &str) -> String {
    format!("bindings: []\nauditConfigs:\n- service: {service}\n  auditLogConfigs: {logs}\n")
}

#[test]
fn a_tree_without_audit_configs_says_nothing() {
    let policy = loaded(&[("allow/projects/demo.yaml", "bindings: []\n")]);
    assert_eq!(asks(&policy, ANA, READ), None);
    let other =
        loaded(&[("allow/projects/demo.yaml", &configs("x.googleapis.com", "[{logType: DATA_READ}]"))]);
    assert_eq!(asks(&other, ANA, READ), None, "another service's");
    let elsewhere =
        loaded(&[("allow/projects/other.yaml", &configs("allServices", "[{logType: DATA_READ}]"))]);
    assert_eq!(asks(&elsewhere, ANA, READ), None, "another project's");
}

#[test]
fn the_kinds_of_access_that_are_named_leave_lines() {
    for service in ["allServices", "demo.googleapis.com"] {
        let policy = loaded(&[("allow/projects/demo.yaml", &configs(service, "[{logType: DATA_READ}]"))]);
        assert_eq!(asks(&policy, ANA, READ), Some(true));
        assert_eq!(asks(&policy, None, READ), Some(true));
        assert_eq!(asks(&policy, ANA, PermissionType::DataWrite), Some(false));
        assert_eq!(asks(&policy, ANA, PermissionType::AdminRead), Some(false));
        assert_eq!(asks(&policy, ANA, PermissionType::AdminWrite), None, "always written");
    }
}

#[test]
fn exempted_members_leave_none_and_groups_are_members() {
    let logs = "[{logType: DATA_READ, exemptedMembers: ['group:oncall@example.com', 'domain:example.org']}]";
    let policy = loaded(&[
        ("allow/projects/demo.yaml", &configs("allServices", logs)),
        ("groups.yaml", "oncall@example.com: ['user:ana@example.com']\n"),
    ]);
    assert_eq!(asks(&policy, ANA, READ), Some(false));
    assert_eq!(asks(&policy, Some("x@example.org"), READ), Some(false));
    assert_eq!(asks(&policy, Some("bob@example.com"), READ), Some(true));
    assert_eq!(asks(&policy, None, READ), Some(true));
}

#[test]
fn the_configs_of_the_whole_chain_count_together() {
    let below =
        configs("demo.googleapis.com", "[{logType: DATA_READ, exemptedMembers: ['user:ana@example.com']}]");
    let above = configs("allServices", "[{logType: DATA_WRITE}]");
    let tree = [
        ("hierarchy.yaml", HIERARCHY),
        ("allow/projects/demo.yaml", &below),
        ("allow/organizations/7.yaml", &above),
    ];
    let policy = loaded(&tree);
    assert_eq!(asks(&policy, ANA, PermissionType::DataWrite), Some(true));
    assert_eq!(asks(&policy, ANA, READ), Some(false));
    assert_eq!(asks(&policy, Some("bob@example.com"), READ), Some(true));
    let above = configs("allServices", "[{logType: DATA_READ, ignoreChildExemptions: true}]");
    let tree = [tree[0], tree[1], ("allow/organizations/7.yaml", &above)];
    assert_eq!(
        asks(&loaded(&tree), ANA, READ),
        Some(true),
        "the organization ignores the project's exemptions"
    );
}

#[test]
fn an_exemption_for_what_no_member_is_called_is_told_and_exempts_none() {
    let logs = "[{logType: DATA_READ, exemptedMembers: [ana@example.com]}]";
    let (policy, report) = load(&[("allow/projects/demo.yaml", &configs("allServices", logs))]);
    assert!(report.contains("warning: this exempts no caller"), "{report}");
    assert_eq!(asks(&policy, ANA, READ), Some(true));
}
