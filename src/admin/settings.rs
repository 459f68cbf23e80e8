//! The `admin` of the file: the operator's address, the names it is asked by, and who may read policy there.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::authn::Secret;
use crate::diagnostic::Report;
use crate::document::location::located;
use crate::document::scalar::{count, set, size, socket_address};
use crate::document::{Fields, Node, Spelling, Value};
use crate::http::settings::hosts;
use crate::recent::RecentLimits;

/// Most lines of decisions in memory.
const MOST_LINES: usize = 1_000_000;
/// Most bytes of them.
const MOST_BYTES: usize = 1024 * 1024 * 1024;

/// The operator's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// The names that it may be asked by, beside addresses and `localhost`; lower case, `*` for any.
    pub hosts: Vec<String>,
    /// Connections at one time, to each of its addresses.
    pub connections: usize,
    /// Who may read policy; `None` for no client.
    pub explain: Option<Explain>,
    /// The last decisions that are kept to be explained.
    pub recent: RecentLimits,
}

/// Who may read policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explain {
    /// An address of its own for that; that of the other endpoints without one.
    pub address: Option<SocketAddr>,
    /// The file with the token that a client has to show; none is needed without one.
    pub token_file: Option<PathBuf>,
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 9901)),
            hosts: Vec::new(),
            connections: 64,
            explain: Some(Explain::default()),
            recent: RecentLimits::default(),
        }
    }
}

impl AdminSettings {
    /// Fewest bytes of a token: a shorter one can be guessed.
    pub const SHORTEST_TOKEN: usize = 16;

    /// The most files that its connections take: one each, and one more is accepted before another is closed.
    pub fn files(&self) -> usize {
        let addresses =
            1 + usize::from(self.explain.as_ref().is_some_and(|explain| explain.address.is_some()));
        addresses.saturating_mul(self.connections.saturating_add(1))
    }
}

/// Reads `admin`.
pub(crate) fn admin(node: &Node, base: &Path, report: &mut Report) -> Option<AdminSettings> {
    let mut fields = node.fields("`admin`", Spelling::Exact, report)?;
    let mut settings = AdminSettings::default();
    let address = fields.required("address", report).and_then(|node| socket_address(node, report));
    if let Some(node) = fields.optional("hosts") {
        settings.hosts = hosts(node, report);
    }
    let connections = |node: &Node, report: &mut Report| count(node, 10_000, report);
    set(&mut fields, "connections", &mut settings.connections, connections, report);
    if let Some(node) = fields.optional("explain") {
        settings.explain = explain(node, address, base, report);
    }
    if let Some(node) = fields.optional("recent") {
        settings.recent = recent(node, report);
    }
    fields.finish(report);
    Some(AdminSettings { address: address?, ..settings })
}

fn recent(node: &Node, report: &mut Report) -> RecentLimits {
    let mut limits = RecentLimits::default();
    let Some(mut fields) = node.fields("`recent`", Spelling::Exact, report) else { return limits };
    let lines = |node: &Node, report: &mut Report| match node.value {
        // None are kept.
        Value::Integer(0) => Some(0),
        _ => count(node, MOST_LINES, report),
    };
    set(&mut fields, "lines", &mut limits.lines, lines, report);
    let bytes = |node: &Node, report: &mut Report| {
        let bytes = size(node, report)?;
        let fits = usize::try_from(bytes).ok().filter(|bytes| *bytes <= MOST_BYTES);
        if fits.is_none() {
            report
                .error(&node.span, format!("this is more than {} MiB", MOST_BYTES / 1024 / 1024))
                .help("write at most that: older decisions are in the audit log");
        }
        fits
    };
    set(&mut fields, "bytes", &mut limits.bytes, bytes, report);
    fields.finish(report);
    limits
}

fn explain(node: &Node, admin: Option<SocketAddr>, base: &Path, report: &mut Report) -> Option<Explain> {
    match &node.value {
        // What `off` is depends on the version of YAML.
        Value::Bool(false) => return None,
        Value::String(text) if text == "off" => return None,
        Value::Map(_) => {}
        _ => {
            report
                .error(&node.span, "neither `address` nor `token_file` says who may read policy")
                .help("write `off`, or `{address: 127.0.0.1:9902, token_file: FILE}`, one of them or both");
            return None;
        }
    }
    let mut fields = node.fields("`explain`", Spelling::Exact, report)?;
    let address = fields.optional("address").and_then(|node| {
        let address = socket_address(node, report)?;
        if Some(address) == admin && address.port() != 0 {
            report
                .error(&node.span, "this is the address of `admin`")
                .help("choose another one, or leave it out: then policy can be read there");
        }
        Some(address)
    });
    let token_file = token_file(&mut fields, base, report);
    fields.finish(report);
    Some(Explain { address, token_file })
}

fn token_file(fields: &mut Fields<'_>, base: &Path, report: &mut Report) -> Option<PathBuf> {
    let node = fields.optional("token_file")?;
    let path = located(base, node.string(report)?);
    match Secret::read(&path) {
        Ok(secret) if secret.len() < AdminSettings::SHORTEST_TOKEN => {
            report
                .error(
                    &node.span,
                    format!(
                        "the token has fewer than {} bytes: it can be guessed",
                        AdminSettings::SHORTEST_TOKEN
                    ),
                )
                .help("make one, for example with `openssl rand -hex 32`");
        }
        Ok(_) => {}
        Err(error) => {
            report.error(&node.span, format!("`{}` holds no token: {error}", path.display())).help(
                "paths are relative to the configuration file; the file holds the token and nothing else",
            );
        }
    }
    Some(path)
}
