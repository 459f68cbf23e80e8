//! Requests behind requests: pipelined, and hidden in heads whose end two readers see in different places.

use serde::Deserialize;

use crate::connection::Connection;
use crate::harness::{Body, COMPANION, Gate, Req, corpora, token};

const PATH: &str = "/v1/projects/demo/locations/us-central1/operations/train-1:cancel";

/// A cancel that policy allows.
fn cancel() -> Req {
    Req::new("POST", COMPANION, PATH).bearer(&token("ana@example.com"))
}

/// RFC 9112, section 9.3.2. A gate may answer in turn or close; it may not let one through unseen.
#[tokio::test]
async fn pipelined_requests_are_judged_or_dropped() {
    let mut gate = Gate::start();
    let bob = Req::new("POST", COMPANION, PATH).bearer(&token("bob@example.com"));
    let anonymous = Req::new("POST", COMPANION, PATH);
    let body = |request: &Req| request.clone().body(Body::Length(b"{}".to_vec()));
    for batch in [
        vec![cancel(), bob.clone(), cancel()],
        vec![bob.clone(), cancel(), bob.clone()],
        vec![body(&cancel()), body(&bob), cancel()],
        vec![anonymous, cancel()],
    ] {
        let before = gate.backend.requests().len();
        let mut connection = Connection::open(gate.address).await;
        let bytes: Vec<u8> = batch.iter().flat_map(Req::to_http1).collect();
        connection.send(bytes).await;
        connection.finish_if_open().await;
        let mut allowed = 0;
        let mut answered = 0;
        while let Some(status) = connection.status().await {
            answered += 1;
            allowed += usize::from(status == 200);
        }
        assert!(answered <= batch.len());
        eprintln!("{answered} of {} pipelined requests were answered", batch.len());
        let forwarded = gate.backend.requests().len() - before;
        assert!(forwarded >= allowed);
    }
    assert_each_forwarded_request_was_allowed(&mut gate);
}

/// The backend's requests and the audit lines that say ALLOWED and name an endpoint are the same ones.
fn assert_each_forwarded_request_was_allowed(gate: &mut Gate) {
    // The log is whole when the process has ended.
    assert!(gate.terminate().success());
    let forwarded: Vec<String> = gate
        .backend
        .requests()
        .iter()
        .map(|request| request.headers["x-request-id"].to_str().unwrap().to_owned())
        .collect();
    let lines = gate.audit(0);
    for id in &forwarded {
        let line = lines.iter().find(|line| line["insertId"] == **id).expect("an audit line");
        assert_eq!(line["protoPayload"]["metadata"]["decision"], "ALLOWED");
    }
    let mut distinct = forwarded.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), forwarded.len(), "one decision, one request");
}

#[derive(Deserialize)]
struct Case {
    name: String,
    method: String,
    version: String,
    #[serde(default)]
    headers: Vec<CaseHeader>,
}

#[derive(Deserialize)]
struct CaseHeader {
    name: String,
    value: serde_json::Value,
}

impl Case {
    /// The case's head on an allowed request: its target, a host, a token and a short body that looks like a request.
    fn to_bytes(&self, number: usize) -> Vec<u8> {
        let mut bytes = latin1(format!("{} {PATH} {}", self.method, self.version).trim_end());
        bytes.extend_from_slice(b"\r\n");
        if !self.headers.iter().any(|header| header.name == "Host") {
            bytes.extend_from_slice(format!("Host: {COMPANION}\r\n").as_bytes());
        }
        bytes.extend_from_slice(format!("Authorization: Bearer {}\r\n", token("ana@example.com")).as_bytes());
        bytes.extend_from_slice(format!("X-Case: {number}\r\n").as_bytes());
        for header in &self.headers {
            let value = match &header.value {
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            bytes.extend(latin1(&header.name));
            bytes.extend_from_slice(b": ");
            bytes.extend(latin1(&value));
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n0\r\n\r\n");
        bytes.extend(Req::new("POST", "smuggled.localhost", PATH).to_http1());
        bytes
    }
}

/// `\x88` in the cases is a byte; what does not fit in one is UTF-8.
fn latin1(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for letter in text.chars() {
        match u8::try_from(u32::from(letter)) {
            Ok(byte) => bytes.push(byte),
            Err(_) => bytes.extend_from_slice(letter.to_string().as_bytes()),
        }
    }
    bytes
}

#[tokio::test]
async fn nothing_of_the_desync_corpus_is_forwarded_unjudged() {
    let Some(corpora) = corpora("the desync corpus") else {
        return;
    };
    let mut gate = Gate::start();
    let mut cases: Vec<(&str, Case)> = Vec::new();
    for file in ["severe.yaml", "ambiguous.yaml"] {
        let text = std::fs::read_to_string(corpora.join("desync").join(file)).unwrap();
        let of_file: Vec<Case> = serde_saphyr::from_str(&text).unwrap();
        assert!(of_file.len() > 20, "{file}");
        cases.extend(of_file.into_iter().map(|case| (file, case)));
    }
    for (number, (_, case)) in cases.iter().enumerate() {
        let mut connection = Connection::open(gate.address).await;
        connection.try_send(case.to_bytes(number)).await;
        connection.finish_if_open().await;
        // One answer, and at most a refusal of what follows; then the end.
        let rest = String::from_utf8_lossy(&connection.rest().await).into_owned();
        let mut answers = rest.split("HTTP/1.1 ").skip(2);
        assert!(answers.all(|answer| answer.starts_with("400 ")), "{}: {rest}", case.name);
    }
    assert_each_forwarded_request_was_allowed(&mut gate);
    let requests = gate.backend.requests();
    let passed: Vec<&str> = requests
        .iter()
        .map(|request| {
            assert_eq!(request.headers["host"], COMPANION, "smuggled");
            let number: usize = request.headers["x-case"].to_str().unwrap().parse().unwrap();
            cases[number].1.name.as_str()
        })
        .collect();
    for file in ["severe.yaml", "ambiguous.yaml"] {
        let of_file = || cases.iter().filter(|case| case.0 == file);
        let forwarded = of_file().filter(|case| passed.contains(&case.1.name.as_str())).count();
        eprintln!("{file}: {} refused, {forwarded} forwarded", of_file().count() - forwarded);
    }
    eprintln!("forwarded: {passed:?}");
    assert_eq!(passed, Vec::<&str>::new());
}
