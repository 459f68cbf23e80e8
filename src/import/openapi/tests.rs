use super::*;
use crate::diagnostic::Source;
use crate::document;
use crate::import::written;

/// What becomes of a description: both files, and what is said of it.
fn imported(text: &str, options: &ImportOptions) -> String {
    let mut report = Report::new();
    let node = document::parse(&Source::new("api.yaml", text), &mut report).unwrap();
    let files = import(&node, options, &mut report).map(|service| written(&service, "api.yaml"));
    let files = files.map_or_else(String::new, |files| format!("{}---\n{}", files.service, files.iam));
    format!("{files}===\n{}", report.render(false))
}

fn plain(text: &str) -> String {
    imported(text, &ImportOptions::default())
}

const JOBS: &str = r#"
openapi: 3.0.3
info: {title: "Jobs: run them", version: "1"}
servers:
- url: https://{region}.lab.example.com:8443/api/v1
  variables: {region: {default: eu}}
- url: http://localhost:8080/api/v1
security:
- oauth: [jobs.read]
components:
  securitySchemes:
    oauth: {type: oauth2, flows: {}}
    key: {type: apiKey, in: header, name: X-API-Key}
  parameters:
    job: {name: job-id, in: path, required: true, schema: {type: string}}
  requestBodies:
    job: {content: {application/json: {}}}
paths:
  /jobs:
    get: {operationId: listJobs}
    post:
      operationId: createJob
      security: [{oauth: [jobs.write]}, {oauth: [jobs.admin]}]
      requestBody: {$ref: '#/components/requestBodies/job'}
  /jobs/{job-id}:
    parameters: [{$ref: '#/components/parameters/job'}]
    get: {operationId: get job}
    delete: {security: [{oauth: [jobs.write, jobs.admin]}]}
    put:
      operationId: uploadJob
      requestBody: {content: {application/octet-stream: {}}}
  /jobs/{job-id}/cancel:
    post: {operationId: cancelJob, security: [{key: []}]}
  /status:
    get: {operationId: status, security: []}
    head: {operationId: statusHead, security: [{}, {oauth: [jobs.read]}]}
    trace: {operationId: statusTrace}
"#;

#[test]
fn an_openapi_3_description_becomes_both_files() {
    insta::assert_snapshot!(plain(JOBS));
}

const ENDPOINTS: &str = r#"
swagger: "2.0"
info: {title: Echo, version: 1.0.0}
host: echo.endpoints.demo.cloud.goog
basePath: /v1
x-google-endpoints:
- {name: echo.endpoints.demo.cloud.goog, target: 10.0.0.1, allowCors: "true"}
x-google-allow: all
x-google-backend: {address: 'https://echo.example.net', path_translation: APPEND_PATH_TO_ADDRESS}
x-google-management: {metrics: []}
x-google-surprise: 1
consumes: [application/json]
securityDefinitions:
  firebase:
    type: oauth2
    flow: implicit
    authorizationUrl: ""
    x-google-issuer: https://securetoken.google.com/demo
    x-google-jwks_uri: https://www.googleapis.com/service_accounts/v1/metadata/x509/securetoken@system.gserviceaccount.com
    x-google-audiences: "demo, demo-2"
  robots:
    type: oauth2
    x-google-issuer: robots@demo.iam.gserviceaccount.com
    x-google-jwks_uri: https://www.googleapis.com/robot/v1/metadata/x509/robots@demo.iam.gserviceaccount.com
  api_key: {type: apiKey, name: key, in: query}
paths:
  /echo:
    post:
      operationId: Echo
      parameters: [{in: body, name: message, schema: {}}]
      security: [{firebase: [], api_key: []}, {robots: []}]
      x-security: [{robots: {audiences: ['https://echo.example.net']}}]
    options: {operationId: EchoCors, security: []}
  /form:
    post:
      operationId: Form
      consumes: [multipart/form-data]
      parameters: [{in: formData, name: x, type: string}]
      security: [{firebase: []}]
  /open:
    get: {operationId: Open}
"#;

#[test]
fn a_description_of_cloud_endpoints_becomes_both_files() {
    insta::assert_snapshot!(plain(ENDPOINTS));
}

const ODD: &str = r#"
{"openapi": "3.1.0", "info": {"title": "Odd"}, "servers": [{"url": "/api"}],
 "components": {"securitySchemes": {"basic": {"type": "http", "scheme": "basic"}, "jwt": {"type": "http", "scheme": "bearer"}}},
 "security": [{"jwt": []}],
 "paths": {
  "/files/{name}": {"get": {"operationId": "getFile"}, "delete": {"operationId": "deleteFile", "requestBody": {"content": {}}}},
  "/files/{name}.json": {"get": {"operationId": "getFileAsJson"}},
  "/files/{id:[0-9]+}/raw": {"get": {"operationId": "getRaw", "security": [{"other": []}]}},
  "/tree/{+path}": {"get": {"operationId": "getTree"}},
  "/map/{;at}": {"get": {"operationId": "getMap", "security": [{"basic": []}]}},
  "/elsewhere": {"$ref": "https://example.com/paths.json#/x"},
  "/users/{id}": {"get": {"operationId": "getUser", "parameters": [{"name": "ID", "in": "query"}]},
                  "patch": {"operationId": "getUser", "requestBody": {"$ref": "bodies.yaml#/user"}}}}}
"#;

#[test]
fn what_no_rule_can_say_is_left_to_a_person() {
    let options = ImportOptions { service: Some("odd.example.com".to_owned()), ..ImportOptions::default() };
    insta::assert_snapshot!(imported(ODD, &options));
}

#[test]
fn what_is_not_a_description_is_told() {
    let texts = [
        "swagger: '1.2'\npaths: {}\n",
        "openapi: 3.0.0\npaths: {}\n",
        "openapi: 3.0.0\nservers: [{url: 'https://Lab.example.com'}]\n",
        "swagger: 2.0\nhost: api_1.example.com\npaths: {}\n",
    ];
    insta::assert_snapshot!(texts.map(plain).join(""));
}

#[test]
fn names_can_be_chosen() {
    let options = ImportOptions {
        service: Some("jobs.example.com".to_owned()),
        permission_prefix: Some("acme".to_owned()),
        parent: Some("projects/acme/locations/eu".to_owned()),
        any_scope: true,
    };
    let text = imported(JOBS, &options);
    for line in [
        "name: jobs.example.com\n",
        "- selector: jobs.delete_api_v1_jobs_job_id\n  permission: acme.jobs.delete\n",
        "  resource: 'projects/acme/locations/eu/jobs/{job_id}'\n",
        "      canonical_scopes: 'jobs.admin, jobs.write'\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.contains("together"), "{text}");
}

/// Of lists of requirements, no translation asks for less than the description.
#[test]
fn no_translation_of_security_asks_for_less() {
    let with = |security: &str| {
        let text = format!(
            "{{swagger: '2.0', host: lab.example.com, securityDefinitions: {{a: {{type: oauth2}}, b: {{type: oauth2}}, \
             p: {{type: oauth2, x-google-issuer: 'https://p'}}, q: {{type: oauth2, x-google-issuer: 'https://q'}}, \
             key: {{type: apiKey}}}}, paths: {{/x: {{get: {{operationId: x, security: {security}}}}}}}}}"
        );
        let node = document::parse(&Source::new("api.yaml", text), &mut Report::new()).unwrap();
        let service = import(&node, &ImportOptions::default(), &mut Report::new()).unwrap();
        let method = service.methods[0].clone();
        if method.questions.is_empty() { format!("{:?}", method.credential) } else { "to decide".to_owned() }
    };
    for (security, expected) in [
        ("[]", "Optional"),
        ("[{}]", "Optional"),
        ("[{a: [s]}, {}]", "Optional"),
        ("[{a: []}]", "AnyToken"),
        ("[{key: []}]", "AnyToken"),
        ("[{a: [s]}, {key: []}]", "AnyToken"),
        ("[{a: [s]}, {b: [t]}]", r#"Scopes(["s", "t"])"#),
        ("[{a: [s], key: []}]", r#"Scopes(["s"])"#),
        ("[{a: [s, t]}]", "to decide"),
        ("[{a: [s], b: [t]}]", "to decide"),
        ("[{p: [], q: []}]", "to decide"),
        ("[{p: [s]}, {q: [t]}]", "to decide"),
        ("[{p: []}, {a: [s]}]", "to decide"),
        ("[{nothing: []}]", "to decide"),
        ("[{p: []}, {a: []}]", "AnyToken"),
        (
            "[{p: []}, {q: []}]",
            r#"Providers { requirements: [Requirement { provider: "p", audiences: [] }, Requirement { provider: "q", audiences: [] }], scopes: [] }"#,
        ),
    ] {
        assert_eq!(with(security), expected, "{security}");
    }
}

/// What becomes of the only method of a description, and the report.
fn one_method(text: &str) -> (String, String) {
    let mut report = Report::new();
    let node = document::parse(&Source::new("api.yaml", text), &mut report).unwrap();
    let service = import(&node, &ImportOptions::default(), &mut report).unwrap();
    let method = &service.methods[0];
    let became =
        if method.questions.is_empty() { format!("{:?}", method.credential) } else { "to decide".to_owned() };
    (became, report.render(false))
}

/// A description with one operation, `security` in the operation on line 10, or else at the top on line 8.
fn lab(of_the_operation: &str, of_the_whole: &str) -> String {
    format!(
        "\
swagger: '2.0'
host: lab.example.com
securityDefinitions:
  o2: {{type: oauth2}}
  key: {{type: apiKey}}
  p: {{type: oauth2, x-google-issuer: 'https://p', x-google-audiences: 'one, two'}}
  q: {{type: oauth2, x-google-issuer: 'https://q'}}
{of_the_whole}
paths:
  /x: {{get: {{operationId: x{of_the_operation}}}}}
"
    )
}

fn asserted_to_be_left(text: &str, line: usize) {
    let (became, report) = one_method(text);
    assert_eq!(became, "to decide", "{text}");
    assert!(report.contains("GET /x is not exposed: "), "{text}{report}");
    assert!(
        report.contains(&format!("::: api.yaml:{line}:")) || report.contains(&format!("\n{line:>2} |")),
        "{text}{report}"
    );
}

#[test]
fn security_of_a_wrong_type_opens_nothing() {
    for malformed in [
        "{login: []}",
        "{}",
        "login",
        "none",
        "''",
        "[login]",
        "[null]",
        "[[]]",
        "[{}, login]",
        "[{1: []}]",
        "[{o2: [], 1: []}]",
        "[{~: []}]",
        "[{o2: {admin: true}}]",
        "[{o2: admin}]",
        "[{o2: null}]",
        "[{key: null}]",
        "null",
        "~",
        "",
        "false",
        "0",
    ] {
        asserted_to_be_left(&lab(&format!(", security: {malformed}"), "security: []"), 10);
        asserted_to_be_left(&lab("", &format!("security: {malformed}")), 8);
    }
    for empty in ["[]", "[{}]", "[{o2: [s]}, {}]"] {
        assert_eq!(one_method(&lab(&format!(", security: {empty}"), "")).0, "Optional", "{empty}");
    }
}

#[test]
fn a_scope_that_is_not_one_word_is_left_to_a_person() {
    for scope in [
        "1",
        "null",
        "[a]",
        "{a: b}",
        "''",
        "'read,admin'",
        "read admin",
        "\"b\\nc\"",
        "\"a, '*'\"",
        "'a\"b'",
        "é",
    ] {
        for scopes in [format!("[{scope}]"), format!("[read, {scope}]")] {
            for scheme in ["o2", "p", "key"] {
                asserted_to_be_left(&lab(&format!(", security: [{{{scheme}: {scopes}}}]"), ""), 10);
            }
        }
    }
    let (became, _) = one_method(&lab(", security: [{o2: ['https://example.com/auth:read']}]", ""));
    assert_eq!(became, r#"Scopes(["https://example.com/auth:read"])"#);
}

#[test]
fn audiences_of_x_security_are_not_passed_over() {
    let audiences =
        |security: &str, x_security: &str| lab(&format!(", {security}x-security: {x_security}"), "");
    for (security, x_security) in [
        ("", "[{p: {audiences: [one]}}]"),
        ("security: [], ", "[{p: {audiences: [one]}}]"),
        ("security: [{q: []}], ", "[{p: {audiences: [one]}}]"),
        ("security: [{o2: []}], ", "[{o2: {audiences: [one]}}]"),
        ("security: [{p: []}], ", "{p: {audiences: [one]}}"),
        ("security: [{p: []}], ", "[p]"),
        ("security: [{p: []}], ", "[{p: [one]}]"),
        ("security: [{p: []}], ", "[{1: {audiences: [one]}}]"),
        ("security: [{p: []}], ", "null"),
        ("security: [{p: []}], ", "[{p: {audiences: one}}]"),
        ("security: [{p: []}], ", "[{p: {audiences: [1]}}]"),
        ("security: [{p: []}], ", "[{p: {audiences: ['one,three']}}]"),
    ] {
        asserted_to_be_left(&audiences(security, x_security), 10);
    }
    let (became, _) = one_method(&audiences("security: [{p: []}], ", "[{p: {audiences: [one]}}]"));
    assert!(became.contains(r#"provider: "p", audiences: ["one"]"#), "{became}");
    let (became, report) = one_method(&lab("", "x-security: [{p: {audiences: [one]}}]"));
    assert_eq!(became, "to decide");
    assert!(
        report.contains("its `x-security` names `p`, and no `security` asks for tokens of that issuer"),
        "{report}"
    );
}

#[test]
fn a_scheme_that_cannot_be_read_is_not_one_of_any_issuer() {
    for scheme in [
        "{type: oauth2, x-google-issuer: [https://p]}",
        "{type: oauth2, x-google-issuer: }",
        "{type: oauth2, x-google-issuer: 'https://p', x-google-jwks_uri: [x]}",
        "{type: oauth2, x-google-issuer: 'https://p', x-google-audiences: {one: two}}",
        "{type: oauth2, x-google-issuer: 'https://p', x-google-audiences: [1]}",
        "{type: oauth2, x-google-issuer: 'https://p', x-google-audiences: 'one two'}",
        "{type: oauth2, x-google-auth: {}}",
        "{type: oauth2, x-google-auth: {issuer: [https://p]}}",
        "{type: oauth2, x-google-auth: {issuer: 'https://p', audiences: [[]]}}",
        "{type: [oauth2]}",
        "{type: OAuth2}",
        "oauth2",
    ] {
        let text = lab(", security: [{o2: [admin]}]", "").replace("{type: oauth2}", scheme);
        asserted_to_be_left(&text, 4);
    }
}

#[test]
fn an_operation_that_is_described_in_another_place_has_no_security_of_the_whole() {
    for operation in ["", "null", "x", "[]", "{$ref: '#/x-operations/get'}"] {
        let text = lab("", "security: []").replace("{operationId: x}", operation);
        asserted_to_be_left(&text, 10);
    }
}

#[test]
fn references_are_followed_to_a_depth_and_not_in_a_circle() {
    let chain = |steps: usize, last: &str| {
        let links: String =
            (0..steps).map(|step| format!("  l{step}: {{$ref: '#/x-links/l{}'}}\n", step + 1)).collect();
        format!(
            "swagger: '2.0'\nhost: lab.example.com\npaths:\n  /x: {{$ref: '#/x-links/l0'}}\nx-links:\n{links}  l{steps}: {last}\n"
        )
    };
    let (became, report) = one_method(&chain(99, "{get: {operationId: x}}"));
    assert_eq!((became.as_str(), report.as_str()), ("AnyToken", ""));
    for text in [chain(100, "{get: {operationId: x}}"), chain(3, "{$ref: '#/x-links/l0'}")] {
        let report = plain(&text);
        assert!(
            report.contains("error: more than 100 references lead to one another, or in a circle"),
            "{report}"
        );
        assert!(report.contains("api.yaml:4:"), "{report}");
    }
}

#[test]
fn many_paths_and_references_take_no_square_of_time() {
    let took = |count: usize| {
        let paths: String = (0..count)
            .map(|number| {
                format!(
                    "  /things{number}/{{id}}:\n    parameters: [{{$ref: '#/parameters/p{number}'}}]\n    get: {{operationId: get{number}}}\n    put: {{}}\n"
                )
            })
            .collect();
        let parameters: String =
            (0..count).map(|number| format!("  p{number}: {{in: path, name: id, type: string}}\n")).collect();
        let text = format!("swagger: '2.0'\nhost: lab.example.com\nparameters:\n{parameters}paths:\n{paths}");
        let node = document::parse(&Source::new("api.yaml", text), &mut Report::new()).unwrap();
        let start = std::time::Instant::now();
        let service = import(&node, &ImportOptions::default(), &mut Report::new()).unwrap();
        assert_eq!(service.methods.len(), 2 * count);
        start.elapsed()
    };
    let fastest = |count| (0..2).map(|_| took(count)).min().unwrap();
    let (few, many) = (fastest(500), fastest(8_000));
    assert!(
        many < few * 80,
        "500 paths took {few:?}, 8000 took {many:?}: 16 times as many, not 256 times as long"
    );
}
