//! The HTTP client that asks issuers: for their keys, and about opaque tokens.
//!
//! No redirect is followed: the operator wrote the URL whose answer is trusted, and a redirect would let the server there
//! name another (or plain `http`, or an address inside the network).

use std::error::Error;
use std::path::Path;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Url};

use crate::files;

/// Longest file of certificates, in bytes.
const MAX_CERTIFICATES: u64 = 1 << 20;

/// Why no client could be built: the text is for the operator.
#[derive(Debug, thiserror::Error)]
pub(in crate::authn) enum ClientError {
    #[error("cannot read `{path}`: {error}")]
    Unreadable { path: String, error: std::io::Error },
    #[error("`{path}` holds no CA certificate in PEM form")]
    NoCertificate { path: String },
    #[error("cannot set up TLS: {}", chain(.0))]
    Tls(reqwest::Error),
}

/// A client for one URL whose answer is trusted: no redirect, no proxy, no other CAs than those named. The caller sets
/// the timeouts.
///
/// # Errors
/// Where `ca` cannot be used.
pub(in crate::authn) fn builder(url: &Url, ca: Option<&Path>) -> Result<ClientBuilder, ClientError> {
    let secure = url.scheme() == "https";
    let builder = Client::builder()
        .redirect(Policy::none())
        .https_only(secure)
        .no_proxy()
        .user_agent(concat!("opgate/", env!("CARGO_PKG_VERSION")));
    Ok(match ca {
        Some(path) => builder.tls_certs_only(certificates(path)?),
        // Plain http to this machine needs no CA, and must not fail on a machine that has none.
        None if !secure => builder.tls_certs_only([]),
        None => builder,
    })
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, ClientError> {
    let shown = path.display().to_string();
    let pem = files::read(path, MAX_CERTIFICATES)
        .map_err(|error| ClientError::Unreadable { path: shown.clone(), error })?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(ClientError::NoCertificate { path: shown }),
    }
}

/// An error with its causes: reqwest's own text stops at "error sending request".
pub(in crate::authn) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
