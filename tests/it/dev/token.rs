//! `opgate-dev token`: mints, never overwrites, and says what it was not given.

use std::os::unix::fs::PermissionsExt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::cli::check::assert_errors_are_of_use;
use crate::cli::{Outcome, Workspace, transcript};
use crate::harness::{AUDIENCE, CLOUD_PLATFORM, COMPANION, Gate, ISSUER, Req, Setup, reason};

const WHO: [&str; 6] = [
    "--issuer",
    "https://issuer.example.com",
    "--audience",
    "https://api.example.com",
    "--email",
    "ana@example.com",
];

fn token(workspace: &Workspace, arguments: &[&str]) -> Outcome {
    workspace.opgate_dev(&[&["token"], arguments, &WHO[..]].concat())
}

#[test]
fn a_new_key_and_a_token_that_it_signs() {
    let workspace = Workspace::new();
    let made = token(&workspace, &["--key", "key.pem", "--new-key", "--scope", "a", "--scope", "b"]);
    assert_eq!((made.code, made.stderr.as_str()), (Some(0), ""), "{}", made.text());
    let mode = std::fs::metadata(workspace.path("key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let jwks = std::fs::read_to_string(workspace.path("key.pem.jwks.json")).unwrap();
    let jwks: Value = serde_json::from_str(&jwks).unwrap();
    assert_eq!(jwks["keys"][0]["d"], Value::Null, "the private key is in the key set");

    let segments: Vec<&str> = made.stdout.trim_end().split('.').collect();
    let claims = URL_SAFE_NO_PAD.decode(segments[1]).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!((&claims["email"], &claims["scope"]), (&Value::from("ana@example.com"), &Value::from("a b")));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3600);

    let again = token(&workspace, &["--key", "key.pem", "--expires-in", "90s", "--claim", "groups=[\"x\"]"]);
    assert_eq!(again.code, Some(0), "{}", again.text());
}

/// A developer without an issuer and without a client library: curl takes both headers as they are printed.
#[tokio::test]
async fn a_bound_token_and_its_proof_open_the_gate_once() {
    let workspace = Workspace::new();
    for key in ["issuer.pem", "client.pem"] {
        assert_eq!(token(&workspace, &["--key", key, "--new-key"]).code, Some(0));
    }
    let jwks = std::fs::read_to_string(workspace.path("issuer.pem.jwks.json")).unwrap();
    let setup = Setup { jwks: Some(serde_json::from_str(&jwks).unwrap()), ..Setup::default() };
    let gate = Gate::start_with(setup);
    let path = "/v1/projects/demo/locations/us-central1/operations/train-1:cancel";
    let request = format!("POST http://{COMPANION}{path}");
    let mint = |more: &[&str]| {
        let key = ["token", "--key", "issuer.pem", "--dpop-key", "client.pem", "--scope", CLOUD_PLATFORM];
        let who = ["--issuer", ISSUER, "--audience", AUDIENCE, "--email", "ana@example.com"];
        workspace.opgate_dev(&[&key[..], &who[..], more].concat())
    };
    let printed = mint(&["--dpop-proof", &request]);
    assert_eq!((printed.code, printed.stderr.as_str()), (Some(0), ""), "{}", printed.text());
    let bound = printed.stdout.lines().map(|line| line.split_once(": ").unwrap());
    let bound =
        bound.fold(Req::new("POST", COMPANION, path), |request, (name, value)| request.header(name, value));
    assert_eq!(gate.http1(&bound).await.status, 200, "{}", gate.log());
    assert_eq!(reason(&gate.http1(&bound).await), "DPOP_PROOF_INVALID");
    // Without a proof, the token is refused.
    let alone = mint(&[]).stdout.trim_end().to_owned();
    let alone = Req::new("POST", COMPANION, path).bearer(&alone);
    assert_eq!(reason(&gate.http1(&alone).await), "JWT_TOKEN_INVALID");
}

#[test]
fn a_key_is_never_overwritten() {
    let workspace = Workspace::new().write("key.pem", "mine");
    let outcome = token(&workspace, &["--key", "key.pem", "--new-key"]);
    assert_eq!(outcome.code, Some(3));
    assert_errors_are_of_use(&outcome.stderr);
    assert_eq!(std::fs::read_to_string(workspace.path("key.pem")).unwrap(), "mine");
    insta::assert_snapshot!(outcome.text());
}

#[test]
fn a_key_set_is_never_overwritten_and_no_key_is_left_without_one() {
    let workspace = Workspace::new().write("key.pem.jwks.json", "mine");
    let outcome = token(&workspace, &["--key", "key.pem", "--new-key"]);
    assert_eq!(outcome.code, Some(3));
    assert_eq!(std::fs::read_to_string(workspace.path("key.pem.jwks.json")).unwrap(), "mine");
    assert!(!workspace.path("key.pem").exists());
    insta::assert_snapshot!(outcome.text());
}

#[test]
fn a_key_that_cannot_be_used_is_named() {
    let workspace = Workspace::new().write("key.pem", "-----BEGIN EC PRIVATE KEY-----\n");
    for (key, snapshot) in [("key.pem", "unusable"), ("other.pem", "missing"), ("no/such/key.pem", "nowhere")]
    {
        let more: &[&str] = if key == "no/such/key.pem" { &["--new-key"] } else { &[] };
        let outcome = token(&workspace, &[&["--key", key], more].concat());
        assert_eq!(outcome.code, Some(3), "{}", outcome.text());
        assert_errors_are_of_use(&outcome.stderr);
        insta::assert_snapshot!(snapshot, outcome.text());
    }
}

#[test]
fn arguments_that_mean_nothing_are_refused() {
    let workspace = Workspace::new();
    let key = ["token", "--key", "key.pem"];
    let with = |more: &[&'static str]| [&key[..], &WHO[..], more].concat();
    let commands = [
        key.to_vec(),
        with(&["--expires-in", "1"]),
        with(&["--expires-in", "500ms"]),
        with(&["--claim", "groups"]),
        with(&["--claim", "groups=x"]),
        with(&["--algorithm", "HS256"]),
        with(&["--dpop-proof", "POST https://api.example.com/"]),
        with(&["--dpop-key", "client.pem", "--dpop-proof", "https://api.example.com/"]),
    ];
    let commands: Vec<&[&str]> = commands.iter().map(Vec::as_slice).collect();
    insta::assert_snapshot!(transcript("opgate-dev", &commands, |arguments| workspace.opgate_dev(arguments)));
}
