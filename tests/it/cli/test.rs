//! `opgate test`: its output when tests pass, when they fail, and when the test files have mistakes.

use super::check::assert_errors_are_of_use;
use super::{Outcome, Workspace};

const DEMO: &str = "policies/allow/projects/demo.yaml";
const TESTS: &str = "policies/tests/operations.yaml";

/// A cancel in the project, at Gemini's host.
const CANCEL: &str =
    "POST https://cloudaicompanion.googleapis.com/v1/projects/demo/locations/l/operations/o:cancel";

/// The shipped tree with these tests and no others.
fn with_tests(text: &str) -> Workspace {
    Workspace::new().remove("policies/tests").write(TESTS, text)
}

/// The output without the parts that change with the time of day.
fn said(outcome: &Outcome) -> String {
    let seconds = regex::Regex::new(r#"\d+\.\d\d s\b|(seconds": |time=")[0-9.e-]+"#).unwrap();
    seconds.replace_all(&outcome.text(), "${1}[seconds]").into_owned()
}

/// Asserts that tests have mistakes: exit 3, nothing on standard output, and each error with a place and a help.
fn refused(workspace: &Workspace, arguments: &[&str]) -> String {
    let outcome = workspace.opgate(&[&["test"], arguments].concat());
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(3), ""), "{}", outcome.text());
    assert_errors_are_of_use(&outcome.stderr);
    outcome.text()
}

#[test]
fn the_shipped_tests_pass_with_and_without_a_configuration() {
    let workspace = Workspace::new();
    for arguments in [
        &["test", "policies"] as &[&str],
        &["test", "--config", "config/opgate.yaml"],
        &["test", "--config", "config/demo.yaml", "--verbose"],
    ] {
        let outcome = workspace.opgate(arguments);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{}", outcome.text());
        assert!(outcome.stdout.contains(" passed, 0 failed, "), "{}", outcome.text());
    }
}

fn failing() -> Workspace {
    with_tests(&format!(
        "- name: bob may cancel\n  principal: user:bob@example.com\n  call: {CANCEL}\n  expect: allowed\n\
         - name: ana may not\n  principal: user:ana@example.com\n  call: {CANCEL}\n  expect: IAM_PERMISSION_DENIED\n\
         - name: by the folder\n  principal: user:ana@example.com\n  call: {CANCEL}\n  expect: allowed\n  rule: allow/folders/42.yaml\n\
         - name: by another line\n  principal: user:ana@example.com\n  call: {CANCEL}\n  expect: allowed\n  rule: allow/projects/demo.yaml:999\n\
         - name: by a rule that forbids\n  principal: user:bob@example.com\n  method: google.longrunning.Operations.CancelOperation\n  \
         resource: projects/demo/locations/l/operations/o\n  host: cloudaicompanion.googleapis.com\n  expect: IAM_PERMISSION_DENIED\n  rule: allow/projects/demo.yaml\n\
         - name: \"<absent> & 'nothing'\"\n  call: {CANCEL}\n  expect: allowed\n\
         - name: this one passes\n  principal: user:ana@example.com\n  call: {CANCEL}\n  expect: allowed\n  rule: allow/projects/demo.yaml:6\n"
    ))
}

#[test]
fn a_failing_test_says_what_was_expected_and_what_came() {
    let workspace = failing();
    insta::assert_snapshot!(said(&workspace.opgate(&["test", "policies"])));
}

#[test]
fn json_has_everything() {
    let workspace = failing();
    let outcome = workspace.opgate(&["test", "policies", "--output", "json"]);
    assert_eq!(outcome.code, Some(1));
    insta::assert_snapshot!(said(&outcome));
}

#[test]
fn a_ci_system_reads_junit_beside_the_text() {
    let workspace = failing();
    let outcome = workspace.opgate(&["test", "policies", "--junit", "report.xml"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.text());
    let xml = std::fs::read_to_string(workspace.path("report.xml")).unwrap();
    let document = roxmltree::Document::parse(&xml).unwrap();
    let suites = document.root_element();
    assert_eq!(
        ["name", "tests", "failures", "errors"].map(|name| suites.attribute(name).unwrap()),
        ["opgate test", "7", "6", "0"]
    );
    let told: Vec<String> = document
        .descendants()
        .filter(|node| node.has_tag_name("testcase"))
        .map(|case| {
            let failure = case.children().find(|node| node.has_tag_name("failure"));
            let failure = failure.map_or_else(
                || "passed".to_owned(),
                |failure| {
                    let text = failure.text().unwrap();
                    assert!(text.contains("expected  ") && text.contains("got  "), "{text}");
                    format!(
                        "{}: {}",
                        failure.attribute("type").unwrap(),
                        failure.attribute("message").unwrap()
                    )
                },
            );
            let place = format!("{}:{}", case.attribute("file").unwrap(), case.attribute("line").unwrap());
            format!("{place} {}\n  {failure}\n", case.attribute("name").unwrap())
        })
        .collect();
    insta::assert_snapshot!(told.concat());
}

#[test]
fn a_junit_file_that_cannot_be_written_fails_the_run() {
    let outcome = Workspace::new().opgate(&["test", "policies", "--junit", "nowhere/report.xml"]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.starts_with("opgate: cannot write nowhere/report.xml: "), "{}", outcome.stderr);
}

#[test]
fn rules_that_decide_no_test_are_listed() {
    let deny = "rules:\n- denyRule:\n    deniedPrincipals: ['principalSet://goog/public:all']\n    \
                deniedPermissions: [cloudaicompanion.googleapis.com/operations.delete]\n\
                - denyRule:\n    deniedPrincipals: ['principal://goog/subject/zoe@example.com']\n    \
                deniedPermissions: [cloudaicompanion.googleapis.com/operations.cancel]\n";
    let delete = "DELETE https://cloudaicompanion.googleapis.com/v1/projects/demo/locations/l/operations/o";
    let ci = "serviceAccount:ci@demo.iam.gserviceaccount.com";
    let workspace = with_tests(&format!(
        "- name: no caller deletes\n  principal: {ci}\n  call: {delete}\n  expect: IAM_PERMISSION_DENIED\n  \
         rule: deny/projects/demo/keep.yaml:2\n\
         - name: ana cancels\n  principal: user:ana@example.com\n  call: {CANCEL}\n  expect: allowed\n"
    ))
    .write("policies/deny/projects/demo/keep.yaml", deny);
    insta::assert_snapshot!(said(&workspace.opgate(&["test", "policies"])));

    // A filtered run is not listed: the tests that it skips may exercise any rule.
    let some = workspace.opgate(&["test", "policies", "--filter", "deletes", "--verbose"]);
    insta::assert_snapshot!(said(&some));
}

#[test]
fn many_unexercised_rules_are_counted() {
    let bindings: String = (0..40)
        .map(|number| {
            format!(
                "- role: organizations/7/roles/operationsViewer\n  members: ['user:u{number}@example.com']\n"
            )
        })
        .collect();
    let workspace = with_tests(&format!(
        "- name: ana cancels\n  principal: user:ana@example.com\n  call: {CANCEL}\n  expect: allowed\n"
    ))
    .write("policies/allow/organizations/7.yaml", &format!("bindings:\n{bindings}"));
    let text = workspace.opgate(&["test", "policies"]).stdout;
    assert!(text.contains("bindings: 1 of 44 exercised"), "{text}");
    assert!(text.ends_with("  and 23 more, which `--output json` lists\n"), "{text}");
    let json = workspace.opgate(&["test", "policies", "--output", "json"]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["coverage"]["neverExercised"].as_array().unwrap().len(), 43);
}

const ON_CALL: &str = "\
version: 3
bindings:
- role: organizations/7/roles/operationsCanceller
  members: ['user:ana@example.com']
  condition: {expression: \"request.time < timestamp('2026-04-01T00:00:00Z')\"}
- role: organizations/7/roles/operationsCanceller
  members: ['user:bob@example.com']
  condition: {expression: \"origin.ip == '192.0.2.7'\"}
- role: organizations/7/roles/operationsCanceller
  members: ['user:lea@example.com']
  condition: {expression: \"'oncall' in request.auth.claims.groups\"}
- role: organizations/7/roles/operationsCanceller
  members: ['user:erin@example.com']
  condition: {expression: \"request.method == 'POST'\"}
";

#[test]
fn conditions_are_asked_with_the_time_the_origin_and_the_claims_of_the_test() {
    let claims = |groups: &str| {
        format!("claims: {{iss: 'https://login.example.com', email: lea@example.com, groups: {groups}}}")
    };
    let workspace = with_tests(&format!(
        "- {{name: in March, principal: 'user:ana@example.com', call: '{CANCEL}', time: '2026-03-31T23:59:59Z', expect: allowed}}\n\
         - {{name: in April, principal: 'user:ana@example.com', call: '{CANCEL}', time: '2026-04-01T00:00:00Z', expect: IAM_PERMISSION_DENIED}}\n\
         - {{name: from the office, principal: 'user:bob@example.com', call: '{CANCEL}', origin: {{ip: 192.0.2.7}}, expect: allowed, rule: allow/projects/demo.yaml:6}}\n\
         - {{name: from home, principal: 'user:bob@example.com', call: '{CANCEL}', origin: {{ip: 192.0.2.8}}, expect: IAM_PERMISSION_DENIED}}\n\
         - {{name: on call, {}, call: '{CANCEL}', expect: allowed}}\n\
         - {{name: off duty, {}, call: '{CANCEL}', expect: IAM_PERMISSION_DENIED}}\n\
         - {{name: a token without an email, claims: {{iss: 'https://login.example.com', sub: x}}, call: '{CANCEL}', expect: JWT_TOKEN_INVALID}}\n\
         - {{name: of yesterday, claims: {{iss: 'https://login.example.com', email: lea@example.com, exp: 1}}, call: '{CANCEL}', expect: ACCESS_TOKEN_EXPIRED}}\n\
         - {{name: by POST, principal: 'user:erin@example.com', call: '{CANCEL}', expect: allowed}}\n",
        claims("[oncall, x]"),
        claims("[x]"),
    ))
    .write(DEMO, ON_CALL);
    let outcome = workspace.opgate(&["test", "--config", "config/opgate.yaml"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{}", outcome.text());
    assert!(outcome.stdout.starts_with("9 passed, 0 failed"), "{}", outcome.text());
}

/// A condition on a fact that the test does not state cannot be evaluated reliably.
#[test]
fn a_test_that_depends_on_something_it_does_not_state_is_a_warning() {
    let workspace = with_tests(&format!(
        "- {{name: some day, principal: 'user:ana@example.com', call: '{CANCEL}', expect: IAM_PERMISSION_DENIED}}\n\
         - {{name: from somewhere, principal: 'user:bob@example.com', call: '{CANCEL}', expect: IAM_PERMISSION_DENIED}}\n\
         - {{name: with some token, principal: 'user:lea@example.com', call: '{CANCEL}', expect: IAM_PERMISSION_DENIED}}\n\
         - {{name: in some way, principal: 'user:erin@example.com', method: google.longrunning.Operations.CancelOperation, \
         resource: projects/demo/locations/l/operations/o, host: cloudaicompanion.googleapis.com, expect: IAM_PERMISSION_DENIED}}\n"
    ))
    .write(DEMO, ON_CALL);
    insta::assert_snapshot!(said(&workspace.opgate(&["test", "policies"])));
}

/// The issuer's mapping turns claims into groups; a test with a bare subject has no groups.
#[test]
fn groups_of_a_pool_come_from_the_claims() {
    let pool = "iam.googleapis.com/locations/global/workforcePools/staff";
    let subject = format!("principal: 'principal://{pool}/subject/lea'");
    let claims =
        |groups: &str| format!("claims: {{iss: 'https://login.example.com', sub: lea, groups: {groups}}}");
    let workspace = with_tests(&format!(
        "- {{name: in the group, {}, call: '{CANCEL}', expect: allowed}}\n\
         - {{name: in another, {}, call: '{CANCEL}', expect: IAM_PERMISSION_DENIED}}\n\
         - {{name: no claims, {subject}, call: '{CANCEL}', expect: IAM_PERMISSION_DENIED}}\n\
         - {{name: nowhere, {subject}, call: 'GET /v9', expect: METHOD_NOT_FOUND}}\n\
         - {{name: every group, principal: 'principal://{pool}s/subject/lea', call: '{CANCEL}', expect: allowed}}\n",
        claims("[oncall]"),
        claims("[others]"),
    ))
    .write(
        DEMO,
        &format!(
            "bindings:\n- role: organizations/7/roles/operationsCanceller\n  \
             members: ['principalSet://{pool}/group/oncall', 'principalSet://{pool}s/*']\n"
        ),
    );
    let mapping = "attribute_mapping={google.subject: assertion.sub, google.groups: assertion.groups}";
    let outcome = workspace.opgate(&[
        "test",
        "--config",
        "config/opgate.yaml",
        "--set",
        &format!("issuers.staff.subject_pool={pool}"),
        "--set",
        &format!("issuers.staff.{mapping}"),
    ]);
    insta::assert_snapshot!(said(&outcome));
}

#[test]
fn the_host_is_found_by_the_path_where_it_can_be() {
    let path = "/v1/projects/demo/regions/r/operations/o:cancel";
    let workspace = with_tests(&format!(
        "- {{name: one service has it, principal: 'user:ana@example.com', call: 'POST {path}', expect: allowed}}\n\
         - {{name: none has it, call: 'POST /v9/x', expect: METHOD_NOT_FOUND}}\n\
         - {{name: one has it otherwise, call: 'PATCH {path}', expect: HTTP_METHOD_NOT_ALLOWED}}\n\
         - {{name: a host that is not there, call: 'GET https://x.example.com/v1', expect: METHOD_NOT_FOUND}}\n\
         - {{name: not read at all, call: 'GET /v1//x', expect: REQUEST_MALFORMED}}\n\
         - {{name: a host apart, host: DATAPROC.googleapis.com, principal: 'user:ana@example.com', call: 'POST {path}', expect: allowed}}\n"
    ));
    let outcome = workspace.opgate(&["test", "policies"]);
    // Gemini's template allows any collection where Dataproc's has `regions`, so the two overlap.
    assert_eq!(outcome.code, Some(0), "{}", outcome.text());
}

#[test]
fn a_test_may_expect_any_denial_and_is_told_where_no_method_is_called() {
    let path = "/v1/projects/demo/regions/r/operations/o:cancel";
    let workspace = with_tests(&format!(
        "- {{name: by IAM, principal: 'user:zoe@example.com', call: 'POST {path}', expect: denied}}\n\
         - {{name: by authentication, call: 'POST {path}', expect: denied}}\n\
         - {{name: a slip, principal: 'user:zoe@example.com', call: 'POST {path}s', expect: denied}}\n"
    ));
    let outcome = workspace.opgate(&["test", "policies"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.text());
    let told = "the call is denied because it leads to no method, not because of policy";
    assert_eq!(outcome.text().matches(told).count(), 1, "{}", outcome.text());

    let workspace = with_tests(&format!(
        "- {{name: allowed, principal: 'user:ana@example.com', call: 'POST {path}', expect: denied}}\n"
    ));
    let outcome = workspace.opgate(&["test", "policies"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.text());
}

#[test]
fn every_mistake_in_tests_is_reported_at_once() {
    let workspace = with_tests(
        "- name: nothing else\n\
         - {name: too much, principal: 'user:a@b.c', claims: {iss: x}, call: GET /v1, method: x, expect: allowed}\n\
         - {name: who, principal: bob@example.com, call: GET /v1, expect: allowed}\n\
         - {name: not that one, principal: 'user:x@demo.iam.gserviceaccount.com', call: GET /v1, expect: allowed}\n\
         - {name: what, call: CANCEL, expect: allowed}\n\
         - {name: how, call: POTS /v1, expect: allowed}\n\
         - {name: when, call: GET /v1, time: tomorrow, expect: METHOD_NOT_FOUND}\n\
         - {name: where, call: GET /v1, origin: {ip: 192.0.2.0/24}, expect: METHOD_NOT_FOUND}\n\
         - {name: denied, call: GET /v1, expect: IAM_PERMISION_DENIED}\n\
         - {name: denied too, call: GET /v1, expect: denied}\n\
         - {name: late, call: GET /v1, expect: UPSTREAM_TIMEOUT}\n\
         - {name: by nothing, call: GET /v1, expect: METHOD_NOT_FOUND, rule: 'allow/projects/demo.yaml:last'}\n\
         - {name: a slip, cal: GET /v1, expect: METHOD_NOT_FOUND}\n\
         - {name: half, resource: projects/demo, expect: allowed}\n\
         - {name: other half, method: google.longrunning.Operations.GetOperation, expect: allowed}\n\
         - {name: twice, call: GET /v1, expect: METHOD_NOT_FOUND}\n\
         - {name: twice, call: GET /v1, expect: METHOD_NOT_FOUND}\n",
    );
    insta::assert_snapshot!(refused(&workspace, &["policies"]));
}

#[test]
fn an_unknown_name_is_reported_with_the_known_ones() {
    let cancel = "google.longrunning.Operations.CancelOperation";
    let workspace = with_tests(&format!(
        "- {{name: a host, call: 'GET https://dataprok.googleapis.com/v1', expect: allowed}}\n\
         - {{name: a port, call: 'GET /v1', host: 'x.example.com:8080', expect: allowed}}\n\
         - {{name: a method, method: {cancel}s, resource: projects/demo, expect: allowed}}\n\
         - {{name: whose, method: {cancel}, resource: projects/demo, expect: allowed}}\n\
         - {{name: not theirs, method: {cancel}, resource: projects/demo, host: dataprok.googleapis.com, expect: allowed}}\n\
         - {{name: which, call: 'GET /v1/projects/demo/locations/l/operations', expect: allowed}}\n\
         - {{name: closed, method: google.longrunning.Operations.WaitOperation, resource: projects/demo, expect: allowed}}\n\
         - {{name: a rule, call: 'GET /v9', expect: METHOD_NOT_FOUND, rule: allow/projects/dem.yaml}}\n\
         - {{name: claims, claims: {{iss: x}}, call: 'GET /v3/projects/demo/operations', expect: allowed}}\n"
    ));
    let mut workspace = workspace;
    for (id, lines) in [("cloudaicompanion", 2), ("dataproc", 2), ("translation", 2)] {
        let name = format!("policies/services/{id}.iam.yaml");
        let text = std::fs::read_to_string(workspace.path(&name)).unwrap();
        let at = text.find("- selector: google.longrunning.Operations.WaitOperation").unwrap();
        let end = text[at..].split_inclusive('\n').take(lines).map(str::len).sum::<usize>();
        workspace = workspace.write(&name, &format!("{}{}", &text[..at], &text[at + end..]));
    }
    insta::assert_snapshot!(refused(&workspace, &["policies"]));
}

#[test]
fn a_run_that_tests_nothing_is_refused() {
    let workspace = Workspace::new();
    let filtered = refused(&workspace, &["policies", "--filter", "no such name"]);
    let workspace = workspace.remove("policies/tests");
    let told = [
        filtered,
        refused(&workspace, &["policies"]),
        refused(&workspace, &["polices"]),
        refused(&workspace, &["config"]),
    ];
    insta::assert_snapshot!(told.join("\n"));
    let json = workspace.opgate(&["test", "policies", "--output", "json"]);
    assert_eq!(json.code, Some(3));
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&json["valid"], json["diagnostics"].as_array().unwrap().len()), (&false.into(), 1));
}

/// A broken policy is reported as `check` does, beside the mistakes of the tests.
#[test]
fn a_tree_that_does_not_load_is_not_tested() {
    let workspace = with_tests("- {name: x, call: GET /v1, expect: alowed}\n").edit(
        DEMO,
        "user:bob@example.com",
        "bob@example.com",
    );
    insta::assert_snapshot!(refused(&workspace, &["policies"]));
}

#[test]
fn the_directory_of_the_configuration_need_not_be_there() {
    let workspace = Workspace::new();
    std::fs::rename(workspace.path("policies"), workspace.path("elsewhere")).unwrap();
    let outcome = workspace.opgate(&["test", "elsewhere", "--config", "config/opgate.yaml"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{}", outcome.text());
    let outcome = workspace.opgate(&["test", "--config", "config/opgate.yaml"]);
    assert_eq!(outcome.code, Some(3), "{}", outcome.text());
}
