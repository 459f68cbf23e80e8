//! Writes error answers, in one place.
//!
//! An [`ErrorResponse`] is the whole response to a refused request: AIP-193 JSON with ErrorInfo, the challenge that RFC 6750
//! asks for, and Google's own headers, so that a client library reads it like one of Google's.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;

use crate::reason::Denial;

/// Tells the client the id of its request, with every answer.
pub const REQUEST_ID: &str = "x-request-id";

/// A response, not yet written.
#[derive(Clone, Debug)]
pub struct ErrorResponse {
    /// The status.
    pub status: StatusCode,
    /// The fields, `Content-Length` included.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body. Not sent in answer to HEAD.
    pub body: Bytes,
}

/// Turns a denial into the answer that the client gets. `next_nonce` is for the client's next proof of possession (RFC
/// 9449, section 8.2), where it is to hold one; the nonce that a denial asks for itself gives way to it.
pub fn answer(denial: &Denial, request_id: &str, next_nonce: Option<String>) -> ErrorResponse {
    let entry = denial.reason().entry();
    let metadata: serde_json::Map<String, serde_json::Value> =
        denial.metadata_entries().iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    let mut details = vec![json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": entry.name,
        "domain": denial.error_domain(),
        "metadata": metadata,
    })];
    details.extend(bad_request(denial));
    details.push(json!({
        "@type": "type.googleapis.com/google.rpc.RequestInfo",
        "requestId": request_id,
    }));
    let body = json!({
        "error": {
            "code": entry.status,
            "message": denial.public_message(),
            "status": entry.code,
            "details": details,
        }
    });
    let mut body = format!("{body:#}");
    body.push('\n');

    let mut headers = vec![
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8")),
        (header::CONTENT_LENGTH, HeaderValue::from(body.len())),
        (header::VARY, HeaderValue::from_static("Origin, X-Origin, Referer")),
        (header::CACHE_CONTROL, HeaderValue::from_static("private")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    let optional = [
        (header::WWW_AUTHENTICATE, denial.challenge()),
        (
            HeaderName::from_static("dpop-nonce"),
            next_nonce.or_else(|| denial.nonce_for_proofs().map(str::to_owned)),
        ),
        (header::ACCEPT_ENCODING, denial.accepted_codings().map(str::to_owned)),
        (header::ALLOW, denial.allowed_methods().map(str::to_owned)),
        (HeaderName::from_static(REQUEST_ID), Some(request_id.to_owned())),
    ];
    for (name, value) in optional {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            headers.push((name, value));
        }
    }
    let status = StatusCode::from_u16(entry.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    ErrorResponse { status, headers, body: body.into() }
}

/// The google.rpc.BadRequest of a denial that tells of mistakes in the message. A violation of the message itself names
/// no field.
fn bad_request(denial: &Denial) -> Option<serde_json::Value> {
    let violations: Vec<serde_json::Value> = denial
        .violations()
        .iter()
        .map(|violation| match &violation.field {
            Some(field) => json!({ "field": field, "description": violation.description }),
            None => json!({ "description": violation.description }),
        })
        .collect();
    (!violations.is_empty()).then(
        || json!({ "@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations }),
    )
}

impl ErrorResponse {
    /// The head of the answer as an HTTP/1.1 message. `fields` are those of the connection.
    pub fn http1_head(&self, fields: &[(HeaderName, HeaderValue)]) -> Vec<u8> {
        let mut message = format!("HTTP/1.1 {}\r\n", self.status).into_bytes();
        for (name, value) in self.headers.iter().chain(fields) {
            message.extend_from_slice(name.as_str().as_bytes());
            message.extend_from_slice(b": ");
            message.extend_from_slice(value.as_bytes());
            message.extend_from_slice(b"\r\n");
        }
        message.extend_from_slice(b"\r\n");
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;

    fn rendered(denial: &Denial) -> String {
        let answer = answer(denial, "3f0a", None);
        let mut message = answer.http1_head(&[(header::CONNECTION, HeaderValue::from_static("close"))]);
        message.extend_from_slice(&answer.body);
        String::from_utf8(message).unwrap().replace('\r', "")
    }

    #[test]
    fn a_missing_credential_reads_like_googles() {
        let denial = Denial::new(Reason::CredentialsMissing, "no credential was sent")
            .metadata("service", "cloudaicompanion.googleapis.com")
            .metadata("method", "google.longrunning.Operations.CancelOperation");
        insta::assert_snapshot!(rendered(&denial));
    }

    #[test]
    fn a_missing_scope_names_the_scopes_that_would_do() {
        let denial = Denial::new(Reason::ScopeInsufficient, "the token's scopes are ``")
            .scopes("https://www.googleapis.com/auth/cloud-platform https://www.googleapis.com/auth/cloud-translation");
        insta::assert_snapshot!(rendered(&denial));
    }

    #[test]
    fn a_wrong_method_names_the_right_ones() {
        let denial = Denial::new(Reason::HttpMethodNotAllowed, "GET is not bound here").allow("DELETE, POST");
        insta::assert_snapshot!(rendered(&denial));
    }

    #[test]
    fn a_mistake_in_the_body_is_worded_as_google_words_it() {
        let told = "Invalid JSON payload received. Unknown name \"x\": Cannot find field.";
        let denial = Denial::new(Reason::BodyRefused, told).told().violation(None, told);
        insta::assert_snapshot!(rendered(&denial));
    }

    #[test]
    fn an_unsupported_coding_is_answered_with_those_that_would_do() {
        insta::assert_snapshot!(rendered(&Denial::new(Reason::BodyCodingUnsupported, "br")));
    }

    #[test]
    fn details_of_policy_and_tokens_stay_inside() {
        let denial = Denial::new(Reason::TokenInvalid, "the signature does not match key `k1`");
        assert!(!rendered(&denial).contains("k1"));
    }
}
