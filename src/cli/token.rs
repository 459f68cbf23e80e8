//! `opgate token`: a development token from a local key.
//!
//! It lets one person play issuer, client and operator on one machine: `--new-key` makes the key and, beside it, the
//! key set that an issuer in `opgate.yaml` can name. The token stands alone on standard output, for `$(opgate token …)`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::{FAILED, INVALID, complain, print, print_report};
use crate::diagnostic::Report;
use crate::signing::{Algorithm, SigningError, SigningKey};

/// Arguments of `opgate token`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The private key: PEM, PKCS#8
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Make the key first, and FILE.jwks.json beside it; never overwrites
    #[arg(long)]
    new_key: bool,
    /// ES256, RS256, PS256 or EdDSA; by default ES256 for a new key, else what fits the key
    #[arg(long)]
    algorithm: Option<Algorithm>,
    /// The claim `iss`: what opgate.yaml calls the issuer
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// The claim `aud`
    #[arg(long)]
    audience: String,
    /// The claim `email`, verified; also `sub` where --subject is absent
    #[arg(long, required_unless_present = "subject")]
    email: Option<String>,
    /// The claim `sub`
    #[arg(long)]
    subject: Option<String>,
    /// A scope; can be repeated
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// How long it is good for, with its unit: 90s, 10m, 1h, 7d
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    expires_in: Duration,
    /// Another claim, or another value for one of the above; can be repeated
    #[arg(long = "claim", value_name = "NAME=JSON", value_parser = claim)]
    claims: Vec<(String, Value)>,
}

/// Mints the token and prints it. Exits 3 where the key cannot be had.
pub fn run(args: Args) -> ExitCode {
    let mut report = Report::new();
    let Some(key) = signing_key(&args, &mut report) else {
        print_report(&report);
        return ExitCode::from(INVALID);
    };
    #[expect(clippy::disallowed_methods, reason = "a command reads the clock")]
    let now = SystemTime::now();
    match key.sign(&args.claims(now)) {
        Ok(token) => {
            print(&format!("{token}\n"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&format!("error: the token cannot be signed: {error}\n"));
            ExitCode::from(FAILED)
        }
    }
}

impl Args {
    /// The claims of RFC 9068, section 2.2, then the user's own.
    fn claims(&self, now: SystemTime) -> Value {
        let issued = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut claims = Map::new();
        let mut claim = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        claim("iss", json!(self.issuer));
        claim("sub", json!(self.subject.as_ref().or(self.email.as_ref())));
        claim("aud", json!(self.audience));
        claim("client_id", json!("opgate-token"));
        claim("jti", json!(uuid::Uuid::new_v4().to_string()));
        claim("iat", json!(issued));
        claim("exp", json!(issued.saturating_add(self.expires_in.as_secs())));
        if let Some(email) = &self.email {
            claim("email", json!(email));
            claim("email_verified", json!(true));
        }
        if !self.scopes.is_empty() {
            claim("scope", json!(self.scopes.join(" ")));
        }
        for (name, value) in &self.claims {
            claim(name, value.clone());
        }
        Value::Object(claims)
    }
}

/// The key of `--key`, read or made. What is wrong is in the report.
fn signing_key(args: &Args, report: &mut Report) -> Option<SigningKey> {
    if args.new_key {
        return new_key(&args.key, args.algorithm.unwrap_or_default(), report);
    }
    let pem = match std::fs::read_to_string(&args.key) {
        Ok(pem) => pem,
        Err(error) => {
            let missing = error.kind() == io::ErrorKind::NotFound;
            let diagnostic = report.file_error(&args.key, format!("cannot read the key: {error}"));
            if missing {
                diagnostic.help("`--new-key` makes it");
            }
            return None;
        }
    };
    let key = SigningKey::from_pkcs8_pem(&pem).and_then(|key| match args.algorithm {
        Some(algorithm) => key.with_algorithm(algorithm),
        None => Ok(key),
    });
    match key {
        Ok(key) => Some(key),
        Err(error) => {
            let help = match error {
                SigningError::WrongAlgorithm { .. } => "leave out `--algorithm`, or use another key",
                _ => "`openssl pkcs8 -topk8 -nocrypt` turns other forms into PKCS#8",
            };
            report.file_error(&args.key, format!("cannot use the key: {error}")).help(help);
            None
        }
    }
}

/// Makes a key, its file and the file of its key set. Either both files are new and whole, or none is left behind.
fn new_key(path: &Path, algorithm: Algorithm, report: &mut Report) -> Option<SigningKey> {
    let generated = SigningKey::generate(algorithm, None).and_then(|key| Ok((key.to_pkcs8_pem()?, key)));
    let (pem, key) = match generated {
        Ok(generated) => generated,
        Err(error) => {
            report.file_error(path, format!("cannot make a key: {error}"));
            return None;
        }
    };
    let mut jwks_path = path.as_os_str().to_owned();
    jwks_path.push(".jwks.json");
    let jwks_path = PathBuf::from(jwks_path);

    let mut key_file = create(path, 0o600, report)?;
    let written = key_file.write_all(pem.reveal().as_bytes()).and_then(|()| key_file.sync_all());
    if let Err(error) = written {
        report.file_error(path, format!("cannot write the file: {error}"));
        remove(path, report);
        return None;
    }
    let Some(mut jwks_file) = create(&jwks_path, 0o644, report) else {
        remove(path, report);
        return None;
    };
    if let Err(error) = jwks_file.write_all(format!("{:#}\n", key.jwks()).as_bytes()) {
        report.file_error(&jwks_path, format!("cannot write the file: {error}"));
        remove(&jwks_path, report);
        remove(path, report);
        return None;
    }
    Some(key)
}

/// Creates a file that does not exist yet. `mode` bounds who may read it from its first moment on.
fn create(path: &Path, mode: u32, report: &mut Report) -> Option<File> {
    match OpenOptions::new().write(true).create_new(true).mode(mode).open(path) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            report
                .file_error(path, "the file exists already, and keys are never overwritten")
                .help("leave out `--new-key` to use the key that is there, or name another file");
            None
        }
        Err(error) => {
            report.file_error(path, format!("cannot create the file: {error}"));
            None
        }
    }
}

fn remove(path: &Path, report: &mut Report) {
    if let Err(error) = std::fs::remove_file(path) {
        report.file_error(path, format!("cannot remove the unfinished file: {error}"));
    }
}

fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=JSON")?;
    if name.is_empty() {
        return Err("the claim has no name".to_owned());
    }
    let value = serde_json::from_str(value)
        .map_err(|error| format!("the value is not JSON ({error}); a string is written NAME='\"text\"'"))?;
    Ok((name.to_owned(), value))
}

fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    let parsed = UNITS.iter().find_map(|(unit, seconds)| {
        let number = text.strip_suffix(unit)?;
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        number.parse::<u64>().ok().filter(|_| digits)?.checked_mul(*seconds)
    });
    match parsed {
        Some(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds)),
        _ => Err("expected a whole number above zero with its unit: 90s, 10m, 1h, 7d".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn args(key: &Path, more: &[&str]) -> Args {
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
        let claims = args.claims(UNIX_EPOCH + Duration::from_secs(1000));
        insta::assert_snapshot!(format!("{claims:#}"));
    }

    #[test]
    fn a_new_key_is_private_and_its_set_verifies_the_token() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dev.pem");
        for algorithm in Algorithm::ALL {
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
        let ed = SigningKey::generate(Algorithm::EdDsa, None).unwrap();
        std::fs::write(&path, ed.to_pkcs8_pem().unwrap().reveal()).unwrap();
        let mismatched = args(&path, &["--subject", "s", "--algorithm", "PS256"]);
        assert!(signing_key(&mismatched, &mut report).is_none());
        assert!(signing_key(&args(&path, &["--subject", "s"]), &mut report).is_some());
        let text = report.render(false).replace(directory.path().to_str().unwrap(), "DIR");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn durations_and_claims_are_strict() {
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        for text in ["", "1", "h", "0s", "-1s", "+1s", "1.5h", "1 h", "99999999999999999999d", "1ms"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
        for text in ["a", "=1", "a=b", "a="] {
            assert!(claim(text).is_err(), "{text:?}");
        }
        assert_eq!(claim("a=b=\"c\"").is_err(), true);
        assert_eq!(claim("a=\"b=c\""), Ok(("a".to_owned(), json!("b=c"))));
    }
}
