use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::super::tests::{CANCELLER, OPERATION, load, loaded};
use super::*;
use crate::policy::{Granted, Policy, Refusal, ResourceName, Subject};

/// 2026-03-02T09:30:00Z, a Monday.
fn monday() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_772_443_800)
}

/// A tree in which Ana may cancel on a condition.
fn tree(expression: &str) -> Policy {
    let expression = json!(expression);
    loaded(&[(
        "allow/projects/demo.yaml",
        &format!(
            "version: 3\nbindings:\n- role: roles/canceller\n  members: ['user:ana@example.com']\n  condition:\n    \
             title: On call\n    expression: {expression}\n"
        ),
    )])
}

fn ask(policy: &Policy, attributes: &Attributes<'_>) -> Result<Granted, Refusal> {
    let ana = Principal::user("ana@example.com").unwrap();
    policy.decide(Subject::of(&ana), "demo.operations.cancel", ResourceName::new(OPERATION), attributes)
}

fn outcome(expression: &str, attributes: &Attributes<'_>) -> ConditionOutcome {
    match ask(&tree(expression), attributes) {
        Ok(_) => ConditionOutcome::Holds,
        Err(Refusal::ConditionNotMet(unmet)) => unmet.tested.outcome,
        Err(other) => panic!("{other:?}"),
    }
}

/// The address of an IPv4 client on a dual-stack IPv6 socket.
#[test]
fn an_address_has_one_spelling_whatever_socket_it_came_by() {
    let attributes =
        Attributes { origin: Some("::ffff:192.0.2.7".parse().unwrap()), ..Attributes::at(monday()) };
    assert_eq!(outcome("origin.ip == '192.0.2.7'", &attributes), ConditionOutcome::Holds);
}

#[test]
fn every_attribute_can_be_asked() {
    let claims = json!({"groups": ["oncall"], "level": 3, "email": "ana@example.com"});
    let attributes = Attributes {
        path: Some("/v1/projects/demo/locations/eu/operations/o:cancel"),
        host: Some("demo.googleapis.com"),
        method: Some("POST"),
        origin: Some(IpAddr::from([192, 0, 2, 7])),
        service: Some("demo.googleapis.com"),
        resource_type: Some("demo.googleapis.com/Operation"),
        claims: claims.as_object(),
        ..Attributes::at(monday())
    };
    for expression in [
        "resource.name.startsWith('projects/demo/') && resource.service == 'demo.googleapis.com'",
        "resource.type == 'demo.googleapis.com/Operation'",
        "resource.name.extract('/operations/{id}') == 'o'",
        "request.time < timestamp('2026-03-02T09:30:00.5Z') && request.time >= timestamp('2026-03-02T09:30:00Z')",
        "request.time.getDayOfWeek('Europe/Berlin') == 1 && request.time.getHours('Europe/Berlin') == 10",
        "request.time.getHours('+05:30') == 15 && request.time.getMinutes('+05:30') == 0",
        "request.time < timestamp('2026-03-01T09:30:00Z') + duration('86401s')",
        "request.path.endsWith(':cancel') && request.host == 'demo.googleapis.com' && request.method == 'POST'",
        "request.auth.principal == 'user:ana@example.com'",
        "'oncall' in request.auth.claims.groups && request.auth.claims.level >= 3",
        "has(request.auth.claims.email) && !has(request.auth.claims.phone)",
        "origin.ip == '192.0.2.7'",
    ] {
        assert_eq!(outcome(expression, &attributes), ConditionOutcome::Holds, "{expression}");
        assert_ne!(
            outcome(&format!("!({expression})"), &attributes),
            ConditionOutcome::Holds,
            "{expression}"
        );
    }
}

#[test]
fn an_unknown_attribute_never_grants() {
    let nothing = Attributes::at(monday());
    for expression in [
        "resource.type == 'x'",
        "resource.service == 'x'",
        "request.path == ''",
        "request.host == ''",
        "request.method == 'POST'",
        "request.auth.claims.level == 3",
        "origin.ip == ''",
        "destination.ip == '' || destination.port == 1 || 'x' in request.auth.access_levels",
        "resource.hasTagKey('1/env')",
        "resource.matchTag('1/env', 'prod')",
        "resource.hasTagKeyId('tagKeys/1')",
        "resource.matchTagId('tagKeys/1', 'tagValues/2')",
        "[1][size(resource.name)] == 1",
        // The guard of delegated grants: its default is not a value of the call that is judged.
        "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly(['roles/viewer'])",
        "api.getAttribute('storage.googleapis.com/objectListPrefix', '').startsWith('public/')",
    ] {
        let mut report = Report::new();
        for expression in [expression.to_owned(), format!("!({expression})")] {
            let span = Span { source: crate::diagnostic::Source::new("c", ""), range: 0..0 };
            let program = compile(&expression, &ENVIRONMENT, &span, 12, &mut report).unwrap();
            let condition = Condition { expression: "".into(), title: None, program };
            let asked = ConditionInput {
                principal: None,
                resource: ResourceName::new(OPERATION),
                tags: &Tags::default(),
                attributes: &nothing,
            };
            let outcome = condition.outcome(asked, &mut budget());
            assert!(matches!(outcome, ConditionOutcome::Unknown(_)), "{expression}: {outcome:?}");
        }
    }
}

#[test]
fn the_nearest_condition_that_was_not_met_is_told() {
    let detail = |expression: &str| {
        let ana = Principal::user("ana@example.com").unwrap();
        let refusal = ask(&tree(expression), &Attributes::at(monday())).unwrap_err();
        let resource = ResourceName::new(OPERATION);
        let detail = refusal.detail(Subject::of(&ana), "demo.operations.cancel", resource);
        detail.replace("(policies/allow/", "(allow/")
    };
    insta::assert_snapshot!(
        [
            detail("request.time.getHours('Europe/Berlin') < 9"),
            detail("request.path == '/v1'"),
            detail("10 / (size(resource.name) - size(resource.name)) == 1"),
        ]
        .join("\n")
    );
}

#[test]
fn an_unconditional_binding_is_not_weakened_by_a_conditional_one() {
    let policy = loaded(&[(
        "allow/projects/demo.yaml",
        "version: 3\nbindings:\n- role: roles/canceller\n  members: ['user:ana@example.com']\n  condition: {expression: 'false'}\n\
         - role: roles/canceller\n  members: ['user:ana@example.com']\n\
         - role: roles/canceller\n  members: ['user:ana@example.com']\n  condition: {expression: 'true'}\n",
    )]);
    let granted = ask(&policy, &Attributes::at(monday())).unwrap();
    assert_eq!((granted.condition, granted.place.line), (None, 6));
}

#[test]
fn a_granting_condition_is_named() {
    let granted = ask(&tree("resource.name != ''"), &Attributes::at(monday())).unwrap();
    assert_eq!(granted.condition.as_deref(), Some("resource.name != ''"));
}

/// One decision has one budget, not one per condition: a hundred costly conditions do not get around it.
#[test]
fn all_conditions_of_a_decision_share_one_budget() {
    let costly = "[0,1,2,3,4,5,6,7,8,9]";
    let costly = format!(
        "{costly}.all(a, {costly}.all(b, {costly}.all(c, {costly}.all(d, a + b + c + d >= 0)))) && size(resource.name) > 0"
    );
    let binding = |expression: &str| {
        format!(
            "- role: roles/canceller\n  members: ['user:ana@example.com']\n  condition: {{expression: '{expression}'}}\n"
        )
    };
    let text = format!(
        "version: 3\nbindings:\n{}{}",
        binding(&costly),
        binding("request.time > timestamp(\"2020-01-01T00:00:00Z\")")
    );
    let (policy, report) = load(&[CANCELLER, ("allow/projects/demo.yaml", &text)]);
    assert_eq!(report, "");
    let Err(Refusal::ConditionNotMet(unmet)) = ask(&policy, &Attributes::at(monday())) else {
        panic!("the second condition was not to be reached")
    };
    let ConditionOutcome::Unknown(why) = unmet.tested.outcome else { panic!("{:?}", unmet.tested) };
    assert!(why.contains("more work than is allowed"), "{why}");
}

/// What conditions read in one decision, and what of it was not known.
fn consulted(expression: &str, attributes: &Attributes<'_>) -> (Vec<Attribute>, Vec<Attribute>) {
    let cell = std::cell::Cell::default();
    let attributes = Attributes { consulted: Some(&cell), ..*attributes };
    let _ = ask(&tree(expression), &attributes);
    let consulted = cell.get();
    let asked = Attribute::ALL.into_iter().filter(|attribute| consulted.asked_for(*attribute));
    (asked.collect(), consulted.missing().collect())
}

#[test]
fn attributes_that_a_condition_reads_are_noted_and_no_others() {
    use Attribute::{Claims, Host, Method, Origin, Path, Time};
    let attributes = Attributes { host: Some("demo.googleapis.com"), ..Attributes::at(monday()) };
    let cases: [(&str, &[Attribute], &[Attribute]); 6] = [
        ("resource.name.startsWith('projects/')", &[], &[]),
        ("request.time.getHours() == 9", &[Time], &[]),
        ("request.host == 'demo.googleapis.com'", &[Host], &[]),
        // A condition that is not evaluated reads nothing.
        ("request.host == 'x' && request.auth.claims.level == 1", &[Host], &[]),
        ("request.path == '/' || request.method == 'GET'", &[Path, Method], &[Path, Method]),
        ("origin.ip == '192.0.2.7' && has(request.auth.claims.x)", &[Claims, Origin], &[Claims, Origin]),
    ];
    for (expression, asked, missing) in cases {
        assert_eq!(consulted(expression, &attributes), (asked.to_vec(), missing.to_vec()), "{expression}");
    }
}
