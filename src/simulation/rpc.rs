//! A call over gRPC that has not been sent: its message as JSON, read by the descriptor of the method.

use std::sync::Arc;

use prost_reflect::DynamicMessage;
use prost_reflect::prost::Message as _;
use serde_json::Value;

use crate::catalog::{Catalog, Method, NotCallable};

/// Why a call over gRPC cannot be put to the gate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotACall {
    /// No method is meant, or more than one.
    #[error(transparent)]
    NotCallable(#[from] NotCallable),
    /// The method is not called over gRPC.
    #[error("`{method}` cannot be called over gRPC: {why}")]
    NotOverGrpc {
        /// The full name.
        method: String,
        /// Why.
        why: String,
    },
    /// The JSON is not a message that the method takes.
    #[error("the message is not one that the method takes: {0}")]
    NotAMessage(String),
}

/// The full name of an RPC, of its path or its name: `package.Service/Method`.
pub(super) fn full_name(rpc: &str) -> String {
    rpc.trim_start_matches('/').replacen('/', ".", 1)
}

/// The method that is called, and the bytes of the message that a client would send.
///
/// # Errors
/// Where no method is meant or its messages are not known, and where the JSON is not such a message.
pub(super) fn message_of(
    rpc: &str,
    message: &Value,
    host: Option<&str>,
    catalog: &Catalog,
) -> Result<(Arc<Method>, Vec<u8>), NotACall> {
    // The resource is in the message.
    let method = catalog.call(&full_name(rpc), host, "")?.method;
    let Some(descriptor) = method.rpc.as_ref().map(|rpc| rpc.input.clone()) else {
        let why = method.rpc_fault.clone().unwrap_or_else(|| "its messages are not known".to_owned());
        return Err(NotACall::NotOverGrpc { method: method.name.clone(), why });
    };
    let read = DynamicMessage::deserialize(descriptor, message);
    let read = read.map_err(|error| NotACall::NotAMessage(error.to_string()))?;
    Ok((method, read.encode_to_vec()))
}
