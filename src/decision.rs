//! Decides, without I/O and without a clock: from a request to the proof that it may go upstream.
//!
//! ```text
//! Request ─► decide ─┬─► Permitted ─► hold(slots) ─► AwaitingBody ─► complete, pass ─► Admitted
//!                    ├─► Refused
//!                    ├─► Unresolved ─► resume ─► one of the others
//!                    └─► AwaitingMessage (gRPC) ─► resume ─► Permitted, Refused
//! ```
//!
//! [`Admitted`] is the only value that may be forwarded, and only [`AwaitingBody`] makes one. What waits (for an issuer,
//! for a body, for a slot) is a value of its own: the caller does the waiting, and the decision goes on from there. It
//! never starts again.

mod admitted;
mod assumed;
pub mod body;
mod judged_messages;
mod message;
mod preflight;
mod provider;
mod settings;
pub mod shadow;
pub mod snapshot;
mod stage_times;
pub mod stages;
mod trace;
mod transcoding;

pub use self::admitted::{Admitted, AwaitingBody, JudgedBody, Permitted};
pub use self::assumed::decide_message_as;
pub use self::judged_messages::JudgedMessages;
pub use self::message::{AwaitingMessage, MessagePlan};
pub use self::preflight::preflight;
pub use self::stage_times::StageTimes;
pub use self::stages::{Ruling, Unresolved, decide};
pub use self::trace::Trace;
pub use self::transcoding::TranscodedCall;
pub use crate::reason::Stage;
