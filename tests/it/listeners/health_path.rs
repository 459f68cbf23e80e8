//! The health path of a listener, and `drain_delay`.

use std::time::{Duration, Instant};

use super::gate;
use crate::harness::{COMPANION, Gate, Req, Setup, Tree, cancel, opgate};

const PATH: &str = "listeners.0.health_path=/healthz";

fn probe(method: &str, target: &str) -> Req {
    // Balancers write an address of their own.
    Req::new(method, "203.0.113.9", target)
}

#[tokio::test]
async fn probes_are_answered_without_a_credential_and_leave_no_trace() {
    let gate = gate(&[PATH]);
    for answer in gate.over_both(&probe("GET", "/healthz")).await {
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"ok\n".as_slice()));
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    assert_eq!(gate.http2(&probe("HEAD", "/healthz")).await.status, 200);
    let head = probe("HEAD", "/healthz").header("connection", "close").to_http1();
    let head = String::from_utf8(gate.raw_to_the_end(head).await).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    assert_eq!(gate.sum("opgate_requests_total").await, 0);
    // Only exactly that, only these methods: all else is judged like any request.
    let others = [
        ("POST", "/healthz"),
        ("OPTIONS", "/healthz"),
        ("GET", "/healthz?full"),
        ("GET", "/healthz/"),
        ("GET", "/healthz/x"),
        ("GET", "/%68ealthz"),
        ("GET", "/Healthz"),
        ("GET", "/"),
    ];
    for (method, target) in others {
        for answer in gate.over_both(&probe(method, target)).await {
            assert!(answer.status >= 400, "{method} {target}: {}", answer.status);
        }
    }
    let overridden = probe("POST", "/healthz").header("x-http-method-override", "GET");
    assert!(gate.http1(&overridden).await.status >= 400);
    assert_eq!(gate.audit(2 * others.len() + 1).len(), 2 * others.len() + 1);
    // Each listener has its own.
    let without = super::gate(&[]);
    assert!(without.http1(&probe("GET", "/healthz")).await.status >= 400);
}

#[tokio::test]
async fn probes_share_a_connection_with_requests() {
    let gate = gate(&[PATH]);
    let mut connection = crate::connection::Connection::open(gate.address).await;
    for _ in 0..3 {
        connection.send(probe("GET", "/healthz").to_http1()).await;
        assert_eq!(connection.status().await, Some(200));
        connection.send(cancel().to_http1()).await;
        assert_eq!(connection.status().await, Some(200));
    }
    assert_eq!(gate.audit(3).len(), 3);
}

#[tokio::test]
async fn while_the_process_leaves_probes_are_told_and_requests_are_served() {
    let mut gate = gate(&[PATH, "limits.drain_delay=1h"]);
    assert_eq!(gate.http1(&probe("GET", "/healthz")).await.status, 200);
    assert_eq!(gate.admin("/readyz").await.status, 200);
    gate.ask_to_end();
    let deadline = Instant::now() + Duration::from_secs(20);
    while gate.http1(&probe("GET", "/healthz")).await.status == 200 {
        assert!(Instant::now() < deadline, "{}", gate.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for _ in 0..3 {
        for answer in gate.over_both(&probe("GET", "/healthz")).await {
            assert_eq!((answer.status, answer.body.as_slice()), (503, b"not in service\n".as_slice()));
        }
        for answer in gate.over_both(&cancel()).await {
            assert_eq!(answer.status, 200, "new connections are served");
        }
    }
    let readiness = gate.admin("/readyz").await;
    assert_eq!(readiness.status, 503);
    assert_eq!(gate.metric("opgate_draining").await, 1);
    assert!(gate.log().contains("leaving"), "{}", gate.log());
    // A second signal says that it is enough.
    gate.ask_to_end();
    assert!(gate.ended().await.success());
}

/// A gate whose issuer has no keys yet could answer no caller.
#[tokio::test]
async fn a_gate_that_was_never_ready_is_not_in_service() {
    let keys = crate::origin::refusing().await;
    let set = vec![
        PATH.to_owned(),
        "limits.drain_delay=1h".to_owned(),
        format!("issuers.demo.keys={{url: 'http://{keys}/jwks.json'}}"),
    ];
    let mut gate = Gate::start_with(Setup { set, unready: true, ..Setup::default() });
    assert_eq!(gate.http1(&probe("GET", "/healthz")).await.status, 503);
    gate.ask_to_end();
    assert!(gate.ended().await.success(), "no balancer has sent it requests");
}

/// A method that has the path is never shadowed: a start and a check say so, and where the method comes later, it is judged.
#[tokio::test]
async fn a_method_goes_before_the_health_path() {
    let output = opgate()
        .args(["check", "--offline", "--config", "config/demo.yaml", "--set"])
        .arg("listeners.0.health_path=/v1/projects/p/locations/l/operations/o")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("is also a path of"), "{told}");

    let tree = Tree::shipped();
    let path = "/v2/projects/p/locations/l/operations/o";
    let set = vec![format!("listeners.0.health_path={path}"), tree.setting()];
    let gate = Gate::start_with(Setup { set, ..Setup::default() });
    assert_eq!(gate.http1(&probe("GET", path)).await.status, 200);
    let get = "get: '/v1/{name=projects/*/locations/*/operations/*}'";
    let also = format!("{get}\n    additional_bindings: [{{{}}}]", get.replace("v1", "v2"));
    tree.edit("services/cloudaicompanion.yaml", get, &also);
    gate.hang_up();
    let deadline = Instant::now() + Duration::from_secs(30);
    while gate.http1(&Req::new("GET", COMPANION, path)).await.status != 401 {
        assert!(Instant::now() < deadline, "{}", gate.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Whatever host it names.
    assert_eq!(gate.http1(&probe("GET", path)).await.status, 404);
    let readiness = String::from_utf8(gate.admin("/readyz").await.body).unwrap();
    assert!(readiness.contains("is also a path of"), "{readiness}");
}
