use serde_json::json;

use super::*;
use crate::authn::tests::mint::{ED25519, P256, RSA, STRANGER, key_set};

fn parse(keys: &[Value]) -> Result<KeySet, KeySetError> {
    KeySet::parse(&key_set(keys), Algorithm::DEFAULT)
}

fn select<'k>(set: &'k KeySet, kid: &str, algorithm: Algorithm) -> Result<&'k VerifyingKey, NoKey> {
    set.select(&NamedKey { kid: Some(kid.to_owned()), thumbprints: Vec::new() }, algorithm)
}

fn error(document: &[u8]) -> String {
    KeySet::parse(document, Algorithm::DEFAULT).err().unwrap().to_string()
}

#[test]
fn bad_keys_are_told_of_and_good_ones_stay() {
    let mut private = RSA.jwk("leaked");
    private["d"] = json!("AQAB");
    let mut encryption = RSA.jwk("enc");
    encryption["use"] = json!("enc");
    let symmetric = json!({"kty": "oct", "k": "c2VjcmV0"});
    let set = parse(&[private, symmetric, json!("key"), encryption, P256.jwk("good")]).unwrap();
    assert_eq!(set.len(), 1);
    assert!(select(&set, "good", Algorithm::Es256).is_ok());
    assert_eq!(select(&set, "leaked", Algorithm::Rs256).err(), Some(NoKey::UnknownKid));
    insta::assert_snapshot!(set.problems().join("\n"));
}

#[test]
fn a_shared_kid_selects_no_key() {
    let set = parse(&[RSA.jwk("a"), STRANGER.jwk("a"), P256.jwk("b")]).unwrap();
    assert_eq!(set.len(), 1);
    assert_eq!(select(&set, "a", Algorithm::Rs256).err(), Some(NoKey::UnknownKid));
    assert_eq!(set.problems(), ["2 keys share the `kid` `a`: none of them is used for PS256, RS256"]);
    // Each of two types has algorithms of its own (RFC 7517, section 4.5).
    let set = parse(&[RSA.jwk("a"), P256.jwk("a"), ED25519.jwk("b")]).unwrap();
    assert_eq!(set.len(), 3);
    assert!(select(&set, "a", Algorithm::Es256).unwrap().fits(Algorithm::Es256));
    assert!(select(&set, "a", Algorithm::Rs256).unwrap().fits(Algorithm::Rs256));
    assert_eq!(select(&set, "a", Algorithm::EdDsa).err(), Some(NoKey::OtherAlgorithm));
    assert!(set.problems().is_empty());
}

/// Of a set that no key is left of, each key is named with what is wrong with it.
#[test]
fn every_key_that_is_skipped_is_named() {
    let with = |mut jwk: Value, member: &str, value: Value| {
        jwk[member] = value;
        jwk
    };
    let skipped = [
        with(P256.jwk("curve"), "crv", json!("P-521")),
        with(RSA.jwk("svid"), "use", json!("jwt-svid")),
        with(RSA.jwk("operations"), "key_ops", json!([])),
        with(RSA.jwk("encryption"), "alg", json!("RSA-OAEP")),
        json!({"kty": "oct", "kid": "secret"}),
        json!(null),
    ];
    let document = key_set(&skipped);
    insta::assert_snapshot!(error(&document).replace("; ", "\n").replace(": key", ":\nkey"));
    let mut mixed = skipped.to_vec();
    mixed.push(ED25519.jwk("good"));
    let set = parse(&mixed).unwrap();
    assert_eq!((set.len(), set.skipped().len(), set.problems().len()), (1, 4, 2));
}

#[test]
fn keys_for_another_purpose_may_share_a_kid() {
    let mut encryption = STRANGER.jwk("a");
    encryption["use"] = json!("enc");
    let set = parse(&[RSA.jwk("a"), encryption]).unwrap();
    assert!(select(&set, "a", Algorithm::Rs256).is_ok());
    assert!(set.problems().is_empty());
}

#[test]
fn an_unusable_key_set_is_refused_with_the_reason() {
    assert_eq!(error(br#"{"keys":[]}"#), "no key of the set can be used: it holds none");
    assert_eq!(error(b"{}"), "the key set has no `keys` array");
    assert_eq!(error(br#"{"keys":{}}"#), "the key set has no `keys` array");
    assert_eq!(error(&RSA.jwk("k").to_string().into_bytes()), "the key set has no `keys` array");
    assert!(error(b"[]").starts_with("the key set is not a JSON object"));
    assert!(error(b"<html>").starts_with("the key set is not a JSON object"));
    assert!(error(br#"{"keys":[],"keys":[]}"#).contains("given twice"));
    let symmetric = error(br#"{"keys":[{"kty":"oct","kid":"s"}]}"#);
    assert_eq!(symmetric, "no key of the set can be used: key `s` is symmetric");
    let large = [&key_set(&[RSA.jwk("k")])[..], &vec![b' '; MAX_DOCUMENT]].concat();
    assert_eq!(error(&large), "the key set is larger than 1048576 bytes");
}

#[test]
fn a_repeated_member_spoils_the_whole_set() {
    let text = String::from_utf8(key_set(&[RSA.jwk("k")])).unwrap();
    let doubled = text.replacen(r#""kty""#, r#""kty":"oct","kty""#, 1);
    assert!(error(doubled.as_bytes()).contains("given twice"));
}

proptest::proptest! {
    #[test]
    fn no_document_panics(document in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = KeySet::parse(&document, Algorithm::ALL);
    }

    #[test]
    fn no_member_value_panics(member in "(kty|crv|x|y|n|e|use|alg|kid|key_ops)", value in "[ -~]{0,12}") {
        for signer in [&*RSA, &*P256, &*ED25519] {
            let mut jwk = signer.jwk("k");
            jwk[&member] = json!(value);
            let _ = parse(&[jwk]);
        }
    }
}
