//! The recipes of docs/providers.md: each example of the page is loaded, and judges tokens of its provider's documented
//! shape, with made-up values and a key of the test.

mod shapes;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json};
use axum::routing::post;
use opgate::dev::mint::Mint;
use regex::Regex;
use serde_json::{Value, json};

use self::shapes::{Recipe, Sent, recipes};
use crate::harness::{CANCEL, CLOUD_PLATFORM, COMPANION, Gate, Req, Setup, Tree, key, root};

/// A section of the page, as far as a test reads it.
struct Section {
    /// The lines of the example below `issuers:`.
    issuer: String,
    /// The issuer's name in the example.
    name: String,
    scope: Option<String>,
    bind: String,
}

fn sections() -> Vec<(String, Section)> {
    let page = std::fs::read_to_string(root().join("docs/providers.md")).unwrap();
    let example = Regex::new(r"(?s)```yaml config\nissuers:\n(.*?)```").unwrap();
    let name = Regex::new(r"^  ([a-z0-9]+):\n").unwrap();
    let scope = Regex::new(r"\*\*Scope\*\* `([^`]+)`").unwrap();
    let bind = Regex::new(r"\*\*Bind\*\* `([^`]+)`").unwrap();
    let read = |section: &str| {
        let (heading, text) = section.split_once('\n').unwrap();
        let found = |pattern: &Regex| pattern.captures(text).map(|found| found[1].to_owned());
        let issuer = found(&example).unwrap_or_else(|| panic!("{heading} has no example"));
        let section = Section {
            name: name.captures(&issuer).unwrap()[1].to_owned(),
            issuer,
            scope: found(&scope),
            bind: found(&bind).unwrap_or_else(|| panic!("{heading} does not say what to bind")),
        };
        (heading.to_owned(), section)
    };
    page.split("\n## ").skip(1).map(read).collect()
}

/// What an endpoint says of tokens.
type Answers = Arc<Mutex<Vec<(String, Value)>>>;

/// An endpoint of an issuer that is asked.
async fn endpoint(answers: Answers, unknown: (StatusCode, Value)) -> String {
    let answer = move |body: String| async move {
        let answers = answers.lock().unwrap();
        match answers.iter().find(|(token, _)| body.contains(token)) {
            Some((_, answer)) => Json(answer.clone()).into_response(),
            None => (unknown.0, Json(unknown.1)).into_response(),
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(answer))).await });
    format!("http://{address}/")
}

/// A gate with the page's own example beside the harness's issuer, and a policy that grants the cancel to the member that
/// the page names.
async fn gate(section: &Section, sent: Sent, answers: &Answers) -> (Gate, tempfile::TempDir) {
    let tree = Tree::shipped();
    let bindings = format!(
        "bindings:\n- role: organizations/7/roles/operationsCanceller\n  members:\n  - '{}'\n",
        section.bind
    );
    tree.write("allow/projects/demo.yaml", &bindings);
    if let Some(scope) = &section.scope {
        tree.edit("services/cloudaicompanion.yaml", CLOUD_PLATFORM, scope);
    }
    let files = tempfile::tempdir().unwrap();
    let demo = std::fs::read_to_string(root().join("config/demo.yaml")).unwrap();
    let text = demo.replacen("issuers:\n", &format!("issuers:\n{}", section.issuer), 1);
    let config = files.path().join("opgate.yaml");
    std::fs::write(&config, text).unwrap();
    let name = &section.name;
    // The harness's issuer asserts no email, so that the example says all that it has to.
    let mut set = vec![
        tree.setting(),
        "issuers.demo.subject_pool=iam.googleapis.com/locations/global/workforcePools/demo".to_owned(),
        "issuers.demo.attribute_mapping={google.subject: assertion.sub}".to_owned(),
    ];
    match sent {
        Sent::Jwt => {
            let jwks = files.path().join("provider.jwks.json");
            std::fs::write(&jwks, key().jwks().to_string()).unwrap();
            set.push(format!("issuers.{name}.keys={}", json!({ "file": jwks })));
        }
        Sent::TokenInfo => {
            let unknown = (StatusCode::BAD_REQUEST, json!({"error": "invalid_token"}));
            let url = endpoint(answers.clone(), unknown).await;
            set.push(format!("issuers.{name}.tokeninfo.url={url}"));
        }
        Sent::Introspected => {
            let url = endpoint(answers.clone(), (StatusCode::OK, json!({"active": false}))).await;
            std::fs::write(files.path().join("partner.secret"), "s3cret\n").unwrap();
            set.push(format!("issuers.{name}.introspection.url={url}"));
        }
    }
    let setup = Setup { set, config: Some(config), ..Setup::default() };
    let gate = tokio::task::spawn_blocking(|| Gate::start_with(setup)).await.unwrap();
    (gate, files)
}

/// Claims with some replaced; `null` removes one.
fn changed(claims: &Value, changes: &Value) -> Value {
    let mut claims = claims.clone();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => _ = claims.as_object_mut().unwrap().remove(name),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

async fn status(gate: &Gate, recipe: &Recipe, claims: &Value, number: usize, answers: &Answers) -> u16 {
    let token = match recipe.sent {
        Sent::Jwt => {
            let mut header = json!({"alg": "RS256", "kid": "test"});
            header.as_object_mut().unwrap().extend(recipe.header.as_object().unwrap().clone());
            key().sign_with_header(&header, claims).unwrap()
        }
        Sent::TokenInfo | Sent::Introspected => {
            let token = format!("{}made-up-{number}", recipe.prefix);
            answers.lock().unwrap().push((token.clone(), claims.clone()));
            token
        }
    };
    let (status, _) = gate.outcome(&Req::new("POST", COMPANION, CANCEL).bearer(&token)).await;
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recipe_allows_its_providers_token() {
    let sections = sections();
    let recipes = recipes();
    let headings: Vec<&str> = sections.iter().map(|(heading, _)| heading.as_str()).collect();
    assert_eq!(headings, recipes.iter().map(|recipe| recipe.heading).collect::<Vec<_>>());
    for (recipe, (heading, section)) in recipes.iter().zip(&sections) {
        let answers = Answers::default();
        let (gate, _files) = gate(section, recipe.sent, &answers).await;
        let good = status(&gate, recipe, &recipe.claims, 0, &answers).await;
        assert_eq!(good, 200, "{heading}: {}", gate.audit_text());
        assert!(recipe.refused.len() >= 3, "{heading}");
        for (number, (changes, expected)) in recipe.refused.iter().enumerate() {
            let claims = changed(&recipe.claims, changes);
            let refused = status(&gate, recipe, &claims, number + 1, &answers).await;
            assert_eq!(refused, *expected, "{heading}: {changes}: {}", gate.audit_text());
        }
    }
}
