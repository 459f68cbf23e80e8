//! The files that come with opgate: they load, their comments are true, and they grant what the comments say.

use std::path::Path;
use std::time::Duration;

use opgate::assertion::AssertionSettings;
use opgate::authn::{Proof, TokenEndpoint};
use opgate::clock;
use opgate::config::Config;
use opgate::dev::mint::Mint;
use opgate::diagnostic::Report;
use opgate::listener::ListenerSettings;
use opgate::otlp::Sampling;
use opgate::signing::{SigningAlgorithm, SigningKey};
use opgate::upstream::HealthCheck;
use regex::Regex;

use crate::authority::Authority;
use crate::harness::{self, COMPANION, DATAPROC, Gate, Req, TRANSLATION, reason, root, token_with};

const SHIPPED: [&str; 2] = ["config/opgate.yaml", "config/demo.yaml"];

fn load(path: &Path) -> Config {
    let mut report = Report::new();
    let config = Config::load(path, &[], &mut report);
    assert!(report.diagnostics().is_empty(), "{}", report.render(false));
    config.unwrap()
}

#[test]
fn the_shipped_files_load_without_a_warning() {
    for name in SHIPPED {
        let config = load(&root().join(name));
        let mut report = Report::new();
        let snapshot = opgate::config::snapshot::load(&config, clock::now(), &mut report);
        assert!(report.diagnostics().is_empty(), "{}", report.render(false));
        assert_eq!(snapshot.unwrap().catalog.unexposed().len(), 0);

        let checked = harness::opgate().args(["check", "--config", name]).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        assert_eq!(String::from_utf8_lossy(&checked.stderr), "");
    }
}

/// Commented-out keys whose value is an example, as the file says: one of the staff's issuer, the rest of other
/// issuers.
const EXAMPLES: [&str; 39] = [
    "assertion",
    "attribute_condition",
    "attribute_mapping",
    "audiences",
    "authentication",
    "ca",
    "client_id",
    "client_secret_file",
    "email_domains",
    "endpoint",
    "explain",
    "groups",
    "headers_file",
    "health_check",
    "health_path",
    "introspection",
    "issuer",
    "otlp",
    "partner",
    "prefix",
    "proxy",
    "proxy_protocol",
    "remember",
    "remember_briefly",
    "request_headers",
    "resource_attributes",
    "robots",
    "scopes",
    "shadow",
    "subject_pool",
    "tcp_keep_alive",
    "timeout",
    "tls",
    "token_file",
    "traces",
    "trust_domain",
    "upgrade",
    "url",
    "workers",
];

/// The annotated file with its commented-out settings in force: their keys, and the text.
fn uncommented(text: &str, wanted: impl Fn(&str) -> bool) -> (Vec<String>, String) {
    let setting = Regex::new(r"^( *)# ( *)(([a-z_0-9]+):( .*|))$").unwrap();
    let mut keys = Vec::new();
    let lines = text.lines().map(|line| match setting.captures(line) {
        Some(found) if wanted(&found[4]) => {
            keys.push(found[4].to_owned());
            format!("{}{}{}\n", &found[1], &found[2], &found[3])
        }
        _ => format!("{line}\n"),
    });
    let text = lines.collect();
    (keys, text)
}

#[test]
fn what_is_commented_out_is_the_default() {
    let path = root().join("config/opgate.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let (keys, text) = uncommented(&text, |key| !EXAMPLES.contains(&key));
    assert!(keys.len() > 25, "{keys:?}");
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("config")).unwrap();
    std::fs::create_dir(directory.path().join("policies")).unwrap();
    let written = directory.path().join("config/opgate.yaml");
    std::fs::write(&written, text).unwrap();

    let (default, written) = (load(&path), load(&written));
    assert_eq!(written.listeners.len(), default.listeners.len());
    for (written, default) in written.listeners.iter().zip(&default.listeners) {
        let plain = |listener: &ListenerSettings| (listener.address.clone(), listener.socket, listener.http2);
        assert_eq!(plain(written), plain(default));
        assert!(written.tls.is_none() && default.tls.is_none());
    }
    assert_eq!(written.admin, default.admin);
    assert_eq!(written.limits, default.limits);
    assert_eq!(written.dns, default.dns);
    assert_eq!(written.audit, default.audit);
    assert_eq!(written.telemetry, default.telemetry);
    assert_eq!(written.upstreams.len(), default.upstreams.len());
    for (written, default) in written.upstreams.iter().zip(&default.upstreams) {
        assert_eq!(written.protocol, default.protocol);
        assert_eq!(written.timeouts, default.timeouts);
        assert_eq!(written.limits, default.limits);
        assert_eq!(written.outliers, default.outliers);
        assert!(written.health_check.is_none() && default.health_check.is_none());
    }
    for (written, default) in written.issuers.iter().zip(&default.issuers) {
        assert_eq!(format!("{:?}", written.settings), format!("{:?}", default.settings));
    }
    for (written, default) in written.services.iter().zip(&default.services) {
        assert_eq!(format!("{:?}", written.forwarding), format!("{:?}", default.forwarding));
        // The default is the service's own name.
        if written.hosts != default.hosts {
            assert_eq!(default.hosts, None);
            assert_eq!(written.hosts, Some(vec![format!("{}.googleapis.com", written.id)]));
        }
    }
}

#[test]
fn what_is_commented_out_as_an_example_is_accepted() {
    let text = std::fs::read_to_string(root().join("config/opgate.yaml")).unwrap();
    let (mut keys, text) = uncommented(&text, |key| EXAMPLES.contains(&key));
    keys.sort();
    keys.dedup();
    assert_eq!(keys, EXAMPLES);
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("config")).unwrap();
    std::fs::create_dir(directory.path().join("policies")).unwrap();
    let path = directory.path().join("config/opgate.yaml");
    std::fs::write(&path, text).unwrap();
    let authority = Authority::new();
    std::fs::write(directory.path().join("config/clients-ca.pem"), authority.pem()).unwrap();
    std::fs::write(directory.path().join("config/backends-ca.pem"), authority.pem()).unwrap();
    authority.issue(&["a.test"]).write(&directory.path().join("config"), "server");
    authority.issue_to(&["spiffe://a.test/gate"]).write(&directory.path().join("config"), "gate");
    let key = SigningKey::generate(SigningAlgorithm::Es256, None).unwrap();
    let key_file = directory.path().join("config/assertion-key.pem");
    std::fs::write(key_file, key.to_pkcs8_pem().unwrap().reveal()).unwrap();
    std::fs::write(directory.path().join("config/admin-token"), "0123456789abcdef\n").unwrap();
    std::fs::write(directory.path().join("config/collector.headers"), "x-tenant=one\n").unwrap();
    let config = load(&path);
    assert_eq!(config.workers, 2);
    // The example spells out the default.
    assert_eq!(config.telemetry.otlp.unwrap().sampling, Sampling::default());
    assert_eq!(config.admin.explain.unwrap().address.unwrap().port(), 9902);
    let assertion = config.assertion.unwrap();
    assert_eq!((assertion.lifetime, assertion.keys.len()), (AssertionSettings::DEFAULT_LIFETIME, 1));
    assert_eq!(config.upgrade.unwrap().timeout, Duration::from_secs(60));
    assert!(config.listeners[0].tls.is_some() && config.upstreams[0].tls.is_some());
    // The example spells out a default.
    let check = config.upstreams[0].health_check.clone().unwrap();
    assert_eq!(HealthCheck { path: None, ..check }, HealthCheck::default());
    // Its times are the defaults.
    let partner = config.issuers.iter().find(|issuer| issuer.settings.name == "partner").unwrap();
    let Proof::Endpoint(endpoint) = &partner.settings.proof else { panic!("it is asked") };
    let default = TokenEndpoint::new(&*endpoint.url, endpoint.dialect.clone());
    assert_eq!(
        (endpoint.timeout, endpoint.remember, endpoint.remember_briefly),
        (default.timeout, default.remember, default.remember_briefly)
    );
}

#[test]
fn the_annotated_file_has_every_key() {
    let mut source = String::new();
    read_settings(&root().join("src"), &mut source);
    let text = std::fs::read_to_string(root().join("config/opgate.yaml")).unwrap();
    let asked = Regex::new(
        r#"(?:required|optional|time)(?:_string)?\(\s*"([a-z0-9_]+)"|(?:&mut fields|\bset\(\s*fields),\s*"([a-z0-9_]+)""#,
    )
    .unwrap();
    let keys: Vec<&str> = asked
        .captures_iter(&source)
        .filter_map(|found| found.get(1).or(found.get(2)))
        .map(|key| key.as_str())
        .collect();
    assert!(keys.len() > 120, "{keys:?}");
    for key in keys {
        // `file` is the alternative to `url`; the comment there mentions it.
        assert!(text.contains(&format!("{key}:")), "config/opgate.yaml does not show `{key}`");
    }
}

/// The text of the files that read the configuration: `config`, `telemetry`, and the `settings` of each stage.
fn read_settings(directory: &Path, source: &mut String) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_settings(&path, source);
            continue;
        }
        let below = path.strip_prefix(root().join("src")).unwrap().to_str().unwrap();
        let is_settings = below.ends_with("settings.rs") || below.contains("/settings/");
        if is_settings || below.starts_with("config") || below == "telemetry.rs" {
            source.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

const PROJECTS: [(&str, &str, &str); 4] = [
    ("companion demo", COMPANION, "/v1/projects/demo/locations/l"),
    ("companion other", COMPANION, "/v1/projects/other/locations/l"),
    ("dataproc demo", DATAPROC, "/v1/projects/demo/regions/r"),
    ("translation demo", TRANSLATION, "/v3/projects/demo"),
];

const METHODS: [(&str, &str, &str); 5] = [
    ("cancel", "POST", "/operations/none:cancel"),
    ("delete", "DELETE", "/operations/none"),
    ("get", "GET", "/operations/none"),
    ("list", "GET", "/operations"),
    ("wait", "POST", "/operations/none:wait"),
];

/// Who may call what, as the comments of the shipped policies say. Translation requires a scope alone.
const GRANTED: &str = "\
ana@example.com
  companion demo: cancel get list wait
  companion other: nothing
  dataproc demo: cancel get list wait
  translation demo: cancel delete get list wait
lea@example.com
  companion demo: cancel get list wait
  companion other: nothing
  dataproc demo: cancel get list wait
  translation demo: cancel delete get list wait
bob@example.com
  companion demo: get list wait
  companion other: nothing
  dataproc demo: get list wait
  translation demo: cancel delete get list wait
max@example.com
  companion demo: nothing
  companion other: nothing
  dataproc demo: nothing
  translation demo: cancel delete get list wait
erin@example.com
  companion demo: nothing
  companion other: cancel get list wait
  dataproc demo: nothing
  translation demo: cancel delete get list wait
ci@demo.iam.gserviceaccount.com
  companion demo: cancel delete get list wait
  companion other: nothing
  dataproc demo: cancel delete get list wait
  translation demo: cancel delete get list wait
absent@example.com
  companion demo: nothing
  companion other: nothing
  dataproc demo: nothing
  translation demo: cancel delete get list wait
";

#[tokio::test]
async fn the_shipped_policies_grant_what_they_say() {
    let gate = Gate::start();
    let mut granted = String::new();
    for who in GRANTED.lines().filter(|line| !line.starts_with(' ')) {
        granted.push_str(&format!("{who}\n"));
        let token = token_with(who, serde_json::json!({}));
        for (name, host, parent) in PROJECTS {
            let mut allowed = Vec::new();
            for (method, verb, rest) in METHODS {
                let seen = gate.backend.requests().len();
                let answer =
                    gate.http1(&Req::new(verb, host, &format!("{parent}{rest}")).bearer(&token)).await;
                let reached = gate.backend.requests().len() - seen;
                if reason(&answer) == "IAM_PERMISSION_DENIED" {
                    assert_eq!((answer.status, reached), (403, 0), "{who} {method} {parent}");
                } else {
                    assert_eq!(reached, 1, "{who} {method} {parent}: {}", reason(&answer));
                    allowed.push(method);
                }
            }
            let allowed = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(" ") };
            granted.push_str(&format!("  {name}: {allowed}\n"));
        }
    }
    assert_eq!(granted, GRANTED);
}

/// The tree's own tests pass wherever it is served, and every binding decides one of them.
#[test]
fn the_shipped_tests_exercise_every_rule() {
    for arguments in
        [["policies"].as_slice(), &["--config", "config/opgate.yaml"], &["--config", "config/demo.yaml"]]
    {
        let run = harness::opgate().args(["test", "--output", "json"]).args(arguments).output().unwrap();
        let results: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
        assert!(run.status.success(), "{results:#}");
        let coverage = &results["coverage"];
        assert_eq!(coverage["neverExercised"], serde_json::json!([]), "{arguments:?}");
        assert!(coverage["bindings"]["total"].as_u64().unwrap() >= 4, "{coverage:#}");
        assert_eq!(results["diagnostics"], serde_json::json!([]), "{arguments:?}");
    }
}
