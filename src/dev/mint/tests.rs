use super::*;
use crate::signing::tests::{claims, verifies};

#[test]
fn every_algorithm_signs_what_its_own_jwk_verifies() {
    let other = SigningKey::generate(SigningAlgorithm::Es256, None).unwrap();
    for algorithm in SigningAlgorithm::ALL {
        let key = SigningKey::generate(algorithm, None).unwrap();
        let token = key.sign(&claims()).unwrap();
        assert!(verifies(&key, &token), "{algorithm}");
        let stolen = key.sign_with_header(&json!({"alg": "ES256"}), &claims()).unwrap();
        assert!(!verifies(&other, &stolen), "{algorithm}");
        let header = jsonwebtoken::decode_header(&token).unwrap();
        assert_eq!(header.kid.as_deref(), Some(key.kid()));
        assert_eq!(header.typ.as_deref(), Some("at+jwt"));
    }
}

#[test]
fn a_key_survives_the_file() {
    for algorithm in SigningAlgorithm::ALL {
        let key = SigningKey::generate(algorithm, None).unwrap();
        let pem = key.to_pkcs8_pem().unwrap();
        let read = SigningKey::from_pkcs8_pem(pem.reveal()).unwrap().with_algorithm(algorithm).unwrap();
        assert_eq!(read.public_jwk(), key.public_jwk());
        assert!(verifies(&key, &read.sign(&claims()).unwrap()));
    }
}

#[test]
fn a_private_key_does_not_print() {
    let pem = SigningKey::generate(SigningAlgorithm::Es256, None).unwrap().to_pkcs8_pem().unwrap();
    assert_eq!(format!("{pem} {pem:?}"), "[private key] [private key]");
}

#[test]
fn a_key_takes_only_an_algorithm_of_its_kind() {
    let key = SigningKey::generate(SigningAlgorithm::Es256, None).unwrap();
    assert_eq!(
        key.with_algorithm(SigningAlgorithm::EdDsa).unwrap_err(),
        WrongAlgorithm { wanted: SigningAlgorithm::EdDsa, has: SigningAlgorithm::Es256 }
    );
}

#[test]
fn an_algorithm_is_named_as_in_headers() {
    for algorithm in SigningAlgorithm::ALL {
        assert_eq!(parse_algorithm(algorithm.as_str()), Ok(algorithm));
    }
    for name in ["", "es256", "HS256", "none"] {
        assert!(parse_algorithm(name).is_err(), "{name:?}");
    }
}
