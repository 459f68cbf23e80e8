//! What the file says of requests at one time.

use crate::diagnostic::Report;
use crate::document::scalar::{count, set, size};
use crate::document::{Fields, Node};

/// How many requests there may be at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// Requests under way at one time, of all connections.
    pub requests: usize,
    /// Of one principal.
    pub requests_per_principal: usize,
    /// Of one address: the client's, where a trusted proxy tells it.
    pub requests_per_address: usize,
    /// Bytes of bodies over 64 KiB that are held whole, of all requests under way.
    pub held_bytes: u64,
    /// Requests over HTTP/2 that are not allowed at one time: being judged, or refused and their answer not taken. Each
    /// holds its head, of up to `head_bytes` and 128 bytes for each field, and some 8 KiB beside it.
    pub pending_requests: usize,
    /// The same of one address.
    pub pending_requests_per_address: usize,
}

impl Default for AdmissionLimits {
    fn default() -> Self {
        Self {
            requests: 10_000,
            requests_per_principal: 1_000,
            requests_per_address: 1_000,
            held_bytes: 256 * 1024 * 1024,
            pending_requests: 1_000,
            pending_requests_per_address: 250,
        }
    }
}

impl AdmissionLimits {
    /// Reads its fields of `limits`.
    pub(crate) fn read(fields: &mut Fields<'_>, report: &mut Report) -> Self {
        let mut limits = Self::default();
        set(fields, "held_bytes", &mut limits.held_bytes, size, report);
        let requests = |node: &Node, report: &mut Report| count(node, 1_000_000, report);
        set(fields, "requests", &mut limits.requests, requests, report);
        set(fields, "requests_per_principal", &mut limits.requests_per_principal, requests, report);
        set(fields, "requests_per_address", &mut limits.requests_per_address, requests, report);
        // It bounds their memory: a head (32KiB), 128 bytes for each of its fields (100) and 8KiB, a thousand times, are
        // some 52MiB. A connection holds up to 20KiB beside, or 128KiB over HTTP/2: the library's streams.
        set(fields, "pending_requests", &mut limits.pending_requests, requests, report);
        let pending = &mut limits.pending_requests_per_address;
        set(fields, "pending_requests_per_address", pending, requests, report);
        limits
    }
}
