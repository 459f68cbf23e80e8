//! What a deny rule, a boundary or a binding reaches: a rule that matches no caller is always reported, and a project
//! is one project by its id and by its number.

use super::*;

const POOL: &str = "iam.googleapis.com/locations/global/workforcePools/staff";
const MESH: &str = "iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/mesh";
const BY_NUMBER: &str = "projects/123456/locations/eu/operations/o";

fn denies(principal: &str, more: &str) -> String {
    format!(
        "rules:\n- denyRule:\n    deniedPrincipals: ['{principal}']\n    \
         deniedPermissions: ['demo.googleapis.com/operations.cancel']\n{more}"
    )
}

fn pools() -> Pools {
    let mut pools = Pools::configured();
    pools.add(POOL, [&crate::authn::MappedAttribute::Custom("team".to_owned())]);
    pools.add(MESH, []);
    pools
}

/// Loads the two roles and these files for a gate with [`pools`].
fn load_known(files: &[(&str, &str)]) -> (Policy, String) {
    let files = PolicyFiles::in_memory("policies", [&[VIEWER, CANCELLER], files].concat());
    let mut report = Report::new();
    let policy = Policy::load_among(&pools(), &files, &[], &mut report);
    (policy, report.render(false))
}

#[test]
fn a_deny_rule_that_matches_no_caller_is_an_error() {
    let mut told = String::new();
    for principal in [
        format!("principalSet://{POOL}/attribute.team"),
        format!("principalSet://{POOL}/attribute.team/*"),
        format!("principalSet://{POOL}/group/*"),
        format!("principal://{POOL}/subject/*"),
        "principalSet://iam.googleapis.com/*".to_owned(),
        "principal://goog/subject/*@example.com".to_owned(),
        "principal://goog/subject/an%61@example.com".to_owned(),
    ] {
        let deny = denies(&principal, "");
        let (_, report) = load(&[VIEWER, ("deny/projects/demo/d.yaml", &deny)]);
        assert!(report.starts_with("error: "), "{principal}: {report}");
        told.push_str(&report);
    }
    insta::assert_snapshot!(told);
}

#[test]
fn a_deny_rule_that_matches_no_caller_of_the_configuration_is_an_error() {
    let mut told = String::new();
    for principal in [
        format!("principalSet://{}s/*", POOL),
        format!("principalSet://{POOL}/group/oncall"),
        format!("principalSet://{POOL}/attribute.tema/x"),
        format!("principal://{}/subject/x", MESH.replace("/1/", "/demo/")),
    ] {
        let deny = denies(&principal, "");
        let (_, report) = load_known(&[("deny/projects/demo/d.yaml", &deny)]);
        assert!(report.starts_with("error: "), "{principal}: {report}");
        // A tree without a configuration names pools of which nothing is known.
        assert_eq!(load(&[VIEWER, ("deny/projects/demo/d.yaml", &deny)]).1, "");
        told.push_str(&report);
    }
    insta::assert_snapshot!(told);
}

#[test]
fn an_exception_that_matches_no_caller_is_a_warning_since_it_denies_more() {
    let more =
        format!("    exceptionPrincipals: ['principalSet://{POOL}/group/*', 'principalSet://{POOL}s/*']\n");
    let deny = denies("principalSet://goog/public:all", &more);
    let grant = grants("roles/canceller", "user:ana@example.com");
    let (policy, report) =
        load_known(&[("deny/projects/demo/d.yaml", &deny), ("allow/projects/demo.yaml", &grant)]);
    insta::assert_snapshot!(report);
    assert_eq!(policy.counts().deny_rules, 1);
    assert!(!may(&policy, "ana@example.com", "cancel", OPERATION));
}

#[test]
fn a_binding_that_matches_no_caller_is_a_warning_and_a_token_with_a_star_gets_nothing() {
    for member in [
        format!("principal://{POOL}/subject/*"),
        format!("principalSet://{POOL}/group/*"),
        format!("principalSet://{POOL}/attribute.team/*"),
        "user:*@example.com".to_owned(),
    ] {
        let grant = grants("roles/canceller", &member);
        let (policy, report) = load(&[CANCELLER, ("allow/projects/demo.yaml", &grant)]);
        assert!(report.starts_with("warning: ") && report.contains("matches no caller"), "{report}");
        let star = Principal::subject(POOL, "*");
        let sets = [member.as_str().into()];
        let permission = "demo.operations.cancel";
        assert!(decide(&policy, Subject::of(&star).with_sets(&sets), permission, OPERATION).is_err());
        assert!(!may(&policy, "*@example.com", "cancel", OPERATION), "{member}");
    }
}

#[test]
fn a_denied_group_with_a_member_that_no_caller_can_be_is_an_error() {
    let deny = denies("principalSet://goog/group/out@example.com", "");
    let groups = format!("out@example.com: ['principal://{POOL}/subject/*']\n");
    let (_, report) = load(&[VIEWER, ("groups.yaml", &groups), ("deny/projects/demo/d.yaml", &deny)]);
    insta::assert_snapshot!(report);
}

#[test]
fn a_deny_policy_on_a_name_of_nothing_is_an_error_and_an_allow_policy_a_warning() {
    let mut told = String::new();
    for name in ["projects/*", "projects/de%6do", "projects/DEMO", "projects/demo "] {
        let deny = denies("principalSet://goog/public:all", "");
        let grant = grants("roles/viewer", "user:ana@example.com");
        let denied = load(&[VIEWER, (&format!("deny/{name}/d.yaml"), &deny)]).1;
        let allowed = load(&[VIEWER, (&format!("allow/{name}.yaml"), &grant)]).1;
        assert!(denied.starts_with("error: ") && allowed.starts_with("warning: "), "{denied}{allowed}");
        told.push_str(&denied);
        told.push_str(&allowed);
    }
    insta::assert_snapshot!(told);
}

fn boundary(resource: &str, set: &str) -> [(&'static str, String); 2] {
    let place = "organizations/7/locations/global";
    let policy = format!("{place}/principalAccessBoundaryPolicies/p");
    let resource = format!("//cloudresourcemanager.googleapis.com/{resource}");
    [
        (
            "boundaries/p.yaml",
            format!("name: {policy}\ndetails: {{rules: [{{resources: ['{resource}'], effect: ALLOW}}]}}\n"),
        ),
        (
            "boundaries/b.yaml",
            format!("name: {place}/policyBindings/b\npolicy: {policy}\ntarget: {{principalSet: '{set}'}}\n"),
        ),
    ]
}

#[test]
fn a_boundary_that_matches_no_caller_or_no_resource_is_an_error() {
    let misspelt = format!("//{POOL}s");
    let by_id = format!("//{}", MESH.replace("/1/", "/demo/"));
    let mut told = String::new();
    for (resource, set) in [
        ("projects/demo", misspelt.as_str()),
        ("projects/demo", &by_id),
        ("projects/demo", "//cloudresourcemanager.googleapis.com/projects/DEMO"),
        ("projects/*", "//cloudresourcemanager.googleapis.com/projects/demo"),
    ] {
        let files = boundary(resource, set);
        let files: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let (_, report) = load_known(&files);
        assert!(report.starts_with("error: "), "{report}");
        told.push_str(&report);
    }
    insta::assert_snapshot!(told);
}

const HIERARCHY: (&str, &str) = (
    "hierarchy.yaml",
    "projects/demo: {parent: folders/42, projectNumber: '123456'}\nfolders/42: organizations/7\n",
);

#[test]
fn a_deny_policy_on_one_name_of_a_project_reaches_the_other() {
    let grant = grants("roles/canceller", "user:ana@example.com");
    let deny = denies("principal://goog/subject/ana@example.com", "");
    for denied in ["projects/demo", "projects/123456", "projects/123456/locations/eu", "folders/42"] {
        let path = format!("deny/{denied}/d.yaml");
        let files =
            [HIERARCHY, ("allow/organizations/7.yaml", grant.as_str()), (path.as_str(), deny.as_str())];
        let policy = loaded(&files);
        assert!(!may(&policy, "ana@example.com", "cancel", OPERATION), "{denied}");
        assert!(!may(&policy, "ana@example.com", "cancel", BY_NUMBER), "{denied}");
        assert!(may(&policy, "ana@example.com", "get", BY_NUMBER), "{denied}");
    }
}

#[test]
fn a_condition_of_a_deny_rule_on_one_name_is_not_dodged_by_the_other() {
    let grant = grants("roles/canceller", "user:ana@example.com");
    let more = "    denialCondition: {expression: \"resource.name.startsWith('projects/demo/')\"}\n";
    let deny = denies("principalSet://goog/public:all", more);
    let policy =
        loaded(&[HIERARCHY, ("allow/projects/demo.yaml", &grant), ("deny/organizations/7/d.yaml", &deny)]);
    assert!(!may(&policy, "ana@example.com", "cancel", OPERATION));
    assert!(!may(&policy, "ana@example.com", "cancel", BY_NUMBER));
}

#[test]
fn a_binding_and_a_boundary_on_one_name_hold_for_the_other() {
    let grant = grants("roles/canceller", "serviceAccount:ci@demo.iam.gserviceaccount.com");
    let ci = "ci@demo.iam.gserviceaccount.com";
    for (allow, bound, within) in [
        ("projects/demo", "projects/123456", true),
        ("projects/123456", "projects/demo", true),
        ("projects/123456", "projects/99", false),
    ] {
        // The account is of projects/demo, and the set is of its number.
        let boundary = boundary(bound, "//cloudresourcemanager.googleapis.com/projects/123456");
        let path = format!("allow/{allow}.yaml");
        let mut files = vec![HIERARCHY, (path.as_str(), grant.as_str())];
        files.extend(boundary.iter().map(|(path, text)| (*path, text.as_str())));
        let policy = loaded(&files);
        for resource in [OPERATION, BY_NUMBER] {
            assert_eq!(may(&policy, ci, "cancel", resource), within, "{allow} {bound} {resource}");
        }
    }
}

#[test]
fn an_explanation_tells_of_both_names() {
    let deny = denies("principalSet://goog/public:all", "");
    let policy = loaded(&[HIERARCHY, ("deny/projects/demo/d.yaml", &deny)]);
    let ana = Principal::from_email("ana@example.com").unwrap();
    let attributes = Attributes::at(SystemTime::UNIX_EPOCH);
    let resource = ResourceName::new("projects/123456/locations/eu");
    let told = policy.explain(
        Subject::of(&ana),
        "demo.operations.cancel",
        resource,
        &attributes,
        crate::policy::explain::Extent::All,
    );
    assert_eq!(
        told.chain.iter().map(|name| &**name).collect::<Vec<_>>(),
        ["projects/123456/locations/eu", "projects/123456", "projects/demo", "folders/42", "organizations/7"]
    );
    assert!(told.denying().any(|(resource, _)| &**resource == "projects/demo"));
}

#[test]
fn a_number_that_is_not_one_projects_is_an_error() {
    let hierarchy = "projects/a: {projectNumber: 5}\nprojects/b: {parent: folders/1, projectNumber: '5'}\n\
         projects/6: {projectNumber: 6}\nprojects/c: {projectNumber: demo}\nfolders/2: {projectNumber: 7}\n\
         projects/d: {parent: folders/1, projectNumber: 8}\nprojects/8: folders/2\nprojects/E: folders/1\n\
         projects/f: {parnt: folders/1}\nprojects/g: {projectNumber: '007'}\n";
    insta::assert_snapshot!(load(&[("hierarchy.yaml", hierarchy)]).1);
}
