//! `GET /decisions` and `GET /decisions/ID`: the last decisions, and one of them explained by the policy in force.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::explain::refuse_pages;
use super::refused::AdminRefusal;
use super::surface::{Admin, Surface};
use crate::explain::recorded::{LineOrigin, RecordedDecision, RecordedExplanation};
use crate::policy::explain::Extent;
use crate::recent::DecisionFilter;

/// Decisions of one answer, without `limit`.
const USUAL: usize = 100;

/// Most decisions of one answer.
const MOST: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionQuery {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    service: String,
    #[serde(default)]
    principal: String,
    /// Of a list alone.
    #[serde(default)]
    pub(super) limit: Option<usize>,
    /// Of the live stream alone.
    #[serde(default)]
    pub(super) after: Option<u64>,
}

impl DecisionQuery {
    pub(super) fn filter(self) -> DecisionFilter {
        let Self { reason, service, principal, .. } = self;
        DecisionFilter { reason, service, principal }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OneQuery {
    #[serde(default)]
    all: bool,
}

/// The newest decisions, as audit lines, newest first.
pub(super) async fn list(
    State(surface): State<Surface>,
    headers: HeaderMap,
    query: Result<Query<DecisionQuery>, QueryRejection>,
) -> Response {
    match listed(&surface, &headers, query).await {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(refused) => refused.into_response(),
    }
}

async fn listed(
    surface: &Surface,
    headers: &HeaderMap,
    query: Result<Query<DecisionQuery>, QueryRejection>,
) -> Result<Vec<u8>, AdminRefusal> {
    refuse_pages(headers)?;
    surface.told.judge(headers)?;
    let help = "parameters are reason, service, principal (parts of their names) and limit";
    let Query(query) = query.map_err(|error| AdminRefusal::new(error.body_text(), help))?;
    if query.after.is_some() {
        return Err(AdminRefusal::new("`after` is a parameter of the live stream", help));
    }
    let most = query.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&most) {
        return Err(AdminRefusal::new(format!("`limit` is not a number from 1 to {MOST}"), help));
    }
    let filter = query.filter();
    let recent = surface.admin.recent.clone();
    surface
        .work(move |_| {
            let lines = recent.last(&filter, most);
            let raw = lines.iter().map(|(line, _)| serde_json::from_str::<&RawValue>(&line.text));
            // Every line was parsed, so none is left out.
            let raw: Vec<&RawValue> = raw.filter_map(Result::ok).collect();
            serde_json::to_vec(&json!({ "decisions": raw })).map_err(|error| broken(&error))
        })
        .await?
}

/// One decision, and what the policy in force says to the same call.
pub(super) async fn one(
    State(surface): State<Surface>,
    Path(id): Path<String>,
    headers: HeaderMap,
    query: Result<Query<OneQuery>, QueryRejection>,
) -> Response {
    let allowed = refuse_pages(&headers).and_then(|()| surface.told.judge(&headers));
    let query = query.map_err(|error| AdminRefusal::new(error.body_text(), "the one parameter is all"));
    let answer = match allowed.and(query) {
        Ok(Query(query)) => explained(&surface, id, query.all).await,
        Err(refused) => Err(refused),
    };
    match answer {
        Ok(explanation) => {
            let mut told = explanation.json();
            if let Value::Object(fields) = &mut told {
                fields.insert("text".to_owned(), explanation.text().into());
            }
            Json(told).into_response()
        }
        Err(refused) => refused.into_response(),
    }
}

/// Looks a decision up and explains it.
pub(super) async fn explained(
    surface: &Surface,
    id: String,
    is_all: bool,
) -> Result<RecordedExplanation, AdminRefusal> {
    let extent = if is_all { Extent::All } else { Extent::Relevant };
    surface.work(move |admin| explain(admin, &id, extent)).await?
}

fn explain(admin: &Admin, id: &str, extent: Extent) -> Result<RecordedExplanation, AdminRefusal> {
    let quoted = Value::from(id).to_string();
    let is_it = |line: &str| RecordedDecision::is_about(line.as_bytes(), id);
    let Some(line) = admin.recent.find(&quoted, is_it) else {
        let lines = admin.recent.limits().lines;
        let help = format!(
            "the id is the `x-request-id` of the answer; the gate keeps {lines} decisions (`admin.recent`), half of \
             them denials, since its start: older ones are in the audit log (`opgate explain --request-id ID --audit \
             FILE`)"
        );
        return Err(AdminRefusal::new(format!("the gate does not remember a request `{id}`"), help)
            .with(StatusCode::NOT_FOUND));
    };
    let recorded = RecordedDecision::parse(line.text.as_bytes(), LineOrigin::Gate).map_err(|error| {
        tracing::error!(%error, "cannot read a line of the gate's own audit log");
        AdminRefusal::broke_off()
    })?;
    let live = admin.engine.live();
    recorded.explain(&live.snapshot, extent).map_err(AdminRefusal::from)
}

fn broken(error: &serde_json::Error) -> AdminRefusal {
    tracing::error!(%error, "cannot write the last decisions");
    AdminRefusal::broke_off()
}
