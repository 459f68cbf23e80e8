//! Which peers may ask, and what a listener that decides for proxies does with everything else.

use serde_json::json;

use crate::connection::Connection;
use crate::harness::{COMPANION, Gate, Req, Setup, cancel, token};

fn asked(listener: serde_json::Value) -> Setup {
    Setup { set: vec![format!("listeners={}", json!([listener]))], ..Setup::default() }
}

#[tokio::test]
async fn a_peer_that_is_not_named_is_closed_unheard() {
    for frontend in ["ext_authz", "forward_auth"] {
        let mut authorizer = json!({ "from": ["192.0.2.1"] });
        if frontend == "forward_auth" {
            authorizer["shape"] = "nginx".into();
        }
        let gate = Gate::start_with(asked(json!({
            "address": "127.0.0.1:0", "frontend": frontend, "authorizer": authorizer,
        })));
        let mut connection = Connection::open(gate.address).await;
        connection.try_send(cancel().to_http1()).await;
        // It may be reset, too.
        assert_eq!(connection.rest().await, b"");
        assert_eq!(gate.metric("opgate_connections_refused_total{reason=\"authorizer_untrusted\"}").await, 1);
    }
}

/// An ordinary request to such a listener is a question that says nothing, whatever its credential.
#[tokio::test]
async fn nothing_is_forwarded_by_a_listener_that_decides_for_proxies() {
    for (frontend, shape) in
        [("ext_authz", None), ("forward_auth", Some("nginx")), ("forward_auth", Some("traefik"))]
    {
        let mut authorizer = json!({});
        if let Some(shape) = shape {
            authorizer["shape"] = shape.into();
        }
        let gate = Gate::start_with(asked(json!({
            "address": "127.0.0.1:0", "frontend": frontend, "authorizer": authorizer, "health_path": "/healthz",
        })));
        let first = gate.http1(&cancel()).await;
        assert!(first.status == 400 || first.status == 403, "{frontend}: {}", first.status);
        let second = gate.http2(&cancel()).await;
        // gRPC's status is in a field.
        assert!(
            second.status >= 400 || second.header("grpc-status") == Some("12"),
            "{frontend}: {}",
            second.status
        );
        let health = Req::new("GET", COMPANION, "/healthz");
        for answer in gate.over_both(&health).await {
            assert_eq!(answer.status, 200, "{frontend}");
        }
        assert!(gate.backend.requests().is_empty());
    }
}

/// The question and the answer of nginx's shape, field by field.
#[tokio::test]
async fn a_question_is_answered_with_the_fields_to_copy_or_with_the_reason() {
    let gate = Gate::start_with(asked(json!({
        "address": "127.0.0.1:0", "frontend": "forward_auth", "authorizer": { "shape": "nginx", "body": "announced" },
    })));
    let question = |method: &str, framing: &str| {
        Req::new("GET", COMPANION, "/")
            .header("x-original-method", method)
            .header("x-original-uri", &cancel().target)
            .header("x-original-framing", framing)
            .bearer(&token("ana@example.com"))
    };
    for framing in ["HTTP/1.1;;", "HTTP/1.1;0;", "HTTP/2.0;0;"] {
        for answer in gate.over_both(&question("POST", framing)).await {
            assert_eq!(answer.status, 200, "{framing}");
            assert_eq!(answer.header("x-opgate-principal"), Some("user:ana@example.com"), "{framing}");
            assert_eq!(answer.header("x-request-id").map(str::len), Some(32), "{framing}");
        }
    }
    for (request, status, reason, real) in [
        (question("POST", "HTTP/2.0;;"), 403, "REQUEST_BODY_NOT_SHOWN", None),
        (question("POST", "HTTP/1.1;2;"), 403, "REQUEST_BODY_NOT_SHOWN", None),
        (question("POST", "HTTP/1.1;;chunked"), 403, "REQUEST_BODY_NOT_SHOWN", None),
        (question("POST", "HTTP/1.1;2;chunked"), 403, "REQUEST_MALFORMED", Some("400")),
        (question("POST", "HTTP/1.1;x;"), 403, "REQUEST_MALFORMED", Some("400")),
        (question("POST", "HTTP/1.1"), 403, "REQUEST_MALFORMED", Some("400")),
        (question("GET", "HTTP/1.1;;"), 403, "HTTP_METHOD_NOT_ALLOWED", Some("405")),
        (question("POST", "HTTP/1.1;;").header("x-user", "root"), 403, "REQUEST_REWRITE_NEEDED", Some("400")),
        (
            question("POST", "HTTP/1.1;;").header("x-original-method", "GET"),
            403,
            "REQUEST_MALFORMED",
            Some("400"),
        ),
    ] {
        for answer in gate.over_both(&request).await {
            let found = (answer.status, answer.header("x-opgate-reason"), answer.header("x-opgate-status"));
            assert_eq!(found, (status, Some(reason), real), "{request:?}");
        }
    }
    assert!(gate.backend.requests().is_empty());
}

/// Every answer over gRPC has the status 200, which a proxy that asks takes for a yes.
#[tokio::test]
async fn what_says_that_it_is_grpc_is_refused_to_a_proxy_by_a_status() {
    let gate = Gate::start_with(asked(json!({
        "address": "127.0.0.1:0", "frontend": "forward_auth", "authorizer": { "shape": "nginx", "body": "announced" },
    })));
    let rpc = "/google.longrunning.Operations/CancelOperation";
    for target in [rpc, "/google.longrunning.Operations/None", &cancel().target, "//"] {
        for content_type in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc-web",
            "application/connect+proto",
        ] {
            let question = Req::new("GET", COMPANION, "/")
                .header("x-original-method", "POST")
                .header("x-original-uri", target)
                .header("x-original-framing", "HTTP/2.0;;")
                .header("content-type", content_type);
            for request in [
                question.clone().bearer(&token("ana@example.com")),
                question.bearer(&token("bob@example.com")),
            ] {
                for answer in gate.over_both(&request).await {
                    assert_eq!(answer.status, 403, "{target} {content_type}: {answer:?}");
                    assert_eq!(answer.header("grpc-status"), None, "{target} {content_type}");
                }
            }
        }
    }
    assert!(gate.backend.requests().is_empty());
}
