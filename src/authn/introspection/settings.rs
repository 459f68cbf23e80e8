//! The operator's settings of an endpoint that is asked about opaque tokens.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::authn::settings::{check_proxy, parse_url};

/// An endpoint of an issuer, and how it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenEndpoint {
    /// `https://…`; `http://` for a loopback address only.
    pub url: String,
    /// The protocol.
    pub dialect: Dialect,
    /// The first characters of the issuer's opaque tokens, where several issuers are asked. Other tokens are never
    /// shown to this one. Empty: all are.
    pub prefix: String,
    /// PEM file of the only CAs that the server's certificate may come from; the system's without it.
    pub ca: Option<PathBuf>,
    /// URL of the proxy through which it is asked; none without it.
    pub proxy: Option<String>,
    /// From the question to the last byte of the answer.
    pub timeout: Duration,
    /// How long a good token counts as good, if it does not end before.
    pub remember: Duration,
    /// The same for a token that is not good, and for one whose issuer does not say when it ends.
    pub remember_briefly: Duration,
}

/// The protocol of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// OAuth 2.0 Token Introspection (RFC 7662).
    Introspection {
        /// The gate's name at the issuer.
        client_id: String,
        /// How the gate authenticates.
        authentication: ClientAuthentication,
    },
    /// Google's: <https://oauth2.googleapis.com/tokeninfo>.
    TokenInfo,
}

/// How the gate authenticates at the issuer. Secrets are in files: settings hold none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuthentication {
    /// The secret of this file, in an `Authorization` header (RFC 6749, section 2.3.1).
    Basic(PathBuf),
    /// The secret of this file, in the form.
    Post(PathBuf),
    /// A certificate, presented when the connection is made (RFC 8705).
    Certificate {
        /// PEM file of the certificate and what is between it and its CA.
        certificate: PathBuf,
        /// PEM file of its private key.
        key: PathBuf,
    },
}

impl TokenEndpoint {
    /// The default timeout.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
    /// The default for good tokens.
    pub const DEFAULT_REMEMBER: Duration = Duration::from_secs(300);
    /// The default for other answers.
    pub const DEFAULT_REMEMBER_BRIEFLY: Duration = Duration::from_secs(10);

    /// An endpoint with the defaults in everything that has one.
    pub fn new(url: impl Into<String>, dialect: Dialect) -> Self {
        Self {
            url: url.into(),
            dialect,
            prefix: String::new(),
            ca: None,
            proxy: None,
            timeout: Self::DEFAULT_TIMEOUT,
            remember: Self::DEFAULT_REMEMBER,
            remember_briefly: Self::DEFAULT_REMEMBER_BRIEFLY,
        }
    }

    /// The files that its settings name.
    pub(in crate::authn) fn files(&self) -> Vec<&Path> {
        let mut files: Vec<&Path> = self.ca.as_deref().into_iter().collect();
        if let Dialect::Introspection { authentication, .. } = &self.dialect {
            match authentication {
                ClientAuthentication::Basic(secret) | ClientAuthentication::Post(secret) => {
                    files.push(secret)
                }
                ClientAuthentication::Certificate { certificate, key } => files.extend([&**certificate, key]),
            }
        }
        files
    }
}

/// Clients do not wait longer, and every wait holds one of the lookups that may be under way.
const MAX_TIMEOUT: Duration = Duration::from_secs(30);
/// A revoked token works that long.
const MAX_REMEMBER: Duration = Duration::from_secs(3600);
/// A token that comes before its issuer knows it is refused that long.
const MAX_REMEMBER_BRIEFLY: Duration = Duration::from_secs(60);

/// Reports what is wrong with an endpoint's settings, as far as that can be known without reading their files.
pub(in crate::authn) fn check(
    endpoint: &TokenEndpoint,
    error: &mut impl FnMut(&'static str, String, &'static str),
) {
    if let Err((message, help)) = parse_url(&endpoint.url) {
        error("url", message, help);
    }
    check_proxy(endpoint.proxy.as_deref(), &[&endpoint.url], error);
    if let Dialect::Introspection { client_id, .. } = &endpoint.dialect
        && (client_id.is_empty() || !client_id.bytes().all(|byte| matches!(byte, b' '..=b'~')))
    {
        let message = "`client_id` is empty or not printable ASCII".to_owned();
        error("client_id", message, "the name that the issuer knows the gate by (RFC 6749, section 2.2)");
    }
    if !endpoint.prefix.bytes().all(is_of_token) {
        let message = format!("no token begins with `{}`", endpoint.prefix.escape_debug());
        error("prefix", message, "tokens consist of letters, digits and `-._~+/`");
    }
    let times = [
        ("timeout", endpoint.timeout, MAX_TIMEOUT, "clients do not wait that long for their answer"),
        ("remember", endpoint.remember, MAX_REMEMBER, "a revoked token goes on working for that long"),
        (
            "remember_briefly",
            endpoint.remember_briefly,
            MAX_REMEMBER_BRIEFLY,
            "a token that comes before its issuer knows it is refused for that long",
        ),
    ];
    for (field, time, most, help) in times {
        if time > most {
            error(field, format!("`{field}` is {time:?}, more than {most:?}"), help);
        }
    }
}

/// A character of a token (RFC 6750, section 2.1).
fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
}
