//! Service accounts that sign for themselves.

use super::*;

const CI: &str = "ci@demo.iam.gserviceaccount.com";
const CD: &str = "cd@demo.iam.gserviceaccount.com";

/// Two accounts, each with a key of its own that both call `key`.
fn accounts() -> Authenticator {
    let folder = tempfile::tempdir().unwrap();
    for (account, jwk) in [(CI, RSA.jwk("key")), (CD, mint::STRANGER.jwk("key"))] {
        std::fs::write(folder.path().join(format!("{account}.json")), key_set(&[jwk])).unwrap();
    }
    let keys = KeySource::File(folder.path().join("{email}.json"));
    let settings = [CI, CD].map(|account| IssuerSettings::service_account("robots", account, &keys));
    Authenticator::load(settings.to_vec(), now()).unwrap()
}

fn claims(changes: &Value) -> Value {
    let mut claims = json!({
        "iss": CI, "sub": CI, "aud": "https://api.example.com/", "iat": NOW, "exp": NOW + 3600,
    });
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    claims
}

fn token(changes: &Value) -> String {
    RSA.token(&json!({"alg": "RS256", "typ": "JWT", "kid": "key"}), &claims(changes))
}

#[test]
fn its_audience_stands_in_place_of_scopes() {
    let caller = admitted(&accounts(), &token(&json!({})));
    assert_eq!(caller.principal.to_string(), format!("serviceAccount:{CI}"));
    assert_eq!(&*caller.issuer, format!("robots/{CI}"));
    assert_eq!(caller.scopes.audience(), Some("https://api.example.com/"));
    assert!(caller.scopes.is_empty());
}

#[test]
fn scopes_stand_in_place_of_its_audience() {
    let caller = admitted(&accounts(), &token(&json!({"aud": null, "scope": "read write"})));
    assert_eq!(caller.scopes.audience(), None);
    assert_eq!(caller.scopes.iter().collect::<Vec<_>>(), ["read", "write"]);
}

/// Only the account itself says what the email in its claims is.
#[test]
fn it_speaks_for_itself_alone() {
    let gate = accounts();
    let caller = admitted(&gate, &token(&json!({"email": "ana@example.com", "email_verified": true})));
    assert_eq!(caller.principal.to_string(), format!("serviceAccount:{CI}"));
    for subject in [json!("ana@example.com"), json!(CD), json!(""), json!(null), json!([CI])] {
        refused_for(&gate, &token(&json!({ "sub": subject })), Reason::TokenInvalid, "");
    }
    // Of the other account, with a key of the same name.
    refused_for(&gate, &token(&json!({"iss": CD, "sub": CD})), Reason::TokenInvalid, "signature");
}

#[test]
fn tokens_that_break_a_rule_are_refused() {
    let gate = accounts();
    for (changes, detail) in [
        (json!({"scope": "read"}), "both"),
        (json!({"aud": null}), "neither"),
        (json!({"aud": null, "scope": ""}), "neither"),
        (json!({"aud": ["https://api.example.com/"]}), "not a string"),
        (json!({"iat": null}), "needs `iat`"),
        (json!({"exp": NOW + 3601}), "3600s at the most"),
        (json!({"nbf": NOW, "iat": NOW - 60, "exp": NOW + 3600}), "3600s at the most"),
    ] {
        refused_for(&gate, &token(&changes), Reason::TokenInvalid, detail);
    }
    refused_for(&gate, &token(&json!({"nonce": "n"})), Reason::TokenTypeUnsupported, "ID token");
    refused_for(&gate, &token(&json!({"iat": NOW - 3700, "exp": NOW - 100})), Reason::TokenExpired, "");
}

/// Claims that such a token always has may be left out of a question; its audience may not.
#[test]
fn claims_are_assumed_by_its_own_rules() {
    let gate = accounts();
    let assumed = |claims: Value| {
        let Value::Object(claims) = claims else { panic!("{claims}") };
        gate.assume(claims, now())
    };
    let audience = "https://api.example.com/";
    let caller = assumed(json!({"iss": CI, "aud": audience})).unwrap();
    assert_eq!(caller.principal.to_string(), format!("serviceAccount:{CI}"));
    assert_eq!(caller.scopes.audience(), Some(audience));
    for claims in [
        json!({"iss": CI}),
        json!({"iss": CI, "aud": audience, "scope": "read"}),
        json!({"iss": CI, "aud": audience, "sub": CD}),
    ] {
        assert_eq!(assumed(claims).unwrap_err().reason(), Reason::TokenInvalid);
    }
}
