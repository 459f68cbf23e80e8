//! Tokens that are bound to a key, and the DPoP proofs that come with them, over real sockets. `client_certificates`
//! tests tokens that are bound to certificates.

use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use opgate::dev::mint::Mint;
use opgate::signing::{SigningAlgorithm, SigningKey};
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::connection::Connection;
use crate::harness::{
    Body, CANCEL, COMPANION, Gate, Http2, Req, Setup, now, outcome, token, token_with, values,
};

const ANA: &str = "ana@example.com";

/// A client with a key, and a token that is bound to it.
pub struct Holder {
    key: SigningKey,
    pub token: String,
}

impl Holder {
    /// A client whose token the harness's issuer makes.
    fn new() -> Self {
        let key = Self::new_key();
        let token = token_with(ANA, json!({ "cnf": { "jkt": key.kid() } }));
        Self { key, token }
    }

    /// A client whose token another issuer makes.
    pub fn with_key(key: SigningKey, token: String) -> Self {
        Self { key, token }
    }

    /// A key whose id is its thumbprint.
    pub fn new_key() -> SigningKey {
        SigningKey::generate(SigningAlgorithm::Es256, None).unwrap()
    }

    /// A proof for a POST to a URL, with additional or changed claims.
    pub fn proof(&self, url: &str, more: Value) -> String {
        prove(&self.key, Some(&self.token), url, more)
    }

    fn cancel(&self) -> Req {
        Req::new("POST", COMPANION, CANCEL).header("authorization", &format!("DPoP {}", self.token))
    }

    /// A cancel with a fresh proof, which is good once.
    pub fn proven(&self) -> Req {
        self.cancel().header("dpop", &self.proof(&url("http"), json!({})))
    }
}

/// A proof by a key for a POST to a URL.
pub fn prove(key: &SigningKey, token: Option<&str>, url: &str, more: Value) -> String {
    let header = json!({ "typ": "dpop+jwt", "alg": key.algorithm().as_str(), "jwk": key.public_jwk() });
    let id = uuid::Uuid::new_v4().to_string();
    let mut claims = json!({ "jti": id, "htm": "POST", "htu": url, "iat": now() });
    if let Some(token) = token {
        let hash = digest::digest(&digest::SHA256, token.as_bytes());
        claims["ath"] = URL_SAFE_NO_PAD.encode(hash).into();
    }
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    key.sign_with_header(&header, &claims).unwrap()
}

fn url(scheme: &str) -> String {
    format!("{scheme}://{COMPANION}{CANCEL}")
}

fn allowed() -> (u16, String) {
    (200, String::new())
}

fn refused(reason: &str) -> (u16, String) {
    (401, reason.to_owned())
}

fn gate_with(rule: Value) -> Gate {
    let set = vec![format!("issuers.demo.proof_of_possession={rule}")];
    Gate::start_with(Setup { set, ..Setup::default() })
}

/// Sends a request over both versions.
async fn send(gate: &Gate, request: impl Fn() -> Req) -> [(u16, String); 2] {
    [outcome(&gate.http1(&request()).await), outcome(&gate.http2(&request()).await)]
}

#[tokio::test]
async fn a_proof_makes_the_holder_of_a_bound_token_the_caller() {
    let gate = Gate::start_with(Setup {
        set: vec!["services.cloudaicompanion.forward=[authorization]".to_owned()],
        ..Setup::default()
    });
    let holder = Holder::new();
    assert_eq!(send(&gate, || holder.proven()).await, [allowed(), allowed()]);
    for request in gate.backend.requests() {
        assert!(!request.headers.contains_key("dpop"), "{request:?}");
        assert_eq!(values(&request.headers, "authorization"), [format!("DPoP {}", holder.token)]);
    }
    for line in gate.audit(2) {
        assert_eq!(line["protoPayload"]["metadata"]["confirmation"], json!({ "jkt": holder.key.kid() }));
        assert_eq!(line["protoPayload"]["authenticationInfo"]["principalEmail"], ANA);
    }
    assert!(!gate.audit_text().contains("eyJ"), "a token or a proof is in the audit log");
    assert!(gate.metrics().await.contains("opgate_dpop_proofs 2\n"));
}

/// A client signs the method that it sends, not the one that a header names.
#[tokio::test]
async fn a_proof_of_an_overridden_request_is_for_the_method_that_was_sent() {
    let gate = Gate::start();
    let holder = Holder::new();
    let list = "/v1/projects/demo/locations/us-central1/operations";
    let overridden = |claims: Value| {
        let proof = holder.proof(&format!("http://{COMPANION}{list}"), claims);
        Req::new("POST", COMPANION, list)
            .header("authorization", &format!("DPoP {}", holder.token))
            .header("dpop", &proof)
            .header("x-http-method-override", "GET")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::Length("pageSize=7".into()))
    };
    assert_eq!(send(&gate, || overridden(json!({}))).await, [allowed(), allowed()]);
    let for_get = send(&gate, || overridden(json!({ "htm": "GET" }))).await;
    assert_eq!(for_get, [refused("DPOP_PROOF_INVALID"), refused("DPOP_PROOF_INVALID")]);
}

#[tokio::test]
async fn a_remembered_token_is_refused_without_its_proof() {
    let gate = Gate::start();
    let holder = Holder::new();
    let thief = SigningKey::generate(SigningAlgorithm::Es256, Some("thief")).unwrap();
    let proof = |more: Value| holder.proof(&url("http"), more);
    let thiefs = prove(&thief, Some(&holder.token), &url("http"), json!({}));
    let cases = [
        ("as a bearer token", Req::new("POST", COMPANION, CANCEL).bearer(&holder.token), "JWT_TOKEN_INVALID"),
        (
            "as a bearer token, with a proof",
            Req::new("POST", COMPANION, CANCEL).bearer(&holder.token).header("dpop", &proof(json!({}))),
            "JWT_TOKEN_INVALID",
        ),
        ("no proof", holder.cancel(), "DPOP_PROOF_INVALID"),
        ("by another key", holder.cancel().header("dpop", &thiefs), "JWT_TOKEN_INVALID"),
        ("an empty one", holder.cancel().header("dpop", ""), "DPOP_PROOF_INVALID"),
        ("for a GET", holder.cancel().header("dpop", &proof(json!({ "htm": "GET" }))), "DPOP_PROOF_INVALID"),
        (
            "for another operation",
            holder
                .cancel()
                .header("dpop", &proof(json!({ "htu": url("http").replace("train-1", "train-2") }))),
            "DPOP_PROOF_INVALID",
        ),
        (
            "for https",
            holder.cancel().header("dpop", &proof(json!({ "htu": url("https") }))),
            "DPOP_PROOF_INVALID",
        ),
        (
            "too old",
            holder.cancel().header("dpop", &proof(json!({ "iat": now() - 90 }))),
            "DPOP_PROOF_INVALID",
        ),
        (
            "for another token",
            holder.cancel().header("dpop", &proof(json!({ "ath": "x" }))),
            "DPOP_PROOF_INVALID",
        ),
    ];
    assert_eq!(send(&gate, || holder.proven()).await, [allowed(), allowed()]);
    for (name, request, reason) in cases {
        for answer in gate.over_both(&request).await {
            assert_eq!(outcome(&answer), refused(reason), "{name}");
            let [challenge] = &values(&answer.headers, "www-authenticate")[..] else { panic!("{name}") };
            let error = if reason == "DPOP_PROOF_INVALID" { "invalid_dpop_proof" } else { "invalid_token" };
            assert!(challenge.starts_with("DPoP realm="), "{name}: {challenge}");
            assert!(challenge.contains(&format!("error=\"{error}\"")), "{name}: {challenge}");
        }
    }
    assert_eq!(gate.backend.requests().len(), 2);
    // A token without a binding is refused under this scheme.
    let free = Req::new("POST", COMPANION, CANCEL).header("authorization", &format!("DPoP {}", token(ANA)));
    let free =
        || free.clone().header("dpop", &prove(&holder.key, Some(&token(ANA)), &url("http"), json!({})));
    assert_eq!(send(&gate, free).await, [refused("JWT_TOKEN_INVALID"), refused("JWT_TOKEN_INVALID")]);
    // `/explain` does not require a proof, and says that a request does.
    let request = json!({ "method": "POST", "path": CANCEL, "host": COMPANION });
    let explained = gate.explain(&json!({ "token": holder.token, "request": request })).await.json().unwrap();
    assert_eq!(explained["overallAccessState"], "CAN_ACCESS");
    let bound = format!("only with a DPoP proof by the key `{}`", holder.key.kid());
    assert!(explained.to_string().contains(&bound), "{explained:#}");
}

#[tokio::test]
async fn a_proof_is_good_once_also_after_a_reload() {
    let gate = Gate::start();
    let holder = Holder::new();
    let request = holder.proven();
    assert_eq!(outcome(&gate.http1(&request).await), allowed());
    let again = [refused("DPOP_PROOF_INVALID"), refused("DPOP_PROOF_INVALID")];
    assert_eq!(send(&gate, || request.clone()).await, again);
    let loaded = async || {
        let metrics = gate.metrics().await;
        let name = "opgate_reloads_total{outcome=\"success\",part=\"policy\"} ";
        metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned()
    };
    let before = loaded().await;
    gate.hang_up();
    let deadline = Instant::now() + Duration::from_secs(20);
    while loaded().await == before {
        assert!(Instant::now() < deadline, "no reload:\n{}", gate.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(send(&gate, || request.clone()).await, again);
    assert_eq!(send(&gate, || holder.proven()).await, [allowed(), allowed()]);
    assert_eq!(gate.backend.requests().len(), 3);
    let used = gate.audit(7).into_iter().filter(|line| line.to_string().contains("was used before")).count();
    assert_eq!(used, 4);
}

/// A thief and the client race: the same request, as often as it can be sent.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_requests_with_one_proof_at_the_same_time_one_passes() {
    let gate = Gate::start();
    let holder = Holder::new();
    let mut passed = 0;
    for _ in 0..5 {
        let request = holder.proven();
        let mut client = Http2::connect(gate.address).await;
        let mut answers = Vec::new();
        for _ in 0..32 {
            answers.push(client.start(&request, true).await.0);
        }
        let over1 = (0..16).map(|_| {
            let (request, address) = (request.to_http1(), gate.address);
            tokio::spawn(async move { opgate::dev::wire::exchange(address, &request).await.unwrap() })
        });
        let over1: Vec<_> = over1.collect();
        let mut told_of = Vec::new();
        for answer in answers {
            told_of.push(outcome(&client.finish(answer).await));
        }
        for answer in over1 {
            told_of.push(outcome(&answer.await.unwrap()));
        }
        assert_eq!(told_of.iter().filter(|told| **told == allowed()).count(), 1, "{told_of:?}");
        assert_eq!(told_of.iter().filter(|told| **told == refused("DPOP_PROOF_INVALID")).count(), 47);
        passed += 1;
        assert_eq!(gate.backend.requests().len(), passed);
    }
}

#[tokio::test]
async fn a_proof_that_two_readers_could_find_in_two_places_is_refused() {
    let gate = Gate::start();
    let holder = Holder::new();
    let proof = || holder.proof(&url("http"), json!({}));
    let malformed = (400, "REQUEST_MALFORMED".to_owned());
    assert_eq!(
        send(&gate, || holder.proven().header("dpop", &proof())).await,
        [malformed.clone(), malformed.clone()]
    );
    for twin in ["dpop_", "_dpop", "dpop-"] {
        assert_eq!(
            send(&gate, || holder.proven().header(twin, &proof())).await,
            [malformed.clone(), malformed.clone()]
        );
    }
    // Over HTTP/2, `Connection` is always refused.
    let nominated = holder.proven().header("connection", "close, DPoP");
    assert_eq!(outcome(&gate.http1(&nominated).await), malformed);
    assert_eq!(gate.backend.requests().len(), 0);
    // A proof that is not needed is removed all the same.
    let stray = Req::new("POST", COMPANION, CANCEL).bearer(&token(ANA)).header("dpop", "anything");
    assert_eq!(send(&gate, || stray.clone()).await, [allowed(), allowed()]);
    assert!(gate.backend.requests().iter().all(|request| !request.headers.contains_key("dpop")));
}

#[tokio::test]
async fn a_proof_is_good_for_the_ports_of_the_gate_alone() {
    let gates = [gate_with(json!({ "public_port": 9443 })), gate_with(json!({}))];
    for (gate, has_public_port) in gates.iter().zip([true, false]) {
        for (port, holds) in [(gate.address.port(), true), (80, true), (9443, has_public_port), (9, false)] {
            let holder = Holder::new();
            let host = format!("{COMPANION}:{port}");
            let request = || {
                let proof = holder.proof(&format!("http://{host}{CANCEL}"), json!({}));
                Req { host: host.clone(), ..holder.cancel().header("dpop", &proof) }
            };
            let expected = if holds { allowed() } else { refused("DPOP_PROOF_INVALID") };
            assert_eq!(send(gate, request).await, [expected.clone(), expected], "{host}");
        }
    }
}

#[tokio::test]
async fn a_client_is_given_the_nonce_that_its_proof_needs() {
    let gate = gate_with(json!({ "nonces": true }));
    let holder = Holder::new();
    for over_http2 in [false, true] {
        let send = async |request: &Req| match over_http2 {
            true => gate.http2(request).await,
            false => gate.http1(request).await,
        };
        let answer = send(&holder.proven()).await;
        assert_eq!(outcome(&answer), refused("DPOP_NONCE_REQUIRED"));
        assert!(values(&answer.headers, "www-authenticate")[0].contains("error=\"use_dpop_nonce\""));
        let [nonce] = &values(&answer.headers, "dpop-nonce")[..] else { panic!("{:?}", answer.headers) };
        let with = |nonce: &str| {
            holder.cancel().header("dpop", &holder.proof(&url("http"), json!({ "nonce": nonce })))
        };
        let answer = send(&with(nonce)).await;
        assert_eq!(outcome(&answer), allowed());
        // Each answer carries the newest nonce, so that a client needs no other refusal to get it.
        let [next] = &values(&answer.headers, "dpop-nonce")[..] else { panic!("{:?}", answer.headers) };
        assert_eq!(outcome(&send(&with(next)).await), allowed());
        // A nonce is good for more than one request.
        assert_eq!(outcome(&send(&with(nonce)).await), allowed());
        let other = with(next).header("x-other", "1");
        let elsewhere = Req { target: CANCEL.replace("cancel", "destroy"), ..other };
        assert!(!send(&elsewhere).await.headers.contains_key("dpop-nonce"), "the caller is unknown");
        assert_eq!(outcome(&send(&with("invented")).await), refused("DPOP_NONCE_REQUIRED"));
    }
    // A refusal carries one too, once the caller is known.
    let key = Holder::new_key();
    let bob = token_with("bob@example.com", json!({ "cnf": { "jkt": key.kid() } }));
    let bob = Holder::with_key(key, bob);
    let nonce = values(&gate.http1(&bob.proven()).await.headers, "dpop-nonce").remove(0);
    let proof = bob.proof(&url("http"), json!({ "nonce": nonce }));
    let answer = gate.http1(&bob.cancel().header("dpop", &proof)).await;
    assert_eq!(outcome(&answer), (403, "IAM_PERMISSION_DENIED".to_owned()));
    assert_eq!(values(&answer.headers, "dpop-nonce").len(), 1);
    // An answer about another mistake in a proof carries no nonce.
    let wrong = holder.cancel().header("dpop", &holder.proof(&url("http"), json!({ "htm": "GET" })));
    let answer = gate.http1(&wrong).await;
    assert_eq!(outcome(&answer), refused("DPOP_PROOF_INVALID"));
    assert!(!answer.headers.contains_key("dpop-nonce"));
}

#[tokio::test]
async fn a_client_that_proves_possession_is_told_of_missing_scopes_in_its_own_scheme() {
    let gate = Gate::start();
    let key = Holder::new_key();
    let token = token_with(ANA, json!({ "cnf": { "jkt": key.kid() }, "scope": "openid" }));
    let holder = Holder::with_key(key, token);
    let proven = holder.proven();
    let answer = gate.http1(&proven).await;
    assert_eq!(outcome(&answer), (403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT".to_owned()));
    let challenge = &values(&answer.headers, "www-authenticate")[0];
    assert!(challenge.starts_with("DPoP realm=") && challenge.contains("insufficient_scope"), "{challenge}");
    // The proof is used up all the same.
    assert_eq!(outcome(&gate.http1(&proven).await), refused("DPOP_PROOF_INVALID"));
}

#[tokio::test]
async fn an_issuer_may_require_that_its_tokens_are_bound() {
    let gate = gate_with(json!({ "tokens": "required", "kinds": ["dpop"] }));
    let holder = Holder::new();
    assert_eq!(send(&gate, || holder.proven()).await, [allowed(), allowed()]);
    let invalid = [refused("JWT_TOKEN_INVALID"), refused("JWT_TOKEN_INVALID")];
    let free = Req::new("POST", COMPANION, CANCEL).bearer(&token(ANA));
    assert_eq!(send(&gate, || free.clone()).await, invalid);
    let thumbprint = holder.key.kid();
    let certificate = token_with(ANA, json!({ "cnf": { "x5t#S256": thumbprint } }));
    let certificate = Req::new("POST", COMPANION, CANCEL).bearer(&certificate);
    assert_eq!(send(&gate, || certificate.clone()).await, invalid);
    let lines = gate.audit(6);
    let details: Vec<&str> =
        lines.iter().filter_map(|line| line["protoPayload"]["metadata"]["detail"].as_str()).collect();
    assert_eq!(details.len(), 4);
    assert!(details[..2].iter().all(|detail| detail.contains("bound to no key")), "{details:?}");
    assert!(details[2..].iter().all(|detail| detail.contains("is not a kind of proof")), "{details:?}");
}

/// The client signs the scheme that it uses: the listener's, or https if a trusted proxy ends TLS before the gate.
#[tokio::test]
async fn a_proof_is_good_for_the_scheme_that_the_client_uses() {
    let holder = Holder::new();
    let proven = |scheme| holder.cancel().header("dpop", &holder.proof(&url(scheme), json!({})));
    let wrong = || refused("DPOP_PROOF_INVALID");
    let behind = |more: &str| {
        let proxies = format!("trusted_proxies={{addresses: [127.0.0.1], header: x-forwarded-for{more}}}");
        Gate::start_with(Setup { set: vec![proxies], ..Setup::default() })
    };
    let gate = behind(", client_scheme: https");
    assert_eq!(send(&gate, || proven("https")).await, [allowed(), allowed()]);
    assert_eq!(send(&gate, || proven("http")).await, [wrong(), wrong()]);
    let gate = behind("");
    for (scheme, expected) in [("https", allowed()), ("http", wrong())] {
        let forwarded = || proven(scheme).header("x-forwarded-proto", "https");
        assert_eq!(send(&gate, forwarded).await, [expected.clone(), expected]);
    }
    // A field from any other peer does not count.
    let stranger = Gate::start();
    let forwarded = || proven("https").header("x-forwarded-proto", "https");
    assert_eq!(send(&stranger, forwarded).await, [wrong(), wrong()]);

    let authority = Authority::new();
    let files = tempfile::tempdir().unwrap();
    let (cert, key) = authority.issue(&[COMPANION]).write(files.path(), "server");
    let tls = json!({ "certificates": [{ "cert": cert, "key": key }] });
    let set = vec![format!("listeners.0.tls={tls}")];
    let gate = Gate::start_with(Setup { set, ..Setup::default() });
    for (scheme, expected) in [("https", allowed()), ("http", wrong())] {
        let connect =
            async |client: crate::authority::Client| client.connect(gate.address, COMPANION).await.unwrap();
        let mut connection = Connection::over(connect(authority.client()).await);
        connection.send(proven(scheme).to_http1()).await;
        assert_eq!(outcome(&connection.answer().await.unwrap()), expected, "{scheme}");
        let mut client = Http2::over_tls(connect(authority.client().offering(&["h2"])).await).await;
        let (response, _) = client.start(&proven(scheme), true).await;
        assert_eq!(outcome(&client.finish(response).await), expected, "{scheme}");
    }
}
