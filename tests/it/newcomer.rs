//! A newcomer's way with the files of docs/services.md as they stand: a flat REST API and a file of ESPv2, each from the
//! page to an allowed call and a refused one.

use opgate::dev::mint::Mint;
use serde_json::json;

use crate::harness::{Gate, Req, Setup, key, now, reason, token};
use crate::readme::{fragments, pages::Kind, pages::Page};

/// The `--set` arguments of the page's command.
fn settings(page: &Page) -> Vec<String> {
    let block = page.block(&Kind::Commands);
    let mut settings = Vec::new();
    for piece in block.text.trim_end().split(" --set ").skip(1) {
        settings.push(piece.trim_matches('\'').to_owned());
    }
    assert_eq!(settings.len(), 3, "{settings:?}");
    settings
}

#[tokio::test]
async fn the_examples_of_the_page_serve() {
    let page = Page::read("docs/services.md");
    let (workspace, examples) = fragments::workspace(&page);
    assert_eq!(examples, 6);
    let keys = workspace.path("login.jwks.json");
    std::fs::write(&keys, key().jwks().to_string()).unwrap();
    let mut set = vec![format!("policy.directory={}", workspace.path("policies").display())];
    set.extend(settings(&page));
    // The issuer's keys, which are no file of the page.
    set.push(format!("issuers.login.keys={}", json!({ "file": keys })));
    let gate = Gate::start_with(Setup { set, ..Setup::default() });
    let of_login = |issuer: &str, subject: &str, audience: &str| {
        let claims =
            json!({"iss": issuer, "sub": subject, "aud": audience, "iat": now(), "exp": now() + 600});
        key().sign(&claims).unwrap()
    };
    let login = "https://login.acme.example";
    let (shop, echo) = ("shop.example.com", "echo.endpoints.acme.cloud.goog");
    let cases = [
        (shop, "/jobs/7", token("ana@example.com"), None),
        (shop, "/status", token("ana@example.com"), None),
        (shop, "/jobs/7", token("eve@example.com"), Some("IAM_PERMISSION_DENIED")),
        (shop, "/jobs/7/logs", token("ana@example.com"), Some("METHOD_NOT_FOUND")),
        (echo, "/v1/messages/7", of_login(login, "ana", "echo-clients"), None),
        (echo, "/v1/messages/7", of_login(login, "eve", "echo-clients"), Some("IAM_PERMISSION_DENIED")),
        (echo, "/v1/messages/7", of_login(login, "ana", "others"), Some("JWT_TOKEN_INVALID")),
        (echo, "/v1/messages/7", token("ana@example.com"), Some("JWT_TOKEN_INVALID")),
    ];
    for (host, target, token, refused) in cases {
        let seen = gate.backend.requests().len();
        let answer = gate.http1(&Req::new("GET", host, target).bearer(&token)).await;
        let reached = gate.backend.requests().len() - seen;
        assert_eq!(reached, usize::from(refused.is_none()), "{host} {target}: {}", reason(&answer));
        if let Some(refused) = refused {
            assert_eq!(reason(&answer), refused, "{host} {target}");
        }
    }
}
