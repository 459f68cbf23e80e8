//! `services/ID.binpb`: a descriptor set from protoc or buf, with the annotations of a service's own methods.
//!
//! Google's published service files hold http rules for shared APIs only. The rules of a service's own methods are
//! options in its protos: `google.api.http`, `google.api.default_host`, `google.api.oauth_scopes`, and the types of the
//! resources that fields name. They become rules of the [`Service`], before those of its file: there a rule for the same
//! method takes the place of the annotation (google/api/http.proto).

mod built_in;
#[expect(missing_docs, reason = "the protos document these fields, which have the same names there")]
pub mod message;
mod pool;

use std::collections::HashMap;
use std::path::Path;

use prost::Message;

use self::message::{FileDescriptorSet, HttpAnnotation, MessageDescriptor, ServiceDescriptor};
pub(super) use self::pool::RpcDescriptors;
use super::service::{
    AuthenticationRule, HttpBinding, HttpBody, HttpRule, Selector, Service, is_dns_name, is_identifier,
    scopes_of,
};
use super::template::Template;
use crate::diagnostic::{Report, Source, Span};

/// APIs that many services offer beside their own. Their protos come with a service's as imports, and a service has them
/// only if its file says so.
const SHARED: [&str; 3] =
    ["google.longrunning.Operations", "google.cloud.location.Locations", "google.iam.v1.IAMPolicy"];

/// A descriptor set that was read.
pub(super) struct Descriptors {
    set: FileDescriptorSet,
    /// The messages of its RPCs.
    pub(super) rpcs: RpcDescriptors,
    /// The file as a whole: nothing in it has a line.
    span: Span,
}

impl Descriptors {
    /// Reads a set. `None` where it is none, which is in the report then.
    pub(super) fn read(path: &Path, bytes: &[u8], report: &mut Report) -> Option<Self> {
        let span = Span { source: Source::new(path, ""), range: 0..0 };
        match FileDescriptorSet::decode(bytes) {
            Ok(set) if set.file.iter().any(|file| !file.service.is_empty()) => {
                Some(Self { rpcs: RpcDescriptors::read(&set, bytes), set, span })
            }
            Ok(_) => {
                report
                    .file_error(path, "the descriptor set has no service")
                    .help("give protoc the files that define the service, with `--include_imports`");
                None
            }
            Err(error) => {
                report
                    .file_error(path, format!("the file is not a descriptor set: {error}"))
                    .help("make it with `protoc --include_imports --descriptor_set_out=FILE …` or `buf build -o FILE`");
                None
            }
        }
    }

    /// A service that the descriptor set alone describes.
    pub(super) fn service(&self) -> Service {
        Service {
            name: None,
            endpoints: Vec::new(),
            apis: Vec::new(),
            rules: Vec::new(),
            providers: Vec::new(),
            authentication: Vec::new(),
            resource_types: HashMap::new(),
            allow_cors: None,
            backend: Vec::new(),
        }
    }

    /// Adds what the set says of a service to what its file says. `names` says whether some iam rule is for a method of
    /// this API.
    pub(super) fn add_to(&self, service: &mut Service, names: impl Fn(&str) -> bool, report: &mut Report) {
        let mut rules = Vec::new();
        let mut authentication = Vec::new();
        for file in &self.set.file {
            for api in &file.service {
                let name = join(&file.package, &api.name);
                let is_shared = SHARED.contains(&name.as_str());
                let is_listed = match service.apis.as_slice() {
                    [] => !is_shared || names(&name),
                    listed => listed.iter().any(|(listed, _)| *listed == name),
                };
                if !is_listed {
                    continue;
                }
                if !is_shared {
                    service.endpoints.extend(default_host(api));
                }
                authentication.extend(self.scopes(&name, api, report));
                self.methods(&name, api, service, &mut rules, report);
            }
        }
        service.rules.splice(0..0, rules);
        service.authentication.splice(0..0, authentication);
    }

    fn methods(
        &self,
        api: &str,
        descriptor: &ServiceDescriptor,
        service: &mut Service,
        rules: &mut Vec<HttpRule>,
        report: &mut Report,
    ) {
        for method in &descriptor.method {
            let selector = join(api, &method.name);
            let types = self.resource_types(method.input_type.trim_start_matches('.'));
            service.resource_types.insert(selector.clone(), types);
            let Some(annotation) = method.options.as_ref().and_then(|options| options.http.as_ref()) else {
                continue;
            };
            if service.rules.iter().any(|rule| rule.selector == selector) {
                continue;
            }
            let all = std::iter::once(annotation).chain(&annotation.additional_bindings);
            let bindings = all.filter_map(|annotation| self.binding(annotation, &selector, report)).collect();
            rules.push(HttpRule { selector, span: self.span.clone(), bindings });
        }
    }

    fn binding(
        &self,
        annotation: &HttpAnnotation,
        selector: &str,
        report: &mut Report,
    ) -> Option<HttpBinding> {
        let mut wrong = |message: String| {
            report
                .error(&self.span, format!("the annotation of `{selector}`: {message}"))
                .help("correct the proto, or write the rule under `http.rules` of the service file");
        };
        let standard = [
            (::http::Method::GET, &annotation.get),
            (::http::Method::PUT, &annotation.put),
            (::http::Method::POST, &annotation.post),
            (::http::Method::DELETE, &annotation.delete),
            (::http::Method::PATCH, &annotation.patch),
        ];
        let mut patterns: Vec<(Option<::http::Method>, &str)> = standard
            .into_iter()
            .filter_map(|(http_method, path)| Some((Some(http_method), path.as_deref()?)))
            .collect();
        if let Some(custom) = &annotation.custom {
            match ::http::Method::from_bytes(custom.kind.as_bytes()) {
                _ if custom.kind == "*" => patterns.push((None, &custom.path)),
                Ok(http_method) => patterns.push((Some(http_method), &custom.path)),
                Err(_) => {
                    wrong(format!("`{}` is not an HTTP method", custom.kind.escape_debug()));
                    return None;
                }
            }
        }
        let [(http_method, path)] = patterns.as_slice() else {
            wrong("it has to match one method and path".to_owned());
            return None;
        };
        let body = match annotation.body.as_str() {
            "" => HttpBody::None,
            "*" => HttpBody::Whole,
            field if is_identifier(field) => HttpBody::Field(field.into()),
            field => {
                wrong(format!("`{}` is not a field of a request message", field.escape_debug()));
                return None;
            }
        };
        let response_body = match annotation.response_body.as_str() {
            "" => None,
            field if is_identifier(field) => Some(field.into()),
            field => {
                wrong(format!("`{}` is not a field of a response message", field.escape_debug()));
                return None;
            }
        };
        match Template::parse(path) {
            Ok(template) => Some(HttpBinding {
                http_method: http_method.clone(),
                template,
                body,
                response_body,
                span: self.span.clone(),
            }),
            Err(error) => {
                wrong(format!("`{}`: {error}", path.escape_debug()));
                None
            }
        }
    }

    /// `oauth_scopes` of a service as a rule that comes before those of the file.
    fn scopes(
        &self,
        api: &str,
        descriptor: &ServiceDescriptor,
        report: &mut Report,
    ) -> Option<AuthenticationRule> {
        let list = &descriptor.options.as_ref()?.oauth_scopes;
        let scopes = scopes_of(list, &self.span, report);
        (!scopes.is_empty()).then(|| AuthenticationRule {
            selectors: vec![Selector::Below(format!("{api}."))],
            scopes,
            allow_without_credential: false,
            requirements: Vec::new(),
            span: self.span.clone(),
        })
    }

    /// The types of the resources that fields of a message name, by field path: fields of the message, and those of the
    /// messages in it.
    fn resource_types(&self, message: &str) -> HashMap<String, String> {
        let mut types = HashMap::new();
        let Some(descriptor) = self.message(message) else { return types };
        for field in &descriptor.field {
            if let Some(named) = type_of(descriptor, field) {
                types.insert(field.name.clone(), named);
            }
            let Some(inner) = self.message(field.type_name.trim_start_matches('.')) else { continue };
            for nested in &inner.field {
                if let Some(named) = type_of(inner, nested) {
                    types.insert(format!("{}.{}", field.name, nested.name), named);
                }
            }
        }
        types
    }

    fn message(&self, name: &str) -> Option<&MessageDescriptor> {
        self.set.file.iter().find_map(|file| {
            let rest = match file.package.as_str() {
                "" => name,
                package => name.strip_prefix(package)?.strip_prefix('.')?,
            };
            let mut steps = rest.split('.');
            let first = steps.next()?;
            let found = file.message_type.iter().find(|message| message.name == first)?;
            steps.try_fold(found, |outer, step| outer.nested_type.iter().find(|inner| inner.name == step))
        })
    }
}

/// The type of the resource that a field names: as its reference says or, of the `name` of a resource, as the message
/// says (google/api/resource.proto).
fn type_of(message: &MessageDescriptor, field: &message::FieldDescriptor) -> Option<String> {
    let reference = field.options.as_ref().and_then(|options| options.resource_reference.as_ref());
    let own = message.options.as_ref().and_then(|options| options.resource.as_ref());
    let own = own.filter(|_| field.name == "name");
    let named = &reference.or(own)?.r#type;
    // `*` is any; a reference to what lies below (`child_type`) has no type of its own.
    named.contains('/').then(|| named.clone())
}

/// The host of `google.api.default_host`, which may have a port.
fn default_host(api: &ServiceDescriptor) -> Option<String> {
    let host = &api.options.as_ref()?.default_host;
    let host = host.split_once(':').map_or(host.as_str(), |(host, _)| host);
    is_dns_name(host).then(|| host.to_owned())
}

fn join(package: &str, name: &str) -> String {
    if package.is_empty() { name.to_owned() } else { format!("{package}.{name}") }
}

#[cfg(test)]
mod tests;
