//! Clients that show a certificate: which ones the gate accepts, who they are, and where that is logged.

mod reloaded;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::authority::{Authority, Client, Leaf, expired};
use crate::connection::Connection;
use crate::harness::{
    CLOUD_PLATFORM, CLOUD_TRANSLATION, COMPANION, Gate, Http2, Req, Setup, TRAIN, Tree, now, reason, token,
    token_with,
};

const POOL: &str = "iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/mesh";
const CI: &str = "spiffe://prod.example/ns/ci/sa/deploy";

fn cancel() -> Req {
    Req::new("POST", COMPANION, &format!("{TRAIN}:cancel"))
}

/// The shipped policies, in which [`CI`] has the same role as ana.
fn policies() -> Tree {
    let tree = Tree::shipped();
    let ana = "user:ana@example.com";
    tree.edit("groups.yaml", ana, &format!("{ana}\n- principal://{POOL}/subject/{CI}"));
    tree
}

/// A gate that asks clients for certificates of one CA.
struct Mutual {
    gate: Gate,
    server: Authority,
    clients: Authority,
    _files: tempfile::TempDir,
    _policies: Tree,
}

impl Mutual {
    fn start(mode: &str, more: Value) -> Self {
        let (server, clients) = (Authority::new(), Authority::new());
        let files = tempfile::tempdir().unwrap();
        let (cert, key) = server.issue(&[COMPANION]).write(files.path(), "server");
        let ca = files.path().join("clients-ca.pem");
        std::fs::write(&ca, clients.pem()).unwrap();
        let mut tls = more;
        tls["certificates"] = json!([{ "cert": cert, "key": key }]);
        tls["client_ca"] = json!(ca);
        tls["client_certificates"] = json!(mode);
        tls["client_pool"] = json!(POOL);
        let policies = policies();
        let set = vec![format!("listeners.0.tls={tls}"), policies.setting()];
        let gate = Gate::start_with(Setup { set, ..Setup::default() });
        Self { gate, server, clients, _files: files, _policies: policies }
    }

    fn holder(&self, uris: &[&str]) -> Client {
        self.server.client().showing(&self.clients.issue_to(uris))
    }

    /// The answer over HTTP/1 and over HTTP/2, which must agree. `None` if there is no connection.
    async fn ask(&self, client: &Client, request: &Req) -> Option<(u16, String)> {
        let connect = async |client: Client| client.connect(self.gate.address, COMPANION).await;
        let mut connection = Connection::over(connect(client.clone().tls12()).await.ok()?);
        connection.send(request.to_http1()).await;
        let over1 = connection.answer().await?;
        let mut client = Http2::over_tls(connect(client.clone().offering(&["h2"])).await.unwrap()).await;
        let (response, _) = client.start(request, true).await;
        let over2 = client.finish(response).await;
        assert_eq!((over1.status, reason(&over1)), (over2.status, reason(&over2)));
        Some((over1.status, reason(&over1)))
    }
}

#[tokio::test]
async fn a_connection_without_a_good_certificate_is_refused_where_one_is_required() {
    let mutual = Mutual::start("required", json!({}));
    let ana = cancel().bearer(&token("ana@example.com"));
    let foreign = Authority::new().issue_to(&[CI]);
    let stale = mutual.clients.issue_with(&[], expired);
    // The last certificate comes from a CA that the gate uses for itself, but does not trust for clients.
    let server = mutual.server.issue(&[COMPANION]);
    let client = mutual.server.client();
    for refused in [
        client.clone(),
        client.clone().showing(&foreign),
        client.clone().showing(&stale),
        client.showing(&server),
    ] {
        assert_eq!(mutual.ask(&refused, &ana).await, None);
    }
    assert_eq!(mutual.gate.backend.requests().len(), 0);
    let refused = "opgate_connections_refused_total{reason=\"tls_client_certificate\"} 4\n";
    assert!(mutual.gate.metrics().await.contains(refused), "{}", mutual.gate.metrics().await);

    let holder = mutual.holder(&[CI]);
    assert_eq!(mutual.ask(&holder, &ana).await, Some((200, String::new())));
    // The certificate opens the connection, and nothing else.
    assert_eq!(mutual.ask(&holder, &cancel()).await, Some((401, "CREDENTIALS_MISSING".to_owned())));
    for line in mutual.gate.audit(4) {
        let shown = &line["protoPayload"]["metadata"]["clientCertificate"];
        assert_eq!(shown["uri"], CI);
        assert_eq!(shown["principal"], format!("principal://{POOL}/subject/{CI}"));
        assert_eq!(shown["thumbprint"].as_str().unwrap().len(), 43);
        let who = &line["protoPayload"]["authenticationInfo"]["principalEmail"];
        assert!(*who == "ana@example.com" || who.is_null(), "{line}");
    }
}

#[tokio::test]
async fn a_bad_certificate_is_refused_though_certificates_are_optional() {
    let mutual = Mutual::start("optional", json!({}));
    let ana = cancel().bearer(&token("ana@example.com"));
    let client = mutual.server.client();
    assert_eq!(mutual.ask(&client, &ana).await, Some((200, String::new())));
    assert_eq!(mutual.ask(&client.showing(&Authority::new().issue_to(&[CI])), &ana).await, None);
    assert!(mutual.gate.audit(2)[0]["protoPayload"]["metadata"]["clientCertificate"].is_null());
}

#[tokio::test]
async fn a_certificate_may_make_its_holder_the_caller() {
    let caller = json!({ "client_identity": "principal", "client_scopes": [CLOUD_PLATFORM] });
    let mutual = Mutual::start("optional", caller);
    let ci = mutual.holder(&[CI]);
    assert_eq!(mutual.ask(&ci, &cancel()).await, Some((200, String::new())));
    for line in mutual.gate.audit(2) {
        let who = &line["protoPayload"]["authenticationInfo"]["principalSubject"];
        assert_eq!(*who, format!("principal://{POOL}/subject/{CI}"));
    }
    // A token in the request takes precedence, whether it is good or bad.
    let bob = cancel().bearer(&token("bob@example.com"));
    assert_eq!(mutual.ask(&ci, &bob).await, Some((403, "IAM_PERMISSION_DENIED".to_owned())));
    assert_eq!(mutual.ask(&ci, &cancel().bearer("x")).await.unwrap().0, 401);
    // Another holder is another principal. Without a certificate, or with an ambiguous one, there is no caller.
    let other = mutual.holder(&["spiffe://prod.example/ns/web"]);
    assert_eq!(mutual.ask(&other, &cancel()).await, Some((403, "IAM_PERMISSION_DENIED".to_owned())));
    for unnamed in [mutual.holder(&[]), mutual.holder(&[CI, CI]), mutual.server.client()] {
        assert_eq!(mutual.ask(&unnamed, &cancel()).await, Some((401, "CREDENTIALS_MISSING".to_owned())));
    }
}

#[tokio::test]
async fn a_certificate_that_makes_no_caller_is_audited_with_the_reason() {
    let caller = json!({ "client_identity": "principal", "client_scopes": [CLOUD_PLATFORM] });
    let mutual = Mutual::start("optional", caller);
    for uris in [&[][..], &[CI, CI], &[""]] {
        assert_eq!(mutual.ask(&mutual.holder(uris), &cancel()).await.unwrap().0, 401, "{uris:?}");
    }
    let audited = Mutual::start("optional", json!({}));
    assert_eq!(audited.ask(&audited.holder(&[CI]), &cancel()).await.unwrap().0, 401);
    let mut lines = mutual.gate.audit(6);
    lines.extend(audited.gate.audit(2));
    let reasons = ["has no URI", "more than one URI", "empty, or not plain ASCII", "client_identity: audit"];
    for (pair, reason) in lines.chunks(2).zip(reasons) {
        for line in pair {
            let told = decision_of(line);
            let denied = told["detail"].as_str().unwrap();
            assert!(
                denied.starts_with("no credential was sent, and the client's certificate makes no caller")
            );
            assert!(denied.contains(reason), "{line}");
            assert!(told["clientCertificate"]["noCaller"].as_str().unwrap().contains(reason), "{line}");
        }
    }
}

/// The thumbprint of a certificate, as tokens name it (RFC 8705, section 3.1).
fn thumbprint(leaf: &Leaf) -> String {
    let certificate = &leaf.certificates()[0];
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
    URL_SAFE_NO_PAD.encode(hash)
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_certificate_is_good_over_its_connections_alone() {
    // Every certificate here could name a caller: the token must still take precedence.
    let caller = json!({ "client_identity": "principal", "client_scopes": [CLOUD_PLATFORM] });
    let mutual = Mutual::start("optional", caller);
    let (own, others) = (mutual.clients.issue_to(&[CI]), mutual.clients.issue_to(&[CI]));
    let bound = |leaf: &Leaf| {
        let cnf = json!({ "cnf": { "x5t#S256": thumbprint(leaf) } });
        cancel().bearer(&token_with("ana@example.com", cnf))
    };
    let client = mutual.server.client();
    let (holder, other) = (client.clone().showing(&own), client.clone().showing(&others));
    let refused = Some((401, "JWT_TOKEN_INVALID".to_owned()));
    // Twice: remembering the token must not change the result.
    for _ in 0..2 {
        assert_eq!(mutual.ask(&holder, &bound(&own)).await, Some((200, String::new())));
        assert_eq!(mutual.ask(&other, &bound(&own)).await, refused);
        assert_eq!(mutual.ask(&client, &bound(&own)).await, refused);
        assert_eq!(mutual.ask(&holder, &bound(&others)).await, refused);
    }
    assert_eq!(mutual.gate.backend.requests().len(), 4);
    let lines = mutual.gate.audit(16);
    let told =
        |reason: &str| lines.iter().filter(|line| decision_of(line)["reason"] == reason).collect::<Vec<_>>();
    for line in told("ALLOWED") {
        assert_eq!(decision_of(line)["confirmation"], json!({ "x5t#S256": thumbprint(&own) }), "{line}");
        assert_eq!(line["protoPayload"]["authenticationInfo"]["principalEmail"], "ana@example.com");
    }
    for line in told("JWT_TOKEN_INVALID") {
        assert!(decision_of(line)["detail"].as_str().unwrap().contains("certificate"), "{line}");
        assert!(decision_of(line)["confirmation"].is_null(), "{line}");
    }
}

/// The part of an audit line that describes the decision.
fn decision_of(line: &Value) -> &Value {
    &line["protoPayload"]["metadata"]
}

#[tokio::test]
async fn a_certificate_has_the_scopes_that_the_listener_gives_it() {
    let narrow = json!({ "client_identity": "principal", "client_scopes": [CLOUD_TRANSLATION] });
    let mutual = Mutual::start("required", narrow);
    let refused = Some((403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT".to_owned()));
    assert_eq!(mutual.ask(&mutual.holder(&[CI]), &cancel()).await, refused);
}

/// The connection outlives the certificate that opened it.
#[tokio::test]
async fn an_expired_certificate_no_longer_names_a_caller() {
    let caller = json!({ "client_identity": "principal", "client_scopes": [CLOUD_PLATFORM] });
    let mutual = Mutual::start("required", caller);
    let brief = mutual.clients.issue_with(&[], |params| {
        params.subject_alt_names.push(rcgen::SanType::URI(CI.try_into().unwrap()));
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(now() + 3);
    });
    let client = mutual.server.client().showing(&brief);
    let mut connection = Connection::over(client.connect(mutual.gate.address, COMPANION).await.unwrap());
    let mut statuses = Vec::new();
    loop {
        connection.send(cancel().to_http1()).await;
        let answer = connection.answer().await.unwrap();
        statuses.push(answer.status);
        if answer.status != 200 {
            // A new handshake would be refused as well, so the connection ends: the client may reconnect with another
            // certificate.
            assert_eq!((answer.status, reason(&answer).as_str()), (421, "REQUEST_MISDIRECTED"));
            assert!(connection.answer().await.is_none(), "the connection ends with it");
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(statuses.len() > 1, "the certificate was good at first");
}
