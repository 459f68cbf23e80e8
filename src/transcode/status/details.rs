//! The details of an error: the messages of google/rpc/error_details.proto, and those of the service.
//!
//! A descriptor set of a service seldom holds error_details.proto. So its messages are described here.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::prost_types::field_descriptor_proto::Type;
use prost_reflect::prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, MessageOptions,
};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::Value;

use crate::transcode::described::{field, message, of, repeated};

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Detail {
    #[prost(string, tag = "1")]
    pub(super) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

/// A detail as an object with its `@type`. `None` for one that no descriptor is known of: the error stands without it.
pub(super) fn json(detail: &Detail, pool: &DescriptorPool) -> Option<Value> {
    let (_, name) = detail.type_url.rsplit_once('/')?;
    let descriptor = pool.get_message_by_name(name).or_else(|| described(name))?;
    let message = DynamicMessage::decode(descriptor, detail.value.as_slice()).ok()?;
    let Value::Object(members) = serde_json::to_value(&message).ok()? else { return None };
    let mut object = serde_json::Map::new();
    object.insert("@type".to_owned(), Value::String(detail.type_url.clone()));
    object.extend(members);
    Some(Value::Object(object))
}

/// A message of google/rpc/error_details.proto.
pub(super) fn described(name: &str) -> Option<MessageDescriptor> {
    BUILT_IN.as_ref()?.get_message_by_name(name)
}

/// `None` is a mistake below, which a test finds.
static BUILT_IN: LazyLock<Option<DescriptorPool>> = LazyLock::new(|| {
    let mut pool = DescriptorPool::global();
    pool.add_file_descriptor_proto(error_details()).ok()?;
    Some(pool)
});

const DURATION: &str = ".google.protobuf.Duration";

/// google/rpc/error_details.proto, without comments.
fn error_details() -> FileDescriptorProto {
    let text = |name, number| field(name, number, Type::String);
    let metadata = map("metadata", 3, ".google.rpc.ErrorInfo.MetadataEntry");
    let error_info = DescriptorProto {
        nested_type: vec![entry("MetadataEntry")],
        ..message("ErrorInfo", vec![text("reason", 1), text("domain", 2), metadata])
    };
    let dimensions = map("quota_dimensions", 6, ".google.rpc.QuotaFailure.Violation.QuotaDimensionsEntry");
    let future = field("future_quota_value", 8, Type::Int64);
    let quota_violation = DescriptorProto {
        nested_type: vec![entry("QuotaDimensionsEntry")],
        ..message(
            "Violation",
            vec![
                text("subject", 1),
                text("description", 2),
                text("api_service", 3),
                text("quota_metric", 4),
                text("quota_id", 5),
                dimensions,
                field("quota_value", 7, Type::Int64),
                future,
            ],
        )
    };
    let precondition_violation =
        message("Violation", vec![text("type", 1), text("subject", 2), text("description", 3)]);
    let localized = ".google.rpc.LocalizedMessage";
    let field_violation = message(
        "FieldViolation",
        vec![
            text("field", 1),
            text("description", 2),
            text("reason", 3),
            of("localized_message", 4, localized),
        ],
    );
    let resource = ["resource_type", "resource_name", "owner", "description"];
    let resource = (1..).zip(resource).map(|(number, name)| text(name, number)).collect();
    let link = message("Link", vec![text("description", 1), text("url", 2)]);
    FileDescriptorProto {
        name: Some("google/rpc/error_details.proto".to_owned()),
        package: Some("google.rpc".to_owned()),
        syntax: Some("proto3".to_owned()),
        dependency: vec!["google/protobuf/duration.proto".to_owned()],
        message_type: vec![
            error_info,
            message("RetryInfo", vec![of("retry_delay", 1, DURATION)]),
            message("DebugInfo", vec![repeated(text("stack_entries", 1)), text("detail", 2)]),
            violations("QuotaFailure", "violations", quota_violation),
            violations("PreconditionFailure", "violations", precondition_violation),
            violations("BadRequest", "field_violations", field_violation),
            message("RequestInfo", vec![text("request_id", 1), text("serving_data", 2)]),
            message("ResourceInfo", resource),
            violations("Help", "links", link),
            message("LocalizedMessage", vec![text("locale", 1), text("message", 2)]),
        ],
        ..FileDescriptorProto::default()
    }
}

/// A message with a list of messages that are described within it.
fn violations(name: &str, list: &str, inner: DescriptorProto) -> DescriptorProto {
    let type_name = format!(".google.rpc.{name}.{}", inner.name());
    DescriptorProto { nested_type: vec![inner], ..message(name, vec![repeated(of(list, 1, &type_name))]) }
}

/// A map of texts to texts.
fn map(name: &str, number: i32, entry: &str) -> FieldDescriptorProto {
    repeated(of(name, number, entry))
}

fn entry(name: &str) -> DescriptorProto {
    let options = MessageOptions { map_entry: Some(true), ..MessageOptions::default() };
    DescriptorProto {
        options: Some(options),
        ..message(name, vec![field("key", 1, Type::String), field("value", 2, Type::String)])
    }
}
