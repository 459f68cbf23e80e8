//! What the operator and Prometheus ask, on an address of its own.

mod explain;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::assertion;
use crate::clock;
use crate::listener::Listening;
use crate::proxy::Proxy;
use crate::reload::Status;

/// What the endpoints look at.
#[derive(Clone)]
pub struct Admin {
    proxy: Proxy,
    draining: Arc<AtomicBool>,
    reloads: Arc<ArcSwap<Status>>,
}

impl Admin {
    /// Endpoints that tell of `proxy`, and of what keeps its parts from being as the files say.
    pub fn new(proxy: Proxy, reloads: Arc<ArcSwap<Status>>) -> Self {
        Self { proxy, draining: Arc::default(), reloads }
    }

    /// Why requests should not be sent here, or nothing.
    pub fn unready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.draining.load(Ordering::Acquire) {
            reasons.push("the process is draining".to_owned());
        }
        for (issuer, why) in self.proxy.live().snapshot.authn.readiness(clock::now()) {
            reasons.push(format!("issuer `{issuer}`: {why}"));
        }
        reasons
    }

    /// Serves until the process ends, or another one does so on the same socket. Unready once `shutdown` turns true.
    ///
    /// # Errors
    /// Where the socket fails.
    pub async fn serve(
        self,
        listening: Arc<Listening>,
        mut shutdown: watch::Receiver<bool>,
    ) -> std::io::Result<()> {
        let draining = self.draining.clone();
        let routes = Router::new()
            .route("/livez", get(async || "ok\n"))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .route("/jwks", get(jwks))
            .route("/explain", post(explain::answer).layer(DefaultBodyLimit::max(explain::MAX_BODY)))
            .route("/version", get(async || Json(json!({ "version": env!("CARGO_PKG_VERSION") }))))
            .with_state(self);
        tokio::spawn(async move {
            // An error means that nobody can ask for a shutdown any more: the process is ending.
            let _ = shutdown.wait_for(|shutting_down| *shutting_down).await;
            draining.store(true, Ordering::Release);
        });
        // Answers until the process ends: a drain is when one wants to look.
        let passed_on = listening.clone();
        let until_passed_on = async move { passed_on.passed_on().await };
        axum::serve(Accepting(listening), routes).with_graceful_shutdown(until_passed_on).await
    }
}

/// A listening socket as axum takes it.
struct Accepting(Arc<Listening>);

impl axum::serve::Listener for Accepting {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.0.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::error!(%error, "a connection to the admin address could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.0.bound())
    }
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let reasons = admin.unready();
    let revision = admin.proxy.live().snapshot.revision.clone();
    let reloads = admin.reloads.load();
    let failed: serde_json::Map<_, _> =
        reloads.failures().into_iter().map(|(part, why)| (part.as_str().to_owned(), why.into())).collect();
    // A failed reload does not make the gate unready: what is in force is good.
    let body = json!({
        "ready": reasons.is_empty(),
        "reasons": reasons,
        "policyRevision": revision,
        "lastReloadFailure": reloads.failure(),
        "failedParts": failed,
        "restartNeeded": reloads.restart,
    });
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}

/// The keys that verify assertions, where there are any.
async fn jwks(State(admin): State<Admin>) -> Response {
    let live = admin.proxy.live();
    let Some(assertions) = live.assertions() else { return StatusCode::NOT_FOUND.into_response() };
    let headers =
        [(header::CONTENT_TYPE, assertion::MEDIA_TYPE), (header::CACHE_CONTROL, assertion::CACHE_CONTROL)];
    (headers, assertions.jwks()).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let live = admin.proxy.live();
    let endpoints = live.upstreams().status();
    match admin.proxy.metrics().render(&live.snapshot.authn, &endpoints, clock::now()) {
        Ok(text) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the metrics could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
