//! The trace that a request belongs to, from its head to its spans.

use super::event::Event;
use super::exchange::Exchange;
use super::{Engine, Live};
use crate::trace_context::{SentTrace, SpanId, TraceContext, TraceId, TraceParent};

impl Engine {
    /// The trace of a request that says this of itself; `fresh` names one that begins here. `None` where the gate writes no spans
    /// and no trusted proxy has sent one.
    pub(super) fn begin_trace(&self, sent: Option<SentTrace>, fresh: TraceId) -> Option<TraceContext> {
        match &self.0.spans {
            Some(spans) => Some(spans.sampler().begin(sent, fresh)),
            None => sent.filter(|sent| sent.is_trusted).map(|sent| TraceContext::passed_on(sent.parent)),
        }
    }

    /// Says whether the request is recorded, before anything tells of it. A request without a readable head gets its trace here.
    pub(super) fn settle_trace(&self, event: &mut Event<'_>, fresh: TraceId) {
        let Some(spans) = &self.0.spans else { return };
        let was_sent = event.forwarding.is_some_and(|forwarding| forwarding.attempts > 0);
        let mut context = event.trace_context.unwrap_or_else(|| spans.sampler().begin(None, fresh));
        context.is_sampled = spans.sampler().keeps(&context, event.ending(), was_sent);
        event.trace_context = Some(context);
    }

    /// Hands the spans of a recorded request over.
    pub(super) fn record_spans(&self, live: &Live, event: &Event<'_>) {
        let Some(spans) = &self.0.spans else { return };
        if let Some(context) = event.trace_context.filter(|context| context.is_sampled) {
            spans.record(event.spans(&context, &live.snapshot.catalog));
        }
    }
}

impl Exchange {
    /// The span of the attempt that is to be sent now, as the backend is told of it. `None` where the gate writes no spans.
    pub fn begin_attempt_span(&mut self) -> Option<TraceParent> {
        self.engine().0.spans.as_ref()?;
        let TraceContext { trace_id, is_sampled, is_random, .. } = self.trace_context?;
        let attempted = self.forwarding_mut()?.attempt.as_mut()?;
        let span_id = *attempted.span_id.insert(SpanId::random());
        Some(TraceParent { trace_id, span_id, is_sampled, is_random })
    }
}
