//! Lookups at real HTTP servers that behave as badly as they are told to.

use std::future::Future;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use axum::Router;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::settings::{ClientAuthentication, Dialect};
use super::*;
use crate::authn::{Authentication, Authenticator, KeySource, Proof, UnconfirmedToken};

mod bounds;

const NOW: u64 = 1_800_000_000;
/// Nothing that is printed may hold these.
const SECRET: &str = "s3cret+&=% \u{7e}";

fn now() -> SystemTime {
    at(0)
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW + seconds)
}

/// The request: the path, the `Authorization` header and the form.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    authorization: Option<String>,
    form: Vec<(String, String)>,
}

/// An endpoint.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// An endpoint that answers a token in this way; it gets the number of requests before.
    async fn start<F: Future<Output = Response> + Send>(
        answer: impl Fn(String, usize) -> F + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let seen = asked.clone();
        let handler = move |headers: HeaderMap, body: String| {
            let authorization = headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
            let form = reqwest::Url::parse(&format!("http://x/?{body}")).unwrap();
            let form: Vec<(String, String)> = form.query_pairs().into_owned().collect();
            let token = form[0].1.clone();
            let before = {
                let mut seen = seen.lock().unwrap();
                seen.push(Asked { authorization, form });
                seen.len() - 1
            };
            answer(token, before)
        };
        let routes =
            Router::new().route("/token", any(handler)).route("/elsewhere", any(|| async { good() }));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { url, asked }
    }

    async fn answering(answer: impl Fn(&str) -> Response + Clone + Send + Sync + 'static) -> Self {
        Self::start(move |token, _| std::future::ready(answer(&token))).await
    }

    fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn members() -> Value {
    json!({
        "active": true, "aud": "gate", "exp": NOW + 3600, "scope": "read",
        "email": "ana@example.com", "email_verified": true,
    })
}

fn good() -> Response {
    axum::Json(members()).into_response()
}

fn inactive() -> Response {
    axum::Json(json!({"active": false})).into_response()
}

fn text(kind: &'static str, text: impl Into<String>) -> Response {
    ([(CONTENT_TYPE, kind)], text.into()).into_response()
}

fn secret_file() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{SECRET}\n")).unwrap();
    file
}

fn settings(url: &str, dialect: Dialect) -> IssuerSettings {
    IssuerSettings {
        proof: Proof::Endpoint(TokenEndpoint::new(url, dialect)),
        ..IssuerSettings::new("example", "https://issuer.example", "gate", KeySource::url(""))
    }
}

fn endpoint_of(settings: &mut IssuerSettings) -> &mut TokenEndpoint {
    match &mut settings.proof {
        Proof::Endpoint(endpoint) => endpoint,
        Proof::Signature(_) => panic!("not asked"),
    }
}

fn gate_with(url: &str, authentication: fn(std::path::PathBuf) -> ClientAuthentication) -> Authenticator {
    let secret = secret_file();
    let authentication = authentication(secret.path().to_owned());
    let dialect = Dialect::Introspection { client_id: "the gate".to_owned(), authentication };
    Authenticator::load(vec![settings(url, dialect)], now()).unwrap()
}

fn gate(server: &Server) -> Authenticator {
    gate_with(&server.url, ClientAuthentication::Basic)
}

/// As the proxy does it: a token that is not known is looked up.
async fn ask_at(gate: &Authenticator, token: &str, now: SystemTime) -> (JudgedToken, Option<&'static str>) {
    let value = format!("Bearer {token}");
    let pending = match gate.authenticate(&[value.as_bytes()], now) {
        Ok(Authentication::Pending(pending)) => pending,
        Ok(Authentication::Token(token)) => return (Ok(token.assume_confirmed()), None),
        Ok(Authentication::Anonymous) => panic!("a token was sent"),
        Err(denial) => return (Err(denial), None),
    };
    let outcome = Arc::new(Mutex::new(None));
    let told = outcome.clone();
    let observe = move |lookup: &Lookup<'_>| {
        assert_eq!(lookup.issuer, "example");
        assert_eq!(lookup.duration.is_some(), lookup.outcome != LookupOutcome::Unasked);
        *told.lock().unwrap() = Some(lookup.outcome.as_str());
    };
    let judged = gate.resolve(pending, now, observe).await.map(UnconfirmedToken::assume_confirmed);
    let outcome = *outcome.lock().unwrap();
    (judged, outcome)
}

async fn ask(gate: &Authenticator, token: &str) -> JudgedToken {
    ask_at(gate, token, now()).await.0
}

fn reason(judged: JudgedToken) -> Reason {
    judged.unwrap_err().reason()
}

#[tokio::test]
async fn a_token_is_asked_about_once() {
    let server = Server::answering(|_| good()).await;
    let gate = gate(&server);
    let (first, outcome) = ask_at(&gate, "opaque", now()).await;
    assert_eq!(outcome, Some("active"));
    assert_eq!(first.unwrap().principal.as_str(), "user:ana@example.com");
    let (second, outcome) = ask_at(&gate, "opaque", at(299)).await;
    assert_eq!((second.unwrap().expires, outcome), (at(3600), None));
    assert_eq!(server.count(), 1);
    let counts = gate.token_cache();
    assert_eq!((counts.hits, counts.misses), (1, 1));
    // The answer counts for five minutes.
    assert_eq!(ask_at(&gate, "opaque", at(302)).await.1, Some("active"));
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn a_word_ends_with_the_token() {
    let server = Server::answering(|_| {
        let mut members = members();
        members["exp"] = json!(NOW + 20);
        axum::Json(members).into_response()
    })
    .await;
    let gate = gate(&server);
    ask(&gate, "opaque").await.unwrap();
    assert_eq!(ask_at(&gate, "opaque", at(19)).await.1, None);
    // Within the clock skew it is looked up each time.
    assert_eq!(ask_at(&gate, "opaque", at(20)).await.1, Some("active"));
    assert_eq!(ask_at(&gate, "opaque", at(21)).await.1, Some("active"));
    let (judged, outcome) = ask_at(&gate, "opaque", at(50)).await;
    assert_eq!((reason(judged), outcome), (Reason::TokenExpired, Some("refused")));
}

#[tokio::test]
async fn a_token_without_an_end_and_one_that_is_not_active_are_remembered_briefly() {
    let server = Server::answering(|token| match token {
        "endless" => {
            let mut members = members();
            members.as_object_mut().unwrap().remove("exp");
            axum::Json(members).into_response()
        }
        _ => inactive(),
    })
    .await;
    let gate = gate(&server);
    for (token, outcome) in [("endless", "active"), ("inactive", "inactive")] {
        assert_eq!(ask_at(&gate, token, now()).await.1, Some(outcome));
        assert_eq!(ask_at(&gate, token, at(9)).await.1, None);
        assert_eq!(ask_at(&gate, token, at(12)).await.1, Some(outcome));
    }
    assert_eq!(reason(ask(&gate, "inactive").await), Reason::TokenInvalid);
    // A clock that is set back: the answers lie in its future.
    assert_eq!(
        ask_at(&gate, "endless", UNIX_EPOCH + Duration::from_secs(NOW - 3600)).await.1,
        Some("active")
    );
}

#[tokio::test]
async fn the_gate_says_who_asks() {
    let server = Server::answering(|_| good()).await;
    let token = "a-b._~+/c==";
    ask(&gate_with(&server.url, ClientAuthentication::Basic), token).await.unwrap();
    ask(&gate_with(&server.url, ClientAuthentication::Post), token).await.unwrap();
    let info = Authenticator::load(vec![settings(&server.url, Dialect::TokenInfo)], now()).unwrap();
    ask(&info, token).await.unwrap();
    let pairs = |fields: &[(&str, &str)]| {
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>()
    };
    let question = [("token", token), ("token_type_hint", "access_token")];
    // `the gate` and the secret, each as in a form (RFC 6749, section 2.3.1), then joined.
    let basic = "the%20gate:s3cret%2B%26%3D%25%20%7E";
    let basic =
        format!("Basic {}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, basic));
    let asked = server.asked.lock().unwrap().clone();
    assert_eq!(asked[0], Asked { authorization: Some(basic), form: pairs(&question) });
    let post = [question[0], question[1], ("client_id", "the gate"), ("client_secret", SECRET)];
    assert_eq!(asked[1], Asked { authorization: None, form: pairs(&post) });
    assert_eq!(asked[2], Asked { authorization: None, form: pairs(&[("access_token", token)]) });
}

#[tokio::test]
async fn a_malformed_answer_decides_nothing() {
    let server = Server::start(|token, _| async move {
        match token.as_str() {
            "active-as-text" => text("application/json", r#"{"active":"true","aud":"gate"}"#),
            "no-active" => text("application/json", r#"{"aud":"gate"}"#),
            "html" => text("text/html", members().to_string()),
            "jwt" => text("application/token-introspection+jwt", members().to_string()),
            "no-type" => members().to_string().into_bytes().into_response(),
            "garbage" => text("application/json", "{"),
            "array" => text("application/json", "[true]"),
            "trailing" => text("application/json", format!("{}{{}}", members())),
            "twice" => text("application/json", r#"{"active":false,"active":true,"aud":"gate"}"#),
            "large" => text("application/json", format!("{}{}", members(), " ".repeat(70_000))),
            "created" => (StatusCode::CREATED, axum::Json(members())).into_response(),
            "error" => (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(members())).into_response(),
            "forbidden" => (StatusCode::FORBIDDEN, axum::Json(json!({"active": false}))).into_response(),
            "bad" => (StatusCode::BAD_REQUEST, axum::Json(json!({"error": "invalid"}))).into_response(),
            "moved" => (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, "/elsewhere")]).into_response(),
            _ => good(),
        }
    })
    .await;
    let gate = gate(&server);
    let tokens = [
        "active-as-text",
        "no-active",
        "html",
        "jwt",
        "no-type",
        "garbage",
        "array",
        "trailing",
        "twice",
        "large",
        "created",
        "error",
        "forbidden",
        "bad",
        "moved",
    ];
    for token in tokens {
        let (judged, outcome) = ask_at(&gate, token, now()).await;
        assert_eq!((reason(judged), outcome), (Reason::NotReady, Some("failed")), "{token}");
        // This token waits for a moment; no other does.
        assert_eq!(ask_at(&gate, token, now()).await.1, None, "{token}");
        ask(&gate, &format!("good-beside-{token}")).await.unwrap();
    }
    assert_eq!(server.count(), 2 * tokens.len());
    let again = ask_at(&gate, "error", at(3)).await;
    assert_eq!(again.1, Some("failed"));
}

#[tokio::test]
async fn tokeninfo_says_no_by_its_status() {
    let server = Server::answering(|token| {
        let said = match token {
            "today" => json!({"error": "invalid_token", "error_description": "Invalid Value"}),
            "once" => json!({"error_description": "Invalid Value"}),
            _ => json!({"message": "no"}),
        };
        (StatusCode::BAD_REQUEST, axum::Json(said)).into_response()
    })
    .await;
    let gate = Authenticator::load(vec![settings(&server.url, Dialect::TokenInfo)], now()).unwrap();
    for (token, expected) in [
        ("today", (Reason::TokenInvalid, Some("inactive"))),
        ("once", (Reason::TokenInvalid, Some("inactive"))),
        ("neither", (Reason::NotReady, Some("failed"))),
    ] {
        let (judged, outcome) = ask_at(&gate, token, now()).await;
        assert_eq!((reason(judged), outcome), expected, "{token}");
    }
}

#[tokio::test]
async fn a_jwt_is_sent_to_no_issuer() {
    let server = Server::answering(|_| good()).await;
    let gate = gate(&server);
    let jose = |header: &[u8]| format!("{}.e30.AAAA", crate::authn::tests::mint::base64(header));
    let own = format!(
        "{}.{}.AAAA",
        crate::authn::tests::mint::base64(br#"{"alg":"RS256"}"#),
        crate::authn::tests::mint::base64(br#"{"iss":"https://issuer.example"}"#)
    );
    let detail = ask(&gate, &own).await.unwrap_err();
    assert!(detail.detail().contains("is asked about opaque tokens; this is a JWT"), "{}", detail.detail());
    let rs256 = jose(br#"{"alg":"RS256"}"#);
    for token in [
        rs256.clone(),
        // What a careless reader might still take for one: padded, unsigned, encrypted, with members given twice.
        format!("{rs256}="),
        rs256.replacen('.', "==.", 1),
        jose(b" {}"),
        jose(br#"{"a":1,"a":2}"#),
        format!("{}.a.b.c.d", crate::authn::tests::mint::base64(br#"{"alg":"dir","enc":"A256GCM"}"#)),
        "e30.".to_owned(),
    ] {
        let value = format!("Bearer {token}");
        gate.authenticate(&[value.as_bytes()], now()).unwrap_err();
    }
    assert_eq!(server.count(), 0);
    // Three parts do not make one, nor does JSON without a dot.
    for token in
        ["ya29.c.b0Aaekm1", "a.b.c", "..", "e30", "eyJhbGciOiJub25lIn0", "MTIz.e30.AAAA", "v2.local.x"]
    {
        ask(&gate, token).await.unwrap();
    }
    assert_eq!(server.count(), 7);
}

#[tokio::test]
async fn a_token_is_shown_to_its_own_issuer_alone() {
    let (one, two) = (Server::answering(|_| good()).await, Server::answering(|_| inactive()).await);
    let mut issuers = [settings(&one.url, Dialect::TokenInfo), settings(&two.url, Dialect::TokenInfo)];
    for (issuer, name) in issuers.iter_mut().zip(["one", "two"]) {
        issuer.name = name.to_owned();
        issuer.issuer = format!("https://{name}.example");
        issuer.identity.email_domains = Some(vec!["example.com".to_owned()]);
        endpoint_of(issuer).prefix = format!("{name}_");
    }
    let gate = Authenticator::load(issuers.to_vec(), now()).unwrap();
    let ask = async |token: &str| {
        let value = format!("Bearer {token}");
        let judged = match gate.authenticate(&[value.as_bytes()], now()) {
            Ok(Authentication::Pending(pending)) => gate.resolve(pending, now(), |_| {}).await.map(|_| ()),
            judged => judged.map(|_| ()),
        };
        judged.map_err(|denial| denial.reason())
    };
    assert_eq!(ask("one_x").await, Ok(()));
    assert_eq!((one.count(), two.count()), (1, 0));
    assert_eq!(ask("two_x").await, Err(Reason::TokenInvalid));
    assert_eq!((one.count(), two.count()), (1, 1));
    for token in ["three_x", "One_x", "xone_", "on"] {
        assert_eq!(ask(token).await, Err(Reason::TokenTypeUnsupported));
    }
    assert_eq!((one.count(), two.count()), (1, 1));
}

#[tokio::test]
async fn a_reload_keeps_what_was_learnt_unless_it_changed_what_that_hangs_on() {
    let server = Server::answering(|_| good()).await;
    let load = |change: &dyn Fn(&mut IssuerSettings)| {
        let mut settings = settings(&server.url, Dialect::TokenInfo);
        change(&mut settings);
        Authenticator::load(vec![settings], now()).unwrap()
    };
    let before = load(&|_| {});
    ask(&before, "opaque").await.unwrap();
    let reloaded = |change| {
        let mut after = load(change);
        after.take_over(&before);
        after
    };
    assert_eq!(ask_at(&reloaded(&|_| {}), "opaque", now()).await.1, None);
    let changes: [&dyn Fn(&mut IssuerSettings); 3] = [
        &|settings| settings.audiences = vec!["other".to_owned()],
        &|settings| settings.identity.email_domains = Some(vec!["other.example".to_owned()]),
        &|settings| endpoint_of(settings).timeout = Duration::from_secs(6),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let outcome = if number < 2 { "refused" } else { "active" };
        assert_eq!(ask_at(&reloaded(change), "opaque", now()).await.1, Some(outcome), "{number}");
    }
}

#[test]
fn nothing_prints_a_secret() {
    let gate = gate_with("http://127.0.0.1:1/", ClientAuthentication::Post);
    assert_eq!(format!("{gate:?}"), r#"Authenticator { issuers: ["https://issuer.example"] }"#);
    let settings = format!("{:?}", gate.opaque[0].introspector.rules.settings);
    assert!(!settings.contains("s3cret"), "{settings}");
}

#[test]
fn keys_are_none_of_its_business() {
    let gate = gate_with("http://127.0.0.1:1/", ClientAuthentication::Basic);
    assert!(gate.key_sets(now()).is_empty() && gate.readiness(now()).is_empty());
}
