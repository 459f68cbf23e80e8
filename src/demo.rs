//! The demo: the real gate in front of a backend that really runs operations, and a walk that shows what it lets
//! through and what it stops.
//!
//! ```text
//! opgate demo ──┬── issuer    an identity provider: keys over HTTP, tokens for the walk
//!               ├── backend   long-running operations for three services; logs every request that reaches it
//!               ├── walk      a client that sends bytes as it likes, judges the answers and the backend's log
//!               └── gate      a child process: `opgate run --config config/demo.yaml`, on free ports
//! ```
//!
//! The gate is a process of its own so that the demo shows the program people deploy, not a part of it. Issuer and
//! backend are libraries too: the integration tests stand on them.

pub mod backend;
// pub mod gate;
pub mod issuer;
mod operations;

mod server;

pub mod wire;
