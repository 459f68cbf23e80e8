//! One fetch of a key set over HTTP, bounded in time and size.

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use reqwest::header::{AGE, CACHE_CONTROL, HeaderMap};
use reqwest::{Client, StatusCode, Url};

use crate::authn::http_client::{ClientError, builder, chain};
use crate::authn::jwks::MAX_DOCUMENT;
use crate::authn::jwks::discovery::{Discovery, DiscoveryError};

/// The time for a connection, with TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The time from the start to the last byte of the body.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a key set is, and the client that may fetch it.
#[derive(Clone, Debug)]
pub(in crate::authn) struct Fetch {
    client: Client,
    address: Address,
}

/// Where a key set is.
#[derive(Clone, Debug)]
pub(in crate::authn) enum Address {
    /// Here.
    Url(Url),
    /// Where the issuer's metadata says.
    Discovery(Discovery),
}

/// What a fetch brought.
#[derive(Debug)]
pub(in crate::authn) struct FetchedDocument {
    pub(in crate::authn) document: Vec<u8>,
    /// How long the server allows it to be used, where it says.
    pub(in crate::authn) fresh_for: Option<Duration>,
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
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
}

impl Fetch {
    /// A client for one key set. `ca` holds the only CAs that are trusted; the system's without it.
    ///
    /// # Errors
    /// Where `ca` cannot be used, or this machine has no CA certificates.
    pub(in crate::authn) fn new(address: Address, ca: Option<&Path>) -> Result<Self, ClientError> {
        Self::with_timeouts(address, ca, CONNECT_TIMEOUT, TOTAL_TIMEOUT)
    }

    pub(in crate::authn) fn with_timeouts(
        address: Address,
        ca: Option<&Path>,
        connect: Duration,
        total: Duration,
    ) -> Result<Self, ClientError> {
        let builder = builder(address.first(), ca)?.connect_timeout(connect).timeout(total);
        Ok(Self { client: builder.build().map_err(ClientError::Tls)?, address })
    }

    /// The URL that is asked first, for logs.
    pub(in crate::authn) fn url(&self) -> &str {
        self.address.first().as_str()
    }

    /// Fetches the key set, by way of the issuer's metadata where that says where it is.
    ///
    /// # Errors
    /// No answer in time, one that is not 200, one that is too large, or metadata that leads nowhere.
    pub(in crate::authn) async fn key_set(&self) -> Result<FetchedDocument, FetchError> {
        match &self.address {
            Address::Url(url) => self.ask(url).await,
            Address::Discovery(discovery) => {
                let url = discovery.document();
                let metadata = self
                    .ask(url)
                    .await
                    .map_err(|error| FetchError::Metadata { url: url.clone(), error: Box::new(error) })?;
                self.ask(&discovery.keys(&metadata.document)?).await
            }
        }
    }

    async fn ask(&self, url: &Url) -> Result<FetchedDocument, FetchError> {
        let mut response = self.client.get(url.clone()).send().await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let fresh_for = fresh_for(response.headers());
        let mut document = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if document.len() + chunk.len() > MAX_DOCUMENT {
                return Err(FetchError::TooLarge);
            }
            document.extend_from_slice(&chunk);
        }
        Ok(FetchedDocument { document, fresh_for })
    }
}

impl Address {
    fn first(&self) -> &Url {
        match self {
            Self::Url(url) => url,
            Self::Discovery(discovery) => discovery.document(),
        }
    }
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
            Self::Metadata { error, .. } => error.outcome(),
            Self::Discovery(_) => "discovery",
        }
    }
}

/// How long an answer may be used (RFC 9111, sections 4.2 and 5.2.2): not at all, where it is not clear.
fn fresh_for(headers: &HeaderMap) -> Option<Duration> {
    let mut fresh_for: Option<Duration> = None;
    let directives = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    for directive in directives.flat_map(|value| value.split(',')) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        let seconds = match name.trim().to_ascii_lowercase().as_str() {
            "max-age" => value.trim().trim_matches('"').parse().unwrap_or(0),
            "no-store" | "no-cache" => 0,
            _ => continue,
        };
        let told = Duration::from_secs(seconds);
        fresh_for = Some(fresh_for.map_or(told, |known| known.min(told)));
    }
    let age = headers.get(AGE).and_then(|age| age.to_str().ok()?.trim().parse().ok());
    fresh_for.map(|fresh_for| fresh_for.saturating_sub(Duration::from_secs(age.unwrap_or(0))))
}

/// Whether TLS failed: rustls passes its errors on as I/O errors of this kind, which others wrap in their own.
fn is_tls(error: &(dyn Error + 'static)) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|io| io.kind() == io::ErrorKind::InvalidData)
        || io.and_then(io::Error::get_ref).is_some_and(|wrapped| is_tls(wrapped))
        || error.source().is_some_and(is_tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(name.parse::<reqwest::header::HeaderName>().unwrap(), value.parse().unwrap());
        }
        map
    }

    #[test]
    fn the_servers_word_on_freshness_is_read_strictly() {
        let seconds = |fields: &[(&str, &str)]| fresh_for(&headers(fields)).map(|fresh| fresh.as_secs());
        assert_eq!(seconds(&[]), None);
        assert_eq!(seconds(&[("cache-control", "public, must-revalidate")]), None);
        assert_eq!(seconds(&[("cache-control", "public, max-age=19800, no-transform")]), Some(19_800));
        assert_eq!(seconds(&[("cache-control", "Max-Age=60"), ("age", "45")]), Some(15));
        assert_eq!(seconds(&[("cache-control", "max-age=60"), ("age", "61")]), Some(0));
        assert_eq!(seconds(&[("cache-control", "max-age=60"), ("age", "soon")]), Some(60));
        // Where the answer contradicts itself or cannot be read, the shorter time counts.
        assert_eq!(seconds(&[("cache-control", "max-age=60, max-age=30")]), Some(30));
        assert_eq!(seconds(&[("cache-control", "max-age=60"), ("cache-control", "no-store")]), Some(0));
        assert_eq!(seconds(&[("cache-control", "max-age=ten")]), Some(0));
        assert_eq!(seconds(&[("cache-control", "max-age=-1")]), Some(0));
        assert_eq!(seconds(&[("cache-control", "max-age")]), Some(0));
    }
}
