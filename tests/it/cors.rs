//! Web pages as clients: what their browsers ask and are told, over both versions.

use serde_json::{Value, json};

use crate::harness::{
    Answer, Body, CANCEL, COMPANION, Gate, Req, Setup, TRAIN, TRANSLATION, Tree, cancel, get, reason, token,
    values,
};
use crate::origin::{Origin, Step};

const PAGE: &str = "https://app.example.com";
const CORS: &str = "services.cloudaicompanion.cors={origins: [https://app.example.com, 'https://*.apps.example.com'], \
                    headers: [authorization, content-type]}";

/// A gate whose service lets pages of [`PAGE`] call it.
fn gate() -> Gate {
    Gate::start_with(Setup { set: vec![CORS.to_owned()], ..Setup::default() })
}

fn preflight(origin: &str, method: &str, target: &str) -> Req {
    Req::new("OPTIONS", COMPANION, target)
        .header("origin", origin)
        .header("access-control-request-method", method)
}

async fn over_both(gate: &Gate, request: &Req) -> [Answer; 2] {
    [gate.http1(request).await, gate.http2(request).await]
}

fn allowed_origin(answer: &Answer) -> Option<&str> {
    answer.header("access-control-allow-origin")
}

#[tokio::test]
async fn the_gate_answers_a_preflight_without_a_token() {
    let gate = gate();
    let asked = preflight(PAGE, "POST", CANCEL)
        .header("access-control-request-headers", "authorization,content-type");
    for answer in over_both(&gate, &asked).await {
        assert_eq!(answer.status, 204);
        assert_eq!(allowed_origin(&answer), Some(PAGE));
        assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
        assert_eq!(answer.header("access-control-allow-headers"), Some("authorization, content-type"));
        assert_eq!(answer.header("access-control-max-age"), Some("600"));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        assert_eq!(
            answer.header("vary"),
            Some("Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
        );
        assert_eq!(answer.header("content-length"), None);
    }
    let other = preflight("https://one.apps.example.com", "GET", TRAIN);
    assert_eq!(allowed_origin(&gate.http1(&other).await), Some("https://one.apps.example.com"));
    assert_eq!(gate.backend.requests().len(), 0);
    for line in gate.audit(3) {
        let metadata = &line["protoPayload"]["metadata"];
        assert_eq!(
            (&metadata["decision"], &metadata["reason"]),
            (&json!("ANSWERED"), &json!("PREFLIGHT_ANSWERED"))
        );
    }
    let counted = r#"opgate_requests_total{code="204",method="unknown",reason="PREFLIGHT_ANSWERED",service="cloudaicompanion.googleapis.com"} 3"#;
    let metrics = gate.metrics().await;
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn a_connection_goes_on_after_a_preflight() {
    let gate = gate();
    let mut bytes = preflight(PAGE, "POST", CANCEL).to_http1();
    bytes.extend(cancel().header("origin", PAGE).header("connection", "close").to_http1());
    let answers = String::from_utf8(gate.raw_to_the_end(bytes).await).unwrap();
    let statuses: Vec<&str> = answers.lines().filter(|line| line.starts_with("HTTP/1.1 ")).collect();
    assert_eq!(statuses, ["HTTP/1.1 204 No Content", "HTTP/1.1 200 OK"]);
}

#[tokio::test]
async fn a_page_that_may_not_call_is_told_why_and_gets_no_leave() {
    let gate = gate();
    let cases = [
        (preflight("https://evil.test", "POST", CANCEL), "`cors.origins` does not list it", None),
        (preflight("null", "POST", CANCEL), "`cors.origins` does not list it", None),
        (
            preflight(PAGE, "POST", CANCEL).header("access-control-request-headers", "x-other"),
            "the header `x-other`",
            Some(PAGE),
        ),
    ];
    for (request, told, allowed) in cases {
        for answer in over_both(&gate, &request).await {
            assert_eq!((answer.status, reason(&answer).as_str()), (403, "PREFLIGHT_REFUSED"));
            let message = answer.json().unwrap()["error"]["message"].as_str().unwrap().to_owned();
            assert!(message.contains(told), "{message}");
            assert_eq!(allowed_origin(&answer), allowed);
            assert_eq!(answer.header("access-control-allow-methods"), None);
        }
    }
}

/// A preflight tells no more than 404 and 405 do.
#[tokio::test]
async fn a_preflight_of_what_is_not_there_is_answered_like_the_request_itself() {
    let gate = gate();
    for (method, target, status) in [
        ("POST", "/v1/nothing", 404),
        ("PUT", CANCEL, 405),
        ("GET", "/v1/projects/demo/locations/us-central1/operations/train-1:run", 404),
    ] {
        let answer = gate.http1(&preflight(PAGE, method, target)).await;
        assert_eq!(answer.status, status, "{method} {target}");
        let host = preflight(PAGE, method, target);
        let unknown = gate.http1(&Req { host: "nothing.localhost".to_owned(), ..host }).await;
        assert_eq!((unknown.status, allowed_origin(&unknown)), (404, None));
    }
    // Not preflights: the service has no OPTIONS.
    for request in [
        Req::new("OPTIONS", COMPANION, CANCEL),
        Req::new("OPTIONS", COMPANION, CANCEL).header("origin", PAGE),
    ] {
        assert_eq!(gate.http1(&request).await.status, 405);
    }
}

#[tokio::test]
async fn a_page_can_read_every_refusal() {
    let gate = gate();
    let stranger = token("eve@example.com");
    let requests = [
        (Req::new("POST", COMPANION, CANCEL), 401),
        (cancel().bearer("x"), 400),
        (Req::new("POST", COMPANION, CANCEL).bearer("x.y.z"), 401),
        (Req::new("POST", COMPANION, CANCEL).bearer(&stranger), 403),
        (Req::new("GET", COMPANION, "/v1/nothing"), 404),
        (Req::new("GET", COMPANION, CANCEL), 405),
        (cancel().body(Body::Length(b"{\"name\": \"projects/other\"}".to_vec())), 400),
        (cancel().body(Body::Length(vec![b' '; 60_000])), 413),
    ];
    for (request, status) in requests {
        for answer in over_both(&gate, &request.clone().header("origin", PAGE)).await {
            assert_eq!(answer.status, status, "{request:?}");
            assert_eq!(allowed_origin(&answer), Some(PAGE), "{request:?}");
            let exposed = answer.header("access-control-expose-headers").unwrap();
            assert!(exposed.contains("WWW-Authenticate"), "{exposed}");
            assert!(answer.header("vary").unwrap().contains("Origin"));
        }
        let answer = gate.http1(&request.clone().header("origin", "https://evil.test")).await;
        assert_eq!((answer.status, allowed_origin(&answer)), (status, None), "{request:?}");
    }
}

#[tokio::test]
async fn a_page_can_read_that_no_backend_answers() {
    let endpoints = Some(vec!["127.0.0.1:1".parse().unwrap()]);
    let gate = Gate::start_with(Setup { set: vec![CORS.to_owned()], endpoints, ..Setup::default() });
    for answer in over_both(&gate, &get().header("origin", PAGE)).await {
        assert_eq!((answer.status, allowed_origin(&answer)), (503, Some(PAGE)));
    }
}

const OPEN: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nVary: Accept\r\n\
                    Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\n\
                    Access-Control-Expose-Headers: x-secret\r\n\r\n{}";

#[tokio::test]
async fn the_gates_word_stands_in_place_of_the_backends() {
    let origin = Origin::start(&[Step::Head, Step::Say(OPEN)]).await;
    let endpoints = Some(vec![origin.address]);
    let gate = Gate::start_with(Setup { set: vec![CORS.to_owned()], endpoints, ..Setup::default() });
    for answer in over_both(&gate, &get().header("origin", PAGE)).await {
        assert_eq!(answer.status, 200);
        assert_eq!(values(&answer.headers, "access-control-allow-origin"), [PAGE]);
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        let exposed = values(&answer.headers, "access-control-expose-headers");
        assert_eq!(exposed, ["WWW-Authenticate, DPoP-Nonce, X-Request-Id"]);
        assert_eq!(values(&answer.headers, "vary"), ["Accept", "Origin"]);
    }
    for request in [get(), get().header("origin", "https://evil.test")] {
        let answer = gate.http1(&request).await;
        assert_eq!((answer.status, allowed_origin(&answer)), (200, None));
        assert_eq!(values(&answer.headers, "vary"), ["Accept", "Origin"]);
    }
    // The other service says nothing of pages: there, the backend's word passes.
    let target = "/v3/projects/demo/operations/train-1";
    let other = Req::new("GET", TRANSLATION, target).bearer(&token("ana@example.com")).header("origin", PAGE);
    let answer = gate.http1(&other).await;
    assert_eq!((answer.status, allowed_origin(&answer)), (200, Some("*")));
    assert_eq!(values(&answer.headers, "vary"), ["Accept"]);
}

const LAB: &str = "\
type: google.api.Service
name: lab.example.com
endpoints:
- {name: lab.example.com, allow_cors: true}
http:
  rules:
  - selector: lab.v1.Things.Get
    get: /v1/{name=things/*}
  - selector: lab.v1.Things.Delete
    delete: /v1/{name=things/*}
  - selector: lab.v1.Things.Vault
    get: /v1/things/vault
  - selector: lab.v1.Things.Anything
    custom: {kind: '*', path: '/v1/{name=any/*}'}
  - selector: lab.v1.Things.Narrow
    get: /v2/{name=things/*}
  - selector: lab.v1.Things.Wide
    custom: {kind: '*', path: '/v2/{path=**}'}
  - selector: lab.v1.Things.Status
    get: /v4/status
  - selector: lab.v1.Things.Ask
    custom: {kind: OPTIONS, path: '/v4/{name=*}'}
authentication:
  rules:
  - selector: '*'
    oauth: {canonical_scopes: https://www.googleapis.com/auth/cloud-platform}
";
const LAB_RULES: &str = "\
service: lab.example.com
rules:
- {selector: lab.v1.Things.Get, permission: lab.things.get}
- {selector: lab.v1.Things.Anything, permission: lab.things.get}
- {selector: lab.v1.Things.Narrow, permission: lab.things.get}
- {selector: lab.v1.Things.Status, permission: none}
- {selector: lab.v1.Things.Ask, permission: none}
";

const ANSWERED: &str = "HTTP/1.1 204 No Content\r\nAccess-Control-Allow-Origin: https://app.example.com\r\n\
                        Access-Control-Allow-Methods: GET\r\n\r\n";

/// A gate in front of a backend that answers preflights itself.
async fn lab(more: &[&str]) -> (Gate, Origin, Tree) {
    let origin = Origin::start(&[Step::Head, Step::Say(ANSWERED)]).await;
    let tree = Tree::shipped();
    tree.add_service("lab", LAB, LAB_RULES);
    let mut set = vec![tree.setting(), "services.lab={upstream: operations}".to_owned()];
    set.extend(more.iter().map(|setting| (*setting).to_owned()));
    let gate = Gate::start_with(Setup { set, endpoints: Some(vec![origin.address]), ..Setup::default() });
    (gate, origin, tree)
}

fn options(target: &str) -> Req {
    Req::new("OPTIONS", "lab.example.com", target)
        .header("origin", PAGE)
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "authorization")
}

/// endpoint.proto: `allow_cors` lets the backend receive and answer OPTIONS.
#[tokio::test]
async fn a_service_that_says_allow_cors_answers_options_itself() {
    let (gate, origin, _tree) = lab(&[]).await;
    for answer in over_both(&gate, &options("/v1/things/a")).await {
        assert_eq!((answer.status, allowed_origin(&answer)), (204, Some(PAGE)));
    }
    let heads = origin.requests();
    assert_eq!(heads.len(), 2);
    for head in &heads {
        assert!(head.starts_with("OPTIONS /v1/things/a HTTP/1.1\r\n"), "{head}");
        assert!(head.to_ascii_lowercase().contains("access-control-request-method: get"), "{head}");
    }
    for line in gate.audit(2) {
        let payload = &line["protoPayload"];
        assert_eq!(payload["methodName"], "opgate.cors.Options");
        assert_eq!(payload["serviceName"], "lab.example.com");
        assert_eq!(payload["metadata"]["decision"], "ALLOWED");
        let place = payload["metadata"]["rule"]["place"].as_str().unwrap();
        assert!(place.ends_with("services/lab.yaml:4"), "{place}");
    }
    let metrics = gate.metrics().await;
    let counted = r#"opgate_requests_total{code="204",method="opgate.cors.Options",reason="ALLOWED",service="lab.example.com"} 2"#;
    assert!(metrics.contains(counted), "{metrics}");
    // The gate's own refusals say nothing to a page here, as ESPv2's do not.
    let refused =
        gate.http1(&Req::new("GET", "lab.example.com", "/v1/things/a").header("origin", PAGE)).await;
    assert_eq!((refused.status, allowed_origin(&refused)), (401, None));
}

/// OPTIONS opens no more than what is exposed, and runs no method.
#[tokio::test]
async fn options_go_upstream_on_the_paths_of_exposed_methods_alone() {
    let (gate, origin, _tree) = lab(&[]).await;
    for (target, status) in [
        // A path of a method that is not exposed.
        ("/v1/things/vault", 404),
        ("/v1/nothing", 404),
        // A method that takes every HTTP method would be run.
        ("/v1/any/a", 401),
        // One that fits less closely would be, too: the backend has no route for OPTIONS that fits better.
        ("/v2/things/a", 400),
        ("/v4/status", 400),
        ("/v4/other", 401),
        // The path's variable, once more.
        ("/v1/things/a?name=things/vault", 400),
    ] {
        for answer in over_both(&gate, &options(target)).await {
            assert_eq!(answer.status, status, "{target}");
        }
    }
    let body = options("/v1/things/a").body(Body::Length(b"{}".to_vec()));
    assert_eq!(gate.http1(&body).await.status, 400);
    // The other services do not say `allow_cors`.
    assert_eq!(gate.http1(&preflight(PAGE, "POST", CANCEL)).await.status, 405);
    assert_eq!(origin.requests(), Vec::<String>::new());
    let rest: Value = gate.http1(&Req::new("PUT", "lab.example.com", "/v1/things/a")).await.json().unwrap();
    assert_eq!(rest["error"]["code"], 405);
}

/// With both, the gate answers preflights; other OPTIONS go to the backend.
#[tokio::test]
async fn cors_goes_before_allow_cors() {
    let (gate, origin, _tree) = lab(&["services.lab.cors={origins: [https://other.example.com]}"]).await;
    assert_eq!(reason(&gate.http1(&options("/v1/things/a")).await), "PREFLIGHT_REFUSED");
    let unrouted = Req::new("OPTIONS", "lab.example.com", "/v1/things/a")
        .header("origin", "https://other.example.com")
        .header("access-control-request-method", "DELETE");
    assert_eq!(gate.http1(&unrouted).await.status, 405);
    assert_eq!(origin.requests().len(), 0);
    let plain = Req::new("OPTIONS", "lab.example.com", "/v1/things/a").header("origin", PAGE);
    let answer = gate.http1(&plain).await;
    assert_eq!((answer.status, allowed_origin(&answer)), (204, None));
    assert_eq!(origin.requests().len(), 1);
}
