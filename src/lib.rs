//! opgate: Google-style IAM in front of APIs that do not have it.
//!
//! A request goes one way, and the modules follow it:
//!
//! ```text
//! connection  listener         accepted within limits, secured
//!    │        frontend         HTTP/1, HTTP/2: a head, a body source, an answer
//!    ▼
//! Request     http             one strict parse; refuses what two parsers could read differently
//!    ▼
//! Engine      engine           decides, waits, takes slots, records; what every front end calls
//!    │        decision         pure: the stages, from the request to what may go upstream
//!    ├─► Call      catalog     the API method it invokes: resource, permission, scopes, body rule
//!    ├─► Caller    authn       who asks: verified issuer, principal, scopes
//!    └─► Permit    policy      proof that policy allows this Caller this Call
//!    ▼
//! Admitted    proxy, upstream  rebuilds the outgoing request; nothing else can be forwarded
//!
//! refused: Denial ──► respond ──► the front end's answer
//! every exchange ───► engine::event ────► audit line and metrics, from one record
//! ```
//!
//! `http`, `catalog`, `policy` and `decision` are pure: they do not name tokio, and the time is passed in. A
//! test asserts it. ARCHITECTURE.md walks a request through the modules.

// The way of a request.
pub mod listener;
pub mod frontend;
pub mod engine;
pub mod decision;
pub mod grpc;
pub mod http;
pub mod catalog;
pub mod authn;
pub mod authzen;
pub mod policy;
pub mod admission;
pub mod proxy;
pub mod assertion;
pub mod upstream;
pub mod transcode;
pub mod respond;
pub mod audit;
pub mod cancels;
pub mod metrics;
pub mod otlp;
pub mod recent;

// The operator's side, and what keeps the process up to date.
pub mod admin;
pub mod config;
pub mod handover;
pub mod reload;
pub mod server;
pub mod telemetry;

// Questions about policy, without a request.
pub mod explain;
pub mod import;
pub mod simulation;
pub mod tidy;

// What the others are built from.
pub(crate) mod bytewise;
pub mod cel;
pub mod clock;
pub mod diagnostic;
pub mod document;
pub mod files;
pub(crate) mod http_client;
pub mod json;
pub(crate) mod percent;
pub mod principal;
pub mod reason;
pub mod schema;
pub mod service_manager;
pub mod shares;
pub mod signing;
pub mod source;
pub mod terminal;
pub mod tls;
pub mod trace_context;

pub mod cli;
pub mod dev;
