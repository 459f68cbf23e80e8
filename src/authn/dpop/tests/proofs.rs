//! DPoP proofs: a good one with each single thing about it changed.

use super::*;
use crate::authn::jwks::thumbprint;

fn header(signer: &Signer) -> Value {
    let algorithm = match signer {
        Signer::Rsa(_) => "RS256",
        Signer::Ec("P-256", _) => "ES256",
        Signer::Ec(..) => "ES384",
        Signer::Ed(_) => "EdDSA",
    };
    let mut jwk = signer.jwk("");
    jwk.as_object_mut().unwrap().remove("kid");
    json!({"typ": "dpop+jwt", "alg": algorithm, "jwk": jwk})
}

/// The claims of a good proof, with an id that no other has, and some of them changed; `null` removes one.
fn claims(token: &str, changes: &Value) -> Value {
    let mut claims = json!({
        "jti": uuid::Uuid::new_v4().to_string(), "htm": "POST", "htu": URL, "iat": NOW, "ath": hash(token),
    });
    merge(&mut claims, changes);
    claims
}

fn merge(object: &mut Value, changes: &Value) {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => object.as_object_mut().unwrap().remove(name),
            value => object.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
}

fn hash(token: &str) -> String {
    base64(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes()))
}

/// A proof by a key, with some of its claims changed.
pub(super) fn proof(signer: &Signer, token: &str, changes: &Value) -> String {
    signer.token(&header(signer), &claims(token, changes))
}

/// A gate and a token that is bound to [`P256`].
fn bound() -> (Authenticator, String) {
    (gate(PossessionRule::default()), token(&json!({"jkt": thumbprint_of(&P256)})))
}

fn with_header(token: &str, changes: &Value) -> String {
    let mut header = header(&P256);
    merge(&mut header, changes);
    P256.token_of(&header.to_string(), &claims(token, &json!({})).to_string(), "ES256")
}

#[test]
fn every_algorithm_proves_possession() {
    let gate = gate(PossessionRule::default());
    for name in PROOF_ALGORITHMS.split(' ') {
        let signer = match name {
            "ES256" => &P256,
            "ES384" => &P384,
            "EdDSA" => &ED25519,
            _ => &RSA,
        };
        let token = token(&json!({"jkt": thumbprint_of(signer)}));
        let mut header = header(signer);
        header["alg"] = json!(name);
        let proof = signer.token(&header, &claims(&token, &json!({})));
        let caller = send(&gate, ("DPoP", &token), &evidence(&[&proof]), NOW).unwrap();
        let key = caller.confirmation.as_ref().unwrap().key.as_ref().unwrap();
        assert_eq!(*key.thumbprint, *thumbprint_of(signer), "{name}");
    }
}

/// The example of RFC 9449, figure 13: signed by other code, for another token.
#[test]
fn the_proof_of_the_rfc_holds() {
    let token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
    let proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
    let key = BoundKey {
        thumbprint: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".into(),
        rule: DpopRule::default(),
    };
    let evidence = Evidence {
        method: "GET",
        authority: b"resource.example.org",
        path: "/protectedresource",
        ..evidence(&[])
    };
    let good = proof::check(proof.as_bytes(), &key, &hash(token), &evidence, 1_562_262_618).unwrap();
    assert_eq!((good.jti.as_str(), good.end), ("e1j3V_bKic8-LAEB", 1_562_262_618 + 60));
}

#[test]
fn each_claim_of_a_proof_is_checked() {
    let (gate, token) = bound();
    for (changes, detail) in [
        (json!({"htm": "GET"}), "the method `GET`"),
        (json!({"htm": "post"}), "the method"),
        (json!({"htm": "POST "}), "the method"),
        (json!({"htm": ""}), "the method"),
        (json!({"htm": null}), "has no `htm`"),
        (json!({"htm": ["POST"]}), "`htm` is not a string"),
        (json!({"htu": "https://api.example.com/v1/projects/p/operations/other:cancel"}), "(`htu`)"),
        (json!({"htu": URL.replace("https", "http")}), "(`htu`)"),
        (json!({"htu": URL.replace("api", "evil")}), "(`htu`)"),
        (json!({"htu": "https://api.example.com"}), "(`htu`)"),
        (json!({"htu": PATH}), "(`htu`)"),
        (json!({"htu": ""}), "(`htu`)"),
        (json!({"htu": null}), "has no `htu`"),
        (json!({"htu": [URL]}), "`htu` is not a string"),
        (json!({"ath": hash("another")}), "another token"),
        (json!({"ath": hash(&format!("{token} "))}), "another token"),
        (json!({"ath": format!("{}=", hash(&token))}), "another token"),
        (json!({"ath": ""}), "another token"),
        (json!({"ath": token}), "another token"),
        (json!({"ath": null}), "has no `ath`"),
        (json!({"ath": 1}), "`ath` is not a string"),
        (json!({"iat": NOW - 60}), "`iat`"),
        (json!({"iat": NOW + 31}), "`iat`"),
        (json!({"iat": 0}), "`iat`"),
        (json!({"iat": NOW * 1000}), "`iat`"),
        (json!({"iat": NOW.to_string()}), "`iat` is not a number of seconds"),
        (json!({"iat": -1}), "`iat` is not a number of seconds"),
        (json!({"iat": u64::MAX}), "`iat` is not a number of seconds"),
        (json!({"iat": null}), "has no `iat`"),
        (json!({"exp": NOW}), "`exp`"),
        (json!({"exp": "never"}), "`exp` is not"),
        (json!({"nbf": NOW + 31}), "`nbf`"),
        (json!({"jti": ""}), "`jti`"),
        (json!({"jti": "x".repeat(257)}), "`jti`"),
        (json!({"jti": null}), "has no `jti`"),
        (json!({"jti": 7}), "`jti` is not a string"),
        (json!({"nonce": 7}), "`nonce` is not a string"),
    ] {
        let proof = proof(&P256, &token, &changes);
        let denial =
            refused(send(&gate, ("DPoP", &token), &evidence(&[&proof]), NOW), Reason::ProofInvalid, detail);
        assert!(denial.challenge().unwrap().contains("DPoP realm="), "{changes}");
        assert!(denial.challenge().unwrap().contains("error=\"invalid_dpop_proof\""), "{changes}");
        assert_eq!(denial.public_message(), denial.reason().entry().message);
    }
    for changes in [
        json!({}),
        json!({"iat": NOW - 59}),
        json!({"iat": NOW + 30}),
        json!({"exp": NOW + 1, "nbf": NOW + 30}),
        json!({"htu": format!("{URL}?x=y#z")}),
        json!({"htu": URL.replace("example.com", "EXAMPLE.com:443")}),
        json!({"jti": "x".repeat(256)}),
        json!({"nonce": "not asked for"}),
        json!({"sub": "another", "cnf": {}}),
    ] {
        let proof = proof(&P256, &token, &changes);
        send(&gate, ("DPoP", &token), &evidence(&[&proof]), NOW).unwrap();
    }
}

#[test]
fn a_proof_is_of_its_kind_and_by_the_tokens_key() {
    let (gate, token) = bound();
    let mut private = P256.jwk("k");
    private["d"] = json!("AAAA");
    let with_jwk = |changes: Value| {
        let mut jwk = P256.jwk("k");
        merge(&mut jwk, &changes);
        json!({ "jwk": jwk })
    };
    let (x, y) = (P256.jwk("k")["x"].clone(), P256.jwk("k")["y"].clone());
    let proof_invalid = Reason::ProofInvalid;
    for (changes, reason, detail) in [
        (json!({"typ": "JWT"}), proof_invalid, "the `typ` `JWT`"),
        (json!({"typ": "at+jwt"}), proof_invalid, "`typ`"),
        (json!({"typ": "DPoP+JWT"}), proof_invalid, "`typ`"),
        (json!({"typ": "application/dpop+jwt"}), proof_invalid, "`typ`"),
        (json!({"typ": null}), proof_invalid, "no `typ`"),
        (json!({"typ": ["dpop+jwt"]}), proof_invalid, "`typ` is not a string"),
        (json!({"alg": "none"}), proof_invalid, "not supported"),
        (json!({"alg": "nOnE"}), proof_invalid, "not supported"),
        (json!({"alg": "HS256"}), proof_invalid, "not supported"),
        (json!({"alg": "ES512"}), proof_invalid, "not supported"),
        (json!({"alg": null}), proof_invalid, "no `alg`"),
        (json!({"alg": "ES384"}), proof_invalid, "not signed by its key"),
        (json!({"alg": "RS256"}), proof_invalid, "not signed by its key"),
        (json!({"crit": ["x"]}), proof_invalid, "`crit`"),
        (json!({"b64": false}), proof_invalid, "`b64`"),
        (json!({"jwk": null}), proof_invalid, "no `jwk`"),
        (json!({"jwk": "key"}), proof_invalid, "`jwk` is not an object"),
        (json!({"jwk": [P256.jwk("k")]}), proof_invalid, "`jwk` is not an object"),
        (json!({"jwk": null, "jku": "https://attacker.example"}), proof_invalid, "no `jwk`"),
        (json!({ "jwk": private }), proof_invalid, "secret member `d`"),
        (with_jwk(json!({"k": "AAAA"})), proof_invalid, "secret member `k`"),
        (with_jwk(json!({"use": "enc"})), proof_invalid, "is for `use` `enc`"),
        (with_jwk(json!({"key_ops": ["sign"]})), proof_invalid, "no `verify`"),
        (with_jwk(json!({"alg": "RS256"})), proof_invalid, "takes another type of key"),
        (with_jwk(json!({"alg": "HS256"})), proof_invalid, "is for `alg`"),
        // A proof by another key than the token's is not read any further.
        (json!({"jwk": {}}), Reason::TokenInvalid, "another key"),
        (json!({"jwk": STRANGER.jwk("k")}), Reason::TokenInvalid, "another key"),
        (json!({"jwk": {"kty": "oct", "k": "AAAA"}}), Reason::TokenInvalid, "another key"),
        (with_jwk(json!({"crv": "P-384"})), Reason::TokenInvalid, "another key"),
        (with_jwk(json!({"kty": "RSA", "n": x, "e": y})), Reason::TokenInvalid, "another key"),
        (with_jwk(json!({ "x": y })), Reason::TokenInvalid, "another key"),
    ] {
        let proof = with_header(&token, &changes);
        let denial = refused(send(&gate, ("DPoP", &token), &evidence(&[&proof]), NOW), reason, detail);
        assert!(denial.challenge().unwrap().starts_with("DPoP "), "{changes}");
    }
    for changes in [json!({}), json!({"kid": "any"}), json!({"jku": "https://attacker.example"})] {
        let proof = with_header(&token, &changes);
        send(&gate, ("DPoP", &token), &evidence(&[&proof]), NOW).unwrap();
    }
}

/// A token may be bound to a weak key: that key proves nothing.
#[test]
fn a_weak_key_proves_nothing_though_the_token_names_it() {
    let gate = gate(PossessionRule::default());
    let small = json!({"kty": "RSA", "n": base64([0xc5; 128]), "e": "AQAB"});
    let weak_exponent = {
        let mut jwk = RSA.jwk("k");
        jwk["e"] = json!("Aw");
        jwk
    };
    let off_the_curve = json!({"kty": "EC", "crv": "P-256", "x": base64([1; 32]), "y": base64([1; 32])});
    let other_curve = json!({"kty": "EC", "crv": "secp256k1", "x": base64([1; 32]), "y": base64([1; 32])});
    let small_order = {
        let mut point = [0; 32];
        point[0] = 1;
        json!({"kty": "OKP", "crv": "Ed25519", "x": base64(point)})
    };
    for (jwk, detail) in [
        (small_order, "of small order"),
        (small, "has 1024 bits"),
        (weak_exponent, "public exponent 3"),
        (off_the_curve, "not a point of its curve"),
        (other_curve, "on the curve `secp256k1`"),
    ] {
        let token = token(&json!({"jkt": thumbprint::of(jwk.as_object().unwrap()).unwrap()}));
        let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk});
        let proof = P256.token(&header, &claims(&token, &json!({})));
        refused(send(&gate, ("DPoP", &token), &evidence(&[&proof]), NOW), Reason::ProofInvalid, detail);
    }
}

#[test]
fn a_proof_that_another_key_signed_or_that_was_changed_is_refused() {
    let (gate, token) = bound();
    let other = Signer::Ec(
        "P-256",
        aws_lc_rs::signature::EcdsaKeyPair::generate(&aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING)
            .unwrap(),
    );
    let good = proof(&P256, &token, &json!({}));
    let [head, body, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let by_other = other.token(&header(&P256), &claims(&token, &json!({})));
    let other_body = base64(claims(&token, &json!({"htm": "DELETE"})).to_string());
    let not_json = P256.token_of(&header(&P256).to_string(), "not JSON", "ES256");
    let twice = claims(&token, &json!({})).to_string().replacen('{', r#"{"htm":"GET","#, 1);
    let twice = P256.token_of(&header(&P256).to_string(), &twice, "ES256");
    for (sent, detail) in [
        (by_other, "not signed by its key"),
        (format!("{head}.{other_body}.{signature}"), "not signed by its key"),
        (format!("{head}.{body}."), "not signed by its key"),
        (format!("{head}.{body}.{}", base64([0; 64])), "not signed by its key"),
        (format!("{head}.{body}"), "three base64url segments"),
        (format!("{good}.x"), "three base64url segments"),
        (format!("{good} "), "three base64url segments"),
        (format!("{good}, {good}"), "three base64url segments"),
        (format!("{good}="), "three base64url segments"),
        (String::new(), "three base64url segments"),
        ("\u{e9}".to_owned(), "three base64url segments"),
        ("a.b.c".to_owned(), "is not valid"),
        (token.clone(), "no `jwk`"),
        (not_json, "not a JSON object"),
        (twice, "given twice"),
        ("x".repeat(8193), "has 8193 bytes"),
    ] {
        refused(send(&gate, ("DPoP", &token), &evidence(&[&sent]), NOW), Reason::ProofInvalid, detail);
    }
    let bytes = Evidence { proofs: vec![b"\xff"], ..evidence(&[]) };
    refused(send(&gate, ("DPoP", &token), &bytes, NOW), Reason::ProofInvalid, "ASCII");
    for proofs in [&[][..], &[good.as_str(), good.as_str()]] {
        refused(send(&gate, ("DPoP", &token), &evidence(proofs), NOW), Reason::ProofInvalid, "times");
    }
    // The proof that all of them were made from holds.
    send(&gate, ("DPoP", &token), &evidence(&[&good]), NOW).unwrap();
}

#[test]
fn a_proof_is_for_one_request() {
    let (gate, token) = bound();
    let good = proof(&P256, &token, &json!({}));
    let elsewhere = [
        Evidence { method: "DELETE", ..evidence(&[&good]) },
        Evidence { path: "/v1/projects/p/operations/o", ..evidence(&[&good]) },
        Evidence { authority: b"other.example.com", ..evidence(&[&good]) },
        Evidence { authority: b"api.example.com:8443", ..evidence(&[&good]) },
        Evidence { authority: b"\xff", ..evidence(&[&good]) },
        Evidence { scheme: "http", ..evidence(&[&good]) },
    ];
    for evidence in &elsewhere {
        refused(send(&gate, ("DPoP", &token), evidence, NOW), Reason::ProofInvalid, "is for");
    }
    send(&gate, ("DPoP", &token), &evidence(&[&good]), NOW).unwrap();
}

#[test]
fn a_proof_is_good_once_and_a_reload_forgets_none() {
    let (gate, token) = bound();
    let good = proof(&P256, &token, &json!({"iat": NOW + 30}));
    send(&gate, ("DPoP", &token), &evidence(&[&good]), NOW).unwrap();
    for seconds in [NOW, NOW + 30, NOW + 89] {
        let again = send(&gate, ("DPoP", &token), &evidence(&[&good]), seconds);
        refused(again, Reason::ProofInvalid, "was used before");
    }
    // Its id is used up, whatever else another proof says.
    let claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(good.split('.').nth(1).unwrap()).unwrap()).unwrap();
    let same_id = proof(&P256, &token, &json!({"jti": claims["jti"], "iat": NOW}));
    refused(send(&gate, ("DPoP", &token), &evidence(&[&same_id]), NOW), Reason::ProofInvalid, "used before");
    let (mut after, _) = bound();
    after.take_over(&gate);
    let again = send(&after, ("DPoP", &token), &evidence(&[&good]), NOW + 1);
    refused(again, Reason::ProofInvalid, "was used before");
    assert_eq!(after.proofs_remembered(), 1);
    // A refused proof has used up nothing.
    let fresh = proof(&P256, &token, &json!({}));
    let elsewhere = Evidence { method: "GET", ..evidence(&[&fresh]) };
    refused(send(&after, ("DPoP", &token), &elsewhere, NOW), Reason::ProofInvalid, "the method");
    send(&after, ("DPoP", &token), &evidence(&[&fresh]), NOW).unwrap();
}

/// An id belongs to one key: two clients may choose the same.
#[test]
fn ids_are_of_one_key() {
    let gate = gate(PossessionRule::default());
    for signer in [&*P256, &*ED25519] {
        let token = token(&json!({"jkt": thumbprint_of(signer)}));
        let proof = proof(signer, &token, &json!({"jti": "1"}));
        send(&gate, ("DPoP", &token), &evidence(&[&proof]), NOW).unwrap();
        refused(
            send(&gate, ("DPoP", &token), &evidence(&[&proof]), NOW),
            Reason::ProofInvalid,
            "used before",
        );
    }
}

#[test]
fn a_client_signs_the_scheme_and_the_port_that_it_calls() {
    let (gate, token) = bound();
    for (signed, scheme, authority, holds) in [
        ("http://api.example.com:8080", "http", "api.example.com:8080", true),
        ("https://api.example.com:8080", "http", "api.example.com:8080", false),
        ("http://api.example.com:8080", "https", "api.example.com:8080", false),
        ("http://api.example.com", "http", "api.example.com:80", true),
        ("http://api.example.com", "http", "api.example.com:443", false),
    ] {
        let proof = proof(&P256, &token, &json!({"htu": format!("{signed}{PATH}")}));
        let plain = Evidence { scheme, authority: authority.as_bytes(), ..evidence(&[&proof]) };
        assert_eq!(
            send(&gate, ("DPoP", &token), &plain, NOW).is_ok(),
            holds,
            "{signed} {scheme} {authority}"
        );
    }
}

/// A client that has the token may not have a proof that was made for another server on the same name.
#[test]
fn a_proof_for_a_port_that_is_not_the_gates_is_refused() {
    let token = token(&json!({"jkt": thumbprint_of(&P256)}));
    for (public_port, port, holds) in
        [(None, "", true), (None, ":8080", true), (None, ":9443", false), (Some(9443), ":9443", true)]
    {
        let dpop = DpopRule { public_port, ..DpopRule::default() };
        let gate = gate(PossessionRule { dpop: Some(dpop), ..PossessionRule::default() });
        let authority = format!("api.example.com{port}");
        let proof = proof(&P256, &token, &json!({"htu": format!("https://{authority}{PATH}")}));
        let shown = Evidence { authority: authority.as_bytes(), ..evidence(&[&proof]) };
        let sent = send(&gate, ("DPoP", &token), &shown, NOW);
        if holds {
            sent.unwrap();
        } else {
            refused(sent, Reason::ProofInvalid, "not a port of this gate");
        }
    }
}

#[test]
fn a_nonce_is_asked_for_and_lives_for_two_steps() {
    let nonces = DpopRule { nonces: true, ..DpopRule::default() };
    let rule = PossessionRule { dpop: Some(nonces), ..PossessionRule::default() };
    let gate = gate(rule);
    let token = token(&json!({"jkt": thumbprint_of(&P256)}));
    let send_with = |nonce: Value, seconds: u64| {
        let proof = proof(&P256, &token, &json!({"nonce": nonce, "iat": seconds}));
        send(&gate, ("DPoP", &token), &evidence(&[&proof]), seconds)
    };
    let start = NOW - NOW % 60;
    let denial = refused(send_with(Value::Null, start), Reason::ProofNonceMissing, "has no nonce");
    let nonce = denial.nonce_for_proofs().unwrap().to_owned();
    let challenge = denial.challenge().unwrap();
    assert!(
        challenge.contains("DPoP realm=") && challenge.contains("error=\"use_dpop_nonce\""),
        "{challenge}"
    );
    for seconds in [start, start + 59, start + 60, start + 119] {
        let caller = send_with(json!(nonce), seconds).unwrap();
        let next = gate.next_nonce(&caller, at(seconds)).unwrap();
        assert_eq!(next == nonce, seconds < start + 60);
        send_with(json!(next), seconds + 60).unwrap();
    }
    for (nonce, seconds) in [
        (nonce.clone(), start + 120),
        // A clock that is set back.
        (nonce.clone(), start - 1),
        (format!("{nonce}="), start),
        (nonce.chars().skip(1).collect(), start),
        (String::new(), start),
        (base64([0; 32]), start),
    ] {
        let denial = refused(send_with(json!(nonce), seconds), Reason::ProofNonceMissing, "nonce");
        assert!(denial.nonce_for_proofs().is_some());
    }
    // A caller that needs no nonce gets none.
    let free = send(&gate, ("Bearer", &super::token(&Value::Null)), &evidence(&[]), start).unwrap();
    assert_eq!(gate.next_nonce(&free, at(start)), None);
    // A good nonce makes no other fault good, and a refusal for another fault offers no nonce.
    let wrong = proof(&P256, &token, &json!({"nonce": nonce, "htm": "GET"}));
    let denial =
        refused(send(&gate, ("DPoP", &token), &evidence(&[&wrong]), start), Reason::ProofInvalid, "method");
    assert!(denial.nonce_for_proofs().is_none());
    // Another process has other nonces; a reload keeps them.
    let mut reloaded = super::gate(rule);
    let proof = proof(&P256, &token, &json!({"nonce": nonce, "iat": start}));
    let sent = send(&reloaded, ("DPoP", &token), &evidence(&[&proof]), start);
    refused(sent, Reason::ProofNonceMissing, "not one of this process's");
    reloaded.take_over(&gate);
    send(&reloaded, ("DPoP", &token), &evidence(&[&proof]), start).unwrap();
}

#[test]
fn strangers_and_used_tokens_fill_no_memory() {
    let (gate, token) = bound();
    for number in 0..50 {
        let wrong = proof(&P256, &token, &json!({"htm": "GET", "jti": number.to_string()}));
        assert!(send(&gate, ("DPoP", &token), &evidence(&[&wrong]), NOW).is_err());
        let strangers = proof(&ED25519, &token, &json!({}));
        assert!(send(&gate, ("DPoP", &token), &evidence(&[&strangers]), NOW).is_err());
    }
    assert_eq!(gate.proofs_remembered(), 0);
}

proptest::proptest! {
    #[test]
    fn no_change_of_one_character_keeps_a_proof_good(
        at in proptest::prelude::any::<proptest::sample::Index>(),
        with in "[A-Za-z0-9._~+/=-]",
    ) {
        let (gate, token) = bound();
        let good = proof(&P256, &token, &json!({}));
        let at = at.index(good.len());
        let mut changed = good.clone();
        changed.replace_range(at..=at, &with);
        let sent = send(&gate, ("DPoP", &token), &evidence(&[&changed]), NOW);
        proptest::prop_assert_eq!(sent.is_ok(), changed == good);
    }
}

/// A key that has filled its share is told so; another one is served.
#[test]
fn a_key_with_too_many_proofs_is_refused_with_a_reason_of_its_own() {
    let gate = gate(PossessionRule::default());
    let greedy = token(&json!({"jkt": thumbprint_of(&P256)}));
    for number in 0..u128::from(u16::MAX) + 1 {
        gate.binding.used.enter(number, &thumbprint_of(&P256), NOW + 60, NOW).unwrap();
    }
    let sent = send(&gate, ("DPoP", &greedy), &evidence(&[&proof(&P256, &greedy, &json!({}))]), NOW);
    refused(sent, Reason::ProofLimit, "of the token's key");
    let other = token(&json!({"jkt": thumbprint_of(&ED25519)}));
    send(&gate, ("DPoP", &other), &evidence(&[&proof(&ED25519, &other, &json!({}))]), NOW).unwrap();
}
