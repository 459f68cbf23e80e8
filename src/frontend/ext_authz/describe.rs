//! From a CheckRequest to a described request.
//!
//! Envoy has read the client's request by then, in its own way: what it has merged or replaced is judged as strictly as on the
//! wire, and what cannot be judged from what it shows is refused.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Method};

use super::message::{CheckRequest, HttpRequest, PeerAttributes};
use crate::frontend::authorizer::{DescribedRequest, ShownBody};
use crate::http::{Channel, ConnectionPeer, Headers, Peer, RawHead, Scheme, ServerNames, Version, malformed};
use crate::listener::ToldBody;
use crate::reason::Denial;
use crate::tls::certificate_told;

/// Fields of which a client sends one. A comma in one of them is two that were joined, or would be read as two.
const SINGLE: &[&str] = &[
    "content-encoding",
    "content-length",
    "content-type",
    "dpop",
    "expect",
    "host",
    "range",
    "traceparent",
    "x-goog-api-key",
    "x-goog-user-project",
    "x-http-method-override",
];

const PARTIAL_BODY: &str = "x-envoy-auth-partial-body";
const NOT_SENT: &str = "set `with_request_body` with `pack_as_bytes: true` in Envoy's filter, and \
    `authorizer: {body: sent}` for the listener of opgate";
const PARTIAL: &str = "Envoy shows a part of it: raise `max_request_bytes` in the filter's `with_request_body`, and set \
    `allow_partial_message: false`";
const AS_TEXT: &str =
    "Envoy shows a text that is made of it: set `pack_as_bytes: true` in the filter's `with_request_body`";

/// The request that Envoy asks about. `told` is what its filter is set to show of bodies.
///
/// # Errors
/// 400 where it cannot be the request of a client, or could be read in two ways.
pub(in crate::frontend) fn describe(check: CheckRequest, told: ToldBody) -> Result<DescribedRequest, Denial> {
    let attributes = check.attributes.unwrap_or_default();
    let Some(http) = attributes.request.and_then(|request| request.http) else {
        return Err(malformed("Envoy does not say what the request is"));
    };
    let source = attributes.source.unwrap_or_default();
    let scheme = match http.scheme.as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return Err(malformed("`:scheme` is neither http nor https")),
    };
    let fields = fields(&http)?;
    let body = body(&http, &fields, told);
    let method =
        Method::from_bytes(http.method.as_bytes()).map_err(|_| malformed("the method is not a token"))?;
    let peer = Peer {
        address: address(&source).map_or(ConnectionPeer::Unknown, ConnectionPeer::Ip),
        port: attributes.destination.as_ref().and_then(address).map(|address| address.port()),
        health_path: None,
        channel: channel(&source, scheme)?,
    };
    let version = match http.protocol.as_str() {
        "HTTP/1.0" => Some(Version::Http10),
        "HTTP/1.1" => Some(Version::Http11),
        _ => None,
    };
    let head = RawHead {
        method,
        target: http.path,
        authority: Some(http.host).filter(|host| !host.is_empty()),
        scheme: Some(scheme),
        version: Version::Http2,
        headers: fields,
    };
    Ok(DescribedRequest { head, version, body, peer })
}

/// The fields, without pseudo-headers, which have to say what the attributes say.
fn fields(http: &HttpRequest) -> Result<Headers, Denial> {
    let mut headers = Headers::default();
    let is_raw = http.header_map.as_ref().is_some_and(|list| !list.headers.is_empty());
    let bad_value =
        |name: &str| malformed(format!("the value of `{}` holds a control character", name.escape_debug()));
    let mut push = |name: &str, value: &[u8]| {
        if name.starts_with(':') {
            return agree(http, name, value);
        }
        // Envoy joins some by itself, by a comma without a blank. Two credentials are for the decision to refuse, as on the wire.
        if name == "authorization" && is_joined(value) {
            for one in value.split(|byte| *byte == b',') {
                headers.push(AUTHORIZATION, HeaderValue::from_bytes(one).map_err(|_| bad_value(name))?);
            }
            return Ok(());
        }
        if SINGLE.contains(&name) && value.contains(&b',') && !(is_raw && name == "range") {
            return Err(malformed(format!("the header `{name}` is sent twice, or holds a comma")));
        }
        let value = HeaderValue::from_bytes(value).map_err(|_| bad_value(name))?;
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| malformed("a header field's name is not a token"))?;
        headers.push(name, value);
        Ok(())
    };
    match &http.header_map {
        Some(list) if !list.headers.is_empty() => {
            for field in &list.headers {
                let value =
                    if field.raw_value.is_empty() { field.value.as_bytes() } else { &field.raw_value };
                push(&field.key, value)?;
            }
        }
        _ => {
            for (name, value) in &http.headers {
                push(name, value.as_bytes())?;
            }
        }
    }
    Ok(headers)
}

fn is_joined(value: &[u8]) -> bool {
    let mut pieces = value.split(|byte| *byte == b',').skip(1).peekable();
    pieces.peek().is_some() && pieces.all(|piece| !piece.starts_with(b" "))
}

fn agree(http: &HttpRequest, name: &str, value: &[u8]) -> Result<(), Denial> {
    let said = match name {
        ":method" => &http.method,
        ":path" => &http.path,
        ":authority" => &http.host,
        ":scheme" => &http.scheme,
        // Of an extended CONNECT, which opens a tunnel.
        _ => return Err(malformed(format!("the pseudo-header `{name}` is not accepted here"))),
    };
    if said.as_bytes() == value {
        Ok(())
    } else {
        Err(malformed(format!("Envoy shows two values of `{name}`")))
    }
}

fn body(http: &HttpRequest, fields: &Headers, told: ToldBody) -> ShownBody {
    if fields.all(PARTIAL_BODY).any(|value| value != "false") {
        ShownBody::NotShown(PARTIAL)
    } else if !http.raw_body.is_empty() {
        ShownBody::Whole(http.raw_body.clone())
    } else if !http.body.is_empty() {
        ShownBody::NotShown(AS_TEXT)
    } else if told == ToldBody::Sent {
        ShownBody::Whole(bytes::Bytes::new())
    } else {
        ShownBody::NotShown(NOT_SENT)
    }
}

fn address(peer: &PeerAttributes) -> Option<SocketAddr> {
    let socket = peer.address.as_ref()?.socket_address.as_ref()?;
    let ip: IpAddr = socket.address.parse().ok()?;
    Some(SocketAddr::new(ip, u16::try_from(socket.port_value).ok()?))
}

/// What TLS says of the client. Which host a connection leads to is Envoy's to check: it has the certificates. A certificate
/// counts as the holder's proof of a token that is bound to it; it is not a credential by itself.
fn channel(source: &PeerAttributes, scheme: Scheme) -> Result<Option<Arc<Channel>>, Denial> {
    let shown = match source.certificate.as_str() {
        "" if scheme == Scheme::Http => return Ok(None),
        "" => None,
        pem => {
            let pem: Vec<u8> = percent_encoding::percent_decode_str(pem).collect();
            let certificate = certificate_told(&pem);
            Some(certificate.ok_or_else(|| malformed("the client's certificate cannot be read"))?)
        }
    };
    let names = Arc::new(ServerNames::default());
    Ok(Some(Arc::new(Channel { server_name: None, names, shown, refused: None })))
}
