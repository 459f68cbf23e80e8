//! Paths and their operations.

use std::collections::BTreeSet;

use super::body::{Body, parameters};
use super::dialect::OpenApiVersion;
use super::extensions;
use super::security::{Asked, Schemes};
use super::server::Server;
use crate::diagnostic::{Report, Span};
use crate::document::Node;
use crate::import::lookup::{entries, field, is_true, text};
use crate::import::path::{ImportedPath, Piece};
use crate::import::words::identifier;
use crate::import::{CredentialRule, ImportOptions, ImportedMethod, naming};

/// The keys of a path that are operations, and the one that no request can be.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// What is read of the paths so far.
pub(super) struct OperationReader<'n> {
    pub(super) root: &'n Node,
    pub(super) dialect: OpenApiVersion,
    pub(super) options: &'n ImportOptions,
    pub(super) name: &'n str,
    pub(super) server: &'n Server,
    pub(super) schemes: &'n Schemes,
    pub(super) methods: Vec<Described>,
}

/// A method before it has its permission, which depends on the paths beside it.
pub(super) struct Described {
    method: ImportedMethod,
    path: ImportedPath,
    base: String,
    span: Span,
}

impl<'n> OperationReader<'n> {
    /// Reads all operations of a path.
    pub(super) fn path(
        &mut self,
        text_of_path: &str,
        key: &Node,
        item: &'n Node,
        allow_cors: bool,
        report: &mut Report,
    ) {
        let base = self.base_of(item, report).unwrap_or_else(|| self.server.base.clone());
        for (name, method_key, operation) in entries(item) {
            if !METHODS.contains(&name) {
                continue;
            }
            let http_method = name.to_ascii_uppercase();
            if http_method == "TRACE" {
                report.warning(&method_key.span, format!("TRACE {text_of_path} is not translated")).help(
                    "the gate refuses every TRACE: it would show a client what others add to its request",
                );
                continue;
            }
            if http_method == "OPTIONS" && allow_cors {
                report
                    .note(&method_key.span, format!("OPTIONS {text_of_path} is a path of `allow_cors`"))
                    .help("OPTIONS of every exposed path goes to the backend without a credential");
                continue;
            }
            let base = self.base_of(operation, report).unwrap_or_else(|| base.clone());
            let mut path = ImportedPath::parse(text_of_path, &base);
            self.refine(&mut path, item, operation, report);
            let described = self.operation(
                (&http_method, text_of_path),
                path,
                base,
                (item, operation),
                &key.span,
                report,
            );
            self.methods.push(described);
        }
    }

    /// Says what the variables match that are described with an expression of segments.
    fn refine(&self, path: &mut ImportedPath, item: &'n Node, operation: &'n Node, report: &mut Report) {
        for parameter in parameters(self.root, &[operation, item], report) {
            let schema = field(parameter, "schema").unwrap_or(parameter);
            if let (Some("path"), Some(name), Some(pattern)) =
                (text(parameter, "in"), text(parameter, "name"), text(schema, "pattern"))
            {
                path.refine(name, pattern);
            }
        }
    }

    /// The path of servers that a path or an operation has for itself.
    fn base_of(&self, node: &Node, report: &mut Report) -> Option<String> {
        let servers = field(node, "servers").filter(|_| self.dialect == OpenApiVersion::OpenApi3)?;
        Server::listed(servers, report).map(|server| server.base)
    }

    /// A path that another file describes: whatever its operations are, they are closed.
    pub(super) fn elsewhere(&mut self, text_of_path: &str, key: &Node) {
        let base = self.server.base.clone();
        let path = ImportedPath::parse(text_of_path, &base);
        let short = ImportOptions::short_name(self.name);
        let method = ImportedMethod {
            selector: format!("{short}.{}", naming::operation_of("any", &path)),
            path: text_of_path.to_owned(),
            http_method: "*".to_owned(),
            template: path.template(),
            body: None,
            body_rule: None,
            credential: CredentialRule::Undecided,
            permission: String::new(),
            resource: path.resource(&base, &self.options.parent(self.name)),
            questions: vec!["its operations are described in another file".to_owned()],
            remarks: Vec::new(),
            place: key.span.place(),
        };
        self.methods.push(Described { method, path, base, span: key.span.clone() });
    }

    fn operation(
        &self,
        (http_method, written): (&str, &str),
        path: ImportedPath,
        base: String,
        (item, operation): (&'n Node, &'n Node),
        span: &Span,
        report: &mut Report,
    ) -> Described {
        let short = ImportOptions::short_name(self.name);
        let last = match text(operation, "operationId") {
            Some(id) => identifier(id),
            None => naming::operation_of(http_method, &path),
        };
        let own = field(operation, "security");
        let security = own.or_else(|| field(self.root, "security"));
        let asked = self.schemes.asked(security, field(operation, "x-security"), self.options.any_scope);
        let Asked { credential, question, mut remarks } = asked;
        let mut questions: Vec<String> = question.into_iter().collect();
        let parameters = parameters(self.root, &[operation, item], &mut Report::new());
        let body = Body::of(self.root, operation, &parameters, self.dialect, report);
        let body = self.fitting(http_method, body, operation, report);
        questions.extend(body.question);
        remarks.extend(body.remark);
        if let Some(why) = &path.loose {
            questions.push(format!("no path template says this path: {why}"));
        }
        questions.extend(path.names_nothing());
        remarks.extend(shadowed(&parameters, &path));
        self.tell_of_extensions(operation, report);
        let method = ImportedMethod {
            selector: format!("{short}.{last}"),
            path: written.to_owned(),
            http_method: http_method.to_owned(),
            template: path.template(),
            body: body.http,
            body_rule: body.iam,
            credential: credential.unwrap_or(CredentialRule::Undecided),
            permission: String::new(),
            resource: path.resource(&base, &self.options.parent(self.name)),
            questions,
            remarks,
            place: span.place(),
        };
        Described { method, path, base, span: span.clone() }
    }

    /// The body that requests with this HTTP method can have.
    fn fitting(&self, http_method: &str, body: Body, operation: &Node, report: &mut Report) -> Body {
        if body.http.is_some() && matches!(http_method, "GET" | "HEAD" | "DELETE") {
            report
                .warning(&operation.span, format!("a {http_method} has no body here"))
                .help("one server reads it, another takes it for the next request (RFC 9110, section 9.3): requests that \
                       bring one are refused");
            return Body::default();
        }
        body
    }

    fn tell_of_extensions(&self, operation: &Node, report: &mut Report) {
        for (key, node, value) in entries(operation) {
            match key {
                "x-google-backend" => extensions::backend(node, value, report),
                "x-google-quota" => {
                    report
                        .note(&node.span, "quotas are not translated")
                        .help("the gate bounds requests at one time: `limits` in the configuration");
                }
                "x-google-allow" | "x-google-operation" => {}
                _ if key.starts_with("x-google-") => {
                    report
                        .warning(&node.span, format!("`{key}` is not translated"))
                        .help("see whether the gate is to do what it says");
                }
                _ => {}
            }
        }
        if field(operation, "deprecated").is_some_and(is_true) {
            report.note(&operation.span, "the operation is deprecated").help("it is exposed all the same");
        }
    }

    /// The methods, each with its permission. Those that a person has to decide about are reported.
    pub(super) fn finish(self, report: &mut Report) -> Vec<ImportedMethod> {
        let members: BTreeSet<String> =
            self.methods.iter().filter_map(|described| described.path.above()).collect();
        let taken: Vec<(String, String, String)> = self
            .methods
            .iter()
            .map(|Described { method, path, .. }| {
                (method.http_method.clone(), path.shape(), format!("{} {}", method.http_method, method.path))
            })
            .collect();
        let prefix = self.options.prefix(self.name);
        let finish = |(index, described): (usize, Described)| {
            let Described { mut method, path, base, span } = described;
            let (http_method, shape) = (&method.http_method, path.shape());
            let is_rival = |(other, (other_method, other_shape, _)): &(usize, &(String, String, String))| {
                let is_any = other_method == "*" || http_method == "*";
                *other != index && *other_shape == shape && (is_any || other_method == http_method)
            };
            let rival = taken.iter().enumerate().find(is_rival).map(|(_, (.., shown))| shown);
            if let (Some(rival), None) = (rival, &path.loose) {
                method.questions.push(format!(
                    "its path also matches calls of {rival}, and no template tells them apart"
                ));
            }
            let (collection, verb) = naming::permission(
                &method.http_method,
                path.named(&base),
                path.verb.as_deref(),
                members.contains(&shape),
            );
            method.permission = format!("{prefix}.{collection}.{verb}");
            if let Some(question) = method.questions.first() {
                report
                    .warning(
                        &span,
                        format!("{} {} is not exposed: {question}", method.http_method, method.path),
                    )
                    .help("its iam rule is written as a comment: decide, and take the `#` away");
            }
            method
        };
        self.methods.into_iter().enumerate().map(finish).collect()
    }
}

/// Query parameters that the gate takes for a path variable.
fn shadowed(parameters: &[&Node], path: &ImportedPath) -> Option<String> {
    let plain = |name: &str| {
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
    };
    let variables: Vec<String> = path
        .pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Variable(name, _) => Some(plain(name)),
            _ => None,
        })
        .collect();
    let in_query = parameters.iter().filter(|parameter| text(parameter, "in") == Some("query"));
    let name = in_query
        .filter_map(|parameter| text(parameter, "name"))
        .find(|name| variables.contains(&plain(name)))?;
    Some(format!("requests with `{name}` in the query are refused: a transcoder takes it for the path's own"))
}
