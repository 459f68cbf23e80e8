//! What grows with the installation, and what a decision costs then: groups of a caller, bindings on memory that no cache
//! holds, services, issuers, conditions.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use opgate::config::Config;
use opgate::decision::snapshot::Snapshot;
use opgate::decision::{self, Ruling, Trace};
use opgate::dev::mint::Mint;
use opgate::diagnostic::Report;
use opgate::http::head::{HeadLimits, RawHead};
use opgate::http::{ConnectionPeer, Request, TrustedProxies};
use opgate::policy::{Attributes, Policy, ResourceName, Subject};
use opgate::principal::{Caller, Principal, Scopes};
use opgate::signing::{SigningAlgorithm, SigningKey};
use opgate::source::PolicyFiles;
use serde_json::json;

use crate::decide::{self, Question};
use crate::measure::{median, nanoseconds};
use crate::table::Row;
use crate::tree::{self, Format, Shape};

/// Promised: the largest takes at most so many times what the smallest takes.
const FLAT: f64 = 1.2;
/// A figure that is not within the promise is taken again: a neighbour on the machine disturbs one, not all.
const ATTEMPTS: usize = 5;

/// What is measured.
type Call = Box<dyn FnMut()>;

/// Measures every part; gives the broken promises.
pub fn run() -> Vec<String> {
    let mut broken = Vec::new();
    broken.extend(flat("decide, groups of the caller", &[0, 10, 100, 1_000], groups));
    broken.extend(cold());
    broken.extend(flat("judge, known token, services", &[1, 10, 100, 500], services));
    broken.extend(flat("judge, known token, issuers", &[1, 10, 50], issuers));
    broken
}

/// Measures one thing at several sizes; gives the promise where it is broken.
fn flat(name: &str, sizes: &[usize], prepare: fn(usize) -> Call) -> Option<String> {
    let mut calls: Vec<(usize, Call)> = sizes.iter().map(|size| (*size, prepare(*size))).collect();
    let mut rows = Vec::new();
    for _ in 0..ATTEMPTS {
        rows = measure(name, &mut calls);
        if rows.iter().all(|row| row.ratio.is_some_and(|ratio| ratio <= FLAT)) {
            break;
        }
    }
    rows.iter().for_each(Row::print);
    let worst = rows.iter().filter_map(|row| row.ratio).fold(0.0, f64::max);
    (worst > FLAT).then(|| format!("{name}: {worst:.2} times what the smallest takes, not {FLAT}"))
}

fn measure(name: &str, calls: &mut [(usize, Call)]) -> Vec<Row> {
    let mut first = None;
    let row = |(size, call): &mut (usize, Call)| {
        let took = nanoseconds(call);
        let ratio = Some(took / *first.get_or_insert(took));
        Row { name: name.to_owned(), size: *size, nanoseconds: took, ratio, ..Row::default() }
    };
    calls.iter_mut().map(row).collect()
}

/// A caller whose token names so many groups, of which rules of the policy name half. One of them has the role.
fn groups(count: usize) -> Call {
    const GROUPS: usize = 2_000;
    let mut files = vec![(
        "roles/canceller.yaml".to_owned(),
        "name: roles/canceller\nstage: GA\nincludedPermissions: [demo.operations.cancel]\n".to_owned(),
    )];
    let mut text = String::new();
    for number in 0..GROUPS {
        writeln!(text, "team-{number:04}@example.com: []").unwrap();
    }
    files.push(("groups.yaml".to_owned(), text));
    files.push((
        "hierarchy.yaml".to_owned(),
        "projects/demo: folders/1\nfolders/1: organizations/7\n".to_owned(),
    ));
    let mut organization =
        "bindings:\n- role: roles/canceller\n  members:\n  - user:ana@example.com\n".to_owned();
    organization.push_str("  - group:team-0000@example.com\n");
    files.push(("allow/organizations/7.yaml".to_owned(), organization));
    // Every second group is bound somewhere, most of them elsewhere.
    for project in 0..GROUPS / 20 {
        let mut text = "bindings:\n- role: roles/canceller\n  members:\n".to_owned();
        for number in (project * 20..project * 20 + 20).step_by(2).filter(|number| *number > 0) {
            writeln!(text, "  - group:team-{number:04}@example.com").unwrap();
        }
        let name = if project == 99 { "demo".to_owned() } else { format!("p{project}") };
        files.push((format!("allow/projects/{name}.yaml"), text));
    }
    let mut report = Report::new();
    let named = files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
    let policy = Policy::load(PolicyFiles::in_memory("policies", named), &[], &mut report);
    let principal = Principal::user("ana@example.com").unwrap();
    let mut caller = Caller::assumed(principal, Scopes::default(), UNIX_EPOCH);
    caller.sets.extend((0..count).map(|number| format!("group:team-{number:04}@example.com").into()));
    let resource = "projects/demo/locations/us-central1/operations/operation-1";
    Box::new(move || {
        let (subject, resource) = (Subject::of_caller(black_box(&caller)), ResourceName::new(resource));
        let decided = policy.decide(subject, "demo.operations.cancel", resource, &Attributes::at(UNIX_EPOCH));
        assert!(black_box(decided).is_ok());
    })
}

/// More than any cache of a processor holds.
const CACHES: usize = 64 << 20;
const COLD_CALLS: usize = 101;

/// Decisions on a policy of which nothing is in a cache: before each one, other memory has been read. Each is about another
/// caller.
fn cold() -> Option<String> {
    let mut other = vec![1_u8; CACHES];
    let policies: Vec<(usize, Policy)> = decide::SIZES
        .into_iter()
        .map(|size| (size, crate::load::load(tree::write(Shape::Projects, Format::Yaml, size).path())))
        .collect();
    let mut rows = Vec::new();
    for _ in 0..ATTEMPTS {
        let mut first = None;
        rows.clear();
        for (size, policy) in &policies {
            let questions = decide::all_over(*size);
            let step = questions.len() / COLD_CALLS;
            let times = questions.iter().step_by(step.max(1)).take(COLD_CALLS);
            let took = median(times.map(|question| one_cold(policy, question, &mut other)).collect());
            let ratio = Some(took / *first.get_or_insert(took));
            let name = "decide, nothing in a cache".to_owned();
            rows.push(Row { name, size: *size, nanoseconds: took, ratio, ..Row::default() });
        }
        if rows.iter().all(|row| row.ratio.is_some_and(|ratio| ratio <= FLAT)) {
            break;
        }
    }
    rows.iter().for_each(Row::print);
    let worst = rows.iter().filter_map(|row| row.ratio).fold(0.0, f64::max);
    (worst > FLAT)
        .then(|| format!("decide, nothing in a cache: {worst:.2} times what the smallest takes, not {FLAT}"))
}

fn one_cold(policy: &Policy, question: &Question, other: &mut [u8]) -> f64 {
    for line in other.chunks_mut(64) {
        if let Some(byte) = line.first_mut() {
            *byte = byte.wrapping_add(1);
        }
    }
    black_box(&other);
    let start = Instant::now();
    let decided = decide::decide(policy, question);
    let took = start.elapsed().as_nanos() as f64;
    assert!(black_box(decided).is_ok());
    took
}

/// A whole decision with a known token, where there are so many services, each on a host of its own.
fn services(count: usize) -> Call {
    judged(count, 1)
}

/// A whole decision with a known token, where there are so many issuers.
fn issuers(count: usize) -> Call {
    judged(1, count)
}

/// A cancel that Ana may make, of the service in the middle, with a token of the last issuer.
fn judged(services: usize, issuers: usize) -> Call {
    let now = opgate::clock::now();
    let key = SigningKey::generate(SigningAlgorithm::Es256, Some("bench")).unwrap();
    let (snapshot, _kept) = snapshot(services, issuers, &key, now);
    let request = request(&key, services / 2, issuers - 1, now);
    judge(&snapshot, &request, now);
    Box::new(move || judge(&snapshot, black_box(&request), now))
}

fn judge(snapshot: &Snapshot, request: &Arc<Request>, now: SystemTime) {
    let mut trace = Trace::default();
    let ruling = black_box(decision::decide(snapshot, request.clone(), now, &mut trace));
    assert!(matches!(ruling, Ruling::Permitted(_)), "{ruling:?}");
}

fn snapshot(
    services: usize,
    issuers: usize,
    key: &SigningKey,
    now: SystemTime,
) -> (Snapshot, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    std::fs::write(root.join("keys.jwks.json"), key.jwks().to_string()).unwrap();
    write_policies(root, services);
    let mut config = "listeners: [{address: 127.0.0.1:0}]\nadmin: {address: 127.0.0.1:0}\nupstreams: {backend: {endpoints: [127.0.0.1:9]}}\n\
         policy: {directory: policies}\nservices:\n"
        .to_owned();
    for number in 0..services {
        writeln!(config, "  service{number}: {{hosts: [service{number}.example.com], upstream: backend}}")
            .unwrap();
    }
    config.push_str("issuers:\n");
    for number in 0..issuers {
        writeln!(
            config,
            "  issuer{number}: {{issuer: 'https://issuer{number}.example.com', audiences: ['https://gate.example.com'], \
             keys: {{file: keys.jwks.json}}, email_domains: ['*']}}"
        )
        .unwrap();
    }
    let file = root.join("opgate.yaml");
    std::fs::write(&file, config).unwrap();
    let mut report = Report::new();
    let snapshot = Config::load(&file, &[], &mut report)
        .and_then(|config| opgate::config::snapshot::load(&config, now, &mut report));
    (snapshot.unwrap_or_else(|| panic!("{}", report.render(false))), directory)
}

fn write_policies(root: &Path, services: usize) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let policies = root.join("policies");
    for folder in ["services", "allow/projects", "roles"] {
        std::fs::create_dir_all(policies.join(folder)).unwrap();
    }
    std::fs::write(
        policies.join("roles/canceller.yaml"),
        "name: roles/canceller\nstage: GA\nincludedPermissions: [cloudaicompanion.operations.cancel]\n",
    )
    .unwrap();
    std::fs::write(
        policies.join("allow/projects/demo.yaml"),
        "bindings: [{role: roles/canceller, members: ['user:ana@example.com']}]\n",
    )
    .unwrap();
    for kind in ["yaml", "iam.yaml"] {
        let text =
            std::fs::read_to_string(shipped.join(format!("services/cloudaicompanion.{kind}"))).unwrap();
        for number in 0..services {
            let text =
                text.replace("cloudaicompanion.googleapis.com", &format!("service{number}.example.com"));
            std::fs::write(policies.join(format!("services/service{number}.{kind}")), text).unwrap();
        }
    }
}

fn request(key: &SigningKey, service: usize, issuer: usize, now: SystemTime) -> Arc<Request> {
    let second = now.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({
        "iss": format!("https://issuer{issuer}.example.com"), "aud": "https://gate.example.com",
        "sub": "ana", "email": "ana@example.com", "email_verified": true,
        "scope": "https://www.googleapis.com/auth/cloud-platform", "iat": second, "exp": second + 36_000,
    });
    let head = format!(
        "POST /v1/projects/demo/locations/us-central1/operations/op-1:cancel HTTP/1.1\r\n\
         host: service{service}.example.com\r\nauthorization: Bearer {}\r\ncontent-length: 0\r\n\r\n",
        key.sign(&claims).unwrap(),
    );
    let head = RawHead::parse(head.as_bytes(), HeadLimits::default()).unwrap();
    Arc::new(Request::from_head(head, ConnectionPeer::Unknown, &TrustedProxies::default()).unwrap())
}
