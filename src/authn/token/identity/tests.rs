use serde_json::json;

use super::*;

const POOL: &str = "iam.googleapis.com/locations/global/workforcePools/staff";

fn rule(mapping: &[(&str, &str)], condition: Option<&str>) -> IdentityRule {
    let attribute = |name: &str| MappedAttribute::parse(name).unwrap();
    IdentityRule {
        subject_pool: Some(POOL.to_owned()),
        attribute_mapping: mapping.iter().map(|(name, text)| (attribute(name), (*text).to_owned())).collect(),
        attribute_condition: condition.map(str::to_owned),
        ..IdentityRule::default()
    }
}

fn of(rule: &IdentityRule, claims: Value) -> Result<Identified, String> {
    let identity = IdentityMapping::compile(rule).unwrap();
    let Value::Object(claims) = claims else { panic!("claims are an object") };
    identity.of(&claims).map_err(|denial| denial.detail().to_owned())
}

/// As the documentation of Workload Identity Federation maps GitHub's and a directory's tokens.
#[test]
fn claims_become_a_subject_with_groups_and_attributes() {
    let rule = rule(
        &[
            ("google.subject", "assertion.sub.extract('repo:{repository}:')"),
            ("google.groups", "assertion.groups.map(group, group.lowerAscii())"),
            ("attribute.environment", "assertion.environment == 'production' ? 'prod' : 'other'"),
            ("attribute.owner", "assertion.repository.split('/')[0]"),
            ("attribute.empty", "has(assertion.nothing) ? assertion.nothing : ''"),
        ],
        Some("attribute.owner == 'acme' && assertion.runner in ['hosted'] && 'ops' in google.groups"),
    );
    let claims = json!({
        "sub": "repo:acme/app:ref:refs/heads/main", "repository": "acme/app", "groups": ["Ops", "Dev"],
        "environment": "production", "runner": "hosted", "email": "eve@example.com", "email_verified": true,
    });
    let identified = of(&rule, claims.clone()).unwrap();
    assert_eq!(identified.principal.as_str(), format!("principal://{POOL}/subject/acme/app"));
    let sets: Vec<&str> = identified.sets.iter().map(|set| &**set).collect();
    assert_eq!(
        sets,
        [
            format!("principalSet://{POOL}/*"),
            format!("principalSet://{POOL}/group/ops"),
            format!("principalSet://{POOL}/group/dev"),
            format!("principalSet://{POOL}/attribute.environment/prod"),
            format!("principalSet://{POOL}/attribute.owner/acme"),
        ]
    );
    let mut elsewhere = claims;
    elsewhere["repository"] = json!("evil/app");
    assert_eq!(of(&rule, elsewhere).unwrap_err(), "the issuer's `attribute_condition` does not hold");
}

#[test]
fn a_thousand_groups_can_be_mapped_by_what_directories_ask_for() {
    let groups: Vec<String> =
        (0..MAX_GROUPS).map(|number| format!("/directory/groups/Team-{number:04}@example.com")).collect();
    for expression in [
        "assertion.groups",
        "assertion.groups.map(group, group.lowerAscii())",
        "assertion.groups.map(group, group.extract('/groups/{name}@'))",
        "assertion.groups.filter(group, group.endsWith('@example.com'))",
        "assertion.groups.filter(group, group.startsWith('/directory/')).map(group, group.split('/')[3])",
    ] {
        let mapping = [
            ("google.groups", expression),
            ("google.subject", "assertion.sub"),
            ("attribute.team", "assertion.team.lowerAscii()"),
        ];
        let condition = "google.groups.exists(group, group.contains('0999'))";
        let condition = Some(condition);
        let claims = json!({"sub": "ana", "team": "Ops", "groups": groups});
        let identified = of(&rule(&mapping, condition), claims);
        assert_eq!(identified.unwrap().sets.len(), 1 + MAX_GROUPS + 1, "{expression}");
    }
}

#[test]
fn the_attribute_that_takes_too_much_is_the_one_that_is_told() {
    let mapping = [
        ("google.groups", "assertion.groups.filter(one, assertion.groups.all(other, one != other + 'x'))"),
        ("google.subject", "assertion.sub"),
        ("attribute.team", "assertion.team"),
    ];
    let groups: Vec<String> = (0..MAX_GROUPS).map(|number| format!("group-{number}")).collect();
    let claims = json!({"sub": "ana", "team": "ops", "groups": groups});
    let why = of(&rule(&mapping, None), claims).unwrap_err();
    assert!(why.starts_with("`google.groups` cannot be mapped: "), "{why}");
    // The mapping before it used much, and none of the next one's budget.
    let mapping = [
        ("google.groups", "assertion.groups.map(group, group.lowerAscii()).map(group, group.upperAscii())"),
        ("google.subject", "assertion.sub + assertion.missing"),
    ];
    let claims = json!({"sub": "ana", "groups": groups_of(MAX_GROUPS)});
    let why = of(&rule(&mapping, None), claims).unwrap_err();
    assert!(why.starts_with("`google.subject` cannot be mapped: ") && why.contains("no such key"), "{why}");
}

fn groups_of(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("Group-{number}")).collect()
}

#[test]
fn claims_that_cannot_be_mapped_make_no_caller() {
    let subject = ("google.subject", "assertion.sub");
    for (mapping, condition, claims, told) in [
        (vec![subject], None, json!({}), "`google.subject` cannot be mapped: the map has no such key"),
        (vec![subject], None, json!({"sub": 7}), "`google.subject` cannot be mapped"),
        (vec![subject], None, json!({"sub": ""}), "`google.subject` is empty"),
        (vec![subject], None, json!({"sub": "a\nb"}), "`google.subject` holds a control character"),
        (
            vec![subject, ("google.groups", "assertion.groups")],
            None,
            json!({"sub": "a", "groups": "x"}),
            "`google.groups`",
        ),
        (
            vec![subject, ("google.groups", "assertion.groups")],
            None,
            json!({"sub": "a", "groups": ["x", true]}),
            "`google.groups`",
        ),
        (
            vec![subject, ("attribute.x", "assertion.x")],
            None,
            json!({"sub": "a", "x": ["y"]}),
            "`attribute.x` cannot be mapped",
        ),
        (
            vec![subject],
            Some("assertion.hd == 'example.com'"),
            json!({"sub": "a"}),
            "`attribute_condition`: the map has no such key",
        ),
        (vec![subject], Some("assertion.hd"), json!({"sub": "a", "hd": "yes"}), "`attribute_condition`"),
        (vec![subject], Some("false"), json!({"sub": "a"}), "`attribute_condition` does not hold"),
    ] {
        let detail = of(&rule(&mapping, condition), claims.clone()).unwrap_err();
        assert!(detail.contains(told), "{claims}: {detail}");
    }
}

/// A mapped token is what the mapping makes of it, and never the email that it happens to carry.
#[test]
fn an_email_beside_a_mapping_is_not_looked_at() {
    let rule = rule(&[("google.subject", "assertion.sub")], None);
    let claims = json!({"sub": "a", "email": "root@example.com", "email_verified": true});
    assert_eq!(of(&rule, claims).unwrap().principal.as_str(), format!("principal://{POOL}/subject/a"));
}

#[test]
fn an_issuer_speaks_for_its_own_domains() {
    let speaks = |domains: &[&str], email: &str| {
        let rule = IdentityRule {
            email_domains: Some(domains.iter().map(|domain| (*domain).to_owned()).collect()),
            ..IdentityRule::default()
        };
        of(&rule, json!({"email": email, "email_verified": true})).is_ok()
    };
    for (domains, email, expected) in [
        (&["example.com"][..], "ana@example.com", true),
        (&["Example.COM"], "ana@EXAMPLE.com", true),
        (&["example.com"], "ana@evil.example.com", false),
        (&["example.com"], "ana@evilexample.com", false),
        (&["*.example.com"], "ana@eu.example.com", true),
        (&["*.example.com"], "ana@example.com", false),
        (&["*.example.com"], "ana@evilexample.com", false),
        (&["*.iam.gserviceaccount.com"], "ci@demo.iam.gserviceaccount.com", true),
        (&["*"], "ana@anything.test", true),
        (&[], "ana@example.com", false),
    ] {
        assert_eq!(speaks(domains, email), expected, "{domains:?} {email}");
    }
}

#[test]
fn a_subject_without_a_mapping_is_in_its_pool() {
    let identified = of(&rule(&[], None), json!({"sub": "ana"})).unwrap();
    assert_eq!(identified.principal.as_str(), format!("principal://{POOL}/subject/ana"));
    assert_eq!(&*identified.sets[0], format!("principalSet://{POOL}/*"));
}

#[test]
fn mappings_that_do_not_compile_are_reported() {
    let rule = rule(
        &[("google.subject", "assertion.sub +"), ("google.groups", "'one'"), ("attribute.x", "claims.x")],
        Some("attribute.y == 1"),
    );
    let told: Vec<String> = IdentityMapping::compile(&rule)
        .unwrap_err()
        .into_iter()
        .map(|(attribute, message, help)| {
            let what = attribute.map_or("condition".to_owned(), |attribute| attribute.to_string());
            format!("{what}: {message}\n  help: {help}")
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}
