//! What a fetch of keys brings: a document, or the reason why there is none.

use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::{StatusCode, Url};

use crate::authn::jwks::discovery::DiscoveryError;
use crate::authn::jwks::{KeySetError, MAX_DOCUMENT};
use crate::http_client::chain;

/// What a fetch brought.
#[derive(Debug)]
pub(in crate::authn) struct FetchedDocument {
    pub(in crate::authn) document: Vec<u8>,
    /// How long the server allows it to be used, where it says.
    pub(in crate::authn) fresh_for: Option<Duration>,
    /// The addresses that brought nothing, of several.
    pub(in crate::authn) failures: Vec<FetchError>,
}

/// Why a fetch brought nothing.
#[derive(Debug, thiserror::Error)]
pub(in crate::authn) enum FetchError {
    #[error("{}", chain(.0))]
    Transport(#[from] reqwest::Error),
    #[error("the answer is {0}, not 200")]
    Status(StatusCode),
    #[error("the answer is larger than {MAX_DOCUMENT} bytes")]
    TooLarge,
    #[error("the issuer's metadata {url}: {error}")]
    Metadata { url: Url, error: Box<FetchError> },
    #[error("{url}: {error}")]
    Part { url: Url, error: Box<FetchError> },
    #[error("cannot use the token `{path}`: {cause}")]
    Token { path: String, cause: String },
    #[error(transparent)]
    Content(KeySetError),
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
}

impl FetchError {
    /// The label's value in metrics.
    pub(in crate::authn) fn outcome(&self) -> &'static str {
        match self {
            Self::Transport(error) if error.is_timeout() => "timeout",
            Self::Transport(error) if error.is_connect() && is_tls(error) => "tls",
            Self::Transport(error) if error.is_connect() => "connect",
            Self::Transport(_) => "broken",
            Self::Status(_) => "status",
            Self::TooLarge => "too_large",
            Self::Metadata { error, .. } | Self::Part { error, .. } => error.outcome(),
            Self::Token { .. } => "token",
            Self::Content(_) => "content",
            Self::Discovery(_) => "discovery",
        }
    }
}

/// Whether TLS failed: rustls passes its errors on as I/O errors of this kind, which others wrap in their own.
fn is_tls(error: &(dyn Error + 'static)) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|io| io.kind() == io::ErrorKind::InvalidData)
        || io.and_then(io::Error::get_ref).is_some_and(|wrapped| is_tls(wrapped))
        || error.source().is_some_and(is_tls)
}
