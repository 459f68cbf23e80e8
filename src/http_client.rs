//! The HTTP client that asks issuers: for their keys, and about opaque tokens.
//!
//! No redirect is followed: the operator wrote the URL whose answer is trusted, and a redirect would let the server there
//! name another (or plain `http`, or an address inside the network).

use std::error::Error;
use std::path::Path;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Proxy, Url};

use crate::files;

/// Longest file of certificates, in bytes.
const MAX_CERTIFICATES: u64 = 1 << 20;

/// Why no client could be built: the text is for the operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("cannot read `{path}`: {error}")]
    Unreadable { path: String, error: std::io::Error },
    #[error("`{path}` holds no CA certificate in PEM form")]
    NoCertificate { path: String },
    #[error("cannot set up TLS: {}", chain(.0))]
    Tls(reqwest::Error),
    #[error("cannot use the proxy: {}", chain(.0))]
    Proxy(reqwest::Error),
}

/// What the operator says of a client.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClientSettings<'s> {
    /// PEM file of the only CAs that are trusted; the system's without it.
    pub(crate) ca: Option<&'s Path>,
    /// URL of the proxy. The environment's is never used.
    pub(crate) proxy: Option<&'s str>,
}

impl ClientError {
    /// The setting that it is about.
    pub(crate) fn field(&self) -> &'static str {
        match self {
            Self::Proxy(_) => "proxy",
            _ => "ca",
        }
    }

    /// The next step.
    pub(crate) fn help(&self) -> &'static str {
        match self {
            Self::Proxy(_) => "write `http://HOST:PORT`",
            Self::Tls(_) => "install the system's CA certificates, or name a `ca` file",
            _ => "name a PEM file with the CA of the server's certificate",
        }
    }
}

/// A client for URLs whose answers are trusted: no redirect, no proxy and no other CAs than those named. The caller sets
/// the timeouts.
///
/// # Errors
/// Where the settings cannot be used.
pub(crate) fn builder(urls: &[&Url], settings: ClientSettings<'_>) -> Result<ClientBuilder, ClientError> {
    let secure = urls.iter().any(|url| url.scheme() == "https");
    let mut builder = Client::builder()
        .redirect(Policy::none())
        .https_only(urls.iter().all(|url| url.scheme() == "https"))
        .no_proxy()
        .user_agent(concat!("opgate/", env!("CARGO_PKG_VERSION")));
    if let Some(proxy) = settings.proxy {
        builder = builder.proxy(Proxy::all(proxy).map_err(ClientError::Proxy)?);
    }
    Ok(match settings.ca {
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
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
