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
    let (node, report) = parse_text("a: 1\n---\nb: 2\n");
    assert!(node.is_none(), "{}", report.render(false));
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
