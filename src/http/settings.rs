//! What the file says of requests: the bounds of their heads, the hosts that they name, and the `trusted_proxies`, whose
//! statements about the client count.

use ipnet::{IpNet, Ipv4Net};

use super::head::HeadLimits;
use super::path::MAX_PATH_BYTES;
use super::query::MAX_QUERY_BYTES;
use super::{HopField, Host, Scheme, TrustedProxies};
use crate::diagnostic::Report;
use crate::document::scalar::{choice, count, set, size};
use crate::document::{Fields, Node, Spelling};

/// Reads `trusted_proxies`.
pub(crate) fn trusted_proxies(node: &Node, report: &mut Report) -> TrustedProxies {
    let mut proxies = TrustedProxies::default();
    let Some(mut fields) = node.fields("`trusted_proxies`", Spelling::Exact, report) else {
        return proxies;
    };
    if let Some(node) = fields.required("addresses", report) {
        (proxies.networks, proxies.unix) = peers(node, report);
    }
    let written = [("x-forwarded-for", HopField::XForwardedFor), ("forwarded", HopField::Forwarded)];
    let field = |node: &Node, report: &mut Report| choice(node, &written, report);
    set(&mut fields, "header", &mut proxies.field, field, report);
    let schemes = [("http", Some(Scheme::Http)), ("https", Some(Scheme::Https))];
    let scheme = |node: &Node, report: &mut Report| choice(node, &schemes, report);
    set(&mut fields, "client_scheme", &mut proxies.scheme, scheme, report);
    fields.finish(report);
    proxies
}

/// The proxies that are named: the networks of their addresses, and whether those at the other end of Unix sockets are.
pub(crate) fn peers(node: &Node, report: &mut Report) -> (Vec<IpNet>, bool) {
    let items = node.strings(report);
    if items.is_empty() {
        report
            .error(&node.span, "no proxy is named")
            .help("leave the section out where clients connect to the gate themselves");
    }
    let (mut networks, mut unix) = (Vec::new(), false);
    for (text, item) in items {
        match network(text) {
            None if text == "unix" => unix = true,
            Some(network) if network.prefix_len() == 0 => {
                report
                    .error(&item.span, "every client would be trusted")
                    .help("name the addresses that the proxies connect from, like `10.0.0.0/8`");
            }
            Some(network) if network.trunc() != network => {
                report
                    .error(&item.span, format!("`{text}` is an address within a network"))
                    .help(format!("the network is `{}`", network.trunc()));
            }
            Some(network) => match of_ipv4(network) {
                Some(own) => {
                    report
                        .error(&item.span, format!("`{text}` is a network of IPv4, written as one of IPv6"))
                        .help(format!("write `{own}`: a client of IPv4 always has that form here"));
                }
                None => networks.push(network),
            },
            None => {
                report.error(&item.span, format!("`{text}` is not an address or a network")).help(
                    "write `10.0.0.7`, `10.0.0.0/8` or `2001:db8::/32`; or `unix` for all Unix sockets",
                );
            }
        }
    }
    (networks, unix)
}

/// The network of IPv4 that one of IPv6 stands for (RFC 4291, section 2.5.5.2).
fn of_ipv4(network: IpNet) -> Option<Ipv4Net> {
    let IpNet::V6(network) = network else { return None };
    let prefix = network.prefix_len().checked_sub(96)?;
    Ipv4Net::new(network.network().to_ipv4_mapped()?, prefix).ok()
}

/// A network, or an address as the network of it alone.
fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| Some(IpNet::from(text.parse::<std::net::IpAddr>().ok()?)))
}

impl HeadLimits {
    /// Reads its fields of `limits`.
    pub(crate) fn read(fields: &mut Fields<'_>, report: &mut Report) -> Self {
        let mut limits = Self::default();
        let bytes = |node: &Node, report: &mut Report| {
            let bytes = size(node, report).and_then(|bytes| usize::try_from(bytes).ok());
            at_most(bytes, 1 << 20, node, report)
        };
        let header_fields =
            |node: &Node, report: &mut Report| at_most(count(node, 4096, report), 256, node, report);
        let target = |node: &Node, report: &mut Report| {
            let bytes = size(node, report).and_then(|bytes| usize::try_from(bytes).ok());
            at_most(bytes, MAX_PATH_BYTES + MAX_QUERY_BYTES, node, report)
        };
        set(fields, "head_bytes", &mut limits.bytes, bytes, report);
        set(fields, "head_fields", &mut limits.fields, header_fields, report);
        set(fields, "target_bytes", &mut limits.target, target, report);
        limits
    }
}

/// Refuses values beyond what heads of any client need.
fn at_most(value: Option<usize>, most: usize, node: &Node, report: &mut Report) -> Option<usize> {
    if value.is_some_and(|value| value > most) {
        report.error(&node.span, "the limit is beyond what can be read").help(format!("{most} is the most"));
    }
    value
}

/// A list of names, or `*` for any.
pub(crate) fn hosts(node: &Node, report: &mut Report) -> Vec<String> {
    let mut hosts = Vec::new();
    for (text, item) in node.strings(report) {
        let plain = ::http::HeaderValue::from_str(text)
            .ok()
            .and_then(|value| Host::parse(&value).ok())
            .is_some_and(|host| host.as_str() == text.to_ascii_lowercase());
        if text == "*" || plain {
            hosts.push(text.to_ascii_lowercase());
        } else {
            report
                .error(&item.span, format!("`{text}` is not a host"))
                .help("write a name without scheme, port or trailing dot, or `*` for any host");
        }
    }
    hosts
}
