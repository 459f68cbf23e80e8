//! How many connections there may be, in total and from one address. A further one replaces an idle one that never had
//! a good request, or is closed at once: then it costs no task, no buffer and no handshake.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::ListenerLimits;
use super::complaint::Complaint;
use super::connection_slot::{ConnectionSlot, ConnectionSlots, SlotState};
use super::window::WideWindows;
use crate::http::network;

/// Files that are not clients' connections: listeners, logs, key fetches. Those of the admin port are counted by its setting.
const OTHER_FILES: usize = 64 + 2 * 128;

/// Counts the connections of all listeners.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    most: usize,
    most_per_address: usize,
    since: Instant,
    slots: Arc<Mutex<ConnectionSlots>>,
    windows: WideWindows,
    complaints: Arc<[Complaint; 2]>,
}

/// Which limit a connection exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExceededLimit {
    Total,
    Address,
}

impl ExceededLimit {
    /// All of them.
    pub(super) const ALL: [Self; 2] = [Self::Total, Self::Address];

    /// The `reason` of `opgate_connections_refused_total`.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Total => "connections",
            Self::Address => "connections_per_address",
        }
    }
}

impl ConnectionLimits {
    /// Admits as many connections as `limits` says.
    pub fn new(limits: &ListenerLimits) -> Self {
        Self {
            most: limits.connections,
            most_per_address: limits.connections_per_address,
            since: Instant::now(),
            slots: Arc::default(),
            windows: WideWindows::default(),
            complaints: Arc::default(),
        }
    }

    /// How many connections there may be.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Admits a connection from `address`; `None` where that is not the client's: its proxy has many clients.
    pub(super) fn admit(&self, address: Option<IpAddr>) -> Result<ConnectionSlot, ExceededLimit> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(address) = address {
            self.room_for(address, &mut slots)?;
        }
        if slots.taken.len() >= self.most {
            self.complain(ExceededLimit::Total, address);
            if !slots.make_room(None) {
                return Err(ExceededLimit::Total);
            }
        }
        let number = slots.next;
        slots.next += 1;
        let state = Arc::new(SlotState::new(self.since));
        if let Some(address) = address {
            slots.count(&state, network(address));
        }
        slots.taken.insert(number, state.clone());
        Ok(ConnectionSlot::new(number, state, self.slots.clone(), self.windows.clone()))
    }

    /// Counts an admitted connection for the client that its proxy has named.
    pub(super) fn admit_client(&self, slot: &ConnectionSlot, address: IpAddr) -> Result<(), ExceededLimit> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        self.room_for(address, &mut slots)?;
        let (number, state) = slot.counted();
        // Another connection may have its place by now.
        if slots.taken.contains_key(&number) {
            slots.count(state, network(address));
        }
        Ok(())
    }

    /// Makes room for one more connection from an address.
    fn room_for(&self, address: IpAddr, slots: &mut ConnectionSlots) -> Result<(), ExceededLimit> {
        let network = network(address);
        let here = slots.by_network.get(&network).map_or(0, |here| here.taken);
        if here >= self.most_per_address {
            self.complain(ExceededLimit::Address, Some(address));
            if !slots.make_room(Some(network)) {
                return Err(ExceededLimit::Address);
            }
        }
        Ok(())
    }

    /// Tells the operator that a limit is reached, though not of each connection.
    fn complain(&self, limit: ExceededLimit, address: Option<IpAddr>) {
        let [of_total, of_address] = &*self.complaints;
        let (complaint, most) = match limit {
            ExceededLimit::Total => (of_total, self.most),
            ExceededLimit::Address => (of_address, self.most_per_address),
        };
        if complaint.is_due() {
            tracing::warn!(
                limit = limit.label(),
                most,
                address = address.map(tracing::field::display),
                "too many connections: an idle one is closed for each further one, or the further one is"
            );
        }
    }
}

/// How many of `wanted` connections, and requests at one time, a process can hold that may open `files`, of which the
/// admin port may take `admin`. A request takes a connection to a backend, which is two files (one of them to be able
/// to cut it). A process without files cannot answer any client: so neither port may take what the other one needs.
pub fn affordable(wanted: usize, files: usize, admin: usize) -> usize {
    wanted.min(files.saturating_sub(OTHER_FILES).saturating_sub(admin) / 3).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(connections: usize, connections_per_address: usize) -> ConnectionLimits {
        ConnectionLimits::new(&ListenerLimits {
            connections,
            connections_per_address,
            ..ListenerLimits::default()
        })
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_slot_is_given_back() {
        let admission = admission(3, 2);
        let first = admission.admit(ip("192.0.2.1")).unwrap();
        let second = admission.admit(ip("192.0.2.1")).unwrap();
        assert_eq!(admission.admit(ip("192.0.2.1")).unwrap_err(), ExceededLimit::Address);
        let third = admission.admit(ip("192.0.2.2")).unwrap();
        assert_eq!(admission.admit(ip("192.0.2.3")).unwrap_err(), ExceededLimit::Total);
        drop(first);
        let again = admission.admit(ip("192.0.2.1")).unwrap();
        drop((second, third, again));
        let slots = admission.slots.lock().unwrap();
        assert_eq!((slots.taken.len(), slots.by_network.len()), (0, 0));
    }

    #[test]
    fn a_refused_address_leaves_nothing_behind() {
        let admission = admission(1, 1);
        let _slot = admission.admit(ip("192.0.2.1")).unwrap();
        for last in 2..100 {
            assert!(admission.admit(Some(IpAddr::from([192, 0, 2, last]))).is_err());
        }
        assert_eq!(admission.slots.lock().unwrap().by_network.len(), 1);
    }

    #[test]
    fn a_refused_client_makes_room_and_a_served_or_new_one_does_not() {
        let admission = admission(3, 3);
        let refused = admission.admit(ip("192.0.2.1")).unwrap();
        assert!(refused.begin());
        refused.rest();
        let served = admission.admit(ip("192.0.2.2")).unwrap();
        assert!(served.begin());
        let idle = admission.admit(ip("192.0.2.3")).unwrap();
        assert!(idle.begin());
        idle.allowed();
        idle.rest();
        let newcomer = admission.admit(ip("192.0.2.4")).unwrap();
        assert!(!refused.begin(), "its place is another's");
        assert!(idle.begin() && newcomer.begin());
        idle.rest();
        assert_eq!(admission.admit(ip("192.0.2.5")).unwrap_err(), ExceededLimit::Total);
        // Its place was given back once.
        drop((refused, served));
        assert_eq!(admission.slots.lock().unwrap().taken.len(), 2);
    }

    #[test]
    fn an_address_makes_room_for_itself_alone() {
        let admission = admission(10, 1);
        let other = admission.admit(ip("192.0.2.1")).unwrap();
        let first = admission.admit(ip("192.0.2.2")).unwrap();
        for slot in [&other, &first] {
            assert!(slot.begin());
            slot.rest();
        }
        let _second = admission.admit(ip("192.0.2.2")).unwrap();
        assert!(other.begin() && !first.begin());
    }

    #[test]
    fn an_address_of_ipv6_is_its_network() {
        let admission = admission(10, 1);
        let _slots = ["2001:db8::1", "2001:db8:0:1::1", "::ffff:192.0.2.1"]
            .map(|text| admission.admit(ip(text)).unwrap());
        for text in ["2001:db8::2", "2001:db8:0:1:ffff::", "192.0.2.1"] {
            assert_eq!(admission.admit(ip(text)).unwrap_err(), ExceededLimit::Address, "{text}");
        }
    }

    /// The proxy's own address has no limit; each of its clients has one.
    #[test]
    fn connections_behind_a_proxy_count_for_their_clients() {
        let admission = admission(3, 1);
        let (one, two) = (ip("192.0.2.1").unwrap(), ip("192.0.2.2").unwrap());
        let slots: Vec<_> = (0..3).map(|_| admission.admit(None).unwrap()).collect();
        assert_eq!(admission.admit(None).unwrap_err(), ExceededLimit::Total);
        admission.admit_client(&slots[0], one).unwrap();
        assert_eq!(admission.admit_client(&slots[1], one).unwrap_err(), ExceededLimit::Address);
        admission.admit_client(&slots[1], two).unwrap();
        assert_eq!(admission.slots.lock().unwrap().by_network.len(), 2);
        drop(slots);
        let slots = admission.slots.lock().unwrap();
        assert_eq!((slots.taken.len(), slots.by_network.len()), (0, 0));
    }

    #[test]
    fn connections_are_no_more_than_files_allow() {
        assert_eq!(affordable(10_000, 1024, 0), 234);
        assert_eq!(affordable(10_000, 1024, 65), 213);
        assert_eq!(affordable(10_000, 1 << 20, 65), 10_000);
        assert_eq!(affordable(10_000, 10, 65), 1);
    }
}
