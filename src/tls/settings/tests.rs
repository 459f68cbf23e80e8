use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::config::Config;
use crate::diagnostic::Report;

const REST: &str = "\
services: {cloudaicompanion: {upstream: ops}}
issuers: {staff: {issuer: \"https://a.test\", audiences: [a], keys: {url: \"https://a.test/jwks\"}}}
policy: {directory: .}
";

const UPSTREAMS: &str = "upstreams: {ops: {endpoints: [\"127.0.0.1:1\"]}}\n";

/// Good and bad files, as their names say.
fn write_files(directory: &Path) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let write = |name: &str, content: &str| std::fs::write(directory.join(name), content).unwrap();
    write("ca.pem", &authority.pem());
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
    write("good.pem", &params.signed_by(&key, &authority).unwrap().pem());
    write("good-key.pem", &key.serialize_pem());
    write("other-key.pem", &KeyPair::generate().unwrap().serialize_pem());
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    write("expired.pem", &params.signed_by(&key, &authority).unwrap().pem());
    let mut nameless = CertificateParams::new(Vec::new()).unwrap();
    nameless.distinguished_name.push(rcgen::DnType::CommonName, "a.test");
    write("nameless.pem", &nameless.signed_by(&key, &authority).unwrap().pem());
    let address = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    write("address.pem", &address.signed_by(&key, &authority).unwrap().pem());
    write("empty.pem", "");
    write("broken.pem", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n");
    write("cut.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    write(
        "encrypted-key.pem",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    write("two-keys.pem", &(key.serialize_pem() + &key.serialize_pem()));
}

fn load(text: &str) -> (Option<Config>, String) {
    let directory = tempfile::tempdir().unwrap();
    write_files(directory.path());
    let path = directory.path().join("opgate.yaml");
    std::fs::write(&path, format!("{text}{REST}")).unwrap();
    let mut report = Report::new();
    let config = Config::load(&path, &[], &mut report);
    (config, report.render(false).replace(&*directory.path().to_string_lossy(), "config"))
}

fn listening(tls: &[&str]) -> (Option<Config>, String) {
    let listeners: String =
        tls.iter().map(|tls| format!("- address: 127.0.0.1:0\n  tls: {{{tls}}}\n")).collect();
    load(&format!("{UPSTREAMS}listeners:\n{listeners}"))
}

#[test]
fn a_listener_presents_what_it_is_given() {
    let (config, said) = listening(&[
        "certificates: [{cert: good.pem, key: good-key.pem}]",
        "certificates: [{cert: good.pem, key: good-key.pem}], client_ca: ca.pem, client_certificates: optional, \
         client_identity: principal, client_scopes: [a], \
         client_pool: iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p",
    ]);
    assert_eq!(said, "");
    let files = |number: usize| config.as_ref().unwrap().listeners[number].tls.as_ref().unwrap().files.len();
    assert_eq!((files(0), files(1)), (2, 3));
}

#[test]
fn a_certificate_that_is_never_presented_is_told_of() {
    let good = "{cert: good.pem, key: good-key.pem}";
    let of = |name: &str| format!("{{cert: {name}.pem, key: good-key.pem}}");
    let (config, said) = listening(&[
        &format!("certificates: [{good}, {}, {}]", of("nameless"), of("address")),
        &format!("certificates: [{}, {good}]", of("nameless")),
        &format!("certificates: [{}, {good}]", of("address")),
    ]);
    assert_eq!(config.unwrap().listeners.len(), 3);
    insta::assert_snapshot!(said);
}

#[test]
fn an_expired_certificate_is_told_of_and_used() {
    let (config, said) = listening(&["certificates: [{cert: expired.pem, key: good-key.pem}]"]);
    assert!(config.unwrap().listeners[0].tls.is_some());
    insta::assert_snapshot!(said);
}

#[test]
fn files_that_cannot_be_used_are_told_of_one_by_one() {
    let (config, said) = listening(&[
        "certificates: [{cert: good.pem, key: other-key.pem}, {cert: empty.pem, key: good.pem}]",
        "certificates: [{cert: broken.pem, key: encrypted-key.pem}, {cert: cut.pem, key: two-keys.pem}]",
        "certificates: [{cert: missing.pem, key: .}]",
        "certificates: [{cert: good.pem, key: good-key.pem}], client_ca: good-key.pem, client_certificates: required",
    ]);
    // Each of them needs another one.
    assert!(config.unwrap().listeners.is_empty());
    insta::assert_snapshot!(said);
}

#[test]
fn settings_that_say_nothing_are_refused() {
    insta::assert_snapshot!(
        listening(&[
            "certificates: []",
            "certificates: [{cert: good.pem}], client_pool: iam.googleapis.com/p",
            "cert: good.pem, key: good-key.pem",
            "certificates: [{cert: good.pem, key: good-key.pem}], client_ca: ca.pem, client_certificates: maybe, \
             client_pool: pools/p, client_identity: principal",
            "certificates: [{cert: good.pem, key: good-key.pem}], client_ca: ca.pem, client_scopes: [a], \
             client_identity: person",
        ])
        .1
    );
}

fn calling(upstream: &str) -> String {
    load(&format!("listeners: [{{address: \"127.0.0.1:0\"}}]\nupstreams:\n  ops: {{{upstream}}}\n")).1
}

#[test]
fn an_upstream_is_verified_for_the_host_of_its_endpoints_or_for_a_name() {
    for upstream in [
        "endpoints: [\"localhost:1\", \"localhost:2\"], tls: {}, protocol: h2",
        "endpoints: [\"127.0.0.1:1\"], tls: {ca: ca.pem, cert: good.pem, key: good-key.pem}",
        "endpoints: [\"[::1]:1\"], tls: {}",
        "endpoints: [\"127.0.0.1:1\", \"localhost:1\"], tls: {sni: a.test}",
    ] {
        assert_eq!(calling(upstream), "", "{upstream}");
    }
}

#[test]
fn an_upstream_that_could_not_be_verified_is_refused() {
    let said: Vec<String> = [
        "endpoints: [\"127.0.0.1:1\", \"localhost:1\"], tls: {}",
        "endpoints: [\"127.0.0.1:1\"], tls: {sni: \"\"}",
        "endpoints: [\"127.0.0.1:1\"], tls: {sni: a_b.c.test}",
        "endpoints: [\"127.0.0.1:1\"], tls: {ca: empty.pem, cert: good.pem, verify: false}",
        "endpoints: [\"127.0.0.1:1\"], tls: {}, protocol: h2c",
        "endpoints: [\"127.0.0.1:1\"], protocol: h2",
    ]
    .map(calling)
    .into();
    insta::assert_snapshot!(said.join("\n"));
}
