pub(super) mod descriptors;
mod properties;
mod refusals;

use super::*;
use prost_reflect::DynamicMessage;
use serde_json::{Value, json};

use self::descriptors::method;

/// A method under a rule.
pub(super) fn transcoded(rpc: &str, variables: &[&str], body: BodyMapping<'_>) -> TranscodedMethod {
    method(rpc, variables, body, None).unwrap()
}

fn bound(pairs: &[(&str, &str)]) -> Vec<(Arc<str>, String)> {
    pairs.iter().map(|(name, value)| (Arc::from(*name), (*value).to_owned())).collect()
}

/// The message of a request as JSON, by prost-reflect alone.
pub(super) fn sent(
    method: &TranscodedMethod,
    path: &[(&str, &str)],
    query: &str,
    body: &str,
) -> Result<Value, RequestFault> {
    let query = (!query.is_empty()).then_some(query);
    let request = method.request(&bound(path), query, body.as_bytes())?;
    let (header, message) = request.frame.split_at(5);
    assert_eq!(header[0], 0);
    assert_eq!(u32::from_be_bytes(header[1..].try_into().unwrap()) as usize, message.len());
    let message = DynamicMessage::decode(method.input.clone(), message).unwrap();
    assert_eq!(message.unknown_fields().count(), 0);
    Ok(serde_json::to_value(&message).unwrap())
}

fn refused(method: &TranscodedMethod, path: &[(&str, &str)], query: &str, body: &str) -> RequestFault {
    sent(method, path, query, body).unwrap_err()
}

const SHELF: (&str, &str) = ("parent", "shelves/s1");

#[test]
fn path_query_and_body_become_one_message() {
    let list = transcoded("lib.Library.ListBooks", &["parent"], BodyMapping::Nothing);
    assert_eq!(list.path(), "/lib.Library/ListBooks");
    let query =
        "pageSize=5&filter=a%3Db+c&order=NEWEST&readMask=title,pageCount&tags=x&tags=y&page_token=&$alt=json";
    assert_eq!(
        sent(&list, &[SHELF], query, "").unwrap(),
        json!({
            "parent": "shelves/s1", "pageSize": 5, "filter": "a=b c", "order": "NEWEST",
            "readMask": "title,pageCount", "tags": ["x", "y"],
        })
    );

    let create = transcoded("lib.Library.CreateBook", &["parent"], BodyMapping::Field("book"));
    assert_eq!(
        sent(&create, &[SHELF], "bookId=b1&validateOnly=true", r#"{"title":"T","page_count":"7"}"#).unwrap(),
        json!({
            "parent": "shelves/s1", "bookId": "b1", "validateOnly": true,
            "book": {"title": "T", "pageCount": "7"},
        })
    );

    let update = transcoded("lib.Library.UpdateBook", &["book.name"], BodyMapping::Field("book"));
    let name = ("book.name", "shelves/s1/books/b1");
    for body in ["", "{}", "null", r#"{"name":"shelves/s1/books/b1"}"#] {
        let expected = json!({"book": {"name": "shelves/s1/books/b1"}});
        assert_eq!(sent(&update, &[name], "", body).unwrap(), expected, "{body}");
    }

    let merge = transcoded("lib.Library.MergeShelves", &["name"], BodyMapping::Whole);
    let expected = json!({"name": "shelves/s1", "otherShelf": "shelves/s2"});
    assert_eq!(
        sent(&merge, &[("name", "shelves/s1")], "", r#"{"otherShelf":"shelves/s2"}"#).unwrap(),
        expected
    );
}

#[test]
fn nested_fields_and_the_messages_that_are_one_value_are_set_by_a_query() {
    let method = transcoded("lib.Library.Everything", &[], BodyMapping::Nothing);
    for (query, expected) in [
        ("inner.inner.text=x&inner.number=-3", json!({"inner": {"inner": {"text": "x"}, "number": "-3"}})),
        ("when=2026-01-02T03:04:05.5Z", json!({"when": "2026-01-02T03:04:05.500Z"})),
        ("when=2026-01-02T03:04:05%2B01:00", json!({"when": "2026-01-02T02:04:05Z"})),
        ("howLong=1.5s", json!({"howLong": "1.500s"})),
        ("wrappedNumber=7&wrapped_text=", json!({"wrappedNumber": "7", "wrappedText": ""})),
        ("numbers=1&numbers=2", json!({"numbers": [1, 2]})),
        ("order=1", json!({"order": "NEWEST"})),
        ("data=_-8%3D", json!({"data": "/+8="})),
        ("flag=false&unsigned=18446744073709551615", json!({"unsigned": "18446744073709551615"})),
        ("ratio=-Infinity&single=1e3", json!({"ratio": "-Infinity", "single": 1000.0})),
        ("mask=display_name,inner.firstLine", json!({"mask": "displayName,inner.firstLine"})),
        ("optionalText=", json!({"optionalText": ""})),
        ("oneText=x", json!({"oneText": "x"})),
        ("text=a;b=c&number=1", json!({"text": "a;b=c", "number": "1"})),
        ("text=%F0%9F%A6%80", json!({"text": "🦀"})),
    ] {
        assert_eq!(sent(&method, &[], query, "").unwrap(), expected, "{query}");
    }
}

#[test]
fn the_json_of_proto3_is_read_in_each_of_its_spellings() {
    let method = transcoded("lib.Library.Everything", &[], BodyMapping::Whole);
    for (body, expected) in [
        (
            r#"{"number":1e3,"small":-1.0,"unsigned":"9"}"#,
            json!({"number": "1000", "small": -1, "unsigned": "9"}),
        ),
        (r#"{"ratio":"NaN","single":"1.5"}"#, json!({"ratio": "NaN", "single": 1.5})),
        (r#"{"ratio":0.1,"number":9007199254740993}"#, json!({"ratio": 0.1, "number": "9007199254740993"})),
        (r#"{"text":null,"tags":null,"inner":null,"labels":null}"#, json!({})),
        (
            r#"{"labels":{"a":"1","":"2"},"counts":{"-1":{"text":"x"}}}"#,
            json!({"labels": {"a": "1", "": "2"}, "counts": {"-1": {"text": "x"}}}),
        ),
        (
            r#"{"any":{"text":"x","@type":"type.googleapis.com/lib.Inner"}}"#,
            json!({"any": {"@type": "type.googleapis.com/lib.Inner", "text": "x"}}),
        ),
        (
            r#"{"any":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"3s"}}"#,
            json!({"any": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "3s"}}),
        ),
        (
            r#"{"anything":{"a":[1,null,"x",{"b":true}]},"object":{"c":null},"list":[[],{}]}"#,
            json!({"anything": {"a": [1.0, null, "x", {"b": true}]}, "object": {"c": null}, "list": [[], {}]}),
        ),
        (r#"{"anything":null,"nothing":null}"#, json!({"anything": null})),
        (
            r#"{"wrappedNumber":"12","wrappedText":"x","wrappedFlag":false}"#,
            json!({"wrappedNumber": "12", "wrappedText": "x", "wrappedFlag": false}),
        ),
        (
            r#"{"order":1,"orders":["NEWEST","OLDEST",0]}"#,
            json!({"order": "NEWEST", "orders": ["NEWEST", "OLDEST", "ORDER_UNSPECIFIED"]}),
        ),
        (r#"{"data":"Pz8_"}"#, json!({"data": "Pz8/"})),
        (r#"{"one_text":"x","oneNumber":null}"#, json!({"oneText": "x"})),
        ("{\"text\":\"\\ud83e\\udd80\\u0000\"}", json!({"text": "🦀\0"})),
        (r#"{"empty":{}}"#, json!({"empty": {}})),
    ] {
        assert_eq!(sent(&method, &[], "", body).unwrap(), expected, "{body}");
    }
}

#[test]
fn a_path_variable_of_another_type_has_one_spelling() {
    let method =
        transcoded("lib.Library.Everything", &["number", "order", "inner.text"], BodyMapping::Nothing);
    let path = |number, order| [("number", number), ("order", order), ("inner.text", "x")];
    let expected = json!({"number": "12", "order": "NEWEST", "inner": {"text": "x"}});
    assert_eq!(sent(&method, &path("12", "NEWEST"), "", "").unwrap(), expected);
    assert_eq!(
        sent(&method, &path("0", "ORDER_UNSPECIFIED"), "", "").unwrap(),
        json!({"inner": {"text": "x"}})
    );
    for (number, order) in
        [("012", "NEWEST"), ("+12", "NEWEST"), ("1e1", "NEWEST"), ("12", "1"), ("12", "newest")]
    {
        let fault = refused(&method, &path(number, order), "", "");
        assert_eq!(fault.part, RequestPart::Path, "{number} {order}");
    }
}

#[test]
fn a_name_that_was_judged_cannot_be_another_in_the_message() {
    let merge = transcoded("lib.Library.MergeShelves", &["name"], BodyMapping::Whole);
    let name = ("name", "shelves/s1");
    for body in [r#"{"name":"shelves/s2"}"#, r#"{"name":"shelves/s1","name":"shelves/s2"}"#] {
        assert_eq!(refused(&merge, &[name], "", body).part, RequestPart::Body, "{body}");
    }
    for query in ["name=shelves/s1", "name=x", "%6eame=x", "otherShelf=x"] {
        assert_eq!(refused(&merge, &[name], query, "").part, RequestPart::Query, "{query}");
    }
    let get = transcoded("lib.Library.UpdateBook", &["book.name"], BodyMapping::Nothing);
    let book = ("book.name", "shelves/s1/books/b1");
    for query in ["book.name=x", "book=x", "book.name.x=y"] {
        assert_eq!(refused(&get, &[book], query, "").part, RequestPart::Query, "{query}");
    }
    // A variable without a value, and a value without a variable.
    assert_eq!(refused(&merge, &[], "", "").part, RequestPart::Message);
    assert_eq!(refused(&merge, &[name, ("x", "y")], "", "").part, RequestPart::Message);
}

#[test]
fn system_parameters_say_how_the_answer_is_written() {
    let list = transcoded("lib.Library.ListBooks", &["parent"], BodyMapping::Nothing);
    let format = |query: &str| list.request(&bound(&[SHELF]), Some(query), b"").map(|request| request.format);
    let default = AnswerFormat::default();
    for query in [
        "",
        "alt=json",
        "$alt=json&$.xgafv=1&$key=k&key=k&quotaUser=u&fields=x",
        "%24alt=json",
        "prettyPrint=0",
    ] {
        assert_eq!(format(query), Ok(default), "{query}");
    }
    let numbers = AnswerFormat { has_enum_numbers: true, ..default };
    for query in ["$alt=json;enum-encoding=int", "alt=json%3Benum-encoding%3Dint"] {
        assert_eq!(format(query), Ok(numbers), "{query}");
    }
    assert_eq!(format("prettyPrint=true"), Ok(AnswerFormat { is_pretty: true, ..default }));
    for query in ["alt=proto", "alt=media", "alt=sse", "$alt=json;x=y", "prettyPrint=maybe", "$pageSize=1"] {
        assert!(format(query).is_err(), "{query}");
    }
    // A field of the message takes its name.
    let all = transcoded("lib.Library.Everything", &[], BodyMapping::Nothing);
    assert_eq!(sent(&all, &[], "key=k&$key=z", "").unwrap(), json!({"key": "k"}));
}

#[test]
fn a_rule_that_does_not_fit_its_messages_is_told_in_full() {
    let errors = |rpc, variables: &[&str], body, response_body| {
        let errors = method(rpc, variables, body, response_body).unwrap_err();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    insta::assert_debug_snapshot!([
        errors(
            "lib.Library.Everything",
            &["x", "inner", "tags", "inner.x.y", "labels"],
            BodyMapping::Field("y"),
            Some("z")
        ),
        errors("lib.Library.Upload", &["name"], BodyMapping::Whole, None),
        errors("lib.Library.PutBlob", &["name"], BodyMapping::Field("blob"), None),
    ]);
}
