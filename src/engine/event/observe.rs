//! The metrics of a request that is over.

use super::Event;
use crate::engine::{Instruments, MethodInstruments};
use crate::upstream;

impl Event<'_> {
    /// Counts it in the metrics.
    pub fn observe(
        &self,
        instruments: &Instruments,
        of_methods: &[MethodInstruments],
        of_upstreams: &upstream::Instruments,
    ) {
        let method = self.trace.call.as_ref().map(|call| &*call.method);
        let own = method.and_then(|method| of_methods.get(method.index));
        match own {
            Some(own) if self.denial.is_none() && self.status == 200 => own.allowed.inc(),
            _ => instruments.count(method, self.status, self.reason()),
        }
        if let Some(own) = own {
            own.duration.observe(self.duration.as_secs_f64());
        }
        if let Some((upstream, _, duration)) = self.upstream {
            of_upstreams.answered(upstream, duration);
        }
    }
}
