//! A service file: a `google.api.Service` as Google publishes it.
//!
//! opgate reads three things in it: the service's names, the HTTP rules (which requests call which RPC) and the
//! authentication rules (which scopes an RPC needs, and whose tokens). The other fields of the message describe things that a gate does
//! not do (documentation, quota, client libraries) and are accepted without a look; a key that the message does not
//! have is an error, since it is most likely a rule with a typo in its name.

mod authentication;
mod backend;
mod endpoints;
mod name;
mod provider;

use std::collections::HashMap;
use std::sync::Arc;

use self::authentication::AuthenticationSection;
pub(super) use self::authentication::scopes_of;
pub use self::authentication::{AuthenticationRule, Selector};
use self::name::is_rpc_name;
pub(super) use self::name::{is_dns_name, is_identifier, is_service_name};
pub use self::provider::{AuthenticationProvider, AuthenticationRequirement};
use super::limits::BackendRule;
use super::template::Template;
use crate::diagnostic::{Place, Report, Span};
use crate::document::{Fields, Node, Spelling};

/// What opgate reads in a service file.
#[derive(Clone, Debug)]
pub struct Service {
    /// The DNS name, and where it is written: `cloudaicompanion.googleapis.com`. API Gateway writes a pattern,
    /// `*.apigateway.PROJECT.cloud.goog`; grpc-gateway's files have none.
    pub name: Option<(String, Span)>,
    /// Other hosts of the service: the names of its `endpoints`.
    pub endpoints: Vec<String>,
    /// The APIs that it offers, and where each is named.
    pub apis: Vec<(String, Place)>,
    /// The HTTP rules, one per RPC.
    pub rules: Vec<HttpRule>,
    /// Whose tokens the rules can ask for.
    pub providers: Vec<AuthenticationProvider>,
    /// The authentication rules, in file order: the last one that covers an RPC decides.
    pub authentication: Vec<AuthenticationRule>,
    /// The types of the resources that the fields of an RPC's request name, by RPC and field path: a descriptor set knows
    /// them.
    pub resource_types: HashMap<String, HashMap<String, String>>,
    /// Where it says `allow_cors: true`: its backends answer OPTIONS (google/api/endpoint.proto).
    pub allow_cors: Option<Span>,
    /// The deadlines of methods.
    pub backend: Vec<BackendRule>,
}

/// How one RPC is reached over HTTP (google.api.HttpRule).
#[derive(Clone, Debug)]
pub struct HttpRule {
    /// The full RPC name.
    pub selector: String,
    /// Where the selector is written.
    pub span: Span,
    /// The rule's own binding and its `additional_bindings`.
    pub bindings: Vec<HttpBinding>,
}

/// One HTTP method and path template of an RPC.
#[derive(Clone, Debug)]
pub struct HttpBinding {
    /// The HTTP method, or `None` for any (`custom: {kind: "*"}`).
    pub http_method: Option<::http::Method>,
    /// The path.
    pub template: Template,
    /// What the request body holds.
    pub body: HttpBody,
    /// The field of the response message that is the answer, where it is not all of it.
    pub response_body: Option<Arc<str>>,
    /// Where the template is written.
    pub span: Span,
}

/// `body` of an HTTP rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpBody {
    /// Absent: there is no body.
    None,
    /// `*`: every field that the path does not set.
    Whole,
    /// One top-level field.
    Field(Arc<str>),
}

impl HttpBody {
    /// A field of the request message as a body would spell it, or `None` where the body cannot hold it. A body on a
    /// binding without one could hold anything.
    pub fn field<'f>(&self, field: &'f str) -> Option<&'f str> {
        match self {
            Self::None | Self::Whole => Some(field),
            Self::Field(outer) => field.strip_prefix(&**outer)?.strip_prefix('.'),
        }
    }
}

impl Service {
    /// Reads a parsed service file. Rules with mistakes are left out, and the mistakes are in the report.
    pub fn read(node: &Node, report: &mut Report) -> Option<Self> {
        let mut fields = node.fields("a google.api.Service", Spelling::Proto, report)?;
        if let Some(kind) = fields.optional("type")
            && kind.string(report).is_some_and(|text| text != "google.api.Service")
        {
            report
                .error(&kind.span, "the file describes something else than a `google.api.Service`")
                .help("only service configurations belong here; write `type: google.api.Service`");
        }
        let name = fields.optional("name");
        let apis = fields.optional("apis");
        let http = fields.optional("http");
        let authentication = fields.optional("authentication");
        let endpoints = fields.optional("endpoints");
        let backend = fields.optional("backend");
        fields.ignore(NOT_READ);
        fields.finish(report);

        let rules = http.map(|node| read_http(node, report)).unwrap_or_default();
        let authentication =
            authentication.map(|node| authentication::read(node, report)).unwrap_or_default();
        let name = match name {
            Some(node) => Some((name::read(node, report)?, node.span.clone())),
            None => None,
        };
        let allow_cors = endpoints
            .and_then(|node| endpoints::read(node, name.as_ref().map(|(name, _)| name.as_str()), report));
        let endpoints = endpoints.map(name::of_endpoints).unwrap_or_default();
        let AuthenticationSection { providers, rules: authentication } = authentication;
        let apis = apis.map(name::of_apis).unwrap_or_default();
        let backend = backend.map(|node| backend::read(node, report)).unwrap_or_default();
        let resource_types = HashMap::new();
        Some(Self {
            name,
            endpoints,
            apis,
            rules,
            providers,
            authentication,
            resource_types,
            allow_cors,
            backend,
        })
    }

    /// The authentication rule that decides for an RPC: the last one that covers it (google/api/auth.proto).
    pub fn authentication_of(&self, rpc: &str) -> Option<&AuthenticationRule> {
        self.authentication.iter().rev().find(|rule| rule.covers(rpc))
    }
}

/// The fields of google.api.Service (google/api/service.proto) that a gate does not use.
const NOT_READ: &[&str] = &[
    "title",
    // No field any more: google.cloud.runtimeconfig is published with it.
    "auditing",
    "producer_project_id",
    "id",
    "types",
    "enums",
    "documentation",
    "quota",
    "context",
    "usage",
    "control",
    "logs",
    "metrics",
    "monitored_resources",
    "billing",
    "logging",
    "monitoring",
    "system_parameters",
    "source_info",
    "publishing",
    "config_version",
];

fn read_http(node: &Node, report: &mut Report) -> Vec<HttpRule> {
    let Some(mut fields) = node.fields("`http`", Spelling::Proto, report) else { return Vec::new() };
    let nodes = fields.optional("rules").and_then(|rules| rules.list(report)).unwrap_or_default();
    // How a transcoder decodes multi-segment variables. opgate decodes them in full, once, to judge them; the path is
    // sent as it came.
    fields.ignore(&["fully_decode_reserved_expansion"]);
    fields.finish(report);

    let mut rules: Vec<HttpRule> = Vec::new();
    for node in nodes {
        let Some(rule) = read_rule(node, report) else { continue };
        // "All service configuration rules follow the last one wins order" (google/api/http.proto).
        if let Some(earlier) = rules.iter_mut().find(|earlier| earlier.selector == rule.selector) {
            report
                .warning(&earlier.span, format!("a later rule for `{}` replaces this one", rule.selector))
                .help("delete the one that is out of date")
                .related(&rule.span, "the later rule is here");
            *earlier = rule;
            continue;
        }
        rules.push(rule);
    }
    rules
}

fn read_rule(node: &Node, report: &mut Report) -> Option<HttpRule> {
    let mut fields = node.fields("an http rule", Spelling::Proto, report)?;
    let selector = fields.required("selector", report);
    let own = read_binding(&mut fields, report);
    let additional = fields.optional("additional_bindings");
    fields.finish(report);

    let selector_node = selector?;
    let selector = selector_node.string(report)?;
    if !is_rpc_name(selector) {
        report
            .error(&selector_node.span, format!("`{selector}` is not the full name of an RPC"))
            .help("write package, service and method: `google.longrunning.Operations.GetOperation`");
        return None;
    }
    let mut bindings: Vec<HttpBinding> = own.into_iter().collect();
    for node in additional.and_then(|list| list.list(report)).unwrap_or_default() {
        bindings.extend(read_additional(node, selector, report));
    }
    Some(HttpRule { selector: selector.to_owned(), span: selector_node.span.clone(), bindings })
}

/// An entry of `additional_bindings`: an HttpRule of the same RPC without additional bindings of its own ("the
/// nesting may only be one level deep", google/api/http.proto).
fn read_additional(node: &Node, parent: &str, report: &mut Report) -> Option<HttpBinding> {
    let mut fields = node.fields("an additional binding", Spelling::Proto, report)?;
    if let Some(selector) = fields.optional("selector")
        && selector.string(report).is_some_and(|text| text != parent)
    {
        report
            .error(&selector.span, format!("an additional binding belongs to the rule's own RPC, `{parent}`"))
            .help("make it a rule of its own");
    }
    if let Some(nested) = fields.optional("additional_bindings") {
        report
            .error(&nested.span, "additional bindings do not nest")
            .help("list them all under the rule itself");
    }
    let binding = read_binding(&mut fields, report);
    fields.finish(report);
    binding
}

fn read_binding(fields: &mut Fields<'_>, report: &mut Report) -> Option<HttpBinding> {
    const STANDARD: [(&str, ::http::Method); 5] = [
        ("get", ::http::Method::GET),
        ("put", ::http::Method::PUT),
        ("post", ::http::Method::POST),
        ("delete", ::http::Method::DELETE),
        ("patch", ::http::Method::PATCH),
    ];
    let mut patterns: Vec<(Option<::http::Method>, &Node)> = Vec::new();
    for (name, http_method) in STANDARD {
        patterns.extend(fields.optional(name).map(|node| (Some(http_method), node)));
    }
    let custom = fields.optional("custom");
    let body = fields.optional("body").and_then(|node| read_body(node, report));
    let response_body = fields.optional("response_body").and_then(|node| read_response_body(node, report));

    let custom = match custom {
        None => None,
        // A custom pattern with mistakes still counts as a pattern: its own diagnostics are enough.
        Some(node) => Some(read_custom(node, report)?),
    };
    patterns.extend(custom);
    match patterns.as_slice() {
        [] => {
            report
                .error(fields.span(), "an http rule says which method and path it matches")
                .help("add one of `get`, `put`, `post`, `delete`, `patch` or `custom`");
            None
        }
        [(http_method, path)] => {
            let (template, span) = read_template(path, report)?;
            let body = body.unwrap_or(HttpBody::None);
            Some(HttpBinding { http_method: http_method.clone(), template, body, response_body, span })
        }
        [(_, first), (_, second), ..] => {
            report
                .error(&second.span, "an http rule matches one method")
                .help("move this one to `additional_bindings`")
                .related(&first.span, "the first one is here");
            None
        }
    }
}

/// `custom: {kind: HEAD, path: …}`; the kind `*` stands for any method.
fn read_custom<'n>(node: &'n Node, report: &mut Report) -> Option<(Option<::http::Method>, &'n Node)> {
    let mut fields = node.fields("a custom pattern", Spelling::Proto, report)?;
    let kind = fields.required("kind", report);
    let path = fields.required("path", report);
    fields.finish(report);
    let (kind_node, path) = (kind?, path?);
    let kind = kind_node.string(report)?;
    if kind == "*" {
        return Some((None, path));
    }
    match ::http::Method::from_bytes(kind.as_bytes()) {
        Ok(http_method) => {
            if crate::http::is_method(kind).is_err() {
                report.warning(&kind_node.span, format!("no request has the method `{kind}` here")).help(
                    "a method is upper-case letters, and neither CONNECT nor TRACE: others are refused",
                );
            }
            Some((Some(http_method), path))
        }
        Err(_) => {
            report.error(&kind_node.span, format!("`{kind}` is not an HTTP method"));
            None
        }
    }
}

fn read_body(node: &Node, report: &mut Report) -> Option<HttpBody> {
    let text = node.string(report)?;
    if text == "*" {
        return Some(HttpBody::Whole);
    }
    if is_identifier(text) {
        return Some(HttpBody::Field(text.into()));
    }
    report
        .error(&node.span, format!("`{text}` is not a field of a request message"))
        .help("write `*` or the name of one top-level field; leave `body` out where there is no body");
    None
}

fn read_response_body(node: &Node, report: &mut Report) -> Option<Arc<str>> {
    let text = node.string(report)?;
    if is_identifier(text) {
        return Some(text.into());
    }
    // As in a proto that says nothing.
    if !text.is_empty() {
        report
            .error(&node.span, format!("`{text}` is not a field of a response message"))
            .help("write the name of one top-level field; leave `response_body` out for the whole message");
    }
    None
}

/// The template, and the span of its text without quotes.
fn read_template(node: &Node, report: &mut Report) -> Option<(Template, Span)> {
    let text = node.string(report)?;
    match Template::parse(text) {
        Ok(template) => Some((template, span_within(node, text, 0..text.len()))),
        Err(error) => {
            let span = span_within(node, text, error.range.clone());
            let shape = "a template looks like `/v1/{name=projects/*/locations/*}/operations:verb`";
            report.error(&span, error.message).help(error.help.unwrap_or(shape));
            None
        }
    }
}

/// The span of a piece of a scalar: quotes stand before the text; where escapes or a block style make the file's text
/// another one, the whole scalar.
fn span_within(node: &Node, text: &str, piece: std::ops::Range<usize>) -> Span {
    let written = node.span.source.text.get(node.span.range.clone()).unwrap_or_default();
    match written.find(text) {
        Some(offset) => {
            let base = node.span.range.start + offset;
            Span { source: node.span.source.clone(), range: base + piece.start..base + piece.end }
        }
        None => node.span.clone(),
    }
}

#[cfg(test)]
mod tests;
