use super::*;

fn parse_text(text: &str) -> (Option<Node>, Report) {
    let mut report = Report::new();
    let node = parse(&Source::new("test.yaml", text), &mut report);
    (node, report)
}

#[test]
fn spans_cover_the_text_of_each_value() {
    let (node, _) = parse_text("name: roles/x\nmembers: [\"user:a@b.c\", plain]\n");
    let node = node.unwrap();
    let mut report = Report::new();
    let entries = node.entries(&mut report).unwrap();
    let text = |node: &Node| node.span.source.text.get(node.span.range.clone()).unwrap().to_owned();
    assert_eq!(text(entries[0].1), "name");
    assert_eq!(text(entries[0].2), "roles/x");
    let members = entries[1].2.list(&mut report).unwrap();
    assert_eq!(text(&members[0]), "\"user:a@b.c\"");
    assert_eq!(text(&members[1]), "plain");
}

#[test]
fn json_is_read_too() {
    let (node, report) = parse_text("{\"version\": 3, \"bindings\": [], \"etag\": null, \"ok\": true}");
    assert!(!report.is_fatal());
    let mut report = Report::new();
    let mut fields = node.as_ref().unwrap().fields("a policy", Spelling::Proto, &mut report).unwrap();
    assert_eq!(fields.optional("version").unwrap().integer(&mut report), Some(3));
    assert!(fields.optional("etag").is_none());
}

#[test]
fn duplicate_keys_are_refused() {
    let (node, report) = parse_text("a: 1\na: 2\n");
    assert!(node.is_none());
    insta::assert_snapshot!(report.render(false));
}

#[test]
fn broken_yaml_is_reported_at_its_line() {
    let (node, report) = parse_text("a: 1\nb: [1, 2\nc: 3\n");
    assert!(node.is_none());
    insta::assert_snapshot!(report.render(false));
}

#[test]
fn yes_and_no_are_strings() {
    let (node, _) = parse_text("country: no");
    let node = node.unwrap();
    let mut report = Report::new();
    assert_eq!(node.entries(&mut report).unwrap()[0].2.value, Value::String("no".into()));
}

#[test]
fn every_mistake_of_a_mapping_is_reported() {
    let (node, _) = parse_text("nmae: x\nincluded_permissions: 7\nincludedPermissions: []\nstage: true\n");
    let node = node.unwrap();
    let mut report = Report::new();
    let mut fields = node.fields("a role", Spelling::Proto, &mut report).unwrap();
    fields.required_string("name", &mut report);
    if let Some(permissions) = fields.optional("included_permissions") {
        permissions.strings(&mut report);
    }
    fields.optional_string("stage", &mut report);
    fields.finish(&mut report);
    insta::assert_snapshot!(report.render(false));
}

#[test]
fn several_documents_are_refused() {
    for text in ["a: 1\n---\nb: 2\n", "{\"a\": 1}\n{\"b\": 2}\n"] {
        let (node, report) = parse_text(text);
        assert!(node.is_none(), "{}", report.render(false));
        assert!(
            report.render(false).starts_with("error: the file holds several documents"),
            "{}",
            report.render(false)
        );
    }
}

/// Quotes that are left open around whole documents would make text of the rules between them.
#[test]
fn a_marker_of_documents_ends_a_quoted_text() {
    for marker in ["---", "...", "--- x", "---\t"] {
        let text = format!("title: 'a\n{marker}\nrules: [x]\n{marker}\n'\nrules: []\n");
        let (node, report) = parse_text(&text);
        assert!(node.is_none() && report.render(false).starts_with("error"), "{text:?}");
    }
    let (node, _) = parse_text("title: 'a\n----\nb'\n");
    assert!(node.is_some());
}

/// The YAML library reports some of these at the line before.
#[test]
fn a_tab_is_reported_at_its_own_place() {
    for (text, place) in [
        ("a:\n- b: 1\n  c:\n\t- d\n", "test.yaml:4:1"),
        ("a:\n- b: word\n\tc: 1\n", "test.yaml:3:1"),
        ("a:\n-\tb: 1\n  \tc: 2\n", "test.yaml:2:2"),
        ("a:\n  b: word\n  \tc: 1\n", "test.yaml:3:3"),
    ] {
        let (node, report) = parse_text(text);
        let told = report.render(false);
        assert!(node.is_none() && told.starts_with("error: a tab cannot indent a line"), "{text:?}: {told}");
        assert!(told.contains(place), "{text:?}: {told}");
    }
    // Elsewhere a tab is a blank.
    assert!(parse_text("a: b\t# c\n").0.is_some());
}

/// `user: ana@example.com` is a mapping of one key.
#[test]
fn a_blank_too_many_makes_a_mapping_and_its_removal_is_advised() {
    let (node, _) = parse_text("members:\n- user: ana@example.com\n- [x]\n");
    let mut report = Report::new();
    node.unwrap().entries(&mut report).unwrap()[0].2.strings(&mut report);
    insta::assert_snapshot!(report.render(false));
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let previous = level - 1;
        text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{previous}"); 10].join(", ")));
    }
    let (node, _) = parse_text(&text);
    assert!(node.is_none());
}

#[test]
fn an_empty_file_is_null() {
    let (node, report) = parse_text("");
    assert!(!report.is_fatal(), "{}", report.render(false));
    assert_eq!(node.unwrap().value, Value::Null);
}

/// The value of `text` in a document, and whether the place of each value is that of its text.
fn text_of(document: &str) -> String {
    let (node, report) = parse_text(document);
    let node = node.unwrap_or_else(|| panic!("{document:?}\n{}", report.render(false)));
    let entries = node.entries(&mut Report::new()).unwrap();
    let (_, key, value) = entries.into_iter().find(|(key, ..)| *key == "text").unwrap();
    assert_eq!(document.get(key.span.range.clone()), Some("text"), "{document:?}");
    let Value::String(text) = &value.value else { panic!("{document:?} {value:?}") };
    text.clone()
}

/// What YAML 1.2 allows and published files have, and what libyaml's readers take beyond that.
#[test]
fn scalars_of_several_lines_are_read() {
    for (document, text) in [
        ("text: one\n  two\n", "one two"),
        ("text: one\n\n  two\n", "one\ntwo"),
        ("text: 'one\n  two'\n", "one two"),
        ("text: 'one''s\n\n  two'\n", "one's\ntwo"),
        ("text: \"one\\\n  two\"\n", "onetwo"),
        ("text: \"one\n  two\"\nother: x\n", "one two"),
        ("text: |\n  one\n   two\n", "one\n two\n"),
        ("text: |-\n  one\n\n  two\n\n", "one\n\ntwo"),
        ("text: >\n  one\n  two\n\n  three\n", "one two\nthree\n"),
        ("text: >+\n  one\n\n", "one\n\n"),
        ("text: |2\n   one\n", " one\n"),
        ("text: one\ttwo\n", "one\ttwo"),
        ("text: \"one\\ttwo\tthree\"\n", "one\ttwo\tthree"),
        ("text:\n  one # a comment\nother: x\n", "one"),
        ("text: it's # a comment\n", "it's"),
        ("\u{feff}text: one\n", "one"),
        ("text: one\r\nother: 'a\r\n  b'\r\n", "one"),
        ("text: 'one\r\n  two'\r\n", "one two"),
        ("%YAML 1.2\n---\ntext: one\n", "one"),
        ("# a comment\n---\ntext: one\n...\n", "one"),
        ("--- # a comment\ntext: one\n", "one"),
        ("text: &anchor one\nother: *anchor\n", "one"),
        ("text: !!str one\n", "one"),
        ("{text: one, other: [a, b,], }\n", "one"),
        ("? text\n: one\n", "one"),
    ] {
        assert_eq!(text_of(document), text, "{document:?}");
    }
}

#[test]
fn quoted_scalars_may_go_on_at_the_left_margin() {
    for (document, text) in [
        ("text: 'one\ntwo'\n", "one two"),
        ("text: 'one\n\ntwo\nthree'\nother: x\n", "one\ntwo three"),
        ("text: \"one\ntwo\"\n", "one two"),
        ("text: \"one\\n\\\ntwo\"\n", "one\ntwo"),
        ("text: 'one\n \ttwo'\n", "one two"),
        ("text: 'one\n\ttwo'\nother: {a: \"b\n\tc\"}\n", "one two"),
        (
            "other:\n- a: 'b\nc'\n- 'd\n e'\ntext: 'it''s # one\n# two: x\n- three'\n",
            "it's # one # two: x - three",
        ),
        ("text: 'é\nü'\nlast: 'a\nb'\n", "é ü"),
    ] {
        assert_eq!(text_of(document), text, "{document:?}");
    }
}

#[test]
fn values_behind_a_text_at_the_left_margin_keep_their_places() {
    let document = "first: 'one\ntwo'\nlist:\n- a: \"x\n\ny\"\n  b: word\nlast: end\n";
    let (node, _) = parse_text(document);
    let mut found = Vec::new();
    let mut open = vec![node.unwrap()];
    while let Some(node) = open.pop() {
        let text = document.get(node.span.range.clone()).unwrap().to_owned();
        match node.value {
            Value::Map(entries) => open.extend(entries.into_iter().flat_map(|(key, value)| [key, value])),
            Value::List(items) => open.extend(items),
            Value::String(_) => found.push(text),
            other => panic!("{other:?}"),
        }
    }
    found.sort_unstable();
    assert_eq!(found, ["\"x\n\ny\"", "'one\ntwo'", "a", "b", "end", "first", "last", "list", "word"]);
}

#[test]
fn a_mistake_behind_a_text_at_the_left_margin_is_shown_at_its_line() {
    let (node, report) = parse_text("first: 'one\ntwo'\nlast: [a\nother: b\n");
    assert!(node.is_none());
    let told = report.render(false);
    assert!(told.contains("test.yaml:4") || told.contains("test.yaml:3"), "{told}");
    let (node, report) = parse_text("first: 'one\ntwo'\nlast: x\nlast: y\n");
    assert!(node.is_none());
    assert!(report.render(false).contains("test.yaml:4:1"), "{}", report.render(false));
}

#[test]
fn what_is_not_read_is_explained() {
    for (document, told) in [
        ("a: 1\n---\nb: 2\n", "several documents"),
        ("a: 1\n---\n", "several documents"),
        ("a:\n\tb: 1\n", "tab"),
        ("a: 1\n<<: {b: 2}\n", "merge"),
        ("a: *unknown\n", "unknown"),
        ("text: 'one\ntwo\n", "quote"),
    ] {
        let (node, report) = parse_text(document);
        assert!(node.is_none(), "{document:?}");
        let text = report.render(false);
        assert!(text.to_lowercase().contains(told), "{document:?}\n{text}");
    }
}
