//! Keys that their issuer takes back, and keys that end before their time.

use super::*;
use crate::authn::tests::pending;

#[tokio::test]
async fn an_issuer_that_says_twice_that_it_has_no_keys_withdraws_them() {
    for none in [key_set(&[]), br#"{"keys":[{"kty":"oct","kid":"s"}]}"#.to_vec()] {
        let server = Server::start(Answer::Document(good())).await;
        let gate = Authenticator::load(vec![settings("one", &server)], wall_clock()).unwrap();
        gate.load_keys().await;
        assert_eq!(ask(&gate, "one"), Ok("user:ana@example.com".to_owned()));
        let (jwks, remote) = (Arc::clone(gate.issuers[0].jwks()), gate.issuers[0].remote().unwrap().clone());

        server.answer(Answer::Document(none));
        assert!(!fetched(&jwks, &remote).await);
        assert_eq!(ask(&gate, "one"), Ok("user:ana@example.com".to_owned()), "once may be a slip");
        // A document that is not a set does not count, for or against.
        let (told, garbage) = (server.answer.lock().unwrap().clone(), Answer::Document(b"<html>".to_vec()));
        server.answer(garbage);
        assert!(!fetched(&jwks, &remote).await);
        assert_eq!(ask(&gate, "one"), Ok("user:ana@example.com".to_owned()));
        server.answer(told);
        assert!(!fetched(&jwks, &remote).await);
        // The token that was verified before, too.
        assert_eq!(ask(&gate, "one"), Err(Reason::KeyPending));
        assert!(!fetched(&jwks, &remote).await);
        assert_eq!(ask(&gate, "one"), Err(Reason::TokenInvalid));
        let status = jwks.status(wall_clock());
        assert_eq!((status.keys, count(&jwks, "withdrawn")), (0, 2));
        let unready = jwks.unreadiness(wall_clock()).unwrap();
        assert!(unready.starts_with("no keys any more: the issuer has withdrawn all its keys"), "{unready}");

        server.answer(Answer::Document(good()));
        assert!(fetched(&jwks, &remote).await);
        assert_eq!(ask(&gate, "one"), Ok("user:ana@example.com".to_owned()));
        assert_eq!(jwks.unreadiness(wall_clock()), None);
    }
}

#[tokio::test]
async fn an_empty_set_is_checked_by_another_fetch_soon() {
    let server = Server::start(Answer::Document(good())).await;
    let (jwks, mut remote) = (jwks(), server.remote());
    let intervals = FetchIntervals { first_retry: Duration::from_millis(300), ..quick() };
    (remote.intervals, remote.fetches) = (intervals, Arc::new(KeyFetches::new(intervals)));
    assert!(fetched(&jwks, &remote).await);
    server.answer(Answer::Document(key_set(&[])));
    assert!(!fetched(&jwks, &remote).await);
    assert!(has(&jwks, "rsa", Algorithm::Rs256));
    let (kept, asked) = (Arc::clone(&jwks), remote.clone());
    let task = tokio::spawn(async move { keep_fresh(&kept, &asked).await });
    until("the keys are withdrawn", || !has(&jwks, "rsa", Algorithm::Rs256)).await;
    task.abort();
}

/// As after a step of the clock.
#[tokio::test]
async fn a_set_that_has_ended_is_fetched_for_at_once_and_waited_for() {
    let server = Server::start(Answer::Document(good())).await;
    let mut brief = settings("one", &server);
    let Proof::Signature(KeySource::Remote(keys)) = &mut brief.proof else { panic!("keys behind a URL") };
    keys.max_stale = Duration::from_secs(24 * 3600);
    let gate = Authenticator::load(vec![brief], wall_clock()).unwrap();
    let jwks = Arc::clone(gate.issuers[0].jwks());
    jwks.replace(&good(), 1, wall_clock() - Duration::from_secs(48 * 3600)).unwrap();
    assert!(jwks.current(wall_clock()).is_none() && jwks.is_near_its_end(wall_clock()));
    let gate = Arc::new(gate);
    let task = tokio::spawn(Arc::clone(&gate).run_refresh(std::future::pending()));
    assert_eq!(ask(&gate, "one"), Err(Reason::KeyPending));
    let token = format!("Bearer {}", token("one", json!({"alg": "RS256", "kid": "rsa"})));
    let waiting = pending(&gate, &token, wall_clock());
    let resolved = gate.resolve(waiting, wall_clock(), |_| {}).await.unwrap().assume_confirmed();
    assert_eq!(resolved.principal.as_str(), "user:ana@example.com");
    assert_eq!(ask(&gate, "one"), Ok("user:ana@example.com".to_owned()));
    assert_eq!(server.hits(), 1);
    task.abort();
}

#[tokio::test]
async fn a_clock_that_is_set_forward_makes_a_fetch_due_though_no_request_comes() {
    let server = Server::start(Answer::Document(good())).await;
    let (jwks, remote) = (jwks(), server.remote());
    assert!(fetched(&jwks, &remote).await);
    jwks.replace(&good(), 1, wall_clock() - Duration::from_secs(7200)).unwrap();
    let (kept, asked) = (Arc::clone(&jwks), remote.clone());
    let task = tokio::spawn(async move { keep_fresh(&kept, &asked).await });
    until("the keys can be used again", || jwks.current(wall_clock()).is_some()).await;
    assert_eq!(server.hits(), 2);
    task.abort();
}
