//! Backends over TLS: a backend proves its identity, or it is sent nothing.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::authority::{Authority, expired};
use crate::harness::{Gate, Setup, cancel, reason};
use crate::origin::Step::{Body, Drip, Hang, Head, Say};
use crate::origin::{OK, Origin, Step};

const BACKEND: &str = "backend.test";
const SCRIPT: &[Step] = &[Head, Body, Say(OK)];

/// A CA for backends, and the directory of its files.
struct Backends {
    authority: Authority,
    files: TempDir,
}

impl Backends {
    fn new() -> Self {
        let backends = Self { authority: Authority::new(), files: tempfile::tempdir().unwrap() };
        backends.trust(&backends.authority);
        backends
    }

    fn ca(&self) -> PathBuf {
        self.files.path().join("ca.pem")
    }

    fn trust(&self, authority: &Authority) {
        std::fs::write(self.ca(), authority.pem()).unwrap();
    }

    /// A gate that knows the backend by its name, and trusts this CA.
    fn gate(&self, origin: &Origin, protocol: &'static str, more: &Value) -> Gate {
        let mut tls = json!({ "ca": self.ca(), "sni": BACKEND });
        tls.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let set = vec![format!("upstreams.operations.tls={tls}")];
        let endpoints = Some(vec![origin.address]);
        Gate::start_with(Setup { set, endpoints, upstream_protocol: Some(protocol), ..Setup::default() })
    }
}

#[tokio::test]
async fn a_cancel_goes_to_a_backend_that_proves_its_name() {
    let backends = Backends::new();
    let leaf = backends.authority.issue(&[BACKEND]);
    for (protocol, spoken) in [("h1", &["http/1.1"][..]), ("h1", &[]), ("h2", &["h2", "http/1.1"])] {
        let origin = Origin::start_tls(leaf.server(spoken, None), SCRIPT).await;
        let gate = backends.gate(&origin, protocol, &json!({}));
        for version in 0..4 {
            let answer =
                if version % 2 == 0 { gate.http1(&cancel()).await } else { gate.http2(&cancel()).await };
            assert_eq!(answer.status, 200, "{protocol} {spoken:?}: {}", gate.log());
        }
        let requests = origin.requests();
        assert_eq!(requests.len(), 4);
        // The origin records HTTP/2 requests with their scheme.
        assert_eq!(requests.iter().all(|head| head.contains("https://")), protocol == "h2", "{requests:?}");
        assert!(origin.connections() < 4, "connections are used again");
        assert_eq!(gate.upstream_errors("tls").await, 0);
    }
}

#[tokio::test]
async fn a_backend_may_be_known_by_its_address() {
    let backends = Backends::new();
    let leaf = backends.authority.issue(&["127.0.0.1"]);
    let origin = Origin::start_tls(leaf.server(&[], None), SCRIPT).await;
    let set = vec![format!("upstreams.operations.tls={}", json!({ "ca": backends.ca() }))];
    let gate = Gate::start_with(Setup { set, endpoints: Some(vec![origin.address]), ..Setup::default() });
    assert_eq!(gate.http1(&cancel()).await.status, 200, "{}", gate.log());
}

#[tokio::test]
async fn a_backend_without_a_good_certificate_is_sent_nothing() {
    let backends = Backends::new();
    let foreign = Authority::new();
    let bad = [
        ("of another CA", foreign.issue(&[BACKEND])),
        ("of another name", backends.authority.issue(&["other.test"])),
        ("of no name", backends.authority.issue(&[])),
        ("expired", backends.authority.issue_with(&[BACKEND], expired)),
    ];
    for (what, leaf) in bad {
        for protocol in ["h1", "h2"] {
            let origin = Origin::start_tls(leaf.server(&["h2", "http/1.1"], None), SCRIPT).await;
            let gate = backends.gate(&origin, protocol, &json!({}));
            let answer = gate.http1(&cancel()).await;
            assert_eq!((answer.status, reason(&answer).as_str()), (503, "UPSTREAM_UNAVAILABLE"), "{what}");
            assert_eq!(origin.requests().len(), 0, "{what}");
            assert_eq!(gate.upstream_errors("tls").await, 1, "{what}");
            let detail = gate.audit(1)[0]["protoPayload"]["metadata"]["detail"].to_string();
            assert!(detail.contains("certificate"), "{what}: {detail}");
        }
    }
    // Nor to a backend that does not speak TLS: without TLS, nothing is sent.
    let origin = Origin::start(&[Say(OK), Head]).await;
    let gate = backends.gate(&origin, "h1", &json!({}));
    assert_eq!(gate.http1(&cancel()).await.status, 503);
    assert_eq!((origin.requests().len(), gate.upstream_errors("tls").await), (0, 1));
    // The system's CAs do not include this one.
    let leaf = backends.authority.issue(&[BACKEND]);
    let origin = Origin::start_tls(leaf.server(&[], None), SCRIPT).await;
    let set = vec![format!("upstreams.operations.tls={{sni: {BACKEND}}}")];
    let gate = Gate::start_with(Setup { set, endpoints: Some(vec![origin.address]), ..Setup::default() });
    assert_eq!(gate.http1(&cancel()).await.status, 503);
    assert_eq!(origin.requests().len(), 0);
}

#[tokio::test]
async fn the_gate_shows_its_own_certificate() {
    let backends = Backends::new();
    let gates = Authority::new();
    let server = backends.authority.issue(&[BACKEND]).server(&[], Some(&gates));
    let origin = Origin::start_tls(server, SCRIPT).await;
    let (cert, key) = gates.issue_to(&["spiffe://prod.example/opgate"]).write(backends.files.path(), "gate");
    let gate = backends.gate(&origin, "h1", &json!({ "cert": cert, "key": key }));
    assert_eq!(gate.http1(&cancel()).await.status, 200, "{}", gate.log());
    let gate = backends.gate(&origin, "h1", &json!({}));
    assert_eq!(gate.http1(&cancel()).await.status, 502, "TLS 1.3 tells after the handshake");
    assert_eq!(origin.requests().len(), 1);
}

/// A connection that was made under another CA is not used any more.
#[tokio::test]
async fn a_connection_made_under_a_ca_that_is_no_longer_trusted_is_not_used() {
    let backends = Backends::new();
    let leaf = backends.authority.issue(&[BACKEND]);
    let origin = Origin::start_tls(leaf.server(&[], None), SCRIPT).await;
    let gate = backends.gate(&origin, "h1", &json!({}));
    assert_eq!(gate.http1(&cancel()).await.status, 200);
    backends.trust(&Authority::new());
    gate.hang_up();
    let deadline = Instant::now() + Duration::from_secs(15);
    while gate.http1(&cancel()).await.status != 503 {
        assert!(Instant::now() < deadline, "{}", gate.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Timeouts work under TLS as well; an answer without a length that is cut by one must not look complete.
#[tokio::test]
async fn a_backend_that_drips_is_cut_off() {
    const SLOW: &str =
        "HTTP/1.1 200 OK\r\nX-Padding: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let backends = Backends::new();
    let leaf = backends.authority.issue(&[BACKEND]);
    let origin = Origin::start_tls(leaf.server(&[], None), &[Head, Body, Drip(SLOW), Hang]).await;
    let tls = json!({ "ca": backends.ca(), "sni": BACKEND });
    let set = vec![
        format!("upstreams.operations.tls={tls}"),
        "upstreams.operations.timeouts={response: 1s, total: 1s}".to_owned(),
    ];
    let gate = Gate::start_with(Setup { set, endpoints: Some(vec![origin.address]), ..Setup::default() });
    let since = Instant::now();
    let answer = gate.http1(&cancel()).await;
    assert_eq!((answer.status, reason(&answer).as_str()), (504, "UPSTREAM_TIMEOUT"));
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
    assert_eq!(origin.requests().len(), 1);
}

/// Health checks use the upstream's TLS, with the same verification.
#[tokio::test]
async fn a_check_verifies_the_certificate() {
    let backends = Backends::new();
    let leaf = backends.authority.issue(&[BACKEND]);
    for (name, is_healthy) in [(BACKEND, true), ("other.test", false)] {
        let origin = Origin::start_tls(leaf.server(&[], None), SCRIPT).await;
        let tls = json!({ "ca": backends.ca(), "sni": name });
        let set = vec![
            format!("upstreams.operations.tls={tls}"),
            "upstreams.operations.health_check={path: /healthz, interval: 50ms, unhealthy_after: 2}"
                .to_owned(),
        ];
        let gate = Gate::start_with(Setup { set, endpoints: Some(vec![origin.address]), ..Setup::default() });
        let told =
            format!("opgate_upstream_healthy{{endpoint=\"{}\",upstream=\"operations\"}} ", origin.address);
        let expected = format!("{told}{}\n", u8::from(is_healthy));
        let deadline = Instant::now() + Duration::from_secs(20);
        while !gate.metrics().await.contains(&expected) || is_healthy && origin.requests().len() < 5 {
            assert!(Instant::now() < deadline, "{name}: {}", gate.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(gate.http1(&cancel()).await.status, if is_healthy { 200 } else { 503 }, "{name}");
    }
}
