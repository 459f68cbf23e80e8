//! The metrics of a request that is over.

use std::time::SystemTime;

use super::Event;
use crate::engine::of_methods::{ServiceInstruments, Unrouted};
use crate::engine::{Instruments, Live};
use crate::reason::{Denial, Stage, outcome};
use crate::trace_context::TraceId;

impl Event<'_> {
    /// Counts it in the metrics.
    pub fn observe(&self, all: &Instruments, live: &Live) {
        let reason = self.denial.map(Denial::reason);
        let of_snapshot = live.instruments();
        let own = self.trace.call.as_ref().and_then(|call| of_snapshot.of(&call.method));
        let service = match own {
            Some(own) => {
                own.count(all, self.status, reason);
                &*own.service
            }
            None => {
                let service = of_snapshot.of_service(self.service_of_host);
                let unrouted = match (reason, self.answered) {
                    (Some(reason), _) => Unrouted::Refused(reason),
                    (None, answered) => Unrouted::Answered(answered.unwrap_or(super::ALLOWED)),
                };
                of_snapshot.count_unrouted(service, all, self.status, unrouted);
                service
            }
        };
        // Nothing is decided of what the gate answers by itself.
        if self.answered.is_none() {
            let reached = if self.request.is_some() { self.trace.stage } else { Stage::Request };
            let (outcome, stage) = outcome(reason, self.permit.is_some(), reached);
            all.decided(outcome, stage);
            self.time(all, service);
            of_snapshot.tokens.count(all, self.trace.caller.as_deref(), self.denial);
        }
        if let (Some(own), Some(_)) = (own, self.permit) {
            own.duration(all).observe(self.duration.as_secs_f64(), self.exemplar());
        }
    }

    /// The trace that shows this request, where one does.
    fn exemplar(&self) -> Option<(TraceId, SystemTime)> {
        let context = self.trace_context.filter(|context| context.is_sampled)?;
        Some((context.trace_id, self.time))
    }

    /// Says where the time of a decision went.
    fn time(&self, all: &Instruments, service: &ServiceInstruments) {
        for (stage, spent) in self.trace.times.spent() {
            all.took(stage, spent);
        }
        // Of a head that could not be read, most of the time is the client's.
        let overhead = self.request.and_then(|_| self.timing.overhead(self.arrived));
        if let Some(overhead) = overhead {
            service.overhead(all).observe(overhead.as_secs_f64(), self.exemplar());
        }
    }
}
