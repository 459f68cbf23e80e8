//! What a call has to be to reach the backend, and how it is refused otherwise.

use std::io::Write as _;

use opgate::dev::mint::Mint as _;

use super::rig::*;
use crate::harness::{COMPANION, Req, claims, key, outcome, token};

/// A message of operations: its name.
fn named(name: &str) -> bytes::Bytes {
    frame(&text(1, name))
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn operations_are_called_without_a_descriptor_set_of_their_own() {
    let backend = Backend::answering().await;
    let (gate, _tree) = backend.gate(Vec::new());
    let ana = token("ana@example.com");
    let sent = named(OPERATION);
    let call = Call::new(CANCEL, &ana)
        .add("x-goog-request-params", "name=projects%2Fdemo%2Flocations%2Fus-central1%2Foperations%2Ftrain-1")
        .add("x-own-bin", "AAEC");
    let outcome = call.send(&gate, sent.clone()).await;
    assert_eq!((outcome.http_status, outcome.code()), (200, 0), "{outcome:?}");
    assert_eq!(outcome.body, frame(b"\x0a\x01x"));
    assert_eq!(outcome.trailers["x-own-trailer"], "kept");
    let seen = backend.next(0).await;
    assert_eq!((seen.path.as_str(), seen.body.as_slice()), (CANCEL, &sent[..]), "byte for byte");
    assert_eq!(seen.headers["te"], "trailers");
    assert_eq!(seen.headers["content-type"], "application/grpc");
    assert_eq!(seen.headers["x-own-bin"], "AAEC");
    assert!(!seen.headers.contains_key("content-length"), "{:?}", seen.headers);
    for ends_here in ["authorization", "x-goog-request-params"] {
        assert!(!seen.headers.contains_key(ends_here), "{ends_here}");
    }
    let line = line_of(&gate, "google.longrunning.Operations.CancelOperation").await;
    assert!(line.contains(OPERATION), "{line}");
    assert!(gate.metrics().await.contains("opgate_cancels_total"), "cancels are counted");
}

/// Each is refused before the backend sees a byte of it.
#[tokio::test]
async fn what_may_not_pass_is_refused_in_the_words_of_grpc() {
    let backend = Backend::answering().await;
    let (gate, _tree) = backend.gate(Vec::new());
    let ana = token("ana@example.com");
    let good = || Call::new(GET, &ana);
    let unscoped = key().sign(&claims("ana@example.com", &["https://example.com/other"])).unwrap();
    let long = "a".repeat(9000);
    let over = [vec![0x0a], vec![0xa8, 0x46], long.into_bytes()].concat();
    let rows: Vec<(&str, Call, bytes::Bytes, u8, &str)> = vec![
        ("no token", Call::new(GET, ""), named(OPERATION), 16, "CREDENTIALS_MISSING"),
        ("a bad token", Call::new(GET, "x.y.z"), named(OPERATION), 16, "JWT_TOKEN_INVALID"),
        ("no scope", Call::new(GET, &unscoped), named(OPERATION), 7, "ACCESS_TOKEN_SCOPE_INSUFFICIENT"),
        (
            "no permission",
            good(),
            named("projects/other/locations/l/operations/o"),
            7,
            "IAM_PERMISSION_DENIED",
        ),
        (
            "an unknown method",
            Call::new("/google.longrunning.Operations/Get", &ana),
            named(OPERATION),
            12,
            "METHOD_NOT_FOUND",
        ),
        (
            "an encoded path",
            Call::new("/google.longrunning.Operations/Get%4fperation", &ana),
            named(OPERATION),
            12,
            "METHOD_NOT_FOUND",
        ),
        (
            "a closed method",
            Call::on(CHAT, "/acme.chat.v1.Chat/Closed", &ana),
            named(OPERATION),
            12,
            "METHOD_NOT_FOUND",
        ),
        ("another host", Call::on("other.localhost", GET, &ana), named(OPERATION), 12, "METHOD_NOT_FOUND"),
        ("a query", Call::new(&format!("{GET}?x=y"), &ana), named(OPERATION), 3, "REQUEST_MALFORMED"),
        ("no message", good(), bytes::Bytes::new(), 3, "GRPC_MESSAGE_REFUSED"),
        ("half a prefix", good(), bytes::Bytes::from_static(b"\0\0\0"), 3, "GRPC_MESSAGE_REFUSED"),
        ("half a message", good(), named(OPERATION).slice(..20), 3, "GRPC_MESSAGE_REFUSED"),
        (
            "two messages",
            good(),
            [named(OPERATION), named(OPERATION)].concat().into(),
            3,
            "GRPC_MESSAGE_REFUSED",
        ),
        (
            "a byte too many",
            good(),
            [&named(OPERATION)[..], b"\0"].concat().into(),
            3,
            "GRPC_MESSAGE_REFUSED",
        ),
        ("an empty message", good(), frame(b""), 3, "RESOURCE_NAME_REFUSED"),
        ("an empty name", good(), named(""), 3, "RESOURCE_NAME_REFUSED"),
        (
            "a name twice",
            good(),
            frame(&[text(1, OPERATION), text(1, "projects/x")].concat()),
            3,
            "GRPC_MESSAGE_REFUSED",
        ),
        (
            "the same name twice",
            good(),
            frame(&[text(1, OPERATION), text(1, OPERATION)].concat()),
            3,
            "GRPC_MESSAGE_REFUSED",
        ),
        ("a name as a number", good(), frame(b"\x08\x01"), 3, "GRPC_MESSAGE_REFUSED"),
        (
            "a group",
            good(),
            frame(&[text(1, OPERATION), b"\x13\x14".to_vec()].concat()),
            3,
            "GRPC_MESSAGE_REFUSED",
        ),
        (
            "a padded tag",
            good(),
            frame(&[b"\x8a\x00".to_vec(), text(1, OPERATION)[1..].to_vec()].concat()),
            3,
            "GRPC_MESSAGE_REFUSED",
        ),
        (
            "field 0",
            good(),
            frame(&[text(1, OPERATION), b"\x02\x00".to_vec()].concat()),
            3,
            "GRPC_MESSAGE_REFUSED",
        ),
        ("not UTF-8", good(), frame(b"\x0a\x02\xff\xfe"), 3, "GRPC_MESSAGE_REFUSED"),
        (
            "a dot segment",
            good(),
            named("projects/demo/locations/../operations/o"),
            3,
            "RESOURCE_NAME_REFUSED",
        ),
        (
            "an encoded name",
            good(),
            named("projects/demo/locations/l/operations/o%2F"),
            3,
            "RESOURCE_NAME_REFUSED",
        ),
        ("another shape", good(), named("folders/demo/locations/l/operations/o"), 3, "RESOURCE_NAME_REFUSED"),
        ("a slash in front", good(), named(&format!("/{OPERATION}")), 3, "RESOURCE_NAME_REFUSED"),
        ("a long name", good(), frame(&over), 3, "RESOURCE_NAME_REFUSED"),
        (
            "too large",
            good(),
            frame(&[text(1, OPERATION), vec![0x1a, 0xff, 0xff, 0x03], vec![0; 65535]].concat()),
            8,
            "GRPC_MESSAGE_TOO_LARGE",
        ),
        (
            "a huge length",
            good(),
            bytes::Bytes::from_static(b"\0\xff\xff\xff\xff"),
            8,
            "GRPC_MESSAGE_TOO_LARGE",
        ),
        (
            "compressed without an encoding",
            good(),
            flagged(1, &gzip(&text(1, OPERATION))),
            3,
            "GRPC_MESSAGE_REFUSED",
        ),
        ("an unknown flag", good(), flagged(2, &text(1, OPERATION)), 3, "GRPC_MESSAGE_REFUSED"),
        (
            "an unknown encoding",
            good().add("grpc-encoding", "snappy"),
            named(OPERATION),
            12,
            "GRPC_ENCODING_UNSUPPORTED",
        ),
        ("not gzip", good().add("grpc-encoding", "gzip"), flagged(1, b"xxxx"), 3, "GRPC_MESSAGE_REFUSED"),
        (
            "a bomb",
            good().add("grpc-encoding", "gzip"),
            flagged(1, &gzip(&vec![0; 1_000_000])),
            8,
            "GRPC_MESSAGE_TOO_LARGE",
        ),
        (
            "a content coding",
            good().add("content-encoding", "gzip"),
            named(OPERATION),
            12,
            "GRPC_ENCODING_UNSUPPORTED",
        ),
        ("an odd timeout", good().add("grpc-timeout", "5s"), named(OPERATION), 3, "REQUEST_MALFORMED"),
        (
            "two timeouts",
            good().add("grpc-timeout", "5S").add("grpc-timeout", "6S"),
            named(OPERATION),
            3,
            "REQUEST_MALFORMED",
        ),
        (
            "a method override",
            good().add("x-method-override", "GET"),
            named(OPERATION),
            3,
            "REQUEST_MALFORMED",
        ),
    ];
    for (what, call, body, code, reason) in rows {
        let outcome = call.send(&gate, body).await;
        assert_eq!(outcome.error, None, "{what}: {outcome:?}");
        assert_eq!((outcome.code(), outcome.reason().as_str()), (code, reason), "{what}: {outcome:?}");
        assert!(outcome.is_trailers_only && outcome.http_status == 200, "{what}: {outcome:?}");
        assert_eq!(outcome.headers["content-type"], "application/grpc", "{what}");
        assert!(outcome.headers.contains_key("x-request-id"), "{what}");
        assert_eq!(
            outcome.headers.contains_key("www-authenticate"),
            code == 16 || reason.contains("SCOPE"),
            "{what}"
        );
    }
    assert_eq!(backend.seen().len(), 0, "nothing reaches the backend");
    // The gate still serves.
    assert_eq!(good().send(&gate, named(OPERATION)).await.code(), 0);
}

#[tokio::test]
async fn a_compressed_message_is_judged_by_its_content_and_sent_as_it_came() {
    let backend = Backend::answering().await;
    let (gate, _tree) = backend.gate(Vec::new());
    let call = Call::new(GET, &token("ana@example.com")).add("grpc-encoding", "gzip");
    let sent = flagged(1, &gzip(&text(1, OPERATION)));
    assert_eq!(call.send(&gate, sent.clone()).await.code(), 0);
    let seen = backend.next(0).await;
    assert_eq!((seen.body.as_slice(), &seen.headers["grpc-encoding"]), (&sent[..], &"gzip".parse().unwrap()));
    let other = flagged(1, &gzip(&text(1, "projects/other/locations/l/operations/o")));
    assert_eq!(call.send(&gate, other).await.reason(), "IAM_PERMISSION_DENIED");
    assert_eq!(call.send(&gate, named(OPERATION)).await.code(), 0, "a message may be plain all the same");
}

#[tokio::test]
async fn a_resource_is_made_of_several_fields_and_no_member_of_its_oneof_takes_its_place() {
    let backend = Backend::answering().await;
    let (gate, _tree) = backend.gate(Vec::new());
    let call = Call::on(CHAT, "/acme.chat.v1.Chat/Post", &token("ana@example.com"));
    let of = |fields: &[(u8, &str)]| {
        frame(&fields.iter().flat_map(|(number, value)| text(*number, value)).collect::<Vec<u8>>())
    };
    assert_eq!(call.send(&gate, of(&[(1, "demo"), (2, "r")])).await.code(), 0);
    assert_eq!(call.send(&gate, of(&[(2, "r"), (5, "x"), (1, "demo")])).await.code(), 0);
    for (what, fields, reason) in [
        ("another project", vec![(1, "other"), (2, "r")], "IAM_PERMISSION_DENIED"),
        ("a part is missing", vec![(1, "demo")], "RESOURCE_NAME_REFUSED"),
        ("a part has two segments", vec![(1, "demo"), (2, "r/../../other")], "RESOURCE_NAME_REFUSED"),
        ("a part has a slash", vec![(1, "demo/rooms/x"), (2, "r")], "RESOURCE_NAME_REFUSED"),
        ("another member before", vec![(1, "demo"), (3, "alias"), (2, "r")], "GRPC_MESSAGE_REFUSED"),
        ("another member behind", vec![(1, "demo"), (2, "r"), (3, "alias")], "GRPC_MESSAGE_REFUSED"),
    ] {
        let outcome = call.send(&gate, of(&fields)).await;
        assert_eq!(outcome.reason(), reason, "{what}: {outcome:?}");
    }
    assert_eq!(backend.seen().len(), 2);
}

#[tokio::test]
async fn a_message_on_the_way_to_the_resource_may_be_there_once() {
    let backend = Backend::answering().await;
    let (gate, _tree) = backend.gate(Vec::new());
    let call = Call::on(CHAT, "/acme.chat.v1.Chat/Watch", &token("ana@example.com"));
    assert_eq!(call.send(&gate, frame(&said("projects/demo/rooms/r", "hi"))).await.code(), 0);
    let merged = [said("projects/demo/rooms/r", ""), said("projects/other/rooms/r", "")].concat();
    assert_eq!(call.send(&gate, frame(&merged)).await.reason(), "GRPC_MESSAGE_REFUSED");
    // An empty second message would not change the name, and is refused all the same.
    let empty = [said("projects/demo/rooms/r", ""), vec![0x22, 0]].concat();
    assert_eq!(call.send(&gate, frame(&empty)).await.reason(), "GRPC_MESSAGE_REFUSED");
    assert_eq!(backend.seen().len(), 1);
}

#[tokio::test]
async fn other_protocols_of_remote_calls_are_refused_by_name() {
    let backend = Backend::answering().await;
    let (gate, _tree) = backend.gate(Vec::new());
    let ana = token("ana@example.com");
    for content_type in [
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/grpc-web-text",
        "application/connect+proto",
        "application/proto",
    ] {
        let request = Req::new("POST", COMPANION, GET).bearer(&ana).header("content-type", content_type);
        for answer in [gate.http2(&request).await, gate.http1(&request).await] {
            assert_eq!(outcome(&answer), (415, "RPC_PROTOCOL_UNSUPPORTED".into()), "{content_type}");
        }
    }
    let request = Req::new("POST", COMPANION, GET).bearer(&ana).header("content-type", "application/grpc");
    assert_eq!(outcome(&gate.http1(&request).await).1, "RPC_PROTOCOL_UNSUPPORTED");
    let plain = Req::new("POST", COMPANION, GET).bearer(&ana);
    assert_eq!(
        outcome(&gate.http2(&plain).await).1,
        "METHOD_NOT_FOUND",
        "without the content type there is no such path"
    );
    assert_eq!(backend.seen().len(), 0);
}

#[tokio::test]
async fn health_and_reflection_pass_only_as_the_operator_says() {
    const CHECK: &str = "/grpc.health.v1.Health/Check";
    const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let backend = Backend::answering().await;
    let ana = token("ana@example.com");
    let (gate, _tree) = backend.gate(Vec::new());
    for path in [CHECK, REFLECTION] {
        assert_eq!(Call::new(path, &ana).send(&gate, frame(b"")).await.code(), 12, "{path}");
    }
    let set = vec!["services.cloudaicompanion.grpc={health: pass, reflection: pass}".to_owned()];
    let (gate, _tree) = backend.gate(set);
    assert_eq!(Call::new(CHECK, "").send(&gate, frame(b"")).await.code(), 0, "without a credential");
    assert_eq!(Call::new(REFLECTION, "").send(&gate, frame(b"")).await.code(), 16);
    assert_eq!(Call::new(REFLECTION, &ana).send(&gate, frame(b"\x3a\x00")).await.code(), 0);
    assert_eq!(Call::on(CHAT, CHECK, "").send(&gate, frame(b"")).await.code(), 12, "of this service alone");
    assert_eq!(backend.seen().len(), 2);
}

/// A backend may run an RPC for whatever comes on its path, whatever its content type.
#[tokio::test]
async fn no_http_rule_of_another_method_takes_the_path_of_an_rpc() {
    let backend = Backend::answering().await;
    let (_, tree) = backend.gate(Vec::new());
    tree.write(
        "services/chat.yaml",
        "name: chat.localhost
apis:
- name: acme.chat.v1.Chat
- name: acme.files.v1.Files
http:
  rules:
  - {selector: acme.files.v1.Files.Put, post: '/{path=**}', body: '*'}
",
    );
    let rule = "- {selector: acme.files.v1.Files.Put, permission: none, scopes: none, body: stream}\n";
    let rules = std::fs::read_to_string(tree.path().join("services/chat.iam.yaml")).unwrap();
    tree.write("services/chat.iam.yaml", &format!("{rules}{rule}"));
    let setup = crate::harness::Setup {
        endpoints: Some(vec![backend.address]),
        upstream_protocol: Some("h2c"),
        set: vec![tree.setting(), "services.chat.upstream=operations".to_owned()],
        ..Default::default()
    };
    let gate = crate::harness::Gate::start_with(setup);
    let post = |path: &str| Req::new("POST", CHAT, path).bearer(&token("ana@example.com"));
    for path in ["/acme.chat.v1.Chat/Post", "/acme.chat.v1.Chat/Closed", "/acme.chat.v1.Chat/Talk"] {
        assert_eq!(outcome(&gate.http2(&post(path)).await).0, 404, "{path}");
    }
    assert!(backend.seen().is_empty());
    let _ = gate.http2(&post("/acme.chat.v1.Chat/Other")).await;
    assert_eq!(backend.next(0).await.path, "/acme.chat.v1.Chat/Other", "the rule takes other paths");
}
