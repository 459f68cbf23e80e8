//! What a client is told of its body reads as Google's own front ends word it.

use serde_json::{Value, json};

use crate::bodies::{TRAIN, cancel, in_every_framing, wait};
use crate::harness::{Gate, reason};

/// The `BadRequest` of an error.
fn violations(body: &Value) -> Value {
    let details = body["error"]["details"].as_array().unwrap();
    let bad_request =
        details.iter().find(|detail| detail["@type"] == "type.googleapis.com/google.rpc.BadRequest");
    bad_request.unwrap_or_else(|| panic!("{body}"))["fieldViolations"].clone()
}

#[tokio::test]
async fn mistakes_in_a_body_are_told_as_google_tells_them() {
    let root = "Invalid JSON payload received. Unknown name \"\": Root element must be a message.";
    let unknown = "Invalid JSON payload received. Unknown name \"foo\": Cannot find field.";
    let other = TRAIN.replace("demo", "other");
    let rows = [
        (json!({ "foo": 1 }).to_string(), unknown, None),
        (json!({ "name": TRAIN, "foo": {} }).to_string(), unknown, None),
        ("[]".to_owned(), root, None),
        ("null".to_owned(), root, None),
        ("\"x\"".to_owned(), root, None),
        ("{".to_owned(), "Invalid JSON payload received. Unexpected end of string.", None),
        ("{x}".to_owned(), "Invalid JSON payload received. Unexpected token.", None),
        (
            json!({ "name": other }).to_string(),
            "Invalid value at 'name': it is not the one that the path names.",
            Some("name"),
        ),
    ];
    let gate = Gate::start();
    for (body, message, field) in rows {
        for (framing, answer) in in_every_framing(&gate, &cancel(), body.as_bytes()).await {
            assert_eq!((answer.status, reason(&answer).as_str()), (400, "REQUEST_BODY_REFUSED"), "{framing}");
            let told = answer.json().unwrap();
            assert_eq!(told["error"]["message"], message, "{body}");
            assert_eq!(told["error"]["status"], "INVALID_ARGUMENT");
            let expected = match field {
                None => json!([{ "description": message }]),
                Some(field) => json!([{ "field": field, "description": message }]),
            };
            assert_eq!(violations(&told), expected, "{body}");
        }
    }
    assert!(gate.backend.requests().is_empty());
}

/// `body: message` takes every field, but is worded alike where it takes none.
#[tokio::test]
async fn mistakes_in_a_message_are_told_alike() {
    let gate = Gate::start();
    for (body, message) in [
        ("[1]", "Invalid JSON payload received. Unknown name \"\": Root element must be a message."),
        ("{\"timeout\":", "Invalid JSON payload received. Unexpected end of string."),
        ("{\"a\":1,\"a\":2}", "Invalid JSON payload received. Member `a` is given twice."),
        ("{\"name\":\"x\"}", "Invalid value at 'name': it is not the one that the path names."),
    ] {
        for (_, answer) in in_every_framing(&gate, &wait(), body.as_bytes()).await {
            assert_eq!(answer.status, 400, "{body}");
            assert_eq!(answer.json().unwrap()["error"]["message"], message);
        }
    }
    // The parser's own words are in the audit log.
    let lines = gate.audit(12);
    let details: Vec<_> =
        lines.iter().map(|line| line["protoPayload"]["metadata"]["detail"].to_string()).collect();
    assert!(details.iter().any(|detail| detail.contains("EOF while parsing")), "{details:?}");
}
