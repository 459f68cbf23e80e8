//! Header fields that reach the backend, for each version on each side.

use serde_json::json;

use crate::harness::{CANCEL, COMPANION, Gate, Req, Setup, reason, token, values};
use crate::recorder::{Recorder, field, request_line};

pub const ANA: &str = "ana@example.com";

pub fn cancel() -> Req {
    Req::new("POST", COMPANION, CANCEL)
}

/// Gates that speak to their backend over each version, with the name of the version.
pub fn gates(set: &[&str]) -> [(&'static str, Gate); 2] {
    ["h1", "h2c"].map(|protocol| {
        let set = set.iter().map(|setting| (*setting).to_owned()).collect();
        let setup = Setup { set, upstream_protocol: Some(protocol), ..Setup::default() };
        (protocol, Gate::start_with(setup))
    })
}

/// Sends a request over both versions and gives what the backend saw of each.
pub async fn seen(gate: &Gate, request: &Req) -> Vec<http::HeaderMap> {
    gate.backend.clear();
    for answer in gate.over_both(request).await {
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    }
    gate.backend.requests().into_iter().map(|request| request.headers).collect()
}

#[tokio::test]
async fn identity_headers_are_set_by_the_gate_and_never_by_the_client() {
    const CLAIMS: &[&str] = &[
        "x-opgate-principal",
        "x-opgate-anything",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-user",
        "x-forwarded-client-cert",
        "forwarded",
        "x-real-ip",
        "via",
        "x-goog-iap-jwt-assertion",
        "x-goog-authenticated-user-email",
        "x-goog-authenticated-user-id",
        "x-goog-request-params",
        "x-endpoint-api-userinfo",
        "x-apigateway-api-userinfo",
        "x-serverless-authorization",
        "x-original-url",
        "x-rewrite-url",
        "x-request-id",
    ];
    for (protocol, gate) in gates(&[]) {
        let mut request = cancel().bearer(&token(ANA));
        for name in CLAIMS {
            request = request.header(name, "forged").header(name, "forged twice");
        }
        let mut ids = Vec::new();
        for headers in seen(&gate, &request).await {
            for (name, value) in &headers {
                let value = value.to_str().unwrap();
                assert!(!value.contains("forged"), "{name}: {value} reached the backend over {protocol}");
            }
            assert_eq!(values(&headers, "x-opgate-principal"), ["user:ana@example.com"], "{protocol}");
            ids.extend(values(&headers, "x-request-id"));
            for name in CLAIMS.iter().filter(|name| !matches!(**name, "x-opgate-principal" | "x-request-id"))
            {
                assert!(!headers.contains_key(*name), "{name} over {protocol}");
            }
        }
        // The ids are those of the audit log, whose lines are written after the answers, in any order.
        let audit = gate.audit(2);
        let mut logged: Vec<&str> = audit.iter().map(|line| line["insertId"].as_str().unwrap()).collect();
        ids.sort();
        logged.sort_unstable();
        assert_eq!(ids, logged, "{protocol}");
    }
}

#[tokio::test]
async fn an_underscore_twin_of_a_trusted_header_is_refused() {
    let gate = Gate::start();
    for name in [
        "x_opgate_principal",
        "x-opgate_principal",
        "x_forwarded_for",
        "x_goog_iap_jwt_assertion",
        "x_request_id",
        "content_length",
        "transfer_encoding",
        "x_http_method_override",
    ] {
        let request = cancel().bearer(&token(ANA)).header(name, "1");
        for answer in gate.over_both(&request).await {
            assert_eq!((answer.status, reason(&answer).as_str()), (400, "REQUEST_MALFORMED"), "{name}");
        }
    }
    assert!(gate.backend.requests().is_empty());
    let harmless = cancel().bearer(&token(ANA)).header("my_header", "1");
    for headers in seen(&gate, &harmless).await {
        assert_eq!(values(&headers, "my_header"), ["1"]);
    }
}

#[tokio::test]
async fn principal_and_request_id_go_upstream_only_where_the_operator_says_so() {
    for (protocol, gate) in gates(&["services.cloudaicompanion.forward=[]"]) {
        let request = cancel().bearer(&token(ANA)).header("x-opgate-principal", "user:root@example.com");
        for headers in seen(&gate, &request).await {
            for name in ["x-opgate-principal", "x-request-id", "authorization"] {
                assert!(!headers.contains_key(name), "{name} over {protocol}");
            }
        }
    }
}

#[tokio::test]
async fn authorization_ends_at_the_gate_unless_it_is_forwarded() {
    let value = format!("Bearer {}", token(ANA));
    let request = cancel().header("authorization", &value);
    for (protocol, gate) in gates(&[]) {
        for headers in seen(&gate, &request).await {
            assert!(!headers.contains_key("authorization"), "{protocol}");
        }
    }
    for (protocol, gate) in gates(&["services.cloudaicompanion.forward=[authorization]"]) {
        for headers in seen(&gate, &request).await {
            assert_eq!(values(&headers, "authorization"), [value.as_str()], "{protocol}");
            assert!(!headers.contains_key("x-opgate-principal"), "{protocol}");
        }
    }
}

#[tokio::test]
async fn connection_removes_the_fields_it_names_but_none_that_is_judged_or_set() {
    for (protocol, gate) in gates(&["services.cloudaicompanion.forward=[authorization, principal]"]) {
        let request = cancel()
            .bearer(&token(ANA))
            .header("connection", "X-Foo, keep-alive")
            .header("x-foo", "1")
            .header("keep-alive", "timeout=5")
            .header("te", "trailers")
            .header("proxy-authorization", "Basic eDp5")
            .header("x-bar", "2");
        assert_eq!(gate.http1(&request).await.status, 200);
        let headers = gate.backend.requests().remove(0).headers;
        for name in
            ["x-foo", "connection", "keep-alive", "te", "proxy-authorization", "upgrade", "http2-settings"]
        {
            assert!(!headers.contains_key(name), "{name} over {protocol}");
        }
        assert_eq!(values(&headers, "x-bar"), ["2"]);
        assert_eq!(values(&headers, "x-opgate-principal"), ["user:ana@example.com"]);
        assert_eq!(values(&headers, "authorization").len(), 1);
        gate.backend.clear();

        for named in [
            "authorization",
            "Authorization",
            "close, authorization",
            "x-opgate-principal",
            "x-request-id",
            "x-forwarded-for",
            "host",
            "content-length",
            "cookie",
            "traceparent",
        ] {
            let request = cancel().bearer(&token(ANA)).header("connection", named);
            let answer = gate.http1(&request).await;
            assert_eq!((answer.status, reason(&answer).as_str()), (400, "REQUEST_MALFORMED"), "{named}");
        }
        assert!(gate.backend.requests().is_empty());
    }
}

#[tokio::test]
async fn everything_else_arrives_as_it_was_sent() {
    for (protocol, gate) in gates(&[]) {
        let request = cancel()
            .bearer(&token(ANA))
            .header("cookie", "a=1; b=2")
            .header("x-goog-api-client", "gl-python/3.12 rest/2.32")
            .header("x-goog-user-project", "billing-project")
            .header("x-custom", "one")
            .header("accept", "application/json")
            .header("x-custom", "two, three")
            .header("x-empty", "")
            .header("x-custom", "four \t five")
            .header("user-agent", "test/1.0 (a; b)")
            .header("accept-encoding", "gzip, deflate");
        let both = seen(&gate, &request).await;
        assert_eq!(both.len(), 2);
        for headers in &both {
            for (name, expected) in [
                ("cookie", &["a=1; b=2"][..]),
                ("x-goog-api-client", &["gl-python/3.12 rest/2.32"]),
                ("x-goog-user-project", &["billing-project"]),
                ("x-custom", &["one", "two, three", "four \t five"]),
                ("x-empty", &[""]),
                ("accept", &["application/json"]),
                ("user-agent", &["test/1.0 (a; b)"]),
                ("accept-encoding", &["gzip, deflate"]),
            ] {
                assert_eq!(values(headers, name), expected, "{name} over {protocol}");
            }
        }
        // Whichever version the client speaks, the backend sees the same, except for the id of the request.
        let [mut first, mut second] = <[_; 2]>::try_from(both).unwrap();
        for headers in [&mut first, &mut second] {
            headers.remove("x-request-id");
        }
        assert_eq!(first, second, "{protocol}");
    }
}

#[tokio::test]
async fn cookies_in_several_fields_arrive_whole() {
    for (protocol, gate) in gates(&[]) {
        let request = cancel().bearer(&token(ANA)).header("cookie", "a=1").header("cookie", "b=2");
        for headers in seen(&gate, &request).await {
            // HTTP/2 lets a client split cookies, and a hop join them (RFC 9113, section 8.2.3).
            assert_eq!(values(&headers, "cookie").join("; "), "a=1; b=2", "{protocol}");
        }
    }
}

#[tokio::test]
async fn host_and_target_arrive_to_the_byte() {
    let recorder = Recorder::start();
    let gate = Gate::start_with(Setup { endpoints: Some(vec![recorder.address()]), ..Setup::default() });
    let query = "?alt=json%3Benum-encoding=int&prettyPrint=0&%24xgafv=2&q=a+b%2Bc&&e=&f&g=/../x?y";
    for host in ["CloudAIcompanion.localhost:8080", COMPANION] {
        for target in [CANCEL.to_owned(), format!("{CANCEL}{query}"), format!("{CANCEL}?")] {
            let request = Req::new("POST", host, &target).bearer(&token(ANA));
            for answer in gate.over_both(&request).await {
                assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
            }
            let heads = recorder.take();
            assert_eq!(heads.len(), 2);
            for head in heads {
                assert_eq!(request_line(&head), format!("POST {target} HTTP/1.1"));
                assert_eq!(field(&head, "host"), [host]);
                assert_eq!(field(&head, "content-length"), ["0"]);
                assert_eq!(field(&head, "transfer-encoding"), Vec::<&str>::new());
            }
        }
    }
    // And over HTTP/2 towards the backend.
    let gate = Gate::start_with(Setup { upstream_protocol: Some("h2c"), ..Setup::default() });
    let request = Req::new("POST", COMPANION, &format!("{CANCEL}{query}")).bearer(&token(ANA));
    for answer in gate.over_both(&request).await {
        assert_eq!(answer.status, 200);
    }
    for request in gate.backend.requests() {
        assert_eq!(request.version, http::Version::HTTP_2);
        assert_eq!(request.target, format!("{CANCEL}{query}"));
    }
}

#[tokio::test]
async fn a_field_that_may_be_sent_once_is_refused_if_it_is_repeated() {
    let gate = Gate::start();
    for (name, first, second) in [
        ("content-type", "application/json", "text/plain"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-x"),
        ("content-encoding", "identity", "gzip"),
        ("expect", "100-continue", "100-continue"),
        ("range", "bytes=0-1", "bytes=2-3"),
    ] {
        let request = cancel().bearer(&token(ANA)).header(name, first).header(name, second);
        for answer in gate.over_both(&request).await {
            assert_eq!((answer.status, reason(&answer).as_str()), (400, "REQUEST_MALFORMED"), "{name}");
        }
    }
    assert!(gate.backend.requests().is_empty());
}

/// HTTP/1 trims a value, and HTTP/2 forbids blanks around it (RFC 9113, section 8.2.1): two hops could read two values.
#[tokio::test]
async fn whitespace_around_a_value_does_not_reach_the_backend() {
    let gate = Gate::start();
    for value in [" v", "v ", "\tv", "v\t"] {
        let request = cancel().bearer(&token(ANA)).header("x-custom", value);
        assert_eq!(gate.http1(&request).await.status, 200);
        assert_eq!(values(&gate.backend.requests()[0].headers, "x-custom"), ["v"]);
        gate.backend.clear();
        let answer = gate.http2(&request).await;
        assert_eq!((answer.status, reason(&answer).as_str()), (400, "REQUEST_MALFORMED"), "{value:?}");
        assert!(gate.backend.requests().is_empty());
    }
}

/// The backend's answer passes unchanged: the gate adds no credential, identity or id of its own to it.
#[tokio::test]
async fn the_backends_answer_is_not_touched() {
    let recorder = Recorder::start();
    let gate = Gate::start_with(Setup { endpoints: Some(vec![recorder.address()]), ..Setup::default() });
    let request = cancel().bearer(&token(ANA));
    for answer in gate.over_both(&request).await {
        assert_eq!(answer.json(), Some(json!({})));
        let mut names: Vec<&str> = answer.headers.keys().map(|name| name.as_str()).collect();
        names.retain(|name| !matches!(*name, "connection" | "date" | "keep-alive"));
        names.sort_unstable();
        // The id is the gate's.
        assert_eq!(names, ["content-length", "content-type", "x-request-id"]);
    }
}
