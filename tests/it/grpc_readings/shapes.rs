//! Messages of the shapes that a resource can be in, with the paths that lead to it. The fuzz target uses this file too.

use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, OneofDescriptorProto,
};
use prost_reflect::{DescriptorPool, MessageDescriptor};

/// The largest number that a field can have.
pub const FAR: i32 = (1 << 29) - 1;

/// A message, and the fields that are read of it.
#[derive(Clone, Debug)]
pub struct Shape {
    pub message: MessageDescriptor,
    pub paths: &'static [&'static str],
}

impl Shape {
    /// The numbers of the fields on the way to each path.
    pub fn numbers(&self) -> Vec<Vec<u32>> {
        let way = |path: &&str| {
            let mut message = Some(self.message.clone());
            path.split('.')
                .map(|name| {
                    let field = message.take().unwrap().get_field_by_name(name).unwrap();
                    message = field.kind().as_message().cloned();
                    field.number()
                })
                .collect()
        };
        self.paths.iter().map(way).collect()
    }
}

/// All shapes.
pub fn shapes() -> Vec<Shape> {
    let set = FileDescriptorSet { file: vec![file()] };
    let pool = DescriptorPool::from_file_descriptor_set(set).unwrap();
    let shape = |name: &str, paths| Shape {
        message: pool.get_message_by_name(&format!("shapes.{name}")).unwrap(),
        paths,
    };
    vec![
        shape("Flat", &["name"]),
        shape("Flat", &["far", "name"]),
        shape("Nested", &["operation.name", "parent"]),
        shape("Nested", &["operation.inner.id"]),
        shape("Nested", &["operation.inner.id", "operation.name", "other.name"]),
        shape("OneOf", &["name"]),
        shape("OneOf", &["inner.id"]),
        shape("OneOf", &["last", "inner.id"]),
    ]
}

fn file() -> FileDescriptorProto {
    let text = |name: &str, number| field(name, number, Type::String);
    let inner = vec![text("id", 5), text("label", 1), one_of("left", 2), one_of("right", 3)];
    let operation = vec![text("name", 1), of("inner", 3, "Inner"), repeated(text("tags", 4))];
    let flat = vec![
        text("name", 1),
        text("other", 2),
        field("count", 3, Type::Int64),
        field("data", 4, Type::Bytes),
        field("share", 5, Type::Double),
        field("fixed", 6, Type::Fixed32),
        repeated(text("more", 7)),
        of("inner", 16, "Inner"),
        text("far", FAR),
    ];
    let nested = vec![
        of("operation", 2, "Operation"),
        of("other", 3, "Operation"),
        repeated(of("operations", 4, "Operation")),
        text("parent", 15),
    ];
    let choice = vec![
        one_of("name", 1),
        one_of("id", 2),
        FieldDescriptorProto { oneof_index: Some(0), ..of("inner", 3, "Inner") },
        FieldDescriptorProto { oneof_index: Some(0), ..field("number", 4, Type::Int32) },
        text("last", 5),
    ];
    FileDescriptorProto {
        name: Some("shapes.proto".to_owned()),
        package: Some("shapes".to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: vec![
            DescriptorProto { oneof_decl: choices(), ..message("Inner", inner) },
            message("Operation", operation),
            message("Flat", flat),
            message("Nested", nested),
            DescriptorProto { oneof_decl: choices(), ..message("OneOf", choice) },
        ],
        ..FileDescriptorProto::default()
    }
}

fn choices() -> Vec<OneofDescriptorProto> {
    vec![OneofDescriptorProto { name: Some("choice".to_owned()), ..OneofDescriptorProto::default() }]
}

fn message(name: &str, field: Vec<FieldDescriptorProto>) -> DescriptorProto {
    DescriptorProto { name: Some(name.to_owned()), field, ..DescriptorProto::default() }
}

fn field(name: &str, number: i32, kind: Type) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(kind.into()),
        ..FieldDescriptorProto::default()
    }
}

fn of(name: &str, number: i32, kind: &str) -> FieldDescriptorProto {
    FieldDescriptorProto { type_name: Some(format!(".shapes.{kind}")), ..field(name, number, Type::Message) }
}

fn one_of(name: &str, number: i32) -> FieldDescriptorProto {
    FieldDescriptorProto { oneof_index: Some(0), ..field(name, number, Type::String) }
}

fn repeated(field: FieldDescriptorProto) -> FieldDescriptorProto {
    FieldDescriptorProto { label: Some(Label::Repeated.into()), ..field }
}
