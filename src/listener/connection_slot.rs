//! The places of all open connections, and whether one may be given to another connection.
//!
//! A connection whose requests were all refused, or that was silent for a moment, makes room for a newcomer where all
//! are taken; one that had an allowed request keeps its place as long as it is in use. The state of a connection is
//! one number that it swaps as a request begins and ends, so that no request takes a lock for this.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::window::{WideWindow, WideWindows};

/// The time from the connection to its first request: the next newcomer does not replace it at once.
const FIRST_WORD: Duration = Duration::from_secs(1);
/// The time between two requests of a client that had an allowed one. Its next one may be on its way as the connection
/// is closed, as with any end of an idle connection (RFC 9112, section 9.5).
const BETWEEN_REQUESTS: Duration = Duration::from_secs(10);

/// Of connections whose requests were all refused, one in so many is closed at once, up to [`MOST_PUT_OUT`]: the next
/// newcomers need no search.
const PUT_OUT: usize = 64;
const MOST_PUT_OUT: usize = 32;
/// How soon a search that found nothing is tried again.
const SEARCH_AGAIN: Duration = Duration::from_millis(10);

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
    windows: WideWindows,
}

/// The state of the connection that has a place.
#[derive(Debug)]
pub(super) struct SlotState {
    /// Where its client is; empty while that is not known.
    network: OnceLock<IpAddr>,
    /// Milliseconds of [`since`](Self::since) from which on it may be closed; or [`BUSY`], or [`GONE`].
    idle: AtomicU64,
    since: Instant,
    ever_allowed: AtomicBool,
    put_out: Notify,
}

impl SlotState {
    /// Of a connection that comes now, on a clock that began at `since`.
    pub(super) fn new(since: Instant) -> Self {
        let idle = AtomicU64::new(millis(since.elapsed() + FIRST_WORD));
        Self {
            network: OnceLock::new(),
            idle,
            since,
            ever_allowed: AtomicBool::new(false),
            put_out: Notify::new(),
        }
    }

    /// Since when it may be closed, if it may be now: first those that never had an allowed request, then the others.
    pub(super) fn may_go(&self, now: Instant) -> Option<(bool, u64)> {
        let from = self.idle.load(Ordering::Acquire);
        (from <= millis(now - self.since)).then(|| (self.ever_allowed.load(Ordering::Relaxed), from))
    }

    /// Says where its client is, once.
    pub(super) fn belongs_to(&self, network: IpAddr) {
        let _ = self.network.set(network);
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
    pub(super) fn new(
        number: u64,
        state: Arc<SlotState>,
        slots: Arc<Mutex<ConnectionSlots>>,
        windows: WideWindows,
    ) -> Self {
        Self { number, state, slots, windows }
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

    /// Whether one was.
    pub(crate) fn was_allowed(&self) -> bool {
        self.state.ever_allowed.load(Ordering::Relaxed)
    }

    /// The right to a wide window, where there may be one more. Only for a connection of which a request was allowed.
    pub(crate) fn wide_window(&self) -> Option<WideWindow> {
        self.was_allowed().then(|| self.windows.take()).flatten()
    }
}

impl ConnectionSlot {
    /// Its state and its number, for those that count it.
    pub(super) fn counted(&self) -> (u64, &Arc<SlotState>) {
        (self.number, &self.state)
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).leave(self.number);
    }
}

/// The open connections.
#[derive(Debug, Default)]
pub(super) struct ConnectionSlots {
    pub(super) taken: HashMap<u64, Arc<SlotState>>,
    pub(super) by_network: HashMap<IpAddr, Here>,
    pub(super) next: u64,
    /// When a search among all found nothing.
    in_vain: Option<Instant>,
}

/// The connections of one address.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Here {
    pub(super) taken: usize,
    /// When a search among them found nothing.
    in_vain: Option<Instant>,
}

impl ConnectionSlots {
    /// Counts a connection for the network of its client.
    pub(super) fn count(&mut self, state: &SlotState, network: IpAddr) {
        state.belongs_to(network);
        self.by_network.entry(network).or_default().taken += 1;
    }

    /// Gives a place back, unless another connection has it already.
    fn leave(&mut self, number: u64) {
        let Some(state) = self.taken.remove(&number) else { return };
        let Some(network) = state.network.get() else { return };
        if let Some(here) = self.by_network.get_mut(network) {
            here.taken = here.taken.saturating_sub(1);
            if here.taken == 0 {
                // The table never has more entries than there are connections.
                self.by_network.remove(network);
            }
        }
    }

    /// Closes connections that are idle, of one address or of any: the oldest of those whose requests were all refused,
    /// else the oldest of the others. `false` where there is none.
    pub(super) fn make_room(&mut self, network: Option<IpAddr>) -> bool {
        let now = Instant::now();
        let in_vain = match network {
            None => self.in_vain,
            Some(network) => self.by_network.get(&network).and_then(|here| here.in_vain),
        };
        if in_vain.is_some_and(|searched| now - searched < SEARCH_AGAIN) {
            return false;
        }
        let of_network =
            |state: &SlotState| network.is_none_or(|network| state.network.get() == Some(&network));
        let mut idle: Vec<((bool, u64), u64)> = self
            .taken
            .iter()
            .filter(|(_, state)| of_network(state))
            .filter_map(|(number, state)| Some((state.may_go(now)?, *number)))
            .collect();
        idle.sort_unstable();
        let never_allowed = idle.iter().filter(|((ever_allowed, _), _)| !ever_allowed).count();
        let many = (never_allowed / PUT_OUT).clamp(1, MOST_PUT_OUT);
        let mut made = 0;
        for ((_, from), number) in idle {
            if made == many {
                break;
            }
            if self.taken.get(&number).is_some_and(|state| state.put_out(from)) {
                self.leave(number);
                made += 1;
            }
        }
        let in_vain = (made == 0).then_some(now);
        match network {
            None => self.in_vain = in_vain,
            Some(network) => {
                if let Some(here) = self.by_network.get_mut(&network) {
                    here.in_vain = in_vain;
                }
            }
        }
        made > 0
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(GONE - 1)
}
