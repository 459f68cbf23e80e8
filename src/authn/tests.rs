//! Whole tokens through the whole stage: known attacks on other gates, and honest tokens.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use super::*;
use crate::dev::mint::Mint;
use crate::principal::{Principal, PrincipalSets};
use crate::reason::Reason;
use crate::signing::{self, SigningKey};

mod claims;
mod forged;
pub(super) mod mint;
mod poisoned;
mod remembered;
mod self_signed;

use mint::{ED25519, P256, P384, RSA, base64, key_set};

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "https://gate.example/";
/// The time of every test, in seconds since the epoch.
const NOW: u64 = 1_800_000_000;

/// A gate with one issuer, whose key file holds one key of each type.
static GATE: LazyLock<Authenticator> = LazyLock::new(|| gate(|_| {}));

fn keys() -> Vec<Value> {
    vec![RSA.jwk("rsa"), P256.jwk("p256"), P384.jwk("p384"), ED25519.jwk("ed")]
}

fn gate(change: impl FnOnce(&mut IssuerSettings)) -> Authenticator {
    gate_with(&keys(), change)
}

fn gate_with(keys: &[Value], change: impl FnOnce(&mut IssuerSettings)) -> Authenticator {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), key_set(keys)).unwrap();
    let mut settings =
        IssuerSettings::new("example", ISSUER, AUDIENCE, KeySource::File(file.path().to_owned()));
    change(&mut settings);
    Authenticator::load(vec![settings], now()).unwrap()
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn honest() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "1234", "iat": NOW - 60, "exp": NOW + 3600,
        "email": "Ana@Example.com", "email_verified": true, "scope": "read write",
    })
}

/// The honest claims with some replaced; `null` removes a claim.
fn claims_with(changes: &Value) -> Value {
    let mut claims = honest();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    claims
}

fn ask(gate: &Authenticator, token: &str) -> Result<Option<Arc<Caller>>, Denial> {
    authenticated(gate, &[format!("Bearer {token}").as_bytes()], now())
}

/// The identity of a credential, without a confirmation, where there is nothing to wait for.
pub(super) fn authenticated(
    gate: &Authenticator,
    authorization: &[&[u8]],
    now: SystemTime,
) -> Result<Option<Arc<Caller>>, Denial> {
    match gate.authenticate(authorization, now)? {
        Authentication::Anonymous => Ok(None),
        Authentication::Token(token) => Ok(Some(token.assume_confirmed())),
        Authentication::Pending(pending) => Err(pending.into_denial()),
    }
}

/// What a credential waits for.
#[track_caller]
pub(super) fn pending(gate: &Authenticator, authorization: &str, now: SystemTime) -> PendingToken {
    match gate.authenticate(&[authorization.as_bytes()], now) {
        Ok(Authentication::Pending(pending)) => pending,
        other => panic!("waits for nothing: {other:?}"),
    }
}

fn admitted(gate: &Authenticator, token: &str) -> Arc<Caller> {
    ask(gate, token).unwrap().unwrap()
}

/// Asserts a refusal, and that its answer tells the client nothing more and its log line quotes nothing of the token.
#[track_caller]
fn refused(gate: &Authenticator, token: &str) -> Denial {
    let denial = ask(gate, token).unwrap_err();
    assert_eq!(denial.public_message(), denial.reason().entry().message);
    assert!(denial.detail().len() < 300, "{}", denial.detail());
    for segment in token.split('.').filter(|segment| segment.len() > 20) {
        assert!(!denial.detail().contains(segment), "{}", denial.detail());
    }
    denial
}

#[track_caller]
fn refused_for(gate: &Authenticator, token: &str, reason: Reason, detail: &str) {
    let denial = refused(gate, token);
    assert_eq!(denial.reason(), reason, "{}", denial.detail());
    assert!(denial.detail().contains(detail), "`{}` does not say `{detail}`", denial.detail());
}

#[test]
fn every_supported_algorithm_makes_a_caller() {
    let gate = gate(|settings| settings.algorithms = Algorithm::ALL.to_vec());
    for algorithm in Algorithm::ALL {
        let (signer, kid) = match algorithm.name() {
            "ES256" => (&P256, "p256"),
            "ES384" => (&P384, "p384"),
            "EdDSA" => (&ED25519, "ed"),
            _ => (&RSA, "rsa"),
        };
        let token = signer.token(&json!({"alg": algorithm.name(), "kid": kid, "typ": "JWT"}), &honest());
        let caller = admitted(&gate, &token);
        assert_eq!(caller.principal.as_str(), "user:ana@example.com", "{algorithm}");
    }
}

#[test]
fn tokens_of_our_own_keys_are_accepted_under_their_own_key_set() {
    for algorithm in signing::SigningAlgorithm::ALL {
        let key = SigningKey::generate(algorithm, None).unwrap();
        let gate = gate_with(&[key.public_jwk()], |_| {});
        let caller = admitted(&gate, &key.sign(&honest()).unwrap());
        assert_eq!(caller.principal.as_str(), "user:ana@example.com", "{algorithm:?}");
        assert!(gate.key_sets(now())[0].problems.is_empty(), "{algorithm:?}");
    }
}

#[test]
fn a_caller_is_what_the_claims_say() {
    let caller = admitted(&GATE, &RSA.token(&json!({"alg": "RS256", "kid": "rsa"}), &honest()));
    assert_eq!(
        *caller,
        Caller {
            issuer: "example".into(),
            subject: Some("1234".to_owned()),
            principal: Principal::user("ana@example.com").unwrap(),
            sets: PrincipalSets::default(),
            scopes: ["read", "write"].into_iter().collect(),
            confirmation: None,
            own_key: None,
            expires: UNIX_EPOCH + Duration::from_secs(NOW + 3600),
            claims: serde_json::from_value(honest()).unwrap(),
        }
    );
}

#[test]
fn without_a_credential_there_is_no_caller_and_two_are_refused() {
    assert_eq!(authenticated(&GATE, &[], now()).unwrap(), None);
    let value = format!("Bearer {}", RSA.token(&json!({"alg": "RS256", "kid": "rsa"}), &honest()));
    let twice = GATE.authenticate(&[value.as_bytes(), value.as_bytes()], now()).unwrap_err();
    assert_eq!(twice.reason(), Reason::CredentialsOverloaded);
}

#[test]
fn debug_output_shows_no_token_and_no_keys() {
    let token = RSA.token(&json!({"alg": "RS256", "kid": "rsa"}), &honest());
    let caller = format!("{:?}", admitted(&GATE, &token));
    assert!(token.split('.').all(|segment| !caller.contains(segment)));
    assert_eq!(format!("{:?}", *GATE), r#"Authenticator { issuers: ["https://issuer.example"] }"#);
}

#[test]
fn the_issuer_is_found_by_exact_iss_and_judged_by_its_own_keys_and_audience() {
    let file = |keys: &[Value]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), key_set(keys)).unwrap();
        file
    };
    let (first, second) = (file(&[RSA.jwk("k")]), file(&[P256.jwk("k")]));
    let settings = |name: &str, file: &tempfile::NamedTempFile| {
        let source = KeySource::File(file.path().to_owned());
        let mut settings =
            IssuerSettings::new(name, format!("https://{name}"), format!("aud-{name}"), source);
        settings.identity.email_domains = Some(vec!["example.com".to_owned()]);
        settings
    };
    let gate = Authenticator::load(vec![settings("one", &first), settings("two", &second)], now()).unwrap();
    let claims = |name: &str| claims_with(&json!({"iss": format!("https://{name}"), "aud": "aud-two"}));
    let es256 = json!({"alg": "ES256", "kid": "k"});
    assert_eq!(&*admitted(&gate, &P256.token(&es256, &claims("two"))).issuer, "two");
    // Signed by the second issuer's key in the first one's name, and the other way round.
    let rs256 = json!({"alg": "RS256", "kid": "k"});
    refused_for(&gate, &P256.token(&es256, &claims("one")), Reason::TokenInvalid, "not for ES256");
    refused_for(&gate, &RSA.token(&rs256, &claims("two")), Reason::TokenInvalid, "not for RS256");
    // Good key, the other issuer's audience.
    refused_for(&gate, &RSA.token(&rs256, &claims("one")), Reason::TokenInvalid, "audience");
}

#[test]
fn an_issuer_without_keys_answers_not_ready_and_is_reported() {
    let source = KeySource::url("https://issuer.example/jwks");
    let settings = IssuerSettings::new("example", ISSUER, AUDIENCE, source);
    // Without this machine's CA certificates there is no client to build, and nothing to test here.
    let Ok(gate) = Authenticator::load(vec![settings], now()) else {
        eprintln!("skipped: no CA certificates on this machine");
        return;
    };
    let token = RSA.token(&json!({"alg": "RS256", "kid": "rsa"}), &honest());
    refused_for(&gate, &token, Reason::NotReady, "no usable keys");
    assert_eq!(gate.readiness(now()), [("example".to_owned(), "no keys yet".to_owned())]);
    assert_eq!(gate.key_sets(now())[0].keys, 0);
    assert!(GATE.readiness(now()).is_empty());
    // The P-384 key fits no algorithm of the default list.
    assert_eq!(GATE.key_sets(now())[0].keys, 3);
}
