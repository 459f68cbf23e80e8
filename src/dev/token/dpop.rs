//! A token that is bound to a key, and the proof of having it (RFC 9449), for one request at a time.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::key::read_key;
use crate::dev::mint::Mint;
use crate::diagnostic::Report;
use crate::signing::{SigningError, SigningKey};

/// Arguments of `opgate-dev token` that make it bound.
#[derive(Debug, clap::Args)]
pub(super) struct DpopArgs {
    /// Bind the token to this key (`cnf.jkt`, RFC 9449): PEM, PKCS#8
    #[arg(long, value_name = "FILE")]
    dpop_key: Option<PathBuf>,
    /// Prove for one request that the key is there, and print both headers, for `curl -H @-`: 'POST https://…'
    #[arg(long, value_name = "METHOD URL", requires = "dpop_key", value_parser = request)]
    dpop_proof: Option<(String, String)>,
}

/// The key that a token is bound to, and the request that it is to prove it for.
pub(super) struct ProofKey {
    key: SigningKey,
    request: Option<(String, String)>,
}

impl DpopArgs {
    /// Reads the key; `None` where it cannot be had, and the report says why.
    pub(super) fn proof_key(&self, report: &mut Report) -> Option<Option<ProofKey>> {
        let Some(path) = &self.dpop_key else { return Some(None) };
        // Without an id of its own, a key is called by its thumbprint.
        let key = read_key(path, None, report)?;
        Some(Some(ProofKey { key, request: self.dpop_proof.clone() }))
    }
}

impl ProofKey {
    /// The claim `cnf`.
    pub(super) fn confirmation(&self) -> Value {
        json!({ "jkt": self.key.kid() })
    }

    /// The headers of the request, if there is one, else the token alone.
    ///
    /// # Errors
    /// Where the crypto library fails.
    pub(super) fn present(&self, token: &str, now: SystemTime) -> Result<String, SigningError> {
        let Some((method, url)) = &self.request else { return Ok(format!("{token}\n")) };
        let algorithm = self.key.algorithm();
        let header = json!({ "typ": "dpop+jwt", "alg": algorithm.as_str(), "jwk": self.key.public_jwk() });
        let claims = json!({
            "jti": uuid::Uuid::new_v4().to_string(), "htm": method, "htu": url,
            "iat": now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            "ath": URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, token.as_bytes())),
        });
        let proof = self.key.sign_with_header(&header, &claims)?;
        Ok(format!("Authorization: DPoP {token}\nDPoP: {proof}\n"))
    }
}

fn request(text: &str) -> Result<(String, String), String> {
    match text.split_once(' ') {
        Some((method, url)) if !method.is_empty() && url.contains("://") && !url.contains(' ') => {
            Ok((method.to_owned(), url.to_owned()))
        }
        _ => Err("expected the method and the whole URL: 'POST https://api.example.com/v1/…'".to_owned()),
    }
}
