//! Tokens that name keys which the set lacks.

use super::*;
use crate::authn::jwks::single_flight::Named;
use crate::authn::tests::mint::STRANGER;

/// What keeps the keys of `remote` fresh, until it is dropped.
fn keeping(held: &Arc<HeldKeys>, remote: &Remote) -> tokio::task::JoinHandle<Infallible> {
    let (held, remote) = (Arc::clone(held), remote.clone());
    tokio::spawn(async move { keep_fresh(&held, &remote).await })
}

fn lacks(held: &HeldKeys, remote: &Remote, kid: &str) -> bool {
    let fetch = held.latest().unwrap().fetch;
    remote.asking.lacks(Named::Kid(kid), fetch, wall_clock())
}

#[tokio::test]
async fn a_flood_of_unknown_keys_drives_one_fetch_per_cool_down() {
    let server = Server::start(Answer::Document(good())).await;
    let (held, remote) = (held(), server.remote());
    assert!(fetched(&held, &remote).await);
    let task = keeping(&held, &remote);
    let (start, mut number) = (Instant::now(), 0);
    while server.hits() < 1 + 4 {
        for _ in 0..1000 {
            number += 1;
            assert!(!lacks(&held, &remote, &format!("invented-{number}")));
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
    let (held, remote) = (held(), server.remote());
    assert!(fetched(&held, &remote).await);
    let task = keeping(&held, &remote);
    assert!(!lacks(&held, &remote, "retired"));
    until("the issuer was asked for it", || lacks(&held, &remote, "retired")).await;
    assert_eq!(server.hits(), 2);
    // Believed for a minute: no cool-down brings another fetch.
    for _ in 0..5 {
        tokio::time::sleep(quick().cool_down / 2).await;
        assert!(lacks(&held, &remote, "retired"));
    }
    assert_eq!(server.hits(), 2);
    task.abort();
}

#[tokio::test]
async fn a_key_is_lacked_by_an_answer_alone_and_never_by_silence() {
    let server = Server::start(Answer::Document(good())).await;
    let (held, remote) = (held(), server.remote());
    assert!(fetched(&held, &remote).await);
    server.answer(Answer::Status(StatusCode::BAD_GATEWAY));
    let task = keeping(&held, &remote);
    assert!(!lacks(&held, &remote, "new"));
    until("the issuer was asked and did not answer", || count(&held, "status") >= 2).await;
    assert!(!lacks(&held, &remote, "new"));
    server.answer(Answer::Document(rotated()));
    until("the key is there", || has(&held, "new", Algorithm::Es256)).await;
    task.abort();
}

#[tokio::test]
async fn two_who_keep_one_set_fresh_fetch_it_once() {
    let server = Server::start(Answer::Document(good())).await;
    let (held, remote) = (held(), server.remote());
    let tasks = [keeping(&held, &remote), keeping(&held, &remote)];
    until("the keys are there", || has(&held, "rsa", Algorithm::Rs256)).await;
    assert!(!lacks(&held, &remote, "new"));
    until("the issuer was asked for it", || lacks(&held, &remote, "new")).await;
    assert_eq!(server.hits(), 2);
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_fetch_that_a_reload_finds_under_way_is_brought_to_its_end() {
    let server = Server::start(Answer::Late).await;
    let (held, mut remote) = (held(), server.remote());
    let patient = Duration::from_secs(20);
    remote.fetch =
        Fetch::with_timeouts(Address::Url(server.url.parse().unwrap()), None, patient, patient).unwrap();
    let task = keeping(&held, &remote);
    until("the fetch is under way", || server.hits() == 1).await;
    task.abort();
    until("the keys are there", || has(&held, "rsa", Algorithm::Rs256)).await;
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

    // The key is not there yet, and nobody says that the token is bad.
    assert_eq!(ask(&gate, "one"), Err(Reason::KeyPending));
    let token = format!("Bearer {}", token("one", json!({"alg": "RS256", "kid": "rsa"})));
    gate.await_key(&[token.as_bytes()]).await;
    assert_eq!(ask(&gate, "one"), Ok("user:ana@example.com".to_owned()));
    assert_eq!(server.hits(), 2);

    // One that the issuer does not have is bad once the issuer was asked; until the cool-down is over nobody waits.
    let invented = format!("Bearer {}", token_of(&P256, "one", json!({"alg": "ES256", "kid": "invented"})));
    let judged = || gate.authenticate(&[invented.as_bytes()], wall_clock()).unwrap_err().reason();
    assert_eq!(judged(), Reason::KeyPending);
    let start = Instant::now();
    gate.await_key(&[invented.as_bytes()]).await;
    assert!(start.elapsed() < Duration::from_millis(900), "waited {:?} for nothing", start.elapsed());
    assert_eq!(judged(), Reason::KeyPending);
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
    let judged = |gate: &Authenticator| {
        let judged = gate.authenticate(&[token.as_bytes()], wall_clock());
        judged.map(|caller| caller.is_some()).map_err(|denial| denial.reason())
    };
    assert_eq!(judged(&gate), Err(Reason::KeyPending));
    let gate = Arc::new(gate);
    let task = tokio::spawn(Arc::clone(&gate).run_refresh(std::future::pending()));
    gate.await_key(&[token.as_bytes()]).await;
    assert_eq!(judged(&gate), Ok(true));
    task.abort();
}
