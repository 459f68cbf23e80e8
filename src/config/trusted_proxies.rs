//! The `trusted_proxies` of the file: the proxies whose statements about the client count.

use ipnet::IpNet;

use super::check::{choice, set};
use crate::diagnostic::Report;
use crate::document::{Node, Spelling};
use crate::http::{HopField, Scheme, TrustedProxies};

/// Reads `trusted_proxies`.
pub(super) fn trusted_proxies(node: &Node, report: &mut Report) -> TrustedProxies {
    let mut proxies = TrustedProxies::default();
    let Some(mut fields) = node.fields("`trusted_proxies`", Spelling::Exact, report) else {
        return proxies;
    };
    if let Some(node) = fields.required("addresses", report) {
        proxies.networks = networks(node, report);
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

fn networks(node: &Node, report: &mut Report) -> Vec<IpNet> {
    let items = node.strings(report);
    if items.is_empty() {
        report
            .error(&node.span, "no proxy is named")
            .help("leave `trusted_proxies` out where clients connect to the gate themselves");
    }
    let mut networks = Vec::new();
    for (text, item) in items {
        match network(text) {
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
            Some(network) => networks.push(network),
            None => {
                report
                    .error(&item.span, format!("`{text}` is not an address or a network"))
                    .help("write `10.0.0.7`, `10.0.0.0/8` or `2001:db8::/32`");
            }
        }
    }
    networks
}

/// A network, or an address as the network of it alone.
fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| Some(IpNet::from(text.parse::<std::net::IpAddr>().ok()?)))
}
