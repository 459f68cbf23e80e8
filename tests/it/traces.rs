//! Traces, ids and the log: what a client may say of them, what goes upstream and to a collector, and what every answer tells.

mod context;
mod ids;
mod log;
mod receiver;
mod spans;
