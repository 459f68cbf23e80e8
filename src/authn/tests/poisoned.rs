//! Key sets with keys that must not be trusted, and tokens that those keys have signed well: only the rules about keys
//! refuse them. A good key beside them stays good.

use super::mint::STRANGER;
use super::*;

/// A gate whose set has these keys beside [`P256`].
fn gate_beside(keys: &[Value]) -> Authenticator {
    let keys = [keys, &[P256.jwk("p256")]].concat();
    gate_with(&keys, |settings| settings.algorithms = Algorithm::ALL.to_vec())
}

#[track_caller]
fn the_good_key_stays(gate: &Authenticator, name: &str) {
    let token = P256.token(&json!({"alg": "ES256", "kid": "p256"}), &honest());
    assert!(ask(gate, &token).is_ok(), "{name}");
}

#[test]
fn a_key_that_says_it_is_for_something_else_signs_no_token() {
    for (member, value) in [
        ("use", json!("enc")),
        ("use", json!("SIG")),
        ("use", json!("")),
        ("use", json!(["sig"])),
        ("key_ops", json!(["sign"])),
        ("key_ops", json!(["encrypt", "wrapKey"])),
        ("key_ops", json!(["VERIFY"])),
        ("key_ops", json!([])),
        ("key_ops", json!("verify")),
        ("key_ops", json!(["verify", 1])),
        ("key_ops", json!({"verify": true})),
        ("alg", json!("RS384")),
        ("alg", json!("PS256")),
        ("alg", json!("RSA-OAEP")),
        ("alg", json!("HS256")),
        ("alg", json!("none")),
        ("alg", json!("ES256")),
        ("alg", json!("rs256")),
        ("alg", json!(["RS256"])),
        ("kty", json!("rsa")),
        ("kty", json!("RSA ")),
        ("kty", json!("EC")),
        ("kty", json!("oct")),
        ("kty", json!("OKP")),
        ("kty", json!(null)),
        ("kid", json!(7)),
        ("d", json!("AQAB")),
        ("p", json!("AQAB")),
        ("oth", json!([])),
        ("k", json!("c2VjcmV0")),
    ] {
        let mut jwk = STRANGER.jwk("k");
        jwk[member] = value.clone();
        let gate = gate_beside(&[jwk]);
        for header in [json!({"alg": "RS256", "kid": "k"}), json!({"alg": "RS256"})] {
            let token = STRANGER.token(&header, &honest());
            assert_eq!(refused(&gate, &token).reason(), Reason::TokenInvalid, "{member}: {value}, {header}");
        }
        the_good_key_stays(&gate, member);
    }
    // The key that all of them were made from signs tokens.
    let gate = gate_beside(&[STRANGER.jwk("k")]);
    assert!(ask(&gate, &STRANGER.token(&json!({"alg": "RS256", "kid": "k"}), &honest())).is_ok());
}

#[test]
fn a_kid_that_several_keys_have_selects_none_of_them() {
    let gate = gate_beside(&[RSA.jwk("k"), STRANGER.jwk("k")]);
    for signer in [&*RSA, &*STRANGER] {
        for header in [json!({"alg": "RS256", "kid": "k"}), json!({"alg": "RS256"})] {
            assert_eq!(refused(&gate, &signer.token(&header, &honest())).reason(), Reason::TokenInvalid);
        }
    }
    the_good_key_stays(&gate, "a shared kid");
}

#[test]
fn a_symmetric_key_of_a_set_signs_no_token() {
    let secret = b"a secret that was published by mistake";
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    for (member, value) in [("alg", "HS256"), ("use", "sig"), ("x", "y")] {
        let mut jwk = json!({"kty": "oct", "kid": "k", "k": base64(secret)});
        jwk[member] = json!(value);
        let gate = gate_beside(&[jwk]);
        for alg in ["HS256", "RS256", "ES256", "none"] {
            let header = json!({"alg": alg, "kid": "k"}).to_string();
            let signed = format!("{}.{}", base64(header), base64(honest().to_string()));
            let token = format!("{signed}.{}", base64(hmac::sign(&key, signed.as_bytes())));
            assert_eq!(refused(&gate, &token).reason(), Reason::TokenInvalid, "{alg}");
        }
        the_good_key_stays(&gate, member);
    }
}

/// Tokens that Node.js has signed with keys that are too short, too weak or of other curves, at the time of the tests.
#[test]
fn a_weak_key_signs_no_token() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("weak_keys.json")).unwrap();
    let mut refusals = 0;
    for vector in &vectors {
        let name = vector["name"].as_str().unwrap();
        let gate = gate_beside(std::slice::from_ref(&vector["jwk"]));
        let token = vector["token"].as_str().unwrap();
        if name.starts_with("control") {
            assert_eq!(admitted(&gate, token).principal.as_str(), "user:ana@example.com", "{name}");
        } else {
            assert_eq!(refused(&gate, token).reason(), Reason::TokenInvalid, "{name}");
            refusals += 1;
        }
        the_good_key_stays(&gate, name);
    }
    assert_eq!((refusals, vectors.len()), (7, 8));
}

/// A `kid` is only compared. It never leads to a file, a server, another parameter or another key.
#[test]
fn a_kid_leads_nowhere() {
    let gate = gate_beside(&[RSA.jwk("rsa")]);
    for kid in [
        "https://attacker.example/jwks.json",
        "file:///dev/null",
        "/dev/null",
        "..\\..\\rsa",
        "rsa?kid=stranger",
        "rsa#stranger",
        "rsa&jku=https://attacker.example",
        "rsa;p256",
        "rsa%00",
        "%72sa",
        "rsa'; DROP TABLE keys; --",
        "$(id)",
        "{{rsa}}",
        "*",
        "r?a",
        "Rsa",
        "rsa\n",
        "\u{feff}rsa",
        &"rsa".repeat(2_000),
    ] {
        for signer in [&*RSA, &*STRANGER] {
            let denial = refused(&gate, &signer.token(&json!({"alg": "RS256", "kid": kid}), &honest()));
            assert_eq!(denial.reason(), Reason::TokenInvalid, "{kid:?}");
            assert!(denial.detail().contains("has no key"), "{}", denial.detail());
        }
    }
    the_good_key_stays(&gate, "kid");
}
