//! The `dns` of the file: which servers are asked about the names of upstreams, and how often.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::diagnostic::Report;
use crate::document::scalar::{duration, set};
use crate::document::{Node, Spelling};

/// How the names of upstreams are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSettings {
    /// The servers that are asked; those of `/etc/resolv.conf` where there is none.
    pub servers: Vec<SocketAddr>,
    /// The longest time between two look-ups of a name. Its records may say a shorter one.
    pub refresh: Duration,
    /// For one look-up, with all that it asks.
    pub timeout: Duration,
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self { servers: Vec::new(), refresh: Duration::from_secs(30), timeout: Duration::from_secs(10) }
    }
}

/// Reads `dns`.
pub(crate) fn dns(node: &Node, report: &mut Report) -> DnsSettings {
    let mut dns = DnsSettings::default();
    let Some(mut fields) = node.fields("`dns`", Spelling::Exact, report) else { return dns };
    if let Some(node) = fields.optional("servers") {
        dns.servers = servers(node, report);
    }
    set(&mut fields, "refresh", &mut dns.refresh, duration, report);
    set(&mut fields, "timeout", &mut dns.timeout, duration, report);
    fields.finish(report);
    dns
}

fn servers(node: &Node, report: &mut Report) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for (text, item) in node.strings(report) {
        let address = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, 53));
        match text.parse().or(address) {
            Ok(server) if server.port() > 0 => servers.push(server),
            _ => {
                report.error(&item.span, format!("`{text}` is not the address of a DNS server")).help(
                    "write an IP address, with a port if it is not 53: `10.0.0.53` or `127.0.0.1:8600`",
                );
            }
        }
    }
    servers
}
