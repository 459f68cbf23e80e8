//! Tokens that prove nothing: each one got through some other gate.

use proptest::prelude::*;

use super::mint::STRANGER;
use super::*;

fn rs256() -> Value {
    json!({"alg": "RS256", "kid": "rsa", "typ": "JWT"})
}

fn good() -> String {
    RSA.token(&rs256(), &honest())
}

#[track_caller]
fn invalid(token: &str, detail: &str) {
    refused_for(&GATE, token, Reason::TokenInvalid, detail);
}

#[test]
fn alg_none_is_refused_in_every_case() {
    let signature = good().rsplit_once('.').unwrap().1.to_owned();
    for alg in ["none", "None", "NONE", "nOnE", "", "null"] {
        let header = json!({"alg": alg, "kid": "rsa"}).to_string();
        for signature in ["", signature.as_str()] {
            let token = format!("{}.{}.{signature}", base64(&header), base64(honest().to_string()));
            invalid(&token, "is not supported");
        }
    }
    invalid(&good().rsplit_once('.').map(|(signed, _)| format!("{signed}.")).unwrap(), "signature");
}

#[test]
fn alg_must_be_there_and_a_string() {
    for (header, detail) in [
        (json!({"kid": "rsa"}), "has no `alg`"),
        (json!({"alg": null}), "has no `alg`"),
        (json!({"alg": ["RS256"]}), "not a string"),
        (json!({"alg": 256}), "not a string"),
        (json!({"alg": "rs256", "kid": "rsa"}), "not supported"),
        (json!({"alg": "RS256 ", "kid": "rsa"}), "not supported"),
    ] {
        invalid(&RSA.token_of(&header.to_string(), &honest().to_string(), "RS256"), detail);
    }
}

#[test]
fn hs256_signed_with_the_rsa_public_key_is_refused() {
    let jwk = RSA.jwk("rsa");
    let modulus = jwk["n"].as_str().unwrap().to_owned();
    for secret in [jwk.to_string(), modulus, String::new(), "rsa".to_owned()] {
        for alg in ["HS256", "HS384", "HS512"] {
            let header = json!({"alg": alg, "kid": "rsa"}).to_string();
            let signed = format!("{}.{}", base64(header), base64(honest().to_string()));
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            let token = format!("{signed}.{}", base64(hmac::sign(&key, signed.as_bytes())));
            invalid(&token, "is not supported");
        }
    }
}

#[test]
fn an_algorithm_outside_the_allow_list_is_refused_though_the_signature_is_good() {
    for alg in ["RS384", "RS512", "PS384", "PS512"] {
        invalid(&RSA.token(&json!({"alg": alg, "kid": "rsa"}), &honest()), "may not sign with");
    }
}

#[test]
fn a_key_that_names_its_algorithm_checks_no_other() {
    let mut jwk = RSA.jwk("rsa");
    jwk["alg"] = json!("RS256");
    let gate = gate_with(&[jwk], |settings| settings.algorithms = Algorithm::ALL.to_vec());
    assert!(ask(&gate, &good()).is_ok());
    for alg in ["RS384", "PS256"] {
        let token = RSA.token(&json!({"alg": alg, "kid": "rsa"}), &honest());
        refused_for(&gate, &token, Reason::TokenInvalid, "is not for");
        let token = RSA.token(&json!({ "alg": alg }), &honest());
        refused_for(&gate, &token, Reason::TokenInvalid, "0 keys");
    }
}

#[test]
fn algorithm_and_key_type_must_agree() {
    for (alg, kid) in [("RS256", "p256"), ("ES256", "rsa"), ("EdDSA", "p256"), ("PS256", "ed")] {
        let header = json!({"alg": alg, "kid": kid}).to_string();
        invalid(&RSA.token_of(&header, &honest().to_string(), "RS256"), "is not for");
    }
    let wide = gate(|settings| settings.algorithms = Algorithm::ALL.to_vec());
    let header = json!({"alg": "ES384", "kid": "p256"}).to_string();
    let token = P256.token_of(&header, &honest().to_string(), "ES384");
    refused_for(&wide, &token, Reason::TokenInvalid, "is not for ES384");
    let header = json!({"alg": "ES256", "kid": "p384"}).to_string();
    let token = P384.token_of(&header, &honest().to_string(), "ES256");
    refused_for(&wide, &token, Reason::TokenInvalid, "is not for ES256");
}

#[test]
fn a_key_that_the_token_brings_is_never_used() {
    let url = "https://attacker.example/jwks";
    let brought = [
        json!({"jwk": STRANGER.jwk("rsa")}),
        json!({ "jku": url }),
        json!({ "x5u": url }),
        json!({"x5c": ["MIIB"]}),
        json!({"x5t": "AAAA", "x5t#S256": "AAAA"}),
    ];
    for extra in brought {
        for kid in ["rsa", "stranger"] {
            let mut header = json!({"alg": "RS256", "kid": kid});
            header.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            let detail = if kid == "rsa" { "the signature is not the key's" } else { "has no key" };
            invalid(&STRANGER.token(&header, &honest()), detail);
        }
        // They are ignored, not forbidden: the issuer's own signature is enough.
        let mut header = rs256();
        header.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        assert!(ask(&GATE, &RSA.token(&header, &honest())).is_ok());
    }
}

#[test]
fn extensions_that_have_to_be_understood_are_refused() {
    for extra in [
        json!({"crit": ["exp"]}),
        json!({"crit": []}),
        json!({ "crit": null }),
        json!({"b64": false, "crit": ["b64"]}),
        json!({"b64": false}),
        json!({"b64": "true"}),
    ] {
        let mut header = rs256();
        header.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        invalid(&RSA.token(&header, &honest()), "the header has");
    }
}

/// RFC 7515, section 4: what is not understood and not in `crit` is ignored. The payload is read as it stands.
#[test]
fn members_of_the_header_that_are_not_understood_are_ignored() {
    for extra in [
        json!({"b64": true}),
        json!({"zip": "DEF"}),
        json!({"cty": "JWT", "enc": "A128GCM", "epk": {}, "x5t": 1, "x5c": null, "nonce": "n"}),
        json!({"iss": "https://attacker.example", "exp": 1, "aud": 1}),
        json!({ "typ": null }),
    ] {
        let mut header = rs256();
        header.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        assert!(ask(&GATE, &RSA.token(&header, &honest())).is_ok(), "{extra}");
        let forged = STRANGER.token(&header, &honest());
        invalid(&forged, "the signature is not the key's");
    }
}

#[test]
fn kid_is_a_name_and_nothing_else() {
    for kid in [
        "",
        "RSA",
        "rsa ",
        "../../../../dev/null",
        "rsa\0",
        "' OR '1'='1",
        "file:///etc/passwd",
        "rsa/../p256",
    ] {
        invalid(&RSA.token(&json!({"alg": "RS256", "kid": kid}), &honest()), "has no key");
    }
    for kid in [json!(1), json!(["rsa"]), json!({"kid": "rsa"}), json!(true)] {
        invalid(&RSA.token(&json!({"alg": "RS256", "kid": kid}), &honest()), "not a string");
    }
}

#[test]
fn the_kid_selects_the_only_key_that_is_tried() {
    let gate = gate_with(&[RSA.jwk("one"), STRANGER.jwk("two")], |_| {});
    assert!(ask(&gate, &RSA.token(&json!({"alg": "RS256", "kid": "one"}), &honest())).is_ok());
    let crossed = RSA.token(&json!({"alg": "RS256", "kid": "two"}), &honest());
    refused_for(&gate, &crossed, Reason::TokenInvalid, "signature");
}

#[test]
fn without_a_kid_exactly_one_key_may_fit() {
    let no_kid = RSA.token(&json!({"alg": "RS256"}), &honest());
    assert!(ask(&GATE, &no_kid).is_ok());
    let gate = gate_with(&[RSA.jwk("one"), STRANGER.jwk("two")], |_| {});
    refused_for(&gate, &no_kid, Reason::TokenInvalid, "2 keys");
    let gate = gate_with(&[P256.jwk("one")], |_| {});
    refused_for(&gate, &no_kid, Reason::TokenInvalid, "0 keys");
}

/// A `kid` is optional in a key set (RFC 7517, section 4.5). One key leaves no choice; its signature is still needed.
#[test]
fn the_only_key_of_a_set_needs_no_kid() {
    let bare = |mut jwk: Value| {
        jwk.as_object_mut().unwrap().remove("kid");
        jwk
    };
    let gate = gate_with(&[bare(RSA.jwk("rsa"))], |_| {});
    assert!(ask(&gate, &good()).is_ok());
    assert!(ask(&gate, &RSA.token(&json!({"alg": "RS256"}), &honest())).is_ok());
    refused_for(&gate, &STRANGER.token(&rs256(), &honest()), Reason::TokenInvalid, "signature");
    let ed = ED25519.token(&json!({"alg": "EdDSA", "kid": "rsa"}), &honest());
    refused_for(&gate, &ed, Reason::TokenInvalid, "has no key `rsa`");
    // Among several, a name that no key has chooses none.
    let gate = gate_with(&[bare(RSA.jwk("rsa")), P256.jwk("p256")], |_| {});
    refused_for(&gate, &good(), Reason::TokenInvalid, "has no key `rsa`");
    // A key with a name answers to no other.
    let gate = gate_with(&[RSA.jwk("other")], |_| {});
    refused_for(&gate, &good(), Reason::TokenInvalid, "has no key `rsa`");
}

/// The keys of AD FS as it rolls over: the token names the certificate alone.
#[test]
fn a_certificates_thumbprint_chooses_a_key_and_proves_nothing() {
    let certified = |mut jwk: Value, member: &str, thumbprint: &str, kid: Option<&str>| {
        jwk[member] = json!(thumbprint);
        match kid {
            Some(kid) => jwk["kid"] = json!(kid),
            None => _ = jwk.as_object_mut().unwrap().remove("kid"),
        }
        jwk
    };
    for member in ["x5t", "x5t#S256"] {
        let keys = [
            certified(STRANGER.jwk(""), member, "old", Some("old")),
            certified(RSA.jwk(""), member, "new", Some("new")),
        ];
        let gate = gate_with(&keys, |_| {});
        let by = |thumbprint: &str| json!({"alg": "RS256", member: thumbprint});
        assert!(ask(&gate, &RSA.token(&by("new"), &honest())).is_ok());
        assert!(ask(&gate, &STRANGER.token(&by("old"), &honest())).is_ok());
        refused_for(&gate, &RSA.token(&by("old"), &honest()), Reason::TokenInvalid, "signature");
        refused_for(&gate, &RSA.token(&by("none"), &honest()), Reason::TokenInvalid, "2 keys");
        refused_for(
            &gate,
            &ED25519.token(&json!({"alg": "EdDSA", member: "new"}), &honest()),
            Reason::TokenInvalid,
            "0 keys",
        );
        // The `kid` goes before the certificate.
        let both = json!({"alg": "RS256", "kid": "old", member: "new"});
        refused_for(&gate, &RSA.token(&both, &honest()), Reason::TokenInvalid, "signature");
        let unknown = json!({"alg": "RS256", "kid": "none", member: "new"});
        refused_for(&gate, &RSA.token(&unknown, &honest()), Reason::TokenInvalid, "has no key `none`");
        // Keys without names of their own, as AD FS may publish them.
        let keys =
            [certified(STRANGER.jwk(""), member, "old", None), certified(RSA.jwk(""), member, "new", None)];
        let gate = gate_with(&keys, |_| {});
        assert!(ask(&gate, &RSA.token(&unknown, &honest())).is_ok());
    }
}

/// A JWK Set that a broken exporter writes, or one that names both of two keys the same.
#[test]
fn a_key_that_stands_twice_is_one_key() {
    let gate = gate_with(&[RSA.jwk("rsa"), RSA.jwk("rsa")], |_| {});
    assert!(ask(&gate, &good()).is_ok());
    assert!(ask(&gate, &RSA.token(&json!({"alg": "RS256"}), &honest())).is_ok());
    // The same key under two names, and a token that says neither.
    let gate = gate_with(&[RSA.jwk("rsa"), RSA.jwk("other")], |_| {});
    assert!(ask(&gate, &RSA.token(&json!({"alg": "RS256"}), &honest())).is_ok());
    // Two keys of one name: what could be either's is refused, what can be one's alone is not.
    let mut other = STRANGER.jwk("rsa");
    other["alg"] = json!("PS256");
    let gate = gate_with(&[RSA.jwk("rsa"), other], |_| {});
    assert!(ask(&gate, &good()).is_ok());
    let ps256 = RSA.token(&json!({"alg": "PS256", "kid": "rsa"}), &honest());
    refused_for(&gate, &ps256, Reason::TokenInvalid, "is not for PS256");
    let problems = &gate.key_sets(now())[0].problems;
    assert_eq!(*problems, ["2 keys share the `kid` `rsa`: none of them is used for PS256"]);
}

/// RFC 9864, section 2.2, names what RFC 8037 calls EdDSA: the same signature.
#[test]
fn ed25519_is_a_name_of_eddsa() {
    for (jwk_alg, header_alg) in [("Ed25519", "Ed25519"), ("EdDSA", "Ed25519"), ("Ed25519", "EdDSA")] {
        let mut jwk = ED25519.jwk("ed");
        jwk["alg"] = json!(jwk_alg);
        let gate = gate_with(&[jwk], |settings| settings.algorithms = vec![Algorithm::EdDsa]);
        let token = ED25519.token(&json!({"alg": header_alg, "kid": "ed"}), &honest());
        assert!(ask(&gate, &token).is_ok(), "{jwk_alg} {header_alg}");
    }
    let token = ED25519.token(&json!({"alg": "Ed25519", "kid": "ed"}), &honest());
    assert!(ask(&GATE, &token).is_ok());
    let gate = gate(|settings| settings.algorithms = vec![Algorithm::Rs256]);
    refused_for(&gate, &token, Reason::TokenInvalid, "may not sign with EdDSA");
}

#[test]
fn a_signature_by_another_key_is_refused() {
    invalid(&STRANGER.token(&rs256(), &honest()), "the signature is not the key's");
}

#[test]
fn the_signature_covers_header_and_claims() {
    let token = good();
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let other = base64(claims_with(&json!({"email": "root@example.com"})).to_string());
    invalid(&format!("{header}.{other}.{signature}"), "signature");
    // The same header with a space more: not the bytes that were signed.
    let spaced = base64(format!("{} ", rs256()));
    invalid(&format!("{spaced}.{claims}.{signature}"), "signature");
}

#[test]
fn no_bit_of_a_signature_is_spare() {
    for (signer, header) in [
        (&*RSA, rs256()),
        (&*P256, json!({"alg": "ES256", "kid": "p256"})),
        (&*ED25519, json!({"alg": "EdDSA", "kid": "ed"})),
    ] {
        let token = signer.token(&header, &honest());
        let signed = token.rsplit_once('.').unwrap().0;
        let signature = signer.sign(header["alg"].as_str().unwrap(), signed.as_bytes());
        for bit in 0..signature.len() * 8 {
            let mut changed = signature.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            invalid(&format!("{signed}.{}", base64(changed)), "signature");
        }
        for changed in [&signature[1..], &signature[..signature.len() - 1], &[&signature[..], &[0]].concat()]
        {
            invalid(&format!("{signed}.{}", base64(changed)), "signature");
        }
    }
}

#[test]
fn psychic_signatures_are_refused() {
    // r = s = 0 verifies everything where the range is not checked (CVE-2022-21449).
    for (alg, kid, length) in [("ES256", "p256", 64), ("EdDSA", "ed", 64), ("RS256", "rsa", 256)] {
        let header = json!({"alg": alg, "kid": kid}).to_string();
        let signed = format!("{}.{}", base64(header), base64(honest().to_string()));
        invalid(&format!("{signed}.{}", base64(vec![0; length])), "signature");
    }
}

#[test]
fn one_token_has_one_spelling() {
    let token = good();
    // 256 bytes leave four unused bits in the last character: another one decodes to the same bytes elsewhere.
    let (rest, last) = token.split_at(token.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let next = alphabet.chars().nth(alphabet.find(last).unwrap() + 1).unwrap();
    invalid(&format!("{rest}{next}"), "not base64url");
    refused_for(&GATE, &format!("{token}=="), Reason::TokenTypeUnsupported, "base64url");
    refused_for(&GATE, &format!("{token}+"), Reason::TokenTypeUnsupported, "base64url");
    refused_for(&GATE, &token.replacen('.', "/.", 1), Reason::TokenTypeUnsupported, "base64url");
}

#[test]
fn opaque_tokens_and_jwe_are_another_type() {
    for token in ["ya29.a0AfB_byC", "opaque", "a.b", "a.b.c.d", "a.b.c.d.e", ".", "....", "a..b.c"] {
        refused_for(&GATE, token, Reason::TokenTypeUnsupported, "three base64url segments");
    }
    for token in ["..", "a.b.c", "e30.e30.e30"] {
        assert_eq!(refused(&GATE, token).reason(), Reason::TokenInvalid);
    }
}

#[test]
fn giant_tokens_and_thousands_of_dots_cost_nothing() {
    assert_eq!(refused(&GATE, &"a".repeat(1 << 20)).reason(), Reason::TokenInvalid);
    assert_eq!(refused(&GATE, &".".repeat(1 << 20)).reason(), Reason::TokenInvalid);
    assert_eq!(refused(&GATE, &".".repeat(16_000)).reason(), Reason::TokenTypeUnsupported);
    let nested = "[".repeat(10_000);
    invalid(&format!("{}.e30.e30", base64(nested)), "not a JSON object");
}

#[test]
fn repeated_members_are_refused_in_header_and_claims() {
    let claims = honest().to_string();
    let header = r#"{"alg":"RS256","kid":"rsa","alg":"RS256"}"#;
    invalid(&RSA.token_of(header, &claims, "RS256"), "given twice");
    let header = r#"{"alg":"RS256","kid":"rsa","\u0061lg":"RS256"}"#;
    invalid(&RSA.token_of(header, &claims, "RS256"), "given twice");
    let doubled = claims.replacen('{', r#"{"email":"root@example.com","#, 1);
    invalid(&RSA.token_of(&rs256().to_string(), &doubled, "RS256"), "given twice");
    for text in ["[]", "null", "\"\"", "", "{", "{} {}", "\u{feff}{}"] {
        invalid(&RSA.token_of(&rs256().to_string(), text, "RS256"), "not a JSON object");
        invalid(&RSA.token_of(text, &claims, "RS256"), "not a JSON object");
    }
}

#[test]
fn the_issuer_must_be_known_to_the_byte() {
    for issuer in ["https://issuer.example/", "https://ISSUER.example", "https://attacker.example", ""] {
        invalid(&RSA.token(&rs256(), &claims_with(&json!({ "iss": issuer }))), "no issuer");
    }
    invalid(&RSA.token(&rs256(), &claims_with(&json!({ "iss": null }))), "no `iss`");
    invalid(&RSA.token(&rs256(), &claims_with(&json!({"iss": [ISSUER]}))), "not a string");
}

#[test]
fn a_forged_token_is_invalid_whatever_else_it_claims() {
    for changes in [json!({"exp": 1}), json!({"nonce": "n"}), json!({"aud": "other"})] {
        invalid(&STRANGER.token(&rs256(), &claims_with(&changes)), "the signature is not the key's");
    }
    let odd_type = json!({"alg": "RS256", "kid": "rsa", "typ": "logout+jwt"});
    invalid(&STRANGER.token(&odd_type, &honest()), "the signature is not the key's");
}

proptest! {
    #[test]
    fn random_bytes_are_refused_without_a_panic(value in prop::collection::vec(any::<u8>(), 0..200)) {
        let bearer = [b"Bearer ", value.as_slice()].concat();
        prop_assert!(GATE.authenticate(&[&bearer], now()).is_err());
        if let Ok(caller) = authenticated(&GATE, &[&value], now()) {
            prop_assert_eq!(caller, None);
        }
    }

    #[test]
    fn random_segments_are_refused_without_a_panic(
        header in "[ -~]{0,60}",
        claims in "[ -~]{0,60}",
        signature in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let token = format!("{}.{}.{}", base64(&header), base64(&claims), base64(&signature));
        prop_assert!(ask(&GATE, &token).is_err());
        let header = rs256().to_string();
        let token = format!("{}.{}.{}", base64(header), base64(honest().to_string()), base64(&signature));
        prop_assert!(ask(&GATE, &token).is_err());
    }

    #[test]
    fn no_change_of_one_character_keeps_a_token_good(at in any::<prop::sample::Index>(), with in "[A-Za-z0-9._~+/=-]") {
        let token = good();
        let at = at.index(token.len());
        let mut changed = token.clone();
        changed.replace_range(at..=at, &with);
        prop_assert_eq!(ask(&GATE, &changed).is_ok(), changed == token);
    }
}
