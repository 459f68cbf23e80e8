//! Paths and their operations.

use std::collections::{BTreeSet, HashMap};

use super::body::{Body, parameters};
use super::dialect::OpenApiVersion;
use super::extensions;
use super::security::{Asked, Schemes, Security};
use super::server::Server;
use crate::diagnostic::{Report, Span};
use crate::document::{Node, Value};
use crate::import::lookup::{References, entries, field, is_true, text};
use crate::import::path::{ImportedPath, Piece};
use crate::import::words::identifier;
use crate::import::{CredentialRule, ImportOptions, ImportedMethod, naming};

/// The keys of a path that are operations, and the one that no request can be.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// What is read of the paths so far.
pub(super) struct OperationReader<'n> {
    pub(super) root: &'n Node,
    pub(super) references: &'n References<'n>,
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
    /// Where that is written which raises its first question, where that is not the path itself.
    at: Option<Span>,
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
        for parameter in parameters(self.references, &[operation, item], report) {
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
            span: key.span.clone(),
        };
        self.methods.push(Described { method, path, base, at: None });
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
        let security = Security::of(self.root, operation);
        let Asked { credential, question, mut at, mut remarks } =
            self.schemes.asked(security, self.options.any_scope);
        let mut questions: Vec<String> = question.into_iter().collect();
        if let Some(why) = not_described(operation) {
            questions.insert(0, why);
            at = Some(operation.span.clone());
        }
        let parameters = parameters(self.references, &[operation, item], &mut Report::new());
        let body = Body::of((self.root, self.references), operation, &parameters, self.dialect, report);
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
            span: span.clone(),
        };
        Described { method, path, base, at }
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
        let rivals = Rivals::among(&self.methods);
        let prefix = self.options.prefix(self.name);
        let mut finished = Vec::with_capacity(self.methods.len());
        for (index, described) in self.methods.into_iter().enumerate() {
            let Described { mut method, path, base, at } = described;
            let shape = path.shape();
            if let (Some(rival), None) = (rivals.of(index, &shape, &method.http_method), &path.loose) {
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
                let message = format!("{} {} is not exposed: {question}", method.http_method, method.path);
                let warning = report.warning(&method.span, message);
                warning.help("its iam rule is written as a comment: decide, and take the `#` away");
                if let Some(at) = at {
                    warning.related(&at, "it is written here");
                }
            }
            finished.push(method);
        }
        finished
    }
}

/// The operations by the shapes of their paths.
struct Rivals {
    by_shape: HashMap<String, Vec<Rival>>,
}

struct Rival {
    index: usize,
    http_method: String,
    /// The HTTP method and the path, as the description has them.
    shown: String,
}

impl Rivals {
    fn among(methods: &[Described]) -> Self {
        let mut by_shape: HashMap<String, Vec<Rival>> = HashMap::new();
        for (index, Described { method, path, .. }) in methods.iter().enumerate() {
            let http_method = method.http_method.clone();
            let shown = format!("{http_method} {}", method.path);
            by_shape.entry(path.shape()).or_default().push(Rival { index, http_method, shown });
        }
        Self { by_shape }
    }

    /// The first other operation that has the same requests.
    fn of(&self, index: usize, shape: &str, http_method: &str) -> Option<&str> {
        let is_rival = |rival: &&Rival| {
            let is_any = rival.http_method == "*" || http_method == "*";
            rival.index != index && (is_any || rival.http_method == http_method)
        };
        self.by_shape.get(shape)?.iter().find(is_rival).map(|rival| rival.shown.as_str())
    }
}

/// Why a node describes no operation: what `security` it would have is not known then.
fn not_described(operation: &Node) -> Option<String> {
    if !matches!(operation.value, Value::Map(_)) {
        return Some(format!("its operation is not a mapping but {}", operation.kind()));
    }
    field(operation, "$ref").map(|_| "its operation is described in another place".to_owned())
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
