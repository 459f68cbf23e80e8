//! An issuer that requires client certificates: how the gate authenticates to it (RFC 8705, section 2).

use std::path::Path;

use serde_json::{Value, json};

use super::{PARTNER, allowed, judged, unavailable};
use crate::authority::{Authority, Leaf, expired};
use crate::harness::{CLOUD_PLATFORM, Gate, Setup};
use crate::origin::{Origin, Step};

/// An endpoint that calls every token Ana's, for clients that it accepts.
async fn endpoint(server: &Authority, clients: &Authority) -> Origin {
    let members = json!({
        "active": true, "aud": "opgate", "sub": "1234", "email": "ana@example.com", "email_verified": true,
        "scope": CLOUD_PLATFORM,
    });
    let body = members.to_string();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let script = [Step::Head, Step::Body, Step::Say(answer.leak())];
    Origin::start_tls(server.issue(&["127.0.0.1"]).server(&[], Some(clients)), Vec::from(script).leak()).await
}

/// A gate that asks it, and authenticates in this way.
fn gate(origin: &Origin, ca: &Path, authentication: &Value) -> Gate {
    let url = format!("https://{}/introspect", origin.address);
    let mut introspection = json!({ "url": url, "client_id": "opgate", "ca": ca, "timeout": "2s" });
    introspection.as_object_mut().unwrap().extend(authentication.as_object().unwrap().clone());
    let partner = json!({
        "issuer": PARTNER, "audiences": ["opgate"], "email_domains": ["example.com"],
        "introspection": introspection,
    });
    let set = vec![
        format!("issuers.partner={partner}"),
        "issuers.demo.email_domains=[example.com]".to_owned(),
        "telemetry.log=debug".to_owned(),
    ];
    Gate::start_with(Setup { set, ..Setup::default() })
}

#[tokio::test]
async fn an_issuer_that_requires_a_certificate_is_asked_with_the_gates_own_or_not_at_all() {
    let (server, clients) = (Authority::new(), Authority::new());
    let origin = endpoint(&server, &clients).await;
    let files = tempfile::tempdir().unwrap();
    let ca = files.path().join("ca.pem");
    std::fs::write(&ca, server.pem()).unwrap();
    let secret = files.path().join("secret");
    std::fs::write(&secret, "not-what-is-asked-for").unwrap();
    let with = |name: &str, leaf: &Leaf| {
        let (certificate, key) = leaf.write(files.path(), name);
        json!({ "client_certificate": certificate, "client_key": key })
    };

    let own = clients.issue_to(&["spiffe://prod.example/opgate"]);
    let good = gate(&origin, &ca, &with("own", &own));
    assert_eq!(judged(&good, "opaque").await, allowed(), "{}", good.log());
    assert_eq!(origin.requests().len(), 1, "the gate asked about the token twice");
    let key = own.key.lines().nth(1).unwrap();
    assert!(!good.log().contains(key) && !good.audit_text().contains(key), "a private key is in a log");

    let foreign = Authority::new().issue_to(&["spiffe://prod.example/opgate"]);
    let over = clients.issue_with(&[], expired);
    for (name, authentication) in [
        ("none", json!({ "client_secret_file": secret })),
        ("foreign", with("foreign", &foreign)),
        ("expired", with("expired", &over)),
    ] {
        let gate = gate(&origin, &ca, &authentication);
        assert_eq!(judged(&gate, "opaque").await, unavailable(), "{name}");
        assert_eq!(gate.backend.requests().len(), 0, "{name}");
        assert!(gate.log().contains("cannot look up tokens"), "{name}: {}", gate.log());
    }
    assert_eq!(origin.requests().len(), 1, "the endpoint accepted another client");

    // The gate in turn does not ask a server without the right certificate.
    let elsewhere = files.path().join("elsewhere.pem");
    std::fs::write(&elsewhere, Authority::new().pem()).unwrap();
    let gate = gate(&origin, &elsewhere, &with("own", &own));
    assert_eq!(judged(&gate, "opaque").await, unavailable());
    assert_eq!(origin.requests().len(), 1, "the token was sent to an unverified server");
}
