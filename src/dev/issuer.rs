//! An identity provider, as far as opgate needs one: it serves its keys over HTTP, and mints tokens in the process.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Value, json};

use super::mint::Mint;
use super::server::LoopbackServer;
use crate::clock;
use crate::signing::{SigningAlgorithm, SigningError, SigningKey};

/// The `iss` of its tokens: a name, not the address that it listens on.
pub const ISSUER: &str = "https://issuer.demo.localhost";
/// The `aud` of its tokens.
pub const AUDIENCE: &str = "https://opgate.demo.localhost";
/// The scope that every Google Cloud API accepts.
pub const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";
/// The scope of the Translation API.
pub const CLOUD_TRANSLATION: &str = "https://www.googleapis.com/auth/cloud-translation";

/// A running issuer.
#[derive(Debug)]
pub struct DevIssuer {
    key: SigningKey,
    server: LoopbackServer,
}

impl DevIssuer {
    /// Makes a key and serves its public half: `/jwks.json` and `/.well-known/openid-configuration`
    /// (OpenID Connect Discovery, section 3).
    ///
    /// # Errors
    /// Where no key can be made or no port be bound.
    pub fn start() -> io::Result<Self> {
        let key = SigningKey::generate(SigningAlgorithm::Es256, None).map_err(io::Error::other)?;
        let jwks = key.jwks();
        let algorithm = key.algorithm().as_str();
        let router = Router::new().route("/jwks.json", get(move || async move { document(&jwks) })).route(
            "/.well-known/openid-configuration",
            get(move |headers: http::HeaderMap| async move { discovery(&headers, algorithm) }),
        );
        Ok(Self { key, server: LoopbackServer::start("issuer", router)? })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Where its keys are.
    pub fn keys_url(&self) -> String {
        format!("http://{}/jwks.json", self.address())
    }

    /// Its key, for tokens that it would not mint itself.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// A token for a caller with a verified email.
    ///
    /// # Errors
    /// Where the crypto library fails.
    pub fn token(&self, email: &str, scopes: &[&str], lifetime: Duration) -> Result<String, SigningError> {
        let now = now();
        self.key.sign(&claims(email, scopes, now, now.saturating_add(lifetime)))
    }

    /// A token that was good until a while ago.
    ///
    /// # Errors
    /// Where the crypto library fails.
    pub fn expired_token(&self, email: &str, scopes: &[&str], ago: Duration) -> Result<String, SigningError> {
        let expired = now().saturating_sub(ago);
        let issued = expired.saturating_sub(Duration::from_secs(3600));
        self.key.sign(&claims(email, scopes, issued, expired))
    }
}

/// The claims of an access token (RFC 9068, section 2.2) of this issuer. Times are since 1970.
pub fn claims(email: &str, scopes: &[&str], issued: Duration, expires: Duration) -> Value {
    json!({
        "iss": ISSUER,
        "sub": email,
        "aud": AUDIENCE,
        "client_id": "opgate-demo",
        "jti": uuid::Uuid::new_v4().to_string(),
        "iat": issued.as_secs(),
        "exp": expires.as_secs(),
        "email": email,
        "email_verified": true,
        "scope": scopes.join(" "),
    })
}

fn now() -> Duration {
    clock::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn discovery(headers: &http::HeaderMap, algorithm: &str) -> Response {
    // Named as the client named us: the port is known only once it is bound.
    let host = headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1");
    document(&json!({
        "issuer": ISSUER,
        "jwks_uri": format!("http://{host}/jwks.json"),
        "response_types_supported": ["token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [algorithm],
    }))
}

fn document(value: &Value) -> Response {
    let fields = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "max-age=300")];
    (fields, value.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation};

    use super::*;
    use crate::dev::wire;

    async fn verify(issuer: &DevIssuer, token: &str) -> jsonwebtoken::errors::Result<Value> {
        let jwks = wire::fetch(issuer.address(), "/jwks.json").await.unwrap();
        assert_eq!(jwks.status, 200);
        let set: jsonwebtoken::jwk::JwkSet = serde_json::from_slice(&jwks.body).unwrap();
        let header = jsonwebtoken::decode_header(token).unwrap();
        let jwk = set.find(header.kid.as_deref().unwrap()).unwrap();
        let mut validation = Validation::new(jsonwebtoken::Algorithm::ES256);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        validation.leeway = 0;
        jsonwebtoken::decode(token, &DecodingKey::from_jwk(jwk).unwrap(), &validation)
            .map(|token| token.claims)
    }

    #[tokio::test]
    async fn its_tokens_verify_against_the_keys_it_serves() {
        let issuer = DevIssuer::start().unwrap();
        let token = issuer.token("ana@example.com", &["a", "b"], Duration::from_secs(60)).unwrap();
        let claims = verify(&issuer, &token).await.unwrap();
        assert_eq!(claims["email"], "ana@example.com");
        assert_eq!(claims["scope"], "a b");

        let expired = issuer.expired_token("ana@example.com", &["a"], Duration::from_secs(60)).unwrap();
        let error = verify(&issuer, &expired).await.unwrap_err();
        assert_eq!(*error.kind(), jsonwebtoken::errors::ErrorKind::ExpiredSignature);
    }

    #[tokio::test]
    async fn discovery_leads_to_the_keys() {
        let issuer = DevIssuer::start().unwrap();
        let answer = wire::fetch(issuer.address(), "/.well-known/openid-configuration").await.unwrap();
        let document: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(document["issuer"], ISSUER);
        assert_eq!(document["jwks_uri"], issuer.keys_url());
    }
}
