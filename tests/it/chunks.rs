//! Chunked request bodies, read strictly by RFC 9112, section 7.1. A body that a lenient reader would repair is refused
//! and logged, its connection ends, and no byte of it reaches a backend.

mod fuzz;
mod grammar;
mod near;
mod streamed;

use std::time::Duration;

use crate::connection::Connection;
use crate::harness::{Answer, COMPANION, reason};
use crate::open_gate::{ANYTHING, OpenGate};

/// A method of each body rule, which every caller may call.
pub const RULES: [(&str, &str, &str); 3] = [
    ("empty_message", COMPANION, "/v1/projects/demo/locations/eu/operations/o1:cancel"),
    ("message", COMPANION, "/v1/projects/demo/locations/eu/operations/o1:wait"),
    ("stream", ANYTHING, "/o1"),
];

/// The head of a request whose body comes in chunks.
pub fn head(host: &str, target: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    )
}

/// Long enough that the gate reads the bytes before it by themselves.
pub async fn apart() {
    tokio::time::sleep(Duration::from_millis(3)).await;
}

pub fn assert_not_chunked(answer: &Answer, row: &str) {
    assert_eq!((answer.status, reason(answer).as_str()), (400, "REQUEST_MALFORMED"), "{row}");
    let message = answer.json().unwrap()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("the body is not well chunked: "), "{row}: {message}");
    assert_eq!(answer.header("connection"), Some("close"), "{row}");
}

/// Sends each body under each rule, with its head and cut in two at every byte. It is refused once, and the connection
/// ends although a whole request follows.
async fn assert_refused(bodies: &[&str]) {
    let open = OpenGate::start();
    let mut sent = 0;
    for body in bodies {
        for (rule, host, target) in RULES {
            for cut in 0..=body.len() {
                let row = format!("{rule}, {:?} | {:?}", &body[..cut], &body[cut..]);
                let head = head(host, target);
                let mut connection = Connection::open(open.gate.address).await;
                connection.send(format!("{head}{}", &body[..cut])).await;
                if cut < body.len() {
                    apart().await;
                    connection.try_send(&body[cut..]).await;
                }
                connection.try_send(format!("{head}2\r\n{{}}\r\n0\r\n\r\n")).await;
                let answer = connection.answer().await.unwrap_or_else(|| panic!("{row}: no answer"));
                assert_not_chunked(&answer, &row);
                connection.finish_if_open().await;
                assert_eq!(connection.rest().await, b"", "{row}");
                sent += 1;
            }
        }
    }
    assert_eq!(open.backend.bytes(), 0, "nothing reaches the backend");
    let audit = open.gate.audit(sent);
    assert_eq!(audit.len(), sent, "one line each");
    for line in audit {
        let metadata = &line["protoPayload"]["metadata"];
        assert_eq!(
            (&metadata["decision"], &metadata["reason"]),
            (&"DENIED".into(), &"REQUEST_MALFORMED".into())
        );
        assert_eq!(line["httpRequest"]["status"], 400);
    }
}

#[tokio::test]
async fn an_empty_chunk_size_is_refused() {
    assert_refused(&["\r\n\r\n", ";x\r\n\r\n", " \r\n\r\n", "\r\n{}\r\n0\r\n\r\n"]).await;
}

/// A front that ends lines at LF takes the chunk's data from `a=b` on, and reads the rest of it as another request.
#[tokio::test]
async fn a_bare_lf_in_a_chunk_extension_is_refused() {
    assert_refused(&["2;\na=b\r\n{}\r\n0\r\n\r\n", "2;a\n\r\n{}\r\n0\r\n\r\n", "0;a=\"\n\"\r\n\r\n"]).await;
}

#[tokio::test]
async fn control_bytes_in_a_chunk_extension_are_refused() {
    assert_refused(&["2;a\0b\r\n{}\r\n0\r\n\r\n", "2;a=\"\x7f\"\r\n{}\r\n0\r\n\r\n"]).await;
}

#[tokio::test]
async fn a_chunk_extension_that_is_none_is_refused() {
    assert_refused(&[
        "2;=b\r\n{}\r\n0\r\n\r\n",
        "2;a=\r\n{}\r\n0\r\n\r\n",
        "2;\r\n{}\r\n0\r\n\r\n",
        "0;a=\"b\r\n\r\n",
    ])
    .await;
}

#[tokio::test]
async fn blanks_after_a_chunk_size_are_refused() {
    assert_refused(&["2 \r\n{}\r\n0\r\n\r\n", "2;a \r\n{}\r\n0\r\n\r\n", "0\t\r\n\r\n"]).await;
}

#[tokio::test]
async fn trailers_that_are_not_fields_are_refused() {
    assert_refused(&[
        "0\r\nX y\r\n\r\n",
        "0\r\n X: y\r\n\r\n",
        "0\r\nX: y\r\n z\r\n\r\n",
        "0\r\nGET /evil HTTP/1.1\r\n\r\n",
    ])
    .await;
}

#[tokio::test]
async fn trailers_that_belong_in_the_head_are_refused() {
    assert_refused(&["0\r\nContent-Length: 5\r\n\r\n", "0\r\nX: y\r\nhost:a\r\n\r\n"]).await;
}

#[tokio::test]
async fn a_good_body_passes_however_it_is_cut() {
    let bodies = [
        "2\r\n{}\r\n0\r\n\r\n",
        "1;a=b\r\n{\r\n01 ; c = \"d;\\\"\"\r\n}\r\n000\r\nX: y\r\n\r\n",
        "0\r\n\r\n",
    ];
    let open = OpenGate::start();
    let mut sent = 0;
    for (rule, host, target) in RULES {
        // All over one connection: each body must end exactly where it ends.
        let mut connection = Connection::open(open.gate.address).await;
        for body in bodies {
            for cut in 0..=body.len() {
                connection.send(format!("{}{}", head(host, target), &body[..cut])).await;
                apart().await;
                connection.send(&body[cut..]).await;
                let row = format!("{rule}, {:?} | {:?}", &body[..cut], &body[cut..]);
                let answer = connection.answer().await.unwrap_or_else(|| panic!("{row}: no answer"));
                assert_eq!(answer.status, 200, "{row}");
                assert_ne!(answer.header("connection"), Some("close"), "{row}");
                sent += 1;
            }
        }
    }
    let bodies = open.backend.bodies();
    assert_eq!(bodies.len(), sent);
    for (target, body) in bodies {
        assert!(body.is_empty() || body == b"{}" && !target.ends_with(":cancel"), "{target}: {body:?}");
    }
}

/// RFC 9112, section 9.3.2: the bytes behind a chunked body are the next request, wherever they are cut.
#[tokio::test]
async fn requests_behind_a_chunked_body_are_answered_in_turn() {
    let open = OpenGate::start();
    let mut sent = 0;
    for (rule, host, target) in RULES {
        let request = format!("{}2\r\n{{}}\r\n0\r\n\r\n", head(host, target));
        let with_length = format!(
            "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        let bytes = [request.as_str(), &with_length, &request, &with_length].concat();
        for cut in (0..=bytes.len()).step_by(3) {
            let mut connection = Connection::open(open.gate.address).await;
            connection.send(&bytes[..cut]).await;
            apart().await;
            connection.send(&bytes[cut..]).await;
            for answer in 0..4 {
                assert_eq!(connection.status().await, Some(200), "{rule}, cut at {cut}, answer {answer}");
            }
            sent += 4;
        }
    }
    let bodies = open.backend.bodies();
    assert_eq!(bodies.len(), sent);
    assert!(bodies.iter().all(|(_, body)| body.is_empty() || body == b"{}"));
}

#[tokio::test]
async fn a_refusal_for_another_reason_stands_whatever_the_chunks_are() {
    let open = OpenGate::start();
    for body in ["2;\n{}\r\n0\r\n\r\n", "2\r\n{}\r\n0\r\n\r\n"] {
        let mut connection = Connection::open(open.gate.address).await;
        let unknown = head(COMPANION, "/v1/nothing");
        connection.send(format!("{unknown}{body}{unknown}{body}")).await;
        let answer = connection.answer().await.unwrap();
        assert_eq!((answer.status, answer.header("connection")), (404, Some("close")), "{body:?}");
        connection.finish_if_open().await;
        assert_eq!(connection.rest().await, b"", "{body:?}");
    }
    assert_eq!(open.gate.audit(2).len(), 2);
    assert_eq!(open.backend.bytes(), 0);
}
