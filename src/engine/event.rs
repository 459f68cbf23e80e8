//! One record per request: the audit line and the metrics are both made from it, so they cannot disagree.
//!
//! The shapes of the audit line are in [`crate::audit`]. It never holds a token.

mod entry;
mod observe;
mod spans;

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use super::forwarding::ForwardingPhase;
use super::{ALLOWED, Timing};
use crate::decision::Trace;
use crate::decision::shadow::ShadowDecision;
use crate::http::Request;
use crate::policy::Permit;
use crate::reason::Denial;
use crate::trace_context::TraceContext;

/// Everything that is recorded of a request once it is over.
#[derive(Debug)]
pub struct Event<'e> {
    /// When its head was complete.
    pub time: SystemTime,
    /// From then to the end of the answer.
    pub duration: Duration,
    /// The id of the request and its decision.
    pub request_id: &'e str,
    /// What was asked, where the gate forwards nothing.
    pub frontend: Option<&'static str>,
    /// The policy that decided.
    pub revision: &'e str,
    /// The request, or `None` where its head could not be read.
    pub request: Option<&'e Request>,
    /// The other end of the connection.
    pub peer: Option<SocketAddr>,
    /// The trace of services that it belongs to.
    pub trace_context: Option<TraceContext>,
    /// The name of the one service that its host has, where there is one and the request takes no route.
    pub service_of_host: Option<&'e str>,
    /// How far the decision got.
    pub trace: &'e Trace,
    /// The proof, where the request was allowed.
    pub permit: Option<&'e Permit>,
    /// The refusal, or the upstream's failure after a permit.
    pub denial: Option<&'e Denial>,
    /// The status that was sent; 499 where the client left, and that of the reason where nothing was sent.
    pub status: u16,
    /// Bytes of the answer's body that the client was sent.
    pub response_size: Option<u64>,
    /// Where the time went.
    pub timing: &'e Timing,
    /// When its head was complete, on the clock of `timing`.
    pub arrived: Instant,
    /// What the shadow policy says, where the service has one and policy was asked.
    pub shadow: Option<ShadowDecision<'e>>,
    /// Why the gate answered by itself, where it did: nothing was decided.
    pub answered: Option<&'static str>,
    /// The exchange with the upstream, where it came to that.
    pub forwarding: Option<&'e ForwardingPhase>,
    /// The endpoint that was used, and the time to the head of its answer.
    pub upstream: Option<(&'e str, SocketAddr, Duration)>,
}

impl Event<'_> {
    /// The `reason` label: why it was refused, or that it was not.
    fn reason(&self) -> &'static str {
        let otherwise = self.answered.unwrap_or(ALLOWED);
        self.denial.map_or(otherwise, |denial| denial.reason().entry().name)
    }

    fn decision(&self) -> &'static str {
        match (self.permit, self.answered) {
            (Some(_), _) => "ALLOWED",
            (None, Some(_)) => "ANSWERED",
            (None, None) => "DENIED",
        }
    }
}
