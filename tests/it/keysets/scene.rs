//! A gate under load while its issuer's keys change: clients with good tokens, clients with bad ones, and counts of the
//! answers.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use opgate::dev::mint::Mint;
use opgate::dev::wire;
use opgate::signing::{SigningAlgorithm, SigningKey};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::server::{Answer, KeyServer};
use crate::harness::{CANCEL, CLOUD_PLATFORM, COMPANION, Gate, ISSUER, Req, Setup, claims, now, reason};

/// The pause between two fetches for unknown keys, in every scene: the shortest that can be set.
const COOL_DOWN: Duration = Duration::from_secs(1);

/// How long a request waits for a key.
const KEY_WAIT: Duration = Duration::from_secs(1);

/// The outcome of a scene.
#[derive(Debug)]
pub struct Row {
    pub name: &'static str,
    pub requests: usize,
    /// Bad tokens that passed, good ones that were refused for a reason other than their key, and requests that reached
    /// the backend without either.
    pub wrong: usize,
    /// Good tokens that were called bad.
    pub false_401: usize,
    /// Good tokens that the gate answered with "cannot tell".
    pub unavailable: usize,
    /// Those of them that were answered without a wait for the key.
    pub at_once: usize,
    pub fetches: u64,
    /// The most fetches that are acceptable in the scene's time.
    pub bound: u64,
}

#[derive(Default)]
struct Tally {
    requests: AtomicUsize,
    wrong: AtomicUsize,
    false_401: AtomicUsize,
    unavailable: AtomicUsize,
    at_once: AtomicUsize,
    allowed: AtomicUsize,
    told: RwLock<Vec<String>>,
}

/// The start of a scene.
pub struct Stage {
    pub name: &'static str,
    /// `iss` of the tokens.
    pub issuer: String,
    pub server: KeyServer,
    pub set: Vec<String>,
    /// The gate will not become ready.
    pub unready: bool,
    /// A client sends tokens of unknown keys, a few in a second.
    pub inventions: bool,
}

pub struct Scene {
    name: &'static str,
    pub issuer: String,
    pub gate: Gate,
    pub server: KeyServer,
    signer: Arc<RwLock<Arc<SigningKey>>>,
    tally: Arc<Tally>,
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
    since: Instant,
}

/// A key with this name.
pub fn new_key(kid: &str) -> Arc<SigningKey> {
    Arc::new(SigningKey::generate(SigningAlgorithm::Es256, Some(kid)).unwrap())
}

/// A token that is good if `key` is the issuer's. Each is different, so that none is remembered from another request.
fn token_of(issuer: &str, key: &SigningKey) -> String {
    let mut claims = claims("ana@example.com", &[CLOUD_PLATFORM]);
    claims["iss"] = json!(issuer);
    claims["jti"] = json!(unique());
    key.sign(&claims).unwrap()
}

fn unique() -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    format!("{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

fn cancel(token: &str) -> Req {
    Req::new("POST", COMPANION, CANCEL).bearer(token)
}

/// `issuers.demo.keys`, with the times that every scene uses.
pub fn keys(location: Value) -> String {
    let mut keys = location;
    keys["refresh"] = json!("30s");
    keys["cool_down"] = json!("1s");
    format!("issuers.demo.keys={keys}")
}

impl Stage {
    /// Keys behind a URL.
    pub async fn with_url(name: &'static str, key: &Arc<SigningKey>) -> Self {
        let server = KeyServer::start(Answer::keys(&[key])).await;
        let set = vec![keys(json!({ "url": server.url("http") }))];
        Self { name, issuer: ISSUER.to_owned(), server, set, unready: false, inventions: true }
    }

    pub async fn open(mut self, key: &Arc<SigningKey>) -> Scene {
        let setup = Setup { set: std::mem::take(&mut self.set), unready: self.unready, ..Setup::default() };
        let since = Instant::now();
        let gate = tokio::task::spawn_blocking(|| Gate::start_with(setup)).await.unwrap();
        Scene::with(self, key, gate, since)
    }
}

impl Scene {
    /// A gate whose issuer signs with `key` and serves its keys.
    pub async fn open(name: &'static str, key: &Arc<SigningKey>) -> Self {
        Stage::with_url(name, key).await.open(key).await
    }

    fn with(stage: Stage, key: &Arc<SigningKey>, gate: Gate, since: Instant) -> Self {
        let Stage { name, issuer, server, inventions, .. } = stage;
        let mut scene = Self {
            name,
            issuer,
            gate,
            server,
            signer: Arc::new(RwLock::new(key.clone())),
            tally: Arc::default(),
            over: Arc::default(),
            clients: Vec::new(),
            since,
        };
        for number in 0..3 {
            // One client sends the same token as long as it is good, as real clients do.
            scene.clients.push(tokio::spawn(scene.client().good(number == 0)));
        }
        scene.clients.push(tokio::spawn(scene.client().bad(inventions)));
        scene
    }

    fn client(&self) -> Client {
        Client {
            gate: self.gate.address,
            issuer: self.issuer.clone(),
            signer: self.signer.clone(),
            tally: self.tally.clone(),
            over: self.over.clone(),
        }
    }

    /// Adds clients that send tokens of invented keys as fast as they are answered.
    pub fn flood(&mut self, clients: usize) {
        for _ in 0..clients {
            self.clients.push(tokio::spawn(self.client().flood()));
        }
    }

    /// Makes the issuer sign with this key from now on.
    pub fn signs_with(&self, key: &Arc<SigningKey>) {
        *self.signer.write().unwrap() = key.clone();
    }

    /// Lets the clients run for a while.
    pub async fn goes_on(&self, milliseconds: u64) {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }

    /// Waits until the gate has made one more fetch with this outcome.
    pub async fn fetched(&self, outcome: &str) {
        let before = self.fetches(outcome).await;
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.fetches(outcome).await == before {
            assert!(
                Instant::now() < deadline,
                "{}: no fetch came to `{outcome}`:\n{}",
                self.name,
                self.gate.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Fetches from our issuer with an outcome, or with any if `outcome` is empty.
    pub async fn fetches(&self, outcome: &str) -> u64 {
        let metrics = self.gate.metrics().await;
        let labelled = format!("outcome=\"{outcome}");
        metrics
            .lines()
            .filter(|line| {
                line.starts_with("opgate_jwks_refreshes_total{issuer=\"demo\"") && line.contains(&labelled)
            })
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
            .sum()
    }

    /// A token that is good if `key` is the issuer's.
    pub fn token(&self, key: &SigningKey) -> String {
        token_of(&self.issuer, key)
    }

    /// The answer to one request.
    pub async fn answer_to(&self, token: &str) -> (u16, String) {
        let answer = self.gate.http1(&cancel(token)).await;
        if answer.status == 200 {
            self.tally.allowed.fetch_add(1, Ordering::SeqCst);
        }
        (answer.status, reason(&answer))
    }

    /// Waits until good tokens pass, like clients that try again after a 503.
    pub async fn recovers(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let token = self.token(&self.signer.read().unwrap().clone());
            match self.answer_to(&token).await {
                (200, _) => return,
                (503, _) => tokio::time::sleep(Duration::from_millis(50)).await,
                other => panic!("{}: {other:?}", self.name),
            }
            assert!(Instant::now() < deadline, "{} does not recover:\n{}", self.name, self.gate.log());
        }
    }

    /// Ends the load and counts. Good tokens must pass at the end.
    pub async fn ends(mut self) -> Row {
        self.recovers().await;
        self.goes_on(1000).await;
        self.over.store(true, Ordering::SeqCst);
        for client in self.clients.drain(..) {
            client.await.unwrap();
        }
        let fetches = self.fetches("").await;
        let seconds = self.since.elapsed().as_secs_f64() / COOL_DOWN.as_secs_f64();
        let tally = &self.tally;
        let allowed = tally.allowed.load(Ordering::SeqCst);
        let reached = self.gate.backend.requests().len();
        let told = tally.told.read().unwrap().join("\n");
        let row = Row {
            name: self.name,
            requests: tally.requests.load(Ordering::SeqCst),
            wrong: tally.wrong.load(Ordering::SeqCst) + reached.abs_diff(allowed),
            false_401: tally.false_401.load(Ordering::SeqCst),
            unavailable: tally.unavailable.load(Ordering::SeqCst),
            at_once: tally.at_once.load(Ordering::SeqCst),
            fetches,
            // The first fetch, one for each cool-down, and during failures the first three of the back-off.
            bound: 1 + seconds.ceil() as u64 + 3,
        };
        assert!(row.wrong == 0 && row.false_401 == 0, "{row:?}\n{told}\n{}", self.gate.log());
        row
    }
}

struct Client {
    gate: SocketAddr,
    issuer: String,
    signer: Arc<RwLock<Arc<SigningKey>>>,
    tally: Arc<Tally>,
    over: Arc<AtomicBool>,
}

impl Client {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    async fn send(&self, token: &str) -> (u16, String) {
        let answer = wire::exchange(self.gate, &cancel(token).to_http1()).await.unwrap();
        self.tally.requests.fetch_add(1, Ordering::SeqCst);
        (answer.status, reason(&answer))
    }

    fn tell(&self, counter: &AtomicUsize, what: String) {
        counter.fetch_add(1, Ordering::SeqCst);
        self.tally.told.write().unwrap().push(what);
    }

    async fn good(self, same: bool) {
        let mut last: Option<(Arc<SigningKey>, String)> = None;
        while !self.is_over() {
            let signer = self.signer.read().unwrap().clone();
            let token = match &last {
                Some((key, token)) if same && Arc::ptr_eq(key, &signer) => token.clone(),
                _ => token_of(&self.issuer, &signer),
            };
            last = Some((signer, token.clone()));
            let asked = Instant::now();
            let (status, reason) = self.send(&token).await;
            match (status, reason.as_str()) {
                (200, _) => {
                    self.tally.allowed.fetch_add(1, Ordering::SeqCst);
                }
                (401, _) => self.tell(&self.tally.false_401, format!("a good token: 401 {reason}")),
                (503, "SIGNING_KEY_PENDING" | "GATE_NOT_READY") => {
                    self.tally.unavailable.fetch_add(1, Ordering::SeqCst);
                    if asked.elapsed() < KEY_WAIT {
                        self.tally.at_once.fetch_add(1, Ordering::SeqCst);
                    }
                }
                _ => self.tell(&self.tally.wrong, format!("a good token: {status} {reason}")),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Sends tokens that must never pass.
    async fn bad(self, inventions: bool) {
        while !self.is_over() {
            let signer = self.signer.read().unwrap().clone();
            let forger = SigningKey::generate(SigningAlgorithm::Es256, Some(signer.kid())).unwrap();
            let invented = new_key(&if inventions { unique() } else { signer.kid().to_owned() });
            let with = |claim: &str, value: Value| {
                let mut claims = claims("ana@example.com", &[CLOUD_PLATFORM]);
                claims["iss"] = json!(self.issuer);
                claims[claim] = value;
                signer.sign(&claims).unwrap()
            };
            for token in [
                token_of(&self.issuer, &forger),
                with("exp", json!(now() - 3600)),
                with("aud", json!("https://elsewhere.example.com")),
                token_of(&self.issuer, &invented),
            ] {
                self.refused(&token).await;
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        }
    }

    async fn flood(self) {
        let key = SigningKey::generate(SigningAlgorithm::Es256, Some("flood")).unwrap();
        let mut claims = claims("ana@example.com", &[CLOUD_PLATFORM]);
        claims["iss"] = json!(self.issuer);
        while !self.is_over() {
            let header = json!({ "alg": "ES256", "kid": unique() });
            self.refused(&key.sign_with_header(&header, &claims).unwrap()).await;
        }
    }

    async fn refused(&self, token: &str) {
        let (status, reason) = self.send(token).await;
        match (status, reason.as_str()) {
            (401, _) | (503, "SIGNING_KEY_PENDING" | "GATE_NOT_READY") => {}
            _ => self.tell(&self.tally.wrong, format!("a bad token: {status} {reason}")),
        }
    }
}
