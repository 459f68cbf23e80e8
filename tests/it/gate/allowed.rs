//! Allowed cancels, in every form in which official clients send them.

use opgate::dev::mint::Mint;
use serde_json::json;

use super::seed::{ANA, COMPANION_SEED, DATAPROC_SEED, ERIN, STRANGER, Seed, TRANSLATION_SEED};
use crate::harness::front;
use crate::harness::{
    AUDIENCE, Answer, Body, CLOUD_PLATFORM, CLOUD_TRANSLATION, Gate, Req, claims, key, token, token_with,
};

#[tokio::test]
pub async fn cancels_pass_with_whatever_official_clients_send_as_an_empty_message() {
    let gate = Gate::start();
    let named = |seed: &Seed| format!("{{ \"name\": \"{}\" }}", seed.operation);
    let escaped = |seed: &Seed| format!("{{\"name\":\"{}\"}}", seed.operation.replace('/', "\\/"));
    let mut rows = Vec::new();
    for seed in [&COMPANION_SEED, &DATAPROC_SEED, &TRANSLATION_SEED] {
        rows.push((seed, "no body", Body::None));
        rows.push((seed, "Content-Length: 0", Body::Length(Vec::new())));
        rows.push((seed, "no chunks", Body::Chunked(Vec::new())));
    }
    for seed in [&COMPANION_SEED, &TRANSLATION_SEED] {
        for (name, body) in [
            ("{}", "{}".to_owned()),
            ("{} and a newline", "{}\n".to_owned()),
            ("the name", named(seed)),
            ("the name with escaped slashes", escaped(seed)),
        ] {
            rows.push((seed, name, Body::Length(body.clone().into_bytes())));
            rows.push((seed, name, Body::Chunked(body.into_bytes())));
        }
    }
    let mut failures = Vec::new();
    for (seed, name, body) in &rows {
        let request = seed.cancel().bearer(&token(ANA)).header("content-type", "application/json");
        for (version, answer) in both(&gate, &request.body(body.clone())).await {
            if let Err(what) = cancelled(&gate, seed, &answer) {
                failures.push(format!("{}, {name}, {version}: {what}", seed.host));
            }
        }
    }
    eprintln!("allowed cancels: {} rows over two versions, {} failures", rows.len(), failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
pub async fn each_of_the_two_translation_scopes_alone_suffices() {
    let gate = Gate::start();
    let seed = &TRANSLATION_SEED;
    let list = |scopes: &[&str]| key().sign(&claims(STRANGER, scopes)).unwrap();
    for (name, token) in [
        ("cloud-platform", list(&[CLOUD_PLATFORM])),
        ("cloud-translation", list(&[CLOUD_TRANSLATION])),
        ("both", list(&[CLOUD_PLATFORM, CLOUD_TRANSLATION])),
        ("one of many", list(&["openid", CLOUD_TRANSLATION, "email"])),
        ("scp as a list", token_with(STRANGER, json!({ "scope": null, "scp": [CLOUD_TRANSLATION] }))),
        ("scp as a string", token_with(STRANGER, json!({ "scope": null, "scp": CLOUD_TRANSLATION }))),
    ] {
        for (version, answer) in both(&gate, &seed.cancel().bearer(&token)).await {
            cancelled(&gate, seed, &answer).unwrap_or_else(|what| panic!("{name}, {version}: {what}"));
        }
    }
    // No permission is required, so the project does not matter either.
    let elsewhere = seed.call("POST", &format!("{}:cancel", seed.elsewhere)).bearer(&token(ERIN));
    for (version, answer) in both(&gate, &elsewhere).await {
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b""[..]), "{version}");
    }
}

#[tokio::test]
pub async fn a_token_without_optional_parts_is_accepted() {
    let gate = Gate::start();
    let seed = &COMPANION_SEED;
    let typed = |typ: &str| {
        let header = json!({ "alg": "RS256", "typ": typ, "kid": "test" });
        key().sign_with_header(&header, &claims(ANA, &[CLOUD_PLATFORM])).unwrap()
    };
    let untyped = json!({ "alg": "RS256" });
    for (name, token) in [
        ("several audiences", token_with(ANA, json!({ "aud": ["https://elsewhere.example.com", AUDIENCE] }))),
        ("no iat", token_with(ANA, json!({ "iat": null }))),
        ("email in capitals", token_with(ANA, json!({ "email": "Ana@Example.COM" }))),
        ("typ JWT", typed("JWT")),
        ("typ application/at+jwt", typed("application/at+jwt")),
        ("neither typ nor kid", key().sign_with_header(&untyped, &claims(ANA, &[CLOUD_PLATFORM])).unwrap()),
    ] {
        for (version, answer) in both(&gate, &seed.cancel().bearer(&token)).await {
            cancelled(&gate, seed, &answer).unwrap_or_else(|what| panic!("{name}, {version}: {what}"));
        }
    }
    for scheme in ["bearer", "BEARER"] {
        let request = seed.cancel().header("authorization", &format!("{scheme} {}", token(ANA)));
        for (version, answer) in both(&gate, &request).await {
            cancelled(&gate, seed, &answer).unwrap_or_else(|what| panic!("{scheme}, {version}: {what}"));
        }
    }
}

#[tokio::test]
pub async fn an_allowed_cancel_ends_the_operation() {
    let gate = Gate::start();
    let seed = &DATAPROC_SEED;
    let get = seed.call("GET", seed.operation).bearer(&token(ANA));
    assert_eq!(gate.http2(&get).await.json().unwrap()["done"], false);
    assert_eq!(gate.http2(&seed.cancel().bearer(&token(ANA))).await.status, 200);
    let mut operation = json!({});
    for _ in 0..200 {
        operation = gate.http1(&get).await.json().unwrap();
        if operation["done"] == true {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    assert_eq!(operation["error"]["code"], 1, "{operation}");
}

/// The answers over both versions. The backend's record is cleared before each.
async fn both(gate: &Gate, request: &Req) -> Vec<(&'static str, Answer)> {
    gate.backend.clear();
    let mut answers = Vec::new();
    for version in ["HTTP/1.1", "HTTP/2"] {
        let answer = match version {
            "HTTP/2" => gate.http2(request).await,
            _ => gate.http1(request).await,
        };
        match front::current().and_then(|front| front.cannot_carry(request, version)) {
            Some(why) => {
                assert!(answer.status >= 400, "{request:?}, {version}: {} though {why}", answer.status);
            }
            None => answers.push((version, answer)),
        }
    }
    answers
}

/// Checks that the backend's own answer came, and that the backend saw a cancel without a body, at most one per
/// version.
fn cancelled(gate: &Gate, seed: &Seed, answer: &Answer) -> Result<(), String> {
    if answer.status != 200 || answer.body != seed.cancelled {
        let body = String::from_utf8_lossy(&answer.body);
        return Err(format!("the answer is {} {body}", answer.status));
    }
    let seen = gate.backend.requests();
    if seen.is_empty() || seen.len() > 2 || (front::current().is_none() && seen.len() != 2) {
        return Err(format!("the backend saw {} requests, not one of each version", seen.len()));
    }
    let target = format!("/{}/{}:cancel", seed.version, seed.operation);
    for request in seen {
        let length = request.headers.get("content-length").map(|value| value.as_bytes());
        let is_cancel = request.method == "POST" && request.target == target;
        // A proxy sends the client's own empty message.
        if front::current().is_some() {
            let is_message = request.body.is_empty() || request.body.trim_ascii_start().starts_with(b"{");
            if !is_cancel || !is_message || request.headers.contains_key("authorization") {
                return Err(format!("the backend saw {request:?}"));
            }
            continue;
        }
        if !is_cancel || !request.body.is_empty() || length != Some(b"0") {
            return Err(format!("the backend saw {request:?}"));
        }
        if request.headers.contains_key("content-type") || request.headers.contains_key("transfer-encoding") {
            return Err(format!("an empty body is described: {request:?}"));
        }
    }
    Ok(())
}
