//! gRPC through the gate: what is judged is what is sent, and refusals are gRPC's.

mod asked;
mod failures;
mod judged;
mod rig;
mod streams;
