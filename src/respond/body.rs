//! The body of an error answer: the JSON of AIP-193, two blanks to a level, as Google writes it.
//!
//! Most of it is the same in all of them. So it is copied, and what is of this one request is escaped between the copies.

use bytes::Bytes;

use crate::json::push_text;
use crate::reason::{Denial, FieldViolation};

/// Room for most bodies.
const USUAL: usize = 1024;

/// The body.
pub(super) fn of(denial: &Denial, request_id: &str) -> Bytes {
    let entry = denial.reason().entry();
    let mut body = String::with_capacity(USUAL);
    body.push_str("{\n  \"error\": {\n    \"code\": ");
    body.push_str(itoa::Buffer::new().format(entry.status));
    put(&mut body, ",\n    \"message\": ", denial.public_message());
    put(&mut body, ",\n    \"status\": ", entry.code);
    body.push_str(
        ",\n    \"details\": [\n      {\n        \"@type\": \"type.googleapis.com/google.rpc.ErrorInfo\"",
    );
    put(&mut body, ",\n        \"reason\": ", entry.name);
    put(&mut body, ",\n        \"domain\": ", denial.error_domain());
    put_metadata(&mut body, denial.metadata_entries());
    body.push_str("\n      }");
    put_violations(&mut body, denial.violations());
    put(
        &mut body,
        ",\n      {\n        \"@type\": \"type.googleapis.com/google.rpc.RequestInfo\",\n        \"requestId\": ",
        request_id,
    );
    body.push_str("\n      }\n    ]\n  }\n}\n");
    body.into()
}

/// A member: what stands before it, its name included, and its text.
fn put(body: &mut String, before: &str, text: &str) {
    body.push_str(before);
    push_text(body, text);
}

/// The metadata of the ErrorInfo. Of an entry that is there twice, the later value counts.
fn put_metadata(body: &mut String, entries: &[(&str, String)]) {
    body.push_str(",\n        \"metadata\": {");
    let mut mark = "\n          ";
    for (index, (key, _)) in entries.iter().enumerate() {
        let is_same = |entry: &&(&str, String)| entry.0 == *key;
        if entries.iter().take(index).any(|entry| is_same(&entry)) {
            continue;
        }
        let Some((_, value)) = entries.iter().rfind(is_same) else { continue };
        put(body, mark, key);
        put(body, ": ", value);
        mark = ",\n          ";
    }
    body.push_str(if entries.is_empty() { "}" } else { "\n        }" });
}

/// The google.rpc.BadRequest of a denial that tells of mistakes in the message. A violation of the message itself names
/// no field.
fn put_violations(body: &mut String, violations: &[FieldViolation]) {
    if violations.is_empty() {
        return;
    }
    body.push_str(
        ",\n      {\n        \"@type\": \"type.googleapis.com/google.rpc.BadRequest\",\n        \"fieldViolations\": [",
    );
    let mut mark = "\n          {";
    for FieldViolation { field, description } in violations {
        body.push_str(mark);
        if let Some(field) = field {
            put(body, "\n            \"field\": ", field);
            body.push(',');
        }
        put(body, "\n            \"description\": ", description);
        body.push_str("\n          }");
        mark = ",\n          {";
    }
    body.push_str("\n        ]\n      }");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::reason::Reason;

    /// The same by serde.
    fn in_serde(denial: &Denial, request_id: &str) -> String {
        let entry = denial.reason().entry();
        let metadata: serde_json::Map<String, Value> =
            denial.metadata_entries().iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let mut details = vec![json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": entry.name,
            "domain": denial.error_domain(),
            "metadata": metadata,
        })];
        let violation = |violation: &FieldViolation| match &violation.field {
            Some(field) => json!({ "field": field, "description": violation.description }),
            None => json!({ "description": violation.description }),
        };
        let violations: Vec<Value> = denial.violations().iter().map(violation).collect();
        if !violations.is_empty() {
            details.push(json!({
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": violations,
            }));
        }
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.RequestInfo",
            "requestId": request_id,
        }));
        let body = json!({
            "error": {
                "code": entry.status,
                "message": denial.public_message(),
                "status": entry.code,
                "details": details,
            }
        });
        format!("{body:#}\n")
    }

    proptest! {
        #[test]
        fn a_body_is_written_by_hand_as_serde_writes_it(
            reason in prop::sample::select(Reason::ALL),
            message in prop::option::of("[\\x00-\\x7fé…]{0,20}"),
            domain in prop::option::of("\\PC{0,20}"),
            metadata in prop::collection::vec((prop::sample::select(&["service", "method", "x"][..]), "\\PC{0,20}"), 0..4),
            violations in prop::collection::vec((prop::option::of("\\PC{0,9}"), "[\\x00-\\x7f]{0,9}"), 0..4),
            id in "[0-9a-f]{0,32}",
        ) {
            let mut denial = Denial::new(reason, "");
            if let Some(message) = message {
                denial = denial.message(message);
            }
            if let Some(domain) = domain {
                denial = denial.domain(domain);
            }
            for (key, value) in metadata {
                denial = denial.metadata(key, value);
            }
            for (field, description) in violations {
                denial = denial.violation(field.as_deref(), description);
            }
            let written = of(&denial, &id);
            prop_assert_eq!(std::str::from_utf8(&written).unwrap(), in_serde(&denial, &id));
        }
    }
}
