//! A key server that answers as the test tells it to: with or without TLS, late, never, with a wrong answer, or not at
//! all.
//!
//! It speaks HTTP by hand: an issuer's broken load balancer sends what a library would not.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opgate::signing::SigningKey;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

pub const KEYS: &str = "/jwks.json";
pub const METADATA: &str = "/.well-known/openid-configuration";

/// The server's answer for a path.
#[derive(Clone, Debug)]
pub enum Answer {
    /// These bytes, head and body.
    Bytes(Vec<u8>),
    /// The same bytes, after a while.
    Late(Duration, Vec<u8>),
    /// Nothing, while the connection stays open.
    Silence,
}

impl Answer {
    pub fn of(status: &str, headers: &str, body: &[u8]) -> Self {
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n",
            body.len()
        );
        Self::Bytes([head.as_bytes(), body].concat())
    }

    pub fn json(document: &Value) -> Self {
        Self::of("200 OK", "content-type: application/json\r\n", document.to_string().as_bytes())
    }

    pub fn keys(keys: &[&SigningKey]) -> Self {
        Self::json(&key_set(keys))
    }

    pub fn after(self, wait: Duration) -> Self {
        match self {
            Self::Bytes(bytes) => Self::Late(wait, bytes),
            other => other,
        }
    }
}

pub fn key_set(keys: &[&SigningKey]) -> Value {
    json!({ "keys": keys.iter().map(|key| key.public_jwk()).collect::<Vec<_>>() })
}

#[derive(Default)]
struct Script {
    answers: Mutex<BTreeMap<&'static str, Answer>>,
    /// Requests by path, including those that got no answer.
    asked: Mutex<BTreeMap<String, usize>>,
    tls: Mutex<Option<Arc<ServerConfig>>>,
}

pub struct KeyServer {
    pub address: SocketAddr,
    script: Arc<Script>,
    serving: Mutex<Option<JoinHandle<()>>>,
}

/// A certificate for 127.0.0.1 that is its own CA.
pub struct Certificate {
    pub pem: String,
    config: Arc<ServerConfig>,
}

impl Certificate {
    pub fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        Self { pem: made.cert.pem(), config: Arc::new(config) }
    }
}

impl KeyServer {
    pub async fn start(keys: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Self { address, script: Arc::default(), serving: Mutex::default() };
        server.says(keys);
        server.serve(listener);
        server
    }

    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}{KEYS}", self.address)
    }

    /// Sets the answer from now on.
    pub fn says(&self, keys: Answer) {
        self.says_at(KEYS, keys);
    }

    pub fn says_at(&self, path: &'static str, answer: Answer) {
        self.script.answers.lock().unwrap().insert(path, answer);
    }

    pub fn presents(&self, certificate: &Certificate) {
        *self.script.tls.lock().unwrap() = Some(certificate.config.clone());
    }

    pub fn asked(&self, path: &str) -> usize {
        self.script.asked.lock().unwrap().get(path).copied().unwrap_or_default()
    }

    /// Closes the listening socket.
    pub async fn goes_down(&self) {
        let serving = self.serving.lock().unwrap().take();
        if let Some(serving) = serving {
            serving.abort();
            // The socket is closed only once its task has ended.
            let _ = serving.await;
        }
    }

    pub async fn comes_back(&self) {
        self.serve(TcpListener::bind(self.address).await.unwrap());
    }

    fn serve(&self, listener: TcpListener) {
        let script = self.script.clone();
        let serving = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let script = script.clone();
                tokio::spawn(async move {
                    let tls = script.tls.lock().unwrap().clone();
                    match tls {
                        None => answer(stream, &script).await,
                        Some(config) => {
                            // A client that does not trust the certificate disconnects.
                            if let Ok(stream) = TlsAcceptor::from(config).accept(stream).await {
                                answer(stream, &script).await;
                            }
                        }
                    }
                });
            }
        });
        *self.serving.lock().unwrap() = Some(serving);
    }
}

/// One request, one answer.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, script: &Script) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap();
    *script.asked.lock().unwrap().entry(path.to_owned()).or_default() += 1;
    let told = script.answers.lock().unwrap().get(path).cloned();
    let bytes = match told.unwrap_or_else(|| Answer::of("404 Not Found", "", b"")) {
        Answer::Bytes(bytes) => bytes,
        Answer::Late(wait, bytes) => {
            tokio::time::sleep(wait).await;
            bytes
        }
        Answer::Silence => return std::future::pending().await,
    };
    // The client may close before it has read everything.
    let _ = stream.write_all(&bytes).await;
    let _ = stream.shutdown().await;
}
