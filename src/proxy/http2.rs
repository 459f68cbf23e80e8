//! From Pingora's HTTP/2 session to a request that is judged.
//!
//! The h2 library has refused by itself what it calls malformed (RFC 9113, section 8.1.1), and `http::Uri` has cut off
//! a fragment: what arrives here is what is judged and sent.

use std::sync::Arc;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use pingora::proxy::Session;

use crate::config::Limits;
use crate::http::{Channel, Headers, Request, TrustedProxies};
use crate::reason::{Denial, Reason};

/// Judges the head of an HTTP/2 request. HTTP/1 heads never come this way: the door has parsed them.
pub(super) fn request_of_http2(
    session: &Session,
    limits: Limits,
    proxies: &TrustedProxies,
) -> Result<Request, Denial> {
    if !session.is_http2() {
        return Err(Denial::new(Reason::Internal, "an HTTP/1 request came past the door"));
    }
    let header = session.req_header();
    let bytes: usize = header.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if header.headers.len() > limits.head.fields || bytes > limits.head.bytes {
        return Err(limits.head.exceeded());
    }
    let mut headers = Headers::with_capacity(header.headers.len());
    for (name, value) in &header.headers {
        if name != COOKIE {
            headers.push(name.clone(), value.clone());
        }
    }
    if let Some(cookie) = join_cookies(&header.headers)? {
        headers.push(COOKIE, cookie);
    }
    let authority = header.uri.authority().map(|authority| authority.as_str());
    let target = header.uri.path_and_query().map_or("", |target| target.as_str());
    limits.head.check_target(target)?;
    let channel = channel(session)?;
    judge_scheme(header.uri.scheme_str(), channel.is_some())?;
    let peer = session.client_addr().and_then(|address| address.as_inet()).copied();
    let request = Request::from_http2(header.method.clone(), authority, target, headers, peer, proxies)?;
    Ok(Request { channel, ..request })
}

/// `:scheme` (RFC 9113, section 8.3.1) says what the client speaks. Behind a balancer that ends TLS, that is not what
/// arrives here; over TLS, it can only be `https`.
fn judge_scheme(scheme: Option<&str>, over_tls: bool) -> Result<(), Denial> {
    match scheme {
        // The library shows it only beside `:authority`, and refuses a request without it.
        None | Some("https") => Ok(()),
        Some("http") if !over_tls => Ok(()),
        _ => Err(Denial::new(Reason::RequestMalformed, "`:scheme` is not what the connection speaks").told()),
    }
}

/// What the door has put where Pingora hands it on to each request of the connection.
fn channel(session: &Session) -> Result<Option<Arc<Channel>>, Denial> {
    let Some(digest) = session.digest().filter(|digest| digest.ssl_digest.is_some()) else {
        return Ok(None);
    };
    let handed_on = digest.proxy_digest.as_ref().and_then(|digest| digest.user_data.as_ref());
    match handed_on.and_then(|data| data.downcast_ref::<Arc<Channel>>()) {
        Some(channel) => Ok(Some(channel.clone())),
        None => Err(Denial::new(Reason::Internal, "nobody knows what TLS has established")),
    }
}

/// HTTP/2 may send a cookie in crumbs; a field of another version takes them whole (RFC 9113, section 8.2.3).
fn join_cookies(headers: &HeaderMap) -> Result<Option<HeaderValue>, Denial> {
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.is_empty() {
        return Ok(None);
    }
    HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
        .map(Some)
        .map_err(|_| Denial::new(Reason::RequestMalformed, "the header `cookie` cannot be joined"))
}
