//! Requests that two readers read differently, through each proxy: nothing reaches the backend that opgate did not allow, and
//! what reaches it is the request that was judged.

use std::collections::BTreeSet;

use crate::connection::Connection;
use crate::desync::corpus::hostile;
use crate::harness::front::{Front, behind, current};
use crate::harness::{CANCEL, COMPANION, Gate, Req, cancel, corpora, token};

#[test]
fn the_corpus_through_each_proxy_brings_nothing_to_the_backend_that_was_not_allowed() {
    let Some(folder) = corpora("the corpus through proxies") else { return };
    for front in [Front::Envoy, Front::Nginx, Front::Traefik, Front::Caddy, Front::Haproxy] {
        if front.is_installed("the corpus through proxies") {
            behind(front, || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(send_all(&folder));
            });
        }
    }
}

async fn send_all(folder: &std::path::Path) {
    let mut gate = Gate::start();
    let bearer = format!("Authorization: Bearer {}\r\n", token("ana@example.com"));
    for (name, bytes) in hostile(folder, CANCEL, COMPANION, &bearer) {
        let mut connection = Connection::open(gate.address).await;
        connection.try_send(bytes).await;
        connection.finish_if_open().await;
        let rest = tokio::time::timeout(std::time::Duration::from_secs(20), connection.rest()).await;
        assert!(rest.is_ok(), "{:?}: no end after {name}", current());
    }
    each_request_at_the_backend_was_judged(&mut gate);
}

/// A client's own copies of what a proxy tells opgate, and of what opgate tells a backend, count for nothing.
#[test]
fn a_clients_own_description_of_its_request_does_not_count() {
    for front in [Front::Envoy, Front::Nginx, Front::Traefik, Front::Caddy, Front::Haproxy] {
        if front.is_installed("a client's own description") {
            behind(front, || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(describe_falsely());
            });
        }
    }
}

async fn describe_falsely() {
    let mut gate = Gate::start();
    // Ana may get this one, and Bob may not cancel it.
    let get = CANCEL.strip_suffix(":cancel").unwrap();
    let bob = || Req::new("POST", COMPANION, CANCEL).bearer(&token("bob@example.com"));
    let told = |request: Req| {
        ["x-original-method", "x-forwarded-method"]
            .iter()
            .fold(request, |request, name| request.header(name, "GET"))
            .header("x-original-uri", get)
            .header("x-forwarded-uri", get)
            .header("x-forwarded-host", COMPANION)
            .header("x-original-framing", "HTTP/1.1;;")
    };
    let mut requests = vec![told(bob()), told(bob()).header("content-length", "0")];
    for name in ["X-Opgate-Principal", "X-Request-Id", "X-Opgate-Set", "X-Opgate-Remove"] {
        requests.push(cancel().header("content-length", "0").header(name, "user:root@example.com"));
    }
    for request in requests {
        for answer in gate.over_both(&request).await {
            let is_bob = request.headers.iter().any(|(name, _)| name == "x-original-method");
            assert!(!is_bob || answer.status >= 400, "{:?}: {request:?}: {}", current(), answer.status);
        }
    }
    for request in gate.backend.requests() {
        let principals: Vec<_> = request.headers.get_all("x-opgate-principal").iter().collect();
        assert_eq!(principals, ["user:ana@example.com"], "{:?}", current());
        assert!(!request.headers.contains_key("authorization"), "{:?}: {request:?}", current());
    }
    each_request_at_the_backend_was_judged(&mut gate);
}

/// Each request at the backend has one audit line, with its method and its path, that says ALLOWED.
fn each_request_at_the_backend_was_judged(gate: &mut Gate) {
    assert!(gate.terminate().success());
    let lines = gate.audit(0);
    let mut seen = BTreeSet::new();
    for request in gate.backend.requests() {
        let id = request.headers.get("x-request-id").and_then(|id| id.to_str().ok());
        let id = id.unwrap_or_else(|| panic!("{:?}: without an id: {request:?}", current())).to_owned();
        let line = lines.iter().find(|line| line["insertId"] == *id);
        let line = line.unwrap_or_else(|| panic!("{:?}: no line of {request:?}", current()));
        let payload = &line["protoPayload"];
        assert_eq!(payload["metadata"]["decision"], "ALLOWED", "{:?}: {request:?}", current());
        let frontend = if current() == Some(Front::Envoy) { "ext_authz" } else { "forward_auth" };
        assert_eq!(payload["metadata"]["frontend"], frontend, "{:?}", current());
        assert_eq!(line["httpRequest"]["requestMethod"], request.method.as_str(), "{:?}", current());
        let path = request.target.split('?').next().unwrap();
        assert_eq!(payload["requestMetadata"]["requestAttributes"]["path"], path, "{:?}", current());
        let body = request.body.trim_ascii();
        assert!(body.is_empty() || body.starts_with(b"{"), "{:?}: {request:?}", current());
        assert!(seen.insert(id), "{:?}: one decision, one request: {request:?}", current());
    }
}
