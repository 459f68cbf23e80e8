//! The messages of a descriptor set, as far as they are read (google/protobuf/descriptor.proto).
//!
//! Options of google.api are extensions there: fields of the option messages, under the numbers that the protos of
//! google.api give them. Here they are fields like any other. What is not listed is skipped.

use prost::Message;

/// `google.protobuf.FileDescriptorSet`.
#[derive(Clone, PartialEq, Message)]
pub struct FileDescriptorSet {
    #[prost(message, repeated, tag = "1")]
    pub file: Vec<FileDescriptor>,
}

/// `google.protobuf.FileDescriptorProto`.
#[derive(Clone, PartialEq, Message)]
pub struct FileDescriptor {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub package: String,
    /// The names of the files that it imports.
    #[prost(string, repeated, tag = "3")]
    pub dependency: Vec<String>,
    #[prost(message, repeated, tag = "4")]
    pub message_type: Vec<MessageDescriptor>,
    #[prost(message, repeated, tag = "6")]
    pub service: Vec<ServiceDescriptor>,
}

/// `google.protobuf.DescriptorProto`.
#[derive(Clone, PartialEq, Message)]
pub struct MessageDescriptor {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, repeated, tag = "2")]
    pub field: Vec<FieldDescriptor>,
    #[prost(message, repeated, tag = "3")]
    pub nested_type: Vec<MessageDescriptor>,
    #[prost(message, optional, tag = "7")]
    pub options: Option<MessageOptions>,
}

/// `google.protobuf.MessageOptions`, with google/api/resource.proto.
#[derive(Clone, PartialEq, Message)]
pub struct MessageOptions {
    #[prost(message, optional, tag = "1053")]
    pub resource: Option<ResourceOption>,
}

/// `google.protobuf.FieldDescriptorProto`.
#[derive(Clone, PartialEq, Message)]
pub struct FieldDescriptor {
    #[prost(string, tag = "1")]
    pub name: String,
    /// `.package.Message`, of a field that is a message.
    #[prost(string, tag = "6")]
    pub type_name: String,
    #[prost(message, optional, tag = "8")]
    pub options: Option<FieldOptions>,
}

/// `google.protobuf.FieldOptions`, with google/api/resource.proto.
#[derive(Clone, PartialEq, Message)]
pub struct FieldOptions {
    #[prost(message, optional, tag = "1055")]
    pub resource_reference: Option<ResourceOption>,
}

/// `google.api.ResourceDescriptor` and `google.api.ResourceReference`: both have `type` first.
#[derive(Clone, PartialEq, Message)]
pub struct ResourceOption {
    #[prost(string, tag = "1")]
    pub r#type: String,
}

/// `google.protobuf.ServiceDescriptorProto`.
#[derive(Clone, PartialEq, Message)]
pub struct ServiceDescriptor {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, repeated, tag = "2")]
    pub method: Vec<MethodDescriptor>,
    #[prost(message, optional, tag = "3")]
    pub options: Option<ServiceOptions>,
}

/// `google.protobuf.ServiceOptions`, with google/api/client.proto.
#[derive(Clone, PartialEq, Message)]
pub struct ServiceOptions {
    #[prost(string, tag = "1049")]
    pub default_host: String,
    /// Separated by commas.
    #[prost(string, tag = "1050")]
    pub oauth_scopes: String,
}

/// `google.protobuf.MethodDescriptorProto`.
#[derive(Clone, PartialEq, Message)]
pub struct MethodDescriptor {
    #[prost(string, tag = "1")]
    pub name: String,
    /// `.package.Message`.
    #[prost(string, tag = "2")]
    pub input_type: String,
    #[prost(message, optional, tag = "4")]
    pub options: Option<MethodOptions>,
}

/// `google.protobuf.MethodOptions`, with google/api/annotations.proto.
#[derive(Clone, PartialEq, Message)]
pub struct MethodOptions {
    #[prost(message, optional, tag = "72295728")]
    pub http: Option<HttpAnnotation>,
}

/// `google.api.HttpRule`. The patterns are a `oneof` there.
#[derive(Clone, PartialEq, Message)]
pub struct HttpAnnotation {
    #[prost(string, optional, tag = "2")]
    pub get: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub put: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub post: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub delete: Option<String>,
    #[prost(string, optional, tag = "6")]
    pub patch: Option<String>,
    #[prost(string, tag = "7")]
    pub body: String,
    #[prost(message, optional, tag = "8")]
    pub custom: Option<CustomPattern>,
    #[prost(message, repeated, tag = "11")]
    pub additional_bindings: Vec<HttpAnnotation>,
    #[prost(string, tag = "12")]
    pub response_body: String,
}

/// `google.api.CustomHttpPattern`.
#[derive(Clone, PartialEq, Message)]
pub struct CustomPattern {
    #[prost(string, tag = "1")]
    pub kind: String,
    #[prost(string, tag = "2")]
    pub path: String,
}
