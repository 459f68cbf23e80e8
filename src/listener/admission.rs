//! How many connections there may be, in total and from one address. One more is closed as it comes: it costs no task,
//! no buffer and no handshake.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Limits;

/// Files that are not clients' connections: listeners, logs, key fetches. Those of the admin port are counted by its setting.
const OTHER_FILES: usize = 64 + 2 * 128;

/// Counts the connections of all listeners.
#[derive(Clone, Debug)]
pub struct Admission {
    most: usize,
    most_per_address: usize,
    seats: Arc<Mutex<Seats>>,
}

#[derive(Debug, Default)]
struct Seats {
    taken: usize,
    by_network: HashMap<IpAddr, usize>,
}

/// Which limit a connection is beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Total,
    Address,
}

impl Full {
    /// The `reason` of `opgate_refused_connections_total`.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Total => "connections",
            Self::Address => "connections_per_address",
        }
    }
}

/// A connection's place; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    network: IpAddr,
    seats: Arc<Mutex<Seats>>,
}

impl Admission {
    /// Admits as many connections as `limits` says.
    pub fn new(limits: &Limits) -> Self {
        Self {
            most: limits.connections,
            most_per_address: limits.connections_per_address,
            seats: Arc::default(),
        }
    }

    pub(super) fn admit(&self, address: IpAddr) -> Result<Seat, Full> {
        let network = network(address);
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        if seats.taken >= self.most {
            return Err(Full::Total);
        }
        let here = seats.by_network.entry(network).or_default();
        if *here >= self.most_per_address {
            return Err(Full::Address);
        }
        *here += 1;
        seats.taken += 1;
        Ok(Seat { network, seats: self.seats.clone() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        seats.taken = seats.taken.saturating_sub(1);
        if let Some(here) = seats.by_network.get_mut(&self.network) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                // The table is no longer than there are connections.
                seats.by_network.remove(&self.network);
            }
        }
    }
}

/// What counts as one address: of IPv6, the 64 bits that one customer is given.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// How many of `wanted` connections, and requests at one time, a process can hold that may open `files`, of which the admin
/// port may take `admin`: a request takes a connection to a backend, which is two files (that connections can be cut takes
/// one). Once there are none left, nobody is answered: so neither port can take what the other one needs.
pub fn affordable(wanted: usize, files: usize, admin: usize) -> usize {
    wanted.min(files.saturating_sub(OTHER_FILES).saturating_sub(admin) / 3).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(connections: usize, connections_per_address: usize) -> Admission {
        Admission::new(&Limits { connections, connections_per_address, ..Limits::default() })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_seat_is_given_back() {
        let admission = admission(3, 2);
        let first = admission.admit(ip("192.0.2.1")).unwrap();
        let second = admission.admit(ip("192.0.2.1")).unwrap();
        assert_eq!(admission.admit(ip("192.0.2.1")).unwrap_err(), Full::Address);
        let third = admission.admit(ip("192.0.2.2")).unwrap();
        assert_eq!(admission.admit(ip("192.0.2.3")).unwrap_err(), Full::Total);
        drop(first);
        let again = admission.admit(ip("192.0.2.1")).unwrap();
        drop((second, third, again));
        let seats = admission.seats.lock().unwrap();
        assert_eq!((seats.taken, seats.by_network.len()), (0, 0));
    }

    #[test]
    fn a_refused_address_leaves_nothing_behind() {
        let admission = admission(1, 1);
        let _seat = admission.admit(ip("192.0.2.1")).unwrap();
        for last in 2..100 {
            assert!(admission.admit(IpAddr::from([192, 0, 2, last])).is_err());
        }
        assert_eq!(admission.seats.lock().unwrap().by_network.len(), 1);
    }

    #[test]
    fn an_address_of_ipv6_is_its_network() {
        let admission = admission(10, 1);
        let _seats = ["2001:db8::1", "2001:db8:0:1::1", "::ffff:192.0.2.1"]
            .map(|text| admission.admit(ip(text)).unwrap());
        for text in ["2001:db8::2", "2001:db8:0:1:ffff::", "192.0.2.1"] {
            assert_eq!(admission.admit(ip(text)).unwrap_err(), Full::Address, "{text}");
        }
    }

    #[test]
    fn connections_are_no_more_than_files_allow() {
        assert_eq!(affordable(10_000, 1024, 0), 234);
        assert_eq!(affordable(10_000, 1024, 65), 213);
        assert_eq!(affordable(10_000, 1 << 20, 65), 10_000);
        assert_eq!(affordable(10_000, 10, 65), 1);
    }
}
