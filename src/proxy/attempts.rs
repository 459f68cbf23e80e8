//! Attempts at endpoints: which one is next, what came of it, and whether the request may be sent again.
//!
//! A request is sent again once, and only where no backend can have acted on the first attempt: there was no
//! connection, its head did not leave the gate whole, or the backend said over HTTP/2 that it has not begun. A request
//! that changes nothing (GET, HEAD) may also be sent again when a kept connection turns out to be closed. A cancel may
//! not: nothing on the wire tells whether the backend closed before it read the request or after.

use std::time::Instant;

use super::failure::{BrokenAttempt, Cut, UpstreamError};
use crate::engine::{Attempted, Exchange};
use crate::policy::Permit;
use crate::reason::{Denial, Reason};

impl Exchange {
    /// Takes a slot at the upstream, once for all attempts, and chooses an endpoint of it.
    ///
    /// # Errors
    /// Where there is none.
    pub(super) async fn choose(&mut self) -> Result<(), Denial> {
        let live = self.live.clone();
        let upstreams = live.upstreams();
        self.timing.asks(Instant::now());
        let forwarding = self.forwarding_mut().ok_or_else(no_permit)?;
        let permit = forwarding.admitted.permit();
        let held = match &forwarding.slot {
            Some(_) => Ok(()),
            None => upstreams.take_place(permit).await.map(|slot| forwarding.slot = Some(slot)),
        };
        match held.and_then(|()| upstreams.choose(forwarding.admitted.permit(), forwarding.failed)) {
            Ok(attempt) => {
                let is_repeated = forwarding.attempts > 0;
                forwarding.attempt(attempt);
                let of_snapshot = live.instruments();
                if let Some(own) = of_snapshot.of(&forwarding.admitted.permit().call().method) {
                    own.upstream.attempted(is_repeated);
                }
                Ok(())
            }
            Err(denial) => {
                if denial.reason() == Reason::UpstreamOverloaded {
                    self.count_overload();
                }
                Err(denial)
            }
        }
    }

    /// The answer came, whatever its status.
    pub(super) fn note_success(&self) {
        if let Some(attempted) = self.forwarding().and_then(|forwarding| forwarding.attempt.as_ref()) {
            attempted.attempt.succeeded();
        }
    }

    /// There was no connection, and no byte has gone out: another endpoint may be asked, once. Returns whether it is to be.
    pub(super) fn failed_to_connect(&mut self, fault: UpstreamError, detail: &str) -> bool {
        self.count_failure(fault, Cut::No);
        let retry = self.is_first_attempt() && self.has_alternative();
        if retry {
            self.leave_out();
        } else {
            self.denial.get_or_insert_with(|| Denial::new(Reason::UpstreamUnavailable, detail.to_owned()));
        }
        retry
    }

    /// There was a connection, and it failed. Returns whether the request is to be sent once more; sets the denial if not.
    pub(super) fn failed_on_connection(&mut self, broken: &BrokenAttempt, detail: &str) -> bool {
        let reused = self.forwarding().and_then(|forwarding| forwarding.attempt.as_ref());
        let reused = reused.is_some_and(|attempted| attempted.reused);
        let BrokenAttempt { was_cut, is_answered, .. } = *broken;
        let is_unsent = !is_answered && broken.is_unsent;
        let fault = if was_cut { UpstreamError::Timeout } else { broken.fault(reused) };
        let cut = match (was_cut, is_answered) {
            (false, _) => Cut::No,
            (true, false) => Cut::BeforeIt,
            (true, true) => Cut::WithinTheAnswer,
        };
        self.count_failure(fault, cut);
        let may_repeat = is_unsent || self.changes_nothing() && broken.is_worth_a_retry;
        let can_repeat = self.is_first_attempt() && !was_cut && !is_answered && broken.has_whole_request;
        // The same endpoint again only where it was not to blame: it declined, or it had closed an idle connection.
        let elsewhere = self.has_alternative();
        let retry =
            may_repeat && can_repeat && (elsewhere || !fault.is_held_against_the_endpoint() || !is_unsent);
        if retry && elsewhere && fault != UpstreamError::Stale {
            self.leave_out();
        }
        if retry {
            return true;
        }
        if was_cut {
            let detail = "the exchange was not over within `timeouts.total`";
            self.denial.get_or_insert_with(|| Denial::new(Reason::UpstreamTimeout, detail));
        } else if is_unsent {
            self.denial.get_or_insert_with(|| Denial::new(Reason::UpstreamUnavailable, detail.to_owned()));
        }
        false
    }

    /// Counts a failed attempt. An endpoint is left out for what it does, never for what a client can make of an exchange.
    fn count_failure(&mut self, fault: UpstreamError, cut: Cut) {
        if let Some(attempted) = self.forwarding_mut().and_then(|forwarding| forwarding.attempt.as_mut()) {
            attempted.fault = Some((fault.label(), Instant::now()));
        }
        let Some(forwarding) = self.forwarding() else { return };
        let Some(Attempted { attempt, .. }) = &forwarding.attempt else { return };
        let instruments = &self.engine().instruments().upstream;
        instruments.failed(attempt.upstream(), fault.label());
        let may_be_the_clients = match (cut, forwarding.body_whole) {
            // How fast an answer is read is up to the client.
            (Cut::WithinTheAnswer, _) => true,
            // A backend may wait for the rest of a body before it answers, and may give up.
            (_, None) => matches!(fault, UpstreamError::Timeout | UpstreamError::Invalid),
            // It had less time than it may take.
            (Cut::BeforeIt, Some(whole)) => whole.elapsed() < attempt.patience(),
            (Cut::No, Some(_)) => false,
        };
        if fault.is_held_against_the_endpoint() && !may_be_the_clients {
            let is_ejected = attempt.failed().is_some();
            instruments.endpoint_failed(attempt.upstream(), attempt.address(), is_ejected);
        }
    }

    fn count_overload(&self) {
        if let Some(permit) = self.permit() {
            let upstream = permit.call().method.service.upstream.as_str();
            self.engine().instruments().upstream.overflowed(upstream);
        }
    }

    pub(super) fn permit(&self) -> Option<&Permit> {
        self.forwarding().map(|forwarding| forwarding.admitted.permit())
    }

    fn is_first_attempt(&self) -> bool {
        self.forwarding().is_some_and(|forwarding| forwarding.attempts == 1)
    }

    /// The endpoint of this attempt is not asked again.
    fn leave_out(&mut self) {
        if let Some(forwarding) = self.forwarding_mut() {
            forwarding.failed = forwarding.attempt.as_ref().map(|attempted| attempted.attempt.address());
        }
    }

    fn changes_nothing(&self) -> bool {
        let method = self.request.as_ref().map(|request| &request.method);
        method.is_some_and(|method| matches!(*method, ::http::Method::GET | ::http::Method::HEAD))
    }

    fn has_alternative(&self) -> bool {
        let Some(forwarding) = self.forwarding() else { return false };
        let Some(attempted) = &forwarding.attempt else { return false };
        let permit = forwarding.admitted.permit();
        self.live.upstreams().has_alternative(permit, attempted.attempt.address())
    }
}

/// Nothing goes upstream without a permit. A missing permit here is a bug of the gate.
pub(super) fn no_permit() -> Denial {
    Denial::new(Reason::Internal, "no permit")
}
