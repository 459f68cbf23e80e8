use std::path::Path;

use super::*;
use crate::diagnostic::Source;
use crate::document;

fn read(text: &str) -> (Option<Service>, Report) {
    let mut report = Report::new();
    let service = document::parse(&Source::new("library.yaml", text), &mut report)
        .and_then(|node| Service::read(&node, &mut report));
    (service, report)
}

fn rendered(text: &str) -> String {
    read(text).1.render(false)
}

const LIBRARY: &str = "\
type: google.api.Service
config_version: 3
name: library.googleapis.com
http:
  rules:
  - selector: library.v1.Books.GetBook
    get: '/v1/{name=shelves/*/books/*}'
  - selector: library.v1.Books.UpdateBook
    patch: \"/v1/{book.name=shelves/*/books/*}\"
    body: book
    response_body: book
    additionalBindings:
    - custom: {kind: UPDATE, path: '/v1/{book.name=shelves/*/books/*}:update'}
      body: '*'
    - selector: library.v1.Books.UpdateBook
      custom: {kind: '*', path: '/v1beta1/{book.name=shelves/*/books/*}'}
authentication:
  rules:
  - selector: '*'
    allow_without_credential: true
  - selector: library.v1.Books.*
    oauth:
      canonical_scopes: |-
        https://example.com/read,
        https://example.com/write, https://example.com/read
  - selector: other.Service.Method, library.v1.Books.UpdateBook
    oauth: {canonicalScopes: https://example.com/write}
";

#[test]
fn name_rules_and_scopes_are_read() {
    let (service, report) = read(LIBRARY);
    assert!(report.diagnostics().is_empty(), "{}", report.render(false));
    let service = service.unwrap();
    assert_eq!(service.name.as_ref().unwrap().0, "library.googleapis.com");
    let bindings: Vec<String> = service
        .rules
        .iter()
        .flat_map(|rule| &rule.bindings)
        .map(|binding| {
            let http_method = binding.http_method.as_ref().map_or("*", ::http::Method::as_str);
            format!("{http_method} {} {:?}", binding.template, binding.body)
        })
        .collect();
    assert_eq!(
        bindings,
        [
            "GET /v1/{name=shelves/*/books/*} None",
            "PATCH /v1/{book.name=shelves/*/books/*} Field(\"book\")",
            "UPDATE /v1/{book.name=shelves/*/books/*}:update Whole",
            "* /v1beta1/{book.name=shelves/*/books/*} None",
        ]
    );
}

#[test]
fn the_last_authentication_rule_that_covers_an_rpc_decides() {
    let service = read(LIBRARY).0.unwrap();
    let scopes = |rpc: &str| service.authentication_of(rpc).unwrap().scopes.join(" ");
    assert_eq!(scopes("library.v1.Books.GetBook"), "https://example.com/read https://example.com/write");
    assert_eq!(scopes("library.v1.Books.Deep.Er"), "https://example.com/read https://example.com/write");
    assert_eq!(scopes("library.v1.Books.UpdateBook"), "https://example.com/write");
    // `library.v1.Books.*` does not cover what merely begins alike.
    assert!(service.authentication_of("library.v1.BooksAdmin.Purge").unwrap().allow_without_credential);
    assert!(!service.authentication_of("library.v1.Books.GetBook").unwrap().allow_without_credential);
}

#[test]
fn a_template_is_underlined_where_it_is_wrong() {
    insta::assert_snapshot!(rendered(
        "name: library.googleapis.com
http:
  rules:
  - selector: library.v1.Books.GetBook
    get: '/v1/{name=shelves/*/books/*'
  - selector: library.v1.Books.ListBooks
    get: /v1/{parent=shelves//*}/books
  - selector: library.v1.Books.DeleteBook
    delete: \"/v1/{n\\u0061me=**}/*\"
"
    ));
}

#[test]
fn every_mistake_of_a_service_file_is_reported() {
    insta::assert_snapshot!(rendered(
        "type: google.api.Sevice
name: https://library.googleapis.com
htpp: {}
http:
  rule: []
  rules:
  - get: /v1/a
  - selector: GetBook
    get: /v1/b
  - selector: library.v1.Books.A
  - selector: library.v1.Books.B
    get: /v1/b
    post: /v1/b
    body: a.b
  - selector: library.v1.Books.C
    custom: {kind: 'G T', path: /v1/c}
  - selector: library.v1.Books.D
    custom: {kind: HEAD}
  - selector: library.v1.Books.E
    get: /v1/e
    additional_bindings:
    - selector: library.v1.Books.F
      get: /v1/f
      additional_bindings: [{get: /v1/g}]
    - put: 7
authentication:
  rules:
  - selector: library.v1.B*
  - selector: library.v1.Books.*, *.Books
  - selector: library.v1.Books.A
    oauth: {canonical_scope: x}
  - selector: library.v1.Books.B
    oauth: {canonical_scopes: 'a\"b'}
    allow_without_credential: 'yes'
    requirements: [{provider_id: x}]
"
    ));
}

#[test]
fn of_two_rules_for_one_rpc_the_last_one_wins() {
    let text = "name: library.googleapis.com
http:
  rules:
  - selector: library.v1.Books.A
    get: /v1/a
  - selector: library.v1.Books.A
    get: /v2/a
";
    let (service, report) = read(text);
    let rules = service.unwrap().rules;
    assert_eq!(rules.len(), 1);
    assert_eq!(rules[0].bindings[0].template.to_string(), "/v2/a");
    assert!(!report.is_fatal());
    insta::assert_snapshot!(report.render(false));
}

#[test]
fn a_method_that_no_request_has_is_a_warning() {
    for (kind, warnings) in
        [("HEAD", 0), ("PURGE", 0), ("'*'", 0), ("purge", 1), ("TRACE", 1), ("M-SEARCH", 1)]
    {
        let (service, report) = read(&format!(
            "name: library.googleapis.com
http:
  rules:
  - selector: library.v1.Books.A
    custom: {{kind: {kind}, path: /v1/a}}
"
        ));
        assert_eq!(service.unwrap().rules.len(), 1, "{kind}");
        assert!(!report.is_fatal(), "{kind}");
        let told = report.render(false);
        assert_eq!(told.matches("no request has the method").count(), warnings, "{told}");
    }
}

#[test]
fn published_service_files_load() {
    let Some(corpora) = std::env::var_os("OPGATE_CORPORA") else {
        eprintln!("skipped: OPGATE_CORPORA is not set");
        return;
    };
    let mut shown = String::new();
    let directory = Path::new(&corpora).join("googleapis");
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in &files {
        let mut report = Report::new();
        let summary = crate::document::read(file, &mut report)
            .and_then(|node| crate::catalog::read_service(&node, &mut report))
            .unwrap_or_else(|| panic!("{}", report.render(false)));
        assert!(report.diagnostics().is_empty(), "{}", report.render(false));
        shown.push_str(&format!(
            "{:<36} {:>2} rules {:>3} bindings {:>2} scopes\n",
            summary.name,
            summary.rules,
            summary.bindings,
            summary.scopes.len()
        ));
    }
    assert_eq!(files.len(), 19);
    insta::assert_snapshot!(shown);
}
