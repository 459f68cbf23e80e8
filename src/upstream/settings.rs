//! The `upstreams` of the file: the backends, how they are reached, and when an endpoint is left out.

mod dns;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use self::dns::DnsSettings;
pub(crate) use self::dns::dns;
use crate::diagnostic::Report;
use crate::document::scalar::{choice, count, duration, set};
use crate::document::{Node, Spelling, Value};
use crate::tls::UpstreamTls;
use crate::tls::settings as tls;

/// A backend: equal endpoints, used in turn.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    /// Its name in the file.
    pub name: String,
    /// Where it is, as written.
    pub endpoints: Vec<EndpointAddress>,
    /// The protocol.
    pub protocol: Protocol,
    /// The TLS settings; `None` for plain text.
    pub tls: Option<UpstreamTls>,
    /// How long each step may take.
    pub timeouts: Timeouts,
    /// How endpoints are checked; `None` where they are not.
    pub health_check: Option<HealthCheck>,
    /// When an endpoint that fails requests is left out.
    pub outliers: Outliers,
    /// Its bounds at one time.
    pub limits: UpstreamLimits,
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

/// Where an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointAddress {
    /// An address and a port.
    Socket(SocketAddr),
    /// A host name and a port, `backend.example.com:443`: one endpoint for each address that the name has.
    Named(Arc<str>),
    /// The name of a service, `_http._tcp.backend.example.com`: its SRV records (RFC 2782) say which hosts and ports.
    Service(Arc<str>),
}

impl std::fmt::Display for EndpointAddress {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(formatter),
            Self::Named(name) => formatter.write_str(name),
            Self::Service(name) => write!(formatter, "srv:{name}"),
        }
    }
}

impl std::str::FromStr for EndpointAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = text.rsplit_once(':').ok_or("there is no port")?;
        let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
        if !is_port || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("the port is not a number from 1 to 65535");
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Socket(address));
        }
        if !is_name(host) {
            return Err("the host is neither a name nor an address");
        }
        Ok(Self::Named(text.into()))
    }
}

/// Names that a resolver takes: those of RFC 1123 and those with underscores, no longer than RFC 1035 allows.
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(plain);
    text.len() <= 253 && text.strip_suffix('.').unwrap_or(text).split('.').all(is_label)
}

/// How long an exchange with an upstream may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection to be established, TLS included.
    pub connect: Duration,
    /// Between two reads of an answer, the first included.
    pub response: Duration,
    /// For the whole exchange, from the choice of an endpoint to the last byte of the answer.
    pub total: Duration,
    /// How long an unused connection is kept.
    pub idle: Duration,
    /// How long neither side of a gRPC stream may send anything. It stands in place of `response` there, and `total` does not
    /// bound a stream.
    pub grpc_idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(2),
            response: seconds(60),
            total: seconds(600),
            idle: seconds(60),
            grpc_idle: seconds(300),
        }
    }
}

/// How the health of an endpoint is checked, beside the requests that it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is fetched, over the upstream's protocol; `None` for a connection alone.
    pub path: Option<String>,
    /// From the beginning of one check to that of the next.
    pub interval: Duration,
    /// For a check, from the connection to the answer's head.
    pub timeout: Duration,
    /// Failed checks in a row that take a healthy endpoint out.
    pub unhealthy_after: usize,
    /// Passed checks in a row that bring it back.
    pub healthy_after: usize,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            path: None,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            unhealthy_after: 3,
            healthy_after: 2,
        }
    }
}

/// When an endpoint that fails requests is left out, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outliers {
    /// Failures in a row that eject it.
    pub failures: usize,
    /// How long it is left out the first time; twice as long each time the trial after it fails.
    pub ejection: Duration,
    /// How long at the most.
    pub longest_ejection: Duration,
}

impl Default for Outliers {
    fn default() -> Self {
        Self { failures: 5, ejection: Duration::from_secs(10), longest_ejection: Duration::from_secs(300) }
    }
}

/// The bounds of an upstream at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamLimits {
    /// Exchanges under way, over all endpoints.
    pub requests: usize,
    /// Requests that wait for one of them to end.
    pub pending: usize,
    /// How long one waits.
    pub pending_timeout: Duration,
}

impl Default for UpstreamLimits {
    fn default() -> Self {
        // As many as the gate takes at all: slow clients of one upstream must not limit the others. An operator who
        // knows what a backend can take writes less.
        Self { requests: 10_000, pending: 1_000, pending_timeout: Duration::from_secs(1) }
    }
}

/// Reads `upstreams`.
pub(crate) fn upstreams(node: &Node, base: &Path, report: &mut Report) -> Vec<UpstreamSettings> {
    let entries = node.entries(report).unwrap_or_default();
    entries.into_iter().filter_map(|(name, _, node)| upstream(name, node, base, report)).collect()
}

fn upstream(name: &str, node: &Node, base: &Path, report: &mut Report) -> Option<UpstreamSettings> {
    let mut fields = node.fields("an upstream", Spelling::Exact, report)?;
    let endpoints_node = fields.required("endpoints", report);
    let endpoints = endpoints_node.map(|node| endpoints(node, report)).unwrap_or_default();
    let protocols = [("h1", Protocol::H1), ("h2c", Protocol::H2c), ("h2", Protocol::H2)];
    let protocol_node = fields.optional("protocol");
    let protocol = protocol_node.and_then(|node| choice(node, &protocols, report)).unwrap_or(Protocol::H1);
    let tls_node = fields.optional("tls");
    let tls = tls_node.map(|node| tls::upstream(node, endpoints_node, base, report));
    // Nothing must be sent without the TLS that is written.
    let (tls, endpoints) = match tls {
        Some(None) => (None, Vec::new()),
        tls => (tls.flatten(), endpoints),
    };
    fits(protocol, protocol_node, tls_node.is_some(), report);
    let timeouts = fields.optional("timeouts").map(|node| timeouts(node, report)).unwrap_or_default();
    let health_check = fields.optional("health_check").and_then(|node| health_check(node, report));
    let outliers = fields.optional("outliers").map(|node| outliers(node, report)).unwrap_or_default();
    let limits = fields.optional("limits").map(|node| limits(node, report)).unwrap_or_default();
    fields.finish(report);
    Some(UpstreamSettings {
        name: name.to_owned(),
        endpoints,
        protocol,
        tls,
        timeouts,
        health_check,
        outliers,
        limits,
    })
}

/// HTTP/2 is spoken in one way over TLS and in another without.
fn fits(protocol: Protocol, written: Option<&Node>, tls: bool, report: &mut Report) {
    let Some(node) = written else { return };
    match (protocol, tls) {
        (Protocol::H2, false) => {
            report
                .error(&node.span, "`h2` is HTTP/2 over TLS, and the upstream has no `tls`")
                .help("add `tls: {}`, or write `h2c` for HTTP/2 without TLS");
        }
        (Protocol::H2c, true) => {
            report
                .error(&node.span, "`h2c` is HTTP/2 without TLS, and the upstream has `tls`")
                .help("write `h2`");
        }
        _ => {}
    }
}

fn endpoints(node: &Node, report: &mut Report) -> Vec<EndpointAddress> {
    let items = node.list(report).unwrap_or_default();
    if items.is_empty() {
        report.error(&node.span, "the upstream has no endpoint").help("list at least one `host:port`");
    }
    let mut addresses = Vec::new();
    for item in items {
        let address = match &item.value {
            Value::Map(_) => service(item, report),
            _ => endpoint(item, report),
        };
        addresses.extend(address.filter(|address| !addresses.contains(address)));
    }
    addresses
}

fn endpoint(item: &Node, report: &mut Report) -> Option<EndpointAddress> {
    let text = item.string(report)?;
    match text.parse() {
        Ok(address) => Some(address),
        Err(why) => {
            report.error(&item.span, format!("`{text}` is not an endpoint: {why}")).help(
                "write `host:port`, with a name or an address; brackets are around an IPv6 address; or `{srv: NAME}`",
            );
            None
        }
    }
}

/// The endpoints that SRV records name.
fn service(item: &Node, report: &mut Report) -> Option<EndpointAddress> {
    let mut fields = item.fields("an endpoint", Spelling::Exact, report)?;
    let name = fields.required("srv", report);
    fields.finish(report);
    let node = name?;
    let text = node.string(report)?;
    if !is_name(text) {
        report
            .error(&node.span, format!("`{text}` is not the name of a service"))
            .help("write it without a port, which its SRV records have: `_http._tcp.backend.internal`");
        return None;
    }
    Some(EndpointAddress::Service(text.into()))
}

fn timeouts(node: &Node, report: &mut Report) -> Timeouts {
    let mut timeouts = Timeouts::default();
    let Some(mut fields) = node.fields("`timeouts`", Spelling::Exact, report) else {
        return timeouts;
    };
    set(&mut fields, "connect", &mut timeouts.connect, duration, report);
    set(&mut fields, "response", &mut timeouts.response, duration, report);
    set(&mut fields, "total", &mut timeouts.total, duration, report);
    set(&mut fields, "idle", &mut timeouts.idle, duration, report);
    set(&mut fields, "grpc_idle", &mut timeouts.grpc_idle, duration, report);
    let span = fields.key("total").or(fields.key("response")).map(|node| node.span.clone());
    fields.finish(report);
    if let Some(span) = span
        && timeouts.total < timeouts.response
    {
        report
            .error(&span, "the whole exchange has less time than one read of its answer")
            .help("`total` is the longest that an exchange may take, `response` the longest pause in it");
    }
    timeouts
}

fn health_check(node: &Node, report: &mut Report) -> Option<HealthCheck> {
    let mut fields = node.fields("`health_check`", Spelling::Exact, report)?;
    let path = fields.optional("path").and_then(|node| path(node, report));
    let mut check = HealthCheck { path, ..HealthCheck::default() };
    set(&mut fields, "interval", &mut check.interval, duration, report);
    set(&mut fields, "timeout", &mut check.timeout, duration, report);
    set(&mut fields, "unhealthy_after", &mut check.unhealthy_after, in_a_row, report);
    set(&mut fields, "healthy_after", &mut check.healthy_after, in_a_row, report);
    fields.finish(report);
    Some(check)
}

fn path(node: &Node, report: &mut Report) -> Option<String> {
    let text = node.string(report)?;
    let is_path = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if !is_path {
        report.error(&node.span, format!("`{text}` is not a path to fetch")).help(
            "write it as it goes on the wire, like `/healthz`; leave it out to check the connection alone",
        );
    }
    is_path.then(|| text.to_owned())
}

fn outliers(node: &Node, report: &mut Report) -> Outliers {
    let mut outliers = Outliers::default();
    let Some(mut fields) = node.fields("`outliers`", Spelling::Exact, report) else {
        return outliers;
    };
    set(&mut fields, "failures", &mut outliers.failures, in_a_row, report);
    set(&mut fields, "ejection", &mut outliers.ejection, duration, report);
    set(&mut fields, "longest_ejection", &mut outliers.longest_ejection, duration, report);
    let span = fields.span().clone();
    fields.finish(report);
    if outliers.longest_ejection < outliers.ejection {
        report
            .error(&span, "the longest ejection is shorter than the first")
            .help("`ejection` doubles each time, up to `longest_ejection`");
    }
    outliers
}

fn limits(node: &Node, report: &mut Report) -> UpstreamLimits {
    let mut limits = UpstreamLimits::default();
    let Some(mut fields) = node.fields("`limits`", Spelling::Exact, report) else {
        return limits;
    };
    let requests = |node: &Node, report: &mut Report| count(node, 1_000_000, report);
    set(&mut fields, "requests", &mut limits.requests, requests, report);
    set(&mut fields, "pending", &mut limits.pending, requests, report);
    set(&mut fields, "pending_timeout", &mut limits.pending_timeout, duration, report);
    fields.finish(report);
    limits
}

fn in_a_row(node: &Node, report: &mut Report) -> Option<usize> {
    count(node, 1_000, report)
}
