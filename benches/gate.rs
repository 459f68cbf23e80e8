//! The whole gate, from a parsed request to the permit, with the shipped policies: with a remembered token, with new
//! tokens, and with a remembered token and a DPoP proof, which is new each time.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use alloc_counter::count_alloc;
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use opgate::config::Config;
use opgate::decision::shadow::ShadowTree;
use opgate::decision::snapshot::Snapshot;
use opgate::decision::{self, Ruling, Trace};
use opgate::dev::mint::Mint;
use opgate::diagnostic::Report;
use opgate::http::head::{HeadLimits, RawHead};
use opgate::http::{ConnectionPeer, Request, TrustedProxies};
use opgate::policy::Pools;
use opgate::signing::{SigningAlgorithm, SigningKey};
use opgate::source::{PolicyFiles, PolicySource};
use serde_json::json;

use crate::measure::{nanoseconds, nanoseconds_of_each};
use crate::table::Row;

const HOST: &str = "cloudaicompanion.googleapis.com";
const PATH: &str = "/v1/projects/demo/locations/us-central1/operations/op-1:cancel";

/// The number of new tokens, and of proofs.
const FRESH: usize = 500;

/// Judges a cancel that Ana may make, with each kind of key.
pub fn run() {
    for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::Rs256] {
        let now = opgate::clock::now();
        let key = SigningKey::generate(algorithm, Some("bench")).unwrap();
        let snapshot = snapshot(&key, now);
        let size = snapshot.policy.counts().bindings;
        let name = |case: &str| format!("judge, {case}, {algorithm}");

        let fresh = (0..FRESH).map(|number| request(&key, &format!("fresh-{number}"), now)).collect();
        let mut allocations = 0;
        let took = nanoseconds_of_each(fresh, |request| {
            allocations = judge(&request, &snapshot, now);
        });
        let allocations = Some(allocations);
        Row { name: name("new token"), size, nanoseconds: took, allocations, ..Row::default() }.print();

        let known = request(&key, "known", now);
        judge(&known, &snapshot, now);
        let allocations = Some(judge(&known, &snapshot, now));
        let took = nanoseconds(|| {
            judge(black_box(&known), &snapshot, now);
        });
        Row { name: name("known token"), size, nanoseconds: took, allocations, ..Row::default() }.print();
        if algorithm == SigningAlgorithm::Es256 {
            beside(&known, &snapshot, took, now);
        }

        let holder = SigningKey::generate(algorithm, None).unwrap();
        let bound = token(&key, "bound", Some(holder.kid()), now);
        let proven = (0..FRESH).map(|number| proven(&holder, &bound, number, now)).collect();
        let mut allocations = 0;
        let took = nanoseconds_of_each(proven, |request| {
            allocations = judge(&request, &snapshot, now);
        });
        let allocations = Some(allocations);
        Row { name: name("known token and proof"), size, nanoseconds: took, allocations, ..Row::default() }
            .print();
    }
}

/// What a shadow costs beside a decision with a remembered token, which takes so many nanoseconds: one that says the same,
/// and one that refuses and says why.
fn beside(request: &Request, snapshot: &Snapshot, decision: f64, now: SystemTime) {
    let mut trace = Trace::default();
    let ruling = decision::decide(snapshot, Arc::new(request.clone()), now, &mut trace);
    assert!(matches!(ruling, Ruling::Permitted(_)));
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let same = PolicySource::directory(&policies).read(&mut Report::new()).unwrap();
    let other = PolicyFiles::in_memory("none", [("hierarchy.yaml", "projects/demo: folders/42\n")]);
    for (case, files, is_allowed) in [("says the same", same, true), ("refuses", other, false)] {
        let mut report = Report::new();
        let tree = ShadowTree::of(files, &Pools::default(), Some(&snapshot.catalog), &mut report);
        let tree = tree.unwrap_or_else(|| panic!("{}", report.render(false)));
        let judge = || tree.judge(request, &trace, now).unwrap();
        let ((allocations, reallocations, _), judged) = count_alloc(judge);
        assert_eq!(judged.verdict.is_allowed(), is_allowed);
        let took = nanoseconds(|| {
            black_box(judge());
        });
        Row {
            name: format!("shadow beside that, {case}"),
            size: tree.counts().bindings,
            nanoseconds: took,
            ratio: Some(took / decision),
            allocations: Some(allocations + reallocations),
            ..Row::default()
        }
        .print();
        assert!(took < decision, "a shadow costs less than the decision that it stands beside");
    }
}

/// The number of allocations for one decision.
fn judge(request: &Arc<Request>, snapshot: &Snapshot, now: SystemTime) -> usize {
    let mut trace = Trace::default();
    let ((allocations, reallocations, _), ruling) =
        count_alloc(|| decision::decide(snapshot, request.clone(), now, &mut trace));
    let ruling = black_box(ruling);
    assert!(matches!(ruling, Ruling::Permitted(_)), "{ruling:?}");
    allocations + reallocations
}

fn snapshot(key: &SigningKey, now: SystemTime) -> Snapshot {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys.jwks.json");
    std::fs::write(&keys, key.jwks().to_string()).unwrap();
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/demo.yaml");
    let setting = format!("issuers.demo.keys={}", json!({ "file": keys })).parse().unwrap();
    let mut report = Report::new();
    let snapshot = Config::load(&config, &[setting], &mut report)
        .and_then(|config| opgate::config::snapshot::load(&config, now, &mut report));
    snapshot.unwrap_or_else(|| panic!("{}", report.render(false)))
}

fn request(key: &SigningKey, id: &str, now: SystemTime) -> Arc<Request> {
    sent(&format!("Bearer {}", token(key, id, None, now)), "")
}

/// A request with a bound token and a proof that is used for the first time.
fn proven(holder: &SigningKey, token: &str, number: usize, now: SystemTime) -> Arc<Request> {
    let header = json!({ "typ": "dpop+jwt", "alg": holder.algorithm().as_str(), "jwk": holder.public_jwk() });
    let claims = json!({
        "jti": format!("{number:032}"), "htm": "POST", "htu": format!("http://{HOST}{PATH}"),
        "iat": now.duration_since(UNIX_EPOCH).unwrap().as_secs(),
        "ath": URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, token.as_bytes())),
    });
    let proof = holder.sign_with_header(&header, &claims).unwrap();
    sent(&format!("DPoP {token}"), &format!("dpop: {proof}\r\n"))
}

fn token(key: &SigningKey, id: &str, bound_to: Option<&str>, now: SystemTime) -> String {
    let second = now.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut claims = json!({
        "iss": "https://issuer.demo.localhost", "aud": "https://opgate.demo.localhost",
        "sub": "ana", "email": "ana@example.com", "email_verified": true, "jti": id,
        "scope": "https://www.googleapis.com/auth/cloud-platform", "iat": second, "exp": second + 3600,
    });
    if let Some(thumbprint) = bound_to {
        claims["cnf"] = json!({ "jkt": thumbprint });
    }
    key.sign(&claims).unwrap()
}

fn sent(authorization: &str, proof: &str) -> Arc<Request> {
    let head = format!(
        "POST {PATH} HTTP/1.1\r\n\
         host: {HOST}\r\n\
         authorization: {authorization}\r\n{proof}\
         user-agent: google-api-nodejs-client/9.15.1\r\n\
         content-type: application/json\r\n\
         content-length: 2\r\n\r\n",
    );
    let head = RawHead::parse(head.as_bytes(), HeadLimits::default()).unwrap();
    Arc::new(Request::from_head(head, ConnectionPeer::Unknown, &TrustedProxies::default()).unwrap())
}
