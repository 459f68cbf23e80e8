//! The addresses of endpoints that are written with a name.
//!
//! A name is looked up on a thread of its own, and nothing waits for it: the last known addresses stay in use.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::settings::{EndpointAddress, UpstreamSettings};

/// The addresses of names, as they were last found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvedNames(HashMap<Arc<str>, Vec<SocketAddr>>);

impl ResolvedNames {
    /// The addresses of endpoints, each once: two names of one address are one endpoint. A name that was never found
    /// has none.
    pub fn addresses(&self, endpoints: &[EndpointAddress]) -> Vec<SocketAddr> {
        let mut addresses = Vec::new();
        for endpoint in endpoints {
            let found = match endpoint {
                EndpointAddress::Socket(address) => std::slice::from_ref(address),
                EndpointAddress::Named(name) => self.0.get(name).map(Vec::as_slice).unwrap_or_default(),
            };
            for address in found {
                if !addresses.contains(address) {
                    addresses.push(*address);
                }
            }
        }
        addresses
    }

    /// Notes the addresses of a name. Whether they have changed.
    pub fn learn(&mut self, name: Arc<str>, mut addresses: Vec<SocketAddr>) -> bool {
        // Resolvers answer in another order each time.
        addresses.sort_unstable();
        addresses.dedup();
        let before = self.0.insert(name, addresses.clone());
        before.as_ref() != Some(&addresses)
    }
}

/// The names that upstreams are written with, each once.
fn of(upstreams: &[UpstreamSettings]) -> BTreeSet<Arc<str>> {
    let endpoints = upstreams.iter().flat_map(|upstream| &upstream.endpoints);
    endpoints
        .filter_map(|endpoint| match endpoint {
            EndpointAddress::Named(name) => Some(name.clone()),
            EndpointAddress::Socket(_) => None,
        })
        .collect()
}

/// Looks names up, each on a thread of its own, and remembers their addresses.
#[derive(Debug)]
pub struct Lookups {
    names: ResolvedNames,
    wanted: BTreeSet<Arc<str>>,
    /// Names that a thread is looking up.
    under_way: HashSet<Arc<str>>,
    failures: BTreeMap<Arc<str>, String>,
    /// When the addresses of a name were last found.
    found_at: HashMap<Arc<str>, SystemTime>,
    clock: fn() -> SystemTime,
    sender: UnboundedSender<LookupResult>,
    receiver: UnboundedReceiver<LookupResult>,
}

/// How the last look-up of a name went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameStatus {
    /// The name, with its port.
    pub name: Arc<str>,
    /// Why it failed, where it did.
    pub error: Option<String>,
    /// When one last succeeded.
    pub last_success: Option<SystemTime>,
}

type LookupResult = (Arc<str>, io::Result<Vec<SocketAddr>>);

impl Default for Lookups {
    fn default() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self {
            names: ResolvedNames::default(),
            wanted: BTreeSet::new(),
            under_way: HashSet::new(),
            failures: BTreeMap::new(),
            found_at: HashMap::new(),
            clock: || SystemTime::UNIX_EPOCH,
            sender,
            receiver,
        }
    }
}

impl Lookups {
    /// Remembers by this clock when a name was found.
    pub fn by(clock: fn() -> SystemTime) -> Self {
        Self { clock, ..Self::default() }
    }

    /// How the last look-up of each name went.
    pub fn status(&self) -> Vec<NameStatus> {
        let status = |name: &Arc<str>| NameStatus {
            name: name.clone(),
            error: self.failures.get(name).cloned(),
            last_success: self.found_at.get(name).copied(),
        };
        self.wanted.iter().map(status).collect()
    }

    /// The addresses so far.
    pub fn names(&self) -> &ResolvedNames {
        &self.names
    }

    /// Names whose last look-up failed, and why.
    pub fn failures(&self) -> &BTreeMap<Arc<str>, String> {
        &self.failures
    }

    /// Names without any known address, and why.
    pub fn unknown(&self) -> Vec<(Arc<str>, String)> {
        let unknown = self.wanted.iter().filter(|name| !self.names.0.contains_key(*name));
        let why = |name: &Arc<str>| {
            self.failures.get(name).cloned().unwrap_or_else(|| "no answer in time".to_owned())
        };
        unknown.map(|name| (name.clone(), why(name))).collect()
    }

    /// Looks up every name of these upstreams, and from now on only those.
    pub fn look_up(&mut self, upstreams: &[UpstreamSettings]) {
        self.wanted = of(upstreams);
        self.failures.retain(|name, _| self.wanted.contains(name));
        self.found_at.retain(|name, _| self.wanted.contains(name));
        for name in self.wanted.clone() {
            self.begin(name);
        }
    }

    /// Repeats the look-ups that failed.
    pub fn look_up_again(&mut self) {
        for name in self.failures.keys().cloned().collect::<Vec<_>>() {
            self.begin(name);
        }
    }

    fn begin(&mut self, name: Arc<str>) {
        if !self.under_way.insert(name.clone()) {
            return;
        }
        if let Err(error) = look_up(name.clone(), self.sender.clone()) {
            self.under_way.remove(&name);
            self.failures.insert(name, format!("cannot start a thread: {error}"));
        }
    }

    /// Waits for a look-up to end. Whether its addresses have changed.
    pub async fn found(&mut self) -> bool {
        // A sender is kept here, so it never closes.
        let Some((name, found)) = self.receiver.recv().await else { return std::future::pending().await };
        self.under_way.remove(&name);
        if !self.wanted.contains(&name) {
            return false;
        }
        match found {
            Ok(addresses) => {
                self.failures.remove(&name);
                self.found_at.insert(name.clone(), (self.clock)());
                self.names.learn(name, addresses)
            }
            Err(error) => {
                self.failures.insert(name, error.to_string());
                false
            }
        }
    }

    /// Waits until every name is looked up, or the time is over.
    pub async fn all_found(&mut self, longest: Duration) {
        let all = async {
            while !self.under_way.is_empty() {
                self.found().await;
            }
        };
        // A name that is not found by then is found later.
        let _ = tokio::time::timeout(longest, all).await;
    }
}

/// Looks a name up and sends the result; for as long as the system's resolver takes.
fn look_up(name: Arc<str>, found: UnboundedSender<LookupResult>) -> io::Result<()> {
    let look_up = move || {
        let addresses = name.to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        let addresses = addresses.and_then(|addresses| match addresses.is_empty() {
            true => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
            false => Ok(addresses),
        });
        // An error means that the process is ending.
        let _ = found.send((name, addresses));
    };
    std::thread::Builder::new().name("opgate-names".to_owned()).spawn(look_up).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name that fails for a moment must not take its upstream away.
    #[tokio::test]
    async fn a_name_that_cannot_be_looked_up_keeps_the_addresses_that_it_had() {
        let mut lookups = Lookups::default();
        let name: Arc<str> = "gone.invalid:80".into();
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        lookups.wanted.insert(name.clone());
        assert_eq!(lookups.unknown().len(), 1);
        lookups.sender.send((name.clone(), Ok(vec![address]))).unwrap();
        assert!(lookups.found().await);
        lookups.sender.send((name.clone(), Err(io::Error::other("no answer")))).unwrap();
        assert!(!lookups.found().await);
        assert_eq!(lookups.names().addresses(&[EndpointAddress::Named(name.clone())]), [address]);
        assert_eq!(lookups.failures().get(&name).unwrap(), "no answer");
        assert!(lookups.unknown().is_empty());
        lookups.look_up_again();
        lookups.all_found(Duration::from_secs(30)).await;
        assert!(lookups.failures().contains_key(&name), "there is no such name");
        lookups.look_up(&[]);
        assert!(lookups.failures().is_empty(), "it is asked for no more");
    }

    #[test]
    fn two_names_of_one_address_are_one_endpoint() {
        let mut names = ResolvedNames::default();
        let addresses = |ports: [u16; 2]| ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port))).to_vec();
        assert!(names.learn("a.test:1".into(), addresses([2, 1])));
        assert!(!names.learn("a.test:1".into(), addresses([1, 2])), "in another order");
        assert!(names.learn("b.test:1".into(), addresses([1, 3])));
        let endpoints = ["a.test:1", "b.test:1", "127.0.0.1:2", "never.test:1"];
        let endpoints = endpoints.map(|text| text.parse().unwrap());
        let ports: Vec<u16> = names.addresses(&endpoints).iter().map(SocketAddr::port).collect();
        assert_eq!(ports, [1, 2, 3]);
    }
}
