//! Tokens that name keys which the set lacks.

use super::*;
use crate::authn::jwks::single_flight::KeyHint;
use crate::authn::tests::mint::STRANGER;
use crate::authn::tests::pending;

/// Keeps the keys of `remote` fresh, until it is dropped.
fn keeping(jwks: &Arc<JwksCache>, remote: &Remote) -> tokio::task::JoinHandle<Infallible> {
    let (jwks, remote) = (Arc::clone(jwks), remote.clone());
    tokio::spawn(async move { keep_fresh(&jwks, &remote).await })
}

fn lacks(jwks: &JwksCache, remote: &Remote, kid: &str) -> bool {
    let fetch = jwks.latest().unwrap().fetch;
    remote.fetches.lacks(KeyHint::Kid(kid), fetch, wall_clock())
}

#[tokio::test]
async fn a_flood_of_unknown_keys_drives_one_fetch_per_cool_down() {
    let server = Server::start(Answer::Document(good())).await;
    let (jwks, remote) = (jwks(), server.remote());
    assert!(fetched(&jwks, &remote).await);
    let task = keeping(&jwks, &remote);
    let (start, mut number) = (Instant::now(), 0);
    while server.hits() < 1 + 4 {
        for _ in 0..1000 {
            number += 1;
            assert!(!lacks(&jwks, &remote, &format!("invented-{number}")));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The first at once, the others a cool-down apart.
    assert!(start.elapsed() >= 3 * quick().cool_down, "four fetches in {:?}", start.elapsed());
    task.abort();
}

#[tokio::test]
async fn one_unknown_key_over_and_over_drives_one_fetch() {
    let server = Server::start(Answer::Document(good())).await;
    let (jwks, remote) = (jwks(), server.remote());
    assert!(fetched(&jwks, &remote).await);
    let task = keeping(&jwks, &remote);
    assert!(!lacks(&jwks, &remote, "retired"));
    until("the issuer was asked for it", || lacks(&jwks, &remote, "retired")).await;
    assert_eq!(server.hits(), 2);
    // The key counts as missing for a minute: no cool-down brings another fetch.
    for _ in 0..5 {
        tokio::time::sleep(quick().cool_down / 2).await;
        assert!(lacks(&jwks, &remote, "retired"));
    }
    assert_eq!(server.hits(), 2);
    task.abort();
}

#[tokio::test]
async fn a_key_is_lacked_by_an_answer_alone_and_never_by_silence() {
    let server = Server::start(Answer::Document(good())).await;
    let (jwks, remote) = (jwks(), server.remote());
    assert!(fetched(&jwks, &remote).await);
    server.answer(Answer::Status(StatusCode::BAD_GATEWAY));
    let task = keeping(&jwks, &remote);
    assert!(!lacks(&jwks, &remote, "new"));
    until("the issuer was asked and did not answer", || count(&jwks, "status") >= 2).await;
    assert!(!lacks(&jwks, &remote, "new"));
    server.answer(Answer::Document(rotated()));
    until("the key is there", || has(&jwks, "new", Algorithm::Es256)).await;
    task.abort();
}

#[tokio::test]
async fn two_who_keep_one_set_fresh_fetch_it_once() {
    let server = Server::start(Answer::Document(good())).await;
    let (jwks, remote) = (jwks(), server.remote());
    let tasks = [keeping(&jwks, &remote), keeping(&jwks, &remote)];
    until("the keys are there", || has(&jwks, "rsa", Algorithm::Rs256)).await;
    assert!(!lacks(&jwks, &remote, "new"));
    until("the issuer was asked for it", || lacks(&jwks, &remote, "new")).await;
    assert_eq!(server.hits(), 2);
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_fetch_that_a_reload_finds_under_way_is_brought_to_its_end() {
    let server = Server::start(Answer::Late).await;
    let (jwks, mut remote) = (jwks(), server.remote());
    let patient = Duration::from_secs(20);
    remote.fetch = fetch_within(&server.url, patient, patient);
    let task = keeping(&jwks, &remote);
    until("the fetch is under way", || server.hits() == 1).await;
    task.abort();
    until("the keys are there", || has(&jwks, "rsa", Algorithm::Rs256)).await;
    assert_eq!(server.hits(), 1);
}

#[tokio::test]
async fn a_token_of_a_new_key_waits_for_the_fetch_that_brings_it() {
    let server = Server::start(Answer::Document(key_set(&[P256.jwk("old")]))).await;
    let gate = Authenticator::load(vec![settings("one", &server)], wall_clock()).unwrap();
    gate.load_keys().await;
    server.answer(Answer::Document(good()));
    let gate = Arc::new(gate);
    let task = tokio::spawn(Arc::clone(&gate).run_refresh(std::future::pending()));

    // The key is not there yet, so the token is not refused as bad.
    assert_eq!(ask(&gate, "one"), Err(Reason::KeyPending));
    let token = format!("Bearer {}", token("one", json!({"alg": "RS256", "kid": "rsa"})));
    let two = [(); 2].map(|()| pending(&gate, &token, wall_clock()));
    let [first, second] = two.map(|pending| gate.resolve(pending, wall_clock(), |_| {}));
    let (first, second) = tokio::join!(first, second);
    let (first, second) = (first.unwrap().assume_confirmed(), second.unwrap().assume_confirmed());
    assert_eq!(first.principal.as_str(), "user:ana@example.com");
    assert!(Arc::ptr_eq(&first, &second), "its signature is checked once");
    assert_eq!(ask(&gate, "one"), Ok("user:ana@example.com".to_owned()));
    assert_eq!(server.hits(), 2);

    // A token is bad once its issuer was asked and does not have the key; until the cool-down is over no request waits.
    let invented = format!("Bearer {}", token_of(&P256, "one", json!({"alg": "ES256", "kid": "invented"})));
    let invented = pending(&gate, &invented, wall_clock());
    let start = Instant::now();
    let denial = gate.resolve(invented, wall_clock(), |_| {}).await.unwrap_err();
    assert!(start.elapsed() < Duration::from_millis(900), "waited {:?} for nothing", start.elapsed());
    assert_eq!(denial.reason(), Reason::KeyPending);
    task.abort();
}

/// An issuer that names no keys may change its only one.
#[tokio::test]
async fn a_token_without_a_kid_may_be_of_a_new_key() {
    let unnamed = |mut jwk: serde_json::Value| {
        jwk.as_object_mut().unwrap().remove("kid");
        jwk
    };
    let server = Server::start(Answer::Document(key_set(&[unnamed(STRANGER.jwk(""))]))).await;
    let gate = Authenticator::load(vec![settings("one", &server)], wall_clock()).unwrap();
    gate.load_keys().await;
    server.answer(Answer::Document(key_set(&[unnamed(RSA.jwk(""))])));
    let token = format!("Bearer {}", token("one", json!({"alg": "RS256"})));
    let waiting = pending(&gate, &token, wall_clock());
    // Nothing is about to be fetched, and the set that did not verify it is still the one in use.
    let denial = gate.resolve(waiting, wall_clock(), |_| {}).await.unwrap_err();
    assert_eq!(denial.reason(), Reason::KeyPending);
    let gate = Arc::new(gate);
    let task = tokio::spawn(Arc::clone(&gate).run_refresh(std::future::pending()));
    let waiting = pending(&gate, &token, wall_clock());
    let resolved = gate.resolve(waiting, wall_clock(), |_| {}).await.unwrap().assume_confirmed();
    assert_eq!(resolved.principal.as_str(), "user:ana@example.com");
    assert!(authenticated(&gate, &[token.as_bytes()], wall_clock()).is_ok());
    task.abort();
}

/// It is judged by the issuer that it waits for, and the settings that are in force by then learn nothing from it.
#[tokio::test]
async fn a_token_that_waits_through_a_reload_is_not_remembered() {
    let server = Server::start(Answer::Document(key_set(&[P256.jwk("old")]))).await;
    let before = Authenticator::load(vec![settings("one", &server)], wall_clock()).unwrap();
    before.load_keys().await;
    server.answer(Answer::Document(good()));
    let before = Arc::new(before);
    let task = tokio::spawn(Arc::clone(&before).run_refresh(std::future::pending()));
    let token = format!("Bearer {}", token("one", json!({"alg": "RS256", "kid": "rsa"})));
    let waiting = pending(&before, &token, wall_clock());
    let mut after = Authenticator::load(vec![settings("one", &server)], wall_clock()).unwrap();
    after.take_over(&before);
    let resolved = after.resolve(waiting, wall_clock(), |_| {}).await.unwrap().assume_confirmed();
    assert_eq!(resolved.principal.as_str(), "user:ana@example.com");
    assert!(authenticated(&after, &[token.as_bytes()], wall_clock()).unwrap().is_some());
    assert_eq!(after.token_cache().hits, 0);
    task.abort();
}
