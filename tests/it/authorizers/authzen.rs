//! AuthZEN, as docs/authzen.md shows it.

use serde_json::{Value, json};

use crate::harness::{Answer, Body, Gate, Req, Setup};
use crate::readme::pages::{Kind, Page};

const HOST: &str = "pdp.localhost";

fn shown(name: &str) -> Value {
    let text = Page::read("docs/authzen.md").block(&Kind::Peer(name.to_owned())).text;
    serde_saphyr::from_str(&text).unwrap()
}

fn start() -> Gate {
    let mut listeners = shown("opgate")["listeners"].clone();
    listeners[0]["address"] = "127.0.0.1:0".into();
    Gate::start_with(Setup { set: vec![format!("listeners={listeners}")], ..Setup::default() })
}

fn question(path: &str, body: &Value) -> Req {
    let body = Body::Length(body.to_string().into_bytes());
    Req::new("POST", HOST, path).header("content-type", "application/json").body(body)
}

async fn ask(gate: &Gate, path: &str, body: &Value) -> Value {
    let [first, second] = gate.over_both(&question(path, body)).await;
    let fixed = |answer: &Answer| {
        assert_eq!(answer.status, 200, "{body}: {}", String::from_utf8_lossy(&answer.body));
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        regex::Regex::new("[0-9a-f]{32}").unwrap().replace_all(&text, "ID").into_owned()
    };
    assert_eq!(fixed(&first), fixed(&second));
    first.json().unwrap()
}

#[tokio::test]
async fn the_question_of_the_page_is_answered_as_the_page_shows() {
    let gate = start();
    let mut expected = shown("answer");
    let answer = ask(&gate, "/access/v1/evaluation", &shown("question")).await;
    for known in ["request_id", "policy_revision"] {
        expected["context"][known] = answer["context"][known].clone();
    }
    assert_eq!(answer, expected);
    let id = answer["context"]["request_id"].as_str().unwrap();
    let lines = gate.audit(2);
    let line = lines.iter().find(|line| line["insertId"] == id).unwrap();
    let payload = &line["protoPayload"];
    assert_eq!(payload["metadata"]["decision"], "ANSWERED");
    assert_eq!(payload["metadata"]["reason"], "ALLOWED");
    assert_eq!(payload["metadata"]["frontend"], "authzen");
    assert_eq!(payload["authenticationInfo"]["principalSubject"], "user:ana@example.com");
    assert_eq!(payload["resourceName"], shown("question")["resource"]["id"]);
    assert!(gate.backend.requests().is_empty());
}

#[tokio::test]
async fn each_question_is_decided_by_policy() {
    let gate = start();
    let asked = |kind: &str, id: &str, action: &str| {
        let mut question = shown("question");
        question["subject"] = json!({ "type": kind, "id": id });
        question["action"]["name"] = action.into();
        question
    };
    let cancel = "google.longrunning.Operations.CancelOperation";
    for (question, decision, reason) in [
        (asked("user", "ana@example.com", cancel), true, "ALLOWED"),
        (asked("user", "lea@example.com", cancel), true, "ALLOWED"),
        (asked("user", "bob@example.com", cancel), false, "IAM_PERMISSION_DENIED"),
        (asked("user", "bob@example.com", "cloudaicompanion.operations.get"), true, "ALLOWED"),
        (
            asked("serviceAccount", "ci@demo.iam.gserviceaccount.com", "cloudaicompanion.operations.delete"),
            true,
            "ALLOWED",
        ),
        (asked("anonymous", "none", cancel), false, "CREDENTIALS_MISSING"),
        (asked("user", "ana@example.com", "no.such.thing"), false, "METHOD_NOT_FOUND"),
    ] {
        let answer = ask(&gate, "/access/v1/evaluation", &question).await;
        assert_eq!(
            (&answer["decision"], &answer["context"]["reason"]),
            (&json!(decision), &json!(reason)),
            "{question}"
        );
    }
}

#[tokio::test]
async fn several_questions_end_where_their_semantic_says() {
    let gate = start();
    let one = |user: &str| json!({ "subject": { "type": "user", "id": user } });
    let mut body = shown("question");
    body.as_object_mut().unwrap().remove("subject");
    body["evaluations"] = json!([one("ana@example.com"), one("bob@example.com"), one("ana@example.com"), { "subject": { "type": "robot", "id": "x" } }]);
    for (semantic, expected) in [
        ("execute_all", &[true, false, true, false][..]),
        ("deny_on_first_deny", &[true, false][..]),
        ("permit_on_first_permit", &[true][..]),
    ] {
        // The last one is not a question at all: it is said before any is answered.
        body["options"] = json!({ "evaluations_semantic": semantic });
        let mut known = body.clone();
        known["evaluations"].as_array_mut().unwrap().pop();
        let answer = ask(&gate, "/access/v1/evaluations", &known).await;
        let decisions: Vec<bool> = answer["evaluations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["decision"].as_bool().unwrap())
            .collect();
        assert_eq!(decisions, expected[..expected.len().min(3)], "{semantic}");
        assert_eq!(gate.http1(&question("/access/v1/evaluations", &body)).await.status, 400, "{semantic}");
    }
}

#[tokio::test]
async fn what_is_not_a_question_is_refused_and_the_endpoints_are_told() {
    let gate = start();
    let good = shown("question");
    let text = |body: &str| {
        Req::new("POST", HOST, "/access/v1/evaluation").body(Body::Length(body.as_bytes().to_vec()))
    };
    for (request, status) in [
        (text("{}").header("content-type", "application/json"), 400),
        (text("[]").header("content-type", "application/json"), 400),
        (text(&good.to_string()), 400),
        (text(&good.to_string()).header("content-type", "text/plain"), 400),
        (Req::new("GET", HOST, "/access/v1/evaluation"), 405),
        (question("/access/v1/other", &good), 404),
        (question("/", &good), 404),
    ] {
        for answer in gate.over_both(&request).await {
            assert_eq!(answer.status, status, "{request:?}");
        }
    }
    let told = gate.over_both(&Req::new("GET", HOST, "/.well-known/authzen-configuration")).await;
    for answer in told {
        let origin = format!("http://{HOST}");
        let expected = json!({
            "policy_decision_point": origin,
            "access_evaluation_endpoint": format!("{origin}/access/v1/evaluation"),
            "access_evaluations_endpoint": format!("{origin}/access/v1/evaluations"),
        });
        assert_eq!(answer.json().unwrap(), expected);
    }
    let named = question("/access/v1/evaluation", &good).header("x-request-id", "mine");
    assert_eq!(gate.http1(&named).await.header("x-request-id"), Some("mine"));
    assert!(gate.backend.requests().is_empty());
}
