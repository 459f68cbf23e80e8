use http::HeaderName;

use super::super::head::HeadLimits;
use super::*;
use crate::reason::Reason;

fn http1(text: &str) -> Result<Request, Denial> {
    Request::from_head(
        RawHead::parse(text.as_bytes(), HeadLimits::default())?,
        ConnectionPeer::Unknown,
        &TrustedProxies::default(),
    )
}

fn detail(text: &str) -> String {
    http1(text).unwrap_err().detail().to_owned()
}

fn http2(authority: Option<&str>, path: &str, fields: &[(&str, &str)]) -> Result<Request, Denial> {
    let mut headers = Headers::default();
    for (name, value) in fields {
        headers.push(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    Request::from_http2(
        Method::POST,
        authority,
        path,
        headers,
        ConnectionPeer::Unknown,
        &TrustedProxies::default(),
    )
}

#[test]
fn a_cancel_is_read() {
    let request = http1(
        "POST /v1/projects/p/operations/o:cancel?alt=json HTTP/1.1\r\nHost: API.Example.com:8080\r\n\
         Content-Length: 2\r\nAuthorization: Bearer x\r\n\r\n",
    )
    .unwrap();
    assert_eq!(request.host.as_str(), "api.example.com");
    assert_eq!(request.authority, "API.Example.com:8080");
    assert_eq!(request.target(), "/v1/projects/p/operations/o:cancel?alt=json");
    assert_eq!(request.framing, Framing::Length(2));
    assert_eq!(request.authorization().collect::<Vec<_>>(), [b"Bearer x"]);
}

#[test]
fn framing_that_two_readers_could_read_differently_is_refused() {
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5,5",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -1",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length:",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding:",
    ] {
        let text = format!("POST /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
        assert_eq!(http1(&text).unwrap_err().reason(), Reason::RequestMalformed, "{fields}");
    }
    assert!(http1("POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
}

#[test]
fn a_get_announces_no_body() {
    for method in ["GET", "HEAD"] {
        for field in ["Content-Length: 1", "Transfer-Encoding: chunked"] {
            let text = format!("{method} /x HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n");
            assert_eq!(detail(&text), format!("a {method} request announces a body"));
        }
        let text = format!("{method} /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        assert!(http1(&text).is_ok());
    }
}

#[test]
fn the_host_is_there_once_and_plain() {
    assert_eq!(detail("GET /x HTTP/1.1\r\n\r\n"), "the header `host` is missing");
    assert_eq!(detail("GET /x HTTP/1.0\r\n\r\n"), "the header `host` is missing");
    assert_eq!(detail("GET /x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), "the header `host` is sent twice");
    for host in
        ["", "a.", ".a", "a..b", "a@b", "a:b", "a:", "a b", "a/b", "[::1", "::1", "[]", "a:123456", "é"]
    {
        assert!(http1(&format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n")).is_err(), "{host:?}");
    }
    for host in ["a", "A.b-c:80", "127.0.0.1:1", "[::1]:8080", "[::1]"] {
        assert!(http1(&format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n")).is_ok(), "{host:?}");
    }
}

#[test]
fn absolute_form_must_agree_with_the_host() {
    let request = http1("GET http://a.b/x?y HTTP/1.1\r\nHost: a.b\r\n\r\n").unwrap();
    assert_eq!(request.target(), "/x?y");
    assert!(http1("GET http://evil/x HTTP/1.1\r\nHost: a.b\r\n\r\n").is_err());
    assert!(http1("GET http://a.b@evil/x HTTP/1.1\r\nHost: a.b\r\n\r\n").is_err());
    assert!(http1("GET ftp://a.b/x HTTP/1.1\r\nHost: a.b\r\n\r\n").is_err());
    assert!(http1("GET http://a.b HTTP/1.1\r\nHost: a.b\r\n\r\n").is_err());
    assert!(http1("OPTIONS * HTTP/1.1\r\nHost: a.b\r\n\r\n").is_err());
    assert!(http1("CONNECT a.b:443 HTTP/1.1\r\nHost: a.b:443\r\n\r\n").is_err());
    // `//evil/x` is a path with an empty segment, never an authority.
    assert!(http1("GET //evil/x HTTP/1.1\r\nHost: a.b\r\n\r\n").is_err());
}

#[test]
fn http2_pseudo_headers_are_judged_like_the_request_line() {
    assert!(http2(Some("a"), "/x", &[]).is_ok());
    assert!(http2(Some("a"), "/x", &[("host", "A")]).is_ok());
    assert!(http2(Some("a"), "/x", &[("host", "b")]).is_err());
    assert!(http2(None, "/x", &[("host", "b")]).is_ok());
    assert!(http2(None, "/x", &[]).is_err());
    assert!(http2(Some("a"), "x", &[]).is_err());
    assert!(http2(Some("a"), "*", &[]).is_err());
    assert!(http2(Some("a"), "", &[]).is_err());
    assert!(http2(Some("u@a"), "/x", &[]).is_err());
    assert!(http2(Some("a"), "/x", &[("te", "gzip")]).is_err());
    assert!(http2(Some("a"), "/x", &[("connection", "close")]).is_err());
    assert!(http2(Some("a"), "/x", &[("transfer-encoding", "chunked")]).is_err());
    assert!(http2(Some("a"), "/x", &[("content-length", "1,1")]).is_err());
}

#[test]
fn an_http2_value_with_whitespace_around_it_is_refused() {
    for value in [" v", "v ", "\tv", "v\t", " "] {
        assert!(http2(Some("a"), "/x", &[("x-custom", value)]).is_err(), "{value:?}");
    }
    for value in ["", "v", "v w", "v\tw"] {
        assert!(http2(Some("a"), "/x", &[("x-custom", value)]).is_ok(), "{value:?}");
    }
}

#[test]
fn only_100_continue_may_be_expected() {
    assert!(http1("POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n").unwrap().expects_continue());
    assert!(http1("POST /x HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n").is_err());
}
