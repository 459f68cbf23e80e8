//! `opgate check` of a configuration with shadows, and `opgate diff --audit`: where a shadow said otherwise than the policy
//! in force.

use serde_json::Value;

use super::check::assert_errors_are_of_use;
use super::{Outcome, Workspace};
use crate::harness::{COMPANION, Gate, Req, Setup, copy, token};

const CANCEL: &str = "/v1/projects/demo/locations/l/operations/o:cancel";

/// The shipped files, and a copy of the tree in which Bob may cancel in place of Ana.
fn workspace() -> Workspace {
    let workspace = Workspace::new();
    copy(&workspace.path("policies"), &workspace.path("next"));
    workspace.edit(
        "next/allow/projects/demo.yaml",
        "  - group:oncall@example.com\n",
        "  - user:bob@example.com\n",
    )
}

fn check(workspace: &Workspace, more: &[&str]) -> Outcome {
    workspace.opgate(
        &[&["check", "--config", "config/opgate.yaml", "--set", "policy.shadow=../next"], more].concat(),
    )
}

#[test]
fn a_good_shadow_is_told_with_what_it_is_asked_for() {
    let workspace = workspace();
    let outcome = check(&workspace, &["--set", "services.dataproc.shadow=false"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.text());
    let told = "shadow next is valid: for cloudaicompanion, translation, 4 bindings, policy revision ";
    assert!(outcome.stdout.contains(told), "{}", outcome.text());
    let json: Value = serde_json::from_str(&check(&workspace, &["--output", "json"]).stdout).unwrap();
    let [shadow] = json["found"]["shadows"].as_array().unwrap().as_slice() else { panic!("{json:#}") };
    assert_eq!(shadow["directory"], "next");
    assert_eq!(shadow["services"], serde_json::json!(["cloudaicompanion", "dataproc", "translation"]));
    assert_ne!(shadow["policyRevision"], json["found"]["policyRevision"]);
    assert_eq!(shadow["otherServices"], false);

    let workspace = workspace.edit("next/services/dataproc.iam.yaml", "rules:\n", "# Other rules.\nrules:\n");
    let outcome = check(&workspace, &[]);
    assert!(outcome.stdout.contains("; its service files are not those in force"), "{}", outcome.text());
}

#[test]
fn mistakes_in_the_tree_in_force_and_in_a_shadow_are_told_in_one_run() {
    let workspace = workspace()
        .write("next/allow/projects/broken.yaml", "bindings: [{}]\n")
        .write("policies/allow/projects/torn.yaml", "bindings: [{}]\n");
    let outcome = check(&workspace, &[]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(3), ""), "{}", outcome.text());
    assert_errors_are_of_use(&outcome.stderr);
    for place in ["--> next/allow/projects/broken.yaml:1:", "--> policies/allow/projects/torn.yaml:1:"] {
        assert!(outcome.stderr.contains(place), "{}", outcome.text());
    }
    // Another tree in place of the configuration's is checked by itself.
    let alone = workspace.remove("policies/allow/projects/torn.yaml");
    let outcome = check(&alone, &["policies"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.text());
}

#[test]
fn a_shadow_that_is_not_there_is_an_error_of_a_check() {
    let outcome = check(&workspace().remove("next"), &[]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(3), ""), "{}", outcome.text());
    assert_errors_are_of_use(&outcome.stderr);
    assert!(outcome.stderr.contains("--> next"), "{}", outcome.text());
}

fn by(who: &str) -> Req {
    Req::new("POST", COMPANION, CANCEL).bearer(&token(&format!("{who}@example.com")))
}

/// The log of a gate with the shadow, in which requests were sent twice: before and after it was changed.
async fn log(workspace: &Workspace) -> String {
    let next = workspace.path("next");
    let set = vec![format!("policy.shadow={}", next.display())];
    let gate = Gate::start_with(Setup { set, ..Setup::default() });
    let until_loaded = async |times: usize| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while gate.log().matches("shadow policy loaded").count() < times {
            assert!(std::time::Instant::now() < deadline, "{}", gate.log());
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    until_loaded(1).await;
    for who in ["ana", "ana", "lea", "bob", "eve"] {
        gate.http1(&by(who)).await;
    }
    // Lea keeps it, and Bob does not get it.
    let text = std::fs::read_to_string(next.join("allow/projects/demo.yaml")).unwrap();
    let written = workspace.path("written");
    std::fs::write(&written, text.replacen("  - user:bob@example.com\n", "  - user:lea@example.com\n", 1))
        .unwrap();
    std::fs::rename(written, next.join("allow/projects/demo.yaml")).unwrap();
    until_loaded(2).await;
    for who in ["ana", "lea", "bob"] {
        gate.http1(&by(who)).await;
    }
    gate.audit(8);
    let elsewhere = workspace.path("").display().to_string();
    gate.audit_text().replace(&elsewhere, "")
}

fn told(outcome: &Outcome) -> String {
    let outcome =
        Outcome { code: outcome.code, stdout: outcome.stdout.clone(), stderr: outcome.stderr.clone() };
    let text = outcome.text();
    regex::Regex::new("shadow revision [0-9a-f]{12}")
        .unwrap()
        .replace_all(&text, "shadow revision [revision]")
        .into_owned()
}

#[tokio::test]
async fn what_a_shadow_said_otherwise_is_listed_by_its_revision() {
    let workspace = workspace();
    let log = log(&workspace).await;
    let workspace = workspace.write("audit.jsonl", &log);
    let text = workspace.opgate(&["diff", "--audit", "audit.jsonl"]);
    let json = workspace.opgate(&["diff", "--audit", "audit.jsonl", "--output", "json"]);
    assert_eq!((text.code, json.code), (Some(1), Some(1)), "{}", text.text());
    insta::assert_snapshot!(format!("{}\n{}", told(&text), told(&json)));
}

#[tokio::test]
async fn a_log_in_which_nothing_differs_is_told_apart_from_one_that_cannot_be_read() {
    let gate = Gate::start();
    gate.http1(&by("ana")).await;
    gate.audit(1);
    let workspace = workspace().write("audit.jsonl", &gate.audit_text()).write("empty.jsonl", "");
    let same = workspace.opgate(&["diff", "--audit", "audit.jsonl"]);
    assert_eq!(
        (same.code, same.stdout.as_str()),
        (Some(0), "1 request: 0 gained, 0 revoked by a shadow, 1 without a difference\n")
    );
    let empty = workspace.opgate(&["diff", "--audit", "empty.jsonl"]);
    assert_eq!((empty.code, empty.stdout.as_str()), (Some(3), ""), "{}", empty.text());
    let gone = workspace.opgate(&["diff", "--audit", "gone.jsonl"]);
    assert_eq!((gone.code, gone.stdout.as_str()), (Some(3), ""), "{}", gone.text());
    let torn = workspace.write("torn.jsonl", &format!("x\n{}", gate.audit_text()));
    assert_eq!(torn.opgate(&["diff", "--audit", "torn.jsonl"]).code, Some(3));
    let lenient = torn.opgate(&["diff", "--audit", "torn.jsonl", "--lenient"]);
    assert!(lenient.code == Some(0) && lenient.stdout.contains("1 line passed over"), "{}", lenient.text());
    for wrong in [
        &["diff", "policies", "next", "--audit", "audit.jsonl"][..],
        &["diff", "--audit", "audit.jsonl", "--requests", "audit.jsonl"],
        &["diff", "policies"],
        &["diff"],
    ] {
        assert_eq!(torn.opgate(wrong).code, Some(3), "{wrong:?}");
    }
}
