//! Service and iam files of the shapes that others write: flat paths, ESPv2, grpc-gateway, API Gateway.

use super::*;

/// A service file with these rules and this authentication, and an iam file, on the host `lab.example.com`.
fn lab(rules: &str, authentication: &str, iam: &str) -> (Option<Catalog>, String) {
    let service = format!("name: lab.example.com\nhttp:\n  rules:\n{rules}authentication:\n{authentication}");
    let iam = format!("service: lab.example.com\nrules:\n{iam}");
    load(&[("lab.yaml", &service), ("lab.iam.yaml", &iam)], &[exposure("lab", None)])
}

const SCOPE: &str = "  rules:\n  - {selector: '*', oauth: {canonical_scopes: scope}}\n";

fn resource(loaded: (Option<Catalog>, String), http_method: &str, path: &str) -> String {
    let (catalog, report) = loaded;
    let catalog = catalog.unwrap_or_else(|| panic!("{report}"));
    let path = RequestPath::parse(path).unwrap();
    let call = catalog.route("lab.example.com", &http_method.parse().unwrap(), &path).unwrap();
    call.resource().to_owned()
}

#[test]
fn a_resource_is_made_of_several_variables_or_written_out() {
    let jobs = "  - {selector: a.B.Run, post: '/v2/projects/{project}/jobs/{job}:run'}\n";
    let of = |rules: &str, written: &str| {
        let iam = format!("- {{selector: a.B.Run, permission: a.b.run, resource: '{written}'}}\n");
        lab(rules, SCOPE, &iam)
    };
    let path = "/v2/projects/demo/jobs/7:run";
    assert_eq!(resource(of(jobs, "projects/{project}/jobs/{job}"), "POST", path), "projects/demo/jobs/7");
    assert_eq!(resource(of(jobs, "projects/acme/jobs/{job}"), "POST", path), "projects/acme/jobs/7");
    assert_eq!(resource(of(jobs, "projects/acme/status"), "POST", path), "projects/acme/status");
    // Decoded as ever, and no value adds a segment.
    let encoded = "/v2/projects/d%20e%3Amo/jobs/7:run";
    assert_eq!(
        resource(of(jobs, "projects/{project}/jobs/{job}"), "POST", encoded),
        "projects/d e:mo/jobs/7"
    );
    let files = "  - {selector: a.B.Run, get: '/files/{path=**}'}\n";
    let of_files = || of(files, "projects/acme/files/{path}");
    assert_eq!(resource(of_files(), "GET", "/files/a/b"), "projects/acme/files/a/b");
    assert_eq!(resource(of_files(), "GET", "/files"), "projects/acme/files");
    let nested = "  - {selector: a.B.Run, get: '/v1/{parent=projects/*}/{kind}/{id}'}\n";
    assert_eq!(
        resource(of(nested, "{parent}/things/{id}"), "GET", "/v1/projects/p/x/7"),
        "projects/p/things/7"
    );
}

#[test]
fn the_shape_of_a_resource_is_known_to_lints() {
    let rules = "  - {selector: a.B.Run, post: '/v2/projects/{project}/jobs/{job}:run'}\n";
    let iam = "- {selector: a.B.Run, permission: a.b.run, resource: 'projects/{project}/jobs/{job}'}\n";
    let catalog = lab(rules, SCOPE, iam).0.unwrap();
    let shapes: Vec<String> = catalog
        .resources()
        .map(|shape| shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("/"))
        .collect();
    assert_eq!(shapes, ["projects/*/jobs/*"]);
}

#[test]
fn a_body_may_not_replace_any_part_of_a_resource() {
    let rules = "  - {selector: a.B.Run, post: '/v2/projects/{project}/jobs/{job}:run', body: '*'}\n";
    let iam = "- {selector: a.B.Run, permission: a.b.run, resource: 'projects/{project}/jobs/{job}', body: stream}\n";
    let (catalog, report) = lab(rules, SCOPE, iam);
    assert!(report.contains("can name another `project` than the path"), "{report}");
    let catalog = catalog.unwrap();
    let path = RequestPath::parse("/v2/projects/demo/jobs/7:run").unwrap();
    let call = catalog.route("lab.example.com", &::http::Method::POST, &path).unwrap();
    assert!(call.binds_query_key("project") && call.binds_query_key("job"));
    let bound: Vec<_> = call.bindings_in_body().collect();
    assert_eq!(bound, [("project", "demo"), ("job", "7")]);
}

#[test]
fn a_resource_that_can_carry_no_grant_is_told_of() {
    let rules = "  - {selector: a.B.Run, post: '/v2/projects/{project}/jobs/{job}:run'}\n";
    insta::assert_snapshot!(
        lab(rules, SCOPE, "- {selector: a.B.Run, permission: a.b.run, resource: project}\n").1
    );
}

#[test]
fn every_mistake_of_a_resource_is_told() {
    let rules = "  - {selector: a.B.Run, post: '/v2/projects/{project}/jobs/{job}:run'}
  - {selector: a.B.Get, get: '/files/{path=**}'}
  - {selector: a.B.Status, get: /status}
  - {selector: a.B.List, get: '/v1/users/{user}'}
  - {selector: a.B.Put, put: '/v1/users/{user}'}
";
    let iam = "- {selector: a.B.Run, permission: a.b.run, resource: 'projects/{projekt}/jobs/{job}'}
- {selector: a.B.Get, permission: a.b.get, resource: 'projects/{path}/files'}
- {selector: a.B.Status, permission: a.b.status}
- {selector: a.B.List, permission: a.b.list}
- {selector: a.B.Put, permission: a.b.put, resource: 'users/{user=*}'}
";
    let (catalog, report) = lab(rules, SCOPE, iam);
    assert!(catalog.is_none());
    insta::assert_snapshot!(report);
}

const PROVIDER: &str = "  providers:
  - id: login
    issuer: https://login.example.com
    jwks_uri: https://login.example.com/jwks.json
";

const RUN: &str = "  - {selector: a.B.Run, post: '/v1/{name=jobs/*}:run'}\n";
const IAM_RUN: &str = "- {selector: a.B.Run, permission: a.b.run}\n";

fn run(loaded: (Option<Catalog>, String)) -> Arc<Method> {
    let (catalog, report) = loaded;
    let catalog = catalog.unwrap_or_else(|| panic!("{report}"));
    assert_eq!(catalog.methods().len(), 1);
    catalog.methods()[0].clone()
}

#[test]
fn a_requirement_asks_for_a_token_of_its_provider_and_for_no_scope() {
    let rule = "  rules:\n  - {selector: '*', requirements: [{provider_id: login}]}\n";
    let method = run(lab(RUN, &format!("{PROVIDER}{rule}"), IAM_RUN));
    assert!(method.scopes.is_empty() && method.asks_for_no_scope() && !method.allow_without_credential);
    assert_eq!(method.requirements[0].provider.issuer, "https://login.example.com");
    assert_eq!(
        method.requirements[0].audiences,
        ["https://lab.example.com", "https://lab.example.com/", "https://lab.example.com/a.B"]
    );
    // The provider's audiences, and the requirement's in place of them.
    let with = format!("{PROVIDER}    audiences: one, two\n{rule}");
    assert_eq!(run(lab(RUN, &with, IAM_RUN)).requirements[0].audiences, ["one", "two"]);
    let own = format!(
        "{PROVIDER}    audiences: one\n{}",
        rule.replace("login}", "login, audiences: 'three,four'}")
    );
    assert_eq!(run(lab(RUN, &own, IAM_RUN)).requirements[0].audiences, ["three", "four"]);
    // Scopes are asked for where they are there too.
    let both = format!(
        "{PROVIDER}{}",
        rule.replace("requirements", "oauth: {canonical_scopes: scope}, requirements")
    );
    assert_eq!(run(lab(RUN, &both, IAM_RUN)).scopes, ["scope"]);
}

#[test]
fn a_rule_says_outright_that_any_valid_token_will_do() {
    for authentication in
        ["  rules: []\n", SCOPE, "  rules: [{selector: '*', oauth: {canonical_scopes: ''}}]\n"]
    {
        let iam = "- {selector: a.B.Run, permission: a.b.run, scopes: none}\n";
        let method = run(lab(RUN, authentication, iam));
        assert!(
            method.scopes.is_empty() && !method.allow_without_credential && method.requirements.is_empty()
        );
    }
    let iam = "- {selector: a.B.Run, permission: a.b.run, scopes: [one, two]}\n";
    assert_eq!(run(lab(RUN, "  rules: []\n", iam)).scopes, ["one", "two"]);
    for scopes in ["''", "[]", "[none, one]", "none one", "7"] {
        let iam = format!("- {{selector: a.B.Run, permission: a.b.run, scopes: {scopes}}}\n");
        assert!(lab(RUN, SCOPE, &iam).0.is_none(), "{scopes}");
    }
    // Empty scopes by themselves are more likely a mistake.
    let (catalog, report) = lab(RUN, "  rules: [{selector: '*', oauth: {canonical_scopes: ''}}]\n", IAM_RUN);
    assert!(catalog.is_none() && report.contains("scopes: none"), "{report}");
}

#[test]
fn what_a_provider_says_and_the_gate_does_not_do_is_told() {
    let authentication = format!(
        "{PROVIDER}    authorization_url: https://login.example.com/authorize
    jwt_locations:
    - {{header: x-goog-iap-jwt-assertion}}
    - {{query: access_token}}
  - {{id: same, issuer: https://other.example.com, jwt_locations: [{{header: Authorization, value_prefix: 'Bearer '}}]}}
  - {{id: same, issuer: https://other.example.com}}
  - {{id: empty}}
  rules:
  - {{selector: '*', requirements: [{{provider_id: login}}]}}
  - {{selector: a.B.Run, requirements: [{{provider_id: logn}}, {{}}]}}
"
    );
    let (catalog, report) = lab(RUN, &authentication, IAM_RUN);
    assert!(catalog.is_none());
    insta::assert_snapshot!(report);
}

#[test]
fn a_service_without_a_name_takes_that_of_its_iam_file() {
    let service = "type: google.api.Service\nconfig_version: 3\nhttp:\n  rules:\n  - {selector: a.B.Run, get: '/v1/{name=jobs/*}'}\n";
    let iam = |name: &str| {
        format!("service: {name}\nrules:\n- {{selector: a.B.Run, permission: a.b.run, scopes: none}}\n")
    };
    let (catalog, report) =
        load(&[("lab.yaml", service), ("lab.iam.yaml", &iam("lab.example.com"))], &[exposure("lab", None)]);
    assert_eq!(report, "");
    let exposed = catalog.unwrap().methods()[0].service.clone();
    assert_eq!(
        (exposed.name.as_str(), exposed.hosts.as_slice()),
        ("lab.example.com", &["lab.example.com".to_owned()][..])
    );
    let (catalog, report) =
        load(&[("lab.yaml", service), ("lab.iam.yaml", &iam("Lab API"))], &[exposure("lab", None)]);
    assert!(catalog.is_none() && report.contains("`Lab API` is not a DNS name"), "{report}");
}

#[test]
fn a_name_that_is_a_pattern_needs_hosts() {
    let service =
        format!("name: '*.apigateway.demo-1.cloud.goog'\nhttp:\n  rules:\n{RUN}authentication:\n{SCOPE}");
    let iam = format!("service: '*.apigateway.demo-1.cloud.goog'\nrules:\n{IAM_RUN}");
    let files = [("lab.yaml", service.as_str()), ("lab.iam.yaml", iam.as_str())];
    let (catalog, report) = load(&files, &[exposure("lab", None)]);
    assert!(catalog.is_none());
    insta::assert_snapshot!(report);
    for hosts in [&["gw-1.uc.gateway.dev"][..], &["*"]] {
        let (catalog, report) = load(&files, &[exposure("lab", Some(hosts))]);
        assert_eq!(report, "");
        assert_eq!(catalog.unwrap().methods()[0].service.hosts, hosts);
    }
    // A tree by itself is loaded for questions about it.
    let alone = ExposureSettings { upstream: String::new(), ..exposure("lab", None) };
    assert_eq!(
        load(&files, &[alone]).0.unwrap().methods()[0].service.hosts,
        ["apigateway.demo-1.cloud.goog"]
    );
}

#[test]
fn the_endpoints_of_a_service_are_its_hosts_too() {
    let service = format!(
        "name: lab.example.com\nendpoints:\n- {{name: lab.example.com, target: 10.0.0.1}}\n- {{name: eu.lab.example.com, \
         aliases: [lab-eu.example.com]}}\nhttp:\n  rules:\n{RUN}authentication:\n{SCOPE}"
    );
    let iam = format!("service: lab.example.com\nrules:\n{IAM_RUN}");
    let files = [("lab.yaml", service.as_str()), ("lab.iam.yaml", iam.as_str())];
    let hosts = |exposures: &[ExposureSettings]| {
        let (catalog, report) = load(&files, exposures);
        catalog.unwrap_or_else(|| panic!("{report}")).methods()[0].service.hosts.clone()
    };
    assert_eq!(
        hosts(&[exposure("lab", None)]),
        ["lab.example.com", "eu.lab.example.com", "lab-eu.example.com"]
    );
    assert_eq!(hosts(&[exposure("lab", Some(&["x.example.com"]))]), ["x.example.com"]);
}

#[test]
fn an_unknown_host_is_told_to_the_client() {
    let catalog = lab(RUN, SCOPE, IAM_RUN).0.unwrap();
    let path = RequestPath::parse("/v1/jobs/7:run").unwrap();
    let denial = catalog.route("lab2.example.com", &::http::Method::POST, &path).unwrap_err();
    assert_eq!(denial.reason(), Reason::MethodNotFound);
    let told = denial.public_message();
    assert!(told.contains("lab2.example.com") && !told.contains("lab.example.com"), "{told}");
}
