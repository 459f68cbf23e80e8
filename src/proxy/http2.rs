//! From Pingora's HTTP/2 session to a request that is judged.
//!
//! The h2 library has already refused what it calls malformed (RFC 9113, section 8.1.1), and `http::Uri` has cut off a
//! fragment: what arrives here is what is judged and sent.

use std::sync::Arc;
use std::time::SystemTime;

use pingora::protocols::http::v2::server::HttpSession;

use crate::config::Limits;
use crate::http::{Channel, Headers, Request, Scheme, TrustedProxies};
use crate::reason::{Denial, Reason};
use crate::tls::Established;

/// Judges the head of an HTTP/2 request. HTTP/1 heads never come this way: the listener has parsed them.
pub(super) fn request_of_http2(
    session: &HttpSession,
    now: SystemTime,
    limits: Limits,
    proxies: &TrustedProxies,
) -> Result<Request, Denial> {
    let header = session.req_header();
    let mut headers = Headers::with_capacity(header.headers.len());
    for (name, value) in &header.headers {
        headers.push(name.clone(), value.clone());
    }
    let authority = header.uri.authority().map(|authority| authority.as_str());
    let target = header.uri.path_and_query().map_or("", |target| target.as_str());
    limits.head.check(&header.method, target, authority, &headers)?;
    let named_scheme = named_scheme(header.uri.scheme_str())?;
    let peer = session.client_addr().and_then(|address| address.as_inet()).copied();
    let request = Request::from_http2(header.method.clone(), authority, target, headers, peer, proxies)?;
    Request { named_scheme, ..request }.over(channel(session, now)?, proxies)
}

/// `:scheme` (RFC 9113, section 8.3.1). The library shows it only beside `:authority`, and refuses a request without it.
fn named_scheme(scheme: Option<&str>) -> Result<Option<Scheme>, Denial> {
    match scheme {
        None => Ok(None),
        Some("http") => Ok(Some(Scheme::Http)),
        Some("https") => Ok(Some(Scheme::Https)),
        Some(_) => Err(Denial::new(Reason::RequestMalformed, "`:scheme` is neither http nor https").told()),
    }
}

/// The value that the listener has put where Pingora passes it on to each request of the connection.
fn channel(session: &HttpSession, now: SystemTime) -> Result<Option<Arc<Channel>>, Denial> {
    let Some(digest) = session.digest().filter(|digest| digest.ssl_digest.is_some()) else {
        return Ok(None);
    };
    let handed_on = digest.proxy_digest.as_ref().and_then(|digest| digest.user_data.as_ref());
    match handed_on.and_then(|data| data.downcast_ref::<Arc<Established>>()) {
        Some(established) => Ok(Some(established.channel(now))),
        None => Err(Denial::new(Reason::Internal, "the TLS facts of the connection are missing")),
    }
}
