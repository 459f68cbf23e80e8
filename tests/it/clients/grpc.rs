//! Official clients over gRPC, their default transport, through the gate to a backend on grpcio: Google's Python and Node clients,
//! Google's Go clients over grpc-go, grpc-java.
//!
//! `tests/clients/grpc` holds the calls and the backend. Each client prints what came of each row, and all are held against the
//! same rows; the backend tells what it has got.

mod backend;
mod install;
mod rows;
mod scene;

use serde_json::{Map, Value};

use self::backend::Got;
use self::install::installed;
use self::scene::Scene;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn googles_python_clients_work_unmodified_over_grpc() {
    let Some(installed) = installed() else { return };
    let scene = Scene::start(installed, true);
    let came = scene.run(installed.python("calls.py")).await;
    assert_rows(&came, &[]);
    assert_got(&scene, &came);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn googles_python_clients_work_without_tls_too() {
    let Some(installed) = installed() else { return };
    let scene = Scene::start(installed, false);
    let came = scene.run(installed.python("calls.py")).await;
    assert_rows(&came, &[]);
    assert_got(&scene, &came);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn googles_node_clients_work_unmodified_over_grpc() {
    let Some(installed) = installed() else { return };
    let scene = Scene::start(installed, true);
    let came = scene.run(installed.node()).await;
    // google-gax has no wait.
    assert_rows(&came, &["wait"]);
    assert_got(&scene, &came);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn googles_go_clients_work_unmodified_over_grpc() {
    let Some(installed) = installed() else { return };
    let Some(go) = installed.go() else { return };
    let scene = Scene::start(installed, true);
    let came = scene.run(go).await;
    assert_rows(&came, &[]);
    assert_got(&scene, &came);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_java_works_with_googles_messages() {
    let Some(installed) = installed() else { return };
    let Some(java) = installed.java() else { return };
    // Debian's netty offers no h2 over TLS.
    let scene = Scene::start(installed, false);
    let came = scene.run(java).await;
    let not_in_java =
        ["ordinary", "ordinary list", "translate", "another cluster", "unimplemented", "unknown method"];
    assert_rows(&came, &not_in_java);
    assert_got(&scene, &came);
}

/// Compares all rows of a client.
fn assert_rows(came: &[Value], without: &[&str]) {
    let by_row: Map<String, Value> =
        came.iter().map(|line| (line["row"].as_str().unwrap().to_owned(), line.clone())).collect();
    assert_eq!(by_row.len(), came.len(), "each row once");
    let mut expected = rows::expected();
    expected.retain(|row, _| !without.contains(&row.as_str()));
    for (row, expected) in &expected {
        assert_eq!(by_row.get(row), Some(expected), "{row}");
    }
    let more: Vec<&String> = by_row.keys().filter(|row| !expected.contains_key(*row)).collect();
    assert!(more.is_empty(), "rows that are compared with nothing: {more:?}");
}

/// What the backend has got is what was allowed: the bytes of each request once, with the caller's name and without the token.
fn assert_got(scene: &Scene, came: &[Value]) {
    let mut wanted: Vec<(&str, Vec<u8>)> =
        came.iter().filter_map(|line| rows::sent(line["row"].as_str().unwrap())).collect();
    let got = scene.backend.got(wanted.len());
    for call in &got {
        assert_eq!(call.values("authorization"), [""; 0], "{call:?}");
        assert_eq!(call.values("x-opgate-principal"), ["user:ana@example.com"], "{call:?}");
        let [message] = call.messages.as_slice() else { panic!("one message: {call:?}") };
        match wanted.iter().position(|(method, bytes)| *method == call.method && bytes == message) {
            Some(found) => drop(wanted.swap_remove(found)),
            // Those that end by a deadline may not have come so far in time.
            None => assert!(is_slow(call) && call.was_cancelled, "{call:?}"),
        }
    }
    assert!(wanted.is_empty(), "not seen by the backend: {wanted:?}");
}

fn is_slow(call: &Got) -> bool {
    call.deadline.is_some() && String::from_utf8_lossy(&call.messages[0]).contains("/operations/slow-")
}
