//! `opgate import openapi` and `opgate import grpc-gateway`.

use super::{Workspace, outputs};

const JOBS: &str = "\
openapi: 3.0.3
info: {title: Jobs, version: '1'}
servers: [{url: 'https://jobs.example.com/v1'}]
components:
  securitySchemes:
    login: {type: openIdConnect, openIdConnectUrl: 'https://login.example.com/.well-known/openid-configuration'}
security: [{login: [jobs]}]
paths:
  /{name=projects/*/jobs/*}:
    get: {operationId: getJob}
    delete: {operationId: deleteJob, security: [{login: [jobs, admin]}]}
";

#[test]
fn a_description_becomes_two_files_that_load() {
    let workspace = Workspace::new().write("jobs.openapi.yaml", JOBS);
    insta::assert_snapshot!(outputs(
        &workspace,
        &[
            &["import", "openapi", "jobs.openapi.yaml"],
            &["check", "--config", "config/opgate.yaml", "--set", "services.jobs={upstream: operations}"],
            &["import", "openapi", "jobs.openapi.yaml"],
            &[
                "import",
                "openapi",
                "jobs.openapi.yaml",
                "--force",
                "--any-scope",
                "--permission-prefix",
                "acme"
            ],
            &[
                "import",
                "openapi",
                "jobs.openapi.yaml",
                "--id",
                "../x",
                "--parent",
                "projects",
                "--permission-prefix",
                "A.b"
            ],
        ]
    ));
    let iam = std::fs::read_to_string(workspace.path("policies/services/jobs.iam.yaml")).unwrap();
    assert!(
        iam.contains("- selector: jobs.deleteJob\n  permission: acme.jobs.delete\n  resource: name\n"),
        "{iam}"
    );
}

#[test]
fn nothing_is_written_of_what_is_not_a_description() {
    let workspace =
        Workspace::new().write("role.yaml", "name: roles/x\n").write("broken.yaml", "openapi: [\n");
    insta::assert_snapshot!(outputs(
        &workspace,
        &[
            &["import", "openapi", "role.yaml"],
            &["import", "openapi", "missing.yaml"],
            &["import", "openapi", "broken.yaml"],
            &["import", "grpc-gateway", "role.yaml", "--service", "jobs.example.com"],
            &["import", "grpc-gateway", "role.yaml", "--service", "Jobs"],
            &["import", "grpc-gateway", "role.yaml"],
        ]
    ));
}
