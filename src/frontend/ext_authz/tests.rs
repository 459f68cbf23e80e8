use http::Method;
use prost::Message;

use super::message::{
    Address, AttributeContext, HeaderList, HttpRequest, PeerAttributes, RawField, RequestAttributes,
    SocketAddress,
};
use super::*;
use crate::frontend::authorizer::{DescribedRequest, ReadDescription, ShownBody};
use crate::http::{ConnectionPeer, HeadLimits, TrustedProxies};
use crate::listener::ToldBody;
use crate::reason::Reason;

fn check(http: HttpRequest) -> CheckRequest {
    let socket = |address: &str, port| Address {
        socket_address: Some(SocketAddress { address: address.to_owned(), port_value: port }),
    };
    let peer = |address| PeerAttributes { address: Some(address), certificate: String::new() };
    CheckRequest {
        attributes: Some(AttributeContext {
            source: Some(peer(socket("192.0.2.7", 4711))),
            destination: Some(peer(socket("10.0.0.1", 443))),
            request: Some(RequestAttributes { http: Some(http) }),
        }),
    }
}

fn http() -> HttpRequest {
    HttpRequest {
        method: "POST".to_owned(),
        path: "/v1/a:cancel?x=1".to_owned(),
        host: "a.example".to_owned(),
        scheme: "http".to_owned(),
        protocol: "HTTP/1.1".to_owned(),
        ..HttpRequest::default()
    }
}

fn raw(fields: &[(&str, &[u8])]) -> HttpRequest {
    let field = |(key, value): &(&str, &[u8])| RawField {
        key: (*key).to_owned(),
        value: String::new(),
        raw_value: Bytes::copy_from_slice(value),
    };
    HttpRequest { header_map: Some(HeaderList { headers: fields.iter().map(field).collect() }), ..http() }
}

fn merged(fields: &[(&str, &str)]) -> HttpRequest {
    let field = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    HttpRequest { headers: fields.iter().map(field).collect(), ..http() }
}

fn described(http: HttpRequest) -> Result<DescribedRequest, Denial> {
    describe(check(http), ToldBody::Sent)
}

fn read(http: HttpRequest) -> Result<ReadDescription, Denial> {
    described(http)?.read(HeadLimits::default(), &TrustedProxies::default())
}

#[test]
fn a_request_is_read_from_the_attributes() {
    let found = described(raw(&[
        (":method", b"POST"),
        (":path", b"/v1/a:cancel?x=1"),
        (":authority", b"a.example"),
        (":scheme", b"http"),
        ("accept", b"x"),
        ("accept", b"y"),
    ]))
    .unwrap();
    assert_eq!(found.head.method, Method::POST);
    assert_eq!(found.head.target, "/v1/a:cancel?x=1");
    assert_eq!(found.head.authority.as_deref(), Some("a.example"));
    assert_eq!(found.head.headers.all("accept").count(), 2);
    assert_eq!(found.peer.address, ConnectionPeer::Ip("192.0.2.7:4711".parse().unwrap()));
    assert_eq!(found.peer.port, Some(443));
    assert!(found.peer.channel.is_none());
    assert!(matches!(found.body, ShownBody::Whole(body) if body.is_empty()));
}

#[test]
fn what_envoy_shows_twice_and_differently_is_refused() {
    for (name, value) in [
        (":method", "GET"),
        (":path", "/v1/b:cancel"),
        (":authority", "b.example"),
        (":scheme", "https"),
        (":protocol", "websocket"),
    ] {
        let denial = described(raw(&[(name, value.as_bytes())])).unwrap_err();
        assert_eq!(denial.reason(), Reason::RequestMalformed, "{name}");
    }
}

/// Envoy joins fields of one name by commas, unless the filter has `encode_raw_headers`.
#[test]
fn two_of_a_field_that_is_sent_once_are_refused_joined_or_not() {
    for name in ["content-length", "content-type", "host", "dpop", "range", "x-http-method-override"] {
        let joined = described(merged(&[(name, "1,1")])).unwrap_err();
        assert_eq!(joined.reason(), Reason::RequestMalformed, "{name}");
    }
    for name in ["content-length", "content-type", "host", "dpop", "range", "x-http-method-override"] {
        let apart = read(raw(&[(name, b"1"), (name, b"1")])).unwrap_err();
        assert_eq!(apart.reason(), Reason::RequestMalformed, "{name}");
    }
    // Two credentials are refused by the decision, as on the wire.
    for two in [
        raw(&[("authorization", b"Bearer a"), ("authorization", b"Bearer b")]),
        raw(&[("authorization", b"Bearer a,Bearer b")]),
        merged(&[("authorization", "Bearer a,Bearer b")]),
    ] {
        assert_eq!(described(two).unwrap().head.headers.all("authorization").count(), 2);
    }
    // One that holds a comma is one that proves nothing.
    let one = described(raw(&[("authorization", b"Bearer a, Bearer b")])).unwrap();
    assert_eq!(one.head.headers.all("authorization").count(), 1);
    assert!(read(merged(&[("accept", "x,y")])).is_ok());
}

#[test]
fn heads_that_two_readers_could_take_for_two_are_refused() {
    let changed = |change: fn(&mut HttpRequest)| {
        let mut http = http();
        change(&mut http);
        read(http)
    };
    assert!(changed(|_| {}).is_ok());
    for (what, outcome) in [
        ("a method in small letters", changed(|http| http.method = "post".to_owned())),
        ("CONNECT", changed(|http| http.method = "CONNECT".to_owned())),
        ("no path", changed(|http| http.path = String::new())),
        ("an absolute path", changed(|http| http.path = "http://b/v1/a".to_owned())),
        ("dot segments", changed(|http| http.path = "/v1/../a".to_owned())),
        ("an encoded slash", changed(|http| http.path = "/v1/a%2Fb".to_owned())),
        ("a fragment", changed(|http| http.path = "/v1/a#b".to_owned())),
        ("no host", changed(|http| http.host = String::new())),
        ("two hosts", changed(|http| http.host = "a,b".to_owned())),
        ("no scheme", changed(|http| http.scheme = String::new())),
        ("another host field", read(raw(&[("host", b"b.example")]))),
        ("a connection field", read(raw(&[("connection", b"x-a")]))),
        ("an upgrade", read(raw(&[("upgrade", b"websocket")]))),
        ("chunks", read(raw(&[("transfer-encoding", b"chunked")]))),
        ("an underscore", read(raw(&[("x_opgate_principal", b"root")]))),
        ("a line end in a value", read(raw(&[("x-a", b"b\r\nc: d")]))),
        ("a blank in a name", read(raw(&[("x a", b"b")]))),
        ("a body shorter than its length", read(raw(&[("content-length", b"5")]))),
    ] {
        assert_eq!(outcome.map(|_| ()).unwrap_err().reason(), Reason::RequestMalformed, "{what}");
    }
}

#[test]
fn a_body_is_whole_only_where_envoy_shows_all_of_its_bytes() {
    let with = |told: ToldBody, change: fn(&mut HttpRequest)| {
        let mut http = raw(&[("accept", b"x")]);
        change(&mut http);
        describe(check(http), told).unwrap().body
    };
    let shown = |body: &ShownBody| match body {
        ShownBody::Whole(bytes) => Ok(bytes.to_vec()),
        ShownBody::NotShown(why) => Err(*why),
    };
    let bytes = with(ToldBody::Unknown, |http| http.raw_body = Bytes::from_static(b"{}"));
    assert_eq!(shown(&bytes).unwrap(), b"{}");
    let text = with(ToldBody::Sent, |http| http.body = "{}".to_owned());
    assert!(shown(&text).unwrap_err().contains("pack_as_bytes"));
    let absent = with(ToldBody::Unknown, |_| {});
    assert!(shown(&absent).unwrap_err().contains("with_request_body"));
    let partial = with(ToldBody::Sent, |http| {
        http.raw_body = Bytes::from_static(b"{}");
        *http = HttpRequest {
            header_map: raw(&[
                ("x-envoy-auth-partial-body", b"false"),
                ("x-envoy-auth-partial-body", b"true"),
            ])
            .header_map,
            ..http.clone()
        };
    });
    assert!(shown(&partial).unwrap_err().contains("allow_partial_message"));
}

#[test]
fn a_call_has_one_message_that_is_not_compressed() {
    let good = framed(&check(http()));
    assert_eq!(question(good.clone()).unwrap(), check(http()));
    let message = check(http()).encode_to_vec();
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("half a prefix", good[..3].to_vec()),
        ("a compressed message", [&[1][..], &good[1..]].concat()),
        ("a message that ends early", good[..good.len() - 1].to_vec()),
        ("two messages", [good.as_ref(), good.as_ref()].concat()),
        ("no message of its kind", [&[0, 0, 0, 0, 1][..], &message[..1]].concat()),
    ] {
        assert_eq!(question(bytes.into()).unwrap_err().reason(), Reason::RequestMalformed, "{what}");
    }
}
