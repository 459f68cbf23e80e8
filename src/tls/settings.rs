//! The `tls` of listeners and upstreams: files are read and checked here, so that their mistakes are reported with the
//! rest of the configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{Authority, ClientRule, ClientTls, Flaw, ServerTls, TlsIdentity, authorities};
use crate::clock;
use crate::diagnostic::Report;
use crate::document::location::located;
use crate::document::scalar::choice;
use crate::document::{Fields, Node, Spelling, Value};
use crate::principal::is_pool_name;

/// The TLS settings of a listener, and the files that they were made of.
#[derive(Clone, Debug)]
pub struct ListenerTls {
    /// Ready to serve.
    pub server: Arc<ServerTls>,
    /// The files, to be looked at for changes.
    pub files: Vec<PathBuf>,
}

impl ListenerTls {
    /// The value that a listener reads for each handshake, and that a reload swaps.
    pub fn swappable(&self) -> Arc<ArcSwap<ServerTls>> {
        Arc::new(ArcSwap::new(self.server.clone()))
    }
}

/// The TLS settings of an upstream, and the files that they were made of.
#[derive(Clone, Debug)]
pub struct UpstreamTls {
    /// Ready to connect.
    pub client: ClientTls,
    /// The files, to be looked at for changes.
    pub files: Vec<PathBuf>,
}

/// The `tls` of a listener, as far as it is good.
#[derive(Debug)]
pub(crate) struct ReadListenerTls {
    /// All of it.
    pub whole: Option<ListenerTls>,
    /// What is required of clients; `None` where that is not known.
    pub clients: Option<Option<ClientRule>>,
    /// The files, to be looked at for changes.
    pub files: Vec<PathBuf>,
}

/// Reads the `tls` of a listener.
pub(crate) fn listener(
    node: &Node,
    base: &Path,
    http2: bool,
    report: &mut Report,
) -> Option<ReadListenerTls> {
    let mut fields = node.fields("`tls`", Spelling::Exact, report)?;
    let mut files = Vec::new();
    let identities =
        fields.required("certificates", report).and_then(|node| identities(node, base, &mut files, report));
    let mut of_clients = Report::new();
    let clients = clients(&mut fields, base, &mut files, &mut of_clients);
    // A misspelt name may have been meant for what is required of clients.
    fields.finish(&mut of_clients);
    let clients = clients.filter(|_| !of_clients.is_fatal());
    report.absorb(of_clients);
    let server = identities.zip(clients.clone()).and_then(|(identities, clients)| {
        ServerTls::new(&identities, clients, http2).map_err(|flaw| tell(&flaw, node, report)).ok()
    });
    let whole = server.map(|server| ListenerTls { server: Arc::new(server), files: files.clone() });
    Some(ReadListenerTls { whole, clients, files })
}

/// The certificates with their keys; `None` where one of them cannot be used.
fn identities(
    node: &Node,
    base: &Path,
    files: &mut Vec<PathBuf>,
    report: &mut Report,
) -> Option<Vec<TlsIdentity>> {
    let items = node.list(report)?;
    if items.is_empty() {
        report
            .error(&node.span, "there is no certificate to present")
            .help("add one: `- {cert: server.pem, key: server-key.pem}`");
        return None;
    }
    let mut identities = Vec::new();
    for item in items {
        if let Some(mut fields) = item.fields("a certificate", Spelling::Exact, report) {
            let pair = (fields.required("cert", report), fields.required("key", report));
            fields.finish(report);
            let loaded = identity(pair.0, pair.1, base, files, report);
            if let (Some(identity), Some(chain)) = (&loaded, pair.0) {
                tell_of_no_name(identity, identities.is_empty(), chain, report);
            }
            identities.extend(loaded);
        }
    }
    (identities.len() == items.len()).then_some(identities)
}

/// Certificates are chosen by the name that a client asks for (RFC 6066, section 3), and verified by their alternative
/// names (RFC 9525, section 6.3): the common name does not count. The first one is for all other clients; those that
/// connect to an address ask for no name.
fn tell_of_no_name(identity: &TlsIdentity, is_first: bool, chain: &Node, report: &mut Report) {
    let certificate = &identity.certificate;
    if !certificate.names.is_empty() {
        return;
    }
    if !is_first {
        report
            .warning(&chain.span, "the certificate has no DNS name, and is never presented")
            .help("issue it with its names as subject alternative names, or list it first: the first is for all other clients");
    } else if !certificate.has_address {
        report
            .warning(
                &chain.span,
                "the certificate has no DNS name and no address, and no client can verify it",
            )
            .help("issue it with its names as subject alternative names: the common name does not count");
    }
}

/// A chain and its key. An expired one is still used: a reload that refused it would keep an older one.
fn identity(
    chain: Option<&Node>,
    key: Option<&Node>,
    base: &Path,
    files: &mut Vec<PathBuf>,
    report: &mut Report,
) -> Option<TlsIdentity> {
    let (chain, key) = (chain?, key?);
    let chain_path = located(base, chain.string(report)?);
    let key_path = located(base, key.string(report)?);
    let loaded = TlsIdentity::load(&chain_path, &key_path);
    files.extend([chain_path, key_path]);
    match loaded {
        Ok(identity) => {
            if let Some(untimely) = identity.untimely(clock::now()) {
                report
                    .warning(&chain.span, format!("the certificate {untimely}"))
                    .help("it is presented all the same, and clients that verify it will refuse it");
            }
            Some(identity)
        }
        Err((of_chain, of_key)) => {
            for (flaw, node) in [(of_chain, chain), (of_key, key)] {
                if let Some(flaw) = flaw {
                    tell(&flaw, node, report);
                }
            }
            None
        }
    }
}

/// What is required of clients: `Some(None)` for nothing, `None` where that is not known.
fn clients(
    fields: &mut Fields<'_>,
    base: &Path,
    files: &mut Vec<PathBuf>,
    report: &mut Report,
) -> Option<Option<ClientRule>> {
    let Some(ca) = fields.optional("client_ca") else {
        let dependent = ["client_certificates", "client_pool", "client_identity", "client_scopes"];
        let mut alone = false;
        for name in dependent {
            if let Some(node) = fields.optional(name) {
                alone = true;
                report
                    .error(&node.span, format!("`{name}` has no effect without `client_ca`"))
                    .help("name the CAs that clients' certificates may come from");
            }
        }
        return (!alone).then_some(None);
    };
    let authorities = trusted(ca, base, files, report);
    let modes = [("required", true), ("optional", false)];
    let required =
        fields.required("client_certificates", report).and_then(|node| choice(node, &modes, report));
    let pool = fields.optional("client_pool").map(|node| pool(node, report));
    let identity = fields.optional("client_identity");
    let identities = [("principal", true), ("audit", false)];
    let is_caller = identity.and_then(|node| choice(node, &identities, report)).unwrap_or(false);
    let scopes = fields.optional("client_scopes");
    match (identity, scopes) {
        (Some(identity), None) if is_caller => {
            report
                .error(&identity.span, "a certificate that makes a caller needs `client_scopes`")
                .help("list the OAuth scopes that it stands for: a token would name its own");
        }
        (_, Some(scopes)) if !is_caller => {
            report
                .error(&scopes.span, "`client_scopes` has no effect without `client_identity: principal`")
                .help("only a certificate that makes a caller has scopes");
        }
        _ => {}
    }
    if let Some(identity) = identity.filter(|_| is_caller && pool.is_none()) {
        report
            .error(&identity.span, "a certificate that makes a caller needs `client_pool`")
            .help("name the identity pool that its holders are subjects of");
    }
    let scopes = scopes
        .map(|node| node.strings(report).into_iter().map(|(text, _)| text.to_owned()).collect::<Vec<_>>());
    Some(Some(ClientRule {
        authorities: authorities?,
        required: required?,
        pool: pool.flatten(),
        scopes: scopes.filter(|_| is_caller).map(Into::into),
    }))
}

fn pool(node: &Node, report: &mut Report) -> Option<String> {
    let pool = node.string(report)?;
    if !is_pool_name(pool) {
        report
            .error(&node.span, format!("`{}` is not the name of an identity pool", pool.escape_debug()))
            .help("write `iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL`");
    }
    Some(pool.to_owned())
}

/// Reads the `tls` of an upstream with these endpoints.
pub(crate) fn upstream(
    node: &Node,
    endpoints: Option<&Node>,
    base: &Path,
    report: &mut Report,
) -> Option<UpstreamTls> {
    let mut fields = node.fields("`tls`", Spelling::Exact, report)?;
    let mut files = Vec::new();
    let ca = fields.optional("ca").map(|node| trusted(node, base, &mut files, report));
    let pair = (fields.optional("cert"), fields.optional("key"));
    let identity = match pair {
        (None, None) => Some(None),
        (Some(alone), None) | (None, Some(alone)) => {
            report
                .error(&alone.span, "`cert` and `key` go together")
                .help("a certificate is shown to the upstream with its key, or none is");
            None
        }
        (chain, key) => identity(chain, key, base, &mut files, report).map(Some),
    };
    let name = match fields.optional("sni") {
        Some(node) => node.string(report).map(|name| (name, node)),
        None => endpoints.and_then(|endpoints| common_host(endpoints, node, report)),
    };
    fields.finish(report);
    let (name, written) = name?;
    if !is_server_name(name) {
        report
            .error(&written.span, format!("`{name}` is not a name that a certificate can be verified for"))
            .help("write `sni: backend.example.com`, the name in the upstream's certificate");
        return None;
    }
    let authorities = ca.map_or(Some(None), |ca| ca.map(Some))?;
    Some(UpstreamTls { client: ClientTls::new(name, authorities, identity?), files })
}

/// The host of all endpoints, which their certificates are for without an `sni`.
fn common_host<'n>(endpoints: &'n Node, tls: &Node, report: &mut Report) -> Option<(&'n str, &'n Node)> {
    let mut hosts = endpoints.list(report)?.iter().filter_map(|item| match &item.value {
        Value::String(text) => Some((text.rsplit_once(':')?.0, item)),
        Value::Map(_) => Some((service_domain(item)?, item)),
        _ => None,
    });
    let first = hosts.next()?;
    if hosts.any(|(host, _)| host != first.0) {
        report
            .error(&tls.span, "the endpoints have different hosts")
            .help("say which name their certificates bear: `sni: backend.example.com`");
        return None;
    }
    Some((first.0.trim_start_matches('[').trim_end_matches(']'), first.1))
}

/// The domain of a service, `backend.internal` of `{srv: _http._tcp.backend.internal}`. The certificate has to be for it, and not
/// for a host that DNS names: DNS could name any (RFC 6125, section 6.2.1).
fn service_domain(endpoint: &Node) -> Option<&str> {
    let Value::Map(entries) = &endpoint.value else { return None };
    let mut name = entries.iter().find_map(|(key, value)| match (&key.value, &value.value) {
        (Value::String(key), Value::String(name)) if key == "srv" => Some(name.as_str()),
        _ => None,
    })?;
    while let Some((_, rest)) = name.split_once('.').filter(|_| name.starts_with('_')) {
        name = rest;
    }
    Some(name.strip_suffix('.').unwrap_or(name))
}

/// A DNS name or an address. An underscore is not part of a host name (RFC 1123, section 2.1): verifiers disagree on it.
fn is_server_name(name: &str) -> bool {
    !name.contains('_') && !name.ends_with('.') && super::is_server_name(name)
}

fn trusted(
    node: &Node,
    base: &Path,
    files: &mut Vec<PathBuf>,
    report: &mut Report,
) -> Option<Vec<Authority>> {
    let path = located(base, node.string(report)?);
    let read = authorities(&path);
    files.push(path);
    read.map_err(|flaw| tell(&flaw, node, report)).ok()
}

fn tell(flaw: &Flaw, node: &Node, report: &mut Report) {
    report.error(&node.span, flaw.message.clone()).help(flaw.help);
}

#[cfg(test)]
mod tests;
