//! Tokens that were verified before: what a hit saves, and what ends it.

use super::*;
use crate::authn::token::cache::CachedToken;

fn token(changes: &Value) -> String {
    RSA.token(&json!({"alg": "RS256", "kid": "rsa"}), &claims_with(changes))
}

fn at(gate: &Authenticator, token: &str, seconds: u64) -> Result<Option<Arc<Caller>>, Denial> {
    authenticated(gate, &[format!("Bearer {token}").as_bytes()], UNIX_EPOCH + Duration::from_secs(seconds))
}

fn counts(gate: &Authenticator) -> (u64, u64) {
    let TokenCacheStatus { hits, misses, .. } = gate.token_cache();
    (hits, misses)
}

#[test]
fn a_token_is_verified_once() {
    let gate = gate(|_| {});
    let token = token(&json!({}));
    let first = admitted(&gate, &token);
    let second = admitted(&gate, &token);
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(counts(&gate), (1, 1));
}

#[test]
fn a_known_token_with_another_byte_is_another_token() {
    let gate = gate(|_| {});
    let token = token(&json!({}));
    admitted(&gate, &token);
    for at in [token.len() - 40, token.len() / 2, 3] {
        let mut forged = token.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        assert!(ask(&gate, &String::from_utf8(forged).unwrap()).is_err(), "{at}");
    }
    assert!(ask(&gate, token.strip_suffix(|_| true).unwrap()).is_err());
    assert_eq!(counts(&gate).0, 0);
}

#[test]
fn a_known_token_ends_when_its_time_does() {
    let gate = gate(|_| {});
    let token = token(&json!({"iat": NOW, "exp": NOW + 60}));
    for seconds in [NOW - 30, NOW, NOW + 60 + 29] {
        assert!(at(&gate, &token, seconds).is_ok(), "{seconds}");
    }
    assert_eq!(at(&gate, &token, NOW + 60 + 30).unwrap_err().reason(), Reason::TokenExpired);
    // A clock that is set back makes it one that was not issued yet.
    assert_eq!(at(&gate, &token, NOW - 31).unwrap_err().reason(), Reason::TokenInvalid);
    assert_eq!(counts(&gate).0, 2);
}

#[test]
fn a_known_token_ends_with_the_key_set_that_verified_it() {
    let gate = gate(|_| {});
    let token = token(&json!({}));
    admitted(&gate, &token);
    let jwks = gate.issuers[0].jwks();
    // The same document again: the keys are the ones that verified it.
    jwks.replace(&key_set(&keys()), 1, now()).unwrap();
    admitted(&gate, &token);
    assert_eq!(counts(&gate), (1, 1));
    // Another document with its key: verified anew, once.
    jwks.replace(&key_set(&keys()[..2]), 2, now()).unwrap();
    admitted(&gate, &token);
    admitted(&gate, &token);
    assert_eq!(counts(&gate), (2, 2));
    // Its key is withdrawn.
    jwks.replace(&key_set(&[P256.jwk("p256")]), 3, now()).unwrap();
    refused_for(&gate, &token, Reason::TokenInvalid, "no key");
}

#[test]
fn refused_tokens_are_not_remembered() {
    let gate = gate(|_| {});
    let expired = token(&json!({"exp": NOW - 60}));
    for _ in 0..3 {
        assert!(ask(&gate, &expired).is_err());
    }
    assert_eq!(counts(&gate), (0, 3));
}

#[test]
fn a_reload_forgets_tokens_and_keeps_counting() {
    let before = gate(|_| {});
    let token = token(&json!({}));
    admitted(&before, &token);
    admitted(&before, &token);
    let mut after = gate(|settings| settings.audiences = vec!["https://other.example/".to_owned()]);
    after.take_over(&before);
    assert_eq!(counts(&after), (1, 1));
    refused_for(&after, &token, Reason::TokenInvalid, "aud");
}

#[test]
fn memory_is_bounded() {
    let gate = gate(|_| {});
    let caller = admitted(&gate, &token(&json!({})));
    let jwks = gate.issuers[0].jwks();
    let keys = jwks.latest().unwrap().keys.clone();
    let (from, until) = (now(), now() + Duration::from_secs(60));
    for number in 0..20_000 {
        let (jwks, keys, caller) = (jwks.clone(), keys.clone(), caller.clone());
        let remembered = CachedToken { jwks, keys, caller, from, until };
        gate.tokens.remember(&format!("{number:01000}"), remembered);
    }
    // 16 MiB at about 3.5 KiB each.
    assert!(gate.token_cache().evictions > 14_000, "{:?}", gate.token_cache());
}
