//! What serves development and is not part of the product: the demo, its issuer and its backend, and tokens from a local
//! key.
//!
//! The program `opgate-dev` is made of it, and the integration tests stand on the issuer, the backend and the client. No
//! other module names this one, so the linker leaves it out of the program `opgate`.

// What runs around the gate.
pub mod backend;
pub mod issuer;
mod operations;
mod server;
pub mod wire;

pub mod cli;
pub mod demo;
pub mod mint;
pub mod token;
