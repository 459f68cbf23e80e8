//! What the file says of request bodies: how large they may be.

use super::body::{BodyLimits, MAX_HELD_BODY};
use crate::diagnostic::Report;
use crate::document::scalar::{set, size};
use crate::document::{Fields, Node};

impl BodyLimits {
    /// Reads its fields of `limits`.
    pub(crate) fn read(fields: &mut Fields<'_>, report: &mut Report) -> Self {
        let mut limits = Self::default();
        set(fields, "message_bytes", &mut limits.message, held_size, report);
        set(fields, "stream_bytes", &mut limits.stream, size, report);
        limits
    }
}

/// The size of a body that is held whole before it is sent.
fn held_size(node: &Node, report: &mut Report) -> Option<u64> {
    let bytes = size(node, report)?;
    if bytes > MAX_HELD_BODY {
        report
            .error(&node.span, "a body of more than 10MiB cannot be judged whole")
            .help("use `body: stream` for methods that take larger ones");
    }
    Some(bytes)
}
