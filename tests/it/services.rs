//! Service files of the shapes that others write, served: grpc-gateway, API Gateway, Cloud Endpoints, flat REST APIs, and
//! the annotations of protos.

mod head;

use opgate::catalog::descriptor::message::{
    FileDescriptor, FileDescriptorSet, HttpAnnotation, MethodDescriptor, MethodOptions, ServiceDescriptor,
    ServiceOptions,
};
use opgate::dev::mint::Mint;
use prost::Message;
use serde_json::json;
use tempfile::TempDir;

use crate::harness::{COMPANION, Gate, Req, Setup, Tree, key, now, opgate, reason, token};
use crate::recorder::{Recorder, request_line};

const LAB: &str = "lab.example.com";

const ROLE: &str = "name: projects/acme/roles/user
title: User
stage: GA
includedPermissions: [lab.things.get]
";
const ALLOW: &str = "bindings:
- role: projects/acme/roles/user
  members:
  - user:ana@example.com
  - principal://iam.googleapis.com/locations/global/workforcePools/login/subject/ana
";

/// A gate for one service, in front of a backend that answers everything.
struct Lab {
    gate: Gate,
    backend: Recorder,
    _tree: Tree,
    _keys: TempDir,
}

impl Lab {
    /// `service` without its name, and the rules of the iam file.
    fn start(service: &str, rules: &str) -> Self {
        Self::start_with(service, rules, Vec::new())
    }

    /// The same with more settings.
    fn start_with(service: &str, rules: &str, more: Vec<String>) -> Self {
        let tree = Tree::empty();
        tree.add_service(
            "lab",
            &format!("name: {LAB}\n{service}"),
            &format!("service: {LAB}\nrules:\n{rules}"),
        );
        Self::in_front_with(tree, "{upstream: operations}", more)
    }

    fn serve(service: &str, iam: &str, host: &str) -> Self {
        let tree = Tree::empty();
        tree.add_service("lab", service, iam);
        Self::in_front(tree, &format!("{{upstream: operations, hosts: ['{host}']}}"))
    }

    fn in_front(tree: Tree, exposed: &str) -> Self {
        Self::in_front_with(tree, exposed, Vec::new())
    }

    fn in_front_with(tree: Tree, exposed: &str, more: Vec<String>) -> Self {
        tree.write("roles/user.yaml", ROLE);
        tree.write("allow/projects/acme.yaml", ALLOW);
        let backend = Recorder::start();
        let keys = tempfile::tempdir().unwrap();
        let file = keys.path().join("login.jwks.json");
        std::fs::write(&file, key().jwks().to_string()).unwrap();
        let login = json!({
            "issuer": "https://login.acme.example", "audiences": ["echo-clients", "other-clients"],
            "keys": {"file": file}, "attribute_mapping": {"google.subject": "assertion.sub"},
            "subject_pool": "iam.googleapis.com/locations/global/workforcePools/login",
        });
        let gate = Gate::start_with(Setup {
            set: [
                vec![
                    tree.setting(),
                    format!("issuers.login={login}"),
                    format!("services={{lab: {exposed}}}"),
                ],
                more,
            ]
            .concat(),
            endpoints: Some(vec![backend.address()]),
            ..Setup::default()
        });
        Self { gate, backend, _tree: tree, _keys: keys }
    }

    /// The status and the reason of a call, and the request line that the backend got.
    async fn call(&self, method: &str, target: &str, token: &str) -> (u16, String, Option<String>) {
        self.call_on(LAB, method, target, token).await
    }

    async fn call_on(
        &self,
        host: &str,
        method: &str,
        target: &str,
        token: &str,
    ) -> (u16, String, Option<String>) {
        let answer = self.gate.http1(&Req::new(method, host, target).bearer(token)).await;
        let sent = self.backend.take();
        assert_eq!(!sent.is_empty(), answer.status == 200, "{method} {target}: {sent:?}");
        (answer.status, reason(&answer), sent.first().map(|head| request_line(head).to_owned()))
    }

    async fn assert_allowed(&self, method: &str, target: &str, token: &str) {
        let (status, reason, sent) = self.call(method, target, token).await;
        assert_eq!(
            (status, sent),
            (200, Some(format!("{method} {target} HTTP/1.1"))),
            "{method} {target}: {reason}"
        );
    }

    async fn assert_refused(&self, method: &str, target: &str, token: &str, expected: (u16, &str)) {
        let (status, reason, _) = self.call(method, target, token).await;
        assert_eq!((status, reason.as_str()), expected, "{method} {target}");
    }
}

fn ana() -> String {
    token("ana@example.com")
}

/// A token of the provider `login`, for an audience, with more claims.
fn of_login(audience: &str, more: &[(&str, &str)]) -> String {
    let mut claims = json!({
        "iss": "https://login.acme.example", "sub": "ana", "aud": audience, "iat": now(), "exp": now() + 600,
    });
    for (name, value) in more {
        claims[*name] = json!(value);
    }
    key().sign(&claims).unwrap()
}

/// Case 28.
#[tokio::test]
async fn a_file_of_grpc_gateway_without_a_name_is_served() {
    let service = "type: google.api.Service
config_version: 3
http:
  rules:
  - {selector: a.B.Get, get: '/v1/{name=projects/*/things/*}'}
";
    let iam = format!(
        "service: {LAB}\nrules:\n- {{selector: a.B.Get, permission: lab.things.get, scopes: none}}\n"
    );
    let lab = Lab::serve(service, &iam, LAB);
    lab.assert_allowed("GET", "/v1/projects/acme/things/7", &ana()).await;
    lab.assert_refused("GET", "/v1/projects/other/things/7", &ana(), (403, "IAM_PERMISSION_DENIED")).await;
}

/// Case 29.
#[tokio::test]
async fn the_pattern_of_api_gateway_is_served_on_the_hosts_of_the_configuration() {
    let name = "'*.apigateway.acme.cloud.goog'";
    let service = format!(
        "name: {name}\nhttp:\n  rules:\n  - {{selector: a.B.Get, get: '/v1/{{name=projects/*/things/*}}'}}\n"
    );
    let iam = format!(
        "service: {name}\nrules:\n- {{selector: a.B.Get, permission: lab.things.get, scopes: none}}\n"
    );
    let lab = Lab::serve(&service, &iam, "gw-1.uc.gateway.dev");
    let target = "/v1/projects/acme/things/7";
    assert_eq!(lab.call_on("gw-1.uc.gateway.dev", "GET", target, &ana()).await.0, 200);
    // An unknown host is told to the client, and no other.
    let answer = lab.gate.http1(&Req::new("GET", "gw-2.uc.gateway.dev", target)).await;
    let text = String::from_utf8(answer.body.clone()).unwrap();
    assert_eq!((answer.status, reason(&answer).as_str()), (404, "METHOD_NOT_FOUND"));
    assert!(text.contains("gw-2.uc.gateway.dev") && !text.contains("gw-1"), "{text}");
}

const PROVIDED: &str = "http:
  rules:
  - {selector: a.B.Get, get: '/v1/{name=projects/*/things/*}'}
  - {selector: a.B.Scoped, get: '/v2/{name=projects/*/things/*}'}
  - {selector: a.B.Any, get: '/v3/{name=projects/*/things/*}'}
authentication:
  providers:
  - {id: login, issuer: https://login.acme.example, jwks_uri: https://login.acme.example/jwks.json, audiences: echo-clients}
  rules:
  - {selector: '*', requirements: [{provider_id: login}]}
  - {selector: a.B.Scoped, oauth: {canonical_scopes: things}, requirements: [{provider_id: login}]}
  - {selector: a.B.Any, oauth: {canonical_scopes: ''}}
";
const PROVIDED_RULES: &str = "- {selector: a.B.Get, permission: lab.things.get}
- {selector: a.B.Scoped, permission: lab.things.get}
- {selector: a.B.Any, permission: lab.things.get, scopes: none}
";

/// Cases 30 and 9.
#[tokio::test]
async fn a_method_with_requirements_takes_tokens_of_its_provider_alone() {
    let lab = Lab::start(PROVIDED, PROVIDED_RULES);
    let (get, scoped, any) =
        ("/v1/projects/acme/things/7", "/v2/projects/acme/things/7", "/v3/projects/acme/things/7");
    let good = of_login("echo-clients", &[]);
    for _ in 0..2 {
        // A token that is known is judged again.
        lab.assert_allowed("GET", get, &good).await;
        lab.assert_refused("GET", get, &ana(), (401, "JWT_TOKEN_INVALID")).await;
        lab.assert_refused("GET", get, &of_login("other-clients", &[]), (401, "JWT_TOKEN_INVALID")).await;
    }
    // IAM is asked as ever.
    lab.assert_refused("GET", "/v1/projects/other/things/7", &good, (403, "IAM_PERMISSION_DENIED")).await;
    // Scopes are asked for where they are there too.
    lab.assert_refused("GET", scoped, &good, (403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT")).await;
    lab.assert_allowed("GET", scoped, &of_login("echo-clients", &[("scope", "things")])).await;
    // Any valid token, where the iam rule says so.
    lab.assert_allowed("GET", any, &of_login("other-clients", &[])).await;
    lab.assert_allowed("GET", any, &ana()).await;
    let answer = lab.gate.http1(&Req::new("GET", LAB, any)).await;
    assert_eq!((answer.status, reason(&answer).as_str()), (401, "CREDENTIALS_MISSING"));
}

/// The `iss` of a JWT-SVID is free: whose keys verified the token says of which provider it is.
#[tokio::test]
async fn a_workload_cannot_claim_to_be_of_another_provider() {
    let service = PROVIDED.replace("login", "ghost");
    let keys = tempfile::tempdir().unwrap();
    let file = keys.path().join("mesh.jwks.json");
    std::fs::write(&file, key().jwks().to_string()).unwrap();
    let mesh = json!({
        "trust_domain": "td.example", "audiences": ["echo-clients"], "keys": {"file": file},
        "subject_pool": "iam.googleapis.com/locations/global/workforcePools/login",
    });
    let lab = Lab::start_with(&service, PROVIDED_RULES, vec![format!("issuers.mesh={mesh}")]);
    let of_mesh = |issuer: Option<&str>| {
        let mut claims = json!({
            "sub": "spiffe://td.example/ana", "aud": "echo-clients", "iat": now(), "exp": now() + 600,
        });
        if let Some(issuer) = issuer {
            claims["iss"] = issuer.into();
        }
        key().sign(&claims).unwrap()
    };
    let (get, any) = ("/v1/projects/other/things/7", "/v3/projects/other/things/7");
    for issuer in [None, Some("spiffe://td.example"), Some("https://ghost.acme.example")] {
        lab.assert_refused("GET", get, &of_mesh(issuer), (401, "JWT_TOKEN_INVALID")).await;
        // It is a good token: only IAM is in its way where any will do.
        lab.assert_refused("GET", any, &of_mesh(issuer), (403, "IAM_PERMISSION_DENIED")).await;
    }
}

/// Tokens of Cognito have no `aud`: the issuer's `audience_claim` stands for it.
#[tokio::test]
async fn the_audiences_of_a_provider_are_looked_for_in_the_claim_of_its_issuer() {
    let lab = Lab::start_with(
        PROVIDED,
        PROVIDED_RULES,
        vec![
            "issuers.login.audience_claim=client_id".to_owned(),
            "issuers.login.required_claims={token_use: access}".to_owned(),
        ],
    );
    let of_client = |client: &str| {
        let claims = json!({
            "iss": "https://login.acme.example", "sub": "ana", "client_id": client, "token_use": "access",
            "iat": now(), "exp": now() + 600,
        });
        key().sign(&claims).unwrap()
    };
    let get = "/v1/projects/acme/things/7";
    lab.assert_allowed("GET", get, &of_client("echo-clients")).await;
    lab.assert_refused("GET", get, &of_client("other-clients"), (401, "JWT_TOKEN_INVALID")).await;
}

#[tokio::test]
async fn explanations_know_of_providers() {
    let lab = Lab::start(PROVIDED, PROVIDED_RULES);
    let asked = async |claims: serde_json::Value| {
        let question =
            json!({"claims": claims, "request": {"method": "GET", "path": "/v1/projects/acme/things/7"}});
        String::from_utf8(lab.gate.explain(&question).await.body).unwrap()
    };
    let good = asked(json!({"iss": "https://login.acme.example", "sub": "ana", "aud": "echo-clients"})).await;
    assert!(good.contains("\"allowed\""), "{good}");
    let other = asked(json!({"iss": crate::harness::ISSUER, "sub": "ana", "email": "ana@example.com"})).await;
    assert!(other.contains("JWT_TOKEN_INVALID"), "{other}");
}

#[test]
fn check_says_which_issuer_a_provider_needs() {
    let tree = Tree::empty();
    tree.add_service(
        "lab",
        &format!("name: {LAB}\n{PROVIDED}"),
        &format!("service: {LAB}\nrules:\n{PROVIDED_RULES}"),
    );
    tree.write("roles/user.yaml", ROLE);
    let check = |more: &[&str]| {
        let mut command = opgate();
        command.args(["check", "--config", "config/opgate.yaml", "--set", &tree.setting()]);
        command.args(["--set", "services={lab: {upstream: operations}}"]);
        command.args(more.iter().flat_map(|setting| ["--set", setting]));
        let output = command.output().unwrap();
        String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap()
    };
    let told = check(&[]);
    for line in [
        "which the configuration does not name",
        "issuer: 'https://login.acme.example'",
        "audiences: ['echo-clients']",
        "keys: {url: 'https://login.acme.example/jwks.json'}",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    let issuer = |audience: &str| {
        format!(
            "issuers={{login: {{issuer: 'https://login.acme.example', audiences: [{audience}], keys: {{url: \
             'https://login.acme.example/jwks.json'}}}}}}"
        )
    };
    let told = check(&[&issuer("other")]);
    assert!(told.contains("a token would have to be for both"), "{told}");
    let told = check(&[&issuer("echo-clients")]);
    assert!(!told.contains("provider"), "{told}");
}

/// Cases 31 and 47.
#[tokio::test]
async fn the_root_and_a_slash_at_the_end_are_paths() {
    let service = "http:
  rules:
  - {selector: a.B.Root, get: /}
  - {selector: a.B.List, get: /v1/things/}
  - {selector: a.B.Get, get: '/v1/things/{id}'}
  - {selector: a.B.Jobs, get: /v1/jobs}
";
    let rule = |name: &str| {
        format!(
            "- {{selector: a.B.{name}, permission: lab.things.get, resource: projects/acme/things, scopes: none}}\n"
        )
    };
    let rules: String = ["Root", "List", "Get", "Jobs"].map(rule).concat();
    let lab = Lab::start(service, &rules);
    for target in ["/", "/?x=1", "/v1/things/", "/v1/things/7", "/v1/jobs"] {
        lab.assert_allowed("GET", target, &ana()).await;
    }
    for target in ["//", "/v1/things//", "/v1//things/", "/v1/things/7/", "/v1/jobs/", "/v1/jobs/?x=1"] {
        lab.assert_refused("GET", target, &ana(), (400, "REQUEST_MALFORMED")).await;
    }
    lab.assert_refused("GET", "/v1/things", &ana(), (404, "METHOD_NOT_FOUND")).await;
}

/// Case 47: a probe of a load balancer.
#[tokio::test]
async fn the_root_of_a_gate_without_a_route_for_it_is_not_found() {
    let gate = Gate::start();
    for host in [COMPANION, "10.0.0.5:8080"] {
        let answer = gate.http1(&Req::new("GET", host, "/")).await;
        assert_eq!((answer.status, reason(&answer).as_str()), (404, "METHOD_NOT_FOUND"), "{host}");
    }
}

/// Case 32.
#[tokio::test]
async fn a_resource_in_several_variables_can_be_granted_on() {
    let service = "http:
  rules:
  - {selector: a.B.Run, post: '/v2/projects/{project}/jobs/{job}:run', body: '*'}
  - {selector: a.B.Get, get: '/jobs/{id}'}
  - {selector: a.B.Status, get: /status}
authentication: {rules: [{selector: '*', oauth: {canonical_scopes: https://www.googleapis.com/auth/cloud-platform}}]}
";
    let rules = "- {selector: a.B.Run, permission: lab.things.get, resource: 'projects/{project}/jobs/{job}'}
- {selector: a.B.Get, permission: lab.things.get, resource: 'projects/acme/jobs/{id}'}
- {selector: a.B.Status, permission: lab.things.get, resource: projects/acme/status}
";
    let lab = Lab::start(service, rules);
    lab.assert_allowed("POST", "/v2/projects/acme/jobs/7:run", &ana()).await;
    lab.assert_allowed("GET", "/jobs/7", &ana()).await;
    lab.assert_allowed("GET", "/status", &ana()).await;
    lab.assert_refused("POST", "/v2/projects/other/jobs/7:run", &ana(), (403, "IAM_PERMISSION_DENIED")).await;
    lab.assert_refused("GET", "/jobs/7", &token("eve@example.com"), (403, "IAM_PERMISSION_DENIED")).await;
    // Neither the query nor the body names another part, and no value moves one.
    for target in [
        "/v2/projects/acme/jobs/7:run?project=other",
        "/v2/projects/acme/jobs/7:run?job=8",
        "/v2/projects/acme%2Fjobs%2F7/jobs/x:run",
    ] {
        assert_eq!(lab.call("POST", target, &ana()).await.0, 400, "{target}");
    }
    let run = |body: &str| {
        let request = Req::new("POST", LAB, "/v2/projects/acme/jobs/7:run").bearer(&ana());
        request.header("content-type", "application/json").body(crate::harness::Body::Length(body.into()))
    };
    assert_eq!(lab.gate.http1(&run(r#"{"project":"acme","job":"7"}"#)).await.status, 200);
    for body in [r#"{"project":"other"}"#, r#"{"job":"8"}"#] {
        let answer = lab.gate.http1(&run(body)).await;
        assert_eq!(reason(&answer), "REQUEST_BODY_REFUSED", "{body}");
    }
    let denied = lab.gate.audit(10).into_iter().any(|line| {
        line["protoPayload"]["resourceName"] == "projects/other/jobs/7"
            && line["protoPayload"]["authorizationInfo"][0]["resource"] == "projects/other/jobs/7"
    });
    assert!(denied, "{}", lab.gate.audit_text());
}

#[tokio::test]
async fn the_annotations_of_protos_are_served() {
    let get =
        HttpAnnotation { get: Some("/v1/{name=projects/*/things/*}".into()), ..HttpAnnotation::default() };
    let burn = HttpAnnotation {
        post: Some("/v1/{name=projects/*/things/*}:burn".into()),
        ..HttpAnnotation::default()
    };
    let method = |name: &str, http: HttpAnnotation| MethodDescriptor {
        name: name.into(),
        options: Some(MethodOptions { http: Some(http) }),
        ..MethodDescriptor::default()
    };
    let service = ServiceDescriptor {
        name: "Lab".into(),
        method: vec![method("Get", get), method("Burn", burn)],
        options: Some(ServiceOptions {
            default_host: LAB.into(),
            oauth_scopes: "https://www.googleapis.com/auth/cloud-platform".into(),
        }),
    };
    let file =
        FileDescriptor { package: "lab.v1".into(), service: vec![service], ..FileDescriptor::default() };
    let tree = Tree::empty();
    tree.write(
        "services/lab.iam.yaml",
        &format!("service: {LAB}\nrules:\n- {{selector: lab.v1.Lab.Get, permission: lab.things.get}}\n"),
    );
    let set = FileDescriptorSet { file: vec![file] };
    std::fs::write(tree.path().join("services/lab.binpb"), set.encode_to_vec()).unwrap();
    let lab = Lab::in_front(tree, "{upstream: operations}");
    lab.assert_allowed("GET", "/v1/projects/acme/things/7", &ana()).await;
    lab.assert_refused("GET", "/v1/projects/other/things/7", &ana(), (403, "IAM_PERMISSION_DENIED")).await;
    // Declared, and closed.
    lab.assert_refused("POST", "/v1/projects/acme/things/7:burn", &ana(), (404, "METHOD_NOT_FOUND")).await;
    let unscoped = of_login("echo-clients", &[]);
    lab.assert_refused(
        "GET",
        "/v1/projects/acme/things/7",
        &unscoped,
        (403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT"),
    )
    .await;
}
