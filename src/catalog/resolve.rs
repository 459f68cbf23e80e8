//! A service file and its iam file, joined: every exposed RPC with everything that is known about it.

mod credentials;
mod resource;

use std::path::Path;
use std::time::Duration;

use self::credentials::Credentials;
use super::descriptor::RpcDescriptors;
use super::iam::{IamFile, IamRule};
use super::limits::BackendRule;
use super::method::{BodyRule, PermissionRule, PermissionType, TokenRequirement};
use super::resource::ResourceTemplate;
use super::rpc::RpcDescriptor;
use super::service::{HttpBinding, HttpBody, HttpRule, Service, is_service_name};
use crate::diagnostic::{Place, Report, Source, Span};
use crate::document::nearest;

/// A service that can be exposed, on any number of hosts.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) name: String,
    /// The hosts that the files give it: its name first, which may be a pattern.
    pub(super) hosts: Vec<String>,
    pub(super) error_domain: String,
    pub(super) rpcs: Vec<Rpc>,
    /// The http rules of the RPCs that no iam rule exposes.
    pub(super) closed: Vec<HttpRule>,
    /// The APIs that no http rule is for.
    pub(super) undescribed: Vec<(String, Place)>,
    /// The full names of the RPCs that its backend may serve over gRPC, whether or not an iam rule exposes them.
    pub(super) over_grpc: Vec<String>,
    /// The service file as a whole.
    pub(super) span: Span,
    /// Why the descriptor set describes no messages, if it does not.
    pub(super) incomplete: Option<String>,
    /// Where the service file says that its backends answer OPTIONS.
    pub(super) allow_cors: Option<Span>,
}

/// An RPC that both files name.
#[derive(Debug)]
pub(super) struct Rpc {
    pub(super) name: String,
    pub(super) permission: PermissionRule,
    pub(super) scopes: Vec<String>,
    pub(super) allow_without_credential: bool,
    pub(super) requirements: Vec<TokenRequirement>,
    pub(super) resource: ResourceTemplate,
    pub(super) resource_type: Option<String>,
    pub(super) permission_type: Option<PermissionType>,
    pub(super) unimplemented: bool,
    /// By the service file.
    pub(super) deadline: Option<Duration>,
    pub(super) place: Place,
    /// Its bindings, each with the body that it takes.
    pub(super) bindings: Vec<(HttpBinding, BodyRule)>,
    /// Its messages, where a descriptor is known.
    pub(super) descriptor: Option<RpcDescriptor>,
    /// Why they do not name the resource.
    pub(super) descriptor_fault: Option<String>,
}

/// Joins the two files. `service_path` is the service file's, for messages.
pub(super) fn resolve(
    service: Service,
    iam: IamFile,
    known: &RpcDescriptors,
    service_path: &Path,
    report: &mut Report,
) -> Option<Definition> {
    let name = name_of(&service, &iam, report)?;
    let rpcs: Vec<Rpc> = iam
        .rules
        .iter()
        .filter_map(|rule| {
            let found = known.find(&rule.selector).filter(|_| lists(&service, &rule.selector));
            // Without an http rule, it is called over gRPC alone.
            let without =
                HttpRule { selector: rule.selector.clone(), span: rule.span.clone(), bindings: Vec::new() };
            let of_file = service.rules.iter().find(|http| http.selector == rule.selector);
            let http = match (of_file, &found) {
                (Some(http), _) => http,
                (None, Some(_)) => &without,
                (None, None) => {
                    report_no_rule(rule, &service, service_path, report);
                    return None;
                }
            };
            let joined = join(rule, http, &name, &service, service_path, report)?;
            with_messages(joined, found, rule, report)
        })
        .collect();
    let is_listed = |rpc: &String| lists(&service, rpc);
    let is_closed = |http: &&HttpRule| iam.rules.iter().all(|rule| rule.selector != http.selector);
    let closed = service.rules.iter().filter(is_closed).cloned().collect();
    let is_of =
        |selector: &str, api: &str| selector.strip_prefix(api).is_some_and(|rest| rest.starts_with('.'));
    let is_described = |api: &str| service.rules.iter().any(|rule| is_of(&rule.selector, api));
    let undescribed = service.apis.iter().filter(|(api, _)| !is_described(api)).cloned().collect();
    let exposed = rpcs.iter().filter(|rpc| rpc.descriptor.is_some()).map(|rpc| rpc.name.clone());
    let over_grpc = known.own().filter(|rpc| is_listed(rpc)).chain(exposed).collect();
    let mut hosts: Vec<String> = Vec::new();
    for host in [name.clone()].into_iter().chain(service.endpoints) {
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    let allow_cors = service.allow_cors;
    let span = Span { source: Source::new(service_path, ""), range: 0..0 };
    let incomplete = known.incomplete().map(str::to_owned);
    let error_domain = iam.error_domain;
    Some(Definition {
        name,
        hosts,
        error_domain,
        rpcs,
        closed,
        undescribed,
        over_grpc,
        span,
        incomplete,
        allow_cors,
    })
}

/// The service's name. Both files say it, or the iam file alone: those of grpc-gateway have none.
fn name_of(service: &Service, iam: &IamFile, report: &mut Report) -> Option<String> {
    match (&service.name, &iam.service) {
        (Some((name, name_span)), Some((other, span))) if name != other => {
            report
                .error(
                    span,
                    format!("these rules are for `{other}`, the service file beside them is for `{name}`"),
                )
                .help(format!("write `service: {name}`, or name the file after the service it speaks of"))
                .related(name_span, "the service is named here");
            Some(name.clone())
        }
        (Some((name, _)), _) => Some(name.clone()),
        (None, Some((name, span))) => {
            if !is_service_name(name) {
                report
                    .error(span, format!("`{name}` is not a DNS name"))
                    .help("the service file has no `name`, so this is the service's: write the host that clients call");
                return None;
            }
            Some(name.clone())
        }
        // That the iam file does not say it is in the report.
        (None, None) => None,
    }
}

fn report_no_rule(rule: &IamRule, service: &Service, service_path: &Path, report: &mut Report) {
    let file = service_path.display();
    let diagnostic =
        report.error(&rule.span, format!("no http rule in {file} has the selector `{}`", rule.selector));
    match nearest(&rule.selector, service.rules.iter().map(|http| http.selector.as_str())) {
        Some(name) => diagnostic.help(format!("did you mean `{name}`?")),
        None => diagnostic
            .help("write the full name of an RPC that has an http rule there; there are no wildcards"),
    };
}

/// Whether an RPC is of an API that the service has. Without `apis`, it has every API that a rule is for.
fn lists(service: &Service, rpc: &str) -> bool {
    let api = rpc.rsplit_once('.').map_or("", |(api, _)| api);
    service.apis.is_empty() || service.apis.iter().any(|(listed, _)| listed == api)
}

/// The RPC with its messages, which have to name the resource as the iam rule says. An RPC that has http rules goes without them
/// else.
fn with_messages(rpc: Rpc, found: Option<RpcDescriptor>, rule: &IamRule, report: &mut Report) -> Option<Rpc> {
    let Some(found) = found else { return Some(rpc) };
    let found = found.bound(rpc.bindings.iter().map(|(binding, _)| binding));
    if rpc.permission == PermissionRule::None {
        return Some(Rpc { descriptor: Some(found), ..rpc });
    }
    match found.naming(&rpc.resource, rpc.bindings.iter().map(|(binding, _)| binding)) {
        Ok(found) => Some(Rpc { descriptor: Some(found), ..rpc }),
        Err(fault) if rpc.bindings.is_empty() => {
            let span = rule.resource.as_ref().map_or(&rule.span, |(_, span)| span);
            report.error(span, format!("`{}` has no http rule, and {fault}", rpc.name)).help(
                "write which fields of the request message name the resource, as in `resource: name` or `resource: \
                 projects/{project}/jobs/{job}`",
            );
            None
        }
        Err(fault) => Some(Rpc { descriptor_fault: Some(fault.to_string()), ..rpc }),
    }
}

fn join(
    rule: &IamRule,
    http: &HttpRule,
    name: &str,
    service: &Service,
    service_path: &Path,
    report: &mut Report,
) -> Option<Rpc> {
    let resource = resource::check(rule, http, report);
    let credentials = credentials::check(rule, name, service, service_path, report);
    let bindings = with_bodies(rule, http, report);
    if let Some(resource) = &resource {
        check_streams(rule, resource, &bindings, report);
    }
    let resource = resource?;
    let Credentials { scopes, allow_without_credential, requirements } = credentials?;
    Some(Rpc {
        name: rule.selector.clone(),
        permission: rule.permission.clone(),
        scopes,
        allow_without_credential,
        requirements,
        resource_type: rule.resource_type.clone().or_else(|| resource_type(rule, &resource, service)),
        resource,
        permission_type: rule.permission_type,
        unimplemented: rule.unimplemented,
        deadline: BackendRule::deadline_of(&service.backend, &rule.selector),
        place: rule.span.place(),
        bindings,
        descriptor: None,
        descriptor_fault: None,
    })
}

/// The type that the protos give the resource, where the iam rule says none and one field names it.
fn resource_type(rule: &IamRule, resource: &ResourceTemplate, service: &Service) -> Option<String> {
    let field = resource.whole()?;
    service.resource_types.get(&rule.selector)?.get(field).cloned()
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
    resource: &ResourceTemplate,
    bindings: &[(HttpBinding, BodyRule)],
    report: &mut Report,
) {
    let is_open = |(binding, body): &&(HttpBinding, BodyRule)| {
        *body == BodyRule::Stream
            && !takes_no_body(binding, *body)
            && resource.variables().any(|field| binding.body.field(field).is_some())
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
            let named =
                resource.variables().find(|field| binding.body.field(field).is_some()).unwrap_or_default();
            let span = rule.body.as_ref().map_or(&rule.span, |(_, span)| span);
            report
                .warning(
                    span,
                    format!("a body of `{}` can name another `{named}` than the path, and is not judged", rule.selector),
                )
                .help(format!(
                    "write `body: message`, which is judged; or, if the backend takes `{named}` from the path \
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
