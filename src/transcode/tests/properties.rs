//! Properties: what is sent is what was written, whatever it is, and no text brings the reader down.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::DynamicMessage;
use serde_json::{Map, Value, json};

use super::{BodyMapping, sent, transcoded};

/// A value of some fields of `lib.All`, as proto3 JSON writes it.
fn values() -> impl Strategy<Value = Value> {
    let inner = (any::<String>(), any::<i64>()).prop_map(|(text, number)| {
        written(vec![("text", json!(text)), ("number", json!(number.to_string()))])
    });
    let scalars = (any::<String>(), any::<i64>(), any::<i32>(), any::<u64>(), any::<bool>(), any::<f64>());
    let lists = (vec(any::<String>(), 0..4), vec(any::<i32>(), 0..4), vec(inner, 0..3));
    let maps = btree_map(any::<String>(), any::<String>(), 0..4);
    let anything = any::<u8>().prop_map(|bits| match bits % 5 {
        0 => json!(null),
        1 => json!([1.5, "x", [true]]),
        2 => json!({"a": {"b": []}, "": null}),
        3 => json!(f64::from(bits) / 7.0),
        _ => json!("text"),
    });
    (scalars, lists, maps, anything).prop_map(|(scalars, lists, labels, anything)| {
        let (text, number, small, unsigned, flag, ratio) = scalars;
        let (tags, numbers, inners) = lists;
        written(vec![
            ("text", json!(text)),
            ("number", json!(number.to_string())),
            ("small", json!(small)),
            ("unsigned", json!(unsigned.to_string())),
            ("flag", json!(flag)),
            ("ratio", if ratio.is_finite() { json!(ratio) } else { json!(0.0) }),
            ("tags", json!(tags)),
            ("numbers", json!(numbers)),
            ("inners", json!(inners)),
            ("labels", json!(labels)),
            ("anything", anything),
            ("wrappedText", json!(text)),
        ])
    })
}

/// An object without the members that proto3 JSON leaves out.
fn written(members: Vec<(&str, Value)>) -> Value {
    let is_default = |name: &str, value: &Value| match value {
        _ if name == "anything" || name == "wrappedText" => false,
        Value::String(text) => text.is_empty() || text == "0",
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Bool(value) => !value,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Null => true,
    };
    let members = members.into_iter().filter(|(name, value)| match *name {
        "text" => !value.as_str().unwrap().is_empty(),
        name => !is_default(name, value),
    });
    Value::Object(members.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

proptest! {
    #[test]
    fn a_message_comes_back_as_it_was_written(value in values()) {
        let method = transcoded("lib.Library.Everything", &[], BodyMapping::Whole);
        prop_assert_eq!(sent(&method, &[], "", &value.to_string()).unwrap(), value);
    }

    /// prost-reflect reads the same JSON, leniently: what is read here, it reads alike.
    #[test]
    fn what_is_read_is_read_alike_by_a_lenient_reader(value in values(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let method = transcoded("lib.Library.Everything", &[], BodyMapping::Whole);
        let mut text = value.to_string().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        if let Ok(request) = method.request(&[], None, &text) {
            let mut lenient = serde_json::Deserializer::from_slice(&text);
            let lenient = DynamicMessage::deserialize(method.input.clone(), &mut lenient).unwrap();
            // The wire does not carry a zero of either sign.
            let lenient = DynamicMessage::decode(method.input.clone(), &lenient.encode_to_vec()[..]).unwrap();
            let strict = DynamicMessage::decode(method.input.clone(), &request.frame[5..]).unwrap();
            // Messages do not print: a descriptor that holds itself has no end.
            let is_same = lenient == strict;
            let [lenient, strict] = [lenient, strict].map(|message| serde_json::to_string(&message).unwrap());
            prop_assert!(is_same, "{} {}", lenient, strict);
        }
    }

    #[test]
    fn a_name_in_a_path_is_the_one_in_the_message(name in "\\PC{1,30}", other in "\\PC{0,10}", query in "[a-z.=&%0-9$]{0,30}") {
        let method = transcoded("lib.Library.UpdateBook", &["book.name"], BodyMapping::Field("book"));
        let body = json!({"title": other}).to_string();
        if let Ok(message) = sent(&method, &[("book.name", &name)], &query, &body) {
            prop_assert_eq!(&message["book"]["name"], &json!(name));
        }
        let message = sent(&method, &[("book.name", &name)], "", &body).unwrap();
        prop_assert_eq!(&message["book"]["name"], &json!(name));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,60}", query in "\\PC{0,60}") {
        let method = transcoded("lib.Library.Everything", &[], BodyMapping::Whole);
        let _ = method.request(&[], Some(&query), text.as_bytes());
        let _ = method.request(&[], None, format!("{{\"anything\":{text}}}").as_bytes());
    }
}
