//! From the file's tree to its [`Sections`]: every key looked at, every mistake reported.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::admin::admin;
use super::assertion::assertion;
use super::location::located;
use super::possession::possession;
use super::request_headers::request_headers;
use super::scalars::{count, duration};
use super::sections::{Section, Sections, Settled};
use super::service_accounts::service_accounts;
use super::tokens::proof;
use super::trusted_proxies::trusted_proxies;
use super::upstreams::upstreams;
use super::{AdminSettings, AuditOutput, Issuer, Listener, Telemetry, Upstream, limits, tls, upgrade};
use crate::authn::{Algorithm, IdentityRule, IssuerSettings, MappedAttribute};
use crate::catalog::{ExposureSettings, Forwarding};
use crate::diagnostic::{Report, Span};
use crate::document::{Fields, Node, Spelling, nearest};

/// Checks the whole file. Paths in it are relative to `base`, the file's own folder.
pub(super) fn check(root: &Node, base: &Path, whole: &mut Report) -> Option<Sections> {
    let mut fields = root.fields("the configuration", Spelling::Exact, whole)?;

    let listeners = Section::read(|report| {
        fields.required("listeners", report).map(|node| listeners(node, base, report))
    });
    let mut others = Report::new();
    let admin = fields.optional("admin").and_then(|node| admin(node, base, &mut others)).unwrap_or_default();
    let upstreams = Section::read(|report| {
        Some(
            fields
                .required("upstreams", report)
                .map(|node| upstreams(node, base, report))
                .unwrap_or_default(),
        )
    });
    let asserted = fields.optional("assertion");
    let services = Section::read(|report| {
        let upstreams = upstreams.value.as_deref().unwrap_or_default();
        let node = fields.required("services", report);
        Some(node.map(|node| services(node, upstreams, asserted.is_some(), report)).unwrap_or_default())
    });
    let issuers = Section::read(|report| {
        Some(fields.required("issuers", report).map(|node| issuers(node, base, report)).unwrap_or_default())
    });
    let assertion = Section::read(|report| {
        let trusted = issuers.value.iter().flatten().map(|issuer| issuer.settings.issuer.as_str());
        Some(asserted.and_then(|node| assertion(node, base, trusted, report)))
    });
    let policy =
        Section::read(|report| fields.required("policy", report).and_then(|node| policy(node, base, report)));
    let trusted_proxies = Section::read(|report| {
        Some(fields.optional("trusted_proxies").map(|node| trusted_proxies(node, report)).unwrap_or_default())
    });
    let settled = Settled { admin, ..settled(&mut fields, base, &mut others) };
    fields.finish(whole);

    let settled = Section { value: Some(settled), report: others };
    Some(Sections { listeners, upstreams, services, issuers, assertion, policy, trusted_proxies, settled })
}

/// The settings beside the parts.
fn settled(fields: &mut Fields<'_>, base: &Path, report: &mut Report) -> Settled {
    let limits = fields.optional("limits").and_then(|node| limits::limits(node, report)).unwrap_or_default();
    let audit =
        fields.optional("audit").and_then(|node| audit(node, base, report)).unwrap_or(AuditOutput::Stdout);
    let telemetry = fields.optional("telemetry").and_then(|node| telemetry(node, report)).unwrap_or_default();
    let upgrade = fields.optional("upgrade").and_then(|node| upgrade::upgrade(node, base, report));
    let workers = fields.optional("workers").and_then(|node| count(node, 4096, report));
    Settled {
        admin: AdminSettings::default(),
        limits,
        audit,
        telemetry,
        upgrade,
        workers: workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
    }
}

fn listeners(node: &Node, base: &Path, report: &mut Report) -> Vec<Listener> {
    let items = node.list(report).unwrap_or_default();
    if items.is_empty() {
        report.error(&node.span, "there is no listener").help("add one: `- address: 127.0.0.1:8080`");
    }
    let listener = |item: &Node| {
        let mut fields = item.fields("a listener", Spelling::Exact, report)?;
        let address = fields.required("address", report).and_then(|node| socket_address(node, report));
        let http2 = fields.optional("http2").and_then(|node| node.boolean(report)).unwrap_or(true);
        let tls = fields.optional("tls").map(|node| tls::listener(node, base, http2, report));
        fields.finish(report);
        // The listener must not serve without the TLS that is written.
        let tls = tls.map_or(Some(None), |tls| tls.map(Some))?;
        Some(Listener { address: address?, http2, tls })
    };
    items.iter().filter_map(listener).collect()
}

fn services(
    node: &Node,
    upstreams: &[Upstream],
    asserting: bool,
    report: &mut Report,
) -> Vec<ExposureSettings> {
    let entries = node.entries(report).unwrap_or_default();
    if entries.is_empty() {
        report
            .error(&node.span, "no service is exposed")
            .help("name one that `services/` of the policy tree defines");
    }
    let mut services = Vec::new();
    for (id, key, node) in entries {
        let Some(mut fields) = node.fields("a service", Spelling::Exact, report) else {
            continue;
        };
        let hosts = fields.optional("hosts").map(|node| service_hosts(node, report));
        let upstream = fields.required("upstream", report).and_then(|node| {
            let name = node.string(report)?;
            if !upstreams.iter().any(|upstream| upstream.name == name) {
                let names = upstreams.iter().map(|upstream| upstream.name.as_str());
                let diagnostic = report.error(&node.span, format!("there is no upstream `{name}`"));
                match nearest(name, names.clone()) {
                    Some(other) => diagnostic.help(format!("did you mean `{other}`?")),
                    None => diagnostic
                        .help(format!("`upstreams` defines: {}", names.collect::<Vec<_>>().join(", "))),
                };
            }
            Some(name.to_owned())
        });
        let mut forwarding =
            fields.optional("forward").map(|node| forwarding(node, asserting, report)).unwrap_or_default();
        forwarding.request_headers =
            fields.optional("request_headers").map(|node| request_headers(node, report));
        fields.finish(report);
        if let Some(upstream) = upstream {
            services.push(ExposureSettings {
                id: id.to_owned(),
                hosts,
                upstream,
                forwarding,
                span: key.span.clone(),
            });
        }
    }
    services
}

fn service_hosts(node: &Node, report: &mut Report) -> Vec<String> {
    if node.list(&mut Report::new()).is_none_or(<[Node]>::is_empty) {
        report.error(&node.span, "the service answers on no host").help("list hosts, or leave `hosts` out");
    }
    hosts(node, report)
}

/// A list of names, or `*` for any.
pub(super) fn hosts(node: &Node, report: &mut Report) -> Vec<String> {
    let mut hosts = Vec::new();
    for (text, item) in node.strings(report) {
        let plain = ::http::HeaderValue::from_str(text)
            .ok()
            .and_then(|value| crate::http::Host::parse(&value).ok())
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

fn forwarding(node: &Node, asserting: bool, report: &mut Report) -> Forwarding {
    let mut forwarding = Forwarding::default();
    for (text, item) in node.strings(report) {
        match text {
            "authorization" => forwarding.authorization = true,
            "principal" => forwarding.principal = true,
            "assertion" if asserting => forwarding.assertion = true,
            "assertion" => {
                report
                    .error(&item.span, "the configuration does not say how assertions are signed")
                    .help("add `assertion: {issuer: 'https://gate.example.com', keys: [FILE]}` to the configuration");
            }
            "request_id" => forwarding.request_id = true,
            "origin" => forwarding.origin = true,
            _ => {
                report
                    .error(&item.span, format!("`{text}` cannot be forwarded"))
                    .help("choose from `authorization`, `principal`, `assertion`, `request_id` and `origin`");
            }
        }
    }
    forwarding
}

/// The meaning of issuers' settings is checked where they are used ([`crate::authn::Authenticator::load`]); the spans
/// let those findings point here.
fn issuers(node: &Node, base: &Path, report: &mut Report) -> Vec<Issuer> {
    let entries = node.entries(report).unwrap_or_default();
    if entries.is_empty() {
        report.error(&node.span, "no issuer is trusted").help("without one, no token can be accepted");
    }
    let mut issuers = Vec::new();
    for (name, key, node) in entries {
        let Some(fields) = node.fields("an issuer", Spelling::Exact, report) else { continue };
        if fields.key("service_accounts").is_some() {
            issuers.extend(service_accounts(name, key, fields, base, report));
        } else {
            issuers.extend(issuer(name, key, fields, base, report));
        }
    }
    issuers
}

fn issuer(
    name: &str,
    key: &Node,
    mut fields: Fields<'_>,
    base: &Path,
    report: &mut Report,
) -> Option<Issuer> {
    let mut spans: Vec<(&'static str, Span)> = vec![("name", key.span.clone())];
    let mut noted = |field: &'static str, node: &Node| spans.push((field, node.span.clone()));

    let issuer = fields.required("issuer", report).inspect(|node| noted("issuer", node));
    let audiences = fields.required("audiences", report).inspect(|node| noted("audiences", node));
    let algorithms_node = fields.optional("algorithms").inspect(|node| noted("algorithms", node));
    let skew = fields.optional("clock_skew").inspect(|node| noted("clock_skew", node));
    let token_types = fields.optional("token_types");
    let subject_pool = fields.optional("subject_pool").inspect(|node| noted("subject_pool", node));
    let unverified = fields.optional("accept_unverified_email");
    let email_domains = fields.optional("email_domains").inspect(|node| noted("email_domains", node));
    let mapping = fields.optional("attribute_mapping").inspect(|node| noted("attribute_mapping", node));
    let condition = fields.optional("attribute_condition").inspect(|node| noted("attribute_condition", node));
    let bound = fields.optional("proof_of_possession").inspect(|node| noted("proof_of_possession", node));
    let proof = proof(&mut fields, base, &mut spans, report);
    fields.finish(report);

    let strings = |node: &Node, report: &mut Report| -> Vec<String> {
        node.strings(report).into_iter().map(|(text, _)| text.to_owned()).collect()
    };
    let issuer = issuer.and_then(|node| node.string(report));
    let audiences = audiences.map(|node| strings(node, report));
    let algorithms = algorithms_node.map(|node| algorithms(node, report));
    let settings = IssuerSettings {
        name: name.to_owned(),
        issuer: issuer?.to_owned(),
        audiences: audiences?,
        proof: proof?,
        algorithms: algorithms.unwrap_or_else(|| Algorithm::DEFAULT.to_vec()),
        clock_skew: skew
            .and_then(|node| duration(node, report))
            .unwrap_or(IssuerSettings::DEFAULT_CLOCK_SKEW),
        token_types: token_types.map(|node| strings(node, report)).unwrap_or_default(),
        identity: IdentityRule {
            subject_pool: subject_pool.and_then(|node| node.string(report)).map(str::to_owned),
            accept_unverified_email: unverified.and_then(|node| node.boolean(report)).unwrap_or(false),
            email_domains: email_domains.map(|node| strings(node, report)),
            attribute_mapping: mapping.map(|node| attribute_mapping(node, report)).unwrap_or_default(),
            attribute_condition: condition.and_then(|node| node.string(report)).map(str::to_owned),
        },
        possession: bound.map(|node| possession(node, report)).unwrap_or_default(),
        self_signed: false,
    };
    Some(Issuer { settings, spans })
}

fn attribute_mapping(node: &Node, report: &mut Report) -> Vec<(MappedAttribute, String)> {
    let mut mapping = Vec::new();
    for (name, key, expression) in node.entries(report).unwrap_or_default() {
        match MappedAttribute::parse(name) {
            Some(attribute) => {
                mapping.extend(expression.string(report).map(|text| (attribute, text.to_owned())));
            }
            None => {
                report
                    .error(&key.span, format!("`{name}` cannot be mapped"))
                    .help("map `google.subject`, `google.groups` and `attribute.NAME`");
            }
        }
    }
    mapping
}

fn algorithms(node: &Node, report: &mut Report) -> Vec<Algorithm> {
    let mut algorithms = Vec::new();
    let items = node.strings(report);
    let none_written = items.is_empty();
    for (text, item) in items {
        match text.parse::<Algorithm>() {
            Ok(algorithm) => algorithms.push(algorithm),
            Err(error) => {
                report
                    .error(&item.span, error.to_string())
                    .help("shared-secret algorithms and `none` are never accepted");
            }
        }
    }
    // A list that is empty because no item is good has been reported already.
    if algorithms.is_empty() && !none_written { Algorithm::DEFAULT.to_vec() } else { algorithms }
}

/// The tree, and the pools of other gates that it may name.
fn policy(node: &Node, base: &Path, report: &mut Report) -> Option<(PathBuf, Vec<String>)> {
    let mut fields = node.fields("`policy`", Spelling::Exact, report)?;
    let directory = fields.required("directory", report);
    let path = directory.and_then(|node| {
        let path = located(base, node.string(report)?);
        if !path.is_dir() {
            report
                .error(&node.span, format!("there is no directory `{}`", path.display()))
                .help("paths are relative to the configuration file");
        }
        Some(path)
    });
    let foreign =
        fields.optional("foreign_pools").map(|node| foreign_pools(node, report)).unwrap_or_default();
    fields.finish(report);
    Some((path?, foreign))
}

fn foreign_pools(node: &Node, report: &mut Report) -> Vec<String> {
    let mut pools = Vec::new();
    for (text, item) in node.strings(report) {
        if text.starts_with("iam.googleapis.com/") && !text.ends_with('/') && !text.contains('*') {
            pools.push(text.to_owned());
        } else {
            report.error(&item.span, format!("`{text}` is not the name of an identity pool")).help(
                "write `iam.googleapis.com/locations/global/workforcePools/POOL`; `*` is not a wildcard",
            );
        }
    }
    pools
}

fn audit(node: &Node, base: &Path, report: &mut Report) -> Option<AuditOutput> {
    let mut fields = node.fields("`audit`", Spelling::Exact, report)?;
    let output = fields.required_string("output", report).map(|text| match text {
        "stdout" => AuditOutput::Stdout,
        "stderr" => AuditOutput::Stderr,
        path => AuditOutput::File(located(base, path)),
    });
    fields.finish(report);
    output
}

fn telemetry(node: &Node, report: &mut Report) -> Option<Telemetry> {
    let mut fields = node.fields("`telemetry`", Spelling::Exact, report)?;
    let mut telemetry = Telemetry::default();
    if let Some(node) = fields.optional("log")
        && let Some(text) = node.string(report)
    {
        if let Err(error) = text.parse::<tracing_subscriber::EnvFilter>() {
            report
                .error(&node.span, format!("`{text}` is not a log filter: {error}"))
                .help("for example `info`");
        }
        telemetry.log = text.to_owned();
    }
    if let Some(node) = fields.optional("format") {
        telemetry.json = choice(node, &[("text", false), ("json", true)], report).unwrap_or_default();
    }
    fields.finish(report);
    Some(telemetry)
}

pub(super) fn socket_address(node: &Node, report: &mut Report) -> Option<SocketAddr> {
    let text = node.string(report)?;
    let address = text.parse().ok();
    if address.is_none() {
        report
            .error(&node.span, format!("`{text}` is not an address to listen on"))
            .help("write IP and port, like `127.0.0.1:8080`, `0.0.0.0:8080` or `[::]:8080`");
    }
    address
}

pub(super) fn choice<T: Copy>(node: &Node, choices: &[(&str, T)], report: &mut Report) -> Option<T> {
    let text = node.string(report)?;
    let chosen = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    if chosen.is_none() {
        let names = choices.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(" or ");
        report.error(&node.span, format!("`{text}` is not known here")).help(format!("write {names}"));
    }
    chosen
}

/// Reads a field that has a default.
pub(super) fn set<T>(
    fields: &mut Fields<'_>,
    name: &'static str,
    target: &mut T,
    read: impl Fn(&Node, &mut Report) -> Option<T>,
    report: &mut Report,
) {
    if let Some(value) = fields.optional(name).and_then(|node| read(node, report)) {
        *target = value;
    }
}
