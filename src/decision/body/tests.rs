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
        unimplemented: false,
        place: Place { file: "s.iam.yaml".into(), line: 1 },
    };
    Call {
        method: Arc::new(method),
        bindings: vec![("name".into(), NAME.into())],
        body,
        body_field: None,
        resource_name: None,
    }
}

fn request(fields: &str) -> Request {
    let text = format!("POST /v1/x:cancel HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    Request::from_head(
        RawHead::parse(text.as_bytes(), HeadLimits::default()).unwrap(),
        None,
        &TrustedProxies::default(),
    )
    .unwrap()
}

fn settled(rule: BodyRule, body: &str) -> Result<String, Reason> {
    settle(&Bytes::copy_from_slice(body.as_bytes()), &call(rule))
        .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
        .map_err(|denial| denial.reason())
}

#[test]
fn an_announced_body_is_refused_before_it_arrives() {
    let plan = |fields| plan(&request(fields), &call(BodyRule::Empty), BodyLimits::default());
    assert_eq!(plan("Content-Length: 1\r\n").unwrap_err().reason(), Reason::BodyRefused);
    assert_eq!(plan("Content-Length: 0\r\n").unwrap(), BodyPlan::Nothing);
    assert_eq!(plan("").unwrap(), BodyPlan::Nothing);
    assert_eq!(plan("Transfer-Encoding: chunked\r\n").unwrap(), BodyPlan::Collect { limit: 0 });
}

#[test]
fn an_empty_message_is_nothing_or_says_what_the_path_says() {
    for body in [
        "",
        "{}",
        " {\n} ",
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
        "\"\"",
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
        "\u{feff}{}",
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
    let settle = |key: &str, value: &str| {
        let body = serde_json::json!({ key: value }).to_string();
        settle(&Bytes::from(body), &call).map_err(|denial| denial.reason())
    };
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
    assert_eq!(super::settle(&Bytes::from(twice), &call).unwrap_err().reason(), Reason::BodyRefused);
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
fn a_coded_body_cannot_be_judged() {
    let request = request("Content-Length: 5\r\nContent-Encoding: gzip\r\n");
    assert!(plan(&request, &call(BodyRule::EmptyMessage), BodyLimits::default()).is_err());
    assert!(plan(&request, &call(BodyRule::Stream), BodyLimits::default()).is_ok());
}

#[test]
fn bounds_are_told_from_the_announced_length() {
    let request = request("Content-Length: 65537\r\n");
    let denial = plan(&request, &call(BodyRule::Message), BodyLimits::default()).unwrap_err();
    assert_eq!(denial.reason(), Reason::BodyTooLarge);
}
