use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use super::*;
use crate::authn::introspection::settings::{ClientAuthentication, TokenEndpoint};
use crate::authn::issuer;
use crate::authn::settings::{IdentityRule, KeySource, Proof};
use crate::reason::Reason;

/// The thumbprint of some key or certificate.
const THUMBPRINT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
const NOW: u64 = 1_800_000_000;
const POOL: &str = "iam.googleapis.com/locations/global/workforcePools/staff";

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn introspection() -> Dialect {
    let authentication = ClientAuthentication::Basic("secret".into());
    Dialect::Introspection { client_id: "gate".to_owned(), authentication }
}

fn rules(dialect: Dialect, identity: IdentityRule) -> Rules {
    let endpoint = TokenEndpoint::new("https://issuer.example/introspect", dialect);
    let settings = IssuerSettings {
        audiences: vec!["gate".to_owned(), "app".to_owned()],
        proof: Proof::Endpoint(endpoint),
        identity,
        ..IssuerSettings::new("example", "https://issuer.example", "gate", KeySource::url(""))
    };
    let identity = issuer::identity(0, &settings).unwrap();
    Rules { name: "example".into(), settings, identity }
}

fn judged(members: Value, dialect: Dialect, identity: IdentityRule) -> Verdict {
    let Value::Object(members) = members else { panic!("{members}") };
    rules(dialect.clone(), identity).judge(Some(members), &dialect, at(NOW), at(NOW + 10))
}

/// Members with some replaced; `null` removes one.
fn with(mut members: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => members.as_object_mut().unwrap().remove(name),
            value => members.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    members
}

fn introspected(changes: &Value) -> Verdict {
    let members = json!({
        "active": true, "iss": "https://issuer.example", "aud": "gate", "sub": "1234", "token_type": "Bearer",
        "iat": NOW - 60, "exp": NOW + 3600, "scope": "read write", "client_id": "app",
        "email": "Ana@Example.com", "email_verified": true,
    });
    judged(with(members, changes), introspection(), IdentityRule::default())
}

fn described(changes: &Value) -> Verdict {
    let members = json!({
        "azp": "app", "aud": "gate", "sub": "1234", "scope": "read write", "exp": (NOW + 3600).to_string(),
        "expires_in": "3600", "email": "ana@example.com", "email_verified": "true", "access_type": "online",
    });
    judged(with(members, changes), Dialect::TokenInfo, IdentityRule::default())
}

#[track_caller]
fn good(verdict: Verdict) -> Caller {
    match verdict {
        Verdict::Active(good) => good.caller,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(verdict: Verdict, reason: Reason, detail: &str) {
    let Verdict::Refused(denial) = verdict else { panic!("{verdict:?}") };
    assert_eq!(denial.reason(), reason, "{}", denial.detail());
    assert!(denial.detail().contains(detail), "`{}` does not say `{detail}`", denial.detail());
}

#[test]
fn an_introspection_answer_makes_a_caller() {
    let caller = good(introspected(&json!({})));
    assert_eq!(caller.principal.as_str(), "user:ana@example.com");
    assert_eq!(caller.subject.as_deref(), Some("1234"));
    assert_eq!(caller.scopes.iter().collect::<Vec<_>>(), ["read", "write"]);
    assert_eq!(caller.expires, at(NOW + 3600));
    assert_eq!(&*caller.issuer, "example");
    assert_eq!(caller.claims.as_ref().unwrap()["client_id"], "app");
}

#[test]
fn active_is_exactly_true() {
    assert!(matches!(introspected(&json!({"active": false})), Verdict::Inactive(_)));
    for active in [json!(null), json!("true"), json!(1), json!([true]), json!({}), json!("false"), json!(0)] {
        assert!(matches!(introspected(&json!({"active": active})), Verdict::Unclear(_)), "{active}");
    }
    // Nothing else is read in the answer about an inactive token.
    assert!(matches!(introspected(&json!({"active": false, "exp": "x"})), Verdict::Inactive(_)));
}

#[test]
fn every_rule_for_claims_is_one_for_answers() {
    use Reason::{TokenExpired, TokenInvalid, TokenTypeUnsupported};
    for (changes, reason, detail) in [
        (json!({"aud": null}), TokenInvalid, "no `aud`"),
        (json!({"aud": "other"}), TokenInvalid, "audience other"),
        (json!({"aud": ["other", "gat"]}), TokenInvalid, "audience"),
        (json!({"aud": 7}), TokenInvalid, "`aud` is neither"),
        (json!({"iss": "https://issuer.example/"}), TokenInvalid, "`iss` is `https://issuer.example/`"),
        (json!({"iss": 7}), TokenInvalid, "`iss` is not a string"),
        (json!({"exp": NOW - 30}), TokenExpired, "`exp` was"),
        (json!({"exp": (NOW + 3600).to_string()}), TokenInvalid, "`exp` is not a number of seconds"),
        (json!({"exp": -1}), TokenInvalid, "`exp` is not a number of seconds"),
        (json!({"nbf": NOW + 31}), TokenInvalid, "`nbf` is"),
        (json!({"iat": NOW + 31}), TokenInvalid, "`iat` is"),
        (json!({"token_type": "DPoP"}), TokenInvalid, "no key is named"),
        (json!({"token_type": "DPoP", "cnf": {"x5t#S256": THUMBPRINT}}), TokenInvalid, "no key is named"),
        (json!({"token_type": "refresh_token"}), TokenInvalid, "`token_type`"),
        (json!({"token_type": ["Bearer"]}), TokenInvalid, "`token_type` is not a string"),
        (json!({"cnf": {"x5t#S256": "x"}}), TokenInvalid, "is not a SHA-256"),
        (json!({"cnf": {"jwk": {}}}), TokenInvalid, "is not understood"),
        (json!({"nonce": "x"}), TokenTypeUnsupported, "an ID token"),
        (json!({"scope": [1]}), TokenInvalid, "`scope` is neither a string nor an array of strings"),
        (json!({"email_verified": "true"}), TokenInvalid, "not verified"),
        (json!({"email_verified": false}), TokenInvalid, "not verified"),
        (json!({"email": null}), TokenInvalid, "no `email`"),
    ] {
        refused(introspected(&changes), reason, detail);
    }
    for changes in [
        json!({"scope": ["read", "write"]}),
        json!({"scope": null, "scp": "read"}),
        json!({"aud": ["other", "gate"]}),
        json!({"iss": null}),
        json!({"token_type": null}),
        json!({"token_type": "bearer"}),
        json!({"nbf": NOW + 29}),
        json!({"exp": NOW - 29}),
    ] {
        good(introspected(&changes));
    }
}

#[test]
fn a_bound_token_says_to_what() {
    for (members, certificate, key) in [
        (json!({"cnf": {"x5t#S256": THUMBPRINT}}), Some(THUMBPRINT), None),
        (json!({"cnf": {"jkt": THUMBPRINT}, "token_type": "DPoP"}), None, Some(THUMBPRINT)),
        (json!({"cnf": {"jkt": THUMBPRINT}, "token_type": null}), None, Some(THUMBPRINT)),
    ] {
        let confirmation = good(introspected(&members)).confirmation.unwrap();
        assert_eq!(confirmation.certificate.as_deref(), certificate);
        assert_eq!(confirmation.key.as_ref().map(|key| &*key.thumbprint), key);
    }
}

#[test]
fn a_token_without_an_end_ends_soon() {
    assert_eq!(good(introspected(&json!({"exp": null}))).expires, at(NOW + 10));
}

#[test]
fn without_an_email_sub_names_a_principal_of_the_pool_or_no_caller() {
    let pool = || IdentityRule { subject_pool: Some(POOL.to_owned()), ..IdentityRule::default() };
    let members = json!({"active": true, "aud": "gate", "sub": "1234"});
    let caller = good(judged(members.clone(), introspection(), pool()));
    assert_eq!(caller.principal.as_str(), format!("principal://{POOL}/subject/1234"));
    refused(judged(members, introspection(), IdentityRule::default()), Reason::TokenInvalid, "no `email`");
    let members = json!({"aud": "gate", "sub": "1234", "exp": (NOW + 60).to_string()});
    let caller = good(judged(members, Dialect::TokenInfo, pool()));
    assert_eq!(caller.principal.as_str(), format!("principal://{POOL}/subject/1234"));
}

#[test]
fn tokeninfo_writes_numbers_and_booleans_as_strings() {
    let caller = good(described(&json!({})));
    assert_eq!(caller.principal.as_str(), "user:ana@example.com");
    assert_eq!(caller.expires, at(NOW + 3600));
    assert_eq!(caller.claims.as_ref().unwrap()["exp"], NOW + 3600);
    assert_eq!(caller.claims.as_ref().unwrap()["email_verified"], true);
    let service = json!({"email": "ci@demo.iam.gserviceaccount.com"});
    assert_eq!(
        good(described(&service)).principal.as_str(),
        "serviceAccount:ci@demo.iam.gserviceaccount.com"
    );
    good(described(&json!({"exp": NOW + 60, "email_verified": true})));
    use Reason::{TokenExpired, TokenInvalid};
    for (changes, reason, detail) in [
        (json!({"exp": null}), TokenInvalid, "no `exp`"),
        (json!({"exp": (NOW - 30).to_string()}), TokenExpired, "`exp` was"),
        (json!({"exp": "+1900000000"}), TokenInvalid, "`exp` is not"),
        (json!({"exp": "1.9e9"}), TokenInvalid, "`exp` is not"),
        (json!({"exp": ""}), TokenInvalid, "`exp` is not"),
        (json!({"exp": "99999999999999999999"}), TokenInvalid, "`exp` is not"),
        (json!({"email_verified": "True"}), TokenInvalid, "not verified"),
        (json!({"email_verified": "false"}), TokenInvalid, "not verified"),
        (json!({"email_verified": 1}), TokenInvalid, "not verified"),
        (json!({"email_verified": null}), TokenInvalid, "not verified"),
        (json!({"aud": "other"}), TokenInvalid, "audience other"),
        (json!({"aud": null}), TokenInvalid, "no `aud`"),
        (json!({"azp": "other"}), TokenInvalid, "client other"),
        (json!({"azp": ["app"]}), TokenInvalid, "`azp` is not a string"),
        (json!({"email": null, "email_verified": null}), TokenInvalid, "no `email`"),
    ] {
        refused(described(&changes), reason, detail);
    }
}

/// `active` is introspection's: elsewhere it is a member like any other.
#[test]
fn a_status_that_says_no_is_believed() {
    for dialect in [introspection(), Dialect::TokenInfo] {
        let verdict = rules(dialect.clone(), IdentityRule::default()).judge(None, &dialect, at(NOW), at(NOW));
        assert!(matches!(verdict, Verdict::Inactive(_)));
    }
    good(described(&json!({"active": false})));
}
