//! Tokens and key sets as real issuers write them: each was refused once, and each is accepted without opening anything.

use opgate::dev::mint::Mint;
use opgate::signing::{SigningAlgorithm, SigningKey};
use serde_json::{Value, json};

use crate::cli::Workspace;
use crate::harness::{
    CANCEL, CLOUD_PLATFORM, COMPANION, Gate, Req, Setup, Tree, claims, foreign_key, key, now, token,
    token_with,
};

const ANA: &str = "ana@example.com";
const POOL: &str = "iam.googleapis.com/locations/global/workforcePools/w";

fn allowed() -> (u16, String) {
    (200, String::new())
}

fn invalid() -> (u16, String) {
    (401, "JWT_TOKEN_INVALID".to_owned())
}

fn denied() -> (u16, String) {
    (403, "IAM_PERMISSION_DENIED".to_owned())
}

fn no_scope() -> (u16, String) {
    (403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT".to_owned())
}

/// A token whose claims are changed; here `null` stays.
fn token_of(changes: &Value) -> String {
    let mut claims = claims(ANA, &[CLOUD_PLATFORM]);
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    key().sign(&claims).unwrap()
}

async fn outcome(gate: &Gate, token: &str) -> (u16, String) {
    gate.outcome(&Req::new("POST", COMPANION, CANCEL).bearer(token)).await
}

#[tokio::test]
async fn scopes_may_be_a_list() {
    let gate = Gate::start();
    for (changes, expected) in [
        (json!({"scope": [CLOUD_PLATFORM, "openid"]}), allowed()),
        (json!({"scope": null, "scp": CLOUD_PLATFORM}), allowed()),
        (json!({"scope": null, "scp": ["openid", CLOUD_PLATFORM]}), allowed()),
        (json!({"scope": ["openid"]}), no_scope()),
        // One item is one scope, whatever it holds.
        (json!({"scope": [format!("{CLOUD_PLATFORM} openid")]}), no_scope()),
        (json!({"scope": [1]}), invalid()),
    ] {
        assert_eq!(outcome(&gate, &token_of(&changes)).await, expected, "{changes}");
    }
}

/// Entra's app-only tokens, GitHub's, Kubernetes': they never carry scopes.
#[tokio::test]
async fn an_issuer_gives_scopes_to_tokens_that_carry_none() {
    let set = vec![format!("issuers.demo.scopes=['{CLOUD_PLATFORM}']")];
    let gate = Gate::start_with(Setup { set, ..Setup::default() });
    let app_only = json!({"scope": null, "roles": ["Ops.Cancel"], "idtyp": "app"});
    assert_eq!(outcome(&gate, &token_of(&app_only)).await, allowed());
    assert_eq!(outcome(&gate, &token_with(ANA, json!({ "scope": null }))).await, allowed());
    // A token that says which scopes it has keeps those.
    for changes in [json!({"scope": "openid"}), json!({"scope": ""}), json!({"scope": null, "scp": []})] {
        assert_eq!(outcome(&gate, &token_of(&changes)).await, no_scope(), "{changes}");
    }
    // A scope is not a permission.
    let bob = token_with("bob@example.com", json!({ "scope": null }));
    assert_eq!(outcome(&gate, &bob).await, denied());
    assert_eq!(outcome(&Gate::start(), &token_of(&app_only)).await, no_scope());
}

#[tokio::test]
async fn nulls_and_fractions_are_read() {
    let gate = Gate::start();
    let now = now() as f64;
    let expired = (401, "ACCESS_TOKEN_EXPIRED".to_owned());
    for (changes, expected) in [
        (json!({"nbf": null, "iat": null, "nonce": null, "cnf": null, "sub": null}), allowed()),
        (json!({"exp": now + 600.17, "iat": now, "nbf": now - 0.5}), allowed()),
        (json!({"exp": now - 30.5}), expired),
        (json!({"nbf": now + 31.5}), invalid()),
        (json!({"exp": null}), invalid()),
        (json!({"exp": (now + 600.0) * 1000.0}), invalid()),
        (json!({"aud": null}), invalid()),
        (json!({"email": null}), invalid()),
    ] {
        assert_eq!(outcome(&gate, &token_of(&changes)).await, expected, "{changes}");
    }
}

#[tokio::test]
async fn what_a_header_names_beside_the_key_is_ignored() {
    let gate = Gate::start();
    for (extra, expected) in [
        (json!({"kid": "test", "x5c": ["MIIB"], "cty": "JWT", "b64": true, "unknown": {}}), allowed()),
        (json!({ "kid": null }), allowed()),
        (json!({"kid": "test", "jku": "https://attacker.example/jwks"}), allowed()),
        (json!({"kid": "test", "crit": ["b64"], "b64": false}), invalid()),
        (json!({"kid": "test", "crit": []}), invalid()),
    ] {
        let mut header = json!({"alg": "RS256", "typ": "JWT"});
        header.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let good = key().sign_with_header(&header, &claims(ANA, &[CLOUD_PLATFORM])).unwrap();
        assert_eq!(outcome(&gate, &good).await, expected, "{header}");
        let forged = foreign_key().sign_with_header(&header, &claims(ANA, &[CLOUD_PLATFORM])).unwrap();
        assert_eq!(outcome(&gate, &forged).await, invalid(), "{header}");
    }
}

fn with(mut jwk: Value, changes: Value) -> Value {
    for (member, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => _ = jwk.as_object_mut().unwrap().remove(member),
            value => jwk[member] = value.clone(),
        }
    }
    jwk
}

async fn with_keys(keys: Vec<Value>) -> Gate {
    let jwks = Some(json!({ "keys": keys }));
    Gate::start_with(Setup { jwks, ..Setup::default() })
}

#[tokio::test]
async fn a_key_that_stands_twice_is_one_key() {
    let gate = with_keys(vec![key().public_jwk(), key().public_jwk()]).await;
    assert_eq!(gate.admin("/readyz").await.status, 200);
    assert!(gate.metrics().await.contains("opgate_jwks_keys{issuer=\"demo\"} 1"));
    assert_eq!(outcome(&gate, &token(ANA)).await, allowed());
}

#[tokio::test]
async fn a_thumbprint_of_a_certificate_chooses_among_the_issuers_own_keys() {
    let old = with(foreign_key().public_jwk(), json!({"kid": null, "x5t": "old"}));
    let new = with(key().public_jwk(), json!({"kid": null, "x5t": "new"}));
    let gate = with_keys(vec![old, new]).await;
    let signed = |signer: &SigningKey, header: Value| {
        signer.sign_with_header(&header, &claims(ANA, &[CLOUD_PLATFORM])).unwrap()
    };
    assert_eq!(outcome(&gate, &signed(key(), json!({"alg": "RS256", "x5t": "new"}))).await, allowed());
    assert_eq!(
        outcome(&gate, &signed(key(), json!({"alg": "RS256", "kid": "new", "x5t": "new"}))).await,
        allowed()
    );
    assert_eq!(outcome(&gate, &signed(key(), json!({"alg": "RS256", "x5t": "old"}))).await, invalid());
    assert_eq!(outcome(&gate, &signed(key(), json!({"alg": "RS256"}))).await, invalid());
}

#[tokio::test]
async fn the_only_key_of_a_set_needs_no_kid() {
    let gate = with_keys(vec![with(key().public_jwk(), json!({ "kid": null }))]).await;
    assert_eq!(outcome(&gate, &token(ANA)).await, allowed());
    let forged = foreign_key().sign(&claims(ANA, &[CLOUD_PLATFORM])).unwrap();
    assert_eq!(outcome(&gate, &forged).await, invalid());
}

/// RFC 9864, section 2.2.
#[tokio::test]
async fn ed25519_is_a_name_of_eddsa() {
    let signer = SigningKey::generate(SigningAlgorithm::EdDsa, Some("ed")).unwrap();
    let claims = claims(ANA, &[CLOUD_PLATFORM]);
    for alg in ["Ed25519", "EdDSA"] {
        let gate = with_keys(vec![with(signer.public_jwk(), json!({ "alg": alg }))]).await;
        for name in ["Ed25519", "EdDSA"] {
            let token = signer.sign_with_header(&json!({"alg": name, "kid": "ed"}), &claims).unwrap();
            assert_eq!(outcome(&gate, &token).await, allowed(), "{alg} {name}");
        }
    }
}

/// A gate whose policy grants the cancel to `members` alone, and its tree.
fn gate_for(members: &[&str], more: &[&str]) -> (Gate, Tree) {
    let tree = Tree::shipped();
    let members: String = members.iter().map(|member| format!("  - {member}\n")).collect();
    let bindings =
        format!("bindings:\n- role: organizations/7/roles/operationsCanceller\n  members:\n{members}");
    tree.write("allow/projects/demo.yaml", &bindings);
    let mut set = vec![tree.setting()];
    set.extend(more.iter().map(|&setting| setting.to_owned()));
    (Gate::start_with(Setup { set, ..Setup::default() }), tree)
}

#[tokio::test]
async fn groups_of_any_name_are_members_in_either_spelling() {
    let mapping =
        "issuers.demo.attribute_mapping={google.subject: assertion.sub, google.groups: assertion.groups}";
    let pool = format!("issuers.demo.subject_pool={POOL}");
    for (group, written) in [
        ("Domain Users", "Domain Users"),
        ("Domain Users", "Domain%20Users"),
        ("Büro München", "Büro München"),
        ("Büro München", "B%C3%BCro%20M%C3%BCnchen"),
        ("100% Ops", "100% Ops"),
        ("a%20b", "a%2520b"),
        ("*", "%2A"),
    ] {
        let member = format!("'principalSet://{POOL}/group/{written}'");
        let (gate, _tree) = gate_for(&[&member], &[&pool, mapping]);
        for (groups, expected) in [
            (json!([group]), allowed()),
            (json!(["ops", "Überall", "x".repeat(300), "", null, 7, group]), allowed()),
            (json!(["ops", "a b", "Domain%20Users", "Buro Munchen"]), denied()),
        ] {
            let token = token_of(&json!({ "groups": groups }));
            assert_eq!(outcome(&gate, &token).await, expected, "{written}: {groups}");
        }
    }
}

#[tokio::test]
async fn subjects_of_any_language_are_members() {
    let pool = format!("issuers.demo.subject_pool={POOL}");
    let member = format!("principal://{POOL}/subject/jürgen");
    let (gate, _tree) = gate_for(&[&member], &[&pool]);
    for (sub, expected) in [
        ("jürgen", allowed()),
        ("jurgen", denied()),
        ("j%C3%BCrgen", denied()),
        (&"ü".repeat(128), invalid()),
    ] {
        let token = token_of(&json!({"sub": sub, "email": null}));
        assert_eq!(outcome(&gate, &token).await, expected, "{sub}");
    }
    // Each is asked over HTTP/1 and HTTP/2.
    let audit = gate.audit(8).iter().map(ToString::to_string).collect::<String>();
    assert!(audit.contains("/subject/j%C3%BCrgen"), "{audit}");
    assert!(audit.contains("`sub` has 256 bytes, more than 255"), "{audit}");
}

/// An export that binds groups works without groups.yaml, where the issuer says who is in them.
#[tokio::test]
async fn a_claim_holds_emails_of_groups_where_the_issuer_says_so() {
    let groups = "issuers.demo.groups={claim: groups, as: group}";
    let domains = "issuers.demo.email_domains=[example.com]";
    let (gate, _tree) = gate_for(&["group:ops@example.com", "group:ops@other.example"], &[groups, domains]);
    for (groups, expected) in [
        (json!(["dev@example.com", "Ops@example.com"]), allowed()),
        (json!("ops@example.com"), allowed()),
        (json!(["ops@other.example"]), denied()),
        (json!(["dev@example.com"]), denied()),
        (json!([1]), invalid()),
    ] {
        let token = token_of(&json!({"groups": groups, "email": "bob@example.com"}));
        assert_eq!(outcome(&gate, &token).await, expected, "{groups}");
    }
    let (silent, _tree) = gate_for(&["group:ops@example.com"], &[domains]);
    let token = token_of(&json!({"groups": ["ops@example.com"], "email": "bob@example.com"}));
    assert_eq!(outcome(&silent, &token).await, denied());
}

/// A directory with long lists of roles. 401 would send the client for a new token, which would be as long.
#[tokio::test]
async fn a_token_that_is_too_long_is_not_called_invalid() {
    let long = token_of(&json!({"roles": vec!["a role of some length"; 600]}));
    assert!(long.len() > 16 * 1024 && long.len() < 30 * 1024);
    let gate = Gate::start();
    assert_eq!(outcome(&gate, &long).await, (431, "ACCESS_TOKEN_TOO_LARGE".to_owned()));
    let answer = gate.http1(&Req::new("POST", COMPANION, CANCEL).bearer(&long)).await;
    assert_eq!(answer.header("www-authenticate"), None);
    let two = gate.http2(&Req::new("POST", COMPANION, CANCEL).bearer(&long)).await;
    assert_eq!(two.status, 431);
    let audit = gate.audit(4)[0].to_string();
    assert!(audit.contains("more than 16384 (`limits.token_bytes`)"), "{audit}");
    assert!(gate.backend.requests().is_empty());
    let set = vec!["limits.token_bytes=30KiB".to_owned()];
    let wide = Gate::start_with(Setup { set, ..Setup::default() });
    assert_eq!(outcome(&wide, &long).await, allowed());
}

#[test]
fn a_token_has_to_fit_into_a_head() {
    let check = |settings: &str| {
        Workspace::new().shell(&format!("opgate check --config config/opgate.yaml {settings}"))
    };
    let outcome = check("--set limits.token_bytes=33KiB");
    assert_eq!(outcome.code, Some(3));
    assert!(
        outcome.stderr.contains("a token of 33792 bytes does not fit into a head of 32768"),
        "{}",
        outcome.text()
    );
    assert_eq!(check("--set limits.token_bytes=32KiB").code, Some(0));
    assert_eq!(check("--set limits.token_bytes=64KiB --set limits.head_bytes=64KiB").code, Some(0));
    assert_eq!(check("--set limits.head_bytes=8KiB").code, Some(0));
}

/// Cognito's access tokens have no `aud`.
#[tokio::test]
async fn another_claim_may_name_the_audience_if_something_names_an_access_token() {
    let setting = "issuers.demo.audience_claim=client_id";
    let refused = Workspace::new()
        .shell("opgate check --config config/opgate.yaml --set issuers.staff.audience_claim=client_id");
    assert_eq!(refused.code, Some(3));
    assert!(refused.stderr.contains("required_claims: {token_use: access}"), "{}", refused.text());
    let set = vec![
        setting.to_owned(),
        "issuers.demo.audiences=[c1]".to_owned(),
        "issuers.demo.required_claims={token_use: access}".to_owned(),
    ];
    let gate = Gate::start_with(Setup { set, ..Setup::default() });
    for (changes, expected) in [
        (json!({"aud": null, "client_id": "c1", "token_use": "access"}), allowed()),
        (json!({"aud": null, "client_id": "c1", "token_use": "id"}), invalid()),
        (json!({"aud": null, "client_id": "c1"}), invalid()),
        (json!({"aud": null, "client_id": "c2", "token_use": "access"}), invalid()),
        (json!({"client_id": "c1", "token_use": "access"}), invalid()),
        (json!({"aud": "c1", "token_use": "access"}), invalid()),
    ] {
        assert_eq!(outcome(&gate, &token_of(&changes)).await, expected, "{changes}");
    }
    let without = Gate::start();
    let token = token_of(&json!({"aud": null, "client_id": "c1", "token_use": "access"}));
    assert_eq!(outcome(&without, &token).await, invalid());
}
