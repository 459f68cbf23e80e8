//! What a refusal says of the service that was called: the realm, the words, the domain, and where clients log in.

use serde_json::json;

use crate::harness::{Answer, COMPANION, Gate, ISSUER, Req, Setup, Tree, token_with};

const LAB: &str = "\
type: google.api.Service
name: lab.example.com
http:
  rules:
  - selector: lab.v1.Things.Get
    get: /v1/{name=projects/*/things/*}
  - selector: lab.v1.Things.Open
    get: /v1/{name=open/*}
authentication:
  rules:
  - selector: '*'
    oauth: {canonical_scopes: 'https://lab.example.com/auth/read, https://lab.example.com/auth/all'}
";
const LAB_RULES: &str = "\
service: lab.example.com
rules:
- {selector: lab.v1.Things.Get, permission: lab.things.get}
- {selector: lab.v1.Things.Open, permission: none}
";

const THING: &str = "/v1/projects/demo/things/t";
const METADATA: &str = "/.well-known/oauth-protected-resource";

fn lab(more: &str) -> (Gate, Tree) {
    let tree = Tree::shipped();
    tree.add_service("lab", LAB, LAB_RULES);
    let set = vec![tree.setting(), format!("services.lab={{upstream: operations{more}}}")];
    (Gate::start_with(Setup { set, ..Setup::default() }), tree)
}

fn get(target: &str) -> Req {
    Req::new("GET", "lab.example.com", target)
}

async fn over_both(gate: &Gate, request: &Req) -> [Answer; 2] {
    [gate.http1(request).await, gate.http2(request).await]
}

fn info(answer: &Answer) -> (String, String, String) {
    let json = answer.json().unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let detail = &json["error"]["details"][0];
    (text(&json["error"]["message"]), text(&detail["reason"]), text(&detail["domain"]))
}

#[tokio::test]
async fn a_refusal_speaks_for_the_service_that_was_called() {
    let (gate, _tree) = lab("");
    let expired = token_with("ana@example.com", json!({ "exp": 1_700_000_000, "iat": 1_699_990_000 }));
    let cases = [
        (
            get(THING),
            "Request is missing required authentication credential. Expected OAuth 2 access token.",
            "CREDENTIALS_MISSING",
            "googleapis.com",
            Some(r#"Bearer realm="lab.example.com""#),
        ),
        (
            get(THING).bearer(&expired),
            "Request had invalid authentication credentials. Expected OAuth 2 access token.",
            "ACCESS_TOKEN_EXPIRED",
            "googleapis.com",
            Some(
                r#"Bearer realm="lab.example.com", error="invalid_token", error_description="The access token has expired""#,
            ),
        ),
        (
            get(THING).bearer(&token_with("ana@example.com", json!({}))),
            "Request had insufficient authentication scopes.",
            "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
            "googleapis.com",
            Some(
                r#"Bearer realm="lab.example.com", error="insufficient_scope", error_description="The access token has none of the scopes", scope="https://lab.example.com/auth/read https://lab.example.com/auth/all""#,
            ),
        ),
        (get("/v1/nothing/x"), "Method not found.", "METHOD_NOT_FOUND", "lab.example.com", None),
    ];
    for (request, message, reason, domain, challenge) in cases {
        for answer in over_both(&gate, &request).await {
            assert_eq!(
                info(&answer),
                (message.to_owned(), reason.to_owned(), domain.to_owned()),
                "{request:?}"
            );
            assert_eq!(answer.header("www-authenticate"), challenge, "{request:?}");
        }
    }
    // The fixed text of a reason adds nothing to the code's name, which the audit line has.
    let status = &gate.audit(1)[0]["protoPayload"]["status"];
    assert_eq!(*status, serde_json::json!({ "code": 16, "message": "UNAUTHENTICATED" }));
    let unknown = Req::new("GET", "nothing.example.com", THING);
    assert_eq!(info(&gate.http1(&unknown).await).2, "opgate");
    let google = gate.http1(&Req::new("GET", COMPANION, "/v1/projects/demo/locations/l/operations/o")).await;
    assert_eq!(google.header("www-authenticate"), Some(r#"Bearer realm="https://accounts.google.com/""#));
    assert!(info(&google).0.contains("developers.google.com"));
}

/// RFC 9728: a client without a token learns from the 401 where to get one.
#[tokio::test]
async fn a_client_is_led_to_the_authorization_servers() {
    let (gate, _tree) = lab(", protected_resource: https://lab.example.com");
    for answer in over_both(&gate, &get(THING)).await {
        assert_eq!(
            answer.header("www-authenticate"),
            Some(
                r#"Bearer realm="lab.example.com", resource_metadata="https://lab.example.com/.well-known/oauth-protected-resource""#
            )
        );
    }
    for answer in over_both(&gate, &get(METADATA)).await {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(
            answer.json().unwrap(),
            json!({
                "resource": "https://lab.example.com",
                "authorization_servers": [ISSUER],
                "scopes_supported": ["https://lab.example.com/auth/all", "https://lab.example.com/auth/read"],
                "bearer_methods_supported": ["header"],
            })
        );
    }
    let posted = gate.http1(&Req { method: "POST".to_owned(), ..get(METADATA) }).await;
    assert_eq!((posted.status, posted.header("allow")), (405, Some("GET, HEAD")));
    let metrics = gate.metrics().await;
    let counted = r#"opgate_requests_total{code="200",method="unknown",reason="RESOURCE_METADATA_PUBLISHED",service="lab.example.com"} 2"#;
    assert!(metrics.contains(counted), "{metrics}");
    // The other services have asked for none.
    assert_eq!(gate.http1(&Req::new("GET", COMPANION, METADATA)).await.status, 404);
    assert_eq!(gate.backend.requests().len(), 0);
}
