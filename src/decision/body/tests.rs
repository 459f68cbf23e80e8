use std::sync::Arc;

use super::*;
use crate::catalog::{Exposure, Method, PermissionRule, ResourceTemplate};
use crate::diagnostic::Place;
use crate::http::TrustedProxies;
use crate::http::head::{HeadLimits, RawHead};

const NAME: &str = "projects/p/locations/l/operations/o";

fn call(body: BodyRule) -> Call {
    let service = Exposure {
        id: "s".into(),
        name: "s.example.com".into(),
        hosts: vec!["s.example.com".into()],
        upstream: "u".into(),
        forwarding: crate::catalog::Forwarding::default(),
        cors: None,
        protected_resource: None,
        error_domain: "iam.googleapis.com".into(),
    };
    let method = Method {
        index: 0,
        service: Arc::new(service),
        name: "google.longrunning.Operations.CancelOperation".into(),
        permission: PermissionRule::None,
        scopes: vec![],
        allow_without_credential: false,
        requirements: Vec::new(),
        resource: ResourceTemplate::variable("name"),
        resource_type: None,
        permission_type: None,
        operation: None,
        unimplemented: false,
        rpc: None,
        rpc_fault: None,
        limits: crate::catalog::MethodLimits::default(),
        place: Place { file: "s.iam.yaml".into(), line: 1 },
    };
    Call {
        method: Arc::new(method),
        bindings: vec![("name".into(), NAME.into())],
        body,
        body_field: None,
        transcoding: None,
        resource_name: None,
        is_head_of_get: false,
    }
}

fn request(fields: &str) -> Request {
    let text = format!("POST /v1/x:cancel HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    Request::from_head(
        RawHead::parse(text.as_bytes(), HeadLimits::default()).unwrap(),
        crate::http::ConnectionPeer::Unknown,
        &TrustedProxies::default(),
    )
    .unwrap()
}

fn settle(body: &Bytes, call: &Call) -> Result<Bytes, Denial> {
    super::settle(body, ContentCoding::Identity, true, call, 64 * 1024)
}

fn settled(rule: BodyRule, body: &str) -> Result<String, Reason> {
    settle(&Bytes::copy_from_slice(body.as_bytes()), &call(rule))
        .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
        .map_err(|denial| denial.reason())
}

fn gzip(content: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, content).unwrap();
    encoder.finish().unwrap().into()
}

/// What the client is told of a body.
fn told(rule: BodyRule, body: &str) -> Denial {
    settle(&Bytes::copy_from_slice(body.as_bytes()), &call(rule)).unwrap_err()
}

#[test]
fn an_announced_body_is_refused_before_it_arrives() {
    let plan = |fields| plan(&request(fields), &call(BodyRule::Empty), BodyLimits::default());
    assert_eq!(plan("Content-Length: 1\r\n").unwrap_err().reason(), Reason::BodyRefused);
    assert_eq!(plan("Content-Length: 0\r\n").unwrap(), BodyPlan::Nothing);
    assert_eq!(plan("").unwrap(), BodyPlan::Nothing);
    let collect = |limit, coding| BodyPlan::Collect { limit, coding, is_typed: true };
    let chunked = "Transfer-Encoding: chunked\r\n";
    assert_eq!(plan(chunked).unwrap(), collect(0, ContentCoding::Identity));
    let gzip = "Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n";
    assert_eq!(plan(gzip).unwrap(), collect(EMPTY_GZIP_BYTES, ContentCoding::Gzip));
    let long = "Content-Length: 129\r\nContent-Encoding: gzip\r\n";
    assert_eq!(plan(long).unwrap_err().reason(), Reason::BodyRefused);
}

#[test]
fn an_empty_message_is_nothing_or_says_what_the_path_says() {
    for body in [
        "",
        "{}",
        " {\n} ",
        "\"\"",
        " \"\"\n",
        " \t\r\n",
        "\u{feff}",
        "\u{feff} \n",
        "\u{feff}{}",
        "\u{feff}\"\"",
        &format!("{{\"name\": \"{NAME}\"}}"),
        &format!("{{\"n\\u0061me\":\"{}\"}}", NAME.replace('/', "\\/")),
    ] {
        assert_eq!(settled(BodyRule::EmptyMessage, body), Ok(String::new()), "{body}");
    }
}

#[test]
fn an_empty_message_that_says_more_is_refused() {
    for body in [
        "x",
        "\" \"",
        "null",
        "[]",
        "0",
        "{",
        "{}{}",
        "{\"name\": null}",
        "{\"name\": \"\"}",
        "{\"name\": [\"x\"]}",
        "{\"name\": \"projects/victim/locations/l/operations/o\"}",
        &format!("{{\"name\": \"{NAME}\", \"name\": \"projects/victim/locations/l/operations/o\"}}"),
        &format!("{{\"name\": \"{NAME}\", \"x\": 1}}"),
        &format!("{{\"Name\": \"{NAME}\"}}"),
        "{\"x\": 1}",
        "\u{feff}\u{feff}{}",
        "{}\u{feff}",
        "\u{c}",
        "\0",
        "{\"\": 1}",
    ] {
        assert_eq!(settled(BodyRule::EmptyMessage, body), Err(Reason::BodyRefused), "{body}");
    }
}

#[test]
fn a_message_agrees_with_the_path() {
    assert_eq!(settled(BodyRule::Message, "{\"timeout\":\"3s\"}"), Ok("{\"timeout\":\"3s\"}".into()));
    assert_eq!(settled(BodyRule::Message, "{\"name\":\"projects/victim\"}"), Err(Reason::BodyRefused));
    assert_eq!(settled(BodyRule::Message, "{\"NAME\":\"projects/victim\"}"), Err(Reason::BodyRefused));
    assert_eq!(
        settled(BodyRule::Message, &format!("{{\"na_me\":\"{NAME}\",\"name\":\"{NAME}\"}}")),
        Err(Reason::BodyRefused)
    );
    assert_eq!(settled(BodyRule::Message, "[1]"), Err(Reason::BodyRefused));
}

/// Go's `encoding/json` and others fold names by more than ASCII.
#[test]
fn a_key_is_compared_as_the_most_forgiving_reader_compares_it() {
    let mut call = call(BodyRule::Message);
    call.bindings = vec![("book_task".into(), "projects/p".into())];
    let judge = |body: String| settle(&Bytes::from(body), &call).map_err(|denial| denial.reason());
    let settle = |key: &str, value: &str| judge(serde_json::json!({ key: value }).to_string());
    for key in [
        "book_task",
        "bookTask",
        "BOOK_TASK",
        "boo\u{212a}_ta\u{17f}\u{212a}",
        "book-task",
        "$book_task ",
        "book_task[]",
    ] {
        assert!(settle(key, "projects/p").is_ok(), "{key}");
        assert_eq!(settle(key, "projects/q"), Err(Reason::BodyRefused), "{key}");
    }
    for key in ["book_task.id", "book_task[id]", "__proto__"] {
        assert_eq!(settle(key, "projects/p"), Err(Reason::BodyRefused), "{key}");
    }
    for key in ["book_tasks", "bookTas", "", "$", "proto"] {
        assert!(settle(key, "projects/q").is_ok(), "{key}");
    }
    let twice = format!("{{\"book_task\":\"projects/p\",\"boo{}Task\":\"projects/p\"}}", '\u{212a}');
    assert_eq!(judge(twice), Err(Reason::BodyRefused));
}

/// Laravel takes the method from a JSON body as it does from a form.
#[test]
fn a_message_does_not_replace_the_method() {
    for key in ["_method", "_METHOD", "$method", " _method", "_method[]"] {
        let body = serde_json::json!({ key: "DELETE" }).to_string();
        assert_eq!(settled(BodyRule::Message, &body), Err(Reason::BodyRefused), "{key}");
    }
    for key in ["method", "httpMethod", "_methods", "payment_method"] {
        let body = serde_json::json!({ key: "DELETE" }).to_string();
        assert_eq!(settled(BodyRule::Message, &body), Ok(body), "{key}");
    }
}

#[test]
fn nested_path_fields_are_compared_too() {
    let mut call = call(BodyRule::Message);
    call.bindings = vec![("policy.resource_name".into(), "projects/p".into())];
    let settle = |body: &str| {
        settle(&Bytes::copy_from_slice(body.as_bytes()), &call).map_err(|denial| denial.reason())
    };
    assert!(settle("{\"policy\":{\"resourceName\":\"projects/p\"}}").is_ok());
    assert_eq!(settle("{\"policy\":{\"resourceName\":\"projects/q\"}}"), Err(Reason::BodyRefused));
    assert_eq!(settle("{\"policy\":\"projects/p\"}"), Err(Reason::BodyRefused));
    assert_eq!(
        settle("{\"policy\":{\"resourceName\":\"projects/p\",\"resource_name\":\"projects/p\"}}"),
        Err(Reason::BodyRefused)
    );
}

#[test]
fn a_coding_that_cannot_be_judged_is_unsupported() {
    for coding in ["br", "deflate", "gzip, gzip", "zstd"] {
        let request = request(&format!("Content-Length: 5\r\nContent-Encoding: {coding}\r\n"));
        for rule in [BodyRule::EmptyMessage, BodyRule::Message] {
            let denial = plan(&request, &call(rule), BodyLimits::default()).unwrap_err();
            assert_eq!(denial.reason(), Reason::BodyCodingUnsupported, "{coding}");
            assert_eq!(denial.accepted_codings(), Some("gzip, identity"));
        }
        assert_eq!(plan(&request, &call(BodyRule::Stream), BodyLimits::default()).unwrap(), BodyPlan::Pass);
        let denial = plan(&request, &call(BodyRule::Empty), BodyLimits::default()).unwrap_err();
        assert_eq!(denial.reason(), Reason::BodyRefused, "{coding}");
    }
}

#[test]
fn a_gzip_body_is_judged_by_its_content_and_sent_without_the_coding() {
    let settle = |rule, body: &Bytes, limit| {
        super::settle(body, ContentCoding::Gzip, true, &call(rule), limit).map_err(|denial| denial.reason())
    };
    let named = format!("{{\"name\":\"{NAME}\",\"x\":[1]}}");
    assert_eq!(settle(BodyRule::Message, &gzip(named.as_bytes()), 1000).unwrap(), named);
    for content in ["", "{}", "\"\"", "\u{feff} {}\n"] {
        assert_eq!(settle(BodyRule::EmptyMessage, &gzip(content.as_bytes()), 1000).unwrap(), "");
    }
    for rule in [BodyRule::Empty, BodyRule::EmptyMessage, BodyRule::Message] {
        // Nothing is nothing in every coding.
        assert_eq!(settle(rule, &Bytes::new(), 1000).unwrap(), "");
        assert_eq!(settle(rule, &gzip(b""), 1000).unwrap(), "");
        for body in [
            Bytes::from_static(b"{}"),
            gzip(b"{}").slice(..20),
            [gzip(b"{}"), gzip(b"")].concat().into(),
            gzip(b"{\"name\":\"projects/victim\"}"),
        ] {
            assert_eq!(settle(rule, &body, 1000), Err(Reason::BodyRefused), "{rule}");
        }
    }
    let spaces = gzip(&[b' '; 1000]);
    assert!(settle(BodyRule::Message, &spaces, 1000).is_ok());
    assert_eq!(settle(BodyRule::Message, &spaces, 999), Err(Reason::BodyTooLarge));
    assert_eq!(settle(BodyRule::EmptyMessage, &spaces, 999), Err(Reason::BodyTooLarge));
    assert_eq!(settle(BodyRule::Empty, &spaces, 128), Err(Reason::BodyRefused));
}

/// Java's discovery client gives an empty body the type of a form, and compresses it.
#[test]
fn a_body_of_another_type_is_taken_if_it_is_empty() {
    let planned = |fields: &str| plan(&request(fields), &call(BodyRule::Message), BodyLimits::default());
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    assert!(planned(&format!("{form}Content-Length: 2\r\n")).is_err());
    for fields in ["Transfer-Encoding: chunked\r\n", "Content-Length: 20\r\nContent-Encoding: gzip\r\n"] {
        let BodyPlan::Collect { limit, coding, is_typed } = planned(&format!("{form}{fields}")).unwrap()
        else {
            panic!("{fields}");
        };
        assert!(!is_typed);
        let settle = |content: &[u8]| {
            let body = match coding {
                ContentCoding::Gzip => gzip(content),
                ContentCoding::Identity => Bytes::copy_from_slice(content),
            };
            super::settle(&body, coding, is_typed, &call(BodyRule::Message), limit)
        };
        assert_eq!(settle(b"").unwrap(), "");
        assert!(settle(b"{}").is_err());
        assert!(settle(b"a=b").is_err());
    }
}

#[test]
fn a_mark_and_blanks_are_an_empty_body_and_a_mark_is_not_sent_on() {
    assert_eq!(settled(BodyRule::Message, "\u{feff} \r\n"), Ok(String::new()));
    assert_eq!(settled(BodyRule::Message, "\u{feff}{\"a\":1} "), Ok("{\"a\":1} ".into()));
    for body in [" ", "\n", "\u{feff}", "\"\"", "{}"] {
        assert_eq!(settled(BodyRule::Empty, body), Err(Reason::BodyRefused), "{body:?}");
    }
}

#[test]
fn mistakes_are_told_as_google_tells_them() {
    let unknown =
        |name: &str| format!("Invalid JSON payload received. Unknown name \"{name}\": Cannot find field.");
    let root = "Invalid JSON payload received. Unknown name \"\": Root element must be a message.";
    for (body, expected) in [
        ("{\"foo\":1}", unknown("foo")),
        ("{\"foo\":1,\"bar\":{}}", format!("{}\n{}", unknown("foo"), unknown("bar"))),
        ("null", root.to_owned()),
        ("[]", root.to_owned()),
        ("7", root.to_owned()),
        ("\"x\"", root.to_owned()),
        ("{", "Invalid JSON payload received. Unexpected end of string.".to_owned()),
        ("{]", "Invalid JSON payload received. Unexpected token.".to_owned()),
        ("x", "Invalid JSON payload received. Unexpected token.".to_owned()),
        ("{\"a\":1,\"a\":2}", "Invalid JSON payload received. Member `a` is given twice.".to_owned()),
        ("{\"name\":\"x\"}", "Invalid value at 'name': it is not the one that the path names.".to_owned()),
    ] {
        let denial = told(BodyRule::EmptyMessage, body);
        assert_eq!(denial.public_message(), expected, "{body}");
        let violations: Vec<&str> =
            denial.violations().iter().map(|violation| violation.description.as_str()).collect();
        assert_eq!(violations.join("\n"), expected, "{body}");
    }
    let denial = told(BodyRule::Message, "{\"name\":\"x\"}");
    assert_eq!(denial.violations()[0].field.as_deref(), Some("name"));
    let many =
        serde_json::json!((0..1000).map(|n| (n.to_string(), n)).collect::<std::collections::HashMap<_, _>>());
    assert_eq!(told(BodyRule::EmptyMessage, &many.to_string()).violations().len(), 10);
    let long = serde_json::json!({ "x".repeat(40_000): 1 }).to_string();
    assert!(told(BodyRule::EmptyMessage, &long).public_message().len() < 200);
}

#[test]
fn bounds_are_told_from_the_announced_length() {
    let request = request("Content-Length: 65537\r\n");
    let denial = plan(&request, &call(BodyRule::Message), BodyLimits::default()).unwrap_err();
    assert_eq!(denial.reason(), Reason::BodyTooLarge);
}
