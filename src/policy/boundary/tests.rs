use super::super::tests::{CANCELLER, OPERATION, decide, grants, load};
use crate::policy::{Policy, Refusal, Subject};
use crate::principal::Principal;

const HIERARCHY: (&str, &str) = (
    "hierarchy.yaml",
    "projects/demo: folders/42\nfolders/42: organizations/7\nprojects/lab: organizations/7\n",
);

/// As `gcloud iam principal-access-boundary-policies describe` prints it.
const POLICY: &str = "\
createTime: '2026-01-05T08:00:00.000000Z'
details:
  enforcementVersion: '3'
  rules:
  - description: what is ours
    effect: ALLOW
    resources:
    - //cloudresourcemanager.googleapis.com/folders/42
displayName: Ours
etag: W/\"x\"
name: organizations/7/locations/global/principalAccessBoundaryPolicies/ours
uid: puid_1
updateTime: '2026-01-05T08:00:00.000000Z'
";

/// As `gcloud iam policy-bindings describe` prints it.
fn binding(set: &str, condition: &str) -> String {
    format!(
        "\
createTime: '2026-01-05T08:00:00.000000Z'
displayName: Everybody
etag: W/\"x\"
name: organizations/7/locations/global/policyBindings/all
policy: organizations/7/locations/global/principalAccessBoundaryPolicies/ours
policyKind: PRINCIPAL_ACCESS_BOUNDARY
policyUid: puid_1
target:
  principalSet: {set}
uid: buid_1
updateTime: '2026-01-05T08:00:00.000000Z'
{condition}"
    )
}

/// A tree in which everybody may cancel everywhere, as far as allow policies go.
fn tree(binding: &str) -> (Policy, String) {
    let anywhere = grants("roles/canceller", "allUsers");
    load(&[
        CANCELLER,
        HIERARCHY,
        ("allow/organizations/7.yaml", &anywhere),
        ("allow/projects/stray.yaml", &anywhere),
        ("boundaries/ours.yaml", POLICY),
        ("boundaries/ours/all.yaml", binding),
    ])
}

fn decided(policy: &Policy, who: &Principal, resource: &str) -> Result<(), String> {
    let subject = Subject::of(who);
    decide(policy, subject, "demo.operations.cancel", resource).map(|_| ()).map_err(|refusal| {
        assert!(matches!(refusal, Refusal::OutOfBounds(_)), "{refusal:?}");
        let detail = refusal.detail(subject, "demo.operations.cancel", super::ResourceName::new(resource));
        detail.replace("(policies/boundaries/", "(boundaries/")
    })
}

const POOL: &str = "iam.googleapis.com/locations/global/workforcePools/staff";
const WORKLOADS: &str = "iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/ci";
const OUTSIDE: &str = "projects/lab/locations/eu/operations/o";

#[test]
fn a_resource_outside_is_out_of_reach_whatever_is_granted() {
    let (policy, report) = tree(&binding(&format!("//{POOL}"), ""));
    assert_eq!(report, "");
    let ana = Principal::subject(POOL, "ana");
    assert_eq!(decided(&policy, &ana, OPERATION), Ok(()));
    insta::assert_snapshot!(decided(&policy, &ana, OUTSIDE).unwrap_err());
    // A principal outside the set is not bound, and neither is an anonymous caller.
    assert_eq!(decided(&policy, &Principal::subject(&format!("{POOL}2"), "ana"), OUTSIDE), Ok(()));
    assert!(decide(&policy, Subject::anonymous(), "demo.operations.cancel", OUTSIDE).is_ok());
}

/// Which principals a set binds: `in`, `out`, or `may be`, as far as the files say.
#[test]
fn principal_sets_have_members() {
    let account = |email: &str| Principal::service_account(email).unwrap();
    let principals = [
        ("user", Principal::user("ana@example.com").unwrap()),
        ("workforce", Principal::subject(POOL, "ana")),
        ("workload of project 123", Principal::subject(WORKLOADS, "job")),
        ("account of lab", account("ci@lab.iam.gserviceaccount.com")),
        ("App Engine of lab", account("lab@appspot.gserviceaccount.com")),
        ("Compute Engine of 123", account("123-compute@developer.gserviceaccount.com")),
        ("service agent", account("service-123@gcp-sa-pubsub.iam.gserviceaccount.com")),
        ("of an unknown project", account("ci@elsewhere.iam.gserviceaccount.com")),
        ("of no known pool", Principal::subject("iam.googleapis.com/elsewhere", "x")),
    ];
    let root = "//cloudresourcemanager.googleapis.com";
    let mut table = String::new();
    for set in [
        format!("{root}/organizations/7"),
        format!("{root}/organizations/8"),
        format!("{root}/folders/42"),
        format!("{root}/projects/lab"),
        format!("{root}/projects/123"),
        format!("//{POOL}"),
        format!("//{WORKLOADS}"),
        "//iam.googleapis.com/locations/global/workspace/C01".to_owned(),
    ] {
        let (policy, report) = tree(&binding(&set, ""));
        assert_eq!(report, "", "{set}");
        table.push_str(&format!("{set}\n"));
        for (name, principal) in &principals {
            let state = match decided(&policy, principal, "projects/stray") {
                Ok(()) => "out".to_owned(),
                Err(detail) => match detail.split_once("they may be in ") {
                    None => "in".to_owned(),
                    Some((_, doubt)) => {
                        let (_, doubt) = doubt.split_once('(').unwrap();
                        format!("may be: {}", doubt.split_once("), which").unwrap().0)
                    }
                },
            };
            table.push_str(&format!("  {name:26} {state}\n"));
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_condition_that_has_no_value_binds() {
    let ana = Principal::user("ana@example.com").unwrap();
    let job = Principal::subject(POOL, "ana");
    for (condition, ana_bound, job_bound) in [
        ("principal.subject.endsWith('@example.com')", true, true),
        ("principal.subject == 'bob@example.com'", false, true),
        ("principal.type == 'iam.googleapis.com/WorkforcePoolIdentity'", false, true),
        ("principal.type in ['iam.googleapis.com/WorkspaceIdentity']", true, false),
    ] {
        let text = binding(
            "//cloudresourcemanager.googleapis.com/organizations/7",
            &format!("condition: {{expression: \"{condition}\"}}\n"),
        );
        let (policy, report) = tree(&text);
        assert_eq!(report, "");
        assert_eq!(decided(&policy, &ana, "projects/stray").is_err(), ana_bound, "{condition}");
        assert_eq!(decided(&policy, &job, "projects/stray").is_err(), job_bound, "{condition}");
    }
}

/// A token chooses its subject, and the bearer may have chosen it.
#[test]
fn a_subject_that_looks_like_a_pool_is_bound_like_any_other() {
    let root = "//cloudresourcemanager.googleapis.com";
    let of_workloads =
        "condition: {expression: \"principal.type == 'iam.googleapis.com/WorkloadPoolIdentity'\"}\n";
    let (by_home, _) = tree(&binding(&format!("{root}/projects/123"), ""));
    let (by_type, _) = tree(&binding(&format!("//{WORKLOADS}"), of_workloads));
    for subject in ["job", "x://iam.googleapis.com/locations/global/workforcePools/", "x/workforcePools/y"] {
        let job = Principal::subject(WORKLOADS, subject);
        assert!(decided(&by_home, &job, "projects/stray").is_err(), "{subject}");
        assert!(decided(&by_type, &job, "projects/stray").is_err(), "{subject}");
    }
}

#[test]
fn an_account_of_a_project_that_belongs_to_a_domain_is_of_that_project() {
    let (policy, _) = tree(&binding("//cloudresourcemanager.googleapis.com/projects/example.com:lab", ""));
    for email in ["ci@lab.example.com.iam.gserviceaccount.com", "lab.example.com@appspot.gserviceaccount.com"]
    {
        let account = Principal::service_account(email).unwrap();
        assert!(decided(&policy, &account, "projects/stray").is_err(), "{email}");
    }
}

/// Callers have the number of the pool's project in their names, and a set may have its id.
#[test]
fn a_pool_named_by_the_id_of_its_project_may_be_the_one_with_a_number() {
    let by_id = WORKLOADS.replace("123", "lab");
    let (policy, report) = tree(&binding(&format!("//{by_id}"), ""));
    assert_eq!(report, "");
    let detail = decided(&policy, &Principal::subject(WORKLOADS, "job"), "projects/stray").unwrap_err();
    assert!(detail.contains("whether `projects/123` is `projects/lab` is not known here"), "{detail}");
    assert!(
        decided(&policy, &Principal::subject(&WORKLOADS.replace("ci", "cd"), "x"), "projects/stray").is_ok()
    );
}

/// google/iam/v3/policy_binding_resources.proto, `PolicyBinding.condition`.
#[test]
fn principals_are_of_the_types_that_iam_names() {
    let principals = [
        ("WorkspaceIdentity", Principal::user("ana@example.com").unwrap()),
        ("ServiceAccount", Principal::service_account("ci@lab.iam.gserviceaccount.com").unwrap()),
        ("WorkforcePoolIdentity", Principal::subject(POOL, "ana")),
        ("WorkloadPoolIdentity", Principal::subject(WORKLOADS, "job")),
    ];
    for (name, _) in &principals {
        let condition =
            format!("condition: {{expression: \"principal.type == 'iam.googleapis.com/{name}'\"}}\n");
        let (policy, report) =
            tree(&binding("//cloudresourcemanager.googleapis.com/organizations/7", &condition));
        assert_eq!(report, "");
        for (of, principal) in &principals {
            assert_eq!(decided(&policy, principal, "projects/stray").is_err(), of == name, "{of} {name}");
        }
    }
}

#[test]
fn mistakes_are_reported_with_the_next_step() {
    let (policy, report) = load(&[
        CANCELLER,
        ("allow/projects/demo.yaml", &grants("roles/canceller", "allUsers")),
        ("boundaries/ours.yaml", POLICY),
        ("boundaries/again.yaml", POLICY),
        ("boundaries/unnamed.yaml", "details: {rules: [{resources: [], effect: ALLOW}]}\n"),
        (
            "boundaries/wrong.yaml",
            "\
name: organizations/7/locations/global/policyBindings/wrong
details:
  rules:
  - effect: DENY
    resources:
    - projects/demo
    - //cloudresourcemanager.googleapis.com/projects/demo/locations/eu
    - //cloudresourcemanager.googleapis.com/project/demo
",
        ),
        (
            "boundaries/b.yaml",
            "\
name: organizations/7/locations/global/policyBindings/b
policy: organizations/7/locations/global/principalAccessBoundaryPolicies/our
policyKind: PRINCIPAL_ACCESS_BOUNDARIES
target: {principalSet: '//iam.googleapis.com/locations/global/workforcePools/staff'}
condition: {expression: principal.typ == 'x' && resource.name == ''}
",
        ),
        (
            "boundaries/c.yaml",
            "\
name: organizations/7/locations/global/policyBindings/c
policy: organizations/7/locations/global/principalAccessBoundaryPolicies/their
target: {principalSet: 'principalSet://iam.googleapis.com/locations/global/workforcePools/staff/*'}
",
        ),
        (
            "boundaries/d.yaml",
            "\
name: organizations/7/locations/global/policyBindings/d
policy: organizations/7/locations/global/principalAccessBoundaryPolicies/their
target: {principalSet: '//cloudresourcemanager.googleapis.com/projects/demo'}
",
        ),
    ]);
    insta::assert_snapshot!(report);
    let refusal = decide(&policy, Subject::anonymous(), "demo.operations.cancel", OPERATION).unwrap_err();
    assert_eq!(refusal, Refusal::NoBinding);
}

#[test]
fn a_boundary_without_a_binding_is_reported() {
    let (_, report) = load(&[CANCELLER, ("boundaries/ours.yaml", POLICY)]);
    insta::assert_snapshot!(report);
}
