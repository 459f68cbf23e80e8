//! Proofs of possession beside a stolen token: no input makes the token usable without its key.
//!
//! The first byte selects how the input is used: as the whole proof, as parts of a proof that names the right key, or
//! signed with that key for another token, as its holder could do.
#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use opgate::authn::{Authentication, Authenticator, Evidence, IssuerSettings, KeySource};
use opgate::dev::mint::Mint;
use opgate::signing::{SigningAlgorithm, SigningKey};
use serde_json::json;

/// The first second of 2026.
const NOW: u64 = 1_767_225_600;

struct Scene {
    gate: Authenticator,
    authorization: String,
    holder: SigningKey,
}

static SCENE: LazyLock<Scene> = LazyLock::new(|| {
    let file = tempfile::NamedTempFile::new().unwrap();
    let key = SigningKey::generate(SigningAlgorithm::Es256, Some("k")).unwrap();
    std::fs::write(file.path(), key.jwks().to_string()).unwrap();
    let keys = KeySource::File(file.path().to_owned());
    let settings = IssuerSettings::new("fuzz", "https://issuer.example", "gate", keys);
    let gate = Authenticator::load(vec![settings], now()).unwrap();
    let holder = SigningKey::generate(SigningAlgorithm::Es256, None).unwrap();
    let token = key.sign(&json!({
        "iss": "https://issuer.example", "aud": "gate", "exp": NOW + 3600, "email": "ana@example.com",
        "email_verified": true, "cnf": { "jkt": holder.kid() },
    }));
    Scene { gate, authorization: format!("DPoP {}", token.unwrap()), holder }
});

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

fuzz_target!(|input: &[u8]| {
    let Some((way, bytes)) = input.split_first() else { return };
    let Scene { gate, authorization, holder } = &*SCENE;
    let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": holder.public_jwk() }).to_string();
    let proof = match way % 4 {
        0 => bytes.to_vec(),
        1 => {
            let signed = holder.sign_raw(header.as_bytes(), b"{}").unwrap();
            let (signed, _) = signed.rsplit_once('.').unwrap();
            [signed.as_bytes(), b".", bytes].concat()
        }
        2 => holder.sign_raw(bytes, b"{}").unwrap().into_bytes(),
        _ => holder.sign_raw(header.as_bytes(), bytes).unwrap().into_bytes(),
    };
    let evidence = Evidence {
        proofs: vec![&proof],
        certificate: None,
        method: "POST",
        scheme: "https",
        authority: b"api.example.com",
        port: None,
        path: "/v1/projects/p/operations/o:cancel",
    };
    let Ok(Authentication::Token(token)) = gate.authenticate(&[authorization.as_bytes()], now()) else {
        panic!("the token is good")
    };
    let caller = gate.confirm(token, &evidence, now());
    assert!(caller.is_err(), "accepted {:?}", String::from_utf8_lossy(&proof));
    assert_eq!(gate.proofs_remembered(), 0);
});
