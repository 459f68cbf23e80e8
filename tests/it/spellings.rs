//! Paths that one backend reads as a call of one method, and another backend as a call of another.
//!
//! Three services share a host and a backend. The caller may call `things.get` and nothing else, so a request that
//! arrives was judged as that method.

use serde_json::json;

use crate::harness::{Gate, Req, Setup, Tree, reason, token};
use crate::recorder::{Recorder, request_line};

const HOST: &str = "things.localhost";
const ANA: &str = "ana@example.com";

/// `(id, http rules, iam rules)`.
const SERVICES: [(&str, &str, &str); 3] = [
    (
        "things",
        "
  - {selector: lab.Things.Get, get: '/v1/{name=projects/*/things/*}'}
  - {selector: lab.Things.Export, get: '/v1/{name=projects/*/things/*}:exportSecrets'}
  - {selector: lab.Things.GetRoot, get: '/v1/{name=projects/*/things/root}'}
  - {selector: lab.Things.Audit, get: '/v1/{name=projects/*/things/audit}'}
",
        "
- {selector: lab.Things.Get, permission: lab.things.get}
- {selector: lab.Things.Export, permission: lab.things.export}
- {selector: lab.Things.GetRoot, permission: lab.things.getRoot}
",
    ),
    (
        "blue",
        "
  - {selector: lab.Blue.Vault, get: '/v1/{name=projects/*/rooms/vault}'}
  - {selector: lab.Blue.Status, get: '/v1/{name=projects/*}/status'}
",
        "
- {selector: lab.Blue.Status, permission: lab.things.get}
",
    ),
    (
        "red",
        "
  - {selector: lab.Red.Get, get: '/v1/{name=projects/*/rooms/*}'}
",
        "
- {selector: lab.Red.Get, permission: lab.things.get}
",
    ),
];

struct Lab {
    gate: Gate,
    backend: Recorder,
    _tree: Tree,
}

impl Lab {
    fn start() -> Self {
        let tree = Tree::empty();
        let mut exposed = serde_json::Map::new();
        for (id, rules, iam) in SERVICES {
            let scopes = "oauth: {canonical_scopes: https://www.googleapis.com/auth/cloud-platform}";
            let service = format!(
                "type: google.api.Service\nname: {id}.example.com\nhttp:\n  rules:{rules}authentication:\n  rules:\n  - \
                 selector: '*'\n    {scopes}\n"
            );
            let iam = format!("service: {id}.example.com\nrules:{iam}");
            tree.add_service(id, &service, &iam);
            exposed.insert(id.into(), json!({ "hosts": [HOST], "upstream": "operations" }));
        }
        tree.write("roles/reader.yaml", "name: roles/lab.reader\nincludedPermissions: [lab.things.get]\n");
        let allow = format!("bindings:\n- {{role: roles/lab.reader, members: ['user:{ANA}']}}\n");
        tree.write("allow/projects/p.yaml", &allow);
        let backend = Recorder::start();
        let gate = Gate::start_with(Setup {
            endpoints: Some(vec![backend.address()]),
            set: vec![tree.setting(), format!("services={}", json!(exposed))],
            ..Setup::default()
        });
        Self { gate, backend, _tree: tree }
    }

    /// Status and reason over both versions, which must agree. Also asserts that the request arrived if it was allowed.
    async fn ask(&self, path: &str) -> (u16, String) {
        let target = format!("/v1/projects/p/{path}");
        let request = Req::new("GET", HOST, &target).bearer(&token(ANA));
        let answers = self.gate.over_both(&request).await;
        let arrived = self.backend.take();
        let [first, second] = answers.map(|answer| (answer.status, reason(&answer)));
        assert_eq!(first, second, "{path}");
        assert_eq!(arrived.len(), if first.0 == 200 { 2 } else { 0 }, "{path}");
        for head in arrived {
            assert_eq!(request_line(&head), format!("GET {target} HTTP/1.1"));
        }
        first
    }
}

fn refused(status: u16, reason: &str) -> (u16, String) {
    (status, reason.to_owned())
}

#[tokio::test]
async fn a_literal_or_a_verb_in_another_spelling_never_dodges_its_route() {
    let lab = Lab::start();
    assert_eq!(lab.ask("things/x").await.0, 200);
    for path in ["things/x:exportSecrets", "things/root"] {
        assert_eq!(lab.ask(path).await, refused(403, "IAM_PERMISSION_DENIED"), "{path}");
    }
    assert_eq!(lab.ask("things/audit").await, refused(404, "METHOD_NOT_FOUND"));
    for path in [
        "things/x%3AexportSecrets",
        "things/x%3aexportSecrets",
        "things/x%3AEXPORTSECRETS",
        "things/x%3Aexport%53ecrets",
        "things/x%3AexportSecret%C5%BF",
        "things/roo%74",
        "things/%72%6F%6F%74",
        "things/ROOT",
        "things/Root",
        "things/root%20",
        "things/root.json",
        "things/%61udit",
        "things/AUDIT",
        "things/audit.json",
    ] {
        assert_eq!(lab.ask(path).await, refused(400, "REQUEST_MALFORMED"), "{path}");
    }
}

/// Node clients encode every colon of an id.
#[tokio::test]
async fn an_encoded_colon_in_an_id_stays_legal() {
    let lab = Lab::start();
    for path in ["things/x%3Ay", "things/example.com%3Ax", "things/a%3Ab%3Ac", "things/x%3Aexport"] {
        assert_eq!(lab.ask(path).await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn a_method_that_one_service_closes_is_closed_for_its_whole_backend() {
    let lab = Lab::start();
    assert_eq!(lab.ask("rooms/x").await.0, 200);
    assert_eq!(lab.ask("status").await.0, 200);
    assert_eq!(lab.ask("rooms/vault").await, refused(404, "METHOD_NOT_FOUND"));
    for path in ["rooms/Vault", "rooms/va%75lt", "rooms/vault.json"] {
        assert_eq!(lab.ask(path).await, refused(400, "REQUEST_MALFORMED"), "{path}");
    }
    let log = lab.gate.log();
    assert!(log.contains("`lab.Blue.Vault` of `blue` is not exposed"), "{log}");
}
