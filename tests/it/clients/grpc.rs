//! Official clients over gRPC, their default transport, through the gate to a backend on grpcio: Google's Python and Node clients,
//! Google's Go clients over grpc-go, grpc-java.
//!
//! `tests/clients/grpc` holds the calls and the backend. Each client prints what came of each row, and all are held against the
//! same rows; the backend tells what it has got.

mod backend;
mod install;
mod rows;
mod scene;

use serde_json::{Map, Value, json};

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

/// Client-, server- and bidirectional streaming, compression, trailers and a client that walks away, with grpcio on both sides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_each_kind_pass_between_client_and_backend() {
    let Some(installed) = installed() else { return };
    let scene = Scene::start(installed, false);
    let came = scene.run_with(installed.python("streams.py"), &[installed.descriptors()]).await;
    let answered: Vec<(&str, &Value)> =
        came.iter().filter_map(|line| Some((line["row"].as_str().unwrap(), line.get("answer")?))).collect();
    let (parts, turns) = (
        json!([["0", 1000], ["1", 1000], ["2", 1000], ["3", 1000], ["4", 1000]]),
        json!([[0], [1], [2], [3], [4]]),
    );
    let (watched, chatted) = (json!([parts, "5", [0, 255]]), json!(["begun", turns]));
    let expected = [
        ("upload", &json!([10, 10_000])),
        ("upload of the same name", &json!([3, 3])),
        ("upload of 4 MiB", &json!([1, (4 << 20) - 1024])),
        ("upload with gzip", &json!([10, 10_000])),
        ("watch", &watched),
        ("watch with gzip", &watched),
        ("chat", &chatted),
        ("chat with gzip", &chatted),
        ("watch cancelled", &json!([10_000, 10_000])),
    ];
    assert_eq!(answered, expected);
    let expected_calls = expected.len();
    let refused: Vec<(&str, &str, &str)> = came
        .iter()
        .filter(|line| line.get("code").is_some())
        .map(|line| {
            let text = |key: &str| line[key].as_str().unwrap_or_default();
            (text("row"), text("code"), text("reason"))
        })
        .collect();
    let expected = [
        ("no permission", "PERMISSION_DENIED", "IAM_PERMISSION_DENIED"),
        ("another name later", "INVALID_ARGUMENT", "GRPC_MESSAGE_REFUSED"),
        ("no name", "INVALID_ARGUMENT", "RESOURCE_NAME_REFUSED"),
        ("deflate", "UNIMPLEMENTED", "GRPC_ENCODING_UNSUPPORTED"),
    ];
    assert_eq!(refused, expected);
    let got = scene.backend.got(expected_calls);
    // Nothing of another stream's name has arrived, and the cancel has.
    for call in &got {
        assert!(
            call.messages.iter().all(|message| !String::from_utf8_lossy(message).contains("other")),
            "{call:?}"
        );
    }
    let watched: Vec<bool> = got
        .iter()
        .filter(|call| call.method == "/opgate.test.v1.Streams/Watch")
        .map(|call| call.was_cancelled)
        .collect();
    assert_eq!(watched, [false, false, true]);
}

/// Compares all rows of a client.
fn assert_rows(came: &[Value], without: &[&str]) {
    let by_row: Map<String, Value> =
        came.iter().map(|line| (line["row"].as_str().unwrap().to_owned(), comparable(line))).collect();
    assert_eq!(by_row.len(), came.len(), "each row once");
    let mut expected = rows::expected();
    expected.retain(|row, _| !without.contains(&row.as_str()));
    for (row, expected) in &expected {
        assert_eq!(by_row.get(row), Some(expected), "{row}");
    }
    let more: Vec<&String> = by_row.keys().filter(|row| !expected.contains_key(*row)).collect();
    assert!(more.is_empty(), "rows that are compared with nothing: {more:?}");
}

/// A line as it is compared: client and gate word a deadline in their own ways.
fn comparable(line: &Value) -> Value {
    match line["row"].as_str() {
        Some("deadline") => json!({ "row": "deadline", "code": line["code"] }),
        _ => line.clone(),
    }
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
