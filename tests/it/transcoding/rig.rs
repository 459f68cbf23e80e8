//! A gate that transcodes, in front of a backend of gRPC.

use std::path::Path;
use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

use super::backend::{GrpcBackend, SeenCall};
use crate::harness::{Answer, Body, Gate, Req, Setup, Tree, token};

pub const LAB: &str = "library.example.com";

/// The library, as `protoc --include_imports` gives it.
pub fn descriptors() -> &'static [u8] {
    static SET: LazyLock<Vec<u8>> = LazyLock::new(|| compiled(&["library.proto"]));
    &SET
}

/// What the backend serves: long-running operations too, whose descriptors come with the gate.
pub fn pool() -> DescriptorPool {
    DescriptorPool::decode(&compiled(&["library.proto", "google/longrunning/operations.proto"])[..]).unwrap()
}

fn compiled(files: &[&str]) -> Vec<u8> {
    let protos = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/transcoding/protos");
    let mut compiler = protox::Compiler::new([&protos]).unwrap();
    compiler.include_imports(true).open_files(files).unwrap();
    compiler.encode_file_descriptor_set()
}

pub const METHODS: [&str; 10] = [
    "GetBook",
    "ListBooks",
    "CreateBook",
    "UpdateBook",
    "DeleteBook",
    "ArchiveBook",
    "WatchBooks",
    "DownloadBook",
    "UploadBooks",
    "Echo",
];

const SERVICE: &str = "name: library.example.com
apis: [{name: lib.v1.Library}, {name: lib.v1.Titles}, {name: google.longrunning.Operations}]
http:
  rules:
  - {selector: google.longrunning.Operations.CancelOperation, post: '/v1/{name=projects/*/operations/*}:cancel', body: '*'}
  - {selector: google.longrunning.Operations.GetOperation, get: '/v1/{name=projects/*/operations/*}'}
authentication:
  rules:
  - {selector: '*', oauth: {canonical_scopes: https://www.googleapis.com/auth/cloud-platform}}
";

/// The policies of the library: ana may do everything in the project `acme`.
pub fn tree() -> Tree {
    let tree = Tree::empty();
    let mut rules = String::new();
    for method in METHODS {
        let resource = match method {
            "ListBooks" | "CreateBook" | "WatchBooks" | "UploadBooks" => "parent",
            "UpdateBook" => "book.name",
            _ => "name",
        };
        rules += &format!(
            "- {{selector: lib.v1.Library.{method}, permission: library.books.use, resource: {resource}}}\n"
        );
    }
    rules += "- {selector: lib.v1.Titles.ListTitles, permission: library.books.use, resource: parent}\n";
    for method in ["CancelOperation", "GetOperation"] {
        rules += &format!(
            "- {{selector: google.longrunning.Operations.{method}, permission: library.books.use}}\n"
        );
    }
    tree.add_service("library", SERVICE, &format!("service: {LAB}\nrules:\n{rules}"));
    std::fs::write(tree.path().join("services/library.binpb"), descriptors()).unwrap();
    tree.write(
        "roles/user.yaml",
        "name: projects/acme/roles/user\ntitle: User\nstage: GA\nincludedPermissions: [library.books.use]\n",
    );
    tree.write(
        "allow/projects/acme.yaml",
        "bindings:\n- role: projects/acme/roles/user\n  members: [user:ana@example.com]\n",
    );
    tree
}

pub struct Rig {
    pub gate: Gate,
    pub backend: GrpcBackend,
    _tree: Tree,
}

impl Rig {
    pub async fn start() -> Self {
        Self::start_with(Vec::new()).await
    }

    pub async fn start_with(more: Vec<String>) -> Self {
        let tree = tree();
        let backend = GrpcBackend::start(pool()).await;
        let gate = Gate::start_with(Setup {
            set: [
                vec![
                    tree.setting(),
                    "services={library: {upstream: operations, transcode: true}}".to_owned(),
                ],
                more,
            ]
            .concat(),
            endpoints: Some(vec![backend.address]),
            upstream_protocol: Some("h2c"),
            ..Setup::default()
        });
        Self { gate, backend, _tree: tree }
    }

    /// Sends a request over both versions, whose answers and calls have to be the same.
    pub async fn ask(&self, request: &Req) -> (Answer, Vec<SeenCall>) {
        let first = self.gate.http1(request).await;
        let seen = self.backend.take();
        let second = self.gate.http2(request).await;
        let again = self.backend.take();
        let without_id = |answer: &Answer| {
            let mut json = answer.json().unwrap_or_default();
            let details = json.pointer_mut("/error/details");
            if let Some(details) = details.and_then(serde_json::Value::as_array_mut) {
                details.retain(|detail| detail.get("requestId").is_none());
            }
            (answer.status, json, answer.header("content-type").map(str::to_owned))
        };
        assert_eq!(without_id(&first), without_id(&second), "{request:?}");
        let messages = |calls: &[SeenCall]| {
            calls.iter().map(|call| (call.path.clone(), call.body.clone())).collect::<Vec<_>>()
        };
        assert_eq!(messages(&seen), messages(&again), "{request:?}");
        (first, seen)
    }

    /// The answer and the one call of a request that is allowed.
    pub async fn called(&self, request: &Req) -> (Answer, SeenCall) {
        let (answer, mut seen) = self.ask(request).await;
        assert_eq!(seen.len(), 1, "{request:?}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
        (answer, seen.remove(0))
    }
}

/// A request of ana's.
pub fn ana(method: &str, target: &str) -> Req {
    Req::new(method, LAB, target).bearer(&token("ana@example.com"))
}

pub fn ana_with(method: &str, target: &str, body: &str) -> Req {
    ana(method, target)
        .header("content-type", "application/json")
        .body(Body::Length(body.as_bytes().to_vec()))
}
