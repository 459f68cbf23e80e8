use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::diagnostic::Report;
use crate::document::parse_any;

/// Everything in which the two readers could differ: values, and the bytes that each stands for.
fn told(node: &Node, text: &mut Vec<String>) {
    let kind = match &node.value {
        Value::List(items) => {
            items.iter().for_each(|item| told(item, text));
            format!("a list of {}", items.len())
        }
        Value::Map(entries) => {
            entries.iter().for_each(|(key, value)| {
                told(key, text);
                told(value, text);
            });
            format!("a mapping of {}", entries.len())
        }
        scalar => format!("{scalar:?}"),
    };
    text.push(format!("{kind} at {:?}", node.span.range));
}

/// Whether the document is plain. Where it is, serde-saphyr reads the same.
fn is_plain_and_the_same(text: &str) -> bool {
    let source = Source::new("test.yaml", text);
    let Some(short) = read(&source) else { return false };
    let mut report = Report::new();
    let long = parse_any(&source, &mut report);
    let long = long.unwrap_or_else(|| panic!("accepted for its way:\n{text}\n{}", report.render(false)));
    let (mut left, mut right) = (Vec::new(), Vec::new());
    told(&short, &mut left);
    told(&long, &mut right);
    assert_eq!(left, right, "{text}");
    true
}

#[test]
fn the_output_of_gcloud_is_plain() {
    for text in [
        "bindings:\n- members:\n  - user:ana@example.com\n  - group:oncall@example.com\n  role: roles/viewer\n\
         etag: BwXhqDDTJ2k=\nversion: 1\n",
        "bindings:\n- condition:\n    expression: request.time < timestamp(\"2027-01-01T00:00:00Z\")\n    title: this year\n  \
         members:\n  - user:ana@example.com\n  role: roles/viewer\netag: BwXhqDDTJ2k=\nversion: 3\n",
        "{\n  \"bindings\": [\n    {\n      \"members\": [\n        \"user:ana@example.com\"\n      ],\n      \
         \"role\": \"roles/viewer\"\n    }\n  ],\n  \"etag\": \"BwXhqDDTJ2k=\",\n  \"version\": 1\n}\n",
        "description: Reads, and\n  nothing else.\netag: AA==\nincludedPermissions:\n- a.b.c\nname: roles/x\nstage: GA\n",
        "# Who may do what.\r\nprojects/demo: folders/42   # here\r\nfolders/42: 'organizations/7'\r\n",
        "bindings: []\nversion: 0\nauditConfigs: {}\n",
        "- one\n- \"t\\u0077o\"\n- |\n  three\n- >-\n  fo\n  ur\n",
        "key: \"значение\"\nother: ['日本', x]\nlast: y\n",
    ] {
        assert!(is_plain_and_the_same(text), "not plain:\n{text}");
    }
}

#[test]
fn documents_that_are_not_plain_are_left_to_the_full_reader() {
    for text in [
        "",
        "~",
        "a: ",
        "a: null",
        "a: True",
        "a: 1.5",
        "a: 007",
        "a: -1",
        "a: 0x1F",
        "a: .inf",
        "a: 9223372036854775808",
        "a: &x b",
        "a: !t b",
        "a: !!str 1",
        "&x a: *x",
        "a: 1\na: 2",
        "a: 1\n\"a\": 2",
        "1: a",
        "[a]: b",
        "<<: {a: b}",
        "a: 1\n---\nb: 2",
        "a: 1\n...\nb",
        "%YAML 1.2\n---\na: b",
        "a: [",
        "\u{feff}\u{1}",
        "a\tb: \u{7}",
    ] {
        assert!(read(&Source::new("test.yaml", text)).is_none(), "plain:\n{text}");
    }
    let many: String = (0..20).map(|key| format!("k{key}: x\n")).collect();
    assert!(is_plain_and_the_same(&many));
    assert!(!is_plain_and_the_same(&format!("{many}k7: x\n")));
    let nested = |depth| format!("{}x{}", "[".repeat(depth), "]".repeat(depth));
    assert!(is_plain_and_the_same(&nested(MAX_DEPTH)));
    assert!(!is_plain_and_the_same(&nested(MAX_DEPTH + 1)));
}

#[test]
fn files_of_others_read_the_same() {
    let Some(corpora) = std::env::var_os("OPGATE_CORPORA") else {
        eprintln!("skipped: OPGATE_CORPORA is not set");
        return;
    };
    let (mut files, mut plain) = (0, 0);
    let mut pending = vec![Path::new(&corpora).to_owned()];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "json") {
            files += 1;
            plain += usize::from(is_plain_and_the_same(&std::fs::read_to_string(&path).unwrap()));
        }
    }
    assert!(plain > 10, "{plain} of {files} files are plain");
}

/// Scalars whose type is hard to see, or which may not be scalars at all.
const TRICKY: &[&str] = &[
    "a",
    "b",
    "key",
    "user:a@b.c",
    "roles/x",
    "x y",
    "x: y",
    "x # y",
    "x#y",
    "- x",
    "0",
    "7",
    "10",
    "00",
    "07",
    "-1",
    "+1",
    "1_000",
    "0x1F",
    "0o7",
    "0b1",
    "1e3",
    "1.5",
    ".5",
    "1.",
    ".inf",
    "-.inf",
    ".nan",
    "inf",
    "nan",
    "Infinity",
    "e1",
    "E",
    "true",
    "True",
    "tRue",
    "false",
    "yes",
    "no",
    "on",
    "y",
    "null",
    "Null",
    "nULL",
    "~",
    "",
    "=",
    "<<",
    "?",
    "-",
    "--",
    "---",
    "...",
    "*a",
    "&a",
    "&a x",
    "!t",
    "!!str 1",
    "!!int 7",
    "@a",
    "`a",
    "%a",
    "|",
    ">",
    "'q'",
    "'it''s'",
    "\"d\"",
    "\"\\u0041\"",
    "\"\\ud800\"",
    "\"\\x\"",
    "\"\\L\"",
    "'",
    "\"",
    "[",
    "]",
    "{",
    "}",
    "[]",
    "{}",
    "[a, 1]",
    "[a,]",
    "{a: 1}",
    "{a}",
    "{a: b, a: c}",
    ",",
    ":",
    "a:",
    ":a",
    "é",
    "日本",
    "\u{85}",
    "\u{2028}",
    "\u{feff}",
    "\u{7f}",
    "\u{a0}x",
    "x\u{a0}",
    "\t",
    "x\ty",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "2001-01-01",
    "12:30:45",
    "1,000",
    "1 2",
];

fn line() -> impl Strategy<Value = String> {
    let scalar = || prop::sample::select(TRICKY);
    let shape = prop::sample::select(
        &[
            "{k}: {v}",
            "{k}: {v}",
            "- {v}",
            "- {v}",
            "{k}:",
            "- {k}: {v}",
            "- - {v}",
            "- {k}:",
            "{v}",
            "[{k}, {v}]",
            "{{k}: {v}}",
            "{k}: |\n    {v}",
            "{k}: >\n    {v}",
            "{k}: {v} # {v}",
            "? {k}\n: {v}",
            "# {v}",
            "\"{k}\": \"{v}\",",
            "{k}: '{v}",
            "",
            "---",
        ][..],
    );
    let end = prop::sample::select(&["\n", "\n", "\n", "\r\n", "\r"][..]);
    (0_usize..4, shape, scalar(), scalar(), end).prop_map(|(indent, shape, key, value, end)| {
        let line = shape.replace("{k}", key).replace("{v}", value);
        format!("{}{line}{end}", "  ".repeat(indent))
    })
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let scalar = prop_oneof![
        prop::sample::select(TRICKY).prop_map(serde_json::Value::from),
        any::<String>().prop_map(serde_json::Value::from),
        any::<u64>().prop_map(serde_json::Value::from),
        (0_u64..12).prop_map(serde_json::Value::from),
    ];
    scalar.prop_recursive(4, 40, 12, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            prop::collection::vec((any::<String>(), inner), 0..12)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn both_ways_read_the_same_in_yaml(lines in prop::collection::vec(line(), 1..6)) {
        is_plain_and_the_same(&lines.concat());
    }

    #[test]
    fn both_ways_read_the_same_in_any_text(text in "([a-z01\\-:?,\\[\\]{}#&*!|>'\"%@ \r\n\t~.<=]|[ -~é\u{85}]){0,24}") {
        is_plain_and_the_same(&text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn both_ways_read_the_same_in_json(value in json(), pretty: bool, at: prop::sample::Index, typed in prop::sample::select(TRICKY)) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        is_plain_and_the_same(&text);
        let mut slipped: Vec<char> = text.chars().collect();
        let at = at.index(slipped.len() + 1);
        slipped.splice(at..at, typed.chars());
        is_plain_and_the_same(&slipped.into_iter().collect::<String>());
    }
}
