//! Opaque tokens through the whole gate. The issuer is a real HTTP server that answers as the test tells it to.

mod mtls;

use opgate::dev::mint::Mint;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::{
    CANCEL, CLOUD_PLATFORM, COMPANION, Gate, Req, Setup, claims, foreign_key, now, reason, token, token_with,
};
use crate::possession::Holder;

const ANA: &str = "ana@example.com";
const SECRET: &str = "a-secret-of-the-gate-0123456789";
const PARTNER: &str = "https://login.partner.example";

fn cancel(token: &str) -> Req {
    Req::new("POST", COMPANION, CANCEL).bearer(token)
}

/// The `Authorization` header and the form of an introspection request.
type Question = (Option<String>, String);

/// An issuer that answers by the token's name.
struct Partner {
    address: SocketAddr,
    /// The requests that it received.
    asked: Arc<Mutex<Vec<Question>>>,
    /// The delay for a token whose name says `slow`, in milliseconds.
    delay: Arc<AtomicUsize>,
}

impl Partner {
    async fn start() -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn at(listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let (asked, delay) = (Arc::<Mutex<Vec<_>>>::default(), Arc::new(AtomicUsize::new(300)));
        let (seen, pause) = (asked.clone(), delay.clone());
        let answer = move |headers: HeaderMap, body: String| async move {
            let authorization = headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
            seen.lock().unwrap().push((authorization, body.clone()));
            let name = body.split(['=', '&']).nth(1).unwrap_or_default().to_owned();
            if name.starts_with("slow") {
                tokio::time::sleep(Duration::from_millis(pause.load(Ordering::SeqCst) as u64)).await;
            }
            answered(&name)
        };
        let elsewhere = || async { Json(members()) };
        let routes = Router::new()
            .route("/introspect", post(answer.clone()))
            .route("/tokeninfo", post(answer))
            .route("/elsewhere", get(elsewhere).post(elsewhere));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { address, asked, delay }
    }

    fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn introspection(&self, more: Value) -> Asked {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{SECRET}\n")).unwrap();
        let mut introspection = json!({
            "url": format!("http://{}/introspect", self.address), "client_id": "opgate", "client_secret_file": file.path(),
        });
        introspection.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Asked { proof: json!({ "introspection": introspection }), _secret: Some(file) }
    }

    fn tokeninfo(&self) -> Asked {
        let url = format!("http://{}/tokeninfo", self.address);
        Asked { proof: json!({ "tokeninfo": { "url": url, "timeout": "1s" } }), _secret: None }
    }
}

/// The configuration with which a gate asks a partner.
struct Asked {
    proof: Value,
    _secret: Option<tempfile::NamedTempFile>,
}

impl Asked {
    /// A gate that trusts the partner beside the harness's own issuer.
    fn gate(&self) -> Gate {
        let mut partner =
            json!({ "issuer": PARTNER, "audiences": ["opgate"], "email_domains": ["example.com"] });
        partner.as_object_mut().unwrap().extend(self.proof.as_object().unwrap().clone());
        Gate::start_with(Setup {
            set: vec![
                format!("issuers.partner={partner}"),
                "issuers.demo.email_domains=[example.com]".to_owned(),
                "telemetry.log=debug".to_owned(),
            ],
            ..Setup::default()
        })
    }
}

fn members() -> Value {
    json!({
        "active": true, "iss": PARTNER, "aud": ["opgate", "other"], "sub": "1234", "token_type": "Bearer",
        "exp": now() + 3600, "email": ANA, "email_verified": true, "scope": format!("openid {CLOUD_PLATFORM}"),
    })
}

fn with(changes: Value) -> Response {
    let mut members = members();
    members.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    Json(members).into_response()
}

fn answered(name: &str) -> Response {
    let text = |kind: &'static str, text: String| ([(CONTENT_TYPE, kind)], text).into_response();
    match name.split('-').next().unwrap() {
        "good" | "slow" => with(json!({})),
        "bob" => with(json!({ "email": "bob@example.com" })),
        "bound" => {
            let thumbprint = name.strip_prefix("bound-").unwrap();
            with(json!({ "token_type": "DPoP", "cnf": { "jkt": thumbprint } }))
        }
        "expired" => with(json!({ "exp": now() - 60 })),
        "early" => with(json!({ "nbf": now() + 60 })),
        "audience" => with(json!({ "aud": "other" })),
        "issuer" => with(json!({ "iss": "https://issuer.example.com" })),
        "scope" => with(json!({ "scope": "openid" })),
        "foreign" => with(json!({ "email": "ana@elsewhere.example" })),
        "refresh" => with(json!({ "token_type": "refresh_token" })),
        "text" => with(json!({ "active": "true" })),
        "html" => text("text/html", members().to_string()),
        "large" => text("application/json", format!("{}{}", members(), " ".repeat(1 << 20))),
        "garbage" => text("application/json", "}{".to_owned()),
        "twice" => {
            text("application/json", r#"{"active": false, "active": true, "aud": "opgate"}"#.to_owned())
        }
        "error" => (StatusCode::INTERNAL_SERVER_ERROR, Json(members())).into_response(),
        "moved" => (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, "/elsewhere")]).into_response(),
        "google" => Json(json!({
            "azp": "opgate", "aud": "opgate", "sub": "1234", "scope": format!("openid {CLOUD_PLATFORM}"),
            "exp": (now() + 3600).to_string(), "expires_in": "3599", "access_type": "online",
            "email": ANA, "email_verified": "true",
        }))
        .into_response(),
        "anonymous" => Json(json!({
            "azp": "opgate", "aud": "opgate", "scope": CLOUD_PLATFORM, "exp": (now() + 3600).to_string(),
        }))
        .into_response(),
        "unknown" => (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_token" }))).into_response(),
        _ => Json(json!({ "active": false })).into_response(),
    }
}

/// A request's status and reason over both versions, which must agree.
async fn judged(gate: &Gate, token: &str) -> (u16, String) {
    gate.outcome(&cancel(token)).await
}

fn answer(status: u16, reason: &str) -> (u16, String) {
    (status, reason.to_owned())
}

fn allowed() -> (u16, String) {
    answer(200, "")
}

fn unavailable() -> (u16, String) {
    answer(503, "GATE_NOT_READY")
}

#[tokio::test]
async fn an_introspected_token_is_judged_by_its_issuers_answer() {
    let partner = Partner::start().await;
    let gate = partner.introspection(json!({})).gate();
    assert_eq!(gate.admin("/readyz").await.status, 200);
    let invalid = || answer(401, "JWT_TOKEN_INVALID");
    for (token, expected) in [
        ("good", allowed()),
        ("bob", answer(403, "IAM_PERMISSION_DENIED")),
        ("scope", answer(403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT")),
        ("inactive", invalid()),
        ("expired", answer(401, "ACCESS_TOKEN_EXPIRED")),
        ("early", invalid()),
        ("audience", invalid()),
        ("issuer", invalid()),
        ("foreign", invalid()),
        ("refresh", invalid()),
        ("text", unavailable()),
        ("html", unavailable()),
        ("large", unavailable()),
        ("garbage", unavailable()),
        ("twice", unavailable()),
        ("error", unavailable()),
        ("moved", unavailable()),
    ] {
        let (seen, asked) = (gate.backend.requests().len(), partner.count());
        assert_eq!(judged(&gate, token).await, expected, "{token}");
        let reached = if expected.0 == 200 { 2 } else { 0 };
        assert_eq!(gate.backend.requests().len() - seen, reached, "{token}");
        assert_eq!(partner.count() - asked, 1, "{token}");
    }
    // JWTs are verified by keys; no issuer is asked about them.
    let asked = partner.count();
    assert_eq!(judged(&gate, &token(ANA)).await, allowed());
    let theirs = token_with(ANA, json!({ "iss": PARTNER }));
    let unknown = token_with(ANA, json!({ "iss": "https://unknown.example" }));
    let forged = foreign_key().sign(&claims(ANA, &[CLOUD_PLATFORM])).unwrap();
    for token in [theirs, unknown, forged] {
        assert_eq!(judged(&gate, &token).await, invalid());
    }
    // Tokens that cannot be the partner's are not asked about either.
    let elsewhere = Req::new("POST", COMPANION, "/v1/nothing").bearer("good-elsewhere");
    assert_eq!(gate.http1(&elsewhere).await.status, 404);
    assert_eq!(partner.count(), asked);

    let metrics = gate.metrics().await;
    for (outcome, count) in [("active", 3), ("inactive", 1), ("refused", 6), ("failed", 7)] {
        let line =
            format!("opgate_token_lookups_total{{issuer=\"partner\",outcome=\"{outcome}\"}} {count}\n");
        assert!(metrics.contains(&line), "no `{line}` in\n{metrics}");
    }
    assert!(metrics.contains("opgate_token_lookup_duration_seconds_count{issuer=\"partner\"} 17\n"));
    assert!(!metrics.contains("opgate_jwks_keys{issuer=\"partner\"}"));
}

#[tokio::test]
async fn a_token_that_its_issuer_calls_bound_is_held_to_its_key() {
    let partner = Partner::start().await;
    let asked = partner.introspection(json!({}));
    let gate = asked.gate();
    let key = Holder::new_key();
    let token = format!("bound-{}", key.kid());
    let holder = Holder::with_key(key, token);
    // The first request makes the gate ask the issuer; its proof is still used only once.
    for _ in 0..2 {
        let request = holder.proven();
        let answers = gate.over_both(&request).await;
        let told = answers.map(|answer| (answer.status, reason(&answer)));
        assert_eq!(told, [allowed(), answer(401, "DPOP_PROOF_INVALID")], "{}", gate.log());
        assert_eq!(judged(&gate, &holder.token).await, answer(401, "JWT_TOKEN_INVALID"));
    }
    assert_eq!(partner.count(), 1);
    assert_eq!(gate.backend.requests().len(), 2);
}

#[tokio::test]
async fn a_refused_opaque_token_is_answered_like_any_other_token() {
    let partner = Partner::start().await;
    let gate = partner.introspection(json!({})).gate();
    let inactive = gate.http1(&cancel("inactive")).await;
    let challenge = inactive.header("www-authenticate").unwrap();
    assert_eq!(challenge, "Bearer realm=\"https://accounts.google.com/\", error=\"invalid_token\"");
    let details = inactive.json().unwrap()["error"]["details"][0].clone();
    assert_eq!(details["metadata"]["service"], "cloudaicompanion.googleapis.com");
    let failed = gate.http1(&cancel("error")).await;
    assert_eq!(failed.header("www-authenticate"), None);
    let body = failed.json().unwrap()["error"].clone();
    assert_eq!(body["status"], "UNAVAILABLE");
    assert_eq!(body["details"][0]["metadata"]["service"], "cloudaicompanion.googleapis.com");
    let audit = gate.audit(2);
    let detail = |line: &Value| line["protoPayload"]["metadata"]["detail"].as_str().unwrap().to_owned();
    assert_eq!(detail(&audit[0]), "issuer `partner` says that the token is not active");
    assert_eq!(
        detail(&audit[1]),
        "issuer `partner` has not said what the token is: the answer is 500 Internal Server Error, not 200"
    );
}

#[tokio::test]
async fn tokeninfo_as_google_writes_it() {
    let partner = Partner::start().await;
    let gate = partner.tokeninfo().gate();
    for (token, expected) in [
        ("google", allowed()),
        ("anonymous", answer(401, "JWT_TOKEN_INVALID")),
        ("unknown", answer(401, "JWT_TOKEN_INVALID")),
        ("audience", answer(401, "JWT_TOKEN_INVALID")),
        ("html", unavailable()),
        ("large", unavailable()),
        ("twice", unavailable()),
        ("error", unavailable()),
        ("moved", unavailable()),
    ] {
        assert_eq!(judged(&gate, token).await, expected, "{token}");
    }
    // The token is in the body, because URLs are logged.
    assert_eq!(partner.asked.lock().unwrap()[0], (None, "access_token=google".to_owned()));
    assert_eq!(partner.count(), 9);
}

#[tokio::test]
async fn a_hundred_requests_with_one_new_token_ask_once() {
    let partner = Partner::start().await;
    let gate = Arc::new(partner.introspection(json!({})).gate());
    let requests: Vec<_> = (0..100)
        .map(|_| {
            let gate = gate.clone();
            tokio::spawn(async move { gate.http1(&cancel("slow")).await.status })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap(), 200);
    }
    assert_eq!(partner.count(), 1);
    assert_eq!(gate.backend.requests().len(), 100);
}

#[tokio::test]
async fn a_flood_of_invented_tokens_neither_floods_the_issuer_nor_stops_a_good_client() {
    let partner = Partner::start().await;
    let gate = Arc::new(partner.introspection(json!({})).gate());
    assert_eq!(judged(&gate, "good").await, allowed());
    // Each lookup takes long enough for the whole flood to arrive meanwhile.
    partner.delay.store(3_000, Ordering::SeqCst);
    let flood: Vec<_> = (0..300)
        .map(|number| {
            let gate = gate.clone();
            tokio::spawn(async move { gate.http1(&cancel(&format!("slow-{number}"))).await.status })
        })
        .collect();
    let deadline = Instant::now() + Duration::from_secs(10);
    while partner.count() < 1 + 64 {
        assert!(Instant::now() < deadline, "{} lookups", partner.count());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..20 {
        assert_eq!(judged(&gate, "good").await, allowed());
    }
    let mut statuses = std::collections::BTreeMap::new();
    for request in flood {
        *statuses.entry(request.await.unwrap()).or_insert(0) += 1;
    }
    // Clients whose tokens were not asked about may come again.
    assert_eq!(statuses.keys().copied().collect::<Vec<_>>(), [200, 503]);
    assert_eq!(statuses[&200] + 1, partner.count());
    assert!(statuses[&503] > 100, "{statuses:?}");
}

#[tokio::test]
async fn an_issuer_that_is_down_is_503_until_it_is_up() {
    // Bound and not accepting, so that no other test gets the port meanwhile.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let asked = Partner { address, asked: Arc::default(), delay: Arc::default() }.introspection(json!({}));
    let gate = asked.gate();
    for token in ["good", "inactive", "good"] {
        assert_eq!(judged(&gate, token).await, unavailable());
    }
    // Tokens of other issuers still pass.
    assert_eq!(judged(&gate, &token(ANA)).await, allowed());
    assert_eq!(gate.admin("/readyz").await.status, 200);
    let partner = Partner::at(socket.listen(64).unwrap());
    let deadline = Instant::now() + Duration::from_secs(10);
    while gate.http1(&cancel("good")).await.status != 200 {
        assert!(Instant::now() < deadline, "it is up and not asked:\n{}", gate.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(judged(&gate, "inactive").await, answer(401, "JWT_TOKEN_INVALID"));
    assert!(partner.count() < 4, "{}", partner.count());
}

#[tokio::test]
async fn an_issuer_that_takes_too_long_is_503() {
    let partner = Partner::start().await;
    partner.delay.store(60_000, Ordering::SeqCst);
    let gate = partner.introspection(json!({ "timeout": "200ms" })).gate();
    assert_eq!(judged(&gate, "slow").await, unavailable());
    let metrics = gate.metrics().await;
    assert!(
        metrics.contains("opgate_token_lookups_total{issuer=\"partner\",outcome=\"failed\"} 1\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn the_gate_authenticates_to_the_issuer_and_writes_the_secret_nowhere() {
    for (method, authorization, rest) in [
        // printf 'opgate:a-secret-of-the-gate-0123456789' | base64
        ("basic", Some("Basic b3BnYXRlOmEtc2VjcmV0LW9mLXRoZS1nYXRlLTAxMjM0NTY3ODk="), String::new()),
        ("post", None, format!("&client_id=opgate&client_secret={SECRET}")),
    ] {
        let partner = Partner::start().await;
        let asked = partner.introspection(json!({ "authentication": method }));
        let mut gate = asked.gate();
        let tokens =
            ["good-token-000001", "inactive-token-000002", "error-token-000003", "moved-token-000004"];
        for token in tokens {
            judged(&gate, token).await;
        }
        let form = format!("token={}&token_type_hint=access_token", tokens[0]);
        let (sent, body) = partner.asked.lock().unwrap()[0].clone();
        assert_eq!((sent.as_deref(), body), (authorization, form + &rest));

        gate.audit(2 * tokens.len());
        let metrics = gate.metrics().await;
        assert!(gate.terminate().success());
        for (place, text) in [("audit log", gate.audit_text()), ("log", gate.log()), ("metrics", metrics)] {
            assert!(!text.is_empty(), "the {place} is empty");
            for secret in [SECRET, "b3BnYXRlOmEtc2VjcmV0"].into_iter().chain(tokens) {
                let line = text.lines().find(|line| line.contains(secret));
                assert_eq!(line, None, "a secret is in the {place}");
            }
        }
    }
}

#[tokio::test]
async fn a_reload_asks_about_no_token_again_and_reads_the_secret_again() {
    let partner = Partner::start().await;
    let asked = partner.introspection(json!({ "authentication": "post" }));
    let gate = asked.gate();
    assert_eq!(judged(&gate, "good").await, allowed());
    let secret = asked.proof["introspection"]["client_secret_file"].as_str().unwrap();
    std::fs::write(secret, "rotated").unwrap();
    // The gate finds changed files by itself.
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut number = 0;
    loop {
        number += 1;
        assert_eq!(gate.http1(&cancel(&format!("good-{number}"))).await.status, 200);
        if partner.asked.lock().unwrap().last().unwrap().1.ends_with("client_secret=rotated") {
            break;
        }
        assert!(Instant::now() < deadline, "the secret is still the old one:\n{}", gate.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let count = partner.count();
    assert_eq!(judged(&gate, "good").await, allowed());
    assert_eq!(partner.count(), count);
}

#[tokio::test]
async fn explaining_an_opaque_token_asks_its_issuer() {
    let partner = Partner::start().await;
    let asked = partner.introspection(json!({}));
    let gate = asked.gate();
    let why = async |token: &str| {
        let request = json!({ "method": "POST", "path": CANCEL, "host": COMPANION });
        gate.explain(&json!({ "token": token, "request": request })).await.json().unwrap()
    };
    let good = why("good-explained").await;
    assert_eq!(
        (&good["overallAccessState"], &good["opgate"]["principal"]),
        (&json!("CAN_ACCESS"), &json!(format!("user:{ANA}")))
    );
    assert_eq!(why("revoked-explained").await["overallAccessState"], "CANNOT_ACCESS");
    assert_eq!(partner.count(), 2);
    assert!(!gate.log().contains("-explained"), "{}", gate.log());
}
