//! Cancels that are watched, and the audit lines of their ends.

use std::sync::Arc;
use std::time::Instant;

use super::Engine;
use crate::audit;
use crate::cancels::{CancelEnd, Cancels, Moment};
use crate::clock;
use crate::principal::Principal;

impl Engine {
    /// The cancels that are watched.
    pub fn cancels(&self) -> &Cancels {
        &self.0.cancels
    }

    /// Writes the audit lines of cancels that have ended, as an answer told.
    pub fn record_ends(&self, ends: impl IntoIterator<Item = Arc<CancelEnd>>) {
        for end in ends {
            let cancel = &end.cancel;
            self.0.audit.record_cancel_end(&audit::CancelEnd {
                request_id: &cancel.request_id,
                service: cancel.service(),
                method: &cancel.method,
                operation: &cancel.name,
                principal: cancel.principal.as_ref().map(Principal::as_str),
                email: cancel.principal.as_ref().and_then(Principal::email),
                outcome: end.outcome.label(),
                request_time: cancel.asked.time,
                observe_time: end.observed.time,
                seen_by: end.seen_by.as_deref(),
            });
        }
    }
}

/// This moment.
pub fn moment() -> Moment {
    Moment { time: clock::now(), instant: Instant::now() }
}
