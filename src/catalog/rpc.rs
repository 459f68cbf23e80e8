//! What a descriptor says of an RPC: its messages, and which of the two sides stream.

use prost_reflect::{MessageDescriptor, MethodDescriptor};

/// An RPC whose messages are known.
#[derive(Clone, Debug)]
pub struct RpcDescriptor {
    /// The request message. Its pool has every type of the service.
    pub input: MessageDescriptor,
    /// The response message.
    pub output: MessageDescriptor,
    /// Whether the client sends any number of messages.
    pub is_client_streaming: bool,
    /// Whether the server answers with any number of messages.
    pub is_server_streaming: bool,
}

impl RpcDescriptor {
    pub(super) fn of(method: &MethodDescriptor) -> Self {
        Self {
            input: method.input(),
            output: method.output(),
            is_client_streaming: method.is_client_streaming(),
            is_server_streaming: method.is_server_streaming(),
        }
    }
}
