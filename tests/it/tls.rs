//! TLS listeners: requests that are served, requests that are refused, and connections that end without an answer.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::authority::{Authority, Client, Leaf};
use crate::connection::Connection;
use crate::harness::{Body, COMPANION, DATAPROC, Gate, Http2, Req, Setup, TRAIN, cancel, reason, token};

/// A gate that speaks TLS, with the CA that its certificates come from.
struct Secured {
    gate: Gate,
    authority: Authority,
    files: TempDir,
}

impl Secured {
    fn start() -> Self {
        Self::start_with(&[&[COMPANION]], json!({}), &[])
    }

    /// One certificate for each list of names, with more keys of `tls` and more settings.
    fn start_with(certificates: &[&[&str]], more: Value, set: &[&str]) -> Self {
        let authority = Authority::new();
        let files = tempfile::tempdir().unwrap();
        let mut tls = more;
        tls["certificates"] = certificates
            .iter()
            .enumerate()
            .map(|(number, names)| {
                let leaf = authority.issue(names);
                let (cert, key) = leaf.write(files.path(), &format!("server-{number}"));
                json!({ "cert": cert, "key": key })
            })
            .collect();
        let mut settings = vec![format!("listeners.0.tls={tls}")];
        settings.extend(set.iter().map(|setting| (*setting).to_owned()));
        let gate = Gate::start_with(Setup { set: settings, ..Setup::default() });
        Self { gate, authority, files }
    }

    fn client(&self) -> Client {
        self.authority.client()
    }

    async fn http1(&self, client: &Client, name: &str) -> Connection {
        Connection::over(client.connect(self.gate.address, name).await.unwrap())
    }

    async fn http2(&self, name: &str) -> Http2 {
        let client = self.client().offering(&["h2", "http/1.1"]);
        let stream = client.connect(self.gate.address, name).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        Http2::over_tls(stream).await
    }

    /// Waits for the count: the gate counts after the client has seen the end.
    async fn until_refused(&self, reason: &str, count: u64) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.gate.refused_connections(reason).await < count {
            assert!(Instant::now() < deadline, "{reason}:\n{}", self.gate.metrics().await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn a_cancel_is_judged_and_recorded_over_tls_as_it_is_without() {
    let secured = Secured::start();
    let foreign = Req { headers: Vec::new(), ..cancel() }.bearer(&token("bob@example.com"));

    for client in [secured.client(), secured.client().tls12(), secured.client().offering(&["http/1.1"])] {
        let mut connection = secured.http1(&client, COMPANION).await;
        connection.send(cancel().to_http1()).await;
        assert_eq!(connection.status().await, Some(200));
        // The connection stays open, also after a refusal.
        connection.send(foreign.to_http1()).await;
        let answer = connection.answer().await.unwrap();
        assert_eq!((answer.status, reason(&answer).as_str()), (403, "IAM_PERMISSION_DENIED"));
        connection.send(cancel().body(Body::Chunked(b"{}".to_vec())).to_http1()).await;
        assert_eq!(connection.status().await, Some(200));
    }
    let mut client = secured.http2(COMPANION).await;
    for (request, status) in [(&cancel(), 200), (&foreign, 403), (&cancel(), 200)] {
        let (response, _) = client.start(request, true).await;
        assert_eq!(client.finish(response).await.status, status);
    }
    let lines = secured.gate.audit(12);
    let allowed =
        lines.iter().filter(|line| line["protoPayload"]["metadata"]["decision"] == "ALLOWED").count();
    assert_eq!((lines.len(), allowed), (12, 8));
    let ip = |line: &Value| line["protoPayload"]["requestMetadata"]["callerIp"].clone();
    assert!(lines.iter().all(|line| ip(line) == "127.0.0.1"), "{lines:?}");
    assert_eq!(secured.gate.backend.requests().len(), 8);
}

#[tokio::test]
async fn curl_gets_the_same_answer_over_tls() {
    let secured = Secured::start();
    let ca = secured.files.path().join("ca.pem");
    std::fs::write(&ca, secured.authority.pem()).unwrap();
    for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", flag, "--cacert"])
            .arg(&ca)
            .args(["--write-out", "\n%{http_version} %{http_code}", "--request", "POST"])
            .args(["--header", &format!("authorization: Bearer {}", token("ana@example.com"))])
            .args(["--connect-to", &format!("{COMPANION}:443:{}", secured.gate.address)])
            .arg(format!("https://{COMPANION}{TRAIN}:cancel"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let last = said.lines().last().unwrap_or_default();
        assert_eq!(last, format!("{version} 200"), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test]
async fn a_listener_without_http2_offers_none() {
    let secured = Secured::start_with(&[&[COMPANION]], json!({}), &["listeners.0.http2=false"]);
    let client = secured.client().offering(&["h2", "http/1.1"]);
    let stream = client.connect(secured.gate.address, COMPANION).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let mut connection = Connection::over(stream);
    connection.send(cancel().to_http1()).await;
    assert_eq!(connection.status().await, Some(200));
    // HTTP/2 with prior knowledge is refused as well.
    let mut connection = secured.http1(&secured.client(), COMPANION).await;
    connection.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(connection.status().await, Some(400));
    assert!(secured.client().offering(&["h2"]).connect(secured.gate.address, COMPANION).await.is_err());
    secured.until_refused("tls_incompatible", 1).await;
}

#[tokio::test]
async fn http1_on_a_connection_that_agreed_on_http2_is_not_served() {
    let secured = Secured::start();
    let client = secured.client().offering(&["h2"]);
    let mut connection = secured.http1(&client, COMPANION).await;
    connection.send(cancel().to_http1()).await;
    assert_eq!(connection.rest().await, b"");
    assert_eq!(secured.gate.backend.requests().len(), 0);
}

#[tokio::test]
async fn a_connection_that_is_not_tls_is_closed_and_counted() {
    let secured = Secured::start();
    let mut stream = TcpStream::connect(secured.gate.address).await.unwrap();
    stream.write_all(&cancel().to_http1()).await.unwrap();
    let mut said = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut said).await;
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
    secured.until_refused("not_tls", 1).await;
    assert_eq!(secured.gate.backend.requests().len(), 0);
    assert!(!secured.gate.log().contains("TLS"), "{}", secured.gate.log());
}

#[tokio::test]
async fn tls_1_1_is_not_spoken() {
    let secured = Secured::start();
    let openssl = |version: &str| {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &secured.gate.address.to_string(), "-servername", COMPANION])
            .args([version, "-cipher", "DEFAULT:@SECLEVEL=0"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(openssl("-tls1_2").contains("Protocol  : TLSv1.2"));
    assert!(openssl("-tls1_1").contains("Cipher is (NONE)"));
    secured.until_refused("tls_incompatible", 1).await;
}

#[tokio::test]
async fn a_slow_handshake_is_cut_and_delays_no_other_client() {
    let secured = Secured::start_with(&[&[COMPANION]], json!({}), &["limits.handshake_timeout=300ms"]);
    // One client sends nothing; another begins a record and stops.
    let mut slow = Vec::new();
    for sent in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = TcpStream::connect(secured.gate.address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        slow.push(stream);
    }
    let mut bystander = secured.http1(&secured.client(), COMPANION).await;
    bystander.send(cancel().to_http1()).await;
    assert_eq!(bystander.status().await, Some(200));
    for mut stream in slow {
        let end = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut Vec::new())).await;
        assert!(end.is_ok(), "the connection ends");
    }
    secured.until_refused("tls_timeout", 2).await;
}

#[tokio::test]
async fn requests_over_tls_are_drained() {
    let mut secured = Secured::start();
    let slow = Req::new("POST", COMPANION, &format!("{TRAIN}:wait"))
        .bearer(&token("ana@example.com"))
        .body(Body::Length(b"{\"timeout\":\"1s\"}".to_vec()));
    let mut busy = secured.http1(&secured.client(), COMPANION).await;
    busy.send(slow.to_http1()).await;
    let mut busy2 = secured.http2(COMPANION).await;
    let (response, mut stream) = busy2.start(&slow, false).await;
    stream.send_data(b"{\"timeout\":\"1s\"}".to_vec().into(), true).unwrap();
    let mut idle = secured.http1(&secured.client(), COMPANION).await;
    let said_nothing = TcpStream::connect(secured.gate.address).await.unwrap();
    while secured.gate.backend.requests().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    secured.gate.ask_to_end();
    let answer = busy.answer().await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert_eq!(busy2.finish(response).await.status, 200);
    assert_eq!(idle.rest().await, b"");
    busy2.closed().await.unwrap();
    assert!(secured.gate.ended().await.success());
    drop(said_nothing);
    assert_eq!(secured.gate.audit(2).len(), 2);
}

#[tokio::test]
async fn a_certificate_is_chosen_by_the_name_that_is_asked_for() {
    let names: &[&[&str]] = &[&[COMPANION], &["*.dataproc.localhost", DATAPROC]];
    let secured = Secured::start_with(names, json!({}), &[]);
    for name in [COMPANION, DATAPROC, "eu.dataproc.localhost", "DATAPROC.localhost"] {
        // The client verifies the certificate.
        secured.client().connect(secured.gate.address, name).await.unwrap();
    }
    // Other names get the first certificate, which does not match them.
    for name in ["translation.localhost", "a.b.dataproc.localhost", "127.0.0.1"] {
        let error = secured.client().connect(secured.gate.address, name).await.unwrap_err();
        assert!(error.to_string().contains("not valid for name"), "{name}: {error}");
    }
    secured.until_refused("tls_refused_by_client", 1).await;
}

/// Certificates are replaced over and over during handshakes; no handshake fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_replaced_without_a_failed_handshake() {
    let secured = Secured::start();
    let until = Instant::now() + Duration::from_secs(4);
    let serials = async || {
        let client = secured.client();
        let mut seen = std::collections::BTreeSet::new();
        let mut handshakes = 0;
        while Instant::now() < until {
            let stream = client.connect(secured.gate.address, COMPANION).await.unwrap();
            seen.insert(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec());
            let mut connection = Connection::over(stream);
            connection.send(cancel().to_http1()).await;
            assert_eq!(connection.status().await, Some(200));
            handshakes += 1;
        }
        (handshakes, seen.len())
    };
    let replace = async {
        let mut number = 0;
        while Instant::now() < until {
            let leaf = secured.authority.issue(&[COMPANION]);
            // Now and then the key comes late: a certificate without its key is not used.
            if number % 2 == 1 {
                Leaf { key: String::new(), ..secured.authority.issue(&[COMPANION]) }
                    .write(secured.files.path(), "server-0");
                secured.gate.hang_up();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            leaf.write(secured.files.path(), "server-0");
            secured.gate.hang_up();
            tokio::time::sleep(Duration::from_millis(200)).await;
            number += 1;
        }
    };
    let ((handshakes, certificates), _) = tokio::join!(serials(), replace);
    println!("{handshakes} handshakes saw {certificates} certificates");
    assert!(
        certificates > 3,
        "{certificates} certificates in {handshakes} handshakes\n{}",
        secured.gate.log()
    );
}

/// Without a signal: the gate looks at its files.
#[tokio::test]
async fn a_renewed_certificate_is_found_on_disk() {
    let secured = Secured::start();
    let before = shown(&secured).await;
    secured.authority.issue(&[COMPANION]).write(secured.files.path(), "server-0");
    let deadline = Instant::now() + Duration::from_secs(15);
    while shown(&secured).await == before {
        assert!(Instant::now() < deadline, "{}", secured.gate.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn shown(secured: &Secured) -> Vec<u8> {
    let stream = secured.client().connect(secured.gate.address, COMPANION).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// A connection may be used for every name of its certificate, and for no name of another.
#[tokio::test]
async fn a_request_for_another_certificates_host_is_misdirected() {
    let names: &[&[&str]] = &[&[COMPANION, "*.companion.localhost", "127.0.0.1"], &[DATAPROC]];
    let served = json!([COMPANION, "eu.companion.localhost", "elsewhere.localhost", "127.0.0.1"]);
    let hosts = format!("services.cloudaicompanion.hosts={served}");
    let secured = Secured::start_with(names, json!({}), &[&hosts]);
    let to = |host: &str| Req { host: host.to_owned(), ..cancel() };
    let mut http1 = secured.http1(&secured.client(), COMPANION).await;
    let mut http2 = secured.http2(COMPANION).await;
    let cases = [
        (COMPANION, 200),
        ("CLOUDAICOMPANION.localhost", 200),
        ("eu.companion.localhost", 200),
        (DATAPROC, 421),
        ("elsewhere.localhost", 421),
        ("127.0.0.1", 421),
        (COMPANION, 200),
    ];
    for (host, status) in cases {
        http1.send(to(host).to_http1()).await;
        let over1 = http1.answer().await.unwrap();
        let (response, _) = http2.start(&to(host), true).await;
        let over2 = http2.finish(response).await;
        for answer in [over1, over2] {
            assert_eq!(answer.status, status, "{host}");
            if status == 421 {
                assert_eq!(reason(&answer), "REQUEST_MISDIRECTED");
            }
        }
    }
    assert_eq!(secured.gate.backend.requests().len(), 8);
    // A line may come after the answer, and so after the next request's line.
    let lines = secured.gate.audit(14);
    let told = |line: &&Value| line["protoPayload"]["metadata"]["reason"] == "REQUEST_MISDIRECTED";
    let line = lines.iter().find(told).unwrap();
    let detail = line["protoPayload"]["metadata"]["detail"].as_str().unwrap();
    assert_eq!(
        detail,
        format!("the connection is to `{COMPANION}`, whose certificate does not cover `{DATAPROC}`")
    );
    // A client that sends no SNI may use any host.
    let mut unnamed = secured.http1(&secured.client(), "127.0.0.1").await;
    unnamed.send(to("elsewhere.localhost").to_http1()).await;
    assert_eq!(unnamed.status().await, Some(200));
}
