//! Keys behind a URL, every algorithm, several issuers, and that tokens are never logged.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json};
use axum::routing::get;
use opgate::dev::issuer::DevIssuer;
use opgate::dev::mint::Mint;
use opgate::signing::{SigningAlgorithm, SigningKey};
use serde_json::{Value, json};

use crate::harness::{
    AUDIENCE, Body, CANCEL, CLOUD_PLATFORM, COMPANION, Gate, ISSUER, Req, Setup, Tree, claims, foreign_key,
    key, now, token, token_with,
};

const ANA: &str = "ana@example.com";

fn cancel(token: &str) -> Req {
    Req::new("POST", COMPANION, CANCEL).bearer(token)
}

fn allowed() -> (u16, String) {
    (200, String::new())
}

fn invalid() -> (u16, String) {
    (401, "JWT_TOKEN_INVALID".to_owned())
}

fn keys_behind(url: &str) -> String {
    format!("issuers.demo.keys={}", json!({ "url": url, "refresh": "30s" }))
}

#[tokio::test]
async fn keys_come_from_the_issuers_url() {
    let issuer = DevIssuer::start().unwrap();
    let gate = Gate::start_with(Setup { set: vec![keys_behind(&issuer.keys_url())], ..Setup::default() });
    assert_eq!(gate.admin("/readyz").await.status, 200);
    let hour = Duration::from_secs(3600);
    let good = issuer.token(ANA, &[CLOUD_PLATFORM], hour).unwrap();
    assert_eq!(gate.outcome(&cancel(&good)).await, allowed());
    let expired = issuer.expired_token(ANA, &[CLOUD_PLATFORM], hour).unwrap();
    assert_eq!(gate.outcome(&cancel(&expired)).await, (401, "ACCESS_TOKEN_EXPIRED".to_owned()));
    // The harness's own key is in a file, which the URL replaces.
    assert_eq!(gate.outcome(&cancel(&token(ANA))).await, invalid());
    assert!(gate.metrics().await.contains("opgate_jwks_keys{issuer=\"demo\"} 1"));
    assert_eq!(gate.backend.requests().len(), 2);
}

/// A key server that answers 500 until `works` is set.
async fn start_key_server(jwks: Value, works: Arc<AtomicBool>) -> SocketAddr {
    let answer = move || async move {
        match works.load(Ordering::SeqCst) {
            true => Json(jwks).into_response(),
            false => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/keys", get(answer))).await });
    address
}

/// Starts a gate on another thread: this runtime must serve keys meanwhile.
async fn start_unready(set: Vec<String>) -> Gate {
    let setup = Setup { unready: true, set, ..Setup::default() };
    tokio::task::spawn_blocking(|| Gate::start_with(setup)).await.unwrap()
}

#[tokio::test]
async fn without_keys_no_token_is_called_invalid_and_the_gate_is_not_ready() {
    let works = Arc::new(AtomicBool::new(false));
    let keys = start_key_server(key().jwks(), works.clone()).await;
    let gate = start_unready(vec![keys_behind(&format!("http://{keys}/keys"))]).await;

    assert_eq!(gate.admin("/livez").await.status, 200);
    let expected = "issuer `demo`: no keys yet: the answer is 500 Internal Server Error, not 200";
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let readiness = gate.admin("/readyz").await;
        assert_eq!(readiness.status, 503);
        let reasons = readiness.json().unwrap()["reasons"].clone();
        if reasons == json!([expected]) {
            break;
        }
        // The first fetch is under way.
        assert_eq!(reasons, json!(["issuer `demo`: no keys yet"]));
        assert!(Instant::now() < deadline, "{}", gate.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    // Good, forged and expired alike: the gate cannot tell, so it calls none of them invalid.
    let unavailable = (503, "GATE_NOT_READY".to_owned());
    let forged = foreign_key().sign(&claims(ANA, &[CLOUD_PLATFORM])).unwrap();
    let expired = token_with(ANA, json!({ "exp": now() - 3600 }));
    for token in [token(ANA), forged.clone(), expired] {
        assert_eq!(gate.outcome(&cancel(&token)).await, unavailable);
    }
    let answer = gate.http1(&cancel(&token(ANA))).await;
    assert_eq!(answer.json().unwrap()["error"]["status"], "UNAVAILABLE");
    assert_eq!(answer.header("www-authenticate"), None);
    // Requests that need no key are answered as usual.
    let without = Req::new("POST", COMPANION, CANCEL);
    assert_eq!(gate.outcome(&without).await, (401, "CREDENTIALS_MISSING".to_owned()));
    let foreign = token_with(ANA, json!({ "iss": "https://issuer.example.com" }));
    assert_eq!(gate.outcome(&cancel(&foreign)).await, invalid());
    assert!(gate.metrics().await.contains("opgate_jwks_keys{issuer=\"demo\"} 0"));
    assert!(gate.backend.requests().is_empty());

    works.store(true, Ordering::SeqCst);
    let deadline = Instant::now() + Duration::from_secs(30);
    while gate.admin("/readyz").await.status != 200 {
        assert!(Instant::now() < deadline, "still not ready:\n{}", gate.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(gate.outcome(&cancel(&token(ANA))).await, allowed());
    assert_eq!(gate.outcome(&cancel(&forged)).await, invalid());
}

#[tokio::test]
async fn an_unreachable_issuer_leaves_the_gate_unready() {
    // Bound and not accepting, so that no other test gets the port meanwhile.
    let silent = tokio::net::TcpSocket::new_v4().unwrap();
    silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = silent.local_addr().unwrap();
    let gate = start_unready(vec![keys_behind(&format!("http://{address}/keys"))]).await;
    let readiness = gate.admin("/readyz").await;
    assert_eq!(readiness.status, 503);
    let reasons = readiness.json().unwrap()["reasons"].to_string();
    assert!(reasons.contains("issuer `demo`: no keys yet: error sending request"), "{reasons}");
    assert!(reasons.contains("refused"), "{reasons}");
    assert_eq!(gate.outcome(&cancel(&token(ANA))).await, (503, "GATE_NOT_READY".to_owned()));
}

#[tokio::test]
async fn a_key_server_that_answers_rubbish_gives_no_keys() {
    let works = Arc::new(AtomicBool::new(true));
    let secret = json!({ "kty": "oct", "kid": "test", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0" });
    for document in [json!({}), json!({ "keys": [] }), json!({ "keys": [secret] }), json!("<html>")] {
        let keys = start_key_server(document.clone(), works.clone()).await;
        let gate = start_unready(vec![keys_behind(&format!("http://{keys}/keys"))]).await;
        assert_eq!(gate.admin("/readyz").await.status, 503, "{document}");
        assert_eq!(gate.outcome(&cancel(&token(ANA))).await.0, 503, "{document}");
        assert!(gate.backend.requests().is_empty());
    }
}

#[tokio::test]
async fn every_algorithm_is_accepted_with_its_own_key_alone() {
    let keys = SigningAlgorithm::ALL
        .map(|algorithm| SigningKey::generate(algorithm, Some(algorithm.as_str())).unwrap());
    let jwks = json!({ "keys": keys.iter().map(SigningKey::public_jwk).collect::<Vec<_>>() });
    let gate = Gate::start_with(Setup { jwks: Some(jwks), ..Setup::default() });
    let claims = claims(ANA, &[CLOUD_PLATFORM]);
    for key in &keys {
        let name = key.algorithm().as_str();
        let token = key.sign(&claims).unwrap();
        assert_eq!(gate.outcome(&cancel(&token)).await, allowed(), "{name}");
        for other in keys.iter().filter(|other| other.kid() != key.kid()) {
            // Another key's id, another key's algorithm, and both.
            for (alg, kid) in [(name, other.kid()), (other.kid(), name), (other.kid(), other.kid())] {
                let header = json!({ "alg": alg, "typ": "at+jwt", "kid": kid });
                let token = key.sign_with_header(&header, &claims).unwrap();
                assert_eq!(gate.outcome(&cancel(&token)).await, invalid(), "{name} as {alg} of {kid}");
            }
        }
    }
    assert_eq!(gate.backend.requests().len(), 2 * keys.len());
}

#[tokio::test]
async fn an_algorithm_that_the_operator_left_out_is_refused() {
    let gate = Gate::start_with(Setup {
        set: vec!["issuers.demo.algorithms=[RS256]".to_owned()],
        jwks: Some(json!({ "keys": [key().public_jwk(), es256().public_jwk()] })),
        ..Setup::default()
    });
    let claims = claims(ANA, &[CLOUD_PLATFORM]);
    assert_eq!(gate.outcome(&cancel(&key().sign(&claims).unwrap())).await, allowed());
    assert_eq!(gate.outcome(&cancel(&es256().sign(&claims).unwrap())).await, invalid());
}

fn es256() -> &'static SigningKey {
    static KEY: std::sync::OnceLock<SigningKey> = std::sync::OnceLock::new();
    KEY.get_or_init(|| SigningKey::generate(SigningAlgorithm::Es256, Some("es256")).unwrap())
}

#[tokio::test]
async fn two_issuers_do_not_vouch_for_each_others_tokens() {
    const PARTNER: &str = "https://login.partner.example";
    const THEIRS: &str = "https://opgate.partner.example";
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("partner.jwks.json");
    // Both issuers call their key `test`.
    std::fs::write(&file, foreign_key().jwks().to_string()).unwrap();
    let partner = |domains: &str| {
        let partner = json!({
            "issuer": PARTNER, "audiences": [THEIRS], "keys": { "file": file }, "email_domains": [domains],
        });
        let ours = "issuers.demo.email_domains=[example.com]".to_owned();
        Gate::start_with(Setup { set: vec![format!("issuers.partner={partner}"), ours], ..Setup::default() })
    };
    let gate = partner("*");

    for (name, issuer, audience, signer, expected) in [
        ("ours", ISSUER, AUDIENCE, key(), allowed()),
        ("theirs", PARTNER, THEIRS, foreign_key(), allowed()),
        ("ours, signed by them", ISSUER, AUDIENCE, foreign_key(), invalid()),
        ("theirs, signed by us", PARTNER, THEIRS, key(), invalid()),
        ("ours for their audience", ISSUER, THEIRS, key(), invalid()),
        ("theirs for our audience", PARTNER, AUDIENCE, foreign_key(), invalid()),
    ] {
        let mut claims = claims(ANA, &[CLOUD_PLATFORM]);
        claims["iss"] = json!(issuer);
        claims["aud"] = json!(audience);
        gate.backend.clear();
        assert_eq!(gate.outcome(&cancel(&signer.sign(&claims).unwrap())).await, expected, "{name}");
        let reached = if expected.0 == 200 { 2 } else { 0 };
        assert_eq!(gate.backend.requests().len(), reached, "{name}");
    }

    let mut claims = claims(ANA, &[CLOUD_PLATFORM]);
    claims["iss"] = json!(PARTNER);
    claims["aud"] = json!(THEIRS);
    let gate = partner("partner.example");
    assert_eq!(gate.outcome(&cancel(&foreign_key().sign(&claims).unwrap())).await, invalid());
    assert_eq!(gate.backend.requests().len(), 0);
}

/// Mapped groups and attributes decide; a token that cannot be mapped is refused.
#[tokio::test]
async fn mapped_groups_and_attributes_are_members() {
    let pool = "iam.googleapis.com/locations/global/workforcePools/staff";
    let tree = Tree::shipped();
    let bindings = format!(
        "version: 3\nbindings:\n- role: organizations/7/roles/operationsCanceller\n  members:\n  - principalSet://{pool}/group/oncall\n\
         - role: organizations/7/roles/operationsCanceller\n  members:\n  - principalSet://{pool}/attribute.team/search\n  condition:\n    \
         expression: request.auth.claims.level >= 3 && request.method == 'POST'\n"
    );
    tree.write("allow/projects/demo/locations/us-central1.yaml", &bindings);
    let set = vec![
        tree.setting(),
        format!("issuers.demo.subject_pool={pool}"),
        "issuers.demo.attribute_mapping={google.subject: assertion.sub, google.groups: assertion.groups, \
         attribute.team: \"has(assertion.team) ? assertion.team.lowerAscii() : ''\"}"
            .to_owned(),
        "issuers.demo.attribute_condition=assertion.tenant == 'ours'".to_owned(),
    ];
    let gate = Gate::start_with(Setup { set, ..Setup::default() });
    let ours = json!({"tenant": "ours", "sub": "ana", "groups": []});
    let denied = (403, "IAM_PERMISSION_DENIED".to_owned());
    for (changes, expected) in [
        (json!({"groups": ["staff", "oncall"]}), allowed()),
        (json!({"groups": ["oncall2"]}), denied.clone()),
        (json!({"team": "Search", "level": 3}), allowed()),
        (json!({"team": "Search", "level": 2}), denied.clone()),
        (json!({"team": "Search"}), denied.clone()),
        (json!({"groups": "oncall"}), invalid()),
        (json!({"groups": ["oncall"], "tenant": "theirs"}), invalid()),
        (json!({"groups": ["oncall"], "tenant": null}), invalid()),
    ] {
        let mut claims = ours.clone();
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        assert_eq!(gate.outcome(&cancel(&token_with(ANA, claims))).await, expected, "{changes}");
    }
}

#[test]
fn the_log_has_no_colours_in_a_file() {
    let mut gate = Gate::start();
    assert!(gate.terminate().success());
    let log = gate.log();
    assert!(log.contains("listening"), "{log}");
    assert!(!log.contains('\u{1b}'), "{log}");
}

#[tokio::test]
async fn a_token_is_written_nowhere() {
    for protocol in ["h1", "h2c"] {
        for forward in ["[principal]", "[authorization, principal, request_id]"] {
            no_token_is_written(protocol, forward).await;
        }
    }
}

async fn no_token_is_written(protocol: &'static str, forward: &str) {
    const OPAQUE: &str = "ya29-opaque-secret-0123456789";
    const PASSWORD: &str = "YW5hOnNlY3JldC1wYXNzd29yZA==";
    let mut gate = Gate::start_with(Setup {
        set: vec!["telemetry.log=debug".to_owned(), format!("services.cloudaicompanion.forward={forward}")],
        upstream_protocol: Some(protocol),
        ..Setup::default()
    });
    let tokens = [
        token(ANA),
        token("bob@example.com"),
        token_with(ANA, json!({ "exp": now() - 3600 })),
        token_with(ANA, json!({ "aud": "https://elsewhere.example.com" })),
        token_with(ANA, json!({ "scope": "openid" })),
        foreign_key().sign(&claims(ANA, &[CLOUD_PLATFORM])).unwrap(),
    ];
    let plain = Req::new("POST", COMPANION, CANCEL);
    let mut requests: Vec<Req> = tokens.iter().map(|token| cancel(token)).collect();
    requests.extend([
        cancel(OPAQUE),
        cancel(&format!("{OPAQUE}.{OPAQUE}.{OPAQUE}")),
        plain.clone().header("authorization", &format!("Basic {PASSWORD}")),
        plain.clone().header("authorization", OPAQUE),
        cancel(&tokens[0]).bearer(OPAQUE),
        cancel(&tokens[0]).body(Body::Length(OPAQUE.as_bytes().to_vec())),
        Req { target: format!("{CANCEL}?access_token={OPAQUE}"), ..plain.clone() },
        cancel(&tokens[0]).header("x-http-method-override", "GET"),
        cancel(&tokens[0]).header("x_opgate_principal", OPAQUE),
        cancel(&tokens[0]).header("x-goog-iap-jwt-assertion", OPAQUE),
        cancel(&tokens[0]).header("cookie", OPAQUE),
        cancel(&tokens[0]).header("x-goog-api-key", OPAQUE),
    ]);
    for request in &requests {
        gate.http1(request).await;
        gate.http2(request).await;
    }
    // Malformed heads: the line with the token is the malformed one.
    for head in [
        format!("POST {CANCEL} HTTP/1.1\r\nHost: {COMPANION}\r\nAuthorization : Bearer {OPAQUE}\r\n\r\n"),
        format!("POST {CANCEL} HTTP/1.1\r\nHost: {COMPANION}\r\nAuthorization: Bearer\r\n {OPAQUE}\r\n\r\n"),
        format!("POST {CANCEL} HTTP/1.1\r\nAuthorization: Bearer {OPAQUE}\r\n\r\n"),
    ] {
        assert_eq!(gate.raw(head).await.status, 400);
    }
    gate.audit(2 * requests.len() + 3);

    let metrics = gate.metrics().await;
    assert!(gate.terminate().success());
    let places = [("audit log", gate.audit_text()), ("log", gate.log()), ("metrics", metrics)];
    for (place, text) in &places {
        assert!(!text.is_empty(), "the {place} is empty");
        for token in &tokens {
            for segment in token.split('.').skip(1) {
                assert!(!text.contains(segment), "a token's segment is in the {place}");
            }
        }
        for secret in [OPAQUE, PASSWORD] {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "a credential is in the {place}");
        }
    }
}
