//! Connections that outlive the rules under which they were made: each request is judged by the rules in force.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{CI, POOL, cancel, policies, thumbprint};
use crate::authority::{Authority, Client, Leaf};
use crate::connection::Connection;
use crate::harness::{
    CLOUD_PLATFORM, CLOUD_TRANSLATION, COMPANION, Gate, Http2, Req, Setup, Tree, reason, root, token,
    token_with,
};

const OTHER_POOL: &str = "iam.googleapis.com/projects/2/locations/global/workloadIdentityPools/mesh";

/// A gate whose rules for clients are in a file of their own.
struct Changing {
    gate: Gate,
    server: Authority,
    clients: Authority,
    files: tempfile::TempDir,
    _policies: Tree,
    reloads: std::cell::Cell<usize>,
}

impl Changing {
    fn start(rules: Value) -> Self {
        let (server, clients) = (Authority::new(), Authority::new());
        let files = tempfile::tempdir().unwrap();
        server.issue(&[COMPANION]).write(files.path(), "server");
        std::fs::write(files.path().join("clients-ca.pem"), clients.pem()).unwrap();
        std::fs::write(files.path().join("other-ca.pem"), Authority::new().pem()).unwrap();
        let policies = policies();
        write(&files, &rules, "");
        let set = vec![policies.setting()];
        let gate = Gate::start_with(Setup { set, config: Some(config(&files)), ..Setup::default() });
        Self { gate, server, clients, files, _policies: policies, reloads: std::cell::Cell::new(0) }
    }

    /// Puts other rules in force.
    async fn change(&self, rules: Value) {
        self.change_beside(rules, "").await;
    }

    /// The same, in a file with another listener.
    async fn change_beside(&self, rules: Value, other: &str) {
        write(&self.files, &rules, other);
        self.gate.hang_up();
        // The change is loaded by SIGHUP, or because the gate looked at its files, or both.
        let deadline = Instant::now() + Duration::from_secs(20);
        let reloads = || self.gate.log().matches("configuration read").count();
        while reloads() == self.reloads.get() {
            assert!(Instant::now() < deadline, "no reload:\n{}", self.gate.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // A second load, after the signal's, brings the same rules.
        tokio::time::sleep(Duration::from_millis(1200)).await;
        self.reloads.set(reloads());
    }

    async fn open(&self, client: Client) -> Kept {
        let connect = async |client: Client| client.connect(self.gate.address, COMPANION).await.unwrap();
        let http1 = Connection::over(connect(client.clone()).await);
        let http2 = Http2::over_tls(connect(client.offering(&["h2"])).await).await;
        Kept { http1, http2 }
    }

    fn holder(&self, leaf: &Leaf) -> Client {
        self.server.client().showing(leaf)
    }
}

fn config(files: &tempfile::TempDir) -> PathBuf {
    files.path().join("opgate.yaml")
}

fn write(files: &tempfile::TempDir, rules: &Value, other: &str) {
    let mut tls = json!({ "certificates": [{ "cert": "server.pem", "key": "server-key.pem" }] });
    tls.as_object_mut().unwrap().extend(rules.as_object().unwrap().clone());
    let demo = std::fs::read_to_string(root().join("config/demo.yaml")).unwrap();
    let listener = "- address: 127.0.0.1:8080\n";
    assert!(demo.contains(listener));
    let text = demo.replacen(listener, &format!("{listener}  tls: {tls}\n{other}"), 1);
    let next = files.path().join("next");
    std::fs::write(&next, text).unwrap();
    std::fs::rename(next, config(files)).unwrap();
}

/// One connection of each version.
struct Kept {
    http1: Connection,
    http2: Http2,
}

impl Kept {
    /// The answer on both connections, which must agree.
    async fn ask(&mut self, request: &Req) -> (u16, String) {
        self.http1.send(request.to_http1()).await;
        let over1 = self.http1.answer().await.unwrap();
        let (response, _) = self.http2.start(request, true).await;
        let over2 = self.http2.finish(response).await;
        assert_eq!((over1.status, reason(&over1)), (over2.status, reason(&over2)));
        (over1.status, reason(&over1))
    }
}

fn callers(ca: &str) -> Value {
    json!({
        "client_ca": ca, "client_certificates": "optional", "client_pool": POOL,
        "client_identity": "principal", "client_scopes": [CLOUD_PLATFORM],
    })
}

fn with(mut rules: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => rules.as_object_mut().unwrap().remove(name),
            value => rules.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    rules
}

fn allowed() -> (u16, String) {
    (200, String::new())
}

fn refused(status: u16, reason: &str) -> (u16, String) {
    (status, reason.to_owned())
}

/// A gate by whose rules a holder of a certificate may cancel, the certificate, and connections on which it has done so.
async fn allowed_by_certificate(rules: &Value) -> (Changing, Leaf, Kept) {
    let gate = Changing::start(rules.clone());
    let leaf = gate.clients.issue_to(&[CI]);
    let mut kept = gate.open(gate.holder(&leaf)).await;
    assert_eq!(kept.ask(&cancel()).await, allowed());
    (gate, leaf, kept)
}

#[tokio::test]
async fn a_kept_connection_is_judged_by_the_rules_in_force_at_each_request() {
    let ours = callers("clients-ca.pem");
    let (gate, leaf, mut kept) = allowed_by_certificate(&ours).await;
    let bound = json!({ "cnf": { "x5t#S256": thumbprint(&leaf) } });
    let bound = cancel().bearer(&token_with("ana@example.com", bound));
    assert_eq!(kept.ask(&bound).await, allowed());

    gate.change(with(ours.clone(), json!({ "client_identity": "audit", "client_scopes": null }))).await;
    assert_eq!(kept.ask(&cancel()).await, refused(401, "CREDENTIALS_MISSING"), "audit");
    assert_eq!(kept.ask(&bound).await, allowed(), "the gate asks for the certificate, and accepts it");

    gate.change(with(ours.clone(), json!({ "client_scopes": [CLOUD_TRANSLATION] }))).await;
    assert_eq!(kept.ask(&cancel()).await, refused(403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT"), "scopes");

    gate.change(with(ours.clone(), json!({ "client_pool": OTHER_POOL }))).await;
    assert_eq!(kept.ask(&cancel()).await, refused(403, "IAM_PERMISSION_DENIED"), "pool");

    gate.change(json!({})).await;
    assert_eq!(kept.ask(&cancel()).await, refused(401, "CREDENTIALS_MISSING"), "no CA");
    assert_eq!(
        kept.ask(&bound).await,
        refused(401, "JWT_TOKEN_INVALID"),
        "a new connection would show no certificate"
    );

    // Back to the first rules: the first outcome again.
    gate.change(ours).await;
    assert_eq!(kept.ask(&cancel()).await, allowed());

    gate.change(callers("other-ca.pem")).await;
    let ana = cancel().bearer(&token("ana@example.com"));
    assert_eq!(kept.ask(&ana).await, refused(421, "REQUEST_MISDIRECTED"), "another CA");
    assert!(kept.http1.answer().await.is_none(), "the connection ends with it");
}

#[tokio::test]
async fn a_kept_connection_without_a_certificate_ends_where_one_is_required_by_now() {
    let optional = callers("clients-ca.pem");
    let gate = Changing::start(optional.clone());
    let (mut without, leaf) = (gate.open(gate.server.client()).await, gate.clients.issue_to(&[CI]));
    let mut holder = gate.open(gate.holder(&leaf)).await;
    let ana = cancel().bearer(&token("ana@example.com"));
    for kept in [&mut without, &mut holder] {
        assert_eq!(kept.ask(&ana).await.0, 200);
    }
    gate.change(with(optional, json!({ "client_certificates": "required" }))).await;
    assert_eq!(without.ask(&ana).await, refused(421, "REQUEST_MISDIRECTED"));
    assert!(without.http1.answer().await.is_none(), "the connection ends with it");
    assert_eq!(holder.ask(&ana).await.0, 200);
    assert_eq!(gate.gate.backend.requests().len(), 6);
}

/// The certificate of one listener once kept the rules for clients of all in force.
#[tokio::test]
async fn a_broken_certificate_keeps_no_rule_for_clients_in_force() {
    let ours = callers("clients-ca.pem");
    let (gate, leaf, mut kept) = allowed_by_certificate(&ours).await;

    // Of another listener.
    let broken = "- {address: '127.0.0.1:0', tls: {certificates: [{cert: missing.pem, key: missing.pem}]}}\n";
    gate.change_beside(json!({}), broken).await;
    assert_eq!(kept.ask(&cancel()).await, refused(401, "CREDENTIALS_MISSING"));
    assert!(gate.gate.log().contains("missing.pem"), "{}", gate.gate.log());
    gate.change(ours.clone()).await;
    assert_eq!(kept.ask(&cancel()).await, allowed());

    // Its own: it goes on with the certificate that it has.
    std::fs::write(gate.files.path().join("server.pem"), "half a file").unwrap();
    gate.change(with(ours.clone(), json!({ "client_scopes": [CLOUD_TRANSLATION] }))).await;
    let mut fresh = gate.open(gate.holder(&leaf)).await;
    for connection in [&mut kept, &mut fresh] {
        let scope = refused(403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT");
        assert_eq!(connection.ask(&cancel()).await, scope);
    }
    // A rule with a mistake is not taken in part.
    let mistaken = json!({ "client_identity": "audit", "client_pol": POOL, "client_scopes": null });
    gate.change(with(ours, mistaken)).await;
    assert_eq!(kept.ask(&cancel()).await, refused(403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT"));
}
