use super::*;
use crate::reason::Reason;

fn settle(fields: &[(&str, &str)]) -> Result<Headers, Denial> {
    let mut headers = Headers::default();
    for (name, value) in fields {
        headers.push(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    headers.settle(false).map(|()| headers)
}

fn names(headers: &Headers) -> Vec<&str> {
    headers.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn identity_headers_of_a_client_are_dropped() {
    let headers = settle(&[
        ("x-opgate-principal", "user:root@example.com"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("forwarded", "for=127.0.0.1"),
        ("x-goog-iap-jwt-assertion", "x"),
        ("x-goog-request-params", "name=projects/victim"),
        ("accept", "*/*"),
    ])
    .unwrap();
    assert_eq!(names(&headers), ["accept"]);
}

#[test]
fn fields_of_gateways_are_dropped_and_fields_of_clients_are_not() {
    let headers = settle(&[
        ("Grpc-Metadata-X-Opgate-Principal", "user:root@example.com"),
        ("Grpc-Metadata-Grpc-Metadata-X", "1"),
        ("Proxy", "http://evil.example.com"),
        ("X-Remote-Extra-Scopes", "all"),
        ("X-Client-Cert", "x"),
        ("x-client-data", "x"),
        ("x-goog-api-client", "gl-python/3.12"),
    ])
    .unwrap();
    assert_eq!(names(&headers), ["x-client-data", "x-goog-api-client"]);
}

#[test]
fn hop_by_hop_and_nominated_headers_are_dropped() {
    let headers = settle(&[
        ("connection", "keep-alive, X-Debug"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("x-debug", "1"),
        ("accept", "*/*"),
    ])
    .unwrap();
    assert_eq!(names(&headers), ["accept"]);
}

#[test]
fn a_nomination_cannot_remove_what_is_judged_or_set() {
    for name in
        ["authorization", "Host", "content-length", "x-opgate-principal", "X-Forwarded-For", "cookie", "DPoP"]
    {
        let denial = settle(&[("connection", name)]).unwrap_err();
        assert_eq!(denial.reason(), Reason::RequestMalformed, "{name}");
    }
}

#[test]
fn underscore_twins_are_refused() {
    for name in [
        "x_opgate_principal",
        "X_Forwarded_For",
        "content_length",
        "x-goog_iap-jwt-assertion",
        "transfer--encoding",
        "-host",
        "content.length",
        "x-forwarded-for-",
        "dpop_",
        "_dpop",
        "oidc_claim_sub",
        "HTTP_CLIENT_IP",
        "SM_USER",
        "grpc.metadata.x",
        "x-remote--user",
        "_method",
    ] {
        assert!(settle(&[(name, "1")]).is_err(), "{name}");
    }
    assert!(settle(&[("my_header", "1")]).is_ok());
}

#[test]
fn method_overrides_and_websockets_are_refused() {
    for name in ["X-HTTP-Method-Override", "x-http-method", "x-method-override", "x-http-method-override-x"] {
        assert!(settle(&[(name, "DELETE")]).is_err(), "{name}");
    }
    for value in ["websocket", "WebSocket", "h2c, websocket", "foo/1 ,\twebsocket/13", "websocket,"] {
        assert!(settle(&[("upgrade", value)]).is_err(), "{value}");
    }
    assert!(settle(&[("upgrade", "h2c"), ("upgrade", "websocket")]).is_err());
}

#[test]
fn another_upgrade_is_dropped_with_its_settings() {
    for (option, value) in
        [("Upgrade, HTTP2-Settings", "h2c"), ("Upgrade", "TLS/1.2"), ("Upgrade", "TLS/1.0, HTTP/2.0")]
    {
        let fields =
            [("connection", option), ("upgrade", value), ("http2-settings", "AAMAAABk"), ("accept", "*/*")];
        assert_eq!(names(&settle(&fields).unwrap()), ["accept"], "{value}");
    }
}

#[test]
fn an_override_to_get_or_patch_over_post_is_taken_and_no_other() {
    let take = |sent: &Method, fields: &[(&str, &str)]| {
        let mut headers = Headers::default();
        for (name, value) in fields {
            headers.push(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        headers.take_override(sent).map(|method| (method, headers.len()))
    };
    let name = "X-HTTP-Method-Override";
    assert_eq!(take(&Method::POST, &[("accept", "*/*")]).unwrap(), (None, 1));
    assert_eq!(take(&Method::POST, &[(name, "GET"), ("accept", "*/*")]).unwrap(), (Some(Method::GET), 1));
    assert_eq!(take(&Method::POST, &[(name, "PATCH")]).unwrap(), (Some(Method::PATCH), 0));
    for value in ["DELETE", "PUT", "POST", "HEAD", "get", "GET ", "GET, PATCH", "", "\"GET\""] {
        assert!(take(&Method::POST, &[(name, value)]).is_err(), "{value:?}");
    }
    assert!(take(&Method::POST, &[(name, "GET"), (name, "GET")]).is_err());
    for sent in [Method::GET, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD] {
        assert!(take(&sent, &[(name, "GET")]).is_err(), "{sent}");
        assert!(take(&sent, &[(name, "PATCH")]).is_err(), "{sent}");
    }
}

#[test]
fn singular_fields_are_refused_twice() {
    for name in SINGULAR {
        assert!(settle(&[(name, "a"), (name, "a")]).is_err(), "{name}");
    }
    assert!(settle(&[("accept", "a"), ("accept", "b")]).is_ok());
}

#[test]
fn a_name_that_is_told_at_once_passes_by_every_rule() {
    // Every name that is written anywhere in this module, and the names of the library.
    let written = include_str!("../headers.rs").split('"').chain(include_str!("families.rs").split('"'));
    let mut usual = 0;
    for name in written.filter(|name| is_usual(name)) {
        assert_eq!(fate_by_rule(name), Fate::Passes, "{name}");
        usual += 1;
    }
    assert!(usual >= 34, "{usual}");
}

#[test]
fn a_name_is_found_whatever_mark_it_has() {
    let names = ["a", "ab", "accept", "x-goog-api-client", "x-a", "zz", "content-type", "content-md5x"];
    let mut headers = Headers::default();
    for name in names {
        assert!(!headers.contains(name), "{name}");
        headers.push(HeaderName::from_static(name), HeaderValue::from_static("1"));
        assert!(headers.contains(name), "{name}");
    }
    headers.retain(|name| name != "zz");
    assert!(!headers.contains("zz") && headers.contains("a"));
}
