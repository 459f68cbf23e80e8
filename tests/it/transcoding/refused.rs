//! Requests of which nothing reaches the backend.

use serde_json::Value;

use super::rig::{Rig, ana, ana_with};
use crate::harness::{Body, Req, reason, token};

const BOOK: &str = "/v1/projects/acme/books/b1";
const ECHO: &str = "/v1/projects/acme:echo";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_of_the_message_or_against_the_path_is_refused() {
    let rig = Rig::start().await;
    let archive = format!("{BOOK}:archive");
    let (body, query) = ("REQUEST_BODY_REFUSED", "QUERY_PARAMETER_REFUSED");
    let rows = [
        (ana("GET", &format!("{BOOK}?nope=1")), query),
        (ana("GET", &format!("{BOOK}?name=projects/acme/books/b2")), query),
        (ana("GET", &format!("{BOOK}?alt=proto")), query),
        (ana("GET", "/v1/projects/acme/books?pageSize=1&page_size=2"), query),
        (ana("GET", "/v1/projects/acme/books?pageSize=many"), query),
        (ana("GET", "/v1/projects/acme/books?order=FIRST"), query),
        (ana("GET", "/v1/projects/acme/books?callback=f"), query),
        (ana_with("POST", &format!("{archive}?reason=x"), "{}"), query),
        (ana_with("POST", "/v1/projects/acme/books?book.title=x", "{}"), query),
        (ana_with("POST", &archive, r#"{"name": "projects/acme/books/b2"}"#), body),
        (ana_with("POST", &archive, r#"{"reason": "a", "reason": "b"}"#), body),
        (ana_with("POST", &archive, r#"{"reason": 1}"#), body),
        (ana_with("POST", &archive, r#"{"nope": 1}"#), body),
        (ana_with("POST", &archive, "[]"), body),
        (ana_with("POST", &archive, "{"), body),
        (ana_with("PATCH", BOOK, r#"{"name": "projects/acme/books/b2"}"#), body),
        (ana_with("PATCH", BOOK, r#"{"pageCount": "1", "page_count": "2"}"#), body),
        (ana_with("PATCH", BOOK, r#"{"pageCount": 9223372036854775808}"#), body),
        (ana_with("POST", ECHO, r#"{"oneText": "x", "oneNumber": 1}"#), body),
        (ana_with("POST", ECHO, "{\"text\": \"\u{fffd}\", \"data\": \"!\"}"), body),
        (ana("GET", "/v1/projects/acme/numbers/01/true/x"), "REQUEST_MALFORMED"),
        (ana("GET", "/v1/projects/acme/numbers/1/yes/x"), "REQUEST_MALFORMED"),
    ];
    let mut told = String::new();
    for (request, expected) in rows {
        let (answer, seen) = rig.ask(&request).await;
        let body = if let Body::Length(body) = &request.body { body.clone() } else { Vec::new() };
        let body = String::from_utf8_lossy(&body).into_owned();
        assert!(seen.is_empty(), "{} {body}: {seen:?}", request.target);
        assert_eq!((answer.status, reason(&answer).as_str()), (400, expected), "{} {body}", request.target);
        let message: Value = answer.json().unwrap()["error"]["message"].clone();
        told += &format!("{} {} {body}\n  {}\n", request.method, request.target, message.as_str().unwrap());
    }
    insta::assert_snapshot!(told);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_call_learns_nothing_of_the_message() {
    let rig = Rig::start().await;
    let bad = r#"{"nope": 1}"#;
    let request = |target: &str| {
        Req::new("POST", super::rig::LAB, target)
            .header("content-type", "application/json")
            .body(Body::Length(bad.as_bytes().to_vec()))
    };
    for (request, expected) in [
        (request(&format!("{BOOK}:archive")), "CREDENTIALS_MISSING"),
        (request(&format!("{BOOK}:archive")).bearer(&token("ben@example.com")), "IAM_PERMISSION_DENIED"),
        (
            request("/v1/projects/other/books/b1:archive").bearer(&token("ana@example.com")),
            "IAM_PERMISSION_DENIED",
        ),
        // Its client would stream messages: it is served over gRPC alone.
        (request("/v1/projects/acme/books:upload").bearer(&token("ana@example.com")), "METHOD_NOT_FOUND"),
    ] {
        let (answer, seen) = rig.ask(&request).await;
        assert_eq!((reason(&answer).as_str(), seen.len()), (expected, 0), "{}", request.target);
    }
}
