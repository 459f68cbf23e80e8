//! Every fault of a backend, and the one answer that each gets.
//!
//! A row is a fault, played by two endpoints, and what comes of it for a request that changes something (a cancel) and for
//! one that does not (a get), over both versions of HTTP: status and reason, in the answer and in the audit log; what
//! the client sees of the body; and how often backends were asked. Each is followed by a request that has to be answered,
//! over a connection that had no part in the fault. `cargo test --test it faults -- --nocapture` prints the table.

mod broken;
mod cut;
mod http2;
mod odd;
mod process;
mod row;
mod silent;
mod upload;
