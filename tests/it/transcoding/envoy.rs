//! The same requests through Envoy's `grpc_json_transcoder`, with the same descriptors and a backend of the same kind: the same
//! message, or a refusal that is explained.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::backend::{GrpcBackend, one};
use super::rig::{Rig, ana, ana_with, descriptors, pool};
use crate::harness::{Answer, root};
use opgate::dev::wire;

/// An Envoy that transcodes. It ends with the value.
struct Envoy {
    process: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Envoy as `.ci/install-authorizers` leaves it. CI does not do without.
fn program(test: &str) -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let program = target.join("authorizers/programs/envoy");
    if program.exists() {
        return Some(program);
    }
    assert!(std::env::var_os("CI").is_none(), "Envoy is not installed: .ci/install-authorizers");
    eprintln!("{test} is skipped: Envoy is not installed");
    None
}

impl Envoy {
    fn start(program: &PathBuf, backend: SocketAddr) -> Self {
        for _ in 0..5 {
            if let Some(running) = Self::try_start(program, backend) {
                return running;
            }
        }
        panic!("Envoy does not start");
    }

    fn try_start(program: &PathBuf, backend: SocketAddr) -> Option<Self> {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let set = folder.path().join("library.binpb");
        std::fs::write(&set, descriptors()).unwrap();
        let typed = |name: &str, mut settings: Value| {
            settings["@type"] = json!(format!("type.googleapis.com/envoy.extensions.{name}"));
            settings
        };
        let socket = |address: SocketAddr| json!({"socket_address": {"address": "127.0.0.1", "port_value": address.port()}});
        let transcoder = typed(
            "filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
            json!({
                "proto_descriptor": set, "services": ["lib.v1.Library"], "convert_grpc_status": true,
                // Else, what cannot be transcoded goes to the backend as it came.
                "request_validation_options": {
                    "reject_unknown_method": true, "reject_unknown_query_parameters": true,
                },
            }),
        );
        let manager = typed(
            "filters.network.http_connection_manager.v3.HttpConnectionManager",
            json!({
                "stat_prefix": "in",
                "route_config": {"virtual_hosts": [{
                    "name": "all", "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "backend", "timeout": "5s"}}],
                }]},
                "http_filters": [
                    {"name": "transcoder", "typed_config": transcoder},
                    {"name": "router", "typed_config": typed("filters.http.router.v3.Router", json!({}))},
                ],
            }),
        );
        let http2 = typed(
            "upstreams.http.v3.HttpProtocolOptions",
            json!({"explicit_http_config": {"http2_protocol_options": {}}}),
        );
        let config = json!({"static_resources": {
            "listeners": [{
                "name": "in", "address": socket(address),
                "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
            }],
            "clusters": [{
                "name": "backend", "type": "STATIC",
                "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
                "load_assignment": {"cluster_name": "backend", "endpoints": [{"lb_endpoints": [
                    {"endpoint": {"address": socket(backend)}},
                ]}]},
            }],
        }});
        let file = folder.path().join("envoy.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let process = Command::new(program)
            .arg("-c")
            .arg(file)
            .args(["--use-dynamic-base-id", "-l", "error", "--concurrency", "1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let mut envoy = Self { process, address, folder };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(address).is_err() {
            if envoy.process.try_wait().unwrap().is_some() {
                let log = std::fs::read_to_string(envoy.folder.path().join("stderr")).unwrap();
                // Another process may have taken the port.
                assert!(log.contains("cannot bind"), "{log}");
                return None;
            }
            assert!(Instant::now() < deadline, "Envoy does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(envoy)
    }
}

/// What becomes of one request.
#[derive(Debug, PartialEq)]
enum Outcome {
    Sent { path: String, message: Value },
    Refused(u16),
}

fn outcome(backend: &GrpcBackend, answer: &Answer) -> Outcome {
    let mut seen = backend.take();
    assert!(seen.len() <= 1, "{seen:?}");
    match seen.pop() {
        Some(call) => Outcome::Sent { path: call.path, message: call.message },
        None => Outcome::Refused(answer.status),
    }
}

const ECHO: &str = "/v1/projects/acme:echo";
const LIST: &str = "/v1/projects/acme/books";
const ALL: &str = "/v1/projects/acme/echo";

/// A query of fields, and why the gate does other than Envoy; nothing where it does the same.
const QUERIES: &[(&str, &str, &str)] = &[
    (LIST, "", ""),
    (LIST, "pageSize=5&page_token=t&filter=a%3Db&order=NEWEST", ""),
    (LIST, "order=2", ""),
    (LIST, "page_size=5&pageSize=6", "a field that is given twice"),
    (LIST, "pageSize=5&pageSize=6", "a field that is given twice"),
    (LIST, "pageSize=x", ""),
    (LIST, "pageSize=", ""),
    (LIST, "pageSize=2147483648", ""),
    (LIST, "pageSize=1.0", "a number in a query is written as one"),
    (LIST, "pageSize=%205", "a number in a query is written as one"),
    (LIST, "filter=a+b", "`+` in a query is a blank, as forms have it"),
    (LIST, "filter=%2B", ""),
    (LIST, "filter=%F0%9F%A6%80", ""),
    (LIST, "order=newest", ""),
    (LIST, "order=7", "a number that the enum does not have"),
    (LIST, "nope=1", ""),
    (LIST, "parent=projects/other", "the path has set it"),
    (LIST, "parent=projects/acme", "the path has set it"),
    (LIST, "%70arent=projects/other", "the path has set it"),
    (LIST, "filter", ""),
    (ALL, "text=x&number=-5&small=-6&unsigned=7&unsignedSmall=8&flag=true&ratio=0.5&single=1.5", ""),
    (ALL, "data=AAEC&order=OLDEST&tags=a&tags=b&numbers=1&numbers=2&orders=NEWEST&orders=1", ""),
    (ALL, "inner.text=x&inner.inner.number=9&inner.inner.inner.text=y", ""),
    (ALL, "when=2026-01-02T03:04:05Z&howLong=1.5s&mask=text,inner.text", ""),
    (ALL, "when=2026-01-02T03:04:05.123456789Z", ""),
    (ALL, "when=2026-01-02T03:04:05%2B02:00", ""),
    (ALL, "when=yesterday", ""),
    (ALL, "howLong=1", ""),
    (ALL, "wrappedNumber=5&wrappedText=x&wrappedFlag=false", ""),
    (ALL, "oneText=x", ""),
    (ALL, "oneText=x&oneNumber=1", "two fields of a oneof"),
    (ALL, "optionalText=", ""),
    (ALL, "flag=1", ""),
    (ALL, "flag=yes", ""),
    (ALL, "flag=TRUE", ""),
    (ALL, "number=9223372036854775808", ""),
    (ALL, "unsigned=-1", ""),
    (ALL, "ratio=NaN", ""),
    (ALL, "ratio=Infinity", ""),
    (ALL, "ratio=inf", ""),
    (ALL, "single=1e39", ""),
    (ALL, "data=!", ""),
    (ALL, "inner=x", ""),
    (ALL, "labels=x", ""),
    (ALL, "labels.a=x", ""),
    (ALL, "inners.text=x", ""),
    (ALL, "any=x", ""),
    (ALL, "text=a;b=c", ""),
    (ALL, "text=a&&number=1", ""),
    (ALL, "alt=json", "a system parameter"),
    (ALL, "$alt=json;enum-encoding=int", "a system parameter"),
    (ALL, "prettyPrint=false", "a system parameter"),
    (ALL, "key=k", "a system parameter"),
];

/// Bodies for all fields, likewise.
const BODIES: &[(&str, &str)] = &[
    ("", ""),
    ("{}", ""),
    (" {\n} ", ""),
    (r#"{"text":"x","number":"5","small":-6,"unsigned":"7","unsignedSmall":8,"flag":true}"#, ""),
    (r#"{"number":9007199254740993,"ratio":0.1,"single":1.5,"data":"AAEC"}"#, ""),
    (r#"{"number":1e3}"#, ""),
    (r#"{"number":1.0}"#, ""),
    (r#"{"number":1.5}"#, ""),
    (r#"{"number":"x"}"#, ""),
    (r#"{"number":""}"#, ""),
    (r#"{"number":9223372036854775807}"#, ""),
    (r#"{"number":9223372036854775808}"#, ""),
    (r#"{"small":2147483648}"#, ""),
    (r#"{"unsigned":18446744073709551615}"#, ""),
    (r#"{"unsigned":-1}"#, ""),
    (r#"{"unsignedSmall":4294967296}"#, ""),
    (r#"{"number":true}"#, ""),
    (r#"{"flag":"true"}"#, "a text is not a truth value"),
    (r#"{"flag":1}"#, ""),
    (r#"{"text":5}"#, "a number is not a text"),
    (r#"{"text":true}"#, "a truth value is not a text"),
    (r#"{"text":["x"]}"#, ""),
    (r#"{"text":{}}"#, ""),
    (r#"{"text":null,"inner":null,"tags":null}"#, ""),
    (r#"{"ratio":"NaN","single":"-Infinity"}"#, ""),
    (r#"{"ratio":"1.5"}"#, ""),
    (r#"{"ratio":"x"}"#, ""),
    (r#"{"single":1e39}"#, ""),
    (r#"{"data":"-_8="}"#, ""),
    (r#"{"data":"-_8"}"#, ""),
    (r#"{"data":"!"}"#, ""),
    (r#"{"order":"NEWEST","orders":["OLDEST",1]}"#, ""),
    (r#"{"order":"newest"}"#, ""),
    (r#"{"order":7}"#, "a number that the enum does not have"),
    (r#"{"tags":["a","b"],"numbers":[1,"2"],"inners":[{"text":"x"},{}]}"#, ""),
    (r#"{"tags":"a"}"#, "a list is written as a list"),
    (r#"{"tags":[null]}"#, ""),
    (r#"{"inner":{"text":"x","inner":{"number":"1"}}}"#, ""),
    (r#"{"labels":{"a":"1","b":"2"},"counts":{"-1":{"text":"x"}}}"#, ""),
    (r#"{"labels":{"a":"1","a":"2"}}"#, ""),
    (r#"{"counts":{"x":{}}}"#, ""),
    (r#"{"when":"2026-01-02T03:04:05.5Z","howLong":"-1.5s","mask":"text,inner.inner.number"}"#, ""),
    (r#"{"when":"2026-01-02"}"#, ""),
    (r#"{"when":1}"#, ""),
    (r#"{"howLong":"1"}"#, ""),
    (r#"{"howLong":1}"#, ""),
    (r#"{"any":{"@type":"type.googleapis.com/lib.v1.Inner","text":"x"}}"#, ""),
    (r#"{"any":{"text":"x","@type":"type.googleapis.com/lib.v1.Inner"}}"#, ""),
    (r#"{"any":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"3s"}}"#, ""),
    (r#"{"any":{"@type":"type.googleapis.com/lib.v1.None"}}"#, ""),
    (r#"{"any":{"text":"x"}}"#, ""),
    (r#"{"anything":{"a":[1,null,"x",{"b":true}]},"object":{"c":null},"list":[[],{}]}"#, ""),
    (r#"{"anything":null}"#, ""),
    (r#"{"wrappedNumber":"5","wrappedText":"x","wrappedFlag":false}"#, ""),
    (r#"{"wrappedNumber":{"value":5}}"#, ""),
    (r#"{"oneText":"x"}"#, ""),
    (r#"{"oneText":"x","oneNumber":1}"#, ""),
    (r#"{"optionalText":""}"#, ""),
    (r#"{"text":"a","text":"b"}"#, "a field that is given twice"),
    (r#"{"howLong":"1s","how_long":"2s"}"#, "a field that is given twice"),
    (r#"{"wrapped_text":"x"}"#, ""),
    (r#"{"nope":1}"#, ""),
    (r#"{"inner":{"nope":1}}"#, ""),
    (r#"{"Text":"x"}"#, ""),
    (r#"{"name":"projects/other"}"#, "the path has set it to something else"),
    (r#"{"name":"projects/acme"}"#, ""),
    (r#"{"na\u006de":"projects/other"}"#, "the path has set it to something else"),
    ("[]", ""),
    ("null", ""),
    ("5", ""),
    (r#""x""#, ""),
    ("{", ""),
    ("{}x", ""),
    ("{} {}", ""),
    (r#"{"text":"x",}"#, ""),
    (r#"{text:"x"}"#, ""),
    (r#"{'text':'x'}"#, ""),
    (r#"{"text":"\ud800"}"#, ""),
    ("{\"text\":\"\\u0000\"}", ""),
    (r#"{"text":"\ud83e\udd80"}"#, ""),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_request_is_the_message_that_envoy_makes_of_it_or_is_refused_for_a_reason() {
    let Some(program) = program("the comparison with Envoy") else { return };
    let rig = Rig::start().await;
    let behind = GrpcBackend::start(pool()).await;
    for backend in [&rig.backend, &behind] {
        backend.answer("ListBooks", one(json!({"books": [{"name": "b"}]})));
    }
    let envoy = Envoy::start(&program, behind.address);
    let queries = QUERIES.iter().map(|(path, query, why)| {
        let target = if query.is_empty() { (*path).to_owned() } else { format!("{path}?{query}") };
        (ana("GET", &target), target, *why)
    });
    let bodies = BODIES.iter().map(|(body, why)| (ana_with("POST", ECHO, body), (*body).to_owned(), *why));
    let (mut same, mut both_refuse, mut explained) = (0, 0, Vec::new());
    let mut wrong = Vec::new();
    for (request, shown, why) in queries.chain(bodies) {
        let answer = rig.gate.http1(&request).await;
        let ours = outcome(&rig.backend, &answer);
        let of_envoy =
            wire::exchange(envoy.address, &request.clone().header("connection", "close").to_http1())
                .await
                .unwrap();
        let theirs = outcome(&behind, &of_envoy);
        let is_same = match (&ours, &theirs) {
            (Outcome::Refused(_), Outcome::Refused(_)) => true,
            _ => ours == theirs,
        };
        match (is_same, why) {
            (true, "") if matches!(ours, Outcome::Refused(_)) => both_refuse += 1,
            (true, "") => {
                same += 1;
                // The message came back as it was sent.
                assert_eq!(answer.json(), of_envoy.json(), "{shown}");
            }
            (false, why) if !why.is_empty() => explained.push(format!("{why}: {shown}")),
            _ => wrong.push(format!("{shown}\n  opgate {ours:?}\n  Envoy {theirs:?}")),
        }
    }
    assert_eq!(rig.backend.broken(), 0);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let counts =
        format!("{same} the same message, {both_refuse} refused by both, {} otherwise", explained.len());
    insta::assert_snapshot!(format!("{counts}\n\n{}", explained.join("\n")));
}
