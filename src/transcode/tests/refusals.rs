//! What is refused, and in which words.

use super::{BodyMapping, refused, sent, transcoded};
use crate::transcode::RequestPart;

fn body_refused(body: &str) -> String {
    let method = transcoded("lib.Library.Everything", &[], BodyMapping::Whole);
    let fault = refused(&method, &[], "", body);
    assert_eq!(fault.part, RequestPart::Body);
    fault.message()
}

#[test]
fn mistakes_in_a_body_are_told_as_google_tells_them() {
    let bodies = [
        "[]",
        "null",
        "1",
        "{",
        "{}x",
        r#"{"text":"\ud800"}"#,
        r#"{"nope":1,"inner":{"nope":{"deep":[1]}},"text":"x","nopes":[]}"#,
        r#"{"text":1}"#,
        r#"{"text":{"a":1}}"#,
        r#"{"text":["a"]}"#,
        r#"{"text":"a","text":"b"}"#,
        r#"{"how_long":"1s","howLong":"1s"}"#,
        r#"{"text":null,"text":"b"}"#,
        r#"{"oneText":"a","oneNumber":1}"#,
        r#"{"number":"x"}"#,
        r#"{"number":1.5}"#,
        r#"{"number":9223372036854775808}"#,
        r#"{"small":2147483648}"#,
        r#"{"unsigned":-1}"#,
        r#"{"number":true}"#,
        r#"{"flag":"true"}"#,
        r#"{"flag":1}"#,
        r#"{"ratio":"1e999"}"#,
        r#"{"ratio":1e999}"#,
        r#"{"single":1e39}"#,
        r#"{"data":"?"}"#,
        r#"{"order":"newest"}"#,
        r#"{"order":7}"#,
        r#"{"order":"1"}"#,
        r#"{"tags":"x"}"#,
        r#"{"tags":[null]}"#,
        r#"{"tags":["a",1]}"#,
        r#"{"tags":{"a":1}}"#,
        r#"{"inners":[{"text":1}]}"#,
        r#"{"inner":"x"}"#,
        r#"{"labels":[]}"#,
        r#"{"labels":{"a":null}}"#,
        r#"{"labels":{"a":"1","\u0061":"2"}}"#,
        r#"{"counts":{"01":{}}}"#,
        r#"{"counts":{"x":{}}}"#,
        r#"{"when":"2026-01-02"}"#,
        r#"{"when":"2026-02-30T00:00:00Z"}"#,
        r#"{"when":1}"#,
        r#"{"when":{"seconds":1}}"#,
        r#"{"howLong":"1"}"#,
        r#"{"howLong":"315576000001s"}"#,
        r#"{"mask":"a,,b"}"#,
        r#"{"any":{"text":"x"}}"#,
        r#"{"any":{"@type":"lib.Inner"}}"#,
        r#"{"any":{"@type":"type.googleapis.com/lib.None"}}"#,
        r#"{"any":{"@type":"type.googleapis.com/lib.Inner","nope":1}}"#,
        r#"{"any":{"@type":"type.googleapis.com/lib.Inner","text":"a","text":"b"}}"#,
        r#"{"any":{"@type":"type.googleapis.com/lib.Inner","firstLine":"a","first_line":"b"}}"#,
        r#"{"any":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"3s","seconds":1}}"#,
        r#"{"object":{"a":1,"a":2}}"#,
        r#"{"anything":{"b":[{"a":1,"a":2}]}}"#,
        r#"{"object":[]}"#,
        r#"{"list":{}}"#,
        r#"{"nothing":0}"#,
        r#"{"wrappedNumber":{"value":1}}"#,
        r#"{"empty":{"a":1}}"#,
        r#"{"[lib.extension]":1}"#,
    ];
    let told: Vec<String> = bodies.iter().map(|body| format!("{body}\n  {}", body_refused(body))).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn mistakes_in_a_query_are_told_as_google_tells_them() {
    let method = transcoded("lib.Library.Everything", &["text"], BodyMapping::Field("inner"));
    let queries = [
        "nope=1",
        "inner.text=x",
        "inner=x",
        "text=y",
        "Number=1",
        "number=1&number=2",
        "number=x",
        "number=",
        "order=newest",
        "order=9",
        "flag=1",
        "single=1e39",
        "data=%3F",
        "tags.x=1",
        "inners.text=x",
        "labels=x",
        "labels.a=x",
        "when=yesterday",
        "any=x",
        "anything=1",
        "object.fields=x",
        "oneText=a&oneNumber=1",
        "=1",
        ".=1",
        "number.=1",
        "nope=1&nopes=2",
        "alt=proto",
    ];
    let told = |query: &&str| {
        let fault = refused(&method, &[("text", "x")], query, "");
        assert_eq!(fault.part, RequestPart::Query, "{query}");
        format!("{query}\n  {}", fault.message())
    };
    insta::assert_snapshot!(queries.iter().map(told).collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_body_where_the_rule_has_none_is_refused() {
    let method = transcoded("lib.Library.ListBooks", &["parent"], BodyMapping::Nothing);
    let path = [("parent", "shelves/s1")];
    assert!(sent(&method, &path, "", " \n").is_ok());
    assert_eq!(refused(&method, &path, "", "{}").part, RequestPart::Body);
}

#[test]
fn a_short_text_does_not_become_a_large_message() {
    let texts = [
        format!(r#"{{"numbers":[{}0]}}"#, "0,".repeat(262_144)),
        format!(r#"{{"inners":[{}{{"number":1}}]}}"#, r#"{"number":1},"#.repeat(20_000)),
        format!(r#"{{"list":[{}0]}}"#, "0,".repeat(20_000)),
        format!(
            r#"{{"object":{{"a":{{{}"x":0}}}}}}"#,
            (0..9_000).map(|at| format!("\"{at}\":0,")).collect::<String>()
        ),
    ];
    for text in texts {
        assert_eq!(body_refused(&text), "Invalid JSON payload received. It has too many values.");
    }
    let method = transcoded("lib.Library.Everything", &[], BodyMapping::Whole);
    let numbers = format!(r#"{{"numbers":[{}1]}}"#, "1,".repeat(200_000));
    assert!(sent(&method, &[], "", &numbers).is_ok());
}

#[test]
fn a_message_within_too_many_others_is_refused_before_a_stack_or_a_backend_ends() {
    let method = transcoded("lib.Library.Everything", &[], BodyMapping::Whole);
    let nested = |depth: usize| format!("{}{}", r#"{"inner":"#.repeat(depth), "{}") + &"}".repeat(depth);
    assert!(sent(&method, &[], "", &nested(90)).is_ok());
    let deep = "Invalid JSON payload received. Message too deep. Max recursion depth reached.";
    assert_eq!(body_refused(&nested(96)), deep);
    let lists = |depth: usize| format!(r#"{{"anything":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert!(sent(&method, &[], "", &lists(30)).is_ok());
    assert_eq!(body_refused(&lists(40)), deep);
    // Each Any is text within a text: the parser's own bound begins anew.
    let any = r#"{"@type":"type.googleapis.com/google.protobuf.Any","value":"#;
    let inner = r#"{"@type":"type.googleapis.com/lib.Inner"}"#;
    let anys = |depth: usize| format!(r#"{{"any":{}{inner}{}}}"#, any.repeat(depth), "}".repeat(depth));
    assert_eq!(body_refused(&anys(20_000)), deep);
    assert!(sent(&method, &[], "", &anys(20)).is_ok());
}

#[test]
fn no_more_than_ten_mistakes_are_told() {
    let names: Vec<String> = (0..50).map(|at| format!("\"n{at}\":0")).collect();
    assert_eq!(body_refused(&format!("{{{}}}", names.join(","))).lines().count(), 10);
    let long = format!(r#"{{"{}":0}}"#, "x".repeat(5000));
    assert!(body_refused(&long).len() < 300);
}
