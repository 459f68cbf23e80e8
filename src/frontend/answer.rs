//! The answers that a front end writes itself: refusals, and the keys that verify the gate's assertions.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::assertion;
use crate::engine::Exchange;
use crate::reason::Denial;
use crate::respond::{self, ErrorResponse};

/// The answer to a refused request.
pub(super) fn refusal(exchange: &Exchange, denial: &Denial) -> ErrorResponse {
    respond::answer(denial, &exchange.arrival.request_id, exchange.next_nonce())
}

/// The keys that verify assertions, and what is said of them.
pub(super) fn keys(jwks: Bytes) -> ErrorResponse {
    let headers: Vec<(HeaderName, HeaderValue)> = vec![
        (header::CONTENT_TYPE, HeaderValue::from_static(assertion::MEDIA_TYPE)),
        (header::CONTENT_LENGTH, HeaderValue::from(jwks.len())),
        (header::CACHE_CONTROL, HeaderValue::from_static(assertion::CACHE_CONTROL)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    ErrorResponse { status: StatusCode::OK, headers, body: jwks }
}
