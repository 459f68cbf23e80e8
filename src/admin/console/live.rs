//! `GET /console/live`: decisions as they come, as server-sent events (HTML, "Server-sent events").
//!
//! The stream looks into the memory twice a second, and sends a few rows each time: neither requests nor the audit log
//! wait for it. A client that takes nothing is closed as any other of this port is (`places.rs`).

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use maud::html;
use tokio::sync::OwnedSemaphorePermit;

use super::access;
use super::layout::row;
use super::sections::decisions;
use crate::admin::decisions::DecisionQuery;
use crate::admin::refused::AdminRefusal;
use crate::admin::surface::Surface;
use crate::clock;
use crate::recent::{DecisionFacts, DecisionFilter, RecentLine};

/// From one look into the memory to the next.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Less than an idle connection may last.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// Lines of one look, and rows of one event. Of more, the newest are shown.
const MOST_LINES: usize = 200;
const MOST_ROWS: usize = 50;

struct LiveStream {
    surface: Surface,
    headers: HeaderMap,
    filter: DecisionFilter,
    /// The number of the last line that was looked at; `None` once the stream has ended.
    after: Option<u64>,
    _place: OwnedSemaphorePermit,
}

/// The stream of the decisions that come from now on, or after a number.
pub(super) async fn stream(
    State(surface): State<Surface>,
    headers: HeaderMap,
    query: Result<Query<DecisionQuery>, QueryRejection>,
) -> Response {
    if let Err(refused) = access::told(&surface, &headers, "/") {
        return *refused;
    }
    let Some(query) = query.ok().map(|Query(query)| query).filter(|query| query.limit.is_none()) else {
        let help = "parameters are after, reason, service and principal";
        return AdminRefusal::new("these are not parameters of the stream", help).into_response();
    };
    let Some(place) = surface.live_clients.place() else {
        return AdminRefusal::busy().into_response();
    };
    // A browser that connects again says what it has seen.
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    let last = surface.admin.recent.last_number();
    let after = seen.or(query.after).map_or(last, |after| after.min(last));
    let begun = LiveStream { surface, headers, filter: query.filter(), after: Some(after), _place: place };
    let events = stream::unfold(begun, |mut live| async move {
        let event = live.next().await?;
        Some((Ok::<_, Infallible>(event), live))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response()
}

impl LiveStream {
    /// Waits for decisions. The last event says that the session has ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let after = self.after?;
            tokio::time::sleep(LOOK_EVERY).await;
            if !self.surface.reader(&self.headers).is_told() {
                self.after = None;
                return Some(Event::default().event("end").data("the session has ended"));
            }
            let newer = self.surface.admin.recent.newer(after, MOST_LINES);
            self.after = Some(newer.last);
            let parsed =
                newer.lines.iter().rev().filter_map(|line: &RecentLine| DecisionFacts::parse(&line.text));
            let shown: Vec<DecisionFacts> =
                parsed.filter(|facts| self.filter.lets(facts)).take(MOST_ROWS).collect();
            if !shown.is_empty() {
                let now = clock::now();
                let rows = html! {
                    @for facts in &shown { (row(&decisions::COLUMNS, &decisions::cells(facts, now))) }
                };
                let event = Event::default().event("decisions").id(newer.last.to_string());
                return Some(event.data(rows.into_string()));
            }
        }
    }
}
