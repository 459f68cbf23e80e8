//! The console: one page at `GET /` that says how the gate is, and pages behind it that say why a call was refused.
//!
//! Everything is read-only and made by the gate itself: no script is needed, nothing is loaded from elsewhere. Every value
//! is escaped by the library that writes the HTML; many of them were chosen by clients. Names (callers, methods,
//! resources, issuers, backends) are told only to those who may read policy here: see `access.rs`.

mod access;
mod ask;
mod layout;
mod live;
mod live_clients;
mod metric;
mod overview;
mod scraped;
mod sections;
mod session;
mod state;
mod words;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware;
use axum::response::Response;
use axum::routing::{get, post};

use self::layout::{HEADERS, refusal};
pub(super) use self::live_clients::LiveClients;
use self::scraped::Scraped;
pub(super) use self::session::Sessions;
use self::state::GateView;
use super::refused::AdminRefusal;
use super::scrape::ScrapeWanted;
use super::surface::Surface;
use crate::metrics::Exposition;
use crate::recent::DecisionFilter;

/// Longest body of a login, in bytes: a token has at most 4,096, which a form may write as three letters each.
const MAX_LOGIN: usize = 16 * 1024;

/// The console's pages.
pub(super) fn routes() -> Router<Surface> {
    Router::new()
        .route("/", get(home))
        .route("/console/decision", get(ask::decision))
        .route("/console/explain", get(ask::explanation))
        .route("/console/who-can", get(ask::who_can))
        .route("/console/live", get(live::stream))
        .route("/console/login", post(access::login).layer(DefaultBodyLimit::max(MAX_LOGIN)))
        .route("/console/logout", post(access::logout))
        .route("/console/style.css", get(layout::style))
        .route("/console/live.js", get(layout::script))
        .route("/console/icon.svg", get(layout::icon))
        .route_layer(middleware::map_response(with_headers))
}

async fn with_headers(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, value);
    }
    response
}

/// How the gate is.
async fn home(
    State(surface): State<Surface>,
    headers: HeaderMap,
    filter: Result<Query<DecisionFilter>, QueryRejection>,
) -> Response {
    let reader = surface.reader(&headers);
    let Ok(Query(filter)) = filter else {
        let help = "the page takes reason, service and principal";
        return refusal(
            AdminRefusal::new("the address of this page is not one of the console's", help),
            reader.has_session(),
        );
    };
    let Some(text) = surface.scrapes.text(ScrapeWanted { format: Exposition::Prometheus, tells: true }).await
    else {
        return refusal(AdminRefusal::broke_off(), reader.has_session());
    };
    let page = surface.work(move |admin| {
        let scraped = Scraped::parse(&text);
        GateView::new(admin, scraped, reader, filter).page()
    });
    match page.await {
        Ok(page) => page.answer(StatusCode::OK),
        Err(refused) => refusal(refused, reader.has_session()),
    }
}
