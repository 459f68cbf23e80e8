//! Genuine tokens: their times, their audience, and their identity.

use super::*;

fn token(changes: &Value) -> String {
    ED25519.token(&json!({"alg": "EdDSA", "kid": "ed"}), &claims_with(changes))
}

#[track_caller]
fn invalid(changes: &Value, detail: &str) {
    refused_for(&GATE, &token(changes), Reason::TokenInvalid, detail);
}

#[test]
fn only_numbers_of_seconds_are_times() {
    let bad = [
        json!("1800003600"),
        json!(-1),
        json!(-0.5),
        json!(1e300),
        json!(253_402_300_800u64),
        json!(9_007_199_254_740_993u64),
        json!(u64::MAX),
        json!(true),
        json!([1_800_003_600]),
        json!({}),
    ];
    for claim in ["exp", "nbf", "iat"] {
        for value in &bad {
            invalid(&json!({ claim: value }), "not a number of seconds");
        }
    }
}

/// RFC 7519, section 2, and real issuers: a fraction ends a token earlier and begins it later, never the other way.
#[test]
fn times_may_have_a_fraction_which_never_prolongs_a_token() {
    let asked = |changes: Value| ask(&GATE, &token(&changes)).map_err(|denial| denial.reason());
    for changes in [json!({"exp": 1_800_003_600.17}), json!({"iat": 1.8e9}), json!({"nbf": 1_799_999_999.5})]
    {
        assert!(asked(changes.clone()).is_ok(), "{changes}");
    }
    assert_eq!(asked(json!({"exp": 1_799_999_970.9})).err(), Some(Reason::TokenExpired));
    assert!(asked(json!({"nbf": 1_800_000_030.0})).is_ok());
    assert_eq!(asked(json!({"nbf": 1_800_000_030.1})).err(), Some(Reason::TokenInvalid));
    assert_eq!(asked(json!({"iat": 1_800_000_030.1})).err(), Some(Reason::TokenInvalid));
}

/// A token of the honest claims with one claim that is `null`.
fn with_null(claim: &str) -> String {
    let mut claims = honest();
    claims[claim] = Value::Null;
    ED25519.token(&json!({"alg": "EdDSA", "kid": "ed"}), &claims)
}

/// Serialisers that write `null` for what is not there.
#[test]
fn a_null_claim_says_as_much_as_a_missing_one() {
    for claim in ["nbf", "iat", "sub", "scope", "scp", "nonce", "at_hash", "c_hash", "cnf", "groups", "x"] {
        assert!(ask(&GATE, &with_null(claim)).is_ok(), "{claim}");
    }
    for claim in ["iss", "aud", "exp", "email", "email_verified"] {
        let denial = refused(&GATE, &with_null(claim));
        assert_eq!(denial.reason(), Reason::TokenInvalid, "{claim}");
        let missing = refused(&GATE, &token(&json!({ claim: null })));
        assert_eq!(denial.detail(), missing.detail(), "{claim}");
    }
    let bound = gate(|settings| settings.possession.required = true);
    refused_for(&bound, &with_null("cnf"), Reason::TokenInvalid, "bound to no key");
    // A binding that names nothing is not the absence of one.
    invalid(&json!({"cnf": {"jkt": null}}), "`cnf` is not an object with a member");
    invalid(&json!({"cnf": {"jkt": null, "kid": "k"}}), "`cnf.kid` is not understood");
}

#[test]
fn exp_is_required_and_nbf_and_iat_are_not() {
    invalid(&json!({ "exp": null }), "has no `exp`");
    assert!(ask(&GATE, &token(&json!({"nbf": null, "iat": null}))).is_ok());
}

#[test]
fn times_hold_to_the_second_with_the_skew() {
    let expired = |exp: u64| ask(&GATE, &token(&json!({ "exp": exp }))).map_err(|denial| denial.reason());
    assert_eq!(expired(NOW - 30), Err(Reason::TokenExpired));
    assert!(expired(NOW - 29).is_ok());
    assert_eq!(expired(0), Err(Reason::TokenExpired));
    assert!(expired(253_402_300_799).is_ok());
    for claim in ["nbf", "iat"] {
        assert!(ask(&GATE, &token(&json!({ claim: NOW + 30 }))).is_ok());
        invalid(&json!({ claim: NOW + 31 }), claim);
    }
    let strict = gate(|settings| settings.clock_skew = Duration::ZERO);
    refused_for(&strict, &token(&json!({ "exp": NOW })), Reason::TokenExpired, "`exp` was 1800000000");
    refused_for(&strict, &token(&json!({"nbf": NOW + 1})), Reason::TokenInvalid, "nbf");
}

#[test]
fn a_clock_before_1970_decides_nothing() {
    let before = UNIX_EPOCH - Duration::from_secs(1);
    let value = format!("Bearer {}", token(&json!({})));
    let denial = GATE.authenticate(&[value.as_bytes()], before).unwrap_err();
    assert_eq!(denial.reason(), Reason::Internal);
}

#[test]
fn one_audience_must_be_ours_to_the_byte() {
    for audience in [json!(AUDIENCE), json!([AUDIENCE]), json!(["other", AUDIENCE])] {
        assert!(ask(&GATE, &token(&json!({ "aud": audience }))).is_ok());
    }
    for audience in [
        json!("https://gate.example"),
        json!("https://GATE.example/"),
        json!("https://gate.example/v1"),
        json!(""),
        json!([]),
        json!(["other"]),
        json!(format!("other {AUDIENCE}")),
        json!(format!("{AUDIENCE},other")),
    ] {
        invalid(&json!({ "aud": audience }), "the token is for the audience");
    }
    for audience in [json!([AUDIENCE, 1]), json!([[AUDIENCE]]), json!({"0": AUDIENCE}), json!(1), json!(true)]
    {
        invalid(&json!({ "aud": audience }), "neither a string nor an array of strings");
    }
    invalid(&json!({ "aud": null }), "no `aud`");
}

#[test]
fn id_tokens_are_refused() {
    for claim in ["nonce", "at_hash", "c_hash"] {
        refused_for(&GATE, &token(&json!({claim: "x"})), Reason::TokenTypeUnsupported, "ID token");
    }
}

#[test]
fn only_types_of_access_tokens_are_taken() {
    let typed = |typ: &str| ED25519.token(&json!({"alg": "EdDSA", "kid": "ed", "typ": typ}), &honest());
    for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/JWT"] {
        assert!(ask(&GATE, &typed(typ)).is_ok(), "{typ}");
    }
    for typ in
        ["", "JWE", "logout+jwt", "dpop+jwt", "secevent+jwt", "application/", "text/jwt", "JOSE", "jwt "]
    {
        refused_for(&GATE, &typed(typ), Reason::TokenTypeUnsupported, "`typ` is");
    }
    let array = ED25519.token(&json!({"alg": "EdDSA", "kid": "ed", "typ": ["JWT"]}), &honest());
    refused_for(&GATE, &array, Reason::TokenInvalid, "not a string");

    let strict = gate(|settings| settings.token_types = vec!["application/at+JWT".to_owned()]);
    assert!(ask(&strict, &typed("at+jwt")).is_ok());
    refused_for(&strict, &typed("JWT"), Reason::TokenTypeUnsupported, "`typ` is `JWT`");
    refused_for(&strict, &token(&json!({})), Reason::TokenTypeUnsupported, "has no `typ`");
}

#[test]
fn scopes_come_from_scope_and_scp() {
    let scopes = |changes: Value| {
        let caller = admitted(&GATE, &token(&changes));
        caller.scopes.iter().map(str::to_owned).collect::<Vec<_>>().join("|")
    };
    assert_eq!(scopes(json!({"scope": "a  b a"})), "a|b");
    assert_eq!(scopes(json!({"scope": null, "scp": "a b"})), "a|b");
    assert_eq!(scopes(json!({"scope": null, "scp": ["a", "b c"]})), "a|b c");
    assert_eq!(scopes(json!({"scope": "a b", "scp": ["b", "c"]})), "a|b|c");
    assert_eq!(scopes(json!({ "scope": null })), "");
    assert_eq!(scopes(json!({"scope": ["a", "openid"]})), "a|openid");
    assert_eq!(scopes(json!({"scope": ["a"], "scp": "b"})), "a|b");
    for claim in ["scope", "scp"] {
        for value in [json!([1]), json!(["a", null]), json!(1), json!(true), json!([["a"]])] {
            invalid(&json!({ claim: value }), "is neither a string nor an array of strings");
        }
    }
    invalid(&json!({"scp": {}}), "`scp` is neither");
}

/// For issuers whose tokens never carry scopes. What a token says of its scopes stands.
#[test]
fn an_issuer_gives_scopes_to_tokens_that_carry_none() {
    let given = vec!["given".to_owned()];
    let gate = gate(|settings| settings.scopes = Some(given));
    let scopes = |token: &str| admitted(&gate, token).scopes.iter().collect::<Vec<_>>().join("|");
    assert_eq!(scopes(&token(&json!({ "scope": null }))), "given");
    let mut claims = claims_with(&json!({ "scope": null }));
    claims["scope"] = Value::Null;
    claims["scp"] = Value::Null;
    assert_eq!(scopes(&ED25519.token(&json!({"alg": "EdDSA", "kid": "ed"}), &claims)), "given");
    assert_eq!(scopes(&token(&json!({ "scope": "own" }))), "own");
    assert_eq!(scopes(&token(&json!({"scope": null, "scp": ["own"]}))), "own");
    for none in [json!({ "scope": "" }), json!({ "scope": [] }), json!({"scope": null, "scp": ""})] {
        assert_eq!(scopes(&token(&none)), "", "{none}");
    }
}

#[test]
fn only_a_verified_email_names_a_principal() {
    for verified in [json!("true"), json!(1), json!(false), json!("yes"), json!([true])] {
        invalid(&json!({ "email_verified": verified }), "not verified");
    }
    invalid(&json!({ "email_verified": null }), "not verified");
    invalid(&json!({ "email": null }), "no `email`");
    invalid(&json!({"email": ["ana@example.com"]}), "`email` is not a string");
    for email in ["ana@example.com@evil.example", "ana", "", "ana@exämple.com", "a b@example.com"] {
        invalid(&json!({ "email": email }), "not an email address");
    }
    let caller = admitted(&GATE, &token(&json!({"email": "ci@demo.iam.gserviceaccount.com"})));
    assert_eq!(caller.principal.as_str(), "serviceAccount:ci@demo.iam.gserviceaccount.com");
}

#[test]
fn unverified_emails_are_taken_where_the_operator_says_so() {
    let lenient = gate(|settings| settings.identity.accept_unverified_email = true);
    for verified in [json!(null), json!(false), json!("true")] {
        let caller = admitted(&lenient, &token(&json!({ "email_verified": verified })));
        assert_eq!(caller.principal.as_str(), "user:ana@example.com");
    }
}

#[test]
fn a_pool_names_callers_without_a_verified_email_by_subject() {
    let pool = "iam.googleapis.com/locations/global/workforcePools/staff";
    let gate = gate(|settings| settings.identity.subject_pool = Some(pool.to_owned()));
    let principal = |changes: Value| admitted(&gate, &token(&changes)).principal.to_string();
    assert_eq!(principal(json!({})), "user:ana@example.com");
    let subject = format!("principal://{pool}/subject/1234");
    assert_eq!(principal(json!({ "email": null })), subject);
    assert_eq!(principal(json!({ "email_verified": false })), subject);
    for (sub, why) in [
        (json!(""), "`sub` is empty"),
        (json!("a".repeat(256)), "`sub` has 256 bytes, more than 255"),
        (json!("\u{fc}".repeat(128)), "`sub` has 256 bytes, more than 255"),
        (json!("a\nb"), "`sub` holds a control character"),
        (json!("a\u{0}"), "`sub` holds a control character"),
    ] {
        refused_for(&gate, &token(&json!({"email": null, "sub": sub})), Reason::TokenInvalid, why);
    }
    for (sub, written) in
        [("jürgen", "j%C3%BCrgen"), ("John Doe", "John Doe"), ("j%C3%BCrgen", "j%25C3%25BCrgen")]
    {
        let named = format!("principal://{pool}/subject/{written}");
        assert_eq!(principal(json!({"email": null, "sub": sub})), named);
    }
    let neither = token(&json!({"email": null, "sub": null}));
    refused_for(&gate, &neither, Reason::TokenInvalid, "no `sub`");
    // A malformed verified email is not passed over for the subject.
    refused_for(&gate, &token(&json!({"email": "ana"})), Reason::TokenInvalid, "not an email address");
}

const STAFF: &str = "iam.googleapis.com/locations/global/workforcePools/staff";

/// Group names of directories: blanks, umlauts, numbers, what a program left behind. None locks its holder out, and each
/// that a policy can name is there.
#[test]
fn an_odd_group_does_not_lock_its_holder_out() {
    let gate = gate(|settings| {
        settings.identity.subject_pool = Some(STAFF.to_owned());
        settings.identity.attribute_mapping = vec![
            (MappedAttribute::Subject, "assertion.sub".to_owned()),
            (MappedAttribute::Groups, "assertion.groups".to_owned()),
            (
                MappedAttribute::Custom("unit".to_owned()),
                "has(assertion.unit) ? assertion.unit : ''".to_owned(),
            ),
        ];
    });
    let sets = |changes: Value| {
        let caller = admitted(&gate, &token(&changes));
        let prefix = format!("principalSet://{STAFF}/");
        caller.sets.iter().map(|set| set.strip_prefix(&prefix).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        sets(
            json!({"groups": ["ops", "Büro München", "Domain Users", "", null, "x".repeat(256), "*", "a\nb", 100]})
        ),
        [
            "*",
            "group/ops",
            "group/B%C3%BCro M%C3%BCnchen",
            "group/Domain Users",
            "group/%2A",
            "group/a%0Ab",
            "group/100"
        ]
    );
    assert_eq!(
        sets(json!({"groups": [], "unit": "Vertrieb Süd"})),
        ["*", "attribute.unit/Vertrieb S%C3%BCd"]
    );
    for groups in [json!([true]), json!([["ops"]]), json!([1.5]), json!("ops"), json!(null)] {
        assert_eq!(refused(&gate, &token(&json!({ "groups": groups }))).reason(), Reason::TokenInvalid);
    }
}

/// Only an issuer that says so, only of its own domains.
#[test]
fn a_claim_holds_emails_of_groups_where_the_issuer_says_so() {
    let asserting = |settings: &mut IssuerSettings| {
        settings.identity.group_emails = Some("groups".to_owned());
        settings.identity.email_domains = Some(vec!["Example.com".to_owned(), "*.example.net".to_owned()]);
    };
    let gate = gate(asserting);
    let groups = json!([
        "Ops@example.com",
        "eu@hr.example.net",
        "ops@example.net",
        "ops@evil.example",
        "ops",
        "ops@example.com@evil.example",
        "group:ops@example.com",
    ]);
    let caller = admitted(&gate, &token(&json!({ "groups": groups })));
    assert_eq!(caller.principal.as_str(), "user:ana@example.com");
    let sets: Vec<&str> = caller.sets.iter().map(|set| &**set).collect();
    assert_eq!(sets, ["group:ops@example.com", "group:eu@hr.example.net"]);
    // One group as a string; none where the claim is missing.
    assert_eq!(admitted(&gate, &token(&json!({"groups": "ops@example.com"}))).sets.len(), 1);
    assert_eq!(admitted(&gate, &token(&json!({}))).sets.len(), 0);
    refused_for(&gate, &token(&json!({"groups": [1]})), Reason::TokenInvalid, "`groups` is neither");
    refused_for(&gate, &token(&json!({"groups": {}})), Reason::TokenInvalid, "`groups` is neither");
    // Entra does not list the groups of who is in too many.
    let elsewhere = json!({"_claim_names": {"groups": "src1"}});
    refused_for(&gate, &token(&elsewhere), Reason::TokenInvalid, "`groups` is not in the token");
    // Beside the groups of a pool.
    let both = super::gate(|settings| {
        asserting(settings);
        settings.identity.subject_pool = Some(STAFF.to_owned());
        settings.identity.attribute_mapping = vec![(MappedAttribute::Subject, "assertion.sub".to_owned())];
    });
    let caller = admitted(&both, &token(&json!({"groups": ["ops@example.com"]})));
    assert_eq!(caller.principal.as_str(), format!("principal://{STAFF}/subject/1234"));
    assert_eq!(caller.sets.len(), 2);
    // An issuer that does not say so asserts none.
    assert_eq!(admitted(&GATE, &token(&json!({"groups": ["ops@example.com"]}))).sets.len(), 0);
}

#[test]
fn sub_is_a_string_where_it_is_there() {
    for sub in [json!(1), json!(["a"]), json!({}), json!(true)] {
        invalid(&json!({ "sub": sub }), "`sub` is not a string");
    }
    assert_eq!(admitted(&GATE, &token(&json!({ "sub": null }))).subject, None);
}
