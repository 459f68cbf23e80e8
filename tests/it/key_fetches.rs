//! How key sets are fetched: with a token, through a proxy, from several addresses; and what an operator reads of the keys
//! that are not used.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Json};
use axum::routing::get;
use opgate::dev::mint::Mint;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::authority::Authority;
use crate::cli::Workspace;
use crate::harness::{
    AUDIENCE, CANCEL, CLOUD_PLATFORM, COMPANION, Gate, Req, Setup, claims, foreign_key, key, token,
    token_with,
};
use crate::origin::{Origin, Step};

const ANA: &str = "ana@example.com";

fn allowed() -> (u16, String) {
    (200, String::new())
}

async fn outcome(gate: &Gate, token: &str) -> (u16, String) {
    gate.outcome(&Req::new("POST", COMPANION, CANCEL).bearer(token)).await
}

/// The outcome that a client has that tries again while the gate cannot tell.
async fn outcome_in_the_end(gate: &Gate, token: &str) -> (u16, String) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let told = outcome(gate, token).await;
        if told.0 != 503 || Instant::now() > deadline {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What a server of keys answers, and the token that it asks for.
#[derive(Clone, Default)]
struct Served(Arc<Mutex<(Option<Value>, Option<String>)>>);

impl Served {
    fn set(&self, document: Option<Value>, token: Option<&str>) {
        *self.0.lock().unwrap() = (document, token.map(str::to_owned));
    }

    async fn start(&self) -> String {
        let served = self.clone();
        let answer = move |headers: HeaderMap| async move {
            let (document, token) = served.0.lock().unwrap().clone();
            let sent = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
            match document {
                _ if sent != token.map(|token| format!("Bearer {token}")) => {
                    StatusCode::UNAUTHORIZED.into_response()
                }
                Some(document) => Json(document).into_response(),
                None => StatusCode::BAD_GATEWAY.into_response(),
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(get(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }
}

async fn gate_with(keys: &Value, unready: bool) -> Gate {
    let set = vec![format!("issuers.demo.keys={keys}")];
    let setup = Setup { set, unready, ..Setup::default() };
    tokio::task::spawn_blocking(|| Gate::start_with(setup)).await.unwrap()
}

/// Waits for a readiness, and gives its reasons: a gate serves before keys have come.
async fn readiness(gate: &Gate, is_awaited: impl Fn(u16, &str) -> bool) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let readiness = gate.admin("/readyz").await;
        let reasons = readiness.json().unwrap()["reasons"].to_string();
        if is_awaited(readiness.status, &reasons) {
            return reasons;
        }
        assert!(Instant::now() < deadline, "{} {reasons}", readiness.status);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn with(mut jwk: Value, member: &str, value: &str) -> Value {
    jwk[member] = json!(value);
    jwk
}

/// The key set of the API server of a Kubernetes cluster: it asks for a token, which is replaced every hour.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_with_the_token_that_the_file_holds_then() {
    let served = Served::default();
    served.set(Some(key().jwks()), Some("first-secret"));
    let url = served.start().await;
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("token");
    std::fs::write(&file, "first-secret\n").unwrap();
    let keys = json!({"url": format!("{url}/openid/v1/jwks"), "token_file": file, "cool_down": "1s"});
    let gate = gate_with(&keys, false).await;
    assert_eq!(outcome(&gate, &token(ANA)).await, allowed(), "{}", gate.log());
    // Both the token and the keys are replaced.
    let rotated = with(foreign_key().public_jwk(), "kid", "rotated");
    served.set(Some(json!({"keys": [key().public_jwk(), rotated]})), Some("second-secret"));
    std::fs::write(&file, "second-secret").unwrap();
    let header = json!({"alg": "RS256", "kid": "rotated"});
    let token = foreign_key().sign_with_header(&header, &claims(ANA, &[CLOUD_PLATFORM])).unwrap();
    assert_eq!(outcome_in_the_end(&gate, &token).await, allowed(), "{}", gate.log());
    // A file that is not there keeps the last good keys.
    std::fs::remove_file(&file).unwrap();
    let header = json!({"alg": "RS256", "kid": "later"});
    let token = foreign_key().sign_with_header(&header, &claims(ANA, &[CLOUD_PLATFORM])).unwrap();
    assert_eq!(outcome(&gate, &token).await.0, 503);
    assert_eq!(outcome(&gate, &token_with(ANA, json!({"jti": "1"}))).await, allowed());
    let log = gate.log();
    assert!(!log.contains("-secret"), "a token is in the log: {log}");
}

/// A proxy that carries what it is asked to carry to one address, and notes what that was.
async fn proxy(to: SocketAddr) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = asked.clone();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let noted = noted.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                let line = String::from_utf8(head).unwrap().lines().next().unwrap().to_owned();
                noted.lock().unwrap().push(line);
                client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                let mut server = TcpStream::connect(to).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (url, asked)
}

/// The name of the server is one that only the proxy knows.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_through_the_proxy_that_the_file_names() {
    let authority = Authority::new();
    let body = key().jwks().to_string();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let script = vec![Step::Head, Step::Say(answer.leak())];
    let origin = Origin::start_tls(authority.issue(&["keys.invalid"]).server(&[], None), script.leak()).await;
    let (proxy, asked) = proxy(origin.address).await;
    let files = tempfile::tempdir().unwrap();
    let ca = files.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let url = "https://keys.invalid/jwks";
    let gate = gate_with(&json!({"url": url, "ca": ca, "proxy": proxy}), false).await;
    assert_eq!(outcome(&gate, &token(ANA)).await, allowed(), "{}", gate.log());
    assert_eq!(asked.lock().unwrap()[0], "CONNECT keys.invalid:443 HTTP/1.1");
    // The environment's is never used, and without the setting nothing knows the name.
    let direct = gate_with(&json!({"url": url, "ca": ca}), true).await;
    assert_eq!(direct.admin("/readyz").await.status, 503);
    assert_eq!(asked.lock().unwrap().len(), 1);
}

/// Two places of one issuer's keys. The one that is down takes nothing from the other, and no token is called invalid whose
/// key may be there.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_several_addresses_are_one_set() {
    let (first, second) = (Served::default(), Served::default());
    first.set(Some(key().jwks()), None);
    let urls = [first.start().await, second.start().await];
    let gate = gate_with(&json!({"urls": urls, "cool_down": "1s"}), true).await;
    let other = with(foreign_key().public_jwk(), "kid", "second");
    let header = json!({"alg": "RS256", "kid": "second"});
    let of_second = foreign_key().sign_with_header(&header, &claims(ANA, &[CLOUD_PLATFORM])).unwrap();
    readiness(&gate, |status, _| status == 200).await;
    assert_eq!(outcome(&gate, &token(ANA)).await, allowed());
    assert_eq!(outcome(&gate, &of_second).await.0, 503, "its key may be at the second address");
    assert!(gate.log().contains("cannot refresh some of the keys"), "{}", gate.log());
    second.set(Some(json!({"keys": [other]})), None);
    assert_eq!(outcome_in_the_end(&gate, &of_second).await, allowed(), "{}", gate.log());
    // Down again: what it last said stays.
    first.set(None, None);
    let header = json!({"alg": "RS256", "kid": "none"});
    let unknown = foreign_key().sign_with_header(&header, &claims(ANA, &[CLOUD_PLATFORM])).unwrap();
    // Until the addresses may be asked again, what they said last counts.
    let deadline = Instant::now() + Duration::from_secs(20);
    while outcome(&gate, &unknown).await.0 != 503 {
        assert!(Instant::now() < deadline, "{}", gate.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(outcome(&gate, &token_with(ANA, json!({"jti": "1"}))).await, allowed());
    assert_eq!(outcome(&gate, &of_second).await, allowed());
}

fn skipped() -> Vec<Value> {
    let ec = json!({"kty": "EC", "kid": "curve", "crv": "P-521", "x": "AA", "y": "AA", "alg": "ES512"});
    let svid = with(with(foreign_key().public_jwk(), "kid", "svid"), "use", "jwt-svid");
    let mut operations = with(foreign_key().public_jwk(), "kid", "operations");
    operations["key_ops"] = json!([]);
    vec![ec, svid, operations]
}

const TOLD: [&str; 3] = [
    "key `curve` is on the curve `P-521`",
    "key `svid` is for `use` `jwt-svid`, and the issuer has no `trust_domain`",
    "key `operations` has no `verify` among its `key_ops`",
];

#[tokio::test(flavor = "multi_thread")]
async fn each_key_that_is_skipped_is_named_with_the_reason() {
    let mut keys = skipped();
    keys.push(key().public_jwk());
    let served = Served::default();
    served.set(Some(json!({ "keys": keys })), None);
    let gate = gate_with(&json!({ "url": served.start().await }), false).await;
    assert_eq!(outcome(&gate, &token(ANA)).await, allowed());
    let readiness = gate.admin("/readyz").await;
    assert_eq!(readiness.status, 200);
    assert_eq!(readiness.json().unwrap()["skippedKeys"], json!({ "demo": TOLD }));
    for told in TOLD {
        assert!(gate.log().contains(told), "{}", gate.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_set_that_no_key_is_left_of_each_key_is_named() {
    let served = Served::default();
    served.set(Some(json!({ "keys": skipped() })), None);
    let url = served.start().await;
    let gate = gate_with(&json!({ "url": url }), true).await;
    let reasons =
        readiness(&gate, |status, reasons| status == 503 && reasons.contains("no key of the set")).await;
    let log = gate.log();
    let warning = log.lines().find(|line| line.contains("cannot refresh keys")).unwrap();
    assert!(warning.contains("WARN"), "{warning}");
    for told in TOLD {
        assert!(reasons.contains(told) && warning.contains(told), "{reasons}\n{warning}");
    }
}

#[test]
fn check_names_each_key_of_a_file_that_is_skipped() {
    let mut keys = skipped();
    keys.push(key().public_jwk());
    let workspace = Workspace::new().write("config/keys.jwks.json", &json!({ "keys": keys }).to_string());
    let check = |deny: &str| {
        let line = format!(
            "opgate check {deny} --config config/opgate.yaml --set 'issuers.staff.keys={{file: keys.jwks.json}}'"
        );
        workspace.shell(&line)
    };
    let outcome = check("");
    for told in TOLD {
        assert!(outcome.stderr.contains(told), "{}", outcome.text());
    }
    // Keys for another purpose may well be there.
    assert_eq!((outcome.code, check("--deny-warnings").code), (Some(0), Some(0)), "{}", outcome.text());
}

/// Entra's endpoint for the tenants of all customers.
#[tokio::test(flavor = "multi_thread")]
async fn metadata_of_all_tenants_is_refused_with_what_to_do() {
    let served = Served::default();
    let url = served.start().await;
    let metadata = json!({"issuer": "https://login.microsoftonline.com/{tenantid}/v2.0", "jwks_uri": format!("{url}/keys")});
    served.set(Some(metadata), None);
    let issuer = json!({"issuer": url, "audiences": [AUDIENCE], "keys": {"discovery": "openid"}});
    let set = vec![format!("issuers.demo={issuer}")];
    let setup = Setup { set, unready: true, ..Setup::default() };
    let gate = tokio::task::spawn_blocking(|| Gate::start_with(setup)).await.unwrap();
    let told = "is a template: the address is that of all tenants";
    let reasons = readiness(&gate, |status, reasons| status == 503 && reasons.contains(told)).await;
    assert!(reasons.contains("name each tenant as an issuer of its own"), "{reasons}");
}
