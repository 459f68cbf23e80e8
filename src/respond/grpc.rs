//! The answer to a refused gRPC call: no message, and a status ("gRPC over HTTP2", Trailers-Only).
//!
//! The same reason, domain and metadata as over HTTP, in a google.rpc.Status, so that a client library raises what it raises for
//! Google's own errors.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use prost::Message;

use super::{ErrorResponse, REQUEST_ID, field};
use crate::grpc::status;
use crate::reason::Denial;

/// The encodings that a message may have, where another one was used.
const ACCEPTED: &str = "identity,gzip";

/// google.rpc.Status.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// google.protobuf.Any.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// google.rpc.ErrorInfo.
#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
    #[prost(btree_map = "string, string", tag = "3")]
    metadata: BTreeMap<String, String>,
}

/// google.rpc.BadRequest.
#[derive(Clone, PartialEq, Message)]
struct BadRequest {
    #[prost(message, repeated, tag = "1")]
    field_violations: Vec<Violation>,
}

/// google.rpc.BadRequest.FieldViolation.
#[derive(Clone, PartialEq, Message)]
struct Violation {
    #[prost(string, tag = "1")]
    field: String,
    #[prost(string, tag = "2")]
    description: String,
}

/// google.rpc.RequestInfo.
#[derive(Clone, PartialEq, Message)]
struct RequestInfo {
    #[prost(string, tag = "1")]
    request_id: String,
}

/// google.rpc.RetryInfo, with the google.protobuf.Duration in it.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Seconds>,
}

/// google.protobuf.Duration.
#[derive(Clone, PartialEq, Message)]
struct Seconds {
    #[prost(int64, tag = "1")]
    seconds: i64,
}

fn any(name: &str, message: &impl Message) -> Any {
    Any { type_url: format!("type.googleapis.com/google.rpc.{name}"), value: message.encode_to_vec() }
}

/// The whole answer. `next_nonce` is as in [`super::answer`].
pub fn answer(denial: &Denial, request_id: &str, next_nonce: Option<String>) -> ErrorResponse {
    let nonce = match &next_nonce {
        Some(nonce) => HeaderValue::from_str(nonce).ok(),
        None => field(denial.nonce_for_proofs()),
    };
    let encodings =
        (denial.reason() == crate::reason::Reason::MessageEncodingUnsupported).then_some(ACCEPTED);
    let optional = [
        (header::WWW_AUTHENTICATE, denial.challenge().and_then(|value| HeaderValue::try_from(value).ok())),
        (HeaderName::from_static("dpop-nonce"), nonce),
        (HeaderName::from_static("grpc-accept-encoding"), field(encodings)),
        (HeaderName::from_static(REQUEST_ID), field(Some(request_id))),
    ];
    let mut headers = Vec::with_capacity(8);
    headers.push((header::CONTENT_TYPE, HeaderValue::from_static("application/grpc")));
    headers.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
    headers.extend(trailers(denial, request_id).into_iter().filter_map(|(name, value)| Some((name?, value))));
    ErrorResponse { status: StatusCode::OK, headers, body: Bytes::new() }
}

/// What ends a call with this denial.
pub fn trailers(denial: &Denial, request_id: &str) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(3);
    trailers
        .insert(HeaderName::from_static(status::STATUS), HeaderValue::from(u16::from(denial.grpc_code())));
    let details = STANDARD_NO_PAD.encode(details(denial, request_id).encode_to_vec());
    for (name, text) in
        [(status::MESSAGE, status::message(denial.public_message())), (status::DETAILS, details)]
    {
        // Visible ASCII and blanks: both are always values.
        if let Ok(value) = HeaderValue::try_from(text) {
            trailers.insert(HeaderName::from_static(name), value);
        }
    }
    trailers
}

fn details(denial: &Denial, request_id: &str) -> Status {
    let mut details = vec![any(
        "ErrorInfo",
        &ErrorInfo {
            reason: denial.reason().entry().name.to_owned(),
            domain: denial.error_domain().to_owned(),
            metadata: denial
                .metadata_entries()
                .iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone()))
                .collect(),
        },
    )];
    if !denial.violations().is_empty() {
        let violation = |violation: &crate::reason::FieldViolation| Violation {
            field: violation.field.clone().unwrap_or_default(),
            description: violation.description.clone(),
        };
        let field_violations = denial.violations().iter().map(violation).collect();
        details.push(any("BadRequest", &BadRequest { field_violations }));
    }
    if let Some(seconds) = denial.retried_after().and_then(|seconds| seconds.parse().ok()) {
        details.push(any("RetryInfo", &RetryInfo { retry_delay: Some(Seconds { seconds }) }));
    }
    details.push(any("RequestInfo", &RequestInfo { request_id: request_id.to_owned() }));
    Status { code: denial.grpc_code().into(), message: denial.public_message().to_owned(), details }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;

    fn value(answer: &ErrorResponse, name: &str) -> String {
        let found = answer.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    #[test]
    fn a_refusal_has_the_words_of_http() {
        let denial = Denial::new(Reason::PermissionDenied, "secret")
            .message("Permission 'a.b.c' denied: 100% é")
            .metadata("resource", "projects/p")
            .violation(Some("name"), "is odd");
        let answer = answer(&denial, "3f0a", None);
        assert_eq!(answer.status, 200);
        assert!(answer.body.is_empty());
        assert_eq!(value(&answer, "content-type"), "application/grpc");
        assert_eq!(value(&answer, "grpc-status"), "7");
        assert_eq!(value(&answer, "grpc-message"), "Permission 'a.b.c' denied: 100%25 %C3%A9");
        assert_eq!(value(&answer, "x-request-id"), "3f0a");
        let details = STANDARD_NO_PAD.decode(value(&answer, "grpc-status-details-bin")).unwrap();
        let status = Status::decode(&*details).unwrap();
        assert_eq!((status.code, status.message.as_str()), (7, "Permission 'a.b.c' denied: 100% é"));
        let names: Vec<_> =
            status.details.iter().map(|any| any.type_url.rsplit('.').next().unwrap()).collect();
        assert_eq!(names, ["ErrorInfo", "BadRequest", "RequestInfo"]);
        let info = ErrorInfo::decode(&*status.details[0].value).unwrap();
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            ("IAM_PERMISSION_DENIED", "iam.googleapis.com")
        );
        assert_eq!(info.metadata["resource"], "projects/p");
        assert!(!format!("{:?}", answer.headers).contains("secret"));
    }

    #[test]
    fn codes_are_those_that_grpc_libraries_send() {
        let code = |reason| value(&answer(&Denial::new(reason, ""), "1", None), "grpc-status");
        for (reason, number) in [
            (Reason::MethodNotFound, "12"),
            (Reason::CredentialsMissing, "16"),
            (Reason::MessageTooLarge, "8"),
            (Reason::MessageEncodingUnsupported, "12"),
            (Reason::UpstreamUnavailable, "14"),
            (Reason::UpstreamTimeout, "4"),
            (Reason::MessageRefused, "3"),
            (Reason::PrincipalLimit, "8"),
        ] {
            assert_eq!(code(reason), number, "{reason:?}");
        }
        let unknown = Denial::new(Reason::UpstreamInvalid, "").with_grpc_code(2);
        assert_eq!(value(&answer(&unknown, "1", None), "grpc-status"), "2");
        let missing = answer(&Denial::new(Reason::CredentialsMissing, ""), "1", None);
        assert!(value(&missing, "www-authenticate").starts_with("Bearer realm="));
    }
}
