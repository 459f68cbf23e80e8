//! Every fault of a backend, and the one answer that each gets.
//!
//! A row is a fault, played by two endpoints, and its outcome for a request that changes something (a cancel) and for
//! one that does not (a get), over both versions of HTTP: status and reason, in the answer and in the audit log; the
//! body that the client sees; and how often backends were asked. After each, one more request must be answered over a
//! connection that the fault did not touch. `cargo test --test it faults -- --nocapture` prints the table.

mod broken;
mod cut;
mod http2;
mod odd;
mod process;
mod row;
mod silent;
mod upload;
