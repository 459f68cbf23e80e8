use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};

use super::*;
use crate::principal::Principal;
use crate::principal::Scopes;

const SERVICE: &str = "library.example.com";
const POOL: &str = "iam.googleapis.com/locations/global/workforcePools/staff";

fn settings(keys: &[&Arc<SigningKey>]) -> AssertionSettings {
    AssertionSettings {
        issuer: "https://gate.example.com".to_owned(),
        keys: keys.iter().map(|key| (*key).clone()).collect(),
        lifetime: AssertionSettings::DEFAULT_LIFETIME,
        jwks_path: None,
        files: Vec::new(),
    }
}

fn key(algorithm: SigningAlgorithm) -> Arc<SigningKey> {
    Arc::new(SigningKey::generate(algorithm, None).unwrap())
}

fn assertions(keys: &[&Arc<SigningKey>]) -> Arc<Assertions> {
    Assertions::new(&settings(keys), None).unwrap()
}

/// 2026, so that a test can give the time and needs no clock.
fn start() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_772_000_000)
}

fn after(seconds: u64) -> SystemTime {
    start() + Duration::from_secs(seconds)
}

fn caller(principal: Principal, issuer: &str, subject: &str) -> Caller {
    let claims: Map<String, Value> = [("iss".to_owned(), issuer.into())].into_iter().collect();
    Caller {
        subject: Some(subject.to_owned()),
        claims: Some(claims),
        ..Caller::assumed(principal, Scopes::default(), start())
    }
}

fn ana() -> Caller {
    caller(Principal::user("ana@example.com").unwrap(), "https://login.example.com", "0017")
}

/// The header and the claims of an assertion that a key of the set verifies.
fn verified(assertion: &HeaderValue, assertions: &Assertions) -> Option<(jsonwebtoken::Header, Value)> {
    let jwks: JwkSet = serde_json::from_slice(&assertions.jwks()).unwrap();
    let token = assertion.to_str().unwrap();
    let header = decode_header(token).unwrap();
    let jwk = jwks.find(header.kid.as_deref().unwrap())?;
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&["https://gate.example.com"]);
    validation.set_audience(&[format!("https://{SERVICE}/")]);
    validation.validate_exp = false;
    let claims = decode(token, &DecodingKey::from_jwk(jwk).unwrap(), &validation).ok()?.claims;
    Some((header, claims))
}

#[test]
fn an_assertion_says_who_asks_for_which_service_and_for_how_long() {
    for algorithm in SigningAlgorithm::ALL {
        let assertions = assertions(&[&key(algorithm)]);
        let assertion = assertions.about(&ana(), SERVICE, start()).unwrap();
        let (header, claims) = verified(&assertion, &assertions).unwrap();
        assert_eq!(header.typ.as_deref(), Some("opgate-assertion+jwt"));
        assert_eq!(
            claims,
            json!({
                "iss": "https://gate.example.com", "aud": "https://library.example.com/",
                "sub": "user:ana@example.com", "email": "ana@example.com",
                "orig_iss": "https://login.example.com", "orig_sub": "0017",
                "iat": 1_772_000_000, "exp": 1_772_000_060,
            }),
            "{algorithm}"
        );
    }
}

#[test]
fn a_subject_is_written_as_it_is() {
    let assertions = assertions(&[&key(SigningAlgorithm::Es256)]);
    let principal = Principal::subject(POOL, "x, user:root@example.com\",\"sub\":\"y");
    let caller = Caller::assumed(principal.clone(), Scopes::default(), start());
    let (_, claims) = verified(&assertions.about(&caller, SERVICE, start()).unwrap(), &assertions).unwrap();
    let names: Vec<&str> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["iss", "aud", "sub", "iat", "exp"], "what is not known is not there");
    assert_eq!(claims["sub"], principal.as_str());
}

#[test]
fn one_assertion_serves_until_half_of_its_life_is_over() {
    let assertions = assertions(&[&key(SigningAlgorithm::Es256)]);
    let at = |now| assertions.about(&ana(), SERVICE, now).unwrap();
    let first = at(start());
    assert_eq!(at(after(29)), first);
    let second = at(after(30));
    assert_ne!(second, first);
    assert_eq!(verified(&second, &assertions).unwrap().1["exp"], 1_772_000_090);
    assert_eq!(at(after(59)), second);
    // A clock that is set back makes no assertion that begins in the future.
    let third = at(after(10));
    assert_eq!(verified(&third, &assertions).unwrap().1["iat"], 1_772_000_010);
}

/// Two callers that differ in anything get different assertions, even if one has just been signed for the other.
#[test]
fn callers_that_differ_in_anything_have_different_assertions() {
    let assertions = assertions(&[&key(SigningAlgorithm::Es256)]);
    let bob = Principal::user("bob@example.com").unwrap();
    let callers = [
        (ana(), SERVICE),
        (ana(), "other.example.com"),
        (Caller { principal: bob, ..ana() }, SERVICE),
        (caller(ana().principal, "https://other.example.com", "0017"), SERVICE),
        (caller(ana().principal, "https://login.example.com", "0018"), SERVICE),
        (Caller { subject: None, ..ana() }, SERVICE),
        (Caller { claims: None, ..ana() }, SERVICE),
    ];
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..2 {
        for (caller, service) in &callers {
            let assertion = assertions.about(caller, service, start()).unwrap();
            let payload = assertion.to_str().unwrap().split('.').nth(1).unwrap().to_owned();
            let bytes = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, payload);
            let claims: Value = serde_json::from_slice(&bytes.unwrap()).unwrap();
            assert_eq!(claims["aud"], format!("https://{service}/"));
            assert_eq!(claims["sub"], caller.principal.with_plain_subject().as_ref());
            assert_eq!(claims.get("orig_sub").and_then(Value::as_str), caller.subject.as_deref());
            seen.insert(claims.to_string());
        }
    }
    assert_eq!(seen.len(), callers.len());
}

#[test]
fn a_subject_longer_than_openid_has_them_is_not_passed_on() {
    let assertions = assertions(&[&key(SigningAlgorithm::Es256)]);
    let long = caller(ana().principal, "https://login.example.com", &"x".repeat(256));
    let (_, claims) = verified(&assertions.about(&long, SERVICE, start()).unwrap(), &assertions).unwrap();
    assert_eq!((claims.get("orig_sub"), &claims["sub"]), (None, &json!("user:ana@example.com")));
}

#[test]
fn the_store_is_bounded() {
    let assertions = assertions(&[&key(SigningAlgorithm::EdDsa)]);
    for number in 0..12_000 {
        let principal = Principal::subject(POOL, &format!("{number:0>250}"));
        let caller = Caller::assumed(principal, Scopes::default(), start());
        assertions.about(&caller, SERVICE, start()).unwrap();
    }
    assert!(assertions.kept.weight() <= CAPACITY, "{}", assertions.kept.weight());
    assert!(assertions.kept.len() > 1000, "{}", assertions.kept.len());
}

#[test]
fn the_first_key_signs_and_all_are_published() {
    let (old, new) = (key(SigningAlgorithm::Rs256), key(SigningAlgorithm::Es256));
    let before = Assertions::new(&settings(&[&old, &new]), None).unwrap();
    let by_old = before.about(&ana(), SERVICE, start()).unwrap();
    assert_eq!(verified(&by_old, &before).unwrap().0.kid.as_deref(), Some(old.kid()));

    let after = Assertions::new(&settings(&[&new, &old]), Some(&before)).unwrap();
    let by_new = after.about(&ana(), SERVICE, start()).unwrap();
    assert_eq!(verified(&by_new, &after).unwrap().0.kid.as_deref(), Some(new.kid()));
    for (assertion, assertions) in [(&by_new, &before), (&by_old, &after)] {
        assert!(verified(assertion, assertions).is_some(), "each verifies with either set");
    }
    let end = Assertions::new(&settings(&[&new]), Some(&after)).unwrap();
    assert!(verified(&by_new, &end).is_some() && verified(&by_old, &end).is_none());
}

#[test]
fn a_key_that_was_made_signs_on_until_there_are_files() {
    let first = assertions(&[]);
    let same = Assertions::new(&settings(&[]), Some(&first)).unwrap();
    assert!(Arc::ptr_eq(&first, &same), "nothing has changed, and what was signed is kept");
    let longer = AssertionSettings { lifetime: Duration::from_secs(120), ..settings(&[]) };
    let longer = Assertions::new(&longer, Some(&first)).unwrap();
    assert_eq!(longer.signs.kid(), first.signs.kid());
    assert_eq!(
        verified(&longer.about(&ana(), SERVICE, start()).unwrap(), &first).unwrap().1["exp"],
        1_772_000_120
    );

    let file = key(SigningAlgorithm::Es256);
    let filed = Assertions::new(&settings(&[&file]), Some(&first)).unwrap();
    assert_eq!(filed.signs.kid(), file.kid());
    let again = Assertions::new(&settings(&[]), Some(&filed)).unwrap();
    assert!(again.is_made && again.signs.kid() != file.kid(), "a file's key ends with the file");
    assert_ne!(assertions(&[]).jwks(), first.jwks());
}

#[test]
fn published_and_printed_keys_hold_no_private_member() {
    let assertions = assertions(&[
        &key(SigningAlgorithm::Es256),
        &key(SigningAlgorithm::Rs256),
        &key(SigningAlgorithm::EdDsa),
    ]);
    let jwks: Value = serde_json::from_slice(&assertions.jwks()).unwrap();
    for jwk in jwks["keys"].as_array().unwrap() {
        for secret in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            assert!(jwk.get(secret).is_none(), "{jwk}");
        }
    }
    let printed = format!("{assertions:?}");
    assert!(printed.contains("kid") && !printed.contains("pair"), "{printed}");
}
