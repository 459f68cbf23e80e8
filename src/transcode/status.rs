//! The status of a gRPC answer as an error of AIP-193.

mod details;

use self::details::Detail;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use prost::Message;
use prost_reflect::DescriptorPool;
use serde_json::{Value, json};

use crate::percent::{Octet, octets};
use crate::reason::{code_name, http_of_code};

/// The codes of google.rpc.Code end here.
const LAST_CODE: u8 = 16;
const UNKNOWN: u8 = 2;

/// gRPC's libraries write the padding or leave it out, and readers take both (gRPC over HTTP/2, "Custom-Metadata").
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RpcStatus {
    code: u8,
    message: String,
    details: Vec<Value>,
}

impl RpcStatus {
    /// Reads it from the fields behind an answer, or from the head of one that has nothing else. `None` where there is none.
    pub(super) fn read(fields: &HeaderMap, pool: &DescriptorPool) -> Option<Self> {
        let code = fields.get("grpc-status")?.to_str().ok().and_then(|text| text.parse().ok());
        // A code that is not known is UNKNOWN (gRPC over HTTP/2, "Status").
        let code: u8 = code.filter(|code| *code <= LAST_CODE).unwrap_or(UNKNOWN);
        if code == 0 {
            return Some(Self { code, message: String::new(), details: Vec::new() });
        }
        let rich = fields.get("grpc-status-details-bin").and_then(|text| BASE64.decode(text).ok());
        let rich = rich.and_then(|bytes| Status::decode(bytes.as_slice()).ok());
        // The header decides what came of the call.
        let rich = rich.filter(|rich| rich.code == i32::from(code));
        let message = match fields.get("grpc-message") {
            Some(text) => decoded(text.as_bytes()),
            None => rich.as_ref().map(|rich| rich.message.clone()).unwrap_or_default(),
        };
        let details = rich.map(|rich| rich.details).unwrap_or_default();
        let details = details.iter().filter_map(|detail| details::json(detail, pool)).collect();
        Some(Self { code, message, details })
    }

    pub(super) fn is_ok(&self) -> bool {
        self.code == 0
    }

    /// The HTTP status of its code (google/rpc/code.proto).
    pub(super) fn http_status(&self) -> u16 {
        http_of_code(self.code)
    }

    fn value(&self) -> Value {
        let mut error = json!({
            "code": self.http_status(),
            "message": self.message,
            "status": code_name(self.code),
        });
        if let (false, Some(error)) = (self.details.is_empty(), error.as_object_mut()) {
            error.insert("details".to_owned(), Value::Array(self.details.clone()));
        }
        json!({ "error": error })
    }

    /// The body of an answer, two blanks to a level, as the gate writes its own.
    pub(super) fn document(&self) -> Vec<u8> {
        format!("{:#}\n", self.value()).into_bytes()
    }

    /// An item of a stream.
    pub(super) fn json(&self) -> Vec<u8> {
        self.value().to_string().into_bytes()
    }
}

/// `grpc-message`: percent-encoded. What is not is kept as it stands, for a reader must not lose a message over it (gRPC
/// over HTTP/2, "Percent-Encoded").
fn decoded(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let bytes: Result<Vec<u8>, _> = octets(&text)
        .map(|octet| {
            octet.map(|octet| match octet {
                Octet::Plain(byte) | Octet::Encoded(byte) => byte,
            })
        })
        .collect();
    match bytes {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => text.into_owned(),
    }
}

#[cfg(test)]
mod tests;
