//! The one `impl ProxyHttp`: where Pingora's phases meet the gate.
//!
//! `request_filter` judges the request and takes its body in; only then does Pingora choose an upstream, and the
//! request that goes there is rebuilt from the judged one. Upstream headers leave before Pingora's own body filter
//! runs, so a body rule that is to prevent anything must be applied here. `logging` makes one [`Event`] of it all.

mod answering;
mod exchange;
mod failure;
mod forward;
mod http2;
mod intake;
mod judgement;
mod pending;
mod stream;

use std::any::Any;
use std::net::SocketAddr;
use std::ops::Deref;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ::http::HeaderMap;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use crate::listener::read_limit::Allowance;
use crate::listener::read_limit::EverAllowed;

pub use self::exchange::{Arrival, Exchange};
use self::failure::denial_of;
pub use self::pending::{Carrier, Incoming, serve_at_once, serve_stream};
use crate::admission::Pending;

pub use self::stream::NotTaken;
use crate::admission::Places;
use crate::assertion::Assertions;
use crate::audit::Audit;
use crate::config::Limits;
use crate::decision::snapshot::Snapshot;
use crate::decision::stages::Trail;
use crate::engine::event::Event;
use crate::http::{Request, TrustedProxies};
use crate::metrics::{MethodInstruments, Metrics};
use crate::reason::{Denial, Reason};
use crate::upstream::Upstreams;

/// What requests are decided from, and the instruments that belong to it: swapped together.
#[derive(Debug)]
pub struct Live {
    /// The snapshot in force.
    pub snapshot: Snapshot,
    upstreams: Arc<Upstreams>,
    assertions: Option<Arc<Assertions>>,
    instruments: Vec<MethodInstruments>,
}

impl Live {
    /// A snapshot with the upstreams that its services name, what signs for them, and its instruments.
    pub fn new(
        snapshot: Snapshot,
        upstreams: Arc<Upstreams>,
        assertions: Option<Arc<Assertions>>,
        metrics: &Metrics,
    ) -> Self {
        let instruments = metrics.instruments(&snapshot);
        Self { snapshot, upstreams, assertions, instruments }
    }

    /// The upstreams that its services name.
    pub fn upstreams(&self) -> &Arc<Upstreams> {
        &self.upstreams
    }

    /// What signs for them.
    pub fn assertions(&self) -> Option<&Arc<Assertions>> {
        self.assertions.as_ref()
    }
}

/// The proxy. Cheap to clone: all of it is shared.
#[derive(Clone, Debug)]
pub struct Proxy(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    live: ArcSwap<Live>,
    limits: Limits,
    proxies: ArcSwap<TrustedProxies>,
    audit: Audit,
    metrics: Arc<Metrics>,
    draining: AtomicBool,
    places: Arc<Places>,
}

/// How much and how long a refused HTTP/1 client's remaining bytes are read, so that a reset does not overtake the
/// answer.
pub(crate) const LINGER_BYTES: usize = 256 * 1024;
pub(crate) const LINGER: Duration = Duration::from_millis(500);

impl Proxy {
    /// A proxy that decides and forwards by `live`.
    pub fn new(
        live: Live,
        limits: Limits,
        proxies: TrustedProxies,
        audit: Audit,
        metrics: Arc<Metrics>,
    ) -> Self {
        let live = ArcSwap::from_pointee(live);
        Self(Arc::new(Inner {
            live,
            limits,
            proxies: ArcSwap::from_pointee(proxies),
            audit,
            metrics,
            draining: AtomicBool::new(false),
            places: Places::new(&limits),
        }))
    }

    /// The proxies in front whose word about their clients counts.
    pub fn proxies(&self) -> impl Deref<Target = Arc<TrustedProxies>> {
        self.0.proxies.load()
    }

    /// From here on, these proxies' word counts.
    pub fn trust(&self, proxies: &TrustedProxies) {
        if **self.proxies() != *proxies {
            tracing::info!("the trusted proxies are others now");
            self.0.proxies.store(Arc::new(proxies.clone()));
        }
    }

    /// The instruments.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    /// The snapshot in force.
    pub fn live(&self) -> Arc<Live> {
        self.0.live.load_full()
    }

    /// Puts another snapshot in force and gives back the one that was. Requests under way keep theirs.
    pub fn swap(&self, live: Live) -> Arc<Live> {
        self.0.live.swap(Arc::new(live))
    }

    /// Waits until what was recorded is written.
    pub fn flush(&self) {
        self.0.audit.flush();
    }

    /// From here on, answers tell clients to come back on another connection.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Release);
    }

    /// The exchange of a request whose head the door has parsed.
    pub fn begin(
        &self,
        arrival: Arrival,
        request: Request,
        allowance: Allowance,
        ever_allowed: EverAllowed,
    ) -> Exchange {
        Exchange::begun(self.clone(), arrival, request, allowance, ever_allowed)
    }

    /// A place for a request over HTTP/2 that is not judged yet.
    ///
    /// # Errors
    /// Where there are as many such requests as there may be.
    pub fn pend(&self) -> Result<Pending, Denial> {
        self.0.places.pend()
    }

    /// Records a head that never became a request.
    pub fn record_refused_head(&self, arrival: &Arrival, denial: &Denial, peer: SocketAddr, status: u16) {
        let live = self.0.live.load();
        self.record(
            &live,
            &Event {
                time: arrival.time,
                duration: arrival.instant.elapsed(),
                request_id: &arrival.request_id,
                revision: &live.snapshot.revision,
                request: None,
                peer: Some(peer),
                trail: &Trail::default(),
                permit: None,
                denial: Some(denial),
                status,
                is_published: false,
                upstream: None,
            },
        );
    }

    fn record(&self, live: &Live, event: &Event<'_>) {
        event.observe(&self.0.metrics, &live.instruments);
        self.0.audit.record(&event.log_entry());
    }

    /// Judges the request and takes a place for it, or says why not. `true` where the gate has the answer itself.
    async fn admit(&self, exchange: &mut Exchange) -> Result<bool, Denial> {
        if exchange.asks_for_keys()? {
            return Ok(true);
        }
        let Exchange { request: Some(request), live, arrival, trail, .. } = exchange else {
            return Err(Denial::new(Reason::Internal, "the request went missing"));
        };
        let permit = self.judge(request, live, arrival.time, trail).await?;
        // Only now: whoever may call nothing takes nobody's place.
        let principal = trail.caller.as_ref().map(|caller| caller.principal.as_str());
        exchange.counts = Some(self.0.places.take(request.origin.address, principal)?);
        exchange.judged = Some(permit);
        exchange.ever_allowed.tell();
        Ok(false)
    }

    /// Takes in the body of a request that is allowed.
    async fn take_in(&self, session: &mut Session, exchange: &mut Exchange) -> Result<(), Denial> {
        let Exchange { request: Some(request), judged, allowance, .. } = exchange else {
            return Err(Denial::new(Reason::Internal, "the request went missing"));
        };
        let permit =
            judged.take().ok_or_else(|| Denial::new(Reason::Internal, "the request was not judged"))?;
        let taking = Instant::now();
        let body = self.take_body(session, request, &permit, allowance.as_ref()).await;
        self.0.metrics.body_duration.observe(taking.elapsed().as_secs_f64());
        exchange.body = body?;
        if exchange.body.is_some() {
            exchange.body_ended();
        } else {
            exchange.pass_until = Some(taking + self.0.limits.body_timeout);
            stream::set_deadline(exchange.pass_until);
        }
        exchange.permit = Some(permit);
        Ok(())
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        stream::take_judged().unwrap_or_else(|| Exchange::new(self.clone()))
    }

    /// The door hands over what it has parsed; every HTTP/1 request comes this way.
    fn on_connection_reuse(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        handed_over: Box<dyn Any + Send + Sync>,
    ) {
        if let Ok(begun) = handed_over.downcast::<Exchange>() {
            *exchange = *begun;
            if exchange.is_last {
                session.set_keepalive(None);
            }
        }
    }

    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
        // What came over HTTP/2 is judged before it gets here (`pending`).
        let admitted = if exchange.judged.is_some() { Ok(false) } else { self.admit(exchange).await };
        let taken = match admitted {
            Ok(true) => {
                self.publish_keys(session, exchange).await;
                return Ok(true);
            }
            Ok(false) => self.take_in(session, exchange).await,
            Err(denial) => Err(denial),
        };
        match taken {
            Ok(()) => Ok(false),
            Err(denial) => {
                let sent = self.refuse(session, exchange, &denial).await;
                exchange.denial = Some(denial);
                if let Err(error) = sent {
                    tracing::debug!(%error, "the answer to a refused request could not be sent");
                }
                Ok(true)
            }
        }
    }

    async fn upstream_peer(&self, _session: &mut Session, exchange: &mut Exchange) -> Result<Box<HttpPeer>> {
        exchange.choose().await.map(Box::new)
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        _descriptor: RawFd,
        digest: Option<&Digest>,
        exchange: &mut Exchange,
    ) -> Result<()> {
        exchange.connected(reused, digest);
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        outgoing: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        exchange.rewrite(outgoing)
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        chunk: &mut Option<Bytes>,
        end_of_stream: bool,
        exchange: &mut Exchange,
    ) -> Result<()> {
        exchange.body_begun = true;
        match &exchange.body {
            // What was judged is what is sent, once, whatever Pingora's buffer holds.
            Some(judged) => {
                let first = !std::mem::replace(&mut exchange.body_sent, true);
                *chunk = (first && !judged.is_empty()).then(|| judged.clone());
            }
            None => {
                exchange.passed += chunk.as_ref().map_or(0, |bytes| bytes.len() as u64);
                let denial = if exchange.passed > self.0.limits.body.stream {
                    Denial::new(Reason::BodyTooLarge, "the body grew beyond its bound").told()
                } else if exchange.pass_until.is_some_and(|until| Instant::now() > until) {
                    Denial::new(Reason::BodyTimeout, "the body did not end in time")
                } else {
                    if end_of_stream {
                        exchange.body_ended();
                        exchange.pass_until = None;
                        stream::set_deadline(None);
                    }
                    return Ok(());
                };
                let status = denial.reason().entry().status;
                exchange.denial = Some(denial);
                return Err(Error::explain(ErrorType::HTTPStatus(status), "the body is refused").into_down());
            }
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        exchange.judge_answer(response)
    }

    fn upstream_response_body_filter(
        &self,
        _session: &mut Session,
        _chunk: &mut Option<Bytes>,
        end_of_stream: bool,
        exchange: &mut Exchange,
    ) -> Result<Option<Duration>> {
        exchange.judge_answer_body(end_of_stream)?;
        Ok(None)
    }

    fn upstream_response_trailer_filter(
        &self,
        _session: &mut Session,
        trailers: &mut HeaderMap,
        _exchange: &mut Exchange,
    ) -> Result<()> {
        Exchange::judge_trailers(trailers);
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        exchange.begun = response.status.as_u16();
        exchange.tell_nonce(response)?;
        if self.0.draining.load(Ordering::Acquire) {
            session.set_keepalive(None);
        }
        Ok(())
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        exchange: &mut Exchange,
        mut error: Box<Error>,
    ) -> Box<Error> {
        exchange.failed_to_connect(&mut error);
        error
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        exchange: &mut Exchange,
        _reused: bool,
    ) -> Box<Error> {
        exchange.failed_on_connection(&mut error, session);
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        exchange: &mut Exchange,
    ) -> FailToProxy {
        let denial = exchange.denial.take().unwrap_or_else(|| denial_of(error));
        let mut error_code = 0;
        // An interim answer (1xx) is none yet.
        let is_answered =
            session.response_written().is_some_and(|written| !written.status.is_informational());
        if denial.reason() != Reason::ClientClosed && !is_answered {
            session.set_keepalive(None);
            match self.refuse(session, exchange, &denial).await {
                Ok(()) => error_code = denial.reason().entry().status,
                Err(error) => tracing::debug!(%error, "the answer could not be sent"),
            }
        }
        exchange.denial = Some(denial);
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    /// The audit line says what failed, with the request it belongs to.
    fn suppress_error_log(&self, _session: &Session, _exchange: &Exchange, _error: &Error) -> bool {
        true
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Exchange) {
        if exchange.denial.is_none() {
            exchange.denial = error.map(denial_of);
        }
        if exchange.denial.is_none() {
            exchange.note_success();
        }
        let peer = session.client_addr().and_then(|address| address.as_inet()).copied();
        exchange.record(peer, session.response_written().map_or(0, |response| response.status.as_u16()));
    }
}
