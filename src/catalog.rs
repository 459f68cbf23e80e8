//! What can be called: the API methods behind the gate, and the way from a request to one of them.
//!
//! ```text
//! services/<id>.yaml      ──► Service ─┐
//!                                      ├─► Definition ─► Method, Route ──► Router ──► Call
//! services/<id>.iam.yaml  ──► IamFile ─┘        ▲
//!                                   ExposureSettings (the operator's config)
//! ```
//!
//! A method is exposed only if both files name it: the service file says how it is called and which scopes it takes,
//! the iam file which permission it needs. Everything else is answered like a path that does not exist.
//! Pure: files come as [`PolicyFiles`], and there is no clock and no network.

mod cors;
pub mod descriptor;
mod files;
mod iam;
mod limits;
mod method;
mod named;
mod near;
mod operation;
mod operation_name;
mod options;
mod over_grpc;
mod passed;
mod resolve;
mod resource;
mod router;
mod rpc;
mod rpc_call;
mod service;
pub(crate) mod settings;
mod template;
mod transcoding;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use self::cors::{CorsPolicy, OriginPattern};
pub use self::iam::{DEFAULT_ERROR_DOMAIN, IamFile, IamRule};
pub use self::limits::{BackendRule, MAX_MESSAGE_BYTES, MethodLimits, ServiceLimits};
pub use self::method::{
    BodyRule, Call, Exposure, Forwarding, Method, PermissionRule, PermissionType, TokenRequirement,
};
pub use self::named::NotCallable;
pub use self::operation::OperationMethod;
pub use self::options::OPTIONS_METHOD;
pub use self::over_grpc::{IncompleteDescriptors, NotOverGrpc};
pub use self::passed::PassedRpcs;
use self::resolve::Definition;
pub use self::resource::{ResourceError, ResourceTemplate};
use self::router::RpcRoutes;
pub use self::router::{NoRpcRoute, Route, RouteTarget, Router, WrittenRoute};
pub use self::rpc::RpcDescriptor;
pub use self::service::{
    AuthenticationProvider, AuthenticationRequirement, AuthenticationRule, HttpBinding, HttpBody, HttpRule,
    Selector, Service,
};
pub use self::settings::ExposureSettings;
pub use self::template::{Template, TemplateError, TemplateSegment, TemplateVariable};
use crate::diagnostic::{Place, Report, Severity, Source, Span};
use crate::document::Node;
use crate::http::Path as RequestPath;
use crate::reason::Denial;
use crate::source::PolicyFiles;

/// Every exposed method, and how requests reach it.
#[derive(Debug, Default)]
pub struct Catalog {
    methods: Vec<Arc<Method>>,
    /// The services, as often as they are exposed.
    services: Vec<Arc<Exposure>>,
    unexposed: Vec<Unexposed>,
    undescribed: Vec<UndescribedApi>,
    incomplete: Vec<IncompleteDescriptors>,
    resources: Vec<Box<[TemplateSegment]>>,
    router: Router,
    rpcs: RpcRoutes,
    not_over_grpc: Vec<NotOverGrpc>,
    /// The routes that lead to an exposed method, as written.
    open: Vec<Arc<Route>>,
}

impl ExposureSettings {
    /// Whether another says the same, wherever it is written.
    pub fn says_same_as(&self, other: &Self) -> bool {
        self.id == other.id
            && self.hosts == other.hosts
            && self.upstream == other.upstream
            && self.transcode == other.transcode
            && self.forwarding == other.forwarding
            && self.cors == other.cors
            && self.protected_resource == other.protected_resource
            && self.limits == other.limits
            && self.grpc == other.grpc
    }
}

/// A method that has an http rule but no iam rule, and so is not exposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unexposed {
    /// The id of the service.
    pub service: String,
    /// The full RPC name.
    pub method: String,
    /// Where its http rule is written.
    pub place: Place,
}

/// An API that a service file lists, and for which no file has an http rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndescribedApi {
    /// The id of the service.
    pub service: String,
    /// The name of the API.
    pub name: String,
    /// Where the service file lists it.
    pub place: Place,
}

impl Catalog {
    /// Whether calls of any method go to an upstream.
    pub fn leads_to(&self, upstream: &str) -> bool {
        self.methods.iter().any(|method| method.service.upstream == upstream)
    }

    /// Loads the exposed services from the service and iam files of a tree, below `services/`. `None` where
    /// anything is wrong; everything that is wrong is in the report.
    pub fn load(files: &PolicyFiles, exposures: &[ExposureSettings], report: &mut Report) -> Option<Self> {
        let errors_before = report.count(Severity::Error);
        let known = if exposures.is_empty() { Vec::new() } else { files::service_ids(files, report)? };
        let mut definitions: Vec<(&str, Option<Definition>)> = Vec::new();
        let mut catalog = Self::default();
        let mut routes = Vec::new();
        for settings in exposures {
            if !definitions.iter().any(|(id, _)| *id == settings.id) {
                let definition = files::load_definition(files, &known, settings, report);
                let closed = definition.iter().flat_map(|definition| &definition.closed);
                catalog.unexposed.extend(closed.map(|http| Unexposed {
                    service: settings.id.clone(),
                    method: http.selector.clone(),
                    place: http.span.place(),
                }));
                let apis = definition.iter().flat_map(|definition| &definition.undescribed);
                catalog.undescribed.extend(apis.map(|(name, place)| UndescribedApi {
                    service: settings.id.clone(),
                    name: name.clone(),
                    place: place.clone(),
                }));
                let why = definition.as_ref().and_then(|definition| definition.incomplete.clone());
                catalog.incomplete.extend(why.map(|why| IncompleteDescriptors {
                    service: settings.id.clone(),
                    why,
                    file: files.path(&format!("services/{}.binpb", settings.id)),
                }));
                definitions.push((&settings.id, definition));
            }
            let found = definitions.iter().find(|(id, _)| *id == settings.id);
            if let Some((_, Some(definition))) = found {
                catalog.expose(definition, settings, &mut routes, report);
            }
        }
        catalog.router = Router::build(&routes, report);
        catalog.route_rpcs();
        let open = routes.into_iter().map(|(route, _)| route);
        catalog.open = open.filter(|route| matches!(route.target, RouteTarget::Open { .. })).collect();
        (report.count(Severity::Error) == errors_before).then_some(catalog)
    }

    fn expose(
        &mut self,
        definition: &Definition,
        settings: &ExposureSettings,
        routes: &mut Vec<WrittenRoute>,
        report: &mut Report,
    ) {
        let service = Arc::new(Exposure {
            id: settings.id.clone(),
            name: definition.name.clone(),
            hosts: settings.hosts_of(&definition.hosts, report),
            upstream: settings.upstream.clone(),
            forwarding: settings.forwarding.clone(),
            cors: settings.cors.clone(),
            protected_resource: settings.protected_resource.clone(),
            error_domain: definition.error_domain.clone(),
        });
        settings.check_protected_resource(&service.hosts, report);
        settings.limits.check(definition.rpcs.iter().map(|rpc| rpc.name.as_str()), report);
        let mut bind = |binding: &HttpBinding, target: RouteTarget| {
            let route = Route {
                service: service.clone(),
                http_method: binding.http_method.clone(),
                template: binding.template.clone(),
                target,
            };
            routes.push((Arc::new(route), binding.span.clone()));
        };
        for rpc in &definition.rpcs {
            let method = Arc::new(Method {
                index: self.methods.len(),
                service: service.clone(),
                name: rpc.name.clone(),
                permission: rpc.permission.clone(),
                scopes: rpc.scopes.clone(),
                allow_without_credential: rpc.allow_without_credential,
                requirements: rpc.requirements.clone(),
                resource: rpc.resource.clone(),
                resource_type: rpc.resource_type.clone(),
                permission_type: rpc.permission_type,
                operation: OperationMethod::of(&rpc.name),
                unimplemented: rpc.unimplemented,
                rpc: rpc.descriptor.clone(),
                rpc_fault: rpc.descriptor_fault.clone(),
                limits: settings.limits.of(&rpc.name, rpc.deadline),
                place: rpc.place.clone(),
            });
            self.methods.push(method.clone());
            for (binding, body) in &rpc.bindings {
                if rpc.permission != PermissionRule::None
                    && let Some(shape) = rpc.resource.shape(&binding.template)
                    && !self.resources.iter().any(|known| **known == *shape)
                {
                    self.resources.push(shape.into());
                }
                let body_field = match &binding.body {
                    HttpBody::Field(field) => Some(field.clone()),
                    HttpBody::None | HttpBody::Whole => None,
                };
                let target = if settings.transcode {
                    transcoding::target(&method, binding, *body, body_field, report)
                } else {
                    RouteTarget::Open { method: method.clone(), body: *body, body_field, transcoding: None }
                };
                bind(binding, target);
            }
        }
        for http in &definition.closed {
            for binding in &http.bindings {
                bind(binding, RouteTarget::Closed { rpc: http.selector.clone() });
            }
        }
        let is_ruled = |name: &str| definition.rpcs.iter().any(|rpc| rpc.name == name);
        let passed = settings.grpc.methods(self.methods.len(), &service, &settings.span.place(), is_ruled);
        self.methods.extend(passed.into_iter().map(Arc::new));
        // A backend may run an RPC for whatever comes on its path. So no http rule of another method takes that path.
        for rpc in &definition.over_grpc {
            let template = router::path_of(rpc).and_then(|path| Template::parse(&path).ok());
            let span = definition.span.clone();
            if let Some(template) = template {
                let binding = HttpBinding {
                    http_method: None,
                    template,
                    body: HttpBody::Whole,
                    response_body: None,
                    span,
                };
                bind(&binding, RouteTarget::Closed { rpc: rpc.clone() });
            }
        }
        let allow_cors = definition.allow_cors.as_ref();
        if let Some(span) = allow_cors.filter(|span| transcoding::may_answer_options(settings, span, report))
        {
            let method = Arc::new(options::method(
                self.methods.len(),
                service.clone(),
                settings.limits.of(options::OPTIONS_METHOD, None),
                span,
            ));
            for (binding, is_open) in options::bindings(definition) {
                bind(&binding, options::target(&method, is_open));
            }
            self.methods.push(method);
        }
        self.services.push(service);
    }

    /// Every exposed method, each at the place that its index names.
    pub fn methods(&self) -> &[Arc<Method>] {
        &self.methods
    }

    /// The exposed services.
    pub fn services(&self) -> impl Iterator<Item = &Exposure> {
        self.services.iter().map(Arc::as_ref)
    }

    /// The services that are exposed on a host.
    pub fn services_on(&self, host: &str) -> impl Iterator<Item = &Exposure> {
        let services = self.services.iter().map(Arc::as_ref);
        services.filter(move |service| service.hosts.iter().any(|name| name == host || name == "*"))
    }

    /// The permissions that exposed methods ask for, each with the place of the rule that does.
    pub fn permissions(&self) -> Vec<(String, Place)> {
        let asked = |method: &Arc<Method>| match &method.permission {
            PermissionRule::Required(permission) => Some((permission.clone(), method.place.clone())),
            PermissionRule::None => None,
        };
        self.methods.iter().filter_map(asked).collect()
    }

    /// The shapes of the names of resources on which exposed methods ask for a permission, each once.
    pub fn resources(&self) -> impl Iterator<Item = &[TemplateSegment]> {
        self.resources.iter().map(|shape| &**shape)
    }

    /// The methods of exposed services that no iam rule exposes.
    pub fn unexposed(&self) -> &[Unexposed] {
        &self.unexposed
    }

    /// The APIs of exposed services of which no file says how they are called.
    pub fn undescribed(&self) -> &[UndescribedApi] {
        &self.undescribed
    }

    /// The methods, exposed or not, that a path belongs to on some host: see [`Router::at`].
    pub fn at(&self, path: &RequestPath) -> BTreeSet<String> {
        self.router.at(path)
    }

    /// Finds the method that a request calls. `host` is in lower case, without port.
    ///
    /// # Errors
    /// 404 or 405, see [`Router::route`].
    pub fn route(
        &self,
        host: &str,
        http_method: &::http::Method,
        path: &RequestPath,
    ) -> Result<Call, Denial> {
        self.router.route(host, http_method, path)
    }

    /// The path template of the route that a request takes, see [`Router::template`].
    pub fn template(&self, host: &str, http_method: &::http::Method, path: &RequestPath) -> Option<String> {
        self.router.template(host, http_method, path)
    }
}

impl ExposureSettings {
    /// Every service of a tree that has both of its files, each on its own name: what can be exposed without an
    /// operator's configuration. No call goes upstream this way.
    pub fn all(files: &PolicyFiles, report: &mut Report) -> Vec<Self> {
        let ids = files::service_ids(files, report).unwrap_or_default();
        let whole = ids.into_iter().filter(|id| files::has_iam_file(files, id));
        let exposed = |id: String| Self {
            span: Span { source: Source::new(files.path(&format!("services/{id}")), ""), range: 0..0 },
            id,
            hosts: None,
            upstream: String::new(),
            transcode: false,
            forwarding: Forwarding::default(),
            cors: None,
            protected_resource: None,
            limits: ServiceLimits::default(),
            grpc: PassedRpcs::default(),
        };
        whole.map(exposed).collect()
    }

    /// The hosts in lower case; those that no request can name are reported.
    fn hosts_of(&self, of_files: &[String], report: &mut Report) -> Vec<String> {
        let Some(hosts) = &self.hosts else { return self.hosts_of_files(of_files, report) };
        if hosts.is_empty() {
            report
                .error(&self.span, format!("`{}` is exposed on no host", self.id))
                .help("name one; without `hosts` it answers on the service's own name, with `*` on any");
        }
        let hosts: Vec<String> = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        for host in hosts.iter().filter(|host| !is_host(host)) {
            report
                .error(&self.span, format!("`{host}` is not a host"))
                .help("write a DNS name or an address without scheme and port, or `*` for any host");
        }
        hosts
    }
}

impl ExposureSettings {
    /// The hosts that the files of a service give it. A pattern (`*.apigateway.PROJECT.cloud.goog`) is the name of no
    /// host: the operator says which there are. In a tree by itself, the name below the pattern stands for them.
    fn hosts_of_files(&self, of_files: &[String], report: &mut Report) -> Vec<String> {
        let pattern = of_files.iter().find(|host| host.starts_with("*.") && !self.upstream.is_empty());
        if let Some(pattern) = pattern {
            report
                .error(&self.span, format!("`{}` has the name `{pattern}`, which is a pattern", self.id))
                .help(format!(
                    "say on which hosts it answers: `hosts: [{}]`; with `hosts: ['*']` it is every host",
                    pattern.replacen('*', "GATEWAY-ID", 1).to_ascii_lowercase()
                ));
        }
        of_files.iter().map(|host| host.strip_prefix("*.").unwrap_or(host).to_owned()).collect()
    }
}

/// What a request's host can look like once it is in lower case and without its port.
fn is_host(text: &str) -> bool {
    let is_ipv6 = || {
        let address = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        address.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
    };
    text == "*" || service::is_dns_name(text) || is_ipv6()
}

/// What a service file holds, for `opgate check --service FILE`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ServiceSummary {
    /// `name` of the google.api.Service; where it has none, what the file is called.
    pub name: String,
    /// How many RPCs have an http rule.
    pub rules: usize,
    /// How many HTTP methods and paths these rules bind.
    pub bindings: usize,
    /// Every scope that some method accepts, sorted.
    pub scopes: Vec<String>,
}

/// Reads one service file, parsed, by itself. `None` where anything is wrong; everything that is wrong is in the report.
pub fn read_service(node: &Node, report: &mut Report) -> Option<ServiceSummary> {
    let errors_before = report.count(Severity::Error);
    let service = Service::read(node, report)?;
    let mut scopes: Vec<String> =
        service.authentication.iter().flat_map(|rule| rule.scopes.clone()).collect();
    scopes.sort();
    scopes.dedup();
    (report.count(Severity::Error) == errors_before).then(|| ServiceSummary {
        name: service.name.map_or_else(|| stem(node), |(name, _)| name),
        bindings: service.rules.iter().map(|rule| rule.bindings.len()).sum(),
        rules: service.rules.len(),
        scopes,
    })
}

/// What a file is called, without its ending.
fn stem(node: &Node) -> String {
    node.span.source.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
