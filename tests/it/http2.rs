//! HTTP/2 requests that break a rule (RFC 9113, section 8): refused, by the library or the gate, and logged once each.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::authority::Authority;
use crate::frames::{
    self, DATA, END_HEADERS, END_STREAM, HEADERS, Outcome, PING, RST_STREAM, ask_over, block, frame, next,
    opening,
};
use crate::harness::{CANCEL, COMPANION, Gate, Setup, token};

type Fields<'f> = Vec<(&'f str, &'f [u8])>;

/// An allowed request with changes: `set` replaces a field, `without` removes one, `add` appends one.
struct Request {
    fields: Vec<(String, Vec<u8>)>,
}

impl Request {
    fn new(scheme: &str) -> Self {
        let authorization = format!("Bearer {}", token("ana@example.com"));
        let fields = [
            (":method", "POST"),
            (":scheme", scheme),
            (":authority", COMPANION),
            (":path", CANCEL),
            ("authorization", &authorization),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        Self { fields: fields.into() }
    }

    fn set(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let field = self.fields.iter_mut().find(|(known, _)| known == name).unwrap();
        field.1 = value.as_ref().to_vec();
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(known, _)| known != name);
        self
    }

    fn add(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    fn first(mut self, name: &str, value: &str) -> Self {
        self.fields.insert(0, (name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    fn block(&self) -> Vec<u8> {
        let fields: Fields<'_> =
            self.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        block(&fields)
    }

    /// HEADERS alone.
    fn whole(&self) -> Vec<u8> {
        frame(HEADERS, END_STREAM | END_HEADERS, 1, &self.block())
    }

    /// HEADERS, and DATA in pieces.
    fn with_body(&self, pieces: &[&[u8]]) -> Vec<u8> {
        let mut frames = frame(HEADERS, END_HEADERS, 1, &self.block());
        for (number, piece) in pieces.iter().enumerate() {
            let flags = if number + 1 == pieces.len() { END_STREAM } else { 0 };
            frames.extend(frame(DATA, flags, 1, piece));
        }
        frames
    }
}

/// Heads that are refused, with a label for each.
fn broken_heads(scheme: &str) -> Vec<(&'static str, Request)> {
    let good = || Request::new(scheme);
    let other_scheme = good().set(":scheme", "ftp");
    let other_channel = good().set(":scheme", if scheme == "http" { "https" } else { "http" });
    vec![
        ("no :method", good().without(":method")),
        ("no :path", good().without(":path")),
        ("no :scheme", good().without(":scheme")),
        ("two :method", good().first(":method", "POST")),
        ("two :path", good().first(":path", CANCEL)),
        ("two :authority", good().first(":authority", COMPANION)),
        ("two :scheme", good().first(":scheme", scheme)),
        ("a pseudo-header after a field", good().without(":path").add(":path", CANCEL)),
        ("an unknown pseudo-header", good().first(":version", "2")),
        (":status", good().first(":status", "200")),
        (":protocol", good().first(":protocol", "websocket")),
        ("an empty :method", good().set(":method", "")),
        ("a :method that is not a token", good().set(":method", "PO ST")),
        ("no authority", good().without(":authority")),
        ("an empty :authority", good().set(":authority", "")),
        (":authority with user information", good().set(":authority", format!("u@{COMPANION}"))),
        ("another host in Host", good().add("host", "evil.example")),
        ("two Hosts", good().without(":authority").add("host", COMPANION).add("host", COMPANION)),
        ("user information in Host", good().without(":authority").add("host", format!("u@{COMPANION}"))),
        ("a :path without a slash", good().set(":path", &CANCEL[1..])),
        ("an empty :path", good().set(":path", "")),
        ("an asterisk", good().set(":path", "*")),
        ("OPTIONS of an asterisk", good().set(":path", "*").set(":method", "OPTIONS")),
        ("an absolute :path", good().set(":path", format!("http://{COMPANION}{CANCEL}"))),
        ("a network path", good().set(":path", format!("//{COMPANION}{CANCEL}"))),
        ("a space in :path", good().set(":path", format!("{CANCEL} HTTP/1.1"))),
        ("a line end in :path", good().set(":path", format!("{CANCEL}\r\nx: y"))),
        ("a NUL in :path", good().set(":path", format!("{CANCEL}\0"))),
        ("bytes beyond ASCII in :path", good().set(":path", format!("{CANCEL}é"))),
        ("a scheme of something else", other_scheme),
        ("a scheme that the connection does not speak", other_channel),
        ("a scheme that is none", good().set(":scheme", "1")),
        ("a target in :scheme", good().set(":scheme", format!("http://evil.example{CANCEL}?"))),
        ("a :method in lower case", good().set(":method", "post")),
        ("a :method of other characters", good().set(":method", "!#$%")),
        ("TRACE", good().set(":method", "TRACE")),
        ("CONNECT", good().set(":method", "CONNECT").without(":path").without(":scheme")),
        ("CONNECT with a path", good().set(":method", "CONNECT")),
        ("extended CONNECT", good().set(":method", "CONNECT").first(":protocol", "websocket")),
        ("connection", good().add("connection", "close")),
        ("keep-alive", good().add("keep-alive", "1")),
        ("proxy-connection", good().add("proxy-connection", "close")),
        ("transfer-encoding", good().add("transfer-encoding", "chunked")),
        ("upgrade", good().add("upgrade", "h2c")),
        ("http2-settings", good().add("http2-settings", "AAAA")),
        ("te other than trailers", good().add("te", "gzip")),
        ("te with more than trailers", good().add("te", "trailers, gzip")),
        ("an upper-case name", good().add("X-Custom", "v")),
        ("a name with a space", good().add("x custom", "v")),
        ("an empty name", good().add("", "v")),
        ("a name with a colon", good().add("x:custom", "v")),
        ("a line end in a value", good().add("x-custom", "a\r\nx-evil: b")),
        ("a NUL in a value", good().add("x-custom", "a\0b")),
        ("a space before a value", good().add("x-custom", " a")),
        ("two lengths", good().add("content-length", "0").add("content-length", "2")),
        ("a list of lengths", good().add("content-length", "0, 0")),
        ("a signed length", good().add("content-length", "+0")),
        ("a length in hexadecimal", good().add("content-length", "0x0")),
    ]
}

fn lines_of(gate: &Gate, count: usize) -> Vec<(String, u64)> {
    let told = |line: &Value| {
        let reason = line["protoPayload"]["metadata"]["reason"].as_str().unwrap().to_owned();
        (reason, line["httpRequest"]["status"].as_u64().unwrap())
    };
    gate.audit(count).iter().map(told).collect()
}

/// Asserts that each row is refused, leaves one line and one count, and reaches no backend.
async fn assert_written_down(gate: &Gate, rows: &[(&str, Outcome)]) {
    // Sends an allowed request: after its line, every earlier line has been written.
    let lines = lines_of(gate, rows.len());
    assert_eq!(lines.len(), rows.len(), "{lines:?}");
    for (number, (row, outcome)) in rows.iter().enumerate() {
        let status = match outcome {
            Outcome::Status(status) => u64::from(*status),
            // Nothing is sent; the line has the status of the reason.
            Outcome::Broken => 400,
        };
        assert_eq!(lines[number], ("REQUEST_MALFORMED".to_owned(), status), "{row}");
    }
    let metrics = gate.metrics().await;
    let counted: usize = metrics
        .lines()
        .filter(|line| line.starts_with("opgate_requests_total{") && line.contains("REQUEST_MALFORMED"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap())
        .sum();
    assert_eq!(counted, rows.len());
    assert!(gate.backend.requests().is_empty());
}

#[tokio::test]
async fn a_broken_head_is_refused_and_written_down_once() {
    let gate = Gate::start();
    let mut outcomes = Vec::new();
    for (row, request) in broken_heads("http") {
        let stream = TcpStream::connect(gate.address).await.unwrap();
        let outcome = ask_over(stream, &request.whole()).await;
        assert!(matches!(outcome, Outcome::Status(400) | Outcome::Broken), "{row}: {outcome:?}");
        outcomes.push((row, outcome));
        // Its line must come before the next one's.
        gate.audit(outcomes.len());
    }
    assert_written_down(&gate, &outcomes).await;
    let own = outcomes.iter().filter(|(_, outcome)| *outcome == Outcome::Status(400)).count();
    eprintln!("{own} of {} broken heads are answered 400, the others reset", outcomes.len());
}

#[tokio::test]
async fn a_broken_head_over_tls_is_refused_and_written_down_once() {
    let authority = Authority::new();
    let files = tempfile::tempdir().unwrap();
    let (cert, key) = authority.issue(&[COMPANION]).write(files.path(), "server");
    let tls = json!({ "certificates": [{ "cert": cert, "key": key }] });
    let set = vec![format!("listeners.0.tls={tls}")];
    let gate = Gate::start_with(Setup { set, ..Setup::default() });
    let client = authority.client().offering(&["h2"]);
    let rows = broken_heads("https");
    let mut outcomes = Vec::new();
    for (row, request) in rows {
        let stream = client.connect(gate.address, COMPANION).await.unwrap();
        let outcome = ask_over(stream, &request.whole()).await;
        assert!(matches!(outcome, Outcome::Status(400) | Outcome::Broken), "{row}: {outcome:?}");
        outcomes.push((row, outcome));
        gate.audit(outcomes.len());
    }
    assert_written_down(&gate, &outcomes).await;
}

#[tokio::test]
async fn an_unusual_request_with_one_meaning_passes() {
    // A balancer that ends TLS is trusted here.
    let set = vec!["trusted_proxies={addresses: [127.0.0.1]}".to_owned()];
    let gate = Gate::start_with(Setup { set, ..Setup::default() });
    let good = || Request::new("http");
    let rows = [
        ("Host instead of :authority", good().without(":authority").add("host", COMPANION)),
        ("Host beside :authority", good().add("host", COMPANION)),
        ("https behind a balancer", good().set(":scheme", "https")),
        ("te: trailers", good().add("te", "trailers")),
        ("a length of nothing", good().add("content-length", "0")),
        ("cookie crumbs", good().add("cookie", "a=1").add("cookie", "b=2")),
        ("a fragment", good().set(":path", format!("{CANCEL}#fragment"))),
    ];
    for (row, request) in &rows {
        let stream = TcpStream::connect(gate.address).await.unwrap();
        assert_eq!(ask_over(stream, &request.whole()).await, Outcome::Status(200), "{row}");
    }
    let requests = gate.backend.requests();
    assert_eq!(requests.len(), rows.len());
    for request in &requests {
        // A fragment is cut off before the decision: the judged target is the one that is sent.
        assert_eq!(request.target, CANCEL);
    }
    assert_eq!(requests[5].headers["cookie"], "a=1; b=2");
}

#[tokio::test]
async fn a_body_that_is_not_as_long_as_it_says_is_refused() {
    let gate = Gate::start();
    let sized = |length: &str| Request::new("http").add("content-length", length);
    let rows = [
        ("less than it says", sized("5").with_body(&[b"{}"])),
        ("more than it says", sized("1").with_body(&[b"{}"])),
        ("more than nothing", sized("0").with_body(&[b"{}"])),
        ("nothing where it says more", sized("2").whole()),
        ("more in two pieces", sized("3").with_body(&[b"{}", b"{}"])),
        ("trailers", {
            let mut frames = frame(HEADERS, END_HEADERS, 1, &Request::new("http").block());
            frames.extend(frame(DATA, 0, 1, b"{}"));
            frames.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[("x-trailer", b"v")])));
            frames
        }),
        ("pseudo-headers in trailers", {
            let mut frames = frame(HEADERS, END_HEADERS, 1, &Request::new("http").block());
            frames.extend(frame(DATA, 0, 1, b"{}"));
            frames.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[(":path", b"/v1/x")])));
            frames
        }),
    ];
    for (number, (row, frames)) in rows.iter().enumerate() {
        let stream = TcpStream::connect(gate.address).await.unwrap();
        let outcome = ask_over(stream, frames).await;
        assert!(matches!(outcome, Outcome::Status(400) | Outcome::Broken), "{row}: {outcome:?}");
        let lines = lines_of(&gate, number + 1);
        assert_eq!(lines[number].0, "REQUEST_MALFORMED", "{row}: {lines:?}");
    }
    assert_eq!(gate.audit(rows.len()).len(), rows.len());
    assert!(gate.backend.requests().is_empty());
}

/// One of many requests on a connection is refused, and the others are not affected.
#[tokio::test]
async fn a_broken_head_among_good_ones_is_its_own_line() {
    let gate = Gate::start();
    let good = Request::new("http").block();
    let broken = Request::new("http").without(":path").block();
    let mut frames = opening(&[]);
    for number in 0..30_u32 {
        let block = if number % 3 == 0 { &broken } else { &good };
        frames.extend(frame(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, block));
    }
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &frames).await.unwrap();
    let (mut answered, mut reset) = (0, 0);
    let all = async {
        while answered + reset < 30 {
            match next(&mut stream).await.expect("the connection goes on") {
                (HEADERS, _) => answered += 1,
                (RST_STREAM, _) => reset += 1,
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all).await.expect("all lines come in time");
    assert_eq!((answered, reset), (20, 10));
    let mut lines = lines_of(&gate, 30);
    lines.sort();
    let expected = [vec![("ALLOWED".to_owned(), 200); 20], vec![("REQUEST_MALFORMED".to_owned(), 400); 10]];
    assert_eq!(lines, expected.concat());
}

/// The limit of streams, and the limits of the bytes of a head and its target.
#[tokio::test]
async fn requests_over_the_limits_are_refused_and_written_down() {
    let set = vec!["limits={http2_streams: 2, head_bytes: 8KiB, target_bytes: 300B}".to_owned()];
    let gate = Gate::start_with(Setup { set, ..Setup::default() });
    let long = Request::new("http").set(":path", format!("{CANCEL}?x={}", "x".repeat(300)));
    let large = Request::new("http").add("x-large", "x".repeat(7800));
    let larger = Request::new("http").add("x-large", "x".repeat(14_000));
    for (request, status, reason) in [
        (long, 414, "REQUEST_TARGET_TOO_LONG"),
        (large, 431, "REQUEST_HEAD_TOO_LARGE"),
        (larger, 431, "REQUEST_HEAD_TOO_LARGE"),
    ] {
        let stream = TcpStream::connect(gate.address).await.unwrap();
        let before = gate.audit(0).len();
        assert_eq!(ask_over(stream, &request.whole()).await, Outcome::Status(status), "{reason}");
        assert_eq!(lines_of(&gate, before + 1)[before], (reason.to_owned(), u64::from(status)));
    }
    // Three at the same time, none of which ends by itself.
    let mut frames = opening(&[]);
    for stream in [1, 3, 5] {
        frames.extend(frame(HEADERS, END_HEADERS, stream, &Request::new("http").block()));
    }
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &frames).await.unwrap();
    let refused = async {
        loop {
            if let (RST_STREAM, code) = next(&mut stream).await.expect("the connection goes on") {
                return code;
            }
        }
    };
    let code = tokio::time::timeout(Duration::from_secs(10), refused).await.expect("a refusal in time");
    assert_eq!(code, [0, 0, 0, 7], "REFUSED_STREAM: it may be sent again");
    assert_eq!(lines_of(&gate, 4)[3], ("STREAM_LIMIT_EXCEEDED".to_owned(), 429));
}

/// A reset came right behind the answer. Where it was there before the rest of the body had left, curl 7.88 told of an error in
/// the stream and not of the answer.
#[tokio::test]
async fn a_refused_request_may_send_the_rest_of_its_body() {
    let gate = Gate::start();
    let is_reset = async || {
        let mut stream = TcpStream::connect(gate.address).await.unwrap();
        let head = frame(HEADERS, END_HEADERS, 1, &Request::new("http").without("authorization").block());
        tokio::io::AsyncWriteExt::write_all(&mut stream, &[opening(&[]), head].concat()).await.unwrap();
        // The answer, whose body is one frame.
        while next(&mut stream).await.expect("an answer").0 != DATA {}
        let rest = [frame(DATA, END_STREAM, 1, b"{}"), frame(PING, 0, 0, &[7; 8])].concat();
        tokio::io::AsyncWriteExt::write_all(&mut stream, &rest).await.unwrap();
        loop {
            match next(&mut stream).await.expect("the connection goes on") {
                (RST_STREAM, _) => return true,
                (PING, _) => return false,
                _ => {}
            }
        }
    };
    // The gate waits a tenth of a second, in which a busy machine may not get around to the rest.
    let mut outcomes = Vec::new();
    for _ in 0..5 {
        outcomes.push(is_reset().await);
    }
    assert!(outcomes.contains(&false), "{outcomes:?}");
}

/// One that sends on and on is reset: its answer is out.
#[tokio::test]
async fn a_refused_request_that_does_not_end_is_reset() {
    let gate = Gate::start();
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    let head = frame(HEADERS, END_HEADERS, 1, &Request::new("http").without("authorization").block());
    tokio::io::AsyncWriteExt::write_all(&mut stream, &[opening(&[]), head].concat()).await.unwrap();
    let reset = async {
        loop {
            if let (RST_STREAM, code) = next(&mut stream).await.expect("the connection goes on") {
                return code;
            }
        }
    };
    let code = tokio::time::timeout(Duration::from_secs(10), reset).await.expect("a reset in time");
    assert_eq!(code, [0; 4], "NO_ERROR (RFC 9113, section 8.1)");
}

#[tokio::test]
async fn scheme_and_host_may_be_in_any_case() {
    let gate = Gate::start();
    let fields = Request::new("http").set(":authority", COMPANION.to_uppercase());
    let fields: Fields<'_> =
        fields.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    assert_eq!(frames::ask(gate.address, &fields).await, Outcome::Status(200));
}
