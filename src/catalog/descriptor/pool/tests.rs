use prost::Message as _;
use prost_reflect::DynamicMessage;
use prost_reflect::prost_types;

use super::*;

/// What protoc makes of a proto of one service that imports operations and an annotation, and holds neither of the files.
fn jobs() -> prost_types::FileDescriptorSet {
    let method = |name: &str, output: &str, client: bool, server: bool| prost_types::MethodDescriptorProto {
        name: Some(name.into()),
        input_type: Some(".acme.v1.RunRequest".into()),
        output_type: Some(output.into()),
        client_streaming: Some(client),
        server_streaming: Some(server),
        ..Default::default()
    };
    let name = prost_types::FieldDescriptorProto {
        name: Some("name".into()),
        number: Some(3),
        label: Some(prost_types::field_descriptor_proto::Label::Optional.into()),
        r#type: Some(prost_types::field_descriptor_proto::Type::String.into()),
        ..Default::default()
    };
    let file = FileDescriptorProto {
        name: Some("acme/v1/jobs.proto".into()),
        package: Some("acme.v1".into()),
        dependency: vec!["google/api/annotations.proto".into(), "google/longrunning/operations.proto".into()],
        message_type: vec![prost_types::DescriptorProto {
            name: Some("RunRequest".into()),
            field: vec![name],
            ..Default::default()
        }],
        service: vec![prost_types::ServiceDescriptorProto {
            name: Some("Jobs".into()),
            method: vec![
                method("Run", ".google.longrunning.Operation", false, false),
                method("Talk", ".acme.v1.RunRequest", true, true),
            ],
            ..Default::default()
        }],
        syntax: Some("proto3".into()),
        ..Default::default()
    };
    prost_types::FileDescriptorSet { file: vec![file] }
}

fn read(set: &prost_types::FileDescriptorSet) -> RpcDescriptors {
    let bytes = set.encode_to_vec();
    RpcDescriptors::read(&FileDescriptorSet::decode(&*bytes).unwrap(), &bytes)
}

#[test]
fn operations_and_health_are_known_without_a_set() {
    let known = RpcDescriptors::default();
    for (rpc, input, output) in [
        ("GetOperation", "GetOperationRequest", "google.longrunning.Operation"),
        ("ListOperations", "ListOperationsRequest", "google.longrunning.ListOperationsResponse"),
        ("CancelOperation", "CancelOperationRequest", "google.protobuf.Empty"),
        ("DeleteOperation", "DeleteOperationRequest", "google.protobuf.Empty"),
        ("WaitOperation", "WaitOperationRequest", "google.longrunning.Operation"),
    ] {
        let found = known.find(&format!("google.longrunning.Operations.{rpc}")).unwrap();
        assert_eq!(found.input.full_name(), format!("google.longrunning.{input}"));
        assert_eq!(found.output.full_name(), output);
        assert!(found.input.get_field_by_name("name").is_some(), "{rpc}");
    }
    let watch = known.find("grpc.health.v1.Health.Watch").unwrap();
    assert!(watch.is_server_streaming && !watch.is_client_streaming);
    for rpc in ["google.longrunning.Operations.Get", "acme.v1.Jobs.Run", "Run", ""] {
        assert!(known.find(rpc).is_none(), "{rpc}");
    }
}

#[test]
fn what_is_built_in_writes_the_json_of_google() {
    let operation = RpcDescriptors::default().find("google.longrunning.Operations.GetOperation").unwrap();
    let pool = operation.output.parent_pool();
    for name in ["google.rpc.Status", "google.api.HttpBody", "google.protobuf.Struct"] {
        assert!(pool.get_message_by_name(name).is_some(), "{name}");
    }
    // name "operations/7", done, error {code: 1, message: "gone"}
    let bytes = b"\x0a\x0coperations/7\x18\x01\x22\x08\x08\x01\x12\x04gone";
    let message = DynamicMessage::decode(operation.output, &bytes[..]).unwrap();
    let json = serde_json::to_string(&message).unwrap();
    assert_eq!(json, r#"{"name":"operations/7","done":true,"error":{"code":1,"message":"gone"}}"#);
}

#[test]
fn a_set_is_read_with_what_it_imports_and_does_not_hold() {
    let known = read(&jobs());
    assert_eq!(known.incomplete(), None);
    let run = known.find("acme.v1.Jobs.Run").unwrap();
    assert_eq!(run.output.full_name(), "google.longrunning.Operation");
    assert_eq!(run.input.get_field_by_name("name").unwrap().number(), 3);
    let talk = known.find("acme.v1.Jobs.Talk").unwrap();
    assert!(talk.is_client_streaming && talk.is_server_streaming);
    assert!(known.find("google.longrunning.Operations.GetOperation").is_some());
}

#[test]
fn a_set_that_lacks_a_type_says_which_and_leaves_what_is_built_in() {
    let mut set = jobs();
    set.file[0].service[0].method[0].output_type = Some(".acme.v1.Gone".into());
    let known = read(&set);
    assert!(known.incomplete().unwrap().contains("acme.v1.Gone"), "{:?}", known.incomplete());
    assert!(known.find("acme.v1.Jobs.Talk").is_none());
    assert!(known.find("google.longrunning.Operations.GetOperation").is_some());
}
