//! The `x-google-…` keys at the top of a description (Cloud Endpoints, API Gateway).

use super::dialect::OpenApiVersion;
use crate::diagnostic::Report;
use crate::document::Node;
use crate::import::lookup::{as_text, entries, field, is_true, items, text};

/// Reads them, and says what is not translated. Whether the backends answer OPTIONS.
pub(super) fn read(root: &Node, dialect: OpenApiVersion, name: &str, report: &mut Report) -> bool {
    let mut allow_cors = false;
    for (key, key_node, value) in entries(root).filter(|(key, ..)| key.starts_with("x-google-")) {
        match key {
            "x-google-endpoints" => allow_cors |= endpoints(value, name, report),
            "x-google-allow" if as_text(value) == Some("all") => {
                report
                    .warning(
                        &value.span,
                        "`x-google-allow: all` lets calls through that the description does not list",
                    )
                    .help("that is not translated: every other path is answered 404");
            }
            "x-google-allow" | "x-google-api-name" | "x-google-marketplace-metering" => {}
            "x-google-backend" => backend(key_node, value, report),
            "x-google-api-management" => {
                allow_cors |= field(value, "allowCors").is_some_and(is_true);
                management(key_node, value, report);
            }
            "x-google-management" | "x-google-quota" => quotas(key_node, report),
            _ => {
                report
                    .warning(&key_node.span, format!("`{key}` is not translated"))
                    .help("see whether the gate is to do what it says");
            }
        }
    }
    if let (OpenApiVersion::OpenApi3, Some(servers)) = (dialect, field(root, "servers")) {
        let endpoints = items(servers).iter().filter_map(|server| field(server, "x-google-endpoint"));
        allow_cors |= endpoints.filter_map(|endpoint| field(endpoint, "allowCors")).any(is_true);
    }
    allow_cors
}

/// `x-google-endpoints: [{name, target, allowCors}]`.
fn endpoints(list: &Node, name: &str, report: &mut Report) -> bool {
    let mut allow_cors = false;
    for endpoint in items(list) {
        if let Some(target) = field(endpoint, "target") {
            report
                .note(&target.span, "`target` is where DNS leads clients")
                .help("the gate has no DNS: its backends are `upstreams` in the configuration");
        }
        let is_own = text(endpoint, "name").is_none_or(|other| other == name);
        if let Some(allowed) = field(endpoint, "allowCors").filter(|allowed| is_true(allowed)) {
            if is_own {
                allow_cors = true;
            } else {
                report
                    .warning(
                        &allowed.span,
                        format!("`allowCors` of an endpoint that is not `{name}` is not translated"),
                    )
                    .help("only the endpoint with the service's own name speaks of it");
            }
        }
    }
    allow_cors
}

/// `x-google-backend`, of the whole or of one operation.
pub(super) fn backend(key: &Node, value: &Node, report: &mut Report) {
    let address = text(value, "address").or(as_text(value)).unwrap_or("another address");
    let diagnostic = report.warning(&key.span, format!("calls go to `{address}`"));
    if text(value, "path_translation") == Some("CONSTANT_ADDRESS") {
        diagnostic.help("the path would be replaced by this address, which the gate never does: give the backend the path \
                         as clients send it");
    } else {
        diagnostic.help(
            "name it under `upstreams` in the configuration, with its `timeouts`; one service goes to one \
                         upstream, and the token to a backend is not made (`jwt_audience`)",
        );
    }
}

fn management(key: &Node, value: &Node, report: &mut Report) {
    if field(value, "metrics").is_some() || field(value, "quota").is_some() {
        quotas(key, report);
    }
    for (_, name, backend_node) in field(value, "backends").into_iter().flat_map(entries) {
        backend(name, backend_node, report);
    }
}

fn quotas(key: &Node, report: &mut Report) {
    report
        .note(&key.span, "metrics and quotas are not translated")
        .help("the gate bounds requests at one time: `limits` in the configuration");
}
