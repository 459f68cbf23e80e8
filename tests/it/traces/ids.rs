//! `X-Request-Id`: on every answer, and always the gate's own.

use crate::assertion;
use crate::harness::{
    Answer, CANCEL, COMPANION, Gate, Req, Setup, TRANSLATION, cancel, get, reason, token, values,
};
use crate::origin::Step::{Body, Close, Head, Say};
use crate::origin::{Origin, Step};

const PAGE: &str = "https://app.example.com";

fn id(answer: &Answer) -> &str {
    let ids: Vec<_> = answer.headers.get_all("x-request-id").iter().collect();
    assert_eq!(ids.len(), 1, "{} {:?}", answer.status, answer.headers);
    let id = ids[0].to_str().unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    id
}

/// A backend that has ids of its own.
const WITH_AN_ID: &[Step] = &[
    Head,
    Body,
    Say("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
         HTTP/1.1 200 OK\r\nConnection: close\r\nX-Request-Id: backends\r\nContent-Length: 2\r\n\r\n{}"),
    Close,
];

/// Forwarded answers, refusals of each stage, and what the gate answers itself; over both versions.
#[tokio::test]
async fn every_answer_tells_the_id_of_its_audit_line() {
    let set = [
        format!("services.cloudaicompanion.cors={{origins: ['{PAGE}'], headers: [authorization]}}"),
        "services.cloudaicompanion.protected_resource=https://cloudaicompanion.localhost".to_owned(),
    ];
    let gate = Gate::start_with(Setup { set: set.to_vec(), ..Setup::default() });
    let ana = token("ana@example.com");
    let preflight = Req::new("OPTIONS", COMPANION, CANCEL)
        .header("origin", PAGE)
        .header("access-control-request-method", "POST");
    let requests = [
        (cancel(), "ALLOWED"),
        (get().header("origin", PAGE), "ALLOWED"),
        (Req::new("GET", COMPANION, "/").bearer(&ana), "METHOD_NOT_FOUND"),
        (Req::new("POST", COMPANION, CANCEL), "CREDENTIALS_MISSING"),
        (Req::new("GET", "elsewhere.example", "/"), "METHOD_NOT_FOUND"),
        (preflight, "PREFLIGHT_ANSWERED"),
        (Req::new("GET", COMPANION, "/.well-known/oauth-protected-resource"), "RESOURCE_METADATA_PUBLISHED"),
        (cancel().header("x_request_id", "mine"), "REQUEST_MALFORMED"),
    ];
    let mut told = Vec::new();
    for (request, expected) in &requests {
        for answer in gate.over_both(request).await {
            told.push((id(&answer).to_owned(), *expected));
        }
    }
    let broken = gate.raw("junk\r\n\r\n").await;
    told.push((id(&broken).to_owned(), "REQUEST_MALFORMED"));
    let lines = gate.audit(told.len());
    for (id, expected) in told {
        let line = lines.iter().find(|line| line["insertId"] == *id).expect(expected);
        assert_eq!(line["protoPayload"]["metadata"]["reason"], expected);
    }
}

#[tokio::test]
async fn the_keys_that_verify_assertions_come_with_an_id() {
    let directory = tempfile::tempdir().unwrap();
    let gate = Gate::start_with(assertion::setup(directory.path()));
    for answer in gate.over_both(&Req::new("GET", TRANSLATION, assertion::JWKS)).await {
        assert_eq!(answer.status, 200);
        id(&answer);
    }
}

#[tokio::test]
async fn a_backends_own_request_id_is_replaced() {
    let origin = Origin::start(WITH_AN_ID).await;
    let gate = Gate::start_with(Setup { endpoints: Some(vec![origin.address]), ..Setup::default() });
    for answer in gate.over_both(&get()).await {
        assert_eq!(answer.status, 200);
        id(&answer);
    }
}

#[tokio::test]
async fn a_failed_backends_answer_has_the_id_too() {
    let origin = Origin::start(&[Head, Body, Close]).await;
    let gate = Gate::start_with(Setup { endpoints: Some(vec![origin.address]), ..Setup::default() });
    for answer in gate.over_both(&cancel()).await {
        assert_eq!((answer.status, reason(&answer).as_str()), (502, "UPSTREAM_INVALID"));
        id(&answer);
    }
}

/// An id that a client could choose would let it point at another request's audit line.
#[tokio::test]
async fn a_clients_id_is_never_taken_for_the_gates() {
    let gate = Gate::start();
    let chosen = "0123456789abcdef0123456789abcdef";
    let request = cancel().header("x-request-id", chosen);
    for answer in gate.over_both(&request).await {
        assert_ne!(id(&answer), chosen);
    }
    for request in gate.backend.requests() {
        let ids = values(&request.headers, "x-request-id");
        assert!(ids.len() == 1 && ids[0] != chosen, "{ids:?}");
    }
}
