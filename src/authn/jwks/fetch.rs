//! One fetch of a key set over HTTP, bounded in time and size.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AGE, AUTHORIZATION, CACHE_CONTROL, HeaderMap, HeaderValue};
use reqwest::{Client, StatusCode, Url};
use tokio::task::JoinSet;

use crate::authn::introspection::secret::Secret;
use crate::authn::jwks::MAX_DOCUMENT;
use crate::authn::jwks::discovery::Discovery;
use crate::authn::jwks::fetched::{FetchError, FetchedDocument};
use crate::authn::jwks::parts::KeySetParts;
use crate::authn::settings::{RemoteKeys, origin};
use crate::http_client::{ClientError, ClientSettings, builder};

/// The time for a connection, with TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The time from the start to the last byte of the body.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a key set is, and the client that may fetch it.
#[derive(Clone, Debug)]
pub(in crate::authn) struct Fetch {
    client: Client,
    /// At least one.
    addresses: Vec<Address>,
    /// What the last fetches brought from each of several addresses. Outlives reloads.
    parts: Arc<KeySetParts>,
    /// The file with the token that the server asks for. It is read for each fetch: Kubernetes replaces it every hour.
    token_file: Option<PathBuf>,
}

/// How a key set is fetched.
#[derive(Clone, Copy, Debug)]
pub(in crate::authn) struct FetchSettings<'s> {
    /// The client: the only CAs that are trusted, and the proxy.
    pub(in crate::authn) client: ClientSettings<'s>,
    pub(in crate::authn) token_file: Option<&'s Path>,
    /// How long a part of a set is used that cannot be fetched.
    pub(in crate::authn) max_stale: Duration,
    pub(in crate::authn) connect_timeout: Duration,
    pub(in crate::authn) total_timeout: Duration,
}

impl<'s> FetchSettings<'s> {
    /// With the times that the gate gives servers.
    pub(in crate::authn) fn of(keys: &'s RemoteKeys) -> Self {
        Self {
            client: ClientSettings { ca: keys.ca.as_deref(), proxy: keys.proxy.as_deref() },
            token_file: keys.token_file.as_deref(),
            max_stale: keys.max_stale,
            connect_timeout: CONNECT_TIMEOUT,
            total_timeout: TOTAL_TIMEOUT,
        }
    }
}

/// Where a key set is.
#[derive(Clone, Debug)]
pub(in crate::authn) enum Address {
    /// Here.
    Url(Url),
    /// Where the issuer's metadata says.
    Discovery(Discovery),
}

impl Fetch {
    /// A client for the key sets at some addresses.
    ///
    /// # Errors
    /// Where the settings cannot be used, or this machine has no CA certificates.
    pub(in crate::authn) fn new(
        addresses: Vec<Address>,
        settings: &FetchSettings<'_>,
    ) -> Result<Self, ClientError> {
        let urls: Vec<&Url> = addresses.iter().map(Address::first).collect();
        let builder = builder(&urls, settings.client)?
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.total_timeout);
        Ok(Self {
            client: builder.build().map_err(ClientError::Tls)?,
            parts: Arc::new(KeySetParts::new(addresses.len(), settings.max_stale)),
            addresses,
            token_file: settings.token_file.map(Path::to_owned),
        })
    }

    /// Keeps the parts of a set that were fetched before a reload, from the same addresses.
    pub(in crate::authn) fn take_over(&mut self, previous: &Self) {
        self.parts = Arc::clone(&previous.parts);
    }

    /// The URL that is asked first, for logs.
    pub(in crate::authn) fn url(&self) -> &str {
        self.addresses.first().map_or("", |address| address.first().as_str())
    }

    /// Fetches the key set: from all of its addresses at the same time, and by way of the issuer's metadata where that
    /// says where it is.
    ///
    /// # Errors
    /// No answer in time, one that is not 200, one that is too large, or metadata that leads nowhere.
    pub(in crate::authn) async fn key_set(&self) -> Result<FetchedDocument, FetchError> {
        let token = self.token()?;
        if let [address] = self.addresses.as_slice() {
            return self.key_set_at(address, token.as_ref()).await;
        }
        let mut fetches = JoinSet::new();
        for (index, address) in self.addresses.iter().cloned().enumerate() {
            let (fetch, token) = (self.clone(), token.clone());
            fetches.spawn(async move {
                let outcome = fetch.key_set_at(&address, token.as_ref()).await;
                (index, address.first().clone(), outcome)
            });
        }
        let mut outcomes = fetches.join_all().await;
        outcomes.sort_by_key(|(index, ..)| *index);
        self.parts.join(outcomes.into_iter().map(|(_, url, outcome)| (url, outcome)).collect())
    }

    async fn key_set_at(
        &self,
        address: &Address,
        token: Option<&HeaderValue>,
    ) -> Result<FetchedDocument, FetchError> {
        match address {
            Address::Url(url) => self.ask(url, token).await,
            Address::Discovery(discovery) => {
                let url = discovery.document();
                let metadata = self
                    .ask(url, token)
                    .await
                    .map_err(|error| FetchError::Metadata { url: url.clone(), error: Box::new(error) })?;
                let keys = discovery.keys(&metadata.document)?;
                // The issuer asks for the token. Another host, which its metadata names, is not shown it.
                let token = token.filter(|_| origin(&keys) == origin(url));
                self.ask(&keys, token).await
            }
        }
    }

    /// The `Authorization` of a fetch, which is never printed.
    fn token(&self) -> Result<Option<HeaderValue>, FetchError> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let wrong = |cause: String| FetchError::Token { path: path.display().to_string(), cause };
        let token = Secret::read(path).map_err(|error| wrong(error.to_string()))?;
        let value = HeaderValue::try_from(format!("Bearer {}", token.expose()));
        let mut value = value.map_err(|_| wrong("it is not one line of printable ASCII".to_owned()))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    async fn ask(&self, url: &Url, token: Option<&HeaderValue>) -> Result<FetchedDocument, FetchError> {
        let mut request = self.client.get(url.clone());
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, token);
        }
        let mut response = request.send().await?;
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
        Ok(FetchedDocument { document, fresh_for, failures: Vec::new() })
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
