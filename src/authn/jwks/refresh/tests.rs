//! Fetches from real HTTP servers that behave as badly as they are told to.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::authn::jwks::fetch::Address;
use crate::authn::jwks::schedule::FetchIntervals;
use crate::authn::tests::authenticated;
use crate::authn::tests::mint::{P256, RSA, Signer, key_set};
use crate::authn::token::jws::NamedKey;
use crate::authn::{
    Algorithm, Authenticator, IssuerSettings, KeyLocation, KeySource, Proof, RemoteKeys, WellKnown,
};
use crate::reason::Reason;

mod unknown_keys;
mod withdrawn;

#[derive(Clone)]
enum Answer {
    Document(Vec<u8>),
    Status(StatusCode),
    /// To a good document.
    Redirect,
    Late,
}

struct Server {
    url: String,
    answer: Arc<Mutex<Answer>>,
    hits: Arc<AtomicUsize>,
    metadata: Arc<Mutex<String>>,
}

impl Server {
    async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let (answer, hits) = (Arc::new(Mutex::new(answer)), Arc::new(AtomicUsize::new(0)));
        let (told, counted) = (Arc::clone(&answer), Arc::clone(&hits));
        let jwks = move || async move {
            counted.fetch_add(1, Ordering::SeqCst);
            let answer = told.lock().unwrap().clone();
            match answer {
                Answer::Document(document) => document.into_response(),
                Answer::Status(status) => (status, good()).into_response(),
                Answer::Redirect => (StatusCode::FOUND, [(LOCATION, "/elsewhere")]).into_response(),
                Answer::Late => {
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    good().into_response()
                }
            }
        };
        let metadata = Arc::new(Mutex::new(String::new()));
        let told = Arc::clone(&metadata);
        let metadata_now = move || async move { told.lock().unwrap().clone() };
        let router = Router::new()
            .route("/jwks", get(jwks))
            .route("/elsewhere", get(|| async { good() }))
            .route("/.well-known/openid-configuration", get(metadata_now));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, answer, hits, metadata }
    }

    fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    fn remote(&self) -> Remote {
        remote(&self.url)
    }
}

fn remote(url: &str) -> Remote {
    Remote { fetch: fetch(url), intervals: quick(), fetches: Arc::new(KeyFetches::new(quick())) }
}

fn fetch(url: &str) -> Fetch {
    let (connect, total) = (Duration::from_secs(1), Duration::from_millis(500));
    Fetch::with_timeouts(Address::Url(url.parse().unwrap()), None, connect, total).unwrap()
}

/// Fetches, whether due or not. Returns whether there is a new set.
async fn fetched(jwks: &Arc<JwksCache>, remote: &Remote) -> bool {
    let before = count(jwks, SUCCESS);
    refresh(jwks, remote, |_| true).await;
    count(jwks, SUCCESS) > before
}

fn count(jwks: &JwksCache, outcome: &str) -> u64 {
    jwks.status(wall_clock()).refreshes.get(outcome).copied().unwrap_or_default()
}

fn good() -> Vec<u8> {
    key_set(&[RSA.jwk("rsa")])
}

fn rotated() -> Vec<u8> {
    key_set(&[RSA.jwk("rsa"), P256.jwk("new")])
}

fn jwks() -> Arc<JwksCache> {
    let max_stale = Some(Duration::from_secs(3600));
    Arc::new(JwksCache::new("example".to_owned(), Algorithm::DEFAULT.to_vec(), max_stale))
}

fn quick() -> FetchIntervals {
    FetchIntervals {
        interval: Duration::from_secs(3600),
        cool_down: Duration::from_millis(200),
        first_retry: Duration::from_millis(10),
        last_retry: Duration::from_millis(40),
    }
}

fn has(jwks: &JwksCache, kid: &str, algorithm: Algorithm) -> bool {
    let current = jwks.current(wall_clock());
    let fetched = current.as_ref().and_then(|current| current.as_ref());
    let named = NamedKey { kid: Some(kid.to_owned()), thumbprints: Vec::new() };
    fetched.is_some_and(|fetched| fetched.keys.select(&named, algorithm).is_ok())
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A server that answers one request with these bytes, over and over where told, and then keeps the connection.
async fn raw(head: &'static str, chunk: Vec<u8>, times: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        stream.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..times {
            if stream.write_all(&chunk).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
    });
    url
}

#[tokio::test]
async fn a_good_answer_becomes_the_key_set() {
    let server = Server::start(Answer::Document(good())).await;
    let jwks = jwks();
    assert!(fetched(&jwks, &server.remote()).await);
    assert!(has(&jwks, "rsa", Algorithm::Rs256));
    let status = jwks.status(wall_clock());
    assert_eq!((status.keys, status.refreshes), (1, [(SUCCESS, 1)].into()));
    assert_eq!(status.last_error, None);
    assert!(status.last_success.unwrap() <= wall_clock());
    assert_eq!(jwks.unreadiness(wall_clock()), None);
}

#[tokio::test]
async fn old_keys_survive_every_bad_answer() {
    let mut private = P256.jwk("new");
    private["d"] = json!("AQAB");
    let crowd: Vec<_> = (0..257).map(|number| P256.jwk(&number.to_string())).collect();
    let bad = [
        (
            Answer::Status(StatusCode::INTERNAL_SERVER_ERROR),
            "status",
            "the answer is 500 Internal Server Error, not 200",
        ),
        (Answer::Status(StatusCode::NO_CONTENT), "status", "the answer is 204 No Content, not 200"),
        (Answer::Redirect, "status", "the answer is 302 Found, not 200"),
        (
            Answer::Document(vec![b' '; 1024 * 1024 + 1]),
            "too_large",
            "the answer is larger than 1048576 bytes",
        ),
        (Answer::Document(b"<html>".to_vec()), "content", "the key set is not a JSON object: expected value"),
        (Answer::Document(Vec::new()), "content", "the key set is not a JSON object: EOF"),
        (Answer::Document(key_set(&[private])), "content", "key `new` has the secret member `d`"),
        (Answer::Document(key_set(&crowd)), "content", "the key set has 257 keys, more than 256"),
        (Answer::Late, "timeout", "operation timed out"),
    ];
    let server = Server::start(Answer::Document(good())).await;
    let jwks = jwks();
    assert!(fetched(&jwks, &server.remote()).await);
    let since = jwks.status(wall_clock()).last_success;
    for (answer, outcome, error) in bad {
        server.answer(answer);
        let failures = count(&jwks, outcome);
        assert!(!fetched(&jwks, &server.remote()).await, "{error}");
        assert!(has(&jwks, "rsa", Algorithm::Rs256), "{error}");
        let status = jwks.status(wall_clock());
        let told = status.last_error.unwrap();
        assert!(told.contains(error), "`{told}` does not say `{error}`");
        assert_eq!((count(&jwks, outcome), status.last_success), (failures + 1, since));
    }
    server.answer(Answer::Document(rotated()));
    assert!(fetched(&jwks, &server.remote()).await);
    assert!(has(&jwks, "new", Algorithm::Es256));
    assert_eq!(jwks.status(wall_clock()).last_error, None);
}

#[tokio::test]
async fn a_body_without_an_end_is_cut_off_at_the_bound() {
    let url = raw("HTTP/1.1 200 OK\r\n\r\n", vec![b' '; 64 * 1024], usize::MAX).await;
    assert!(matches!(fetch(&url).key_set().await, Err(FetchError::TooLarge)));
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up() {
    let url = raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", b"{\"keys\":[".to_vec(), 1).await;
    let start = Instant::now();
    assert!(matches!(fetch(&url).key_set().await, Err(FetchError::Transport(_))));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn an_address_without_a_server_is_an_error_that_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    drop(listener);
    let jwks = jwks();
    assert!(!fetched(&jwks, &remote(&url)).await);
    assert_eq!(count(&jwks, "connect"), 1);
    let unready = jwks.unreadiness(wall_clock()).unwrap();
    assert!(unready.starts_with("no keys yet: ") && unready.contains("refused"), "{unready}");
}

#[tokio::test]
async fn keys_end_with_max_stale_without_a_refresh() {
    let server = Server::start(Answer::Document(good())).await;
    let jwks = jwks();
    assert!(fetched(&jwks, &server.remote()).await);
    let fetched = jwks.status(wall_clock()).last_success.unwrap();
    let (before, after) = (fetched + Duration::from_secs(3599), fetched + Duration::from_secs(3600));
    assert!(jwks.current(before).is_some());
    assert!(jwks.current(after).is_none());
    assert_eq!((jwks.status(before).keys, jwks.status(after).keys), (1, 0));
    assert_eq!(jwks.unreadiness(after).unwrap(), "the keys are 3600 s old and no longer used");
    // A clock that was set back ends nothing.
    assert!(jwks.current(fetched - Duration::from_secs(7200)).is_some());
}

#[tokio::test]
async fn failures_are_retried_until_one_fetch_is_good() {
    let server = Server::start(Answer::Status(StatusCode::SERVICE_UNAVAILABLE)).await;
    let jwks = jwks();
    let (kept, remote) = (Arc::clone(&jwks), server.remote());
    let task = tokio::spawn(async move { keep_fresh(&kept, &remote).await });
    until("it was tried four times", || server.hits() >= 4).await;
    assert!(jwks.current(wall_clock()).is_none());
    server.answer(Answer::Document(good()));
    until("the keys are there", || has(&jwks, "rsa", Algorithm::Rs256)).await;
    task.abort();
}

fn settings(name: &str, server: &Server) -> IssuerSettings {
    IssuerSettings::new(name, format!("https://{name}.example"), "aud", KeySource::url(&server.url))
}

fn token(name: &str, header: serde_json::Value) -> String {
    token_of(&RSA, name, header)
}

fn token_of(signer: &Signer, name: &str, header: serde_json::Value) -> String {
    let now = wall_clock().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({
        "iss": format!("https://{name}.example"), "aud": "aud", "exp": now + 60,
        "email": "ana@example.com", "email_verified": true,
    });
    signer.token(&header, &claims)
}

fn ask(gate: &Authenticator, name: &str) -> Result<String, Reason> {
    let token = token(name, json!({"alg": "RS256", "kid": "rsa"}));
    authenticated(gate, &[format!("Bearer {token}").as_bytes()], wall_clock())
        .map(|caller| caller.unwrap().principal.to_string())
        .map_err(|denial| denial.reason())
}

#[tokio::test]
async fn an_issuer_that_is_down_holds_up_no_other() {
    let up = Server::start(Answer::Document(good())).await;
    let down = Server::start(Answer::Status(StatusCode::BAD_GATEWAY)).await;
    let mut both = vec![settings("up", &up), settings("down", &down)];
    both.iter_mut().for_each(|settings| settings.identity.email_domains = Some(vec!["*".to_owned()]));
    let gate = Authenticator::load(both, wall_clock()).unwrap();
    assert_eq!(gate.readiness(wall_clock()).len(), 2);
    gate.load_keys().await;
    assert_eq!(ask(&gate, "up"), Ok("user:ana@example.com".to_owned()));
    assert_eq!(ask(&gate, "down"), Err(Reason::NotReady));
    let unready = gate.readiness(wall_clock());
    let reason = "no keys yet: the answer is 502 Bad Gateway, not 200";
    assert_eq!(unready, [("down".to_owned(), reason.to_owned())]);

    // The background task brings what the start could not.
    down.answer(Answer::Document(good()));
    let gate = Arc::new(gate);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(Arc::clone(&gate).run_refresh(async { drop(stopped.await) }));
    until("the second issuer is ready", || gate.readiness(wall_clock()).is_empty()).await;
    assert_eq!(ask(&gate, "down"), Ok("user:ana@example.com".to_owned()));
    stop.send(()).unwrap();
    task.await.unwrap();
}

#[tokio::test]
async fn a_reload_takes_over_the_keys_of_what_did_not_change() {
    let server = Server::start(Answer::Document(good())).await;
    let before = Authenticator::load(vec![settings("one", &server)], wall_clock()).unwrap();
    before.load_keys().await;
    server.answer(Answer::Status(StatusCode::BAD_GATEWAY));

    let mut after = Authenticator::load(vec![settings("one", &server)], wall_clock()).unwrap();
    after.take_over(&before);
    after.load_keys().await;
    assert_eq!(ask(&after, "one"), Ok("user:ana@example.com".to_owned()));
    assert_eq!(server.hits(), 1, "keys that are there were fetched again");

    let mut changed = settings("one", &server);
    changed.algorithms = vec![Algorithm::Es256, Algorithm::Rs256];
    let mut after = Authenticator::load(vec![changed], wall_clock()).unwrap();
    after.take_over(&before);
    assert_eq!(ask(&after, "one"), Ok("user:ana@example.com".to_owned()));

    // Their purpose is read anew, and the keys of another issuer are fetched anew.
    let mut changed = settings("one", &server);
    changed.algorithms = vec![Algorithm::Es256];
    let mut after = Authenticator::load(vec![changed], wall_clock()).unwrap();
    after.take_over(&before);
    assert_eq!(ask(&after, "one"), Err(Reason::TokenInvalid));
    assert!(after.issuers[0].jwks().latest().is_none());
    let mut changed = settings("one", &server);
    changed.proof = Proof::Signature(KeySource::url(format!("{}?v2", server.url)));
    let mut after = Authenticator::load(vec![changed], wall_clock()).unwrap();
    after.take_over(&before);
    assert_eq!(ask(&after, "one"), Err(Reason::NotReady));
}

#[tokio::test]
async fn a_reload_that_changes_times_alone_keeps_the_keys_of_an_issuer_that_is_down() {
    let server = Server::start(Answer::Document(good())).await;
    let before = Authenticator::load(vec![settings("one", &server)], wall_clock()).unwrap();
    before.load_keys().await;
    server.answer(Answer::Status(StatusCode::BAD_GATEWAY));
    let changes: [fn(&mut RemoteKeys); 3] = [
        |keys| keys.cool_down = Duration::from_secs(77),
        |keys| keys.refresh = Duration::from_secs(77),
        |keys| keys.max_stale = Duration::from_secs(7777),
    ];
    for change in changes {
        let mut changed = settings("one", &server);
        let Proof::Signature(KeySource::Remote(keys)) = &mut changed.proof else {
            panic!("keys behind a URL")
        };
        change(keys);
        let mut after = Authenticator::load(vec![changed], wall_clock()).unwrap();
        after.take_over(&before);
        after.load_keys().await;
        assert_eq!(ask(&after, "one"), Ok("user:ana@example.com".to_owned()));
    }
    assert_eq!(server.hits(), 1);
}

#[tokio::test]
async fn keys_are_discovered_from_the_issuers_metadata() {
    let server = Server::start(Answer::Document(good())).await;
    let base = server.url.strip_suffix("/jwks").unwrap().to_owned();
    let mut settings = settings("one", &server);
    settings.issuer = base.clone();
    let location = KeyLocation::Discovery { document: WellKnown::OpenId, hosts: Vec::new() };
    settings.proof = Proof::Signature(KeySource::Remote(RemoteKeys::at(location)));
    let gate = Authenticator::load(vec![settings], wall_clock()).unwrap();
    for (metadata, reason) in [
        (json!({"issuer": base, "jwks_uri": server.url}), None),
        (json!({"issuer": format!("{base}/"), "jwks_uri": server.url}), Some("is not the configured one")),
        (
            json!({"issuer": base, "jwks_uri": "http://127.0.0.1:1/jwks"}),
            Some("neither the issuer's own origin"),
        ),
        (json!({"issuer": base, "jwks_uri": "http://192.0.2.1/jwks"}), Some("in the clear")),
        (json!({"issuer": base}), Some("no `jwks_uri`")),
    ] {
        *server.metadata.lock().unwrap() = metadata.to_string();
        let (jwks, remote) = (gate.issuers[0].jwks(), gate.issuers[0].remote().unwrap());
        let (hits, failures) = (server.hits(), count(jwks, "discovery"));
        assert_eq!(fetched(jwks, remote).await, reason.is_none());
        let status = jwks.status(wall_clock());
        match reason {
            None => assert_eq!((status.last_error, server.hits()), (None, hits + 1)),
            Some(reason) => {
                let told = status.last_error.unwrap();
                assert!(told.contains(reason), "`{told}` does not say `{reason}`");
                assert_eq!((server.hits(), count(jwks, "discovery")), (hits, failures + 1));
                assert_eq!(status.keys, 1);
            }
        }
    }
}
