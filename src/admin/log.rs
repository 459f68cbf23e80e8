//! `/log`: the filter of the operator's log, for those who may read policy. `PUT` sets another one, for a while or until the
//! configuration changes; `DELETE` puts the configured one back.

use std::time::{Duration, Instant};

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Json, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::explain::refuse_pages;
use super::refused::AdminRefusal;
use super::surface::Surface;
use crate::document::scalar::parse_duration;
use crate::telemetry::LogFilterStatus;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogRequest {
    filter: String,
    /// For how long: `10m`.
    lasts: Option<String>,
}

/// The filter in force.
pub(super) async fn show(State(surface): State<Surface>, headers: HeaderMap) -> Response {
    answer(surface.told.judge(&headers).map(|()| surface.admin.log.status()))
}

/// Puts the configured filter back.
pub(super) async fn reset(State(surface): State<Surface>, headers: HeaderMap) -> Response {
    let judged = refuse_pages(&headers).and_then(|()| surface.told.judge(&headers));
    answer(judged.map(|()| {
        surface.admin.log.reset();
        told(&surface)
    }))
}

/// Puts another filter in force.
pub(super) async fn set(State(surface): State<Surface>, request: Request) -> Response {
    answer(change(&surface, request).await)
}

async fn change(surface: &Surface, request: Request) -> Result<LogFilterStatus, AdminRefusal> {
    refuse_pages(request.headers())?;
    surface.told.judge(request.headers())?;
    let Json(LogRequest { filter, lasts }) = Json::from_request(request, &()).await.map_err(unread)?;
    let lasts = lasts.as_deref().map(duration).transpose()?;
    let log = &surface.admin.log;
    let change = log.set(&filter, lasts).map_err(|why| {
        AdminRefusal::new(
            format!("this is not a log filter: {why}"),
            "for example `debug` or `info,opgate=debug`",
        )
    })?;
    if let Some(lasts) = lasts {
        let log = log.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(lasts) => {}
                () = log.superseded(change) => return,
            }
            if log.end(change) {
                tracing::info!(filter = log.status().filter, "the log filter is the configured one again");
            }
        });
    }
    Ok(told(surface))
}

/// Says in the log that it was changed, and gives the filter in force.
fn told(surface: &Surface) -> LogFilterStatus {
    let status = surface.admin.log.status();
    tracing::info!(filter = status.filter, "the log filter was changed at the admin port");
    status
}

fn duration(text: &str) -> Result<Duration, AdminRefusal> {
    parse_duration(text).ok_or_else(|| {
        AdminRefusal::new("`lasts` is not a duration", "write `30s`, `10m` or `1h`, or leave it out")
    })
}

fn unread(rejection: JsonRejection) -> AdminRefusal {
    let help = "send `{\"filter\": \"debug\", \"lasts\": \"10m\"}` with `Content-Type: application/json`";
    AdminRefusal::new("the body cannot be read", help).with(rejection.status())
}

fn answer(found: Result<LogFilterStatus, AdminRefusal>) -> Response {
    match found {
        Ok(status) => Json(shown(&status)).into_response(),
        Err(refused) => refused.into_response(),
    }
}

fn shown(status: &LogFilterStatus) -> Value {
    let left = status.until.map(|until| until.saturating_duration_since(Instant::now()));
    json!({
        "filter": status.filter,
        "configured": status.configured,
        "lasts": left.map(|left| format!("{}s", left.as_secs())),
    })
}
