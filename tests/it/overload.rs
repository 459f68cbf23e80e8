//! Upstreams at their limits of requests.

use std::time::{Duration, Instant};

use crate::harness::{Body, COMPANION, Gate, Req, Setup, TRAIN, reason, token};

/// Requests that the upstream's limits refused.
const REFUSED: &str = "opgate_upstream_overflow_total{upstream=\"operations\"}";

/// A request that the backend answers after this time.
fn wait(timeout: &str) -> Req {
    Req::new("POST", COMPANION, &format!("{TRAIN}:wait"))
        .bearer(&token("ana@example.com"))
        .body(Body::Length(format!("{{\"timeout\":\"{timeout}\"}}").into_bytes()))
}

fn gate(limits: &str) -> Gate {
    let set = vec![format!("upstreams.operations.limits={limits}")];
    Gate::start_with(Setup { set, ..Setup::default() })
}

#[tokio::test]
async fn requests_over_the_pending_limit_are_refused_at_once() {
    let gate = gate("{requests: 1, pending: 1, pending_timeout: 60s}");
    let (slow, quick) = (wait("3s"), wait("1s"));
    let (first, others) = tokio::join!(gate.http1(&slow), async {
        gate.backend_has_seen(1).await;
        let since = Instant::now();
        let asked = async |version: u8| {
            let answer = if version == 1 { gate.http1(&quick).await } else { gate.http2(&quick).await };
            (answer, since.elapsed())
        };
        tokio::join!(asked(1), asked(2), asked(1), asked(2))
    });
    assert_eq!(first.status, 200);
    let others = [others.0, others.1, others.2, others.3];
    let (served, turned_away): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|(answer, _)| answer.status == 200);
    assert_eq!((served.len(), turned_away.len()), (1, 3), "the pending request is served");
    for (answer, time) in turned_away {
        assert_eq!((answer.status, reason(&answer).as_str()), (503, "UPSTREAM_OVERLOADED"));
        assert_eq!(answer.json().unwrap()["error"]["status"], "UNAVAILABLE");
        assert!(time < served[0].1, "refused before the pending request was served");
    }
    assert_eq!(gate.metric(REFUSED).await, 3);
    assert_eq!(gate.backend.requests().len(), 2);
    let refusals = gate.audit(5).into_iter().filter(|line| line["httpRequest"]["status"] == 503);
    for line in refusals {
        let decision = &line["protoPayload"]["metadata"];
        assert_eq!(
            (&decision["decision"], &decision["reason"]),
            (&"ALLOWED".into(), &"UPSTREAM_OVERLOADED".into())
        );
        assert!(decision["upstream"].is_null(), "{line}");
    }
    // Places are given back, by requests that were served and by those that were not.
    for _ in 0..3 {
        assert_eq!(gate.http1(&wait("0.001s")).await.status, 200);
    }
}

#[tokio::test]
async fn a_pending_request_times_out() {
    let gate = gate("{requests: 1, pending: 5, pending_timeout: 200ms}");
    let (slow, quick) = (wait("3s"), wait("1s"));
    let (first, second) = tokio::join!(gate.http1(&slow), async {
        gate.backend_has_seen(1).await;
        let since = Instant::now();
        let answer = gate.http1(&quick).await;
        assert!(since.elapsed() >= Duration::from_millis(200));
        answer
    });
    assert_eq!(first.status, 200);
    assert_eq!((second.status, reason(&second).as_str()), (503, "UPSTREAM_OVERLOADED"));
    assert_eq!((gate.backend.requests().len(), gate.metric(REFUSED).await), (1, 1));
}

/// A backend that fails gives its place back like one that answers.
#[tokio::test]
async fn a_failed_exchange_gives_its_place_back() {
    use crate::origin::Step::{Close, Head};
    let origin = crate::origin::Origin::start(&[Head, Close]).await;
    let set = vec!["upstreams.operations.limits={requests: 1, pending: 1, pending_timeout: 10s}".to_owned()];
    let gate = Gate::start_with(Setup { endpoints: Some(vec![origin.address]), set, ..Setup::default() });
    for _ in 0..5 {
        let answer = gate.http1(&wait("1s")).await;
        assert_eq!((answer.status, reason(&answer).as_str()), (502, "UPSTREAM_INVALID"));
    }
}
