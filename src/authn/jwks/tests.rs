use serde_json::json;

use super::*;
use crate::authn::tests::mint::{ED25519, P256, RSA, STRANGER, key_set};

fn parse(keys: &[Value]) -> Result<KeySet, KeySetError> {
    KeySet::parse(&key_set(keys), Algorithm::DEFAULT)
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
    assert!(set.select(Some("good"), Algorithm::Es256).is_ok());
    assert_eq!(set.select(Some("leaked"), Algorithm::Rs256).err(), Some(NoKey::UnknownKid));
    insta::assert_snapshot!(set.problems().join("\n"));
}

#[test]
fn a_shared_kid_selects_no_key() {
    let set = parse(&[RSA.jwk("a"), STRANGER.jwk("a"), P256.jwk("b")]).unwrap();
    assert_eq!(set.len(), 1);
    assert_eq!(set.select(Some("a"), Algorithm::Rs256).err(), Some(NoKey::UnknownKid));
    assert_eq!(set.problems(), ["2 keys share the `kid` `a`: none of them is used"]);
    // Of different types as well: the `kid` would leave the choice to the token's `alg`.
    let set = parse(&[RSA.jwk("a"), P256.jwk("a"), ED25519.jwk("b")]).unwrap();
    assert_eq!(set.select(Some("a"), Algorithm::Es256).err(), Some(NoKey::UnknownKid));
}

#[test]
fn keys_for_another_purpose_may_share_a_kid() {
    let mut encryption = STRANGER.jwk("a");
    encryption["use"] = json!("enc");
    let set = parse(&[RSA.jwk("a"), encryption]).unwrap();
    assert!(set.select(Some("a"), Algorithm::Rs256).is_ok());
    assert!(set.problems().is_empty());
}

#[test]
fn an_unusable_key_set_is_refused_with_the_reason() {
    assert_eq!(error(br#"{"keys":[]}"#), "no key of the set can be used");
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
