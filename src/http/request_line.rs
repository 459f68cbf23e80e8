//! The method and the target, by one rule for every version: the request line of HTTP/1 and the pseudo-headers of
//! HTTP/2 mean the same, and the backend reads one of them whichever the client sent.

use http::Method;

use super::malformed;
use super::proxies::Scheme;
use crate::bytewise;
use crate::reason::Denial;

/// Longest method.
const MAX_METHOD: usize = 32;

/// Methods that the gate refuses. CONNECT opens a tunnel, TRACE (and TRACK, as one server calls it) sends credentials
/// back, and PRI is reserved so that no request has it (RFC 9110, section 9.3; RFC 9113, section 3.4).
const NOT_SPOKEN: &[&str] = &["CONNECT", "PRI", "TRACE", "TRACK"];

/// A method: upper-case letters. RFC 9110, section 9.1 allows any token and distinguishes `post` from `POST`; some
/// backends do not, and every method that an API uses is upper-case letters.
///
/// # Errors
/// 400.
pub(super) fn method(bytes: &[u8]) -> Result<Method, Denial> {
    if bytes.is_empty() || bytes.len() > MAX_METHOD || !bytes.iter().all(u8::is_ascii_uppercase) {
        return Err(malformed("the method is not upper-case letters"));
    }
    let method = Method::from_bytes(bytes).map_err(|_| malformed("the method is not a token"))?;
    if NOT_SPOKEN.contains(&method.as_str()) {
        return Err(malformed(format!("the method {method} is not supported")));
    }
    Ok(method)
}

/// Whether a request may have this method.
///
/// # Errors
/// Where it may not: the denial that the request would get.
pub fn is_method(name: &str) -> Result<(), Denial> {
    method(name.as_bytes()).map(|_| ())
}

/// A request target: graphic ASCII. A space, NUL, CR or TAB here is what proxies re-encode on the way out.
///
/// # Errors
/// 400.
pub(super) fn target(bytes: &[u8]) -> Result<&str, Denial> {
    if bytes.is_empty() || !bytewise::all(bytes, |byte| (byte > b' ') & (byte < 0x7f)) {
        return Err(malformed("the request target is empty or holds a byte that is not printable ASCII"));
    }
    std::str::from_utf8(bytes).map_err(|_| malformed("the request target is not ASCII"))
}

/// Whether the scheme that a request names fits the connection that it came over.
///
/// Over TLS that is `https`. Without TLS it is `http`; `https` (RFC 9113, section 8.3.1: an intermediary may name
/// another scheme than its own) comes from a balancer that has ended TLS, and is accepted from trusted proxies only.
///
/// # Errors
/// 400.
pub(super) fn fit_scheme(
    named: Option<Scheme>,
    over_tls: bool,
    from_trusted_proxy: bool,
) -> Result<(), Denial> {
    match (named, over_tls) {
        (None, _) | (Some(Scheme::Https), true) | (Some(Scheme::Http), false) => Ok(()),
        (Some(Scheme::Https), false) if from_trusted_proxy => Ok(()),
        (Some(Scheme::Https), false) => Err(malformed(
            "the request names the scheme `https` over a connection without TLS, and no trusted proxy sent it",
        )),
        (Some(Scheme::Http), true) => {
            Err(malformed("the request names the scheme `http` over a connection with TLS"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_upper_case_letters() {
        for name in ["GET", "POST", "PURGE", "A", "OPTIONS", &"A".repeat(MAX_METHOD)] {
            assert_eq!(method(name.as_bytes()).unwrap().as_str(), name);
        }
        for name in [
            "", "get", "Get", "GET ", "GE T", "GET-X", "GET1", "!#$%", "connect", "CONNECT", "trace",
            "TRACE", "TRACK", "PRI", "G\u{c9}T", "GET\0",
        ] {
            assert!(method(name.as_bytes()).is_err(), "{name:?}");
        }
        assert!(method("A".repeat(MAX_METHOD + 1).as_bytes()).is_err());
    }

    #[test]
    fn a_scheme_is_that_of_the_connection_or_of_a_proxy_in_front() {
        use Scheme::{Http, Https};
        for (named, over_tls, trusted, fits) in [
            (None, false, false, true),
            (None, true, false, true),
            (Some(Http), false, false, true),
            (Some(Http), false, true, true),
            (Some(Http), true, false, false),
            (Some(Http), true, true, false),
            (Some(Https), true, false, true),
            (Some(Https), false, true, true),
            (Some(Https), false, false, false),
        ] {
            assert_eq!(fit_scheme(named, over_tls, trusted).is_ok(), fits, "{named:?} {over_tls} {trusted}");
        }
    }
}
