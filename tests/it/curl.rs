//! The demo's curl commands, with the real curl, over both versions.

use std::process::Command;

use crate::harness::{CANCEL, COMPANION, Gate, token};

/// Whether there is a curl that speaks HTTP/2.
pub fn installed() -> bool {
    let version = Command::new("curl").arg("--version").output();
    let speaks_http2 = version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("HTTP2"));
    if !speaks_http2 {
        eprintln!("the tests with curl are skipped: there is no curl that speaks HTTP/2");
    }
    speaks_http2
}

/// The parts of an answer that curl prints: version, status, the requested fields, and the body.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    version: String,
    status: String,
    content_type: String,
    challenge: String,
    body: String,
}

fn curl(gate: &Gate, arguments: &[&str]) -> Said {
    let port = gate.address.port();
    let output = Command::new("curl")
        .args(["--disable", "--silent", "--show-error", "--max-time", "10", "--noproxy", "*"])
        .args(["--resolve", &format!("{COMPANION}:{port}:127.0.0.1")])
        .args(["--write-out", "\n%{http_version}\n%{http_code}\n%{content_type}\n%header{www-authenticate}"])
        .args(arguments)
        .arg(format!("http://{COMPANION}:{port}{CANCEL}"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.rsplitn(5, '\n').map(str::to_owned);
    let mut next = || lines.next().unwrap();
    let (challenge, content_type, status, version, body) = (next(), next(), next(), next(), next());
    Said { version, status, content_type, challenge, body: without_request_id(&body) }
}

/// Removes the one line of an error that differs from answer to answer.
fn without_request_id(body: &str) -> String {
    body.lines().filter(|line| !line.contains("\"requestId\"")).collect::<Vec<_>>().join("\n")
}

#[test]
fn curl_is_answered_alike_over_both_versions() {
    if !installed() {
        return;
    }
    let gate = Gate::start();
    let ana = format!("Authorization: Bearer {}", token("ana@example.com"));
    let bob = format!("Authorization: Bearer {}", token("bob@example.com"));
    let (post, header) = (["-X", "POST"], "-H");
    for (name, arguments, status, body) in [
        ("allowed", vec![header, &ana], "200", "{}"),
        ("allowed with a message", vec![header, &ana, "-d", "{}"], "200", "{}"),
        ("missing token", vec![], "401", "CREDENTIALS_MISSING"),
        (
            "missing token and a body",
            vec![header, "Content-Type: application/json", "-d", "x"],
            "401",
            "CREDENTIALS_MISSING",
        ),
        ("refused body", vec![header, &ana, "-d", "x"], "400", "REQUEST_BODY_REFUSED"),
        (
            "refused body in chunks",
            vec![header, &ana, header, "Transfer-Encoding: chunked", "-d", "x"],
            "400",
            "REQUEST_BODY_REFUSED",
        ),
        ("no permission", vec![header, &bob], "403", "IAM_PERMISSION_DENIED"),
        ("another method", vec![header, &ana, "-X", "PUT"], "405", "HTTP_METHOD_NOT_ALLOWED"),
    ] {
        let arguments = [&post[..], &arguments[..]].concat();
        let over = |version| curl(&gate, &[&[version][..], &arguments[..]].concat());
        let (first, second) = (over("--http1.1"), over("--http2-prior-knowledge"));
        assert_eq!((first.version.as_str(), second.version.as_str()), ("1.1", "2"), "{name}");
        assert_eq!(first.status, status, "{name}: {first:?}");
        assert!(first.body.contains(body), "{name}: {first:?}");
        assert_eq!(first.challenge.is_empty(), status != "401", "{name}: {first:?}");
        assert_eq!(Said { version: first.version.clone(), ..second }, first, "{name}");
    }
    let seen = gate.backend.requests();
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|request| request.body.is_empty() && request.target == CANCEL));
}
