//! The public corpus of requests that two readers read differently, all of it. Severe and ambiguous requests never
//! reach a backend; compliant ones do. Those that the gate refuses beyond that are listed here with the reason.

use std::path::Path;

use serde::Deserialize;

use super::assert_each_forwarded_request_was_allowed;
use crate::connection::Connection;
use crate::harness::{Answer, CANCEL, COMPANION, Gate, Req, corpora, token};
use crate::open_gate::{ANYTHING, OpenGate};

#[derive(Deserialize)]
struct Case {
    name: String,
    method: String,
    uri: String,
    version: String,
    headers: Option<Vec<CaseHeader>>,
    expected: Expected,
}

#[derive(Deserialize)]
struct CaseHeader {
    name: String,
    value: serde_json::Value,
}

#[derive(Deserialize)]
struct Expected {
    tier: Tier,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
enum Tier {
    Severe,
    Ambiguous,
    Acceptable,
    Compliant,
}

/// Compliant requests that the gate refuses all the same, with the message to the client. Each uses a form that some
/// reader gets wrong and that an API client does not need.
const REFUSED_THOUGH_COMPLIANT: &[(&str, &str)] = &[
    // Bytes that are not text: one server keeps them, another replaces them.
    ("HTTP Version.1.1 OK", "the query decodes to something that is not UTF-8"),
    // Codings that a backend may not know, or may decode in another order.
    ("Correct TE OK", "`transfer-encoding` is something else than `chunked`"),
    ("Transfer-Encoding: identity and chunked OK", "`transfer-encoding` is something else than `chunked`"),
    (
        "Multiple transfer encoding headers in a single request OK",
        "the header `transfer-encoding` is sent twice",
    ),
    ("TE with custom parameters OK", "`transfer-encoding` is something else than `chunked`"),
    ("Different Transfer-Encoding headers", "the header `transfer-encoding` is sent twice"),
    ("Different Transfer-Encoding headers combined", "`transfer-encoding` is something else than `chunked`"),
    ("Transfer-Encoding with a param: chunked;custom_param", "the header `transfer-encoding` is sent twice"),
    // A fragment, which a request cannot have, and characters that RFC 3986 does not allow.
    ("Compliant URL", "the query holds `#`, which may not stand in a query"),
    ("International in URI", "the request target is empty or holds a byte that is not printable ASCII"),
    ("Empty URI", "the request target is empty or holds a byte that is not printable ASCII"),
    // Control characters: a server that decodes before it parses takes them for the end of a line.
    ("%09 in URI is OK", "the path holds an encoded control character"),
    ("%0D in URI is OK", "the path holds an encoded control character"),
    ("%0A in URI is OK", "the path holds an encoded control character"),
];

/// The same for requests of the class "acceptable": each breaks a rule of HTTP/1.1, and an API client does not need to.
const REFUSED_THOUGH_ACCEPTABLE: &[(&str, &str)] = &[
    ("No TE/CL headers, some others are non-compliant", "a header field's name is not a token"),
    ("TE and some others are non-compliant", "a header field's name is not a token"),
    ("A non-essential header with a non-printable character (x01)", "a header field's name is not a token"),
    ("CL and some others are non-compliant", "a header field's name is not a token"),
    ("Non-RFC, but OK HTTP/0.9", "the request line names no version that is spoken here"),
    (
        "Empty version, which means HTTP/0.9",
        "the request line is not `METHOD TARGET HTTP/1.1` with single spaces",
    ),
    ("Unknown but OK HTTP/1.2", "the request line names no version that is spoken here"),
    ("Some-Header\\x01", "a header field's name is not a token"),
    ("\\x01Some-Header", "a header field's name is not a token"),
    ("Some-Header: \\x01value", "the value of `some-custom-header` holds a control character"),
    ("Some-Header: value\\x01", "the value of `some-custom-header` holds a control character"),
    ("Extra spaces in version", "the request line is not `METHOD TARGET HTTP/1.1` with single spaces"),
    ("[space] in URI", "the request line is not `METHOD TARGET HTTP/1.1` with single spaces"),
];

impl Case {
    /// The cases of every file, in the order of their names.
    fn all(corpora: &Path) -> Vec<Self> {
        let mut files: Vec<_> = std::fs::read_dir(corpora.join("desync"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
            .collect();
        files.sort();
        let cases = |path: &std::path::PathBuf| -> Vec<Self> {
            serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
        };
        files.iter().flat_map(cases).collect()
    }

    fn fields(&self) -> impl Iterator<Item = &CaseHeader> {
        self.headers.iter().flatten()
    }

    fn is_dangerous(&self) -> bool {
        matches!(self.expected.tier, Tier::Severe | Tier::Ambiguous)
    }

    /// The case's head, with fields added that a request must have and the case does not.
    fn head(&self, target: &str, host: &str, fields: &str) -> Vec<u8> {
        let mut bytes = latin1(&format!("{} {target}", self.method));
        if !self.version.is_empty() {
            bytes.extend(latin1(&format!(" {}", self.version)));
        }
        bytes.extend_from_slice(b"\r\n");
        if !self.fields().any(|header| header.name == "Host") {
            bytes.extend_from_slice(format!("Host: {host}\r\n").as_bytes());
        }
        bytes.extend_from_slice(fields.as_bytes());
        for header in self.fields() {
            bytes.extend(latin1(&header.name));
            bytes.extend_from_slice(b": ");
            bytes.extend(latin1(&header.text()));
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }

    /// A body of the form that the head announces.
    fn body(&self) -> Vec<u8> {
        let value = |name: &str| {
            let header = self.fields().find(|header| header.name.eq_ignore_ascii_case(name))?;
            Some(header.text())
        };
        match value("content-length") {
            Some(length) => vec![b'x'; length.trim().parse().unwrap()],
            None if value("transfer-encoding").is_some() => b"5\r\nhello\r\n0\r\n\r\n".to_vec(),
            None => Vec::new(),
        }
    }
}

impl CaseHeader {
    fn text(&self) -> String {
        match &self.value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

/// In the cases, `\x88` stands for a byte; a character beyond one byte is UTF-8.
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

/// A body that contains what looks like its own end, and another request.
fn smuggled() -> Vec<u8> {
    [b"0\r\n\r\n".to_vec(), Req::new("POST", "smuggled.localhost", CANCEL).to_http1()].concat()
}

/// Every case, with its name: on a call with these fields, and as it stands there. Behind each of those that readers disagree about,
/// there is another request.
pub fn hostile(corpora: &Path, target: &str, host: &str, fields: &str) -> Vec<(String, Vec<u8>)> {
    let mut requests = Vec::new();
    for case in Case::all(corpora) {
        let plain = case.uri.bytes().all(|byte| byte.is_ascii_graphic());
        let on_a_call = if plain { target } else { &case.uri };
        let behind = if case.is_dangerous() { smuggled() } else { case.body() };
        requests.push((case.name.clone(), [case.head(on_a_call, host, fields), behind.clone()].concat()));
        requests.push((case.name.clone(), [case.head(&case.uri, host, fields), behind].concat()));
    }
    requests
}

/// Sends the bytes and expects 400 and then the end. Refusals of the bytes that follow may come in between.
async fn assert_refused(gate: &Gate, name: &str, bytes: Vec<u8>) {
    let mut connection = Connection::open(gate.address).await;
    connection.try_send(bytes).await;
    connection.finish_if_open().await;
    let rest = String::from_utf8_lossy(&connection.rest().await).into_owned();
    let statuses: Vec<&str> = rest.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["400"], "{name}: {rest}");
}

fn message(answer: &Answer) -> String {
    let json = answer.json().unwrap_or_default();
    json["error"]["message"].as_str().unwrap_or_default().to_owned()
}

/// Each case on a cancel that policy allows, and as it stands at a gate where every caller may call everything: 400,
/// the end of the connection, and not a byte at the backend.
#[tokio::test]
async fn severe_and_ambiguous_requests_never_reach_a_backend() {
    let Some(corpora) = corpora("the desync corpus") else { return };
    let mut cancels = Gate::start();
    let open = OpenGate::start();
    let cases = Case::all(&corpora);
    let dangerous: Vec<&Case> = cases.iter().filter(|case| case.is_dangerous()).collect();
    let bearer = format!("Authorization: Bearer {}\r\n", token("ana@example.com"));
    for case in &dangerous {
        // Also with the case's own target, if the target is what the case is about.
        let plain = case.uri.bytes().all(|byte| byte.is_ascii_graphic());
        let target = if plain { CANCEL } else { &case.uri };
        let on_a_cancel = [case.head(target, COMPANION, &bearer), smuggled()].concat();
        assert_refused(&cancels, &case.name, on_a_cancel).await;
        let as_it_stands = [case.head(&case.uri, ANYTHING, ""), smuggled()].concat();
        assert_refused(&open.gate, &case.name, as_it_stands).await;
    }
    for tier in [Tier::Severe, Tier::Ambiguous] {
        let of_tier = dangerous.iter().filter(|case| case.expected.tier == tier).count();
        eprintln!("{tier:?}: {of_tier} of {of_tier} refused with 400, on a cancel and as they stand");
        assert_eq!(of_tier, 58, "{tier:?}");
    }
    assert_eq!(open.backend.bytes(), 0);
    let audited = open.gate.audit(dangerous.len());
    let refused =
        |line: &serde_json::Value| line["protoPayload"]["metadata"]["reason"] == "REQUEST_MALFORMED";
    assert!(audited.iter().all(refused) && audited.len() == dangerous.len(), "each leaves one audit line");
    assert!(cancels.backend.requests().is_empty());
    assert_each_forwarded_request_was_allowed(&mut cancels);
}

#[tokio::test]
async fn compliant_requests_arrive_or_are_refused_for_a_reason() {
    let Some(corpora) = corpora("the desync corpus") else { return };
    let open = OpenGate::start();
    for (tier, refusals) in
        [(Tier::Compliant, REFUSED_THOUGH_COMPLIANT), (Tier::Acceptable, REFUSED_THOUGH_ACCEPTABLE)]
    {
        let cases = Case::all(&corpora);
        let cases: Vec<&Case> = cases.iter().filter(|case| case.expected.tier == tier).collect();
        let mut refused = Vec::new();
        for case in &cases {
            let mut connection = Connection::open(open.gate.address).await;
            let bytes = [case.head(&case.uri, ANYTHING, ""), case.body()].concat();
            connection.try_send(bytes).await;
            if case.method == "HEAD" {
                // No body follows a HEAD: the end of the connection ends the answer.
                connection.finish_if_open().await;
                assert!(connection.rest().await.starts_with(b"HTTP/1.1 200 "), "{}", case.name);
            } else {
                let answer = connection.answer().await.unwrap();
                if answer.status == 200 {
                    assert_eq!(answer.body, b"{}", "{}", case.name);
                } else {
                    assert_eq!(answer.status, 400, "{}", case.name);
                    refused.push((case.name.clone(), message(&answer)));
                    assert!(open.backend.take().is_empty(), "{}", case.name);
                    continue;
                }
            }
            assert_eq!(open.backend.take().len(), 1, "{}", case.name);
        }
        eprintln!(
            "{tier:?}: {} of {} arrive, {} are refused with a reason that is listed",
            cases.len() - refused.len(),
            cases.len(),
            refused.len()
        );
        let refused: Vec<(&str, &str)> =
            refused.iter().map(|(name, message)| (name.as_str(), message.as_str())).collect();
        assert_eq!(refused, refusals, "{tier:?}");
    }
    let arrived = open.assert_what_arrived_was_allowed();
    eprintln!("{arrived} requests at the backend, each of them allowed in the audit log");
}
