//! Cancels with a credential that proves nothing or not enough, on behalf of a caller who may cancel.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use opgate::dev::mint::Mint;
use serde_json::{Value, json};

use super::row::{Refusal, Row, run};
use super::seed::{ANA, SEEDS, Seed};
use crate::harness::{CLOUD_PLATFORM, Gate, claims, foreign_key, key, now, token, token_with};

#[tokio::test]
pub async fn a_bad_credential_is_refused_by_every_service() {
    let gate = Gate::start();
    let mut rows = Vec::new();
    for seed in SEEDS {
        rows.push(Row::new(format!("{}: no token", seed.host), seed.cancel(), Refusal::missing(seed)));
        rows.extend(authorizations(seed).into_iter().map(|(name, value, refusal)| {
            let request = seed.cancel().header("authorization", &value);
            Row::new(format!("{}: {name}", seed.host), request, refusal)
        }));
        let both = seed.cancel().bearer(&token(ANA)).bearer(&token(ANA));
        rows.push(Row::new(format!("{}: two tokens", seed.host), both, Refusal::overloaded(seed)));
        let mixed = seed.cancel().header("authorization", "Basic YW5hOnNlY3JldA==").bearer(&token(ANA));
        rows.push(Row::new(format!("{}: Basic and a token", seed.host), mixed, Refusal::overloaded(seed)));
    }
    run("credentials", &gate, &rows).await;

    // The credential that they were all made from is good: each was refused for the change alone.
    let request = SEEDS[0].cancel().bearer(&token(ANA));
    assert_eq!(gate.http1(&request).await.status, 200);
}

/// Every credential, as the header's value, and the answer to a cancel with it.
fn authorizations(seed: &'static Seed) -> Vec<(String, String, Refusal)> {
    let invalid = |reason| Refusal::invalid(seed, reason);
    let bearer = |token: String| format!("Bearer {token}");
    let changed = |changes: Value| bearer(token_with(ANA, changes));
    let good = claims(ANA, &[CLOUD_PLATFORM]);
    let typed = |typ: &str| {
        let header = json!({ "alg": "RS256", "typ": typ, "kid": "test" });
        bearer(key().sign_with_header(&header, &good).unwrap())
    };
    let wrong = "JWT_TOKEN_INVALID";
    let no_access_token = "ACCESS_TOKEN_TYPE_UNSUPPORTED";
    let (past, future) = (now() - 3600, now() + 3600);
    let mut cases = vec![
        ("expired", changed(json!({ "exp": past })), invalid("ACCESS_TOKEN_EXPIRED")),
        ("not yet valid", changed(json!({ "nbf": future, "exp": future + 60 })), invalid(wrong)),
        ("issued in the future", changed(json!({ "iat": future, "exp": future + 60 })), invalid(wrong)),
        ("without exp", changed(json!({ "exp": null })), invalid(wrong)),
        ("exp as a string", changed(json!({ "exp": future.to_string() })), invalid(wrong)),
        ("wrong issuer", changed(json!({ "iss": "https://issuer.example.com" })), invalid(wrong)),
        ("issuer with a slash", changed(json!({ "iss": "https://issuer.demo.localhost/" })), invalid(wrong)),
        ("without iss", changed(json!({ "iss": null })), invalid(wrong)),
        ("wrong audience", changed(json!({ "aud": "https://elsewhere.example.com" })), invalid(wrong)),
        ("without aud", changed(json!({ "aud": null })), invalid(wrong)),
        ("unverified email", changed(json!({ "email_verified": false })), invalid(wrong)),
        ("two at signs", changed(json!({ "email": "ana@example.com@evil.example" })), invalid(wrong)),
        ("foreign key, same kid", bearer(foreign_key().sign(&good).unwrap()), invalid(wrong)),
        ("tampered payload", bearer(tampered(&token(ANA))), invalid(wrong)),
        ("cut signature", bearer(cut_signature(&token(ANA))), invalid(wrong)),
        ("no signature", bearer(without_signature(&token(ANA))), invalid(wrong)),
        ("another typ", typed("logout+jwt"), invalid(no_access_token)),
        ("ID token by its nonce", changed(json!({ "nonce": "n-0S6_WzA2Mj" })), invalid(no_access_token)),
        (
            "ID token by its at_hash",
            changed(json!({ "at_hash": "MTIzNDU2Nzg5MDEyMzQ1Ng" })),
            invalid(no_access_token),
        ),
        ("ID token of another client", changed(json!({ "aud": "1234.apps.example.com" })), invalid(wrong)),
        ("ID token without a scope", changed(json!({ "scope": null })), Refusal::scope(seed)),
        ("no scope", changed(json!({ "scope": "" })), Refusal::scope(seed)),
        (
            "another scope",
            changed(json!({ "scope": "https://www.googleapis.com/auth/drive.readonly" })),
            Refusal::scope(seed),
        ),
        (
            "a scope that begins like one",
            changed(json!({ "scope": "https://www.googleapis.com/auth/cloud-platform.read-only" })),
            Refusal::scope(seed),
        ),
        ("Basic", "Basic YW5hOnNlY3JldA==".to_owned(), Refusal::scheme(seed)),
        ("unbound, sent as DPoP", format!("DPoP {}", token(ANA)), Refusal::over_dpop(seed, wrong)),
        ("no token, sent as DPoP", "DPoP x".to_owned(), Refusal::over_dpop(seed, no_access_token)),
        ("bound to an unknown kind of key", changed(json!({ "cnf": { "kid": "k" } })), invalid(wrong)),
        ("a token without a scheme", token(ANA), Refusal::scheme(seed)),
        ("opaque token", "Bearer ya29.a0AfH6SMBx-opaque".to_owned(), invalid(no_access_token)),
        ("five segments", bearer(format!("{}.AA.AA", token(ANA))), invalid(no_access_token)),
        ("no token after the scheme", "Bearer".to_owned(), invalid(wrong)),
        ("two spaces", format!("Bearer  {}", token(ANA)), invalid(wrong)),
        ("two tokens in one field", format!("Bearer {}, Bearer {}", token(ANA), token(ANA)), invalid(wrong)),
    ];
    let other_service = match seed.scopes.contains("cloud-translation") {
        true => "https://www.googleapis.com/auth/translation",
        false => "https://www.googleapis.com/auth/cloud-translation",
    };
    cases.push((
        "the scope of another service",
        changed(json!({ "scope": other_service })),
        Refusal::scope(seed),
    ));
    let mut cases: Vec<_> =
        cases.into_iter().map(|(name, value, refusal)| (name.to_owned(), value, refusal)).collect();
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let header = json!({ "alg": alg, "typ": "at+jwt", "kid": "test" });
        cases.push((format!("alg `{alg}`, unsigned"), bearer(unsigned(&header, &good)), invalid(wrong)));
        let signed = key().sign_with_header(&header, &good).unwrap();
        cases.push((format!("alg `{alg}`, signed"), bearer(signed), invalid(wrong)));
    }
    for (name, secret) in public_key_as_secret() {
        for (alg, algorithm) in
            [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)]
        {
            let header = json!({ "alg": alg, "typ": "at+jwt", "kid": "test" });
            let token = bearer(symmetric(algorithm, &secret, &header, &good));
            cases.push((format!("{alg} with the public key ({name})"), token, invalid(wrong)));
        }
    }
    cases
}

fn segments(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().unwrap()
}

/// Another caller's email under the same signature.
fn tampered(token: &str) -> String {
    let [header, payload, signature] = segments(token);
    let payload = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    let changed = payload.replace(ANA, "lea@example.com");
    assert_ne!(changed, payload);
    format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(changed))
}

/// The first 128 bytes of the signature's 256.
fn cut_signature(token: &str) -> String {
    let [header, payload, signature] = segments(token);
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode(&signature[..128]))
}

fn without_signature(token: &str) -> String {
    let [header, payload, _] = segments(token);
    format!("{header}.{payload}.")
}

fn encode(header: &Value, claims: &Value) -> String {
    [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".")
}

fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.", encode(header, claims))
}

fn symmetric(algorithm: hmac::Algorithm, secret: &[u8], header: &Value, claims: &Value) -> String {
    let text = encode(header, claims);
    let tag = hmac::sign(&hmac::Key::new(algorithm, secret), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// Every encoding of the gate's public key that a verifier could use as a shared secret.
fn public_key_as_secret() -> Vec<(&'static str, Vec<u8>)> {
    let jwk = key().public_jwk();
    let n = jwk["n"].as_str().unwrap();
    let modulus = URL_SAFE_NO_PAD.decode(n).unwrap();
    let der = public_key_info(&modulus, &URL_SAFE_NO_PAD.decode(jwk["e"].as_str().unwrap()).unwrap());
    let pem = pem(&der);
    vec![
        ("PEM without its last newline", pem.trim_end().as_bytes().to_vec()),
        ("PEM", pem.into_bytes()),
        ("DER", der),
        ("JWK", jwk.to_string().into_bytes()),
        ("JWK Set", key().jwks().to_string().into_bytes()),
        ("n as written", n.as_bytes().to_vec()),
        ("n", modulus),
    ]
}

/// SubjectPublicKeyInfo of an RSA key (RFC 5280, section 4.1; RFC 8017, appendix A.1.1).
fn public_key_info(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    const RSA_ENCRYPTION: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 0x05, 0];
    // A leading zero keeps the number positive.
    let integer = |bytes: &[u8]| der(0x02, &[&[0][..], bytes].concat());
    let key = der(0x30, &[integer(modulus), der(0x02, exponent)].concat());
    der(0x30, &[der(0x30, RSA_ENCRYPTION), der(0x03, &[&[0][..], &key].concat())].concat())
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let mut bytes = match content.len() {
        0..=127 => vec![tag, length[1]],
        128..=255 => vec![tag, 0x81, length[1]],
        _ => vec![tag, 0x82, length[0], length[1]],
    };
    bytes.extend_from_slice(content);
    bytes
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

#[test]
fn the_pem_that_is_used_as_a_secret_is_the_public_key() {
    let (_, secret) = public_key_as_secret().into_iter().find(|(name, _)| *name == "PEM").unwrap();
    let decoding = jsonwebtoken::DecodingKey::from_rsa_pem(&secret).unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    validation.set_audience(&[crate::harness::AUDIENCE]);
    jsonwebtoken::decode::<Value>(token(ANA), &decoding, &validation).unwrap();
}
