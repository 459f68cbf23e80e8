//! The outgoing request, rebuilt from the judged one.
//!
//! Nothing is copied from the wire: the method, the target and the fields are those of [`Request`], and only those that
//! a client may send. Framing is written for the body that was judged. What opgate adds, it adds last, and never in
//! part: a backend that is not told of an authenticated caller would take the call for anonymous.

use std::time::Duration;

use http::header::InvalidHeaderValue;
use http::{HeaderName, HeaderValue, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::grpc::timeout;
use crate::http::{Framing, Request};
use crate::policy::Permit;
use crate::trace_context::TraceParent;

/// The fields of a request to an upstream, in order.
pub type OutgoingFields = Vec<(HeaderName, HeaderValue)>;

/// The body that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutgoingBody {
    /// This many bytes, judged and held: nothing, or JSON.
    Held(usize),
    /// As it comes from the client, framed as the client framed it.
    Passed,
    /// Messages of gRPC, each framed by itself. The client waits so long for its answer.
    Messages(Option<Duration>),
}

/// The bytes of a principal that are percent-encoded (RFC 3986, section 2.1) in `X-Opgate-Principal`: all but the
/// unreserved ones (section 2.3) and `:`, `/` and `@`.
///
/// `,` and `;` begin another element or parameter of a list (RFC 9110, section 5.6), blanks and quotes end a word, `+`
/// is a blank to a reader of forms, `?` and `#` cut a URI, and `%` would let two principals decode to one text. What is
/// left needs no quoting anywhere, so an ordinary principal reads as policies write it; every other one decodes to
/// itself, and a reader that does not decode it has a text that is not another principal.
const IN_PRINCIPAL: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':')
    .remove(b'/')
    .remove(b'@');

/// The fields that go upstream with an allowed request. `assertion` is the gate's signed assertion about the caller,
/// for services that get one. `traceparent` is the gate's span of the attempt, where it writes spans: it stands in place of the
/// one that a trusted proxy has sent.
///
/// # Errors
/// Where a value for the backend cannot be written in a field: a fault of ours. Nothing is left out.
pub fn outgoing(
    request: &Request,
    permit: &Permit,
    body: OutgoingBody,
    request_id: &str,
    assertion: Option<HeaderValue>,
    traceparent: Option<TraceParent>,
) -> Result<OutgoingFields, InvalidHeaderValue> {
    let forwarding = &permit.call().method.service.forwarding;
    let listed = forwarding.request_headers.as_ref();
    let mut fields: OutgoingFields = Vec::with_capacity(request.headers.len() + 6);
    fields.push((header::HOST, request.authority.clone()));
    let is_grpc = matches!(body, OutgoingBody::Messages(_));
    for (name, value) in request.headers.iter() {
        let kept = match name.as_str() {
            // Written anew below, or answered here.
            "host" | "content-length" | "transfer-encoding" | "expect" => false,
            "traceparent" if traceparent.is_some() => false,
            "authorization" => forwarding.authorization,
            // The proof was for this request to the gate, and is used up.
            "dpop" => false,
            // A judged body gets the type that it was judged as, below, and no coding; an empty one gets neither.
            "content-type" => !matches!(body, OutgoingBody::Held(_)),
            "content-encoding" => body == OutgoingBody::Passed,
            // Written anew below. The others describe the messages.
            timeout::TIMEOUT if is_grpc => false,
            "grpc-encoding" | "grpc-accept-encoding" if is_grpc => true,
            name => listed.is_none_or(|listed| listed.contains(name)),
        };
        if kept {
            let mut value = value.clone();
            if is_credential(name) {
                value.set_sensitive(true);
            }
            fields.push((name.clone(), value));
        }
    }
    frame(request, body, &mut fields);
    if let Some(traceparent) = traceparent {
        let value = HeaderValue::from_str(&traceparent.to_string())?;
        fields.push((HeaderName::from_static("traceparent"), value));
    }
    if forwarding.principal
        && let Some(caller) = permit.caller()
    {
        fields.push((
            HeaderName::from_static("x-opgate-principal"),
            encoded(&caller.principal.with_plain_subject())?,
        ));
    }
    if let Some(mut assertion) = assertion {
        assertion.set_sensitive(true);
        fields.push((HeaderName::from_static("x-opgate-jwt-assertion"), assertion));
    }
    if forwarding.request_id {
        fields.push((HeaderName::from_static("x-request-id"), HeaderValue::from_str(request_id)?));
    }
    if forwarding.origin {
        if let Some(address) = request.origin.address {
            let address = HeaderValue::from_str(&address.to_string())?;
            fields.push((HeaderName::from_static("x-forwarded-for"), address));
        }
        let scheme = HeaderValue::from_static(request.scheme().as_str());
        fields.push((HeaderName::from_static("x-forwarded-proto"), scheme));
    }
    Ok(fields)
}

/// A principal as one value that decodes to it, with its subject as the token has it.
fn encoded(principal: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    let text: std::borrow::Cow<'_, str> = utf8_percent_encode(principal, IN_PRINCIPAL).into();
    HeaderValue::from_str(&text)
}

/// Whether a value is a credential. Values marked as sensitive are never printed and never indexed by an HPACK table (RFC 7541, section 7.1.3).
fn is_credential(name: &HeaderName) -> bool {
    matches!(name.as_str(), "authorization" | "cookie" | "x-goog-api-key")
}

/// The type of a body that was judged: with another type, the backend could read another message in its bytes.
/// `Content-Length` wherever the length is known. Where the method gives a body meaning, a request without one says so
/// (RFC 9110, section 8.6).
fn frame(request: &Request, body: OutgoingBody, fields: &mut OutgoingFields) {
    let expects_body = request.expects_body();
    // Over HTTP/2 the head does not tell whether a body follows. A method that may have one says its length, also where that
    // is 0. Of these four, no byte is taken.
    let takes_none = matches!(request.method.as_str(), "GET" | "HEAD" | "DELETE" | "OPTIONS");
    let had_data =
        matches!(request.framing, Framing::Stream(_)) && (request.overridden.is_some() || !takes_none);
    match (body, request.framing) {
        (OutgoingBody::Held(0), _) if !expects_body && !had_data => {}
        (OutgoingBody::Held(length), _) => {
            if length > 0 {
                fields.push((header::CONTENT_TYPE, HeaderValue::from_static("application/json")));
            }
            fields.push((header::CONTENT_LENGTH, HeaderValue::from(length)));
        }
        (OutgoingBody::Passed, Framing::Length(length) | Framing::Stream(Some(length))) => {
            fields.push((header::CONTENT_LENGTH, HeaderValue::from(length)));
        }
        (OutgoingBody::Passed, Framing::Chunked | Framing::Stream(None)) => {
            fields.push((header::TRANSFER_ENCODING, HeaderValue::from_static("chunked")));
        }
        (OutgoingBody::Passed, Framing::None) => {}
        (OutgoingBody::Messages(time), _) => {
            // Without it, servers of gRPC take the client for one that drops trailers.
            fields.push((header::TE, HeaderValue::from_static("trailers")));
            let time = time.and_then(|time| HeaderValue::try_from(timeout::written(time)).ok());
            fields.extend(time.map(|time| (HeaderName::from_static(timeout::TIMEOUT), time)));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(value: &HeaderValue) -> String {
        percent_encoding::percent_decode(value.as_bytes()).decode_utf8().unwrap().into_owned()
    }

    #[test]
    fn an_ordinary_principal_is_not_encoded() {
        for principal in [
            "user:ana.b-c_d~e@example.com",
            "serviceAccount:ci@demo.iam.gserviceaccount.com",
            "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/subject/spiffe://a/b",
        ] {
            assert_eq!(encoded(principal).unwrap(), principal);
        }
    }

    #[test]
    fn bytes_with_a_meaning_elsewhere_are_encoded() {
        for (principal, value) in [
            ("user:a+b@example.com", "user:a%2Bb@example.com"),
            ("x, user:root@example.com", "x%2C%20user:root@example.com"),
            ("x%2C", "x%252C"),
            ("\u{0}\t\r\n\u{7f}", "%00%09%0D%0A%7F"),
            ("z\u{fc}", "z%C3%BC"),
            (
                "\"'`;=&?#()<>[]{}|\\^!*$",
                "%22%27%60%3B%3D%26%3F%23%28%29%3C%3E%5B%5D%7B%7D%7C%5C%5E%21%2A%24",
            ),
        ] {
            assert_eq!(encoded(principal).unwrap(), value);
        }
    }

    proptest! {
        #[test]
        fn every_principal_is_one_value_that_decodes_to_it(principal in "\\PC*|[ -~]{0,40}|(?s).{0,20}") {
            let value = encoded(&principal).unwrap();
            let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:/@%".contains(byte);
            prop_assert!(value.as_bytes().iter().all(plain));
            prop_assert_eq!(decoded(&value), principal);
        }
    }
}
