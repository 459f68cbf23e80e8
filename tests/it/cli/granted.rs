//! What a tree grants, without a request: `opgate what-can`, `opgate diff` without a log, a recorded decision explained,
//! and names of resources as denials print them.

use super::{Outcome, Workspace};
use crate::harness::{self, COMPANION, Gate, Req, token};

const GROUPS_CLAIM: &str = "issuers.staff.groups={claim: groups, as: group}";
const PERMISSION: &str = "cloudaicompanion.operations.cancel";
const OPERATION: &str = "projects/demo/locations/us-central1/operations/o1";
const CANCEL: &str = "/v1/projects/demo/locations/l/operations/o:cancel";

fn asked(workspace: &Workspace, arguments: &[&str]) -> Outcome {
    let outcome = workspace.opgate(&[arguments, &["--policies", "policies"]].concat());
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{}", outcome.text());
    outcome
}

#[test]
fn what_a_principal_can_is_listed_with_what_gives_it_to_them() {
    let workspace = Workspace::new().write(
        "policies/allow/projects/demo/locations/eu.yaml",
        "version: 3\nbindings:\n- role: organizations/7/roles/operationsAdmin\n  members: ['user:bob@example.com']\n  \
         condition: {title: office, expression: \"origin.ip == '192.0.2.7'\"}\n",
    ).write(
        "policies/deny/projects/demo/keep.yaml",
        "rules:\n- denyRule:\n    deniedPrincipals: ['principal://goog/subject/lea@example.com']\n    \
         deniedPermissions: [cloudaicompanion.googleapis.com/operations.cancel]\n",
    );
    let told = [
        asked(&workspace, &["what-can", "user:bob@example.com"]),
        asked(&workspace, &["what-can", "user:lea@example.com", "on", OPERATION]),
        asked(&workspace, &["what-can", "user:eve@example.com"]),
        asked(
            &workspace,
            &[
                "what-can",
                "user:eve@example.com",
                "--group",
                "leads@example.com",
                "on",
                "projects/demo",
                "--output",
                "json",
            ],
        ),
    ];
    insta::assert_snapshot!(told.map(|outcome| outcome.stdout).join("\n----\n"));
    let group = asked(&workspace, &["what-can", "group:oncall@example.com", "on", "projects/demo"]);
    assert!(
        group.stdout.starts_with("group:oncall@example.com has 6 permissions on projects/demo"),
        "{}",
        group.text()
    );
    for wrong in [
        &["what-can", "bob@example.com"][..],
        &["what-can", "user:bob@example.com", "on"],
        &["what-can", "user:bob@example.com", "on", "projects//x"],
    ] {
        let outcome = workspace.opgate(&[wrong, &["--policies", "policies"]].concat());
        assert_eq!(outcome.code, Some(3), "{}", outcome.text());
    }
}

/// A denial names `//cloudaicompanion.googleapis.com/projects/…`: that is what is at hand.
#[test]
fn a_resource_is_taken_as_a_denial_prints_it() {
    let workspace = Workspace::new();
    let full = format!("//cloudaicompanion.googleapis.com/{OPERATION}");
    let relative = asked(&workspace, &["who-can", PERMISSION, "on", OPERATION]);
    assert_eq!(asked(&workspace, &["who-can", PERMISSION, "on", &full]).stdout, relative.stdout);
    let relative = asked(&workspace, &["what-can", "user:bob@example.com", "on", OPERATION]);
    assert_eq!(asked(&workspace, &["what-can", "user:bob@example.com", "on", &full]).stdout, relative.stdout);
    // Three services have the method: the name says which is meant.
    let method = ["--method", "google.longrunning.Operations.CancelOperation", "--resource"];
    let explain = |resource: &str| {
        let always = ["explain", "--policies", "policies", "--principal", "user:bob@example.com"];
        workspace.opgate(&[&always[..], &method, &[resource]].concat())
    };
    assert_eq!(explain(&full).code, Some(2));
    assert_eq!(explain(OPERATION).code, Some(3));
    let unknown = explain("//dataprocs.googleapis.com/projects/demo");
    assert_eq!(unknown.code, Some(3));
    assert!(unknown.stderr.contains("did you mean `//dataproc.googleapis.com/…`?"), "{}", unknown.text());
}

/// The shipped tree as `old`, and a copy of it as `new`.
fn two_trees() -> Workspace {
    let workspace = Workspace::new();
    for name in ["old", "new"] {
        harness::copy(&workspace.path("policies"), &workspace.path(name));
    }
    workspace
}

#[test]
fn two_trees_are_compared_by_what_they_grant() {
    let same = two_trees().opgate(&["diff", "old", "new"]);
    assert_eq!(
        (same.code, same.stdout.as_str()),
        (Some(0), "0 grants gained, 0 grants lost\n"),
        "{}",
        same.text()
    );
    let workspace = two_trees()
        .edit("new/groups.yaml", "oncall@example.com:\n", "oncall@example.com:\n- user:new@example.com\n")
        .edit("new/allow/projects/other.yaml", "version: 1\n", "version: 3\n")
        .edit(
            "new/allow/projects/other.yaml",
            "  - user:erin@example.com\n",
            "  - user:erin@example.com\n  condition:\n    expression: request.time < timestamp('2020-01-01T00:00:00Z')\n",
        )
        .write(
            "new/deny/projects/demo/keep.yaml",
            "rules:\n- denyRule:\n    deniedPrincipals: ['principal://goog/subject/ana@example.com']\n    \
             deniedPermissions: [dataproc.googleapis.com/operations.cancel]\n",
        );
    let outcome = workspace.opgate(&["diff", "old", "new"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.text());
    insta::assert_snapshot!(outcome.text());
    // The other way round, what was gained is lost.
    let back = workspace.opgate(&["diff", "new", "old", "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&back.stdout).unwrap();
    let count = |text: &str, word: &str| text.lines().last().unwrap().contains(word);
    let (gained, lost) = (json["gained"].as_u64().unwrap(), json["lost"].as_u64().unwrap());
    assert!(
        count(&outcome.stdout, &format!("{lost} grants gained, {gained} grants lost")),
        "{}",
        back.text()
    );
}

/// Many grants that are lost at once are counted.
#[test]
fn a_long_list_of_changes_is_cut_with_a_count() {
    let members: String = (0..60).map(|number| format!("  - user:u{number:02}@example.com\n")).collect();
    let workspace = two_trees().write(
        "new/allow/projects/demo/regions/r.yaml",
        &format!("bindings:\n- role: organizations/7/roles/operationsViewer\n  members:\n{members}"),
    );
    let outcome = workspace.opgate(&["diff", "old", "new"]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stdout.contains(" more, which `--output json` lists\n"), "{}", outcome.text());
    assert!(outcome.stdout.lines().count() < 120, "{}", outcome.text());
}

#[tokio::test]
async fn a_recorded_decision_is_explained_by_its_request_id() {
    let gate = Gate::start();
    let by = |who: &str| Req::new("POST", COMPANION, CANCEL).bearer(&token(who));
    gate.http1(&by("ana@example.com")).await;
    let refused = gate.http1(&by("bob@example.com")).await;
    gate.http1(&Req::new("POST", COMPANION, CANCEL).bearer("not.a.token")).await;
    let lines = gate.audit(3);
    let id = harness::values(&refused.headers, "x-request-id").remove(0);
    let workspace = Workspace::new().write("audit.jsonl", &gate.audit_text());
    let explain = |id: &str, more: &[&str]| {
        workspace.opgate(&[&["explain", "--audit", "audit.jsonl", "--id", id][..], more].concat())
    };
    for tree in [&["--policies", "policies"][..], &["--config", "config/demo.yaml"]] {
        let outcome = explain(&id, tree);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(2), ""), "{}", outcome.text());
        let text = outcome.stdout;
        assert!(text.starts_with("RECORDED  DENIED: IAM_PERMISSION_DENIED\n"), "{text}");
        assert!(
            text.contains("\nDENIED  user:bob@example.com may not cloudaicompanion.operations.cancel\n"),
            "{text}"
        );
        assert!(text.contains("which the tree has"), "{text}");
    }
    let id_of = |line: &serde_json::Value| line["insertId"].as_str().unwrap().to_owned();
    let allowed = explain(&id_of(&lines[0]), &["--policies", "policies", "--output", "json"]);
    assert_eq!(allowed.code, Some(0), "{}", allowed.text());
    let json: serde_json::Value = serde_json::from_str(&allowed.stdout).unwrap();
    assert_eq!(json["recorded"]["decision"], "ALLOWED");
    assert_eq!(json["explanation"]["overallAccessState"], "CAN_ACCESS");
    // The log does not have the token: it has the reason.
    let token = explain(&id_of(&lines[2]), &["--policies", "policies"]);
    assert_eq!(token.code, Some(2), "{}", token.text());
    assert!(token.stdout.contains("the log says too little to ask the tree again"), "{}", token.text());

    let later = Workspace::new().write("audit.jsonl", &gate.audit_text()).edit(
        "policies/allow/projects/demo.yaml",
        "version: 1\n",
        "- role: organizations/7/roles/operationsCanceller\n  members:\n  - user:bob@example.com\nversion: 1\n",
    );
    let outcome = later.opgate(&["explain", "--audit", "audit.jsonl", "--id", &id, "--policies", "policies"]);
    assert_eq!(outcome.code, Some(2), "{}", outcome.text());
    assert!(outcome.stdout.contains("the tree decides otherwise, as follows"), "{}", outcome.text());
    let absent = explain("absent", &["--policies", "policies"]);
    assert_eq!(absent.code, Some(3), "{}", absent.text());
}

/// A caller of a pool is in the set of all its callers: what is bound there they have, and what is denied there they
/// have not.
#[test]
fn what_all_of_a_pool_can_each_of_its_callers_can() {
    let pool = "iam.googleapis.com/locations/global/workforcePools/staff";
    let (subject, group) =
        (format!("principal://{pool}/subject/lea"), format!("principalSet://{pool}/group/x"));
    let bound = format!(
        "bindings:\n- role: organizations/7/roles/operationsAdmin\n  members: ['principalSet://{pool}/*']\n"
    );
    let workspace = Workspace::new().write("policies/allow/folders/42.yaml", &bound);
    let of = |workspace: &Workspace, who: &str| {
        let outcome = workspace.opgate(&["what-can", who, "--policies", "policies"]);
        assert_eq!(outcome.code, Some(0), "{}", outcome.text());
        // Long lines are broken.
        outcome.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for who in [&subject, &group, &format!("principalSet://{pool}/attribute.team/x")] {
        let told = of(&workspace, who);
        assert!(told.contains(&format!("{who} has 8 permissions on folders/42 and below")), "{told}");
        assert!(told.contains(&format!("principalSet://{pool}/*")), "{told}");
    }
    let other = of(&workspace, &format!("principal://{pool}s/subject/lea"));
    assert!(other.contains("no binding gives"), "{other}");

    let denial = format!(
        "rules:\n- denyRule:\n    deniedPrincipals: ['principalSet://{pool}/*']\n    \
         deniedPermissions: [cloudaicompanion.googleapis.com/operations.cancel]\n"
    );
    let named = bound.replace(&format!("principalSet://{pool}/*"), &subject);
    let workspace = workspace
        .write("policies/allow/folders/42.yaml", &named)
        .write("policies/deny/folders/42/keep.yaml", &denial);
    let told = of(&workspace, &subject);
    assert!(told.contains(&format!("{PERMISSION}: not as asked")), "{told}");
    let who = workspace.opgate(&[
        "who-can",
        PERMISSION,
        "on",
        "folders/42",
        "--policies",
        "policies",
        "--output",
        "json",
    ]);
    let json: serde_json::Value = serde_json::from_str(&who.stdout).unwrap();
    let holder = json["principals"].as_array().unwrap().iter().find(|holder| holder["principal"] == *subject);
    let because = holder.unwrap()["because"].as_str().unwrap();
    assert!(because.contains("deny/folders/42/keep.yaml"), "{because}");
}

/// The log does not have the groups that a token asserted.
#[tokio::test]
async fn a_recorded_decision_says_where_groups_of_the_token_may_have_decided() {
    let gate = Gate::start();
    gate.http1(&Req::new("POST", COMPANION, CANCEL).bearer(&token("eve@example.com"))).await;
    let id = gate.audit(1)[0]["insertId"].as_str().unwrap().to_owned();
    let workspace = Workspace::new().write("audit.jsonl", &gate.audit_text()).write(
        "policies/allow/folders/42.yaml",
        "bindings:\n- role: organizations/7/roles/operationsCanceller\n  members: ['group:ops@example.com']\n",
    );
    let explain = |more: &[&str]| {
        let outcome =
            workspace.opgate(&[&["explain", "--audit", "audit.jsonl", "--id", &id][..], more].concat());
        outcome.stdout.contains("cannot be told for sure: rules name groups that a token may assert")
    };
    assert!(explain(&["--policies", "policies"]));
    let set = |value: &'static str| ["--set", value];
    let config = ["--config", "config/opgate.yaml"];
    assert!(!explain(&config));
    let claim = [&config[..], &set(GROUPS_CLAIM), &set("issuers.staff.email_domains=[example.com]")].concat();
    assert!(explain(&claim));
    let json = workspace.opgate(
        &[&["explain", "--audit", "audit.jsonl", "--id", &id, "--output", "json"][..], &claim].concat(),
    );
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["missing"], serde_json::json!(["sets"]));
}
