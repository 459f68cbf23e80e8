//! A connection's place, and whether it may be given to another connection.
//!
//! Whose requests were all refused, or who has said nothing for a moment, makes room for a newcomer where there is no more
//! of it; who was allowed something keeps its place for as long as it is in use. What a connection does is one number that
//! it swaps as a request begins and ends, so that no request takes a lock for this.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::connection_limits::Seats;
use crate::listener::EverAllowed;

/// From the connection to its first request: a newcomer is not put out by the next one.
const FIRST_WORD: Duration = Duration::from_secs(1);
/// Between two requests of a client that was allowed one. Its next one may be on its way as the connection is closed, as
/// with any end of an idle connection (RFC 9112, section 9.5).
const BETWEEN_REQUESTS: Duration = Duration::from_secs(10);

/// A request is under way.
const BUSY: u64 = u64::MAX;
/// The place is another's.
const GONE: u64 = u64::MAX - 1;

/// A connection's place; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    number: u64,
    standing: Arc<Standing>,
    seats: Arc<Mutex<Seats>>,
}

/// What is known of the connection that has a place.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) network: IpAddr,
    /// Milliseconds of [`since`](Self::since) from which on it may be put out; or [`BUSY`], or [`GONE`].
    idle: AtomicU64,
    since: Instant,
    ever_allowed: EverAllowed,
    put_out: Notify,
}

impl Standing {
    /// Of a connection that comes now, on a clock that began at `since`.
    pub(super) fn new(network: IpAddr, since: Instant) -> Self {
        let idle = AtomicU64::new(millis(since.elapsed() + FIRST_WORD));
        Self { network, idle, since, ever_allowed: EverAllowed::default(), put_out: Notify::new() }
    }

    /// Since when it may be put out, where it may be by now: those first that never were allowed anything, then the others.
    pub(super) fn may_go(&self, now: Instant) -> Option<(bool, u64)> {
        let from = self.idle.load(Ordering::Acquire);
        (from <= millis(now - self.since)).then(|| (self.ever_allowed.is_told(), from))
    }

    /// Puts it out, unless a request has begun since it was looked at.
    pub(super) fn put_out(&self, from: u64) -> bool {
        let gone = self.idle.compare_exchange(from, GONE, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if gone {
            self.put_out.notify_one();
        }
        gone
    }
}

impl Seat {
    pub(super) fn new(number: u64, standing: Arc<Standing>, seats: Arc<Mutex<Seats>>) -> Self {
        Self { number, standing, seats }
    }

    /// A request begins. `false` where the place is another's already: nothing is served on this connection any more.
    pub(super) fn begin(&self) -> bool {
        let idle = &self.standing.idle;
        idle.fetch_update(Ordering::AcqRel, Ordering::Acquire, |idle| (idle != GONE).then_some(BUSY)).is_ok()
    }

    /// No request is under way.
    pub(super) fn rest(&self) {
        let patience = if self.standing.ever_allowed.is_told() { BETWEEN_REQUESTS } else { Duration::ZERO };
        let from = millis(self.standing.since.elapsed() + patience);
        self.standing.idle.store(from, Ordering::Release);
    }

    /// Waits until the place is another's.
    pub(super) async fn made_room(&self) {
        self.standing.put_out.notified().await;
    }

    /// For the connection's requests to tell.
    pub(super) fn ever_allowed(&self) -> &EverAllowed {
        &self.standing.ever_allowed
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).leave(self.number);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(GONE - 1)
}
