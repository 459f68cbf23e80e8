//! The connections to one admin address: how many there may be, what each is doing, and which one is closed for another.
//!
//! ```text
//! accepted ─► Head ─► (Body) ─► Answering ─► Writing ─► Idle ─► Head …
//! ```
//!
//! All but `Answering` wait for the client, and have a deadline. One more connection than there may be closes one that
//! waits: of the address with most of them, the one that has waited longest. An address with more connections than another takes
//! no place of the other's. So idle connections never take the place of one that another client needs. Where none waits, one is closed that is
//! being answered, of another address that has more than half of the places.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::http::network;

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionPhase {
    /// The rest of a request's head.
    Head,
    /// The rest of its body.
    Body,
    /// The gate's own answer.
    Answering,
    /// The client, which has to take the answer.
    Writing,
    /// Another request.
    Idle,
    /// Nothing any more: its place was given to another.
    Closed,
}

impl ConnectionPhase {
    /// How long it may last.
    pub(super) fn patience(self) -> Option<Duration> {
        match self {
            Self::Head => Some(Duration::from_secs(5)),
            Self::Body => Some(Duration::from_secs(10)),
            // A long answer has a deadline of its own (`desk.rs`).
            Self::Answering => None,
            Self::Writing => Some(Duration::from_secs(30)),
            // Longer than Prometheus waits between two scrapes, by default a minute.
            Self::Idle => Some(Duration::from_secs(75)),
            Self::Closed => Some(Duration::ZERO),
        }
    }
}

/// What a connection is doing, and since when. Its task and the table share it.
#[derive(Clone, Debug)]
pub(super) struct Progress(Arc<watch::Sender<(ConnectionPhase, Instant)>>);

impl Progress {
    fn new(now: Instant) -> Self {
        Self(Arc::new(watch::Sender::new((ConnectionPhase::Head, now))))
    }

    /// Goes on to a stage. Nothing follows on `Closed`.
    pub(super) fn enter(&self, stage: ConnectionPhase) {
        self.0.send_if_modified(|(current, since)| {
            let is_new = *current != ConnectionPhase::Closed && *current != stage;
            if is_new {
                (*current, *since) = (stage, Instant::now());
            }
            is_new
        });
    }

    pub(super) fn stage(&self) -> ConnectionPhase {
        self.0.borrow().0
    }

    /// Waits until a stage has lasted too long, or the place is given to another.
    pub(super) async fn outlasted(&self) -> ConnectionPhase {
        let mut changes = self.0.subscribe();
        loop {
            let (stage, since) = *changes.borrow_and_update();
            let deadline = stage.patience().map(|patience| since + patience);
            let lasts = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = lasts => return stage,
                // No error is possible: the sender is here.
                _ = changes.changed() => {}
            }
        }
    }
}

/// The places of one address.
#[derive(Clone, Debug)]
pub(super) struct AdminSlots {
    most: usize,
    held: Arc<Mutex<HeldSlots>>,
}

#[derive(Debug, Default)]
struct HeldSlots {
    /// In the order in which they came.
    connections: BTreeMap<u64, (IpAddr, Progress)>,
    last: u64,
}

/// A connection's place; given back when it is dropped.
#[derive(Debug)]
pub(super) struct AdminSlot {
    number: u64,
    held: Arc<Mutex<HeldSlots>>,
    pub(super) progress: Progress,
}

impl AdminSlots {
    pub(super) fn new(most: usize) -> Self {
        Self { most, held: Arc::default() }
    }

    /// A place for one more, and whether another had to give up its own for it. `None` where each of them is being
    /// answered, and no other address has more than its share of them.
    pub(super) fn take(&self, address: IpAddr) -> Option<(AdminSlot, bool)> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = held.connections.len() >= self.most;
        if is_full {
            let number = held.longest_waiting(network(address)).or_else(|| held.of_most(network(address)))?;
            if let Some((_, progress)) = held.connections.remove(&number) {
                progress.enter(ConnectionPhase::Closed);
            }
        }
        held.last += 1;
        let (number, progress) = (held.last, Progress::new(Instant::now()));
        held.connections.insert(number, (network(address), progress.clone()));
        Some((AdminSlot { number, held: self.held.clone(), progress }, is_full))
    }
}

impl HeldSlots {
    /// The waiting connection that goes first, of a network that has at least as many as the one that asks. While all of one are being
    /// answered, another's probe is the only one that waits, and would go.
    fn longest_waiting(&self, asking: IpAddr) -> Option<u64> {
        let mut by_network = HashMap::<IpAddr, usize>::new();
        for (network, _) in self.connections.values() {
            *by_network.entry(*network).or_default() += 1;
        }
        let of = |network: &IpAddr| by_network.get(network).copied().unwrap_or_default();
        let own = of(&asking);
        let waiting = self.connections.iter().filter_map(|(number, (network, progress))| {
            let (stage, since) = *progress.0.borrow();
            let all = of(network);
            let may_go = stage != ConnectionPhase::Answering && all >= own;
            may_go.then_some((std::cmp::Reverse(all), since, *number))
        });
        waiting.min().map(|(.., number)| number)
    }
}

impl HeldSlots {
    /// The oldest connection of the address with more than half of them, if the newcomer is of another address.
    fn of_most(&self, asking: IpAddr) -> Option<u64> {
        let of = |network: IpAddr| self.connections.iter().filter(move |(_, (other, _))| *other == network);
        let networks = self.connections.values().map(|(network, _)| *network);
        let most = networks.max_by_key(|network| of(*network).count())?;
        let has_most = most != asking && of(most).count() > self.connections.len() / 2;
        of(most).next().map(|(number, _)| *number).filter(|_| has_most)
    }
}

impl Drop for AdminSlot {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn take(places: &AdminSlots, last: u8) -> AdminSlot {
        places.take(ip(last)).unwrap().0
    }

    #[test]
    fn the_one_that_waits_longest_goes_first_whatever_it_waits_for() {
        let places = AdminSlots::new(4);
        let held: Vec<_> = (0..4).map(|_| take(&places, 1)).collect();
        held[0].progress.enter(ConnectionPhase::Answering);
        held[1].progress.enter(ConnectionPhase::Idle);
        let (_fifth, gave_way) = places.take(ip(1)).unwrap();
        assert!(gave_way);
        let stages: Vec<_> = held.iter().map(|place| place.progress.stage()).collect();
        assert_eq!(
            stages,
            [
                ConnectionPhase::Answering,
                ConnectionPhase::Idle,
                ConnectionPhase::Closed,
                ConnectionPhase::Head
            ]
        );
    }

    #[test]
    fn an_address_with_most_connections_all_busy_gives_way_only_to_others() {
        let places = AdminSlots::new(4);
        let held: Vec<_> = (0..4).map(|_| take(&places, 1)).collect();
        held.iter().for_each(|place| place.progress.enter(ConnectionPhase::Answering));
        assert!(places.take(ip(1)).is_none(), "it has its share");
        let (probe, gave_way) = places.take(ip(2)).unwrap();
        assert!(gave_way);
        assert_eq!(held[0].progress.stage(), ConnectionPhase::Closed);
        probe.progress.enter(ConnectionPhase::Answering);
        assert!(places.take(ip(1)).is_none());
    }

    #[test]
    fn an_address_with_most_connections_gives_way_to_others() {
        let places = AdminSlots::new(4);
        let probe = take(&places, 9);
        let held: Vec<_> = (0..3).map(|_| take(&places, 1)).collect();
        let mut later = Vec::new();
        for _ in 0..50 {
            later.push(take(&places, 1));
        }
        assert_eq!(probe.progress.stage(), ConnectionPhase::Head);
        assert!(held.iter().all(|place| place.progress.stage() == ConnectionPhase::Closed));
        assert_eq!(later.iter().filter(|place| place.progress.stage() == ConnectionPhase::Head).count(), 3);
    }

    #[test]
    fn a_probe_that_waits_is_not_closed_for_an_address_that_is_busy_with_more() {
        let places = AdminSlots::new(4);
        let held: Vec<_> = (0..3).map(|_| take(&places, 1)).collect();
        held.iter().for_each(|place| place.progress.enter(ConnectionPhase::Answering));
        let probe = take(&places, 2);
        assert!(places.take(ip(1)).is_none());
        assert_eq!(probe.progress.stage(), ConnectionPhase::Head);
        // One of another address has its place of those that have more.
        assert!(places.take(ip(3)).unwrap().1);
    }

    #[test]
    fn a_busy_connection_is_not_closed_for_one_of_its_own_address() {
        let places = AdminSlots::new(2);
        let held = [take(&places, 1), take(&places, 2)];
        held.iter().for_each(|place| place.progress.enter(ConnectionPhase::Answering));
        assert!(places.take(ip(2)).is_none());
        held[1].progress.enter(ConnectionPhase::Writing);
        assert!(places.take(ip(2)).unwrap().1);
        assert_eq!(held[1].progress.stage(), ConnectionPhase::Closed);
        held[1].progress.enter(ConnectionPhase::Idle);
        assert_eq!(held[1].progress.stage(), ConnectionPhase::Closed);
    }

    #[test]
    fn a_place_is_given_back() {
        let places = AdminSlots::new(1);
        for _ in 0..3 {
            let (_place, gave_way) = places.take(ip(1)).unwrap();
            assert!(!gave_way);
        }
        assert!(places.held.lock().unwrap().connections.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn each_stage_has_its_time() {
        for stage in [ConnectionPhase::Body, ConnectionPhase::Writing, ConnectionPhase::Idle] {
            let progress = Progress::new(Instant::now());
            progress.enter(stage);
            assert_eq!(progress.outlasted().await, stage);
        }
        let progress = Progress::new(Instant::now());
        progress.enter(ConnectionPhase::Answering);
        let day = Duration::from_secs(86_400);
        assert!(tokio::time::timeout(day, progress.outlasted()).await.is_err());
    }
}
