//! `POST /explain` on the admin port: the running gate explains decisions by its own snapshot.

use opgate::dev::mint::Mint;
use serde_json::{Value, json};

use crate::harness::{COMPANION, Gate, claims, foreign_key, token};

const CANCEL: &str = "google.longrunning.Operations.CancelOperation";
const OPERATION: &str = "projects/demo/locations/us-central1/operations/import-1";

fn question() -> Value {
    json!({ "method": CANCEL, "resource": OPERATION, "host": COMPANION })
}

fn with(changes: Value) -> Value {
    let mut question = question();
    for (name, value) in changes.as_object().unwrap() {
        question[name] = value.clone();
    }
    question
}

async fn asked(gate: &Gate, question: Value) -> Value {
    let answer = gate.explain(&question).await;
    let body = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, 200, "{question}: {body}");
    answer.json().unwrap()
}

#[tokio::test]
async fn a_question_is_answered_by_the_snapshot_in_force() {
    let gate = Gate::start();
    let lea = asked(&gate, with(json!({ "principal": "user:lea@example.com" }))).await;
    assert_eq!(lea["overallAccessState"], "CAN_ACCESS");
    assert_eq!(lea["allowPolicyExplanation"]["allowAccessState"], "ALLOW_ACCESS_STATE_GRANTED");
    assert!(lea["opgate"]["rule"]["file"].as_str().unwrap().ends_with("allow/projects/demo.yaml"));
    let ready: Value = gate.admin("/readyz").await.json().unwrap();
    assert_eq!(lea["opgate"]["policyRevision"], ready["policyRevision"]);

    let group = with(json!({ "principal": "user:eve@example.com", "groups": ["leads@example.com"] }));
    assert_eq!(asked(&gate, group).await["overallAccessState"], "CAN_ACCESS");
    let anonymous = asked(&gate, question()).await;
    assert_eq!(anonymous["opgate"]["reason"], "CREDENTIALS_MISSING");
    let scope = with(
        json!({ "principal": "user:lea@example.com", "scopes": ["x"], "time": "2026-03-01T12:00:00Z", "ip": "::1" }),
    );
    let scope = asked(&gate, scope).await;
    assert_eq!(scope["opgate"]["reason"], "ACCESS_TOKEN_SCOPE_INSUFFICIENT");
    assert_eq!(scope["opgate"]["time"], "2026-03-01T12:00:00Z");
    let email = "lea@example.com";
    let said = with(json!({ "claims": { "iss": crate::harness::ISSUER, "email": email }, "all": true }));
    let said = asked(&gate, said).await;
    assert_eq!(said["opgate"]["principal"], "user:lea@example.com");
    let policies = said["allowPolicyExplanation"]["explainedPolicies"].as_array().unwrap();
    assert!(policies.iter().all(|policy| policy["opgate"]["omittedBindings"] == 0));
}

#[tokio::test]
async fn a_token_is_verified_and_written_nowhere() {
    let gate = Gate::start();
    let good = token("lea@example.com");
    let forged = foreign_key().sign(&claims("lea@example.com", &[])).unwrap();
    let lea = asked(&gate, with(json!({ "token": good }))).await;
    assert_eq!(
        (&lea["overallAccessState"], &lea["opgate"]["principal"]),
        (&json!("CAN_ACCESS"), &json!("user:lea@example.com"))
    );
    let other = asked(&gate, with(json!({ "token": forged }))).await;
    assert_eq!(other["opgate"]["reason"], "JWT_TOKEN_INVALID");
    // A mistake in the body is reported without quoting the body.
    let broken = gate.explain(&with(json!({ "token": good, "time": { "is": good } }))).await;
    assert_eq!(broken.status, 400);
    let texts = [
        lea.to_string(),
        other.to_string(),
        String::from_utf8(broken.body).unwrap(),
        gate.log(),
        gate.audit_text(),
    ];
    for part in good.split('.').chain(forged.split('.')) {
        assert!(texts.iter().all(|text| !text.contains(part)), "{part} in {texts:?}");
    }
}

#[tokio::test]
async fn an_invalid_question_is_refused_with_the_next_step() {
    let gate = Gate::start();
    let refused = [
        json!([]),
        json!({}),
        json!({ "principl": "user:ana@example.com" }),
        with(json!({ "principal": "ana@example.com" })),
        with(json!({ "principal": "user:ana@example.com", "token": "x" })),
        with(json!({ "groups": ["x@example.com"] })),
        with(json!({ "time": "noon" })),
        with(json!({ "ip": "here" })),
        with(json!({ "host": "elsewhere.example" })),
        with(json!({ "method": "google.longrunning.Operations.CancelOperatio" })),
        json!({ "method": CANCEL, "resource": OPERATION }),
        json!({ "method": CANCEL, "resource": "/x", "host": COMPANION }),
        json!({ "method": CANCEL }),
        with(json!({ "request": { "method": "POST", "path": "/x" } })),
        json!({ "request": { "method": "POSTT", "path": "/x" } }),
        json!({ "request": { "method": "POST", "path": "http://a/x", "host": "b" } }),
    ];
    let mut told = Vec::new();
    for question in refused {
        let answer = gate.explain(&question).await;
        let json = answer.json().unwrap();
        assert_eq!(answer.status, 400, "{question}: {json}");
        let text = |field: &str| json["error"][field].as_str().unwrap().to_owned();
        told.push(format!("{question}\n  {}\n  {}", text("message"), text("help")));
    }
    insta::assert_snapshot!(told.join("\n"));

    let text = gate.admin_post("/explain", "text/plain", question().to_string().as_bytes()).await;
    assert_eq!(text.status, 415);
    let body = question().to_string();
    let utf8 = gate.admin_post("/explain", "application/json; charset=utf-8", body.as_bytes());
    assert_eq!(utf8.await.status, 200);
    assert_eq!(gate.admin_post("/explain", "application/json", b"{").await.status, 400);
    let large = with(json!({ "token": "x".repeat(64 * 1024) })).to_string();
    assert_eq!(gate.admin_post("/explain", "application/json", large.as_bytes()).await.status, 413);
    assert_eq!(gate.admin("/explain").await.status, 405);
}
