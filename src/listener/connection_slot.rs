//! A connection's place, and whether it may be given to another connection.
//!
//! A connection whose requests were all refused, or that was silent for a moment, makes room for a newcomer where there
//! is no more; one that had an allowed request keeps its place as long as it is in use. The state of a connection is
//! one number that it swaps as a request begins and ends, so that no request takes a lock for this.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::connection_limits::ConnectionSlots;

/// The time from the connection to its first request: the next newcomer does not replace it at once.
const FIRST_WORD: Duration = Duration::from_secs(1);
/// The time between two requests of a client that had an allowed one. Its next one may be on its way as the connection
/// is closed, as with any end of an idle connection (RFC 9112, section 9.5).
const BETWEEN_REQUESTS: Duration = Duration::from_secs(10);

/// A request is under way.
const BUSY: u64 = u64::MAX;
/// Another connection has the place.
const GONE: u64 = u64::MAX - 1;

/// A connection's place; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    number: u64,
    state: Arc<SlotState>,
    slots: Arc<Mutex<ConnectionSlots>>,
}

/// The state of the connection that has a place.
#[derive(Debug)]
pub(super) struct SlotState {
    pub(super) network: IpAddr,
    /// Milliseconds of [`since`](Self::since) from which on it may be closed; or [`BUSY`], or [`GONE`].
    idle: AtomicU64,
    since: Instant,
    ever_allowed: AtomicBool,
    put_out: Notify,
}

impl SlotState {
    /// Of a connection that comes now, on a clock that began at `since`.
    pub(super) fn new(network: IpAddr, since: Instant) -> Self {
        let idle = AtomicU64::new(millis(since.elapsed() + FIRST_WORD));
        Self { network, idle, since, ever_allowed: AtomicBool::new(false), put_out: Notify::new() }
    }

    /// Since when it may be closed, if it may be now: first those that never had an allowed request, then the others.
    pub(super) fn may_go(&self, now: Instant) -> Option<(bool, u64)> {
        let from = self.idle.load(Ordering::Acquire);
        (from <= millis(now - self.since)).then(|| (self.ever_allowed.load(Ordering::Relaxed), from))
    }

    /// Closes it, unless a request has begun since it was looked at.
    pub(super) fn put_out(&self, from: u64) -> bool {
        let gone = self.idle.compare_exchange(from, GONE, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if gone {
            self.put_out.notify_one();
        }
        gone
    }
}

impl ConnectionSlot {
    pub(super) fn new(number: u64, state: Arc<SlotState>, slots: Arc<Mutex<ConnectionSlots>>) -> Self {
        Self { number, state, slots }
    }

    /// A request begins. `false` where another connection has the place already: nothing is served on this one any
    /// more.
    pub(crate) fn begin(&self) -> bool {
        let idle = &self.state.idle;
        idle.fetch_update(Ordering::AcqRel, Ordering::Acquire, |idle| (idle != GONE).then_some(BUSY)).is_ok()
    }

    /// No request is under way.
    pub(crate) fn rest(&self) {
        let patience =
            if self.state.ever_allowed.load(Ordering::Relaxed) { BETWEEN_REQUESTS } else { Duration::ZERO };
        let from = millis(self.state.since.elapsed() + patience);
        self.state.idle.store(from, Ordering::Release);
    }

    /// Waits until another connection has the place.
    pub(crate) async fn made_room(&self) {
        self.state.put_out.notified().await;
    }

    /// Tells that a request of the connection was allowed.
    pub(crate) fn allowed(&self) {
        self.state.ever_allowed.store(true, Ordering::Relaxed);
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).leave(self.number);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(GONE - 1)
}
