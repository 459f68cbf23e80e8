use http::HeaderValue;
use prost_reflect::DynamicMessage;

use super::*;

fn detail(name: &str, value: Value) -> Detail {
    let descriptor = details::described(name).unwrap();
    let message = DynamicMessage::deserialize(descriptor, value).unwrap();
    Detail { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec() }
}

fn fields(code: &str, message: Option<&[u8]>, rich: Option<&Status>) -> HeaderMap {
    let mut fields = HeaderMap::new();
    fields.insert("grpc-status", HeaderValue::from_str(code).unwrap());
    if let Some(message) = message {
        fields.insert("grpc-message", HeaderValue::from_bytes(message).unwrap());
    }
    if let Some(rich) = rich {
        let text = base64::prelude::BASE64_STANDARD_NO_PAD.encode(rich.encode_to_vec());
        fields.insert("grpc-status-details-bin", HeaderValue::from_str(&text).unwrap());
    }
    fields
}

fn read(fields: &HeaderMap) -> Value {
    RpcStatus::read(fields, &DescriptorPool::global()).unwrap().value()
}

#[test]
fn details_of_google_are_written_though_the_service_does_not_describe_them() {
    let details = vec![
        detail("google.rpc.ErrorInfo", json!({"reason": "R", "domain": "d", "metadata": {"k": "v"}})),
        detail("google.rpc.RetryInfo", json!({"retryDelay": "1.500s"})),
        detail(
            "google.rpc.QuotaFailure",
            json!({"violations": [{"subject": "s", "quotaDimensions": {"r": "eu"}, "quotaValue": "5"}]}),
        ),
        detail("google.rpc.PreconditionFailure", json!({"violations": [{"type": "T", "subject": "s"}]})),
        detail(
            "google.rpc.BadRequest",
            json!({"fieldViolations": [{"field": "f", "localizedMessage": {"locale": "de", "message": "m"}}]}),
        ),
        detail("google.rpc.RequestInfo", json!({"requestId": "i"})),
        detail("google.rpc.ResourceInfo", json!({"resourceType": "t", "resourceName": "n"})),
        detail("google.rpc.Help", json!({"links": [{"url": "u"}]})),
        detail("google.rpc.LocalizedMessage", json!({"locale": "de", "message": "m"})),
        detail("google.rpc.DebugInfo", json!({"stackEntries": ["a"], "detail": "d"})),
        Detail { type_url: "type.googleapis.com/some.Unknown".to_owned(), value: vec![1] },
        Detail { type_url: "type.googleapis.com/google.rpc.Help".to_owned(), value: vec![0xff] },
    ];
    let status = Status { code: 9, message: "in the details".to_owned(), details };
    insta::assert_snapshot!(format!("{:#}", read(&fields("9", None, Some(&status)))));
}

#[test]
fn the_header_decides_what_came_of_a_call() {
    let status = Status { code: 7, message: "other".to_owned(), details: Vec::new() };
    let error = read(&fields("5", Some(b"own"), Some(&status)));
    assert_eq!(error, json!({"error": {"code": 404, "message": "own", "status": "NOT_FOUND"}}));
    let error = read(&fields("7", Some(b"own"), Some(&status)));
    assert_eq!(error["error"]["message"], "own");
    let ok = RpcStatus::read(&fields("0", None, Some(&status)), &DescriptorPool::global()).unwrap();
    assert!(ok.is_ok());
    assert_eq!(RpcStatus::read(&HeaderMap::new(), &DescriptorPool::global()), None);
}

#[test]
fn a_message_is_decoded_and_kept_where_it_cannot_be() {
    for (sent, expected) in [
        (&b"a%20b%E2%82%AC"[..], "a b\u{20ac}"),
        (b"100% sure", "100% sure"),
        (b"%ff", "\u{fffd}"),
        (b"\xe2\x82\xac", "\u{20ac}"),
        (b"", ""),
    ] {
        assert_eq!(read(&fields("2", Some(sent), None))["error"]["message"], expected);
    }
}
