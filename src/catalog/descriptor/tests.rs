use prost::Message;

use super::message::*;
use crate::catalog::{Catalog, ExposureSettings, Forwarding};
use crate::diagnostic::{Report, Source, Span};
use crate::http::Path;
use crate::source::PolicyFiles;

fn method(name: &str, input: &str, http: Option<HttpAnnotation>) -> MethodDescriptor {
    MethodDescriptor { name: name.into(), input_type: input.into(), options: Some(MethodOptions { http }) }
}

fn service(name: &str, host: &str, method: Vec<MethodDescriptor>) -> ServiceDescriptor {
    let oauth_scopes = "https://example.com/read,https://example.com/write".into();
    let options = ServiceOptions { default_host: host.into(), oauth_scopes };
    ServiceDescriptor { name: name.into(), method, options: Some(options) }
}

fn of_type(text: &str) -> Option<ResourceOption> {
    Some(ResourceOption { r#type: text.into() })
}

fn field(name: &str, type_name: &str, reference: Option<ResourceOption>) -> FieldDescriptor {
    let options =
        reference.map(|resource_reference| FieldOptions { resource_reference: Some(resource_reference) });
    FieldDescriptor { name: name.into(), type_name: type_name.into(), options }
}

fn message(name: &str, field: Vec<FieldDescriptor>) -> MessageDescriptor {
    MessageDescriptor { name: name.into(), field, ..MessageDescriptor::default() }
}

/// What protoc makes of a library with books, and of an API that it imports.
fn library() -> FileDescriptorSet {
    let get =
        HttpAnnotation { get: Some("/v1/{name=shelves/*/books/*}".into()), ..HttpAnnotation::default() };
    let update = HttpAnnotation {
        patch: Some("/v1/{book.name=shelves/*/books/*}".into()),
        body: "book".into(),
        additional_bindings: vec![HttpAnnotation {
            custom: Some(CustomPattern {
                kind: "UPDATE".into(),
                path: "/v1/{book.name=shelves/*/books/*}:update".into(),
            }),
            body: "*".into(),
            ..HttpAnnotation::default()
        }],
        ..HttpAnnotation::default()
    };
    let wait = HttpAnnotation { get: Some("/v1/{name=operations/**}".into()), ..HttpAnnotation::default() };
    let book = MessageDescriptor {
        options: Some(MessageOptions { resource: of_type("library.example.com/Book") }),
        ..message("Book", vec![field("name", "", None)])
    };
    let requests = vec![
        message("GetBookRequest", vec![field("name", "", of_type("library.example.com/Book"))]),
        message("UpdateBookRequest", vec![field("book", ".library.v1.Book", None)]),
        book,
    ];
    let books = service(
        "Books",
        "library.example.com:443",
        vec![
            method("GetBook", ".library.v1.GetBookRequest", Some(get)),
            method("UpdateBook", ".library.v1.UpdateBookRequest", Some(update)),
            method("Watch", ".library.v1.GetBookRequest", None),
        ],
    );
    let operations =
        service("Operations", "longrunning.googleapis.com", vec![method("GetOperation", ".x.Y", Some(wait))]);
    FileDescriptorSet {
        file: vec![
            FileDescriptor {
                name: "google/longrunning/operations.proto".into(),
                package: "google.longrunning".into(),
                service: vec![operations],
                ..FileDescriptor::default()
            },
            FileDescriptor {
                name: "library.proto".into(),
                package: "library.v1".into(),
                message_type: requests,
                service: vec![books],
                ..FileDescriptor::default()
            },
        ],
    }
}

fn load(yaml: Option<&str>, binary: &[u8], iam: &str) -> (Option<Catalog>, String) {
    let mut files: Vec<(&str, Vec<u8>)> = vec![
        ("services/library.binpb", binary.to_vec()),
        ("services/library.iam.yaml", iam.as_bytes().to_vec()),
    ];
    files.extend(yaml.map(|yaml| ("services/library.yaml", yaml.as_bytes().to_vec())));
    let exposure = ExposureSettings {
        id: "library".into(),
        hosts: None,
        upstream: "backend".into(),
        transcode: false,
        forwarding: Forwarding::default(),
        cors: None,
        protected_resource: None,
        grpc: crate::catalog::PassedRpcs::default(),
        limits: crate::catalog::ServiceLimits::default(),
        span: Span { source: Source::new("opgate.yaml", ""), range: 0..0 },
    };
    let mut report = Report::new();
    let catalog = Catalog::load(&PolicyFiles::in_memory("", files), &[exposure], &mut report);
    (catalog, report.render(false))
}

const IAM: &str = "service: library.example.com
rules:
- {selector: library.v1.Books.GetBook, permission: library.books.get}
- {selector: library.v1.Books.UpdateBook, permission: library.books.update, resource: book.name}
";

fn loaded(yaml: Option<&str>, iam: &str) -> Catalog {
    let (catalog, report) = load(yaml, &library().encode_to_vec(), iam);
    let catalog = catalog.unwrap_or_else(|| panic!("{report}"));
    assert_eq!(report, "");
    catalog
}

#[test]
fn a_descriptor_set_alone_makes_a_service() {
    let catalog = loaded(None, IAM);
    let get = &catalog.methods()[0];
    assert_eq!(get.service.hosts, ["library.example.com"]);
    assert_eq!(get.scopes, ["https://example.com/read", "https://example.com/write"]);
    assert_eq!(get.resource_type.as_deref(), Some("library.example.com/Book"));
    assert_eq!(catalog.methods()[1].resource_type.as_deref(), Some("library.example.com/Book"));
    let call = |http_method: &str, path: &str| {
        let path = Path::parse(path).unwrap();
        catalog.route("library.example.com", &http_method.parse().unwrap(), &path)
    };
    assert_eq!(call("GET", "/v1/shelves/s/books/b").unwrap().resource(), "shelves/s/books/b");
    let update = call("PATCH", "/v1/shelves/s/books/b").unwrap();
    assert_eq!((update.body.to_string().as_str(), update.body_field.as_deref()), ("message", Some("book")));
    assert_eq!(
        call("UPDATE", "/v1/shelves/s/books/b:update").unwrap().method.name,
        "library.v1.Books.UpdateBook"
    );
    // An API that was imported is not the service's.
    assert!(call("GET", "/v1/operations/o").is_err() && catalog.unexposed().is_empty());
}

#[test]
fn a_method_that_no_rule_exposes_is_closed() {
    let iam = IAM.replace("- {selector: library.v1.Books.GetBook, permission: library.books.get}\n", "");
    let catalog = loaded(None, &iam);
    assert_eq!(catalog.unexposed()[0].method, "library.v1.Books.GetBook");
}

#[test]
fn the_service_file_says_which_apis_there_are_and_replaces_annotations() {
    let yaml = "name: library.googleapis.com
apis:
- name: library.v1.Books
- name: google.longrunning.Operations
http:
  rules:
  - {selector: library.v1.Books.GetBook, get: '/v2/{name=shelves/*/books/*}'}
authentication:
  rules:
  - {selector: library.v1.Books.UpdateBook, oauth: {canonical_scopes: https://example.com/write}}
";
    let iam = IAM.replace("library.example.com", "library.googleapis.com")
        + "- {selector: google.longrunning.Operations.GetOperation, permission: library.operations.get}\n";
    let catalog = loaded(Some(yaml), &iam);
    let get = Path::parse("/v1/shelves/s/books/b").unwrap();
    assert!(catalog.route("library.googleapis.com", &::http::Method::GET, &get).is_err());
    let get = Path::parse("/v2/shelves/s/books/b").unwrap();
    assert!(catalog.route("library.example.com", &::http::Method::GET, &get).is_ok());
    assert_eq!(catalog.methods()[0].service.hosts, ["library.googleapis.com", "library.example.com"]);
    assert_eq!(catalog.methods()[1].scopes, ["https://example.com/write"]);
    assert_eq!(catalog.methods()[2].name, "google.longrunning.Operations.GetOperation");
    assert!(catalog.undescribed().is_empty());
    // Without the descriptors, nothing of the API is known.
    let iam = "service: library.googleapis.com\nrules:\n- {selector: library.v1.Books.GetBook, permission: library.books.get, scopes: none}\n";
    let (catalog, report) = load(Some(yaml), &library().encode_to_vec(), iam);
    assert!(catalog.unwrap_or_else(|| panic!("{report}")).undescribed().is_empty());
}

#[test]
fn what_is_no_descriptor_set_is_told() {
    let told = |bytes: &[u8]| {
        let (catalog, report) = load(None, bytes, IAM);
        assert!(catalog.is_none());
        report
    };
    assert!(told(b"name: library").contains("is not a descriptor set"));
    assert!(told(b"").contains("has no service"));
    let mut wrong = library();
    let rule = |path: &str| Some(HttpAnnotation { get: Some(path.into()), ..HttpAnnotation::default() });
    let methods = &mut wrong.file[1].service[0].method;
    methods[0].options = Some(MethodOptions { http: rule("/v1/{name") });
    methods[1].options = Some(MethodOptions { http: Some(HttpAnnotation::default()) });
    let report = told(&wrong.encode_to_vec());
    assert!(report.contains("the annotation of `library.v1.Books.GetBook`: `/v1/{name`"), "{report}");
    assert!(report.contains("it has to match one method and path"), "{report}");
}
