//! Writes error answers, in one place.
//!
//! An [`ErrorResponse`] is the whole response to a refused request: AIP-193 JSON with ErrorInfo, the challenge that RFC 6750
//! asks for, and Google's own headers, so that a client library reads it like one of Google's.

mod body;
pub mod grpc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::reason::Denial;

/// Tells the client the id of its request, with every answer.
pub const REQUEST_ID: &str = "x-request-id";

/// Room for the head of most answers.
const HEAD_BYTES: usize = 768;

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
    let body = body::of(denial, request_id);
    let mut headers = Vec::with_capacity(16);
    headers.extend([
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8")),
        (header::CONTENT_LENGTH, HeaderValue::from(body.len())),
        (header::VARY, HeaderValue::from_static("Origin, X-Origin, Referer")),
        (header::CACHE_CONTROL, HeaderValue::from_static("private")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ]);
    let nonce = match &next_nonce {
        Some(nonce) => HeaderValue::from_str(nonce).ok(),
        None => field(denial.nonce_for_proofs()),
    };
    let optional = [
        (header::WWW_AUTHENTICATE, denial.challenge().and_then(|value| HeaderValue::try_from(value).ok())),
        (HeaderName::from_static("dpop-nonce"), nonce),
        (header::ACCEPT_ENCODING, field(denial.accepted_codings())),
        (header::ALLOW, field(denial.allowed_methods())),
        (header::RETRY_AFTER, field(denial.retried_after())),
        (HeaderName::from_static(REQUEST_ID), field(Some(request_id))),
    ];
    headers.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
    let status = StatusCode::from_u16(entry.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    ErrorResponse { status, headers, body }
}

fn field(value: Option<&str>) -> Option<HeaderValue> {
    HeaderValue::from_str(value?).ok()
}

impl ErrorResponse {
    /// The answer as an HTTP/1.1 message, without the body where it answers a HEAD. `fields` are those of the connection.
    pub fn http1_message(&self, fields: &[(HeaderName, HeaderValue)], with_body: bool) -> Vec<u8> {
        let body: &[u8] = if with_body { &self.body } else { &[] };
        let mut message = Vec::with_capacity(HEAD_BYTES + body.len());
        message.extend_from_slice(b"HTTP/1.1 ");
        message.extend_from_slice(self.status.as_str().as_bytes());
        message.push(b' ');
        // As the library writes a status that it has no words for.
        let words = self.status.canonical_reason().unwrap_or("<unknown status code>");
        message.extend_from_slice(words.as_bytes());
        message.extend_from_slice(b"\r\n");
        for (name, value) in self.headers.iter().chain(fields) {
            message.extend_from_slice(name.as_str().as_bytes());
            message.extend_from_slice(b": ");
            message.extend_from_slice(value.as_bytes());
            message.extend_from_slice(b"\r\n");
        }
        message.extend_from_slice(b"\r\n");
        message.extend_from_slice(body);
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;

    fn rendered(denial: &Denial) -> String {
        let answer = answer(denial, "3f0a", None);
        let fields = [(header::CONNECTION, HeaderValue::from_static("close"))];
        let message = answer.http1_message(&fields, true);
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
    fn a_refusal_says_when_to_ask_again_if_that_is_known() {
        let unavailable = |time| Denial::new(Reason::UpstreamUnavailable, "x").retry_after(time);
        for (time, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (5000, 5)] {
            let text = rendered(&unavailable(std::time::Duration::from_millis(time)));
            assert!(text.contains(&format!("\nretry-after: {seconds}\n")), "{text}");
        }
        assert!(!rendered(&Denial::new(Reason::Overloaded, "x")).contains("retry-after"));
    }

    #[test]
    fn details_of_policy_and_tokens_stay_inside() {
        let denial = Denial::new(Reason::TokenInvalid, "the signature does not match key `k1`");
        assert!(!rendered(&denial).contains("k1"));
    }
}
