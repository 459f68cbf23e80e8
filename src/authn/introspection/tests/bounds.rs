//! The bounds on lookups, and what happens while an issuer does not answer.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// A server whose answers wait until they are let go.
struct Gated {
    server: Server,
    gate: Arc<Semaphore>,
    most: Arc<AtomicUsize>,
}

async fn gated(answer: fn(&str) -> Response) -> Gated {
    let (gate, open, most) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)), Arc::default());
    let (passing, peak) = (gate.clone(), Arc::clone(&most));
    let server = Server::start(move |token, _| {
        let (passing, open, peak) = (passing.clone(), open.clone(), Arc::<AtomicUsize>::clone(&peak));
        async move {
            let now = open.fetch_add(1, Ordering::SeqCst) + 1;
            peak.fetch_max(now, Ordering::SeqCst);
            passing.acquire().await.unwrap().forget();
            open.fetch_sub(1, Ordering::SeqCst);
            answer(&token)
        }
    })
    .await;
    Gated { server, gate, most }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn requests_about_one_token_at_the_same_time_ask_once() {
    let Gated { server, gate: open, .. } = gated(|_| good()).await;
    let gate = Arc::new(gate(&server));
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let gate = gate.clone();
            tokio::spawn(async move { ask_at(&gate, "opaque", now()).await })
        })
        .collect();
    until("the server is asked", || server.count() > 0).await;
    open.add_permits(100);
    let mut observed = 0;
    for asked in asking {
        let (judged, outcome) = asked.await.unwrap();
        judged.unwrap();
        observed += usize::from(outcome.is_some());
    }
    assert_eq!((server.count(), observed), (1, 1));
}

#[tokio::test]
async fn a_client_that_goes_away_takes_nothing_from_the_others() {
    let Gated { server, gate: open, .. } = gated(|_| good()).await;
    let gate = Arc::new(gate(&server));
    let ask = || {
        let gate = gate.clone();
        tokio::spawn(async move { ask_at(&gate, "opaque", now()).await.0 })
    };
    let first = ask();
    until("the server is asked", || server.count() == 1).await;
    let second = ask();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    open.add_permits(1);
    second.await.unwrap().unwrap();
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_flood_of_invented_tokens_is_bounded_and_leaves_good_clients_their_turn() {
    let Gated { server, gate: open, most } =
        gated(|token| if token.starts_with("good") { good() } else { inactive() }).await;
    let gate = Arc::new(gate(&server));
    open.add_permits(2);
    ask(&gate, "good").await.unwrap();
    ask(&gate, "good-and-due").await.unwrap();

    let flood: Vec<_> = (0..500)
        .map(|number| {
            let gate = gate.clone();
            tokio::spawn(async move { ask_at(&gate, &format!("invented-{number}"), at(301)).await })
        })
        .collect();
    until("the flood is at the server", || server.count() == 2 + 64).await;
    // Known: no question. Known once: a question of its own. A stranger: not now.
    assert_eq!(ask_at(&gate, "good", at(1)).await.1, None);
    let due = {
        let gate = gate.clone();
        tokio::spawn(async move { ask_at(&gate, "good-and-due", at(301)).await })
    };
    until("the good client is at the server", || server.count() == 2 + 64 + 1).await;
    let (judged, outcome) = ask_at(&gate, "good-and-new", at(301)).await;
    assert_eq!((reason(judged), outcome), (Reason::NotReady, Some("unasked")));

    open.add_permits(1_000);
    let (judged, outcome) = due.await.unwrap();
    assert_eq!((judged.unwrap().principal.as_str(), outcome), ("user:ana@example.com", Some("active")));
    let mut outcomes = std::collections::BTreeMap::new();
    for asked in flood {
        let (judged, outcome) = asked.await.unwrap();
        assert!(judged.is_err());
        *outcomes.entry(outcome.unwrap()).or_insert(0) += 1;
    }
    assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), [("inactive", 64), ("unasked", 436)]);
    assert_eq!(most.load(Ordering::SeqCst), 65);
    ask_at(&gate, "good-and-new", at(301)).await.0.unwrap();
}

/// An address without a server, which no other program can take.
fn silent() -> (tokio::net::TcpSocket, String) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}/token", socket.local_addr().unwrap());
    (socket, url)
}

#[tokio::test]
async fn an_issuer_that_is_down_is_left_alone_for_a_moment_and_asked_again() {
    let (socket, url) = silent();
    let gate = gate_with(&url, ClientAuthentication::Basic);
    let (judged, outcome) = ask_at(&gate, "opaque", now()).await;
    let denial = judged.unwrap_err();
    assert_eq!((denial.reason(), outcome), (Reason::NotReady, Some("failed")));
    assert!(denial.detail().contains("refused") && !denial.detail().contains(&url), "{}", denial.detail());
    // What is known of the one, and what is not asked about the other.
    for (token, told) in [("opaque", None), ("other", Some("unasked"))] {
        let (judged, outcome) = ask_at(&gate, token, now()).await;
        assert_eq!((reason(judged), outcome), (Reason::NotReady, told));
    }

    let listener = socket.listen(16).unwrap();
    tokio::spawn(async move {
        axum::serve(listener, Router::new().route("/token", any(|| async { good() }))).await
    });
    let start = Instant::now();
    while ask(&gate, "another").await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(10), "it is up and not asked");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn statuses_of_an_outage_leave_the_issuer_alone() {
    for status in [401, 429, 502, 503, 504] {
        let status = StatusCode::from_u16(status).unwrap();
        let server = Server::answering(move |_| (status, axum::Json(members())).into_response()).await;
        let gate = gate(&server);
        for token in ["one", "two", "three"] {
            assert_eq!(ask_at(&gate, token, now()).await.1, Some("failed"), "{status}");
        }
        assert_eq!(ask_at(&gate, "four", now()).await.1, Some("unasked"), "{status}");
        assert_eq!(server.count(), 3, "{status}");
    }
}

#[tokio::test]
async fn a_strangers_token_that_the_issuer_does_not_answer_stops_no_other() {
    for status in [401, 429, 502, 503, 504] {
        let status = StatusCode::from_u16(status).unwrap();
        let server = Server::answering(move |token| match token.starts_with("odd") {
            true => status.into_response(),
            false => good(),
        })
        .await;
        let gate = gate(&server);
        ask(&gate, "known").await.unwrap();
        for number in 0..10 {
            // The odd one waits for a moment, however often it is sent.
            assert_eq!(ask_at(&gate, "odd", now()).await.1, (number == 0).then_some("failed"), "{status}");
            ask(&gate, &format!("fresh-{number}")).await.unwrap();
        }
        // Many odd ones in a row hold up what nothing is known of, and not what was good.
        for number in 0..10 {
            assert!(ask(&gate, &format!("odd-{number}")).await.is_err());
        }
        assert_eq!(ask_at(&gate, "stranger", now()).await.1, Some("unasked"), "{status}");
        assert_eq!(ask_at(&gate, "known", at(310)).await.1, Some("active"), "{status}");
    }
}

/// A server that breaks the connection off for one token, after it has read the question.
#[tokio::test]
async fn a_reset_about_one_token_stops_no_other() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut question = Vec::new();
            while !String::from_utf8_lossy(&question).contains("token_type_hint=access_token") {
                if stream.read_buf(&mut question).await.unwrap() == 0 {
                    break;
                }
            }
            if String::from_utf8_lossy(&question).contains("token=odd") {
                stream.set_zero_linger().unwrap();
                continue;
            }
            let body = members().to_string();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        }
    });
    let gate = gate_with(&url, ClientAuthentication::Basic);
    for number in 0..5 {
        assert_eq!(ask_at(&gate, &format!("odd-{number}"), now()).await.1, Some("failed"));
        ask(&gate, &format!("fresh-{number}")).await.unwrap();
    }
}

#[tokio::test]
async fn known_tokens_work_while_the_issuer_is_down() {
    let server = Server::start(|_, before| async move {
        if before == 0 { good() } else { StatusCode::SERVICE_UNAVAILABLE.into_response() }
    })
    .await;
    let gate = gate(&server);
    ask(&gate, "known").await.unwrap();
    assert_eq!(reason(ask(&gate, "unknown").await), Reason::NotReady);
    assert_eq!(ask_at(&gate, "known", at(290)).await.1, None);
    // No longer than its answer counts, and the failure does not count against it.
    assert_eq!(reason(ask_at(&gate, "known", at(310)).await.0), Reason::NotReady);
}

/// A server that says `head` and then a byte every 50 milliseconds.
async fn slow(head: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        let mut sent = stream.write_all(head.as_bytes()).await;
        while sent.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            sent = stream.write_all(b" ").await;
        }
    });
    url
}

#[tokio::test]
async fn an_answer_that_does_not_end_in_time_is_given_up() {
    for head in ["", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n"] {
        let mut settings = settings(&slow(head).await, Dialect::TokenInfo);
        endpoint_of(&mut settings).timeout = Duration::from_millis(300);
        let gate = Authenticator::load(vec![settings], now()).unwrap();
        let lookup = ask_at(&gate, "opaque", now());
        let (judged, outcome) = tokio::time::timeout(Duration::from_secs(10), lookup).await.unwrap();
        assert_eq!((reason(judged), outcome), (Reason::NotReady, Some("failed")), "{head:?}");
    }
}
