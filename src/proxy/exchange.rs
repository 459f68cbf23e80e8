//! What is known of one request while it is served: Pingora's per-request context.
//!
//! Every request that was read leaves one audit line, however it ends. [`Exchange::record`] writes it once; an exchange
//! that is dropped unrecorded (its connection was cut at the end of the grace period, or something panicked) records
//! that.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use pingora::http::ResponseHeader;

use super::failure::{Cut, Fault};
use super::{Live, Proxy};
use crate::admission;
use crate::clock;
use crate::decision::stages::Trail;
use crate::engine::event::Event;
use crate::http::{Request, Version};
use crate::listener::{Allowance, EverAllowed};
use crate::policy::Permit;
use crate::reason::{Denial, Reason};
use crate::upstream::{Attempt, Deadline, Place};

/// When a request came and what it is called.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The wall clock, which conditions and token expiry are judged by.
    pub time: SystemTime,
    /// The monotonic clock, which durations are measured by.
    pub instant: Instant,
    /// Names the request in the answer, the audit line and upstream: 32 hex digits.
    pub request_id: String,
}

impl Arrival {
    /// An arrival at this moment.
    pub fn now() -> Self {
        Self {
            time: clock::now(),
            instant: Instant::now(),
            request_id: uuid::Uuid::new_v4().simple().to_string(),
        }
    }
}

/// A request and its answer, from head to log.
#[derive(Debug)]
pub struct Exchange {
    proxy: Proxy,
    pub(super) live: Arc<Live>,
    pub(super) arrival: Arrival,
    pub(super) request: Option<Request>,
    pub(super) trail: Trail,
    pub(super) permit: Option<Permit>,
    /// The judged body; `None` where it is passed on as it comes, or nothing is forwarded.
    pub(super) body: Option<Bytes>,
    /// Whether the judged body has been handed to this attempt's upstream.
    pub(super) body_sent: bool,
    /// When the client had sent all of its body.
    body_whole: Option<Instant>,
    /// Whether the head has left and the body, be it empty, has begun to follow.
    pub(super) body_begun: bool,
    /// Whether this attempt's upstream speaks HTTP/2.
    pub(super) over_http2: bool,
    /// Whether this attempt's connection has carried another exchange before.
    pub(super) reused: bool,
    /// Bytes passed on so far, and until when they may come.
    pub(super) passed: u64,
    pub(super) pass_until: Option<Instant>,
    pub(super) denial: Option<Denial>,
    /// The endpoint that is not asked again.
    pub(super) failed: Option<SocketAddr>,
    /// The place at the upstream, until when the exchange there may go on, and what sees to that.
    pub(super) place: Option<Place>,
    pub(super) until: Option<Instant>,
    pub(super) deadline: Option<Deadline>,
    /// Interim answers so far.
    pub(super) interim: usize,
    /// The status of the answer that has begun; 0 before.
    pub(super) begun: u16,
    /// Whether it was answered with the keys that verify assertions.
    pub(super) is_published: bool,
    /// The proof that it may go on, until its body is taken in.
    pub(super) judged: Option<Permit>,
    /// Its place among the requests under way.
    pub(super) counts: Option<admission::Place>,
    /// What the connection's owner is told once a request is allowed.
    pub(super) ever_allowed: EverAllowed,
    /// Whether the connection ends with the answer.
    pub is_last: bool,
    attempt: Option<(Attempt, Instant)>,
    attempts: usize,
    pub(super) allowance: Option<Allowance>,
    recorded: bool,
}

impl Exchange {
    pub(super) fn new(proxy: Proxy) -> Self {
        Self {
            live: proxy.live(),
            proxy,
            arrival: Arrival::now(),
            request: None,
            trail: Trail::default(),
            permit: None,
            body: None,
            body_sent: false,
            body_whole: None,
            body_begun: false,
            over_http2: false,
            reused: false,
            passed: 0,
            pass_until: None,
            denial: None,
            failed: None,
            place: None,
            until: None,
            deadline: None,
            interim: 0,
            begun: 0,
            is_published: false,
            judged: None,
            counts: None,
            ever_allowed: EverAllowed::default(),
            is_last: false,
            attempt: None,
            attempts: 0,
            allowance: None,
            recorded: false,
        }
    }

    /// An exchange whose head the door has parsed.
    pub(super) fn begun(
        proxy: Proxy,
        arrival: Arrival,
        request: Request,
        allowance: Allowance,
        ever_allowed: EverAllowed,
    ) -> Self {
        let mut exchange = Self::new(proxy);
        exchange.arrival = arrival;
        exchange.request = Some(request);
        exchange.allowance = Some(allowance);
        exchange.ever_allowed = ever_allowed;
        exchange
    }

    /// Whether the client speaks HTTP/1.0.
    pub fn is_http10(&self) -> bool {
        self.request.as_ref().is_some_and(|request| request.version == Version::Http10)
    }

    /// Whether there would be no such connection as it came over by the rules in force: it ends with the answer.
    pub(super) fn is_on_a_refused_connection(&self) -> bool {
        let channel = self.request.as_ref().and_then(|request| request.channel.as_ref());
        channel.is_some_and(|channel| channel.refused.is_some())
    }

    /// Tells the client what its next proof of possession is to hold, where it is to hold anything.
    pub(super) fn tell_nonce(&self, response: &mut ResponseHeader) -> pingora::Result<()> {
        let bound = self.trail.caller.as_deref().filter(|caller| caller.confirmation.is_some());
        match bound.and_then(|caller| self.live.snapshot.authn.next_nonce(caller, clock::now())) {
            Some(nonce) => response.insert_header("dpop-nonce", nonce),
            None => Ok(()),
        }
    }

    /// The body has been read to its end: what the client sends from here on is not this request's.
    pub(super) fn body_ended(&mut self) {
        self.body_whole.get_or_insert_with(Instant::now);
        if let Some(allowance) = &self.allowance {
            allowance.end();
        }
    }

    pub(super) fn begin_attempt(&mut self, attempt: Attempt) {
        self.attempt = Some((attempt, Instant::now()));
        self.attempts += 1;
    }

    pub(super) fn is_first_attempt(&self) -> bool {
        self.attempts == 1
    }

    pub(super) fn endpoint(&self) -> Option<SocketAddr> {
        self.attempt.as_ref().map(|(attempt, _)| attempt.address())
    }

    /// The answer came, whatever it says.
    pub(super) fn note_success(&self) {
        if let Some((attempt, _)) = &self.attempt {
            attempt.succeeded();
        }
    }

    /// The answer has begun, whatever it says.
    pub(super) fn note_answer(&mut self) {
        if let Some((attempt, _)) = &mut self.attempt {
            attempt.answered();
        }
    }

    /// Counts it. An endpoint is left out for what it does, never for what a client can make of an exchange.
    pub(super) fn count_failure(&self, fault: Fault, cut: Cut) {
        if let Some((attempt, _)) = &self.attempt {
            let labels = [attempt.upstream(), fault.label()];
            self.proxy.metrics().upstream_errors.with_label_values(&labels).inc();
            let may_be_the_clients = match (cut, self.body_whole) {
                // How fast an answer is read is up to the client.
                (Cut::WithinTheAnswer, _) => true,
                // A backend may wait for the rest of a body before it says anything, and may lose patience.
                (_, None) => matches!(fault, Fault::Timeout | Fault::Invalid),
                // It had less time than it may take.
                (Cut::BeforeIt, Some(whole)) => whole.elapsed() < attempt.patience(),
                (Cut::No, Some(_)) => false,
            };
            if fault.is_held_against_the_endpoint() && !may_be_the_clients {
                attempt.failed();
            }
        }
    }

    pub(super) fn count_overload(&self) {
        if let Some(permit) = &self.permit {
            let upstream = permit.call().method.service.upstream.as_str();
            self.proxy.metrics().upstream_refused.with_label_values(&[upstream]).inc();
        }
    }

    /// Upstream, endpoint and time since it was asked.
    fn asked(&self) -> Option<(&str, SocketAddr, Duration)> {
        let (attempt, since) = self.attempt.as_ref()?;
        Some((attempt.upstream(), attempt.address(), since.elapsed()))
    }

    /// Writes the audit line and counts the request, once. `status` is what the client was sent, 0 for nothing.
    pub(super) fn record(&mut self, peer: Option<SocketAddr>, status: u16) {
        if std::mem::replace(&mut self.recorded, true) {
            return;
        }
        let event = Event {
            time: self.arrival.time,
            duration: self.arrival.instant.elapsed(),
            request_id: &self.arrival.request_id,
            revision: &self.live.snapshot.revision,
            request: self.request.as_ref(),
            peer: self.request.as_ref().and_then(|request| request.peer).or(peer),
            trail: &self.trail,
            permit: self.permit.as_ref(),
            denial: self.denial.as_ref(),
            status,
            is_published: self.is_published,
            upstream: self.asked(),
        };
        self.proxy.record(&self.live, &event);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.recorded || self.request.is_none() {
            return;
        }
        let is_late = self.pass_until.is_some_and(|until| Instant::now() >= until);
        self.denial.get_or_insert_with(|| {
            if is_late {
                return Denial::new(Reason::BodyTimeout, "the body did not end in time");
            }
            Denial::new(Reason::CutOff, "the connection was cut before the request had its answer")
        });
        self.record(None, self.begun);
    }
}
