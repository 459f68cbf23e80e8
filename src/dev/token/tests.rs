use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: TokenArgs,
}

fn args(key: &Path, more: &[&str]) -> TokenArgs {
    let key = key.to_str().unwrap();
    let common = ["token", "--issuer", "https://i.test", "--audience", "https://a.test", "--key", key];
    Cli::try_parse_from(common.iter().chain(more)).unwrap().args
}

#[test]
fn the_claims_are_those_asked_for() {
    let args = args(
        Path::new("k"),
        &[
            "--email",
            "ana@example.com",
            "--scope",
            "a",
            "--scope",
            "b",
            "--expires-in",
            "10m",
            "--claim",
            "groups=[\"oncall@example.com\"]",
            "--claim",
            "jti=\"1\"",
        ],
    );
    let claims = args.claims(None, UNIX_EPOCH + Duration::from_secs(1000));
    insta::assert_snapshot!(format!("{claims:#}"));
}

#[test]
fn a_new_key_is_private_and_its_set_verifies_the_token() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dev.pem");
    for algorithm in SigningAlgorithm::ALL {
        let args = args(&path, &["--new-key", "--algorithm", algorithm.as_str(), "--subject", "s"]);
        let mut report = Report::new();
        let key = signing_key(&args, &mut report).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let jwks_path = directory.path().join("dev.pem.jwks.json");
        let jwks: Value = serde_json::from_slice(&std::fs::read(&jwks_path).unwrap()).unwrap();
        assert_eq!(jwks, key.jwks());
        std::fs::remove_file(&path).unwrap();
        std::fs::remove_file(&jwks_path).unwrap();
    }
}

#[test]
fn neither_file_is_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dev.pem");
    let jwks = directory.path().join("dev.pem.jwks.json");
    for existing in [&path, &jwks] {
        std::fs::write(existing, "precious").unwrap();
        let mut report = Report::new();
        assert!(signing_key(&args(&path, &["--new-key", "--subject", "s"]), &mut report).is_none());
        let text = report.render(false).replace(directory.path().to_str().unwrap(), "DIR");
        insta::allow_duplicates! {
            insta::with_settings!({ filters => vec![(r"dev\.pem\S*", "[file]")] }, {
                insta::assert_snapshot!("exists_already", text);
            });
        }
        assert_eq!(std::fs::read_to_string(existing).unwrap(), "precious");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        std::fs::remove_file(existing).unwrap();
    }
}

#[test]
fn a_key_that_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dev.pem");
    let mut report = Report::new();
    assert!(signing_key(&args(&path, &["--subject", "s"]), &mut report).is_none());
    std::fs::write(&path, "-----BEGIN EC PRIVATE KEY-----").unwrap();
    assert!(signing_key(&args(&path, &["--subject", "s"]), &mut report).is_none());
    let ed = SigningKey::generate(SigningAlgorithm::EdDsa, None).unwrap();
    std::fs::write(&path, ed.to_pkcs8_pem().unwrap().reveal()).unwrap();
    let mismatched = args(&path, &["--subject", "s", "--algorithm", "PS256"]);
    assert!(signing_key(&mismatched, &mut report).is_none());
    assert!(signing_key(&args(&path, &["--subject", "s"]), &mut report).is_some());
    let text = report.render(false).replace(directory.path().to_str().unwrap(), "DIR");
    insta::assert_snapshot!(text);
}

#[test]
fn durations_and_claims_are_strict() {
    assert_eq!(lifetime("1h"), Ok(Duration::from_secs(3600)));
    for text in ["", "1", "h", "0s", "-1s", "+1s", "1.5h", "1 h", "99999999999999999999d", "1ms"] {
        assert!(lifetime(text).is_err(), "{text:?}");
    }
    for text in ["a", "=1", "a=b", "a="] {
        assert!(claim(text).is_err(), "{text:?}");
    }
    assert!(claim("a=b=\"c\"").is_err());
    assert_eq!(claim("a=\"b=c\""), Ok(("a".to_owned(), json!("b=c"))));
}
