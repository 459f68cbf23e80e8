use super::*;
use crate::policy::tests::{CANCELLER, OPERATION, decide, grants, load};
use crate::policy::{Policy, Refusal, Subject};
use crate::principal::Principal;

const ANA: &str = "ana@example.com";
const GROUPS: (&str, &str) = ("groups.yaml", "oncall@example.com: ['user:ana@example.com']\n");

/// A tree in which everybody may cancel in projects/demo, with this deny policy there.
fn tree(denial: &str) -> (Policy, String) {
    load(&[
        CANCELLER,
        GROUPS,
        ("hierarchy.yaml", "projects/demo: folders/42\nfolders/42: organizations/7\n"),
        ("allow/projects/demo.yaml", &grants("roles/canceller", "allUsers")),
        ("deny/projects/demo/freeze.yaml", denial),
    ])
}

fn rule(fields: &str) -> String {
    format!("displayName: freeze\nkind: DenyPolicy\nrules:\n- denyRule:\n{fields}")
}

/// A rule against cancels, for these principals and with these further lines.
fn freeze(principals: &str, more: &str) -> String {
    rule(&format!(
        "    deniedPrincipals: [{principals}]\n    deniedPermissions: ['demo.googleapis.com/operations.cancel']\n{more}"
    ))
}

fn may(policy: &Policy, who: &str, verb: &str) -> bool {
    let principal = Principal::from_email(who).unwrap();
    let permission = format!("demo.operations.{verb}");
    decide(policy, Subject::of(&principal), &permission, OPERATION).is_ok()
}

#[test]
fn a_denial_beats_every_binding() {
    let (policy, report) = tree(&freeze("'principal://goog/subject/Ana@Example.com'", ""));
    assert_eq!(report, "");
    assert!(!may(&policy, ANA, "cancel"));
    assert!(may(&policy, ANA, "get"));
    assert!(may(&policy, "bob@example.com", "cancel"));
    assert_eq!(policy.counts().deny_rules, 1);
}

/// A rule that matches no caller would have no effect.
#[test]
fn a_principal_that_no_caller_can_be_is_an_error() {
    let (policy, report) = tree(&freeze(
        "'principal://goog/subject/ci@demo.iam.gserviceaccount.com', \
         'principal://iam.googleapis.com/projects/-/serviceAccounts/ana@example.com'",
        "",
    ));
    insta::assert_snapshot!(report);
    assert!(!may(&policy, "ci@demo.iam.gserviceaccount.com", "cancel"));
}

/// An exception that excepts no caller denies more than was meant; what is to be denied must not be passed over.
#[test]
fn what_iam_documents_and_no_caller_can_be_is_a_warning_as_an_exception_and_an_error_where_it_is_denied() {
    for text in [
        "principalSet://cloudresourcemanager.googleapis.com/projects/1/type/ServiceAgent",
        "principalSet://cloudresourcemanager.googleapis.com/organizations/7/type/ServiceAccount",
        "principalSet://cloudresourcemanager.googleapis.com/folders/42",
        "principalSet://goog/cloudIdentityCustomerId/C01abc35",
        "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/demo.svc.id.goog/namespace/ops",
        "principalSet://goog/group/absent@example.com",
        "principal://goog/subject/ci@demo.iam.gserviceaccount.com",
    ] {
        let (policy, report) = tree(&freeze(
            "'principalSet://goog/public:all'",
            &format!("    exceptionPrincipals: ['{text}', 'principal://goog/subject/ana@example.com']\n"),
        ));
        assert!(report.starts_with("warning: ") && !report.contains("error: "), "{text}: {report}");
        assert!(may(&policy, ANA, "cancel") && !may(&policy, "bob@example.com", "cancel"), "{text}");
        let (policy, report) = tree(&freeze(&format!("'{text}'"), ""));
        assert!(report.starts_with("error: ") && !report.contains("is not a principal"), "{text}: {report}");
        assert!(!may(&policy, ANA, "cancel"), "{text}");
    }
}

/// The rule would deny no caller.
#[test]
fn a_malformed_deleted_principal_is_an_error() {
    for text in [
        "deleted:principalSet://goog/public:all",
        "deleted:principal://goog/subject/ana@example.com",
        "deleted:user:ana@example.com?uid=1",
        "deleted:principal://goog/subject/ana?uid=1",
        "deleted:",
    ] {
        let (_, report) = tree(&freeze(&format!("'{text}'"), ""));
        assert!(
            report.contains("is not a principal that a deny rule can be evaluated for"),
            "{text}: {report}"
        );
    }
    for text in [
        "deleted:principalSet://goog/group/oncall@example.com?uid=1",
        "deleted:principal://iam.googleapis.com/projects/-/serviceAccounts/ci@demo.iam.gserviceaccount.com?uid=1",
        "deleted:principal://iam.googleapis.com/locations/global/workforcePools/staff/subject/ana",
    ] {
        let (_, report) = tree(&freeze(&format!("'{text}'"), ""));
        assert_eq!(report, "", "{text}");
    }
}

/// Its members would not be denied.
#[test]
fn a_group_without_an_entry_within_a_denied_one_is_an_error() {
    let (policy, report) = load(&[
        CANCELLER,
        (
            "groups.yaml",
            "staff@example.com: ['group:oncall@example.com']\n\
             oncall@example.com: ['user:ana@example.com', 'group:vendors@example.com']\n",
        ),
        ("allow/projects/demo.yaml", &grants("roles/canceller", "allUsers")),
        ("deny/projects/demo/freeze.yaml", &freeze("'principalSet://goog/group/staff@example.com'", "")),
    ]);
    insta::assert_snapshot!(report);
    assert!(!may(&policy, "vic@example.com", "cancel"));
}

#[test]
fn everybody_means_the_anonymous_too() {
    let (policy, _) = tree(&freeze("'principalSet://goog/public:all'", ""));
    let permission = "demo.operations.cancel";
    let refusal = decide(&policy, Subject::anonymous(), permission, OPERATION).unwrap_err();
    let Refusal::Denied(denied) = refusal else { panic!("{refusal:?}") };
    assert_eq!((&*denied.member, &*denied.resource), ("allUsers", "projects/demo"));
    assert!(denied.place.file.ends_with("deny/projects/demo/freeze.yaml"));
    assert_eq!(denied.place.line, 4);
}

#[test]
fn a_group_is_denied_with_its_members_and_excepted_with_them() {
    let (policy, _) = tree(&freeze("'principalSet://goog/group/oncall@example.com'", ""));
    assert!(!may(&policy, ANA, "cancel"));
    assert!(may(&policy, "bob@example.com", "cancel"));
    let (policy, _) = tree(&freeze(
        "'principalSet://goog/public:all'",
        "    exceptionPrincipals: ['principalSet://goog/group/oncall@example.com']\n",
    ));
    assert!(may(&policy, ANA, "cancel"));
    assert!(!may(&policy, "bob@example.com", "cancel"));
}

#[test]
fn service_accounts_have_a_spelling_of_their_own() {
    let account = "ci@p.iam.gserviceaccount.com";
    let (policy, report) =
        tree(&freeze(&format!("'principal://iam.googleapis.com/projects/-/serviceAccounts/{account}'"), ""));
    assert_eq!(report, "");
    assert!(!may(&policy, account, "cancel"));
    assert!(may(&policy, ANA, "cancel"));
}

#[test]
fn a_deleted_principal_matches_no_caller_and_its_successor_is_not_denied() {
    let (policy, report) = tree(&freeze("'deleted:principal://goog/subject/ana@example.com?uid=1'", ""));
    assert_eq!(report, "");
    assert!(may(&policy, ANA, "cancel"));
}

#[test]
fn wildcards_stand_for_one_part_each_and_exceptions_beat_them() {
    let everybody = "    deniedPrincipals: ['principalSet://goog/public:all']\n";
    for (permissions, cancel, get) in [
        ("['demo.googleapis.com/*.*']", false, false),
        ("['demo.googleapis.com/operations.*']", false, false),
        ("['demo.googleapis.com/*.cancel']", false, true),
        ("['demo.googleapis.com/operation.*']", true, true),
        ("['dem.googleapis.com/*.*']", true, true),
        ("['demo2.googleapis.com/*.*']", true, true),
        (
            "['demo.googleapis.com/*.*']\n    exceptionPermissions: ['demo.googleapis.com/operations.get']",
            false,
            true,
        ),
    ] {
        let (policy, report) = tree(&rule(&format!("{everybody}    deniedPermissions: {permissions}\n")));
        assert_eq!(report, "");
        assert_eq!((may(&policy, ANA, "cancel"), may(&policy, ANA, "get")), (cancel, get), "{permissions}");
    }
}

#[test]
fn a_denial_reaches_down_from_the_organization_and_not_across() {
    let freeze = freeze("'principalSet://goog/public:all'", "");
    for (path, denied) in [
        ("deny/organizations/7/freeze.yaml", true),
        ("deny/folders/42/freeze.json", true),
        ("deny/projects/demo/locations/eu/freeze.yaml", true),
        ("deny/projects/demo/locations/us/freeze.yaml", false),
        ("deny/projects/demo2/freeze.yaml", false),
    ] {
        let (policy, report) = load(&[
            CANCELLER,
            ("hierarchy.yaml", "projects/demo: folders/42\nfolders/42: organizations/7\n"),
            ("allow/projects/demo.yaml", &grants("roles/canceller", "allUsers")),
            (path, &freeze),
        ]);
        assert_eq!(report, "", "{path}");
        assert_eq!(!may(&policy, ANA, "cancel"), denied, "{path}");
    }
}

#[test]
fn the_detail_names_the_rule() {
    let (policy, _) = tree(&freeze("'principalSet://goog/group/oncall@example.com'", ""));
    let principal = Principal::user(ANA).unwrap();
    let subject = Subject::of(&principal);
    let (permission, resource) = ("demo.operations.cancel", ResourceName::new(OPERATION));
    let refusal = decide(&policy, subject, permission, resource.as_str()).unwrap_err();
    let detail = refusal.detail(subject, permission, resource);
    assert!(detail.starts_with("a deny rule on `projects/demo` ("), "{detail}");
    assert!(
        detail.ends_with(
            "/deny/projects/demo/freeze.yaml:4) denies `demo.operations.cancel` on \
             `projects/demo/locations/eu/operations/o` to user:ana@example.com, as `group:oncall@example.com`"
        ),
        "{detail}"
    );
}

#[test]
fn principals_that_cannot_be_evaluated_are_refused_at_load() {
    let (policy, report) = tree(
        "\
kind: DenyPolicy2
rules:
- denyRule:
    deniedPrincipals:
    - user:ana@example.com
    - group:oncall@example.com
    - serviceAccount:ci@p.iam.gserviceaccount.com
    - principalSet://goog/group/empty@example.com
    - principalSet://goog/cloudIdentityCustomerId/C01
    - principalSet://cloudresourcemanager.googleapis.com/projects/1/type/ServiceAccount
    - principal://goog/subject/ana
    - allUsers
    exceptionPrincipals: ['principalSet://goog/public:all']
    deniedPermissions: [demo.operations.cancel, 'demo.googleapis.com/operations', '*', 'demo/x.y']
    exceptionPermissions: []
    denialCondition: {expression: 'resource.matchTag(1)'}
- description: no rule at all
- denyRule: {deniedPrincipals: [], deniedPermissions: ['demo.googleapis.com/*.*'], denied: 1}
ruels: []
",
    );
    insta::assert_snapshot!(report);
    assert!(!may(&policy, "bob@example.com", "cancel"));
}

#[test]
fn a_file_without_a_resource_is_refused() {
    let (_, report) =
        load(&[("deny/freeze.yaml", "rules: []\n"), ("deny/projects/freeze.yaml", "rules: []\n")]);
    insta::assert_snapshot!(report);
}

/// A policy in the folder of another resource would leave allowed what it forbids.
#[test]
fn a_policy_that_names_another_attachment_point_than_its_folder_is_an_error() {
    let named = |hierarchy: &str, resource: &str, name: &str| {
        let text = format!("name: {name}\n{}", freeze("'principalSet://goog/public:all'", ""));
        load(&[
            CANCELLER,
            ("hierarchy.yaml", hierarchy),
            ("allow/projects/demo.yaml", &grants("roles/canceller", "allUsers")),
            (&format!("deny/{resource}/freeze.yaml"), &text),
        ])
        .1
    };
    let of = |point: &str| format!("policies/cloudresourcemanager.googleapis.com%2F{point}/denypolicies/x");
    let known = "projects/demo: {parent: folders/42, projectNumber: 77}\nprojects/other: {parent: folders/42, projectNumber: 78}\nfolders/42: organizations/7\n";
    let unknown = "projects/demo: folders/42\nfolders/42: organizations/7\n";
    for (hierarchy, resource, name) in [
        (known, "projects/demo", of("projects%2Fdemo")),
        (known, "projects/demo", of("projects%2F77")),
        (unknown, "folders/42", of("folders%2f42")),
        (
            unknown,
            "projects/demo",
            "policies/cloudresourcemanager.googleapis.com/projects/demo/denypolicies/x".to_owned(),
        ),
        (unknown, "projects/demo", "freeze".to_owned()),
    ] {
        assert_eq!(named(hierarchy, resource, &name), "", "{name}");
    }
    for (hierarchy, resource, name, own) in [
        (unknown, "projects/demo", of("projects%2Fother"), "projects/other"),
        (unknown, "projects/demo", of("folders%2F42"), "folders/42"),
        (unknown, "folders/42", of("folders%2F43"), "folders/43"),
        (known, "projects/demo", of("projects%2F78"), "projects/78"),
        (
            unknown,
            "projects/demo",
            "policies/cloudresourcemanager.googleapis.com/projects/other/denypolicies/x".to_owned(),
            "projects/other",
        ),
    ] {
        let told = named(hierarchy, resource, &name);
        let message = format!("error: this is the policy of `{own}`, and the file is about `{resource}`");
        assert!(told.contains(&message), "{name}: {told}");
    }
    let told = named("folders/42: organizations/7\n", "projects/99", &of("projects%2Fdemo"));
    assert!(told.contains("warning: this is the policy of `projects/demo`"), "{told}");
    assert!(told.contains("`projects/demo: {projectNumber: 99}`") && !told.contains("error:"), "{told}");
    let told = named(unknown, "projects/demo", &of("projects%2F99"));
    assert!(
        told.starts_with("warning: this is the policy of `projects/99`") && !told.contains("error:"),
        "{told}"
    );
    assert!(told.contains("`projects/demo: {projectNumber: 99}`"), "{told}");
}

/// Without a configuration, it is not known whether an issuer asserts the group in a claim.
#[test]
fn a_denied_group_without_an_entry_is_a_warning_where_no_configuration_is_known() {
    use crate::diagnostic::Report;
    use crate::policy::Pools;
    let denial = freeze("'principalSet://goog/group/ops@example.com'", "");
    let told = |pools: Pools| {
        let files = [CANCELLER, ("deny/projects/demo/freeze.yaml", denial.as_str())];
        let mut report = Report::new();
        Policy::load_among(&pools, PolicyFiles::in_memory("policies", files), &[], &mut report);
        report.render(false)
    };
    let bare = told(Pools::default());
    assert!(bare.starts_with("warning: `group:ops@example.com` has no entry in groups.yaml"), "{bare}");
    assert!(told(Pools::configured()).starts_with("error: `group:ops@example.com` has no entry"));
    let mut asserting = Pools::configured();
    asserting.add_group_domains(&["example.com".to_owned()]);
    assert_eq!(told(asserting.clone()), "");
    assert_eq!(told(asserting.groups_alone()), "");
}
