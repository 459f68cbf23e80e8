//! Backends that do not answer as gRPC does.

use serde_json::json;

use super::backend::{Step, error, frame, ok, one};
use super::rig::{Rig, ana, ana_with};
use crate::harness::reason;

const BOOK: &str = "/v1/projects/acme/books/b1";

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_one_of_grpc_is_a_502() {
    let rig = Rig::start_with(vec!["upstreams.operations.outliers={failures: 1000}".to_owned()]).await;
    let book = || Step::Message(json!({"name": "x"}));
    for steps in [
        vec![Step::Head(503, &[]), ok()],
        vec![Step::Head(200, &[("content-type", "text/html")]), ok()],
        vec![Step::Head(200, &[("content-type", "")]), book(), ok()],
        vec![Step::Head(200, &[]), book(), Step::End],
        vec![Step::Head(200, &[]), book(), Step::Trailers(vec![("x-end", "1".to_owned())])],
        vec![Step::Head(200, &[]), ok()],
        vec![Step::Head(200, &[]), book(), book(), ok()],
        vec![Step::Head(200, &[]), Step::Bytes(frame(b"\xff")), ok()],
        vec![Step::Head(200, &[]), Step::Bytes(vec![1, 0, 0, 0, 0]), ok()],
        vec![Step::Head(200, &[]), Step::Bytes(vec![0, 0, 0, 0, 9, 1]), ok()],
        vec![Step::Head(200, &[]), Step::Bytes(vec![0, 0xff, 0xff, 0xff, 0xff]), ok()],
        vec![Step::Head(200, &[]), Step::Reset],
    ] {
        let told = format!("{steps:?}");
        rig.backend.answer("ArchiveBook", steps);
        let (answer, _) = rig.called(&ana_with("POST", &format!("{BOOK}:archive"), "{}")).await;
        assert_eq!((answer.status, reason(&answer).as_str()), (502, "UPSTREAM_INVALID"), "{told}");
    }
    // One fault is that of one exchange.
    rig.backend.answer("ArchiveBook", one(json!({})));
    assert_eq!(rig.called(&ana_with("POST", &format!("{BOOK}:archive"), "{}")).await.0.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_late_is_a_504_and_one_that_is_not_there_a_503() {
    let mut rig = Rig::start_with(vec!["services.library.limits={deadline: 300ms}".to_owned()]).await;
    rig.backend.answer("GetBook", vec![Step::Hang]);
    let answer = rig.gate.http1(&ana("GET", BOOK)).await;
    assert_eq!((answer.status, reason(&answer).as_str()), (504, "UPSTREAM_TIMEOUT"));
    assert_eq!(rig.backend.take().len(), 1);
    // What the backend says itself of its deadline reads as its error.
    rig.backend.answer("GetBook", vec![Step::TrailersOnly(error(4, "too slow"))]);
    let answer = rig.gate.http1(&ana("GET", BOOK)).await;
    assert_eq!((answer.status, answer.json().unwrap()["error"]["message"].clone()), (504, json!("too slow")));
    rig = Rig::start_with(vec!["upstreams.operations.endpoints=['127.0.0.1:1']".to_owned()]).await;
    let answer = rig.gate.http1(&ana("GET", BOOK)).await;
    assert_eq!((answer.status, reason(&answer).as_str()), (503, "UPSTREAM_UNAVAILABLE"));
}
