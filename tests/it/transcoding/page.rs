//! docs/transcoding.md, served: its files, and the requests of its table.

use std::path::Path;

use prost_reflect::DescriptorPool;
use serde_json::{Value, json};

use super::backend::GrpcBackend;
use crate::harness::{Body, Gate, Req, Setup, Tree, root, token};
use crate::readme::pages::{Kind, Page};

#[tokio::test(flavor = "multi_thread")]
async fn the_page_about_transcoding_does_what_it_says() {
    let page = Page::read("docs/transcoding.md");
    let file = |name: &str| page.block(&Kind::Transcoding(name.to_owned())).text;
    let tree = Tree::empty();
    tree.write("shelf.proto", &file("shelf.proto"));
    let protos = root().join("tests/it/transcoding/protos");
    let mut compiler = protox::Compiler::new([tree.path(), Path::new(&protos)]).unwrap();
    compiler.include_imports(true).open_file("shelf.proto").unwrap();
    let set = compiler.encode_file_descriptor_set();
    std::fs::remove_file(tree.path().join("shelf.proto")).unwrap();
    tree.write("services/shelf.iam.yaml", &file("shelf.iam.yaml"));
    std::fs::write(tree.path().join("services/shelf.binpb"), &set).unwrap();
    tree.write(
        "roles/user.yaml",
        "name: projects/p/roles/user\ntitle: User\nstage: GA\n\
         includedPermissions: [shelf.books.get, shelf.books.list, shelf.books.update]\n",
    );
    tree.write(
        "allow/projects/p.yaml",
        "bindings:\n- role: projects/p/roles/user\n  members: [user:ana@example.com]\n",
    );

    let backend = GrpcBackend::start(DescriptorPool::decode(&set[..]).unwrap()).await;
    let shown: Value = serde_saphyr::from_str(&file("opgate.yaml")).unwrap();
    let mut upstreams = shown["upstreams"].clone();
    upstreams["shelf"]["endpoints"] = json!([backend.address.to_string()]);
    let gate = Gate::start_with(Setup {
        set: vec![
            tree.setting(),
            format!("upstreams.shelf={}", upstreams["shelf"]),
            format!("services={}", shown["services"]),
        ],
        ..Setup::default()
    });
    let rows = page.table("| request | body | message |");
    assert!(rows.len() >= 5);
    for row in rows {
        let [request, body, message] = <[String; 3]>::try_from(row).unwrap();
        let plain = |cell: &str| cell.trim_matches('`').to_owned();
        let (request, body, message) = (plain(&request), plain(&body), plain(&message));
        let (method, target) = request.split_once(' ').unwrap();
        let mut asked = Req::new(method, "shelf.example.com", target).bearer(&token("ana@example.com"));
        if body != "none" {
            asked = asked.header("content-type", "application/json").body(Body::Length(body.into_bytes()));
        }
        let answer = gate.http1(&asked).await;
        let seen = backend.take();
        assert_eq!(seen.len(), 1, "{request}: {}", String::from_utf8_lossy(&answer.body));
        assert_eq!(seen[0].message, serde_json::from_str::<Value>(&message).unwrap(), "{request}");
    }
}
