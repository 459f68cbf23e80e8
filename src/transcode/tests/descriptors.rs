//! A library, described in Rust.

use std::sync::LazyLock;

use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorProto, MessageOptions, MethodDescriptorProto, OneofDescriptorProto, ServiceDescriptorProto,
};
use prost_reflect::{DescriptorPool, MessageDescriptor};

use crate::transcode::{BodyMapping, Rpc, TranscodeError, TranscodedMethod};

/// Fields, one to a line: `name number type`; a type with `.` is a message, with `#` an enum, and `*` makes it repeated. `|` in
/// front of a name puts it into the oneof `one`, `?` gives it presence.
fn message(name: &str, fields: &str) -> DescriptorProto {
    let mut made = DescriptorProto { name: Some(name.to_owned()), ..DescriptorProto::default() };
    let mut oneofs: Vec<String> = Vec::new();
    for line in fields.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let [field, number, of] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let (of, is_repeated) = of.strip_prefix('*').map_or((of, false), |of| (of, true));
        let (kind, type_name) = match of.chars().next() {
            Some('.') => (Type::Message, Some(of.to_owned())),
            Some('#') => (Type::Enum, Some(of.replacen('#', ".", 1))),
            _ => (Type::from_str_name(&format!("TYPE_{}", of.to_uppercase())).unwrap(), None),
        };
        let (mark, name) = match field.strip_prefix(['|', '?']) {
            Some(name) => (field.chars().next(), name),
            None => (None, field),
        };
        let oneof = match mark {
            Some('|') => Some("one".to_owned()),
            Some(_) => Some(format!("_{name}")),
            None => None,
        };
        let oneof_index = oneof.map(|oneof| {
            if !oneofs.contains(&oneof) {
                oneofs.push(oneof.clone());
            }
            i32::try_from(oneofs.iter().position(|known| *known == oneof).unwrap()).unwrap()
        });
        let label = if is_repeated { Label::Repeated } else { Label::Optional };
        made.field.push(FieldDescriptorProto {
            name: Some(name.to_owned()),
            number: Some(number.parse().unwrap()),
            label: Some(label.into()),
            r#type: Some(kind.into()),
            type_name,
            oneof_index,
            proto3_optional: (mark == Some('?')).then_some(true),
            ..FieldDescriptorProto::default()
        });
    }
    made.oneof_decl = oneofs
        .into_iter()
        .map(|name| OneofDescriptorProto { name: Some(name), ..OneofDescriptorProto::default() })
        .collect();
    made
}

fn entry(name: &str, fields: &str) -> DescriptorProto {
    let options = MessageOptions { map_entry: Some(true), ..MessageOptions::default() };
    DescriptorProto { options: Some(options), ..message(name, fields) }
}

const EVERYTHING: &str = "
    text 1 string
    number 2 int64
    small 3 sint32
    unsigned 4 fixed64
    flag 5 bool
    ratio 6 double
    single 7 float
    data 8 bytes
    order 9 #lib.Order
    tags 10 *string
    numbers 11 *int32
    inner 12 .lib.Inner
    inners 13 *.lib.Inner
    labels 14 *.lib.All.LabelsEntry
    counts 15 *.lib.All.CountsEntry
    when 16 .google.protobuf.Timestamp
    how_long 17 .google.protobuf.Duration
    mask 18 .google.protobuf.FieldMask
    any 19 .google.protobuf.Any
    anything 20 .google.protobuf.Value
    object 21 .google.protobuf.Struct
    list 22 .google.protobuf.ListValue
    wrapped_number 23 .google.protobuf.Int64Value
    wrapped_text 24 .google.protobuf.StringValue
    wrapped_flag 25 .google.protobuf.BoolValue
    nothing 26 #google.protobuf.NullValue
    empty 27 .google.protobuf.Empty
    |one_text 28 string
    |one_number 29 int32
    ?optional_text 30 string
    orders 31 *#lib.Order
    key 32 string
    times 33 *.google.protobuf.Timestamp";

fn file() -> FileDescriptorProto {
    let everything = DescriptorProto {
        nested_type: vec![
            entry("LabelsEntry", "key 1 string\nvalue 2 string"),
            entry("CountsEntry", "key 1 int32\nvalue 2 .lib.Inner"),
        ],
        ..message("All", EVERYTHING)
    };
    let order = EnumDescriptorProto {
        name: Some("Order".to_owned()),
        value: (0..)
            .zip(["ORDER_UNSPECIFIED", "NEWEST", "OLDEST"])
            .map(|(number, name)| EnumValueDescriptorProto {
                name: Some(name.to_owned()),
                number: Some(number),
                ..EnumValueDescriptorProto::default()
            })
            .collect(),
        ..EnumDescriptorProto::default()
    };
    let rpc = |name: &str, input: &str, output: &str, (client, server): (bool, bool)| MethodDescriptorProto {
        name: Some(name.to_owned()),
        input_type: Some(input.to_owned()),
        output_type: Some(output.to_owned()),
        client_streaming: Some(client),
        server_streaming: Some(server),
        ..MethodDescriptorProto::default()
    };
    let methods = vec![
        rpc("ListBooks", ".lib.ListBooksRequest", ".lib.ListBooksResponse", (false, false)),
        rpc("CreateBook", ".lib.CreateBookRequest", ".lib.Book", (false, false)),
        rpc("UpdateBook", ".lib.UpdateBookRequest", ".lib.Book", (false, false)),
        rpc("MergeShelves", ".lib.MergeShelvesRequest", ".google.protobuf.Empty", (false, false)),
        rpc("Everything", ".lib.All", ".lib.All", (false, false)),
        rpc("WatchBooks", ".lib.ListBooksRequest", ".lib.Book", (false, true)),
        rpc("Download", ".lib.MergeShelvesRequest", ".google.api.HttpBody", (false, true)),
        rpc("GetBlob", ".lib.MergeShelvesRequest", ".google.api.HttpBody", (false, false)),
        rpc("PutBlob", ".lib.PutBlobRequest", ".google.protobuf.Empty", (false, false)),
        rpc("Upload", ".lib.MergeShelvesRequest", ".google.protobuf.Empty", (true, false)),
    ];
    let messages = [
        ("Book", "name 1 string\ntitle 2 string\npage_count 3 int64\norder 4 #lib.Order"),
        (
            "ListBooksRequest",
            "parent 1 string\npage_size 2 int32\npage_token 3 string\nfilter 4 string\norder 5 #lib.Order\nread_mask 6 .google.protobuf.FieldMask\ntags 7 *string",
        ),
        (
            "ListBooksResponse",
            "books 1 *.lib.Book\nnext_page_token 2 string\ntotal 3 int64\nnewest 4 .lib.Book\ndetails 5 .google.protobuf.Any",
        ),
        ("CreateBookRequest", "parent 1 string\nbook 2 .lib.Book\nbook_id 3 string\nvalidate_only 4 bool"),
        ("UpdateBookRequest", "book 1 .lib.Book\nupdate_mask 2 .google.protobuf.FieldMask"),
        ("MergeShelvesRequest", "name 1 string\nother_shelf 2 string"),
        ("PutBlobRequest", "name 1 string\nblob 2 .google.api.HttpBody"),
        ("Inner", "text 1 string\nnumber 2 int64\ninner 3 .lib.Inner\nfirst_line 4 string"),
    ];
    let dependency = ["any", "duration", "empty", "field_mask", "struct", "timestamp", "wrappers"];
    let dependency = dependency.iter().map(|name| format!("google/protobuf/{name}.proto"));
    FileDescriptorProto {
        name: Some("lib.proto".to_owned()),
        package: Some("lib".to_owned()),
        syntax: Some("proto3".to_owned()),
        dependency: dependency.chain(["google/api/httpbody.proto".to_owned()]).collect(),
        message_type: messages
            .iter()
            .map(|(name, fields)| message(name, fields))
            .chain([everything])
            .collect(),
        enum_type: vec![order],
        service: vec![ServiceDescriptorProto {
            name: Some("Library".to_owned()),
            method: methods,
            ..ServiceDescriptorProto::default()
        }],
        ..FileDescriptorProto::default()
    }
}

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let body = "content_type 1 string\ndata 2 bytes\nextensions 3 *.google.protobuf.Any";
    let http_body = FileDescriptorProto {
        name: Some("google/api/httpbody.proto".to_owned()),
        package: Some("google.api".to_owned()),
        syntax: Some("proto3".to_owned()),
        dependency: vec!["google/protobuf/any.proto".to_owned()],
        message_type: vec![message("HttpBody", body)],
        ..FileDescriptorProto::default()
    };
    let mut pool = DescriptorPool::global();
    pool.add_file_descriptor_protos([http_body, file()]).unwrap();
    pool
});

pub(in crate::transcode) fn message_of(name: &str) -> MessageDescriptor {
    POOL.get_message_by_name(name).unwrap()
}

/// A method of the library under a rule.
pub(in crate::transcode) fn method(
    rpc: &str,
    variables: &[&str],
    body: BodyMapping<'_>,
    response_body: Option<&str>,
) -> Result<TranscodedMethod, Vec<TranscodeError>> {
    let (service, name) = rpc.rsplit_once('.').unwrap();
    let service = POOL.get_service_by_name(service).unwrap();
    let found = service.methods().find(|method| method.name() == name).unwrap();
    let rpc = Rpc {
        name: rpc,
        input: &found.input(),
        output: &found.output(),
        is_client_streaming: found.is_client_streaming(),
        is_server_streaming: found.is_server_streaming(),
    };
    TranscodedMethod::new(rpc, variables.iter().copied(), body, response_body)
}
