//! One question to an issuer's endpoint over HTTP, bounded in time and size.
//!
//! The token goes into the body and never into a URL, which proxies and servers log. No redirect is followed: the
//! server could have tokens, and the gate's own secret, sent elsewhere.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, InvalidHeaderValue};
use reqwest::{Client, Identity, Response, StatusCode, Url};
use serde_json::{Map, Value};

use super::in_flight::Outage;
use super::settings::{ClientAuthentication, Dialect, TokenEndpoint};
use crate::authn::denial::shown;
use crate::authn::introspection::secret::Secret;
use crate::authn::settings::{SettingsError, parse_url};
use crate::files;
use crate::http_client::{self, ClientError, ClientSettings};
use crate::json;

/// Larger answers are refused. Bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// The bytes that need no encoding in a form: `application/x-www-form-urlencoded`, where every reader agrees.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// An endpoint, and everything that is needed to ask it.
pub(super) struct IntrospectionClient {
    client: Client,
    url: Url,
    question: TokenQuestion,
}

enum TokenQuestion {
    /// `token=…`, and the gate's credentials: in a header, or in more fields of the form.
    Introspection { authorization: Option<HeaderValue>, credentials: Option<Secret> },
    /// `access_token=…`.
    TokenInfo,
}

/// An endpoint's answer about a token.
#[derive(Debug)]
pub(super) struct EndpointAnswer {
    /// The members of the answer; `None` where it said, by its status, that the token is not good.
    pub(super) members: Option<Map<String, Value>>,
    /// How long the answer was. Bytes.
    pub(super) length: usize,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum IntrospectionError {
    #[error("{}", http_client::chain(.0))]
    Transport(reqwest::Error),
    #[error("the answer is {0}")]
    Unavailable(StatusCode),
    #[error("the answer is {0}, not 200")]
    Status(StatusCode),
    #[error("the answer is not `application/json`")]
    ContentType,
    #[error("the answer is larger than {MAX_ANSWER} bytes")]
    TooLarge,
    #[error("the answer is not a JSON object: {}", shown(&.0.to_string()))]
    Syntax(#[from] serde_json::Error),
}

impl From<reqwest::Error> for IntrospectionError {
    fn from(error: reqwest::Error) -> Self {
        Self::Transport(error.without_url())
    }
}

impl IntrospectionError {
    /// The kind of a failure that may affect other tokens too; `None` where it is about this one token.
    pub(super) fn outage(&self) -> Option<Outage> {
        match self {
            // Nothing was sent yet, so the failure does not depend on the token.
            Self::Transport(error) if error.is_connect() => Some(Outage::Unreachable),
            Self::Transport(_) => Some(Outage::Silence),
            Self::Unavailable(StatusCode::UNAUTHORIZED) => Some(Outage::Credentials),
            Self::Unavailable(StatusCode::TOO_MANY_REQUESTS) => Some(Outage::Throttled),
            Self::Unavailable(_) => Some(Outage::Unavailable),
            _ => None,
        }
    }
}

impl IntrospectionClient {
    /// Reads the files that the settings name: secret, certificate and CAs.
    ///
    /// # Errors
    /// A file that cannot be read or used.
    pub(super) fn load(index: usize, settings: &TokenEndpoint) -> Result<Self, SettingsError> {
        let wrong = |field, message: String, help: &'static str| SettingsError {
            index,
            field,
            message,
            help: help.into(),
        };
        let url = parse_url(&settings.url).map_err(|(message, help)| wrong("url", message, help))?;
        let unusable = |cause: ClientError| wrong(cause.field(), cause.to_string(), cause.help());
        let client = ClientSettings { ca: settings.ca.as_deref(), proxy: settings.proxy.as_deref() };
        let mut builder = http_client::builder(&[&url], client).map_err(unusable)?.timeout(settings.timeout);
        let question = match &settings.dialect {
            Dialect::TokenInfo => TokenQuestion::TokenInfo,
            Dialect::Introspection { client_id, authentication } => {
                let secret = |path: &Path| {
                    Secret::read(path).map_err(|cause| {
                        let message = format!("cannot use the secret `{}`: {cause}", path.display());
                        wrong("client_secret_file", message, "the file holds the secret alone, on one line")
                    })
                };
                match authentication {
                    ClientAuthentication::Basic(path) => {
                        let authorization = basic(client_id, &secret(path)?)
                            .map_err(|error| wrong("client_id", error.to_string(), "use ASCII"))?;
                        TokenQuestion::Introspection { authorization: Some(authorization), credentials: None }
                    }
                    ClientAuthentication::Post(path) => {
                        let secret = secret(path)?;
                        let fields = [("client_id", client_id.as_str()), ("client_secret", secret.expose())];
                        let credentials = Some(Secret::new(form(&fields)));
                        TokenQuestion::Introspection { authorization: None, credentials }
                    }
                    ClientAuthentication::Certificate { certificate, key } => {
                        builder = builder.identity(identity(certificate, key).map_err(|message| {
                            let help = "name PEM files: the certificate with its chain, and its private key";
                            wrong("client_certificate", message, help)
                        })?);
                        let credentials = Some(Secret::new(form(&[("client_id", client_id)])));
                        TokenQuestion::Introspection { authorization: None, credentials }
                    }
                }
            }
        };
        let client = builder.build().map_err(|error| match &settings.dialect {
            Dialect::Introspection { authentication: ClientAuthentication::Certificate { .. }, .. } => wrong(
                "client_certificate",
                format!("cannot set up TLS: {}", http_client::chain(&error)),
                "the private key must be the certificate's, and the CAs must be there",
            ),
            _ => unusable(ClientError::Tls(error)),
        })?;
        Ok(Self { client, url, question })
    }

    /// The URL, for logs.
    pub(super) fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Asks about a token.
    ///
    /// # Errors
    /// No answer in time, or one that says nothing.
    pub(super) async fn ask(&self, token: &str) -> Result<EndpointAnswer, IntrospectionError> {
        let mut request = self
            .client
            .post(self.url.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let body = match &self.question {
            TokenQuestion::Introspection { authorization, credentials } => {
                if let Some(authorization) = authorization {
                    request = request.header(AUTHORIZATION, authorization);
                }
                let mut body = form(&[("token", token), ("token_type_hint", "access_token")]);
                if let Some(credentials) = credentials {
                    body.push('&');
                    body.push_str(credentials.expose());
                }
                body
            }
            TokenQuestion::TokenInfo => form(&[("access_token", token)]),
        };
        let mut response = request.body(body).send().await?;
        let refused = match response.status() {
            StatusCode::OK => false,
            StatusCode::BAD_REQUEST if matches!(self.question, TokenQuestion::TokenInfo) => true,
            // 401 is about the gate's own credentials (RFC 7662, section 2.3).
            status @ (StatusCode::UNAUTHORIZED
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT) => return Err(IntrospectionError::Unavailable(status)),
            status => return Err(IntrospectionError::Status(status)),
        };
        if !is_json(&response) {
            return Err(IntrospectionError::ContentType);
        }
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if text.len() + chunk.len() > MAX_ANSWER {
                return Err(IntrospectionError::TooLarge);
            }
            text.extend_from_slice(&chunk);
        }
        let members = json::parse_object(&text)?;
        let length = text.len();
        match refused {
            false => Ok(EndpointAnswer { members: Some(members), length }),
            true if members.contains_key("error") || members.contains_key("error_description") => {
                Ok(EndpointAnswer { members: None, length })
            }
            true => Err(IntrospectionError::Status(StatusCode::BAD_REQUEST)),
        }
    }
}

fn is_json(response: &Response) -> bool {
    let mut types = response.headers().get_all(CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else { return false };
    let Ok(only) = only.to_str() else { return false };
    only.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
}

/// The fields of a form.
fn form(fields: &[(&str, &str)]) -> String {
    let fields = fields.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, FORM)));
    fields.collect::<Vec<_>>().join("&")
}

/// Name and secret are encoded as in a form before they are joined (RFC 6749, section 2.3.1).
fn basic(client_id: &str, secret: &Secret) -> Result<HeaderValue, InvalidHeaderValue> {
    let encode = |text| utf8_percent_encode(text, FORM);
    let pair = STANDARD.encode(format!("{}:{}", encode(client_id), encode(secret.expose())));
    let mut value = HeaderValue::try_from(format!("Basic {pair}"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Longest file of a certificate or a key, in bytes.
const MAX_PEM: u64 = 1 << 20;

fn identity(certificate: &Path, key: &Path) -> Result<Identity, String> {
    let read = |path: &Path| {
        files::read(path, MAX_PEM).map_err(|error| format!("cannot read `{}`: {error}", path.display()))
    };
    let mut pem = read(certificate)?;
    pem.push(b'\n');
    pem.extend(read(key)?);
    Identity::from_pem(&pem).map_err(|error| {
        let (certificate, key) = (certificate.display(), key.display());
        format!("`{certificate}` and `{key}` are not a certificate and key: {}", http_client::chain(&error))
    })
}
