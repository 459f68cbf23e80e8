use std::fmt::Write;

use super::*;
use crate::diagnostic::{Report, Source, Span};

/// What a policy author reads, as the diagnostics of a file show it.
fn rendered(text: &str) -> String {
    let source = Source::new("condition", text);
    let mut report = Report::default();
    let faults = Program::compile(text, &environment(), &Type::Bool).expect_err(text);
    for fault in faults {
        let span = Span { source: source.clone(), range: fault.range };
        report.error(&span, fault.message).help(fault.help);
    }
    report.render(false)
}

#[test]
fn faults_say_what_is_wrong_and_what_to_do() {
    let texts = [
        "",
        "resource.name = 'projects/x'",
        "resource.name == 'projects/x",
        "resource.name == “projects/x”",
        "resource.name.startsWith('a') and true",
        "(resource.name == 'a'",
        "resource.name == 'a')",
        "resource.nmae == 'projects/x'",
        "resource == 'x'",
        "resource.startsWith('x')",
        "env == 'prod'",
        "resource.name.startWith('x')",
        "resource.name.beginsWith('x')",
        "resource.name.toLowerCase() == 'x'",
        "len(resource.name) > 3",
        "resource.name.substring(1) == 'x'",
        "resource.name.startsWith(5)",
        "resource.name.startsWith",
        "startsWith(resource.name, 'x')",
        "resource.matchTags('env', 'prod')",
        "resource.matchTag('env')",
        "resource.name",
        "request.time < '2030-01-01'",
        "request.time < timestamp('2030-13-01T00:00:00Z')",
        "request.time < date('2030-02-29')",
        "request.time.getHours('Europe/Bern') > 8 && request.time.getHour() < 18",
        "request.time - 3600 < request.time",
        "duration('one hour') < duration('1h')",
        "resource.name.matches('projects/(x')",
        "resource.name.matches('[[a-z]&&[^b]]')",
        "resource.name.extract('projects/') == 'x'",
        "'demo' in resource.name",
        "claims.groups[0] == 1 && resource.name == 1 && 'a'",
        "['a', 'b'].exists(resource.name, true) || ['a'].all(x)",
        "['a', 'b'].exists(x, 'a')",
        "has(claims)",
        "google.protobuf.Timestamp{seconds: 1} == request.time",
        "if == 1",
        "'\\q' == ''",
        "12ab == 1",
        "99999999999999999999 == 1",
        "{1.5: 1} == {}",
        "true ? 1 : 'a'",
        "{'a': 1, 'a': 2} == {}",
        "`a` == 1",
    ];
    let mut all = String::new();
    for text in texts {
        writeln!(all, "{}", rendered(text)).unwrap();
    }
    insta::assert_snapshot!(all);
}

#[test]
fn all_faults_of_types_are_told_at_once() {
    let text = "resource.nam == 'a' && resource.name == 1 && resource.name.foo() && [1].all(x, y)";
    let faults = Program::compile(text, &environment(), &Type::Bool).unwrap_err();
    let places: Vec<&str> = faults.iter().map(|fault| text.get(fault.range.clone()).unwrap()).collect();
    assert_eq!(places, ["resource.nam", "resource.name == 1", "foo", "y"]);
    assert!(faults.iter().all(|fault| !fault.help.is_empty()));
}

#[test]
fn functions_of_iam_are_known_where_they_are_switched_on() {
    let plain = Environment::new().variable("resource.name", Type::String);
    let text = "resource.name.extract('{x}') == ''";
    let faults = Program::compile(text, &plain, &Type::Bool).unwrap_err();
    assert_eq!(faults[0].message, "there is no function `extract`");
    assert!(Program::compile(text, &plain.with_iam_extensions(), &Type::Bool).is_ok());
}
