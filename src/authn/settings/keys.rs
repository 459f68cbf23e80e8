//! Where an issuer's keys are, and how often they are fetched.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;

use crate::diagnostic::{Report, Span};
use crate::document::location::located;
use crate::document::scalar::{choice, duration, set};
use crate::document::{Fields, Node, Spelling};

/// The placeholder for a service account in the address of its keys.
const EMAIL: &str = "{email}";
/// Most URLs of one key set.
const MAX_URLS: usize = 8;

/// Where an issuer's JWK Set is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In a file, read when the settings are loaded.
    File(PathBuf),
    /// From a server, fetched at start and again in the background.
    Remote(RemoteKeys),
}

/// A JWK Set that is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteKeys {
    /// The address that is asked.
    pub location: KeyLocation,
    /// From one fetch to the next, at the most: the answer's `Cache-Control` can shorten it.
    pub refresh: Duration,
    /// How long the last good set is used while fetches fail.
    pub max_stale: Duration,
    /// From one fetch for an unknown key to the next.
    pub cool_down: Duration,
    /// PEM file of the only CAs that the server's certificate may come from; the system's without it.
    pub ca: Option<PathBuf>,
    /// File of the token that the server asks for, which is sent as a bearer token. Read for each fetch.
    pub token_file: Option<PathBuf>,
    /// URL of the proxy through which the keys are fetched; none without it.
    pub proxy: Option<String>,
}

/// The address of a JWK Set. It comes from the operator, or from a document of the issuer that the operator named, and
/// never from a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyLocation {
    /// `https://…`; `http://` for a loopback address only.
    Url(String),
    /// Several of them: the keys are those of all.
    Urls(Vec<String>),
    /// `jwks_uri` of the issuer's metadata.
    Discovery {
        /// Where the metadata is.
        document: WellKnown,
        /// Hosts (`HOST` or `HOST:PORT`) that `jwks_uri` may lead to beside the issuer's own.
        hosts: Vec<String>,
    },
}

/// The two standards for an issuer's metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WellKnown {
    /// `ISSUER/.well-known/openid-configuration` (OpenID Connect Discovery, section 4).
    OpenId,
    /// `https://HOST/.well-known/oauth-authorization-server/PATH` (RFC 8414, section 3).
    OAuth,
}

impl KeySource {
    /// A URL with the default times and the system's CAs.
    pub fn url(url: impl Into<String>) -> Self {
        Self::Remote(RemoteKeys::at(KeyLocation::Url(url.into())))
    }

    /// Whether the address has a place for the email of a service account.
    pub fn is_template(&self) -> bool {
        match self {
            Self::File(path) => path.to_string_lossy().contains(EMAIL),
            Self::Remote(RemoteKeys { location: KeyLocation::Url(url), .. }) => url.contains(EMAIL),
            Self::Remote(RemoteKeys { location: KeyLocation::Urls(urls), .. }) => {
                urls.iter().all(|url| url.contains(EMAIL))
            }
            Self::Remote(_) => false,
        }
    }

    /// The same for one service account.
    pub(super) fn of_account(&self, email: &str) -> Self {
        match self {
            Self::File(path) => Self::File(path.to_string_lossy().replace(EMAIL, email).into()),
            Self::Remote(keys) => {
                let mut keys = keys.clone();
                let urls = match &mut keys.location {
                    KeyLocation::Url(url) => std::slice::from_mut(url),
                    KeyLocation::Urls(urls) => urls.as_mut_slice(),
                    KeyLocation::Discovery { .. } => &mut [],
                };
                for url in urls {
                    *url = url.replace(EMAIL, email);
                }
                Self::Remote(keys)
            }
        }
    }
}

impl RemoteKeys {
    /// The default time from one fetch to the next.
    pub const DEFAULT_REFRESH: Duration = Duration::from_secs(600);
    /// The default time that keys are used while their issuer does not answer.
    pub const DEFAULT_MAX_STALE: Duration = Duration::from_secs(24 * 3600);
    /// The default time from one fetch for an unknown key to the next.
    pub const DEFAULT_COOL_DOWN: Duration = Duration::from_secs(10);
    /// More frequent fetches on schedule would burden the issuer, whatever its `Cache-Control` says.
    pub const MIN_REFRESH: Duration = Duration::from_secs(30);
    /// The bound for fetches that invented keys can cause.
    pub const MIN_COOL_DOWN: Duration = Duration::from_secs(1);

    /// Keys at an address, with the default times and the system's CAs.
    pub fn at(location: KeyLocation) -> Self {
        Self {
            location,
            refresh: Self::DEFAULT_REFRESH,
            max_stale: Self::DEFAULT_MAX_STALE,
            cool_down: Self::DEFAULT_COOL_DOWN,
            ca: None,
            token_file: None,
            proxy: None,
        }
    }
}

/// What `discovery` may say.
const DOCUMENTS: [(&str, WellKnown); 2] = [("openid", WellKnown::OpenId), ("oauth", WellKnown::OAuth)];

/// Reads `keys`, and notes where its fields stand.
pub(super) fn keys(
    node: &Node,
    base: &Path,
    spans: &mut Vec<(&'static str, Span)>,
    report: &mut Report,
) -> Option<KeySource> {
    let mut fields = node.fields("`keys`", Spelling::Exact, report)?;
    let mut noted = |fields: &mut Fields<'_>, name| {
        let node = fields.optional(name);
        spans.extend(node.map(|node| (name, node.span.clone())));
        node.cloned()
    };
    let file = noted(&mut fields, "file");
    let url = noted(&mut fields, "url");
    let urls = noted(&mut fields, "urls");
    let discovery = noted(&mut fields, "discovery");
    let jwks_hosts = noted(&mut fields, "jwks_hosts");
    let ca = noted(&mut fields, "ca");
    let token_file = noted(&mut fields, "token_file");
    let proxy = noted(&mut fields, "proxy");
    let mut remote = RemoteKeys::at(KeyLocation::Url(String::new()));
    set(&mut fields, "refresh", &mut remote.refresh, duration, report);
    set(&mut fields, "max_stale", &mut remote.max_stale, duration, report);
    set(&mut fields, "cool_down", &mut remote.cool_down, duration, report);
    let span = fields.span().clone();
    fields.finish(report);

    let mut path = |node: Option<Node>| node?.string(report).map(|path| located(base, path));
    (remote.ca, remote.token_file) = (path(ca), path(token_file));
    remote.proxy = proxy.and_then(|node| node.string(report).map(str::to_owned));
    if let (Some(hosts), None) = (&jwks_hosts, &discovery) {
        report
            .error(&hosts.span, "`jwks_hosts` only has a meaning with `discovery`")
            .help("leave it out: the keys of a `url` are fetched from there and nowhere else");
    }
    match (file, url, urls, discovery) {
        (Some(file), None, None, None) => Some(KeySource::File(located(base, file.string(report)?))),
        (None, Some(url), None, None) => {
            remote.location = KeyLocation::Url(url.string(report)?.to_owned());
            Some(KeySource::Remote(remote))
        }
        (None, None, Some(urls), None) => {
            let urls = urls.strings(report).into_iter().map(|(url, _)| url.to_owned()).collect();
            remote.location = KeyLocation::Urls(urls);
            Some(KeySource::Remote(remote))
        }
        (None, None, None, Some(discovery)) => {
            let document = choice(&discovery, &DOCUMENTS, report)?;
            let hosts = jwks_hosts
                .map(|node| node.strings(report).into_iter().map(|(host, _)| host.to_owned()).collect());
            remote.location = KeyLocation::Discovery { document, hosts: hosts.unwrap_or_default() };
            Some(KeySource::Remote(remote))
        }
        _ => {
            report.error(&span, "`keys` needs one of `file`, `url`, `urls` and `discovery`").help(
                "a file holds the keys themselves; a URL is fetched again as `refresh` says, and several `urls` are one set; \
                 `discovery: openid` asks the issuer for the URL",
            );
            None
        }
    }
}

/// What is wrong with the settings of remote keys; `issuer` is the `iss` that discovery starts from.
pub(super) fn check(
    keys: &RemoteKeys,
    issuer: &str,
    error: &mut impl FnMut(&'static str, String, &'static str),
) {
    match &keys.location {
        KeyLocation::Url(url) => {
            if let Err((message, help)) = parse_url(url) {
                error("url", message, help);
            }
            check_proxy(keys.proxy.as_deref(), &[url], error);
        }
        KeyLocation::Urls(urls) => {
            if urls.is_empty() || urls.len() > MAX_URLS {
                let message = format!("{} URLs of keys", urls.len());
                error("urls", message, "name 1 to 8 of them");
            }
            for url in urls {
                if let Err((message, help)) = parse_url(url) {
                    error("urls", message, help);
                }
            }
            let origins: BTreeSet<String> =
                urls.iter().filter_map(|url| Url::parse(url).ok()).map(|url| origin(&url)).collect();
            if keys.token_file.is_some() && origins.len() > 1 {
                let message = "`token_file` would be shown to several hosts".to_owned();
                error("urls", message, "name URLs of one host, or leave `token_file` out");
            }
            check_proxy(keys.proxy.as_deref(), &urls.iter().map(String::as_str).collect::<Vec<_>>(), error);
        }
        KeyLocation::Discovery { hosts, .. } => {
            if let Err((message, help)) = parse_issuer(issuer) {
                error("discovery", message, help);
            }
            check_proxy(keys.proxy.as_deref(), &[issuer], error);
            for host in hosts {
                let named = Url::parse(&format!("https://{host}/")).ok();
                let whole = named.is_some_and(|url| origin(&url) == format!("https://{}", with_port(host)));
                // A pattern would never match.
                if !whole || host.contains('*') {
                    let message = format!("`{host}` is not a host");
                    error("jwks_hosts", message, "write `keys.example.com` or `keys.example.com:8443`");
                }
            }
        }
    }
    let RemoteKeys { refresh, max_stale, cool_down, .. } = keys;
    if *refresh < RemoteKeys::MIN_REFRESH {
        let message = format!("keys would be fetched every {refresh:?}");
        error("refresh", message, "30 s or more: an unknown key is fetched for at once anyway");
    }
    if max_stale <= refresh {
        let message = format!("keys would be dropped after {max_stale:?}, before the next fetch");
        error("max_stale", message, "make it longer than `refresh`");
    }
    if *cool_down < RemoteKeys::MIN_COOL_DOWN {
        let message = format!("invented keys could cause a fetch every {cool_down:?}");
        error("cool_down", message, "make it 1 s or more");
    }
}

/// A proxy carries what it cannot read: a URL of this machine would be one of the proxy's, in the clear.
pub(in crate::authn) fn check_proxy(
    proxy: Option<&str>,
    urls: &[&str],
    error: &mut impl FnMut(&'static str, String, &'static str),
) {
    let Some(proxy) = proxy else { return };
    let parsed = Url::parse(proxy).ok();
    let plain = parsed.is_some_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if !plain {
        let message = "the proxy is not the URL of a host".to_owned();
        error("proxy", message, "write `http://HOST:PORT`, without a user, a password or a path");
    }
    if urls.iter().any(|url| !url.starts_with("https://")) {
        let message = "what is fetched through a proxy has to be behind TLS".to_owned();
        error("proxy", message, "write `https://…` for the URL, or leave the proxy out");
    }
}

/// The URL of keys, or of an issuer that is asked: it must be safe from a forged answer on the way.
pub(in crate::authn) fn parse_url(text: &str) -> Result<Url, (String, &'static str)> {
    let url =
        Url::parse(text).map_err(|error| (format!("`{text}` is not a URL: {error}"), "write `https://…`"))?;
    if !url.username().is_empty() || url.password().is_some() {
        let message = "the URL holds a user or a password".to_owned();
        return Err((message, "leave it out: URLs are logged"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err((
            format!("`{text}` would be asked in the clear"),
            "write `https://…`; `http://` is for loopback addresses only",
        )),
        other => Err((format!("`{other}` URLs cannot be asked"), "write `https://…`")),
    }
}

/// An `iss` that has metadata (RFC 8414, section 2: no query and no fragment).
pub(in crate::authn) fn parse_issuer(issuer: &str) -> Result<Url, (String, &'static str)> {
    let help =
        "discovery needs an `issuer` like `https://login.example.com`; otherwise name the keys by `url`";
    let url = parse_url(issuer).map_err(|(message, _)| (message, help))?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err((format!("`{issuer}` has a query or a fragment"), help));
    }
    Ok(url)
}

/// Scheme, host and port, the port always written.
pub(in crate::authn) fn origin(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{}://{}:{port}", url.scheme(), url.host_str().unwrap_or_default())
}

/// `host` with the port of https where it names none.
pub(in crate::authn) fn with_port(host: &str) -> String {
    let port = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    if port { host.to_owned() } else { format!("{host}:443") }
}

fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
