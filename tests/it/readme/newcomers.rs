//! docs/import.md, done by its own commands and examples: from a file to an allowed and a refused call.

use super::fragments;
use super::pages::{Kind, Page};
use crate::cli::Workspace;
use crate::harness::{Body, Gate, Req, Setup, reason, token};

/// The page's examples, after all of its commands.
fn imported() -> Workspace {
    let page = Page::read("docs/import.md");
    let (workspace, examples) = fragments::workspace(&page);
    assert_eq!(examples, 7);
    for block in page.blocks() {
        let code = match block.kind {
            Kind::Commands => 0,
            Kind::Denied => 2,
            _ => continue,
        };
        for line in block.text.lines() {
            let outcome = workspace.shell(line);
            assert_eq!(outcome.code, Some(code), "{line}\n{}", outcome.text());
        }
    }
    workspace
}

fn gate(workspace: &Workspace) -> Gate {
    let set = vec![
        format!("policy.directory={}", workspace.path("policies").display()),
        "services.library={upstream: operations}".to_owned(),
        "services.jobs={upstream: operations}".to_owned(),
    ];
    Gate::start_with(Setup { set, ..Setup::default() })
}

#[tokio::test]
async fn an_openapi_file_leads_to_allowed_and_refused_calls() {
    let workspace = imported();
    let gate = gate(&workspace);
    let json = Body::Length(b"{\"title\": \"T\"}".to_vec());
    let call = |method: &str, target: &str| Req::new(method, "library.example.com", target);
    let by = |who: &str, request: Req| request.bearer(&token(who));
    let ana = "ana@example.com";
    let cases = [
        (by(ana, call("GET", "/v1/books")), ""),
        (by(ana, call("POST", "/v1/books").header("content-type", "application/json").body(json)), ""),
        (by(ana, call("GET", "/v1/books/7")), ""),
        (by(ana, call("POST", "/v1/books/7/lend")), ""),
        (call("GET", "/v1/status"), ""),
        (by("bob@example.com", call("GET", "/v1/books/7")), "IAM_PERMISSION_DENIED"),
        (call("GET", "/v1/books/7"), "CREDENTIALS_MISSING"),
        (by(ana, call("DELETE", "/v1/books/7")), "HTTP_METHOD_NOT_ALLOWED"),
        (by(ana, call("GET", "/books/7")), "METHOD_NOT_FOUND"),
        (
            by(ana, call("POST", "/v1/books/7/lend").body(Body::Length(b"{}".to_vec()))),
            "REQUEST_BODY_REFUSED",
        ),
    ];
    for (request, refused) in cases {
        let seen = gate.backend.requests().len();
        let answer = gate.http1(&request).await;
        let reached = gate.backend.requests().len() - seen;
        assert_eq!(
            reached,
            usize::from(refused.is_empty()),
            "{request:?}: {} {}",
            answer.status,
            reason(&answer)
        );
        if !refused.is_empty() {
            assert_eq!(reason(&answer), refused, "{request:?}");
        }
    }
}

#[tokio::test]
async fn a_grpc_gateway_file_leads_to_allowed_and_refused_calls() {
    let workspace = imported();
    let gate = gate(&workspace);
    let cases = [
        ("GET", "/v1/projects/acme/jobs/7", ""),
        ("GET", "/v1/projects/acme/jobs", ""),
        ("POST", "/v1/projects/acme/jobs/7:run", ""),
        ("GET", "/v1/projects/other/jobs/7", "IAM_PERMISSION_DENIED"),
        ("POST", "/v1/projects/other/jobs/7:run", "IAM_PERMISSION_DENIED"),
        ("POST", "/v1/projects/acme/jobs/7:stop", "METHOD_NOT_FOUND"),
    ];
    for (method, target, refused) in cases {
        let seen = gate.backend.requests().len();
        let request = Req::new(method, "jobs.example.com", target).bearer(&token("ana@example.com"));
        let answer = gate.http1(&request).await;
        let reached = gate.backend.requests().len() - seen;
        assert_eq!(
            reached,
            usize::from(refused.is_empty()),
            "{method} {target}: {} {}",
            answer.status,
            reason(&answer)
        );
        if !refused.is_empty() {
            assert_eq!(reason(&answer), refused, "{method} {target}");
        }
    }
}
