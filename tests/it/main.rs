//! Integration tests: the real binary over real sockets, in front of a real backend, with real tokens.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    unreachable_pub,
    reason = "tests panic if a result is unexpected"
)]

mod admin_port;
mod answers;
mod architecture;
mod assertion;
mod audit;
mod authority;
mod authorizers;
mod believed;
mod backends;
mod bodies;
mod budget;
mod bystander;
mod cancels;
mod cel;
mod challenges;
mod chunks;
mod cli;
mod client_certificates;
mod clients;
mod coming_from;
mod connection;
mod console;
mod cors;
mod curl;
mod decisions;
mod desync;
mod dev;
mod drain;
mod exchange;
mod explain;
mod faults;
mod floods;
mod forwarded;
mod frames;
mod framing;
mod gate;
mod grpc;
mod grpc_attack;
mod grpc_readings;
mod grpc_soak;
mod handover;
mod harness;
mod headers;
mod health;
mod http2;
mod keepalive;
mod key_fetches;
mod keysets;
mod leniency;
mod layering;
mod limits;
mod listeners;
mod method_limits;
mod methods;
mod metrics;
mod mixin;
mod names;
mod newcomer;
mod observe;
mod opaque;
mod open_gate;
mod openid;
mod origin;
mod overload;
mod paths;
mod possession;
mod providers;
mod places;
mod principal;
mod readings;
mod readme;
mod recorder;
mod reload;
mod resting;
mod revocation;
mod roles;
mod schema;
mod service_accounts;
mod service_manager;
mod services;
mod shadow;
mod shipped;
mod slow;
mod smoke;
mod spellings;
mod stranger;
mod streams;
mod tls;
mod tokens;
mod traces;
mod transcoding;
mod upgrade;
mod upstream;
mod upstream_tls;
