//! gRPC's frames, and the one message of the soak: `Part` of tests/clients/grpc/python/streams.proto, and its descriptor set.

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use prost_reflect::prost::Message;
use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto,
    ServiceDescriptorProto,
};

pub const PACKAGE: &str = "opgate.test.v1";

/// The descriptor set, as protoc would write it.
pub fn descriptor_set() -> Vec<u8> {
    let field = |name: &str, number, kind: Type| FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(kind.into()),
        ..FieldDescriptorProto::default()
    };
    let part = DescriptorProto {
        name: Some("Part".to_owned()),
        field: vec![field("name", 1, Type::String), field("data", 2, Type::Bytes)],
        ..DescriptorProto::default()
    };
    let method = |name: &str, client, server| MethodDescriptorProto {
        name: Some(name.to_owned()),
        input_type: Some(format!(".{PACKAGE}.Part")),
        output_type: Some(format!(".{PACKAGE}.Part")),
        client_streaming: Some(client),
        server_streaming: Some(server),
        ..MethodDescriptorProto::default()
    };
    let service = ServiceDescriptorProto {
        name: Some("Streams".to_owned()),
        method: vec![method("Upload", true, false), method("Watch", false, true), method("Chat", true, true)],
        ..ServiceDescriptorProto::default()
    };
    let file = FileDescriptorProto {
        name: Some("streams.proto".to_owned()),
        package: Some(PACKAGE.to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: vec![part],
        service: vec![service],
        ..FileDescriptorProto::default()
    };
    FileDescriptorSet { file: vec![file] }.encode_to_vec()
}

fn put(bytes: &mut Vec<u8>, tag: u8, value: &[u8]) {
    bytes.push(tag);
    let mut length = value.len();
    while length >= 0x80 {
        bytes.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).unwrap());
    bytes.extend_from_slice(value);
}

/// A part. Fields that are empty are left out.
pub fn part(name: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (tag, value) in [(0x0a, name.as_bytes()), (0x12, data)] {
        if !value.is_empty() {
            put(&mut bytes, tag, value);
        }
    }
    bytes
}

/// Name and data of a part that [`part`] wrote.
pub fn read_part(mut bytes: &[u8]) -> (String, Vec<u8>) {
    let (mut name, mut data) = (Vec::new(), Vec::new());
    while let Some((tag, rest)) = bytes.split_first() {
        let end = rest.iter().position(|byte| byte & 0x80 == 0).unwrap();
        let length = rest[..=end].iter().rev().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f));
        let (value, after) = rest[end + 1..].split_at(length);
        match tag {
            0x0a => name = value.to_vec(),
            0x12 => data = value.to_vec(),
            _ => panic!("field {tag}"),
        }
        bytes = after;
    }
    (String::from_utf8(name).unwrap(), data)
}

/// A message behind its five bytes: not compressed, and its length.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(message);
    bytes
}

/// The messages of a body.
pub struct Frames {
    body: RecvStream,
    bytes: BytesMut,
}

impl Frames {
    pub fn of(body: RecvStream) -> Self {
        Self { body, bytes: BytesMut::new() }
    }

    /// The next message, once it is whole; `None` at the end of the body.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, h2::Error> {
        loop {
            if let Some(message) = self.whole() {
                return Ok(Some(message));
            }
            let Some(piece) = self.body.data().await else {
                assert!(self.bytes.is_empty(), "a message that is cut off");
                return Ok(None);
            };
            let piece: Bytes = piece?;
            let _ = self.body.flow_control().release_capacity(piece.len());
            self.bytes.extend_from_slice(&piece);
        }
    }

    fn whole(&mut self) -> Option<Vec<u8>> {
        let [flag, length @ ..] = *self.bytes.first_chunk::<5>()?;
        assert_eq!(flag, 0);
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap();
        if self.bytes.len() < 5 + length {
            return None;
        }
        Some(self.bytes.split_to(5 + length)[5..].to_vec())
    }

    /// The trailers, behind the last message.
    pub async fn trailers(&mut self) -> Result<Option<http::HeaderMap>, h2::Error> {
        self.body.trailers().await
    }
}
