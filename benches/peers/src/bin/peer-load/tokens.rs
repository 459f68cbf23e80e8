//! Tokens, signed with RS256 before the run.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::thread;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::Failure;

#[derive(clap::Args)]
pub struct Arguments {
    /// The private key: RSA, PEM, PKCS#8.
    #[arg(long)]
    key: PathBuf,
    /// The key's name in the header.
    #[arg(long)]
    kid: String,
    /// The claims that all tokens have, as JSON.
    #[arg(long)]
    claims: String,
    /// How many tokens.
    #[arg(long)]
    count: usize,
    /// How many callers, who take turns.
    #[arg(long)]
    callers: usize,
    /// The callers' addresses, with `{}` for the number.
    #[arg(long)]
    email: String,
    /// The file that they are written to, one a line.
    #[arg(long)]
    to: PathBuf,
}

pub fn write(arguments: &Arguments) -> Result<(), Failure> {
    let key = read_key(&arguments.key)?;
    let claims: Value = serde_json::from_str(&arguments.claims)?;
    let middle = arguments.count / 2;
    let sign = |from: usize, to: usize| sign_all(arguments, &key, &claims, from, to);
    let (first, second) = thread::scope(|scope| {
        let second = scope.spawn(|| sign(middle, arguments.count));
        (sign(0, middle), second.join())
    });
    let second = second.map_err(|_| "a signing thread has panicked")?;
    std::fs::write(&arguments.to, first? + &second?)?;
    Ok(())
}

fn read_key(file: &PathBuf) -> Result<RsaKeyPair, Failure> {
    let pem = std::fs::read_to_string(file)?;
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    Ok(RsaKeyPair::from_pkcs8(&STANDARD.decode(base64)?)?)
}

fn sign_all(
    arguments: &Arguments,
    key: &RsaKeyPair,
    claims: &Value,
    from: usize,
    to: usize,
) -> Result<String, Failure> {
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": arguments.kid}).to_string();
    let random = SystemRandom::new();
    let mut signature = vec![0; key.public_modulus_len()];
    let mut tokens = String::new();
    for number in from..to {
        let email = arguments.email.replace("{}", &(number % arguments.callers).to_string());
        let mut claims = claims.clone();
        claims["email"] = json!(email);
        claims["sub"] = json!(email);
        claims["jti"] = json!(format!("{number:08}"));
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(&header), URL_SAFE_NO_PAD.encode(claims.to_string()));
        key.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature)?;
        writeln!(tokens, "{signed}.{}", URL_SAFE_NO_PAD.encode(&signature))?;
    }
    Ok(tokens)
}
