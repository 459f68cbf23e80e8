mod soundness;

use std::time::{Duration, SystemTime};

use super::super::{Policy, PolicyCounts};
use super::findings::MOST_OF_A_KIND;
use super::*;
use crate::catalog::{ExposureSettings, Forwarding};
use crate::diagnostic::{Severity, Source, Span};

/// A service with four methods of which three are exposed, and roles that fit them.
const FILES: [(&str, &str); 5] = [
    (
        "services/demo.yaml",
        "name: demo.example.com\n\
         http:\n  rules:\n\
         \x20 - selector: demo.Jobs.Get\n    get: /v1/{name=projects/*/jobs/*}\n\
         \x20 - selector: demo.Jobs.Cancel\n    post: /v1/{name=projects/*/jobs/*}:cancel\n    body: '*'\n\
         \x20 - selector: demo.Jobs.Delete\n    delete: /v1/{name=projects/*/jobs/*}\n\
         authentication:\n  rules:\n  - selector: '*'\n    oauth: {canonical_scopes: scope}\n",
    ),
    (
        "services/demo.iam.yaml",
        "service: demo.example.com\nrules:\n\
         - selector: demo.Jobs.Get\n  permission: demo.jobs.get\n\
         - selector: demo.Jobs.Cancel\n  permission: demo.jobs.cancel\n\
         - selector: demo.Jobs.Delete\n  permission: demo.jobs.delete\n",
    ),
    ("roles/reader.yaml", "name: roles/reader\nincludedPermissions: [demo.jobs.get]\n"),
    (
        "roles/admin.yaml",
        "name: roles/admin\nincludedPermissions: [demo.jobs.get, demo.jobs.cancel, demo.jobs.delete]\n",
    ),
    ("hierarchy.yaml", "projects/p: folders/1\nfolders/1: organizations/9\n"),
];

/// Each role is bound, so that only what a test adds is reported.
const ROOT: (&str, &str) = (
    "allow/organizations/9.yaml",
    "bindings:\n- {role: roles/reader, members: ['user:root@x.com']}\n- {role: roles/admin, members: ['user:root@x.com']}\n",
);

/// 2026-01-01T00:00:00Z
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

fn exposure() -> ExposureSettings {
    ExposureSettings {
        id: "demo".to_owned(),
        hosts: None,
        upstream: "demo".to_owned(),
        transcode: false,
        forwarding: Forwarding::default(),
        cors: None,
        protected_resource: None,
        grpc: crate::catalog::PassedRpcs::default(),
        limits: crate::catalog::ServiceLimits::default(),
        span: Span { source: Source::new("opgate.yaml", ""), range: 0..0 },
    }
}

fn report_of(files: &[(&str, &str)]) -> (Report, String) {
    let files = PolicyFiles::in_memory("policies", FILES.iter().chain(files).copied());
    let mut loading = Report::new();
    let catalog = Catalog::load(&files, &[exposure()], &mut loading);
    let policy = Policy::load(files.clone(), &[], &mut loading);
    assert!(!loading.is_fatal(), "{}", loading.render(false));
    assert_ne!(policy.counts(), PolicyCounts::default());
    let mut report = Report::new();
    lint(&files, &catalog.unwrap(), now(), &mut report);
    for diagnostic in report.diagnostics() {
        assert!(diagnostic.help.is_some() && diagnostic.span.is_some(), "{diagnostic:?}");
    }
    let text = report.render(false);
    (report, text)
}

/// The report on these files beside [`ROOT`].
fn told(files: &[(&str, &str)]) -> String {
    report_of(&[&[ROOT], files].concat()).1
}

#[test]
fn a_tree_that_means_what_it_says_is_passed_over_in_silence() {
    let text = told(&[
        (
            "groups.yaml",
            "ops@x.com: ['user:ana@x.com', 'group:leads@x.com']\nleads@x.com: ['user:lea@x.com']\n",
        ),
        ("tags.yaml", "projects/p: {9/env: prod}\n"),
        (
            "allow/projects/p.yaml",
            "version: 3\nbindings:\n- {role: roles/admin, members: ['group:ops@x.com', 'deleted:user:max@x.com?uid=1']}\n\
             - {role: roles/reader, members: [allAuthenticatedUsers]}\n\
             - {role: roles/admin, members: ['user:bob@x.com'], condition: {expression: \"resource.matchTag('9/env', 'prod') || \
             request.time < timestamp('2027-01-01T00:00:00Z')\"}}\n",
        ),
        (
            "deny/projects/p/freeze.yaml",
            "rules:\n- denyRule:\n    deniedPrincipals: ['principalSet://goog/group/ops@x.com']\n    exceptionPrincipals: \
             ['principal://goog/subject/lea@x.com']\n    deniedPermissions: ['demo.googleapis.com/jobs.*']\n    \
             exceptionPermissions: ['demo.googleapis.com/*.get']\n",
        ),
    ]);
    assert_eq!(text, "");
}

/// The iam rule of the one method says its type, those of the others do not.
#[test]
fn conditions_on_a_type_that_methods_do_not_say() {
    let typed = FILES[1].1.replace(
        "permission: demo.jobs.get\n",
        "permission: demo.jobs.get\n  resource_type: demo.example.com/Job\n",
    );
    let condition = "{expression: \"resource.type == 'demo.example.com/Job'\"}";
    let text = told(&[
        ("services/demo.iam.yaml", &typed),
        (
            "allow/projects/p.yaml",
            &format!(
                "version: 3\nbindings:\n- {{role: roles/reader, members: ['user:ana@x.com'], condition: {condition}}}\n\
                 - {{role: roles/admin, members: ['user:ana@x.com'], condition: {condition}}}\n"
            ),
        ),
        (
            "deny/projects/p/freeze.yaml",
            &format!(
                "rules:\n- denyRule:\n    deniedPrincipals: ['principalSet://goog/public:all']\n    \
                 deniedPermissions: ['demo.googleapis.com/jobs.delete']\n    denialCondition: {condition}\n"
            ),
        ),
    ]);
    insta::assert_snapshot!(text);
}

/// A policy that was exported by number is one of the project once the hierarchy knows both names.
#[test]
fn policies_on_a_number_whose_project_is_not_known() {
    let binding =
        ("allow/projects/77.yaml", "bindings:\n- {role: roles/reader, members: ['user:ana@x.com']}\n");
    let text = told(&[binding]);
    assert!(text.starts_with("note: `projects/77` names a project by its number"), "{text}");
    assert!(text.contains("`projects/ID: {projectNumber: 77}`"), "{text}");
    let known = "projects/p: {parent: folders/1, projectNumber: 77}\nfolders/1: organizations/9\n";
    assert_eq!(told(&[binding, ("hierarchy.yaml", known)]), "");
}

#[test]
fn a_binding_of_everybody_on_methods_that_ask_for_a_credential() {
    let open = FILES[0].1.replace("oauth: {canonical_scopes: scope}", "allow_without_credential: true");
    let binding = ("allow/projects/p.yaml", "bindings:\n- {role: roles/reader, members: [allUsers]}\n");
    insta::assert_snapshot!(told(&[binding]));
    assert_eq!(told(&[("services/demo.yaml", &open), binding]), "");
}

#[test]
fn methods_that_cannot_be_called() {
    let rule = "- selector: demo.Jobs.Delete\n  permission: demo.jobs.delete\n";
    let iam = FILES[1].1.replace(rule, "");
    let deleted = "bindings:\n- {role: roles/admin, members: ['deleted:user:max@x.com?uid=1']}\n";
    let reader = "name: roles/admin\nincludedPermissions: [demo.jobs.get]\n";
    insta::assert_snapshot!(
        [
            told(&[("services/demo.iam.yaml", &iam)]),
            report_of(&[("allow/projects/p.yaml", deleted)]).1,
            told(&[("roles/admin.yaml", reader)]),
        ]
        .join("--------\n\n")
    );
}

#[test]
fn roles_and_groups_that_do_nothing() {
    insta::assert_snapshot!(told(&[
        ("roles/spare.yaml", "name: roles/spare\nincludedPermissions: [demo.jobs.get]\n"),
        ("roles/other.yaml", "name: roles/other\nincludedPermissions: [other.jobs.get, other.jobs.list]\n"),
        ("roles/one.yaml", "name: roles/one\nincludedPermissions: [other.jobs.get]\n"),
        ("roles/none.yaml", "name: roles/none\n"),
        ("groups.yaml", "spare@x.com: ['user:a@x.com', 'group:in@x.com']\nin@x.com: ['user:b@x.com']\n"),
        (
            "allow/projects/p.yaml",
            "bindings:\n- {role: roles/other, members: ['user:a@x.com']}\n- {role: roles/one, members: ['user:a@x.com']}\n\
             - {role: roles/none, members: ['user:a@x.com']}\n",
        ),
    ]));
}

fn on_condition(expression: &str) -> String {
    format!(
        "- role: roles/admin\n  members: ['user:ana@x.com']\n  condition: {{expression: \"{expression}\"}}\n"
    )
}

#[test]
fn bindings_that_grant_nothing() {
    let expressions = [
        "request.path == '/' && 1 == 2",
        "request.time < timestamp('2025-06-01T00:00:00Z') && resource.name != ''",
        "[1][2] == 1",
        "1 == 1 || request.path == '/'",
        "resource.matchTag('9/evn', 'prod')",
        "resource.matchTag('9/env', 'prood')",
        "resource.hasTagKey('8/team') && request.path == '/'",
    ];
    let conditional: String = expressions.map(on_condition).concat();
    let text = format!(
        "version: 3\nbindings:\n- {{role: roles/reader, members: ['deleted:user:max@x.com?uid=1']}}\n\
         - {{role: roles/reader, members: ['group:empty@x.com', 'group:unknown@x.com', 'serviceAccount:ana@x.com']}}\n\
         {conditional}"
    );
    insta::assert_snapshot!(told(&[
        ("groups.yaml", "empty@x.com: ['group:emptier@x.com']\nemptier@x.com: []\n"),
        ("tags.yaml", "projects/p: {9/env: prod}\n"),
        ("allow/projects/p.yaml", &text),
    ]));
}

#[test]
fn members_that_hold_the_role_already() {
    insta::assert_snapshot!(told(&[
        (
            "groups.yaml",
            "ops@x.com: ['user:ana@x.com', 'group:leads@x.com']\nleads@x.com: ['user:lea@x.com']\n"
        ),
        (
            "allow/folders/1.yaml",
            "bindings:\n- {role: roles/reader, members: ['user:top@x.com']}\n- {role: roles/admin, members: ['user:top@x.com']}\n",
        ),
        (
            "allow/projects/p.yaml",
            "version: 3\nbindings:\n\
             - {role: roles/reader, members: ['user:a@x.com', 'user:A@x.com']}\n\
             - {role: roles/reader, members: ['user:a@x.com']}\n\
             - {role: roles/reader, members: ['user:top@x.com']}\n\
             - {role: roles/admin, members: ['group:ops@x.com', 'user:lea@x.com', 'group:leads@x.com']}\n\
             - {role: roles/admin, members: ['user:dan@y.com', 'domain:y.com', 'user:eve@z.com']}\n\
             - {role: roles/admin, members: ['user:dan@y.com', 'user:top@x.com', 'user:new@x.com'], condition: {expression: request.path == '/'}}\n",
        ),
        (
            "allow/projects/q.yaml",
            "bindings:\n- {role: roles/reader, members: ['user:a@x.com', allUsers, 'user:b@x.com', allAuthenticatedUsers]}\n",
        ),
        (
            "allow/projects/q/jobs/j.yaml",
            "version: 3\nbindings:\n- {role: roles/reader, members: ['user:a@x.com'], condition: {expression: request.path == '/'}}\n\
             - {role: roles/reader, members: ['group:ops@x.com']}\n",
        ),
    ]));
}

#[test]
fn more_conditions_than_iam_takes() {
    let with = |count: usize| {
        let bindings: String =
            (0..count).map(|number| on_condition(&format!("request.path == '/{number}'"))).collect();
        told(&[("allow/projects/p.yaml", &format!("version: 3\nbindings:\n{bindings}"))])
    };
    assert_eq!(with(20), "");
    insta::assert_snapshot!(with(22));
}

#[test]
fn grants_that_are_wider_than_needed() {
    let many: String = (0..400).map(|number| format!(", other.things{number}.get")).collect();
    let broad = format!("name: roles/broad\nincludedPermissions: [demo.jobs.get{many}]\n");
    insta::assert_snapshot!(told(&[
        ("roles/broad.yaml", &broad),
        (
            "roles/editor.yaml",
            "name: roles/editor\nincludedPermissions: [demo.jobs.get, demo.jobs.cancel, demo.jobs.delete, demo.jobs.create]\n",
        ),
        // Nothing narrower is defined.
        ("roles/viewer.yaml", "name: roles/viewer\nincludedPermissions: [demo.jobs.get]\n"),
        // Not to be bound outside of its project.
        ("roles/own.yaml", "name: projects/q/roles/own\nincludedPermissions: [demo.jobs.get]\n"),
        (
            "allow/projects/q.yaml",
            "bindings:\n- {role: projects/q/roles/own, members: ['user:a@x.com']}\n\
             - {role: roles/viewer, members: ['user:a@x.com']}\n- {role: roles/broad, members: ['user:a@x.com']}\n",
        ),
        (
            "allow/projects/p.yaml",
            "bindings:\n- {role: roles/editor, members: ['user:a@x.com']}\n- {role: roles/admin, members: [allUsers]}\n\
             - {role: roles/editor, members: [allAuthenticatedUsers]}\n",
        ),
    ]));
}

#[test]
fn deny_rules_that_deny_nothing() {
    let rule = |denied: &str, excepted: &str, permissions: &str, but: &str, condition: &str| {
        let mut text = format!("- denyRule:\n    deniedPrincipals: [{denied}]\n");
        for (field, list) in [
            ("exceptionPrincipals", excepted),
            ("deniedPermissions", permissions),
            ("exceptionPermissions", but),
        ] {
            if !list.is_empty() {
                text.push_str(&format!("    {field}: [{list}]\n"));
            }
        }
        if !condition.is_empty() {
            text.push_str(&format!("    denialCondition: {{expression: \"{condition}\"}}\n"));
        }
        text
    };
    let all = "'principalSet://goog/public:all'";
    let ana = "'principal://goog/subject/ana@x.com'";
    let bob = "'principal://goog/subject/bob@x.com'";
    let ops = "'principalSet://goog/group/ops@x.com'";
    let empty = "'principalSet://goog/group/empty@x.com'";
    let set = "'principalSet://iam.googleapis.com/locations/global/workforcePools/w/group/g'";
    let jobs = "'demo.googleapis.com/jobs.*'";
    let rules = [
        rule(all, "", "'other.googleapis.com/*.*', 'demo.googleapis.com/jobs.create'", "", ""),
        rule(all, "", "'demo.googleapis.com/jobs.get'", "'demo.googleapis.com/*.get'", ""),
        rule(all, ana, jobs, "'demo.googleapis.com/jobs.create'", ""),
        rule("'deleted:principal://goog/subject/max@x.com?uid=1'", "", jobs, "", ""),
        rule(&format!("{ana}, {ops}"), ops, jobs, "", ""),
        rule(ops, ana, jobs, "", ""),
        rule(empty, "", jobs, "", ""),
        rule(ana, &format!("{bob}, {empty}"), jobs, "", ""),
        rule(set, bob, jobs, "", ""),
        rule(all, "", jobs, "", "1 == 2"),
        rule(all, "", jobs, "", "1 == 1"),
        rule(all, "", jobs, "", "[1][2] == 1"),
        rule(all, "", jobs, "", "request.time < timestamp('2025-06-01T00:00:00Z')"),
        rule(all, "", jobs, "", "resource.matchTag('9/env', 'prd')"),
    ];
    insta::assert_snapshot!(told(&[
        ("groups.yaml", "ops@x.com: ['user:ana@x.com']\nempty@x.com: []\n"),
        ("tags.yaml", "projects/p: {9/env: prod}\n"),
        ("deny/projects/p/freeze.yaml", &format!("rules:\n{}", rules.concat())),
    ]));
}

#[test]
fn only_so_many_of_a_kind_are_listed() {
    let names: Vec<(String, String)> = (0..50)
        .map(|number| (format!("roles/{number:02}.yaml"), format!("name: roles/r{number:02}\n")))
        .collect();
    let files: Vec<(&str, &str)> =
        names.iter().map(|(path, text)| (path.as_str(), text.as_str())).chain([ROOT]).collect();
    let (report, _) = report_of(&files);
    assert_eq!(report.count(Severity::Note), MOST_OF_A_KIND + 1);
    let last = report.diagnostics().last().unwrap();
    assert_eq!(
        last.message,
        "30 more roles that no binding names are not listed, of which this is the first"
    );
    assert!(last.span.as_ref().unwrap().place().file.ends_with("roles/20.yaml"));
}

#[test]
fn policies_that_no_call_reaches() {
    let binding = "bindings:\n- {role: roles/reader, members: ['user:a@x.com']}\n";
    let denial = "rules:\n- denyRule:\n    deniedPrincipals: ['principalSet://goog/public:all']\n    deniedPermissions: \
                  ['demo.googleapis.com/jobs.*']\n";
    insta::assert_snapshot!(told(&[
        ("allow/projects/p/jobs/j.yaml", binding),
        ("allow/projects/q.yaml", &binding.replace("a@x", "q@x")),
        ("allow/projects/p/jobs/j/steps/s.yaml", &binding.replace("a@x", "b@x")),
        ("allow/projects/p/locations/eu.yaml", &binding.replace("a@x", "c@x")),
        ("allow/shelves/s.yaml", &binding.replace("a@x", "d@x")),
        ("deny/projects/p/job/j/freeze.yaml", denial),
        ("deny/folders/1/freeze.yaml", denial),
    ]));
}

#[test]
fn projects_that_no_deny_policy_above_reaches_are_told_of() {
    let allow = "bindings:\n- {role: roles/reader, members: ['user:a@x.com']}\n";
    let below = "bindings:\n- {role: roles/reader, members: ['user:b@x.com']}\n";
    let deny = "rules:\n- denyRule:\n    deniedPrincipals: ['principal://goog/subject/a@x.com']\n    \
                deniedPermissions: [demo.googleapis.com/jobs.get]\n";
    let allows = [
        ("allow/projects/p.yaml", allow),
        ("allow/projects/stray.yaml", allow),
        ("allow/projects/stray/jobs/j.yaml", below),
    ];
    // Nothing above denies anything, so nothing is missed.
    assert_eq!(told(&allows), "");
    let denied: Vec<_> = allows.into_iter().chain([("deny/organizations/9/freeze.yaml", deny)]).collect();
    insta::assert_snapshot!(told(&denied));
}
