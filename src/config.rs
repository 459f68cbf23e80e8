//! The operator's file, `opgate.yaml`, as written and as checked.
//!
//! A value's precedence is flag (`--set upstreams.ops.endpoints.0=10.0.0.1:80`), environment
//! a misspelt one is refused like a misspelt key. Every key, its default and its meaning are in `config/opgate.yaml`.

mod admin;
mod assertion;
mod check;
mod keys;
mod limits;
mod location;
mod overrides;
mod possession;
mod request_headers;
mod scalars;
mod sections;
mod service_accounts;
mod tls;
mod tokens;
mod trusted_proxies;
mod upgrade;
mod upstreams;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::admin::{AdminSettings, Explain};
pub use self::overrides::Override;
pub(crate) use self::scalars::parse_duration;
pub use self::sections::{Part, Sections};
pub use self::tls::{ListenerTls, UpstreamTls};
pub use self::upgrade::Upgrade;
pub use self::upstreams::{EndpointAddress, HealthCheck, Outliers, Timeouts, Upstream, UpstreamLimits};
use crate::assertion::AssertionSettings;
use crate::authn::IssuerSettings;
use crate::catalog::ExposureSettings;
use crate::decision::body::BodyLimits;
use crate::diagnostic::{Report, Span};
use crate::http::TrustedProxies;
use crate::http::head::HeadLimits;

/// A checked configuration: every value present and of its kind. References between sections hold.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect; at least one.
    pub listeners: Vec<Listener>,
    /// The operator's address: metrics, probes, explanations.
    pub admin: AdminSettings,
    /// The backends.
    pub upstreams: Vec<Upstream>,
    /// Which services are exposed, where, and to which upstream.
    pub services: Vec<ExposureSettings>,
    /// The issuers whose tokens are accepted.
    pub issuers: Vec<Issuer>,
    /// How the gate signs assertions about the caller for backends; `None` where it does not.
    pub assertion: Option<AssertionSettings>,
    /// The root of the policy tree.
    pub policy_directory: PathBuf,
    /// Identity pools that policies may name though no caller of this gate is of them.
    pub foreign_pools: Vec<String>,
    /// Bounds in bytes and time.
    pub limits: Limits,
    /// The proxies in front whose statements about their clients count.
    pub trusted_proxies: TrustedProxies,
    /// Where audit lines go.
    pub audit: AuditOutput,
    /// The level and format of the operator's log.
    pub telemetry: Telemetry,
    /// How the next process takes over; `None` where it cannot.
    pub upgrade: Option<Upgrade>,
    /// Threads that serve requests.
    pub workers: usize,
}

/// An issuer and where its settings are written.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// What it is.
    pub settings: IssuerSettings,
    /// Where each field stands; `name` is the entry's key.
    pub spans: Vec<(&'static str, Span)>,
}

/// A socket that clients connect to.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Whether HTTP/2 is spoken beside HTTP/1.1: agreed on by ALPN, or with prior knowledge where there is no TLS.
    pub http2: bool,
    /// The TLS settings; `None` for plain text.
    pub tls: Option<ListenerTls>,
}

/// The protocol spoken to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 with connection reuse.
    H1,
    /// HTTP/2 without TLS, by prior knowledge.
    H2c,
    /// HTTP/2 over TLS, agreed on by ALPN.
    H2,
}

/// Bounds on what a client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of request heads.
    pub head: HeadLimits,
    /// From the first byte of a head to its last.
    pub head_timeout: Duration,
    /// For a TLS handshake, from the connection to its end.
    pub handshake_timeout: Duration,
    /// Of request bodies.
    pub body: BodyLimits,
    /// The time in which a client has to take a part of an answer.
    pub write_timeout: Duration,
    /// Requests under way at one time, of all connections.
    pub requests: usize,
    /// Of one principal.
    pub requests_per_principal: usize,
    /// Of one address: the client's, where a trusted proxy tells it.
    pub requests_per_address: usize,
    /// Requests over HTTP/2 that are not allowed at one time: being judged, or refused and their answer not taken. Each
    /// holds its head, of up to `head.bytes` and 128 bytes for each field, and some 8 KiB beside it.
    pub pending_requests: usize,
    /// The same of one address.
    pub pending_requests_per_address: usize,
    /// Requests under way at one time, of one HTTP/2 connection.
    pub http2_streams: usize,
    /// Streams of one HTTP/2 connection that may be reset ahead of any that is answered.
    pub http2_resets: usize,
    /// For a body to arrive in full.
    pub body_timeout: Duration,
    /// Between two requests of a connection.
    pub idle_timeout: Duration,
    /// Of clients, at one time.
    pub connections: usize,
    /// From one address, at one time.
    pub connections_per_address: usize,
    /// After which a connection takes no more requests.
    pub connection_lifetime: Duration,
    /// From SIGTERM until connections are cut.
    pub grace_period: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: HeadLimits::default(),
            head_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            body: BodyLimits::default(),
            write_timeout: Duration::from_secs(10),
            requests: 10_000,
            requests_per_principal: 1_000,
            requests_per_address: 1_000,
            pending_requests: 1_000,
            pending_requests_per_address: 250,
            http2_streams: 100,
            http2_resets: 100,
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            connections: 10_000,
            connections_per_address: 1_000,
            connection_lifetime: Duration::from_secs(3600),
            grace_period: Duration::from_secs(30),
        }
    }
}

/// Where audit lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditOutput {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Appended to a file.
    File(PathBuf),
}

impl std::fmt::Display for AuditOutput {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdout => formatter.write_str("stdout"),
            Self::Stderr => formatter.write_str("stderr"),
            Self::File(path) => path.display().fmt(formatter),
        }
    }
}

/// The operator's log, on standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// A tracing filter: `info`, `opgate=debug,pingora=warn`.
    pub log: String,
    /// JSON lines instead of text.
    pub json: bool,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { log: "info".to_owned(), json: false }
    }
}

/// Where a configuration comes from: all that it takes to load it again.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The file.
    pub path: PathBuf,
    /// Values that replace those of the file; the last one wins.
    pub overrides: Vec<Override>,
}

impl Origin {
    /// Loads the configuration. What is wrong is in the report.
    pub fn load(&self, report: &mut Report) -> Option<Config> {
        Config::load(&self.path, &self.overrides, report)
    }

    /// Reads the configuration section by section. What is wrong with the file as a whole is in the report.
    pub fn sections(&self, report: &mut Report) -> Option<Sections> {
        Sections::read(&self.path, &self.overrides, report)
    }
}

impl Config {
    /// Reads and checks a file. What is wrong is in the report; `None` where nothing can be made of it.
    pub fn load(path: &Path, overrides: &[Override], report: &mut Report) -> Option<Self> {
        let mut whole = Report::new();
        let sections = Sections::read(path, overrides, &mut whole);
        let config = sections.and_then(|sections| sections.into_config(report));
        report.absorb(whole);
        config
    }
}

#[cfg(test)]
mod tests;
