//! The scenes, one function each.

use std::sync::Arc;
use std::time::Duration;

use opgate::dev::mint::Mint;
use opgate::signing::SigningKey;
use serde_json::json;

use super::Scenario;
use super::scene::{Row, Scene, Stage, keys, new_key};
use super::server::{Answer, Certificate, KEYS, KeyServer, METADATA, key_set};
use crate::harness::{CLOUD_PLATFORM, claims};

pub fn all() -> Vec<Scenario> {
    let five_hundred = Answer::of("500 Internal Server Error", "", b"");
    let html = Answer::of("200 OK", "content-type: text/html\r\n", b"<html>Down for maintenance</html>");
    let oversized = Answer::of("200 OK", "", &vec![b' '; (1 << 20) + 1]);
    let truncated = Answer::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"keys\": [".to_vec());
    vec![
        Box::pin(steady()),
        Box::pin(published_then_used()),
        Box::pin(used_as_soon_as_published()),
        Box::pin(withdrawn()),
        Box::pin(twice_within_a_cool_down()),
        Box::pin(without_kid()),
        Box::pin(down_and_up()),
        Box::pin(rotated_while_down()),
        Box::pin(down_from_the_start()),
        Box::pin(slow()),
        Box::pin(silent()),
        Box::pin(bad_answer("answers 500", five_hundred, "status")),
        Box::pin(bad_answer("answers garbage", html, "content")),
        Box::pin(bad_answer("answers too much", oversized, "too_large")),
        Box::pin(bad_answer("breaks off", truncated, "broken")),
        Box::pin(poisoned()),
        Box::pin(flapping()),
        Box::pin(redirected()),
        Box::pin(flood()),
        Box::pin(reloads()),
        Box::pin(another_issuer_is_down()),
        Box::pin(wrong_issuer_in_discovery()),
        Box::pin(discovery_leads_elsewhere()),
        Box::pin(wrong_certificate()),
    ]
}

async fn steady() -> Row {
    let scene = Scene::open("nothing happens", &new_key("a")).await;
    scene.goes_on(1500).await;
    scene.ends().await
}

async fn published_then_used() -> Row {
    let (a, b) = (new_key("a"), new_key("b"));
    let scene = Scene::open("rotation, published before it is used", &a).await;
    scene.server.says(Answer::keys(&[&a, &b]));
    scene.fetched("success").await;
    // The gate fetches the new key before a token uses it: no request waits.
    assert_eq!(scene.answer_to(&scene.token(&b)).await.0, 200);
    scene.signs_with(&b);
    scene.goes_on(1000).await;
    scene.ends().await
}

async fn used_as_soon_as_published() -> Row {
    let (a, b) = (new_key("a"), new_key("b"));
    let stage = Stage::with_url("seamless: rotation, used as soon as published", &a).await;
    let scene = Stage { inventions: false, ..stage }.open(&a).await;
    scene.goes_on(300).await;
    scene.server.says(Answer::keys(&[&a, &b]));
    scene.signs_with(&b);
    scene.goes_on(1500).await;
    scene.ends().await
}

async fn withdrawn() -> Row {
    let (a, b) = (new_key("a"), new_key("b"));
    let scene = Scene::open("rotation, the old key is withdrawn", &a).await;
    let old = scene.token(&a);
    assert_eq!(scene.answer_to(&old).await.0, 200);
    scene.server.says(Answer::keys(&[&a, &b]));
    scene.signs_with(&b);
    scene.recovers().await;
    scene.goes_on(1500).await;
    scene.server.says(Answer::keys(&[&b]));
    // The first fetch may have been under way before the change.
    scene.fetched("success").await;
    scene.fetched("success").await;
    // These tokens were good until now and are remembered as good, but the key that verified them is gone.
    while scene.answer_to(&old).await != (401, "JWT_TOKEN_INVALID".to_owned()) {
        assert_ne!(scene.answer_to(&old).await.0, 200);
        scene.goes_on(50).await;
    }
    scene.ends().await
}

async fn twice_within_a_cool_down() -> Row {
    let (a, b, c) = (new_key("a"), new_key("b"), new_key("c"));
    let scene = Scene::open("two rotations within a cool-down", &a).await;
    scene.server.says(Answer::keys(&[&a, &b]));
    scene.signs_with(&b);
    scene.recovers().await;
    scene.server.says(Answer::keys(&[&b, &c]));
    scene.signs_with(&c);
    scene.goes_on(1500).await;
    scene.ends().await
}

/// The issuer changes its only key and uses no `kid`: a token does not say which of the two keys signed it.
async fn without_kid() -> Row {
    let (a, b) = (new_key("a"), new_key("b"));
    let unnamed = |key: &SigningKey| {
        let mut set = key_set(&[key]);
        set["keys"][0].as_object_mut().unwrap().remove("kid");
        Answer::json(&set)
    };
    let scene = Scene::open("rotation of a key without a name", &a).await;
    scene.server.says(unnamed(&b));
    let header = json!({ "alg": "ES256", "typ": "at+jwt" });
    let token = b.sign_with_header(&header, &claims("ana@example.com", &[CLOUD_PLATFORM])).unwrap();
    loop {
        match scene.answer_to(&token).await {
            (200, _) => break,
            told => assert_eq!(told, (503, "SIGNING_KEY_PENDING".to_owned())),
        }
    }
    scene.server.says(Answer::keys(&[&a, &b]));
    scene.ends().await
}

async fn down_and_up() -> Row {
    let (a, b) = (new_key("a"), new_key("b"));
    let scene = Scene::open("goes down, comes back with a new key", &a).await;
    scene.server.goes_down().await;
    scene.fetched("connect").await;
    scene.goes_on(1500).await;
    scene.server.says(Answer::keys(&[&a, &b]));
    scene.server.comes_back().await;
    scene.signs_with(&b);
    scene.ends().await
}

async fn rotated_while_down() -> Row {
    let (a, b) = (new_key("a"), new_key("b"));
    let scene = Scene::open("signs with a new key while its key server is down", &a).await;
    scene.server.goes_down().await;
    scene.signs_with(&b);
    scene.fetched("connect").await;
    // The gate cannot tell about tokens of the new key. The old keys are still good.
    assert_eq!(scene.answer_to(&scene.token(&b)).await, (503, "SIGNING_KEY_PENDING".to_owned()));
    assert_eq!(scene.answer_to(&scene.token(&a)).await.0, 200);
    scene.server.says(Answer::keys(&[&a, &b]));
    scene.server.comes_back().await;
    scene.ends().await
}

async fn down_from_the_start() -> Row {
    let a = new_key("a");
    let stage = Stage::with_url("down when the gate starts", &a).await;
    stage.server.goes_down().await;
    let scene = Stage { unready: true, ..stage }.open(&a).await;
    assert_eq!(scene.gate.admin("/readyz").await.status, 503);
    assert_eq!(scene.answer_to(&scene.token(&a)).await, (503, "GATE_NOT_READY".to_owned()));
    scene.server.comes_back().await;
    scene.ends().await
}

async fn slow() -> Row {
    let (a, b) = (new_key("a"), new_key("b"));
    let scene = Scene::open("takes 1.5 s to answer", &a).await;
    scene.server.says(Answer::keys(&[&a, &b]).after(Duration::from_millis(1500)));
    scene.signs_with(&b);
    scene.goes_on(1000).await;
    scene.ends().await
}

async fn silent() -> Row {
    let (a, b) = (new_key("a"), new_key("b"));
    let scene = Scene::open("takes the request and never answers", &a).await;
    scene.server.says(Answer::Silence);
    let asked = scene.server.asked(KEYS);
    while scene.server.asked(KEYS) == asked {
        scene.goes_on(20).await;
    }
    scene.goes_on(500).await;
    assert_eq!(scene.answer_to(&scene.token(&b)).await, (503, "SIGNING_KEY_PENDING".to_owned()));
    // A request waits for a second, and not until the fetch is given up.
    assert_eq!(scene.fetches("timeout").await, 0);
    scene.server.says(Answer::keys(&[&a]));
    scene.fetched("timeout").await;
    scene.ends().await
}

/// The old keys hold, the new one is unknown, and no good token is refused as bad.
async fn bad_answer(name: &'static str, answer: Answer, outcome: &'static str) -> Row {
    let (a, b) = (new_key("a"), new_key("b"));
    let scene = Scene::open(name, &a).await;
    scene.server.says(answer);
    scene.fetched(outcome).await;
    assert_eq!(scene.answer_to(&scene.token(&a)).await.0, 200);
    assert_eq!(scene.answer_to(&scene.token(&b)).await, (503, "SIGNING_KEY_PENDING".to_owned()));
    scene.signs_with(&b);
    scene.goes_on(300).await;
    scene.server.says(Answer::keys(&[&a, &b]));
    let row = scene.ends().await;
    assert!(row.unavailable > 0, "{row:?}");
    row
}

async fn poisoned() -> Row {
    let (a, other, twin) = (new_key("a"), new_key("twin"), new_key("twin"));
    let scene = Scene::open("good keys among bad ones", &a).await;
    let mut private = new_key("private").public_jwk();
    private["d"] = json!("AQAB");
    let mut set = key_set(&[&a, &other, &twin]);
    let bad = [
        private,
        json!({ "kty": "oct", "kid": "secret", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0" }),
        json!({ "kty": "RSA", "kid": "weak", "n": "AQAB", "e": "AQAB" }),
        json!("key"),
    ];
    set["keys"].as_array_mut().unwrap().extend(bad);
    scene.server.says(Answer::json(&set));
    scene.fetched("success").await;
    scene.fetched("success").await;
    for ambiguous in [&other, &twin] {
        assert_ne!(scene.answer_to(&scene.token(ambiguous)).await.0, 200);
    }
    let log = scene.gate.log();
    for told in
        ["2 keys share the `kid` `twin`", "key `private` has the secret member", "key `weak`", "key number"]
    {
        assert!(log.contains(told), "no `{told}` in\n{log}");
    }
    assert!(scene.gate.metrics().await.contains("opgate_jwks_keys{issuer=\"demo\"} 1\n"));
    scene.ends().await
}

async fn flapping() -> Row {
    let (a, b) = (new_key("a"), new_key("b"));
    let scene = Scene::open("fails every other moment", &a).await;
    for round in 0..20 {
        if round == 10 {
            scene.signs_with(&b);
        }
        let good = if round < 10 { Answer::keys(&[&a]) } else { Answer::keys(&[&a, &b]) };
        scene.server.says(if round % 2 == 0 { Answer::of("502 Bad Gateway", "", b"") } else { good });
        scene.goes_on(150).await;
    }
    scene.ends().await
}

/// The key URL redirects to a server that has another key of the same name.
async fn redirected() -> Row {
    let (a, evil) = (new_key("a"), new_key("a"));
    let elsewhere = KeyServer::start(Answer::keys(&[&evil])).await;
    let scene = Scene::open("redirects to another server's keys", &a).await;
    let location = format!("location: {}\r\n", elsewhere.url("http"));
    scene.server.says(Answer::of("302 Found", &location, b""));
    scene.fetched("status").await;
    assert_eq!(scene.answer_to(&scene.token(&evil)).await.0, 401);
    assert_eq!(elsewhere.asked(KEYS), 0);
    scene.server.says(Answer::keys(&[&a]));
    scene.ends().await
}

async fn flood() -> Row {
    let (a, b) = (new_key("a"), new_key("b"));
    let mut scene = Scene::open("rotation in a flood of invented keys", &a).await;
    scene.flood(32);
    scene.goes_on(1500).await;
    scene.server.says(Answer::keys(&[&a, &b]));
    scene.signs_with(&b);
    scene.goes_on(1500).await;
    scene.ends().await
}

async fn reloads() -> Row {
    let (a, b) = (new_key("a"), new_key("b"));
    let scene = Scene::open("rotation while the gate reloads every 50 ms", &a).await;
    for round in 0..40 {
        if round == 20 {
            scene.server.says(Answer::keys(&[&a, &b]).after(Duration::from_millis(200)));
            scene.signs_with(&b);
        }
        scene.gate.hang_up();
        scene.goes_on(50).await;
    }
    scene.ends().await
}

async fn another_issuer_is_down() -> Row {
    let (a, b, theirs) = (new_key("a"), new_key("b"), new_key("theirs"));
    let partner = KeyServer::start(Answer::keys(&[&theirs])).await;
    let mut stage = Stage::with_url("another issuer is silent, then down", &a).await;
    let other = json!({
        "issuer": "https://login.partner.example", "audiences": ["https://opgate.partner.example"],
        "email_domains": ["partner.example"],
        "keys": { "url": partner.url("http"), "refresh": "30s", "cool_down": "1s" },
    });
    stage
        .set
        .extend([format!("issuers.partner={other}"), "issuers.demo.email_domains=[example.com]".to_owned()]);
    let scene = stage.open(&a).await;
    partner.says(Answer::Silence);
    let mut claims = claims("max@partner.example", &[CLOUD_PLATFORM]);
    claims["iss"] = json!("https://login.partner.example");
    claims["aud"] = json!("https://opgate.partner.example");
    let strange = new_key("strange").sign(&claims).unwrap();
    assert_eq!(scene.answer_to(&strange).await, (503, "SIGNING_KEY_PENDING".to_owned()));
    partner.goes_down().await;
    scene.server.says(Answer::keys(&[&a, &b]));
    scene.signs_with(&b);
    scene.goes_on(1000).await;
    // The other issuer's tokens are good meanwhile: the keys verify them, and policy refuses them.
    let known = theirs.sign(&claims).unwrap();
    assert_eq!(scene.answer_to(&known).await, (403, "IAM_PERMISSION_DENIED".to_owned()));
    scene.ends().await
}

/// A gate that finds its issuer's keys by discovery: the key server is the issuer.
async fn discovering(name: &'static str, key: &Arc<SigningKey>) -> Scene {
    let mut stage = Stage::with_url(name, key).await;
    stage.issuer = format!("http://{}", stage.server.address);
    stage.server.says_at(METADATA, metadata(&stage.issuer, &stage.server.url("http")));
    stage.set = vec![keys(json!({ "discovery": "openid" })), format!("issuers.demo.issuer={}", stage.issuer)];
    stage.open(key).await
}

fn metadata(issuer: &str, jwks_uri: &str) -> Answer {
    Answer::json(&json!({ "issuer": issuer, "jwks_uri": jwks_uri }))
}

/// The metadata names another issuer: the gate believes neither.
async fn wrong_issuer_in_discovery() -> Row {
    let (a, b) = (new_key("a"), new_key("b"));
    let scene = discovering("discovery names another issuer", &a).await;
    let (issuer, url) = (scene.issuer.clone(), scene.server.url("http"));
    scene.server.says(Answer::keys(&[&a, &b]));
    scene.server.says_at(METADATA, metadata(&format!("{issuer}/"), &url));
    let keys = scene.server.asked(KEYS);
    scene.fetched("discovery").await;
    assert_eq!(scene.answer_to(&scene.token(&b)).await, (503, "SIGNING_KEY_PENDING".to_owned()));
    assert_eq!(scene.server.asked(KEYS), keys);
    scene.server.says_at(METADATA, metadata(&issuer, &url));
    scene.signs_with(&b);
    scene.ends().await
}

/// Discovery points to the keys of an attacker.
async fn discovery_leads_elsewhere() -> Row {
    let (a, evil) = (new_key("a"), new_key("a"));
    let elsewhere = KeyServer::start(Answer::keys(&[&evil])).await;
    let scene = discovering("discovery leads to another host", &a).await;
    scene.server.says_at(METADATA, metadata(&scene.issuer, &elsewhere.url("http")));
    scene.fetched("discovery").await;
    assert_eq!(scene.answer_to(&scene.token(&evil)).await.0, 401);
    assert_eq!(elsewhere.asked(KEYS), 0);
    let log = scene.gate.log();
    assert!(log.contains("neither the issuer's own origin nor one of `jwks_hosts`"), "{log}");
    scene.server.says_at(METADATA, metadata(&scene.issuer, &scene.server.url("http")));
    scene.ends().await
}

/// An attacker on the network presents a certificate from another CA than the operator named.
async fn wrong_certificate() -> Row {
    let (a, b, evil) = (new_key("a"), new_key("b"), new_key("a"));
    let (theirs, forged) = (Certificate::new(), Certificate::new());
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, &theirs.pem).unwrap();
    let mut stage = Stage::with_url("TLS certificate of another CA", &a).await;
    stage.server.presents(&theirs);
    stage.set = vec![keys(json!({ "url": stage.server.url("https"), "ca": ca }))];
    let scene = stage.open(&a).await;
    scene.server.presents(&forged);
    scene.server.says(Answer::keys(&[&evil]));
    let asked = scene.server.asked(KEYS);
    scene.fetched("tls").await;
    scene.fetched("tls").await;
    assert_eq!(scene.answer_to(&scene.token(&evil)).await.0, 401);
    assert_eq!(scene.server.asked(KEYS), asked);
    scene.server.says(Answer::keys(&[&a, &b]));
    scene.server.presents(&theirs);
    scene.signs_with(&b);
    scene.ends().await
}
