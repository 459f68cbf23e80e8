use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::json;

use super::*;

pub(crate) fn verifies(key: &SigningKey, token: &str) -> bool {
    let jwk: Jwk = serde_json::from_value(key.public_jwk()).unwrap();
    let mut validation = Validation::new(key.algorithm().as_str().parse().unwrap());
    validation.set_audience(&["aud"]);
    let decoding = DecodingKey::from_jwk(&jwk).unwrap();
    jsonwebtoken::decode::<Value>(token, &decoding, &validation).is_ok()
}

pub(crate) fn claims() -> Value {
    json!({ "aud": "aud", "exp": 4_102_444_800_u64 })
}

/// RFC 8037, appendix A: the key, its thumbprint and a signature.
#[test]
fn the_vectors_of_rfc_8037_come_out() {
    let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
    // PKCS#8 of an Ed25519 seed (RFC 8410, section 7), as far as the seed.
    let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    der.extend(seed);
    let key = SigningKey::from_pkcs8_pem(&format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(der))).unwrap();
    assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    let token = key.sign_raw(br#"{"alg":"EdDSA"}"#, b"Example of Ed25519 signing").unwrap();
    assert!(token.ends_with(
        ".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    ));
}

#[test]
fn a_public_jwk_holds_no_private_member() {
    for algorithm in SigningAlgorithm::ALL {
        let jwk = SigningKey::generate(algorithm, Some("k1")).unwrap().public_jwk();
        let names: Vec<&str> = jwk.as_object().unwrap().keys().map(String::as_str).collect();
        let expected: &[&str] = match algorithm {
            SigningAlgorithm::Es256 => &["crv", "kty", "x", "y", "alg", "use", "kid"],
            SigningAlgorithm::Rs256 | SigningAlgorithm::Ps256 => &["e", "kty", "n", "alg", "use", "kid"],
            SigningAlgorithm::EdDsa => &["crv", "kty", "x", "alg", "use", "kid"],
        };
        assert_eq!(names, expected);
        assert_eq!(jwk["kid"], "k1");
    }
}

#[test]
fn keys_do_not_print() {
    let key = SigningKey::generate(SigningAlgorithm::Es256, Some("k1")).unwrap();
    assert_eq!(format!("{key:?}"), "SigningKey { algorithm: Es256, kid: \"k1\", .. }");
}

#[test]
fn a_text_without_a_key_is_refused() {
    for (text, error) in [
        ("", SigningError::NotPem),
        ("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----", SigningError::NotPem),
        (&format!("{BEGIN}\n!!\n{END}"), SigningError::NotPem),
        (&format!("{BEGIN}\nAAAA\n{END}"), SigningError::UnsupportedKey),
    ] {
        assert_eq!(SigningKey::from_pkcs8_pem(text).unwrap_err(), error, "{text:?}");
    }
}

/// RFC 7515, appendix A.3, and RFC 8037, appendix A.1: private keys as JWK.
const PRIVATE_JWKS: [(&str, SigningAlgorithm); 2] = [
    (
        r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#,
        SigningAlgorithm::Es256,
    ),
    (
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}"#,
        SigningAlgorithm::EdDsa,
    ),
];

#[test]
fn a_private_jwk_signs_what_its_public_half_verifies() {
    for (text, algorithm) in PRIVATE_JWKS {
        let key = SigningKey::from_private_jwk(text).unwrap();
        assert_eq!(key.algorithm(), algorithm);
        let written: Value = serde_json::from_str(text).unwrap();
        assert_eq!(key.public_jwk()["x"], written["x"]);
        let header = json!({ "alg": algorithm.as_str() }).to_string();
        let token = key.sign_raw(header.as_bytes(), claims().to_string().as_bytes()).unwrap();
        assert!(verifies(&key, &token));
        assert_eq!(key.kid(), thumbprint(&key.pair), "without a `kid`, its thumbprint names it");
        let named = text
            .replacen('{', r#"{"kid":"k1","alg":"ALG","use":"sig","#, 1)
            .replace("ALG", algorithm.as_str());
        assert_eq!(SigningKey::from_private_jwk(&named).unwrap().kid(), "k1");
    }
    let thumbprint = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
    assert_eq!(SigningKey::from_private_jwk(PRIVATE_JWKS[1].0).unwrap().kid(), thumbprint);
}

#[test]
fn a_jwk_that_cannot_sign_or_contradicts_itself_is_refused() {
    for (text, _) in PRIVATE_JWKS {
        let other = SigningKey::generate(SigningAlgorithm::Es256, None).unwrap().public_jwk();
        let refused = |change: &dyn Fn(&mut Map<String, Value>)| {
            let mut jwk: Map<String, Value> = serde_json::from_str(text).unwrap();
            change(&mut jwk);
            let error = SigningKey::from_private_jwk(&Value::Object(jwk).to_string()).unwrap_err();
            assert!(matches!(error, SigningError::NotJwk(_)), "{error}");
        };
        refused(&|jwk| drop(jwk.remove("d")));
        refused(&|jwk| drop(jwk.remove("x")));
        refused(&|jwk| drop(jwk.remove("kty")));
        refused(&|jwk| drop(jwk.insert("x".into(), other["x"].clone())));
        refused(&|jwk| drop(jwk.insert("d".into(), "AAAA".into())));
        refused(&|jwk| drop(jwk.insert("crv".into(), "P-384".into())));
        refused(&|jwk| drop(jwk.insert("alg".into(), "RS256".into())));
        refused(&|jwk| drop(jwk.insert("use".into(), "enc".into())));
        refused(&|jwk| drop(jwk.insert("keys".into(), json!([]))));
    }
    for text in ["", "[]", "{", "null", "{}"] {
        assert!(SigningKey::from_private_jwk(text).is_err(), "{text:?}");
    }
}
