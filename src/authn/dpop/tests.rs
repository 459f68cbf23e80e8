//! Bound tokens and the proofs that come with them: one that holds, and each way in which it may not.

use crate::authn::jwks::thumbprint;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::*;
use crate::authn::tests::mint::{ED25519, P256, P384, RSA, STRANGER, Signer, base64, key_set};
use crate::authn::{Algorithm, Authenticator, DpopRule, IssuerSettings, KeySource, PossessionRule};
use crate::reason::PROOF_ALGORITHMS;

mod bound;
mod proofs;

const NOW: u64 = 1_800_000_000;
const AUTHORITY: &str = "API.example.com:443";
const PATH: &str = "/v1/projects/p/operations/o:cancel";
const URL: &str = "https://api.example.com/v1/projects/p/operations/o:cancel";

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// A gate with one issuer, which signs with [`RSA`].
fn gate(rule: PossessionRule) -> Authenticator {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), key_set(&[RSA.jwk("rsa")])).unwrap();
    let source = KeySource::File(file.path().to_owned());
    let mut settings = IssuerSettings::new("example", "https://issuer.example", "gate", source);
    settings.possession = rule;
    Authenticator::load(vec![settings], at(NOW)).unwrap()
}

/// A token of the issuer's with this `cnf`; without one, where it is null.
fn token(cnf: &Value) -> String {
    let mut claims = json!({
        "iss": "https://issuer.example", "aud": "gate", "iat": NOW - 60, "exp": NOW + 3600,
        "email": "ana@example.com", "email_verified": true,
    });
    if !cnf.is_null() {
        claims["cnf"] = cnf.clone();
    }
    RSA.token(&json!({"alg": "RS256", "kid": "rsa"}), &claims)
}

fn thumbprint_of(signer: &Signer) -> String {
    thumbprint::of(signer.jwk("any").as_object().unwrap()).unwrap()
}

/// The evidence of a request over TLS.
fn evidence<'r>(proofs: &[&'r str]) -> Evidence<'r> {
    Evidence {
        proofs: proofs.iter().map(|proof| proof.as_bytes()).collect(),
        certificate: None,
        method: "POST",
        scheme: "https",
        authority: AUTHORITY.as_bytes(),
        port: Some(8080),
        path: PATH,
    }
}

fn send(
    gate: &Authenticator,
    (scheme, token): (&str, &str),
    evidence: &Evidence<'_>,
    seconds: u64,
) -> Result<Arc<Caller>, Denial> {
    let authorization = format!("{scheme} {token}");
    let crate::authn::Authentication::Token(token) =
        gate.authenticate(&[authorization.as_bytes()], at(seconds))?
    else {
        panic!("waits for nothing")
    };
    gate.confirm(token, evidence, at(seconds))
}

#[track_caller]
fn refused(sent: Result<Arc<Caller>, Denial>, reason: Reason, detail: &str) -> Denial {
    let denial = sent.unwrap_err();
    assert_eq!(denial.reason(), reason, "{}", denial.detail());
    assert!(denial.detail().contains(detail), "`{}` does not say `{detail}`", denial.detail());
    assert!(denial.detail().len() < 400, "{}", denial.detail());
    denial
}
