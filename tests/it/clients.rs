//! Requests of clients as they are: what Google's client libraries, browsers and HTTP clients send beyond the strict, and
//! what of it reaches a backend (docs/clients.md).

pub mod compressed;
mod grpc;
mod large;
mod libraries;
mod mistakes;
mod overrides;
mod queries;
mod upgrades;
mod versions;
