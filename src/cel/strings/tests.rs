use super::*;

/// Parts of the request's strings are borrowed from there: a usual condition makes no string.
#[test]
fn parts_of_borrowed_strings_are_borrowed() {
    let name = Cow::Borrowed("projects/demo/locations/x");
    let mut budget = Budget::new(10_000);
    let project = extract(&name, "projects/{project}/", &mut budget).unwrap();
    assert!(matches!(project, Cow::Borrowed("demo")));
    assert!(matches!(change_case(&name, false, &mut budget).unwrap(), Cow::Borrowed(_)));
    assert!(matches!(change_case(&name, true, &mut budget).unwrap(), Cow::Owned(_)));
    let Value::List(pieces) = split(&name, "/", -1, &mut budget).unwrap() else { panic!("no list") };
    assert!(pieces.values().iter().all(|piece| matches!(piece, Value::String(Cow::Borrowed(_)))));
    let made = Cow::Owned(name.to_string());
    assert_eq!(extract(&made, "projects/{project}/", &mut budget).unwrap(), "demo");
}

#[test]
fn extraction_takes_the_first_prefix_and_the_next_suffix() {
    let text = Cow::Borrowed("/a/1/b/a/2/b/");
    let extracted = |template: &str| extract(&text, template, &mut Budget::new(1000)).unwrap().into_owned();
    assert_eq!(extracted("/a/{x}/b"), "1");
    assert_eq!(extracted("/b/{x}/b"), "a/2");
    assert_eq!(extracted("/c/{x}/b"), "");
    assert_eq!(extracted("/a/{x}/c"), "");
    assert_eq!(extracted("{x}/b"), "/a/1");
    assert_eq!(extracted("/2/{x}"), "b/");
    for template in ["", "a", "{", "}", "{}", "{a}{b}", "{{a}}", "}{", "a{b"] {
        assert_eq!(template_parts(template), None, "{template}");
    }
}
