//! What can be called: the API methods behind the gate, and the way from a request to one of them.
//!
//! ```text
//! services/<id>.yaml      ──► Service ─┐
//!                                      ├─► Definition ─► Method, Route ──► Router ──► Call
//! services/<id>.iam.yaml  ──► IamFile ─┘        ▲
//!                                   ExposureSettings (the operator's config)
//! ```
//!
//! A method is exposed only if both files speak of it: the service file says how it is called and which scopes it
//! takes, the iam file which permission it needs. Everything else is answered like a path that does not exist.
//! Pure: the files are read at load, no clock, no network.

mod iam;
mod method;
mod resolve;
mod router;
mod service;
mod template;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::iam::{DEFAULT_ERROR_DOMAIN, IamFile, IamRule};
pub use self::method::{BodyRule, Call, Exposure, Forwarding, Method, PermissionRule};
use self::resolve::Definition;
pub use self::router::{Route, Router};
pub use self::service::{AuthenticationRule, Binding, HttpBody, HttpRule, Selector, Service};
pub use self::template::{Segment, Template, TemplateError, Variable};
use crate::diagnostic::{Place, Report, Severity, Span};
use crate::document::{self, nearest};
use crate::http::Path as RequestPath;
use crate::reason::Denial;

/// Every exposed method, and how requests reach it.
#[derive(Debug, Default)]
pub struct Catalog {
    methods: Vec<Arc<Method>>,
    unexposed: Vec<Unexposed>,
    router: Router,
}

/// How the operator's config exposes a service.
#[derive(Clone, Debug)]
pub struct ExposureSettings {
    /// The name of its files: `cloudaicompanion`.
    pub id: String,
    /// The hosts it answers on, `*` for any; `None` for the service's own name.
    pub hosts: Option<Vec<String>>,
    /// The upstream its calls go to.
    pub upstream: String,
    /// What goes upstream beside the client's own fields.
    pub forwarding: Forwarding,
    /// Where the config says so.
    pub span: Span,
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

impl Catalog {
    /// Loads the exposed services from a directory of service and iam files (`policies/services`). `None` where
    /// anything is wrong; everything that is wrong is in the report.
    pub fn load(directory: &Path, exposures: &[ExposureSettings], report: &mut Report) -> Option<Self> {
        let errors_before = report.count(Severity::Error);
        let known = if exposures.is_empty() { Vec::new() } else { service_ids(directory, report)? };
        let mut definitions: Vec<(&str, Option<Definition>)> = Vec::new();
        let mut catalog = Self::default();
        let mut routes = Vec::new();
        for settings in exposures {
            if !definitions.iter().any(|(id, _)| *id == settings.id) {
                let definition = load_definition(directory, &known, settings, report);
                catalog
                    .unexposed
                    .extend(definition.iter().flat_map(|definition| definition.unexposed.clone()));
                definitions.push((&settings.id, definition));
            }
            let found = definitions.iter().find(|(id, _)| *id == settings.id);
            if let Some((_, Some(definition))) = found {
                catalog.expose(definition, settings, &mut routes, report);
            }
        }
        catalog.router = Router::build(&routes, report);
        (report.count(Severity::Error) == errors_before).then_some(catalog)
    }

    fn expose(
        &mut self,
        definition: &Definition,
        settings: &ExposureSettings,
        routes: &mut Vec<(Arc<Route>, Span)>,
        report: &mut Report,
    ) {
        let hosts = match &settings.hosts {
            None => vec![definition.name.clone()],
            Some(hosts) => hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
        };
        if hosts.is_empty() {
            report
                .error(&settings.span, format!("`{}` is exposed on no host", settings.id))
                .help("name one; without `hosts` it answers on the service's own name, with `*` on any");
        }
        let service = Arc::new(Exposure {
            id: settings.id.clone(),
            name: definition.name.clone(),
            hosts,
            upstream: settings.upstream.clone(),
            forwarding: settings.forwarding,
            error_domain: definition.error_domain.clone(),
        });
        for rpc in &definition.rpcs {
            let method = Arc::new(Method {
                index: self.methods.len(),
                service: service.clone(),
                name: rpc.name.clone(),
                permission: rpc.permission.clone(),
                scopes: rpc.scopes.clone(),
                allow_without_credential: rpc.allow_without_credential,
                resource_field: rpc.resource_field.clone(),
                unimplemented: rpc.unimplemented,
                place: rpc.place.clone(),
            });
            self.methods.push(method.clone());
            routes.extend(rpc.bindings.iter().map(|(binding, body)| {
                let route = Route {
                    method: method.clone(),
                    http_method: binding.http_method.clone(),
                    template: binding.template.clone(),
                    body: *body,
                    body_field: match &binding.body {
                        HttpBody::Field(field) => Some(field.clone()),
                        HttpBody::None | HttpBody::Whole => None,
                    },
                };
                (Arc::new(route), binding.span.clone())
            }));
        }
    }

    /// Every exposed method, each at the place that its index names.
    pub fn methods(&self) -> &[Arc<Method>] {
        &self.methods
    }

    /// The permissions that exposed methods ask for, each with the place of the rule that does.
    pub fn permissions(&self) -> Vec<(String, Place)> {
        let asked = |method: &Arc<Method>| match &method.permission {
            PermissionRule::Required(permission) => Some((permission.clone(), method.place.clone())),
            PermissionRule::None => None,
        };
        self.methods.iter().filter_map(asked).collect()
    }

    /// The methods of exposed services that no iam rule exposes.
    pub fn unexposed(&self) -> &[Unexposed] {
        &self.unexposed
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
}

fn load_definition(
    directory: &Path,
    known: &[String],
    settings: &ExposureSettings,
    report: &mut Report,
) -> Option<Definition> {
    let id = settings.id.as_str();
    if !known.iter().any(|known| known == id) {
        let shown = directory.display();
        let diagnostic =
            report.error(&settings.span, format!("there is no service file for `{id}` in {shown}"));
        match nearest(id, known.iter().map(String::as_str)) {
            Some(name) => diagnostic.help(format!("did you mean `{name}`?")),
            None if known.is_empty() => {
                diagnostic.help(format!("put the google.api.Service in {shown}/{id}.yaml"))
            }
            None => diagnostic.help(format!("there are files for {}", quoted(known))),
        };
        return None;
    }
    let service_path = only_file(directory, id, report)?;
    let service = document::read(&service_path, report).and_then(|node| Service::read(&node, report));
    let iam_path = match only_file(directory, &format!("{id}.iam"), report) {
        Some(path) => path,
        None => {
            report
                .error(&settings.span, format!("the service `{id}` has no iam file, so nothing of it can be exposed"))
                .help(format!(
                    "create {} with `service:` and, under `rules:`, a `selector` and a `permission` for each method to expose",
                    directory.join(format!("{id}.iam.yaml")).display()
                ));
            return None;
        }
    };
    let iam = document::read(&iam_path, report).and_then(|node| IamFile::read(&node, report));
    Some(resolve::resolve(id, service?, iam?, &service_path, report))
}

/// The endings under which a file may be kept.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// The ids of the service files in a directory, sorted.
fn service_ids(directory: &Path, report: &mut Report) -> Option<Vec<String>> {
    let names: std::io::Result<Vec<_>> = std::fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect());
    let names = match names {
        Ok(names) => names,
        Err(error) => {
            report
                .file_error(directory, format!("cannot read the directory: {error}"))
                .help("it holds the service files, `<id>.yaml` and `<id>.iam.yaml`");
            return None;
        }
    };
    let mut ids: Vec<String> = names
        .iter()
        .filter_map(|name| name.to_str()?.rsplit_once('.'))
        .filter(|(id, ending)| ENDINGS.contains(ending) && !id.ends_with(".iam"))
        .map(|(id, _)| id.to_owned())
        .collect();
    ids.sort();
    ids.dedup();
    Some(ids)
}

/// The file of this name, whatever its ending; two of them contradict each other.
fn only_file(directory: &Path, stem: &str, report: &mut Report) -> Option<PathBuf> {
    let mut found =
        ENDINGS.iter().map(|ending| directory.join(format!("{stem}.{ending}"))).filter(|path| path.is_file());
    let first = found.next()?;
    if let Some(second) = found.next() {
        report
            .file_error(&second, format!("the file {} says the same things", first.display()))
            .help("keep one of the two");
    }
    Some(first)
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// What a service file holds, for `opgate check --service FILE`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ServiceSummary {
    /// `name` of the google.api.Service.
    pub name: String,
    /// How many RPCs have an http rule.
    pub rules: usize,
    /// How many HTTP methods and paths these rules bind.
    pub bindings: usize,
    /// Every scope that some method accepts, sorted.
    pub scopes: Vec<String>,
}

/// Reads one service file by itself. `None` where anything is wrong; everything that is wrong is in the report.
pub fn load_service_file(path: &Path, report: &mut Report) -> Option<ServiceSummary> {
    let errors_before = report.count(Severity::Error);
    let service = document::read(path, report).and_then(|node| Service::read(&node, report))?;
    let mut scopes: Vec<String> =
        service.authentication.iter().flat_map(|rule| rule.scopes.clone()).collect();
    scopes.sort();
    scopes.dedup();
    (report.count(Severity::Error) == errors_before).then(|| ServiceSummary {
        name: service.name,
        bindings: service.rules.iter().map(|rule| rule.bindings.len()).sum(),
        rules: service.rules.len(),
        scopes,
    })
}

#[cfg(test)]
mod tests;
