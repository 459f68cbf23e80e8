//! The "gRPC API configuration" of grpc-gateway (`google.api.Service` without a name, with `http.rules`), and the Swagger 2.0
//! that `protoc-gen-openapiv2` makes of the same API.

use std::collections::{BTreeMap, BTreeSet};

use super::lookup::{entries, field, items, text};
use super::method::{CredentialRule, ImportedMethod, ImportedService};
use super::path::ImportedPath;
use super::{ImportOptions, is_service_name, naming, openapi};
use crate::diagnostic::Report;
use crate::document::Node;

/// Understands either kind of file. `None` where it is neither, or the service has no name.
pub fn import(root: &Node, options: &ImportOptions, report: &mut Report) -> Option<ImportedService> {
    if field(root, "swagger").is_some() || field(root, "openapi").is_some() {
        return openapi::import(root, options, report);
    }
    let Some(rules) = field(root, "http").and_then(|http| field(http, "rules")) else {
        report.error(&root.span, "the file has neither `http.rules` nor `swagger`").help(
            "it is the file that `grpc_api_configuration` names, or the one that protoc-gen-openapiv2 writes",
        );
        return None;
    };
    options.check(root, report)?;
    let name = options.service.clone().or_else(|| text(root, "name").map(str::to_owned));
    let Some(name) = name.filter(|name| is_service_name(name)) else {
        report
            .error(&root.span, "the file does not name the service")
            .help("say it: `--service lab.example.com`, in lower case and without port");
        return None;
    };
    tell_of_the_rest(root, report);
    let mut methods: Vec<ImportedMethod> = Vec::new();
    let read: Vec<(&Node, &str)> =
        items(rules).iter().filter_map(|rule| Some((rule, text(rule, "selector")?))).collect();
    let all: Vec<PathBinding> =
        read.iter().flat_map(|(rule, selector)| bindings(rule, selector, report)).collect();
    let collections: BTreeSet<String> = all.iter().filter_map(|binding| binding.path.above()).collect();
    let prefix = options.prefix(&name);
    let is_ruled = field(root, "authentication").is_some();
    let credential = if is_ruled { CredentialRule::Written } else { CredentialRule::AnyToken };
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    for binding in &all {
        let number = *numbers.entry(&binding.selector).or_insert(methods.len());
        if let Some(earlier) = methods.get_mut(number) {
            let (first, here) = (earlier.resource.clone(), binding.path.resource("", &options.parent(&name)));
            if first != here && earlier.questions.is_empty() {
                report.warning(&binding.node.span, format!("`{}` has bindings with two resources", binding.selector)).help(
                    "its iam rule is written as a comment: give the bindings the same variables, or split the method",
                );
                earlier
                    .questions
                    .push(format!("its bindings name the resource in two ways, `{first}` and `{here}`"));
            }
            continue;
        }
        methods.push(binding.method(&prefix, &options.parent(&name), &credential, &collections));
    }
    let verbatim = Some(named(root, &name));
    Some(ImportedService { name, title: None, allow_cors: false, providers: Vec::new(), verbatim, methods })
}

/// One HTTP method and path of a rule.
struct PathBinding<'n> {
    selector: String,
    http_method: String,
    path: ImportedPath,
    template: String,
    body: Option<&'n str>,
    node: &'n Node,
}

fn bindings<'n>(rule: &'n Node, selector: &str, report: &mut Report) -> Vec<PathBinding<'n>> {
    let additional = field(rule, "additional_bindings").or(field(rule, "additionalBindings"));
    let nodes = [rule].into_iter().chain(additional.map(items).unwrap_or_default());
    let mut found = Vec::new();
    for node in nodes {
        let standard = ["get", "put", "post", "delete", "patch"]
            .into_iter()
            .find_map(|name| Some((name.to_ascii_uppercase(), text(node, name)?)));
        let custom = || {
            field(node, "custom")
                .and_then(|custom| Some((text(custom, "kind")?.to_owned(), text(custom, "path")?)))
        };
        let Some((http_method, template)) = standard.or_else(custom) else {
            report
                .warning(&node.span, format!("a binding of `{selector}` has no method and path"))
                .help("it is left out");
            continue;
        };
        found.push(PathBinding {
            selector: selector.to_owned(),
            http_method,
            path: ImportedPath::parse(template, ""),
            template: template.to_owned(),
            body: text(node, "body"),
            node,
        });
    }
    found
}

impl PathBinding<'_> {
    fn method(
        &self,
        prefix: &str,
        parent: &str,
        credential: &CredentialRule,
        collections: &BTreeSet<String>,
    ) -> ImportedMethod {
        let is_collection = collections.contains(&self.path.shape());
        let (collection, verb) = naming::permission(
            &self.http_method,
            self.path.named(""),
            self.path.verb.as_deref(),
            is_collection,
        );
        ImportedMethod {
            selector: self.selector.clone(),
            path: self.template.clone(),
            http_method: self.http_method.clone(),
            template: self.template.clone(),
            body: self.body.map(|_| "*"),
            body_rule: None,
            credential: credential.clone(),
            permission: format!("{prefix}.{collection}.{verb}"),
            resource: self.path.resource("", parent),
            questions: self.questions(),
            remarks: Vec::new(),
            span: self.node.span.clone(),
        }
    }
}

impl PathBinding<'_> {
    /// Why its resource cannot be named.
    fn questions(&self) -> Vec<String> {
        let loose = self.path.loose.iter().map(|why| format!("its resource cannot be named: {why}"));
        loose.chain(self.path.names_nothing()).collect()
    }
}

/// The text of the file, with the service's name in it.
fn named(root: &Node, name: &str) -> String {
    let text = root.span.source.text.as_str();
    let value = if name.starts_with('*') { format!("'{name}'") } else { name.to_owned() };
    let put = |range: std::ops::Range<usize>, words: &str| {
        let before = text.get(..range.start).unwrap_or_default();
        format!("{before}{words}{}", text.get(range.end..).unwrap_or_default())
    };
    if let Some(node) = field(root, "name") {
        return put(node.span.range.clone(), &value);
    }
    let start = root.span.range.start;
    match text.get(start..).unwrap_or_default().strip_prefix('{') {
        Some(_) => put(start + 1..start + 1, &format!("\"name\": \"{name}\", ")),
        None => put(start..start, &format!("name: {value}\n")),
    }
}

/// Says of the other keys that the gate reads them, or does not.
fn tell_of_the_rest(root: &Node, report: &mut Report) {
    const KNOWN: [&str; 6] = ["type", "config_version", "configVersion", "name", "title", "http"];
    for (key, node, _) in entries(root).filter(|(key, ..)| !KNOWN.contains(key)) {
        report
            .note(&node.span, format!("`{key}` is kept as it is written"))
            .help("the gate reads of it what it reads of every google.api.Service");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Source;
    use crate::document;
    use crate::import::written;

    fn imported(text: &str) -> String {
        let mut report = Report::new();
        let node = document::parse(&Source::new("api.yaml", text), &mut report).unwrap();
        let options =
            ImportOptions { service: Some("jobs.example.com".to_owned()), ..ImportOptions::default() };
        let files = import(&node, &options, &mut report).map(|service| written(&service, "api.yaml"));
        let files = files.map_or_else(String::new, |files| format!("{}---\n{}", files.service, files.iam));
        format!("{files}===\n{}", report.render(false))
    }

    #[test]
    fn an_api_configuration_gets_a_name_and_an_iam_file() {
        insta::assert_snapshot!(imported(
            "\
# How jobs are called.
type: google.api.Service
config_version: 3

http:
  rules:
  - selector: jobs.v1.Jobs.Create
    post: /v1/{parent=projects/*}/jobs
    body: job
  - selector: jobs.v1.Jobs.Get
    get: /v1/{name=projects/*/jobs/*}
    additional_bindings:
    - get: /v1/{name=organizations/*/jobs/*}
  - selector: jobs.v1.Jobs.List
    get: /v1/{parent=projects/*}/jobs
  - selector: jobs.v1.Jobs.Run
    post: /v1/projects/{project}/jobs/{job}:run
    body: '*'
    additional_bindings:
    - post: /v1/jobs/{job}:run
  - selector: jobs.v1.Jobs.Ping
    custom: {kind: HEAD, path: /v1/ping}
documentation: {summary: x}
"
        ));
    }

    #[test]
    fn an_option_that_is_not_a_dns_name_is_what_is_told() {
        for text in [
            "name: jobs.example.com\nhttp: {rules: []}\n",
            "http: {rules: []}\n",
            "{swagger: '2.0', host: jobs.example.com, paths: {}}\n",
        ] {
            for name in [
                "../x.example.com",
                "Jobs.example.com",
                "jobs.example.com:443",
                "https://jobs.example.com",
                "",
            ] {
                let mut report = Report::new();
                let node = document::parse(&Source::new("api.yaml", text), &mut report).unwrap();
                let options = ImportOptions { service: Some(name.to_owned()), ..ImportOptions::default() };
                assert!(import(&node, &options, &mut report).is_none(), "{name}");
                let report = report.render(false);
                assert!(report.contains(&format!("`--service` is not a DNS name: `{name}`")), "{report}");
                assert!(!report.contains("does not name") && !report.contains("names no"), "{report}");
            }
        }
    }

    #[test]
    fn the_name_is_put_where_it_belongs() {
        for (text, expected) in [
            ("http: {rules: []}\n", "name: jobs.example.com\nhttp: {rules: []}\n"),
            ("---\n# x\nhttp:\n  rules: []\n", "---\n# x\nname: jobs.example.com\nhttp:\n  rules: []\n"),
            ("{\"http\": {\"rules\": []}}", "{\"name\": \"jobs.example.com\", \"http\": {\"rules\": []}}"),
            ("name: 'x.example.com'\nhttp: {rules: []}\n", "name: jobs.example.com\nhttp: {rules: []}\n"),
        ] {
            let (file, _) =
                imported(text).split_once("---\n# Made").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
            assert_eq!(file, expected);
        }
    }

    #[test]
    fn generated_openapi_is_read_too() {
        let text = imported(
            "{swagger: '2.0', info: {title: jobs.proto, version: x}, consumes: [application/json], paths: \
             {'/v1/{name}': {get: {operationId: Jobs_Get, parameters: [{name: name, in: path, required: true, type: string, \
             pattern: 'projects/[^/]+/jobs/[^/]+'}]}}}}",
        );
        for line in [
            "    get: '/v1/{name=projects/*/jobs/*}'\n",
            "  permission: jobs.jobs.get\n  resource: name\n  scopes: none\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
