use super::*;
use crate::diagnostic::Source;
use crate::document;
use crate::policy::tests::{CANCELLER, OPERATION, decide, grants, load};
use crate::policy::{Policy, Refusal, Subject};
use crate::principal::Principal;

const HIERARCHY: &str = "projects/demo: folders/42\nfolders/42: organizations/7\n";

fn read(text: &str) -> (Tags, Report) {
    let mut report = Report::new();
    let node = document::parse(&Source::new("hierarchy.yaml", HIERARCHY), &mut report).unwrap();
    let hierarchy = Hierarchy::read(&node, &mut report);
    let node = document::parse(&Source::new("tags.yaml", text), &mut report).unwrap();
    let tags = Tags::read(&node, &hierarchy, &mut report);
    (tags, report)
}

#[test]
fn the_nearest_tag_of_a_key_counts() {
    let (tags, report) = read(
        "organizations/7: {7/env: none, 7/owner: everybody, tagKeys/1: tagValues/2}\n\
         folders/42: {7/env: dev}\n\
         projects/demo: {7/team: search}\n\
         projects/demo/locations/eu: {7/env: prod}\n",
    );
    assert!(report.diagnostics().is_empty(), "{}", report.render(false));
    for (resource, key, expected) in [
        (OPERATION, "7/env", Some("prod")),
        ("projects/demo/locations/eu", "7/env", Some("prod")),
        ("projects/demo/locations/eu/operations", "7/env", Some("prod")),
        ("projects/demo/locations/us/operations/o", "7/env", Some("dev")),
        ("projects/demo/locations/europe/operations/o", "7/env", Some("dev")),
        ("projects/demo", "7/env", Some("dev")),
        ("folders/42", "7/env", Some("dev")),
        ("organizations/7", "7/env", Some("none")),
        (OPERATION, "7/owner", Some("everybody")),
        (OPERATION, "7/team", Some("search")),
        ("folders/42", "7/team", None),
        (OPERATION, "tagKeys/1", Some("tagValues/2")),
        (OPERATION, "7/Env", None),
        ("projects/other", "7/env", None),
        ("projects/demo2/locations/eu", "7/env", None),
        ("projects/demo//locations/eu", "7/env", None),
        ("", "7/env", None),
    ] {
        assert_eq!(tags.value(ResourceName::new(resource), key), expected, "{resource} {key}");
    }
}

#[test]
fn only_the_spelling_that_the_file_uses_is_known() {
    for (text, named, identified) in [
        ("projects/demo: {7/env: prod}\n", true, false),
        ("projects/demo: {tagKeys/1: tagValues/2}\n", false, true),
        ("projects/demo: {tagKeys/1: tagValues/2, 7/env: prod}\n", true, true),
        ("projects/demo: {}\n", false, false),
    ] {
        let (tags, report) = read(text);
        assert!(report.diagnostics().is_empty(), "{}", report.render(false));
        assert_eq!(tags.are_known(TagSpelling::Named), named, "{text}");
        assert_eq!(tags.are_known(TagSpelling::Identified), identified, "{text}");
    }
}

#[test]
fn every_mistake_is_told() {
    let (_, report) = read(
        "projects: {7/env: prod}\n\
         projects/demo//x: {7/env: prod}\n\
         project/demo: {7/env: prod}\n\
         projects/demo: {env: prod, a b/env: prod, 7/x/y: prod, tagKeys/env: tagValues/2}\n\
         projects/a: {7/env: tagValues/2, tagKeys/1: prod, 7/team: 12, 7/other: a/b}\n\
         projects/b: [7/env]\n",
    );
    insta::assert_snapshot!(report.render(false));
}

/// A tree in which Ana may cancel, but for a deny rule on a condition.
fn denied_when(expression: &str, tags: Option<&str>) -> (Policy, String) {
    let denial = format!(
        "rules:\n- denyRule:\n    deniedPrincipals: ['principalSet://goog/public:all']\n    deniedPermissions: \
         ['demo.googleapis.com/operations.cancel']\n    denialCondition: {{expression: \"{expression}\"}}\n"
    );
    let allow = grants("roles/canceller", "user:ana@example.com");
    let mut files = vec![
        CANCELLER,
        ("hierarchy.yaml", HIERARCHY),
        ("allow/folders/42.yaml", &allow),
        ("deny/folders/42/freeze.yaml", &denial),
    ];
    files.extend(tags.map(|text| ("tags.yaml", text)));
    load(&files)
}

fn cancels(policy: &Policy) -> Result<(), Refusal> {
    let ana = Principal::user("ana@example.com").unwrap();
    decide(policy, Subject::of(&ana), "demo.operations.cancel", OPERATION).map(|_| ())
}

#[test]
fn a_deny_rule_asks_for_tags() {
    for (expression, allowed) in [
        ("resource.matchTag('7/env', 'prod')", false),
        ("!resource.matchTag('7/env', 'prod')", true),
        ("resource.matchTag('7/env', 'dev')", true),
        ("resource.matchTag('7/env', 'Prod')", true),
        ("resource.matchTag('7/team', 'prod')", true),
        ("resource.hasTagKey('7/env')", false),
        ("resource.hasTagKey('7/team')", true),
        // Inherited from the folder.
        ("resource.matchTag('7/floor', '1')", false),
        // The file has no ids, so the ids of its tags are not known: denied either way.
        ("resource.hasTagKeyId('tagKeys/1')", false),
        ("!resource.matchTagId('tagKeys/1', 'tagValues/2')", false),
    ] {
        let (policy, _) =
            denied_when(expression, Some("projects/demo: {7/env: prod}\nfolders/42: {7/floor: '1'}\n"));
        assert_eq!(cancels(&policy).is_ok(), allowed, "{expression}");
    }
}

#[test]
fn without_the_file_a_tag_is_not_known_and_that_is_told() {
    for expression in ["resource.matchTag('7/env', 'prod')", "!resource.matchTag('7/env', 'prod')"] {
        let (policy, report) = denied_when(expression, None);
        let Err(Refusal::Denied(denied)) = cancels(&policy) else { panic!("{expression} denies nothing") };
        let why = denied.condition.unwrap().to_string();
        assert!(why.ends_with("`resource.matchTag` is not known for this request"), "{why}");
        assert!(report.contains("no tags.yaml names a tag"), "{report}");
    }
    let (_, report) =
        denied_when("resource.hasTagKeyId('tagKeys/1')", Some("projects/demo: {7/env: prod}\n"));
    insta::assert_snapshot!(report);
}

#[test]
fn a_mistake_in_the_file_denies_everything() {
    let (policy, report) =
        denied_when("resource.matchTag('7/env', 'dev')", Some("projects/demo: {env: prod}\n"));
    assert!(report.contains("`env` is not a tag key"), "{report}");
    assert!(matches!(cancels(&policy), Err(Refusal::NoBinding)));
}
