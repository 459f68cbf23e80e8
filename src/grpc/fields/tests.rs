use proptest::prelude::*;
use prost_reflect::DescriptorPool;
use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, OneofDescriptorProto,
};

use super::*;
use crate::reason::Reason;

fn field(name: &str, number: i32, r#type: Type, label: Label, oneof: Option<i32>) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        label: Some(label.into()),
        r#type: Some(r#type.into()),
        type_name: (r#type == Type::Message).then(|| ".t.Book".into()),
        oneof_index: oneof,
        ..Default::default()
    }
}

/// `Request {book = 1; parent = 2; oneof {id = 3; alias = 4}; names = 5 repeated; count = 6; text = 2000}`, `Book {name = 1; id = 16}`
fn request() -> MessageDescriptor {
    use Label::{Optional, Repeated};
    let request = DescriptorProto {
        name: Some("Request".into()),
        field: vec![
            field("book", 1, Type::Message, Optional, None),
            field("parent", 2, Type::String, Optional, None),
            field("id", 3, Type::String, Optional, Some(0)),
            field("alias", 4, Type::String, Optional, Some(0)),
            field("names", 5, Type::String, Repeated, None),
            field("count", 6, Type::Int64, Optional, None),
            field("text", 2000, Type::String, Optional, None),
        ],
        oneof_decl: vec![OneofDescriptorProto { name: Some("which".into()), ..Default::default() }],
        ..Default::default()
    };
    let book = DescriptorProto {
        name: Some("Book".into()),
        field: vec![
            field("name", 1, Type::String, Optional, None),
            field("id", 16, Type::String, Optional, None),
        ],
        ..Default::default()
    };
    let file = FileDescriptorProto {
        name: Some("t.proto".into()),
        package: Some("t".into()),
        message_type: vec![request, book],
        syntax: Some("proto3".into()),
        ..Default::default()
    };
    let mut pool = DescriptorPool::new();
    pool.add_file_descriptor_proto(file).unwrap();
    pool.get_message_by_name("t.Request").unwrap()
}

fn find(paths: &[&str]) -> Result<MessageFields, FieldFault> {
    MessageFields::find(&request(), paths.iter().copied())
}

fn read(paths: &[&str], message: &[u8]) -> Result<Vec<Option<String>>, String> {
    let fields = find(paths).unwrap();
    let read = fields.read(message).map_err(|denial| {
        assert_eq!(denial.reason(), Reason::MessageRefused);
        denial.detail().to_owned()
    })?;
    Ok(read.into_iter().map(|value| value.map(str::to_owned)).collect())
}

fn some(values: &[&str]) -> Result<Vec<Option<String>>, String> {
    Ok(values.iter().map(|value| Some((*value).to_owned())).collect())
}

#[test]
fn a_path_leads_to_a_text() {
    assert!(find(&["parent", "book.name", "book.id", "text"]).is_ok());
    for path in ["shelf", "book.title", "book", "names", "count", "parent.name", "names.x", ""] {
        assert!(find(&[path]).is_err(), "{path}");
    }
}

#[test]
fn values_are_read_in_the_order_of_the_paths() {
    let message = b"\x12\x01p\x0a\x07\x0a\x01n\x82\x01\x01i\x28\x05\x82\x7d\x01t";
    // `names` as a number is not looked at: it is not on the way.
    assert_eq!(read(&["book.id", "parent", "book.name", "text"], message), some(&["i", "p", "n", "t"]));
    assert_eq!(read(&["parent"], b""), Ok(vec![None]));
    assert_eq!(read(&["book.name"], b"\x0a\x00"), Ok(vec![None]));
    assert_eq!(read(&["parent"], b"\x12\x00"), some(&[""]));
    // What is unknown or of no interest may be there more than once, of any type.
    assert_eq!(
        read(&["parent"], b"\x0a\x00\x0a\x00\xf8\x01\x01\xfd\x01abcd\xf9\x01abcdefgh\x12\x01p"),
        some(&["p"])
    );
}

#[test]
fn what_has_two_readings_is_refused() {
    for (paths, message) in [
        (&["parent"][..], &b"\x12\x01p\x12\x01p"[..]),
        (&["parent"], b"\x12\x01p\x12\x00"),
        (&["book.name"], b"\x0a\x03\x0a\x01n\x0a\x00"),
        (&["book.name"], b"\x0a\x06\x0a\x01n\x0a\x01m"),
        (&["id"], b"\x1a\x01i\x22\x01a"),
        (&["id"], b"\x22\x01a\x1a\x01i"),
        (&["parent"], b"\x10\x01"),
        (&["parent"], b"\x15abcd"),
        (&["parent"], b"\x11abcdefgh"),
        (&["book.name"], b"\x08\x01"),
        (&["parent"], b"\x13\x14"),
        (&["parent"], b"\x14"),
        (&["parent"], b"\x16"),
        (&["parent"], b"\x17"),
        (&["parent"], b"\x02\x00"),
        (&["parent"], b"\x92\x00\x01p"),
        (&["parent"], b"\x12\x81\x00p"),
        (&["parent"], b"\x12\x02p"),
        (&["parent"], b"\x12"),
        (&["parent"], b"\x80"),
        (&["parent"], b"\x82\x80\x80\x80\x80\x01\x00"),
        (&["parent"], b"\xfa\xff\xff\xff\x7f\x00"),
        (&["parent"], b"\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),
        (&["parent"], b"\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        (&["parent"], b"\x12\x01\xff"),
        (&["parent"], b"\x12\x03\xed\xa0\x80"),
    ] {
        assert!(read(paths, message).is_err(), "{message:02x?}");
    }
    // Ten bytes of a number are fine, also where fewer would do.
    assert_eq!(read(&["parent"], b"\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), Ok(vec![None]));
}

proptest! {
    /// What the strict reader takes, a decoder reads alike.
    #[test]
    fn what_is_read_is_what_a_decoder_reads(message in prop::collection::vec(
        prop_oneof![Just(0x0a), Just(0x12), Just(1), Just(2), Just(3), Just(0x1a), Just(0x22), Just(b'a'), any::<u8>()], 0..24,
    )) {
        let fields = find(&["parent", "book.name", "id"]).unwrap();
        if let Ok(values) = fields.read(&message) {
            let Ok(decoded) = prost_reflect::DynamicMessage::decode(request(), &*message) else { return Ok(()) };
            let text = |message: &prost_reflect::DynamicMessage, name: &str| {
                message.get_field_by_name(name).unwrap().as_str().unwrap().to_owned()
            };
            let book = decoded.get_field_by_name("book").unwrap().as_message().unwrap().clone();
            let values: Vec<&str> = values.into_iter().map(Option::unwrap_or_default).collect();
            prop_assert_eq!(values, [text(&decoded, "parent"), text(&book, "name"), text(&decoded, "id")]);
        }
    }
}
