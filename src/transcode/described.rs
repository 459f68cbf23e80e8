//! Descriptors that are written by hand: messages and their fields.

use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{DescriptorProto, FieldDescriptorProto};

/// A message with these fields.
pub(crate) fn message(name: &str, field: Vec<FieldDescriptorProto>) -> DescriptorProto {
    DescriptorProto { name: Some(name.to_owned()), field, ..DescriptorProto::default() }
}

/// A field of a scalar type.
pub(crate) fn field(name: &str, number: i32, r#type: Type) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(r#type.into()),
        ..FieldDescriptorProto::default()
    }
}

/// A field that is a message.
pub(crate) fn of(name: &str, number: i32, r#type: &str) -> FieldDescriptorProto {
    FieldDescriptorProto { type_name: Some(r#type.to_owned()), ..field(name, number, Type::Message) }
}

/// The same field as a list.
pub(crate) fn repeated(field: FieldDescriptorProto) -> FieldDescriptorProto {
    FieldDescriptorProto { label: Some(Label::Repeated.into()), ..field }
}
