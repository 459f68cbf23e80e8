//! Why the admin port refuses, and the next step: the one shape of its errors.

use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use serde_json::json;

/// A refusal; 400 unless it says otherwise.
#[derive(Debug)]
pub(super) struct AdminRefusal {
    status: StatusCode,
    message: String,
    help: String,
    field: Option<(&'static str, &'static str)>,
}

impl AdminRefusal {
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into(), help: help.into(), field: None }
    }

    /// Status, message and the next step.
    pub(super) fn into_parts(self) -> (StatusCode, String, String) {
        (self.status, self.message, self.help)
    }

    pub(super) fn with(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Too many questions at once (RFC 9110, sections 15.6.4 and 10.2.3).
    pub(super) fn busy() -> Self {
        let field = Some(("retry-after", "1"));
        let refused = Self::new("other questions are being answered", "ask again in a second")
            .with(StatusCode::SERVICE_UNAVAILABLE);
        Self { field, ..refused }
    }

    pub(super) fn broke_off() -> Self {
        Self::new("the explanation failed", "the log says why").with(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// No token, or not the right one; `challenge` is what RFC 6750, section 3, says to answer.
    pub(super) fn unauthorized(message: &str, challenge: &'static str) -> Self {
        let field = Some(("www-authenticate", challenge));
        let help = "send `Authorization: Bearer` with the token that `admin.explain.token_file` holds";
        Self { field, ..Self::new(message, help).with(StatusCode::UNAUTHORIZED) }
    }
}

impl IntoResponse for AdminRefusal {
    fn into_response(self) -> Response {
        let Self { status, message, help, field } = self;
        let mut response =
            (status, Json(json!({ "error": { "message": message, "help": help } }))).into_response();
        let field =
            field.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        response.headers_mut().extend(field);
        response
    }
}
