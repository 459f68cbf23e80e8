//! Requests that are not a plain cancel, from a caller who may cancel.

use super::row::{Refusal, Row, run};
use super::seed::{ANA, BOB, COMPANION_SEED, DATAPROC_SEED, SEEDS, STRANGER, Seed, TRANSLATION_SEED};
use crate::harness::{Body, Gate, Req, token};

#[tokio::test]
pub async fn an_undeclared_method_is_not_found() {
    let gate = Gate::start();
    let mut rows = Vec::new();
    for seed in SEEDS {
        let ana = |request: Req| request.bearer(&token(ANA));
        let at_operation = |suffix: &str| seed.call("POST", &format!("{}{suffix}", seed.operation));
        for (name, request) in [
            ("unknown verb", ana(at_operation(":abort"))),
            ("verb in capitals", ana(at_operation(":Cancel"))),
            ("empty verb", ana(at_operation(":"))),
            ("verb with more after it", ana(at_operation(":cancelled"))),
            ("encoded colon before an unknown verb", ana(at_operation("%3Acancel:abort"))),
            ("unknown path", ana(seed.call("POST", "projects/demo/secrets/s1:cancel"))),
            ("a segment too many", ana(at_operation("/x:cancel"))),
            ("a segment too few", ana(seed.call("POST", &format!("{}/operations:cancel", seed.parent)))),
            (
                "unknown version",
                ana(Req { target: format!("/v9/{}:cancel", seed.operation), ..seed.cancel() }),
            ),
            ("unknown path without a token", seed.call("POST", "projects/demo/secrets/s1:cancel")),
            ("unknown path with a body", ana(seed.call("POST", "nothing").body(Body::Length(b"x".to_vec())))),
        ] {
            rows.push(Row::new(format!("{}: {name}", seed.host), request, Refusal::not_found()));
        }
        let elsewhere = ana(Req { host: "unknown.localhost".to_owned(), ..seed.cancel() });
        let refusal = Refusal::unknown_host("unknown.localhost");
        rows.push(Row::new(format!("{}: unknown host", seed.host), elsewhere, refusal));
        for (method, relative, allow) in [
            ("GET", format!("{}:cancel", seed.operation), "POST"),
            ("PUT", format!("{}:cancel", seed.operation), "POST"),
            ("DELETE", format!("{}:cancel", seed.operation), "POST"),
            ("PATCH", format!("{}:cancel", seed.operation), "POST"),
            ("OPTIONS", format!("{}:cancel", seed.operation), "POST"),
            ("GET", format!("{}:wait", seed.operation), "POST"),
            ("POST", seed.operation.to_owned(), "DELETE, GET, HEAD"),
            ("PUT", seed.operation.to_owned(), "DELETE, GET, HEAD"),
            ("POST", format!("{}/operations", seed.parent), "GET, HEAD"),
            ("DELETE", format!("{}/operations", seed.parent), "GET, HEAD"),
        ] {
            for (who, request) in [
                ("ana", seed.call(method, &relative).bearer(&token(ANA))),
                ("no credential", seed.call(method, &relative)),
            ] {
                let name = format!("{}: {method} {relative} by {who}", seed.host);
                rows.push(Row::new(name, request, Refusal::method(allow)));
            }
        }
    }
    run("routes", &gate, &rows).await;
}

#[tokio::test]
pub async fn another_services_operations_are_not_found_on_a_host() {
    let gate = Gate::start();
    let mut rows = Vec::new();
    for seed in SEEDS {
        for other in SEEDS.into_iter().filter(|other| other.host != seed.host) {
            // Dataproc binds names under `locations` too.
            if seed.host == DATAPROC_SEED.host && other.host == COMPANION_SEED.host {
                continue;
            }
            let request = Req { host: seed.host.to_owned(), ..other.cancel() }.bearer(&token(ANA));
            let name = format!("{} at {}", other.operation, seed.host);
            rows.push(Row::new(name, request, Refusal::not_found()));
        }
    }
    run("other services", &gate, &rows).await;
}

#[tokio::test]
pub async fn a_cancel_with_a_body_is_refused_however_it_is_framed() {
    let gate = Gate::start();
    let mut rows = Vec::new();
    for seed in SEEDS {
        for (name, body, message, field) in bodies(seed) {
            for (framing, body) in
                [("Content-Length", Body::Length(body.clone())), ("chunked", Body::Chunked(body.clone()))]
            {
                let request = seed.cancel().bearer(&token(ANA)).body(body);
                rows.push(Row::new(
                    format!("{}: {name}, {framing}", seed.host),
                    request,
                    Refusal::body(message, field),
                ));
            }
        }
    }
    run("bodies", &gate, &rows).await;
}

/// Bodies that are not an empty message, the message about each, and the field that is wrong.
fn bodies(seed: &Seed) -> [(&'static str, Vec<u8>, &'static str, &'static str); 7] {
    const TOKEN: &str = "Invalid JSON payload received. Unexpected token.";
    const ROOT: &str = "Invalid JSON payload received. Unknown name \"\": Root element must be a message.";
    const UNKNOWN: &str = "Invalid JSON payload received. Unknown name \"force\": Cannot find field.";
    const TWICE: &str = "Invalid JSON payload received. Member `name` is given twice.";
    const OTHER: &str = "Invalid value at 'name': it is not the one that the path names.";
    let named = |name: &str| format!("{{\"name\":\"{name}\"}}").into_bytes();
    let twice = format!("{{\"name\":\"{}\",\"name\":\"{}\"}}", seed.elsewhere, seed.operation);
    [
        ("one byte", b"x".to_vec(), TOKEN, ""),
        ("an array", b"[]".to_vec(), ROOT, ""),
        ("null", b"null".to_vec(), ROOT, ""),
        ("another operation", named(seed.elsewhere), OTHER, "name"),
        ("a name that is null", br#"{"name":null}"#.to_vec(), OTHER, "name"),
        ("another field", br#"{"force":true}"#.to_vec(), UNKNOWN, ""),
        ("two names", twice.into_bytes(), TWICE, ""),
    ]
}

/// docs/errors.md, "Order": a caller who may not call learns nothing about what would be wrong with the call.
#[tokio::test]
pub async fn a_body_is_judged_only_after_the_caller() {
    let gate = Gate::start();
    let mut rows = Vec::new();
    for seed in [&COMPANION_SEED, &DATAPROC_SEED] {
        let body = || Body::Length(b"x".to_vec());
        rows.push(Row::new("no token", seed.cancel().body(body()), Refusal::missing(seed)));
        for email in [BOB, STRANGER] {
            let request = seed.cancel().bearer(&token(email)).body(body());
            rows.push(Row::new(email, request, Refusal::permission(seed, "cancel", seed.operation)));
        }
    }
    run("order", &gate, &rows).await;
}

#[tokio::test]
pub async fn a_query_that_names_another_operation_is_refused() {
    let gate = Gate::start();
    let mut rows = Vec::new();
    for seed in SEEDS {
        for (query, key) in [
            (format!("name={}", seed.elsewhere), "name"),
            (format!("alt=json&name={}", seed.elsewhere), "name"),
            (format!("n%61me={}", seed.elsewhere), "name"),
            (format!("name.x={}", seed.elsewhere), "name.x"),
            (format!("NAME={}", seed.elsewhere), "NAME"),
            ("name".to_owned(), "name"),
            ("access_token=x".to_owned(), "access_token"),
            ("$ct=text/plain".to_owned(), "$ct"),
            ("%24httpMethod=GET".to_owned(), "$httpMethod"),
            ("callback=alert".to_owned(), "callback"),
        ] {
            let target = format!("{}?{query}", seed.cancel().target);
            let request = Req { target, ..seed.cancel() }.bearer(&token(ANA));
            rows.push(Row::new(format!("{}: {query}", seed.host), request, Refusal::query(key)));
        }
    }
    run("queries", &gate, &rows).await;
}

/// RFC 9110, section 9.3.2: a HEAD gets the header fields that another method would get, and no content.
#[tokio::test]
pub async fn a_refused_head_request_has_the_headers_and_no_body() {
    let gate = Gate::start();
    for (name, request, status, allow) in [
        (
            "cancel",
            TRANSLATION_SEED.call("HEAD", "projects/demo/operations/batch-1:cancel"),
            405,
            Some("POST"),
        ),
        ("unknown path", DATAPROC_SEED.call("HEAD", "nothing"), 404, None),
    ] {
        let request = request.bearer(&token(ANA));
        let answer = gate.http2(&request).await;
        assert_eq!((answer.status, answer.body.len()), (status, 0), "{name}, HTTP/2");
        assert_eq!(answer.header("allow"), allow, "{name}, HTTP/2");
        assert_eq!(answer.header("content-type"), Some("application/json; charset=UTF-8"), "{name}, HTTP/2");

        let bytes = gate.raw_to_the_end(request.clone().header("connection", "close").to_http1()).await;
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "", "{name}, HTTP/1.1");
        let head = head.to_ascii_lowercase();
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{name}: {head}");
        assert!(head.contains("\r\ncontent-type: application/json; charset=utf-8"), "{name}: {head}");
        // The length of the answer to another method.
        let other = Req { method: "PUT".to_owned(), ..request };
        let length = gate.http1(&other).await.body.len();
        assert!(head.contains(&format!("\r\ncontent-length: {length}")), "{name}: {head}");
        match allow {
            Some(allow) => {
                let allow = allow.to_ascii_lowercase();
                assert!(head.contains(&format!("\r\nallow: {allow}")), "{name}: {head}");
            }
            None => assert!(!head.contains("\r\nallow:"), "{name}: {head}"),
        }
    }
    assert!(gate.backend.requests().is_empty());
}
