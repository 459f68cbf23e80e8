//! Endpoints that are left out, because they fail their checks or requests, and how they return.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;

use crate::harness::{Gate, Setup, cancel, reason, root};
use crate::origin::Step::{Body, Close, Head, Say};
use crate::origin::{OK, Origin, Step, refusing};

const WELL: &[Step] = &[Head, Body, Say(OK)];
const BROKEN: &[Step] = &[Head, Close];

/// A backend over HTTP/1.1 and h2c whose health the test sets.
struct Backend {
    address: SocketAddr,
    health: Arc<AtomicU16>,
    checks: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

impl Backend {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let backend = Self {
            address,
            health: Arc::new(AtomicU16::new(200)),
            checks: Arc::default(),
            requests: Arc::default(),
        };
        let (health, checks, requests) =
            (backend.health.clone(), backend.checks.clone(), backend.requests.clone());
        let check = move |headers: HeaderMap, uri: axum::http::Uri| async move {
            checks.fetch_add(1, Ordering::SeqCst);
            let host = headers.get(header::HOST).map(|host| host.to_str().unwrap().to_owned());
            assert_eq!(host.or(uri.authority().map(ToString::to_string)), Some(address.to_string()));
            assert!(headers.get(header::AUTHORIZATION).is_none());
            StatusCode::from_u16(health.load(Ordering::SeqCst)).unwrap()
        };
        let answer = move || async move {
            requests.fetch_add(1, Ordering::SeqCst);
            "{}"
        };
        let router = Router::new().route("/healthz", get(check)).fallback(answer);
        tokio::spawn(async move { axum::serve(listener, router).await });
        backend
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    fn checks(&self) -> usize {
        self.checks.load(Ordering::SeqCst)
    }
}

fn gate(endpoints: &[SocketAddr], protocol: &'static str, settings: &[&str]) -> Gate {
    let set = settings.iter().map(|setting| format!("upstreams.operations.{setting}")).collect();
    let upstream_protocol = Some(protocol);
    Gate::start_with(Setup {
        endpoints: Some(endpoints.to_vec()),
        set,
        upstream_protocol,
        ..Setup::default()
    })
}

/// The gauge's value for an endpoint, if it has one.
async fn healthy(gate: &Gate, upstream: &str, endpoint: SocketAddr) -> Option<bool> {
    let name = format!("opgate_upstream_healthy{{endpoint=\"{endpoint}\",upstream=\"{upstream}\"}} ");
    gate.metrics().await.lines().find_map(|line| Some(line.strip_prefix(&name)? == "1"))
}

async fn until_healthy(gate: &Gate, endpoint: SocketAddr, expected: Option<bool>) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while healthy(gate, "operations", endpoint).await != expected {
        assert!(Instant::now() < deadline, "{endpoint} is not {expected:?}:\n{}", gate.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_endpoint_that_fails_its_checks_is_left_out_until_it_passes_them() {
    for protocol in ["h1", "h2c"] {
        let backends = [Backend::start().await, Backend::start().await];
        let addresses = backends.each_ref().map(|backend| backend.address);
        let check = "health_check={path: /healthz, interval: 50ms, timeout: 2s}";
        let gate = gate(&addresses, protocol, &[check]);
        let [sick, well] = &backends;
        sick.health.store(503, Ordering::SeqCst);
        until_healthy(&gate, sick.address, Some(false)).await;
        assert_eq!(healthy(&gate, "operations", well.address).await, Some(true));
        let before = sick.requests();
        for _ in 0..6 {
            assert_eq!(gate.http1(&cancel()).await.status, 200, "{protocol}");
        }
        assert_eq!((sick.requests(), well.requests()), (before, 6), "{protocol}");

        sick.health.store(204, Ordering::SeqCst);
        until_healthy(&gate, sick.address, Some(true)).await;
        for _ in 0..6 {
            assert_eq!(gate.http1(&cancel()).await.status, 200, "{protocol}");
        }
        assert_eq!((sick.requests(), well.requests()), (before + 3, 9), "{protocol}");
    }
}

#[tokio::test]
async fn where_all_endpoints_fail_their_checks_there_is_no_backend() {
    let backend = Backend::start().await;
    backend.health.store(500, Ordering::SeqCst);
    let check = "health_check={path: /healthz, interval: 50ms, unhealthy_after: 1}";
    let gate = gate(&[backend.address], "h1", &[check]);
    until_healthy(&gate, backend.address, Some(false)).await;
    for answer in gate.over_both(&cancel()).await {
        assert_eq!((answer.status, reason(&answer).as_str()), (503, "UPSTREAM_UNAVAILABLE"));
    }
    assert_eq!(backend.requests(), 0);
    for line in gate.audit(2) {
        let decision = &line["protoPayload"]["metadata"];
        assert_eq!(decision["reason"], "UPSTREAM_UNAVAILABLE");
        assert!(decision["upstream"].is_null(), "a backend was asked: {line}");
    }
    backend.health.store(200, Ordering::SeqCst);
    until_healthy(&gate, backend.address, Some(true)).await;
    assert_eq!(gate.http1(&cancel()).await.status, 200);
}

/// Without a path, a check is a connection. With one, a backend that accepts connections and sends nothing fails it.
#[tokio::test]
async fn a_check_is_a_connection_or_an_answer() {
    let silent = Origin::start(&[Head, Step::Hang]).await;
    let gone = refusing().await;
    let gate_of = |check: &str| gate(&[silent.address, gone], "h1", &[check]);
    let by_connection = gate_of("health_check={interval: 50ms, timeout: 200ms}");
    until_healthy(&by_connection, gone, Some(false)).await;
    assert_eq!(healthy(&by_connection, "operations", silent.address).await, Some(true));
    let by_answer = gate_of("health_check={path: /, interval: 50ms, timeout: 200ms}");
    until_healthy(&by_answer, gone, Some(false)).await;
    until_healthy(&by_answer, silent.address, Some(false)).await;
}

/// Each reload replaces the checks. An endpoint that is gone disappears from the metric.
#[tokio::test]
async fn a_reload_ends_the_checks_of_the_old_set() {
    let (kept, dropped) = (Backend::start().await, Backend::start().await);
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("opgate.yaml");
    let write = |endpoints: &[SocketAddr]| {
        let list: Vec<_> = endpoints.iter().map(ToString::to_string).collect();
        let text = std::fs::read_to_string(root().join("config/demo.yaml")).unwrap();
        let more = format!(
            "upstreams:\n  spare:\n    endpoints: {}\n    health_check: {{path: /healthz, interval: 200ms}}\n",
            serde_json::json!(list)
        );
        let next = directory.path().join("next");
        std::fs::write(&next, text.replace("upstreams:\n", &more)).unwrap();
        std::fs::rename(next, &config).unwrap();
    };
    write(&[kept.address, dropped.address]);
    let set = vec![format!("policy.directory={}", root().join("policies").display())];
    let gate = Gate::start_with(Setup { config: Some(config.clone()), set, ..Setup::default() });
    kept.health.store(500, Ordering::SeqCst);
    let deadline = Instant::now() + Duration::from_secs(20);
    let until = async |endpoint: SocketAddr, expected: Option<bool>| {
        while healthy(&gate, "spare", endpoint).await != expected {
            assert!(Instant::now() < deadline, "{endpoint} is not {expected:?}:\n{}", gate.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    until(kept.address, Some(false)).await;
    until(dropped.address, Some(true)).await;

    write(&[kept.address]);
    gate.hang_up();
    until(dropped.address, None).await;
    assert_eq!(
        healthy(&gate, "spare", kept.address).await,
        Some(false),
        "the state of the endpoint outlives the reload"
    );
    // A check may have been in flight.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let ended = dropped.checks();
    for _ in 0..20 {
        gate.hang_up();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let before = kept.checks();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let checks = kept.checks() - before;
    assert!(checks > 0 && checks < 40, "{checks} checks in 2 s, one every 200 ms: those of one set");
    assert_eq!(dropped.checks(), ended);
}

#[tokio::test]
async fn an_endpoint_that_keeps_failing_is_ejected() {
    let broken = Origin::start(BROKEN).await;
    let well = Origin::start(WELL).await;
    let gate = gate(
        &[broken.address, well.address],
        "h1",
        &["outliers={failures: 2, ejection: 1h, longest_ejection: 1h}"],
    );
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(gate.http1(&cancel()).await.status);
    }
    assert_eq!(statuses.iter().filter(|status| **status == 502).count(), 2, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 18, "{statuses:?}");
    assert_eq!(broken.requests().len(), 2);
    assert_eq!(healthy(&gate, "operations", broken.address).await, Some(false));
    assert_eq!(healthy(&gate, "operations", well.address).await, Some(true));
}

#[tokio::test]
async fn after_an_ejection_one_request_decides() {
    let broken = Origin::start(BROKEN).await;
    let well = Origin::start(WELL).await;
    let gate = gate(
        &[broken.address, well.address],
        "h1",
        &["outliers={failures: 2, ejection: 300ms, longest_ejection: 1h}"],
    );
    while broken.requests().len() < 2 {
        gate.http1(&cancel()).await;
    }
    // The trial fails: one request reaches the endpoint, and no other until twice the time is over.
    let ejected = Instant::now();
    let mut tried = ejected;
    while broken.requests().len() < 3 {
        assert!(ejected.elapsed() < Duration::from_secs(20));
        tried = Instant::now();
        gate.http1(&cancel()).await;
    }
    assert_eq!(healthy(&gate, "operations", broken.address).await, Some(false));
    // The endpoint works again. The next trial shows it, and the endpoint takes its turn again. It is told of as healthy
    // before that, as soon as its time is over.
    while broken.requests().len() < 4 {
        assert!(tried.elapsed() < Duration::from_secs(20));
        broken.play_next(Some(WELL));
        gate.http1(&cancel()).await;
    }
    assert!(tried.elapsed() >= Duration::from_millis(500), "the second ejection is longer than the first");
    assert_eq!(healthy(&gate, "operations", broken.address).await, Some(true));
    let before = broken.requests().len();
    for _ in 0..4 {
        broken.play_next(Some(WELL));
        assert_eq!(gate.http1(&cancel()).await.status, 200);
    }
    assert_eq!(broken.requests().len(), before + 2);
}

/// Refusing every request would turn requests that may fail into requests that must.
#[tokio::test]
async fn the_last_endpoint_is_asked_however_often_it_fails() {
    let broken = Origin::start(BROKEN).await;
    let gate = gate(&[broken.address], "h1", &["outliers={failures: 1, ejection: 1h, longest_ejection: 1h}"]);
    for sent in 1..=5 {
        let answer = gate.http1(&cancel()).await;
        assert_eq!((answer.status, reason(&answer).as_str()), (502, "UPSTREAM_INVALID"));
        assert_eq!(broken.requests().len(), sent);
    }
    broken.play_next(Some(WELL));
    assert_eq!(gate.http1(&cancel()).await.status, 200);
    assert_eq!(healthy(&gate, "operations", broken.address).await, Some(true));
}

/// Otherwise a caller could eject endpoints one after another by provoking errors.
#[tokio::test]
async fn an_error_status_ejects_no_endpoint() {
    const OOPS: &[Step] = &[Head, Body, Say("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")];
    let origins = [Origin::start(OOPS).await, Origin::start(OOPS).await];
    let addresses = origins.each_ref().map(|origin| origin.address);
    let gate = gate(&addresses, "h1", &["outliers={failures: 1}"]);
    for _ in 0..6 {
        assert_eq!(gate.http1(&cancel()).await.status, 500);
    }
    // A reload in between begins their turns anew.
    let asked = origins.each_ref().map(|origin| origin.requests().len());
    assert!(asked.iter().sum::<usize>() == 6 && !asked.contains(&0), "{asked:?}");
    for address in addresses {
        assert_eq!(healthy(&gate, "operations", address).await, Some(true));
    }
}
