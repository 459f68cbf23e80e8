//! What the rows are measured with: a request as official clients send it, tokens, catalogs, an engine.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use opgate::audit::{self, Audit, AuditOutput, AuditSettings, Observer};
use opgate::authn;
use opgate::cancels::{self, Cancels};
use opgate::catalog::{Catalog, ExposureSettings};
use opgate::config::Config;
use opgate::decision::shadow::Shadows;
use opgate::decision::snapshot::Snapshot;
use opgate::dev::mint::Mint;
use opgate::diagnostic::Report;
use opgate::engine::{self, Engine, EngineInstruments, EngineLimits, Live};
use opgate::http::head::{HeadLimits, RawHead};
use opgate::http::{Request, TrustedProxies};
use opgate::metrics::Metrics;
use opgate::signing::SigningKey;
use opgate::source::PolicyFiles;
use opgate::upstream::names::ResolvedNames;
use opgate::upstream::{self, Upstreams};
use serde_json::json;

pub const HOST: &str = "cloudaicompanion.googleapis.com";
pub const PATH: &str =
    "/v1/projects/demo/locations/us-central1/operations/operation-1733139840219-628a3c1f:cancel";

/// The body that Google's clients send with a cancel: an empty message.
pub const BODY: &str = "{}";

/// The head of a cancel as Google's client for Python sends it.
pub fn head(token: Option<&str>, body: &str) -> String {
    let length = body.len();
    let authorization = token.map_or_else(String::new, |token| format!("authorization: Bearer {token}\r\n"));
    format!(
        "POST {PATH} HTTP/1.1\r\n\
         Host: {HOST}\r\n\
         content-length: {length}\r\n\
         accept: application/json\r\n\
         accept-encoding: gzip, deflate\r\n\
         user-agent: (gzip)\r\n\
         x-goog-api-client: gdcl/2.166.0 gl-python/3.12.3\r\n\
         content-type: application/json\r\n\
         {authorization}\
         connection: keep-alive\r\n\r\n"
    )
}

/// The head of a request that has a token, 870 bytes long: the token is of that length that makes it so.
pub fn head_of_870_bytes() -> String {
    let without = head(Some(""), BODY).len();
    let token: String =
        "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJlbmNoIn0.".chars().cycle().take(870 - without).collect();
    let head = head(Some(&token), BODY);
    assert_eq!(head.len(), 870);
    head
}

pub fn raw_head(text: &str) -> RawHead {
    RawHead::parse(text.as_bytes(), HeadLimits::default()).unwrap()
}

/// A cancel with a token.
pub fn request(token: &str) -> Request {
    let peer: std::net::SocketAddr = "127.0.0.1:50000".parse().unwrap();
    Request::from_head(raw_head(&head(Some(token), BODY)), peer.into(), &TrustedProxies::default()).unwrap()
}

/// A good token for an hour.
pub fn token(key: &SigningKey, who: &str, id: usize, now: SystemTime) -> String {
    let second = now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({
        "iss": "https://issuer.demo.localhost", "aud": "https://opgate.demo.localhost",
        "sub": who, "email": format!("{who}@example.com"), "email_verified": true, "jti": format!("{id:06}"),
        "scope": "https://www.googleapis.com/auth/cloud-platform", "iat": second, "exp": second + 3600,
    });
    key.sign(&claims).unwrap()
}

/// The demo's configuration and its snapshot, with this key as its issuer's.
pub fn demo(key: &SigningKey, now: SystemTime) -> (Config, Snapshot) {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys.jwks.json");
    std::fs::write(&keys, key.jwks().to_string()).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/demo.yaml");
    let setting = format!("issuers.demo.keys={}", json!({ "file": keys })).parse().unwrap();
    let mut report = Report::new();
    let loaded = Config::load(&path, &[setting], &mut report).and_then(|config| {
        let snapshot = opgate::config::snapshot::load(&config, now, &mut report)?;
        Some((config, snapshot))
    });
    loaded.unwrap_or_else(|| panic!("{}", report.render(false)))
}

/// A catalog of so many services with the methods of operations, each on a host of its own.
pub fn catalog(services: usize) -> Catalog {
    let mut files = Vec::new();
    for number in 0..services {
        let name = format!("service{number}.googleapis.com");
        files.push((format!("services/service{number}.yaml"), service(&name)));
        files.push((format!("services/service{number}.iam.yaml"), iam(&name)));
    }
    let files =
        PolicyFiles::in_memory("bench", files.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    let mut report = Report::new();
    let exposures = ExposureSettings::all(&files, &mut report);
    let catalog = Catalog::load(&files, &exposures, &mut report);
    catalog.unwrap_or_else(|| panic!("{}", report.render(false)))
}

const METHODS: [(&str, &str, &str); 4] = [
    ("CancelOperation", "post", "/v1/{name=projects/*/locations/*/operations/*}:cancel"),
    ("DeleteOperation", "delete", "/v1/{name=projects/*/locations/*/operations/*}"),
    ("GetOperation", "get", "/v1/{name=projects/*/locations/*/operations/*}"),
    ("ListOperations", "get", "/v1/{name=projects/*/locations/*}/operations"),
];

fn service(name: &str) -> String {
    let mut text = format!(
        "type: google.api.Service\nconfig_version: 3\nname: {name}\ntitle: {name}\n\
         apis:\n- name: google.longrunning.Operations\nhttp:\n  rules:\n"
    );
    for (method, verb, path) in METHODS {
        writeln!(text, "  - {{selector: google.longrunning.Operations.{method}, {verb}: '{path}'}}").unwrap();
    }
    text.push_str("authentication:\n  rules:\n  - selector: 'google.longrunning.Operations.*'\n    oauth:\n");
    text.push_str("      canonical_scopes: https://www.googleapis.com/auth/cloud-platform\n");
    text
}

fn iam(name: &str) -> String {
    let short = name.split('.').next().unwrap();
    let mut text = format!("service: {name}\nrules:\n");
    for (method, verb, _) in METHODS {
        writeln!(text, "- selector: google.longrunning.Operations.{method}").unwrap();
        writeln!(text, "  permission: {short}.operations.{verb}").unwrap();
    }
    text
}

/// An engine as the product puts it together, without the memory of the last decisions. Its audit log goes to `/dev/null` or is
/// off.
pub fn engine(config: &Config, snapshot: Snapshot, has_audit_log: bool) -> Engine {
    let metrics = Metrics::new().unwrap();
    let registry = metrics.registry();
    let instruments = EngineInstruments {
        requests: engine::Instruments::register(registry).unwrap(),
        authn: authn::Instruments::register(registry).unwrap(),
        upstream: upstream::Instruments::register(registry).unwrap(),
    };
    let output = if has_audit_log { AuditOutput::File("/dev/null".into()) } else { AuditOutput::Off };
    let settings = AuditSettings { output, ..config.audit.clone() };
    let observer = Observer::new(|line| {
        black_box(line);
    });
    let audit =
        Audit::open(&settings, audit::Instruments::register(registry).unwrap(), vec![observer]).unwrap();
    let upstreams = Arc::new(Upstreams::new(&config.upstreams, &ResolvedNames::default(), None));
    let shadows = Arc::new(Shadows::new(config.shadows.clone(), std::collections::BTreeMap::new()));
    let live = Live::new(snapshot, upstreams, None, shadows, &instruments);
    let limits = config.limits;
    let limits = EngineLimits {
        admission: limits.admission,
        body: limits.body,
        body_timeout: limits.listener.body_timeout,
    };
    let cancels = Cancels::new(config.cancels, cancels::Instruments::register(registry).unwrap());
    Engine::new(live, limits, config.trusted_proxies.clone(), audit, None, cancels, instruments)
}
