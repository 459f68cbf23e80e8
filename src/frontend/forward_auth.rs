//! Forward authentication over HTTP: a proxy sends a request of its own, whose fields describe the client's request.
//!
//! ```text
//! question ─► describe ─► authorizer::judge ─► answer: 200 with fields to copy, or the refusal
//! ```
//!
//! What the fields say is what is judged, so the proxy has to write each of them itself: docs/with-nginx.md and the pages beside
//! it have settings that do. A proxy sets and removes the fields that its settings name, and no others. So a request is refused
//! whose other fields the gate would not let through.

mod answer;
mod describe;

pub(super) use self::answer::answer;
pub(super) use self::describe::{describe, proxies};
