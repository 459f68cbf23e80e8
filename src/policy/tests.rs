//! The tree as a whole: what loads, what is refused, and who may do what.

mod oracle;
mod reach;
mod sets;

use std::fs;
use std::time::SystemTime;

use super::*;
use crate::principal::Principal;
use crate::source::PolicySource;

const VIEWER: (&str, &str) = (
    "roles/viewer.yaml",
    "name: roles/viewer\nincludedPermissions: [demo.operations.get, demo.operations.list]\n",
);
pub(super) const CANCELLER: (&str, &str) = (
    "roles/canceller.yaml",
    "name: roles/canceller\nstage: GA\nincludedPermissions: [demo.operations.cancel, demo.operations.get]\n",
);

/// Loads a tree of files; the report's paths begin with `policies`.
pub(super) fn load(files: &[(&str, &str)]) -> (Policy, String) {
    let mut report = Report::new();
    let files = PolicyFiles::in_memory("policies", files.iter().copied());
    let policy = Policy::load_among(&Pools::configured().groups_alone(), files, &[], &mut report);
    (policy, report.render(false))
}

/// The same from a directory, for what only a directory holds.
fn load_directory(files: &[(&str, &str)]) -> (Policy, String) {
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let mut report = Report::new();
    let files = PolicySource::directory(directory.path()).read(&mut report).unwrap();
    let policy = Policy::load(files, &[], &mut report);
    let text = report.render(false).replace(directory.path().to_str().unwrap(), "policies");
    (policy, text)
}

/// Loads the two roles and these files, in which nothing may be wrong.
pub(super) fn loaded(files: &[(&str, &str)]) -> Policy {
    let (policy, report) = load(&[&[VIEWER, CANCELLER], files].concat());
    assert_eq!(report, "");
    policy
}

/// Decides at the beginning of 1970, with nothing else known of the request.
pub(super) fn decide(
    policy: &Policy,
    subject: Subject<'_>,
    permission: &str,
    resource: &str,
) -> Result<Granted, Refusal> {
    let attributes = Attributes::at(SystemTime::UNIX_EPOCH);
    policy.decide(subject, permission, ResourceName::new(resource), &attributes)
}

fn may(policy: &Policy, who: &str, permission: &str, resource: &str) -> bool {
    let principal = Principal::from_email(who).unwrap();
    let permission = format!("demo.operations.{permission}");
    decide(policy, Subject::of(&principal), &permission, resource).is_ok()
}

pub(super) fn grants(role: &str, member: &str) -> String {
    format!("bindings:\n- role: {role}\n  members: ['{member}']\n")
}

pub(super) const OPERATION: &str = "projects/demo/locations/eu/operations/o";

#[test]
fn a_binding_holds_on_its_resource_and_below() {
    let policy = loaded(&[("allow/projects/demo.yaml", &grants("roles/canceller", "user:ana@example.com"))]);
    for resource in
        ["projects/demo", "projects/demo/locations/eu", OPERATION, "projects/demo/locations/eu/operations"]
    {
        assert!(may(&policy, "ana@example.com", "cancel", resource), "{resource}");
    }
    assert!(!may(&policy, "ana@example.com", "delete", OPERATION));
    assert!(!may(&policy, "bob@example.com", "cancel", OPERATION));
}

#[test]
fn a_name_that_begins_alike_is_another_resource() {
    let policy = loaded(&[("allow/projects/demo.yaml", &grants("roles/canceller", "user:ana@example.com"))]);
    for resource in [
        "projects/demo2/locations/eu/operations/o",
        "projects/dem/locations/eu/operations/o",
        "projects/DEMO/locations/eu/operations/o",
        "projects/other/locations/eu/operations/o",
        "folders/demo/locations/eu/operations/o",
        "x/projects/demo/locations/eu",
        "projects/-/locations/eu/operations/o",
        "projects/*/locations/eu/operations/o",
        "/projects/demo",
        "projects/demo/",
        "projects/demo//operations/o",
        "projects/demo/../other",
        "projects%2Fdemo",
        "projects",
        "demo",
        "",
    ] {
        assert!(!may(&policy, "ana@example.com", "cancel", resource), "{resource}");
    }
}

#[test]
fn a_policy_on_a_child_leaks_neither_up_nor_aside() {
    let policy = loaded(&[(
        "allow/projects/demo/locations/eu.yaml",
        &grants("roles/canceller", "user:ana@example.com"),
    )]);
    assert!(may(&policy, "ana@example.com", "cancel", OPERATION));
    for resource in [
        "projects/demo",
        "projects/demo/locations/us/operations/o",
        "projects/demo/locations/europe/operations/o",
    ] {
        assert!(!may(&policy, "ana@example.com", "cancel", resource), "{resource}");
    }
}

#[test]
fn the_hierarchy_is_followed_to_the_organization() {
    let policy = loaded(&[
        (
            "hierarchy.yaml",
            "projects/demo: folders/42\nfolders/42: organizations/7\nprojects/other: organizations/7\n",
        ),
        ("allow/folders/42.yaml", &grants("roles/canceller", "user:fay@example.com")),
        (
            "allow/organizations/7.json",
            r#"{"bindings": [{"role": "roles/viewer", "members": ["user:ola@example.com"]}]}"#,
        ),
    ]);
    assert!(may(&policy, "fay@example.com", "cancel", OPERATION));
    assert!(!may(&policy, "fay@example.com", "cancel", "projects/other/locations/eu/operations/o"));
    assert!(may(&policy, "ola@example.com", "get", OPERATION));
    assert!(may(&policy, "ola@example.com", "get", "projects/other"));
    assert!(!may(&policy, "ola@example.com", "get", "projects/stranger"));
    assert!(!may(&policy, "ola@example.com", "cancel", OPERATION));
}

#[test]
fn groups_count_through_other_groups() {
    let policy = loaded(&[
        (
            "groups.yaml",
            "a@x.com: [group:b@x.com]\nb@x.com: [group:C@x.com]\nc@x.com: [user:Ana@Example.com]\n",
        ),
        ("allow/projects/demo.yaml", &grants("roles/canceller", "group:A@X.com")),
    ]);
    assert!(may(&policy, "ana@example.com", "cancel", OPERATION));
    assert!(!may(&policy, "bob@example.com", "cancel", OPERATION));
    // No caller has the group's own address as their identity.
    assert!(!may(&policy, "a@x.com", "cancel", OPERATION));
}

#[test]
fn emails_are_compared_without_case() {
    let policy = loaded(&[("allow/projects/demo.yaml", &grants("roles/canceller", "user:ANA@Example.com"))]);
    assert!(may(&policy, "ana@EXAMPLE.com", "cancel", OPERATION));
}

#[test]
fn deleted_members_match_no_caller() {
    let members = "deleted:user:ana@example.com?uid=1', 'deleted:group:oncall@example.com?uid=2', \
                   'deleted:serviceAccount:ci@demo.iam.gserviceaccount.com?uid=3";
    let policy = loaded(&[
        ("groups.yaml", "oncall@example.com: [user:ana@example.com]\n"),
        ("allow/projects/demo.yaml", &grants("roles/canceller", members)),
    ]);
    for who in ["ana@example.com", "ci@demo.iam.gserviceaccount.com"] {
        assert!(!may(&policy, who, "cancel", OPERATION), "{who}");
    }
    assert_eq!(policy.counts().bindings, 1);
}

#[test]
fn a_disabled_or_deleted_role_grants_nothing() {
    for line in ["stage: DISABLED", "deleted: true"] {
        let role = format!("name: roles/off\n{line}\nincludedPermissions: [demo.operations.cancel]\n");
        let (policy, report) = load(&[
            ("roles/off.yaml", &role),
            ("allow/projects/demo.yaml", &grants("roles/off", "user:ana@example.com")),
        ]);
        assert!(report.contains("this binding grants nothing"), "{report}");
        assert!(!may(&policy, "ana@example.com", "cancel", OPERATION), "{line}");
    }
}

#[test]
fn a_domain_stands_for_its_users_exactly() {
    let policy = loaded(&[("allow/projects/demo.yaml", &grants("roles/canceller", "domain:Example.com"))]);
    assert!(may(&policy, "ana@example.com", "cancel", OPERATION));
    for who in ["ana@sub.example.com", "ana@notexample.com", "ana@example.com.evil.test", "ana@example.co"] {
        assert!(!may(&policy, who, "cancel", OPERATION), "{who}");
    }
    let (policy, _) = load(&[
        CANCELLER,
        ("allow/projects/demo.yaml", &grants("roles/canceller", "domain:demo.iam.gserviceaccount.com")),
    ]);
    assert!(!may(&policy, "ci@demo.iam.gserviceaccount.com", "cancel", OPERATION));
}

/// <https://cloud.google.com/iam/docs/principals-overview#all-authenticated-users>: a policy that Google exported grants
/// no more here than there.
#[test]
fn all_authenticated_users_are_not_the_federated() {
    let policy = loaded(&[("allow/projects/demo.yaml", &grants("roles/canceller", "allAuthenticatedUsers"))]);
    let may = |principal: &Principal| {
        decide(&policy, Subject::of(principal), "demo.operations.cancel", OPERATION).is_ok()
    };
    assert!(may(&Principal::user("ana@example.com").unwrap()));
    assert!(may(&Principal::service_account("ci@demo.iam.gserviceaccount.com").unwrap()));
    assert!(!may(&Principal::subject("iam.googleapis.com/locations/global/workforcePools/staff", "ana")));
}

#[test]
fn only_all_users_speaks_for_the_anonymous() {
    let anonymous = |member: &str| {
        let policy = loaded(&[("allow/projects/demo.yaml", &grants("roles/canceller", member))]);
        decide(&policy, Subject::anonymous(), "demo.operations.cancel", OPERATION).is_ok()
    };
    assert!(anonymous("allUsers"));
    assert!(!anonymous("allAuthenticatedUsers"));
    assert!(!anonymous("user:ana@example.com"));
    for member in ["allUsers", "allAuthenticatedUsers"] {
        let policy = loaded(&[("allow/projects/demo.yaml", &grants("roles/canceller", member))]);
        assert!(may(&policy, "ana@example.com", "cancel", OPERATION), "{member}");
    }
}

#[test]
fn federated_identities_and_sets_match_as_text() {
    const POOL: &str = "iam.googleapis.com/locations/global/workforcePools/staff";
    let ana = Principal::subject(POOL, "ana");
    let set: std::sync::Arc<str> = format!("principalSet://{POOL}/group/ops").into();
    let asked = |member: &str, subject: Subject<'_>| {
        let policy = loaded(&[
            ("groups.yaml", "nested@x.com: [group:claimed@x.com]\nclaimed@x.com: []\n"),
            ("allow/projects/demo.yaml", &grants("roles/canceller", member)),
        ]);
        decide(&policy, subject, "demo.operations.cancel", OPERATION).is_ok()
    };
    assert!(asked(&format!("principal://{POOL}/subject/ana"), Subject::of(&ana)));
    assert!(!asked(&format!("principal://{POOL}/subject/Ana"), Subject::of(&ana)));
    assert!(!asked(&set, Subject::of(&ana)));
    assert!(asked(&set, Subject::of(&ana).with_sets(std::slice::from_ref(&set))));
    // A group that a credential vouches for may be in a group of groups.yaml.
    assert!(asked("group:nested@x.com", Subject::of(&ana).with_sets(&["group:claimed@x.com".into()])));
}

#[test]
fn the_nearest_binding_is_the_reason() {
    let policy = loaded(&[
        ("groups.yaml", "oncall@example.com: [user:ana@example.com]\n"),
        ("allow/projects/demo.yaml", &grants("roles/canceller", "user:ana@example.com")),
        ("allow/projects/demo/locations/eu.yaml", &grants("roles/canceller", "group:oncall@example.com")),
    ]);
    let ana = Principal::user("ana@example.com").unwrap();
    let decide = |resource| {
        let granted = decide(&policy, Subject::of(&ana), "demo.operations.cancel", resource).unwrap();
        (granted.member.to_string(), granted.resource.to_string(), granted.place.line)
    };
    let (group, location) = ("group:oncall@example.com".to_owned(), "projects/demo/locations/eu".to_owned());
    assert_eq!(decide(OPERATION), (group, location, 2));
    assert_eq!(decide("projects/demo").0, "user:ana@example.com");
}

#[test]
fn a_member_with_many_roles_is_found_out_either_way() {
    // More roles on the resource than roles that hold the permission, and the other way round.
    let names: Vec<String> = (0..20).map(|number| format!("roles/r{number}")).collect();
    for (bound, holding) in [(20, 1), (1, 20), (20, 20)] {
        let mut files: Vec<(String, String)> = Vec::new();
        let mut policy = "bindings:\n".to_owned();
        for (number, name) in names.iter().enumerate().rev() {
            let permission = if number < holding { "demo.operations.cancel" } else { "demo.operations.get" };
            files.push((
                format!("roles/r{number}.yaml"),
                format!("name: {name}\nincludedPermissions: [{permission}]\n"),
            ));
            if number < bound {
                policy.push_str(&format!("- {{role: {name}, members: ['user:ana@example.com']}}\n"));
            }
        }
        files.push(("allow/projects/demo.yaml".to_owned(), policy));
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let (policy, report) = load(&files);
        assert_eq!(report, "");
        assert!(may(&policy, "ana@example.com", "cancel", OPERATION), "{bound} {holding}");
        assert_eq!(may(&policy, "ana@example.com", "get", OPERATION), bound > holding, "{bound} {holding}");
    }
}

#[test]
fn files_that_do_not_belong_into_the_tree_are_reported() {
    let (_, report) = load_directory(&[
        ("README.md", ""),
        (".git/config", ""),
        ("services/demo.yaml", "not ours to read"),
        ("tests/cancel.yaml", "not ours to read"),
        ("alow/projects/demo.yaml", ""),
        ("hierarchy.json", "{}"),
        ("notes.txt", ""),
        ("roles/viewer.yml", ""),
        ("roles/deep/er/viewer.yaml~", ""),
        ("allow/projects/.demo.yaml.swp", ""),
        ("allow/projects/demo.yaml", "bindings: []\n"),
        ("allow/projects/demo.json", "{}"),
        ("allow/projects/demo/locations.yaml", "bindings: []\n"),
        ("allow/projects.yaml", "bindings: []\n"),
        ("allow/projects/empty.yaml", ""),
    ]);
    insta::assert_snapshot!(report);
}

/// A revocation that was written with an editor had to wait until the editor's backup was removed.
#[test]
fn files_of_an_editor_hold_no_policy_back() {
    let left =
        ["demo.yaml~", "#demo.yaml#", "demo.yaml.bak", "demo.yaml.orig", "demo.yaml.swp", "~", "4913.tmp"];
    for name in left {
        let file = format!("allow/projects/{name}");
        let (_, report) = load_directory(&[
            ("allow/projects/demo.yaml", "bindings: []\n"),
            (&file, "nothing of a policy: ["),
        ]);
        let is_whole = name == "~";
        assert_eq!(report.starts_with("error"), is_whole, "{name}: {report}");
        assert_eq!(report.contains("is passed over"), !is_whole, "{name}: {report}");
    }
}

#[test]
fn one_mistake_anywhere_and_nothing_is_granted() {
    let (policy, report) = load(&[
        CANCELLER,
        ("allow/projects/demo.yaml", &grants("roles/canceller", "user:ana@example.com")),
        ("allow/projects/other.yaml", &grants("roles/canceller", "usr:ana@example.com")),
    ]);
    insta::assert_snapshot!(report);
    assert!(!may(&policy, "ana@example.com", "cancel", OPERATION));
}

/// The export of a project binds roles that are fetched later.
#[test]
fn a_bound_role_that_is_not_defined_grants_nothing_and_takes_nothing_from_other_bindings() {
    let (policy, report) = load(&[
        CANCELLER,
        (
            "allow/projects/demo.yaml",
            "bindings:\n- role: roles/editor\n  members: ['user:ana@example.com', 'user:bob@example.com']\n\
             - role: roles/canceller\n  members: ['user:ana@example.com']\n",
        ),
    ]);
    assert!(report.starts_with("warning: the bound role `roles/editor` is not defined"), "{report}");
    assert!(may(&policy, "ana@example.com", "cancel", OPERATION));
    assert!(!may(&policy, "bob@example.com", "cancel", OPERATION));
    let bob = Principal::from_email("bob@example.com").unwrap();
    let subject = Subject::of(&bob);
    let refusal = decide(&policy, subject, "demo.operations.cancel", OPERATION).unwrap_err();
    let detail = refusal.detail(subject, "demo.operations.cancel", ResourceName::new(OPERATION));
    assert!(detail.contains("one role, which is bound but not defined here: `roles/editor`"), "{detail}");
}

#[test]
fn a_tree_without_policies_denies() {
    let policy = loaded(&[]);
    assert!(!may(&policy, "ana@example.com", "get", OPERATION));
    assert_eq!(policy.counts(), PolicyCounts { roles: 2, ..PolicyCounts::default() });
}

#[test]
fn a_refusal_tells_what_came_near() {
    let policy = loaded(&[
        ("groups.yaml", "oncall@example.com: [user:ana@example.com]\n"),
        ("allow/projects/demo.yaml", &grants("roles/viewer", "user:ana@example.com")),
        ("allow/projects/demo/locations/eu.yaml", &grants("roles/viewer", "group:oncall@example.com")),
    ]);
    let detail = |who: Option<&str>, resource: &str| {
        let principal = who.map(|who| Principal::from_email(who).unwrap());
        let subject = principal.as_ref().map_or(Subject::anonymous(), Subject::of);
        let permission = "demo.operations.cancel";
        let refusal = decide(&policy, subject, permission, resource).unwrap_err();
        refusal
            .detail(subject, permission, ResourceName::new(resource))
            .replace("(policies/allow/", "(allow/")
    };
    insta::assert_snapshot!(
        [
            detail(Some("ana@example.com"), OPERATION),
            detail(Some("ana@example.com"), "projects/demo"),
            detail(Some("bob@example.com"), OPERATION),
            detail(None, ""),
        ]
        .join("\n")
    );
}

#[test]
fn the_shipped_tree_says_what_its_comments_say() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let mut report = Report::new();
    let files = PolicySource::directory(&directory).read(&mut report).unwrap();
    let policy = Policy::load(files, &[], &mut report);
    assert!(report.diagnostics().is_empty(), "{}", report.render(false));
    assert_eq!(policy.counts().bindings, 4);

    let demo = "projects/demo/locations/us-central1/operations/o1";
    let region = "projects/demo/regions/us-central1/operations";
    let other = "projects/other/locations/us-central1/operations/o1";
    let ci = "ci@demo.iam.gserviceaccount.com";
    for (who, permission, resource, expected) in [
        ("ana@example.com", "cloudaicompanion.operations.cancel", demo, true),
        ("ana@example.com", "cloudtranslate.operations.cancel", demo, false),
        ("ana@example.com", "cloudaicompanion.operations.delete", demo, false),
        ("ana@example.com", "cloudaicompanion.operations.cancel", other, false),
        ("lea@example.com", "dataproc.operations.cancel", demo, true),
        ("bob@example.com", "cloudaicompanion.operations.get", demo, true),
        ("bob@example.com", "dataproc.operations.list", region, true),
        ("bob@example.com", "cloudaicompanion.operations.cancel", demo, false),
        ("max@example.com", "cloudaicompanion.operations.get", demo, false),
        ("erin@example.com", "cloudaicompanion.operations.cancel", other, true),
        ("erin@example.com", "cloudaicompanion.operations.cancel", demo, false),
        (ci, "cloudtranslate.operations.wait", demo, true),
        (ci, "dataproc.operations.delete", demo, true),
        (ci, "dataproc.operations.delete", other, false),
    ] {
        let principal = Principal::from_email(who).unwrap();
        let decided = decide(&policy, Subject::of(&principal), permission, resource);
        assert_eq!(decided.is_ok(), expected, "{who} {permission} {resource}");
    }
}
