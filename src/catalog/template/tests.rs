use proptest::prelude::*;

use super::*;

fn template(text: &str) -> Template {
    Template::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn captured(text: &str, path: &str) -> Vec<(String, String)> {
    let path = Path::parse(path).unwrap();
    template(text).capture(&path).into_iter().map(|(field, value)| (field.to_string(), value)).collect()
}

fn pair(field: &str, value: &str) -> (String, String) {
    (field.to_owned(), value.to_owned())
}

#[test]
fn every_form_of_the_grammar_is_read_and_written_back() {
    for text in [
        "/v1",
        "/v1/{name=projects/*/locations/*/operations/*}:cancel",
        "/v1/{name=operations/**}",
        "/v1/{name=operations/**}:cancel",
        "/v2/{name=operations/projects/**}/operations",
        "/operations/{name=projects/*/locations/*}:wait",
        "/v1/{name=projects/*/locations/global/operations/*}",
        "/v1/{name}/{other}",
        "/v1/{book.name=shelves/*/books/*}/{book.author.id}",
        "/v1/*/x/**",
        "/**",
        "/**:cancel",
        "/{name=**}",
        "/v1/{_x9=a}",
        "/v1/a=b/c",
        "/v1/caf%C3%A9",
        "/v1/$discovery/rest",
        "/",
        "/v1/x/",
        "/v1/{name=things/*}/",
        "/v1/**/",
    ] {
        assert_eq!(template(text).to_string(), text);
    }
    assert_eq!(template("/v1/{name=*}"), template("/v1/{name}"));
}

#[test]
fn a_shape_is_what_decides_which_paths_match() {
    assert_eq!(template("/v1/{a=x/*}/{b}:c").shape(), "/v1/x/*/*:c");
    assert_eq!(template("/v1/{a=x/*}/*:c").shape(), template("/v1/x/{z=*/*}:c").shape());
}

/// The registration errors of grpc-httpjson-transcoding (http_template_test.cc), and ours. Carets show the piece to blame.
#[test]
fn a_malformed_template_is_refused_at_its_place() {
    let mut shown = String::new();
    for text in [
        "",
        "v1",
        "//",
        "/a//",
        "/a//b",
        "/:verb",
        "/a/:verb",
        "/*:",
        "/a:",
        "/a:b/c",
        "/a:b:c",
        "/a:b*",
        "/a:{x}",
        "/{}",
        "/{=a}",
        "/a/{",
        "/a/{x",
        "/a/{x=",
        "/a/{x=b",
        "/a/{x=b/",
        "/a}",
        "/{x}a",
        "/{x}{y}",
        "/a{x}",
        "/a/{9x}",
        "/a/{x-y}",
        "/a/{x.}",
        "/a/{.x}",
        "/a/{x..y}",
        "/a/{x y}",
        "/{var=a/{nested=b}}",
        "/{var={nested}}",
        "/a/{var=/b}",
        "/a/{var=b/}",
        "/a/{var=}",
        "/a/{x=b{c}",
        "/a/{x=var:verb}",
        "/a/**/*",
        "/a/**/**",
        "/a/**/{x}",
        "/a/{x=**}/{y=b/*}",
        "/a/***",
        "/a/*b",
        "/a/b*",
        "/a/**b",
        "/{x}/{x}",
        "/{x}/{x.y}",
        "/{x.y}/{x}",
        "/a/../b",
        "/a/%2e%2E",
        "/a/b%2Fc",
        "/a/b%zz",
        "/a/b;c",
        "/a/b c",
        "/a/b?c=d",
        "/a/é",
        "/a:cance%6c%",
    ] {
        let error = Template::parse(text).expect_err(text);
        let carets = "^".repeat(text.get(error.range.clone()).unwrap().chars().count().max(1));
        let indent = " ".repeat(text.get(..error.range.start).unwrap().chars().count());
        shown.push_str(&format!("{text}\n{indent}{carets} {error}\n"));
        shown.push_str(&error.help.map(|help| format!("  help: {help}\n")).unwrap_or_default());
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn variables_capture_what_their_segments_match() {
    let name = "projects/p/locations/l/operations/o";
    assert_eq!(
        captured("/v1/{name=projects/*/locations/*/operations/*}:cancel", &format!("/v1/{name}:cancel")),
        [pair("name", name)]
    );
    assert_eq!(captured("/{v}/{rest=**}", "/v1/a/b/c"), [pair("v", "v1"), pair("rest", "a/b/c")]);
    assert_eq!(captured("/{v}/{rest=**}", "/v1"), [pair("v", "v1"), pair("rest", "")]);
    assert_eq!(captured("/{name=operations/**}", "/operations"), [pair("name", "operations")]);
}

#[test]
fn literals_after_a_rest_are_counted_from_the_end() {
    let text = "/v2/{name=operations/projects/**}/operations";
    assert_eq!(
        captured(text, "/v2/operations/projects/a/b/operations"),
        [pair("name", "operations/projects/a/b")]
    );
    assert_eq!(captured(text, "/v2/operations/projects/operations"), [pair("name", "operations/projects")]);
    assert_eq!(captured("/a/{x=**/b}", "/a/1/2/b"), [pair("x", "1/2/b")]);
    assert_eq!(captured("/a/**/{x=b}", "/a/1/2/b"), [pair("x", "b")]);
    assert_eq!(captured("/a/**/{x=b}", "/a/b"), [pair("x", "b")]);
}

#[test]
fn captures_are_decoded_once() {
    assert_eq!(captured("/v1/{name=p/*/q/*}", "/v1/p/a%20b/q/c%3Ad"), [pair("name", "p/a b/q/c:d")]);
    assert_eq!(captured("/v1/{name}", "/v1/a+b%2B"), [pair("name", "a+b+")]);
}

fn literal() -> impl Strategy<Value = TemplateSegment> {
    "[a-z0-9_~$=-][a-z0-9._~$=-]{0,5}".prop_map(|text| TemplateSegment::Literal(text.into()))
}

fn any_template() -> impl Strategy<Value = Template> {
    let segment = prop_oneof![3 => literal(), 2 => Just(TemplateSegment::Single)];
    let rest = prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(literal(), 0..3).prop_map(|tail| {
        std::iter::once(TemplateSegment::Rest).chain(tail).collect()
    })];
    let cuts = prop::collection::vec(any::<bool>(), 16);
    (prop::collection::vec(segment, 1..6), rest, cuts, prop::option::of("[a-z]{1,6}")).prop_map(
        |(mut segments, rest, cuts, verb)| {
            segments.extend(rest);
            // Every stretch between two cuts is a variable or is not, in turns.
            let mut variables = Vec::new();
            let mut start = 0;
            for end in 1..=segments.len() {
                if cuts[end % cuts.len()] || end == segments.len() {
                    if cuts[start % cuts.len()] {
                        variables.push(TemplateVariable {
                            field: format!("f{start}.g").into(),
                            range: start..end,
                        });
                    }
                    start = end;
                }
            }
            Template { segments, variables, verb: verb.map(Into::into) }
        },
    )
}

proptest! {
    #[test]
    fn a_template_that_is_written_and_read_is_the_same(template in any_template()) {
        prop_assert_eq!(Template::parse(&template.to_string()), Ok(template));
    }

    #[test]
    fn any_text_is_a_template_or_blamed_at_a_place_within_it(text in "(/?([a-z]|[*]|[{}=.:%é]){0,4}){0,5}") {
        match Template::parse(&text) {
            Ok(template) => prop_assert_eq!(Template::parse(&template.to_string()), Ok(template)),
            Err(error) => prop_assert!(text.get(error.range).is_some()),
        }
    }
}
