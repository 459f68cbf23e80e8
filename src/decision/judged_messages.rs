//! The messages of a gRPC call, as they go upstream.

use bytes::Bytes;

use crate::grpc::MessageStream;

/// The messages of a gRPC call that was judged.
#[derive(Clone, Debug)]
pub struct JudgedMessages {
    /// These bytes are sent first: the message that was judged, and what came with it and may pass.
    pub initial: Bytes,
    /// What later messages are held against; `None` where none may follow.
    pub rest: Option<MessageStream>,
}
