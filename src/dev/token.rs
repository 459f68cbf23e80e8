//! `opgate-dev token`: a development token from a local key.
//!
//! It lets one person play issuer, client and operator on one machine: `--new-key` makes the key and, beside it, the
//! key set that an issuer in `opgate.yaml` can name. The token stands alone on standard output, for
//! `$(opgate-dev token …)`.

mod dpop;
mod key;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use self::dpop::ProofKey;
use self::key::{new_key, read_key};
use super::mint::{Mint, parse_algorithm};
use crate::clock;
use crate::diagnostic::Report;
use crate::document::scalar::parse_duration;
use crate::signing::{SigningAlgorithm, SigningKey};
use crate::terminal::{FAILED, INVALID, eprint, eprint_report, print};

/// Arguments of `opgate-dev token`.
#[derive(Debug, clap::Args)]
pub struct TokenArgs {
    /// The private key: PEM, PKCS#8
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Make the key first, and FILE.jwks.json beside it; never overwrites
    #[arg(long)]
    new_key: bool,
    /// ES256, RS256, PS256 or EdDSA; by default ES256 for a new key, else what fits the key
    #[arg(long, value_parser = parse_algorithm)]
    algorithm: Option<SigningAlgorithm>,
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
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = lifetime)]
    expires_in: Duration,
    /// Another claim, or another value for one of the above; can be repeated
    #[arg(long = "claim", value_name = "NAME=JSON", value_parser = claim)]
    claims: Vec<(String, Value)>,
    #[command(flatten)]
    dpop: dpop::DpopArgs,
}

/// Mints the token and prints it. Exits 3 where the key cannot be had.
pub fn run(args: &TokenArgs) -> ExitCode {
    let mut report = Report::new();
    let (Some(key), Some(proof_key)) = (signing_key(args, &mut report), args.dpop.proof_key(&mut report))
    else {
        eprint_report(&report);
        return ExitCode::from(INVALID);
    };
    let now = clock::now();
    let presented = key.sign(&args.claims(proof_key.as_ref(), now)).and_then(|token| match &proof_key {
        Some(proof_key) => proof_key.present(&token, now),
        None => Ok(format!("{token}\n")),
    });
    match presented {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprint(&format!("error: the token cannot be signed: {error}\n"));
            ExitCode::from(FAILED)
        }
    }
}

impl TokenArgs {
    /// The claims of RFC 9068, section 2.2, then the user's own.
    fn claims(&self, proof_key: Option<&ProofKey>, now: SystemTime) -> Value {
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
        if let Some(proof_key) = proof_key {
            claim("cnf", proof_key.confirmation());
        }
        for (name, value) in &self.claims {
            claim(name, value.clone());
        }
        Value::Object(claims)
    }
}

/// The key of `--key`, read or made. What is wrong is in the report.
fn signing_key(args: &TokenArgs, report: &mut Report) -> Option<SigningKey> {
    if args.new_key {
        return new_key(&args.key, args.algorithm.unwrap_or_default(), report);
    }
    read_key(&args.key, args.algorithm, report)
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

/// A lifetime: times in claims are whole seconds here (RFC 7519, section 2, "NumericDate").
fn lifetime(text: &str) -> Result<Duration, String> {
    parse_duration(text).filter(|duration| duration.subsec_nanos() == 0).ok_or_else(|| {
        "expected a whole number of seconds above zero with its unit: 90s, 10m, 1h, 7d".to_owned()
    })
}

#[cfg(test)]
mod tests;
