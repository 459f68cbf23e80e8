use serde_json::json;

use aws_lc_rs::signature::ED25519 as ED25519_ALGORITHM;

use super::modulus::tests::ROCA_MODULUS;
use super::*;
use crate::authn::tests::mint::{ED25519, P256, P384, RSA, base64};

fn read(jwk: &Value) -> Result<VerifyingKey, UnusableKey> {
    VerifyingKey::from_jwk(jwk.as_object().unwrap(), Algorithm::ALL)
}

fn with(mut jwk: Value, member: &str, value: Value) -> Value {
    jwk.as_object_mut().unwrap().insert(member.to_owned(), value);
    jwk
}

#[track_caller]
fn refused_for(jwk: &Value, detail: &str) {
    match read(jwk) {
        Err(UnusableKey::Rejected(why)) => assert!(why.contains(detail), "`{why}` does not say `{detail}`"),
        Err(UnusableKey::Foreign(why)) => panic!("only foreign: {why}"),
        Ok(_) => panic!("accepted"),
    }
}

#[track_caller]
fn foreign_for(jwk: &Value, detail: &str) {
    match read(jwk) {
        Err(UnusableKey::Foreign(why)) => assert!(why.contains(detail), "`{why}` does not say `{detail}`"),
        Err(UnusableKey::Rejected(why)) => panic!("refused: {why}"),
        Ok(_) => panic!("accepted"),
    }
}

fn fitting(jwk: &Value) -> Vec<&'static str> {
    let key = read(jwk).unwrap();
    Algorithm::ALL
        .iter()
        .filter(|algorithm| key.fits(**algorithm))
        .map(|algorithm| algorithm.name())
        .collect()
}

/// An RSA JWK with a modulus of so many bits that is not a product of primes: enough for every check before the last.
fn rsa_of(bits: usize) -> Value {
    let mut modulus = vec![0xff; bits.div_ceil(8)];
    modulus[0] = u8::try_from((1u16 << (bits - (modulus.len() - 1) * 8)) - 1).unwrap();
    json!({"kty": "RSA", "n": base64(modulus), "e": "AQAB"})
}

#[test]
fn a_key_takes_the_algorithms_of_its_type_only() {
    assert_eq!(fitting(&RSA.jwk("k")), ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]);
    assert_eq!(fitting(&P256.jwk("k")), ["ES256"]);
    assert_eq!(fitting(&P384.jwk("k")), ["ES384"]);
    assert_eq!(fitting(&ED25519.jwk("k")), ["EdDSA"]);
    assert_eq!(fitting(&with(RSA.jwk("k"), "alg", json!("PS256"))), ["PS256"]);
}

/// Wycheproof, json_web_key, tcId 7: a verifier accepted tokens signed by such a key.
#[test]
fn a_key_of_a_library_whose_keys_can_be_factored_is_refused() {
    refused_for(&json!({"kty": "RSA", "n": ROCA_MODULUS, "e": "AQAB"}), "CVE-2017-15361");
}

/// With such a key, `R` = the identity and `S` = 0 is a signature of any message, or of every eighth.
#[test]
fn an_ed25519_key_of_small_order_is_refused() {
    let identity = [&[1][..], &[0; 31]].concat();
    let order_2 = [&[0xec][..], &[0xff; 30], &[0x7f]].concat();
    let mut points = vec![identity.clone(), order_2, vec![0; 32]];
    points.push([&[0xed][..], &[0xff; 30], &[0x7f]].concat());
    for order_8 in [
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ] {
        let octet = |at: usize| u8::from_str_radix(order_8.get(at..at + 2).unwrap(), 16).unwrap();
        points.push((0..64).step_by(2).map(octet).collect());
    }
    let signature = [identity, vec![0; 32]].concat();
    let mut forged = 0;
    for point in points {
        for sign in [0, 0x80] {
            let mut point = point.clone();
            *point.last_mut().unwrap() |= sign;
            refused_for(&json!({"kty": "OKP", "crv": "Ed25519", "x": base64(&point)}), "small order");
            // What the refusal prevents.
            let key = aws_lc_rs::signature::UnparsedPublicKey::new(&ED25519_ALGORITHM, &point);
            forged += (0..64_u8).filter(|message| key.verify(&[*message], &signature).is_ok()).count();
        }
    }
    assert!(forged > 0, "the library refuses them by itself");
}

#[test]
fn a_key_takes_no_algorithm_that_the_issuer_may_not_use() {
    let jwk = P256.jwk("k");
    let of = |allowed: &[Algorithm]| VerifyingKey::from_jwk(jwk.as_object().unwrap(), allowed).err();
    assert_eq!(of(&[Algorithm::Es256]), None);
    let why = "fits no algorithm that the issuer may use".to_owned();
    assert_eq!(of(&[Algorithm::Rs256, Algorithm::Es384]), Some(UnusableKey::Foreign(why)));
}

#[test]
fn a_key_verifies_its_own_signatures_with_fitting_algorithms_only() {
    let key = read(&with(RSA.jwk("k"), "alg", json!("RS256"))).unwrap();
    assert!(key.verifies(Algorithm::Rs256, b"text", &RSA.sign("RS256", b"text")));
    assert!(!key.verifies(Algorithm::Rs256, b"other", &RSA.sign("RS256", b"text")));
    assert!(!key.verifies(Algorithm::Rs384, b"text", &RSA.sign("RS384", b"text")));
    assert!(!key.verifies(Algorithm::Es256, b"text", &P256.sign("ES256", b"text")));
}

#[test]
fn secret_members_give_a_key_away() {
    for member in SECRET_MEMBERS {
        refused_for(&with(RSA.jwk("k"), member, json!("AQAB")), "secret member");
        // A member that a serialiser wrote as `null` gives nothing away.
        assert!(read(&with(ED25519.jwk("k"), member, json!(null))).is_ok());
        // Even where the key is for encryption: it was published.
        refused_for(&with(with(RSA.jwk("k"), member, json!("AA")), "use", json!("enc")), "secret member");
    }
}

#[test]
fn symmetric_keys_are_refused() {
    refused_for(&json!({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}), "secret member `k`");
    refused_for(&json!({"kty": "oct", "alg": "HS256"}), "symmetric");
}

#[test]
fn use_and_key_ops_are_honoured() {
    assert!(read(&with(RSA.jwk("k"), "use", json!("sig"))).is_ok());
    assert!(read(&with(RSA.jwk("k"), "key_ops", json!(["verify"]))).is_ok());
    for purpose in ["enc", "", "SIG", "sig "] {
        foreign_for(&with(RSA.jwk("k"), "use", json!(purpose)), "is for `use`");
    }
    for operations in [json!([]), json!(["sign"]), json!(["encrypt", "wrapKey"]), json!(["Verify"])] {
        foreign_for(&with(RSA.jwk("k"), "key_ops", operations), "no `verify`");
    }
    let both = with(with(RSA.jwk("k"), "use", json!("sig")), "key_ops", json!(["encrypt"]));
    foreign_for(&both, "no `verify`");
    for operations in [json!("verify"), json!({"verify": true}), json!(["verify", 1])] {
        refused_for(&with(RSA.jwk("k"), "key_ops", operations), "not an array of strings");
    }
    refused_for(&with(RSA.jwk("k"), "use", json!(["sig"])), "`use` that is not a string");
    for member in ["use", "key_ops", "alg", "kid", "x5t"] {
        assert!(read(&with(RSA.jwk("k"), member, json!(null))).is_ok(), "{member}");
    }
    let svid = with(RSA.jwk("k"), "use", json!("jwt-svid"));
    foreign_for(&svid, "`trust_domain`");
    let rules = KeyRules { algorithms: Algorithm::ALL, jwt_svids: true };
    assert!(VerifyingKey::from_jwk(svid.as_object().unwrap(), rules).is_ok());
    let other = with(RSA.jwk("k"), "use", json!("x509-svid"));
    assert!(VerifyingKey::from_jwk(other.as_object().unwrap(), rules).is_err());
}

#[test]
fn alg_must_fit_the_type_of_the_key() {
    for (jwk, alg) in [
        (RSA.jwk("k"), "ES256"),
        (P256.jwk("k"), "RS256"),
        (P256.jwk("k"), "ES384"),
        (P384.jwk("k"), "ES256"),
        (ED25519.jwk("k"), "ES256"),
        (RSA.jwk("k"), "EdDSA"),
    ] {
        refused_for(&with(jwk, "alg", json!(alg)), "takes another type of key");
    }
    for alg in ["none", "HS256", "RSA-OAEP", "RS1", "ES512", "rs256"] {
        foreign_for(&with(RSA.jwk("k"), "alg", json!(alg)), "is for `alg`");
    }
    refused_for(&with(RSA.jwk("k"), "alg", json!(256)), "not a string");
}

#[test]
fn unknown_types_and_curves_are_left_alone() {
    foreign_for(&json!({"kty": "AKP"}), "type `AKP`");
    foreign_for(&with(P256.jwk("k"), "crv", json!("secp256k1")), "curve");
    foreign_for(&with(P256.jwk("k"), "crv", json!("P-521")), "curve");
    foreign_for(&with(ED25519.jwk("k"), "crv", json!("X25519")), "curve");
    foreign_for(&with(ED25519.jwk("k"), "crv", json!("Ed448")), "curve");
    refused_for(&json!({"kid": "k"}), "has no `kty`");
    refused_for(&json!({"kty": "EC"}), "has no `crv`");
    refused_for(&json!({"kty": 1}), "not a string");
    refused_for(&with(RSA.jwk("k"), "kid", json!(1)), "`kid` that is not a string");
}

#[test]
fn rsa_moduli_below_2048_bits_and_beyond_8192_are_refused() {
    for bits in [8, 512, 1024, 2047, 8193, 16384] {
        refused_for(&rsa_of(bits), &format!("has {bits} bits"));
    }
    // The sizes at the bounds get as far as aws-lc, which has its own say.
    assert!(!matches!(read(&rsa_of(2048)), Err(UnusableKey::Rejected(why)) if why.contains("bits, outside")));
}

#[test]
fn rsa_exponents_must_be_odd_and_65537_or_more() {
    let with_exponent = |bytes: &[u8]| with(RSA.jwk("k"), "e", json!(base64(bytes)));
    for (bytes, value) in
        [(&[1][..], "1"), (&[3], "3"), (&[17], "17"), (&[1, 0, 0], "65536"), (&[1, 0, 2], "65538")]
    {
        refused_for(&with_exponent(bytes), &format!("public exponent {value}"));
    }
    refused_for(&with_exponent(&[1; 9]), "beyond 64 bits");
    refused_for(&with_exponent(&[0, 1, 0, 1]), "begins with a zero byte");
    refused_for(&with_exponent(&[]), "empty");
}

#[test]
fn numbers_are_strict_base64url_without_leading_zeros() {
    let jwk = RSA.jwk("k");
    let modulus = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    refused_for(&with(jwk.clone(), "n", json!(base64([&[0], &modulus[..]].concat()))), "zero byte");
    refused_for(&with(jwk.clone(), "n", json!("")), "empty");
    refused_for(&with(jwk.clone(), "n", json!(format!("{}==", jwk["n"].as_str().unwrap()))), "not base64url");
    refused_for(&with(jwk.clone(), "e", json!("AQ+B")), "not base64url");
    refused_for(&with(jwk, "e", json!(65537)), "not a string");
    let mut even = modulus;
    *even.last_mut().unwrap() &= 0xfe;
    refused_for(&with(RSA.jwk("k"), "n", json!(base64(even))), "even RSA modulus");
}

#[test]
fn points_off_their_curve_are_refused() {
    for (signer, length) in [(&P256, 32), (&P384, 48)] {
        let jwk = signer.jwk("k");
        refused_for(&with(jwk.clone(), "y", jwk["x"].clone()), "not a point of its curve");
        refused_for(&with(jwk.clone(), "x", json!(base64(vec![0; length]))), "not a point of its curve");
        refused_for(&with(jwk.clone(), "x", json!(base64(vec![1; length - 1]))), "bytes long");
        refused_for(&with(jwk.clone(), "y", json!(base64(vec![1; length + 1]))), "bytes long");
    }
    // A point of one curve under the other's name.
    refused_for(&with(P256.jwk("k"), "crv", json!("P-384")), "48 bytes");
    refused_for(&with(ED25519.jwk("k"), "x", json!(base64([1; 31]))), "32 bytes");
}
