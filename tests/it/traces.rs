//! Traces and ids: what a client may say of them, what goes upstream, and the id that every answer tells.

mod context;
mod ids;
mod log;
