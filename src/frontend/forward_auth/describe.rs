//! From a question to a described request.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use ipnet::IpNet;

use crate::frontend::authorizer::{DescribedRequest, ShownBody};
use crate::http::{ConnectionPeer, Headers, Peer, RawHead, TrustedProxies, Version, malformed};
use crate::listener::{ForwardAuthShape, ToldBody};
use crate::reason::Denial;

/// Tells how the body is delimited: `PROTOCOL;CONTENT-LENGTH;TRANSFER-ENCODING`, the last two as the client sent them.
const FRAMING: &str = "x-original-framing";

/// Fields of the question itself.
const OF_THE_QUESTION: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    FRAMING,
];

const UNKNOWN: &str = "this proxy does not say whether there is one; see `authorizer: {body: …}`";
const NOT_SENT: &str = "a question of this proxy has no body";

/// The fields that describe the request line and the host.
struct Describing {
    method: &'static str,
    target: &'static str,
    host: &'static str,
}

impl Describing {
    fn of(shape: ForwardAuthShape) -> Self {
        match shape {
            ForwardAuthShape::Nginx | ForwardAuthShape::Haproxy => {
                Self { method: "x-original-method", target: "x-original-uri", host: "host" }
            }
            ForwardAuthShape::Traefik | ForwardAuthShape::Caddy => {
                Self { method: "x-forwarded-method", target: "x-forwarded-uri", host: "x-forwarded-host" }
            }
        }
    }
}

/// The request that a proxy of this shape asks about, by a question with `body`.
///
/// # Errors
/// 400 where a field is missing, or stands twice.
pub(in crate::frontend) fn describe(
    question: RawHead,
    body: Bytes,
    shape: ForwardAuthShape,
    told: ToldBody,
    peer: ConnectionPeer,
) -> Result<DescribedRequest, Denial> {
    let names = Describing::of(shape);
    let method = told_by(&question.headers, names.method)?;
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| malformed("the method is not a token"))?;
    let target = told_by(&question.headers, names.target)?.to_owned();
    let host = match (names.host, &question.authority) {
        ("host", Some(authority)) => authority.clone(),
        (name, _) => told_by(&question.headers, name)?.to_owned(),
    };
    let mut headers = Headers::with_capacity(question.headers.len());
    let described = [names.method, names.target, names.host];
    for (name, value) in question.headers.iter() {
        if !OF_THE_QUESTION.contains(&name.as_str()) && !described.contains(&name.as_str()) {
            headers.push(name.clone(), value.clone());
        }
    }
    if told != ToldBody::Sent && !body.is_empty() {
        return Err(malformed("the question has a body, and `authorizer: {body: sent}` is not set"));
    }
    let (body, version) = match told {
        ToldBody::Sent => (ShownBody::Whole(body), None),
        ToldBody::Unknown => (ShownBody::NotShown(UNKNOWN), None),
        ToldBody::Announced => announced(told_by(&question.headers, FRAMING)?, &mut headers)?,
    };
    let head =
        RawHead { method, target, authority: Some(host), scheme: None, version: Version::Http2, headers };
    let peer = Peer { address: peer, ..Peer::default() };
    Ok(DescribedRequest { head, version, body, peer })
}

/// The value of a field that the proxy sets in every question.
fn told_by<'h>(headers: &'h Headers, name: &'static str) -> Result<&'h str, Denial> {
    let Some(value) = headers.one(name)? else {
        return Err(malformed(format!(
            "the proxy does not say what the client's request is: it has to set `{name}`"
        )));
    };
    value.to_str().map_err(|_| malformed(format!("the value of `{name}` is not ASCII")))
}

/// Reads how the body is delimited, and keeps the length.
fn announced(framing: &str, headers: &mut Headers) -> Result<(ShownBody, Option<Version>), Denial> {
    let mut pieces = framing.split(';');
    let (Some(protocol), Some(length), Some(coding), None) =
        (pieces.next(), pieces.next(), pieces.next(), pieces.next())
    else {
        return Err(malformed(format!(
            "the value of `{FRAMING}` is not `PROTOCOL;CONTENT-LENGTH;TRANSFER-ENCODING`"
        )));
    };
    let (length, coding) = (length.trim(), coding.trim());
    let version = match protocol.trim() {
        "HTTP/1.0" => Some(Version::Http10),
        "HTTP/1.1" => Some(Version::Http11),
        _ => None,
    };
    let length = match (length, coding, version) {
        ("", "", Some(_)) => "0",
        // Over HTTP/2 and HTTP/3, a body need not say its length.
        ("", _, _) => return Ok((ShownBody::NotShown(NOT_SENT), version)),
        (length, "", _) => length,
        _ => return Err(malformed("both `content-length` and `transfer-encoding` are sent")),
    };
    let value =
        HeaderValue::from_str(length).map_err(|_| malformed("`content-length` is not a number of bytes"))?;
    headers.push(header::CONTENT_LENGTH, value);
    let body = if length == "0" { ShownBody::Whole(Bytes::new()) } else { ShownBody::NotShown(NOT_SENT) };
    Ok((body, version))
}

/// The proxies that may name the client: those of the configuration, and the one that asks.
pub(in crate::frontend) fn proxies(configured: &TrustedProxies, peer: ConnectionPeer) -> TrustedProxies {
    let mut proxies = configured.clone();
    match peer {
        ConnectionPeer::Ip(address) => proxies.networks.push(IpNet::from(address.ip().to_canonical())),
        ConnectionPeer::Unix => proxies.unix = true,
        ConnectionPeer::Unknown => {}
    }
    proxies
}

/// Whether a field describes the client's request, or is one that the pages of the proxies have written or removed.
pub(super) fn is_the_proxys(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "authorization"
            | "content-encoding"
            | "content-type"
            | "dpop"
            | "forwarded"
            | "traceparent"
            | "tracestate"
            | "via"
            | "x-forwarded-for"
            | "x-forwarded-host"
            | "x-forwarded-method"
            | "x-forwarded-port"
            | "x-forwarded-prefix"
            | "x-forwarded-proto"
            | "x-forwarded-server"
            | "x-forwarded-uri"
            | "x-opgate-jwt-assertion"
            | "x-opgate-principal"
            | "x-original-method"
            | "x-original-uri"
            | "x-real-ip"
            | "x-request-id"
    )
}
