//! `opgate diff`: the log of a real gate, replayed on another tree.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use super::check::assert_errors_are_of_use;
use super::{Outcome, Workspace};
use crate::harness::{
    self, Body, CLOUD_TRANSLATION, COMPANION, DATAPROC, Gate, Req, TRANSLATION, token, token_with,
};

const CANCEL: &str = "/v1/projects/demo/locations/l/operations/o:cancel";
const CANCEL_OTHER: &str = "/v1/projects/other/locations/l/operations/o:cancel";
const CI: &str = "ci@demo.iam.gserviceaccount.com";

/// The audit log that a gate with the shipped policies writes for these requests.
///
/// One line after the other: a client has its answer before the line is written, so two lines may change places.
async fn log_of(requests: Vec<Req>) -> String {
    let gate = Gate::start();
    for (sent, request) in requests.iter().enumerate() {
        gate.http1(request).await;
        gate.audit(sent + 1);
    }
    gate.audit_text()
}

fn by(who: &str, method: &str, host: &str, target: &str) -> Req {
    Req::new(method, host, target).bearer(&token(who))
}

/// The shipped tree as `old`, a copy of it as `new`, and the log.
fn workspace(log: &str) -> Workspace {
    let workspace = Workspace::new().write("audit.jsonl", log);
    for name in ["old", "new"] {
        harness::copy(&workspace.path("policies"), &workspace.path(name));
    }
    workspace
}

fn diff(workspace: &Workspace, more: &[&str]) -> Outcome {
    workspace.opgate(&[&["diff", "old", "new", "--requests", "audit.jsonl"], more].concat())
}

/// Asserts that a comparison was not made: exit 3, nothing on standard output, and each error with a place and a help.
fn refused(outcome: &Outcome) -> String {
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(3), ""), "{}", outcome.text());
    assert_errors_are_of_use(&outcome.stderr);
    outcome.text()
}

/// Once, one request whose path was cut in the log made the whole log unreadable.
#[tokio::test]
async fn a_path_that_the_log_holds_in_part_is_not_taken_for_a_mistake() {
    let long = format!("/v1/projects/demo/locations/l/operations/{}:cancel", "o".repeat(3_000));
    let log = log_of(vec![
        by("ana@example.com", "POST", COMPANION, &long),
        by("ana@example.com", "POST", COMPANION, CANCEL),
    ]);
    let outcome = diff(&workspace(&log.await), &[]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.text());
}

/// One line of every kind that a log can hold.
async fn everything() -> String {
    let expired = token_with("ana@example.com", json!({"exp": harness::now() - 3600}));
    let scopeless = token_with("ana@example.com", json!({"scope": CLOUD_TRANSLATION}));
    log_of(vec![
        by("ana@example.com", "POST", COMPANION, CANCEL),
        by("ana@example.com", "POST", COMPANION, CANCEL),
        by("lea@example.com", "POST", COMPANION, CANCEL),
        by("bob@example.com", "POST", COMPANION, CANCEL),
        by("bob@example.com", "POST", COMPANION, CANCEL),
        by("bob@example.com", "GET", COMPANION, "/v1/projects/demo/locations/l/operations"),
        by("erin@example.com", "POST", COMPANION, CANCEL_OTHER),
        by(CI, "DELETE", DATAPROC, "/v1/projects/demo/regions/r/operations/o"),
        by(CI, "GET", DATAPROC, "/v1/projects/demo/regions/r/operations"),
        by("absent@example.com", "POST", TRANSLATION, "/v3/projects/demo/operations/o:cancel"),
        // The body is judged after policy.
        by("ana@example.com", "POST", COMPANION, CANCEL).body(Body::Length(b"x".to_vec())),
        Req::new("POST", COMPANION, CANCEL),
        Req::new("POST", COMPANION, CANCEL).bearer(&expired),
        Req::new("POST", COMPANION, CANCEL).bearer(&scopeless),
        by("ana@example.com", "POST", COMPANION, &format!("{CANCEL}?name=x")),
        by("ana@example.com", "POST", COMPANION, "/v1/projects/demo//x"),
        by("ana@example.com", "GET", COMPANION, "/v1/nowhere"),
        by("ana@example.com", "PATCH", COMPANION, CANCEL),
    ])
    .await
}

#[tokio::test]
async fn a_tree_decides_the_log_that_was_written_under_it_in_the_same_way() {
    let workspace = workspace(&everything().await);
    for more in [&[] as &[&str], &["--config", "config/demo.yaml"]] {
        let outcome = diff(&workspace, more);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{}", outcome.text());
        // The log does not hold the query.
        let counts = "18 requests: 0 gained, 0 revoked, 17 unchanged, 1 cannot be told\n";
        assert!(outcome.stdout.starts_with(counts), "{}", outcome.text());
        assert!(!outcome.stdout.contains("otherwise"), "{}", outcome.text());
    }
}

/// Access that is granted, removed, removed by a deny rule, by a condition, and by closing a method.
fn changed(workspace: Workspace) -> Workspace {
    let selector =
        "- selector: google.longrunning.Operations.ListOperations\n  permission: dataproc.operations.list\n";
    workspace
        .edit(
            "new/allow/projects/demo.yaml",
            "  - group:oncall@example.com\n",
            "  - user:ana@example.com\n  - user:bob@example.com\n",
        )
        .edit("new/allow/projects/other.yaml", "version: 1\n", "version: 3\n")
        .edit(
            "new/allow/projects/other.yaml",
            "  - user:erin@example.com\n",
            "  - user:erin@example.com\n  condition:\n    title: last year\n    \
             expression: request.time < timestamp('2020-01-01T00:00:00Z')\n",
        )
        .edit("new/services/dataproc.iam.yaml", selector, "")
        .write(
            "new/deny/projects/demo/keep.yaml",
            "rules:\n- denyRule:\n    deniedPrincipals: ['principalSet://goog/public:all']\n    \
             deniedPermissions: [dataproc.googleapis.com/operations.delete]\n",
        )
}

#[tokio::test]
async fn gained_and_revoked_access_is_listed_with_the_rules() {
    let workspace = changed(workspace(&everything().await));
    let text = diff(&workspace, &["--config", "config/demo.yaml"]);
    assert_eq!(text.code, Some(1));
    insta::assert_snapshot!(text.text());
    let json = diff(&workspace, &["--output", "json"]);
    assert_eq!(json.code, Some(1));
    insta::assert_snapshot!(json.text());

    // The other way round: now the log is from the new tree.
    let back = workspace.opgate(&["diff", "new", "old", "--requests", "audit.jsonl"]);
    assert_eq!(back.code, Some(1));
    insta::assert_snapshot!(back.text());
}

#[tokio::test]
async fn missing_facts_in_the_log_are_not_changes() {
    let log = log_of(vec![
        by("ana@example.com", "POST", COMPANION, CANCEL),
        by("bob@example.com", "GET", COMPANION, "/v1/projects/demo/locations/l/operations"),
        by("erin@example.com", "POST", COMPANION, CANCEL_OTHER),
        by("absent@example.com", "POST", TRANSLATION, "/v3/projects/demo/operations/o:cancel"),
        by("ana@example.com", "GET", DATAPROC, "/v1/projects/demo/clusters/c"),
        Req::new("POST", COMPANION, CANCEL)
            .bearer(&token_with("ana@example.com", json!({"scope": CLOUD_TRANSLATION}))),
        Req::new("POST", COMPANION, CANCEL)
            .bearer(&token_with("erin@example.com", json!({"scope": CLOUD_TRANSLATION}))),
    ])
    .await;
    let claims = |role: &str, who: &str| {
        format!(
            "version: 3\nbindings:\n- role: organizations/7/roles/{role}\n  members: ['{who}']\n  condition:\n    \
             expression: \"'oncall' in request.auth.claims.groups\"\n"
        )
    };
    let cluster = "  - selector: google.longrunning.Operations.GetOperation\n    get: '/v1/{name=projects/*/clusters/*}'\n";
    let workspace = workspace(&log);
    let rules = std::fs::read_to_string(workspace.path("new/services/dataproc.yaml")).unwrap();
    let get = rules.find("  - selector: google.longrunning.Operations.GetOperation").unwrap();
    let end = get + rules[get + 4..].find("  - selector:").unwrap() + 4;
    let rules = format!("{}{cluster}{}", &rules[..get], &rules[end..]);
    let translation = std::fs::read_to_string(workspace.path("new/services/translation.yaml")).unwrap();
    let companion = std::fs::read_to_string(workspace.path("new/services/cloudaicompanion.yaml")).unwrap();
    let platform = "https://www.googleapis.com/auth/cloud-platform";
    let workspace = workspace
        .write("new/services/dataproc.yaml", &rules)
        .write("new/services/translation.yaml", &translation.replace(&format!("        {platform},\n"), ""))
        .write("new/services/cloudaicompanion.yaml", &companion.replace(platform, CLOUD_TRANSLATION))
        // Granted by a group whose membership is unknown, and by name as well.
        .write("new/allow/projects/demo.yaml", &claims("operationsCanceller", "user:ana@example.com"))
        .write("new/allow/projects/other.yaml", &claims("operationsCanceller", "user:erin@example.com"))
        .write(
            "new/deny/folders/42/some.yaml",
            "rules:\n- denyRule:\n    deniedPrincipals: ['principalSet://goog/public:all']\n    \
             deniedPermissions: [cloudaicompanion.googleapis.com/operations.list]\n    \
             denialCondition: {expression: \"request.auth.claims.level == 1\"}\n",
        );
    let outcome = diff(&workspace, &["--config", "config/demo.yaml"]);
    insta::assert_snapshot!(outcome.text());
}

#[tokio::test]
async fn time_and_place_are_those_of_the_line() {
    let log = log_of(vec![by("bob@example.com", "POST", COMPANION, CANCEL)]).await;
    let year = format!("request.time.getFullYear() == {}", jiff::Timestamp::now().strftime("%Y"));
    for (expression, gained) in [
        (year.as_str(), 1),
        ("request.time.getFullYear() == 2020", 0),
        ("origin.ip == '127.0.0.1' && request.host == 'cloudaicompanion.localhost'", 1),
        ("request.method == 'POST' && request.path.endsWith('/operations/o:cancel')", 1),
        ("origin.ip == '192.0.2.7'", 0),
    ] {
        let workspace = workspace(&log).write(
            "new/allow/folders/42.yaml",
            &format!(
                "version: 3\nbindings:\n- role: organizations/7/roles/operationsCanceller\n  \
                 members: ['user:bob@example.com']\n  condition: {{expression: {}}}\n",
                json!(expression)
            ),
        );
        let outcome = diff(&workspace, &[]);
        let counts = format!("1 request: {gained} gained, 0 revoked, {} unchanged", 1 - gained);
        assert!(outcome.stdout.contains(&counts), "{expression}: {}", outcome.text());
        assert_eq!(outcome.code, Some(gained));
    }
}

/// A caller from a pool is logged by subject; the log does not say which groups it is in.
#[tokio::test]
async fn groups_of_a_pool_are_not_in_the_log() {
    let log = log_of(vec![by("bob@example.com", "POST", COMPANION, CANCEL)]).await;
    let pool = "iam.googleapis.com/locations/global/workforcePools/staff";
    let log = log.replace("user:bob@example.com", &format!("principal://{pool}/subject/bob"));
    for (set, counts) in [
        ("*", "1 gained, 0 revoked, 0 unchanged, 0 cannot"),
        ("group/oncall", "0 gained, 0 revoked, 0 unchanged, 1 cannot"),
        ("attribute.team/x", "0 gained, 0 revoked, 0 unchanged, 1 cannot"),
    ] {
        let workspace = workspace(&log).write(
            "new/allow/folders/42.yaml",
            &format!(
                "bindings:\n- role: organizations/7/roles/operationsCanceller\n  members: ['principalSet://{pool}/{set}']\n"
            ),
        );
        let outcome = diff(&workspace, &[]);
        assert!(outcome.stdout.contains(counts), "{set}: {}", outcome.text());
    }
}

#[tokio::test]
async fn a_log_is_read_from_standard_input_too() {
    let log = log_of(vec![by("ana@example.com", "POST", COMPANION, CANCEL)]).await;
    let workspace = workspace("");
    let mut command = workspace.command(&["diff", "old", "new", "--requests", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(log.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, "1 request: 0 gained, 0 revoked, 1 unchanged, 0 cannot be told\n");
}

/// The gate's own answers are in its log too. Policies do not affect them.
#[tokio::test]
async fn a_line_about_the_gates_own_keys_is_unchanged_by_any_policy() {
    let line = log_of(vec![by("ana@example.com", "POST", COMPANION, CANCEL)]).await;
    let mut line: Value = serde_json::from_str(&line).unwrap();
    let payload = line["protoPayload"].as_object_mut().unwrap();
    payload["authenticationInfo"] = json!({});
    for name in ["serviceName", "methodName", "resourceName", "authorizationInfo"] {
        payload.remove(name);
    }
    payload["metadata"]["decision"] = json!("ANSWERED");
    payload["metadata"]["reason"] = json!("KEYS_PUBLISHED");
    payload["requestMetadata"]["requestAttributes"]["path"] = json!("/.well-known/opgate/jwks.json");
    let outcome = diff(&workspace(&format!("{line}\n")), &[]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.text());
    assert_eq!(outcome.stdout, "1 request: 0 gained, 0 revoked, 1 unchanged, 0 cannot be told\n");
}

#[tokio::test]
async fn one_line_that_is_not_an_audit_line_makes_the_log_invalid() {
    let good = log_of(vec![by("ana@example.com", "POST", COMPANION, CANCEL)]).await;
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_str(&good).unwrap();
        change(&mut value);
        format!("{value}\n")
    };
    let lines = [
        "not JSON\n".to_owned(),
        "{}\n".to_owned(),
        "\n".to_owned(),
        // Within the time, which is as long in every line.
        good[..30].to_owned() + "\n",
        changed(&|line| line["timestamp"] = json!("yesterday")),
        changed(&|line| line["protoPayload"]["@type"] = json!("type.googleapis.com/other")),
        changed(&|line| line["protoPayload"]["metadata"]["decision"] = json!("MAYBE")),
        changed(&|line| {
            line["protoPayload"]["authenticationInfo"]["principalSubject"] = json!("group:x@example.com");
        }),
        changed(&|line| {
            line["protoPayload"]["requestMetadata"]["requestAttributes"]["path"] = json!("/a/../b");
        }),
        // A line of a later version is not understood, but it is a line.
        changed(&|line| {
            line["protoPayload"]["metadata"]["decision"] = json!("DENIED");
            line["protoPayload"]["metadata"]["reason"] = json!("TOO_EARLY");
            line["protoPayload"]["authorizationInfo"] = json!(null);
        }),
        good.clone(),
    ];
    let workspace = workspace(&lines.concat());
    let strict = refused(&diff(&workspace, &[]));
    let lenient = diff(&workspace, &["--lenient"]);
    assert_eq!((lenient.code, lenient.stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!(format!("{strict}\n{}", lenient.text()));
}

#[test]
fn an_impossible_comparison_is_refused() {
    let told = [
        diff(&workspace("\n"), &[]),
        diff(&workspace("x\n"), &["--lenient"]),
        diff(&workspace(&"x\n".repeat(30)), &[]),
        diff(&workspace(&"x".repeat((1 << 20) + 1)), &["--lenient"]),
        diff(&workspace("").remove("audit.jsonl"), &[]),
        diff(&workspace("").remove("old").remove("new"), &[]),
        diff(&workspace("").remove("old"), &["--config", "config/opgate.yaml"]),
        diff(&workspace("").edit("new/groups.yaml", "- group:leads@example.com", "- leads"), &[]),
    ];
    let told: Vec<String> = told.iter().map(refused).collect();
    // Of thirty errors of one kind, the first few are enough.
    let told = told.join("\n");
    let repeated = regex::Regex::new(r"(?s)(error: line )(?:[3-9]|1\d|20) is no audit line.*?\n\n").unwrap();
    insta::assert_snapshot!(repeated.replace_all(&told, ""));
}

/// An issuer may assert groups in a claim (`groups: {claim, as: group}`); the log does not say which.
#[tokio::test]
async fn groups_of_a_claim_are_not_in_the_log() {
    let log = log_of(vec![by("bob@example.com", "POST", COMPANION, CANCEL)]).await;
    let binding = "bindings:\n- role: organizations/7/roles/operationsCanceller\n  members: ['group:ops@example.com']\n";
    // As a gate would have written it that believes the claim.
    let allowed = log.replace("\"DENIED\"", "\"ALLOWED\"").replace("\"granted\":false", "\"granted\":true");
    let claim = [
        "--config",
        "config/demo.yaml",
        "--set",
        "issuers.demo.groups={claim: groups, as: group}",
        "--set",
        "issuers.demo.email_domains=[example.com]",
    ];
    for log in [&log, &allowed] {
        let workspace = workspace(log).write("old/allow/folders/42.yaml", binding);
        let outcome = diff(&workspace, &claim);
        assert!(outcome.stdout.contains("0 gained, 0 revoked, 0 unchanged, 1 cannot"), "{}", outcome.text());
        assert!(
            outcome.stdout.contains("groups or attributes that the caller's token asserts"),
            "{}",
            outcome.text()
        );
        // Without a configuration, an issuer may assert what groups.yaml does not list.
        let outcome = diff(&workspace, &[]);
        assert!(outcome.stdout.contains("0 gained, 0 revoked, 0 unchanged, 1 cannot"), "{}", outcome.text());
        // Of other domains no issuer asserts groups.
        let elsewhere = [&claim[..], &["--set", "issuers.demo.email_domains=[example.org]"]].concat();
        let outcome = diff(&workspace, &elsewhere);
        assert!(!outcome.stdout.contains("groups or attributes"), "{}", outcome.text());
    }
}

/// Where the log says otherwise than both trees, something was in play that neither shows.
#[tokio::test]
async fn what_the_log_records_otherwise_than_both_trees_is_not_unchanged() {
    let log = log_of(vec![by("eve@example.com", "POST", COMPANION, CANCEL)]).await;
    let outcome = diff(&workspace(&log), &[]);
    assert!(outcome.stdout.contains("1 unchanged, 0 cannot"), "{}", outcome.text());
    let binding =
        "bindings:\n- role: organizations/7/roles/operationsCanceller\n  members: ['user:eve@example.com']\n";
    let workspace = workspace(&log)
        .write("old/allow/folders/42.yaml", binding)
        .write("new/allow/folders/42.yaml", binding);
    let outcome = diff(&workspace, &[]);
    assert!(outcome.stdout.contains("0 unchanged, 1 cannot be told"), "{}", outcome.text());
    assert!(outcome.stdout.contains("both trees decide otherwise than the log says"), "{}", outcome.text());
}
