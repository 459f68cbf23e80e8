//! What every front end calls: it decides, and nothing else does; it records, and nothing else does.
//!
//! ```text
//! receive ─► Exchange ─► decide ─┬─► Admitted ─► the front end hands the exchange to what forwards it
//!                          ▲     ├─► Refused  ─► the front end answers
//!                          │     └─► Wait ──┬─► Issuer: resolve asks it, and the decision goes on
//!                          └────────────────┴─► Body: the front end reads it, complete judges it
//! ```
//!
//! The decision itself is [`crate::decision`]: pure, of a snapshot, a request and a time. What is here lives: the snapshot in
//! force, waiting for issuers, the slots that requests hold, and the record that each of them leaves.

mod body_source;
mod cancels;
pub mod event;
mod exchange;
mod field_changes;
mod fields;
mod forwarding;
mod instruments;
mod live;
mod messages;
mod of_methods;
mod of_tokens;
mod own;
mod shadow;
mod timing;
mod traced;

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tracing::Instrument;

pub use self::body_source::BodySource;
pub use self::cancels::moment;
use self::event::Event;
pub use self::exchange::{Arrival, Exchange, Phase};
pub use self::field_changes::{FieldChanges, ShownRequest};
pub use self::forwarding::{Attempted, EarlierAttempt, ForwardingPhase};
pub use self::instruments::{ALLOWED, Instruments};
pub use self::live::Live;
pub use self::of_methods::{CODES, MethodInstruments, OTHER_CODE, ServiceInstruments, SnapshotInstruments};
pub use self::own::{KEYS_PUBLISHED, OwnAnswer, PREFLIGHT_ANSWERED, RESOURCE_METADATA_PUBLISHED};
pub use self::shadow::{LiveShadows, ShadowInstruments};
pub use self::timing::Timing;
use crate::admission::{Admission, AdmissionLimits, AdmissionStatus, PendingSlot, Slots};
use crate::audit::{Audit, LinePlace, Wanted};
use crate::authn::{self, Lookup};
use crate::cancels::Cancels;
use crate::clock;
pub use crate::decision::MessagePlan;
pub use crate::decision::body::LARGE_BODY;
use crate::decision::body::{BodyLimits, BodyPlan};
use crate::decision::{self, Admitted, AwaitingBody, AwaitingMessage, Permitted, Ruling, Unresolved};
use crate::http::{Request, TrustedProxies};
use crate::metrics::Names;
use crate::otlp::Spans;
use crate::reason::{DecisionStage, Denial, Reason};
use crate::upstream;

/// The engine. Cheap to clone: all of it is shared.
#[derive(Clone, Debug)]
pub struct Engine(Arc<EngineState>);

#[derive(Debug)]
struct EngineState {
    live: ArcSwap<Live>,
    limits: EngineLimits,
    proxies: ArcSwap<TrustedProxies>,
    audit: Audit,
    /// What takes spans, where there is a collector.
    spans: Option<Spans>,
    cancels: Cancels,
    instruments: EngineInstruments,
    draining: AtomicBool,
    /// Whether it was ready to answer requests, once.
    began: AtomicBool,
    /// Whether balancers are told to send their requests elsewhere.
    leaves: AtomicBool,
    admission: Arc<Admission>,
}

/// The instruments that a request touches.
#[derive(Clone, Debug)]
pub struct EngineInstruments {
    /// Of requests and decisions.
    pub requests: Instruments,
    /// Of authentication.
    pub authn: authn::Instruments,
    /// Of backends.
    pub upstream: upstream::Instruments,
}

/// Bounds of what clients may send and hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineLimits {
    /// Of requests at one time.
    pub admission: AdmissionLimits,
    /// Of request bodies.
    pub body: BodyLimits,
    /// For a body to arrive in full.
    pub body_timeout: Duration,
}

/// What the engine says of a request.
#[derive(Debug)]
pub enum Decision {
    /// It may go upstream.
    Admitted(Admitted),
    /// It is refused, for good.
    Refused(Denial),
    /// Something has to be waited for first.
    Wait(Pending),
    /// The gate answers it by itself: nothing is decided, and nothing goes upstream.
    Answer(OwnAnswer),
}

/// What a front end does with a request that is not refused.
#[derive(Debug)]
pub enum FrontendAction {
    /// It hands the exchange to what forwards it.
    Forward,
    /// It answers with this.
    Answer(OwnAnswer),
}

/// What a decision waits for. It goes on from there: nothing is judged twice.
#[derive(Debug)]
pub enum Pending {
    /// An issuer's key or answer: [`Engine::resolve`].
    Issuer(Unresolved),
    /// The body: [`AwaitingBody::complete`] or [`AwaitingBody::pass`].
    Body(AwaitingBody),
    /// The first message of a gRPC call, for which slots are taken: [`Engine::go_on`].
    Message(AwaitingMessage, Slots),
}

impl Engine {
    /// An engine that decides by `live`.
    pub fn new(
        live: Live,
        limits: EngineLimits,
        proxies: TrustedProxies,
        audit: Audit,
        spans: Option<Spans>,
        cancels: Cancels,
        instruments: EngineInstruments,
    ) -> Self {
        cancels.serve(live.cancelling());
        Self(Arc::new(EngineState {
            live: ArcSwap::from_pointee(live),
            limits,
            proxies: ArcSwap::from_pointee(proxies),
            audit,
            spans,
            cancels,
            instruments,
            draining: AtomicBool::new(false),
            began: AtomicBool::new(false),
            leaves: AtomicBool::new(false),
            admission: Admission::new(&limits.admission),
        }))
    }

    /// The bounds of bodies, and of requests at one time.
    pub fn limits(&self) -> &EngineLimits {
        &self.0.limits
    }

    /// The proxies in front of the gate that are trusted to name their clients.
    pub fn proxies(&self) -> impl Deref<Target = Arc<TrustedProxies>> {
        self.0.proxies.load()
    }

    /// Trusts these proxies from here on.
    pub fn trust(&self, proxies: &TrustedProxies) {
        if **self.proxies() != *proxies {
            tracing::info!("the trusted proxies have changed");
            self.0.proxies.store(Arc::new(proxies.clone()));
        }
    }

    /// The instruments.
    pub fn instruments(&self) -> &EngineInstruments {
        &self.0.instruments
    }

    /// How many requests there are, and how many there may be.
    pub fn admission(&self) -> AdmissionStatus {
        self.0.admission.status()
    }

    /// Brings the instruments up to this moment, before a scrape. Returns the names that there are.
    pub fn update_instruments(&self) -> Names {
        let live = self.live();
        let EngineInstruments { requests, authn, upstream } = &self.0.instruments;
        requests.update(&self.admission());
        upstream.update(&live.upstreams().status(), &live.upstreams().rooms());
        authn.update(&live.snapshot.authn, clock::now());
        self.0.cancels.update(moment());
        live.names()
    }

    /// What is in force.
    pub fn live(&self) -> Arc<Live> {
        self.0.live.load_full()
    }

    /// Puts something else in force and gives back what was. Requests under way keep theirs.
    pub fn swap(&self, live: Live) -> Arc<Live> {
        self.0.cancels.serve(live.cancelling());
        self.0.live.swap(Arc::new(live))
    }

    /// The audit log.
    pub fn audit(&self) -> &Audit {
        &self.0.audit
    }

    /// Waits until all records are written.
    pub fn flush(&self) {
        self.0.audit.flush();
        if let Some(spans) = &self.0.spans {
            spans.flush();
        }
    }

    /// From here on, answers tell clients to come back on another connection.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Release);
    }

    /// Whether [`drain`](Self::drain) was called.
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Acquire)
    }

    /// It can answer requests: from here on, the health path of listeners says so.
    pub fn begin_service(&self) {
        self.0.began.store(true, Ordering::Release);
    }

    /// The process is about to end: from here on, the health path tells balancers to send no more requests.
    pub fn leave_service(&self) {
        self.0.leaves.store(true, Ordering::Release);
    }

    /// Whether balancers should send requests here. Once it was ready, it is until it leaves: what fails then fails at every
    /// gate, and a balancer without any would answer nothing at all.
    pub fn is_in_service(&self) -> bool {
        self.0.began.load(Ordering::Acquire) && !self.0.leaves.load(Ordering::Acquire)
    }

    /// A slot for a request over HTTP/2 that is not judged yet.
    ///
    /// # Errors
    /// Where there are as many such requests as there may be.
    pub fn pend(&self) -> Result<PendingSlot, Denial> {
        self.0.admission.pend()
    }

    /// Begins the exchange of a request whose head has come.
    pub fn receive(&self, arrival: Arrival, peer: Option<SocketAddr>) -> Exchange {
        Exchange::new(self.clone(), arrival, peer)
    }

    /// Decides a request by what is in force.
    pub fn decide(&self, exchange: &mut Exchange, request: Request) -> Decision {
        let _lines = exchange.log_span().entered();
        let request = Arc::new(request);
        exchange.request = Some(request.clone());
        exchange.trace_context = self.begin_trace(request.trace, exchange.arrival.trace_id);
        if let Some(answered) = self.own_answer(exchange, &request) {
            return answered;
        }
        let now = Instant::now();
        let parsing = now.saturating_duration_since(exchange.arrival.instant);
        exchange.trace.times.add(DecisionStage::Parse, parsing);
        exchange.trace.times.enter_at(DecisionStage::Route, now);
        let ruling =
            decision::decide(&exchange.live.snapshot, request, exchange.arrival.time, &mut exchange.trace);
        self.follow(exchange, ruling)
    }

    /// Asks an issuer, and goes on with its answer.
    pub async fn resolve(&self, exchange: &mut Exchange, unresolved: Unresolved) -> Decision {
        let Unresolved { token, decision } = unresolved;
        let live = exchange.live.clone();
        let instruments = self.0.instruments.authn.clone();
        let observe = move |lookup: &Lookup<'_>| instruments.looked_up(lookup);
        let (issuer, why) = (token.issuer_name(), token.awaits());
        let asked = Instant::now();
        let resolving = live.snapshot.authn.resolve(token, exchange.arrival.time, observe);
        let mut resolving = pin!(resolving.instrument(exchange.log_span()));
        let mut polls = 0_u32;
        let resolved = poll_fn(|context| {
            polls = polls.saturating_add(1);
            resolving.as_mut().poll(context)
        })
        .await;
        let now = Instant::now();
        let waited = now.saturating_duration_since(asked);
        exchange.timing.issuer += waited;
        // Where nothing can be asked now, the answer is there at once.
        if polls > 1 {
            self.0.instruments.requests.waited_for_issuer(&issuer, why, waited);
        }
        exchange.trace.times.enter_at(DecisionStage::Authenticate, now);
        let ruling = decision.resume(&live.snapshot, resolved, &mut exchange.trace);
        self.follow(exchange, ruling)
    }

    /// Takes the slots of a request that is permitted, and plans how its body is read.
    fn follow(&self, exchange: &mut Exchange, ruling: Ruling) -> Decision {
        let permitted = match ruling {
            Ruling::Unresolved(unresolved) => {
                exchange.trace.times.pause();
                return Decision::Wait(Pending::Issuer(unresolved));
            }
            Ruling::Refused(denial) => {
                exchange.trace.times.pause();
                return Decision::Refused(denial);
            }
            Ruling::AwaitingMessage(awaiting) => {
                exchange.trace.times.pause();
                // The caller is known and has a scope. What it sends is held from here on, so its share bounds it.
                return match self.take_slots(exchange) {
                    Ok(slots) => Decision::Wait(Pending::Message(awaiting, slots)),
                    Err(denial) => Decision::Refused(denial),
                };
            }
            Ruling::Permitted(permitted) => permitted,
        };
        self.follow_permitted(exchange, permitted, None)
    }

    /// Takes the slots of a request, of its caller and of its address.
    fn take_slots(&self, exchange: &Exchange) -> Result<Slots, Denial> {
        let principal = exchange.trace.caller.as_ref().map(|caller| caller.principal.as_str());
        let address = exchange.request.as_ref().and_then(|request| request.origin.address);
        self.0.admission.take(address, principal)
    }

    /// Goes on with a request that is permitted, and with the slots that it holds already, if it does.
    fn follow_permitted(
        &self,
        exchange: &mut Exchange,
        permitted: Permitted,
        held: Option<Slots>,
    ) -> Decision {
        // Nothing goes upstream without a place for its line, where the operator wants no gap.
        match self.0.audit.reserve() {
            Ok(place) => exchange.line_place = place,
            Err(why) => return Decision::Refused(Denial::new(Reason::AuditUnavailable, why.to_string())),
        }
        // Slots come after the decision: a client that may call nothing takes no slot from those that may.
        let held = held.map_or_else(|| self.take_slots(exchange), Ok);
        let held = held.and_then(|slots| permitted.hold(slots, self.0.limits.body));
        exchange.trace.times.pause();
        match held {
            Err(denial) => Decision::Refused(denial),
            Ok(awaiting) if awaiting.plan() == BodyPlan::Nothing => match awaiting.complete(&Bytes::new()) {
                Ok(admitted) => Decision::Admitted(admitted),
                Err(denial) => Decision::Refused(denial),
            },
            Ok(awaiting) if awaiting.plan() == BodyPlan::Judged => match awaiting.go_on() {
                Ok(admitted) => Decision::Admitted(admitted),
                Err(denial) => Decision::Refused(denial),
            },
            Ok(awaiting) => Decision::Wait(Pending::Body(awaiting)),
        }
    }

    /// Decides a request, waits for whatever that takes, and leaves the exchange ready to be forwarded.
    ///
    /// # Errors
    /// Where the request is refused.
    pub async fn admit(
        &self,
        exchange: &mut Exchange,
        request: Request,
        body: &mut impl BodySource,
    ) -> Result<FrontendAction, Denial> {
        let decision = self.decide(exchange, request);
        self.go_on(exchange, decision, body).await
    }

    /// Goes on with a decision until the exchange is ready to be forwarded.
    ///
    /// # Errors
    /// Where the request is refused.
    pub async fn go_on(
        &self,
        exchange: &mut Exchange,
        mut decision: Decision,
        body: &mut impl BodySource,
    ) -> Result<FrontendAction, Denial> {
        let admitted = loop {
            match decision {
                Decision::Refused(denial) => return Err(denial),
                Decision::Answer(answer) => return Ok(FrontendAction::Answer(answer)),
                Decision::Wait(Pending::Issuer(unresolved)) => {
                    decision = self.resolve(exchange, unresolved).await;
                }
                Decision::Admitted(admitted) => {
                    body.permitted();
                    break admitted;
                }
                Decision::Wait(Pending::Message(awaiting, slots)) => {
                    // By itself: other requests hold and move no room for a message.
                    decision = Box::pin(self.take_message(exchange, awaiting, slots, body)).await;
                }
                Decision::Wait(Pending::Body(awaiting)) => {
                    body.permitted();
                    break self.take_body(exchange, awaiting, body).await?;
                }
            }
        };
        exchange.phase = Phase::Admitted(admitted);
        Ok(FrontendAction::Forward)
    }

    /// Waits for the body, and judges it.
    async fn take_body(
        &self,
        exchange: &mut Exchange,
        awaiting: AwaitingBody,
        body: &mut impl BodySource,
    ) -> Result<Admitted, Denial> {
        let asked = Instant::now();
        let own = awaiting.method().limits.stream_timeout.filter(|_| awaiting.plan() == BodyPlan::Pass);
        exchange.body_until = Some(asked + own.unwrap_or(self.0.limits.body_timeout));
        let collected = match awaiting.plan() {
            BodyPlan::Nothing | BodyPlan::Judged => Ok(Some(Bytes::new())),
            BodyPlan::Pass => body.begin().await.map(|()| None),
            BodyPlan::Collect { limit, .. } => {
                body.collect(limit, || awaiting.overflow(limit)).await.map(Some)
            }
        };
        let now = Instant::now();
        let waited = now.saturating_duration_since(asked);
        exchange.timing.body += waited;
        self.0.instruments.requests.waited_for_body(waited);
        let Some(collected) = collected? else { return awaiting.pass() };
        exchange.trace.times.enter_at(DecisionStage::Body, now);
        let judged = if awaiting.is_large() {
            // 10 MiB of JSON take a tenth of a second: no connection waits for that.
            let judged = tokio::task::spawn_blocking(move || awaiting.complete(&collected)).await;
            judged.unwrap_or_else(|error| {
                Err(Denial::new(Reason::Internal, format!("a body could not be judged: {error}")))
            })
        } else {
            awaiting.complete(&collected)
        };
        exchange.trace.times.pause();
        judged
    }

    /// Records a head that never became a request.
    pub fn record_refused_head(
        &self,
        arrival: Arrival,
        denial: Denial,
        peer: Option<SocketAddr>,
        status: u16,
    ) {
        let mut exchange = self.receive(arrival, peer);
        exchange.denial = Some(denial);
        exchange.record(status);
    }

    /// Counts a request and writes its audit line.
    fn record(&self, live: &Live, event: &Event<'_>, place: Option<LinePlace>) {
        event.observe(&self.0.instruments.requests, live);
        if let Some(shadow) = &event.shadow {
            live.shadows().count(shadow);
        }
        let audit = &self.0.audit;
        let policy = &live.snapshot.policy;
        let kind = event.kind(|| audit.asks_audit_configs() && event.is_exempt(policy));
        let wanted = audit.wants(kind);
        if wanted != Wanted::Not {
            audit.record(event.log_entry(), wanted, place);
        }
        self.record_spans(live, event);
    }
}
