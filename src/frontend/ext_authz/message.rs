//! The messages of `envoy.service.auth.v3.Authorization`, as far as they are read and written here.
//!
//! The numbers are those of envoy/service/auth/v3/external_auth.proto and attribute_context.proto, envoy/config/core/v3/base.proto
//! and address.proto, google/rpc/status.proto and google/protobuf/struct.proto. They are few: the crate that has all messages
//! of Envoy (`envoy-types`) brings a second server of HTTP/2 with it, which knows none of the listener's limits.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::{Enumeration, Message, Oneof};

/// A question: may this request pass?
#[derive(Clone, PartialEq, Message)]
pub(in crate::frontend) struct CheckRequest {
    #[prost(message, optional, tag = "1")]
    pub(in crate::frontend) attributes: Option<AttributeContext>,
}

/// What Envoy knows of a request.
#[derive(Clone, PartialEq, Message)]
pub(in crate::frontend) struct AttributeContext {
    #[prost(message, optional, tag = "1")]
    pub(in crate::frontend) source: Option<PeerAttributes>,
    #[prost(message, optional, tag = "2")]
    pub(in crate::frontend) destination: Option<PeerAttributes>,
    #[prost(message, optional, tag = "4")]
    pub(in crate::frontend) request: Option<RequestAttributes>,
}

/// One end of a connection.
#[derive(Clone, PartialEq, Message)]
pub(in crate::frontend) struct PeerAttributes {
    #[prost(message, optional, tag = "1")]
    pub(in crate::frontend) address: Option<Address>,
    /// The client's certificate: PEM, percent-encoded.
    #[prost(string, tag = "5")]
    pub(in crate::frontend) certificate: String,
}

/// An address. Pipes and internal ones are not read.
#[derive(Clone, PartialEq, Message)]
pub(in crate::frontend) struct Address {
    #[prost(message, optional, tag = "1")]
    pub(in crate::frontend) socket_address: Option<SocketAddress>,
}

/// An IP address and a port.
#[derive(Clone, PartialEq, Message)]
pub(in crate::frontend) struct SocketAddress {
    #[prost(string, tag = "2")]
    pub(in crate::frontend) address: String,
    #[prost(uint32, tag = "3")]
    pub(in crate::frontend) port_value: u32,
}

/// The request.
#[derive(Clone, PartialEq, Message)]
pub(in crate::frontend) struct RequestAttributes {
    #[prost(message, optional, tag = "2")]
    pub(in crate::frontend) http: Option<HttpRequest>,
}

/// Its head, and its body where the filter has `with_request_body`.
#[derive(Clone, PartialEq, Message)]
pub(in crate::frontend) struct HttpRequest {
    #[prost(string, tag = "2")]
    pub(in crate::frontend) method: String,
    /// Several values of one name are one here, with commas.
    #[prost(btree_map = "string, string", tag = "3")]
    pub(in crate::frontend) headers: BTreeMap<String, String>,
    #[prost(string, tag = "4")]
    pub(in crate::frontend) path: String,
    #[prost(string, tag = "5")]
    pub(in crate::frontend) host: String,
    #[prost(string, tag = "6")]
    pub(in crate::frontend) scheme: String,
    #[prost(string, tag = "10")]
    pub(in crate::frontend) protocol: String,
    /// The body as a text, in which bytes that are not UTF-8 were replaced.
    #[prost(string, tag = "11")]
    pub(in crate::frontend) body: String,
    /// The body, where the filter has `pack_as_bytes`.
    #[prost(bytes = "bytes", tag = "12")]
    pub(in crate::frontend) raw_body: Bytes,
    /// The fields as they are, in place of `headers`, where the filter has `encode_raw_headers`.
    #[prost(message, optional, tag = "13")]
    pub(in crate::frontend) header_map: Option<HeaderList>,
}

/// Fields in their order.
#[derive(Clone, PartialEq, Message)]
pub(in crate::frontend) struct HeaderList {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::frontend) headers: Vec<RawField>,
}

/// A field.
#[derive(Clone, PartialEq, Message)]
pub(in crate::frontend) struct RawField {
    #[prost(string, tag = "1")]
    pub(in crate::frontend) key: String,
    #[prost(string, tag = "2")]
    pub(in crate::frontend) value: String,
    /// In place of `value`.
    #[prost(bytes = "bytes", tag = "3")]
    pub(in crate::frontend) raw_value: Bytes,
}

/// The answer.
#[derive(Clone, PartialEq, Message)]
pub(in crate::frontend) struct CheckResponse {
    #[prost(message, optional, tag = "1")]
    pub(in crate::frontend) status: Option<RpcStatus>,
    #[prost(oneof = "HttpResponse", tags = "2, 3")]
    pub(in crate::frontend) http_response: Option<HttpResponse>,
    #[prost(message, optional, tag = "4")]
    pub(in crate::frontend) dynamic_metadata: Option<Struct>,
}

/// What Envoy does.
#[derive(Clone, PartialEq, Oneof)]
pub(in crate::frontend) enum HttpResponse {
    /// It answers with this.
    #[prost(message, tag = "2")]
    Denied(DeniedHttpResponse),
    /// It passes the request on, with these changes.
    #[prost(message, tag = "3")]
    Ok(OkHttpResponse),
}

/// google.rpc.Status; code 0 lets the request pass.
#[derive(Clone, PartialEq, Message)]
pub(in crate::frontend) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(in crate::frontend) code: i32,
    #[prost(string, tag = "2")]
    pub(in crate::frontend) message: String,
}

/// An answer to the client.
#[derive(Clone, PartialEq, Message)]
pub(in crate::frontend) struct DeniedHttpResponse {
    #[prost(message, optional, tag = "1")]
    pub(in crate::frontend) status: Option<HttpStatus>,
    #[prost(message, repeated, tag = "2")]
    pub(in crate::frontend) headers: Vec<HeaderChange>,
    #[prost(string, tag = "3")]
    pub(in crate::frontend) body: String,
}

/// A status of HTTP.
#[derive(Clone, PartialEq, Message)]
pub(in crate::frontend) struct HttpStatus {
    #[prost(int32, tag = "1")]
    pub(in crate::frontend) code: i32,
}

/// Changes of the request, and fields of the answer to it.
#[derive(Clone, PartialEq, Message)]
pub(in crate::frontend) struct OkHttpResponse {
    #[prost(message, repeated, tag = "2")]
    pub(in crate::frontend) headers: Vec<HeaderChange>,
    #[prost(string, repeated, tag = "5")]
    pub(in crate::frontend) headers_to_remove: Vec<String>,
    #[prost(message, repeated, tag = "6")]
    pub(in crate::frontend) response_headers_to_add: Vec<HeaderChange>,
}

/// HeaderValueOption.
#[derive(Clone, PartialEq, Message)]
pub(in crate::frontend) struct HeaderChange {
    #[prost(message, optional, tag = "1")]
    pub(in crate::frontend) header: Option<RawField>,
    #[prost(enumeration = "AppendAction", tag = "3")]
    pub(in crate::frontend) append_action: i32,
}

/// What happens to values that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub(in crate::frontend) enum AppendAction {
    /// They stay.
    AppendIfExistsOrAdd = 0,
    /// They go.
    OverwriteIfExistsOrAdd = 2,
}

/// google.protobuf.Struct.
#[derive(Clone, PartialEq, Message)]
pub(in crate::frontend) struct Struct {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(in crate::frontend) fields: BTreeMap<String, Value>,
}

/// google.protobuf.Value with a text, which is all that is written here.
#[derive(Clone, PartialEq, Message)]
pub(in crate::frontend) struct Value {
    #[prost(string, optional, tag = "3")]
    pub(in crate::frontend) string_value: Option<String>,
}
