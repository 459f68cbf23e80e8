//! The requests that most tests send: a call of an operation that ana may read and cancel under the shipped policies.

use super::{COMPANION, Req, token};

/// The operation, one that the demo's backend has.
pub const TRAIN: &str = "/v1/projects/demo/locations/us-central1/operations/train-1";
/// The target of its cancel.
pub const CANCEL: &str = "/v1/projects/demo/locations/us-central1/operations/train-1:cancel";

/// A cancel by ana, which policy allows.
pub fn cancel() -> Req {
    Req::new("POST", COMPANION, CANCEL).bearer(&token("ana@example.com"))
}

/// A get by ana, which policy allows. Unlike a cancel, it may be sent again.
pub fn get() -> Req {
    Req::new("GET", COMPANION, TRAIN).bearer(&token("ana@example.com"))
}
