//! OpenAPI 3.0 and 3.1, and Swagger 2.0 with the extensions of Cloud Endpoints and API Gateway.
//!
//! <https://spec.openapis.org/oas/v3.1.0>, <https://swagger.io/specification/v2/>,
//! <https://cloud.google.com/endpoints/docs/openapi/openapi-extensions>.

mod body;
mod dialect;
mod extensions;
mod operation;
mod plain;
mod security;
mod server;

use std::collections::{BTreeMap, BTreeSet};

use self::dialect::OpenApiVersion;
use self::operation::OperationReader;
use self::security::Schemes;
use self::server::Server;
use super::lookup::{References, entries, field, text};
use super::{ImportOptions, ImportedService, is_service_name};
use crate::diagnostic::Report;
use crate::document::Node;

/// Understands a description. `None` where it is not one, or the service has no name; the report says what is wrong, and
/// what is not translated.
pub fn import(root: &Node, options: &ImportOptions, report: &mut Report) -> Option<ImportedService> {
    let dialect = OpenApiVersion::of(root, report)?;
    options.check(root, report)?;
    let server = Server::of(root, dialect, report);
    let name = options.service.clone().or_else(|| server.host.clone());
    let Some(name) = name.filter(|name| is_service_name(name)) else {
        let message = match dialect {
            OpenApiVersion::Swagger2 => "the description names no `host` that can be a service's name",
            OpenApiVersion::OpenApi3 => "the description names no server whose host can be a service's name",
        };
        report
            .error(&root.span, message)
            .help("say it: `--service lab.example.com`, in lower case and without port");
        return None;
    };
    let references = References::new(root);
    let schemes = Schemes::read(root, dialect, &references, report);
    let Some(paths) = field(root, "paths") else {
        report.error(&root.span, "the description has no `paths`").help("there is nothing to import");
        return None;
    };
    let allow_cors = extensions::read(root, dialect, &name, report);
    let mut reader = OperationReader {
        root,
        references: &references,
        dialect,
        options,
        name: &name,
        server: &server,
        schemes: &schemes,
        methods: Vec::new(),
    };
    for (path, key, item) in entries(paths).filter(|(path, ..)| path.starts_with('/')) {
        match references.resolve(item, report) {
            Some(item) => reader.path(path, key, item, allow_cors, report),
            None => reader.elsewhere(path, key),
        }
    }
    let mut methods = reader.finish(report);
    distinguish(&mut methods, report, root);
    let used: BTreeSet<&str> = methods.iter().flat_map(super::ImportedMethod::providers).collect();
    let providers =
        schemes.providers().filter(|provider| used.contains(provider.id.as_str())).cloned().collect();
    let title = field(root, "info").and_then(|info| text(info, "title")).map(str::to_owned);
    Some(ImportedService { name, title, allow_cors, providers, verbatim: None, methods })
}

/// Gives methods that were named alike names of their own.
fn distinguish(methods: &mut [super::ImportedMethod], report: &mut Report, root: &Node) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for method in methods {
        let count = seen.entry(method.selector.clone()).or_default();
        *count += 1;
        if *count > 1 {
            report
                .warning(&root.span, format!("two operations are called `{}`", method.selector))
                .help(format!("the one of {} is called `{}_{count}`", method.span.place(), method.selector));
            method.selector = format!("{}_{count}", method.selector);
        }
    }
}

#[cfg(test)]
mod tests;
