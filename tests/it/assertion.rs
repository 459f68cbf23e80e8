//! `X-Opgate-Jwt-Assertion`: the caller's identity, signed by the gate. The tests verify it as a backend does, with a
//! JWT library of their own and the keys that the gate publishes.

mod keys;

use std::path::Path;
use std::time::{Duration, Instant};

use http::HeaderMap;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use opgate::dev::mint::Mint;
use opgate::signing::{SigningAlgorithm, SigningKey};
use serde_json::{Value, json};

use crate::harness::{COMPANION, Gate, Req, Setup, TRANSLATION, Tree, root, token, token_with, values};

const FIELD: &str = "x-opgate-jwt-assertion";
const GATE: &str = "https://gate.example.com";
pub const JWKS: &str = "/.well-known/opgate/jwks.json";
const AUDIENCE: &str = "https://translation.googleapis.com/";
const POOL: &str = "iam.googleapis.com/locations/global/workforcePools/staff";

/// Any token with a scope may call this.
fn translate() -> Req {
    Req::new("POST", TRANSLATION, "/v3/projects/demo/operations/batch-1:cancel")
}

fn write_key(path: &Path) -> SigningKey {
    let key = SigningKey::generate(SigningAlgorithm::Es256, None).unwrap();
    std::fs::write(path, key.to_pkcs8_pem().unwrap().reveal()).unwrap();
    key
}

/// A setup in which only translation gets the assertion.
pub fn setup(directory: &Path) -> Setup {
    write_key(&directory.join("gate-key.pem"));
    let assertion = json!({ "issuer": GATE, "keys": [directory.join("gate-key.pem")], "jwks_path": JWKS });
    let set = vec![
        format!("assertion={assertion}"),
        "services.translation.forward=[assertion, request_id]".to_owned(),
        "services.cloudaicompanion.forward=[principal]".to_owned(),
    ];
    Setup { set, ..Setup::default() }
}

/// Does what a backend does: gives the claims of an assertion that one of the keys verifies, for translation and now.
fn verified(assertion: &str, jwks: &JwkSet) -> Result<Value, String> {
    let header = decode_header(assertion).map_err(|error| error.to_string())?;
    let jwk = header.kid.as_deref().and_then(|kid| jwks.find(kid)).ok_or("no such key")?;
    let algorithm = jwk.common.key_algorithm.unwrap().to_string().parse().unwrap();
    let mut validation = Validation::new(algorithm);
    validation.leeway = 0;
    validation.set_issuer(&[GATE]);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
    let decoding = DecodingKey::from_jwk(jwk).unwrap();
    let claims = decode::<Value>(assertion, &decoding, &validation).map_err(|error| error.to_string())?;
    Ok(claims.claims)
}

async fn published(gate: &Gate) -> JwkSet {
    serde_json::from_slice(&gate.admin("/jwks").await.body).unwrap()
}

/// What the backend saw of a request that it answered.
async fn seen(gate: &Gate, request: &Req) -> Vec<HeaderMap> {
    gate.backend.clear();
    for answer in gate.over_both(request).await {
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    }
    gate.backend.requests().into_iter().map(|request| request.headers).collect()
}

async fn assertion_for(gate: &Gate, email: &str) -> String {
    let headers = seen(gate, &translate().bearer(&token(email))).await;
    let found = values(&headers[0], FIELD);
    assert_eq!(found.len(), 1, "{headers:?}");
    found[0].clone()
}

#[tokio::test]
async fn a_backend_verifies_who_asks_with_the_published_keys() {
    for protocol in ["h1", "h2c"] {
        let directory = tempfile::tempdir().unwrap();
        let gate = Gate::start_with(Setup { upstream_protocol: Some(protocol), ..setup(directory.path()) });
        let jwks = published(&gate).await;
        let bearer = token_with("ana@example.com", json!({ "sub": "0017" }));
        let requests = seen(&gate, &translate().bearer(&bearer)).await;
        assert_eq!(requests.len(), 2);
        for headers in requests {
            let assertion = values(&headers, FIELD);
            assert_eq!(assertion.len(), 1, "{protocol}");
            let claims = verified(&assertion[0], &jwks).unwrap();
            assert_eq!(claims["sub"], "user:ana@example.com");
            assert_eq!(claims["email"], "ana@example.com");
            assert_eq!(
                (&claims["orig_iss"], &claims["orig_sub"]),
                (&json!(crate::harness::ISSUER), &json!("0017"))
            );
            assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);
            assert!(!headers.contains_key("x-opgate-principal"), "the service did not ask for an assertion");
        }
        // The other service must not get one, though one has just been signed for the same caller.
        let companion =
            Req::new("GET", COMPANION, "/v1/projects/demo/locations/us-central1/operations/train-1");
        for headers in seen(&gate, &companion.bearer(&bearer)).await {
            assert!(!headers.contains_key(FIELD), "{protocol}");
            assert_eq!(values(&headers, "x-opgate-principal"), ["user:ana@example.com"]);
        }
    }
}

#[tokio::test]
async fn a_subject_that_looks_like_a_list_is_one_subject() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = setup(directory.path());
    setup.set.push(format!("issuers.demo.subject_pool={POOL}"));
    let gate = Gate::start_with(setup);
    let jwks = published(&gate).await;
    for subject in ["x, user:root@example.com", "x\",\"sub\":\"user:root@example.com", "x y;z%2C"] {
        let bearer = token_with("x", json!({ "email": null, "email_verified": null, "sub": subject }));
        for headers in seen(&gate, &translate().bearer(&bearer)).await {
            let claims = verified(&values(&headers, FIELD)[0], &jwks).unwrap();
            assert_eq!(
                claims["sub"],
                format!("principal://{POOL}/subject/{subject}"),
                "the subject is exact and not encoded"
            );
            assert_eq!((&claims["email"], &claims["orig_sub"]), (&Value::Null, &json!(subject)));
        }
    }
}

/// A tree in which translation may be called without a credential.
fn open_tree() -> Tree {
    let tree = Tree::shipped();
    tree.edit("services/translation.yaml", "    oauth:", "    allow_without_credential: true\n    oauth:");
    tree
}

#[tokio::test]
async fn an_anonymous_caller_has_no_assertion_and_cannot_bring_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = setup(directory.path());
    let tree = open_tree();
    setup.set.push(tree.setting());
    setup.set.push("services.translation.forward=[assertion, principal]".to_owned());
    let gate = Gate::start_with(setup);
    // One assertion that the gate signed for another caller, and one that a client signed.
    let replayed = assertion_for(&gate, "ana@example.com").await;
    let forged = SigningKey::generate(SigningAlgorithm::Es256, None).unwrap();
    let forged =
        forged.sign(&json!({ "iss": GATE, "aud": AUDIENCE, "sub": "user:root@example.com" })).unwrap();
    let request = translate().header(FIELD, &replayed).header("X-Opgate-JWT-Assertion", &forged);
    for headers in seen(&gate, &request).await {
        assert!(!headers.contains_key(FIELD) && !headers.contains_key("x-opgate-principal"), "{headers:?}");
    }
    // An authenticated caller's backend gets the gate's own assertion alone.
    let jwks = published(&gate).await;
    for headers in seen(&gate, &request.bearer(&token("bob@example.com"))).await {
        let found = values(&headers, FIELD);
        assert_eq!(found.len(), 1, "{headers:?}");
        assert_eq!(verified(&found[0], &jwks).unwrap()["sub"], "user:bob@example.com");
    }
    for twin in ["X_Opgate_Jwt_Assertion", "X-Opgate_Jwt-Assertion"] {
        let request = translate().bearer(&token("bob@example.com")).header(twin, &replayed);
        assert_eq!(gate.http1(&request).await.status, 400, "{twin}");
    }
    let named = translate().bearer(&token("bob@example.com")).header("Connection", FIELD);
    assert_eq!(gate.http1(&named).await.status, 400, "the client may not remove it either");
}

/// The assertion tells a backend about a caller; it is not a credential.
#[tokio::test]
async fn an_assertion_is_not_an_access_token() {
    let directory = tempfile::tempdir().unwrap();
    let keys = write_key(&directory.path().join("shared.pem"));
    let mut setup = setup(directory.path());
    let assertion = json!({ "issuer": GATE, "keys": [directory.path().join("shared.pem")] });
    let jwks = directory.path().join("shared.jwks.json");
    std::fs::write(&jwks, keys.jwks().to_string()).unwrap();
    // Not even at a gate whose operator configured the gate's own keys as an issuer's.
    let issuer = json!({
        "issuer": "https://other.example.com", "audiences": [AUDIENCE], "keys": { "file": jwks },
        "email_domains": ["example.com"],
    });
    setup.set.push(format!("assertion={assertion}"));
    setup.set.push(format!("issuers.other={issuer}"));
    setup.set.push("issuers.demo.email_domains=[example.com]".to_owned());
    let gate = Gate::start_with(setup);
    let assertion = assertion_for(&gate, "ana@example.com").await;
    assert_eq!(gate.http1(&translate().bearer(&assertion)).await.status, 401);

    let same = json!({ "issuer": crate::harness::ISSUER });
    let checked = crate::harness::opgate()
        .args(["check", "--config", "config/demo.yaml", "--set"])
        .arg(format!("assertion={same}"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(
        !checked.status.success() && told.contains("is an issuer whose tokens are believed here"),
        "{told}"
    );
}

/// Waits until something holds.
async fn until(gate: &Gate, what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}\n{}", gate.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
