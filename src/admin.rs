//! The endpoints for the operator and Prometheus, on an address of their own.

mod console;
mod decisions;
mod desk;
mod explain;
mod hosts;
mod instruments;
mod log;
mod places;
mod refused;
mod reloads;
mod scrape;
mod serving;
pub(crate) mod settings;
mod surface;
mod told;
mod watched;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use serde_json::json;
use tokio::sync::watch;

use self::console::LiveClients;
use self::desk::Desk;
use self::hosts::Hosts;
pub use self::instruments::Instruments;
pub use self::reloads::{ReloadChange, ReloadReport, ReloadReporter};
use self::scrape::{ScrapeWanted, Scrapes};
pub use self::settings::{AdminSettings, Explain};
pub use self::surface::Admin;
use self::surface::Surface;
use self::told::{PolicyReaders, TokenFile};
use crate::assertion;
use crate::listener::ListenSocket;
use crate::metrics::Exposition;

impl Admin {
    /// Serves until the process ends, or another one serves on the same sockets. Where policy has an address of its
    /// own, it can be read only there. Unready once `shutdown` turns true.
    ///
    /// # Errors
    /// Where a thread cannot be started.
    pub async fn serve(
        self,
        settings: AdminSettings,
        listening: Arc<ListenSocket>,
        explain: Option<Arc<ListenSocket>>,
        mut shutdown: watch::Receiver<bool>,
    ) -> std::io::Result<()> {
        let draining = self.draining.clone();
        tokio::spawn(async move {
            // An error means that the sender is gone: the process is ending.
            let _ = shutdown.wait_for(|shutting_down| *shutting_down).await;
            draining.store(true, Ordering::Release);
        });
        let told = match &settings.explain {
            None => PolicyReaders::Never,
            Some(Explain { token_file: Some(path), .. }) => PolicyReaders::Bearer(TokenFile::watch(path)?),
            Some(Explain { token_file: None, .. }) => PolicyReaders::Always,
        };
        let connections = settings.connections;
        let scrapes = Arc::new(scrapes(self.clone())?);
        let surface = Surface {
            admin: self,
            told: if explain.is_some() { PolicyReaders::Never } else { told.clone() },
            hosts: Arc::new(Hosts::new(settings.hosts)),
            desk: Arc::new(Desk::open(connections)?),
            scrapes,
            sessions: Arc::default(),
            live_clients: LiveClients::new(connections),
        };
        // Answers until the process ends: an operator wants to look during a drain.
        let serve = |listening, surface| serving::serve(listening, routes(surface), connections);
        match explain {
            None => serve(listening, surface).await,
            Some(explain) => {
                let live_clients = LiveClients::new(connections);
                let telling = Surface { told, sessions: Arc::default(), live_clients, ..surface.clone() };
                tokio::join!(serve(listening, surface), serve(explain, telling));
            }
        }
        Ok(())
    }
}

/// Probes are answered whatever the `Host` is, and so are the keys, which are public: a web page may read both.
fn routes(surface: Surface) -> Router {
    let named = Router::new()
        .route("/metrics", get(metrics))
        .route("/explain", post(explain::answer).layer(DefaultBodyLimit::max(explain::MAX_BODY)))
        .route("/log", get(log::show).put(log::set).post(log::set).delete(log::reset))
        .route("/decisions", get(decisions::list))
        .route("/decisions/{id}", get(decisions::one))
        .route("/version", get(async || Json(json!({ "version": env!("CARGO_PKG_VERSION") }))))
        .merge(console::routes())
        .route_layer(middleware::from_fn_with_state(surface.clone(), by_name));
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/jwks", get(jwks))
        .merge(named)
        .with_state(surface)
}

async fn by_name(State(surface): State<Surface>, request: Request, next: Next) -> Response {
    match surface.hosts.judge(request.uri(), request.version(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    }
}

/// Whether it is ready; for those who may read policy also why not, and the revision.
async fn ready(State(surface): State<Surface>, request: Parts) -> Response {
    let answer = readyz(State(surface.admin.clone())).await;
    if surface.tells(&request) {
        return answer;
    }
    let status = answer.status();
    (status, Json(json!({ "ready": status.is_success() }))).into_response()
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let reasons = admin.unready();
    let live = admin.engine.live();
    let shadows = live.shadows().shadows().revisions();
    let shadows: serde_json::Map<_, _> =
        shadows.map(|(directory, revision)| (directory.display().to_string(), revision.into())).collect();
    let reloads = (admin.reloads)();
    let failed: serde_json::Map<_, _> =
        reloads.failed.into_iter().map(|(part, why)| (part.to_owned(), why.into())).collect();
    // A failed reload does not make the gate unready: the state in force is good.
    let body = json!({
        "ready": reasons.is_empty(),
        "reasons": reasons,
        "skippedKeys": admin.skipped_keys(),
        "policyRevision": live.snapshot.revision,
        "shadows": shadows,
        "lastReloadFailure": reloads.failure,
        "failedParts": failed,
        "restartNeeded": reloads.restart,
        "audit": admin.audit(),
    });
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}

/// The keys that verify assertions, where there are any.
async fn jwks(State(admin): State<Admin>) -> Response {
    let live = admin.engine.live();
    let Some(assertions) = live.assertions() else { return StatusCode::NOT_FOUND.into_response() };
    let headers =
        [(header::CONTENT_TYPE, assertion::MEDIA_TYPE), (header::CACHE_CONTROL, assertion::CACHE_CONTROL)];
    (headers, assertions.jwks()).into_response()
}

async fn metrics(State(surface): State<Surface>, request: Parts) -> Response {
    let accepted = request.headers.get_all(header::ACCEPT).iter();
    let format = Exposition::asked_for(accepted.filter_map(|value| value.to_str().ok()));
    let wanted = ScrapeWanted { format, tells: surface.tells(&request) };
    match surface.scrapes.text(wanted).await {
        Some(text) => ([(header::CONTENT_TYPE, format.media_type())], text.to_string()).into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Reads the metrics. What shows a state is asked for it at each scrape.
fn scrapes(admin: Admin) -> std::io::Result<Scrapes> {
    Scrapes::open(move || admin.metrics.scrape(|| admin.update_instruments()))
}
