//! Several requests on one connection: no byte of one is read as part of another.

use crate::bodies::{TRAIN, ana, cancel, cancel_without_body, head, strict};
use crate::connection::Connection;
use crate::harness::{Body, COMPANION, Gate, Req, Setup, token, values};

/// A request hidden in a body: it would be allowed if it were read as one.
#[tokio::test]
async fn a_refused_body_is_never_taken_for_the_next_request() {
    let hidden = String::from_utf8(cancel().to_http1()).unwrap();
    let length = format!("Content-Length: {}", hidden.len());
    let chunks = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    let anonymous = Req::new("POST", COMPANION, &format!("/v1/{TRAIN}:cancel"));
    let unknown = Req::new("POST", COMPANION, "/v1/nothing").bearer(&ana());
    let (gate, _tree) = strict();
    for (row, request, fields, body) in [
        ("no byte allowed", cancel_without_body(), length.as_str(), hidden.as_str()),
        ("not JSON", cancel(), &length, &hidden),
        ("no credential", anonymous.clone(), &length, &hidden),
        ("no such method", unknown, &length, &hidden),
        ("chunked, no byte allowed", cancel_without_body(), "Transfer-Encoding: chunked", &chunks),
        ("chunked, no credential", anonymous, "Transfer-Encoding: chunked", &chunks),
        ("two lengths", cancel(), "Content-Length: 0\r\nContent-Length: 5", &hidden),
        ("length and chunked", cancel(), "Content-Length: 0\r\nTransfer-Encoding: chunked", &hidden),
    ] {
        // Sent with the head or, where an answer comes first, after it.
        for at_once in [true, false] {
            let mut connection = Connection::open(gate.address).await;
            connection.send(head(&request, fields)).await;
            let needs_body = matches!(row, "not JSON" | "chunked, no byte allowed");
            let early = if at_once || needs_body { None } else { connection.answer().await };
            connection.try_send(body).await;
            connection.try_send(&hidden[..hidden.len() / 2]).await;
            // The last request is never complete, so that a gate which went on reading would have to wait.
            let answer = if early.is_some() { early } else { connection.answer().await };
            assert!((400..500).contains(&answer.unwrap().status), "{row}");
            connection.finish_if_open().await;
            let rest = connection.rest().await;
            assert_eq!(String::from_utf8_lossy(&rest), "", "{row}");
            assert!(gate.backend.requests().is_empty(), "{row}");
        }
    }
    assert_eq!(gate.audit(16).len(), 16);
}

#[tokio::test]
async fn a_connection_serves_on_after_an_answer() {
    let gate = Gate::start();
    let mut connection = Connection::open(gate.address).await;
    let bob = Req::new("POST", COMPANION, &format!("/v1/{TRAIN}:cancel")).bearer(&token("bob@example.com"));
    let anonymous = Req::new("POST", COMPANION, &format!("/v1/{TRAIN}:cancel"));
    let unknown = Req::new("POST", COMPANION, "/v1/nothing").bearer(&ana());
    let rows = [
        (cancel(), 200),
        (bob.clone(), 403),
        (anonymous.clone(), 401),
        (cancel().body(Body::Length(b"{}".to_vec())), 200),
        (unknown, 404),
        (bob.body(Body::Length(vec![])), 403),
        (cancel().body(Body::Chunked(b"{}".to_vec())), 200),
        (anonymous.body(Body::Length(vec![])), 401),
        (cancel().body(Body::Chunked(vec![])), 200),
        (cancel_without_body(), 200),
    ];
    for (row, (request, status)) in rows.iter().enumerate() {
        connection.send(request.to_http1()).await;
        let answer = connection.answer().await.unwrap_or_else(|| panic!("row {row}: closed"));
        assert_eq!(answer.status, *status, "row {row}");
        assert_ne!(answer.header("connection"), Some("close"), "row {row}");
    }
    assert_eq!(gate.audit(rows.len()).len(), rows.len());
    let requests = gate.backend.requests();
    assert_eq!(requests.len(), 5);
    assert!(requests.iter().all(|request| request.body.is_empty()));
}

/// Nothing of one request applies to the next: not the token, not the body, not the permit.
#[tokio::test]
async fn principals_that_share_a_connection_are_judged_one_by_one() {
    let gate = Gate::start();
    let rows = [("ana", 200), ("bob", 403), ("", 401), ("ana", 200), ("", 401), ("erin", 403), ("lea", 200)];
    let request = |who: &str| {
        let request = Req::new("POST", COMPANION, &format!("/v1/{TRAIN}:cancel"));
        match who {
            "" => request,
            who => request.bearer(&token(&format!("{who}@example.com"))),
        }
    };
    let mut connection = Connection::open(gate.address).await;
    let mut client = gate.http2_client().await;
    for (who, status) in rows {
        connection.send(request(who).to_http1()).await;
        assert_eq!(connection.status().await, Some(status), "{who}");
        let (answer, _) = client.start(&request(who), true).await;
        assert_eq!(client.finish(answer).await.status, status, "{who}");
    }
    // Lines are written after the answers, in any order.
    let lines = gate.audit(rows.len() * 2);
    let mut told: Vec<_> = lines
        .iter()
        .map(|line| {
            let email = line["protoPayload"]["authenticationInfo"]["principalEmail"].as_str();
            (email.unwrap_or_default().to_owned(), line["httpRequest"]["status"].as_u64().unwrap())
        })
        .collect();
    let email = |who: &str| if who.is_empty() { String::new() } else { format!("{who}@example.com") };
    let mut sent: Vec<_> = rows.iter().map(|(who, status)| (email(who), u64::from(*status))).collect();
    sent.extend(sent.clone());
    told.sort();
    sent.sort();
    assert_eq!(told, sent);
    let principals: Vec<String> = gate
        .backend
        .requests()
        .iter()
        .flat_map(|request| values(&request.headers, "x-opgate-principal"))
        .collect();
    let [ana, lea] = ["user:ana@example.com", "user:lea@example.com"];
    assert_eq!(principals, [ana, ana, ana, ana, lea, lea]);
}

/// The rest of a pipelined body arrives while the request before it still waits for its answer. It belongs to that
/// body: no byte of it may become part of the next head, and no byte of the next head part of it.
#[tokio::test]
async fn a_pipelined_body_that_comes_while_an_answer_is_waited_for_is_read_in_its_place() {
    let backend = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = backend.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in backend.incoming().flatten() {
            std::thread::spawn(move || answer_late(stream));
        }
    });
    let gate = Gate::start_with(Setup { endpoints: Some(vec![address]), ..Setup::default() });
    let name = format!(r#"{{"name": "{TRAIN}"}}"#);
    for body in [Body::Length(name.clone().into_bytes()), Body::Chunked(name.clone().into_bytes())] {
        let pipelined = cancel().body(body).to_http1();
        for cut in [pipelined.len() - name.len() + 3, pipelined.len() - 1] {
            let mut connection = Connection::open(gate.address).await;
            connection.send([cancel().to_http1(), pipelined[..cut].to_vec()].concat()).await;
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            connection.send(&pipelined[cut..]).await;
            connection.send(cancel_without_body().to_http1()).await;
            for row in 0..3 {
                assert_eq!(connection.status().await, Some(200), "cut at {cut}, answer {row}");
            }
        }
    }
    assert_eq!(gate.audit(12).len(), 12);
}

/// Answers each request of a connection, none of which has a body, after 300 ms.
fn answer_late(mut stream: std::net::TcpStream) {
    use std::io::{Read, Write};

    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut piece) {
        bytes.extend_from_slice(&piece[..length]);
        if bytes.ends_with(b"\r\n\r\n") {
            bytes.clear();
            std::thread::sleep(std::time::Duration::from_millis(300));
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap();
        }
    }
}
