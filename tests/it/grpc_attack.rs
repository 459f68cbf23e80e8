//! Attacks on what gRPC adds: another reading of the message, of its frame, of the content type or of the path. Behind the gate is a
//! backend that takes anything, and it must not get what was not judged.

mod backend;
mod call;

use self::backend::Backend;
use self::call::{Call, Told, field, framed, prefixed};
use crate::clients::compressed::gzip;
use crate::grpc_soak::tree;
use crate::harness::{COMPANION, Gate, Setup, Tree, token};

const CANCEL: &str = "/google.longrunning.Operations/CancelOperation";
const GOOD: &str = "projects/demo/locations/us-central1/operations/train-1";
const OTHER: &str = "projects/other/locations/us-central1/operations/job-9";
const UPLOAD: &str = "/opgate.test.v1.Streams/Upload";

/// A gate in front of a backend for operations and streams.
async fn start() -> (Backend, Gate, Tree) {
    let backend = Backend::start().await;
    let tree = tree();
    let set = vec![
        tree.setting(),
        "services.streams={upstream: operations, hosts: [streams.localhost]}".to_owned(),
    ];
    let endpoints = Some(vec![backend.address]);
    let gate = Gate::start_with(Setup { set, endpoints, upstream_protocol: Some("h2c"), ..Setup::default() });
    (backend, gate, tree)
}

fn cancel(message: &[u8]) -> Call {
    Call::new(COMPANION, CANCEL, &token("ana@example.com"), message)
}

fn named(name: &str) -> Vec<u8> {
    field(1, name.as_bytes())
}

/// Sends each call. None may be answered well, and nothing of it may reach the backend.
async fn assert_refused(gate: &Gate, backend: &Backend, rows: Vec<(&str, Call)>) {
    for (row, call) in rows {
        let told = call.send(gate.address).await;
        let told_no = match &told {
            Told::Answer(200, Some(status)) => status != "0",
            Told::Answer(status, _) => (400..500).contains(status),
            Told::Reset => true,
        };
        assert!(told_no, "{row}: {told:?}");
        let got = backend.take();
        assert!(got.is_empty(), "{row}: {got:?}");
    }
    // The gate still works, and so does the backend.
    assert!(cancel(&named(GOOD)).send(gate.address).await.is_ok());
    assert_eq!(backend.take().len(), 1);
}

#[tokio::test]
async fn an_unusual_call_with_one_reading_passes_byte_for_byte() {
    let (backend, gate, _tree) = start().await;
    let good = named(GOOD);
    let zipped = prefixed(1, gzip(&good).len(), &gzip(&good));
    let bytes: Vec<&[u8]> = zipped.chunks(1).collect();
    let behind_it = [&good[..], &field(15, b"unknown")].concat();
    let before_it = [&[0x10, 0x96, 0x01][..], &good].concat();
    let rows = [
        ("as usual", cancel(&good), framed(&good)),
        (
            "with the name of the format",
            cancel(&good).instead("content-type", "application/grpc+proto"),
            framed(&good),
        ),
        ("gzip", cancel(&good).with("grpc-encoding", "gzip").body(&[&zipped]), zipped.clone()),
        ("byte by byte", cancel(&good).with("grpc-encoding", "gzip").body(&bytes), zipped.clone()),
        ("not compressed, though it could be", cancel(&good).with("grpc-encoding", "gzip"), framed(&good)),
        ("empty frames", cancel(&good).body(&[b"", &framed(&good), b""]), framed(&good)),
        ("an unknown field behind it", cancel(&behind_it), framed(&behind_it)),
        ("an unknown field before it", cancel(&before_it), framed(&before_it)),
        (
            "a hint at another resource",
            cancel(&good).with("x-goog-request-params", &format!("name={OTHER}")),
            framed(&good),
        ),
        (
            "a hint that agrees",
            cancel(&good).with("x-goog-request-params", &format!("name={}", GOOD.replace('/', "%2F"))),
            framed(&good),
        ),
    ];
    for (row, call, bytes) in rows {
        let told = call.send(gate.address).await;
        assert!(told.is_ok(), "{row}: {told:?}\n{}", gate.audit_text());
        let got = backend.take();
        assert_eq!(got.len(), 1, "{row}");
        assert_eq!((got[0].line.as_str(), &got[0].body), (&*format!("POST {CANCEL}"), &bytes), "{row}");
        assert!(got[0].is_whole, "{row}");
        assert_eq!(got[0].headers["te"], "trailers", "{row}");
        // A backend would believe the hint: it ends here.
        assert!(!got[0].headers.contains_key("x-goog-request-params"), "{row}");
    }
}

#[tokio::test]
async fn a_message_with_two_readings_reaches_no_backend() {
    let (backend, gate, _tree) = start().await;
    let (good, other) = (named(GOOD), named(OTHER));
    let join = |parts: &[&[u8]]| parts.concat();
    let long = |tag: &[u8]| join(&[tag, &[u8::try_from(OTHER.len()).unwrap()], OTHER.as_bytes()]);
    let rows = vec![
        ("another resource", cancel(&other)),
        ("the name twice, the last one judged", cancel(&join(&[&other, &good]))),
        ("the name twice, the first one judged", cancel(&join(&[&good, &other]))),
        ("the same name twice", cancel(&join(&[&good, &good]))),
        ("an empty name behind it", cancel(&join(&[&good, &named("")]))),
        ("a tag with a needless byte", cancel(&join(&[&good, &long(&[0x8a, 0x00])]))),
        ("a tag beyond 32 bits", cancel(&join(&[&good, &long(&[0x8a, 0x80, 0x80, 0x80, 0x10])]))),
        ("a length with a needless byte", cancel(&[0x0a, 0x81, 0x00, b'a'])),
        ("the name in a group", cancel(&join(&[&good, &[0x0b], &other, &[0x0c]]))),
        ("the name in a group of another number", cancel(&join(&[&good, &[0x13], &other, &[0x14]]))),
        ("the end of a group", cancel(&join(&[&good, &[0x0c]]))),
        ("the name in another wire type too", cancel(&join(&[&good, &[0x08, 0x01]]))),
        ("field number 0", cancel(&join(&[&good, &[0x02, 0x01, b'a']]))),
        ("wire type 6", cancel(&join(&[&good, &[0x0e]]))),
        ("a field that is cut off", cancel(&join(&[&good, &[0x12, 0x05, b'a']]))),
        ("not UTF-8", cancel(&named_bytes(b"projects/demo/locations/l/operations/\xff"))),
        ("overlong UTF-8", cancel(&named_bytes(b"projects/demo\xc0\xaflocations/l/operations/o"))),
        ("no name", cancel(b"")),
        ("an empty name", cancel(&named(""))),
        (
            "a dot segment",
            cancel(&named("projects/demo/locations/l/../../../other/locations/l/operations/job-9")),
        ),
        ("an escaped slash", cancel(&named("projects/demo/locations/l/operations/a%2F..%2Fb"))),
        ("a backslash", cancel(&named("projects/demo/locations/l/operations/..\\b"))),
        ("an empty segment", cancel(&named("projects/demo//locations/l/operations/o"))),
        ("a slash first", cancel(&named(&format!("/{GOOD}")))),
        ("a slash at the end", cancel(&named(&format!("{GOOD}/")))),
        ("a NUL", cancel(&named(&format!("{GOOD}\0/../x")))),
        ("a line end", cancel(&named(&format!("{GOOD}\r\nx")))),
        ("a query", cancel(&named(&format!("{GOOD}?name=x")))),
        ("more segments than the template", cancel(&named(&format!("{GOOD}/sub/x")))),
        ("a host before it", cancel(&named(&format!("//cloudaicompanion.googleapis.com/{GOOD}")))),
    ];
    assert_refused(&gate, &backend, rows).await;
}

fn named_bytes(name: &[u8]) -> Vec<u8> {
    field(1, name)
}

#[tokio::test]
async fn a_frame_with_two_readings_reaches_no_backend() {
    let (backend, gate, _tree) = start().await;
    let (good, other) = (named(GOOD), named(OTHER));
    let whole = framed(&good);
    let zipped = gzip(&good);
    let of = |body: &[&[u8]]| cancel(&good).body(body);
    let zip = |message: &[u8]| {
        cancel(&good).with("grpc-encoding", "gzip").body(&[&prefixed(1, message.len(), message)])
    };
    let encoded = |encoding: &str| cancel(&good).with("grpc-encoding", encoding);
    let rows = vec![
        ("no message", of(&[])),
        ("an empty body", of(&[b""])),
        ("a second message", of(&[&whole, &framed(&other)])),
        ("the same message again", of(&[&whole, &whole])),
        ("an empty second message", of(&[&whole, &framed(b"")])),
        ("the beginning of another", of(&[&whole, &[0, 0]])),
        ("another one first", of(&[&framed(&other), &whole])),
        ("a length that is too short", of(&[&prefixed(0, good.len() - 1, &good)])),
        ("a length that is too long", of(&[&prefixed(0, good.len() + 1, &good)])),
        ("a huge length", of(&[&[0, 0xff, 0xff, 0xff, 0xff], &good])),
        ("a flag of 2", of(&[&prefixed(2, good.len(), &good)])),
        ("a flag of 0x80, gRPC-Web's", of(&[&whole, &prefixed(0x80, 3, b"a:b")])),
        ("compressed, and no encoding", of(&[&prefixed(1, zipped.len(), &zipped)])),
        ("compressed by identity", encoded("identity").body(&[&prefixed(1, zipped.len(), &zipped)])),
        ("not compressed, and marked so", zip(&good)),
        ("two members of gzip", zip(&[gzip(&good), gzip(&other)].concat())),
        ("something behind the member", zip(&[&zipped[..], &other].concat())),
        ("another resource, compressed", zip(&gzip(&other))),
        ("gzip in gzip", zip(&gzip(&zipped))),
        ("a member that is cut off", zip(&zipped[..zipped.len() - 4])),
        ("deflate", encoded("deflate")),
        ("an unknown encoding", encoded("x")),
        ("gzip in capitals", encoded("GZIP")),
        ("a list of encodings", encoded("identity, gzip")),
        ("two encodings", encoded("identity").with("grpc-encoding", "gzip")),
        ("an empty encoding", encoded("")),
        ("a content coding", cancel(&good).with("content-encoding", "gzip")),
        ("a length of the body that is not its own", cancel(&good).with("content-length", "3")),
        ("trailers", Call { trailers: vec![("x-name", "x")], ..cancel(&good) }),
    ];
    assert_refused(&gate, &backend, rows).await;
}

#[tokio::test]
async fn a_head_with_two_readings_reaches_no_backend() {
    let (backend, gate, _tree) = start().await;
    let good = named(GOOD);
    let of_type = |text: &str| cancel(&good).instead("content-type", text);
    let at = |path: &str| cancel(&good).path(path);
    let timeout = |text: &str| cancel(&good).with("grpc-timeout", text);
    let rows = vec![
        ("a format that is not protobuf", of_type("application/grpc+json")),
        ("a format behind a semicolon", of_type("application/grpc;json")),
        ("a format of a format", of_type("application/grpc+proto+json")),
        ("a parameter", of_type("application/grpc; charset=utf-8")),
        ("two types", of_type("application/grpc, application/json")),
        ("gRPC-Web", of_type("application/grpc-web+proto")),
        ("gRPC-Web as text", of_type("application/grpc-web-text")),
        ("Connect", of_type("application/proto")),
        ("a stream of Connect", of_type("application/connect+proto")),
        ("no type of gRPC", of_type("application/octet-stream")),
        ("JSON", of_type("application/json")),
        ("GET", cancel(&good).method("GET")),
        ("PUT", cancel(&good).method("PUT")),
        ("another method in a header", cancel(&good).with("x-http-method-override", "GET")),
        ("a query", at(&format!("{CANCEL}?name={OTHER}"))),
        ("an empty query", at(&format!("{CANCEL}?"))),
        ("a slash at the end", at(&format!("{CANCEL}/"))),
        ("two slashes", at(&format!("/{CANCEL}"))),
        ("an escape", at("/google.longrunning.Operations/%43ancelOperation")),
        ("another case", at("/google.longrunning.operations/CancelOperation")),
        ("a parameter of the path", at(&format!("{CANCEL};x"))),
        ("dot segments", at("/google.longrunning.Operations/x/../CancelOperation")),
        ("a method without a rule", at("/google.longrunning.Operations/Forget")),
        ("another service's method", at(UPLOAD)),
        ("reflection", at("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")),
        ("health", at("/grpc.health.v1.Health/Check")),
        ("a timeout without a unit", timeout("5")),
        ("a timeout of nine digits", timeout("123456789S")),
        ("a negative timeout", timeout("-1S")),
        ("a unit that does not exist", timeout("1s")),
        ("two timeouts", timeout("1S").with("grpc-timeout", "1H")),
        ("two tokens", cancel(&good).with("authorization", &format!("Bearer {}", token("bob@example.com")))),
    ];
    assert_refused(&gate, &backend, rows).await;
}

/// Of a stream, the first message is judged, and the others may not name another resource. What came before the fault may have
/// reached the backend, which then sees the stream reset.
#[tokio::test]
async fn a_later_message_of_a_stream_names_no_other_resource() {
    let (backend, gate, _tree) = start().await;
    let name = "projects/demo/streams/s";
    let first = [field(1, name.as_bytes()), field(2, b"x")].concat();
    let other = field(1, b"projects/other/streams/s");
    let upload =
        |body: &[&[u8]]| Call::new("streams.localhost", UPLOAD, &token("ana@example.com"), &first).body(body);
    let whole = framed(&first);
    let stray = framed(&other);
    let halves = stray.split_at(9);
    let zipped = gzip(&other);
    let zipped = prefixed(1, zipped.len(), &zipped);
    let twice = framed(&[&first[..], &other].concat());
    let one_frame = [&whole[..], &stray].concat();
    let rows: Vec<(&str, Call)> = vec![
        ("another name", upload(&[&whole, &stray])),
        ("in one frame", upload(&[&one_frame])),
        ("in two pieces", upload(&[&whole, halves.0, halves.1])),
        ("behind a good one", upload(&[&whole, &framed(&field(2, b"y")), &stray])),
        ("compressed", upload(&[&whole, &zipped]).with("grpc-encoding", "gzip")),
        ("two names", upload(&[&whole, &twice])),
        ("a flag of 2", upload(&[&whole, &prefixed(2, other.len(), &other)])),
        ("a message that is cut off", upload(&[&whole, &stray[..stray.len() - 1]])),
        ("a prefix that is cut off", upload(&[&whole, &[0, 0, 0]])),
        ("a huge length", upload(&[&whole, &[0, 0xff, 0xff, 0xff, 0xff]])),
        ("the first one without a name", upload(&[&framed(&field(2, b"y")), &whole])),
    ];
    for (row, call) in rows {
        let told = call.send(gate.address).await;
        assert!(!told.is_ok(), "{row}: {told:?}");
        for got in backend.take() {
            let body = String::from_utf8_lossy(&got.body).into_owned();
            assert!(!body.contains("other") && !got.is_whole, "{row}: {got:?}");
        }
    }
    let good = upload(&[&whole, &framed(&field(2, b"y")), &whole]).send(gate.address).await;
    assert!(good.is_ok(), "{good:?}");
}
