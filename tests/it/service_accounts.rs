//! Service accounts that sign their own tokens (AIP-4111): each with its own keys, for the service that the token
//! names.

use opgate::dev::mint::Mint;
use opgate::signing::{SigningAlgorithm, SigningKey};
use serde_json::{Value, json};

use crate::harness::{CLOUD_PLATFORM, COMPANION, DATAPROC, Gate, Req, Setup, now, reason, token};

const CI: &str = "ci@demo.iam.gserviceaccount.com";
const CD: &str = "cd@demo.iam.gserviceaccount.com";
const COMPANION_SERVICE: &str = "https://cloudaicompanion.googleapis.com/";
const COMPANION_CANCEL: &str = "/v1/projects/demo/locations/us-central1/operations/train-1:cancel";
const DATAPROC_CANCEL: &str = "/v1/projects/demo/regions/us-central1/operations/job-1:cancel";

fn own_token(key: &SigningKey, account: &str, purpose: Value) -> String {
    let mut claims = json!({ "iss": account, "sub": account, "iat": now(), "exp": now() + 3600 });
    claims.as_object_mut().unwrap().extend(purpose.as_object().unwrap().clone());
    key.sign_with_header(&json!({ "alg": "RS256", "typ": "JWT", "kid": key.kid() }), &claims).unwrap()
}

#[tokio::test]
async fn a_service_accounts_own_token_is_good_for_the_service_that_it_names() {
    let folder = tempfile::tempdir().unwrap();
    let key = |account: &str| {
        let key = SigningKey::generate(SigningAlgorithm::Rs256, Some("key")).unwrap();
        std::fs::write(folder.path().join(format!("{account}.json")), key.jwks().to_string()).unwrap();
        key
    };
    let (ci, cd) = (key(CI), key(CD));
    let keys = folder.path().join("{email}.json");
    let gate = Gate::start_with(Setup {
        set: vec![
            format!("issuers.robots={}", json!({ "service_accounts": [CI, CD], "keys": { "file": keys } })),
            "issuers.demo.email_domains=[example.com]".to_owned(),
        ],
        ..Setup::default()
    });
    let told = async |host: &str, target: &str, token: &str| {
        let answer = gate.http1(&Req::new("POST", host, target).bearer(token)).await;
        (answer.status, reason(&answer))
    };
    let allowed = (200, String::new());
    let invalid = (401, "JWT_TOKEN_INVALID".to_owned());
    let denied = (403, "IAM_PERMISSION_DENIED".to_owned());
    let scope = (403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT".to_owned());
    for (signer, account, purpose, companion, dataproc) in [
        (&ci, CI, json!({ "aud": COMPANION_SERVICE }), &allowed, &invalid),
        (
            &ci,
            CI,
            json!({ "aud": format!("{COMPANION_SERVICE}google.longrunning.Operations") }),
            &allowed,
            &invalid,
        ),
        (&ci, CI, json!({ "aud": format!("{COMPANION_SERVICE}google.longrunning") }), &invalid, &invalid),
        (&ci, CI, json!({ "aud": "https://cloudaicompanion.googleapis.com" }), &invalid, &invalid),
        (
            &ci,
            CI,
            json!({ "aud": "https://cloudaicompanion.googleapis.com.evil.example/" }),
            &invalid,
            &invalid,
        ),
        (&ci, CI, json!({ "aud": "https://opgate.demo.localhost" }), &invalid, &invalid),
        (&ci, CI, json!({ "aud": COMPANION_SERVICE, "scope": CLOUD_PLATFORM }), &invalid, &invalid),
        (&ci, CI, json!({ "scope": CLOUD_PLATFORM }), &allowed, &allowed),
        (&ci, CI, json!({ "scope": "openid" }), &scope, &scope),
        // Policy knows one account and not the other, and neither can sign for the other.
        (&cd, CD, json!({ "aud": COMPANION_SERVICE }), &denied, &invalid),
        (&cd, CI, json!({ "aud": COMPANION_SERVICE }), &invalid, &invalid),
        (&ci, CD, json!({ "aud": COMPANION_SERVICE }), &invalid, &invalid),
    ] {
        let token = own_token(signer, account, purpose.clone());
        // Twice: a remembered token must still be checked for its service.
        for _ in 0..2 {
            assert_eq!(told(COMPANION, COMPANION_CANCEL, &token).await, *companion, "{account} {purpose}");
            assert_eq!(told(DATAPROC, DATAPROC_CANCEL, &token).await, *dataproc, "{account} {purpose}");
        }
    }
    // An issuer of other accounts' tokens cannot assert the email of one that signs its own.
    assert_eq!(told(COMPANION, COMPANION_CANCEL, &token(CI)).await, invalid);
    assert!(gate.metrics().await.contains(&format!("opgate_jwks_keys{{issuer=\"robots/{CI}\"}} 1\n")));
}
