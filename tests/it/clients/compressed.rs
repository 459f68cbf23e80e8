//! Bodies with a content coding: Java's discovery clients compress every body, also an empty one.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::bodies::{
    TRAIN, assert_empty_cancels, cancel, cancel_without_body, in_every_framing, strict, wait,
};
use crate::harness::{Body, Gate, Req, reason};

pub fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn compressed(request: Req) -> Req {
    request.header("content-encoding", "gzip")
}

#[tokio::test]
async fn a_gzip_body_is_judged_by_its_content_and_forwarded_plain() {
    let gate = Gate::start();
    for content in ["", "{}", "\"\"", "\u{feff}{}\n", &json!({ "name": TRAIN }).to_string()] {
        let body = gzip(content.as_bytes());
        let answers = in_every_framing(&gate, &compressed(cancel()), &body).await;
        assert!(answers.iter().all(|(_, answer)| answer.status == 200), "{content:?}");
        assert_empty_cancels(&gate, 3, content);
    }
    for content in [json!({ "timeout": "0s" }), json!({ "name": TRAIN, "timeout": "0s" })] {
        let body = gzip(content.to_string().as_bytes());
        for (framing, answer) in in_every_framing(&gate, &compressed(wait()), &body).await {
            assert_eq!(answer.status, 200, "{framing}");
        }
        for request in gate.backend.requests() {
            assert_eq!(request.body, content.to_string());
            assert_eq!(request.headers["content-length"], content.to_string().len().to_string());
            assert_eq!(request.headers["content-type"], "application/json");
            assert!(!request.headers.contains_key("content-encoding"));
            assert!(!request.headers.contains_key("transfer-encoding"));
        }
        gate.backend.clear();
    }
}

/// The head and the chunk of google-http-java-client for a POST without content.
/// Over HTTP/2 it went upstream as the end of chunks, which a backend takes for the next request.
#[tokio::test]
async fn the_gzip_of_nothing_is_refused_where_a_body_has_no_meaning() {
    let gate = Gate::start();
    let get = compressed(crate::harness::get()).body(Body::Chunked(gzip(b"")));
    let answer = gate.http2(&get).await;
    assert_eq!((answer.status, reason(&answer).as_str()), (400, "REQUEST_BODY_REFUSED"));
    assert!(gate.backend.requests().is_empty());
}

#[tokio::test]
async fn an_empty_post_of_javas_discovery_client_is_an_empty_body() {
    let (gate, _tree) = strict();
    for request in [cancel(), cancel_without_body()] {
        let request = Req { headers: request.headers[..1].to_vec(), ..request }
            .header("accept-encoding", "gzip")
            .header("content-encoding", "gzip")
            .header(
                "user-agent",
                "opgate-test Google-API-Java-Client/2.7.0 Google-HTTP-Java-Client/1.45.0 (gzip)",
            )
            .header("x-goog-api-client", "gl-java/17.0.1 gdcl/2.7.0 linux/6.1")
            .body(Body::Chunked(gzip(b"")));
        for answer in gate.over_both(&request).await {
            assert_eq!(answer.status, 200, "{}", request.target);
        }
        assert_empty_cancels(&gate, 2, &request.target);
    }
    // An operator who writes `body: empty` takes nothing else in gzip either.
    let more = compressed(cancel_without_body());
    for (framing, answer) in in_every_framing(&gate, &more, &gzip(b"{}")).await {
        assert_eq!((answer.status, reason(&answer).as_str()), (400, "REQUEST_BODY_REFUSED"), "{framing}");
    }
    assert!(gate.backend.requests().is_empty());
}

#[tokio::test]
async fn gzip_that_readers_read_differently_is_refused() {
    let whole = gzip(b"{}");
    let mut broken = whole.clone();
    broken[2] ^= 0xff;
    let mut wrong_sum = whole.clone();
    let end = wrong_sum.len();
    wrong_sum[end - 8] ^= 1;
    let other = json!({ "name": TRAIN.replace("demo", "other") }).to_string();
    let rows = [
        ("not gzip", b"{}".to_vec()),
        ("another method of compression", broken),
        ("another checksum", wrong_sum),
        ("cut off", whole[..end - 1].to_vec()),
        ("its head alone", whole[..10].to_vec()),
        ("two members", [whole.clone(), gzip(other.as_bytes())].concat()),
        ("an empty second member", [whole.clone(), gzip(b"")].concat()),
        ("something behind it", [whole.clone(), b"\0".to_vec()].concat()),
        ("another name", gzip(other.as_bytes())),
        ("gzip in gzip", gzip(&whole)),
    ];
    let gate = Gate::start();
    for (row, body) in rows {
        for request in [cancel(), wait()] {
            for (framing, answer) in in_every_framing(&gate, &compressed(request), &body).await {
                let outcome = (answer.status, reason(&answer));
                assert_eq!(outcome, (400, "REQUEST_BODY_REFUSED".to_owned()), "{row}, {framing}");
            }
        }
    }
    assert!(gate.backend.requests().is_empty());
}

#[tokio::test]
async fn a_bomb_is_given_up_at_the_bound() {
    let bomb = gzip(&vec![b' '; 20 << 20]);
    assert!(bomb.len() < 30_000);
    let gate = Gate::start();
    for request in [cancel(), wait()] {
        for (framing, answer) in in_every_framing(&gate, &compressed(request), &bomb).await {
            let outcome = (answer.status, reason(&answer));
            assert_eq!(outcome, (413, "REQUEST_BODY_TOO_LARGE".to_owned()), "{framing}");
        }
    }
    assert!(gate.backend.requests().is_empty());
}

#[tokio::test]
async fn another_coding_is_unsupported_and_the_answer_names_those_that_are_not() {
    let gate = Gate::start();
    for coding in ["br", "deflate", "zstd", "deflate, gzip", "gzip, gzip", "x"] {
        let request = cancel().header("content-encoding", coding);
        for (framing, answer) in in_every_framing(&gate, &request, b"{}").await {
            let outcome = (answer.status, reason(&answer));
            assert_eq!(outcome, (415, "REQUEST_BODY_CODING_UNSUPPORTED".to_owned()), "{coding}, {framing}");
            assert_eq!(answer.header("accept-encoding"), Some("gzip, identity"), "{coding}, {framing}");
        }
    }
    // Only a caller who may cancel is told.
    let stranger = Req { headers: vec![], ..cancel() }.header("content-encoding", "br");
    let answer = gate.http1(&stranger.body(Body::Length(b"{}".to_vec()))).await;
    assert_eq!(answer.status, 401);
    assert!(gate.backend.requests().is_empty());
    for coding in ["gzip", "X-GZIP", "br", "identity"] {
        let request = cancel().header("content-encoding", coding).body(Body::Length(vec![]));
        assert_eq!(gate.http1(&request).await.status, 200, "an empty body is empty in every coding");
    }
    assert_empty_cancels(&gate, 4, "the coding of an empty body");
}
