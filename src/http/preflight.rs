//! What a browser tells of the page behind a request: its origin, and the preflight that asks for leave (Fetch, "CORS
//! protocol", <https://fetch.spec.whatwg.org/#http-cors-protocol>).

use super::{Headers, Request, is_method};

/// An OPTIONS request by which a browser asks whether a page may send another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preflight<'r> {
    /// The page's origin, as it was sent.
    pub origin: &'r str,
    /// The method of the request that the page wants to send.
    pub method: ::http::Method,
    /// The names of the fields that it wants to send beside those that every page may, in lower case.
    pub headers: Vec<String>,
}

impl<'r> Preflight<'r> {
    /// The preflight that a request is. `None` for any other request: a preflight is an OPTIONS with one `Origin` and one
    /// `Access-Control-Request-Method`.
    pub fn of(request: &'r Request) -> Option<Self> {
        if request.method != ::http::Method::OPTIONS {
            return None;
        }
        let origin = page_origin(&request.headers)?;
        let method = request.headers.one("access-control-request-method").ok()??.to_str().ok()?;
        is_method(method).ok()?;
        let method = method.parse().ok()?;
        let asked = request.headers.all("access-control-request-headers");
        let names = asked.flat_map(|value| value.to_str().unwrap_or("?").split(','));
        let names = names.map(|name| name.trim_matches([' ', '\t']).to_ascii_lowercase());
        Some(Self { origin, method, headers: names.filter(|name| !name.is_empty()).collect() })
    }
}

/// The origin of the page that a request is of. `None` where there is no `Origin`, or more than one.
pub fn page_origin(headers: &Headers) -> Option<&str> {
    headers.one("origin").ok()??.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{ConnectionPeer, HeadLimits, RawHead, TrustedProxies};

    fn request(method: &str, fields: &str) -> Request {
        let head = format!("{method} /v1/x HTTP/1.1\r\nHost: lab.example.com\r\n{fields}\r\n");
        let head = RawHead::parse(head.as_bytes(), HeadLimits::default()).unwrap();
        Request::from_head(head, ConnectionPeer::Unknown, &TrustedProxies::default()).unwrap()
    }

    #[test]
    fn a_preflight_is_an_options_with_an_origin_and_a_method() {
        let asked = "Origin: https://app.example.com\r\nAccess-Control-Request-Method: DELETE\r\n\
                     Access-Control-Request-Headers: Authorization, x-a\r\nAccess-Control-Request-Headers: x-b,,\r\n";
        let request = request("OPTIONS", asked);
        let preflight = Preflight::of(&request).unwrap();
        assert_eq!(preflight.origin, "https://app.example.com");
        assert_eq!(preflight.method, ::http::Method::DELETE);
        assert_eq!(preflight.headers, ["authorization", "x-a", "x-b"]);
    }

    #[test]
    fn other_requests_are_not_preflights() {
        const ORIGIN: &str = "Origin: https://app.example.com\r\n";
        const METHOD: &str = "Access-Control-Request-Method: GET\r\n";
        for (method, fields) in [
            ("GET", format!("{ORIGIN}{METHOD}")),
            ("OPTIONS", ORIGIN.to_owned()),
            ("OPTIONS", METHOD.to_owned()),
            ("OPTIONS", format!("{ORIGIN}{ORIGIN}{METHOD}")),
            ("OPTIONS", format!("{ORIGIN}{METHOD}{METHOD}")),
            ("OPTIONS", format!("{ORIGIN}Access-Control-Request-Method: get\r\n")),
        ] {
            assert_eq!(Preflight::of(&request(method, &fields)), None, "{method} {fields}");
        }
    }
}
