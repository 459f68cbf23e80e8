//! The `services` of the file: which are exposed, on which hosts, and what goes upstream with their calls.

mod cors;
mod limits;
mod protected_resource;
mod request_headers;

use self::request_headers::request_headers;
use super::Forwarding;
use super::cors::CorsPolicy;
use super::limits::ServiceLimits;
use super::passed::PassedRpcs;
use crate::diagnostic::{Report, Span};
use crate::document::scalar::{choice, set};
use crate::document::{Node, Spelling, nearest};
use crate::http::settings::hosts;

/// How the operator's config exposes a service.
#[derive(Clone, Debug)]
pub struct ExposureSettings {
    /// The name of its files: `cloudaicompanion`.
    pub id: String,
    /// The hosts it answers on, `*` for any; `None` for the service's own name.
    pub hosts: Option<Vec<String>>,
    /// The upstream its calls go to.
    pub upstream: String,
    /// Whether its HTTP calls go upstream as calls of gRPC.
    pub transcode: bool,
    /// What goes upstream beside the request itself.
    pub forwarding: Forwarding,
    /// The web pages that may call it.
    pub cors: Option<CorsPolicy>,
    /// The URL by which OAuth clients know it (RFC 9728, `resource`).
    pub protected_resource: Option<String>,
    /// What its calls may take.
    pub limits: ServiceLimits,
    /// What gRPC calls pass beside those of its methods.
    pub grpc: PassedRpcs,
    /// Where the config says so.
    pub span: Span,
}

impl ExposureSettings {
    /// Reports a resource on another host than the service's: its metadata would be asked for where it is not.
    pub(in crate::catalog) fn check_protected_resource(&self, hosts: &[String], report: &mut Report) {
        let Some(host) = self.protected_resource.as_deref().and_then(protected_resource::host_of) else {
            return;
        };
        if !hosts.iter().any(|known| *known == host || known == "*") {
            report
                .error(
                    &self.span,
                    format!("`{}` does not answer on the host of its `protected_resource`", self.id),
                )
                .help(format!(
                    "clients ask https://{host} for its metadata: add that to `hosts`, or name a host of it"
                ));
        }
    }
}

/// Reads `services`. `upstreams` are the names of the configuration's; `asserting` says whether it signs assertions.
pub(crate) fn services(
    node: &Node,
    upstreams: &[&str],
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
            if !upstreams.contains(&name) {
                let names = upstreams.iter().copied();
                let diagnostic = report.error(&node.span, format!("there is no upstream `{name}`"));
                match nearest(name, names.clone()) {
                    Some(other) => diagnostic.help(format!("did you mean `{other}`?")),
                    None => diagnostic
                        .help(format!("`upstreams` defines: {}", names.collect::<Vec<_>>().join(", "))),
                };
            }
            Some(name.to_owned())
        });
        let transcode = fields.optional("transcode").and_then(|node| node.boolean(report)).unwrap_or(false);
        let mut forwarding =
            fields.optional("forward").map(|node| forwarding(node, asserting, report)).unwrap_or_default();
        forwarding.request_headers =
            fields.optional("request_headers").map(|node| request_headers(node, report));
        let cors = fields.optional("cors").and_then(|node| cors::cors(node, report));
        let protected_resource = fields
            .optional("protected_resource")
            .and_then(|node| protected_resource::protected_resource(node, report));
        let limits = fields.optional("limits").map(|node| limits::limits(node, report)).unwrap_or_default();
        let grpc = fields.optional("grpc").map(|node| passed_rpcs(node, report)).unwrap_or_default();
        // Read apart, with the policies that are asked beside the one in force.
        fields.ignore(&["shadow"]);
        fields.finish(report);
        if let Some(upstream) = upstream {
            services.push(ExposureSettings {
                id: id.to_owned(),
                hosts,
                upstream,
                transcode,
                forwarding,
                cors,
                protected_resource,
                limits,
                grpc,
                span: key.span.clone(),
            });
        }
    }
    services
}

fn passed_rpcs(node: &Node, report: &mut Report) -> PassedRpcs {
    let mut passed = PassedRpcs::default();
    let Some(mut fields) = node.fields("`grpc`", Spelling::Exact, report) else { return passed };
    let passes =
        |node: &Node, report: &mut Report| choice(node, &[("refuse", false), ("pass", true)], report);
    set(&mut fields, "health", &mut passed.health, passes, report);
    set(&mut fields, "reflection", &mut passed.reflection, passes, report);
    fields.finish(report);
    passed
}

fn service_hosts(node: &Node, report: &mut Report) -> Vec<String> {
    if node.list(&mut Report::new()).is_none_or(<[Node]>::is_empty) {
        report.error(&node.span, "the service answers on no host").help("list hosts, or leave `hosts` out");
    }
    hosts(node, report)
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
