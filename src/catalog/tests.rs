mod files;

use std::collections::BTreeMap;

use super::*;
use crate::diagnostic::Source;
use crate::document;
use crate::reason::Reason;
use crate::source::PolicySource;

const SERVICE: &str = "\
name: library.googleapis.com
http:
  rules:
  - selector: library.v1.Books.GetBook
    get: /v1/{name=shelves/*/books/*}
  - selector: library.v1.Books.ListBooks
    get: /v1/{parent=shelves/*}/books
  - selector: library.v1.Books.UpdateBook
    patch: /v1/{book.name=shelves/*/books/*}
    body: book
  - selector: library.v1.Books.Status
    get: /v1/status
  - selector: google.longrunning.Operations.CancelOperation
    post: /v1/{name=operations/*}:cancel
    body: '*'
    additional_bindings:
    - post: /v1/{name=shelves/*/operations/*}:cancel
    - delete: /v1/{name=operations/*}:cancel
    - custom: {kind: '*', path: '/v2/{name=operations/*}:cancel'}
      body: '*'
authentication:
  rules:
  - selector: library.v1.Books.*
    oauth: {canonical_scopes: 'https://example.com/read, https://example.com/write'}
  - selector: google.longrunning.Operations.*
    oauth: {canonical_scopes: https://example.com/write}
";

fn exposure(id: &str, hosts: Option<&[&str]>) -> ExposureSettings {
    let line = format!("services: [{{id: {id}}}]");
    let start = "services: [{id: ".len();
    let span = Span { source: Source::new("opgate.yaml", line), range: start..start + id.len() };
    ExposureSettings {
        id: id.to_owned(),
        hosts: hosts.map(|hosts| hosts.iter().map(|host| (*host).to_owned()).collect()),
        upstream: "backend".to_owned(),
        transcode: false,
        forwarding: Forwarding { authorization: true, ..Forwarding::default() },
        cors: None,
        protected_resource: None,
        grpc: crate::catalog::PassedRpcs::default(),
        limits: crate::catalog::ServiceLimits::default(),
        span,
    }
}

/// Loads files that lie in `services`.
fn load(files: &[(&str, &str)], exposures: &[ExposureSettings]) -> (Option<Catalog>, String) {
    let files = files.iter().map(|(name, text)| (format!("services/{name}"), *text));
    let mut report = Report::new();
    let catalog = Catalog::load(&PolicyFiles::in_memory("", files), exposures, &mut report);
    assert_eq!(catalog.is_none(), report.is_fatal());
    (catalog, report.render(false))
}

fn load_library(iam: &str) -> (Option<Catalog>, String) {
    let exposures = [exposure("library", None)];
    load(&[("library.yaml", SERVICE), ("library.iam.yaml", iam)], &exposures)
}

fn call(catalog: &Catalog, http_method: &str, path: &str) -> Result<Call, Denial> {
    catalog.route("library.googleapis.com", &http_method.parse().unwrap(), &RequestPath::parse(path)?)
}

const IAM: &str = "\
service: library.googleapis.com
error_domain: library.googleapis.com
rules:
- selector: library.v1.Books.UpdateBook
  permission: library.books.update
  resource: book.name
- selector: google.longrunning.Operations.CancelOperation
  permission: library.operations.cancel
- selector: library.v1.Books.Status
  permission: none
  unimplemented: true
";

#[test]
fn a_method_joins_what_both_files_say() {
    let (catalog, report) = load_library(IAM);
    let catalog = catalog.unwrap_or_else(|| panic!("{report}"));
    assert_eq!(report, "");
    let update = call(&catalog, "PATCH", "/v1/shelves/s/books/b").unwrap();
    assert_eq!(update.method.name, "library.v1.Books.UpdateBook");
    assert_eq!(update.method.permission, PermissionRule::Required("library.books.update".into()));
    assert_eq!(update.method.scopes, ["https://example.com/read", "https://example.com/write"]);
    assert_eq!(update.resource(), "shelves/s/books/b");
    assert_eq!(update.method.place.line, 4);
    assert_eq!(update.method.service.error_domain, "library.googleapis.com");
    assert_eq!(update.method.service.hosts, ["library.googleapis.com"]);
    let status = call(&catalog, "GET", "/v1/status").unwrap();
    assert!(status.method.unimplemented);
    assert_eq!(status.resource(), "");
    for (index, method) in catalog.methods().iter().enumerate() {
        assert_eq!(method.index, index);
    }
}

#[test]
fn a_method_without_an_iam_rule_is_not_exposed() {
    let catalog = load_library(IAM).0.unwrap();
    let denial = call(&catalog, "GET", "/v1/shelves/s/books").unwrap_err();
    assert_eq!(denial.reason(), Reason::MethodNotFound);
    // The path of UpdateBook is known; that GetBook has it too is not told.
    let denial = call(&catalog, "GET", "/v1/shelves/s/books/b").unwrap_err();
    assert_eq!(denial.allowed_methods(), Some("PATCH"));
    let unexposed: Vec<(&str, usize)> =
        catalog.unexposed().iter().map(|found| (found.method.as_str(), found.place.line)).collect();
    assert_eq!(unexposed, [("library.v1.Books.GetBook", 4), ("library.v1.Books.ListBooks", 6)]);
}

#[test]
fn the_body_rule_follows_the_binding() {
    let catalog = load_library(IAM).0.unwrap();
    let body = |http_method: &str, path: &str| call(&catalog, http_method, path).unwrap().body;
    assert_eq!(body("POST", "/v1/operations/o:cancel"), BodyRule::EmptyMessage);
    assert_eq!(body("POST", "/v1/shelves/s/operations/o:cancel"), BodyRule::EmptyMessage);
    assert_eq!(body("DELETE", "/v1/operations/o:cancel"), BodyRule::Empty);
    assert_eq!(body("PATCH", "/v1/shelves/s/books/b"), BodyRule::Message);
    assert_eq!(body("GET", "/v1/status"), BodyRule::Empty);
    assert_eq!(body("PUT", "/v2/operations/o:cancel"), BodyRule::EmptyMessage);
    assert_eq!(body("GET", "/v2/operations/o:cancel"), BodyRule::Empty);

    let streamed = IAM.replace("cancel\n", "cancel\n  body: stream\n");
    let catalog = load_library(&streamed).0.unwrap();
    let body = |http_method: &str, path: &str| call(&catalog, http_method, path).unwrap().body;
    assert_eq!(body("POST", "/v1/shelves/s/operations/o:cancel"), BodyRule::Stream);
    assert_eq!(body("DELETE", "/v1/operations/o:cancel"), BodyRule::Empty);
}

/// The body of a transcoded call wins over its path, and a body that is passed on is not judged.
#[test]
fn a_stream_that_could_name_another_resource_is_told_of() {
    let streamed = |rpc: &str, more: &str| {
        let line = format!("{rpc}\n");
        assert_eq!(IAM.matches(&line).count(), 1, "{rpc}");
        load_library(&IAM.replace(&line, &format!("{rpc}\n  body: stream\n{more}")))
    };
    let (catalog, report) = streamed("permission: library.operations.cancel", "");
    assert!(catalog.is_some());
    insta::assert_snapshot!(report);
    let (catalog, report) =
        streamed("permission: library.operations.cancel", "  body_may_name_another_resource: true\n");
    assert!(catalog.is_some());
    assert_eq!(report, "");
    let refused = streamed("permission: library.operations.cancel", "  body_may_name_another_resource: no\n");
    assert!(refused.0.is_none());
    // The body is the book, whose name is the resource.
    let (_, report) = streamed("resource: book.name", "");
    assert!(
        report.contains("warning: a body of `library.v1.Books.UpdateBook` can name another `book.name`"),
        "{report}"
    );
}

#[test]
fn a_resource_that_no_body_can_name_needs_no_permission_for_bodies() {
    let status = "permission: none\n";
    let (catalog, report) = load_library(&IAM.replace(status, &format!("{status}  body: stream\n")));
    assert!(catalog.is_none(), "a GET takes no body");
    assert!(!report.contains("warning"), "{report}");
    let said = format!("{status}  body_may_name_another_resource: true\n");
    let (catalog, report) = load_library(&IAM.replace(status, &said));
    assert!(catalog.is_none());
    insta::assert_snapshot!(report);
}

#[test]
fn a_query_key_that_reaches_a_path_field_is_recognised() {
    let catalog = load_library(IAM).0.unwrap();
    let update = call(&catalog, "PATCH", "/v1/shelves/s/books/b").unwrap();
    for key in
        ["book.name", "book.name.x", "book.name[x]", "book", "book[name]", "Book.Name", "_book.name", "bo_ok"]
    {
        assert!(update.binds_query_key(key), "{key}");
    }
    for key in ["", "name", "bookName", "books.name", "book.title", "book.names", "$alt", "updateMask"] {
        assert!(!update.binds_query_key(key), "{key}");
    }
}

#[test]
fn a_body_can_set_what_the_path_sets_only_within_its_field() {
    let catalog = load_library(IAM).0.unwrap();
    let in_body = |http_method: &str, path: &str| {
        let call = call(&catalog, http_method, path).unwrap();
        call.bindings_in_body().map(|(field, value)| (field.to_owned(), value.to_owned())).collect::<Vec<_>>()
    };
    let bound = |field: &str, value: &str| vec![(field.to_owned(), value.to_owned())];
    assert_eq!(in_body("PATCH", "/v1/shelves/s/books/b"), bound("name", "shelves/s/books/b"));
    assert_eq!(in_body("POST", "/v1/operations/o:cancel"), bound("name", "operations/o"));
}

#[test]
fn every_mistake_of_an_iam_file_is_reported() {
    let (catalog, report) = load_library(
        "service: libary.googleapis.com
errordomain: x
rules:
- selector: library.v1.Books.GetBok
  permission: library.books.get
- selector: library.v1.*
  permission: library.books.get
- selector: library.v1.Books.ListBooks
  permission: library.books.list
- selector: library.v1.Books.UpdateBook
  permission: library.books.update
  resource: bookname
- selector: library.v1.Books.Status
  permission: library.status.get
- selector: library.v1.Books.GetBook
  permission: library.googleapis.com/books.get
- selector: library.v1.Books.GetBook
  permission: NONE
- permission: none
- selector: library.v1.Books.GetBook
  permission: library.books.get
  body: empty-message
- selector: library.v1.Books.GetBook
  permission: library.books.get
  body: message
- selector: library.v1.Books.GetBook
  permission: library.books.get
  unimplemented: 1
",
    );
    assert!(catalog.is_none());
    insta::assert_snapshot!(report);
}

#[test]
fn two_rules_for_one_selector_are_refused() {
    let again = "- selector: library.v1.Books.Status\n  permission: none\n";
    let (catalog, report) = load_library(&format!("{IAM}{again}"));
    assert!(catalog.is_none());
    insta::assert_snapshot!(report);
}

#[test]
fn a_method_that_no_scope_guards_is_refused() {
    let service = SERVICE
        .replace("  - selector: library.v1.Books.*\n", "  - selector: library.v1.Shelves.*\n")
        .replace("    oauth: {canonical_scopes: https://example.com/write}\n", "    oauth: {}\n");
    let files = [("library.yaml", service.as_str()), ("library.iam.yaml", IAM)];
    let (catalog, report) = load(&files, &[exposure("library", None)]);
    assert!(catalog.is_none());
    insta::assert_snapshot!(report);
}

#[test]
fn a_method_that_needs_no_credential_needs_no_scope() {
    let service =
        format!("{SERVICE}  - selector: library.v1.Books.Status\n    allow_without_credential: true\n");
    let files = [("library.yaml", service.as_str()), ("library.iam.yaml", IAM)];
    let (catalog, report) = load(&files, &[exposure("library", None)]);
    let catalog = catalog.unwrap_or_else(|| panic!("{report}"));
    let status = call(&catalog, "GET", "/v1/status").unwrap();
    assert!(status.method.allow_without_credential);
    assert!(status.method.scopes.is_empty());
    assert!(!call(&catalog, "POST", "/v1/operations/o:cancel").unwrap().method.allow_without_credential);
}

#[test]
fn missing_files_are_named() {
    let files = [("library.yaml", SERVICE), ("museum.json", "{}"), ("museum.iam.yaml", "")];
    let exposures = [
        exposure("libary", None),
        exposure("library", None),
        exposure("../library", None),
        exposure("archive", None),
    ];
    let (catalog, report) = load(&files, &exposures);
    assert!(catalog.is_none());
    insta::assert_snapshot!(report);
}

#[test]
fn a_directory_that_cannot_be_read_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let mut report = Report::new();
    let files = PolicySource::directory(directory.path()).read(&mut report).unwrap();
    assert!(Catalog::load(&files, &[exposure("library", None)], &mut report).is_none());
    let told = report.render(false).replace(directory.path().to_str().unwrap(), "no/such");
    insta::assert_snapshot!(told.replace("no/such/services", "no/such/directory"));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(directory.path().join("services/library.yaml")).unwrap();
    std::fs::write(directory.path().join("services/library.iam.yaml"), IAM).unwrap();
    let mut report = Report::new();
    let files = PolicySource::directory(directory.path()).read(&mut report).unwrap();
    assert!(Catalog::load(&files, &[exposure("library", None)], &mut report).is_none());
    assert_eq!(report.count(Severity::Error), 1);
}

#[test]
fn one_thing_said_in_two_files_is_refused() {
    let files = [("library.yaml", SERVICE), ("library.iam.yaml", IAM), ("library.iam.json", "{}")];
    let (catalog, report) = load(&files, &[exposure("library", None)]);
    assert!(catalog.is_none());
    insta::assert_snapshot!(report);
}

#[test]
fn services_that_share_paths_need_hosts_of_their_own() {
    let files = [
        ("library.yaml", SERVICE),
        ("library.iam.yaml", IAM),
        ("archive.yaml", SERVICE),
        (
            "archive.iam.yaml",
            "service: library.googleapis.com\nrules:\n- {selector: library.v1.Books.Status, permission: none}\n",
        ),
    ];
    let apart = [exposure("library", Some(&["Library.Example.com"])), exposure("archive", Some(&["*"]))];
    let (catalog, report) = load(&files, &apart);
    assert!(catalog.is_none());
    insta::assert_snapshot!(report);

    let apart = [exposure("library", Some(&["Library.Example.com"])), exposure("archive", Some(&["b", "c"]))];
    let catalog = load(&files, &apart).0.unwrap();
    let on = |host: &str| {
        let path = RequestPath::parse("/v1/status").unwrap();
        catalog.route(host, &::http::Method::GET, &path).ok().map(|call| call.method.service.id.clone())
    };
    assert_eq!(on("library.example.com").as_deref(), Some("library"));
    assert_eq!(on("c").as_deref(), Some("archive"));
    assert_eq!(on("library.googleapis.com"), None);
}

#[test]
fn no_exposure_means_no_method() {
    let (catalog, _) = load(&[], &[]);
    assert!(call(&catalog.unwrap(), "GET", "/v1/status").is_err());
}

#[test]
fn a_host_that_no_request_can_name_is_refused() {
    let files = [("library.yaml", SERVICE), ("library.iam.yaml", IAM)];
    for host in ["a.example.com", "10.0.0.1", "[::1]", "localhost", "*", "A.Example.com"] {
        assert!(load(&files, &[exposure("library", Some(&[host]))]).0.is_some(), "{host}");
    }
    for host in ["", "a.example.com:443", "https://a", "a.example.com.", "*.example.com", "::1", "a b", "a/b"]
    {
        assert!(load(&files, &[exposure("library", Some(&[host]))]).0.is_none(), "{host}");
    }
    let (_, report) = load(&files, &[exposure("library", Some(&["a:443"])), exposure("library", Some(&[]))]);
    insta::assert_snapshot!(report);
}

#[test]
fn the_shipped_services_load_and_route() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let exposures = ["cloudaicompanion", "dataproc", "translation"].map(|id| exposure(id, None));
    let mut report = Report::new();
    let files = PolicySource::directory(&directory).read(&mut report).unwrap();
    let catalog =
        Catalog::load(&files, &exposures, &mut report).unwrap_or_else(|| panic!("{}", report.render(false)));
    assert!(report.diagnostics().is_empty(), "{}", report.render(false));
    assert!(catalog.unexposed().is_empty());

    let mut shown = String::new();
    let mut per_host: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    per_host.insert("cloudaicompanion.googleapis.com", vec!["/v1/projects/p/locations/l"]);
    per_host
        .insert("dataproc.googleapis.com", vec!["/v1/projects/p/regions/r", "/v1/projects/p/locations/l"]);
    per_host.insert("translation.googleapis.com", vec!["/v3/projects/p"]);
    for (host, parents) in per_host {
        for parent in parents {
            for (http_method, rest) in [
                ("POST", "operations/o:cancel"),
                ("DELETE", "operations/o"),
                ("GET", "operations/o"),
                ("GET", "operations"),
                ("POST", "operations/o:wait"),
            ] {
                let path = format!("{parent}/{rest}");
                let parsed = RequestPath::parse(&path).unwrap();
                let call = catalog.route(host, &http_method.parse().unwrap(), &parsed).unwrap();
                let permission = match &call.method.permission {
                    PermissionRule::Required(permission) => permission,
                    PermissionRule::None => "none",
                };
                shown.push_str(&format!(
                    "{host} {http_method} {path}\n    {permission} on {}, body {}, scopes {}\n",
                    call.resource(),
                    call.body,
                    call.method.scopes.len()
                ));
            }
        }
    }
    insta::assert_snapshot!(shown);
}

/// A path that a template matches: `x` for every `*`, `x/y` for `**`.
fn example_of(template: &Template) -> RequestPath {
    let segments: Vec<&str> = template
        .segments()
        .iter()
        .map(|segment| match segment {
            TemplateSegment::Literal(text) => text,
            TemplateSegment::Single => "x",
            TemplateSegment::Rest => "x/y",
        })
        .collect();
    let verb = template.verb().map(|verb| format!(":{verb}")).unwrap_or_default();
    RequestPath::parse(&format!("/{}{verb}", segments.join("/"))).unwrap()
}

/// Whether a cancel and a get of one operation name it alike, where the service has that get.
fn has_one_name(catalog: &Catalog, host: &str, cancel: &Call, path: &RequestPath) -> bool {
    let read = path.as_str().strip_suffix(":cancel").or_else(|| path.as_str().strip_suffix("/cancel"));
    let Some(read) = read.map(|read| RequestPath::parse(read).unwrap()) else { return false };
    let Ok(get) = catalog.route(host, &::http::Method::GET, &read) else { return false };
    if get.method.operation != Some(OperationMethod::Get) {
        return false;
    }
    let name = cancel.operation_name(OperationMethod::Cancel, path);
    assert_eq!(name, get.operation_name(OperationMethod::Get, &read));
    assert!(name.contains("operations/"), "{name}");
    true
}

#[test]
fn published_services_can_be_exposed_whole() {
    let Some(corpora) = std::env::var_os("OPGATE_CORPORA") else {
        eprintln!("skipped: OPGATE_CORPORA is not set");
        return;
    };
    let (mut bindings, mut cancels) = (0, 0);
    for entry in std::fs::read_dir(std::path::Path::new(&corpora).join("googleapis")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let mut report = Report::new();
        let node = document::parse(&Source::new("published.yaml", text.as_str()), &mut report).unwrap();
        let service = Service::read(&node, &mut report).unwrap();
        let name = service.name.unwrap().0;
        let mut iam = format!("service: {name}\nrules:\n");
        for rule in &service.rules {
            iam.push_str(&format!("- {{selector: {}, permission: none}}\n", rule.selector));
        }
        let iam = if service.rules.is_empty() { iam.replace("rules:", "rules: []") } else { iam };
        let files = [("published.yaml", text.as_str()), ("published.iam.yaml", iam.as_str())];
        let (catalog, report) = load(&files, &[exposure("published", None)]);
        if name == "generativelanguage.googleapis.com" {
            // It has no authentication rules: Google would ignore credentials.
            assert!(catalog.is_none());
            continue;
        }
        let catalog = catalog.unwrap_or_else(|| panic!("{report}"));
        assert_eq!(catalog.methods().len(), service.rules.len());
        for (rule, binding) in
            service.rules.iter().flat_map(|rule| rule.bindings.iter().map(move |b| (rule, b)))
        {
            let http_method = binding.http_method.as_ref().unwrap();
            let path = example_of(&binding.template);
            let call = catalog.route(&name, http_method, &path).unwrap();
            assert_eq!(call.method.name, rule.selector, "{}", binding.template);
            bindings += 1;
            if call.method.operation == Some(OperationMethod::Cancel) {
                cancels += usize::from(has_one_name(&catalog, &name, &call, &path));
            }
        }
    }
    assert!(bindings > 700);
    assert!(cancels > 20, "{cancels}");
}
