//! A request and its answer, from the head to the audit line.
//!
//! Every request that was read leaves one audit line, however it ends. [`Exchange::record`] writes it once. An exchange
//! that is dropped unrecorded (its connection was cut at the end of the grace period, or something panicked) records
//! that.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::event::Event;
use super::forwarding::{Attempted, ForwardingPhase};
use super::timing::{Timing, stage_times};
use super::{Engine, Live, moment};
use crate::audit::LinePlace;
use crate::cancels::CancelAnswer;
use crate::clock;
use crate::decision::{Admitted, JudgedBody, Trace};
use crate::grpc;
use crate::http::Request;
use crate::reason::{Denial, Reason};
use crate::trace_context::{TraceContext, TraceId};

/// The status that is recorded of a request whose client left. No answer has it.
const CLIENT_LEFT: u16 = 499;

/// When a request came, and its id.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The wall clock, which conditions and token expiry are judged by.
    pub time: SystemTime,
    /// The monotonic clock, which durations are measured by.
    pub instant: Instant,
    /// Names the request in the answer, the audit line and upstream: 32 hex digits.
    pub request_id: String,
    /// The same number: a trace that begins with this request is named by it.
    pub trace_id: TraceId,
    /// What was asked, where the gate forwards nothing: `ext_authz`, `forward_auth` or `authzen`.
    pub frontend: Option<&'static str>,
}

impl Arrival {
    /// An arrival at this moment.
    pub fn now() -> Self {
        Self::at(clock::now(), Instant::now())
    }

    /// The arrival of what began to come then.
    pub fn since(instant: Instant) -> Self {
        Self::at(clock::now() - instant.elapsed(), instant)
    }

    /// The same, of a question that this front end was asked.
    pub fn asked(self, frontend: &'static str) -> Self {
        Self { frontend: Some(frontend), ..self }
    }

    fn at(time: SystemTime, instant: Instant) -> Self {
        let trace_id = TraceId::random();
        Self { time, instant, request_id: trace_id.to_hex(), trace_id, frontend: None }
    }
}

/// The reason of a probe of the health path. It is in no audit line and no metric.
pub(super) const HEALTH_PROBED: &str = "HEALTH_PROBED";

/// A request and its answer.
#[derive(Debug)]
pub struct Exchange {
    engine: Engine,
    /// What it is decided and forwarded by, to its end.
    pub live: Arc<Live>,
    /// When it came.
    pub arrival: Arrival,
    /// The other end of the connection.
    peer: Option<SocketAddr>,
    /// The request; `None` where its head could not be read.
    pub request: Option<Arc<Request>>,
    /// The trace of services that it belongs to. `None` where the gate writes no spans and no trusted proxy has sent one.
    pub trace_context: Option<TraceContext>,
    /// How far the decision got.
    pub trace: Trace,
    /// Where its time went.
    pub timing: Timing,
    /// Whether its head has the content type of gRPC: where the head could not be read whole, its front end says so.
    pub has_grpc_type: bool,
    /// Until when the client waits (`grpc-timeout`).
    pub deadline: Option<Instant>,
    /// Until when its body may come, once it is waited for.
    pub(super) body_until: Option<Instant>,
    /// The place for its audit line, where one had to be taken.
    pub(super) line_place: Option<LinePlace>,
    /// Bytes of the answer's body that the client was sent, once that is known.
    pub response_size: Option<u64>,
    /// Why it was refused or failed.
    pub denial: Option<Denial>,
    /// What is under way.
    pub phase: Phase,
}

/// What is under way, with what there is then.
#[expect(
    clippy::large_enum_variant,
    reason = "a box would be one allocation more for each request that is allowed"
)]
#[derive(Debug)]
pub enum Phase {
    /// It is being decided, or was refused.
    Received,
    /// It may go upstream.
    Admitted(Admitted),
    /// It is going there.
    Forwarding(Box<ForwardingPhase>),
    /// The gate answers it by itself, for this reason: nothing is decided.
    Answering(&'static str),
    /// It is over, and recorded.
    Answered,
}

impl Exchange {
    pub(super) fn new(engine: Engine, arrival: Arrival, peer: Option<SocketAddr>) -> Self {
        Self {
            live: engine.live(),
            engine,
            arrival,
            peer,
            request: None,
            trace_context: None,
            trace: Trace { times: stage_times(), ..Trace::default() },
            timing: Timing::default(),
            has_grpc_type: false,
            deadline: None,
            body_until: None,
            line_place: None,
            response_size: None,
            denial: None,
            phase: Phase::Received,
        }
    }

    /// Whether it is a call over gRPC, so that its answer has to be one.
    pub fn is_grpc(&self) -> bool {
        self.request.as_ref().map_or(self.has_grpc_type, |request| request.is_grpc())
    }

    /// The engine that it belongs to.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The span of the log that lines about it stand in. It says the request's id. Where the log has no debug lines, it costs
    /// nothing.
    pub fn log_span(&self) -> tracing::Span {
        tracing::debug_span!("request", id = self.arrival.request_id)
    }

    /// Whether the rules in force would refuse the connection that it came over: then the connection ends with the
    /// answer.
    pub fn is_on_a_refused_connection(&self) -> bool {
        let channel = self.request.as_ref().and_then(|request| request.channel.as_ref());
        channel.is_some_and(|channel| channel.refused.is_some())
    }

    /// What the client's next proof of possession is to hold, where it is to hold anything.
    pub fn next_nonce(&self) -> Option<String> {
        let caller = self.trace.caller.as_deref().filter(|caller| caller.confirmation.is_some())?;
        self.live.snapshot.authn.next_nonce(caller, clock::now())
    }

    /// What was admitted, until it is forwarded.
    pub fn admitted(&self) -> Option<&Admitted> {
        match &self.phase {
            Phase::Admitted(admitted) => Some(admitted),
            _ => None,
        }
    }

    /// Begins to forward what was admitted. `None` where nothing was.
    pub fn forward(&mut self) -> Option<&mut ForwardingPhase> {
        match std::mem::replace(&mut self.phase, Phase::Received) {
            Phase::Admitted(admitted) => {
                let (whole, until) = match admitted.body() {
                    JudgedBody::Held(_) | JudgedBody::Transcoded(_) => (Some(Instant::now()), None),
                    JudgedBody::Passed => (None, self.body_until),
                    JudgedBody::Messages(messages) if messages.rest.is_some() => (None, None),
                    JudgedBody::Messages(_) => (Some(Instant::now()), None),
                };
                let messages = match admitted.body() {
                    JudgedBody::Messages(messages) => messages.rest.clone(),
                    JudgedBody::Held(_) | JudgedBody::Passed | JudgedBody::Transcoded(_) => None,
                };
                self.phase = Phase::Forwarding(Box::new(ForwardingPhase {
                    admitted,
                    slot: None,
                    attempt: None,
                    earlier: Vec::new(),
                    attempts: 0,
                    failed: None,
                    body_whole: whole,
                    body_until: until,
                    cancel: None,
                    watch: None,
                    begun: 0,
                    messages,
                    message_fault: None,
                    grpc_status: None,
                }));
            }
            other => self.phase = other,
        }
        self.forwarding_mut()
    }

    /// The exchange with the upstream, while it is under way.
    pub fn forwarding(&self) -> Option<&ForwardingPhase> {
        match &self.phase {
            Phase::Forwarding(forwarding) => Some(forwarding),
            _ => None,
        }
    }

    /// The same, to change it.
    pub fn forwarding_mut(&mut self) -> Option<&mut ForwardingPhase> {
        match &mut self.phase {
            Phase::Forwarding(forwarding) => Some(forwarding),
            _ => None,
        }
    }

    /// The first byte of the answer goes out now.
    pub fn begin_answer(&mut self) {
        self.timing.answers(Instant::now());
    }

    /// The status of a gRPC call, as HTTP has it: what was sent is 200 for each of them.
    fn status_of_call(&self, sent: u16) -> u16 {
        if sent != 200 || !self.is_grpc() {
            return sent;
        }
        let code = self.denial.as_ref().map(Denial::grpc_code);
        let code = code.or_else(|| self.forwarding().and_then(|forwarding| forwarding.grpc_status));
        grpc::status::http_of(code.unwrap_or_default())
    }

    /// Writes the audit line and counts the request, once. `status` is what the client was sent, 0 for nothing. The slots
    /// that the request holds are given back.
    pub fn record(&mut self, status: u16) {
        let status = recorded_status(self.status_of_call(status), self.denial.as_ref());
        let mut phase = std::mem::replace(&mut self.phase, Phase::Answered);
        if let Phase::Forwarding(forwarding) = &mut phase {
            self.end_cancel(forwarding);
        }
        let (permit, upstream) = match &phase {
            // A balancer asks every second: its probes are not requests.
            Phase::Answered | Phase::Answering(HEALTH_PROBED) => return,
            Phase::Received | Phase::Answering(_) => (None, None),
            Phase::Admitted(admitted) => (Some(admitted.permit()), None),
            Phase::Forwarding(forwarding) => {
                // Until the head of its answer: how fast the client reads is not the backend's.
                let until = self.timing.answering.unwrap_or_else(Instant::now);
                let asked = forwarding.attempt.as_ref().map(|Attempted { attempt, since, .. }| {
                    (attempt.upstream(), attempt.address(), until.saturating_duration_since(*since))
                });
                (Some(forwarding.admitted.permit()), asked)
            }
        };
        // Before the shadow, which the request does not wait for.
        let duration = self.arrival.instant.elapsed();
        let shadow = self.live.shadows().judge(self.request.as_deref(), &self.trace, self.arrival.time);
        let mut event = Event {
            time: self.arrival.time,
            duration,
            request_id: &self.arrival.request_id,
            frontend: self.arrival.frontend,
            revision: &self.live.snapshot.revision,
            request: self.request.as_deref(),
            peer: self.request.as_ref().and_then(|request| request.peer.socket()).or(self.peer),
            trace_context: self.trace_context,
            service_of_host: service_of_host(&self.live, self.request.as_deref(), &self.trace),
            trace: &self.trace,
            permit,
            denial: self.denial.as_ref(),
            status,
            response_size: self.response_size,
            timing: &self.timing,
            arrived: self.arrival.instant,
            shadow,
            answered: match phase {
                Phase::Answering(reason) => Some(reason),
                _ => None,
            },
            upstream,
            forwarding: match &phase {
                Phase::Forwarding(forwarding) => Some(forwarding),
                _ => None,
            },
        };
        let place = self.line_place.take();
        self.engine.settle_trace(&mut event, self.arrival.trace_id);
        self.engine.record(&self.live, &event, place);
    }
}

/// The service that a request is for that takes no route, where its host tells it.
fn service_of_host<'l>(live: &'l Live, request: Option<&Request>, trace: &Trace) -> Option<&'l str> {
    let host = request.filter(|_| trace.call.is_none())?.host.as_str();
    let mut services = live.snapshot.catalog.services_on(host);
    let service = services.next()?;
    services.next().is_none().then_some(service.name.as_str())
}

/// The status that is recorded: 499 for a client that left, whatever it was sent by then; the status of the reason where
/// nothing was sent.
fn recorded_status(sent: u16, denial: Option<&Denial>) -> u16 {
    let row = denial.map(|denial| denial.reason().entry());
    match row {
        Some(row) if row.status == CLIENT_LEFT || sent == 0 => row.status,
        None if sent == 0 => CLIENT_LEFT,
        _ => sent,
    }
}

impl Exchange {
    /// A cancel is over whose answer has not come: the backend may have it, unless none was reached.
    fn end_cancel(&self, forwarding: &mut ForwardingPhase) {
        let Some(sent) = forwarding.cancel.take() else { return };
        let is_unavailable = self.denial.as_ref().is_some_and(|denial| denial.reason().entry().status == 503);
        let answer = match forwarding.attempts {
            0 => CancelAnswer::Failed,
            _ if is_unavailable => CancelAnswer::Failed,
            _ => CancelAnswer::Uncertain,
        };
        self.engine.record_ends(self.engine.cancels().answered(sent, answer, moment()));
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if matches!(self.phase, Phase::Answered) || self.request.is_none() {
            return;
        }
        let forwarding = self.forwarding();
        let begun = forwarding.map_or(0, |forwarding| forwarding.begun);
        let until = forwarding.and_then(|forwarding| forwarding.body_until);
        let is_late = until.is_some_and(|until| Instant::now() >= until);
        self.denial.get_or_insert_with(|| {
            if is_late {
                return Denial::new(Reason::BodyTimeout, "the body did not end in time");
            }
            Denial::new(Reason::CutOff, "the connection was cut before the request had its answer")
        });
        self.record(begun);
    }
}
