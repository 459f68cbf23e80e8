//! What tokens are bound to, and what an issuer's rule makes of it.

use super::*;

const CERTIFICATE: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

fn shown(certificate: Option<(&str, SystemTime)>) -> Evidence<'_> {
    Evidence { certificate, ..evidence(&[]) }
}

#[test]
fn a_token_that_is_bound_to_a_certificate_is_its_holders() {
    let gate = gate(PossessionRule::default());
    let token = token(&json!({"x5t#S256": CERTIFICATE}));
    let bearer = ("Bearer", token.as_str());
    let end = at(NOW + 60);
    // Twice: a known token is confirmed again.
    for _ in 0..2 {
        let caller = send(&gate, bearer, &shown(Some((CERTIFICATE, end))), NOW).unwrap();
        assert_eq!(caller.confirmation.as_ref().unwrap().certificate.as_deref(), Some(CERTIFICATE));
        let other = CERTIFICATE.replace('0', "1");
        let invalid = Reason::TokenInvalid;
        refused(send(&gate, bearer, &shown(Some((&other, end))), NOW), invalid, "another client certificate");
        refused(send(&gate, bearer, &shown(Some(("", end))), NOW), invalid, "another client certificate");
        refused(send(&gate, bearer, &shown(None), NOW), invalid, "the connection has none");
        refused(send(&gate, bearer, &shown(Some((CERTIFICATE, end))), NOW + 61), invalid, "has expired");
    }
    let dpop = refused(
        send(&gate, ("DPoP", &token), &shown(Some((CERTIFICATE, end))), NOW),
        Reason::TokenInvalid,
        "bound to no key",
    );
    assert!(dpop.challenge().unwrap().starts_with("DPoP "));
}

#[test]
fn a_token_that_is_bound_twice_takes_both() {
    let gate = gate(PossessionRule::default());
    let jkt = thumbprint_of(&P256);
    let token = token(&json!({"x5t#S256": CERTIFICATE, "jkt": jkt}));
    let proof = proofs::proof(&P256, &token, &json!({}));
    let both = Evidence { certificate: Some((CERTIFICATE, at(NOW + 60))), ..evidence(&[&proof]) };
    let no_certificate = Evidence { certificate: None, ..both.clone() };
    let no_proof = Evidence { proofs: Vec::new(), ..both.clone() };
    refused(send(&gate, ("DPoP", &token), &no_certificate, NOW), Reason::TokenInvalid, "certificate");
    let denial = refused(send(&gate, ("DPoP", &token), &no_proof, NOW), Reason::ProofInvalid, "0 times");
    // Metrics count it as one of its issuer.
    assert!(denial.token().is_some_and(|token| token.issuer.is_some()), "{denial:?}");
    refused(send(&gate, ("Bearer", &token), &both, NOW), Reason::TokenInvalid, "Bearer");
    send(&gate, ("DPoP", &token), &both, NOW).unwrap();
}

#[test]
fn the_scheme_and_the_token_have_to_agree() {
    let gate = gate(PossessionRule::default());
    let (bound, free) = (token(&json!({"jkt": thumbprint_of(&P256)})), token(&Value::Null));
    let proof = proofs::proof(&P256, &bound, &json!({}));
    let denial =
        refused(send(&gate, ("Bearer", &bound), &evidence(&[&proof]), NOW), Reason::TokenInvalid, "(Bearer)");
    let challenge = denial.challenge().unwrap();
    assert_eq!(
        challenge,
        format!(
            "DPoP realm=\"https://accounts.google.com/\", error=\"invalid_token\", algs=\"{PROOF_ALGORITHMS}\""
        )
    );
    let proof = proofs::proof(&P256, &free, &json!({}));
    refused(send(&gate, ("DPoP", &free), &evidence(&[&proof]), NOW), Reason::TokenInvalid, "(DPoP)");
    send(&gate, ("Bearer", &free), &evidence(&[&proof]), NOW).unwrap();
}

#[test]
fn a_confirmation_that_is_not_understood_is_refused() {
    let gate = gate(PossessionRule::default());
    let jkt = thumbprint_of(&P256);
    let shorter: String = jkt.chars().skip(1).collect();
    for (cnf, detail) in [
        (json!({}), "not an object with a member"),
        (json!([]), "not an object"),
        (json!("jkt"), "not an object"),
        (json!(false), "not an object"),
        (json!({"jwk": P256.jwk("k")}), "`cnf.jwk` is not understood"),
        (json!({"kid": "k"}), "`cnf.kid` is not understood"),
        (json!({"jku": "https://attacker.example"}), "`cnf.jku` is not understood"),
        (json!({"x5t": CERTIFICATE}), "`cnf.x5t` is not understood"),
        (json!({"x5t#s256": CERTIFICATE}), "is not understood"),
        (json!({"jkt": jkt, "kid": "k"}), "`cnf.kid` is not understood"),
        (json!({"x5t#S256": CERTIFICATE, "osc": {}}), "`cnf.osc` is not understood"),
        (json!({"jkt": null}), "`cnf` is not an object with a member"),
        (json!({"jkt": [jkt]}), "not a SHA-256"),
        (json!({"jkt": ""}), "not a SHA-256"),
        (json!({"jkt": format!("{jkt}=")}), "not a SHA-256"),
        (json!({"jkt": shorter}), "not a SHA-256"),
        (json!({"jkt": format!("{shorter}/")}), "not a SHA-256"),
        // Bits that no byte has: another spelling of the same hash.
        (json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4J"}), "not a SHA-256"),
        (json!({"x5t#S256": 7}), "`cnf.x5t#S256` is not a SHA-256"),
        (json!({"x5t#S256": "6dd4a5c2e0a0d1b84b7f7c3b6f0e"}), "not a SHA-256"),
    ] {
        let everything = Evidence { certificate: Some((CERTIFICATE, at(NOW + 60))), ..evidence(&[]) };
        for scheme in ["Bearer", "DPoP"] {
            let token = token(&cnf);
            refused(send(&gate, (scheme, &token), &everything, NOW), Reason::TokenInvalid, detail);
        }
    }
}

#[test]
fn a_rule_takes_the_kinds_that_it_names_and_no_others() {
    let (mtls, dpop) = (json!({"x5t#S256": CERTIFICATE}), json!({"jkt": thumbprint_of(&P256)}));
    let only_mtls = PossessionRule { dpop: None, ..PossessionRule::default() };
    let only_dpop = PossessionRule { mtls: false, ..PossessionRule::default() };
    let held = |gate: &Authenticator, scheme: &str, cnf: &Value| {
        let token = token(cnf);
        let proof = proofs::proof(&P256, &token, &json!({}));
        let certificate = Some((CERTIFICATE, at(NOW + 60)));
        send(gate, (scheme, &token), &Evidence { certificate, ..evidence(&[&proof]) }, NOW)
    };
    for (rule, taken, scheme, other) in
        [(only_mtls, &mtls, "Bearer", &dpop), (only_dpop, &dpop, "DPoP", &mtls)]
    {
        for required in [false, true] {
            let gate = gate(PossessionRule { required, ..rule });
            held(&gate, scheme, taken).unwrap();
            for scheme in ["Bearer", "DPoP"] {
                refused(held(&gate, scheme, other), Reason::TokenInvalid, "is not a kind of proof");
            }
            let unbound = held(&gate, "Bearer", &Value::Null);
            if required {
                let denial = refused(unbound, Reason::TokenInvalid, "bound to no key");
                assert_eq!(denial.challenge().unwrap().starts_with("DPoP "), rule.dpop.is_some());
            } else {
                unbound.unwrap();
            }
        }
    }
}

/// A question about policy need not say what the tokens are bound to.
#[test]
fn of_assumed_claims_no_key_is_required() {
    let gate = gate(PossessionRule { required: true, ..PossessionRule::default() });
    let claims = |cnf: Value| {
        let mut claims = json!({"iss": "https://issuer.example", "email": "ana@example.com"});
        if !cnf.is_null() {
            claims["cnf"] = cnf;
        }
        gate.assume(claims.as_object().unwrap().clone(), at(NOW))
    };
    assert!(claims(Value::Null).unwrap().confirmation.is_none());
    assert!(claims(json!({"jkt": thumbprint_of(&P256)})).unwrap().confirmation.is_some());
    refused(claims(json!({"kid": "k"})).map(Arc::new), Reason::TokenInvalid, "not understood");
}

/// A refusal in the scheme that the client speaks, whatever it is for.
#[test]
fn a_dpop_client_is_answered_as_one() {
    let gate = gate(PossessionRule::default());
    for token in ["x", "a b", "", &token(&json!({"jkt": "x"}))] {
        let authorization = format!("DPoP {token}");
        let denial = gate.authenticate(&[authorization.as_bytes()], at(NOW)).unwrap_err();
        assert!(denial.challenge().unwrap().starts_with("DPoP realm="), "{token}");
    }
}

#[test]
fn a_challenge_offers_the_algorithms_that_are_accepted() {
    let names: Vec<&str> = Algorithm::ALL.iter().map(|algorithm| algorithm.name()).collect();
    assert_eq!(names.join(" "), PROOF_ALGORITHMS);
}

#[test]
fn nothing_prints_a_token() {
    let gate = gate(PossessionRule::default());
    let token = token(&Value::Null);
    let authorization = format!("Bearer {token}");
    let authentication = gate.authenticate(&[authorization.as_bytes()], at(NOW)).unwrap();
    let printed = format!("{authentication:?}");
    assert!(token.split('.').all(|part| !printed.contains(part)), "{printed}");
}
