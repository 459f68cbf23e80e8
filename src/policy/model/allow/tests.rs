use super::*;
use crate::document;
use crate::policy::model::groups::Groups;
use crate::policy::model::role::Roles;
use crate::policy::model::tags::Tags;
use crate::policy::pools::Pools;

const ROLES: &str = "\
name: roles/viewer
---
name: roles/old
stage: DISABLED
---
name: roles/gone
deleted: true
---
name: projects/demo/roles/local
---
name: organizations/7/roles/canceller
";

fn read(resource: &str, text: &str) -> (Option<AllowPolicy>, Report) {
    let mut report = Report::new();
    let mut roles = Roles::default();
    for text in ROLES.split("---\n") {
        let node = document::parse(&Source::new("roles/role.yaml", text), &mut report).unwrap();
        roles.add(role::Role::read(&node, &[], &mut report).unwrap(), &mut report);
    }
    let source = Source::new(
        "hierarchy.yaml",
        "projects/demo: {parent: folders/42, projectNumber: 77}\nfolders/42: organizations/7\n",
    );
    let hierarchy = Hierarchy::read(&document::parse(&source, &mut report).unwrap(), &mut report);
    let source = Source::new("groups.yaml", "oncall@example.com: [user:ana@example.com]\n");
    let groups = Groups::read(&document::parse(&source, &mut report).unwrap(), &mut report);
    assert!(report.diagnostics().is_empty(), "{}", report.render(false));
    let context = Context {
        roles: &roles,
        hierarchy: &hierarchy,
        groups: &groups,
        tags: &Tags::default(),
        pools: &Pools::default(),
    };
    let node = document::parse(&Source::new("allow/policy.yaml", text), &mut report).unwrap();
    let policy = AllowPolicy::read(resource, &node, context, &mut report);
    (policy, report)
}

#[test]
fn a_policy_is_read_as_gcloud_prints_it() {
    let (policy, report) = read(
        "projects/demo",
        "auditConfigs:\n- auditLogConfigs:\n  - logType: DATA_READ\n    exemptedMembers: [user:x@example.com]\n    ignoreChildExemptions: true\n  service: allServices\n\
         bindings:\n- members:\n  - user:ana@example.com\n  - group:oncall@example.com\n  role: roles/viewer\n\
         - members: [allUsers]\n  role: organizations/7/roles/canceller\netag: BwYz1234567=\nversion: 3\n",
    );
    assert!(report.diagnostics().is_empty(), "{}", report.render(false));
    let policy = policy.unwrap();
    let bindings: Vec<_> = policy
        .bindings
        .iter()
        .map(|binding| (binding.role.value.as_str(), binding.members.len(), binding.line))
        .collect();
    assert_eq!(bindings, [("roles/viewer", 2, 8), ("organizations/7/roles/canceller", 1, 12)]);
}

#[test]
fn every_mistake_is_reported() {
    let (_, report) = read(
        "projects/demo",
        "version: 2\netags: x\nbindings:\n- role: roles/viewr\n  members: [ana@example.com]\n- members: []\n  role: viewer\n\
         - role: roles/nothing.like.it\n  members: user:ana@example.com\n- member: allUsers\n\
         auditConfigs:\n- service: allServices\n  auditLogConfigs: [{logType: EVERYTHING}, {log: 1}]\n",
    );
    insta::assert_snapshot!(report.render(false));
}

/// Case 34: what `gcloud storage buckets get-iam-policy` prints.
#[test]
fn the_policy_of_a_bucket_is_read_as_cloud_storage_prints_it() {
    let (policy, report) = read(
        "projects/_/buckets/b",
        "kind: storage#policy\nresourceId: projects/_/buckets/b\nversion: 1\netag: CAE=\nbindings:\n\
         - bindingId: x\n  role: roles/viewer\n  members: ['projectEditor:demo', 'projectOwner:demo', 'user:ana@example.com']\n",
    );
    assert!(!report.is_fatal() && report.diagnostics().len() == 1, "{}", report.render(false));
    assert_eq!(policy.unwrap().bindings.len(), 1);
    let (_, report) = read("projects/demo", "kind: DenyPolicy\nbindings: []\n");
    assert!(report.render(false).contains("stands below `deny/`"), "{}", report.render(false));
}

/// Cloud Asset Inventory prints a policy with its resource around it.
#[test]
fn one_result_of_the_asset_inventory_is_read_where_it_is_about_the_resource() {
    let bindings = "{\"bindings\": [{\"role\": \"roles/viewer\", \"members\": [\"user:ana@example.com\"]}]}";
    let name = "//cloudresourcemanager.googleapis.com/projects";
    for text in [
        format!(
            "{{\"name\": \"{name}/demo\", \"asset_type\": \"x\", \"iam_policy\": {bindings}, \"ancestors\": []}}"
        ),
        format!("[{{\"name\": \"{name}/demo\", \"iamPolicy\": {bindings}}}]"),
        format!("{{\"resource\": \"{name}/demo\", \"project\": \"projects/77\", \"policy\": {bindings}}}"),
        format!("{{\"name\": \"{name}/77\", \"iam_policy\": {bindings}}}"),
    ] {
        let (policy, report) = read("projects/demo", &text);
        assert!(report.diagnostics().is_empty(), "{text}: {}", report.render(false));
        assert_eq!(policy.unwrap().bindings.len(), 1, "{text}");
    }
    let told: String = [
        ("projects/demo", format!("{{\"name\": \"{name}/other\", \"iam_policy\": {bindings}}}")),
        ("projects/demo", format!("{{\"name\": \"{name}/78\", \"iam_policy\": {bindings}}}")),
        ("projects/demo", format!("[{{\"name\": \"{name}/demo\", \"iam_policy\": {bindings}}}, {{}}]")),
        ("projects/demo", "[{}, {}]".to_owned()),
    ]
    .iter()
    .map(|(resource, text)| {
        let (policy, report) = read(resource, text);
        assert!(policy.is_none());
        report.render(false)
    })
    .collect();
    insta::assert_snapshot!(told);
}

/// Every bucket has some of them.
#[test]
fn members_that_no_caller_can_be_are_one_warning_for_each_kind() {
    let (policy, report) = read(
        "projects/demo",
        "bindings:\n- role: roles/viewer\n  members:\n  - user:ana@example.com\n  - projectOwner:demo\n  \
         - projectEditor:demo\n  - projectViewer:demo\n\
         - role: roles/viewer\n  members: ['principalSet://cloudresourcemanager.googleapis.com/projects/1/type/ServiceAgent']\n",
    );
    assert_eq!(policy.unwrap().bindings.len(), 2);
    insta::assert_snapshot!(report.render(false));
}

#[test]
fn a_condition_that_cannot_be_used_is_refused() {
    let binding = |version: &str, role: &str, member: &str, condition: &str| {
        let text = format!(
            "{version}bindings:\n- role: {role}\n  members: ['{member}']\n  condition:{condition}\n",
        );
        let (_, report) = read("projects/demo", &text);
        assert!(report.is_fatal(), "{text}");
        report.render(false)
    };
    let (three, viewer, ana) = ("version: 3\n", "organizations/7/roles/canceller", "user:ana@example.com");
    let always = " {expression: 'true'}";
    insta::assert_snapshot!(
        [
            binding(three, viewer, ana, ""),
            binding(three, viewer, ana, " {title: office}"),
            binding(three, viewer, ana, " {expression: 'resource.nam == 1', location: 3, extra: x}"),
            binding("", viewer, ana, always),
            binding("version: 1\n", viewer, ana, always),
            binding(three, "roles/viewer", ana, always),
            binding(three, viewer, "allUsers", always),
            binding(three, viewer, "allAuthenticatedUsers", always),
            binding(
                three,
                viewer,
                ana,
                "\n    expression: \"!true || !true || !true || !true || !true || !true || !true\""
            ),
        ]
        .join("\n")
    );
}

#[test]
fn custom_roles_are_bound_where_they_belong() {
    for (resource, role) in [
        ("projects/demo", "projects/demo/roles/local"),
        ("projects/demo/locations/eu", "projects/demo/roles/local"),
        ("projects/demo/locations/eu", "organizations/7/roles/canceller"),
        ("folders/42", "organizations/7/roles/canceller"),
        ("organizations/7", "organizations/7/roles/canceller"),
    ] {
        let (_, report) = read(resource, &format!("bindings: [{{role: {role}, members: [allUsers]}}]\n"));
        assert!(!report.is_fatal(), "{resource} {role}: {}", report.render(false));
    }
    let mut text = String::new();
    for (resource, role) in [
        ("projects/demo2", "projects/demo/roles/local"),
        ("folders/42", "projects/demo/roles/local"),
        ("projects/stray", "organizations/7/roles/canceller"),
        ("organizations/70", "organizations/7/roles/canceller"),
    ] {
        let (policy, report) =
            read(resource, &format!("bindings: [{{role: {role}, members: [allUsers]}}]\n"));
        assert!(policy.unwrap().bindings.is_empty());
        text.push_str(&report.render(false));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn bindings_without_effect_are_reported() {
    let (_, report) = read(
        "folders/43",
        "bindings:\n- role: roles/old\n  members: [group:empty@example.com]\n- role: roles/gone\n\
         \x20 members: [group:Empty@example.com, user:ci@demo.iam.gserviceaccount.com]\n",
    );
    let (_, misspelt) = read("project/demo", "bindings: []\n");
    assert!(!report.is_fatal() && !misspelt.is_fatal());
    insta::assert_snapshot!(format!("{}{}", report.render(false), misspelt.render(false)));
}

#[test]
fn lines_are_counted_in_any_order() {
    let source = Source::new("x", "a\nb\nc\n");
    let mut lines = LineCounter::new(&source);
    assert_eq!([4, 0, 2, 5].map(|offset| lines.line(offset)), [3, 1, 2, 3]);
}

/// A bucket's policy in the file of another bucket would grant there.
#[test]
fn a_policy_that_names_another_resource_than_its_file_is_an_error() {
    let text = |id: &str| format!("resourceId: {id}\nbindings: []\n");
    for (resource, id) in [
        ("projects/_/buckets/b", "projects/_/buckets/b"),
        ("projects/_/buckets/b/managedFolders/x", "projects/_/buckets/b/managedFolders/x/"),
        ("projects/demo/buckets/b", "projects/_/buckets/b"),
        ("projects/demo/buckets/b", "projects/77/buckets/b"),
    ] {
        let (_, report) = read(resource, &text(id));
        assert!(report.diagnostics().is_empty(), "{id}: {}", report.render(false));
    }
    for (resource, id) in [
        ("projects/_/buckets/c", "projects/_/buckets/b"),
        ("projects/_/buckets/b", "projects/_/buckets/b/objects/o"),
        ("projects/demo", "projects/_/buckets/b"),
    ] {
        let (_, report) = read(resource, &text(id));
        let told = report.render(false);
        let message = format!("this is the policy of `{id}`, and the file is about `{resource}`");
        assert!(report.is_fatal() && told.contains(&message), "{told}");
        assert!(told.contains(&format!("move the file: `allow/{id}.json`")), "{told}");
    }
}

/// JSON writes `null` for what is not there; a key with nothing behind it may be a condition that was forgotten.
#[test]
fn a_condition_that_is_null_is_none_and_an_empty_one_an_error() {
    for text in [
        "{\"bindings\": [{\"role\": \"roles/viewer\", \"members\": [\"user:ana@example.com\"], \"condition\": null}]}",
        "bindings:\n- condition: null\n  role: roles/viewer\n  members: ['user:ana@example.com']\n",
        "bindings:\n- members: ['user:ana@example.com']\n  role: roles/viewer\n  condition: null # none\n",
    ] {
        let (policy, report) = read("projects/demo", text);
        assert!(report.diagnostics().is_empty(), "{text}: {}", report.render(false));
        let policy = policy.unwrap();
        assert_eq!(policy.bindings.len(), 1, "{text}");
        assert!(policy.bindings.iter().all(|binding| binding.condition.is_none()), "{text}");
    }
    for text in [
        "bindings:\n- members: ['user:ana@example.com']\n  role: roles/viewer\n  condition:\n",
        "bindings:\n- condition:\n  members: ['user:ana@example.com']\n  role: roles/viewer\n",
    ] {
        let (policy, report) = read("projects/demo", text);
        assert!(
            report.render(false).contains("the condition of this binding is empty"),
            "{}",
            report.render(false)
        );
        assert!(policy.unwrap().bindings.is_empty());
    }
}
