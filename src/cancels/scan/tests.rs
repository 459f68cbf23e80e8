//! The scan against serde_json, whatever the pieces.

use proptest::prelude::*;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::*;

/// A JSON value that keeps members which are given twice.
#[derive(Clone, Debug)]
enum Json {
    Null,
    Bool(bool),
    /// As it is written.
    Number,
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Json;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
                Ok(Json::Bool(value))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
                Ok(Json::Number)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
                Ok(Json::Number)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
                Ok(Json::Number)
            }
            fn visit_str<E>(self, value: &str) -> Result<Json, E> {
                Ok(Json::Text(value.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Json::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
                let mut object = Vec::new();
                while let Some(member) = members.next_entry()? {
                    object.push(member);
                }
                Ok(Json::Object(object))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl Json {
    fn members(&self) -> &[(String, Json)] {
        match self {
            Self::Object(members) => members,
            _ => &[],
        }
    }

    fn all<'j>(&'j self, name: &'j str) -> impl Iterator<Item = &'j Json> {
        self.members().iter().filter(move |(key, _)| key == name).map(|(_, value)| value)
    }
}

/// What an operation says, read from the tree. A number's text is not in the tree: `is_cancelled` alone depends on it.
fn facts_of(operation: &Json) -> OperationFacts {
    let mut facts = OperationFacts::default();
    for name in ["name", "done", "error", "response"] {
        facts.is_ambiguous |= operation.all(name).count() > 1;
        for value in operation.all(name) {
            match (name, value) {
                (_, Json::Null) => facts.done = if name == "done" { None } else { facts.done },
                ("name", Json::Text(text)) => facts.name = Some(text.clone()),
                ("done", Json::Bool(done)) => facts.done = Some(*done),
                ("response", Json::Object(_)) => facts.has_response = true,
                ("error", Json::Object(_)) => {
                    facts.has_error = true;
                    facts.is_ambiguous |= value.all("code").count() > 1;
                }
                _ => facts.is_ambiguous = true,
            }
            for code in if name == "error" { value.all("code").collect() } else { Vec::new() } {
                match code {
                    Json::Null => {}
                    Json::Number => facts.code = Some("NUMBER".to_owned()),
                    Json::Text(text) if text.len() <= LONGEST_CODE => facts.code = Some(text.clone()),
                    Json::Text(_) => facts.code = Some(String::new()),
                    _ => facts.is_ambiguous = true,
                }
            }
        }
    }
    facts
}

/// All operations of an answer; `None` where it is not one.
fn read_whole(text: &str, shape: ScanShape) -> Option<Vec<OperationFacts>> {
    let answer: Json = serde_json::from_str(text).ok()?;
    let Json::Object(_) = answer else { return None };
    if shape == ScanShape::Operation {
        return Some(vec![facts_of(&answer)]);
    }
    if answer.all("operations").count() > 1 {
        return None;
    }
    match answer.all("operations").next() {
        None | Some(Json::Null) => Some(Vec::new()),
        Some(Json::List(items)) if items.iter().all(|item| matches!(item, Json::Object(_))) => {
            Some(items.iter().map(facts_of).collect())
        }
        Some(_) => None,
    }
}

/// What the scan says, in pieces of these sizes.
fn scan(bytes: &[u8], shape: ScanShape, sizes: &[usize]) -> Option<Vec<OperationFacts>> {
    let mut scan = OperationScan::new(shape);
    let mut found = Vec::new();
    let mut rest = bytes;
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let size = sizes.next().copied().unwrap_or(usize::MAX).clamp(1, rest.len());
        let (piece, after) = rest.split_at(size);
        scan.push(piece, &mut |facts| found.push(facts.clone()));
        rest = after;
    }
    scan.is_whole().then_some(found)
}

/// Numbers of codes are not in the reference's tree.
fn without_numbers(mut facts: Vec<OperationFacts>) -> Vec<OperationFacts> {
    for facts in &mut facts {
        if facts
            .code
            .as_ref()
            .is_some_and(|code| code.starts_with(|first: char| first == '-' || first.is_ascii_digit()))
        {
            facts.code = Some("NUMBER".to_owned());
        }
    }
    facts
}

/// JSON that is made of what matters, with spaces, escapes, members given twice, and things of wrong types.
fn json() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        Just(r#""projects/p/operations/o""#.to_owned()),
        Just(r#""\u0070rojects\/p""#.to_owned()),
        Just(r#""\ud83d\ude00 \" \\ \n""#.to_owned()),
        Just("\"done\"".to_owned()),
        Just("\"}],{[\"".to_owned()),
        Just(format!("\"{}\"", "x".repeat(40))),
        "[a-zé \u{1F600}]{0,8}".prop_map(|text| format!("\"{text}\"")),
    ];
    let leaf = prop_oneof![
        text,
        Just("true".to_owned()),
        Just("false".to_owned()),
        Just("null".to_owned()),
        proptest::sample::select(vec![
            "0",
            "1",
            "-1",
            "1.0",
            "1e0",
            "10E+2",
            "0.5",
            "-0",
            "12345678901234567890"
        ])
        .prop_map(str::to_owned),
        // Not JSON.
        proptest::sample::select(vec![
            "01",
            "1.",
            "-",
            "tru",
            "nul",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\u{1}\"",
            ""
        ])
        .prop_map(str::to_owned),
    ];
    let key = proptest::sample::select(vec![
        "\"name\"",
        "\"done\"",
        "\"error\"",
        "\"response\"",
        "\"code\"",
        "\"operations\"",
        "\"d\\u006fne\"",
        "\"metadata\"",
        "\"a name that is longer than any that matters\"",
    ]);
    let space = proptest::sample::select(vec!["", " ", "\n\t", "\r\n"]);
    leaf.prop_recursive(5, 40, 5, move |inner| {
        let member = (key.clone(), space.clone(), inner.clone())
            .prop_map(|(key, space, value)| format!("{space}{key}{space}:{space}{value}{space}"));
        prop_oneof![
            3 => proptest::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(","))),
            1 => proptest::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
        ]
    })
}

fn shape() -> impl Strategy<Value = ScanShape> {
    proptest::sample::select(vec![ScanShape::Operation, ScanShape::List])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn it_reads_what_serde_json_reads(text in json(), shape in shape()) {
        let scanned = scan(text.as_bytes(), shape, &[]).map(without_numbers);
        prop_assert_eq!(scanned, read_whole(&text, shape).map(without_numbers), "{}", text);
    }

    #[test]
    fn it_reads_what_serde_json_reads_of_a_list(items in proptest::collection::vec(json(), 0..4), after in "[ \n,}]{0,2}") {
        let text = format!("{{\"nextPageToken\":\"x\",\"operations\":[{}]}}{after}", items.join(" , "));
        let scanned = scan(text.as_bytes(), ScanShape::List, &[]).map(without_numbers);
        prop_assert_eq!(scanned, read_whole(&text, ScanShape::List).map(without_numbers), "{}", text);
    }

    #[test]
    fn pieces_of_any_size_say_the_same(
        text in json(),
        shape in shape(),
        sizes in proptest::collection::vec(1_usize..9, 1..6),
    ) {
        let whole = scan(text.as_bytes(), shape, &[]);
        prop_assert_eq!(scan(text.as_bytes(), shape, &sizes), whole.clone());
        prop_assert_eq!(scan(text.as_bytes(), shape, &[1]), whole);
    }

    #[test]
    fn an_answer_that_is_cut_says_nothing(text in json(), cut in any::<proptest::sample::Index>()) {
        let text = format!("{{\"name\":\"a\",\"done\":true,\"metadata\":{text}}}");
        let cut = cut.index(text.len());
        prop_assert_eq!(scan(&text.as_bytes()[..cut], ScanShape::Operation, &[]), None);
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200), shape in shape()) {
        prop_assert_eq!(scan(&bytes, shape, &[1]), scan(&bytes, shape, &[]));
    }
}

#[test]
fn members_of_other_objects_do_not_count() {
    let text = r#"{"name":"a","metadata":{"done":true,"name":"b","error":{"code":1}},"done":false}"#;
    let expected = OperationFacts { name: Some("a".to_owned()), done: Some(false), ..Default::default() };
    assert_eq!(scan(text.as_bytes(), ScanShape::Operation, &[]), Some(vec![expected]));
    let text =
        r#"{"done":true,"error":{"message":"x","details":[{"code":1}],"code":"2"},"x":{"operations":[{}]}}"#;
    let expected = OperationFacts {
        done: Some(true),
        has_error: true,
        code: Some("2".to_owned()),
        ..Default::default()
    };
    assert_eq!(scan(text.as_bytes(), ScanShape::Operation, &[]), Some(vec![expected]));
    assert_eq!(scan(text.as_bytes(), ScanShape::List, &[]), Some(vec![]));
}

#[test]
fn nesting_ends_where_it_does_for_serde_json() {
    for depth in [126, 127, 128, 400] {
        let inner = depth - 1;
        let text = format!("{{\"a\":{}{}}}", "[".repeat(inner), "]".repeat(inner));
        let is_read = scan(text.as_bytes(), ScanShape::Operation, &[]).is_some();
        assert_eq!(is_read, serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{depth}");
        assert_eq!(is_read, depth <= 127);
    }
}

#[test]
fn a_name_is_read_up_to_the_longest_and_no_more_is_held() {
    for (length, is_read) in [(LONGEST_NAME, true), (LONGEST_NAME + 1, false), (10_000_000, false)] {
        let text = format!("{{\"name\":\"{}\",\"done\":true}}", "x".repeat(length));
        let mut held = 0;
        let mut scan = OperationScan::new(ScanShape::Operation);
        let mut name = None;
        for piece in text.as_bytes().chunks(4096) {
            scan.push(piece, &mut |facts| name.clone_from(&facts.name));
            held = held.max(scan.text.capacity());
        }
        assert!(scan.is_whole());
        assert_eq!(name.is_some(), is_read, "{length}");
        assert!(held <= 2 * LONGEST_NAME, "{held}");
    }
}
