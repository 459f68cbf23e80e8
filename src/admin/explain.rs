//! `POST /explain`: a question as JSON, answered by the snapshot in force.
//!
//! A token in a question is verified and never written anywhere.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::desk::AnswerPermit;
use super::places::{ConnectionPhase, Progress};
use super::refused::AdminRefusal;
use super::surface::{Admin, Surface};
use crate::clock;
use crate::explain::explain;
use crate::policy::explain::Extent;
use crate::simulation::written::{self, ScenarioSyntaxError};
use crate::simulation::{Scenario, ScenarioCall, ScenarioCaller, ScenarioError, ScenarioToken};

/// Longest body, in bytes: room for a token or its claims.
pub(super) const MAX_BODY: usize = 64 * 1024;

/// From a question to its answer, with every look-up and wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExplainRequest {
    principal: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    claims: Option<Map<String, Value>>,
    token: Option<String>,
    scopes: Option<Vec<String>>,
    request: Option<RequestLine>,
    method: Option<String>,
    resource: Option<String>,
    grpc: Option<RpcLine>,
    host: Option<String>,
    time: Option<String>,
    ip: Option<String>,
    #[serde(default)]
    all: bool,
}

/// A call over gRPC.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RpcLine {
    method: String,
    message: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestLine {
    method: String,
    path: String,
    host: Option<String>,
}

impl From<ScenarioSyntaxError> for AdminRefusal {
    fn from(unreadable: ScenarioSyntaxError) -> Self {
        Self::new(unreadable.message, unreadable.help)
    }
}

impl From<ScenarioError> for AdminRefusal {
    fn from(mistake: ScenarioError) -> Self {
        Self::new(mistake.to_string(), mistake.help(|host| format!("`\"host\": \"{host}\"`")))
    }
}

/// Answers a question; 400 where it is not clear.
pub(super) async fn answer(State(surface): State<Surface>, request: Request) -> Response {
    match ask(&surface, request).await {
        Ok(answer) => ([(header::CONTENT_TYPE, "application/json")], answer).into_response(),
        Err(refused) => refused.into_response(),
    }
}

async fn ask(surface: &Surface, request: Request) -> Result<Vec<u8>, AdminRefusal> {
    let headers = request.headers();
    refuse_pages(headers)?;
    surface.told.judge(headers)?;
    let is_json =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
            value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
        });
    if !is_json {
        return Err(AdminRefusal::new("the body is not JSON", "send `Content-Type: application/json`")
            .with(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let progress = request.extensions().get::<Progress>().cloned();
    let body = Bytes::from_request(request, &()).await.map_err(unread)?;
    // The client has sent everything: from here on it waits for the gate.
    if let Some(progress) = progress {
        progress.enter(ConnectionPhase::Answering);
    }
    let (question, extent) = read(&body)?;
    let place = surface.desk.place().ok_or_else(AdminRefusal::busy)?;
    match tokio::time::timeout(ANSWER_TIMEOUT, explained(surface, question, extent, place)).await {
        Ok(answer) => answer,
        Err(_) => Err(overdue()),
    }
}

fn overdue() -> AdminRefusal {
    let help = "the explanation takes too long, or an issuer does not answer";
    AdminRefusal::new(format!("no explanation within {ANSWER_TIMEOUT:?}"), help)
        .with(StatusCode::SERVICE_UNAVAILABLE)
}

impl Surface {
    /// The result of `work`, which a thread does that serves no requests.
    ///
    /// # Errors
    /// Where too many questions are being answered, or the answer takes too long.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Admin) -> T + Send + 'static,
    ) -> Result<T, AdminRefusal> {
        let place = self.desk.place().ok_or_else(AdminRefusal::busy)?;
        let admin = self.admin.clone();
        let worked = self.desk.work(place, move || work(&admin));
        match tokio::time::timeout(ANSWER_TIMEOUT, worked).await {
            Ok(worked) => worked.ok_or_else(AdminRefusal::broke_off),
            Err(_) => Err(overdue()),
        }
    }
}

/// A page in a browser can send a form here. It cannot send JSON without permission, nor a request without `Origin`.
pub(super) fn refuse_pages(headers: &HeaderMap) -> Result<(), AdminRefusal> {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let is_of_a_page = headers.contains_key(header::ORIGIN) || site.is_some_and(|site| site != b"none");
    if is_of_a_page {
        return Err(AdminRefusal::new(
            "requests of web pages are refused",
            "ask from a program, without `Origin`",
        )
        .with(StatusCode::FORBIDDEN));
    }
    Ok(())
}

fn unread(rejection: BytesRejection) -> AdminRefusal {
    let status = match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
            StatusCode::PAYLOAD_TOO_LARGE
        }
        _ => StatusCode::BAD_REQUEST,
    };
    AdminRefusal::new("the body cannot be read", format!("send at most {MAX_BODY} bytes, whole")).with(status)
}

fn read(body: &[u8]) -> Result<(Scenario, Extent), AdminRefusal> {
    let body: ExplainRequest = serde_json::from_slice(body).map_err(|error| {
        // A fault of a value quotes the value, which may be a token: only its place is told.
        let what = match error.classify() {
            serde_json::error::Category::Data => "does not fit what can be asked",
            _ => "is not JSON",
        };
        AdminRefusal::new(
            format!("the body {what}, at line {}, column {}", error.line(), error.column()),
            "fields are principal, groups, claims, token, scopes, request {method, path, host}, \
             grpc {method, message}, method, resource, host, time, ip and all",
        )
    })?;
    let extent = if body.all { Extent::All } else { Extent::Relevant };
    Ok((question(body)?, extent))
}

/// The answer as JSON. A thread that serves no requests makes and writes it: a resource with very many bindings takes a
/// while.
async fn explained(
    surface: &Surface,
    mut question: Scenario,
    extent: Extent,
    place: AnswerPermit,
) -> Result<Vec<u8>, AdminRefusal> {
    let live = surface.admin.engine.live();
    question.look_up(&live.snapshot.authn).await;
    let explained = surface.desk.work(place, move || {
        let found = explain(question, &live.snapshot, extent).map_err(AdminRefusal::from)?;
        serde_json::to_vec(&found.json()).map_err(|error| {
            tracing::error!(%error, "cannot write an explanation");
            AdminRefusal::broke_off()
        })
    });
    explained.await.unwrap_or_else(|| Err(AdminRefusal::broke_off()))
}

fn says_nothing() -> AdminRefusal {
    AdminRefusal::new(
        "the question does not say what is called, or says it twice",
        "send `request`, with the host in it if need be, or `method` and `resource`, or `grpc` with method and message",
    )
}

fn question(body: ExplainRequest) -> Result<Scenario, AdminRefusal> {
    let origin = body.ip.as_deref().map(written::address).transpose()?;
    let time = body.time.as_deref().map(written::time).transpose()?;
    let who = match (body.principal, body.claims, body.token) {
        (None, None, None) if body.groups.is_empty() => ScenarioCaller::Anonymous,
        (Some(principal), None, None) => ScenarioCaller::Principal {
            principal: written::principal(&principal)?,
            sets: body.groups.iter().map(|group| written::set(group)).collect::<Result<_, _>>()?,
        },
        (None, Some(claims), None) if body.groups.is_empty() => ScenarioCaller::Claims(claims),
        (None, None, Some(token)) if body.groups.is_empty() && body.scopes.is_none() => {
            ScenarioCaller::Token(ScenarioToken::new(&token))
        }
        _ => {
            return Err(AdminRefusal::new(
                "the question says in several ways who calls",
                "send `principal` with `groups`, or `claims`, or `token` alone, or nothing for an anonymous caller",
            ));
        }
    };
    let what = match (body.request, body.method, body.resource, body.host) {
        (None, None, None, host) => match body.grpc {
            Some(RpcLine { method: rpc, message }) => {
                ScenarioCall::Rpc { rpc, message, host: host.map(|host| host.to_ascii_lowercase()) }
            }
            None => return Err(says_nothing()),
        },
        _ if body.grpc.is_some() => return Err(says_nothing()),
        (Some(RequestLine { method, path, host }), None, None, None) => {
            written::request(&method, &path, host.as_deref())?
        }
        (None, Some(method), Some(resource), host) => {
            ScenarioCall::Method { method, resource, host: host.map(|host| host.to_ascii_lowercase()) }
        }
        _ => return Err(says_nothing()),
    };
    Ok(Scenario { who, scopes: body.scopes, what, time: time.unwrap_or_else(clock::now), origin })
}
