//! One fetch of a key set over HTTP, bounded in time and size.
//!
//! No redirect is followed: the operator wrote the URL whose answer is trusted, and a redirect would let whoever
//! answers there name another (or plain `http`, or an address inside the network).

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, StatusCode, Url};

use super::jwks::MAX_DOCUMENT;

/// Until the connection stands, with TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From the start to the last byte of the body.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(10);

/// A key set's URL, and the client that may fetch it.
#[derive(Clone, Debug)]
pub(super) struct Fetch {
    client: Client,
    url: Url,
}

/// Why a fetch brought nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{}", chain(.0))]
    Transport(#[from] reqwest::Error),
    #[error("the answer is {0}, not 200")]
    Status(StatusCode),
    #[error("the answer is larger than {MAX_DOCUMENT} bytes")]
    TooLarge,
}

/// Why no client could be built: the text is for the operator.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("cannot read `{path}`: {error}")]
    Unreadable { path: String, error: std::io::Error },
    #[error("`{path}` holds no CA certificate in PEM form")]
    NoCertificate { path: String },
    #[error("cannot set up TLS: {}", chain(.0))]
    Tls(reqwest::Error),
}

impl Fetch {
    /// A client for one URL. `ca` holds the only CAs that are trusted; the system's without it.
    ///
    /// # Errors
    /// Where `ca` cannot be used, or this machine has no CA certificates.
    pub(super) fn new(url: Url, ca: Option<&Path>) -> Result<Self, ClientError> {
        Self::with_timeouts(url, ca, CONNECT_TIMEOUT, TOTAL_TIMEOUT)
    }

    pub(super) fn with_timeouts(
        url: Url,
        ca: Option<&Path>,
        connect: Duration,
        total: Duration,
    ) -> Result<Self, ClientError> {
        let builder = builder(&url, ca)?.connect_timeout(connect).timeout(total);
        Ok(Self { client: builder.build().map_err(ClientError::Tls)?, url })
    }

    /// The URL, for logs.
    pub(super) fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Fetches the document.
    ///
    /// # Errors
    /// No answer in time, one that is not 200, or one that is too large.
    pub(super) async fn document(&self) -> Result<Vec<u8>, FetchError> {
        let mut response = self.client.get(self.url.clone()).send().await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let mut document = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if document.len() + chunk.len() > MAX_DOCUMENT {
                return Err(FetchError::TooLarge);
            }
            document.extend_from_slice(&chunk);
        }
        Ok(document)
    }
}

/// A client for one URL whose answer is trusted: no redirect, no proxy, no other CAs than those named. The timeouts are
/// the caller's to set.
///
/// # Errors
/// Where `ca` cannot be used.
pub(super) fn builder(url: &Url, ca: Option<&Path>) -> Result<ClientBuilder, ClientError> {
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
    let pem = fs::read(path).map_err(|error| ClientError::Unreadable { path: shown.clone(), error })?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(ClientError::NoCertificate { path: shown }),
    }
}

/// An error with its causes: reqwest's own text stops at "error sending request".
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
