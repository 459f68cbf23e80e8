//! Which protocol of remote calls a request speaks, by its content type.

use http::HeaderValue;

use super::headers::Headers;
use super::version::Version;

/// A protocol of remote calls over HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RpcProtocol {
    /// None: an ordinary request.
    #[default]
    None,
    /// gRPC over HTTP/2.
    Grpc,
    /// gRPC's content type over HTTP/1, which cannot carry it.
    GrpcOverHttp1,
    /// gRPC-Web.
    GrpcWeb,
    /// Connect, of streams.
    Connect,
    /// A protobuf message by itself, as Connect sends a single call. It may also be a body of an ordinary request.
    ConnectUnary,
}

impl RpcProtocol {
    /// The protocol of a request with this head.
    pub fn of(version: Version, headers: &Headers) -> Self {
        headers.all("content-type").next().map_or(Self::None, |value| Self::named(version, value))
    }

    /// The protocol that a content type names.
    fn named(version: Version, content_type: &HeaderValue) -> Self {
        // Most types are `application/json` or another one without any of these.
        let bytes = content_type.as_bytes();
        let begins =
            |name: &[u8]| bytes.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        let goes_on = |name: &[u8]| matches!(bytes.get(name.len()), None | Some(b'+' | b';' | b' ' | b'\t'));
        let is = |name: &[u8]| begins(name) && goes_on(name);
        if !begins(b"application/") {
            Self::None
        } else if is(b"application/grpc") {
            if version == Version::Http2 { Self::Grpc } else { Self::GrpcOverHttp1 }
        } else if is(b"application/grpc-web") || is(b"application/grpc-web-text") {
            Self::GrpcWeb
        } else if begins(b"application/connect+") {
            Self::Connect
        } else if is(b"application/proto") {
            Self::ConnectUnary
        } else {
            Self::None
        }
    }

    /// Whether a content type is gRPC's, in an answer: `application/grpc`, with or without the name of a format.
    pub fn is_grpc_type(content_type: &[u8]) -> bool {
        HeaderValue::from_bytes(content_type)
            .is_ok_and(|value| Self::named(Version::Http2, &value) == Self::Grpc)
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "HTTP",
            Self::Grpc => "gRPC",
            Self::GrpcOverHttp1 => "gRPC over HTTP/1",
            Self::GrpcWeb => "gRPC-Web",
            Self::Connect | Self::ConnectUnary => "Connect",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_names_a_protocol() {
        let of = |version, text: &str| RpcProtocol::named(version, &HeaderValue::from_str(text).unwrap());
        for (text, protocol) in [
            ("application/grpc", RpcProtocol::Grpc),
            ("Application/GRPC+proto", RpcProtocol::Grpc),
            ("application/grpc;charset=utf-8", RpcProtocol::Grpc),
            ("application/grpc+json", RpcProtocol::Grpc),
            ("application/grpc-web", RpcProtocol::GrpcWeb),
            ("application/grpc-web+proto", RpcProtocol::GrpcWeb),
            ("application/grpc-web-text+proto", RpcProtocol::GrpcWeb),
            ("application/connect+json", RpcProtocol::Connect),
            ("application/proto", RpcProtocol::ConnectUnary),
            ("application/json", RpcProtocol::None),
            ("application/grpcx", RpcProtocol::None),
            ("application/protobuf", RpcProtocol::None),
            ("text/plain", RpcProtocol::None),
            ("", RpcProtocol::None),
        ] {
            assert_eq!(of(Version::Http2, text), protocol, "{text}");
        }
        assert_eq!(of(Version::Http11, "application/grpc"), RpcProtocol::GrpcOverHttp1);
        assert_eq!(of(Version::Http11, "application/grpc-web"), RpcProtocol::GrpcWeb);
    }
}
