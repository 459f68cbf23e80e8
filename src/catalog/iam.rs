//! The iam file beside a service file: which permission each RPC needs, on which resource.
//!
//! Google publishes how an API is called and which scopes it takes, but not which permission IAM checks. This file adds
//! it, RPC by RPC. It has no wildcards: a new RPC of the backend stays closed until it has a line here.

use crate::diagnostic::{Report, Span};
use crate::document::scalar::choice;
use crate::document::{Node, Spelling, Value, nearest};

use super::method::{BodyRule, PermissionRule, PermissionType};
use super::resource::ResourceTemplate;
use super::service::scopes_of;

/// A file `<id>.iam.yaml`.
#[derive(Clone, Debug)]
pub struct IamFile {
    /// The service that it is for, and where that is written.
    pub service: Option<(String, Span)>,
    /// ErrorInfo.domain of the service's IAM denials.
    pub error_domain: String,
    /// The rules, one per RPC.
    pub rules: Vec<IamRule>,
}

/// The IAM check of one RPC.
#[derive(Clone, Debug)]
pub struct IamRule {
    /// The full RPC name.
    pub selector: String,
    /// Where the selector is written.
    pub span: Span,
    /// The permission.
    pub permission: PermissionRule,
    /// How the path names the resource, where it is said.
    pub resource: Option<(ResourceTemplate, Span)>,
    /// The scopes in place of those of the service file, where the rule says so. Empty: any valid token will do.
    pub scopes: Option<Vec<String>>,
    /// The body rule, where it is not left to the http rule.
    pub body: Option<(BodyRule, Span)>,
    /// Whether the body may name another resource than the one that is judged, where the file says so, and where.
    pub body_may_name_another_resource: Option<(bool, Span)>,
    /// What conditions see as `resource.type`: `SERVICE/Type`.
    pub resource_type: Option<String>,
    /// What kind of access it is to the audit log.
    pub permission_type: Option<PermissionType>,
    /// Whether the answer is 501 once the caller is authorized.
    pub unimplemented: bool,
}

/// ErrorInfo.domain of IAM denials as most Google services send it.
pub const DEFAULT_ERROR_DOMAIN: &str = "iam.googleapis.com";

impl IamFile {
    /// Reads a parsed iam file. Rules with mistakes are left out, and the mistakes are in the report.
    pub fn read(node: &Node, report: &mut Report) -> Option<Self> {
        let mut fields = node.fields("an iam file", Spelling::Exact, report)?;
        let service = fields.required("service", report);
        let error_domain = fields.optional_string("error_domain", report).unwrap_or(DEFAULT_ERROR_DOMAIN);
        let nodes = fields.required("rules", report).and_then(|rules| rules.list(report)).unwrap_or_default();
        fields.finish(report);

        let mut rules: Vec<IamRule> = Vec::new();
        for node in nodes {
            let Some(rule) = IamRule::read(node, report) else { continue };
            match rules.iter().find(|earlier| earlier.selector == rule.selector) {
                Some(earlier) => {
                    report
                        .error(&rule.span, format!("`{}` has two rules", rule.selector))
                        .related(&earlier.span, "the first is here")
                        .help("keep the one that is meant");
                }
                None => rules.push(rule),
            }
        }
        Some(Self {
            service: service.and_then(|node| Some((node.string(report)?.to_owned(), node.span.clone()))),
            error_domain: error_domain.to_owned(),
            rules,
        })
    }
}

impl IamRule {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        let mut fields = node.fields("an iam rule", Spelling::Exact, report)?;
        let selector = fields.required("selector", report);
        let permission = fields.required("permission", report);
        let resource = fields.optional("resource");
        let scopes = fields.optional("scopes");
        let body = fields.optional("body");
        let another_resource = fields.optional("body_may_name_another_resource");
        let resource_type = fields.optional("resource_type");
        let permission_type = fields.optional("permission_type");
        let unimplemented = fields.optional("unimplemented");
        fields.finish(report);

        let permission = permission.and_then(|node| read_permission(node, report));
        let resource = resource.map(|node| read_resource(node, report));
        let scopes = scopes.map(|node| read_scopes(node, report));
        let body = body.map(|node| Some((read_body(node, report)?, node.span.clone())));
        let another_resource = another_resource.map(|node| Some((node.boolean(report)?, node.span.clone())));
        let resource_type = resource_type.map(|node| read_resource_type(node, report));
        let permission_type = permission_type.map(|node| choice(node, &PermissionType::NAMES, report));
        let unimplemented = unimplemented.map(|node| node.boolean(report));
        let selector_node = selector?;
        // `Some(None)`: written, but wrong. The rule is left out; it must not be read as if the field were absent.
        Some(Self {
            selector: selector_node.string(report)?.to_owned(),
            span: selector_node.span.clone(),
            permission: permission?,
            resource: unless_wrong(resource)?,
            scopes: unless_wrong(scopes)?,
            body: unless_wrong(body)?,
            body_may_name_another_resource: unless_wrong(another_resource)?,
            resource_type: unless_wrong(resource_type)?,
            permission_type: unless_wrong(permission_type)?,
            unimplemented: unless_wrong(unimplemented)?.unwrap_or(false),
        })
    }
}

/// A field that may be absent, but not wrong.
fn unless_wrong<T>(written: Option<Option<T>>) -> Option<Option<T>> {
    match written {
        None => Some(None),
        Some(read) => read.map(Some),
    }
}

fn read_permission(node: &Node, report: &mut Report) -> Option<PermissionRule> {
    let text = node.string(report)?;
    if text == "none" {
        return Some(PermissionRule::None);
    }
    if is_permission(text) {
        return Some(PermissionRule::Required(text.to_owned()));
    }
    report.error(&node.span, format!("`{text}` is not a permission")).help(
        "write service, resource and verb, as in `cloudaicompanion.operations.cancel`; `none` asks for a valid \
         token and nothing more",
    );
    None
}

/// `service.resource.verb`, as roles list it: `bigquery.tables.getData`.
fn is_permission(text: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphabetic())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.split('.').count() == 3
        && text.split('.').all(is_part)
}

/// `SERVICE/Type`, as <https://cloud.google.com/iam/docs/conditions-resource-attributes#resource-type> lists them.
fn read_resource_type(node: &Node, report: &mut Report) -> Option<String> {
    let text = node.string(report)?;
    match text.split_once('/') {
        Some((service, kind)) if service.contains('.') && !kind.is_empty() && !kind.contains('/') => {
            Some(text.to_owned())
        }
        _ => {
            report
                .error(&node.span, format!("`{text}` is not a resource type"))
                .help("write service and type, as in `cloudaicompanion.googleapis.com/Operation`");
            None
        }
    }
}

/// `none`, or scopes: a list, or one text with commas or blanks between them.
fn read_scopes(node: &Node, report: &mut Report) -> Option<Vec<String>> {
    let written: Vec<(&str, &Node)> = match &node.value {
        Value::List(_) => node.strings(report),
        _ => vec![(node.string(report)?, node)],
    };
    if matches!(written.as_slice(), [("none", _)]) {
        return Some(Vec::new());
    }
    let mut scopes: Vec<String> = Vec::new();
    for (text, node) in written {
        scopes.extend(scopes_of(text, &node.span, report));
    }
    if scopes.is_empty() || scopes.iter().any(|scope| scope == "none") {
        report
            .error(&node.span, "the rule names no scope")
            .help("write scopes, or `scopes: none` where any valid token will do");
        return None;
    }
    Some(scopes)
}

fn read_resource(node: &Node, report: &mut Report) -> Option<(ResourceTemplate, Span)> {
    match ResourceTemplate::parse(node.string(report)?) {
        Ok(resource) => Some((resource, node.span.clone())),
        Err(error) => {
            report.error(&node.span, error.message).help(error.help);
            None
        }
    }
}

fn read_body(node: &Node, report: &mut Report) -> Option<BodyRule> {
    const RULES: [(&str, BodyRule); 4] = [
        ("empty", BodyRule::Empty),
        ("empty_message", BodyRule::EmptyMessage),
        ("message", BodyRule::Message),
        ("stream", BodyRule::Stream),
    ];
    let text = node.string(report)?;
    if let Some((_, rule)) = RULES.iter().find(|(name, _)| *name == text) {
        return Some(*rule);
    }
    let diagnostic = report.error(&node.span, format!("`{text}` is not a body rule"));
    match nearest(text, RULES.iter().map(|(name, _)| *name)) {
        Some(name) => diagnostic.help(format!("did you mean `{name}`?")),
        None => diagnostic.help("write `empty`, `empty_message`, `message` or `stream`"),
    };
    None
}
