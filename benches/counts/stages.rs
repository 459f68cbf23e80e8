//! The stages of a request, each by itself: what it costs in time, instructions and allocations.

use std::hint::black_box;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::Method;
use opgate::authn::Authentication;
use opgate::clock;
use opgate::decision::snapshot::Snapshot;
use opgate::decision::{self, Ruling, Trace, stages};
use opgate::engine::{Arrival, Decision, Engine, Exchange, Pending, Phase};
use opgate::http::{Path, Request, TrustedProxies};
use opgate::policy::{Attributes, Policy, ResourceName, Subject};
use opgate::principal::Principal;
use opgate::reason::{Denial, Reason};
use opgate::respond;
use opgate::signing::{SigningAlgorithm, SigningKey};

use super::samples;
use crate::tree::{self, Format, Shape};

/// What is looked up in a map costs a little more or less by its hashes, which are others in each process: several samples
/// come closer to the mean.
const SAMPLES: usize = 4;
/// Calls of each sample before those that are counted: what is made once is made then.
const WARM: usize = 3;
/// Calls that are counted of a stage that can be called again and again.
const REPEATED: usize = 200;
/// Calls that are counted of a stage that uses something up with each.
const ONCE: usize = 60;

/// A stage.
pub struct Stage {
    pub name: &'static str,
    /// Whether each call uses something up, like a token that is new.
    is_once: bool,
    make: fn() -> Sample,
}

/// A stage that can be called.
pub struct Prepared(Vec<Sample>);

/// One of the samples of a stage. Each has maps with other hashes, and memory elsewhere.
struct Sample {
    call: Box<dyn FnMut()>,
    /// The engine whose records are to be written before the stage is over.
    engine: Option<Engine>,
}

impl Sample {
    fn of(call: impl FnMut() + 'static) -> Self {
        Self { call: Box::new(call), engine: None }
    }
}

impl Stage {
    const fn repeated(name: &'static str, make: fn() -> Sample) -> Self {
        Self { name, is_once: false, make }
    }

    const fn once(name: &'static str, make: fn() -> Sample) -> Self {
        Self { name, is_once: true, make }
    }

    pub fn is_once(&self) -> bool {
        self.is_once
    }

    /// How many calls are counted.
    pub fn calls(&self) -> usize {
        if self.is_once { ONCE } else { REPEATED }
    }

    /// Makes what it needs, and calls it until it is warm.
    pub fn prepare(&self) -> Prepared {
        let mut prepared = Prepared((0..SAMPLES).map(|_| (self.make)()).collect());
        prepared.call(WARM * SAMPLES);
        prepared
    }
}

impl Prepared {
    /// Calls it so many times, each sample in its turn.
    pub fn call(&mut self, times: usize) {
        for number in 0..times {
            let turn = number % SAMPLES;
            (self.0[turn].call)();
        }
        self.0.iter().filter_map(|sample| sample.engine.as_ref()).for_each(Engine::flush);
    }
}

/// What each sample has for the calls of a stage that uses things up: those before, and those that are counted or timed.
const SUPPLY: usize = WARM + ONCE;

/// Every stage, in the order of a request's way.
pub const STAGES: &[Stage] = &[
    Stage::repeated("path, parse", path),
    Stage::repeated("head of 870 bytes, parse", head),
    Stage::repeated("request, from a head", request),
    Stage::repeated("route, demo", || route(None)),
    Stage::repeated("route, 500 services", || route(Some(500))),
    Stage::repeated("credential, token known", known),
    Stage::once("credential, token new, RS256", || fresh(SigningAlgorithm::Rs256)),
    Stage::once("credential, token new, ES256", || fresh(SigningAlgorithm::Es256)),
    Stage::repeated("scope and IAM, allowed by a group", || authorize("ana")),
    Stage::repeated("scope and IAM, denied", || authorize("bob")),
    Stage::repeated("IAM, 10 bindings", || decide(10, Question::Named)),
    // A million take minutes to load under callgrind. `decide` has them, by time.
    Stage::repeated("IAM, 10,000 bindings", || decide(10_000, Question::Named)),
    Stage::repeated("IAM, 10 bindings, denied", || decide(10, Question::Unnamed)),
    Stage::repeated("IAM, 10 bindings, by a group", || decide(10, Question::InGroup)),
    Stage::repeated("IAM, 10 bindings, on a condition", || decide(10, Question::Conditional)),
    Stage::repeated("decision, token known", || whole(None)),
    Stage::once("decision, token new, RS256", || whole(Some(SigningAlgorithm::Rs256))),
    Stage::once("decision, token new, ES256", || whole(Some(SigningAlgorithm::Es256))),
    Stage::repeated("refusal, 401", || refusal(unauthenticated())),
    Stage::repeated("refusal, 403", || refusal(denied())),
    Stage::once("record, allowed", || record("ana", true)),
    Stage::once("record, denied", || record("bob", true)),
    Stage::once("record, allowed, metrics alone", || record("ana", false)),
];

fn path() -> Sample {
    Sample::of(|| {
        black_box(Path::parse(black_box(samples::PATH)).unwrap());
    })
}

fn head() -> Sample {
    let text = samples::head_of_870_bytes();
    Sample::of(move || {
        black_box(samples::raw_head(black_box(&text)));
    })
}

/// The head is parsed with it: the one is made of the other.
fn request() -> Sample {
    let text = samples::head_of_870_bytes();
    let proxies = TrustedProxies::default();
    let peer: std::net::SocketAddr = "127.0.0.1:50000".parse().unwrap();
    Sample::of(move || {
        let head = samples::raw_head(black_box(&text));
        black_box(Request::from_head(head, peer.into(), &proxies).unwrap());
    })
}

fn route(services: Option<usize>) -> Sample {
    let (catalog, host) = match services {
        None => {
            (samples::demo(key(SigningAlgorithm::Es256), clock::now()).1.catalog, samples::HOST.to_owned())
        }
        Some(services) => {
            (samples::catalog(services).into(), format!("service{}.googleapis.com", services / 2))
        }
    };
    let path = Path::parse(samples::PATH).unwrap();
    Sample::of(move || {
        black_box(catalog.route(black_box(&host), &Method::POST, &path).unwrap());
    })
}

/// One key of each kind for the whole process: RSA keys take a while to make.
fn key(algorithm: SigningAlgorithm) -> &'static SigningKey {
    static RSA: OnceLock<SigningKey> = OnceLock::new();
    static EC: OnceLock<SigningKey> = OnceLock::new();
    let cell = if algorithm == SigningAlgorithm::Rs256 { &RSA } else { &EC };
    cell.get_or_init(|| SigningKey::generate(algorithm, Some("bench")).unwrap())
}

/// A key, the demo's snapshot that trusts it, and the time.
fn trusting(algorithm: SigningAlgorithm) -> (&'static SigningKey, Snapshot, SystemTime) {
    let (key, now) = (key(algorithm), clock::now());
    let (_, snapshot) = samples::demo(key, now);
    (key, snapshot, now)
}

fn known() -> Sample {
    let (key, snapshot, now) = trusting(SigningAlgorithm::Rs256);
    let field = format!("Bearer {}", samples::token(key, "ana", 0, now));
    Sample::of(move || authenticate(&snapshot, &field, now))
}

fn fresh(algorithm: SigningAlgorithm) -> Sample {
    let (key, snapshot, now) = trusting(algorithm);
    let token = |number| format!("Bearer {}", samples::token(key, "ana", number, now));
    let mut fields = (0..SUPPLY).map(token).collect::<Vec<_>>().into_iter();
    Sample::of(move || authenticate(&snapshot, &fields.next().expect("a new token"), now))
}

fn authenticate(snapshot: &Snapshot, field: &str, now: SystemTime) {
    let authentication = snapshot.authn.authenticate(black_box(&[field.as_bytes()]), now).unwrap();
    assert!(matches!(black_box(authentication), Authentication::Token(_)));
}

/// From a call and its caller to the permit or the denial, with the shipped policies.
fn authorize(who: &str) -> Sample {
    let (key, snapshot, now) = trusting(SigningAlgorithm::Es256);
    let request = Arc::new(samples::request(&samples::token(key, who, 0, now)));
    let mut trace = Trace::default();
    let ruling = decision::decide(&snapshot, request.clone(), now, &mut trace);
    let is_allowed = matches!(ruling, Ruling::Permitted(_));
    assert_eq!(is_allowed, who == "ana");
    let (call, caller) = (trace.call.unwrap(), trace.caller);
    Sample::of(move || {
        let attributes = stages::attributes(&request, &call, now);
        let mut trace = Trace::default();
        let ruled = stages::authorize(call.clone(), caller.clone(), attributes, &snapshot, &mut trace);
        assert_eq!(black_box(ruled).is_ok(), is_allowed);
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Question {
    Named,
    Unnamed,
    InGroup,
    Conditional,
}

/// A policy decision alone, in a tree of so many bindings.
fn decide(size: usize, question: Question) -> Sample {
    let policy: Policy = crate::load::load(tree::write(Shape::Projects, Format::Json, size).path());
    let number = match question {
        Question::InGroup => (0..size).rfind(|number| tree::is_to_group(*number)).unwrap(),
        _ => size / 2 + 2,
    };
    let grant = Shape::Projects.grant(number, size);
    let who = match question {
        Question::Named | Question::InGroup => &grant.email,
        Question::Unnamed => "stranger@example.com",
        Question::Conditional => tree::CONDITIONAL,
    };
    let who = Principal::user(who).unwrap();
    let resource = format!("{}/locations/us-central1/operations/operation-1", grant.project);
    Sample::of(move || {
        let decided = policy.decide(
            Subject::of(&who),
            black_box(&grant.permission),
            ResourceName::new(&resource),
            &Attributes::at(UNIX_EPOCH),
        );
        assert_eq!(black_box(decided).is_ok(), question != Question::Unnamed);
    })
}

/// From a request to the permit: with a known token, or with one that is new each time.
fn whole(fresh: Option<SigningAlgorithm>) -> Sample {
    let (key, snapshot, now) = trusting(fresh.unwrap_or(SigningAlgorithm::Rs256));
    let tokens = if fresh.is_some() { SUPPLY } else { 1 };
    let request = |number| Arc::new(samples::request(&samples::token(key, "ana", number, now)));
    let requests: Vec<Arc<Request>> = (0..tokens).map(request).collect();
    let mut turn = 0;
    Sample::of(move || {
        let request = requests.get(turn).expect("a new token").clone();
        turn += usize::from(fresh.is_some());
        let ruling = decision::decide(&snapshot, request, now, &mut Trace::default());
        assert!(matches!(black_box(ruling), Ruling::Permitted(_)));
    })
}

fn unauthenticated() -> Denial {
    Denial::new(Reason::CredentialsMissing, "no credential was sent")
        .metadata("service", samples::HOST)
        .metadata("method", "google.longrunning.Operations.CancelOperation")
}

fn denied() -> Denial {
    let (key, snapshot, now) = trusting(SigningAlgorithm::Es256);
    let request = Arc::new(samples::request(&samples::token(key, "bob", 0, now)));
    match decision::decide(&snapshot, request, now, &mut Trace::default()) {
        Ruling::Refused(denial) => denial,
        other => panic!("not refused: {other:?}"),
    }
}

/// The answer to a denial, as an HTTP/1 message.
fn refusal(denial: Denial) -> Sample {
    Sample::of(move || {
        let answer = respond::answer(black_box(&denial), "0123456789abcdef0123456789abcdef", None);
        black_box(answer.http1_message(&[], true));
    })
}

/// The record of a request that is over: its metrics, and its audit line up to `/dev/null`.
fn record(who: &str, has_audit_log: bool) -> Sample {
    let (key, now) = (key(SigningAlgorithm::Es256), clock::now());
    let (config, snapshot) = samples::demo(key, now);
    let engine = samples::engine(&config, snapshot, has_audit_log);
    let token = samples::token(key, who, 0, now);
    let mut exchanges = (0..SUPPLY).map(|_| judged(&engine, &token)).collect::<Vec<_>>().into_iter();
    let call = move || {
        let (mut exchange, status) = exchanges.next().expect("another exchange");
        exchange.begin_answer();
        exchange.record(status);
    };
    Sample { engine: Some(engine), ..Sample::of(call) }
}

/// An exchange that is to be recorded, and the status of its answer.
fn judged(engine: &Engine, token: &str) -> (Exchange, u16) {
    let mut exchange = engine.receive(Arrival::now(), Some("127.0.0.1:50000".parse().unwrap()));
    match engine.decide(&mut exchange, samples::request(token)) {
        Decision::Wait(Pending::Body(awaiting)) => {
            exchange.phase = Phase::Admitted(awaiting.complete(&Bytes::from_static(b"{}")).unwrap());
            (exchange, 200)
        }
        Decision::Refused(denial) => {
            let status = denial.reason().entry().status;
            exchange.denial = Some(denial);
            (exchange, status)
        }
        other => panic!("neither allowed nor refused: {other:?}"),
    }
}
