//! `POST /explain`: a question as JSON, answered by the snapshot that requests are judged by at this moment.
//!
//! A token that is asked about is verified and never written anywhere.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Admin;
use crate::clock;
use crate::explain::explain;
use crate::policy::explain::Extent;
use crate::question::written::{self, Unreadable};
use crate::question::{Mistake, Question, Token, What, Who};

/// Longest body, in bytes: room for a token or its claims.
pub(super) const MAX_BODY: usize = 64 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    principal: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    claims: Option<Map<String, Value>>,
    token: Option<String>,
    scopes: Option<Vec<String>>,
    request: Option<RequestLine>,
    method: Option<String>,
    resource: Option<String>,
    host: Option<String>,
    time: Option<String>,
    ip: Option<String>,
    #[serde(default)]
    all: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestLine {
    method: String,
    path: String,
    host: Option<String>,
}

/// Why a body is not answered.
struct Refused {
    status: StatusCode,
    message: String,
    help: String,
}

impl Refused {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into(), help: help.into() }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self { status, message, help } = self;
        (status, Json(json!({ "error": { "message": message, "help": help } }))).into_response()
    }
}

impl From<Unreadable> for Refused {
    fn from(unreadable: Unreadable) -> Self {
        Self::new(unreadable.message, unreadable.help)
    }
}

impl From<Mistake> for Refused {
    fn from(mistake: Mistake) -> Self {
        Self::new(mistake.to_string(), mistake.help(|host| format!("`\"host\": \"{host}\"`")))
    }
}

/// Answers a question; 400 where it is not clear.
pub(super) async fn answer(
    State(admin): State<Admin>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match ask(admin, &headers, body).await {
        Ok(answer) => Json(answer).into_response(),
        Err(refused) => refused.into_response(),
    }
}

async fn ask(
    admin: Admin,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Value, Refused> {
    // A page in somebody's browser can send a form here, but no JSON that it was not allowed to.
    let is_json =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
            value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
        });
    if !is_json {
        let refused = Refused::new("the body is not JSON", "send `Content-Type: application/json`");
        return Err(Refused { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, ..refused });
    }
    let body = body.map_err(|rejection| {
        let status = match rejection {
            BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            _ => StatusCode::BAD_REQUEST,
        };
        let help = format!("send at most {MAX_BODY} bytes, whole");
        Refused { status, ..Refused::new("the body cannot be read", help) }
    })?;
    let body: Body = serde_json::from_slice(&body).map_err(|error| {
        // A fault of a value quotes it, and it may be a token: the place says enough.
        let what = match error.classify() {
            serde_json::error::Category::Data => "does not fit what can be asked",
            _ => "is not JSON",
        };
        Refused::new(
            format!("the body {what}, at line {}, column {}", error.line(), error.column()),
            "fields are principal, groups, claims, token, scopes, request {method, path, host}, method, resource, \
             host, time, ip and all",
        )
    })?;
    let extent = if body.all { Extent::All } else { Extent::Relevant };
    let mut question = question(body)?;
    let live = admin.proxy.live();
    question.look_up(&live.snapshot.authn).await;
    // A resource with very many bindings keeps a thread busy for a while.
    let explained = tokio::task::spawn_blocking(move || {
        explain(question, &live.snapshot, extent).map(|found| found.json())
    });
    match explained.await {
        Ok(Ok(json)) => Ok(json),
        Ok(Err(mistake)) => Err(mistake.into()),
        Err(error) => {
            tracing::error!("an explanation broke off: {error}");
            let refused = Refused::new("the explanation broke off", "the log says why");
            Err(Refused { status: StatusCode::INTERNAL_SERVER_ERROR, ..refused })
        }
    }
}

fn question(body: Body) -> Result<Question, Refused> {
    let origin = body.ip.as_deref().map(written::address).transpose()?;
    let time = body.time.as_deref().map(written::time).transpose()?;
    let who = match (body.principal, body.claims, body.token) {
        (None, None, None) if body.groups.is_empty() => Who::Anonymous,
        (Some(principal), None, None) => Who::Principal {
            principal: written::principal(&principal)?,
            sets: body.groups.iter().map(|group| written::set(group)).collect::<Result<_, _>>()?,
        },
        (None, Some(claims), None) if body.groups.is_empty() => Who::Claims(claims),
        (None, None, Some(token)) if body.groups.is_empty() && body.scopes.is_none() => {
            Who::Token(Token::new(&token))
        }
        _ => {
            return Err(Refused::new(
                "the question says in several ways who calls",
                "send `principal` with `groups`, or `claims`, or `token` alone, or nothing for an anonymous caller",
            ));
        }
    };
    let what = match (body.request, body.method, body.resource, body.host) {
        (Some(RequestLine { method, path, host }), None, None, None) => {
            written::request(&method, &path, host.as_deref())?
        }
        (None, Some(method), Some(resource), host) => {
            What::Method { method, resource, host: host.map(|host| host.to_ascii_lowercase()) }
        }
        _ => {
            return Err(Refused::new(
                "the question does not say what is called, or says it twice",
                "send `request`, with the host in it if need be, or `method` and `resource`",
            ));
        }
    };
    Ok(Question { who, scopes: body.scopes, what, time: time.unwrap_or_else(clock::now), origin })
}
