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
            report.render(false).starts_with("error: the file has several documents"),
            "{}",
            report.render(false)
        );
    }
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
