//! `opgate explain` and `opgate who-can`: the answer, its reasons and its places, as people and programs read them.

use opgate::dev::mint::Mint;
use serde_json::{Value, json};

use super::{Outcome, Workspace};
use crate::harness;

const RPC: &str = "google.longrunning.Operations.CancelOperation";
const HOST: &str = "cloudaicompanion.googleapis.com";
const OPERATION: &str = "projects/demo/locations/us-central1/operations/o1";
const PERMISSION: &str = "cloudaicompanion.operations.cancel";

/// The shipped tree with a caller for every kind of answer.
fn workspace() -> Workspace {
    let role = "organizations/7/roles/operationsCanceller";
    Workspace::new()
        .write(
            "policies/allow/projects/demo/locations/us-central1.yaml",
            &format!(
                "version: 3\nbindings:\n\
                 - role: {role}\n  members: ['user:own@example.com', 'user:mia@example.com', 'user:max@example.com', \
                 'user:ida@example.com', 'serviceAccount:stray@demo.iam.gserviceaccount.com']\n\
                 - role: {role}\n  members: ['user:cid@example.com']\n  condition:\n    title: until 2030\n    \
                 expression: request.time < timestamp('2030-01-01T00:00:00Z') && resource.name.startsWith('projects/demo/')\n\
                 - role: {role}\n  members: ['user:vic@example.com']\n  condition:\n    title: from the office\n    \
                 expression: origin.ip == '192.0.2.7'\n"
            ),
        )
        .write(
            "policies/deny/folders/42/freeze.yaml",
            "rules:\n\
             - description: never\n  denyRule:\n    deniedPrincipals: ['principal://goog/subject/max@example.com']\n    \
             deniedPermissions: ['cloudaicompanion.googleapis.com/operations.*']\n\
             - description: not on Sundays\n  denyRule:\n    deniedPrincipals: ['principalSet://goog/public:all']\n    \
             exceptionPrincipals: ['principalSet://goog/group/oncall@example.com']\n    \
             deniedPermissions: ['cloudaicompanion.googleapis.com/operations.cancel']\n    \
             denialCondition:\n      title: on Sundays\n      expression: request.time.getDayOfWeek('Europe/Berlin') == 0\n\
             - description: not from outside\n  denyRule:\n    deniedPrincipals: ['principal://goog/subject/ida@example.com']\n    \
             deniedPermissions: ['cloudaicompanion.googleapis.com/*.cancel']\n    \
             denialCondition:\n      expression: origin.ip != '192.0.2.7'\n",
        )
        .write(
            "policies/boundaries/elsewhere.yaml",
            "name: organizations/7/locations/global/principalAccessBoundaryPolicies/elsewhere\ndetails:\n  \
             enforcementVersion: '3'\n  rules:\n  - effect: ALLOW\n    resources: ['//cloudresourcemanager.googleapis.com/projects/other']\n",
        )
        .write(
            "policies/boundaries/elsewhere/accounts.yaml",
            "name: organizations/7/locations/global/policyBindings/accounts\n\
             policy: organizations/7/locations/global/principalAccessBoundaryPolicies/elsewhere\n\
             policyKind: PRINCIPAL_ACCESS_BOUNDARY\n\
             target: {principalSet: //cloudresourcemanager.googleapis.com/projects/demo}\n\
             condition: {expression: \"principal.subject.startsWith('stray@')\"}\n",
        )
}

impl Workspace {
    /// Asks whether a caller may cancel, on a Monday.
    fn explain(&self, who: &[&str], more: &[&str]) -> Outcome {
        let call = ["--method", RPC, "--resource", OPERATION, "--host", HOST];
        let always = ["explain", "--policies", "policies", "--time", "2026-03-02T12:00:00Z"];
        self.opgate(&[&always, who, &call, more].concat())
    }

    fn explain_request(&self, request: &[&str], more: &[&str]) -> Outcome {
        let always = ["explain", "--policies", "policies", "--time", "2026-03-02T12:00:00Z"];
        self.opgate(&[&always, more, request].concat())
    }
}

fn output(outcome: &Outcome, code: i32) -> String {
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(code), ""), "{}", outcome.text());
    // A single name may be longer than a line; all other text is wrapped.
    let is_json = outcome.stdout.starts_with('{');
    for line in outcome.stdout.lines().filter(|line| !is_json && line.chars().count() > 100) {
        assert!(line.split_whitespace().count() <= 2, "{line}");
    }
    outcome.text()
}

#[test]
fn an_allowed_caller() {
    let workspace = workspace();
    let by = |who: &str| output(&workspace.explain(&["--principal", who], &[]), 0);
    insta::assert_snapshot!("by_their_own_name", by("user:own@example.com"));
    insta::assert_snapshot!("by_a_nested_group", by("user:lea@example.com"));
    insta::assert_snapshot!("by_a_condition_that_holds", by("user:cid@example.com"));
    let claimed =
        workspace.explain(&["--principal", "user:eve@example.com", "--group", "leads@example.com"], &[]);
    insta::assert_snapshot!("by_a_group_of_their_credential", output(&claimed, 0));
}

#[test]
fn a_caller_that_a_deny_rule_names() {
    let workspace = workspace();
    let max = workspace.explain(&["--principal", "user:max@example.com"], &[]);
    insta::assert_snapshot!("denied", output(&max, 2));
    let on_sunday = ["explain", "--policies", "policies", "--time", "2026-03-01T12:00:00Z", "--principal"];
    let request = format!("https://{HOST}/v1/{OPERATION}:cancel");
    let mia = workspace.opgate(&[&on_sunday[..], &["user:mia@example.com", "POST", &request]].concat());
    insta::assert_snapshot!("denied_by_a_condition_that_holds", output(&mia, 2));
    let ida = workspace.explain(&["--principal", "user:ida@example.com"], &[]);
    insta::assert_snapshot!("denied_by_a_condition_without_a_value", output(&ida, 2));
    // The condition can be evaluated: it does not deny, and the output does not list what it would take for it to deny.
    let ida = workspace.explain(&["--principal", "user:ida@example.com"], &["--ip", "192.0.2.7"]);
    assert_eq!(ida.code, Some(0), "{}", ida.text());
}

#[test]
fn a_caller_outside_the_boundary() {
    let account = ["--principal", "serviceAccount:stray@demo.iam.gserviceaccount.com"];
    insta::assert_snapshot!(output(&workspace().explain(&account, &[]), 2));
}

#[test]
fn a_caller_without_a_binding() {
    let workspace = workspace();
    let denied = |who: &str, more: &[&str]| output(&workspace.explain(&["--principal", who], more), 2);
    let later = ["explain", "--policies", "policies", "--time", "2031-03-03T12:00:00Z", "--principal"];
    let call = ["user:cid@example.com", "--method", RPC, "--resource", OPERATION, "--host", HOST];
    let cid = workspace.opgate(&[&later[..], &call].concat());
    insta::assert_snapshot!("a_condition_that_does_not_hold", output(&cid, 2));
    insta::assert_snapshot!("a_condition_without_a_value", denied("user:vic@example.com", &[]));
    insta::assert_snapshot!("a_role_that_lacks_the_permission", denied("user:bob@example.com", &[]));
    insta::assert_snapshot!("a_caller_that_no_policy_names", denied("user:eve@example.com", &[]));
    insta::assert_snapshot!("every_rule_on_the_chain", denied("user:eve@example.com", &["--all"]));
}

#[test]
fn stages_before_policy_refuse() {
    let workspace = workspace();
    let cancel = format!("/v1/{OPERATION}:cancel");
    let at = ["--host", HOST];
    let who = ["--principal", "user:lea@example.com"];
    let lea = [&who[..], &at].concat();
    let asked = |method: &str, target: &str| workspace.explain_request(&[method, target], &lea);
    let told = [
        output(&workspace.explain(&[], &[]), 2),
        output(&workspace.explain(&who, &["--scope", "https://www.googleapis.com/auth/drive"]), 2),
        output(&asked("GET", &cancel), 2),
        output(&asked("POST", &cancel.replace(":cancel", ":cancl")), 2),
        output(&asked("POST", &cancel.replace("operations", "operation")), 2),
        output(&asked("POST", "/nothing/like/it"), 2),
        output(&asked("POST", &format!("{cancel}?name=projects/other")), 2),
        output(&asked("POST", "/v1/projects//operations"), 2),
        output(
            &workspace.explain_request(&["POST", &cancel], &["--host", "cloudaicompanion.googleapis.co"]),
            2,
        ),
    ];
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_method_that_is_not_exposed_and_one_that_does_nothing() {
    let rule = "- selector: google.longrunning.Operations.DeleteOperation\n  permission: cloudaicompanion.operations.delete\n";
    let iam = "policies/services/cloudaicompanion.iam.yaml";
    let workspace = workspace().edit(iam, rule, "");
    let target = format!("https://{HOST}/v1/{OPERATION}");
    let closed = workspace.explain_request(&["DELETE", &target], &["--principal", "user:lea@example.com"]);
    let named = ["--method", "google.longrunning.Operations.DeleteOperation", "--resource", OPERATION];
    let always = ["explain", "--policies", "policies"];
    let closed_by_name = workspace.opgate(&[&always[..], &named, &["--host", HOST]].concat());
    let unimplemented = Workspace::new().edit(
        iam,
        &format!("- selector: {RPC}\n"),
        &format!("- selector: {RPC}\n  unimplemented: true\n"),
    );
    let unimplemented = unimplemented.explain(&["--principal", "user:lea@example.com"], &[]);
    assert_eq!(closed_by_name.code, Some(3));
    insta::assert_snapshot!(
        [output(&closed, 2), closed_by_name.text(), output(&unimplemented, 2)].join("\n")
    );
}

#[test]
fn a_method_that_asks_for_no_permission() {
    let target = "https://translation.googleapis.com/v3/projects/x/operations/o:cancel";
    let outcome = workspace().explain_request(&["POST", target], &["--principal", "user:eve@example.com"]);
    insta::assert_snapshot!(output(&outcome, 0));
}

#[test]
fn programs_read_the_troubleshooters_json() {
    let workspace = workspace();
    let json = |who: &str, code| {
        let outcome = workspace.explain(&["--principal", who], &["--output", "json"]);
        let json: Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert_eq!(json["overallAccessState"], if code == 0 { "CAN_ACCESS" } else { "CANNOT_ACCESS" });
        output(&outcome, code)
    };
    insta::assert_snapshot!("json_of_who_is_allowed", json("user:cid@example.com", 0));
    insta::assert_snapshot!("json_of_who_is_denied", json("user:ida@example.com", 2));
    insta::assert_snapshot!(
        "json_of_who_is_out_of_bounds",
        json("serviceAccount:stray@demo.iam.gserviceaccount.com", 2)
    );
    let no_path = [
        "explain",
        "--policies",
        "policies",
        "--output",
        "json",
        "POST",
        "https://translation.googleapis.com/x",
    ];
    let outcome = workspace.opgate(&[&no_path[..], &["--time", "2026-03-02T12:00:00Z"]].concat());
    insta::assert_snapshot!("json_of_what_leads_nowhere", output(&outcome, 2));
}

#[test]
fn a_token_is_verified_and_claims_go_through_their_issuer() {
    let keys = json!({ "file": "../keys.jwks.json" });
    let workspace = workspace().write("keys.jwks.json", &harness::key().jwks().to_string());
    let set = format!("issuers.demo.keys={keys}");
    let asked = |who: &[&str]| {
        let always = ["explain", "--config", "config/demo.yaml", "--set", &set];
        let request = [
            "POST",
            "https://cloudaicompanion.googleapis.com/v1/projects/demo/locations/us-central1/operations/o1:cancel",
        ];
        workspace.opgate(&[&always[..], who, &request].concat())
    };
    let write = |name: &str, text: &str| std::fs::write(workspace.path(name), text).unwrap();
    write("token", &format!("{}\n", harness::token("lea@example.com")));
    write("expired", &harness::token_with("lea@example.com", json!({ "exp": 1_700_000_000 })));
    write("forged", &harness::foreign_key().sign(&harness::claims("lea@example.com", &[])).unwrap());
    write("claims.json", &json!({ "iss": harness::ISSUER, "email": "lea@example.com" }).to_string());
    write("no-email.json", &json!({ "iss": harness::ISSUER, "sub": "1" }).to_string());
    let told = [
        (&["--token", "token"], 0),
        (&["--token", "expired"], 2),
        (&["--token", "forged"], 2),
        (&["--claims", "claims.json"], 0),
        (&["--claims", "no-email.json"], 2),
    ]
    .map(|(who, code)| {
        let text = output(&asked(who), code);
        // The verdict and the stages are fixed; the rest depends on the day.
        text.split("\nBoundaries\n").next().unwrap().to_owned()
    });
    let now = regex::Regex::new(r"now is \d+").unwrap();
    insta::assert_snapshot!(now.replace_all(&told.join("\n"), "now is [now]"));

    let line = format!(
        "opgate explain --config config/demo.yaml --set '{set}' --token - POST \
         https://{HOST}/v1/{OPERATION}:cancel < token"
    );
    let from_stdin = workspace.shell(&line);
    assert_eq!(from_stdin.code, Some(0), "{}", from_stdin.text());
}

#[test]
fn an_unclear_question_is_refused() {
    let workspace = workspace().write("claims.json", "[]").write("broken.json", "{");
    let always = ["explain", "--policies", "policies"];
    let with_config = ["explain", "--config", "config/demo.yaml"];
    let path = "/v1/projects/demo/locations/l/operations/o:cancel";
    let cases: Vec<Vec<&str>> = vec![
        [&always[..], &["--method", RPC, "--resource", OPERATION]].concat(),
        [&always[..], &["--method", "google.longrunning.Operations.CancelOperatio", "--resource", OPERATION]]
            .concat(),
        [&always[..], &["--method", RPC, "--resource", "//x.googleapis.com/projects/demo", "--host", HOST]]
            .concat(),
        [&always[..], &["--method", RPC, "--resource", OPERATION, "--host", "x"]].concat(),
        [&always[..], &["POST", path]].concat(),
        [&always[..], &["PSOT", path]].concat(),
        [&always[..], &["POST", "https://a.example/x", "--host", "b.example"]].concat(),
        [&always[..], &["POST"]].concat(),
        [&always[..], &["--principal", "ana@example.com", "POST", path]].concat(),
        [&always[..], &["--principal", "user:ana@example.com", "--group", "ops", "POST", path]].concat(),
        [&always[..], &["--principal", "user:ana@example.com", "--time", "noon", "POST", path]].concat(),
        [&always[..], &["--claims", "claims.json", "POST", path]].concat(),
        [&with_config[..], &["--claims", "claims.json", "POST", path]].concat(),
        [&with_config[..], &["--claims", "broken.json", "POST", path]].concat(),
        [&with_config[..], &["--token", "nowhere", "POST", path]].concat(),
        vec!["explain", "POST", path],
        vec!["explain", "--policies", "nowhere", "POST", path],
        [&always[..], &["--output", "json", "--method", RPC, "--resource", OPERATION]].concat(),
    ];
    let cases: Vec<&[&str]> = cases.iter().map(Vec::as_slice).collect();
    for arguments in &cases {
        let outcome = workspace.opgate(arguments);
        assert_eq!(outcome.code, Some(3), "{}", outcome.text());
    }
    insta::assert_snapshot!(super::outputs(&workspace, &cases));
}

#[test]
fn every_holder_of_a_permission_is_listed() {
    let workspace = workspace();
    let asked = ["who-can", PERMISSION, "on", OPERATION, "--policies", "policies"];
    let at = ["--time", "2026-03-02T12:00:00Z"];
    insta::assert_snapshot!(super::outputs(
        &workspace,
        &[
            &[&asked[..], &at].concat(),
            &[&asked[..], &at, &["--output", "json"]].concat(),
            &["who-can", PERMISSION, "on", "projects/elsewhere", "--policies", "policies"],
            &["who-can", "cloudaicompanion.operations.cancl", "on", OPERATION, "--policies", "policies"],
            &["who-can", PERMISSION, "on", "/projects/demo", "--policies", "policies"],
            &["who-can", PERMISSION, OPERATION, "--policies", "policies"],
        ]
    ));
}
