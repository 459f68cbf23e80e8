//! `opgate check`: good trees pass; in broken ones every mistake is reported with its place and a fix.

use super::{Outcome, Workspace};

const CONFIG: &str = "config/opgate.yaml";
const DEMO: &str = "policies/allow/projects/demo.yaml";
const COMPANION: &str = "policies/services/cloudaicompanion.yaml";
const COMPANION_IAM: &str = "policies/services/cloudaicompanion.iam.yaml";

impl Workspace {
    fn check(&self, more: &[&str]) -> Outcome {
        self.opgate(&[&["check", "--config", CONFIG], more].concat())
    }

    /// Checks a broken tree: exit 3, nothing on standard output, and each error with a place and a help.
    fn refused(&self, more: &[&str]) -> String {
        let outcome = self.check(more);
        assert_eq!(outcome.code, Some(3), "{}", outcome.text());
        assert_eq!(outcome.stdout, "", "{}", outcome.text());
        assert_errors_are_of_use(&outcome.stderr);
        outcome.text()
    }
}

/// Each error names a file, and the line where it is about one, and says what to do.
pub fn assert_errors_are_of_use(stderr: &str) {
    let errors: Vec<&str> = stderr.split("\n\n").filter(|block| block.starts_with("error: ")).collect();
    assert!(!errors.is_empty(), "no error in:\n{stderr}");
    let place = regex::Regex::new(r"(?m)^ *--> \S.*?(:\d+:\d+)?$").unwrap();
    for error in &errors {
        let lines = place.captures(error).unwrap_or_else(|| panic!("no place in:\n{error}"));
        let quotes_the_file =
            error.lines().any(|line| line.trim_start().starts_with("1 |") || line.contains(" | "));
        assert!(lines.get(1).is_some() || !quotes_the_file, "no line in:\n{error}");
        assert!(error.contains("= help: "), "no help in:\n{error}");
    }
    let summary = stderr.lines().last().unwrap();
    let count = format!("{} error{}, ", errors.len(), if errors.len() == 1 { "" } else { "s" });
    assert!(summary.starts_with(&count), "{summary}");
}

#[test]
fn a_good_tree_passes_with_a_summary() {
    let workspace = Workspace::new();
    insta::assert_snapshot!(super::outputs(
        &workspace,
        &[
            &["check", "--config", CONFIG],
            &["check", "--config", CONFIG, "--output", "json"],
            &["check", "--config", "config/demo.yaml"],
            &["check", "--config", CONFIG, "--set", "admin.address=127.0.0.1:1"],
        ]
    ));
}

#[test]
fn a_method_that_is_not_exposed_is_reported() {
    let rule = "- selector: google.longrunning.Operations.DeleteOperation\n  permission: cloudaicompanion.operations.delete\n";
    let workspace = Workspace::new().edit(COMPANION_IAM, rule, "");
    let outcome = workspace.check(&[]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.text());
    insta::assert_snapshot!(outcome.text());
}

#[test]
fn a_warning_does_not_fail_a_check() {
    let workspace = Workspace::new().write(
        "policies/allow/projects/nowhere.yaml",
        "bindings:\n- role: organizations/7/roles/operationsViewer\n  members: ['group:absent@example.com']\n",
    );
    let workspace = workspace.edit(
        "policies/hierarchy.yaml",
        "projects/other: organizations/7",
        "projects/other: organizations/7\nprojects/nowhere: organizations/7",
    );
    insta::assert_snapshot!(workspace.check(&[]).text());
}

/// One finding of most kinds; src/policy/lint/tests.rs has all of them.
fn doubtful() -> Workspace {
    Workspace::new()
        .edit(COMPANION_IAM, "- selector: google.longrunning.Operations.DeleteOperation\n  permission: cloudaicompanion.operations.delete\n", "")
        .write("policies/tags.yaml", "folders/42: {123456789012/env: prod}\n")
        .write("policies/roles/spare.yaml", "name: roles/spare\nincludedPermissions: [dataproc.operations.get]\n")
        .write(
            "policies/allow/projects/demo/locations/us-central1.yaml",
            "version: 3\nbindings:\n- role: organizations/7/roles/operationsViewer\n  members: ['user:bob@example.com']\n\
             - role: organizations/7/roles/operationsCanceller\n  members: ['allUsers']\n\
             - role: organizations/7/roles/operationsAdmin\n  members: ['user:bob@example.com']\n  condition:\n    \
             expression: request.time < timestamp('2020-01-01T00:00:00Z')\n",
        )
        .write(
            "policies/deny/folders/42/freeze.yaml",
            "rules:\n- denyRule:\n    deniedPrincipals: ['principalSet://goog/public:all']\n    deniedPermissions: \
             ['dataproc.googleapis.com/operations.delete']\n    denialCondition:\n      expression: \
             resource.matchTag('123456789012/env', 'production')\n",
        )
}

#[test]
fn doubtful_settings_are_reported_and_do_not_fail_a_check() {
    let workspace = doubtful();
    let outcome = workspace.check(&[]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.text());
    insta::assert_snapshot!(outcome.text());
}

#[test]
fn warnings_can_be_denied_and_notes_cannot() {
    let outcome = doubtful().check(&["--deny-warnings"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.text());
    assert!(outcome.stdout.contains("is valid"), "{}", outcome.text());
    let spare = Workspace::new().write(
        "policies/roles/spare.yaml",
        "name: roles/spare\nincludedPermissions: [dataproc.operations.get]\n",
    );
    let outcome = spare.check(&["--deny-warnings"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.text());
    assert!(outcome.stderr.ends_with("0 errors, 0 warnings, 1 note\n"), "{}", outcome.text());
    let outcome =
        Workspace::new().edit(DEMO, "members:\n  - group", "member:\n  - group").check(&["--deny-warnings"]);
    assert_eq!(outcome.code, Some(3), "{}", outcome.text());
}

/// The gate does not judge a streamed body, so it can name another resource than the judged one: `check` says so.
#[test]
fn a_stream_that_may_name_another_resource_is_reported_until_it_is_accepted() {
    let wait = "WaitOperation\n  permission: cloudaicompanion.operations.get\n";
    let streamed =
        |more: &str| Workspace::new().edit(COMPANION_IAM, wait, &format!("{wait}  body: stream\n{more}"));
    let outcome = streamed("").check(&["--deny-warnings"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.text());
    insta::assert_snapshot!(outcome.text());
    let accepted = streamed("  body_may_name_another_resource: true\n").check(&["--deny-warnings"]);
    assert_eq!((accepted.code, accepted.stderr.as_str()), (Some(0), ""));
}

#[test]
fn request_headers_that_can_never_go_upstream() {
    let listed =
        "    upstream: operations\n    request_headers: [accept, X-Opgate-Principal, x-acme*, Accept]\n";
    let workspace = Workspace::new().edit(
        CONFIG,
        "  cloudaicompanion:\n    upstream: operations\n",
        &format!("  cloudaicompanion:\n{listed}"),
    );
    insta::assert_snapshot!(workspace.refused(&[]));
}

#[test]
fn doubtful_settings_are_reported_as_json() {
    let outcome = doubtful().check(&["--output", "json"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    let result: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(result["valid"], true);
    let diagnostics = result["diagnostics"].as_array().unwrap();
    for diagnostic in diagnostics {
        assert!(diagnostic["place"]["line"].is_u64() && diagnostic["help"].is_string(), "{diagnostic}");
    }
    insta::assert_snapshot!(serde_json::to_string_pretty(&diagnostics[0]).unwrap());
}

/// Tags are part of the tree: mistakes there are reported like any other, and rules on tags decide by them.
#[test]
fn tags_with_mistakes() {
    let workspace = Workspace::new().write(
        "policies/tags.yaml",
        "projects/demo: {env: prod}\nprojects/demo/locations: {123456789012/env: prod}\n\
         folders/42: {123456789012/env: tagValues/1}\n",
    );
    insta::assert_snapshot!(workspace.refused(&[]));
}

#[test]
fn broken_yaml() {
    let workspace = Workspace::new().edit(CONFIG, "  address: 127.0.0.1:9901", "  address: \"127.0.0.1:9901");
    insta::assert_snapshot!(workspace.refused(&[]));
}

#[test]
fn broken_indentation_in_a_policy() {
    let workspace = Workspace::new().edit(DEMO, "bindings:\n#", "bindings: [\n#");
    insta::assert_snapshot!(workspace.refused(&[]));
}

#[test]
fn an_unknown_key() {
    let workspace = Workspace::new()
        .edit(CONFIG, "    upstream: operations\n    # hosts", "    upstrem: operations\n    # hosts")
        .edit(CONFIG, "admin:\n", "listener: []\nadmin:\n");
    insta::assert_snapshot!(workspace.refused(&[]));
}

#[test]
fn an_empty_file() {
    insta::assert_snapshot!(Workspace::new().write(CONFIG, "").refused(&[]));
}

#[test]
fn sections_that_are_missing() {
    insta::assert_snapshot!(Workspace::new().write(CONFIG, "admin: {}\n").refused(&[]));
}

#[test]
fn a_configuration_that_is_not_there() {
    insta::assert_snapshot!(Workspace::new().remove(CONFIG).refused(&[]));
}

#[test]
fn a_configuration_that_is_a_directory() {
    let workspace = Workspace::new().remove(CONFIG).write("config/opgate.yaml/x", "");
    insta::assert_snapshot!(workspace.refused(&[]));
}

#[test]
fn a_policy_directory_that_is_not_there() {
    insta::assert_snapshot!(Workspace::new().remove("policies").refused(&[]));
}

#[test]
fn a_directory_of_the_tree_that_is_not_there() {
    insta::assert_snapshot!(Workspace::new().remove("policies/services").refused(&[]));
}

#[test]
fn an_upstream_that_is_misspelt() {
    let workspace = Workspace::new().edit(
        CONFIG,
        "    upstream: operations\n    # hosts",
        "    upstream: opertions\n    # hosts",
    );
    insta::assert_snapshot!(workspace.refused(&[]));
}

#[test]
fn an_undefined_service() {
    let workspace = Workspace::new().edit(CONFIG, "  dataproc:\n", "  datproc:\n");
    insta::assert_snapshot!(workspace.refused(&[]));
}

#[test]
fn an_undefined_role() {
    let workspace = Workspace::new()
        .edit(DEMO, "organizations/7/roles/operationsCanceller", "organizations/7/roles/operationsCanceler")
        .edit(DEMO, "organizations/7/roles/operationsViewer", "roles/owner");
    let outcome = workspace.check(&[]);
    assert_eq!(outcome.code, Some(0));
    assert_eq!(workspace.check(&["--deny-warnings"]).code, Some(1));
    insta::assert_snapshot!(outcome.text());
}

#[test]
fn a_member_that_is_misspelt() {
    let workspace = Workspace::new().edit(DEMO, "- user:bob@example.com", "- usr:bob@example.com").edit(
        DEMO,
        "- group:oncall@example.com",
        "- oncall@example.com",
    );
    insta::assert_snapshot!(workspace.refused(&[]));
}

#[test]
fn routes_that_conflict() {
    let workspace = Workspace::new().edit(
        COMPANION,
        "get: '/v1/{name=projects/*/locations/*}/operations'",
        "get: '/v1/{name=projects/*/locations/*/operations/*}'",
    );
    insta::assert_snapshot!(workspace.refused(&[]));
}

#[test]
fn an_iam_rule_for_a_method_that_does_not_exist() {
    let workspace = Workspace::new().edit(
        COMPANION_IAM,
        "google.longrunning.Operations.WaitOperation",
        "google.longrunning.Operations.WaitOperations",
    );
    insta::assert_snapshot!(workspace.refused(&[]));
}

#[test]
fn an_iam_file_that_is_not_there() {
    insta::assert_snapshot!(Workspace::new().remove(COMPANION_IAM).refused(&[]));
}

#[test]
fn a_group_that_contains_itself() {
    let workspace =
        Workspace::new().edit("policies/groups.yaml", "- user:lea@example.com", "- group:oncall@example.com");
    insta::assert_snapshot!(workspace.refused(&[]));
}

#[test]
fn a_hierarchy_that_goes_round() {
    let workspace = Workspace::new().edit(
        "policies/hierarchy.yaml",
        "folders/42: organizations/7",
        "folders/42: folders/43\nfolders/43: folders/42",
    );
    insta::assert_snapshot!(workspace.refused(&[]));
}

#[test]
fn conditions_denials_and_boundaries_with_mistakes() {
    let workspace = Workspace::new()
        .edit(
            "policies/allow/projects/other.yaml",
            "  - user:erin@example.com",
            "  - user:erin@example.com\n  condition:\n    title: weekdays\n    expression: request.time.getDayOfWek() < 6",
        )
        .write(
            "policies/deny/projects/demo/freeze.yaml",
            "rules:\n- denyRule:\n    deniedPrincipals: [user:bob@example.com]\n    deniedPermissions: \
             [dataproc.operations.cancel]\n    denialCondition: {expression: resource.matchTag('1/env')}\n",
        )
        .write("policies/boundaries/ours.yaml", "rules: []\n");
    insta::assert_snapshot!(workspace.refused(&[]));
}

#[test]
fn durations_and_sizes_without_a_unit() {
    let workspace = Workspace::new()
        .edit(CONFIG, "# limits:\n#   head_bytes: 32KiB ", "limits:\n  head_bytes: 32768 ")
        .edit(CONFIG, "#   head_timeout: 10s  ", "  head_timeout: 10  ")
        .edit(CONFIG, "#   body_timeout: 30s", "  body_timeout: 0s")
        .edit(CONFIG, "#   idle_timeout: 60s", "  idle_timeout: one minute");
    insta::assert_snapshot!(workspace.refused(&[]));
}

#[test]
fn addresses_and_issuers_that_cannot_be() {
    let workspace = Workspace::new()
        .edit(CONFIG, "- address: 127.0.0.1:8080", "- address: localhost:8080")
        .edit(CONFIG, "    - 127.0.0.1:9000  ", "    - 127.0.0.1  ")
        .edit(CONFIG, "url: https://login.example.com/jwks.json", "url: http://login.example.com/jwks.json")
        .edit(CONFIG, "    # algorithms: [RS256, ES256, PS256, EdDSA]", "    algorithms: [HS256] ");
    insta::assert_snapshot!(workspace.refused(&[]));
}

#[test]
fn a_key_file_that_is_not_there() {
    let workspace =
        Workspace::new().edit(CONFIG, "url: https://login.example.com/jwks.json", "file: keys.json");
    insta::assert_snapshot!(workspace.refused(&[]));
}

#[test]
fn a_flag_that_leads_nowhere() {
    let workspace = Workspace::new();
    insta::assert_snapshot!(workspace.refused(&[
        "--set",
        "listeners.7.address=127.0.0.1:0",
        "--set",
        "admin.adress=127.0.0.1:0",
        "--set",
        "upstreams.operations.timeouts.connect=2",
    ]));
}

#[test]
fn the_environment_overrides_the_file_and_a_flag_the_environment() {
    let workspace = Workspace::new();
    let check = |variables: &[(&str, &str)], more: &[&str]| {
        let mut command = workspace.command(&[&["check", "--config", CONFIG], more].concat());
        command.envs(variables.iter().copied());
        Outcome::of(command)
    };
    let wrong = [("OPGATE__ADMIN__ADDRESS", "everywhere")];
    let refused = check(&wrong, &[]);
    assert_errors_are_of_use(&refused.stderr);
    insta::assert_snapshot!(refused.text());
    assert_eq!(check(&[("OPGATE__ADMIN__ADDRESS", "127.0.0.1:1")], &[]).code, Some(0));
    assert_eq!(check(&wrong, &["--set", "admin.address=127.0.0.1:1"]).code, Some(0));
    assert_eq!(check(&[("OPGATE__ADMN__ADDRESS", "127.0.0.1:1")], &[]).code, Some(3));
}

#[test]
fn the_configuration_can_be_named_by_the_environment() {
    let workspace = Workspace::new();
    let mut command = workspace.command(&["check"]);
    command.env("OPGATE_CONFIG", CONFIG);
    assert_eq!(Outcome::of(command).code, Some(0));
    insta::assert_snapshot!(workspace.opgate(&["check"]).text());
}

/// A tree with a mistake in every kind of file.
fn broken_everywhere() -> Workspace {
    Workspace::new()
        .edit(CONFIG, "admin:\n", "admn:\n")
        .edit(CONFIG, "hosts: [translation.googleapis.com, ", "hosts: [https://translation.googleapis.com, ")
        .edit("policies/services/dataproc.iam.yaml", "service: dataproc.googleapis.com", "service: dataproc")
        .edit(COMPANION, "    delete: '/v1/{name=", "    delete: '/v1/{nam=")
        .edit("policies/roles/operations-viewer.yaml", "stage: GA", "stage: GO")
        .edit("policies/groups.yaml", "- user:ana@example.com", "- user:ana")
        .edit("policies/hierarchy.yaml", "projects/demo: folders/42", "project/demo: folders/42")
        .edit(DEMO, "members:\n  - group", "member:\n  - group")
        .write("policies/allow/projects/third.yml", "")
}

#[test]
fn every_mistake_in_every_file_is_reported_in_one_run() {
    let text = broken_everywhere().refused(&[]);
    for file in [
        "config/opgate.yaml:",
        "services/dataproc.iam.yaml:",
        "services/cloudaicompanion.iam.yaml:",
        "roles/operations-viewer.yaml:",
        "groups.yaml:",
        "hierarchy.yaml:",
        "allow/projects/demo.yaml:",
        "allow/projects/third.yml",
    ] {
        assert!(text.contains(&format!("/{file}")) || text.contains(file), "{file} is missing in\n{text}");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn programs_read_the_same_findings_as_json() {
    let workspace = broken_everywhere();
    let outcome = workspace.check(&["--output", "json"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(3), ""));
    let result: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(result["valid"], false);
    let errors = workspace.check(&[]).stderr.matches("error: ").count();
    let found = result["diagnostics"].as_array().unwrap();
    assert_eq!(found.iter().filter(|diagnostic| diagnostic["severity"] == "error").count(), errors);
    for diagnostic in found {
        assert!(diagnostic["message"].is_string() && diagnostic["place"]["file"].is_string(), "{diagnostic}");
        assert!(diagnostic["help"].is_string(), "{diagnostic}");
    }
    insta::assert_snapshot!(serde_json::to_string_pretty(&found[0]).unwrap());
}

#[test]
fn one_service_file_is_checked_alone() {
    let workspace = Workspace::new()
        .write("good.yaml", "type: google.api.Service\nname: library.example.com\nhttp:\n  rules:\n  - selector: a.B.Get\n    get: /v1/{name=shelves/*}\n")
        .write("bad.yaml", "name: library.example.com\nhttp:\n  rules:\n  - selector: a.B.Get\n    get: v1/{name=shelves/*\n    boddy: '*'\n")
        .write("role.yaml", "name: roles/viewer\nincludedPermissions: []\n");
    insta::assert_snapshot!(super::outputs(
        &workspace,
        &[
            &["check", "--service", COMPANION],
            &["check", "--service", "good.yaml"],
            &["check", "--service", "good.yaml", "--output", "json"],
            &["check", "--service", "bad.yaml"],
            &["check", "--service", "role.yaml"],
            &["check", "--service", "missing.yaml"],
            &["check", "--service", "good.yaml", "--set", "a=b"],
        ]
    ));
    for file in ["bad.yaml", "role.yaml", "missing.yaml"] {
        assert_errors_are_of_use(&workspace.opgate(&["check", "--service", file]).stderr);
    }
}
