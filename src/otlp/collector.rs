//! One message to the collector: `POST` of protobuf, and what its answer means (OTLP, section "OTLP/HTTP").

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};

use super::settings::{OtlpSettings, read_headers};
use crate::http_client::{ClientError, ClientSettings, builder, chain};

/// Most bytes of an answer that are read.
const MOST_OF_AN_ANSWER: usize = 64 * 1024;
/// The longest that a collector may ask to be left alone.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Where messages of one kind go.
pub(super) struct Collector {
    client: Client,
    url: Url,
    headers: Option<std::path::PathBuf>,
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    /// It may be taken later, not before this pause where the collector says one.
    #[error("{why}")]
    Later { why: String, pause: Option<Duration> },
    /// It will never be.
    #[error("{0}")]
    Never(String),
}

impl Collector {
    pub(super) fn new(settings: &OtlpSettings, path: &str) -> Result<Self, ClientError> {
        let url = settings.url(path);
        let client = ClientSettings { ca: settings.ca.as_deref(), proxy: None };
        let client = builder(&[&url], client)?.timeout(settings.timeout).build().map_err(ClientError::Tls)?;
        Ok(Self { client, url, headers: settings.headers_file.clone() })
    }

    /// Sends a message, and gives the body of the answer.
    ///
    /// # Errors
    /// Where the collector does not take it.
    pub(super) async fn send(&self, message: Vec<u8>) -> Result<Vec<u8>, SendError> {
        let headers = self.headers()?;
        let request = self.client.post(self.url.clone()).headers(headers).body(message);
        let sent = request.header(CONTENT_TYPE, "application/x-protobuf").send().await;
        let later =
            |error: reqwest::Error| SendError::Later { why: chain(&error.without_url()), pause: None };
        let mut answer = sent.map_err(later)?;
        let status = answer.status();
        if status.is_success() {
            let mut body = Vec::new();
            while let Some(chunk) = answer.chunk().await.map_err(later)? {
                if body.len() + chunk.len() > MOST_OF_AN_ANSWER {
                    break;
                }
                body.extend_from_slice(&chunk);
            }
            return Ok(body);
        }
        let why = format!("the collector answers {status}");
        let may_be_sent_again = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::BAD_GATEWAY,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::GATEWAY_TIMEOUT,
        ];
        if !may_be_sent_again.contains(&status) {
            return Err(SendError::Never(why));
        }
        let pause = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let pause = pause.map(|seconds| Duration::from_secs(seconds).min(LONGEST_PAUSE));
        Err(SendError::Later { why, pause })
    }

    /// The operator's fields. The file is read for each message: a new key is used without a restart.
    fn headers(&self) -> Result<HeaderMap, SendError> {
        let Some(path) = &self.headers else { return Ok(HeaderMap::new()) };
        let unusable = |why| SendError::Later { why: format!("`headers_file`: {why}"), pause: None };
        read_headers(path).map_err(unusable)
    }
}
