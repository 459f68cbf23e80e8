mod listeners;

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::authn::{
    Dialect, DpopRule, KeyLocation, KeySource, PossessionRule, Proof, TokenEndpoint, WellKnown,
};
use crate::upstream::{HealthCheck, Outliers, Timeouts, UpstreamLimits};

/// A valid configuration, as the base of the invalid ones.
const GOOD: &str = "\
listeners: [{address: \"127.0.0.1:8080\"}]
upstreams: {ops: {endpoints: [\"127.0.0.1:9000\"]}}
services: {cloudaicompanion: {upstream: ops}}
issuers:
  staff:
    issuer: https://login.example.com
    audiences: [https://api.example.com]
    keys: {url: https://login.example.com/jwks.json}
policy: {directory: .}
";

fn load(text: &str, overrides: &[Override]) -> (Option<Config>, Report) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("opgate.yaml");
    std::fs::write(&path, text).unwrap();
    let mut report = Report::new();
    let config = Config::load(&path, overrides, &mut report);
    (config, report)
}

fn rendered(text: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("opgate.yaml");
    std::fs::write(&path, text).unwrap();
    let mut report = Report::new();
    Config::load(&path, &[], &mut report);
    report.render(false).replace(&*directory.path().to_string_lossy(), "config")
}

#[test]
fn absent_settings_have_safe_defaults() {
    let (config, report) = load(GOOD, &[]);
    assert!(!report.is_fatal(), "{}", report.render(false));
    let config = config.unwrap();
    assert_eq!(config.admin.address.to_string(), "127.0.0.1:9901");
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.audit, AuditSettings::default());
    assert!(config.listeners[0].http2);
    let service = &config.services[0];
    assert!(!service.forwarding.authorization);
    assert_eq!(service.hosts, None);
    let issuer = &config.issuers[0].settings;
    assert!(!issuer.identity.accept_unverified_email);
}

#[test]
fn every_mistake_is_reported_at_once() {
    insta::assert_snapshot!(rendered(
        "\
listeners: [{address: localhost, htp2: true}]
admin: {address: 127.0.0.1:9901}
upstreams:
  ops:
    endpoints: []
    protocol: h3
    timeouts: {connect: 2, response: fast}
services:
  cloudaicompanion: {upstream: obs, hosts: [\"https://x\"], forward: [cookie]}
issuers:
  staff:
    issuer: https://login.example.com
    keys: {file: a.json, url: https://b}
    algorithms: [HS256, none]
limits: {head_bytes: 32K, head_fields: 0}
telemetry: {log: \"=,\", format: xml}
trusted_proxies: {addresses: [0.0.0.0/0, 10.0.0.1/8, proxy.example.com], header: via}
polcy: {directory: .}
"
    ));
}

#[test]
fn limits_are_above_zero_and_within_what_can_be_kept() {
    let with = |limits: &str| rendered(&format!("{GOOD}limits: {limits}\n"));
    assert_eq!(
        with("{target_bytes: 4KiB, write_timeout: 5s, requests: 1, http2_streams: 10000, http2_resets: 1}"),
        ""
    );
    insta::assert_snapshot!(
        [
            "{target_bytes: 1MiB}",
            "{write_timeout: 10}",
            "{requests: 0}",
            "{http2_streams: many, http2_resets: 0}"
        ]
        .map(with)
        .join("\n")
    );
}

#[test]
fn keys_are_in_one_place() {
    let with = |keys: &str| rendered(&GOOD.replace("{url: https://login.example.com/jwks.json}", keys));
    insta::assert_snapshot!(
        [
            "{discovery: openid, url: https://login.example.com/jwks.json}",
            "{discovery: google, jwks_hosts: [keys.example.com]}",
            "{url: https://login.example.com/jwks.json, jwks_hosts: [keys.example.com], cool_down: 10}",
            "{refresh: 10m}",
        ]
        .map(with)
        .join("\n")
    );
}

#[test]
fn service_accounts_have_keys_of_their_own() {
    let with = |keys: &str| {
        let issuer =
            format!("  robots:\n    service_accounts: [ci@demo.iam.gserviceaccount.com]\n    {keys}\n");
        rendered(&GOOD.replace("policy:", &format!("{issuer}policy:")))
    };
    assert_eq!(with("keys: {url: \"https://keys.example.com/{email}\"}"), "");
    insta::assert_snapshot!(
        [
            "keys: {url: https://keys.example.com/}",
            "keys: {discovery: openid}",
            "keys: {file: \"{email}.json\"}\n    audiences: [https://api.example.com]",
        ]
        .map(with)
        .join("\n")
    );
}

#[test]
fn keys_can_be_discovered() {
    let keys = "{discovery: oauth, jwks_hosts: [keys.example.com], cool_down: 5s}";
    let (config, report) = load(&GOOD.replace("{url: https://login.example.com/jwks.json}", keys), &[]);
    assert!(!report.is_fatal(), "{}", report.render(false));
    let proof = config.unwrap().issuers.remove(0).settings.proof;
    let Proof::Signature(KeySource::Remote(keys)) = proof else { panic!("its keys are not fetched") };
    let hosts = vec!["keys.example.com".to_owned()];
    assert_eq!(keys.location, KeyLocation::Discovery { document: WellKnown::OAuth, hosts });
    assert_eq!(keys.cool_down.as_secs(), 5);
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    insta::assert_snapshot!(rendered(&GOOD.replace("directory: .", "directory: polices")));
}

#[test]
fn a_message_bound_beyond_what_can_be_held_is_refused() {
    insta::assert_snapshot!(rendered(&format!("{GOOD}limits: {{message_bytes: 10241KiB}}\n")));
}

#[test]
fn messages_that_there_is_never_room_for_are_refused() {
    let limits = |text: &str| load(&format!("{GOOD}limits: {{{text}}}\n"), &[]).1.is_fatal();
    assert!(limits("message_bytes: 2MiB, held_bytes: 1MiB"));
    assert!(!limits("message_bytes: 2MiB, held_bytes: 2MiB"));
    assert!(!limits("message_bytes: 10MiB"));
    assert!(!limits("held_bytes: 1KiB"));
}

#[test]
fn a_flag_replaces_what_the_file_says() {
    let set = |text: &str| text.parse::<Override>().unwrap();
    let overrides = [
        set("admin.address=127.0.0.1:0"),
        set("listeners.0.address=127.0.0.1:0"),
        set("listeners.1.address=127.0.0.1:1"),
        set("upstreams.ops.endpoints.0=127.0.0.1:9999"),
    ];
    let (config, report) = load(GOOD, &overrides);
    assert!(!report.is_fatal(), "{}", report.render(false));
    let config = config.unwrap();
    assert_eq!(config.admin.address.port(), 0);
    assert_eq!(config.listeners.len(), 2);
    assert_eq!(config.upstreams[0].endpoints[0].to_string(), "127.0.0.1:9999");
}

#[test]
fn the_environment_replaces_what_the_file_says_and_a_flag_beats_it() {
    let variables = [("OPGATE__ADMIN__ADDRESS", "127.0.0.1:1"), ("OPGATE_CONFIG", "x"), ("PATH", "x")];
    let mut overrides = Override::from_environment(
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    assert_eq!(overrides.len(), 1);
    overrides.push("admin.address=127.0.0.1:2".parse().unwrap());
    let (config, _) = load(GOOD, &overrides);
    assert_eq!(config.unwrap().admin.address.port(), 2);
}

#[test]
fn an_override_that_leads_nowhere_is_refused() {
    for text in [
        "admin.adress=127.0.0.1:0",
        "listeners.7.address=127.0.0.1:0",
        "listeners.x=1",
        "policy.directory.x=1",
    ] {
        let (_, report) = load(GOOD, &[text.parse().unwrap()]);
        assert!(report.is_fatal(), "{text}");
    }
    assert!("admin.address".parse::<Override>().is_err());
    assert!("a..b=c".parse::<Override>().is_err());
    assert!(Config::load(Path::new("/nonexistent.yaml"), &[], &mut Report::new()).is_none());
}

/// The base with other lines in place of the issuer's keys.
fn with_proof(lines: &str) -> String {
    GOOD.replace("    keys: {url: https://login.example.com/jwks.json}\n", lines)
}

fn endpoint(lines: &str) -> TokenEndpoint {
    let (config, report) = load(&with_proof(lines), &[]);
    assert!(!report.is_fatal(), "{}", report.render(false));
    match config.unwrap().issuers.remove(0).settings.proof {
        Proof::Endpoint(endpoint) => endpoint,
        Proof::Signature(_) => panic!("it has keys"),
    }
}

#[test]
fn an_issuer_can_be_asked_in_several_ways() {
    let introspection = "    introspection: {url: https://login.example.com/introspect, client_id: gate, ";
    let authentication = |rest: &str| match endpoint(&format!("{introspection}{rest}}}\n")).dialect {
        Dialect::Introspection { client_id, authentication } => {
            assert_eq!(client_id, "gate");
            format!("{authentication:?}")
        }
        Dialect::TokenInfo => panic!("it is introspection"),
    };
    assert!(authentication("client_secret_file: s").starts_with("Basic("));
    assert!(authentication("client_secret_file: s, authentication: basic").starts_with("Basic("));
    assert!(authentication("client_secret_file: s, authentication: post").starts_with("Post("));
    assert!(authentication("client_certificate: c, client_key: k").starts_with("Certificate {"));
    let url = "https://oauth2.googleapis.com/tokeninfo";
    let described = endpoint(&format!("    tokeninfo: {{url: {url}}}\n"));
    assert_eq!(described, TokenEndpoint::new(url, Dialect::TokenInfo));
    let described = endpoint(&format!(
        "    tokeninfo: {{url: {url}, prefix: ya29., timeout: 1s, remember: 2s, remember_briefly: 3s}}\n"
    ));
    assert_eq!(described.prefix, "ya29.");
    assert_eq!(
        [described.timeout, described.remember, described.remember_briefly].map(|time| time.as_secs()),
        [1, 2, 3]
    );
}

/// The base with an issuer's `proof_of_possession`.
fn with_possession(value: &str) -> String {
    GOOD.replace("policy:", &format!("    proof_of_possession: {value}\npolicy:"))
}

#[test]
fn an_issuer_says_what_its_tokens_are_bound_to() {
    let rule = |value: &str| {
        let (config, report) = load(&with_possession(value), &[]);
        assert!(!report.is_fatal(), "{}", report.render(false));
        config.unwrap().issuers.remove(0).settings.possession
    };
    let default = PossessionRule::default();
    assert_eq!(default, PossessionRule { required: false, mtls: true, dpop: Some(DpopRule::default()) });
    for (value, expected) in [
        ("{}", default),
        ("{tokens: optional, kinds: [mtls, dpop], nonces: false}", default),
        ("{tokens: required}", PossessionRule { required: true, ..default }),
        ("{kinds: [mtls]}", PossessionRule { dpop: None, ..default }),
        ("{kinds: [dpop]}", PossessionRule { mtls: false, ..default }),
        (
            "{public_port: 8443}",
            PossessionRule {
                dpop: Some(DpopRule { public_port: Some(8443), ..DpopRule::default() }),
                ..default
            },
        ),
        (
            "{nonces: true}",
            PossessionRule { dpop: Some(DpopRule { nonces: true, ..DpopRule::default() }), ..default },
        ),
    ] {
        assert_eq!(rule(value), expected, "{value}");
    }
}

#[test]
fn every_mistake_about_proof_of_possession_is_reported() {
    let mistakes = [
        "required",
        "{tokens: always, kinds: [mTLS, dpop], nonces: maybe, scheme: https}",
        "{kinds: [mtls], nonces: true, public_port: 0}",
        "{kinds: mtls}",
    ];
    insta::assert_snapshot!(mistakes.map(|value| rendered(&with_possession(value))).concat());
}

#[test]
fn every_mistake_about_an_issuer_that_is_asked_is_reported() {
    let mistakes = [
        "",
        "    keys: {file: a.json}\n    tokeninfo: {url: https://login.example.com/tokeninfo}\n",
        "    introspection: {client_secret_file: s, client_certificate: c, urll: x}\n",
        "    introspection: {url: https://a.example, client_id: c, client_secret_file: s, authentication: jwt}\n    algorithms: [RS256]\n",
        "    introspection: {url: https://a.example, client_id: c, client_certificate: c, client_key: k, authentication: basic}\n",
        "    tokeninfo: {client_id: c, timeout: 5}\n    token_types: [JWT]\n",
    ];
    insta::assert_snapshot!(mistakes.map(|lines| rendered(&with_proof(lines))).concat());
}

#[test]
fn the_upgrade_socket_has_a_place() {
    let with = |upgrade: &str| rendered(&format!("{GOOD}upgrade: {upgrade}\n"));
    assert_eq!(with("{socket: upgrade.sock, timeout: 5s}"), "");
    let long = format!("{{socket: /tmp/{}}}", "x".repeat(100));
    insta::assert_snapshot!(
        [
            "{timeout: 60}",
            "{socket: no/such/upgrade.sock}",
            "{socket: .}",
            &long,
            "{socket: upgrade.sock, mode: 0600}",
        ]
        .map(with)
        .join("\n")
    );
}

/// The base with more settings of its upstream.
fn with_upstream(settings: &str) -> String {
    GOOD.replace("[\"127.0.0.1:9000\"]}", &format!("[\"127.0.0.1:9000\"], {settings}}}"))
}

#[test]
fn an_upstream_says_when_it_is_left_alone() {
    let text = with_upstream(
        "timeouts: {total: 2m}, limits: {requests: 5, pending: 6, pending_timeout: 7s}, \
         outliers: {failures: 8, ejection: 9s, longest_ejection: 10s}, \
         health_check: {path: /healthz?full, interval: 1s, timeout: 2s, unhealthy_after: 3, healthy_after: 4}",
    );
    let (config, report) = load(&text, &[]);
    assert!(!report.is_fatal(), "{}", report.render(false));
    let upstream = &config.unwrap().upstreams[0];
    let seconds = Duration::from_secs;
    assert_eq!(upstream.timeouts, Timeouts { total: seconds(120), ..Timeouts::default() });
    assert_eq!(upstream.limits, UpstreamLimits { requests: 5, pending: 6, pending_timeout: seconds(7) });
    let outliers = Outliers { failures: 8, ejection: seconds(9), longest_ejection: seconds(10) };
    assert_eq!(upstream.outliers, outliers);
    let check = HealthCheck {
        path: Some("/healthz?full".to_owned()),
        interval: seconds(1),
        timeout: seconds(2),
        unhealthy_after: 3,
        healthy_after: 4,
    };
    assert_eq!(upstream.health_check, Some(check));
    let (config, _) = load(&with_upstream("health_check: {}"), &[]);
    assert_eq!(config.unwrap().upstreams[0].health_check, Some(HealthCheck::default()));
}

#[test]
fn every_mistake_about_an_upstream_is_reported() {
    let mistakes = [
        "timeouts: {response: 1h}",
        "timeouts: {response: 2s, total: 1s}",
        "limits: {requests: 0, pending: many, pending_time: 1s}",
        "outliers: {failures: -1, ejection: 1m, longest_ejection: 10s}",
        "health_check: {path: healthz, interval: 5, unhealthy: 3}",
        "health_check: yes",
    ];
    insta::assert_snapshot!(mistakes.map(|settings| rendered(&with_upstream(settings))).join("\n"));
}

#[test]
fn every_mistake_about_names_is_reported() {
    let mistakes = ["{servers: [10.0.0.53, dns.example.com], refresh: 30, tries: 3}", "[10.0.0.53]"];
    let mut told = mistakes.map(|dns| rendered(&format!("{GOOD}dns: {dns}\n"))).join("\n");
    for endpoint in ["{srv: '_http._tcp.a:80'}", "{srv: a, port: 80}", "{service: a}", "a..b:80", "{srv: ''}"]
    {
        told += &rendered(&GOOD.replace("\"127.0.0.1:9000\"", endpoint));
    }
    insta::assert_snapshot!(told);
}

#[test]
fn the_fields_that_there_are_are_told_once_each() {
    let told = rendered(&format!("{GOOD}nothing_like_it: 1\n"));
    assert_eq!(told.matches("`policy`").count(), 1, "{told}");
}

#[test]
fn every_mistake_about_a_listener_that_decides_for_others_is_reported() {
    let mut told = String::new();
    for listener in [
        "{address: '10.0.0.1:9001', frontend: ext_authz}",
        "{address: '127.0.0.1:9001', frontend: ext_auth}",
        "{address: '127.0.0.1:9001', authorizer: {from: [10.0.0.1]}}",
        "{address: '127.0.0.1:9001', frontend: forward_auth}",
        "{address: '127.0.0.1:9001', frontend: forward_auth, authorizer: {shape: apache}}",
        "{address: '127.0.0.1:9001', frontend: forward_auth, authorizer: {shape: nginx, body: sent}}",
        "{address: '127.0.0.1:9001', frontend: ext_authz, authorizer: {shape: nginx, from: [0.0.0.0/0]}}",
        "{address: '127.0.0.1:9001', frontend: authzen, authorizer: {body: announced}}",
        "{address: '127.0.0.1:9001', frontend: authzen, proxy_protocol: {addresses: [10.0.0.1]}}",
    ] {
        let text = GOOD.replace("{address: \"127.0.0.1:8080\"}", listener);
        assert_ne!(text, GOOD);
        told += &rendered(&text);
    }
    insta::assert_snapshot!(told);
}

#[test]
fn a_listener_that_decides_for_others_takes_questions_of_named_peers() {
    for listener in [
        "{address: '127.0.0.1:9001', frontend: ext_authz}",
        "{address: '[::1]:9001', frontend: authzen}",
        "{address: '0.0.0.0:9001', frontend: ext_authz, authorizer: {from: [10.0.0.7, 'unix'], body: sent}}",
        "{address: '0.0.0.0:9001', frontend: forward_auth, authorizer: {from: [10.0.0.0/8], shape: traefik, body: sent}}",
    ] {
        let (config, report) = load(&GOOD.replace("{address: \"127.0.0.1:8080\"}", listener), &[]);
        assert!(!report.is_fatal(), "{listener}: {}", report.render(false));
        assert!(config.unwrap().listeners[0].authorizer.is_some(), "{listener}");
    }
}

#[test]
fn a_service_has_the_certificate_of_its_domain() {
    let text = GOOD.replace("[\"127.0.0.1:9000\"]}", "[{srv: _grpc._tcp.a.test}], tls: {}, protocol: h2}");
    let (config, report) = load(&format!("{text}dns: {{servers: ['::1', '127.0.0.1:8600']}}\n"), &[]);
    assert!(!report.is_fatal(), "{}", report.render(false));
    let config = config.unwrap();
    let servers: Vec<_> = config.dns.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["[::1]:53", "127.0.0.1:8600"]);
    let tls = config.upstreams[0].tls.as_ref().unwrap();
    assert_eq!(tls.client.server_name, "a.test");
    assert_eq!(config.upstreams[0].endpoints[0].to_string(), "srv:_grpc._tcp.a.test");
    let other = text.replace("[{srv", "['b.test:1', {srv");
    assert!(rendered(&other).contains("the endpoints have different hosts"));
}

#[test]
fn an_endpoint_that_is_written_twice_is_one() {
    let text =
        GOOD.replace("[\"127.0.0.1:9000\"]", "[\"127.0.0.1:9000\", \"127.0.0.1:9001\", \"127.0.0.1:9000\"]");
    let (config, _) = load(&text, &[]);
    let endpoints: Vec<_> = config.unwrap().upstreams[0].endpoints.iter().map(ToString::to_string).collect();
    assert_eq!(endpoints, ["127.0.0.1:9000", "127.0.0.1:9001"]);
}

#[test]
fn every_mistake_about_assertions_is_reported() {
    let mut told = String::new();
    for assertion in [
        "{}",
        "{issuer: 'http://gate.example.com', lifetime: 5s, jwks_path: jwks.json, key: a.pem}",
        "{issuer: 'https://gate.example.com/?a=b', lifetime: 11m, jwks_path: '/a/../jwks.json', keys: []}",
        "{issuer: 'https://ana@gate.example.com', jwks_path: '/jwks%2Ejson', keys: [gone.pem, sub/]}",
        "{issuer: 'https://', jwks_path: /}",
        "{issuer: 'https://login.example.com', jwks_path: '/jwks:get', keys: none.pem}",
    ] {
        told.push_str(&format!("# {assertion}\n{}", rendered(&format!("{GOOD}assertion: {assertion}\n"))));
    }
    insta::assert_snapshot!(told);
}

#[test]
fn an_assertion_needs_something_that_signs_it() {
    let asking = GOOD.replace("{upstream: ops}", "{upstream: ops, forward: [assertion]}");
    insta::assert_snapshot!(rendered(&asking));
    let (config, report) = load(&format!("{asking}assertion: {{issuer: 'https://gate.example.com'}}\n"), &[]);
    assert!(report.diagnostics().is_empty(), "{}", report.render(false));
    let config = config.unwrap();
    assert!(config.services[0].forwarding.assertion && !config.services[0].forwarding.principal);
    let assertion = config.assertion.unwrap();
    assert_eq!(assertion.lifetime.as_secs(), 60);
    assert!(assertion.keys.is_empty() && assertion.jwks_path.is_none());
}
