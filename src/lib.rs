//! opgate: Google-style IAM in front of APIs that do not have it.
//!
//! A request goes one way, and the modules follow it:
//!
//! ```text
//! Pingora session
//!    │  listener, proxy        the only modules that speak pingora on the way in
//!    ▼
//! Request   http               one strict parse; refuses what two parsers could read differently
//!    ▼
//! Call      catalog            the API method it invokes: resource, permission, scopes, body rule
//!    ▼
//! Caller    authn              who asks: verified issuer, principal, scopes
//!    ▼
//! Permit    policy             proof that policy allows this Caller this Call
//!    ▼
//! Body      http::body         the method's body rule, before the first byte goes upstream
//!    ▼
//! upstream  (assertion)        takes &Permit; rebuilds the outgoing request from Request
//!
//! any stage: Err(Denial) ──► respond ──► the one place that writes an error
//! every request ───────────► event ────► audit line + metrics, from one record
//! ```
//!
//! [`decision::stages::judge`] tells the decision in one function. `http`, `catalog`, `policy` and `gate` are pure: they name
//! neither pingora nor tokio, and the time is passed in. A test asserts it.

// In request order.
pub mod listener;
pub mod proxy;

pub mod http;
pub mod catalog;
pub mod authn;
pub mod policy;
pub mod assertion;
pub mod upstream;
pub mod respond;
pub mod audit;
pub mod metrics;
pub mod admin;

// What the stages are built from.
pub mod cel;
pub mod clock;
pub mod config;
pub mod diagnostic;
pub mod document;
pub mod files;
pub mod json;
pub mod principal;
pub mod reason;
pub mod reload;
pub mod shares;
pub mod signing;
pub mod tls;

// How one process follows another.
pub mod handover;

// What asks the gate without being a request.
pub mod explain;

pub mod cli;
pub mod demo;
pub mod source;
pub(crate) mod admission;
pub mod decision;
pub mod engine;
pub mod server;
pub mod simulation;
pub(crate) mod telemetry;

pub use self::admission::Pending;
