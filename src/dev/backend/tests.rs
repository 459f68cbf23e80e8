use std::time::Instant;

use super::*;
use crate::dev::wire::{self, RawResponse};

const TRAIN: &str = "/v1/projects/demo/locations/us-central1/operations/train-1";
const JOB: &str = "/v1/projects/demo/regions/us-central1/operations/job-1";
const BATCH: &str = "/v3/projects/demo/operations/batch-1";

async fn send(backend: &Backend, method: &str, target: &str, body: &str) -> RawResponse {
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: b\r\nX-Test: {target}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    wire::exchange(backend.address(), request.as_bytes()).await.unwrap()
}

#[tokio::test]
async fn a_wait_ends_with_the_cancel() {
    let backend = Backend::start().unwrap();
    for (path, empty) in [(TRAIN, "{}"), (BATCH, "")] {
        let started = Instant::now();
        let wait = format!("{path}:wait");
        let cancel = format!("{path}:cancel");
        let (waited, cancelled) = tokio::join!(send(&backend, "POST", &wait, ""), async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            send(&backend, "POST", &cancel, "").await
        });
        assert_eq!((cancelled.status, cancelled.body.as_slice()), (200, empty.as_bytes()));
        assert_eq!(waited.json().unwrap()["error"]["code"], 1);
        assert!(started.elapsed() < Duration::from_secs(5));
        // A cancel of what is done is fine and changes nothing.
        assert_eq!(send(&backend, "POST", &cancel, "").await.status, 200);
        assert_eq!(send(&backend, "GET", path, "").await.json().unwrap(), waited.json().unwrap());
    }
}

#[tokio::test]
async fn a_wait_keeps_its_timeout() {
    let backend = Backend::start().unwrap();
    let started = Instant::now();
    let waited = send(&backend, "POST", &format!("{TRAIN}:wait"), r#"{"timeout":"0.2s"}"#).await;
    assert_eq!(waited.json().unwrap()["done"], false);
    assert!((Duration::from_millis(200)..Duration::from_secs(5)).contains(&started.elapsed()));
    for body in [r#"{"timeout":"-1s"}"#, r#"{"timeout":3}"#, r#"{"timeout":"infs"}"#, "x"] {
        let refused = send(&backend, "POST", &format!("{TRAIN}:wait"), body).await;
        assert_eq!(refused.json().unwrap()["error"]["status"], "INVALID_ARGUMENT", "{body}");
    }
}

#[tokio::test]
async fn what_a_service_does_not_have_is_unimplemented_or_not_found() {
    let backend = Backend::start().unwrap();
    for (method, target, status, code) in [
        ("POST", format!("{JOB}:wait"), 501, "UNIMPLEMENTED"),
        ("DELETE", BATCH.to_owned(), 501, "UNIMPLEMENTED"),
        ("POST", format!("{TRAIN}0:cancel"), 404, "NOT_FOUND"),
        ("POST", format!("{TRAIN}0:wait"), 404, "NOT_FOUND"),
        ("GET", format!("{TRAIN}0"), 404, "NOT_FOUND"),
        ("GET", format!("{TRAIN}:cancel"), 404, "NOT_FOUND"),
        ("POST", format!("{TRAIN}:abort"), 404, "NOT_FOUND"),
        ("POST", TRAIN.to_owned(), 404, "NOT_FOUND"),
        ("GET", "/".to_owned(), 404, "NOT_FOUND"),
        ("GET", "/-/requests".to_owned(), 404, "NOT_FOUND"),
        ("GET", "/v1/projects//locations/l/operations/o".to_owned(), 404, "NOT_FOUND"),
        ("GET", "/v3/projects/demo/operations?pageSize=x".to_owned(), 400, "INVALID_ARGUMENT"),
    ] {
        let answer = send(&backend, method, &target, "").await;
        assert_eq!(answer.status, status, "{method} {target}");
        assert_eq!(answer.json().unwrap()["error"]["status"], code, "{method} {target}");
        assert_eq!(answer.json().unwrap()["error"]["code"], status, "{method} {target}");
    }
}

#[tokio::test]
async fn collections_are_listed_and_deleted_from() {
    let backend = Backend::start().unwrap();
    let collection = "/v1/projects/demo/regions/us-central1/operations";
    let first = send(&backend, "GET", &format!("{collection}?pageSize=1&alt=json"), "").await.json().unwrap();
    assert_eq!(first["operations"][0]["name"], JOB.strip_prefix("/v1/").unwrap());
    let token = first["nextPageToken"].as_str().unwrap();
    let rest = send(&backend, "GET", &format!("{collection}?pageToken={token}"), "").await.json().unwrap();
    assert_eq!(rest["operations"].as_array().unwrap().len(), 1);
    assert_eq!(send(&backend, "DELETE", JOB, "").await.body, b"{}");
    assert_eq!(send(&backend, "GET", JOB, "").await.status, 404);
    let left = send(&backend, "GET", collection, "").await.json().unwrap();
    assert_eq!(left["operations"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn everything_that_arrives_is_logged_as_it_came() {
    let backend = Backend::start().unwrap();
    send(&backend, "POST", "/a/../%2Fb?c=%64", "body").await;
    // One whose body never arrives counts, too.
    let stream = tokio::net::TcpStream::connect(backend.address()).await.unwrap();
    stream.try_write(b"PUT /x HTTP/1.1\r\nHost: b\r\nContent-Length: 9\r\n\r\nabc").unwrap();
    while backend.requests().len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let requests = backend.requests();
    assert_eq!((requests[0].method.as_str(), requests[0].target.as_str()), ("POST", "/a/../%2Fb?c=%64"));
    assert_eq!(requests[0].headers["x-test"], "/a/../%2Fb?c=%64");
    assert_eq!(requests[0].body, "body");
    assert_eq!((requests[1].method.as_str(), requests[1].body.len()), ("PUT", 0));
    backend.clear();
    assert!(backend.requests().is_empty());
    send(&backend, "GET", "/y", "late").await;
    assert_eq!(backend.requests()[0].body, "late");
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_spoken() {
    let backend = Backend::start().unwrap();
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let answer = client.get(format!("http://{}{TRAIN}", backend.address())).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
    assert_eq!(backend.requests()[0].version, Version::HTTP_2);
}

#[test]
fn dropping_it_closes_its_port() {
    let backend = Backend::start().unwrap();
    let address = backend.address();
    // An idle connection does not keep it.
    let _idle = std::net::TcpStream::connect(address).unwrap();
    drop(backend);
    assert!(std::net::TcpStream::connect(address).is_err());
}
