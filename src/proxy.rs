//! Forwards what the engine has admitted ([`forward()`]): to a backend of either version, for a client of either version.
//!
//! What gets here is an [`Exchange`](crate::engine::Exchange) in its admitted phase; the request that goes upstream is rebuilt
//! from the judged one, and the body is the judged one too. An exchange that is not admitted is not forwarded.

mod attempts;
mod cancels;
mod exchange;
mod failure;
mod steps;

pub use self::exchange::{
    ClientSide, Forwarded, Relay, RelayFailure, RelaySteps, RelayTimer, RelayTimes, SentAnswer, forward,
};
