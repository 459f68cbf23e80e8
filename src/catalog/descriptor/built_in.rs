//! Descriptors that a service has without a set of its own: operations, statuses, HTTP bodies and health.
//!
//! They are google/longrunning/operations.proto, google/rpc/status.proto, google/api/httpbody.proto and
//! grpc/health/v1/health.proto, without comments and annotations. The types of google.protobuf are prost-reflect's.

use prost_reflect::prost_types::field_descriptor_proto::Type;
use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorProto, MethodDescriptorProto, OneofDescriptorProto, ServiceDescriptorProto,
};

use crate::transcode::described::{field, message, of, repeated};

/// The files, each behind those that it imports.
pub(super) fn files() -> [FileDescriptorProto; 6] {
    [status(), http_body(), operations(), health(), reflection("v1"), reflection("v1alpha")]
}

const ANY: &str = ".google.protobuf.Any";

fn status() -> FileDescriptorProto {
    let fields = vec![
        field("code", 1, Type::Int32),
        field("message", 2, Type::String),
        repeated(of("details", 3, ANY)),
    ];
    FileDescriptorProto {
        message_type: vec![message("Status", fields)],
        ..file("google/rpc/status.proto", "google.rpc", &["google/protobuf/any.proto"])
    }
}

fn http_body() -> FileDescriptorProto {
    let fields = vec![
        field("content_type", 1, Type::String),
        field("data", 2, Type::Bytes),
        repeated(of("extensions", 3, ANY)),
    ];
    FileDescriptorProto {
        message_type: vec![message("HttpBody", fields)],
        ..file("google/api/httpbody.proto", "google.api", &["google/protobuf/any.proto"])
    }
}

fn operations() -> FileDescriptorProto {
    const OPERATION: &str = ".google.longrunning.Operation";
    let named = |request: &str| message(request, vec![field("name", 1, Type::String)]);
    let one_of_result = |field: FieldDescriptorProto| FieldDescriptorProto { oneof_index: Some(0), ..field };
    let operation = DescriptorProto {
        oneof_decl: vec![OneofDescriptorProto {
            name: Some("result".to_owned()),
            ..OneofDescriptorProto::default()
        }],
        ..message(
            "Operation",
            vec![
                field("name", 1, Type::String),
                of("metadata", 2, ANY),
                field("done", 3, Type::Bool),
                one_of_result(of("error", 4, ".google.rpc.Status")),
                one_of_result(of("response", 5, ANY)),
            ],
        )
    };
    let list = message(
        "ListOperationsRequest",
        vec![
            field("name", 4, Type::String),
            field("filter", 1, Type::String),
            field("page_size", 2, Type::Int32),
            field("page_token", 3, Type::String),
            field("return_partial_success", 5, Type::Bool),
        ],
    );
    let listed = message(
        "ListOperationsResponse",
        vec![
            repeated(of("operations", 1, OPERATION)),
            field("next_page_token", 2, Type::String),
            repeated(field("unreachable", 3, Type::String)),
        ],
    );
    let wait = message(
        "WaitOperationRequest",
        vec![field("name", 1, Type::String), of("timeout", 2, ".google.protobuf.Duration")],
    );
    let info = message(
        "OperationInfo",
        vec![field("response_type", 1, Type::String), field("metadata_type", 2, Type::String)],
    );
    const EMPTY: &str = ".google.protobuf.Empty";
    let methods = vec![
        method(
            "ListOperations",
            ".google.longrunning.ListOperationsRequest",
            ".google.longrunning.ListOperationsResponse",
        ),
        method("GetOperation", ".google.longrunning.GetOperationRequest", OPERATION),
        method("DeleteOperation", ".google.longrunning.DeleteOperationRequest", EMPTY),
        method("CancelOperation", ".google.longrunning.CancelOperationRequest", EMPTY),
        method("WaitOperation", ".google.longrunning.WaitOperationRequest", OPERATION),
    ];
    let imports = [
        "google/protobuf/any.proto",
        "google/protobuf/descriptor.proto",
        "google/protobuf/duration.proto",
        "google/protobuf/empty.proto",
        "google/rpc/status.proto",
    ];
    FileDescriptorProto {
        message_type: vec![
            operation,
            named("GetOperationRequest"),
            list,
            listed,
            named("CancelOperationRequest"),
            named("DeleteOperationRequest"),
            wait,
            info,
        ],
        service: vec![service("Operations", methods)],
        extension: vec![FieldDescriptorProto {
            extendee: Some(".google.protobuf.MethodOptions".to_owned()),
            ..of("operation_info", 1049, ".google.longrunning.OperationInfo")
        }],
        ..file("google/longrunning/operations.proto", "google.longrunning", &imports)
    }
}

fn health() -> FileDescriptorProto {
    const REQUEST: &str = ".grpc.health.v1.HealthCheckRequest";
    const RESPONSE: &str = ".grpc.health.v1.HealthCheckResponse";
    let value = |(number, name): (i32, &&str)| EnumValueDescriptorProto {
        name: Some((*name).to_owned()),
        number: Some(number),
        ..EnumValueDescriptorProto::default()
    };
    let names = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
    let serving_status = EnumDescriptorProto {
        name: Some("ServingStatus".to_owned()),
        value: (0..).zip(&names).map(value).collect(),
        ..EnumDescriptorProto::default()
    };
    let status = FieldDescriptorProto {
        type_name: Some(format!("{RESPONSE}.ServingStatus")),
        ..field("status", 1, Type::Enum)
    };
    let response =
        DescriptorProto { enum_type: vec![serving_status], ..message("HealthCheckResponse", vec![status]) };
    let watch = MethodDescriptorProto { server_streaming: Some(true), ..method("Watch", REQUEST, RESPONSE) };
    FileDescriptorProto {
        message_type: vec![message("HealthCheckRequest", vec![field("service", 1, Type::String)]), response],
        service: vec![service("Health", vec![method("Check", REQUEST, RESPONSE), watch])],
        ..file("grpc/health/v1/health.proto", "grpc.health.v1", &[])
    }
}

/// grpc.reflection: its messages pass unread, so their fields are left out.
fn reflection(version: &str) -> FileDescriptorProto {
    let package = format!("grpc.reflection.{version}");
    let (request, response) =
        (format!(".{package}.ServerReflectionRequest"), format!(".{package}.ServerReflectionResponse"));
    let info = MethodDescriptorProto {
        client_streaming: Some(true),
        server_streaming: Some(true),
        ..method("ServerReflectionInfo", &request, &response)
    };
    FileDescriptorProto {
        message_type: vec![
            message("ServerReflectionRequest", Vec::new()),
            message("ServerReflectionResponse", Vec::new()),
        ],
        service: vec![service("ServerReflection", vec![info])],
        ..file(&format!("grpc/reflection/{version}/reflection.proto"), &package, &[])
    }
}

fn file(name: &str, package: &str, imports: &[&str]) -> FileDescriptorProto {
    FileDescriptorProto {
        name: Some(name.to_owned()),
        package: Some(package.to_owned()),
        dependency: imports.iter().map(|&import| import.to_owned()).collect(),
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    }
}

fn service(name: &str, method: Vec<MethodDescriptorProto>) -> ServiceDescriptorProto {
    ServiceDescriptorProto { name: Some(name.to_owned()), method, ..ServiceDescriptorProto::default() }
}

fn method(name: &str, input: &str, output: &str) -> MethodDescriptorProto {
    MethodDescriptorProto {
        name: Some(name.to_owned()),
        input_type: Some(input.to_owned()),
        output_type: Some(output.to_owned()),
        ..MethodDescriptorProto::default()
    }
}
