//! Where a description says its API is: the host, and the path in front of all others.

use super::dialect::OpenApiVersion;
use crate::diagnostic::Report;
use crate::document::Node;
use crate::import::lookup::{entries, field, items, text};

/// The server of a description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Server {
    /// In lower case and without port.
    pub(super) host: Option<String>,
    /// The path in front of all others, without a slash at the end.
    pub(super) base: String,
}

impl Server {
    pub(super) fn of(root: &Node, dialect: OpenApiVersion, report: &mut Report) -> Self {
        match dialect {
            OpenApiVersion::Swagger2 => {
                let host = text(root, "host").map(host_of);
                Self { host, base: base_of(text(root, "basePath").unwrap_or_default()) }
            }
            OpenApiVersion::OpenApi3 => {
                let Some(servers) = field(root, "servers") else { return Self::default() };
                Self::listed(servers, report).unwrap_or_default()
            }
        }
    }

    /// The first of a list of servers; what the others say differently is reported.
    pub(super) fn listed(servers: &Node, report: &mut Report) -> Option<Self> {
        let read: Vec<(Self, &Node)> =
            items(servers).iter().filter_map(|node| Some((Self::read(node)?, node))).collect();
        let is_local = |server: &Self| {
            server.host.as_deref().is_some_and(|host| host == "localhost" || is_address(host))
        };
        let (chosen, _) = read.iter().find(|(server, _)| !is_local(server)).or(read.first())?;
        for (other, node) in &read {
            if other.base != chosen.base {
                report
                    .warning(&node.span, format!("the paths of this server begin with `{}/`", other.base))
                    .help(format!("only those that begin with `{}/` are translated", chosen.base));
            } else if let (Some(host), true) = (&other.host, other.host != chosen.host && !is_local(other)) {
                report
                    .note(&node.span, format!("the API has another host: `{host}`"))
                    .help("list it under `hosts` of the service in the configuration if clients call it");
            }
        }
        Some(chosen.clone())
    }

    /// One server. Its variables have their defaults.
    fn read(node: &Node) -> Option<Self> {
        let mut url = text(node, "url")?.to_owned();
        if let Some(variables) = field(node, "variables") {
            for (name, _, variable) in entries(variables) {
                url = url.replace(&format!("{{{name}}}"), text(variable, "default").unwrap_or_default());
            }
        }
        let (host, path) = match url.split_once("://") {
            Some((_, rest)) => {
                let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (Some(host_of(host)).filter(|host| !host.is_empty()), path)
            }
            None => (None, url.as_str()),
        };
        Some(Self { host, base: base_of(path.split(['?', '#']).next().unwrap_or_default()) })
    }
}

fn host_of(authority: &str) -> String {
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = if host.starts_with('[') { host } else { host.split(':').next().unwrap_or_default() };
    host.to_ascii_lowercase()
}

fn is_address(host: &str) -> bool {
    host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok()
}

fn base_of(path: &str) -> String {
    let path = path.trim_matches('/');
    if path.is_empty() { String::new() } else { format!("/{path}") }
}
