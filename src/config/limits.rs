//! The `limits` of the file: bounds on what a client may take.

use super::Limits;
use super::check::set;
use super::scalars::{count, duration, size};
use crate::decision::body::MAX_HELD_BODY;
use crate::diagnostic::Report;
use crate::document::{Node, Spelling};
use crate::http::path::MAX_PATH_BYTES;
use crate::http::query::MAX_QUERY_BYTES;

/// Reads `limits`.
pub(super) fn limits(node: &Node, report: &mut Report) -> Option<Limits> {
    let mut fields = node.fields("`limits`", Spelling::Exact, report)?;
    let mut limits = Limits::default();
    let bytes = |node: &Node, report: &mut Report| {
        let bytes = size(node, report).and_then(|bytes| usize::try_from(bytes).ok());
        at_most(bytes, 1 << 20, node, report)
    };
    set(&mut fields, "head_bytes", &mut limits.head.bytes, bytes, report);
    set(
        &mut fields,
        "head_fields",
        &mut limits.head.fields,
        |node, report| at_most(count(node, 4096, report), 256, node, report),
        report,
    );
    set(
        &mut fields,
        "target_bytes",
        &mut limits.head.target,
        |node, report| {
            let bytes = size(node, report).and_then(|bytes| usize::try_from(bytes).ok());
            at_most(bytes, MAX_PATH_BYTES + MAX_QUERY_BYTES, node, report)
        },
        report,
    );
    set(&mut fields, "head_timeout", &mut limits.head_timeout, duration, report);
    set(&mut fields, "handshake_timeout", &mut limits.handshake_timeout, duration, report);
    set(&mut fields, "message_bytes", &mut limits.body.message, held_size, report);
    set(&mut fields, "stream_bytes", &mut limits.body.stream, size, report);
    set(&mut fields, "write_timeout", &mut limits.write_timeout, duration, report);
    let requests = |node: &Node, report: &mut Report| count(node, 1_000_000, report);
    set(&mut fields, "requests", &mut limits.requests, requests, report);
    set(&mut fields, "requests_per_principal", &mut limits.requests_per_principal, requests, report);
    set(&mut fields, "requests_per_address", &mut limits.requests_per_address, requests, report);
    // It bounds their memory: a head (32KiB), 128 bytes for each of its fields (100) and 8KiB, a thousand times, are
    // some 52MiB. A connection holds up to 20KiB beside, or 128KiB over HTTP/2: the library's streams.
    set(&mut fields, "pending_requests", &mut limits.pending_requests, requests, report);
    let pending = &mut limits.pending_requests_per_address;
    set(&mut fields, "pending_requests_per_address", pending, requests, report);
    let streams = |node: &Node, report: &mut Report| count(node, 10_000, report);
    set(&mut fields, "http2_streams", &mut limits.http2_streams, streams, report);
    set(&mut fields, "http2_resets", &mut limits.http2_resets, streams, report);
    set(&mut fields, "body_timeout", &mut limits.body_timeout, duration, report);
    set(&mut fields, "idle_timeout", &mut limits.idle_timeout, duration, report);
    let connections = |node: &Node, report: &mut Report| count(node, 1_000_000, report);
    set(&mut fields, "connections", &mut limits.connections, connections, report);
    set(&mut fields, "connections_per_address", &mut limits.connections_per_address, connections, report);
    set(&mut fields, "connection_lifetime", &mut limits.connection_lifetime, duration, report);
    set(&mut fields, "grace_period", &mut limits.grace_period, duration, report);
    fields.finish(report);
    Some(limits)
}

/// Refuses values beyond Pingora's own bounds: it would answer such heads itself.
fn at_most(value: Option<usize>, most: usize, node: &Node, report: &mut Report) -> Option<usize> {
    if value.is_some_and(|value| value > most) {
        report.error(&node.span, "the limit is beyond what can be read").help(format!("{most} is the most"));
    }
    value
}

/// The size of a body that is held whole before it is sent.
fn held_size(node: &Node, report: &mut Report) -> Option<u64> {
    let bytes = size(node, report)?;
    if bytes > MAX_HELD_BODY {
        report
            .error(&node.span, "a body of more than 64KiB cannot be judged whole")
            .help("use `body: stream` for methods that take larger ones");
    }
    Some(bytes)
}
