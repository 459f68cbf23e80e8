//! The answers that a front end writes itself: refusals, the keys that verify the gate's assertions, and those to preflights.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::assertion;
use crate::engine::{Exchange, OwnAnswer};
use crate::reason::Denial;
use crate::respond::{self, ErrorResponse, REQUEST_ID};

/// The answer to a refused request.
pub(super) fn refusal(exchange: &Exchange, denial: &Denial) -> ErrorResponse {
    if exchange.is_grpc() {
        return respond::grpc::answer(denial, &exchange.arrival.request_id, exchange.next_nonce());
    }
    refusal_over_http(exchange, denial)
}

/// The same for a proxy that asks: it takes the status for the decision, and that of every answer over gRPC is 200.
pub(super) fn refusal_over_http(exchange: &Exchange, denial: &Denial) -> ErrorResponse {
    let mut answer = respond::answer(denial, &exchange.arrival.request_id, exchange.next_nonce());
    answer.headers.extend(exchange.cors_fields());
    answer
}

/// An answer of the gate's own.
pub(super) fn own(exchange: &Exchange, answer: OwnAnswer) -> ErrorResponse {
    let mut answer = match answer {
        OwnAnswer::Keys(jwks) => keys(jwks),
        OwnAnswer::Preflight(fields) => preflight(fields),
        OwnAnswer::ResourceMetadata(document) => metadata(document),
        OwnAnswer::Health(is_in_service) => health(is_in_service),
    };
    let id = HeaderValue::from_str(&exchange.arrival.request_id).ok();
    answer.headers.extend(id.map(|id| (HeaderName::from_static(REQUEST_ID), id)));
    answer
}

/// The answer to a preflight. It has no body, and so no length (RFC 9110, section 8.6).
fn preflight(fields: Vec<(HeaderName, HeaderValue)>) -> ErrorResponse {
    const VARY: &str = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
    let mut headers = vec![(header::VARY, HeaderValue::from_static(VARY))];
    headers.extend(fields);
    ErrorResponse { status: StatusCode::NO_CONTENT, headers, body: Bytes::new() }
}

/// The metadata of a service. It is public: a page of any origin may read it.
fn metadata(document: Bytes) -> ErrorResponse {
    let headers: Vec<(HeaderName, HeaderValue)> = vec![
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CONTENT_LENGTH, HeaderValue::from(document.len())),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    ErrorResponse { status: StatusCode::OK, headers, body: document }
}

/// The answer to a balancer's probe.
fn health(is_in_service: bool) -> ErrorResponse {
    let (status, text): (_, &'static [u8]) = match is_in_service {
        true => (StatusCode::OK, b"ok\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, b"not in service\n"),
    };
    let headers = vec![
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain")),
        (header::CONTENT_LENGTH, HeaderValue::from(text.len())),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    ErrorResponse { status, headers, body: Bytes::from_static(text) }
}

/// The keys that verify assertions, and what is said of them.
fn keys(jwks: Bytes) -> ErrorResponse {
    let headers: Vec<(HeaderName, HeaderValue)> = vec![
        (header::CONTENT_TYPE, HeaderValue::from_static(assertion::MEDIA_TYPE)),
        (header::CONTENT_LENGTH, HeaderValue::from(jwks.len())),
        (header::CACHE_CONTROL, HeaderValue::from_static(assertion::CACHE_CONTROL)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    ErrorResponse { status: StatusCode::OK, headers, body: jwks }
}
