//! HEAD where GET is open (RFC 9110, section 9.1).

use super::{LAB, Lab, ana};
use crate::harness::{Gate, Req, Tree, token, values};
use crate::recorder::request_line;

/// The status of the answer to a HEAD, which has no body.
async fn head_of(gate: &Gate, request: Req) -> u16 {
    let answer = gate.raw_to_the_end(request.header("connection", "close").to_http1()).await;
    let text = String::from_utf8(answer).unwrap();
    assert!(text.ends_with("\r\n\r\n") && text.matches("\r\n\r\n").count() == 1, "{text}");
    text.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Case 42 (RFC 9110, section 9.1).
#[tokio::test]
async fn a_head_is_answered_where_get_is_open() {
    let service = "http:
  rules:
  - {selector: a.B.Get, get: '/v1/{name=projects/*/things/*}'}
  - {selector: a.B.Run, post: '/v1/{name=projects/*/things/*}:run'}
";
    let rules = "- {selector: a.B.Get, permission: lab.things.get, scopes: none}
- {selector: a.B.Run, permission: lab.things.get, scopes: none}
";
    let lab = Lab::start(service, rules);
    let (get, run) = ("/v1/projects/acme/things/7", "/v1/projects/acme/things/7:run");
    let head = |target: &str| Req::new("HEAD", LAB, target);
    assert_eq!(head_of(&lab.gate, head(get).bearer(&ana())).await, 200);
    let answer = lab.gate.http2(&head(get).bearer(&ana())).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    let sent: Vec<String> = lab.backend.take().iter().map(|head| request_line(head).to_owned()).collect();
    assert_eq!(sent, [format!("HEAD {get} HTTP/1.1"), format!("HEAD {get} HTTP/1.1")]);
    assert_eq!(head_of(&lab.gate, head(get)).await, 401);
    assert_eq!(head_of(&lab.gate, head(get).bearer(&token("eve@example.com"))).await, 403);
    assert_eq!(head_of(&lab.gate, head(run).bearer(&ana())).await, 405);
    assert_eq!(lab.backend.take().len(), 0);
    let answer = lab.gate.http1(&Req::new("PATCH", LAB, get)).await;
    assert_eq!(values(&answer.headers, "allow"), ["GET, HEAD"]);
}

/// A backend may do all for a HEAD that it does for a GET.
#[tokio::test]
async fn a_deny_rule_for_get_covers_a_head_that_takes_its_route() {
    let service = "http:
  rules:
  - {selector: a.B.Get, get: '/v1/{name=projects/*/things/*}'}
";
    let tree = Tree::empty();
    tree.add_service(
        "lab",
        &format!("name: {LAB}\n{service}"),
        &format!(
            "service: {LAB}\nrules:\n- {{selector: a.B.Get, permission: lab.things.get, scopes: none}}\n"
        ),
    );
    tree.write(
        "deny/projects/acme/reads.yaml",
        r#"rules:
- denyRule:
    deniedPrincipals: ["principalSet://goog/public:all"]
    deniedPermissions: [lab.googleapis.com/things.get]
    denialCondition: {expression: "request.method == 'GET'"}
"#,
    );
    let lab = Lab::in_front(tree, "{upstream: operations}");
    let get = "/v1/projects/acme/things/7";
    assert_eq!(lab.gate.http1(&Req::new("GET", LAB, get).bearer(&ana())).await.status, 403);
    assert_eq!(head_of(&lab.gate, Req::new("HEAD", LAB, get).bearer(&ana())).await, 403);
    assert_eq!(lab.backend.take().len(), 0);
}

#[tokio::test]
async fn a_rule_for_head_comes_before_that_of_get() {
    let service = "http:
  rules:
  - {selector: a.B.Get, get: '/v1/{name=projects/*/things/*}'}
  - {selector: a.B.Head, custom: {kind: HEAD, path: '/v1/{name=projects/*/things/*}'}}
  - {selector: a.B.Closed, custom: {kind: HEAD, path: '/v2/{name=projects/*/things/*}'}}
  - {selector: a.B.Other, get: '/v2/{name=projects/*/things/*}'}
";
    let rules = "- {selector: a.B.Get, permission: lab.things.get, scopes: none}
- {selector: a.B.Head, permission: lab.things.head, scopes: none}
- {selector: a.B.Other, permission: lab.things.get, scopes: none}
";
    let lab = Lab::start(service, rules);
    lab.assert_allowed("GET", "/v1/projects/acme/things/7", &ana()).await;
    let head = |target: &str| Req::new("HEAD", LAB, target).bearer(&ana());
    assert_eq!(head_of(&lab.gate, head("/v1/projects/acme/things/7")).await, 403);
    lab.assert_allowed("GET", "/v2/projects/acme/things/7", &ana()).await;
    assert_eq!(head_of(&lab.gate, head("/v2/projects/acme/things/7")).await, 405);
    assert_eq!(lab.backend.take().len(), 0);
}
