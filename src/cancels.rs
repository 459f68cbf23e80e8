//! What becomes of the cancels that pass through.
//!
//! A cancel of a long-running operation is best effort: 200 says that it was asked for, and no more
//! (google/longrunning/operations.proto, `CancelOperation`). So what is cancelled here is remembered until an answer that
//! passes by tells how the operation ended. The gate asks no backend by itself.
//!
//! ```text
//!            2xx                     done, deleted, 404
//! sent ──┬────────► accepted ──┬──────────────────────────► cancelled, failed, succeeded, deleted
//!        │ 502, 504            │ 1 h without a sighting, or 24 h
//!        ├────────► uncertain ─┼──────────────────────────► unobserved
//!        │ any other           │ no room for it
//!        └────────► dropped    └──────────────────────────► evicted
//! ```
//!
//! What is here knows no HTTP library: [`Cancels::sent`], [`Cancels::answered`], [`Cancels::seen`], and [`Watch`], which
//! reads an answer as it passes. The time is passed in.

mod cancel;
mod instruments;
mod moment;
mod operation;
mod outcome;
mod queues;
mod scan;
pub(crate) mod settings;
mod skipped;
mod table;
mod watch;
mod watched;

pub use self::cancel::{Asked, Cancel, CancelEnd, PendingCancel};
pub use self::instruments::Instruments;
pub use self::moment::Moment;
pub use self::operation::{OperationFacts, OperationSighting};
pub use self::outcome::{CancelAnswer, CancelOutcome, CancelState};
pub use self::scan::{OperationScan, ScanShape};
pub use self::settings::CancelSettings;
pub use self::watch::{AnswerFacts, Watch};
pub use self::watched::{Cancels, SentCancel};

#[cfg(test)]
mod tests;
