//! The outgoing request, rebuilt from the judged one.
//!
//! Nothing is copied from the wire: the method, the target and the fields are those of [`Request`], whose parts a
//! client may send. Framing is written for the body that was judged. What opgate adds, it adds last.

use http::{HeaderName, HeaderValue, header};

use crate::http::{Framing, Request};
use crate::policy::Permit;

/// The fields of a request to an upstream, in order.
pub type Fields = Vec<(HeaderName, HeaderValue)>;

/// The body that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutgoingBody {
    /// This many bytes, judged and held: nothing, or JSON.
    Held(usize),
    /// As it comes from the client, framed as the client framed it.
    Passed,
}

/// The fields that go upstream with an allowed request.
pub fn outgoing(request: &Request, permit: &Permit, body: OutgoingBody, request_id: &str) -> Fields {
    let forwarding = &permit.call().method.service.forwarding;
    let listed = forwarding.request_headers.as_ref();
    let mut fields: Fields = Vec::with_capacity(request.headers.len() + 4);
    fields.push((header::HOST, request.authority.clone()));
    for (name, value) in request.headers.iter() {
        let kept = match name.as_str() {
            // Written anew below, or answered here.
            "host" | "content-length" | "transfer-encoding" | "expect" => false,
            "authorization" => forwarding.authorization,
            // It was for this request to the gate, and is used.
            "dpop" => false,
            // A body that was judged has the type that it was judged as, below, and no coding; an empty one neither.
            "content-type" | "content-encoding" => body == OutgoingBody::Passed,
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
    if forwarding.principal
        && let Some(caller) = permit.caller()
        && let Ok(value) = HeaderValue::from_str(caller.principal.as_str())
    {
        fields.push((HeaderName::from_static("x-opgate-principal"), value));
    }
    if forwarding.request_id
        && let Ok(value) = HeaderValue::from_str(request_id)
    {
        fields.push((HeaderName::from_static("x-request-id"), value));
    }
    if forwarding.origin {
        if let Some(address) = request.origin.address
            && let Ok(value) = HeaderValue::from_str(&address.to_string())
        {
            fields.push((HeaderName::from_static("x-forwarded-for"), value));
        }
        let scheme = HeaderValue::from_static(request.scheme().as_str());
        fields.push((HeaderName::from_static("x-forwarded-proto"), scheme));
    }
    fields
}

/// Whether a value proves who somebody is. Marked as sensitive, it is printed nowhere (Pingora's debug log prints whole
/// heads) and indexed by no HPACK table (RFC 7541, section 7.1.3).
fn is_credential(name: &HeaderName) -> bool {
    matches!(name.as_str(), "authorization" | "cookie" | "x-goog-api-key")
}

/// The type of a body that was judged: another reader's guess, or the client's word, would make another message of its
/// bytes. `Content-Length` wherever the length is known; a request whose method gives a body meaning says even that it has
/// none (RFC 9110, section 8.6).
fn frame(request: &Request, body: OutgoingBody, fields: &mut Fields) {
    let expects_body = matches!(request.method.as_str(), "POST" | "PUT" | "PATCH");
    match (body, request.framing) {
        (OutgoingBody::Held(0), _) if !expects_body => {}
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
    }
}
