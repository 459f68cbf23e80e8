//! A service file and its iam file, joined: every exposed RPC with everything that is known about it.

use std::path::Path;

use super::iam::{IamFile, IamRule};
use super::method::{BodyRule, PermissionRule};
use super::service::{HttpBinding, HttpBody, HttpRule, Service};
use crate::diagnostic::{Place, Report};
use crate::document::nearest;

/// A service that can be exposed, on any number of hosts.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) error_domain: String,
    pub(super) rpcs: Vec<Rpc>,
    /// The http rules of the RPCs that no iam rule exposes.
    pub(super) closed: Vec<HttpRule>,
}

/// An RPC that both files name.
#[derive(Debug)]
pub(super) struct Rpc {
    pub(super) name: String,
    pub(super) permission: PermissionRule,
    pub(super) scopes: Vec<String>,
    pub(super) allow_without_credential: bool,
    pub(super) resource_field: String,
    pub(super) resource_type: Option<String>,
    pub(super) unimplemented: bool,
    pub(super) place: Place,
    /// Its bindings, each with the body that it takes.
    pub(super) bindings: Vec<(HttpBinding, BodyRule)>,
}

/// The path variable that holds the resource name where the iam rule names none (AIP-122: `name`).
const DEFAULT_RESOURCE_FIELD: &str = "name";

/// Joins the two files. `service_path` is the service file's, for messages.
pub(super) fn resolve(
    service: Service,
    iam: IamFile,
    service_path: &Path,
    report: &mut Report,
) -> Definition {
    if let Some((name, span)) = &iam.service
        && *name != service.name
    {
        report
            .error(
                span,
                format!(
                    "these rules are for `{name}`, the service file beside them is for `{}`",
                    service.name
                ),
            )
            .help(format!(
                "write `service: {}`, or name the file after the service it speaks of",
                service.name
            ))
            .related(&service.name_span, "the service is named here");
    }
    let rpcs = iam
        .rules
        .iter()
        .filter_map(|rule| {
            let http = http_rule_of(rule, &service, service_path, report)?;
            join(rule, http, &service, service_path, report)
        })
        .collect();
    let closed = service
        .rules
        .into_iter()
        .filter(|http| iam.rules.iter().all(|rule| rule.selector != http.selector))
        .collect();
    Definition { name: service.name, error_domain: iam.error_domain, rpcs, closed }
}

fn http_rule_of<'s>(
    rule: &IamRule,
    service: &'s Service,
    service_path: &Path,
    report: &mut Report,
) -> Option<&'s HttpRule> {
    let found = service.rules.iter().find(|http| http.selector == rule.selector);
    if found.is_none() {
        let file = service_path.display();
        let diagnostic =
            report.error(&rule.span, format!("no http rule in {file} has the selector `{}`", rule.selector));
        match nearest(&rule.selector, service.rules.iter().map(|http| http.selector.as_str())) {
            Some(name) => diagnostic.help(format!("did you mean `{name}`?")),
            None => diagnostic
                .help("write the full name of an RPC that has an http rule there; there are no wildcards"),
        };
    }
    found
}

fn join(
    rule: &IamRule,
    http: &HttpRule,
    service: &Service,
    service_path: &Path,
    report: &mut Report,
) -> Option<Rpc> {
    let resource_field = check_resource(rule, http, report);
    let credentials = check_credentials(rule, service, service_path, report);
    let bindings = with_bodies(rule, http, report);
    if let Some(field) = &resource_field {
        check_streams(rule, field, &bindings, report);
    }
    let (scopes, allow_without_credential) = credentials?;
    Some(Rpc {
        name: rule.selector.clone(),
        permission: rule.permission.clone(),
        scopes,
        allow_without_credential,
        resource_field: resource_field?,
        resource_type: rule.resource_type.clone(),
        unimplemented: rule.unimplemented,
        place: rule.span.place(),
        bindings,
    })
}

/// The resource field, which every binding must capture: IAM cannot judge a call without a resource.
fn check_resource(rule: &IamRule, http: &HttpRule, report: &mut Report) -> Option<String> {
    let (field, span) = match &rule.resource {
        Some((field, span)) => (field.as_str(), span),
        None => (DEFAULT_RESOURCE_FIELD, &rule.span),
    };
    if rule.permission == PermissionRule::None && rule.resource.is_none() {
        return Some(field.to_owned());
    }
    let mut captured = true;
    for binding in &http.bindings {
        let mut names = binding.template.variables().iter().map(|variable| &*variable.field);
        if names.clone().any(|name| name == field) {
            continue;
        }
        captured = false;
        let help = match (nearest(field, names.clone()), names.next()) {
            (Some(name), _) | (None, Some(name)) => format!("did you mean `resource: {name}`?"),
            (None, None) => "only `permission: none` can go without a resource".to_owned(),
        };
        report
            .error(
                span,
                format!(
                    "a binding of `{}` has no variable `{field}` to take the resource from",
                    rule.selector
                ),
            )
            .help(help)
            .related(&binding.span, "the binding is here");
    }
    captured.then(|| field.to_owned())
}

/// The scopes, and whether a credential is optional. Google ignores credentials where no rule covers an RPC, which
/// opens it; here that is an error.
fn check_credentials(
    rule: &IamRule,
    service: &Service,
    service_path: &Path,
    report: &mut Report,
) -> Option<(Vec<String>, bool)> {
    let add = || {
        format!(
            "add `{{selector: {}, oauth: {{canonical_scopes: …}}}}` to `authentication.rules` in {}",
            rule.selector,
            service_path.display()
        )
    };
    match service.authentication_of(&rule.selector) {
        None => {
            report
                .error(&rule.span, format!("no authentication rule covers `{}`", rule.selector))
                .help(add());
            None
        }
        Some(found) if found.scopes.is_empty() && !found.allow_without_credential => {
            report
                .error(&rule.span, format!("the authentication rule of `{}` names no scope", rule.selector))
                .help(add())
                .related(&found.span, "the rule is here");
            None
        }
        Some(found) => Some((found.scopes.clone(), found.allow_without_credential)),
    }
}

/// The bindings, each with its body rule. The HTTP method limits the body as well. That is applied to each request,
/// since a binding can take any method.
fn with_bodies(rule: &IamRule, http: &HttpRule, report: &mut Report) -> Vec<(HttpBinding, BodyRule)> {
    if let Some((body, span)) = &rule.body
        && *body != BodyRule::Empty
        && !http.bindings.is_empty()
        && http.bindings.iter().all(|binding| takes_no_body(binding, *body))
    {
        let rpc = &rule.selector;
        report
            .error(span, format!("every binding of `{rpc}` is a GET, HEAD or DELETE, which take no body"))
            .help("delete the line");
    }
    let default = |body: &HttpBody| match body {
        // Official clients send an empty message whether or not the rule takes a body.
        HttpBody::None | HttpBody::Whole if is_cancel(&rule.selector) => BodyRule::EmptyMessage,
        HttpBody::None => BodyRule::Empty,
        HttpBody::Whole | HttpBody::Field(_) => BodyRule::Message,
    };
    let written = rule.body.as_ref().map(|(body, _)| *body);
    http.bindings
        .iter()
        .map(|binding| (binding.clone(), written.unwrap_or_else(|| default(&binding.body))))
        .collect()
}

/// Reports bodies that are not judged and that reach a transcoder which takes the resource from the body, not from the
/// path. Where no permission is checked, there is no judged resource that a body could replace.
fn check_streams(
    rule: &IamRule,
    resource_field: &str,
    bindings: &[(HttpBinding, BodyRule)],
    report: &mut Report,
) {
    let is_open = |(binding, body): &&(HttpBinding, BodyRule)| {
        *body == BodyRule::Stream
            && !takes_no_body(binding, *body)
            && binding.body.field(resource_field).is_some()
    };
    let open = match rule.permission {
        PermissionRule::Required(_) => bindings.iter().find(is_open),
        PermissionRule::None => None,
    };
    match (open, &rule.body_may_name_another_resource) {
        (None, Some((_, span))) => {
            report.error(span, format!("no body of `{}` can name another resource without being judged", rule.selector)).help(
                "delete the line: it is for `body: stream`, where a permission is asked on a field of the body",
            );
        }
        (Some(_), Some((true, _))) | (None, None) => {}
        (Some((binding, _)), Some((false, _)) | None) => {
            let span = rule.body.as_ref().map_or(&rule.span, |(_, span)| span);
            report
                .warning(
                    span,
                    format!("a body of `{}` can name another `{resource_field}` than the path, and is not judged", rule.selector),
                )
                .help(format!(
                    "write `body: message`, which is judged; or, if the backend takes `{resource_field}` from the path \
                     alone, add `body_may_name_another_resource: true`"
                ))
                .related(&binding.span, "a transcoder takes fields from the body of this binding");
        }
    }
}

fn takes_no_body(binding: &HttpBinding, rule: BodyRule) -> bool {
    binding.http_method.as_ref().is_some_and(|http_method| rule.on(http_method) == BodyRule::Empty)
}

/// `CancelOperationRequest` has the name alone, which is in the path.
fn is_cancel(rpc: &str) -> bool {
    rpc == "google.longrunning.Operations.CancelOperation"
}
