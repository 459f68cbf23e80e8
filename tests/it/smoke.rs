//! The harness itself: a gate starts and answers over both versions, and its logs can be read.

use crate::harness::{Body, COMPANION, Gate, Req, reason, token};

#[tokio::test]
async fn the_same_request_is_answered_alike_over_both_versions() {
    let gate = Gate::start();
    let target = "/v1/projects/demo/locations/us-central1/operations/train-1:cancel";
    let request = Req::new("POST", COMPANION, target).bearer(&token("ana@example.com"));
    for answer in gate.over_both(&request).await {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, b"{}");
    }
    let request = request.body(Body::Length(b"x".to_vec()));
    for answer in gate.over_both(&request).await {
        assert_eq!((answer.status, reason(&answer).as_str()), (400, "REQUEST_BODY_REFUSED"));
    }
    assert_eq!(gate.backend.requests().len(), 2);
    assert_eq!(gate.audit(4).len(), 4);
    assert!(gate.metrics().await.contains("opgate_requests_total"));
}
