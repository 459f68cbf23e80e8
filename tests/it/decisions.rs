//! The last decisions that a gate remembers: listed, and explained by their request ids.

use std::net::SocketAddr;

use opgate::dev::wire;
use serde_json::{Value, json};

use crate::cli::Workspace;
use crate::harness::{Answer, COMPANION, Gate, Req, Setup, token, values};
use crate::readme::fragments;
use crate::readme::pages::{Kind, Page};

const CANCEL: &str = "/v1/projects/demo/locations/l/operations/o:cancel";
const TOKEN: &str = "correct-horse-battery-staple";

fn set(settings: &[&str]) -> Gate {
    let set = settings.iter().map(|setting| (*setting).to_owned()).collect();
    Gate::start_with(Setup { set, ..Setup::default() })
}

/// Calls, and gives the id of the request.
async fn call(gate: &Gate, request: &Req) -> String {
    values(&gate.http1(request).await.headers, "x-request-id").remove(0)
}

async fn denied(gate: &Gate) -> String {
    call(gate, &Req::new("POST", COMPANION, CANCEL).bearer(&token("bob@example.com"))).await
}

/// Asks until the gate remembers so many decisions: its audit thread hands them over a moment later.
async fn remembered(gate: &Gate, path: &str, count: usize) -> Vec<Value> {
    for _ in 0..1_000 {
        let told = gate.admin(path).await.json().unwrap();
        let told = told["decisions"].as_array().unwrap();
        if told.len() >= count {
            return told.clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{count} decisions are not remembered");
}

async fn get(address: SocketAddr, path: &str, fields: &str) -> Answer {
    let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{fields}Connection: close\r\n\r\n");
    wire::exchange(address, head.as_bytes()).await.unwrap()
}

#[tokio::test]
async fn the_two_commands_of_the_quickstart_lead_from_a_denial_to_its_explanation() {
    let page = Page::read("README.md");
    let (workspace, _) = fragments::workspace(&page);
    let policies = format!("policy.directory={}", workspace.path("policies").display());
    let gate = set(&[&policies, "services.library={upstream: operations}"]);
    let block = page.block(&Kind::Quickstart);
    let [call, explain] = block.text.lines().collect::<Vec<_>>()[..] else { panic!("{}", block.text) };
    let curl = format!("BOB={}; {call}", token("bob@example.com"));
    let answer = workspace.shell(&curl.replace("127.0.0.1:8080", &gate.address.to_string()));
    assert!(answer.stdout.starts_with("HTTP/1.1 403 "), "{}", answer.text());
    let id = answer.stdout.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap().trim();
    remembered(&gate, "/decisions", 1).await;
    let explain = explain.replace("ID", id);
    let told = workspace.shell(&format!("{explain} --set admin.address={}", gate.admin));
    assert_eq!((told.code, told.stderr.as_str()), (Some(2), ""), "{}", told.text());
    for part in [
        "RECORDED  DENIED: IAM_PERMISSION_DENIED\n",
        ", which is in force\n",
        "\nDENIED  user:bob@example.com may not library.books.get\n",
        "\nWhat would allow it",
    ] {
        assert!(told.stdout.contains(part), "{part}\n{}", told.stdout);
    }
}

#[tokio::test]
async fn a_gate_and_its_log_explain_a_decision_alike() {
    let gate = Gate::start();
    let id = denied(&gate).await;
    remembered(&gate, "/decisions", 1).await;
    let workspace = Workspace::new().write("audit.jsonl", &gate.audit_text());
    let admin = format!("http://{}", gate.admin);
    let asked = |more: &[&str]| {
        let outcome =
            workspace.opgate(&[&["explain", "--request-id", &id, "--output", "json"][..], more].concat());
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(2), ""), "{}", outcome.text());
        serde_json::from_str::<Value>(&outcome.stdout).unwrap()
    };
    let of_gate = asked(&["--admin", &admin]);
    let of_log = asked(&["--audit", "audit.jsonl", "--config", "config/demo.yaml"]);
    assert_eq!(of_gate["recorded"]["reason"], "IAM_PERMISSION_DENIED");
    for part in ["decision", "reason", "detail", "rule", "policyRevision", "time"] {
        assert_eq!(of_gate["recorded"][part], of_log["recorded"][part], "{part}");
    }
    // The same policy, at two places.
    let without_places =
        |told: &Value| told["explanation"]["allowPolicyExplanation"]["allowAccessState"].clone();
    assert_eq!(without_places(&of_gate), without_places(&of_log));
    assert_eq!(of_gate["explanation"]["overallAccessState"], "CANNOT_ACCESS");
    assert_eq!(of_gate.get("text"), None);
    // `127.0.0.1:PORT` is enough, and `--id` is the same option.
    let short = workspace.opgate(&["explain", "--id", &id, "--admin", &gate.admin.to_string()]);
    assert_eq!(short.code, Some(2), "{}", short.text());
}

#[tokio::test]
async fn a_decision_is_explained_by_the_policy_that_is_in_force_now() {
    let tree = crate::harness::Tree::shipped();
    let gate = set(&[&tree.setting()]);
    let id = denied(&gate).await;
    remembered(&gate, "/decisions", 1).await;
    let ready = async || gate.admin("/readyz").await.json().unwrap()["policyRevision"].clone();
    let before = ready().await;
    tree.edit(
        "allow/projects/demo.yaml",
        "version: 1\n",
        "- role: organizations/7/roles/operationsCanceller\n  members:\n  - user:bob@example.com\nversion: 1\n",
    );
    gate.hang_up();
    while ready().await == before {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let told = gate.admin(&format!("/decisions/{id}")).await.json().unwrap();
    assert_eq!(told["recorded"]["decision"], "DENIED");
    assert_eq!(told["explanation"]["overallAccessState"], "CAN_ACCESS");
    let text = told["text"].as_str().unwrap();
    assert!(text.contains("the policy in force decides otherwise, as follows"), "{text}");
}

#[tokio::test]
async fn decisions_are_listed_newest_first_by_reason_service_and_principal() {
    let gate = Gate::start();
    let by = |who: &str| Req::new("POST", COMPANION, CANCEL).bearer(&token(who));
    gate.http1(&by("ana@example.com")).await;
    let bob = call(&gate, &by("bob@example.com")).await;
    // Lines of two connections may change places.
    remembered(&gate, "/decisions", 2).await;
    let unknown = call(&gate, &Req::new("GET", COMPANION, "/v1/nothing")).await;
    let ids = |lines: &[Value]| lines.iter().map(|line| line["insertId"].clone()).collect::<Vec<_>>();
    let all = remembered(&gate, "/decisions", 3).await;
    assert_eq!(ids(&all)[..2], [json!(unknown), json!(bob)]);
    for (query, expected) in [
        ("?principal=BOB", vec![bob.clone()]),
        ("?reason=iam_permission", vec![bob.clone()]),
        ("?service=cloudaicompanion&reason=DENIED", vec![bob.clone()]),
        ("?principal=eve", vec![]),
        ("?limit=1", vec![unknown.clone()]),
    ] {
        let told = gate.admin(&format!("/decisions{query}")).await.json().unwrap();
        let told = ids(told["decisions"].as_array().unwrap());
        assert_eq!(told, expected.into_iter().map(Value::from).collect::<Vec<_>>(), "{query}");
    }
    for wrong in ["?limit=0", "?limit=1001", "?limit=x", "?resaon=x"] {
        assert_eq!(gate.admin(&format!("/decisions{wrong}")).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn what_is_not_remembered_is_said_with_the_next_step() {
    let gate = set(&["admin.recent.lines=0"]);
    let id = denied(&gate).await;
    gate.audit(1);
    let answer = gate.admin(&format!("/decisions/{id}")).await;
    let told = answer.json().unwrap();
    assert_eq!(answer.status, 404, "{told}");
    assert!(told["error"]["help"].as_str().unwrap().contains("--audit FILE"), "{told}");
    let workspace = Workspace::new();
    let outcome = workspace.opgate(&["explain", "--request-id", &id, "--admin", &gate.admin.to_string()]);
    assert_eq!(outcome.code, Some(3), "{}", outcome.text());
    assert!(outcome.stderr.contains("does not remember a request") && outcome.stderr.contains("= help: "));
    // Where there is no gate, that is said.
    let nowhere = workspace.opgate(&["explain", "--request-id", "x", "--admin", "127.0.0.1:1"]);
    assert_eq!(nowhere.code, Some(1), "{}", nowhere.text());
    assert!(nowhere.stderr.contains("cannot ask the gate at http://127.0.0.1:1/"), "{}", nowhere.text());
    for wrong in [
        &["explain", "--request-id", "x", "--policies", "policies"][..],
        &["explain", "--request-id", "x", "--admin", "ftp://a"],
        &["explain", "--request-id", "x", "--admin", "http://"],
        &["explain", "--audit", "audit.jsonl", "--policies", "policies"],
        &["explain", "--request-id", "x", "--audit", "audit.jsonl"],
        &["explain", "--request-id", "x", "GET", "/v1/x"],
        &["explain", "GET", "/v1/x"],
    ] {
        let outcome = workspace.opgate(wrong);
        assert_eq!(outcome.code, Some(3), "{wrong:?}: {}", outcome.text());
        assert_ne!(outcome.stderr, "");
    }
}

#[tokio::test]
async fn decisions_are_told_to_those_who_may_read_policy_alone() {
    let tokens = tempfile::tempdir().unwrap();
    let file = tokens.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let gate = set(&[&format!("admin.explain={{token_file: {}}}", file.display())]);
    let id = denied(&gate).await;
    gate.audit(1);
    for path in ["/decisions".to_owned(), format!("/decisions/{id}")] {
        assert_eq!(gate.admin(&path).await.status, 401, "{path}");
        assert_eq!(get(gate.admin, &path, "Authorization: Bearer wrong\r\n").await.status, 401);
        let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
        assert_eq!(get(gate.admin, &path, &bearer).await.status, 200, "{path}");
        // A page of another site cannot ask.
        assert_eq!(
            get(gate.admin, &path, &format!("{bearer}Origin: http://evil.example\r\n")).await.status,
            403
        );
    }
    let workspace = Workspace::new();
    let admin = gate.admin.to_string();
    let ask = |more: &[&str]| {
        workspace.opgate(&[&["explain", "--request-id", &id, "--admin", &admin][..], more].concat())
    };
    let without = ask(&[]);
    assert_eq!(without.code, Some(3), "{}", without.text());
    assert!(without.stderr.contains("--token-file FILE"), "{}", without.text());
    let with = ask(&["--token-file", file.to_str().unwrap()]);
    assert_eq!(with.code, Some(2), "{}", with.text());
    // The configuration names the file, and the address.
    let configured = workspace.opgate(&[
        "explain",
        "--request-id",
        &id,
        "--config",
        "config/opgate.yaml",
        "--set",
        &format!("admin={{address: '{admin}', explain: {{token_file: {}}}}}", file.display()),
    ]);
    assert_eq!(configured.code, Some(2), "{}", configured.text());

    let off = set(&["admin.explain=off"]);
    let id = denied(&off).await;
    for path in ["/decisions".to_owned(), format!("/decisions/{id}")] {
        assert_eq!(off.admin(&path).await.status, 404, "{path}");
    }
}
