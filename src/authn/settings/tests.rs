use std::fmt::Write as _;
use std::path::PathBuf;

use super::*;
use crate::authn::{Authenticator, ClientAuthentication, Dialect};

fn good(name: &str) -> IssuerSettings {
    IssuerSettings::new(name, format!("https://{name}"), "aud", KeySource::url("https://issuer.example/jwks"))
}

#[test]
fn defaults_are_accepted() {
    assert_eq!(check(&[good("one")]), []);
    assert_eq!(check(&[]), []);
}

/// Only the operator can say that `two` does not sign for the people of `one`.
#[test]
fn several_issuers_say_whose_emails_they_may_assert() {
    let told =
        |settings: &[IssuerSettings]| check(settings).iter().map(|error| error.index).collect::<Vec<_>>();
    assert_eq!(told(&[good("one"), good("two")]), [0, 1]);
    let mut limited = good("one");
    limited.identity.email_domains = Some(vec!["example.com".to_owned()]);
    assert_eq!(told(&[limited.clone(), good("two")]), [1]);
    let mut mapped = good("two");
    mapped.identity.subject_pool = Some("iam.googleapis.com/locations/global/workforcePools/p".to_owned());
    mapped.identity.attribute_mapping = vec![(MappedAttribute::Subject, "assertion.sub".to_owned())];
    assert_eq!(told(&[limited, mapped.clone()]), [0; 0]);
    assert_eq!(told(&[good("one"), mapped]), [0; 0]);
}

#[test]
fn every_mistake_is_told() {
    let bad = IssuerSettings {
        name: String::new(),
        issuer: String::new(),
        audiences: vec![String::new()],
        proof: Proof::Signature(KeySource::Remote(RemoteKeys {
            refresh: Duration::from_secs(1),
            max_stale: Duration::ZERO,
            cool_down: Duration::from_millis(999),
            ..RemoteKeys::at(KeyLocation::Url("http://issuer.example/jwks".to_owned()))
        })),
        audience_claim: "client_id".to_owned(),
        required_claims: Vec::new(),
        accept_id_tokens: false,
        scopes: Some(vec!["a b".to_owned(), String::new()]),
        algorithms: Vec::new(),
        clock_skew: Duration::from_secs(301),
        token_types: Vec::new(),
        identity: IdentityRule {
            subject_pool: Some("staff".to_owned()),
            group_emails: Some("groups".to_owned()),
            trust_domain: Some("TD.example".to_owned()),
            ..IdentityRule::default()
        },
        possession: PossessionRule { required: true, mtls: false, dpop: None },
        self_signed: false,
    };
    insta::assert_snapshot!(told(&check(&[good("one"), bad, good("one")])));
}

#[test]
fn a_pool_is_a_name_that_reads_alike_everywhere() {
    let is_refused = |pool: &str| {
        let mut settings = good("one");
        settings.identity.subject_pool = Some(pool.to_owned());
        check(&[settings]).iter().any(|mistake| format!("{mistake:?}").contains("identity pool"))
    };
    for pool in [
        "iam.googleapis.com/locations/global/workforcePools/staff-1",
        "iam.googleapis.com/projects/12/locations/global/workloadIdentityPools/my_pool.x",
    ] {
        assert!(!is_refused(pool), "{pool}");
    }
    for name in [
        "a,b",
        "a b",
        "a\nb",
        "a\0b",
        "a\u{7f}",
        "a;b",
        "\u{e9}",
        "a\"b",
        "a%2fb",
        "a?b",
        "a/group/b",
        "a/subject/b",
        "a/attribute.b",
    ] {
        let pool = format!("iam.googleapis.com/locations/global/workforcePools/{name}");
        assert!(is_refused(&pool), "{name:?}");
    }
}

#[test]
fn a_claim_about_a_party_does_not_make_an_access_token() {
    let is_refused = |claim: &str| {
        let mut settings = good("one");
        settings.audience_claim = "client_id".to_owned();
        settings.required_claims = vec![(claim.to_owned(), "x".into())];
        check(&[settings]).iter().any(|mistake| format!("{mistake:?}").contains("pass for an access token"))
    };
    for claim in ["iss", "sub", "aud", "azp", "client_id"] {
        assert!(is_refused(claim), "{claim}");
    }
    assert!(!is_refused("token_use"));
}

#[test]
fn key_sets_are_fetched_over_tls_or_from_this_machine() {
    for url in [
        "https://issuer.example/jwks",
        "http://127.0.0.1:8080/jwks",
        "http://[::1]/jwks",
        "http://localhost/jwks",
    ] {
        assert!(parse_url(url).is_ok(), "{url}");
    }
    for url in [
        "http://issuer.example/jwks",
        "http://localhost.issuer.example/",
        "http://127.0.0.1.issuer.example/",
        "http://169.254.169.254/computeMetadata",
        "http://10.0.0.1/",
        "http://[::ffff:10.0.0.1]/",
        "https://user:secret@issuer.example/",
        "http://127.0.0.1@issuer.example/",
        "file:///etc/passwd",
        "ftp://issuer.example/",
        "issuer.example/jwks",
        "",
    ] {
        assert!(parse_url(url).is_err(), "{url}");
    }
}

#[test]
fn a_token_file_is_shown_to_one_host() {
    let is_refused = |urls: [&str; 2]| {
        let mut settings = good("one");
        if let Proof::Signature(KeySource::Remote(keys)) = &mut settings.proof {
            keys.location = KeyLocation::Urls(urls.map(str::to_owned).to_vec());
            keys.token_file = Some(PathBuf::from("token"));
        }
        check(&[settings]).iter().any(|mistake| format!("{mistake:?}").contains("several hosts"))
    };
    assert!(!is_refused(["https://a.example/1", "https://a.example:443/2"]));
    assert!(is_refused(["https://a.example/1", "https://b.example/1"]));
    assert!(is_refused(["https://a.example/1", "https://a.example:8443/1"]));
}

#[test]
fn files_that_cannot_be_used_are_told_of_at_load() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let file = |name: &str, path: PathBuf| IssuerSettings {
        proof: Proof::Signature(KeySource::File(path)),
        ..good(name)
    };
    let mut with_ca = good("ca");
    if let Proof::Signature(KeySource::Remote(keys)) = &mut with_ca.proof {
        keys.ca = Some(path("ca.pem", "no certificate"));
    }
    let settings = vec![
        file("missing", folder.path().join("missing.json")),
        file("empty", path("empty.json", r#"{"keys": []}"#)),
        file("garbage", path("garbage.json", "keys")),
        with_ca,
    ];
    let errors = Authenticator::load(settings, std::time::UNIX_EPOCH).unwrap_err();
    let mut text = String::new();
    for error in errors {
        writeln!(text, "{} {}: {}\n  help: {}", error.index, error.field, error.message, error.help).unwrap();
    }
    insta::assert_snapshot!(text.replace(&folder.path().display().to_string(), "DIR"));
}

#[test]
fn a_bad_url_is_told_of_once() {
    let settings = IssuerSettings {
        proof: Proof::Signature(KeySource::url("http://issuer.example/jwks")),
        ..good("one")
    };
    assert_eq!(Authenticator::load(vec![settings], std::time::UNIX_EPOCH).unwrap_err().len(), 1);
}

/// Discovery starts from `iss`, and where the keys may lie is a list of hosts.
#[test]
fn missing_settings_of_discovery_are_reported() {
    let discovering = |issuer: &str, hosts: &[&str]| {
        let hosts = hosts.iter().map(|&host| host.to_owned()).collect();
        let location = KeyLocation::Discovery { document: WellKnown::OpenId, hosts };
        IssuerSettings::new("one", issuer, "aud", KeySource::Remote(RemoteKeys::at(location)))
    };
    let fields = |settings: IssuerSettings| {
        check(&[settings]).iter().map(|error| error.field).collect::<Vec<_>>().join(" ")
    };
    for issuer in ["https://login.example.com", "https://login.example.com/a/", "http://127.0.0.1:8080"] {
        assert_eq!(fields(discovering(issuer, &["keys.example.com", "a.example.com:8443", "[::1]:1"])), "");
    }
    for issuer in ["accounts.google.com", "http://login.example.com", "https://login.example.com?a", "urn:x"]
    {
        assert_eq!(fields(discovering(issuer, &[])), "discovery", "{issuer}");
        let unusable = Authenticator::load(vec![discovering(issuer, &[])], std::time::UNIX_EPOCH);
        assert_eq!(unusable.unwrap_err().len(), 1);
    }
    for host in ["https://keys.example.com", "keys.example.com/", "*", "*.example.com", "a@b.example.com", ""]
    {
        assert_eq!(fields(discovering("https://login.example.com", &[host])), "jwks_hosts", "{host}");
    }
}

#[test]
fn a_proxy_is_for_what_it_cannot_read() {
    let fetched = |url: &str, proxy: &str| {
        let mut keys = RemoteKeys::at(KeyLocation::Urls(vec![url.to_owned()]));
        keys.proxy = Some(proxy.to_owned());
        let settings = IssuerSettings::new("one", "https://one", "aud", KeySource::Remote(keys));
        check(&[settings]).iter().map(|error| error.field).collect::<Vec<_>>().join(" ")
    };
    let (secure, plain) = ("https://keys.example", "http://127.0.0.1:8080/keys");
    for proxy in ["http://proxy.example:3128", "http://10.0.0.1:3128/", "https://proxy.example"] {
        assert_eq!(fetched(secure, proxy), "", "{proxy}");
        assert_eq!(fetched(plain, proxy), "proxy", "{proxy}");
    }
    for proxy in [
        "proxy.example:3128",
        "socks5://proxy",
        "http://user:secret@proxy",
        "http://proxy/path",
        "http://proxy?a",
        "",
    ] {
        assert_eq!(fetched(secure, proxy), "proxy", "{proxy}");
    }
    let urls = |count: usize| {
        let urls = (0..count).map(|number| format!("https://keys.example/{number}")).collect();
        let keys = KeySource::Remote(RemoteKeys::at(KeyLocation::Urls(urls)));
        check(&[IssuerSettings::new("one", "https://one", "aud", keys)]).len()
    };
    assert_eq!([0, 1, 8, 9].map(urls), [1, 0, 0, 1]);
}

#[test]
fn a_template_is_not_an_issuer() {
    let template = "https://login.microsoftonline.com/{tenantid}/v2.0";
    let errors = check(&[IssuerSettings { issuer: template.to_owned(), ..good("one") }]);
    assert!(errors[0].message.contains("is a template"), "{}", errors[0].message);
    assert!(errors[0].help.contains("name each tenant as an issuer of its own"), "{}", errors[0].help);
}

#[test]
fn a_service_account_is_its_own_issuer_at_its_own_address() {
    let keys = KeySource::url("https://keys.example.com/{email}/jwk");
    let account = |email: &str| IssuerSettings::service_account("robots", email, &keys);
    let ci = account("ci@demo.iam.gserviceaccount.com");
    assert_eq!(ci.name, "robots/ci@demo.iam.gserviceaccount.com");
    let at = KeySource::url("https://keys.example.com/ci@demo.iam.gserviceaccount.com/jwk");
    assert_eq!(ci.proof, Proof::Signature(at));
    // Another trusted issuer must not be able to assert it.
    let told =
        |settings: &[IssuerSettings]| check(settings).iter().map(|error| error.index).collect::<Vec<_>>();
    assert_eq!(told(&[ci.clone(), account("cd@demo.iam.gserviceaccount.com")]), [0; 0]);
    assert_eq!(told(&[ci, good("one")]), [1]);
    for email in [
        "ana@example.com",
        "ci@gserviceaccount.com.evil.example",
        "CI@demo.iam.gserviceaccount.com",
        "../ci@demo.iam.gserviceaccount.com",
        "ci?x@demo.iam.gserviceaccount.com",
        "ci%2F@demo.iam.gserviceaccount.com",
        "",
    ] {
        let errors = check(&[account(email)]);
        assert!(errors.iter().any(|error| error.field == "service_accounts"), "{email}");
    }
}

fn asked(name: &str, prefix: &str) -> IssuerSettings {
    let mut endpoint = TokenEndpoint::new("https://issuer.example/tokeninfo", Dialect::TokenInfo);
    endpoint.prefix = prefix.to_owned();
    let mut settings = IssuerSettings { proof: Proof::Endpoint(endpoint), ..good(name) };
    settings.identity.email_domains = Some(vec!["example.com".to_owned()]);
    settings
}

fn told(errors: &[SettingsError]) -> String {
    let mut text = String::new();
    for error in errors {
        writeln!(text, "{} {}: {}\n  help: {}", error.index, error.field, error.message, error.help).unwrap();
    }
    text
}

#[test]
fn of_several_issuers_that_are_asked_prefixes_tell_whose_a_token_is() {
    for accepted in
        [&[asked("one", "")][..], &[asked("one", "one_")], &[asked("one", "a_"), asked("two", "b_")]]
    {
        assert_eq!(check(accepted), []);
    }
    let none = [asked("one", ""), asked("two", ""), asked("three", "three_")];
    let overlapping = [asked("one", "ya29."), asked("two", "ya29"), asked("three", "ya29.")];
    insta::assert_snapshot!(told(&check(&none)) + "\n" + &told(&check(&overlapping)));
}

#[test]
fn every_mistake_about_an_endpoint_is_told() {
    let mut endpoint = TokenEndpoint::new(
        "http://issuer.example/introspect",
        Dialect::Introspection {
            client_id: String::new(),
            authentication: ClientAuthentication::Basic("secret".into()),
        },
    );
    endpoint.prefix = "a b".to_owned();
    endpoint.timeout = Duration::from_secs(31);
    endpoint.remember = Duration::from_secs(3601);
    endpoint.remember_briefly = Duration::from_secs(61);
    insta::assert_snapshot!(told(&check(&[IssuerSettings {
        proof: Proof::Endpoint(endpoint),
        ..good("one")
    }])));
}

#[test]
fn every_file_of_an_endpoint_that_cannot_be_used_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let missing = directory.path().join("missing");
    let (text, empty) = (path("text", "no certificate"), path("empty", "\n"));
    let certificate = |certificate: &Path, key: &Path| ClientAuthentication::Certificate {
        certificate: certificate.into(),
        key: key.into(),
    };
    let authentications = [
        ClientAuthentication::Basic(missing.clone()),
        ClientAuthentication::Post(empty.clone()),
        certificate(&missing, &text),
        certificate(&text, &missing),
        certificate(&text, &text),
    ];
    let issuers = authentications.into_iter().enumerate().map(|(number, authentication)| {
        let dialect = Dialect::Introspection { client_id: "gate".to_owned(), authentication };
        let mut endpoint = TokenEndpoint::new("http://127.0.0.1:1/introspect", dialect);
        endpoint.prefix = format!("{number}_");
        let name = format!("{number}");
        let mut settings = IssuerSettings { proof: Proof::Endpoint(endpoint), ..good(&name) };
        settings.identity.email_domains = Some(vec!["example.com".to_owned()]);
        settings
    });
    let errors = Authenticator::load(issuers.collect(), std::time::UNIX_EPOCH).unwrap_err();
    let text = told(&errors).replace(&*directory.path().to_string_lossy(), "config");
    insta::assert_snapshot!(text);
}
